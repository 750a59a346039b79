from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._hardening import survey


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ('ID=debian\nVERSION_ID="12"\n', ("debian", "12")),
        ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', ("debian", "24.04")),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n', ("redhat", "9.4")),
        ("ID=fedora\nVERSION_ID=42\n", ("redhat", "42")),
        ("ID=arch\n", ("arch", "")),
        ("", ("", "")),
    ],
)
def test_families(text, family):
    assert survey.family(text) == family


def test_mounts():
    text = "/dev/vg/tmp /tmp ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\nshm /dev/shm tmpfs rw,noexec 0 0\n"
    fstab = (
        "# /dev/old /tmp xfs noatime 0 0\nUUID=1 /tmp ext4 errors=remount-ro,usrquota 0 2\nUUID=2 / ext4 defaults 0 1\n"
    )
    assert survey.mounts(text, fstab) == {
        "/tmp": {"type": "ext4", "options": ["rw", "relatime"], "fstab": ["errors=remount-ro", "usrquota"]},
        "/dev/shm": {"type": "tmpfs", "options": ["rw", "noexec"], "fstab": None},
    }


def test_a_container_that_an_old_systemd_does_not_recognise(tmp_path, monkeypatch):
    class System:
        @staticmethod
        def run(_argv):
            return 1, "none"

    monkeypatch.setattr(survey, "CONTAINER_FILES", (str(tmp_path / ".dockerenv"),))
    assert not survey.in_container(System())
    (tmp_path / ".dockerenv").write_text("")
    assert survey.in_container(System())


def test_packages_that_are_there():
    class System:
        @staticmethod
        def run(argv):
            return 1, "installed auditd\nconfig-files acct\ndpkg-query: no packages found matching x"

    assert survey.missing_packages([], System()) == []
    if survey.shutil.which("dpkg-query"):
        assert survey.missing_packages(["auditd", "acct", "x"], System()) == ["acct", "x"]


def test_files_of_profiles_that_only_complain(tmp_path):
    """Not the comments, not the folders beside them, and not what is only unconfined."""
    texts = {
        "usr.bin.a": "profile a /usr/bin/a flags=(attach_disconnected, complain) {\n}\n",
        "usr.bin.b": "/usr/bin/b {\n}\n",
        "usr.bin.c": "# flags=(complain)\n/usr/bin/c flags=(unconfined) {\n}\n",
        "usr.bin.d": "/usr/bin/d {\n}\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "abstractions").mkdir()
    (tmp_path / "force-complain").mkdir()
    (tmp_path / "force-complain" / "usr.bin.d").symlink_to("../usr.bin.d")
    names = [path.rpartition("/")[2] for path in survey.complaining_files(str(tmp_path))]
    assert names == ["usr.bin.a", "usr.bin.d"]
    assert survey.complaining_files(str(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("header", "logins"),
    [
        ("profile sshd /usr/{s,}bin/sshd flags=(complain) {", True),
        ("/usr/sbin/sshd flags=(complain) {", True),
        ("/{usr/,}bin/{,ba,da}sh flags=(complain) {", True),
        ("/{usr/,}bin/bash flags=(complain) {", True),
        ("/usr/lib/openssh/sshd-session flags=(complain) {", True),
        ('"/usr/bin/sudo" flags=(complain) {', True),
        ("profile sudo flags=(complain) {", True),
        ("/usr/sbin/sshdump flags=(complain) {", False),
        ("# profile sshd {", False),
        ("/usr/bin/man flags=(complain) {\n  /usr/bin/bash ix,", False),
    ],
)
def test_profiles_that_logins_go_through(header, logins):
    assert survey.confines_logins(f"include <tunables/global>\n{header}\n}}\n") is logins


def test_stacks_of_pam_that_lock_wrong_passwords_out(tmp_path):
    (tmp_path / "common-auth").write_text("auth\trequisite\tpam_faillock.so preauth\nauth required pam_unix.so\n")
    (tmp_path / "common-account").write_text("# account required pam_faillock.so\naccount required pam_unix.so\n")
    (tmp_path / "sshd").write_text("auth required pam_faillock.so\n")
    assert survey.faillock(str(tmp_path)) == ["common-auth"]


def test_the_password_of_root():
    assert survey.root_password("daemon:*:1::\nroot:$y$j9T$x:1::\n") == "set"
    assert survey.root_password("root:!:1::\n") == survey.root_password("") == "locked"
    assert survey.root_password("root::1::\n") == "empty"


def test_interfaces_with_routes_by_advertisement():
    zeros, ends = "0" * 32, "00000400 00000001 00000000"
    default = f"{zeros} 00 {zeros} 00 fe80{'0' * 26}01 {ends} 00450003     eth0"
    prefix = f"2001{'0' * 28} 40 {zeros} 00 {zeros} {ends} 004c0001     eth1"
    static = f"{zeros} 00 {zeros} 00 fe80{'0' * 26}01 {ends} 00000003     eth2"
    assert survey.advertised("\n".join([default, prefix, static])) == ["eth0", "eth1"]
    assert survey.advertised("") == []


def test_who_has_jobs_and_who_may(tmp_path, monkeypatch):
    crontabs, texts = tmp_path / "crontabs", {}
    crontabs.mkdir()
    for name in ("backup", "shop"):
        (crontabs / name).write_text("")
    monkeypatch.setattr(survey, "CRONTABS", (str(tmp_path / "nothing"), str(crontabs)))
    monkeypatch.setattr(survey, "AT_JOBS", (str(tmp_path / "nothing"),))
    monkeypatch.setattr(survey.files, "text", lambda path: texts.get(path, ""))
    texts["/etc/cron.deny"] = "shop\n"
    assert survey.scheduling_users() == {"cron": ["backup"], "at": []}
    texts["/etc/cron.allow"] = "root\nshop\n"
    assert survey.scheduling_users()["cron"] == ["backup", "root", "shop"]


@pytest.mark.parametrize(
    ("said", "enabled"), [("enabled 2\nfailure 1\n", 2), ("enabled 0\n", 0), ("not permitted", None), ("", None)]
)
def test_whether_the_audit_rules_can_change(said, enabled):
    class System:
        @staticmethod
        def run(_argv):
            return 0, said

    assert survey.audit_enabled(System()) == enabled

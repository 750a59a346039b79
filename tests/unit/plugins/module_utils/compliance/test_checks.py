# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the evidence says of each control: a hardened host complies with all, and what is missing is one deviation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.go.plugins.module_utils._compliance import audit, checks, controls, report
from ansible_collections.slipway.go.plugins.module_utils._compliance.checks import Verdict
from ansible_collections.slipway.go.plugins.module_utils._compliance.evidence import Evidence, Mode, Wanted
from ansible_collections.slipway.go.plugins.module_utils._compliance.published import Published

ON = dict.fromkeys(controls.BY_NAME, True)
RULES = [
    *(calls.line("b64", "x86_64") for calls in audit.BASE_CALLS),
    *(watch.line() for watch in audit.BASE_WATCHES),
    *audit.rules(ON, "x86_64"),
]
TEXTS = {
    "/proc/sys/fs/suid_dumpable": "0\n",
    "/etc/issue": "Authorised access only.\n",
    "/etc/issue.net": "Authorised access only.\n",
    "/etc/login.defs": "UMASK\t027\nENCRYPT_METHOD\tYESCRYPT\n",
    "/etc/default/useradd": "# INACTIVE=-1\nINACTIVE=45\n",
    "/etc/profile.d/50-slipway-timeout.sh": "if true; then\n    TMOUT=900\nfi\n",
    "/etc/security/limits.d/50-slipway.conf": "* hard core 0\n",
    "/etc/security/pwquality.conf": "# minlen = 8\n",
    "/etc/security/pwquality.conf.d/50-slipway.conf": (
        "minlen = 15\nminclass = 3\nmaxrepeat = 3\ndifok = 2\nmaxsequence = 3\n"
        "dcredit = -1\nucredit = -1\nlcredit = -1\nocredit = -1\nenforce_for_root\n"
    ),
    "/etc/security/faillock.conf": "deny = 5\nunlock_time = 900\neven_deny_root\nroot_unlock_time = 60\n",
    "/etc/pam.d/su": (
        "auth sufficient pam_rootok.so\nauth       required   pam_wheel.so use_uid group=sudo\n@include common-auth\n"
    ),
    "/etc/pam.d/common-password": (
        "password\trequisite\tpam_pwquality.so retry=3\n"
        "password\trequisite\tpam_pwhistory.so remember=24 use_authtok enforce_for_root\n"
        "password\t[success=1 default=ignore]\tpam_unix.so use_authtok yescrypt\n"
    ),
}
SSHD = {
    **checks.SSHD_IS,
    **{name: str(most) for name, (_least, most) in checks.SSHD_WITHIN.items()},
    "permitrootlogin": "no",
    "passwordauthentication": "no",
    "allowusers": "deploy",
    "banner": "/etc/issue.net",
    "loglevel": "VERBOSE",
    "ciphers": "aes256-gcm@openssh.com",
    "macs": "hmac-sha2-512-etm@openssh.com",
    "kexalgorithms": "sntrup761x25519-sha512",
}
HARDENED = Evidence(
    texts=TEXTS,
    modes={
        "/etc/sudoers.d": Mode(0o750, 0),
        "/etc/cron.allow": Mode(0o640, 0),
        "/etc/at.allow": Mode(0o640, 0),
        **{path: Mode(most, 0) for path, most in checks.CRON_MODES.items()},
    },
    unit_files={"cups.service": "masked"},
    active=["auditd.service"],
    partitions=["/home"],
    mounts={path: {"options": ["nosuid", "nodev", "noexec"]} for path in ("/tmp", "/dev/shm")},
    apparmor={"enabled": True, "files": [], "logins": []},
    faillock=["common-auth", "common-account"],
    sshd=SSHD,
    firewall=["ufw Status: active", "ufw Default: deny (incoming), allow (outgoing), disabled (routed)"],
    modprobe="install dccp /bin/true\ninstall firewire_core /bin/true\n",
    apt='APT::Periodic::Unattended-Upgrade "1";\n',
    audit=RULES,
    audit_enabled=2,
    sudo={"use_pty": True, "logfile": "/var/log/sudo.log"},
    journal_on_disk=True,
    has=["crontab", "at", "sudo", "unattended-upgrade"],
)
WANTED = Wanted(
    controls.choose({"audit_immutable": True, "partitions": True, "passwords_of_root": True}),
    sysctl={"kernel.sysrq": 0},
    services_off=["cups.service", "avahi-daemon.service"],
    modules=["dccp", "firewire-core"],
)


def deviations(evidence: Evidence, wanted: Wanted = WANTED) -> dict[str, str]:
    found = report.answers(evidence, wanted)["controls"]
    return {row["control"]: row["found"] for row in found if row["verdict"] in ("fail", "unknown")}


def test_a_hardened_host_complies_with_all() -> None:
    told = report.answers(HARDENED, WANTED)
    assert deviations(HARDENED) == {}
    assert told["counts"]["pass"] == len(controls.CONTROLS)


def texts(path: str, old: str, new: str) -> dict[str, Any]:
    assert old in TEXTS[path]
    return {"texts": {**TEXTS, path: TEXTS[path].replace(old, new)}}


def sshd(**more: str) -> dict[str, Any]:
    return {"sshd": {**SSHD, **more}}


POLICY = "/etc/security/pwquality.conf.d/50-slipway.conf"
LOCK = "/etc/security/faillock.conf"
PASSWORD = "/etc/pam.d/common-password"


@pytest.mark.parametrize(
    ("change", "control", "found"),
    [
        ({"apt": 'APT::Periodic::Unattended-Upgrade "0";\n'}, "security_updates", '"0", the program is installed'),
        ({"apt": None}, "security_updates", "apt-config dump could not be read"),
        ({"has": ["crontab", "at", "sudo"]}, "security_updates", '"1", the program is not installed'),
        ({"unit_files": {"cups.service": "disabled"}}, "services_off", "cups.service disabled"),
        ({"modprobe": "install dccp /bin/true\n"}, "kernel_modules", "firewire-core"),
        ({"sysctl": {"kernel.sysrq": "176"}}, "kernel_settings", "kernel.sysrq 176"),
        (
            {"sysctl": {"net.ipv6.conf.default.accept_ra": "1"}},
            "router_advertisements",
            "net.ipv6.conf.default.accept_ra 1",
        ),
        ({"mounts": {"/tmp": {"options": ["nosuid", "nodev"]}}}, "mounts", "/tmp without noexec; /dev/shm is no mount"),
        (
            {"apparmor": {"enabled": True, "files": ["/etc/apparmor.d/a"], "logins": []}},
            "confinement",
            "SELinux disabled, AppArmor enabled, /etc/apparmor.d/a only complains",
        ),
        (texts("/etc/issue", "Authorised", "Debian"), "banner", "/etc/issue tells the operating system"),
        (texts("/etc/issue.net", "Authorised access only.", ""), "banner", "/etc/issue.net is empty"),
        ({"journal_on_disk": False}, "journal", "in memory only"),
        ({"firewall": []}, "firewall", "none in force"),
        (
            {"partitions_lack": {"/home": ["nosuid"], "/var/tmp": ["nodev", "noexec"]}},
            "partitions",
            "/home without nosuid; /var/tmp without nodev, noexec",
        ),
        ({"firewall": None}, "firewall", "the firewall could not be read"),
        ({"firewall": ["ufw Status: active", "ufw Default: allow (incoming)"]}, "firewall", "none in force"),
        (
            {"firewall": ["firewalld open (active)", "firewalld open target: ACCEPT"]},
            "firewall",
            "firewalld, zones open; zone open accepts everything",
        ),
        ({"published": [Published("tcp", "80", "", "172.17.0.2:80")]}, "published_ports", "80/tcp → 172.17.0.2:80"),
        (sshd(permitrootlogin="prohibit-password"), "ssh_root", "permitrootlogin prohibit-password"),
        (sshd(passwordauthentication="yes"), "ssh_passwords", "passwordauthentication yes"),
        (sshd(allowusers=""), "ssh_users", "neither AllowUsers nor AllowGroups"),
        (sshd(maxauthtries="6", banner="none"), "ssh_settings", "maxauthtries 6; banner none"),
        (sshd(macs="umac-64@openssh.com,hmac-sha2-512"), "ssh_algorithms", "umac-64@openssh.com"),
        (texts("/etc/login.defs", "027", "022"), "umask", "UMASK 022"),
        (texts("/etc/profile.d/50-slipway-timeout.sh", "900", "0"), "shell_timeout", "TMOUT 0"),
        (texts("/etc/pam.d/su", "pam_wheel.so use_uid", "pam_wheel.so deny"), "su_wheel", "anybody may use su"),
        (texts("/etc/pam.d/su", "auth       required", "# auth"), "su_wheel", "anybody may use su"),
        ({"sudo": {"logfile": "/var/log/sudo.log"}}, "sudo_pty", "no use_pty"),
        ({"sudo": {"use_pty": True}}, "sudo_log", "no logfile"),
        ({"unread_chains": ["DOCKER"]}, "published_ports", "a rule of the chain DOCKER could not be read"),
        (
            {"published": [Published("tcp", "80", "", "172.17.0.2:80")], "unread_chains": ["DOCKER"]},
            "published_ports",
            "80/tcp → 172.17.0.2:80; a rule of the chain DOCKER could not be read",
        ),
        (texts(POLICY, "minlen = 15", "minlen = 8"), "password_quality", "minlen 8, minclass 3, maxrepeat 3"),
        (texts(POLICY, "ocredit = -1", "ocredit = 1"), "password_quality_more", "ocredit 1"),
        (texts(PASSWORD, "remember=24", "remember=5"), "password_history", "remember 5"),
        (
            texts(PASSWORD, " enforce_for_root", ""),
            "passwords_of_root",
            "pam_pwquality with, pam_pwhistory without it",
        ),
        (texts("/etc/login.defs", "YESCRYPT", "MD5"), "password_hash", "MD5"),
        (texts("/etc/default/useradd", "\nINACTIVE=45", ""), "inactive_accounts", "INACTIVE not set"),
        (texts(LOCK, "deny = 5", "deny = 50"), "faillock", "deny 50, unlock_time 900"),
        (texts(LOCK, "even_deny_root\nroot_unlock_time = 60", ""), "faillock_root", "root is never locked"),
        ({"active": []}, "auditd", "does not run"),
        ({"audit_enabled": 1}, "audit_immutable", "enabled 1"),
        ({"audit_enabled": None}, "audit_immutable", "auditctl -s could not be read"),
        (
            {"audit": [one for one in RULES if "wtmp" not in one]},
            "audit_session",
            "not recorded: /var/log/wtmp",
        ),
    ],
)
def test_one_thing_is_one_deviation(change: dict[str, Any], control: str, found: str) -> None:
    assert deviations(replace(HARDENED, **change)) == {control: found}


@pytest.mark.parametrize(
    ("path", "control"),
    [
        ("/etc/sudoers.d", "sudoers_permissions"),
        ("/etc/cron.d", "cron_permissions"),
        ("/etc/cron.allow", "cron_allow"),
        ("/etc/at.allow", "at_allow"),
    ],
)
def test_permissions(path: str, control: str) -> None:
    wider = {**HARDENED.modes, path: Mode(0o755, 0)}
    assert deviations(replace(HARDENED, modes=wider)) == {
        control: f"{path} 0755, user 0" if path == "/etc/cron.d" else "0755, user 0"
    }
    others = {**HARDENED.modes, path: Mode(0o600, 1000)}
    assert list(deviations(replace(HARDENED, modes=others))) == [control]


def test_pam_that_does_not_ask_a_module() -> None:
    without = {**TEXTS, PASSWORD: "password required pam_unix.so\n"}
    found = deviations(replace(HARDENED, texts=without, faillock=["common-auth"]))
    assert set(found) == {
        *("faillock", "faillock_root", "password_history", "passwords_of_root"),
        *("password_quality", "password_quality_more"),
    }


def test_a_stack_that_includes_another_and_itself() -> None:
    looping = {
        "/etc/pam.d/su": "@include su\nauth include other\n",
        "/etc/pam.d/other": "-auth [success=1 default=ignore] /lib/security/pam_wheel.so use_uid\n",
    }
    assert replace(HARDENED, texts=looping).pam_module("su", "auth", "pam_wheel.so") == ["use_uid"]


def test_a_container_is_held_for_nothing_of_its_kernel() -> None:
    told = report.answers(replace(HARDENED, container=True, audit=None, modprobe=None, mounts={}), WANTED)
    inapplicable = {row["control"] for row in told["controls"] if row["verdict"] == "not applicable"}
    assert {"auditd", "audit_base", "audit_immutable", "mounts", "kernel_settings", "kernel_modules"} <= inapplicable
    assert told["counts"]["fail"] == told["counts"]["unknown"] == 0


def test_a_host_without_partitions_is_held_for_none() -> None:
    told = report.answers(replace(HARDENED, partitions=[]), WANTED)
    (row,) = [row for row in told["controls"] if row["control"] == "partitions"]
    assert row["verdict"] == "not applicable"


def chosen(**given: Any) -> Wanted:
    return replace(WANTED, choices=controls.choose(given))


OPEN = replace(HARDENED, **texts("/etc/pam.d/su", "auth       required", "# auth"))


def test_a_reason_comes_before_a_deviation_and_not_before_what_holds() -> None:
    wanted = chosen(su_wheel="our operators use su", sudo_log="not needed")
    found = checks.answer("su_wheel", OPEN, wanted)
    assert (found.verdict, found.reason) == (Verdict.OFF, "our operators use su")
    assert checks.answer("sudo_log", OPEN, wanted).verdict is Verdict.PASS


def test_off_without_a_reason_asks_for_one() -> None:
    rows = {row["control"]: row for row in report.answers(OPEN, chosen(su_wheel=False))["controls"]}
    assert rows["su_wheel"]["verdict"] == "fail"
    assert rows["su_wheel"]["fix"] == "give the reason in base_controls instead of false, or set su_wheel to true"


def test_su_stays_open_where_root_has_a_password_until_somebody_closes_it() -> None:
    evidence = replace(OPEN, root_has_password=True)
    assert checks.answer("su_wheel", evidence, chosen()).verdict is Verdict.OFF
    assert checks.answer("su_wheel", evidence, chosen(su_wheel=True)).verdict is Verdict.FAIL
    assert checks.answer("su_wheel", OPEN, chosen()).verdict is Verdict.FAIL


def test_advertisements_are_taken_where_the_host_needs_them_until_somebody_refuses_them() -> None:
    taking = replace(HARDENED, sysctl={"net.ipv6.conf.all.accept_ra": "1"}, advertised=["eth0"])
    found = checks.answer("router_advertisements", taking, chosen())
    assert (found.verdict, found.reason.partition(" ")[0]) == (Verdict.OFF, "eth0")
    assert checks.answer("router_advertisements", taking, chosen(router_advertisements=True)).verdict is Verdict.FAIL


def test_the_red_hat_family() -> None:
    stack = TEXTS[PASSWORD].replace("common", "system")
    evidence = replace(
        HARDENED,
        family="redhat",
        texts={**TEXTS, "/etc/pam.d/system-auth": stack},
        faillock=["system-auth", "password-auth"],
        unit_files={"dnf-automatic.timer": "enabled"},
        apt=None,
    )
    assert deviations(evidence) == {}
    assert deviations(replace(evidence, unit_files={})) == {"security_updates": "dnf-automatic.timer missing"}


@pytest.mark.parametrize("zone", ["public (active)", "public (default, active)"])
def test_firewalld(zone: str) -> None:
    lines = [f"firewalld {zone}", "firewalld public target: default", "firewalld trusted target: ACCEPT"]
    assert deviations(replace(HARDENED, firewall=lines)) == {}
    assert deviations(replace(HARDENED, firewall=lines[1:])) == {"firewall": "none in force"}
    assert deviations(replace(HARDENED, firewall=["firewalld does not run"])) == {"firewall": "none in force"}


@pytest.mark.parametrize("control", ["sudo_pty", "sudo_log"])
@pytest.mark.parametrize(
    ("has", "verdict"), [(["crontab"], Verdict.NOT_APPLICABLE), (["crontab", "sudo"], Verdict.UNKNOWN)]
)
def test_sudo_that_is_not_there_is_no_deviation(control: str, has: list[str], verdict: Verdict) -> None:
    assert checks.answer(control, replace(HARDENED, sudo=None, has=has), WANTED).verdict is verdict


def test_a_rule_that_could_not_be_read_is_no_port() -> None:
    evidence = replace(HARDENED, unread_chains=["DOCKER"])
    assert checks.answer("published_ports", evidence, WANTED).verdict is Verdict.UNKNOWN


def test_sudo_rs_has_no_log_file() -> None:
    assert (
        checks.answer("sudo_log", replace(HARDENED, sudo=None, sudo_rs=True), WANTED).verdict is Verdict.NOT_APPLICABLE
    )


def test_what_is_advertised_is_what_the_role_turns_off():
    """The role asks a host for these keys, and the check tells by them which setting is about advertisements."""
    role = yaml.safe_load((Path(__file__).parents[5] / "roles" / "base" / "vars" / "main.yml").read_text("utf-8"))
    assert dict(checks.ADVERTISED) == role["__base_sysctl_unadvertised"]

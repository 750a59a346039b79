"""Which files the role base would write on hosts that the lab has not: templated by Ansible, with nothing run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible_collections.slipway.go.plugins.module_utils._compliance import checks, controls
from ansible_collections.slipway.go.plugins.module_utils._compliance.evidence import Evidence, Wanted
from ansible_collections.slipway.go.tests.unit.expressions import evaluate

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "base"
HOST = {
    "family": "debian",
    "container": False,
    "units": {},
    "mounts": {"/tmp": {"type": "tmpfs", "options": ["rw"], "fstab": None}},
    "partitions": {"options": {}, "left": {}, "fstab": "", "noexec": []},
    "sysctl": {},
    "selinux": {"mode": "disabled"},
    "missing_packages": ["sudo-rs"],
    "machine": "x86_64",
    "root_password": "locked",
    "advertised": [],
    "scheduling_users": {"cron": ["backup"], "at": []},
    "audit_enabled": 1,
}
DROP_IN = "/etc/systemd/system/tmp.mount.d/50-slipway.conf"
SYSCTL = "/etc/sysctl.d/99-zz-slipway.conf"
Files = dict[str, dict[str, Any]]


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., Files]:
    (task,) = yaml.safe_load((ROLE / "tasks" / "files.yml").read_text())
    (tmp_path / "task.yml").write_text(yaml.safe_dump(task["vars"]))
    beneath = [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml"), "task.yml"]

    def render(host: dict[str, Any], **variables: Any) -> Files:
        found = evaluate(tmp_path, "base", "__base_files", beneath, {"__base_host": {**HOST, **host}, **variables})
        return {file["path"]: file for file in found}

    return render


def on_disk(fstab: list[str] | None) -> dict[str, Any]:
    return {"mounts": {"/tmp": {"type": "ext4", "options": ["rw", "relatime"], "fstab": fstab}}}


def options(content: str) -> str:
    return content.split("Options=")[-1].strip()


def test_tmp_in_memory_takes_the_options_of_the_role(files: Callable[..., Files]) -> None:
    found = files({"units": {"tmp.mount": "static"}})[DROP_IN]
    asked = "mode=1777,strictatime,nosuid,nodev,noexec,size=50%"
    assert options(found["content"]) == asked
    assert found["run"][-1] == ["mount", "-o", f"remount,{asked}", "/tmp"]


@pytest.mark.parametrize(
    ("fstab", "expected"),
    [
        (["defaults"], "nosuid,nodev,noexec"),
        (["bind", "nodev", "exec"], "bind,nosuid,nodev,noexec"),
        (["subvol=@tmp", "usrquota"], "subvol=@tmp,usrquota,nosuid,nodev,noexec"),
    ],
)
def test_tmp_on_a_disk_keeps_what_fstab_says(files: Callable[..., Files], fstab: list[str], expected: str) -> None:
    """No file system on a disk takes the options of tmpfs, and without bind or subvol= something else is mounted."""
    found = files({**on_disk(fstab), "units": {"tmp.mount": "generated"}})[DROP_IN]
    assert options(found["content"]) == expected
    assert found["run"][-1] == ["mount", "-o", "remount,nosuid,nodev,noexec", "/tmp"]


def test_tmp_on_a_disk_may_be_less_restricted(files: Callable[..., Files]) -> None:
    found = files(on_disk(["noatime"]), base_tmp_options="mode=1777,nosuid,nodev")[DROP_IN]
    assert options(found["content"]) == "noatime,nosuid,nodev"


def test_a_unit_of_somebody_else_is_left_alone(files: Callable[..., Files]) -> None:
    found = files({**on_disk(None), "units": {"tmp.mount": "enabled"}})
    assert {path for path in found if path.startswith("/etc/systemd/system/tmp.mount")} == set()


def test_partitions_take_their_options_at_once_and_at_boot(files: Callable[..., Files]) -> None:
    """And apt asks its questions where programs run."""
    options = {"/home": ["nosuid", "nodev"], "/var/tmp": ["noexec"]}
    lacking = {"partitions": {"options": options, "left": {}, "fstab": "UUID=2 /home …\n", "noexec": ["/var/tmp"]}}
    rendered = files(lacking)
    found = rendered["/etc/fstab"]
    assert found["content"] == "UUID=2 /home …\n"
    assert found["run"] == [
        ["systemctl", "daemon-reload"],
        ["mount", "-o", "remount,nosuid,nodev", "/home"],
        ["mount", "-o", "remount,noexec", "/var/tmp"],
    ]
    assert '"/var/cache/debconf"' in rendered["/etc/apt/apt.conf.d/60-slipway-tmp"]["content"]
    assert "/etc/fstab" not in files({**lacking, "container": True})


def test_kernel_settings_that_change_something_are_not_written_unarmed(files: Callable[..., Files]) -> None:
    differs = {"sysctl": {"net.ipv4.conf.all.rp_filter": "2"}}
    assert SYSCTL not in files(differs)
    assert SYSCTL in files({**differs, "container": True})
    assert SYSCTL in files({})


def test_a_control_that_is_off_as_a_string_is_off(files: Callable[..., Files]) -> None:
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    switches = dict.fromkeys([name for name, spec in specs.items() if spec["type"] == "bool"], "false")
    found = files({}, **{**switches, "base_core_dumps": "true"})
    assert set(found) == {"/etc/modprobe.d/50-slipway.conf", "/etc/profile.d/50-slipway-umask.sh", "/etc/login.defs",
                          "/etc/issue", "/etc/issue.net", "/etc/default/useradd", "/etc/logrotate.d/slipway-sudo",
                          "/etc/sudoers.d/00-slipway-log",
                          "/etc/profile.d/50-slipway-timeout.sh"}  # fmt: skip


ACCEPTS_NOTHING = "net.ipv6.conf.all.accept_ra = 0"
RULES, LAST = "/etc/audit/rules.d/50-slipway.rules", "/etc/audit/rules.d/zz-slipway-immutable.rules"
CONTROLS = ("faillock", "password_quality", "journal", "umask", "banner", "mounts", "shell_timeout", "sudo_log")


def test_base_controls_turns_the_other_controls_off_and_on(files: Callable[..., Files]) -> None:
    chosen = {**dict.fromkeys(CONTROLS, "a reason"), "router_advertisements": True}
    found = files({"advertised": ["eth0"]}, base_controls=json.dumps(chosen))
    gone = ("faillock", "pwquality", "journald", "umask", "issue", "tmp.mount", "timeout", "sudo")
    assert [path for path in found if any(word in path for word in gone)] == []
    assert ACCEPTS_NOTHING in found[SYSCTL]["content"]
    assert (found[LAST]["state"], found[RULES]["run"]) == ("absent", [["augenrules", "--load"]])


def test_what_the_host_says_decides(files: Callable[..., Files]) -> None:
    """Nobody who has jobs is left out, what the host uses stays, and immutable rules wait for the next boot."""
    host: dict[str, Any] = {
        "units": {"cron.service": "enabled", "atd.service": "enabled"},
        "advertised": ["eth0"],
        "audit_enabled": 2,
    }
    host["sysctl"] = {"net.ipv4.conf.all.route_localnet": "1"}
    found = files(host, deploy_user_name="releaser", base_controls={"audit_immutable": "true"})
    assert found["/etc/cron.allow"]["content"] == "backup\nreleaser\nroot\n"
    assert found["/etc/at.allow"]["content"] == "releaser\nroot\n"
    assert ACCEPTS_NOTHING not in found[SYSCTL]["content"]
    assert "route_localnet" not in found[SYSCTL]["content"]
    assert "net.ipv4.conf.all.accept_local = 0" in found[SYSCTL]["content"]
    assert (found[LAST]["state"], found[RULES]["run"]) == ("present", [["augenrules"]])


def test_su_of_the_red_hat_family(tmp_path: Path) -> None:
    """By the line that is there behind a comment sign, with its tabs; asked for, as root has a password."""
    beneath = [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")]
    host = {**HOST, "family": "redhat", "root_password": "set"}
    (file,) = evaluate(
        tmp_path, "base", "__base_pam_files", beneath, {"__base_host": host, "base_controls": {"su_wheel": True}}
    )
    assert file == {"path": "/etc/pam.d/su", "settings": {"auth\t\trequired\tpam_wheel.so": "use_uid group=wheel"}}


TIMEOUT = ROLE / "templates/etc/profile.d/50-slipway-timeout.sh.j2"


@pytest.mark.parametrize("shell", ["bash", "dash"])
@pytest.mark.parametrize(
    ("before", "value"),
    [
        (":", "900"),
        ("TMOUT=0", "900"),
        ("TMOUT=900", "900"),
        ("TMOUT=600; readonly TMOUT", "600"),
        ("readonly TMOUT", ""),
        ("unset PS1", ""),
    ],
)
def test_an_idle_shell_ends_unless_another_profile_has_decided(shell: str, before: str, value: str) -> None:
    """Read twice, as by a shell in a shell, it says nothing, and does not keep a shell from what comes after it."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    script = f'set -u; PS1="$ "; {before}; . {TIMEOUT}; . {TIMEOUT}; echo "${{TMOUT:-}}"'
    environment = {name: told for name, told in os.environ.items() if name != "TMOUT"}
    done = subprocess.run([program, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{value}\n", "")


def test_the_check_reads_what_the_role_writes_for_idle_shells() -> None:
    evidence = Evidence(texts={"/etc/profile.d/50-slipway-timeout.sh": TIMEOUT.read_text()})
    found = checks.answer("shell_timeout", evidence, Wanted(controls.choose({})))
    assert (found.verdict, found.found) == (checks.Verdict.PASS, "TMOUT 900")


def test_a_folder_in_skel_stays_one_that_can_be_entered(files: Callable[..., Files], tmp_path: Path) -> None:
    """By systemd-tmpfiles itself. A new account gets a copy of what is there."""
    program = shutil.which("systemd-tmpfiles")
    if program is None or os.getuid() != 0:
        pytest.skip("it needs root and systemd-tmpfiles")
    root = tmp_path / "root"
    (root / "etc/skel/.ssh").mkdir(parents=True, mode=0o755)
    (root / "etc/skel/.bashrc").touch(mode=0o644)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    lines = [line for line in files({})["/etc/tmpfiles.d/50-slipway.conf"]["content"].splitlines() if "skel" in line]
    (root / "skel.conf").write_text("\n".join([*lines, ""]))
    subprocess.run([program, f"--root={root}", "--create", str(root / "skel.conf")], check=True)
    found = {path.name: f"{path.stat().st_mode & 0o777:04o}" for path in (root / "etc/skel").iterdir()}
    assert found == {".ssh": "0750", ".bashrc": "0640"}

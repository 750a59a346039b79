"""Scenes of changes of access that are armed: the revert, sshd and the firewall, with a systemd that is played."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending, snapshot
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import Reason, RevertPlan, System
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import change as walls
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import firewalld, survey
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.backend import Backend
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.survey import Options
from ansible_collections.slipway.go.plugins.module_utils._hardening.sshd import change as sshd
from ansible_collections.slipway.go.plugins.module_utils._hardening.sshd import server
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.deadman.host import Commands
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.firewall.test_change import (
    Firewall,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.firewall.test_change import (
    Host as FirewallHost,
)

SCENES = Scenes()
AGAIN = "the same run again"


def host_of(stage: Stage) -> tuple[System, Commands, RevertPlan]:
    """A host, and a plan that restores one file of it."""
    commands = Commands()
    for name in ("units", "run"):
        (stage.folder / name).mkdir()
    (stage.folder / "file").write_text("before")
    folders = [str(stage.folder / name) for name in ("deadman", "units", "run")]
    return System(*folders, commands), commands, RevertPlan([str(stage.folder / "file")])


@SCENES.row(
    "already_armed",
    "another run has armed a change of the same name",
    literal("wait until it is confirmed or taken back, then run this again"),
    f"the other run confirms its change, and {AGAIN}",
)
def _scene(stage: Stage) -> None:
    system, _commands, plan = host_of(stage)
    token = deadman.arm("ssh", 30, plan, system)
    stage.fails(lambda: deadman.arm("ssh", 30, plan, system))
    ending.confirm("ssh", token, system)
    stage.passes(lambda: deadman.arm("ssh", 30, plan, system))


@SCENES.row("invalid_seconds", "confirm_timeout is 0", r"use (?P<least>\d+) to \d+", "another `confirm_timeout`")
def _scene(stage: Stage) -> None:
    system, _commands, plan = host_of(stage)
    least = stage.fails(lambda: deadman.arm("ssh", 0, plan, system))["least"]
    stage.passes(lambda: deadman.arm("ssh", float(least), plan, system))


@SCENES.row("invalid_argv", "a command of the revert is one text", literal("give a list of strings"), "other `run`")
def _scene(stage: Stage) -> None:
    system, _commands, plan = host_of(stage)
    wrong: Any = [[1]]
    stage.fails(lambda: deadman.arm("ssh", 30, replace(plan, run=wrong), system))
    stage.passes(lambda: deadman.arm("ssh", 30, replace(plan, run=[["ufw", "reload"]]), system))


@SCENES.row("not_armed", "a change is confirmed that was confirmed before", literal("run again"), AGAIN)
def _scene(stage: Stage) -> None:
    system, _commands, plan = host_of(stage)
    token = deadman.arm("ssh", 30, plan, system)
    ending.confirm("ssh", token, system)
    stage.fails(lambda: ending.confirm("ssh", token, system))
    again = deadman.arm("ssh", 30, plan, system)
    stage.passes(lambda: ending.confirm("ssh", again, system))


@SCENES.row("not_armed", "a change is made that is not armed any more", literal("run again"), AGAIN)
def _scene(stage: Stage) -> None:
    system, _commands, plan = host_of(stage)
    token = deadman.arm("ssh", 30, plan, system)
    ending.confirm("ssh", token, system)
    stage.fails(lambda: held(token, system))
    again = deadman.arm("ssh", 30, plan, system)
    stage.passes(lambda: held(again, system))


def held(token: str, system: System) -> None:
    with deadman.hold("ssh", token, system):
        pass


@SCENES.row(
    "reverted",
    "the confirmation comes after the deadline",
    literal("see what kept the confirmation from coming in time, then run again"),
    f"the connection is there, and {AGAIN}",
)
def _scene(stage: Stage) -> None:
    system, _commands, plan = host_of(stage)
    token = deadman.arm("ssh", 30, plan, system)
    ending.revert("ssh", token, Reason.DEADLINE, system)
    stage.fails(lambda: ending.confirm("ssh", token, system))
    again = deadman.arm("ssh", 30, plan, system)
    stage.passes(lambda: ending.confirm("ssh", again, system))


@SCENES.row(
    "reverted",
    "the run pauses until the deadline has passed",
    literal("see what kept the run from going on in time, or raise the confirm_timeout of the role, then run again"),
    AGAIN,
)
def _scene(stage: Stage) -> None:
    system, _commands, plan = host_of(stage)
    token = deadman.arm("ssh", 30, plan, system)
    ending.revert("ssh", token, Reason.DEADLINE, system)
    stage.fails(lambda: held(token, system))
    again = deadman.arm("ssh", 90, plan, system)
    stage.passes(lambda: held(again, system))


@SCENES.row(
    "not_reverted",
    "a path cannot be restored",
    literal("repair that and run again: the next run takes it back first"),
    f"the file system is writable, and {AGAIN}",
)
def _scene(stage: Stage) -> None:
    system, commands, plan = host_of(stage)
    token = deadman.arm("ssh", 30, plan, system)
    (stage.folder / "file").write_text("after")
    restore = snapshot.restore
    failed = snapshot.Restored([], [f"{stage.folder}/file: Read-only file system"], [])
    stage.patch.setattr(snapshot, "restore", lambda _entries: failed)
    ending.revert("ssh", token, Reason.DEADLINE, system)
    commands.timers.clear()
    stage.fails(lambda: deadman.arm_when_free("ssh", 30, plan, system))
    assert "Read-only file system" in stage.message
    stage.patch.setattr(snapshot, "restore", restore)
    again = stage.passes(lambda: deadman.arm_when_free("ssh", 30, plan, system))
    assert (stage.folder / "file").read_text() == "before"
    ending.confirm("ssh", again, system)


@SCENES.row(
    "not_reverted",
    "check mode finds a change whose timer was stopped",
    literal("run without check mode, which takes it back first"),
    "the same run without check mode",
)
def _scene(stage: Stage) -> None:
    system, commands, plan = host_of(stage)
    deadman.arm("ssh", 30, plan, system)
    (stage.folder / "file").write_text("after")
    commands.timers.clear()
    stage.fails(lambda: deadman.wait_until_free("ssh", system, act=False))
    stage.passes(lambda: deadman.wait_until_free("ssh", system))
    assert (stage.folder / "file").read_text() == "before"


# --- the firewall


def wall(stage: Stage) -> FirewallHost:
    host = FirewallHost(stage.folder)
    stage.patch.setattr(time, "monotonic", lambda: host.clock)
    stage.patch.setattr(walls, "connection", lambda _system: None)
    stage.patch.setattr(ending, "PAUSE", 0)
    stage.patch.setattr(walls, "choose", lambda _name, _run: Firewall(host, ["22", "80"]))
    return host


def bring(stage: Stage, host: FirewallHost) -> Any:
    return walls.bring_in_order(Options(), 60.0, False, host.system, host.within, str(stage.folder))


@SCENES.row(
    "not_in_force",
    "another program writes the rules of the firewall",
    literal("see what else writes the rules of this host's firewall, then run again"),
    f"the other program is stopped, and {AGAIN}",
)
def _scene(stage: Stage) -> None:
    host = wall(stage)
    host.at = {"enable": lambda: host.rules.write_text("22\n")}
    stage.fails(lambda: bring(stage, host))
    host.at = {}
    assert stage.passes(lambda: bring(stage, host)).changed


@SCENES.row("changed_meanwhile", "somebody switches the firewall on while the run begins", literal("run again"), AGAIN)
def _scene(stage: Stage) -> None:
    host = wall(stage)
    arm = deadman.arm

    def and_somebody(*arguments: Any) -> str:
        host.active = True
        return arm(*arguments)

    stage.patch.setattr(walls.deadman, "arm", and_somebody)
    stage.fails(lambda: bring(stage, host))
    stage.patch.setattr(walls.deadman, "arm", arm)
    assert stage.passes(lambda: bring(stage, host)).changed


def asked(enabled: str = "", broken: bool = False) -> Any:
    """Programs of a host with that unit enabled, and a firewalld that answers or not."""

    def run(argv: Any) -> tuple[int, str]:
        if "is-enabled" in argv:
            return 0, "enabled" if argv[-1] == enabled else "disabled"
        if "--list-all-zones" in argv:
            return (252, "FirewallD is not running") if broken else (0, "public\n  target: default\n\nwork\n")
        return 0, "public"

    return run


OTHER = literal(
    "set firewall_backend to ufw or firewalld if it is to replace them, or harden_firewall: false to keep them"
)


@SCENES.row("other_firewall", "nftables.service loads rules of its own", OTHER, "another `firewall_backend`")
def _scene(stage: Stage) -> None:
    stage.patch.setattr(Backend, "is_installed", lambda _backend: False)
    run = asked(survey.OTHERS[0])
    stage.fails(lambda: survey.choose("auto", run))
    assert stage.passes(lambda: survey.choose("ufw", run)).name == "ufw"


@SCENES.row(
    "unknown_zone",
    "firewall_zone is misspelt",
    r"use zones that (?P<command>firewall-cmd --get-zones) lists in firewall_zone, firewall_zones and firewall_allow",
    "`firewall-cmd --get-zones`, and another `firewall_zone`",
)
def _scene(stage: Stage) -> None:
    stage.fails(lambda: zones(stage, "publik", asked()))
    stage.passes(lambda: zones(stage, "work", asked()))


@SCENES.row(
    "not_asked",
    "firewalld has ended",
    r"repair firewalld \((?P<command>systemctl status firewalld)\)",
    "`systemctl status firewalld` says that it has ended, and it is started",
)
def _scene(stage: Stage) -> None:
    stage.fails(lambda: zones(stage, "public", asked(broken=True)))
    stage.passes(lambda: zones(stage, "public", asked()))


def zones(stage: Stage, zone: str, run: Any) -> Any:
    stage.patch.setattr(Backend, "is_installed", lambda _backend: True)
    backend = firewalld.Firewalld(run)
    return survey.look(Options(zone=zone), backend, None, str(stage.folder))


# --- sshd


@SCENES.row(
    "overridden",
    "another file of sshd's configuration comes first",
    literal("remove that setting from the other file"),
    "`sed -i /PermitRootLogin/d` on the other file",
)
def _scene(stage: Stage) -> None:
    other, own = stage.folder / "00-other.conf", stage.folder / "50-slipway.conf"
    other.write_text("PermitRootLogin yes\nX11Forwarding no\n")
    own.write_text("PermitRootLogin no\n")

    def sshd_says(argv: Any) -> tuple[int, str]:
        """What `sshd -T` prints: of each setting the value that it reads first."""
        assert list(argv) == ["sshd", "-T"], argv
        lines = [line.partition(" ") for path in (other, own) for line in path.read_text().splitlines()]
        first = {name.lower(): value for name, _space, value in reversed(lines)}
        return 0, "".join(f"{name} {value}\n" for name, value in first.items())

    options = sshd.Options(
        settings={"PermitRootLogin": "no"}, algorithms={}, fallback={}, ports=[], allow_users=[], keep_allowed=True,
        must_allow=[], shut_out=[], seconds=60, open_firewall=False, firewall_sources=[], firewall_limit=False,
    )  # fmt: skip
    installed = server.SshServer("sshd", (9, 2), "ssh.service", "", False, {}, "", {})
    wanted = sshd.SshPlan(installed, options.settings, {}, [], [])
    system = System(run=sshd_says)
    stage.fails(lambda: sshd.verify(options, wanted, None, system))
    other.write_text("".join(one for one in other.read_text().splitlines(True) if "PermitRootLogin" not in one))
    stage.passes(lambda: sshd.verify(options, wanted, None, system))

"""Scenes of changes of a host's access and files whose commands fail, with a systemd and a firewall that are played."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._deadman import ending, managed_files
from ansible_collections.slipway.go.plugins.module_utils._deadman.managed_files import File
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System
from ansible_collections.slipway.go.plugins.module_utils._hardening.account import change as accounts
from ansible_collections.slipway.go.plugins.module_utils._hardening.account import entries, refusals
from ansible_collections.slipway.go.plugins.module_utils._hardening.account.model import WantedAccount
from ansible_collections.slipway.go.plugins.module_utils._hardening.connection import Connection
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import change as walls
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import rule, withdrawal
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.survey import Options
from ansible_collections.slipway.go.plugins.module_utils._hardening.sshd import server
from ansible_collections.slipway.go.tests.faults.fixes.armed import bring, wall
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.deadman.host import Commands
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.deadman.test_managed_files import ME
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.account.people import BOB, DAY, KEY, me
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.firewall.test_change import (
    ADD,
    REMOVE,
    Firewall,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.firewall.test_withdrawal import record

SCENES = Scenes()

# --- the firewall

REFUSED = literal("correct the variable it comes from, or what the firewall complains of")
for how, corrected in (("it has a range that the firewall does not take", True), ("the firewall is locked", False)):

    @SCENES.row(
        "command_failed",
        f"a rule is refused, since {how}",
        REFUSED,
        "another `firewall_allow`" if corrected else "the lock is removed",
    )
    def _scene(stage: Stage, corrected: bool = corrected) -> None:
        host, wanted = wall(stage), ["22", "9000-8000"]
        stage.patch.setattr(walls, "choose", lambda _name, _run: Firewall(host, wanted))
        host.failing = (ADD,)
        stage.fails(lambda: bring(stage, host))
        host.failing = ()
        if corrected:
            wanted[:] = ["22", "8000-9000"]
        assert stage.passes(lambda: bring(stage, host)).changed
        assert host.rules.read_text().split() == wanted


def withdrawn(stage: Stage, host: Any, service: str = "shop") -> Any:
    options = Options(service=service)
    done, token = withdrawal.withdraw(options, 60.0, False, host.system, host.within, str(stage.folder))
    ending.confirm("firewall", str(token), host.system)
    return done


def let_in(stage: Stage) -> Any:
    """A host whose firewall lets in what shop has asked for."""
    host = wall(stage)
    stage.patch.setattr(withdrawal, "connection", lambda _system: None)
    stage.patch.setattr(withdrawal, "choose", lambda _name, _run: Firewall(host, []))
    host.active = True
    host.rules.write_text("22\n8080\n")
    record(stage.folder, "shop", {"port": "8080"})
    return host


@SCENES.row(
    "command_failed",
    "a rule cannot be removed, since the firewall is locked",
    literal("see what the firewall complains of, then run again"),
    "the lock is removed, and the same run again",
)
def _scene(stage: Stage) -> None:
    host = let_in(stage)
    host.failing = (REMOVE,)
    stage.fails(lambda: withdrawn(stage, host))
    host.failing = ()
    assert stage.passes(lambda: withdrawn(stage, host)).changed
    assert host.rules.read_text().split() == ["22"]


@SCENES.row(
    "invalid_service",
    "firewall_service is a path",
    literal("set firewall_service to a name such as shop"),
    "another `firewall_service`",
)
def _scene(stage: Stage) -> None:
    host = let_in(stage)
    stage.fails(lambda: withdrawn(stage, host, "../shop"))
    assert stage.passes(lambda: withdrawn(stage, host, "shop")).changed


LEFT_OUT = r"add (?P<address>\S+) or its network to firewall_ssh_sources"
for how in ("address", "network"):

    @SCENES.row(
        "would_lock_out",
        f"firewall_ssh_sources leaves out this very connection, and gets its {how}",
        LEFT_OUT,
        "another `firewall_ssh_sources`",
    )
    def _scene(stage: Stage, network: bool = how == "network") -> None:
        connected = Connection("192.0.2.7", "192.0.2.1", 22)

        def rules(sources: list[str]) -> Any:
            return rule.ssh_rules([22], sources, False, "", connected)

        address = stage.fails(lambda: rules(["198.51.100.0/24"]))["address"]
        added = f"{address.rpartition('.')[0]}.0/24" if network else address
        assert len(stage.passes(lambda: rules(["198.51.100.0/24", added]))) == 2


# --- the SSH server


class Ssh:
    """What programs of a host with an SSH server answer. program: the path of sshd, empty where it is not there."""

    def __init__(self, stage: Stage) -> None:
        self.program, self.version, self.unit = "/usr/sbin/sshd", "OpenSSH_9.2p1 Debian-2", "ssh.service"
        config = stage.folder / "sshd_config"
        config.touch()
        stage.patch.setattr(server, "CONFIG", str(config))
        stage.patch.setattr(server.shutil, "which", lambda _name, path=None: self.program or None)
        stage.patch.setattr(server.os, "makedirs", lambda *_arguments, **_words: None)
        self._system = System(run=self._run)

    def _run(self, argv: Any) -> tuple[int, str]:
        if argv[0] == "systemctl":
            there = argv[-1] == self.unit
            return 0, f"Id={argv[-1]}\nLoadState={'loaded' if there else 'not-found'}\nActiveState=inactive\n"
        if argv[-1] == "-V":
            return 0, self.version
        return 0, "port 22\n" if argv[-1] == "-T" else "one\n"

    def look(self) -> Any:
        return server.look(self._system)


for how, lacks in (("sshd", "program"), ("a unit of sshd", "unit")):

    @SCENES.row("no_sshd", f"the host does not have {how}", literal("install openssh-server"), "the package")
    def _scene(stage: Stage, lacks: str = lacks) -> None:
        host = Ssh(stage)
        installed = getattr(host, lacks)
        setattr(host, lacks, "")
        stage.fails(host.look)
        setattr(host, lacks, installed)
        assert stage.passes(host.look).version == (9, 2)


@SCENES.row("no_openssh", "the SSH server is another one", literal("install OpenSSH"), "the package")
def _scene(stage: Stage) -> None:
    host = Ssh(stage)
    installed, host.version = host.version, "Dropbear v2022.83"
    stage.fails(host.look)
    host.version = installed
    assert stage.passes(host.look).version == (9, 2)


# --- files and accounts


def system_of(stage: Stage) -> tuple[System, Commands]:
    commands = Commands()
    for name in ("units", "run"):
        (stage.folder / name).mkdir()
    return System(*(str(stage.folder / name) for name in ("deadman", "units", "run")), commands), commands


@SCENES.row(
    "command_failed",
    "the program that reads a file refuses a value in it",
    r"correct the variable this comes from; the change was taken back",
    "another value",
)
def _scene(stage: Stage) -> None:
    system, commands = system_of(stage)
    path = stage.folder / "sysctl.conf"
    path.write_text("vm.swappiness=60\n")

    def written(value: str) -> Any:
        commands.failing = () if value.isdigit() else ("sysctl",)  # which takes numbers only
        wanted = managed_files.plan([File(str(path), f"vm.swappiness={value}\n", **ME)])
        return managed_files.apply(wanted, run=[["sysctl", "--load", str(path)]], system=system)

    stage.fails(lambda: written("ten"))
    assert path.read_text() == "vm.swappiness=60\n"
    stage.passes(lambda: written("10"))
    assert path.read_text() == "vm.swappiness=10\n"


@SCENES.row(
    "invalid_path",
    "a directory whose other files are to go is relative",
    literal("name the directory in full"),
    "another `exclusive.path`",
)
def _scene(stage: Stage) -> None:
    other = stage.folder / "other.conf"
    other.touch()
    stage.fails(lambda: managed_files.surplus(os.path.relpath(stage.folder), [], []))
    assert [file.path for file in stage.passes(lambda: managed_files.surplus(str(stage.folder), [], []))] == [
        str(other)
    ]


@SCENES.row(
    "command_failed",
    "another program has the lock of /etc/passwd",
    literal("remove what the command complains of, then run again"),
    "the lock is removed, and the same run again",
)
def _scene(stage: Stage) -> None:
    system, commands = system_of(stage)
    home = stage.folder / "home"
    stage.patch.setattr(refusals, "refuse_unusable", lambda *_arguments: None)
    stage.patch.setattr(accounts.sudo, "path", lambda name: str(stage.folder / name))
    stage.patch.setattr(accounts.sudo, "check", list)
    stage.patch.setattr(entries, "look", lambda _name: me(home) if home.is_dir() else None)

    def run(argv: Any) -> tuple[int, str]:
        if argv[0] != "useradd":
            return commands(argv)
        if "useradd" in commands.failing:
            return 1, "useradd: cannot lock /etc/passwd; try again later."
        home.mkdir()
        return 0, ""

    def made() -> Any:
        asked = WantedAccount("bob", [KEY], home=str(home), sudo="full")
        return accounts.make_present(asked, 60, False, False, System(system.root, system.units, system.runtime, run))

    commands.failing = ("useradd",)
    stage.fails(made)
    assert "cannot lock" in stage.message
    commands.failing = ()
    assert "account" in stage.passes(made).changes


DIRECTORY = literal("change it there, or choose another deploy_user_name")
for how in ("is changed there", "is left alone"):

    @SCENES.row(
        "not_local",
        f"the account of a directory service has another shell, and {how}",
        DIRECTORY,
        "another shell in the directory" if how == "is changed there" else "another `deploy_user_name`",
    )
    def _scene(stage: Stage, there: bool = how == "is changed there") -> None:
        bob, asked = replace(BOB, shadow=()), WantedAccount("bob", [KEY], shell="/bin/bash")

        def wanted(now: Any, asked: WantedAccount) -> Any:
            return entries.entry_commands(entries.complete(asked, now), now, DAY)

        stage.fails(lambda: wanted(bob, asked))
        if there:
            assert stage.passes(lambda: wanted(replace(bob, shell="/bin/bash"), asked)) == []
        else:
            assert stage.passes(lambda: wanted(None, replace(asked, name="deployer")))[0][0] == "useradd"

"""Scenes of releases that fail in a phase of their own, on the simulated host that the fault table of a release has."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import files
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.problems import Problem
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import Attempt
from ansible_collections.slipway.go.plugins.module_utils._release import context, smoke
from ansible_collections.slipway.go.plugins.module_utils._release import stage as staging
from ansible_collections.slipway.go.plugins.module_utils._release.periods import BEFORE
from ansible_collections.slipway.go.plugins.module_utils._release.probe import Probe, ProbePlan, _Period
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import (
    Behaviour,
    Faults,
    Host,
    Killed,
)

PROBE = r"see what the release logged, or correct release_probe\.{}"
SEE = r"see journalctl -u '(?P<unit>\S+)'"
CORRECTED = "the log of that unit says what is wrong, and the next version is corrected"
SCENES = Scenes()


def host_of(stage: Stage, strategy: str = "socket") -> Host:
    """A host that runs v1."""
    host = bare(stage, strategy)
    host.release("v1")
    return host


def bare(stage: Stage, strategy: str) -> Host:
    host = Host(str(stage.folder / "host"), strategy).install(stage.patch)
    stage.journal = lambda: str(host.store.journal.last_outcome().get("code", ""))
    return host


def correct(stage: Stage, host: Host, unit: str, **wrong: Any) -> None:
    """v2 fails, its unit has logged why, and v3 is what the log asks for."""
    host.behaviours["v2"] = Behaviour(**wrong, logs=("panic: no database",))
    found = stage.fails(lambda: host.release("v2"))
    assert found["unit"] == unit
    assert host.systemd._get(found["unit"]).behaviour.logs == ("panic: no database",)
    assert stage.passes(lambda: host.release("v3")).current == host.settled()


def release_of(host: Host, version: str) -> str:
    return f"shop@{host.id_of(version)}.service"


@SCENES.row("crashed", "the release ends in the soak", SEE, CORRECTED)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    correct(stage, host, release_of(host, "v2"), dies_after=4)


@SCENES.row("not_started", "the release ends at once", SEE, CORRECTED)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    correct(stage, host, release_of(host, "v2"), boots=False)


@SCENES.row("unhealthy_in_soak", "the release fails its checks after some time", SEE, CORRECTED)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    correct(stage, host, release_of(host, "v2"), sick_after=3)


@SCENES.row("unhealthy", "the release is unhealthy", f"{SEE}, or raise release_health\\.deadline", CORRECTED)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    correct(stage, host, release_of(host, "v2"), healthy=False)


@SCENES.row(
    "unhealthy",
    "the release needs more time to become healthy",
    f"{SEE}, or raise release_health\\.deadline",
    "another `release_health.deadline`",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.behaviours["v2"] = Behaviour(fails_first=30)
    stage.fails(lambda: host.release("v2"))
    host.health = {**host.health, "deadline": 30}
    stage.passes(lambda: host.release("v2"))


@SCENES.row(
    "not_answered",
    "the deadline is shorter than one check may take",
    literal("raise release_health.deadline above release_health.timeout"),
    "another `release_health.deadline`",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.health = {**host.health, "deadline": 2, "timeout": 5}
    host.behaviours["v2"] = Behaviour(answer_takes=4)
    stage.fails(lambda: host.release("v2"))
    host.health = {**host.health, "deadline": 12}
    stage.passes(lambda: host.release("v2"))


@SCENES.row(
    "start_timeout",
    "the release is never ready",
    f"{SEE}, or raise release_start_timeout",
    CORRECTED,
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    correct(stage, host, release_of(host, "v2"), ready=False)


@SCENES.row(
    "start_timeout",
    "the release needs more time to be ready",
    f"{SEE}, or raise release_start_timeout",
    "another `release_start_timeout`",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.start_timeout, host.behaviours["v2"] = 1.0, Behaviour(ready_after=60)
    stage.fails(lambda: host.release("v2"))
    host.start_timeout = 60.0
    stage.passes(lambda: host.release("v2"))


@SCENES.row(
    "socket_not_inherited",
    "the service opens a port of its own",
    literal("accept on the descriptors of LISTEN_FDS in the service, or set service_swap to restart"),
    "the next version takes the socket",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.behaviours["v2"] = Behaviour(inherits=False)
    stage.fails(lambda: host.release("v2"))
    stage.passes(lambda: host.release("v3"))


@SCENES.row(
    "socket_not_inherited",
    "the service opens a port of its own, and nobody can change it",
    literal("accept on the descriptors of LISTEN_FDS in the service, or set service_swap to restart"),
    "another `service_swap`, and the role `service`",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.behaviours["v2"] = Behaviour(inherits=False)
    stage.fails(lambda: host.release("v2"))
    host.switch("restart")
    stage.passes(lambda: host.release("v2"))


@SCENES.row(
    "refused", "the release is unhealthy in its rehearsal", f"{SEE}, or raise release_health\\.deadline", CORRECTED
)
def _scene(stage: Stage) -> None:
    host = host_of(stage).rehearse()
    correct(stage, host, f"shop-rehearsal@{host.id_of('v2')}.service", healthy=False)


SMOKE = literal("correct the release or release_smoke, or raise release_smoke_timeout")


def smoked(stage: Stage) -> Host:
    """Smoke commands run as they are: what systemd-run adds needs a host."""
    host = host_of(stage).rehearse()
    stage.patch.setattr(host.systemd, "properties", lambda _unit, *_names: {"User": "shop", "Group": "shop"})
    stage.patch.setattr(smoke, "argv", lambda command, _run_as, _seconds: list(command))
    stage.patch.setattr(smoke, "MARGIN", 0.0)
    return host


@SCENES.row("smoke_failed", "a smoke command fails", SMOKE, "another `release_smoke`")
def _scene(stage: Stage) -> None:
    host = smoked(stage)
    stage.fails(lambda: host.release("v2", smoke=[["false"]]))
    stage.passes(lambda: host.release("v2", smoke=[["true"]]))


@SCENES.row("smoke_failed", "a smoke command takes longer than it may", SMOKE, "another `release_smoke_timeout`")
def _scene(stage: Stage) -> None:
    host = smoked(stage)
    stage.fails(lambda: host.release("v2", smoke=[["sleep", "0.5"]], smoke_timeout=0.05))
    stage.passes(lambda: host.release("v2", smoke=[["sleep", "0.5"]], smoke_timeout=30))


class Users(Probe):
    """The probe, whose requests are answered by the host: a release that loses requests loses one in five,
    and nothing is at /nowhere."""

    def __init__(self, plan: ProbePlan, host: Host) -> None:
        super().__init__(plan)
        self._host = host

    def start(self, period: str = BEFORE) -> None:
        self.mark(period)

    def mark(self, period: str) -> None:
        super().mark(period)
        running = [one.behaviour.loses for one in self._host.systemd.instances.values() if one.state == "active"]
        for number in range(10):
            lost = (period in running and number % 5 == 0) or "/nowhere" in self._target
            made = Attempt("fail", "reset", "the connection was cut") if lost else Attempt("pass", "ok", "fine")
            self._periods.setdefault(period, _Period()).add(made)


def losing(stage: Stage) -> Host:
    """v2 loses requests of users once it has taken over."""
    host = host_of(stage)
    host.probe = {"rate": 10}
    stage.patch.setattr(context, "Probe", lambda plan: Users(plan, host))
    host.behaviours["v2"] = Behaviour(loses="after")
    stage.fails(lambda: host.release("v2"))
    return host


@SCENES.row("probe_failed", "users lose requests after the swap", PROBE.format("max_failed_percent"), CORRECTED)
def _scene(stage: Stage) -> None:
    host = losing(stage)
    stage.passes(lambda: host.release("v3"))


@SCENES.row(
    "probe_failed",
    "users lose requests after the swap, and may",
    PROBE.format("max_failed_percent"),
    "another `release_probe.max_failed_percent`",
)
def _scene(stage: Stage) -> None:
    host = losing(stage)
    host.probe = {**host.probe, "max_failed_percent": 40}
    stage.passes(lambda: host.release("v2"))


@SCENES.row(
    "rollback_failed",
    "the new release is bad, and the one before has died",
    literal("look at systemctl status 'shop@*', then release a version that works"),
    "`systemctl status` says that both have failed, and the next version works",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.systemd.die(host.id_of("v1"))
    host.behaviours["v2"] = Behaviour(healthy=False)
    stage.fails(lambda: host.release("v2"))
    assert "active" not in [host.systemd.show(release_of(host, version)).active for version in ("v1", "v2")]
    stage.passes(lambda: host.release("v3"))
    host.settled()


@SCENES.row(
    "not_proven", "the only good release has died and does not start again", SEE, "what its log complains of is mended"
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.systemd.die(host.id_of("v1"))
    stage.fails(lambda: host.release("v1"))
    host.behave("v1").boots = True
    stage.passes(lambda: host.release("v1"))
    host.settled()


@SCENES.row(
    "not_committed", "the last step of a release fails", literal("run the same release again"), "the same run again"
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.confirm = 0
    start = host.systemd.start_and_wait

    def refuse(unit: str) -> None:
        if unit == "shop.service":
            raise SlipwayError("command_failed", "systemctl start shop.service failed (1): no space left")
        start(unit)

    stage.patch.setattr(host.systemd, "start_and_wait", refuse)
    stage.fails(lambda: host.release("v2"))
    stage.patch.setattr(host.systemd, "start_and_wait", start)
    assert stage.passes(lambda: host.release("v2")).current == host.id_of("v2")
    host.settled()


def killed(host: Host) -> str:
    """The run is gone when it has started v2; the transaction that it leaves."""

    def die(_release_id: str) -> None:
        host.faults.dead = True
        raise Killed

    host.systemd.on_start = die
    with pytest.raises(Killed):
        host.release("v2")
    host.systemd.on_start, host.faults = lambda _release_id: None, Faults()
    left = host.store.load()
    assert left is not None
    return left.txn


@SCENES.row(
    "interrupted",
    "a run was killed, and its release is to be confirmed",
    literal("run sudo slipway recover shop on the host, or release again"),
    "`slipway recover shop`",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    txn = killed(host)
    stage.fails(lambda: host.engine().confirm(txn))
    host.engine().recover()
    assert host.settled() == host.id_of("v1")
    stage.passes(lambda: host.release("v2"))


@SCENES.row(
    "interrupted",
    "a run was killed, and the release is run again",
    literal("run sudo slipway recover shop on the host, or release again"),
    "the same release again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    txn = killed(host)
    stage.fails(lambda: host.engine().confirm(txn))
    stage.passes(lambda: host.release("v2"))
    assert host.settled() == host.id_of("v2")


@SCENES.row(
    "probe_failed",
    "the probe asks for a page that the service does not have",
    literal("see what the release logged, or point release_probe.url at what users ask for"),
    "another `release_probe.url`",
)
def _scene(stage: Stage) -> None:
    host = bare(stage, "socket")
    host.probe = {"url": "http://127.0.0.1:8080/nowhere"}
    stage.patch.setattr(context, "Probe", lambda plan: Users(plan, host))
    stage.fails(lambda: host.release("v1"))
    host.probe = {"url": "http://127.0.0.1:8080/"}
    stage.passes(lambda: host.release("v1"))


# --- what is released, and what was


@SCENES.row(
    "config_changed",
    "a file of the next release is written while it is copied",
    literal("run again when nobody else writes there"),
    "the same release again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    copy = staging._copy_config

    def meanwhile(source: str, target: str, gid: int) -> Any:
        Path(host.layout.config, "config/shop.toml").write_text("[other]\n")
        return copy(source, target, gid)

    stage.patch.setattr(staging, "_copy_config", meanwhile)
    stage.fails(lambda: host.release("v2"))
    stage.patch.setattr(staging, "_copy_config", copy)
    stage.passes(lambda: host.release("v2"))


@SCENES.row(
    "not_utf8",
    "the environment has a line in another encoding",
    literal("write that file in UTF-8, for systemd takes no other values"),
    "the file in UTF-8",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    path = Path(host.layout.config, "environment")
    path.write_bytes(b'NAME="J\xfcrgen"\n')
    stage.fails(lambda: host.release("v2"))
    assert str(path) in stage.message
    path.write_text(path.read_bytes().decode("latin-1"), encoding="utf-8")
    stage.passes(lambda: host.release("v2"))


@SCENES.row(
    "not_utf8",
    "the name of a file is in another encoding",
    literal("give that file another name, and release again"),
    "another name, and the same release again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    folder = os.fsencode(os.path.join(host.layout.config, "config"))
    Path(os.fsdecode(folder + b"/caf\xe9")).write_bytes(b"")
    stage.fails(lambda: host.release("v2"))
    os.rename(folder + b"/caf\xe9", folder + "/café".encode())
    stage.passes(lambda: host.release("v2"))


@SCENES.row(
    "no_last_good",
    "the first release is to be rolled back",
    literal("name an id that slipway.go.release_info lists under releases, or release another version"),
    "another version",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    stage.fails(host.rollback)
    host.release("v2")
    stage.passes(host.rollback)


@SCENES.row(
    "not_purged",
    "a file of a release cannot be removed",
    literal("remove what is left of it by hand"),
    "`chattr -i` and `rm -r` on the path that the message has",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.release("v2")
    remove = files.remove_tree
    stage.patch.setattr(files, "remove_tree", lambda _path: None)
    stage.fails(lambda: host.engine().purge(["v1"]))
    left = stage.message.partition(" ")[0]
    assert os.listdir(left)
    stage.patch.setattr(files, "remove_tree", remove)
    shutil.rmtree(left)
    assert stage.passes(lambda: host.engine().purge(["v1"])) == []


# --- the confirmation


@SCENES.row(
    "not_waiting",
    "a transaction is to be confirmed that never was",
    literal("release again"),
    "the same release again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    stage.fails(lambda: host.engine().confirm("0" * 32))
    txn = host.swap("v2").unconfirmed
    stage.passes(lambda: host.engine().confirm(txn))


@SCENES.row(
    "too_late",
    "the network was cut until the deadline had passed",
    literal("see what kept the confirmation from coming in time, then release it again"),
    "the network is there, and the same release again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    late = host.swap("v2").unconfirmed
    host.expire()
    stage.fails(lambda: host.engine().confirm(late))
    txn = host.swap("v2").unconfirmed
    stage.passes(lambda: host.engine().confirm(txn))
    assert host.settled() == host.id_of("v2")


def last_outcome(host: Host) -> Problem:
    """As `slipway history` and release_info have it."""
    last = host.store.journal.outcomes()[-1]
    return Problem(str(last.get("code", "ok")), str(last.get("reason", "")), "")


@SCENES.row(
    "unconfirmed",
    "the controller has died while a release waits",
    literal("Restore the connection, then release again."),
    "the same release again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.swap("v2")
    host.expire()
    stage.fails(lambda: last_outcome(host))
    host.release("v2")
    stage.passes(lambda: last_outcome(host))


@SCENES.row(
    "taken_back",
    "somebody has run a rollback while a release waited",
    literal("Ask who took it back and why, then release another version, or the same one with `release_force: true`."),
    "`release_force: true`",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.swap("v2")
    host.rollback()
    stage.fails(lambda: last_outcome(host))
    host.release("v2", force=True)
    stage.passes(lambda: last_outcome(host))


# --- programs and files of the host


@SCENES.row(
    "command_failed",
    "systemd refuses to load the units",
    literal("Correct what the program complains of, then run again."),
    "systemd takes the units, and the same release again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.write_unit("second")
    reload = host.systemd.reload

    def refuse_once() -> None:
        host.systemd.reload = reload
        raise SlipwayError("command_failed", "systemctl daemon-reload failed (1): Access denied")

    host.systemd.reload = refuse_once
    stage.fails(lambda: host.release("v2"))
    assert "Access denied" in stage.message
    stage.passes(lambda: host.release("v2"))
    host.settled()

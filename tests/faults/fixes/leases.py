"""Scenes of a run's lease, of the calendar, and of what is run once for a version, on the simulated host."""

from __future__ import annotations

import contextlib
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator
from ansible_collections.slipway.go.plugins.module_utils._release.state import lease
from ansible_collections.slipway.go.plugins.module_utils._release.state.lease import Claim, Moment, parse_claim
from ansible_collections.slipway.go.plugins.module_utils._release.verbs import lease as leasing
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import hooks
from ansible_collections.slipway.go.plugins.plugin_utils._run import lease_claim, this_run
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.faults.fixes.swaps import bare, host_of, last_outcome
from ansible_collections.slipway.go.tests.unit.plugins.action.test_release import Action
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.test_once import unknown, wish
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Host

SCENES = Scenes()
AGAIN = "the release again, as a run of its own"
BOB = {"person": "bob", "controller": "ctl2"}
SECONDS = 600.0


def leased_host(stage: Stage) -> Host:
    """A host that runs v1, whose clock is also that of the lease."""
    host = host_of(stage)
    stage.patch.setattr(lease, "time", host.clock)
    stage.patch.setattr(lease.Leases.__init__, "__defaults__", (lambda: Moment("boot", host.clock.now),))
    return host


def engine_of(host: Host, claim: Claim | None, **by: str) -> Engine:
    return Engine(host.settings(), host.layout, host.systemd, {"person": "alice", "controller": "ctl1", **by}, claim)


def take(host: Host, run: str) -> Claim:
    """The claim of this run from then on."""
    engine_of(host, Claim(run, SECONDS)).take_lease()
    return Claim(run, SECONDS, held=True)


def release(host: Host, version: str, claim: Claim | None, **by: str) -> Any:
    engine = engine_of(host, claim, **by)
    done = engine.release(host.spec(version))
    return engine.confirm(done.unconfirmed)


LEASED = r"wait for that run to end, or, where it is dead, set release_end_lease to (?P<run>\w+)"


@SCENES.row("leased", "another run releases the service", LEASED, "that run has ended, and the same run again")
def _scene(stage: Stage) -> None:
    host = leased_host(stage)
    first, second = take(host, "a1"), Claim("b2", SECONDS)
    assert stage.fails(lambda: release(host, "v3", second))["run"] == first.run
    release(host, "v2", first)
    leasing.give_back(host.store, first.run, 0)
    stage.passes(lambda: release(host, "v3", second))
    assert host.settled() == host.id_of("v3")


@SCENES.row("leased", "the run that has the lease was killed", LEASED, "`release_end_lease`")
def _scene(stage: Stage) -> None:
    host = leased_host(stage)
    take(host, "a1")
    run = stage.fails(lambda: release(host, "v2", Claim("b2", SECONDS)))["run"]
    stage.patch.setattr(constants, "DEFAULT_LOCAL_TMP", str(stage.folder))
    told = lease_claim.of({"name": "shop", "end_lease": run}, {"inventory_hostname": "web1"}, SECONDS)
    stage.passes(lambda: release(host, "v2", parse_claim(told)))
    assert host.settled() == host.id_of("v2")


@SCENES.row(
    "lease_lost",
    "the controller pauses, and another run has released in the meantime",
    literal("see what the other run has released, then release again"),
    f"`slipway status` names what it has released, and {AGAIN}",
)
def _scene(stage: Stage) -> None:
    host = leased_host(stage)
    late = take(host, "a1")
    host.clock.sleep(SECONDS + 1)
    release(host, "v3", Claim("b2", SECONDS), **BOB)
    stage.fails(lambda: release(host, "v2", late))
    assert "bob on ctl2" in stage.message
    assert Operator(host.settings(), host.layout, host.systemd).status()["current"] == host.id_of("v3")
    stage.passes(lambda: release(host, "v2", take(host, "a3")))


@SCENES.row(
    "lease_lost",
    "somebody has removed the lease from the host",
    literal("see who has removed it, then release again"),
    AGAIN,
)
def _scene(stage: Stage) -> None:
    host = leased_host(stage)
    claim = take(host, "a1")
    os.unlink(os.path.join(host.layout.state, "lease.json"))
    stage.fails(lambda: release(host, "v2", claim))
    stage.passes(lambda: release(host, "v2", take(host, "a3")))


@SCENES.row(
    "lease_ended",
    "somebody has run slipway lease --end",
    literal("see why it was ended, then release again"),
    f"the message says who has ended it, and {AGAIN}",
)
def _scene(stage: Stage) -> None:
    host = leased_host(stage)
    claim = take(host, "a1")
    leasing.end(host.store, {**BOB, "reason": "it hangs"}, 0)
    stage.fails(lambda: release(host, "v2", claim))
    assert "bob on ctl2" in stage.message
    assert "it hangs" in stage.message
    stage.passes(lambda: release(host, "v2", take(host, "a3")))


@SCENES.row(
    "withdrawn",
    "a fleet went back while the release waited",
    literal("Correct what went wrong on the other hosts, then release again."),
    "the same release again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.swap("v2")
    host.rollback(mark_bad=False)
    stage.fails(lambda: last_outcome(host))
    host.release("v2")
    stage.passes(lambda: last_outcome(host))


# --- the calendar

FREEZE = literal("release after it, or set release_break_glass to the reason why this release cannot wait")
WINDOW = {"from": "2020-01-01", "to": "2998-12-31", "zone": "UTC", "reason": "the year's accounts"}


def in_freeze(stage: Stage, began: str = "", **options: Any) -> Any:
    """What the action says of a release on a host that takes every one. began: when the run has."""
    program = ElfBuilder(type=EXEC).write(stage.folder / "shop")
    given = {"name": "shop", "version": "1.0", "src": str(program), "strategy": "restart", "freeze": [WINDOW]}
    stage.patch.setattr(constants, "DEFAULT_LOCAL_TMP", str(stage.folder))
    stage.patch.setattr(ActionBase, "run", lambda _self, _tmp, _variables: {})
    if began:
        run = this_run.Run("later", datetime.strptime(began, "%Y-%m-%d %H:%M %z").timestamp())
        stage.patch.setattr(this_run, "this", lambda: run)
    return Action({**given, **options}, [{"changed": True, "action": "release"}]).run(task_vars={})


@SCENES.row("frozen", "the release cannot wait", FREEZE, "`release_break_glass`")
def _scene(stage: Stage) -> None:
    stage.fails(lambda: in_freeze(stage))
    assert stage.passes(lambda: in_freeze(stage, break_glass="users cannot pay"))["action"] == "release"


@SCENES.row("frozen", "the release can wait", FREEZE, "a run that begins when the window has ended")
def _scene(stage: Stage) -> None:
    stage.fails(lambda: in_freeze(stage))
    until = re.search(r"until (.+?): the year's accounts", stage.message)
    assert until is not None
    assert stage.passes(lambda: in_freeze(stage, began=until[1]))["action"] == "release"


# --- what is run once


@SCENES.row(
    "once_failed",
    "the migration fails",
    literal("correct what it complains of, then release again, which runs it again"),
    "what it complains of is corrected, and the same release again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    host.migrates = "badly"
    stage.fails(lambda: host.release("v2", once=wish()))
    host.migrates = "well"
    stage.passes(lambda: host.release("v2", once=wish()))
    assert (len(host.migrations), host.settled()) == (2, host.id_of("v2"))


@SCENES.row(
    "once_failed",
    "the migration needs more time",
    literal("see what keeps it, or raise release_once_timeout, then release again, which runs it again"),
    "another `release_once_timeout`, and the same release again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)

    def migrating(seconds: float) -> Any:
        """It needs 400 s."""
        host.migrates = "hangs" if seconds < 400 else "well"
        return host.release("v2", once=wish(timeout=seconds))

    stage.fails(lambda: migrating(300.0))
    stage.passes(lambda: migrating(600.0))
    assert (len(host.migrations), host.settled()) == (2, host.id_of("v2"))


NOT_RUN = literal("release on the host that runs it first, or set release_once_host")


@SCENES.row("once_not_run", "the host that runs the migration is left out", NOT_RUN, "that host is released first")
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    stage.fails(lambda: host.release("v2", once=wish(here=False)))
    with stage.patch.context() as patch:
        other = Host(str(stage.folder / "other")).install(patch)
        assert other.release("v2", once=wish()).once["state"] == "done"
    stage.passes(lambda: host.release("v2", once=wish(here=False, told="web2")))
    assert host.migrations == []


@SCENES.row("once_not_run", "the host that runs the migration is gone", NOT_RUN, "another `release_once_host`")
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    stage.fails(lambda: host.release("v2", once=wish(here=False)))
    stage.passes(lambda: host.release("v2", once=wish(here=True)))
    assert len(host.migrations) == 1


UNKNOWN = (
    r"see what it has done, then set release_once_decision to (?P<done>done-\w+), or (?P<again>again-\w+) to run it"
    r" again"
)
for how, decision, times in (("and it had ended", "done", 1), ("and it had done nothing", "again", 2)):

    @SCENES.row(
        "once_unknown",
        f"the power was cut during the migration, {how}",
        UNKNOWN,
        f"`release_once_decision: {decision}-…`",
    )
    def _scene(stage: Stage, decision: str = decision, times: int = times) -> None:
        host = bare(stage, "socket")
        unknown(host)
        found = stage.fails(lambda: host.release("v2", once=wish()))
        stage.passes(lambda: host.release("v2", once=wish(decision=found[decision])))
        assert (len(host.migrations), host.settled()) == (times, host.id_of("v2"))


MISSING = literal("correct the path, or leave release_before_swap_tasks empty")


def steps(stage: Stage, path: str) -> dict[str, str]:
    folder = stage.folder / "playbooks"
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    Path(folder, "drain.yml").write_text("[]\n")
    return hooks.find_files({"before_swap": path}, [str(folder)])


@SCENES.row("missing_tasks", "the path of a task file is misspelt", MISSING, "another `release_before_swap_tasks`")
def _scene(stage: Stage) -> None:
    stage.fails(lambda: steps(stage, "drian.yml"))
    assert str(stage.folder / "playbooks") in stage.message
    assert stage.passes(lambda: steps(stage, "drain.yml"))["before_swap"].endswith("/playbooks/drain.yml")


@SCENES.row("missing_tasks", "a task file is not written", MISSING, "no `release_before_swap_tasks`")
def _scene(stage: Stage) -> None:
    stage.fails(lambda: steps(stage, "none.yml"))
    assert stage.passes(lambda: steps(stage, "")) == {}

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was found, and in which order it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.problems import Problem
from ansible_collections.slipway.go.plugins.module_utils._diagnosis.causes import judge
from ansible_collections.slipway.go.plugins.module_utils._diagnosis.evidence import (
    Clock,
    Dependency,
    Ending,
    Evidence,
    Rank,
    Usage,
    Volume,
)
from ansible_collections.slipway.go.plugins.module_utils._drift.item import Finding as Difference
from hypothesis import given
from hypothesis import strategies as st

STATUS: dict[str, Any] = {
    "current": "2.0.0-aa00bb11cc",
    "state": "active (running)",
    "health": "pass",
    "message": "200 OK",
    "differences": [],
    "damaged": [],
    "unsettled": None,
}
WELL = Evidence("shop", STATUS)
ILL = replace(WELL, status={**STATUS, "health": "fail", "message": "/readyz answered 503"})
DOWN = replace(WELL, status={**STATUS, "state": "failed (failed)", "health": "fail", "message": "no"}, running=False)
STOPPED = replace(DOWN, status={**DOWN.status, "state": "inactive (dead)"}, umbrella="inactive")
DAMAGE = Problem("damaged_release", "bin/shop has another content.", "run sudo slipway rollback shop")
BUSY = Problem("port_in_use", "port 8080 of service_listen is in use by nginx (pid 7).", "stop that process")
CRASHED = replace(DOWN, endings=[Ending("exited", "1/FAILURE", "exit-code")], log=["panic: no database"])
GIB = 1 << 30
EXITED = "process_exited"


def status(**more: Any) -> dict[str, Any]:
    return {**STATUS, **more}


def dependency(priority: str = "high", state: str = "fail", reason: str = "refused", days: float | None = None) -> Any:
    return Dependency("database", priority, "db:5432", state, reason, "nothing listens on db:5432", days)


CASES: dict[str, tuple[Evidence, list[str]]] = {
    "all is well": (WELL, []),
    "no release": (replace(DOWN, status=status(current=None, state="never released", health="fail")), ["no_release"]),
    "its releases are gone": (
        replace(DOWN, status=status(current=None, state="no release serves", health="fail")),
        ["no_release"],
    ),
    "its record is gone": (
        replace(DOWN, status=status(current=None, state="damaged", damaged=["it is torn. Fix: repair it"])),
        ["damaged_state"],
    ),
    "stopped": (STOPPED, ["stopped_by_hand"]),
    "stopped, and killed as it took too long": (
        replace(STOPPED, endings=[Ending("killed", "9/KILL", "timeout")]),
        ["stopped_by_hand", "stop_timed_out"],
    ),
    "stopped, and damaged": (replace(STOPPED, damage=DAMAGE), ["damaged_release", "stopped_by_hand"]),
    "its start has failed": (replace(DOWN, umbrella="failed"), ["start_failed"]),
    "its start has failed, and is damaged": (
        replace(DOWN, umbrella="failed", damage=DAMAGE),
        ["damaged_release", "start_failed"],
    ),
    "it ended as if all were well": (replace(STOPPED, umbrella="active"), ["not_running"]),
    "it was killed as it took too long, and runs again": (
        replace(WELL, endings=[Ending("killed", "9/KILL", "timeout")]),
        [],
    ),
    "masked": (replace(STOPPED, enabled="masked"), ["unit_masked"]),
    "disabled": (replace(WELL, enabled="disabled"), ["not_at_boot"]),
    "a changed binary that serves": (replace(WELL, damage=DAMAGE), ["damaged_release"]),
    "a changed binary": (replace(CRASHED, damage=DAMAGE), ["damaged_release", EXITED]),
    "a missing library": (
        replace(CRASHED, unit_problems=[Problem("missing_library", "libx.so.1: not found", "install libx1")]),
        ["missing_library", EXITED],
    ),
    "a full disk": (replace(CRASHED, volumes=[Volume("/var/lib/shop", 0, GIB)]), ["disk_full", EXITED]),
    "a disk that is nearly full": (
        replace(CRASHED, volumes=[Volume("/", GIB, 40 * GIB)]),
        ["disk_almost_full", EXITED],
    ),
    "a disk that is nearly full, and all is well": (
        replace(WELL, volumes=[Volume("/", GIB, 40 * GIB)]),
        ["disk_almost_full"],
    ),
    "a disk that does not answer": (replace(WELL, volumes=[Volume("/srv", silent=True)]), ["silent_disk"]),
    "no inodes": (replace(CRASHED, volumes=[Volume("/", GIB, 2 * GIB, 0, 1000)]), ["no_inodes", EXITED]),
    "inodes without a number": (replace(CRASHED, volumes=[Volume("/", GIB, 2 * GIB)]), [EXITED]),
    "a read-only disk": (
        replace(CRASHED, volumes=[Volume("/", GIB, 2 * GIB, read_only=True)]),
        ["read_only_disk", EXITED],
    ),
    "out of memory": (
        replace(DOWN, endings=[Ending("killed", "9/KILL", "oom-kill")], usage=Usage(most_memory=64 << 20)),
        ["out_of_memory"],
    ),
    "little memory": (replace(ILL, usage=Usage(free_memory=1, host_memory=GIB)), ["host_memory_low", "health_fails"]),
    "no descriptors": (replace(ILL, usage=Usage(open_files=1000, most_files=1024)), ["no_descriptors", "health_fails"]),
    "enough descriptors": (replace(ILL, usage=Usage(open_files=10, most_files=1024)), ["health_fails"]),
    "no threads": (replace(ILL, usage=Usage(tasks=16, most_tasks=16)), ["no_threads", "health_fails"]),
    "somebody on its port": (replace(CRASHED, port=BUSY), ["port_in_use", EXITED]),
    "a dependency that it cannot do without": (
        replace(CRASHED, dependencies=[dependency()]),
        ["dependency_refused", EXITED],
    ),
    "a dependency that it can do without": (
        replace(CRASHED, dependencies=[dependency("low", reason="dns")]),
        [EXITED, "dependency_dns"],
    ),
    "a dependency that cannot be asked": (
        replace(CRASHED, dependencies=[dependency(reason="error"), dependency(state="skipped", reason="skipped")]),
        [EXITED, "dependency_not_asked", "dependency_not_asked"],
    ),
    "a certificate that ends": (
        replace(WELL, dependencies=[dependency(state="warn", days=3)]),
        ["dependency_certificate"],
    ),
    "a certificate that lasts": (replace(WELL, dependencies=[dependency(state="pass", days=90)]), []),
    "denied": (replace(ILL, denials=['apparmor="DENIED" comm="shop"']), ["access_denied", "health_fails"]),
    "no proxy": (replace(WELL, front="failed (failed)"), ["proxy_down"]),
    "a closed port": (replace(WELL, closed=["8080/tcp"]), ["port_closed"]),
    "a swap that was cut short": (replace(WELL, status=status(unsettled="a swap was cut short")), ["in_flight"]),
    "a changed unit": (
        replace(CRASHED, differences=[Difference("shop", "units", "shop@.service", "as released", "another")]),
        ["changed_by_hand", EXITED],
    ),
    "a start that never ends": (replace(DOWN, endings=[Ending(result="timeout", starting=True)]), ["start_timed_out"]),
    "a watchdog": (replace(ILL, endings=[Ending("killed", "6/ABRT", "watchdog")]), ["health_fails", "watchdog_missed"]),
    "a crash": (replace(DOWN, endings=[Ending("dumped", "11/SEGV", "core-dump")]), ["process_killed"]),
    "before the program": (replace(DOWN, endings=[Ending("exited", "203/EXEC", "exit-code")]), ["not_executed"]),
    "too many starts": (replace(CRASHED, endings=[*CRASHED.endings, Ending(result="start-limit-hit")]), [EXITED]),
    "a word that nobody knows": (replace(DOWN, endings=[Ending(result="resources")]), ["process_failed"]),
    "a start that goes on": (
        replace(DOWN, status=status(state="activating (start)", health="fail")),
        ["not_ready_yet"],
    ),
    "a start that never ends, again": (
        replace(
            DOWN,
            status=status(state="activating (start)", health="fail"),
            endings=[Ending(result="timeout", starting=True)],
        ),
        ["start_timed_out"],
    ),
    "a record that cannot be read": (
        replace(WELL, status=status(damaged=["x is torn. Fix: repair x"])),
        ["damaged_state"],
    ),
    "ill": (ILL, ["health_fails"]),
    "slow": (replace(WELL, status=status(health="warn", message="slow")), ["health_warns"]),
    "around": (replace(WELL, watched=False, clock=Clock(False, "Europe/Vienna")),
               ["not_watched", "clock_not_synchronised", "other_time_zone"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_findings_and_their_order(case: str) -> None:
    evidence, codes = CASES[case]
    assert [one.problem.code for one in judge(evidence)] == codes


def test_a_service_that_serves_has_only_notes() -> None:
    problem = Problem("missing_library", "libx.so.1: not found", "install libx1")
    evidence = replace(
        WELL,
        damage=DAMAGE,
        unit_problems=[problem],
        port=BUSY,
        volumes=[Volume("/", GIB, 2 * GIB, read_only=True)],
        denials=["avc:  denied"],
        differences=[Difference("shop", "units", "shop@.service", "as released", "another", 1.0)],
        dependencies=[dependency("low")],
    )
    assert {one.rank for one in judge(evidence)} == {Rank.NOTE}


def test_what_the_program_said_stands_under_its_end() -> None:
    (finding,) = judge(CRASHED)
    assert finding.lines == ["panic: no database"]
    assert finding.problem.message == "shop ended by itself (status 1/FAILURE)."
    again = judge(replace(CRASHED, endings=CRASHED.endings * 7))[0]
    assert again.problem.message == "shop ended by itself 7 times in the last minutes (status 1/FAILURE)."


@pytest.mark.parametrize(
    ("swap", "at_work", "fix"),
    [
        ({"phase": "SOAK"}, False, "run sudo slipway recover shop"),
        ({"phase": "SOAK"}, True, "wait for the run that is at work on it, or see sudo slipway status shop"),
        (
            {"phase": "CANARY", "paused": {"since": 1.0}},
            True,
            "run sudo slipway resume shop, or sudo slipway resume shop --back",
        ),
        ({"phase": "PROBATION"}, False, "run sudo slipway confirm shop to keep it, or sudo slipway rollback shop"),
    ],
)
def test_what_settles_a_swap_in_flight(swap: dict[str, Any], at_work: bool, fix: str) -> None:
    (finding,) = judge(replace(WELL, status=status(unsettled="a swap", in_flight=swap, at_work=at_work)))
    assert (finding.problem.code, finding.problem.fix) == ("in_flight", fix)


def test_a_fix_that_comes_with_a_message_is_not_said_twice() -> None:
    (finding,) = judge(replace(WELL, status=status(damaged=["x is torn. Fix: repair x"])))
    assert (finding.problem.message, finding.problem.fix) == ("x is torn.", "repair x")


def test_what_is_so_now_comes_before_what_was() -> None:
    """It ended a minute ago, was started again, and is ill since."""
    first, second = judge(replace(ILL, endings=CRASHED.endings, log=["no database"]))
    assert (first.problem.code, second.problem.code) == ("health_fails", "process_exited")
    assert (first.lines, second.lines) == (("no database",), ())


def test_the_limit_that_was_met_is_named() -> None:
    killed = [Ending("killed", "9/KILL", "oom-kill")]
    (own,) = judge(replace(DOWN, endings=killed, usage=Usage(most_memory=64 << 20)))
    (host,) = judge(replace(DOWN, endings=killed))
    (large,) = judge(replace(DOWN, endings=killed, usage=Usage(most_memory=8 * GIB, host_memory=2 * GIB)))
    assert "its MemoryMax of 64 MiB" in own.problem.message
    assert "the host's memory" in large.problem.message
    assert "the host's memory" in host.problem.message


@given(st.lists(st.sampled_from(sorted(CASES)), max_size=4))
def test_the_nearest_cause_comes_first_whatever_else_is_found(cases: list[str]) -> None:
    evidence = CRASHED
    for case in cases:
        more = {name: value for name, value in vars(CASES[case][0]).items() if value != getattr(WELL, name)}
        evidence = replace(evidence, **more)
    ranks = [one.rank for one in judge(evidence)]
    assert ranks == sorted(ranks)

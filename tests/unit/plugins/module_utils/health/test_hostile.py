"""Every misbehaviour of the table is answered right, and in time."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health import outcome, parsing, runner
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.health import hostile

# Waking up from the last wait, closing the connection and, for a pattern, ending a process: 50 ms is what that takes
# at the very most on an idle core. What the scheduler adds is measured beside it by the sentry.
SLACK = 0.05


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hostile.Stage]:
    with hostile.set_stage(tmp_path_factory.mktemp("certificates")) as made:
        yield made


@pytest.fixture(scope="module")
def sentry() -> Iterator[hostile.Sentry]:
    with hostile.Sentry() as made:
        yield made


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("case", hostile.CASES, ids=[case.name for case in hostile.CASES])
def test_answered_right_and_in_time(case: hostile.Case, stage: hostile.Stage, sentry: hostile.Sentry) -> None:
    if (case.transport == "tcp6" or case.spec.get("family") == "both") and not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    with hostile.played(case, stage, hostile.TIMEOUT) as spec:
        wanted = parsing.parse_check(spec)
        began = time.monotonic()
        result = runner.run(wanted)
        elapsed = time.monotonic() - began
    found = result.as_dict()
    assert (found["state"], found["reason"]) in [(case.state, reason) for reason in case.reason.split("|")], found
    assert found["message"]
    assert found["message"].isprintable()
    allowed = wanted.timeout * 1.1 + SLACK
    if elapsed > allowed:
        assert elapsed <= allowed + sentry.lateness(began), found
    if case.slow and case.reason == "timeout":
        assert elapsed >= wanted.timeout * 0.9, "gave up before its time"


def test_the_table_is_large_enough_and_its_names_are_unique() -> None:
    names = [case.name for case in hostile.CASES]
    assert len(names) >= 40
    assert len(set(names)) == len(names)


def test_the_table_knows_no_reason_outside_the_closed_list() -> None:
    reasons = {reason for case in hostile.CASES for reason in case.reason.split("|")}
    assert reasons <= set(outcome.REASONS)


def test_the_table_leaves_out_only_reasons_that_take_more_than_one_server() -> None:
    reasons = {reason for case in hostile.CASES for reason in case.reason.split("|")}
    assert set(outcome.REASONS) - reasons == {"unreachable", "unstable", "unit", "skipped", "error"}


def test_results_always_have_the_same_keys(stage: hostile.Stage) -> None:
    shapes = set()
    for case in hostile.CASES:
        if not case.slow and case.transport != "tcp6" and case.spec.get("family") != "both":
            with hostile.played(case, stage, hostile.TIMEOUT) as spec:
                found = runner.run(parsing.parse_check(spec)).as_dict()
            shapes.add((tuple(found), tuple(found["latency"]), tuple(found["process"])))
    assert len(shapes) == 1


def test_nothing_is_left_open(stage: hostile.Stage) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    wanted = [case for case in hostile.CASES if case.name in ("500", "TLS: expired certificate", "gRPC: GOAWAY")]
    counts = []
    for _round in range(3):
        for case in wanted:
            with hostile.played(case, stage, hostile.TIMEOUT) as spec:
                runner.run(parsing.parse_check(spec))
        time.sleep(0.05)
        counts.append(descriptors())
    assert counts[-1] <= counts[0] + 1


@pytest.mark.parametrize("child", ["sleep 60", "setsid sleep 60", "setsid sh -c 'setsid sleep 60; true'"])
def test_nothing_a_program_started_lives_on(child: str, stage: hostile.Stage, tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    script = f"trap '' TERM HUP; {child} & echo $$ $! > {mark}; wait"
    wanted = parsing.parse_check({"kind": "exec", "command": ["/bin/sh", "-c", script], "timeout": 0.5})
    assert runner.run(wanted).reason == "timeout"
    time.sleep(0.1)
    for pid in mark.read_text().split():
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"

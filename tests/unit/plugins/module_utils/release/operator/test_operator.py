# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A released service is looked at and looked after, and nobody gets in the way of a release."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import gate, integrity
from ansible_collections.slipway.go.plugins.module_utils._release.operator import operator as module
from ansible_collections.slipway.go.plugins.module_utils._release.operator import watch
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator, WatchOptions
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Host

OPTIONS = WatchOptions(watch.Policy(fall=2))
DOCS = Path(__file__).resolve().parents[6] / "docs"


@pytest.fixture
def host(memory, monkeypatch):
    """Its health check answers with host.answer."""
    host = Host(memory).install(monkeypatch)
    host.answer = "pass"
    monkeypatch.setattr(module, "time", host.clock)

    def judge(check):
        latency = {"p99": 0.002 * check.rise, "total": 0.002}
        told = {"name": check.name, "state": host.answer, "latency": latency}
        return SimpleNamespace(
            state=host.answer,
            reason="status",
            message=f"it says {host.answer}",
            latency=latency,
            as_dict=lambda: told,
        )

    monkeypatch.setattr(gate, "judge", judge)
    return host


def operator(host):
    return Operator(host.settings(), host.layout, host.systemd)


def restarts(host):
    return [c for c in host.systemd.commands if c.startswith("restart ")]


def test_status_of_a_service_that_serves(host):
    current = host.release("v1").current
    told = operator(host).status()
    assert (told["current"], told["last_good"], told["running"]) == (current, current, [f"shop@{current}.service"])
    assert (told["health"], told["p99"], told["message"]) == ("pass", 0.01, "it says pass")
    assert told["since"] == host.store.journal.outcomes()[-1]["time"]
    host.answer = "fail"
    assert operator(host).status()["health"] == "fail"
    assert operator(host).status(answers=0)["health"] == "pass", "nobody was asked, systemd calls it active"


def test_status_of_a_run_in_flight(host):
    host.release("v1")
    host.store.save(host.store.begin("v2-0123456789", "v1-0123456789", "socket", "release"))
    told = operator(host).status()
    assert told["in_flight"]["to"] == "v2-0123456789"
    assert (told["at_work"], told["unsettled"]) == (False, "a swap to v2-0123456789 was cut short in INTENT")
    with host.store.locked(1.0):
        told = operator(host).status()
    assert (told["at_work"], told["unsettled"]) == (True, "a swap to v2-0123456789 is under way in INTENT")


def test_status_says_until_when_a_release_is_unconfirmed(host):
    host.confirm = 60
    host.release("v1")
    waits = host.swap("v2", run="7")
    told = operator(host).status()
    until = time.strftime("%H:%M:%S UTC", time.gmtime(told["in_flight"]["deadline"]))
    assert told["unsettled"] == f"{waits.current} is unconfirmed until {until}, and is taken back then (PROBATION)"
    host.engine().confirm(waits.unconfirmed)
    told = operator(host).status()
    assert (told["unsettled"], told["run"], told["good"][-1]) == (None, "7", waits.current)


def test_the_watch_restarts_what_has_failed_often_enough(host):
    current = host.release("v1").current
    host.answer = "fail"
    assert operator(host).watch(OPTIONS).action == watch.NOTHING
    assert restarts(host) == []
    assert operator(host).watch(OPTIONS).action == watch.RESTART
    assert restarts(host) == [f"restart --no-block shop@{current}.service"], "it holds the lock that a rollback needs"
    event = host.store.journal.events()[-1]
    assert (event["event"], event["release"], event["reason"]) == ("watch_restart", current, "it says fail")


def watch_file(host):
    path = os.path.join(host.layout.state, "watch.json")
    return (os.stat(path).st_ino, json.loads(open(path, encoding="utf-8").read()))


def test_a_look_that_does_not_act_leaves_what_is_to_be_done_to_a_run_that_does(host, tmp_path):
    """It counts the failure, and it is the same run that restarts as if there had been no look before it."""
    host.release("v1")
    options = WatchOptions(watch.Policy(fall=2), str(tmp_path))
    operator(host).watch(options, acts=False)
    host.answer = "fail"
    assert operator(host).watch(options, acts=False).action == watch.NOTHING
    before, told = watch_file(host), (tmp_path / "slipway-shop.prom").read_text()
    for _look in range(3):
        assert operator(host).watch(options, acts=False).action == watch.RESTART
    assert restarts(host) == []
    assert watch_file(host) == before
    assert (tmp_path / "slipway-shop.prom").read_text() == told
    assert "watch_restart" not in [event["event"] for event in host.store.journal.events()]
    assert operator(host).watch(options).action == watch.RESTART
    assert len(restarts(host)) == 1


def test_a_look_that_does_not_act_takes_nothing_back(host):
    host.release("v1")
    second = host.release("v2").current
    operator(host).watch(FALLING, acts=False)
    crash(host, 3)
    assert operator(host).watch(FALLING, acts=False).action == watch.ROLLBACK
    assert host.settled() == second
    assert operator(host).watch(FALLING).action == watch.ROLLBACK
    assert host.settled() == host.id_of("v1")


def test_where_there_is_nowhere_to_go_back_to_nothing_is_handed_over(host):
    host.release("v1")
    operator(host).watch(FALLING, acts=False)
    crash(host, 9)
    assert operator(host).watch(FALLING, acts=False).action == watch.NOTHING


def test_while_all_is_well_the_memory_is_not_written_anew(host):
    host.release("v1")
    for _look in range(3):
        operator(host).watch(OPTIONS)
    before = watch_file(host)
    os.utime(os.path.join(host.layout.state, "watch.json"), (1, 1))
    operator(host).watch(OPTIONS)
    assert watch_file(host) == before
    assert operator(host).status()["watched"] > 1


def test_a_look_starts_one_program(host):
    host.release("v1")
    operator(host).watch(OPTIONS)
    host.systemd.commands.clear()
    operator(host).watch(OPTIONS)
    assert len(host.systemd.commands) == 1


def test_a_new_release_begins_with_a_clean_slate(host):
    host.release("v1")
    host.answer = "fail"
    operator(host).watch(OPTIONS)
    host.release("v2")
    assert operator(host).watch(OPTIONS).action == watch.NOTHING
    assert restarts(host) == []


def test_the_watch_keeps_out_while_a_release_is_under_way(host):
    host.release("v1")
    host.answer = "fail"
    operator(host).watch(OPTIONS)
    with host.store.locked(0):
        decision = operator(host).watch(OPTIONS)
    assert (decision.action, decision.message) == (watch.NOTHING, "a release is under way")
    assert restarts(host) == []


def test_the_watch_does_not_start_what_somebody_has_stopped(host):
    host.release("v1")
    host.systemd.umbrella = False
    host.answer = "fail"
    for _ignored in range(5):
        assert operator(host).watch(OPTIONS).message == "the service is stopped"
    assert restarts(host) == []


def test_a_damaged_memory_is_begun_anew(host):
    host.release("v1")
    with open(os.path.join(host.layout.state, "watch.json"), "w", encoding="utf-8") as stream:
        stream.write('{"failures": ')
    host.answer = "fail"
    assert operator(host).watch(OPTIONS).action == watch.NOTHING
    with open(os.path.join(host.layout.state, "watch.json"), encoding="utf-8") as stream:
        assert json.load(stream)["failures"] == 1


def test_metrics_count_how_swaps_ended_whatever_has_happened(host, tmp_path):
    host.release("v1")
    host.systemd.die(host.id_of("v1"))
    host.behaviours["v2"] = Behaviour(healthy=False)
    with pytest.raises(SlipwayError):
        host.release("v2")
    host.release("v3")
    assert [e["event"] for e in host.store.journal.outcomes()] == ["committed", "given_up", "committed"]
    host.health = {}
    operator(host).watch(WatchOptions(watch.Policy(), str(tmp_path)))
    text = (tmp_path / "slipway-shop.prom").read_text()
    totals = [line for line in text.splitlines() if line.startswith("slipway_swaps_total{")]
    assert [re.search(r'result="(\w+)"', line).group(1) + line[line.index("}") + 1 :] for line in totals] == [
        "committed 2",
        "given_up 1",
        "refused 0",
        "rolled_back 0",
    ]


def test_what_is_documented_is_exported(host, tmp_path):
    host.release("v1")
    text = metrics(host, tmp_path, operator(host).watch)
    exported = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)) | {
        "slipway_health_certificate_expiry_timestamp_seconds",  # with TLS
        "slipway_swap_deadline_timestamp_seconds",  # while it waits to be confirmed
        "slipway_swap_pause_end_timestamp_seconds",  # while it waits for a person
        "slipway_swap_probe_failures",  # with a probe
        "slipway_swap_downtime_seconds",  # with a strategy that has one
        "slipway_swap_canary_ratio",  # behind HAProxy, like the next two
        "slipway_swap_canary_requests",
        "slipway_swap_canary_errors",
        "slipway_drift_findings",  # by another command
        "slipway_drift_timestamp_seconds",
        "slipway_pull_failed",
        "slipway_pull_timestamp_seconds",
    }
    for page in ("reference/metrics.md", "guide/health.md"):
        documented = (DOCS / page).read_text()
        assert set(re.findall(r"`(slipway_\w+)`", documented)) == exported, page


def test_a_release_that_waits_is_exported_with_its_deadline(host, tmp_path):
    host.release("v1")
    text = metrics(host, tmp_path, operator(host).watch)
    assert 'slipway_swap_unfinished{service="shop"} 0' in text
    assert "slipway_swap_deadline_timestamp_seconds" not in text
    host.confirm = 60
    waits = host.swap("v2", run="7")
    text = metrics(host, tmp_path, operator(host).watch)
    deadline = operator(host).status()["in_flight"]["deadline"]
    assert 'slipway_swap_unfinished{service="shop"} 1' in text
    assert float(re.search(r"^slipway_swap_deadline_timestamp_seconds{.*} (.*)$", text, re.MULTILINE)[1]) == deadline
    host.engine().confirm(waits.unconfirmed)
    assert 'slipway_swap_unfinished{service="shop"} 0' in metrics(host, tmp_path, operator(host).watch)


def test_nothing_is_exported_of_a_swap_whose_record_is_damaged(host, tmp_path):
    """It is not known to be finished."""
    host.release("v1")
    Path(host.layout.state, "state.json").write_text("somebody else's")
    text = metrics(host, tmp_path, operator(host).watch)
    assert "slipway_swap_unfinished" not in text
    assert 'slipway_up{service="shop"} 1' in text


@pytest.mark.parametrize(
    ("measured", "lines"),
    [
        ({}, ['slipway_swap_connections_cut{service="shop",result="committed"} 0']),
        ({"cut": 3}, ['slipway_swap_connections_cut{service="shop",result="committed"} 3']),
        (
            {
                "probe": {
                    "before": {"sent": 9, "failed": 4},
                    "during": {"sent": 9, "failed": 1},
                    "after": {"sent": 9, "failed": 2},
                }
            },
            ['slipway_swap_probe_failures{service="shop",result="committed"} 3'],
        ),
        ({"probe": {"before": {"sent": 9, "failed": 4}, "during": {"sent": 0, "failed": 0}}}, []),
    ],
)
def test_what_the_last_swap_has_cost_is_exported(host, tmp_path, monkeypatch, measured, lines):
    host.release("v1")
    told = host.store.journal.outcomes()
    monkeypatch.setattr(type(host.store.journal), "outcomes", lambda _self: [{**told[-1], **measured}])
    text = metrics(host, tmp_path, operator(host).watch)
    assert [line for line in lines if line not in text.splitlines()] == []
    assert ("slipway_swap_probe_failures" in text) == any("probe_failures" in line for line in lines)


FALLING = WatchOptions(watch.Policy(fall=2, rollback=3))


def crash(host, times):
    found = host.systemd.instance(host.layout.current_id())
    found.restarts += times


def test_a_release_that_crashes_again_and_again_is_taken_back_once(host):
    first, second = (host.release(v).current for v in ("v1", "v2"))
    assert operator(host).watch(FALLING).action == watch.NOTHING
    crash(host, 3)
    told = operator(host).watch(FALLING)
    assert told.action == watch.ROLLBACK
    assert f"{second} was taken back, {first} serves" in told.message
    assert host.settled() == first
    assert operator(host).status()["bad"] == [second]
    assert "crashed or restarted 3 times" in host.store.journal.outcomes()[-1]["reason"]
    with pytest.raises(SlipwayError, match="crashed or restarted 3 times"):
        host.release("v2")
    for _look in range(2):
        crash(host, 9)
        assert operator(host).watch(FALLING).action == watch.NOTHING, "what ails both is not their fault"
    assert host.settled() == first


def test_without_an_earlier_good_release_the_watch_goes_on_restarting(host):
    host.release("v1")
    operator(host).watch(FALLING)
    crash(host, 9)
    assert operator(host).watch(FALLING).action == watch.NOTHING
    host.answer = "fail"
    actions = [operator(host).watch(FALLING).action for _look in range(2)]
    assert actions == [watch.NOTHING, watch.RESTART]


def test_nothing_is_taken_back_when_the_way_back_fails_too(host):
    host.release("v1")
    second = host.release("v2").current
    operator(host).watch(FALLING)
    host.behave("v1").healthy = False
    crash(host, 3)
    with pytest.raises(SlipwayError, match="was rolled back in OVERLAP"):
        operator(host).watch(FALLING)
    assert host.settled() == second
    crash(host, 3)
    assert operator(host).watch(FALLING).action == watch.NOTHING


def test_somebody_who_has_acted_already_is_left_alone(host):
    host.release("v1")
    second = host.release("v2").current
    host.release("v3")
    assert host.engine().roll_back_automatically(second, "it crashed") is None
    assert host.settled() == host.id_of("v3")


def looks(host, options, times, seconds=10):
    """So many runs of the watch's timer, and what each did."""
    actions = []
    for _look in range(times):
        host.clock.now += seconds
        actions.append(operator(host).watch(options).action)
    return actions


def test_a_release_that_no_restart_helps_is_taken_back(host):
    first, second = (host.release(v).current for v in ("v1", "v2"))
    host.systemd.die(second)
    actions = looks(host, FALLING, 20)
    assert actions.index(watch.ROLLBACK) > 6, "the restarts come less and less often"
    assert len(restarts(host)) == 2
    assert host.settled() == first
    assert host.store.journal.bad()[second]["reason"].startswith("crashed or restarted 3 times: systemd says failed")


def test_restarts_that_come_less_and_less_often_lead_to_the_way_back_all_the_same(host):
    first, second = (host.release(v).current for v in ("v1", "v2"))
    host.systemd.die(second)
    often = WatchOptions(watch.Policy(fall=2, rollback=9))
    assert watch.ROLLBACK in looks(host, often, 120, 60)
    assert host.settled() == first


def test_a_restart_that_fails_is_remembered(host, monkeypatch):
    host.release("v1")
    host.answer = "fail"

    def refuse(_unit):
        raise SlipwayError("command_failed", "no such unit")

    monkeypatch.setattr(host.systemd, "restart", refuse)
    operator(host).watch(OPTIONS)
    with pytest.raises(SlipwayError, match="no such unit"):
        operator(host).watch(OPTIONS)
    assert looks(host, OPTIONS, 2, 5) == [watch.NOTHING, watch.NOTHING], "it waits before it tries again"


def test_what_is_being_started_is_not_started_anew(host):
    current = host.release("v1").current
    found = host.systemd.instance(current)
    found.state, found.behaviour.ready = "activating", False
    assert looks(host, OPTIONS, 9).count(watch.ALERT) == 1
    assert restarts(host) == []


def test_a_release_that_hangs_in_its_start_is_taken_back(host):
    first, second = (host.release(v).current for v in ("v1", "v2"))
    found = host.systemd.instance(second)
    operator(host).watch(FALLING)
    found.state, found.behaviour.ready = "activating", False
    for _limit in range(3):
        looks(host, FALLING, 9)
        found.restarts += 1  # TimeoutStartSec= is over
    assert looks(host, FALLING, 1) == [watch.ROLLBACK]
    assert host.settled() == first


def test_where_the_way_back_is_not_the_engines_the_watch_goes_on_restarting(host):
    host.switch("restart")
    host.release("v1")
    host.switch("proxy")
    second = host.release("v2").current
    operator(host).watch(FALLING)
    crash(host, 3)
    host.answer = "fail"
    assert watch.RESTART in looks(host, FALLING, 2)
    assert host.layout.current_id() == second


def metrics(host, folder, act):
    """What stands in the collector's folder after this."""
    act(WatchOptions(watch.Policy(), str(folder)))
    return (folder / "slipway-shop.prom").read_text()


def test_a_stopped_service_is_not_exported_as_healthy(host, tmp_path):
    host.release("v1")
    text = metrics(host, tmp_path, operator(host).watch)
    assert 'check="release",state="pass"} 1' in text
    assert 'slipway_up{service="shop"} 1' in text
    assert 'slipway_stopped{service="shop"} 0' in text
    host.systemd.umbrella = False
    text = metrics(host, tmp_path, operator(host).watch)
    assert 'slipway_up{service="shop"} 0' in text
    assert 'slipway_stopped{service="shop"} 1' in text
    assert 'check="release",state="pass"} 0' in text
    assert 'check="release",state="fail"} 1' in text
    assert f'slipway_health_timestamp_seconds{{service="shop"}} {int(host.clock.now)}' in text


def test_a_stop_takes_the_verdict_back_at_once(host, tmp_path):
    host.release("v1")
    assert 'state="pass"} 1' in metrics(host, tmp_path, operator(host).watch)
    operator(host).stopped(str(tmp_path))
    text = (tmp_path / "slipway-shop.prom").read_text()
    assert 'slipway_up{service="shop"} 0' in text
    assert 'state="pass"} 1' not in text


def test_a_release_that_does_not_run_is_exported_as_failed(host, tmp_path):
    host.systemd.die(host.release("v1").current)
    text = metrics(host, tmp_path, operator(host).watch)
    assert 'slipway_up{service="shop"} 0' in text
    assert 'slipway_stopped{service="shop"} 0' in text
    assert 'check="release",state="fail"} 1' in text


@pytest.mark.parametrize("name", ["state.json", "journal.jsonl"])
def test_status_tells_of_what_is_damaged_and_how_it_goes_on(host, name):
    current = host.release("v1").current
    path = os.path.join(host.layout.state, name)
    if os.path.exists(path):
        os.unlink(path)
    os.mkdir(path)
    told = operator(host).status()
    assert (told["current"], told["in_flight"]) == (current, None)
    assert told["health"] == ("pass" if name == "state.json" else "unknown")
    assert name in told["damaged"][0]
    assert "Fix: " in told["damaged"][0]


def test_status_counts_lines_that_cannot_be_read(host):
    host.release("v1")
    assert (operator(host).status()["skipped_lines"], operator(host).status()["damaged"]) == (0, [])
    with open(os.path.join(host.layout.state, "journal.jsonl"), "a", encoding="utf-8") as stream:
        stream.write('{"time": 1, "event": "committed"\n')
    told = operator(host).status()
    assert (told["skipped_lines"], told["health"], told["damaged"]) == (1, "pass", [])


def test_status_names_releases_of_which_nothing_is_known(host):
    first, second = (host.release(version).current for version in ("v1", "v2"))
    for release in (first, second):
        host.forget(release)
        os.unlink(os.path.join(host.layout.release(release), "release.json"))
    told = operator(host).status()
    purge, wait = sorted(told["damaged"], key=len)
    assert purge.endswith(f"{first}/release.json is not readable. Fix: sudo slipway purge shop {first}")
    assert wait.endswith(f"Fix: release another one, then sudo slipway purge shop {second}")
    assert told["health"] == "warn"


def test_status_says_when_the_watch_last_looked(host):
    host.release("v1")
    assert operator(host).status()["watched"] is None
    operator(host).watch(OPTIONS)
    assert operator(host).status()["watched"] > 0


@pytest.fixture
def foreign(host, monkeypatch):
    """Another file answers than the release's; host.unit says whether its process is in the release's unit."""
    host.release("v1")
    host.current = host.release("v2").current
    host.unit, host.runs = True, "other bytes"

    def judge(check):
        by_unit = check.identity.unit == f"shop@{host.current}.service" and check.identity.executable is None
        if by_unit and host.unit:
            return SimpleNamespace(state="pass", reason="ok", message="it is well", latency={})
        return SimpleNamespace(state="fail", reason="identity", message="another file", latency={})

    monkeypatch.setattr(gate, "judge", judge)
    monkeypatch.setattr(module, "running_digest", lambda pid: host.runs)
    return host


@pytest.mark.parametrize("unit", [True, False])
def test_on_a_foreign_identity_the_watch_alerts_and_keeps_what_serves(foreign, unit):
    foreign.unit = unit
    told = [operator(foreign).watch(FALLING) for _ignored in range(8)]
    assert [one.action for one in told] == [watch.ALERT, *[watch.NOTHING] * 7]
    assert foreign.current in told[0].message
    assert restarts(foreign) == []
    assert foreign.settled() == foreign.current
    foreign.clock.sleep(3600)
    assert operator(foreign).watch(FALLING).action == watch.ALERT, "somebody is reminded"


def test_a_process_with_the_bytes_of_the_release_is_the_release(foreign):
    """Its file was replaced, and has been put back."""
    foreign.runs = integrity.program_digest(foreign.layout, foreign.current)
    assert [operator(foreign).watch(FALLING).action for _ignored in range(4)] == [watch.NOTHING] * 4


def test_a_restart_reads_what_it_starts_whatever_a_look_has_seen(host, monkeypatch):
    """A clock that was set back can hide a change from the look."""
    current = host.release("v1").current
    operator(host).watch(OPTIONS)
    monkeypatch.setattr(integrity, "fingerprint", lambda layout, release_id: "as before")
    operator(host).watch(OPTIONS)
    with open(host.layout.binary(current), "a", encoding="utf-8") as stream:
        stream.write("foreign")
    host.answer = "fail"
    assert [operator(host).watch(OPTIONS).action for _ignored in range(3)] == [
        watch.NOTHING,
        watch.ALERT,
        watch.NOTHING,
    ]
    assert restarts(host) == []


def test_the_watch_reads_a_release_only_when_it_looks_changed(host, monkeypatch):
    host.release("v1")
    read = []
    differences = integrity.differences
    monkeypatch.setattr(integrity, "differences", lambda *of: read.append(of) or differences(*of))
    for _ignored in range(3):
        operator(host).watch(OPTIONS)
    assert len(read) == 1


def test_status_tells_what_differs(host):
    current = host.release("v1").current
    assert operator(host).status()["differences"] == []
    os.unlink(os.path.join(host.layout.release(current), "environment"))
    told = operator(host).status()
    assert told["differences"] == ["environment is missing"]
    assert (told["health"], told["message"]) == ("warn", "it says pass; on disk, environment is missing")


def test_a_service_that_reads_its_configuration_again_is_up(host, tmp_path):
    current = host.release("v1").current
    host.systemd.instance(current).state = "reloading"
    told = operator(host).status()
    assert (told["health"], told["message"]) == ("pass", "it says pass")
    options = WatchOptions(OPTIONS.policy, str(tmp_path))
    assert looks(host, options, 5) == [watch.NOTHING] * 5
    assert 'slipway_up{service="shop"} 1' in (tmp_path / "slipway-shop.prom").read_text()

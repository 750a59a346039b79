# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run tells of all its hosts and services, by what they have said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._notices.notice import FIELDS
from ansible_collections.slipway.go.plugins.plugin_utils._notices import of_run
from ansible_collections.slipway.go.plugins.plugin_utils._notices.of_run import Facts

OLD, NEW = "1.9.4-77c0aa12de", "2.0.0-3b1d8f00aa"
SWAPPED = {"action": "release", "changed": True, "previous": OLD, "current": NEW}
FORESEEN = {"action": "release", "changed": False, "previous": OLD, "current": NEW}
SAME = {"action": "none", "changed": False, "current": NEW}
MSG = "2.0.0-3b1d8f00aa was rolled back in SOAK: it answers 503. 1.9.4-77c0aa12de serves again.\nlog: hunter2"
BACK = {"failed": True, "code": "rolled_back", "rolled_back": True, "failed_release": NEW, "current": OLD, "msg": MSG}
DOWN = {
    "failed": True,
    "code": "rollback_failed",
    "rolled_back": False,
    "failed_release": NEW,
    "msg": "nothing serves.",
}
NO = {"failed": True, "code": "port_in_use", "problems": [{"code": "port_in_use"}], "msg": "the port is taken."}
FAILED = {"code": "rolled_back", "msg": MSG}


def told(given: dict[str, Any], event: str = "ended", verdicts: Any = None, outcome: str = "", **more: Any) -> Any:
    """verdicts: what the last play has found on each host, where it has asked."""
    hosts = list(given)
    about = {"event": event, "playbook": "release", "hosts": hosts, "services": {host: ["shop"] for host in hosts}}
    lost = {host: {"code": one["code"], "msg": one["msg"]} for host, one in given.items() if one.get("failed")}
    about |= {"results": {"shop": given}, "alive": hosts, "lost": lost, "turn": hosts, "version": "2.0.0"}
    if outcome:
        stats = {host: {"verdict": verdict} for host, verdict in (verdicts or {}).items()}
        about["closings"] = {"shop": {"outcome": outcome, "stats": stats, "failures": more.pop("failures", {})}}
    found = of_run.notice(Facts(**{**about, **more}))
    assert list(found) == list(FIELDS)
    assert json.loads(json.dumps(found)) == found
    return found


def counts(found: Any) -> dict[str, int]:
    return {name: count for name, count in found["hosts"].items() if count and name != "total"}


@pytest.mark.parametrize(
    ("results", "closing", "event", "verdict", "hosts"),
    [
        ({"a": SWAPPED}, {}, "finished", "complete", {"released": 1}),
        ({"a": SAME}, {}, "finished", "complete", {"unchanged": 1}),
        (
            {"a": SWAPPED, "b": FORESEEN},
            {"outcome": "partial", "verdicts": {"a": "released", "b": "not touched"}},
            "finished",
            "partial",
            {"released": 1, "not_touched": 1},
        ),
        ({"a": BACK}, {}, "rolled_back", "taken_back", {"rolled_back": 1}),
        ({"a": DOWN}, {}, "failed", "stopped", {"failed": 1}),
        ({"a": NO}, {}, "failed", "refused", {"failed": 1}),
        (
            {"a": SWAPPED, "b": BACK, "c": FORESEEN},
            {"outcome": "taken_back", "verdicts": {"a": "taken back", "b": "failed", "c": "not touched"}},
            "rolled_back",
            "taken_back",
            {"rolled_back": 2, "not_touched": 1},
        ),
        (
            {"a": SWAPPED, "b": BACK, "c": FORESEEN},
            {"outcome": "stopped", "verdicts": {"a": "not taken back", "b": "failed", "c": "not touched"}},
            "failed",
            "stopped",
            {"failed": 1, "rolled_back": 1, "not_touched": 1},
        ),
        (
            {"a": SWAPPED, "b": BACK},
            {"outcome": "incomplete", "verdicts": {"a": "released", "b": "failed"}},
            "failed",
            "incomplete",
            {"released": 1, "rolled_back": 1},
        ),
        (
            {"a": SWAPPED, "b": {}},
            {"outcome": "incomplete", "verdicts": {"a": "released", "b": "unreachable"}, "alive": ["a"]},
            "failed",
            "incomplete",
            {"released": 1, "unreachable": 1},
        ),
        (
            {"a": SWAPPED, "b": SWAPPED},
            {"outcome": "incomplete", "verdicts": {"a": "released", "b": "not confirmed"}},
            "failed",
            "incomplete",
            {"released": 1, "failed": 1},
        ),
        (
            {"a": BACK, "b": {}},
            {"outcome": "stopped", "verdicts": {"a": "failed", "b": "unreachable"}, "alive": ["a"]},
            "failed",
            "stopped",
            {"rolled_back": 1, "unreachable": 1},
        ),
    ],
)
def test_how_a_run_has_ended(results: Any, closing: Any, event: str, verdict: str, hosts: Any) -> None:
    found = told(results, **closing)
    assert (found["event"], found["verdict"], counts(found)) == (event, verdict, hosts)
    assert found["hosts"]["total"] == len(results)


def test_the_cause_is_one_sentence_and_no_log() -> None:
    found = told({"a": SWAPPED, "b": BACK}, outcome="taken_back", verdicts={"a": "taken back", "b": "failed"})
    assert (found["host"], found["code"], found["failed_hosts"]) == ("b", "rolled_back", ["b"])
    assert found["cause"] == "2.0.0-3b1d8f00aa was rolled back in SOAK: it answers 503."
    assert found["text"] == f"shop 2.0.0 was rolled back; 2 rolled back of 2 hosts. b: {found['cause']}"
    assert "hunter2" not in json.dumps(found)


def test_one_that_fails_is_told_before_one_that_cannot_be_reached() -> None:
    gone = {"code": "unreachable", "msg": "no route to host."}
    found = told({"a": {}, "b": BACK}, lost={"a": gone, "b": FAILED}, outcome="stopped", verdicts={})
    assert (found["host"], found["failed_hosts"]) == ("b", ["a", "b"])


def test_the_reason_of_a_host_that_fails_only_at_the_end() -> None:
    failures = {"a": "2.0.0 was to be taken back here, and was not: it is gone."}
    found = told({"a": SWAPPED}, outcome="stopped", verdicts={"a": "not taken back"}, failures=failures)
    assert (found["event"], found["host"]) == ("failed", "a")
    assert found["cause"] == "2.0.0 was to be taken back here, and was not: it is gone."


def test_what_is_to_change_is_told_when_it_begins() -> None:
    by = {"person": "alice", "controller": "ctl1", "reason": "ticket 7"}
    found = told({"a": FORESEEN, "b": FORESEEN, "c": SAME}, "started", turn=(), by=by)
    assert found["changes"] == [{"service": "shop", "from": OLD, "to": NEW, "hosts": 2}]
    assert counts(found) == {"not_touched": 3}
    assert found["text"] == "shop 2.0.0: the release begins on 3 hosts (by alice on ctl1: ticket 7)."


def test_a_batch_that_is_done_and_one_that_waits() -> None:
    results = {"a": {**SWAPPED, "unconfirmed": "txn"}, "b": FORESEEN}
    found = told(results, "batch_done", turn=["a"], batch=1, batches=2)
    assert counts(found) == {"waiting": 1, "not_touched": 1}
    assert found["text"] == "shop 2.0.0: batch 1 of 2 is done; 1 waiting, 1 not touched of 2 hosts."
    assert "waits on 1 of 2 hosts" in told(results, "waiting", turn=["a"])["text"]
    assert counts(told(results, outcome="complete", verdicts={"a": "released", "b": "released"})) == {"released": 2}


def test_ten_services_are_one_notice_and_a_host_counts_by_the_worst() -> None:
    names = [f"s{number}" for number in range(10)]
    results = {name: {"a": SWAPPED} for name in names}
    found = told(
        {"a": SWAPPED}, services={"a": names}, results={**results, "s3": {"a": BACK}}, version="", lost={"a": FAILED}
    )
    assert (found["event"], counts(found), len(found["changes"])) == ("failed", {"failed": 1}, 10)
    assert found["text"].startswith("10 services: the release failed; ")
    two = told({"a": SWAPPED}, services={"a": names[:2]}, results=results, version="")
    assert two["text"] == "s0, s1: the release is complete; 1 released of 1 host."


@pytest.mark.parametrize(
    ("results", "lost", "alive", "event", "hosts"),
    [
        ({"a": {"action": "rollback", "previous": NEW, "current": OLD}}, {}, ["a"], "rolled_back", {"rolled_back": 1}),
        ({"a": {}}, {}, ["a"], "finished", {"unchanged": 1}),
        ({"a": DOWN}, {}, ["a"], "failed", {"failed": 1}),
        ({"a": {}}, {"a": {"code": "refused", "msg": "no."}}, [], "failed", {"failed": 1}),
        ({"a": {}}, {}, [], "failed", {"unreachable": 1}),
    ],
)
def test_how_a_rollback_has_ended(results: Any, lost: Any, alive: Any, event: str, hosts: Any) -> None:
    found = told(results, playbook="rollback", lost=lost, alive=alive, version="")
    assert (found["event"], counts(found)) == (event, hosts)


def test_a_text_of_ones_own() -> None:
    assert told({"a": SWAPPED}, "waiting", text="look at it.\x1b[2J\n")["text"] == "shop 2.0.0: look at it. [2J"


@pytest.mark.parametrize(
    ("variables", "environment", "job", "url"),
    [
        (
            {"awx_job_id": 17},
            {"AWX_HOST": "https://awx.example.com/"},
            "AWX job 17",
            "https://awx.example.com/#/jobs/playbook/17",
        ),
        ({"awx_job_id": 17}, {"AWX_HOST": "https://towerhost"}, "AWX job 17", ""),
        ({"awx_job_id": 17}, {}, "AWX job 17", ""),
        ({"awx_job_id": "{{ x }}"}, {"AWX_HOST": "https://awx.example.com"}, "", ""),
        ({}, {}, "https://gitlab.example.com/-/jobs/1", "https://gitlab.example.com/-/jobs/1"),
    ],
)
def test_the_page_of_the_job(variables: Any, environment: Any, job: str, url: str) -> None:
    assert of_run.job_url(variables, environment, job) == url

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rollback that was told what to take back leaves everything else alone."""

from __future__ import annotations

import contextlib
import json
import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.meant import Meant, parse_meant
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Faults, Host, Killed


@pytest.fixture(params=["socket", "proxy"])
def host(request, memory, monkeypatch):
    host = Host(memory, request.param).install(monkeypatch)
    host.confirm = 60
    return host


def both(host, meant, wanted=None):
    """What is predicted, and then done."""
    predicted = host.engine().predict_rollback(wanted, meant)
    done = host.engine().rollback(wanted, meant)
    assert (predicted.changed, predicted.action, predicted.current) == (done.changed, done.action, done.current)
    return done


@pytest.mark.parametrize("meant", [Meant("v9"), Meant("v9-0123456789"), Meant(run="7"), Meant("v2", "7")])
def test_what_never_came_to_this_host_is_not_taken_back(host, meant):
    host.release("v1")
    second = host.release("v2", run="6").current
    assert not both(host, meant).changed
    assert host.settled() == second


@pytest.mark.parametrize("how", ["version", "id", "run"])
def test_what_serves_is_taken_back_and_only_once(host, how):
    first = host.release("v1").current
    second = host.release("v2", run="7").current
    meant = {"version": Meant("v2"), "id": Meant(second), "run": Meant(run="7")}[how]
    assert both(host, meant).current == first
    assert not both(host, meant).changed
    assert host.settled() == first


def test_what_waits_is_taken_back(host):
    host.release("v1")
    second = host.release("v2").current
    host.swap("v3", run="7")
    assert not both(host, Meant("v2")).changed, "another one is in flight"
    assert both(host, Meant(run="7")).current == second
    assert host.settled() == second
    assert not both(host, Meant(run="7")).changed


def test_a_run_that_found_its_release_serving_has_brought_nothing(host):
    host.release("v1")
    second = host.release("v2", run="6").current
    assert not host.release("v2", run="7").changed
    assert not both(host, Meant(run="7")).changed
    assert host.settled() == second


def test_what_a_run_confirms_is_its_own(host):
    first = host.release("v1").current
    host.swap("v2", run="6")
    host.release("v2", run="7")
    assert not both(host, Meant(run="6")).changed
    assert both(host, Meant(run="7")).current == first


def test_a_run_whose_release_was_left_and_came_back_is_over(host):
    host.release("v1")
    second = host.release("v2", run="6").current
    host.release("v3", run="7")
    host.rollback()
    assert not both(host, Meant(run="6")).changed
    assert host.settled() == second


def test_somebody_who_names_what_serves_means_it_after_a_refusal_too(host):
    first = host.release("v1").current
    host.release("v2")
    host.behave("v3").healthy = False
    with pytest.raises(SlipwayError):
        host.release("v3")
    assert not host.engine().predict_rollback().changed
    assert both(host, Meant("v2")).current == first


@pytest.mark.parametrize("meant", [None, Meant("v2"), Meant(run="7")])
def test_a_rollback_that_was_cut_short_is_finished_wherever_that_was(host, meant, monkeypatch):
    """What is predicted for the retry is what it does."""
    host.release("v0")
    first, second = host.release("v1").current, host.release("v2", run="7").current
    twin = host.copy(f"{host.folder}-whole").install(monkeypatch)
    twin.engine().rollback(None, meant)
    for at in range(0, len(twin.faults.seen), 3):
        cut = host.copy(f"{host.folder}-{at}").install(monkeypatch)
        cut.faults = Faults("kill", at)
        with contextlib.suppress(Killed):
            cut.engine().rollback(None, meant)
        cut.faults = Faults()
        done = both(cut, meant)
        assert done.current == cut.settled() == first
        assert not done.changed or done.previous == second


def test_who_names_where_to_go_gets_there_also_from_what_waits(host):
    oldest = host.release("v0").current
    host.release("v1")
    host.swap("v2", run="7")
    assert both(host, Meant(run="7"), oldest).current == oldest
    assert host.settled() == oldest


@pytest.mark.parametrize("meant", [Meant("v2"), Meant(run="7")])
def test_what_is_named_is_not_where_it_goes(host, meant):
    """A second release of the version, with another configuration, by the same run."""
    first = host.release("v1").current
    host.release("v2", run="7")
    host.write_unit("other", "shop@.service")
    host.release("v2", run="7")
    assert both(host, meant).current == first
    assert not both(host, meant).changed
    assert host.settled() == first


def test_a_run_with_two_releases_takes_back_both(host):
    first = host.release("v1", run="6").current
    host.release("v2", run="7")
    host.release("v3", run="7")
    assert both(host, Meant(run="7")).current == first
    assert not both(host, Meant(run="7")).changed


@pytest.mark.parametrize("meant", [Meant("v2"), Meant(run="7")])
def test_what_waits_goes_with_what_it_was_to_follow(host, meant):
    first = host.release("v1", run="6").current
    second = host.release("v2", run="7").current
    host.write_unit("other", "shop@.service")
    host.swap("v2", run="7")
    twin = host.engine().predict_rollback(second, meant)
    assert (twin.changed, twin.current) == (True, second)
    assert both(host, meant).current == first
    assert not both(host, meant).changed
    assert host.settled() == first


def test_a_run_goes_back_to_what_another_run_has_brought_in_the_same_version(host):
    host.release("v1")
    first = host.release("v2", run="6").current
    host.write_unit("other", "shop@.service")
    host.release("v2", run="7")
    assert both(host, Meant(run="7")).current == first


def test_nothing_but_what_is_named_to_go_back_to(host):
    host.release("v2")
    host.write_unit("other", "shop@.service")
    second = host.release("v2").current
    for act in (host.engine().predict_rollback, host.engine().rollback):
        with pytest.raises(SlipwayError) as caught:
            act(None, Meant("v2"))
        assert caught.value.code == "no_last_good"
    assert host.settled() == second


def damage(host):
    with open(os.path.join(host.layout.state, "state.json"), "w", encoding="utf-8") as stream:
        stream.write("{")


def test_the_journal_tells_whose_release_waits_and_until_when(host):
    first = host.release("v1").current
    host.swap("v2", run="6")
    host.swap("v2", run="7")  # which goes on with it
    left = host.store.load()
    damage(host)
    with host.store.locked(0):
        host.store.repair()
    assert (host.store.load().run, host.store.load().deadline) == ("7", left.deadline)
    damage(host)
    assert host.engine().rollback(None, Meant(run="7")).current == first
    assert host.settled() == first


def test_a_journal_that_does_not_tell_the_run(host):
    """That of a version before this one."""
    host.release("v1")
    host.swap("v2", run="7")
    path = os.path.join(host.layout.state, "journal.jsonl")
    with open(path, encoding="utf-8") as stream:
        events = [json.loads(line) for line in stream]
    with open(path, "w", encoding="utf-8") as stream:
        for event in events:
            event = {k: v for k, v in event.items() if event["event"] != "phase" or k not in ("run", "deadline")}
            stream.write(json.dumps(event) + "\n")
    damage(host)
    with host.store.locked(0):
        host.store.repair()
    assert (host.store.load().run, host.store.load().deadline) == ("", None)


def test_nothing_said_and_an_empty_answer():
    assert parse_meant(None, None) is None
    assert parse_meant("2.0.0", None) == Meant("2.0.0")
    for of, run in (("", None), (None, " "), ("2.0.0", "")):
        with pytest.raises(SlipwayError) as caught:
            parse_meant(of, run)
        assert caught.value.code == "empty_of"


@pytest.mark.parametrize("given", ["{{ awx_workflow_job_id }}", " {{x"])
def test_a_variable_that_nobody_has_filled_in_is_refused(given):
    """AWX hands over the extra variables of a launch as they are."""
    for of, run in ((given, None), (None, given)):
        with pytest.raises(SlipwayError) as caught:
            parse_meant(of, run)
        assert caught.value.code == "not_filled_in"
        assert given.strip() in caught.value.message
        assert "job template" in caught.value.fix


def test_blanks_around_a_name_do_not_count(host):
    assert parse_meant(" 2.0.0", "7 \n") == Meant("2.0.0", "7")
    first = host.release("v1").current
    host.release("v2", run="7 ")
    assert both(host, parse_meant(None, "7")).current == first

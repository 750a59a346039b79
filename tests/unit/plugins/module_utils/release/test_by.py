# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who has released, from where and why: bounded, on one line, and kept however the transaction ends."""

from __future__ import annotations

import json

import pytest
from ansible_collections.slipway.go.plugins.module_utils._host import journald
from ansible_collections.slipway.go.plugins.module_utils._release.by import LIMITS, describe_by, parse_by
from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Host
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused
from hypothesis import given
from hypothesis import strategies as st

ALICE = {"person": "alice", "controller": "ctl1", "job": "AWX job 42", "reason": "repairs the checkout"}


@pytest.fixture
def host(memory, monkeypatch):
    return Host(memory).install(monkeypatch)


def engine(host, by):
    return Engine(host.settings(), host.layout, host.systemd, by)


def test_in_words():
    assert describe_by(ALICE) == "alice on ctl1 (AWX job 42): repairs the checkout"
    assert describe_by({"person": "alice"}) == "alice"
    assert describe_by({"controller": "ctl1"}) == "somebody on ctl1"
    assert describe_by({"reason": "why not"}) == "why not"
    assert describe_by({}) == ""


@given(st.dictionaries(st.sampled_from([*LIMITS, "other"]), st.none() | st.integers() | st.text()))
def test_what_is_kept_is_short_and_on_one_line(by):
    kept = parse_by(by)
    assert set(kept) <= set(LIMITS)
    for name, text in kept.items():
        assert 0 < len(text) <= LIMITS[name]
        assert text.isprintable()
    assert parse_by(kept) == kept


def test_the_one_who_confirms_is_not_the_one_who_has_released(host):
    host.release("v1")
    unconfirmed = engine(host, ALICE).release(host.spec("v2")).unconfirmed
    assert unconfirmed
    engine(host, {"person": "root", "controller": "this host"}).confirm(unconfirmed)
    assert host.store.journal.last_outcome()["by"] == ALICE


def test_status_and_history_name_who_has_brought_what_serves(host):
    engine(host, ALICE).release(host.spec("v1"))
    assert Operator(host.settings(), host.layout, host.systemd).status(0)["by"] == ALICE
    assert host.store.journal.history()[-1]["by"] == ALICE


def test_a_rollback_is_that_of_who_has_asked_for_it(host):
    engine(host, ALICE).release(host.spec("v1"))
    host.release("v2")
    engine(host, {"person": "bob", "reason": "pages are slow"}).rollback()
    assert host.store.journal.last_outcome()["by"] == {"person": "bob", "reason": "pages are slow"}


def test_a_release_that_failed_and_one_that_was_cut_short_name_who_has_tried(host):
    host.release("v1")
    host.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: engine(host, ALICE).release(host.spec("v2")), "rolled_back")
    assert host.store.journal.last_outcome()["by"] == ALICE
    engine(host, ALICE).release(host.spec("v3"))
    host.reboot()
    last = host.store.journal.last_outcome()
    assert (last["event"], last["by"]) == ("rolled_back", ALICE)


def test_it_is_found_again_where_the_state_is_damaged(host):
    host.release("v1")
    engine(host, ALICE).release(host.spec("v2"))
    with open(host.store._state, "w", encoding="utf-8") as stream:
        stream.write("{")
    host.expire()
    assert host.store.journal.last_outcome()["by"] == ALICE


def test_without_a_word_nothing_is_kept(host):
    host.release("v1")
    assert "by" not in host.store.journal.last_outcome()
    assert Operator(host.settings(), host.layout, host.systemd).status(0)["by"] == {}


def test_the_log_gets_fields(host):
    engine(host, ALICE).release(host.spec("v1"))
    (entry,) = host.log
    release = host.id_of("v1")
    assert entry["MESSAGE"] == (f"shop: {release} is the release (by alice on ctl1 (AWX job 42): repairs the checkout)")
    assert entry["SLIPWAY_SERVICE"] == "shop"
    assert entry["SLIPWAY_RELEASE"] == release
    assert (entry["SLIPWAY_EVENT"], entry["PRIORITY"]) == ("committed", "5")
    assert (entry["SLIPWAY_PERSON"], entry["SLIPWAY_REASON"]) == ("alice", "repairs the checkout")


def test_the_log_gets_failures_as_errors(host):
    host.release("v1")
    host.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: host.release("v2"), "rolled_back")
    assert (host.log[-1]["SLIPWAY_EVENT"], host.log[-1]["PRIORITY"]) == ("rolled_back", "3")
    assert host.log[-1]["SLIPWAY_PREVIOUS"] == host.id_of("v1")


def test_a_host_without_a_log_releases_all_the_same(host, monkeypatch):
    def fail(_fields):
        raise OSError("no journald")

    monkeypatch.setattr(journald, "send", fail)
    host.release("v1")
    assert host.settled() == host.id_of("v1")


def test_an_older_state_has_nobody(host):
    host.release("v1")
    host.swap("v2")
    with open(host.store._state, encoding="utf-8") as stream:
        state = json.load(stream)
    del state["by"]
    with open(host.store._state, "w", encoding="utf-8") as stream:
        json.dump(state, stream)
    host.engine().confirm()
    assert host.settled() == host.id_of("v2")


def test_who_takes_back_what_waits_is_named_and_not_who_has_released_it(host):
    host.release("v1")
    assert engine(host, ALICE).release(host.spec("v2")).unconfirmed
    engine(host, {"person": "bob", "reason": "pages are slow"}).rollback()
    last = host.store.journal.last_outcome()
    assert (last["event"], last["by"]) == ("rolled_back", {"person": "bob", "reason": "pages are slow"})


def test_the_watch_is_nobody(host):
    host.release("v1")
    assert engine(host, ALICE).release(host.spec("v2")).unconfirmed
    host.engine().roll_back_automatically(host.id_of("v2"), "it crashed")
    assert "by" not in host.store.journal.last_outcome()


def test_a_refusal_names_who_has_tried_and_is_logged(host):
    host.rehearse()
    host.behaviours["v1"] = Behaviour(healthy=False)
    refused(lambda: engine(host, ALICE).release(host.spec("v1")), "refused")
    assert host.store.journal.last_outcome()["by"] == ALICE
    assert (host.log[-1]["SLIPWAY_EVENT"], host.log[-1]["SLIPWAY_PERSON"]) == ("refused", "alice")

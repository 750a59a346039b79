# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A damaged state is rebuilt from the journal."""

from __future__ import annotations

import os

import pytest
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

DAMAGES = {"truncated": '{"txn": "', "empty": "", "a list": "[]", "wrong types": '{"txn": 1, "phase": [], "to": 7}'}


def damage(host, text):
    path = os.path.join(host.layout.state, "state.json")
    if os.path.exists(path):
        os.unlink(path)
    if text is None:
        os.mkdir(path)
        return
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


@pytest.mark.parametrize("text", [*DAMAGES.values(), None], ids=[*DAMAGES, "a directory"])
def test_a_damaged_state_is_rebuilt_from_the_journal(host, text):
    """The release that waited to be confirmed is taken back at its deadline all the same."""
    first = host.release("v1").current
    second = host.swap("v2").unconfirmed
    whole = host.store.load()
    damage(host, text)
    host.store.repair()
    found = host.store.load()
    assert (found.txn, found.to, found.source, found.phase) == (second, whole.to, first, whole.phase)
    assert (found.kind, found.strategy) == (whole.kind, whole.strategy)
    damage(host, text)
    host.expire()
    assert host.settled() == first
    assert host.release("v2").current == host.settled()


@pytest.mark.parametrize("act", ["release", "rollback", "recover"])
@pytest.mark.parametrize("text", [*DAMAGES.values(), None], ids=[*DAMAGES, "a directory"])
def test_a_damaged_state_with_nothing_in_flight_stops_nobody(host, text, act):
    first, second = (host.release(version).current for version in ("v1", "v2"))
    damage(host, text)
    acts = {"release": lambda: host.release("v3").current, "rollback": lambda: host.rollback().current}
    wanted = {"release": host.id_of("v3"), "rollback": first, "recover": second}[act]
    acts.get(act, host.engine().recover)()
    assert host.settled() == wanted
    assert os.path.lexists(os.path.join(host.layout.state, "state.json.damaged"))


def test_a_damaged_state_without_a_journal_is_not_guessed_at(host):
    host.release("v1")
    host.swap("v2")
    os.unlink(os.path.join(host.layout.state, "journal.jsonl"))
    damage(host, "{")
    error = refused(host.rollback, "damaged_state")
    assert "does not say what was in flight" in str(error)
    assert host.layout.current_id() == host.id_of("v2")
    assert not os.path.exists(os.path.join(host.layout.state, "state.json.damaged"))


def test_a_release_that_says_nothing_of_itself_is_known_from_the_journal(host):
    first = host.release("v1").current
    host.forget(first)
    with open(os.path.join(host.layout.release(first), "release.json"), "w", encoding="utf-8") as stream:
        stream.write("{")
    second = host.release("v2")
    assert (second.downtime_seconds is None) == (host.strategy == "socket")
    error = refused(lambda: host.rollback(first), "damaged_release")
    assert "release.json is not readable" in str(error)
    refused(host.rollback, "no_last_good")
    assert host.settled() == second.current

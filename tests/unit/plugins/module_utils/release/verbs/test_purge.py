# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A purged release is gone, and nothing that is needed goes with it."""

from __future__ import annotations

import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release import stage
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Killed
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


def test_a_purged_release_is_gone_with_all_that_it_came_with(host):
    ids = [host.release(f"v{number}").current for number in range(1, 4)]
    slot = os.path.join(host.layout.slots, f"{ids[0]}.env")
    os.makedirs(host.layout.slots, exist_ok=True)
    with open(slot, "w", encoding="utf-8") as stream:
        stream.write("PORT=1\n")
    assert host.engine().purge([ids[0]], predict=True) == [ids[0]]
    assert host.layout.staged() == ids
    assert host.engine().purge([ids[0], "no-such"]) == [ids[0]]
    assert host.layout.staged() == ids[1:]
    assert not os.path.exists(slot)
    assert sorted(os.listdir(host.layout.releases)) == sorted(ids[1:])
    last = host.store.journal.events()[-1]
    assert (last["event"], last["release"]) == ("purged", ids[0])
    assert host.engine().purge([ids[0]]) == []
    assert host.store.journal.events()[-1] == last, "a second time changes nothing"
    assert host.rollback().current == ids[1]


def test_a_purge_that_was_cut_short_is_finished_by_the_next_one(host, monkeypatch):
    first = host.release("v1").current
    host.release("v2")
    remove_tree = stage._files.remove_tree

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(stage._files, "remove_tree", killed)
    with pytest.raises(KeyboardInterrupt):
        host.engine().purge([first])
    monkeypatch.setattr(stage._files, "remove_tree", remove_tree)
    assert any(first in name for name in os.listdir(host.layout.releases))
    assert host.engine().purge([first]) == []
    assert not any(first in name for name in os.listdir(host.layout.releases))


def test_a_version_stands_for_all_its_releases_and_others_for_all_but_what_serves(host):
    ids = [host.release(version).current for version in ("v1", "v2", "v3", "v4")]
    assert host.engine().purge(["v1"]) == [ids[0]]
    assert host.engine().purge(["others"]) == ids[1:3]
    assert host.layout.staged() == [ids[3]]
    refused(host.rollback, "no_last_good")
    assert host.settled() == ids[3]


def test_what_is_needed_is_not_purged_and_nothing_else_is_either(host):
    first, second = (host.release(version).current for version in ("v1", "v2"))
    error = refused(lambda: host.engine().purge([first, second]), "release_needed")
    assert "serves now" in str(error)
    assert host.layout.staged() == [first, second]
    third = host.swap("v3").current
    for needed, why in ((second, "the swap in flight"), (third, "serves now")):
        refused(lambda needed=needed: host.engine().purge([needed], predict=True), "release_needed")
        assert why in str(refused(lambda needed=needed: host.engine().purge([needed]), "release_needed"))
    assert host.layout.staged() == [first, second, third]
    assert host.engine().purge([first]) == [first]


def test_a_purge_that_was_killed_is_finished_by_the_next_run(host, monkeypatch):
    def die(_path):
        raise Killed

    first, second = (host.release(version).current for version in ("v1", "v2"))
    monkeypatch.setattr(stage._files, "remove_tree", die)
    with pytest.raises(Killed):
        host.engine().purge([first])
    monkeypatch.undo()
    assert host.layout.staged() == [second]
    assert host.store.journal.events()[-1]["event"] == "purged"
    stage.collect_leftovers(host.layout)
    assert os.listdir(host.layout.releases) == [second]

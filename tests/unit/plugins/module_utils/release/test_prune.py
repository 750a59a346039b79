# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Old releases go, and never one that a rollback would need."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release import stage
from ansible_collections.slipway.go.plugins.module_utils._release.context import Context
from ansible_collections.slipway.go.plugins.module_utils._release.verbs.rollback import automatic_target
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


def test_prune_keeps_the_newest(host):
    host.keep = 2
    ids = [host.release(f"v{number}").current for number in range(1, 5)]
    assert host.layout.staged() == ids[-2:]


def test_prune_never_takes_what_is_needed(host):
    host.keep = 2
    first = host.release("v1").current
    for version in ("v2", "v3", "v4"):
        host.behaviours[version] = Behaviour(healthy=False)
        refused(lambda version=version: host.release(version), "rolled_back")
    last = host.release("v5").current
    assert host.layout.staged() == [first, last]
    assert host.rollback().current == first


@pytest.mark.parametrize("keep", [2, 5])
def test_refused_releases_never_take_the_way_back_along(host, keep):
    host.keep = keep
    host.rehearse()
    first, second = (host.release(version).current for version in ("v1", "v2"))
    for number in range(keep + 1):
        host.behaviours[f"bad{number}"] = Behaviour(healthy=False)
        refused(lambda number=number: host.release(f"bad{number}"), "refused")
    last = host.id_of(f"bad{keep}")
    assert {first, second, last} <= set(host.layout.staged())
    assert len(host.layout.staged()) == max(keep, 3)
    assert automatic_target(Context(host.settings(), host.layout, host.systemd), second) == first
    assert host.rollback(first).current == first


def test_what_was_never_good_goes_before_what_was(host):
    host.keep = 4
    host.rehearse()
    good = [host.release(f"v{number}").current for number in range(3)]
    for version in ("bad1", "bad2"):
        host.behaviours[version] = Behaviour(healthy=False)
        refused(lambda version=version: host.release(version), "refused")
    assert set(host.layout.staged()) == {*good, host.id_of("bad2")}


def test_a_rollback_leaves_a_release_to_go_back_to(host):
    first, second, third = (host.release(version).current for version in ("v1", "v2", "v3"))
    host.keep = 2
    assert host.rollback().current == second
    assert set(host.layout.staged()) == {first, second, third}


@pytest.fixture
def disk(host, monkeypatch):
    """A disk that has room for a release while no more than `fits` are on it."""

    def make(fits):
        def statvfs(_path):
            free = 1 if len(host.layout.staged()) > fits else 1 << 20
            return SimpleNamespace(f_bavail=free, f_frsize=4096, f_files=0, f_flag=0)

        monkeypatch.setattr(os, "statvfs", statvfs)

    return make


def test_what_serves_already_is_accepted_on_a_full_disk(host, disk):
    host.release("v1")
    disk(0)
    foreseen = host.engine().predict(host.spec("v1"))
    assert (foreseen.changed, foreseen.action) == (False, "none") == (False, host.release("v1").action)


def test_on_a_full_disk_what_is_beyond_keep_goes_before_the_release_is_refused(host, disk):
    ids = [host.release(f"v{number}").current for number in range(1, 5)]
    disk(2)
    refused(lambda: host.release("v5"), "disk_full")
    assert host.layout.staged() == ids, "nothing is beyond keep"
    host.keep = 2
    last = host.release("v5").current
    assert host.settled() == last
    assert set(host.layout.staged()) == {ids[-1], last}


def test_a_full_disk_never_takes_the_way_back(host, disk):
    first, second = (host.release(version).current for version in ("v1", "v2"))
    host.behaviours["bad"] = Behaviour(healthy=False)
    refused(lambda: host.release("bad"), "rolled_back")
    host.keep = 2
    disk(0)
    refused(lambda: host.release("v3"), "disk_full")
    assert set(host.layout.staged()) == {first, second}
    assert host.rollback().changed is False, "the refused one counts as gone back from"
    assert host.rollback(first).current == first


def test_with_a_lost_link_a_full_disk_leaves_what_the_release_would_fall_back_to(host, disk):
    _older, first, second = (host.release(version).current for version in ("v0", "v1", "v2"))
    host.keep = 2
    os.utime(host.layout.release(first), (0, 0))
    os.unlink(host.layout.current)
    disk(0)
    refused(lambda: host.release("v2"), "disk_full")
    assert host.layout.staged() == [first, second]


def test_releases_that_are_rolled_back_do_not_pile_up(host):
    host.keep = 3
    first, second = (host.release(version).current for version in ("v1", "v2"))
    for number in range(5):
        host.behaviours[f"bad{number}"] = Behaviour(healthy=False)
        refused(lambda number=number: host.release(f"bad{number}"), "rolled_back")
        assert set(host.layout.staged()) == {first, second, host.id_of(f"bad{number}")}
    assert host.rollback(first).current == first


def test_old_releases_that_cannot_be_deleted_fail_nothing(host, monkeypatch):
    host.keep = 2
    host.release("v1")
    host.behaviours["bad"] = Behaviour(healthy=False)

    def broken(*_arguments):
        raise OSError(5, "Input/output error", "releases")

    monkeypatch.setattr(stage, "prune", broken)
    host.release("v2")
    refused(lambda: host.release("bad"), "rolled_back")
    assert host.release("v3").pruned == []
    assert host.settled() == host.id_of("v3")


def test_a_smaller_keep_is_taken_over_at_once(host):
    ids = [host.release(f"v{number}").current for number in range(1, 5)]
    host.keep = 2
    done = host.release("v4")
    assert (done.action, done.pruned, host.layout.staged()) == ("settings", ids[:2], ids[2:])


def test_what_is_beyond_keep_goes_with_a_run_that_has_nothing_else_to_do(host):
    ids = [host.release(f"v{number}").current for number in range(1, 5)]
    settings = replace(host.settings(), keep=2)
    host.store.save_settings(settings)
    host.keep = 2
    foreseen = host.engine().predict(host.spec("v4"))
    assert (foreseen.changed, foreseen.action, foreseen.pruned) == (True, "prune", ids[:2])
    done = host.release("v4")
    assert (done.changed, done.action, done.pruned, host.layout.staged()) == (True, "prune", ids[:2], ids[2:])
    again = host.release("v4")
    assert (again.changed, again.action) == (False, "none")


def test_a_confirmation_from_the_host_prunes_by_the_new_keep(host):
    ids = [host.release(f"v{number}").current for number in range(1, 4)]
    host.keep = 2
    waits = host.swap("v4").unconfirmed
    host.keep = 5  # what the tool on the host knows until the release counts
    host.engine().confirm(waits)
    assert host.layout.staged() == [ids[2], host.settled()]

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each file of a release changed by hand, before each door through which it could start: nothing foreign ever runs."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from types import SimpleNamespace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import gate, integrity
from ansible_collections.slipway.go.plugins.module_utils._release.operator import operator, watch
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator, WatchOptions
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Host, read

STRATEGIES = ("socket", "proxy", "reload", "restart")
FOREIGN = "FOREIGN"
# In their order of importance; the rest of the units is of the strategy `socket`.
FILES = (
    "bin/shop",
    "environment",
    "config/shop.toml",
    "config/conf.d/more.toml",
    "credentials/password",
    "units/shop@.service",
    "units/shop.socket",
    "units/shop-guard.service",
    "release.json",
)


def changed(path):
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(FOREIGN)


def replaced(path):
    with open(f"{path}.new", "w", encoding="utf-8") as stream:
        stream.write(FOREIGN)
    os.rename(f"{path}.new", path)


def linked(path):
    """To a place that is no part of the release."""
    elsewhere = os.path.join(os.path.dirname(path), "../../../elsewhere")
    with open(elsewhere, "w", encoding="utf-8") as stream:
        stream.write(FOREIGN)
    os.unlink(path)
    os.symlink(elsewhere, path)


def moved(path):
    """The same bytes, for now, in a place where others may change them."""
    elsewhere = os.path.join(os.path.dirname(path), "../../../elsewhere")
    shutil.move(path, elsewhere)
    os.symlink(elsewhere, path)


def hard_linked(path):
    elsewhere = os.path.join(os.path.dirname(path), "../../../elsewhere")
    with open(elsewhere, "w", encoding="utf-8") as stream:
        stream.write(FOREIGN)
    os.unlink(path)
    os.link(elsewhere, path)


HOW = (changed, replaced, linked, moved, hard_linked, os.unlink)


@pytest.fixture
def make(memory, monkeypatch):
    """Hosts whose starts are looked at: what of a release systemd and the service read then."""
    number = 0

    def make(strategy):
        nonlocal number
        number += 1
        host = Host(os.path.join(memory, str(number)), strategy).install(monkeypatch)
        host.answer, host.foreign = "pass", []
        os.makedirs(os.path.join(host.layout.config, "config", "conf.d"))
        os.makedirs(os.path.join(host.layout.config, "credentials"))
        for name in ("config/conf.d/more.toml", "credentials/password"):
            with open(os.path.join(host.layout.config, name), "w", encoding="utf-8") as stream:
                stream.write(f"the content of {name}\n")

        def look(release_id):
            folder = host.layout.release(release_id)
            for name in FILES[:5]:
                path = os.path.join(folder, name)
                if not os.path.exists(path) or FOREIGN in read(path):
                    host.foreign.append(f"{release_id}: {name}")
            host.foreign += [unit for unit, text in host.systemd.loaded.items() if FOREIGN in text]

        host.systemd.on_start = look
        monkeypatch.setattr(operator, "time", host.clock)
        answer = SimpleNamespace(reason="status", message="it says so", latency={})
        monkeypatch.setattr(gate, "judge", lambda check: SimpleNamespace(**{**vars(answer), "state": host.answer}))
        return host

    return make


def refused(act, code="damaged_release"):
    with pytest.raises(SlipwayError) as caught:
        act()
    assert caught.value.code == code, str(caught.value)
    return caught.value


def watched(host, times=6, rollback=5):
    """What the watch has done."""
    options = WatchOptions(watch.Policy(fall=2, rollback=rollback))
    found = []
    for _ignored in range(times):
        found.append(Operator(host.settings(), host.layout, host.systemd).watch(options).action)
        host.clock.sleep(10)
    return found


def runs_as_before(host, pid, release_id):
    found = host.systemd.instance(release_id)
    return (found.state, found.pid) == ("active", pid)


def pid_of(host, release_id):
    return host.systemd.instance(release_id).pid


# The doors. Each gets a host and a function that damages a release, and says whether what is right happened.


def rollback(host, damage):
    first, second = (host.release(v).current for v in ("v1", "v2"))
    damage(first)
    error = refused(host.rollback)
    assert first in error.message
    assert "release another version" in error.fix
    refused(lambda: host.engine().predict_rollback())
    assert host.settled() == second


def rollback_to_a_name(host, damage):
    first, second, third = (host.release(v).current for v in ("v1", "v2", "v3"))
    damage(second)
    error = refused(lambda: host.rollback(second))
    assert error.fix.startswith(f"run sudo slipway rollback shop {first}")
    assert host.settled() == third
    assert host.rollback(first).current == first


def rollback_from(host, damage):
    first, second = (host.release(v).current for v in ("v1", "v2"))
    damage(second)
    assert host.rollback().current == first
    assert host.settled() == first


def an_upgrade_from(host, damage):
    second = host.release("v1").current
    damage(second)
    assert host.settled() != host.release("v2").current == host.settled()


def an_automatic_rollback(host, damage):
    first, second, third = (host.release(v).current for v in ("v1", "v2", "v3"))
    damage(second)
    assert host.engine().roll_back_automatically(third, "it crashes").current == first
    assert host.settled() == first


def the_undo_of_a_release(host, damage):
    """What served is gone when the new one turns out to be sick."""
    first, second = (host.release(v).current for v in ("v1", "v2"))
    host.behaviours["v3"] = Behaviour(sick_after=3)
    damage(second)
    assert refused(lambda: host.release("v3"), "rolled_back").details["current"] == first
    assert host.settled() == first


def the_undo_of_a_release_where_nothing_else_is_whole(host, damage):
    first = host.release("v1").current
    host.behaviours["v2"] = Behaviour(sick_after=3)
    damage(first)
    error = refused(lambda: host.release("v2"), "rollback_failed")
    assert first in error.message
    assert host.systemd.serving() == [host.id_of("v2")], "better a sick one than none"
    host.reboot()
    with_it = host.systemd.running()
    assert with_it in ([], [host.id_of("v2")])


def a_recovery(host, damage):
    first, second = (host.release(v).current for v in ("v1", "v2"))
    host.swap("v3")
    damage(second)
    host.expire()
    assert host.settled() == first


def confirm(host, damage):
    first = host.release("v1").current
    waiting = host.swap("v2")
    damage(waiting.current)
    error = refused(lambda: host.engine().confirm(waiting.unconfirmed), "rolled_back")
    assert waiting.current in error.message
    assert host.settled() == first


def the_same_release_again(host, damage):
    """It serves, and nobody knows what else was changed: evidence is kept."""
    release_id = host.release("v1").current
    pid = pid_of(host, release_id)
    damage(release_id)
    for force in (False, True):
        spec = host.spec("v1", force=force)
        refused(lambda spec=spec: host.engine().release(spec))
        refused(lambda spec=spec: host.engine().predict(spec))
    assert runs_as_before(host, pid, release_id)


def an_older_release_again(host, damage):
    first, _second = (host.release(v).current for v in ("v1", "v2"))
    damage(first)
    assert host.release("v1").current == first
    assert host.settled() == first
    assert not integrity.differences(host.layout, first)


def boot(host, damage):
    release_id = host.release("v1").current
    damage(release_id)
    host.reboot()
    host.systemd.connect()
    assert host.systemd.running() == []
    assert watched(host)[0] == watch.ALERT, "the host tells that it has started nothing"
    assert host.release("v2").current == host.settled()


def boot_with_an_earlier_release(host, damage):
    first, second = (host.release(v).current for v in ("v1", "v2"))
    damage(second)
    host.reboot()
    assert host.systemd.running() == []
    assert watch.ROLLBACK in watched(host)
    assert host.settled() == first


def guard(host, damage):
    release_id = host.release("v1").current
    damage(release_id)
    host.systemd.instance(release_id).state = "inactive"
    host.systemd.connect()
    assert host.systemd.running() == []


def a_crash(host, damage):
    """PID 1 starts it again by itself (Restart=), again and again."""
    first, second = (host.release(v).current for v in ("v1", "v2"))
    damage(second)
    found = host.systemd.instance(second)
    found.state, found.pid, found.behaviour.loops = "activating", 0, True
    assert watch.ROLLBACK in watched(host)
    assert host.settled() == first


def systemctl_restart(host, damage):
    release_id = host.release("v1").current
    damage(release_id)
    with contextlib.suppress(SlipwayError):
        host.systemd.restart_service()
    assert host.systemd.running() == []


def systemctl_reload(host, damage):
    release_id = host.release("v1").current
    pid = pid_of(host, release_id)
    damage(release_id)
    host.systemd.call("reload", "shop@current.service")
    host.systemd.call("show", "shop@current.service")
    assert runs_as_before(host, pid, release_id)


def the_watch_of_one_that_is_well(host, damage):
    _first, second = (host.release(v).current for v in ("v1", "v2"))
    pid = pid_of(host, second)
    assert watched(host, 1) == [watch.NOTHING]
    damage(second)
    assert watched(host) == [watch.ALERT, *[watch.NOTHING] * 5]
    assert runs_as_before(host, pid, second)


def the_watch_of_one_that_is_sick(host, damage):
    first, second = (host.release(v).current for v in ("v1", "v2"))
    damage(second)
    host.answer = "fail"
    assert watched(host, 2) == [watch.ALERT, watch.ROLLBACK]
    assert host.settled() == first


def the_watch_where_there_is_no_way_back(host, damage):
    release_id = host.release("v1").current
    pid = pid_of(host, release_id)
    damage(release_id)
    host.answer = "fail"
    assert set(watched(host)) == {watch.ALERT, watch.NOTHING}
    assert runs_as_before(host, pid, release_id)


def the_role(host, damage):
    release_id = host.release("v1").current
    pid = pid_of(host, release_id)
    damage(release_id)
    host.apply_role()
    assert runs_as_before(host, pid, release_id)


DOORS = (
    rollback,
    rollback_to_a_name,
    rollback_from,
    an_upgrade_from,
    an_automatic_rollback,
    the_undo_of_a_release,
    the_undo_of_a_release_where_nothing_else_is_whole,
    a_recovery,
    confirm,
    the_same_release_again,
    an_older_release_again,
    boot,
    boot_with_an_earlier_release,
    guard,
    a_crash,
    systemctl_restart,
    systemctl_reload,
    the_watch_of_one_that_is_well,
    the_watch_of_one_that_is_sick,
    the_watch_where_there_is_no_way_back,
    the_role,
)


# Where PID 1 acts by itself, it has the digests of what a start reads checked, and of the units.
BY_PID_1 = (boot, guard, a_crash, systemctl_restart, systemctl_reload)
ONLY = {guard: "socket", systemctl_reload: "reload"}
# `make tamper` plays all; else each file and way of damage is played once at each door, the strategies take turns.
EVERYTHING = os.environ.get("SLIPWAY_TAMPER") == "all"


def plays(door, strategy):
    files = [f for f in FILES if strategy == "socket" or f not in ("units/shop.socket", "units/shop-guard.service")]
    turn = 0 if door in ONLY else STRATEGIES.index(strategy)
    for number, (name, how) in enumerate(itertools.product(files, HOW)):
        silent = how is moved or name == "release.json"
        if not (silent and door in BY_PID_1) and (EVERYTHING or number % len(STRATEGIES) == turn):
            yield name, how


@pytest.mark.parametrize(
    ("door", "strategy"),
    [(door, strategy) for door in DOORS for strategy in STRATEGIES if ONLY.get(door, strategy) == strategy],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_nothing_foreign_ever_runs(make, door, strategy):
    """Most doors lead a host through two or three releases."""
    for name, how in plays(door, strategy):
        host = make(strategy)

        def damage(release_id, host=host, name=name, how=how):
            how(os.path.join(host.layout.release(release_id), name))

        case = f"{name} {how.__name__}"
        try:
            door(host, damage)
        except (AssertionError, SlipwayError, pytest.fail.Exception) as error:
            raise AssertionError(f"{case}: {error}") from error
        assert host.foreign == [], case
        assert not [unit for unit, text in host.systemd.loaded.items() if FOREIGN in text], case


@pytest.mark.parametrize(("name", "how"), [("bin/shop", moved), ("release.json", changed), ("release.json", os.unlink)])
def test_pid_1_starts_the_same_bytes_from_elsewhere_and_the_watch_tells(make, name, how):
    host = make("socket")
    release_id = host.release("v1").current
    how(os.path.join(host.layout.release(release_id), name))
    host.systemd.instance(release_id).state = "inactive"
    host.systemd.connect()
    assert host.systemd.running() == [release_id]
    assert host.foreign == []
    assert watched(host, 1) == [watch.ALERT]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
@pytest.mark.parametrize("place", ["root", "releases"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_folder_that_belongs_to_another_user_stops_nothing(make, strategy, place):
    """It may have been so for months: no start has been since, and none would succeed."""
    host = make(strategy)
    first, second = (host.release(v).current for v in ("v1", "v2"))
    pid, path = pid_of(host, second), getattr(host.layout, place)
    os.chown(path, 1234, -1)
    for version, force in itertools.product(("v1", "v3"), (False, True)):
        spec = host.spec(version, force=force)
        for act in (host.engine().release, host.engine().predict):
            found = refused(lambda act=act, spec=spec: act(spec), "foreign_owner")
            assert f"chown root {path}" in str(found)
    for act in (
        host.rollback,
        host.engine().predict_rollback,
        lambda: host.rollback(first),
        lambda: host.release("v2"),
        lambda: host.engine().predict(host.spec("v2")),
        lambda: integrity.verify(host.layout, host.store, second),
    ):
        assert refused(act).fix.startswith(f"run chown root {path}")
    assert watched(host)[0] == watch.ALERT
    assert runs_as_before(host, pid, second)
    assert host.settled() == second
    os.chown(path, os.geteuid(), -1)
    assert host.release("v3").current == host.settled()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_folder_that_is_given_away_before_the_confirmation(make, strategy):
    host = make(strategy)
    host.release("v1")
    waiting = host.swap("v2")
    os.chown(host.layout.root, 1234, -1)
    refused(lambda: host.engine().confirm(waiting.unconfirmed))
    assert host.systemd.serving() == [waiting.current]
    os.chown(host.layout.root, os.geteuid(), -1)
    assert host.engine().confirm(waiting.unconfirmed).current == host.settled()


def lose(host, *release_ids):
    """All that is kept of these releases beside them; without a name, of all."""
    for name in os.listdir(host.layout.released):
        if not release_ids or name.startswith(release_ids):
            os.unlink(os.path.join(host.layout.released, name))


def whole(host, release_id):
    return integrity.kept(host.layout, release_id) and not integrity.differences(host.layout, release_id)


@pytest.mark.parametrize("which", ["its own", "all"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("after", ["reboot", "watch and reboot", "rollback", "failed swap", "the same", "release"])
def test_lost_digests_are_written_again_where_the_id_confirms_them(make, strategy, which, after):
    host = make(strategy)
    first, second = (host.release(v).current for v in ("v1", "v2"))
    lose(host, *({"rollback": [first]}.get(after, [second]) if which == "its own" else []))
    if after == "watch and reboot":
        assert watched(host, 1) == [watch.NOTHING]
        assert whole(host, second)
    if "reboot" in after:
        host.reboot()
    elif after == "rollback":
        host.engine().predict_rollback()
        assert not os.path.exists(host.layout.sums(first)), "check mode changes nothing"
        assert host.rollback().current == first
    elif after == "failed swap":
        host.behaviours["v3"] = Behaviour(sick_after=3)
        refused(lambda: host.release("v3"), "rolled_back")
    else:
        host.release("v2" if after == "the same" else "v3")
    expected = {"rollback": first, "release": host.id_of("v3")}.get(after, second)
    assert host.settled() == expected
    assert whole(host, expected)
    host.reboot()
    assert host.settled() == expected


def of_an_archive(host, release_id):
    """Its id stands for the archive, which is not here any more."""
    digest = "0" * 64
    for path in (os.path.join(host.layout.release(release_id), "release.json"), host.layout.kept_manifest(release_id)):
        if os.path.exists(path):
            text = read(path).replace(
                f'"sha256": "{host.layout.manifest(release_id)["sha256"]}"', f'"sha256": "{digest}"'
            )
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_lost_digests_that_nothing_confirms_are_told_before_anything_stops(make, strategy):
    host = make(strategy)
    first, second = (host.release(v).current for v in ("v1", "v2"))
    for release_id in (first, second):
        lose(host, release_id)
        of_an_archive(host, release_id)
        assert integrity.differences(host.layout, release_id) == ["its digests are missing"]
    pid = pid_of(host, second)
    for act in (
        host.rollback,
        host.engine().predict_rollback,
        lambda: integrity.verify(host.layout, host.store, second),
    ):
        assert "its digests are missing" in str(refused(act))
    assert watched(host, 1) == [watch.ALERT]
    assert runs_as_before(host, pid, second)
    assert host.release("v3").current == host.settled()
    host.reboot()
    assert host.settled() == host.id_of("v3")


def before_units(host, release_id):
    """As a version staged it whose releases had no units of their own."""
    lose(host, release_id)
    folder = host.layout.release(release_id)
    shutil.rmtree(os.path.join(folder, "units"))
    manifest = {k: v for k, v in host.layout.manifest(release_id).items() if k != "units"}
    with open(os.path.join(folder, "release.json"), "w", encoding="utf-8") as stream:
        json.dump(manifest, stream)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("after", ["rollback", "failed swap", "reboot"])
def test_a_release_from_before_releases_had_units_starts_in_a_unit_that_verifies(make, strategy, after):
    """That of its successor, which looks for digests that this one never had."""
    host = make(strategy)
    first = host.release("v1").current
    if after == "rollback":
        host.release("v2")
    before_units(host, first)
    if after == "rollback":
        host.rollback()
    elif after == "failed swap":
        host.behaviours["v3"] = Behaviour(sick_after=3)
        refused(lambda: host.release("v3"), "rolled_back")
    else:
        host.reboot()
    assert host.settled() == first
    assert whole(host, first)
    with open(os.path.join(host.layout.release(first), "environment"), "a", encoding="utf-8") as stream:
        stream.write(FOREIGN)
    assert integrity.differences(host.layout, first) == ["environment has another content"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_release_from_before_releases_had_units_that_was_changed_is_refused(make, strategy):
    host = make(strategy)
    first, second = (host.release(v).current for v in ("v1", "v2"))
    before_units(host, first)
    changed(os.path.join(host.layout.release(first), "bin/shop"))
    refused(host.rollback)
    assert host.settled() == second

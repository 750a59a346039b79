# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is run once for a version runs once, whatever breaks: at every effect of a run, over three runs."""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import once
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Once
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.test_faults import (
    ONE_IN,
    Problems,
    differs,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import NAME, Faults, Host, Killed
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

MIGRATE = ("bin/shop", "migrate")
KEY = Once(MIGRATE).key("v2")


def wish(**changes: Any) -> Once:
    return Once(MIGRATE, **changes)


def attempt(host: Host) -> str:
    return str(host.store.journal.last_once(KEY)["attempt"])


def events(host: Host) -> list[str]:
    return [e["state"] for e in host.store.journal.events() if e["event"] == "once"]


def test_it_runs_before_the_first_swap_and_once_over_three_runs(host):
    host.release("v1")
    outcome = host.release("v2", once=wish())
    assert (outcome.action, outcome.once["state"]) == ("release", "done")
    started = next(c for c in host.systemd.commands if "slipway-once" in c and c.startswith("start"))
    (unit,) = host.migrations
    assert unit in started
    swap = next(c for c in host.systemd.commands if c.endswith(f"{NAME}@{outcome.current}.service") and "start" in c)
    assert host.systemd.commands.index(started) < host.systemd.commands.index(swap)
    for _run in range(2):
        again = host.release("v2", once=wish())
        assert (again.changed, again.action, again.once["state"]) == (False, "none", "done")
    assert host.migrations == [unit]
    assert host.settled() == outcome.current
    assert os.listdir(host.runtime_units) == [], "its unit has done its work"


def test_it_alone_swaps_nothing(host):
    first = host.release("v1").current
    outcome = host.release("v2", once=wish(only=True))
    assert (outcome.changed, outcome.action, outcome.current) == (True, "once", first)
    assert host.settled() == first
    outcome = host.release("v2", once=wish(only=True))
    assert (outcome.changed, outcome.action, len(host.migrations)) == (False, "none", 1)
    host.release("v2", once=wish())
    assert len(host.migrations) == 1


def test_another_configuration_is_another_release_and_runs_nothing_again(host):
    host.release("v2", once=wish())
    other = host.release("v2", once=wish(), environment={"OWN": "other"})
    assert (other.action, len(host.migrations)) == ("release", 1)


@pytest.mark.parametrize("change", [{"version": "v3"}, {"once": Once(("bin/shop", "migrate", "--all"))}])
def test_another_version_and_another_command_run_it(host, change):
    host.release("v2", once=wish())
    host.release(change.get("version", "v2"), once=change.get("once", wish()))
    assert len(host.migrations) == 2


@pytest.mark.parametrize(
    ("how", "says"), [("badly", "ended with exit status 1"), ("hangs", "did not end within 300 s")]
)
def test_one_that_fails_stops_everything_and_is_tried_again(host, how, says):
    first = host.release("v1").current
    host.migrates = how
    for tries in (1, 2):
        error = refused(lambda: host.release("v2", once=wish()), "once_failed")
        assert says in error.message
        assert "Nothing was swapped." in error.message
        assert (error.details["current"], error.details["once"]["state"]) == (first, "failed")
        assert len(host.migrations) == tries
        assert host.settled() == first
    assert host.store.journal.bad() == {}, "the release has done nothing wrong"
    host.migrates = "well"
    host.release("v2", once=wish())
    assert len(host.migrations) == 3
    assert events(host) == ["started", "failed", "started", "failed", "started", "done"]


def unknown(host: Host) -> str:
    """The power was cut while it ran."""
    host.release("v1")
    host.faults = Faults("kill", at=-2)
    host.systemd.once_units = {}
    act = host.systemd._do_once

    def dies(verb: str, unit: str) -> str:
        act(verb, unit)
        raise Killed

    host.systemd._do_once = dies
    with pytest.raises(Killed):
        host.release("v2", once=wish())
    host.systemd._do_once = act
    host.faults = Faults()
    host.reboot()
    return attempt(host)


def test_a_power_cut_while_it_runs_is_for_the_operator_to_decide(sockets):
    host = sockets
    which = unknown(host)
    for act in (host.engine().predict, host.engine().release):
        error = refused(lambda act=act: act(host.spec("v2", once=wish())), "once_unknown")
        assert f"done-{which}, or again-{which}" in error.fix
    assert (len(host.migrations), host.settled()) == (1, host.id_of("v1"))
    refused(lambda: host.release("v2", once=wish(decision="again-01234567")), "once_unknown")
    host.release("v2", once=wish(decision=f"done-{which}"))
    assert (len(host.migrations), host.settled()) == (1, host.id_of("v2"))


def test_a_decision_to_run_it_again_holds_for_that_attempt_only(sockets):
    host = sockets
    decision = f"again-{unknown(host)}"
    for _run in range(3):
        host.release("v2", once=wish(decision=decision))
        assert len(host.migrations) == 2


def test_a_host_that_is_not_the_one_to_run_it_swaps_only_what_was_run_elsewhere(host):
    first = host.release("v1").current
    refused(lambda: host.release("v2", once=wish(here=False)), "once_not_run")
    assert (host.settled(), host.migrations) == (first, [])
    outcome = host.release("v2", once=wish(here=False, told="web1"))
    assert outcome.once == {**outcome.once, "state": "done", "host": "web1"}
    host.release("v3")
    host.release("v2", once=wish())
    assert host.migrations == [], "what a host was told it knows, whichever host is the first one now"


def test_what_is_known_is_foreseen(host):
    host.release("v1")
    foreseen = host.engine().predict(host.spec("v2", once=wish()))
    assert (foreseen.action, foreseen.once) == ("release", {"state": "due"})
    foreseen = host.engine().predict(host.spec("v2", once=wish(only=True)))
    assert (foreseen.changed, foreseen.action, foreseen.current) == (True, "once", host.id_of("v1"))
    assert host.migrations == []
    assert host.engine().predict(host.spec("v2")).once is None


def test_the_unit_is_the_releases_own_surroundings(sockets):
    host = sockets
    template = (
        "User=shop\nLoadCredential=token:/opt/%i/token\nExecStartPre=+/bin/x\nRestart=always\nSockets=shop.socket"
    )
    with open(os.path.join(host.layout.units, f"{NAME}@.service"), "a", encoding="utf-8") as stream:
        stream.write(f"[Service]\n{template}\nEnvironmentFile=/opt/%i/environment\nUMask=0077\n[Install]\nAlso=x\n")
    host.stage("v2")
    release = host.id_of("v2")
    command = Once(("bin/shop", 'say "50%"', "$${HOME}\\"), timeout=1.5)
    lines = once.unit_text(host.layout, release, command).splitlines()
    assert {"User=shop", f"LoadCredential=token:/opt/{release}/token", "UMask=0077", "TimeoutStartSec=1.5"} < set(lines)
    assert f"WorkingDirectory={host.layout.release(release)}" in lines
    assert rf'ExecStart="{host.layout.binary(release)}" "say \"50%%\"" "$${{HOME}}\\"' in lines
    assert not [line for line in lines if re.match("ExecStartPre|Restart=|Sockets|Also", line)]


@pytest.mark.parametrize(
    "bad",
    [
        {"command": "bin/shop"},
        {"command": ["bin/shop", 1]},
        {"command": ["+/bin/sh"]},
        {"command": [""]},
        {"command": ["a\0"]},
        {"timeout": 0},
        {"timeout": float("inf")},
        {"decision": "again"},
        {"decision": "again-0123456"},
    ],
)
def test_what_cannot_be_run_is_refused(bad):
    refused(lambda: Once(**bad), "invalid_once")


class Play:
    """Three runs, of which something happens in the first, at every effect until the swap has begun."""

    def __init__(self, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch, self.number = folder, monkeypatch, 0
        self.start = Host(f"{folder}/start").install(monkeypatch)
        self.start.soak_time = 0.3
        self.start.release("v1")
        self.start.stage("v2")
        undisturbed = self.copy(self.start)
        assert self.run(undisturbed) == "ok"
        swap = next(at for at, effect in enumerate(undisturbed.faults.seen) if "state.json" in effect)
        self.effects = undisturbed.faults.seen[: swap + 8]

    def copy(self, host: Host) -> Host:
        self.number += 1
        return host.copy(f"{self.folder}/{self.number}").install(self.monkeypatch)

    def run(self, host: Host, faults: Faults | None = None, **changes: Any) -> str:
        host.faults = faults or Faults()
        try:
            host.release("v2", once=wish(**changes), force=True)
        except SlipwayError as error:
            return error.code
        except OSError:
            return "os_error"
        except Killed:
            return "killed"
        return "ok"

    def disturbed(self, *kinds: str) -> Any:
        plan = [(how, at, effect) for how in kinds for at, effect in enumerate(self.effects) if differs(how, effect)]
        of_it = [at for at, effect in enumerate(self.effects) if "once" in effect]
        near = range(min(of_it) - 2, max(of_it) + 3)
        for number, (how, at, effect) in enumerate(plan):
            if number % ONE_IN and not (how in ("kill", "late") and at in near):
                continue
            host = self.copy(self.start)
            yield f"{how} at {at}, {effect}", host, self.run(host, Faults(how, at))
            shutil.rmtree(host.folder)


def serves(host: Host) -> str:
    return str(host.layout.current_id()).partition("-")[0]


def check_two_more_runs(play: Play, host: Host, may_be_unknown: bool) -> None:
    """Either the version is released and it ran once, or it is asked for a decision and nothing was swapped."""
    host.install(play.monkeypatch)
    ended = [play.run(host), play.run(host)]
    ran = len(host.migrations)
    assert ran <= 1, f"it ran {ran} times: {ended}"
    if ended[-1] == "ok":
        assert (ran, serves(host)) == (1, "v2"), ended
        host.settled()
        return
    assert ended[-1] == "once_unknown", ended
    assert serves(host) == "v1"
    assert may_be_unknown or ran == 0, "its unit knew how it had ended"
    for decision, runs in (("done", ran), ("again", ran + 1)):
        twin = play.copy(host)
        assert play.run(twin, decision=f"{decision}-{attempt(twin)}") == "ok"
        assert (len(twin.migrations), serves(twin)) == (runs, "v2")
        shutil.rmtree(twin.folder)


def check_power_cut(play: Play, host: Host) -> None:
    host.install(play.monkeypatch).faults = Faults()
    host.reboot()
    check_two_more_runs(play, host, may_be_unknown=True)


@pytest.fixture
def play(memory, monkeypatch):
    return Play(memory, monkeypatch)


def test_it_runs_once_whatever_fails_in_the_first_of_three_runs(play):
    problems, ways = Problems(), set()
    for where, host, ended in play.disturbed("fail", "late", "full"):
        ways.add(ended)
        if not host.migrations and serves(host) == "v2":
            problems.append(f"{where}: it was swapped in, and the command has not run")
        problems.check(where, lambda host=host: check_two_more_runs(play, host, may_be_unknown=False))
    assert not problems, problems.summary()
    assert {"ok", "os_error", "command_failed"} <= ways


@pytest.mark.parametrize("way", ["the run is killed", "the power is cut"])
def test_it_runs_once_wherever_the_first_of_three_runs_ends(play, way):
    problems, states = Problems(), set()
    for where, host, ended in play.disturbed("kill", "torn"):
        assert ended == "killed", where
        last = host.store.journal.last_once(KEY)
        states.add((last.get("state"), len(host.migrations)))
        if way == "the power is cut":
            problems.check(where, lambda host=host: check_power_cut(play, host))
        else:
            problems.check(where, lambda host=host: check_two_more_runs(play, host, may_be_unknown=False))
    assert not problems, problems.summary()
    assert {(None, 0), ("started", 0), ("started", 1), ("done", 1)} <= states, "a moment was left out"


def test_a_run_that_comes_while_it_still_runs_waits_for_it(sockets):
    host = sockets
    host.release("v1")
    act, asked = host.systemd._do_once, []

    def runs_on(verb: str, unit: str) -> str:
        if verb != "show":
            return act(verb, unit)
        asked.append(unit)
        if len(asked) == 1:
            raise Killed
        if len(asked) < 40:
            return "LoadState=loaded\nActiveState=activating\nSubState=start\n"
        return act(verb, unit)

    host.systemd._do_once = runs_on
    with pytest.raises(Killed):
        host.release("v2", once=wish())
    foreseen = host.engine().predict(host.spec("v2", once=wish()))
    assert foreseen.once["state"] == "running"
    before = host.clock.now
    outcome = host.release("v2", once=wish())
    assert (outcome.once["state"], len(host.migrations)) == ("done", 1)
    assert host.clock.now - before > 30 * once.POLL


def test_what_it_wrote_is_told_without_secrets(sockets, monkeypatch):
    host = sockets
    host.release("v1")
    host.migrates = "badly"
    lines = ["applying 0042", "password secret-of-v2 refused"]
    monkeypatch.setattr(once.journald, "last_lines", lambda *_span: lines)
    spec = {"environment": {"OWN": "secret-of-v2"}, "once": Once(("bin/shop", "secret-of-v2"))}
    error = refused(lambda: host.release("v2", **spec), "once_failed")
    assert "It wrote: applying 0042 | password ******** refused." in error.message
    assert "secret-of-v2" not in error.message + json.dumps(error.details)
    path = os.path.join(host.layout.state, "journal.jsonl")
    with open(path, encoding="utf-8") as stream:
        assert "secret-of-v2" not in stream.read()

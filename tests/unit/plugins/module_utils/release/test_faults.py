# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Something breaks at every single point of a run, and the next run finds its way.

Each story is played once to count its effects, then once per effect and kind of fault on a fresh copy of the host.
Where a story is not about staging, the release is on the host already.

A run plays one in eight of those copies, not the same ones in each story, and fewer of those with two ports. Of an
effect that a long story repeats while it waits, it plays the first two and the last two. `make faults-simulated` plays
all of them.
"""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import dataclass
from typing import Callable, Iterator

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.meant import Meant
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import (
    Behaviour,
    Faults,
    Host,
    Killed,
    version_of,
)

ONE_IN = 1 if os.environ.get("SLIPWAY_FAULTS") == "all" else 8
# A story with more effects than that has mostly looks at the same thing.
LONG = 700
STRATEGIES = ("socket", "proxy", "reload", "restart")
STARTS_V1, STARTS_V2 = "systemctl start --no-block shop@v1", "systemctl start --no-block shop@v2"


@dataclass(frozen=True)
class Story:
    """What has been, what is tried while something breaks, and the versions that may run once all is well again."""

    before: Callable[[Host], object]
    tried: Callable[[Host, bool], object]
    ends_on: str
    old: str | None = None  # could serve all the time
    must_see: str = STARTS_V2  # an effect without which the story would prove nothing
    one_in: int = ONE_IN


def nothing(_host: Host) -> None:
    pass


def one(host: Host) -> None:
    host.release("v1")
    host.stage("v2")


def three(host: Host) -> None:
    for version in ("v0", "v1", "v2"):
        host.release(version)


def three_runs(host: Host) -> None:
    for version, run in (("v0", "5"), ("v1", "6"), ("v2", "7")):
        host.release(version, run=run)


def three_and_another_health_check(host: Host) -> None:
    three(host)
    host.health = {**host.health, "timeout": 3}


def three_and_a_dead_one(host: Host) -> None:
    three(host)
    host.systemd.die(host.id_of("v2"))


def full_shelf(host: Host) -> None:
    host.keep = 2
    host.release("v0")
    host.release("v1")


def crowded_shelf_and_a_bad_one(host: Host) -> None:
    for version in ("u", "v0", "v1"):
        host.release(version)
    host.behaviours["v2"] = Behaviour(healthy=False)
    host.stage("v2")
    host.keep = 2


def bad(**behaviour: object) -> Callable[[Host], None]:
    def before(host: Host) -> None:
        one(host)
        host.behaviours["v2"] = Behaviour(**behaviour)

    return before


def rehearsed(**behaviour: object) -> Callable[[Host], None]:
    def before(host: Host) -> None:
        bad(**behaviour)(host)
        host.rehearse()

    return before


def changed_socket(behaviour: Behaviour) -> Callable[[Host], None]:
    def before(host: Host) -> None:
        host.release("v1")
        host.behaviours["v2"] = behaviour
        host.write_unit("another backlog")
        host.stage("v2")

    return before


def release(version: str) -> Callable[[Host, bool], object]:
    return lambda host, force: host.release(version, force=force)


def rollback(host: Host, _force: bool) -> object:
    return host.rollback()


def rollback_by_run(host: Host, _force: bool) -> object:
    return host.engine().rollback(None, Meant(run="7"))


STORIES = {
    "first": Story(nothing, release("v2"), "v2"),
    "second": Story(one, release("v2"), "v2", old="v1"),
    "unhealthy": Story(bad(healthy=False), release("v2"), "v1", old="v1"),
    "cannot start": Story(bad(boots=False), release("v2"), "v1", old="v1"),
    "sick in the soak": Story(bad(sick_after=2), release("v2"), "v1", old="v1", must_see=STARTS_V1),
    "dead in the soak": Story(bad(dies_after=4), release("v2"), "v1", old=None, must_see=STARTS_V1),
    "rollback": Story(three, rollback, "v1", old="v2", must_see=STARTS_V1),
    "rollback by run": Story(three_runs, rollback_by_run, "v1", old="v2", must_see=STARTS_V1),
    "rollback from a dead one": Story(three_and_a_dead_one, rollback, "v1", must_see=STARTS_V1),
    "prune": Story(full_shelf, release("v2"), "v2", old="v1", must_see="rmdir opt/shop/releases"),
    "prune after a failure": Story(
        crowded_shelf_and_a_bad_one, release("v2"), "v1", old="v1", must_see="rmdir opt/shop/releases"
    ),
    "rehearsed": Story(rehearsed(), release("v2"), "v2", old="v1", must_see="start --no-block shop-rehearsal@v2"),
    "refused": Story(
        rehearsed(healthy=False), release("v2"), "v1", old="v1", must_see="start --no-block shop-rehearsal@v2"
    ),
    "unchanged": Story(three, release("v2"), "v2", old="v2", must_see="systemctl show"),
    "other settings": Story(
        three_and_another_health_check, release("v2"), "v2", old="v2", must_see="shop/settings.json"
    ),
}


def switched(before: str, after: str, **behaviour: object) -> Callable[[Host], None]:
    def prepare(host: Host) -> None:
        host.switch(before)
        host.release("v1")
        host.behaviours["v2"] = Behaviour(**behaviour)
        host.switch(after)
        host.stage("v2")

    return prepare


def back_over_a_switch(before: str, after: str) -> Callable[[Host], None]:
    def prepare(host: Host) -> None:
        switched(before, after)(host)
        host.release("v2")

    return prepare


def switch_stories(before: str, after: str) -> dict[str, Story]:
    return {
        f"from {before} to {after}": Story(switched(before, after), release("v2"), "v2", old="v1"),
        f"from {before} to {after}, bad release": Story(
            switched(before, after, healthy=False), release("v2"), "v1", old="v1"
        ),
        f"back from {after} to {before}": Story(
            back_over_a_switch(before, after), rollback, "v1", old="v2", must_see=STARTS_V1
        ),
    }


SWITCH_STORIES = {
    **switch_stories("restart", "socket"),
    **switch_stories("socket", "restart"),
    **switch_stories("reload", "socket"),
    **switch_stories("socket", "reload"),
}


def refused_over_a_switch(before: str, after: str) -> dict[str, Story]:
    """Between these, only a release leads: a rollback is refused."""
    stories = switch_stories(before, after)
    del stories[f"back from {after} to {before}"]
    return stories


SWITCH_STORIES.update({**refused_over_a_switch("restart", "proxy"), **refused_over_a_switch("proxy", "restart")})


def canary(**behaviour: object) -> Callable[[Host], None]:
    def before(host: Host) -> None:
        host.proxy = {"weights": [10, 50], "step_time": 0.3}
        bad(**behaviour)(host)

    return before


PROXY_STORIES = {
    "canary": Story(canary(), release("v2"), "v2", old="v1", must_see="haproxy set slipway-shop/b 10 %"),
    "canary, sick": Story(
        canary(sick_after=3), release("v2"), "v1", old="v1", must_see="haproxy set slipway-shop/b 10 %"
    ),
}


def paused(answers: str) -> Callable[[Host], None]:
    """The new release is slow, and a person is asked."""

    def before(host: Host) -> None:
        host.users, host.answers, host.answers_after = 200.0, answers, 1.0
        host.proxy = {"weights": [50], "step_time": 4, "slow": "pause", "pause_time": 4}
        bad(slow=True)(host)

    return before


PAUSES = "unlink var/shop/resume.json"
PROXY_STORIES.update(
    {
        "paused, resumed": Story(paused("resumed"), release("v2"), "v2", old="v1", must_see=PAUSES),
        "paused, sent back": Story(paused("sent_back"), release("v2"), "v1", old="v1", must_see=PAUSES),
        "paused, nobody answers": Story(
            paused(""), release("v2"), "v1", old="v1", must_see="haproxy set slipway-shop/b 50 %"
        ),
    }
)


def chosen(**behaviour: object) -> Callable[[Host], None]:
    """Some users meet the new release before all others."""

    def before(host: Host) -> None:
        host.have_chosen()
        host.proxy = {"weights": [0, 50], "step_time": 0.3}
        bad(**behaviour)(host)

    return before


def several(then: Callable[[Host], object], **behaviour: object) -> Callable[[Host], None]:
    """A service with two public ports."""

    def before(host: Host) -> None:
        host.have_ports(grpc=GRPC)
        bad(**behaviour)(host)
        then(host)

    return before


def another_port(host: Host) -> None:
    """The release after this one has a second public port."""
    host.release("v1")
    host.have_ports(grpc=GRPC)
    host.stage("v2")


def another_port_taken(host: Host) -> None:
    host.release("v1")
    host.have_ports(grpc=GRPC)
    host.release("v2")


def port_given_up(host: Host) -> None:
    host.have_ports(grpc=GRPC)
    host.release("v1")
    host.have_ports()
    host.stage("v2")


def with_canary(host: Host) -> None:
    host.proxy = {"weights": [10, 50], "step_time": 0.3}


GRPC = (18082, 18083)
RARELY = 1 if ONE_IN == 1 else 40
TAKES_GRPC = "haproxy set slipway-shop:grpc/b ready"
PORT_STORIES = {
    "two ports": Story(several(nothing), release("v2"), "v2", old="v1", must_see=TAKES_GRPC, one_in=RARELY),
    "two ports, canary": Story(
        several(with_canary), release("v2"), "v2", old="v1", must_see="slipway-shop:grpc/b 10 %", one_in=RARELY
    ),
    "two ports, deaf at one": Story(several(nothing, deaf="grpc"), release("v2"), "v1", old="v1", one_in=RARELY),
    "two ports, sick in the soak": Story(
        several(nothing, sick_after=2), release("v2"), "v1", old="v1", must_see=STARTS_V1, one_in=RARELY
    ),
    "two ports, rehearsed": Story(
        several(Host.rehearse), release("v2"), "v2", old="v1", must_see="start --no-block shop-rehearsal@v2",
        one_in=RARELY,
    ),
    "two ports, rollback": Story(
        several(lambda host: host.release("v2")), rollback, "v1", old="v2", must_see=STARTS_V1, one_in=RARELY
    ),
    "another port": Story(another_port, release("v2"), "v2", old="v1", must_see=TAKES_GRPC, one_in=RARELY),
    "back to one port": Story(another_port_taken, rollback, "v1", old="v2", must_see=STARTS_V1, one_in=RARELY),
    "a port given up": Story(port_given_up, release("v2"), "v2", old="v1", one_in=RARELY),
}  # fmt: skip
SELDOM = 1 if ONE_IN == 1 else 100
MEETS_CHOSEN = "haproxy set slipway-shop.chosen/b ready"
CHOSEN_STORIES = {
    "chosen users": Story(chosen(), release("v2"), "v2", old="v1", must_see=MEETS_CHOSEN, one_in=SELDOM),
    "chosen users, sick": Story(
        chosen(sick_after=3), release("v2"), "v1", old="v1", must_see=MEETS_CHOSEN, one_in=SELDOM
    ),
}
ALL_PROXY_STORIES = (PROXY_STORIES, CHOSEN_STORIES, PORT_STORIES)
SAMPLE_OF_PORTS = ("two ports", "two ports, canary", "another port", "back to one port")
PORTS_PLAYED = tuple(PORT_STORIES) if ONE_IN == 1 else SAMPLE_OF_PORTS
SOCKET_STORIES = {
    "new socket": Story(changed_socket(Behaviour()), release("v2"), "v2", must_see="systemctl restart shop.socket"),
    "new socket, bad release": Story(
        changed_socket(Behaviour(healthy=False)), release("v2"), "v1", must_see="systemctl restart shop.socket"
    ),
}


def another_environment(behaviour: Behaviour) -> Callable[[Host], None]:
    def before(host: Host) -> None:
        host.release("v1")
        host.behaviours["v2"] = behaviour
        host.own = "other"
        host.stage("v2")

    return before


RELOAD_STORIES = {
    "new environment": Story(another_environment(Behaviour()), release("v2"), "v2"),
    "new environment, bad release": Story(another_environment(Behaviour(healthy=False)), release("v2"), "v1"),
    "never ready": Story(bad(ready=False), release("v2"), "v1", old="v1"),
}


def users_stay(then: Callable[[Host], object], **behaviour: object) -> Callable[[Host], None]:
    """v1 goes on draining once v2 has taken over."""

    def before(host: Host) -> None:
        host.drain_background = 10.0
        host.behaviours["v1"] = Behaviour(keeps_open=2)
        host.behaviours["v2"] = Behaviour(**behaviour)
        host.release("v1")
        there = host.haproxy.servers_now
        there["a"] = there["a"]._replace(sessions=2)
        then(host)

    return before


ARMS = "arm a drain"
DRAIN_STORIES = {
    "users stay": Story(users_stay(lambda host: host.stage("v2")), release("v2"), "v2", old="v1", must_see=ARMS),
    "users stay, sick in the soak": Story(
        users_stay(lambda host: host.stage("v2"), sick_after=2),
        release("v2"),
        "v1",
        old="v1",
        must_see=ARMS,
    ),
    "rollback to users who stayed": Story(
        users_stay(lambda host: host.release("v2")), rollback, "v1", old="v2", must_see=STARTS_V1
    ),
    "next release while users stay": Story(users_stay(lambda host: host.release("v3")), release("v2"), "v2", old="v3"),
}
CASES = [
    *itertools.product(STRATEGIES, STORIES),
    *itertools.product(("socket",), SOCKET_STORIES),
    *itertools.product(("reload",), RELOAD_STORIES),
    *itertools.product(("proxy",), PROXY_STORIES),
    *itertools.product(("proxy",), CHOSEN_STORIES),
    *itertools.product(("proxy",), PORTS_PLAYED),
    *itertools.product(("socket", "proxy"), DRAIN_STORIES),
    *itertools.product(("switch",), SWITCH_STORIES),
]


class Play:
    """Plays one story as often as it has effects."""

    def __init__(self, folder: str, monkeypatch: pytest.MonkeyPatch, strategy: str, story: Story) -> None:
        self.folder, self.monkeypatch, self.story = folder, monkeypatch, story
        self.switches = strategy == "switch"
        self.overlaps = strategy in ("socket", "proxy") and story.old is not None
        self.keeps_ports = any(name.startswith("two ports") for name, one in PORT_STORIES.items() if one is story)
        self.start = Host(f"{folder}/start", "socket" if strategy == "switch" else strategy).install(monkeypatch)
        self.start.start_timeout, self.start.soak_time = 12.0, 0.3  # two attempts of a handover, not twelve
        story.before(self.start)
        for version in ("v2", "v3"):
            self.start.artefact(version)
        self.number = 0
        rehearsal = self.copy(self.start)
        self.run(rehearsal, Faults())
        self.effects = rehearsal.faults.seen
        assert any(any(what in effect for what in self.must_see()) for effect in self.effects), self.effects

    def must_see(self) -> tuple[str, ...]:
        """One of these; under the strategy reload all releases run in the same instance."""
        if self.story.must_see in (STARTS_V1, STARTS_V2):
            return self.story.must_see, "load --no-block shop@current", "start --no-block shop@current"
        return (self.story.must_see,)

    def copy(self, host: Host) -> Host:
        self.number += 1
        return host.copy(f"{self.folder}/{self.number}").install(self.monkeypatch)

    def run(self, host: Host, faults: Faults, force: bool = False) -> str:
        """How it ended, in a word."""
        host.faults = faults
        faults.bounce = host.haproxy.restart
        try:
            self.story.tried(host, force)
        except SlipwayError as error:
            return error.code
        except OSError:
            return "os_error"
        except Killed:
            return "killed"
        return "ok"

    def after(self, *kinds: str) -> Iterator[tuple[str, Host, str]]:
        """Each effect with each kind of fault that makes a difference: a host on which that has just happened."""
        told = list(enumerate(self.effects)) if ONE_IN == 1 else told_apart(self.effects)
        plan = [(how, at, effect) for how in kinds for at, effect in told if differs(how, effect)]
        assert len(plan) > 1
        for how, at, effect in plan[len(self.effects) % self.story.one_in :: self.story.one_in]:
            host = self.copy(self.start)
            yield f"{how} at {at}, {effect}", host, self.run(host, Faults(how, at))
            shutil.rmtree(host.folder)


def told_apart(effects: list[str]) -> list[tuple[int, str]]:
    """The effects of a story by their place; of a long story, at most four that are the same."""
    places: dict[str, list[int]] = {}
    for at, effect in enumerate(effects):
        places.setdefault(effect, []).append(at)
    kept = {at for same in places.values() for at in (same if len(effects) <= LONG else [*same[:2], *same[-2:]])}
    return [(at, effect) for at, effect in enumerate(effects) if at in kept]


def differs(how: str, effect: str) -> bool:
    """Whether this fault at this effect makes another story than at its neighbours.

    What is written aside has no name that counts: of its five steps, one stands for all.
    """
    asks = effect.startswith(("systemctl show", "systemctl list-units"))
    aside = ".tmp-" in effect
    return {
        "fail": not aside or effect.startswith(("open", "mkdir", "symlink")),
        "late": effect.startswith("systemctl") and not asks,
        "full": effect.startswith(("open", "mkdir", "symlink")) or (effect.startswith("write") and not aside),
        "kill": not asks
        and (not aside or effect.startswith(("write", "symlink")))
        and not effect.startswith(("fsync", "open")),
        "torn": effect.startswith("write") and not aside,
        "bounce": effect.startswith(("haproxy", "systemctl", "rename")),
    }[how]


class Problems(list):
    """Collects what is wrong, so that one run shows the whole picture."""

    def check(self, where: str, act: Callable[[], object]) -> None:
        try:
            act()
        except (AssertionError, ValueError, SlipwayError, OSError) as error:
            self.append(f"{where}: {type(error).__name__}: {error}")

    def summary(self) -> str:
        return f"{len(self)} problems\n" + "\n".join(self[:20])


def again(play: Play, host: Host, force: bool = False) -> None:
    """The same run once more, with nothing in its way."""
    host.install(play.monkeypatch)
    if play.story.tried not in (rollback, rollback_by_run):
        host.apply_role()
    play.run(host, Faults(), force)
    assert version_of(host.settled()) == play.story.ends_on
    assert host.leftovers() == []
    if play.overlaps:
        assert host.systemd.lowest >= 1, "nobody held the socket"
        assert not host.chosen or host.systemd.lowest_chosen >= 1, "chosen users were led to nobody"
    if play.keeps_ports:
        assert host.systemd.lowest_more["grpc"] >= 1, "users of the second port were led to nobody"


def other(play: Play, host: Host) -> None:
    """Another, good release, with nothing in its way."""
    host.install(play.monkeypatch).faults = Faults()
    host.apply_role()
    host.release("v3")
    assert version_of(host.settled()) == "v3"


def reboot_and_again(play: Play, host: Host) -> None:
    good = host.layout.last_good_id()
    host.install(play.monkeypatch).faults = Faults()
    host.reboot()
    if good is not None and play.story.old is not None:
        assert len(host.systemd.serving()) == 1, f"{good} was good, and a reboot did not bring it"
    host.watch()
    again(play, host)


def timer_and_again(play: Play, host: Host) -> None:
    """Nobody comes back, and the host settles it by itself at the deadline."""
    host.install(play.monkeypatch).faults = Faults()
    armed = host.timer is not None
    host.expire()
    if armed:
        assert host.store.load() is None, "the timer has settled nothing"
        assert len(host.systemd.serving()) == 1
    host.watch()
    again(play, host)


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case).replace(" ", "_"))
def play(request, memory, monkeypatch):
    strategy, name = request.param
    several_of = (SOCKET_STORIES, RELOAD_STORIES, *ALL_PROXY_STORIES, SWITCH_STORIES, DRAIN_STORIES)
    stories = {**STORIES, **{name: story for stories in several_of for name, story in stories.items()}}
    return Play(memory, monkeypatch, strategy, stories[name])


def test_a_failure_leaves_somebody_to_serve_and_the_next_run_a_settled_host(play):
    """Whatever fails, and however full the disk is: where the old release could serve, one serves afterwards."""
    problems = Problems()
    for where, host, ended in play.after("fail", "late", "full"):
        twin = play.copy(host)
        if play.story.old is not None:
            reached = [version_of(i) for i in host.systemd.serving()]
            # A bad release that had to have the port for itself, and then a host that does not start the old one again
            # or cannot have its units back: nobody could serve.
            starts = f"shop@{play.story.old}-" in where or "shop@current" in where
            hopeless = ended == "rollback_failed" and (starts or play.switches)
            if not reached and not hopeless:
                problems.append(f"{where}: nobody serves, the run ended with {ended}")
            if ended == "rolled_back" and reached != [play.story.old]:
                problems.append(f"{where}: it was rolled back, and {reached} serve")
        problems.check(where, lambda host=host: again(play, host, force=True))
        problems.check(f"{where}, then another release", lambda twin=twin: other(play, twin))
    assert not problems, problems.summary()


def test_a_killed_run_is_finished_or_undone_by_the_next_one(play):
    problems = Problems()
    for where, host, ended in play.after("kill", "torn"):
        assert ended == "killed", where
        for then in (reboot_and_again, timer_and_again, other):
            twin = play.copy(host)
            problems.check(f"{where}, {then.__name__}", lambda twin=twin, then=then: then(play, twin))
        problems.check(where, lambda host=host: again(play, host))
    assert not problems, problems.summary()


PROXIED = {**STORIES, **PROXY_STORIES, **CHOSEN_STORIES, **{name: PORT_STORIES[name] for name in PORTS_PLAYED}}


@pytest.fixture(params=[name for name in PROXIED if name not in ("unchanged", "other settings")])
def proxied(request, memory, monkeypatch):
    return Play(memory, monkeypatch, "proxy", PROXIED[request.param])


def test_haproxy_killed_at_any_moment_comes_back_with_the_right_server(proxied):
    """It is back at once, as systemd has it; the run goes on, and nobody is led to a release that is not proven.

    Where nobody resumed a release, its durations count no longer once HAProxy has ended: it goes back without a mark.
    """
    problems = Problems()
    rehearsal = proxied.copy(proxied.start)
    ended_well = proxied.run(rehearsal, Faults())
    for where, host, ended in proxied.after("bounce"):
        unblamed = (ended_well, ended) == ("not_resumed", "rolled_back") and not host.store.journal.bad()
        if ended != ended_well and not unblamed:
            problems.append(f"{where}: it ended with {ended}, undisturbed with {ended_well}")
        if proxied.overlaps and host.systemd.lowest < 1:
            problems.append(f"{where}: users were led to nobody")
        if proxied.overlaps and host.chosen and host.systemd.lowest_chosen < 1:
            problems.append(f"{where}: chosen users were led to nobody")
        if proxied.keeps_ports and host.systemd.lowest_more["grpc"] < 1:
            problems.append(f"{where}: users of the second port were led to nobody")
        problems.check(where, lambda host=host: again(proxied, host, force=True))
    assert not problems, problems.summary()

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet goes back to one release, or stays: it never comes apart."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.slipway.go.plugins.filter.rollback_plan import rollback_plan

V1, V2, V3, V9 = (f"{version}.0.0-{version * 10}" for version in "1239")


class Fake:
    """One host, told to release and to roll back."""

    def __init__(self):
        self.current, self.good, self.staged, self.history, self.run, self.flight = None, [], [], [], "", None

    def release(self, release, when, run=""):
        self.good = [i for i in self.good if i != release] + [release]
        self.staged = [i for i in self.staged if i != release] + [release]
        self.history.insert(0, {"event": "committed", "kind": "release", "release": release, "time": when})
        self.current, self.run = release, run
        return self

    def refuse(self, release, when):
        self.history.insert(0, {"event": "refused", "kind": "release", "release": release, "time": when})
        return self

    def wait(self, release, when, run=""):
        self.flight = {"kind": "release", "to": release, "source": self.current, "started": when, "run": run}
        self.current, self.staged = release, [*self.staged, release]
        return self

    def back(self, release, when):
        left, self.current, self.run = self.current, release, ""
        if self.flight:
            self.flight = None
            self.history.insert(0, {"event": "rolled_back", "kind": "release", "release": left, "time": when})
            return
        self.good = [i for i in self.good if i not in (left, release)] + [release]
        self.history.insert(0, {"event": "committed", "kind": "rollback", "release": release, "time": when})

    def told(self):
        return {
            "current": self.current,
            "in_flight": self.flight,
            "good": list(self.good),
            "releases": list(self.staged),
            "history": list(self.history),
            "run": self.run,
        }


def fleet(*stories):
    """Each story: releases in order; "x" before one: it was refused; "w": it waits. The n-th try of any is later."""
    hosts = {}
    for name, story in zip("abcde", stories):
        hosts[name] = Fake()
        for place, word in enumerate(story):
            how, release = (word[0], word[1:]) if word[0] in "xw" else ("", word)
            act = {"x": hosts[name].refuse, "w": hosts[name].wait, "": hosts[name].release}[how]
            act(release, 10.0 * place + ord(name) / 1000)
    return hosts


def play(hosts, **wanted):
    """What rollback.yml does with the plan."""
    found = rollback_plan({name: host.told() for name, host in hosts.items()}, "shop", **wanted)
    assert not (found["targets"] and found["reasons"])
    for name, target in found["targets"].items():
        if hosts[name].current != target:
            hosts[name].back(target, 1000.0)
    return found


def serve(hosts):
    return [host.current for host in hosts.values()]


CASES = {
    "a release everywhere": ([[V1, V2]] * 3, [V1, V1, V1]),
    "the canary alone": ([[V1, V2, V3], [V1, V2], [V1, V2]], [V2, V2, V2]),
    "the canary waits": ([[V1, V2, "w" + V3], [V1, V2], [V1, V2]], [V2, V2, V2]),
    "the canary refused another": ([[V1, V2, "x" + V9], [V1, V2], [V1, V2]], [V2, V2, V2]),
    "another history, one in common": ([[V1, V2, V3], [V1, V3], [V1, V3]], [V1, V1, V1]),
    "a host that has nothing": ([[V1, V2], [V1, V2], []], [V1, V1, None]),
}


@pytest.mark.parametrize("case", CASES)
def test_all_meet_and_a_second_run_changes_nothing(case):
    stories, wanted = CASES[case]
    hosts = fleet(*stories)
    play(hosts)
    assert serve(hosts) == wanted
    again = play(hosts)
    assert serve(hosts) == wanted
    assert again["reasons"] == {}


def test_hosts_that_have_come_apart_are_brought_together():
    """What an earlier rollback has done: the canary on 2.0.0, which refused 9.1.0, all others back on 1.0.0."""
    hosts = fleet([V1, V2, "x" + V9], [V1, V2], [V1, V2])
    for name in "bc":
        hosts[name].back(V1, 500.0)
    play(hosts)
    assert serve(hosts) == [V1, V1, V1]


def test_a_host_without_an_earlier_release_is_told_apart_and_none_is_changed():
    hosts = fleet([V1, V2], [V1, V2], [V2])
    found = play(hosts)
    assert serve(hosts) == [V2, V2, V2]
    assert list(found["reasons"]) == ["c"]
    assert "it has no earlier release to go back to" in found["reasons"]["c"]


def test_a_host_that_lacks_what_the_others_serve_is_named():
    hosts = fleet([V1, V3], [V2], [V2])
    found = play(hosts)
    assert serve(hosts) == [V3, V2, V2]
    assert f"{V2} was never good on this host, where {V3} serves: it could go back to {V1}." in found["reasons"]["a"]


@pytest.mark.parametrize("wanted", [{"of": "9.0.0"}, {"of": V9}, {"run": "4711"}])
def test_what_never_touched_a_host_is_not_taken_back(wanted):
    hosts = fleet([V1, V2], [V1, V2])
    found = play(hosts, **wanted)
    assert (serve(hosts), found["reasons"]) == ([V2, V2], {})
    assert "serves nowhere" in found["text"]


def test_a_run_takes_back_what_it_has_brought_and_no_more():
    hosts = fleet([V1, V2], [V1, V2], [V1, V2])
    hosts["a"].release(V3, 100.0, "7")
    hosts["b"].wait(V3, 101.0, "7")
    play(hosts, run="7")
    assert serve(hosts) == [V2, V2, V2]
    play(hosts, run="7")
    assert serve(hosts) == [V2, V2, V2]


def test_an_empty_answer_is_refused():
    for wanted in ({"of": ""}, {"run": " "}):
        hosts = fleet([V1, V2], [V1, V2])
        assert set(play(hosts, **wanted)["reasons"]) == {"a", "b"}
        assert serve(hosts) == [V2, V2]


def test_a_version_names_where_to_go():
    hosts = fleet([V1, V2, V3], [V1, V2, V3])
    play(hosts, to="1.0.0")
    assert serve(hosts) == [V1, V1]
    assert set(play(fleet([V1, V2], [V2]), to="1.0.0")["reasons"]) == {"b"}


def test_hosts_with_ids_of_their_own_meet_at_a_version():
    hosts = fleet(["1.0.0-a", "2.0.0-a"], ["1.0.0-b", "2.0.0-b"])
    play(hosts)
    assert serve(hosts) == ["1.0.0-a", "1.0.0-b"]
    unclear = fleet(["1.0.0-a", "2.0.0-a", "2.0.0-aa"], ["1.0.0-b", "2.0.0-b"])
    assert set(play(unclear)["reasons"]) == {"a"}


def test_a_service_nobody_has():
    assert set(play(fleet([], []))["reasons"]) == {"a", "b"}


def test_no_history_of_three_hosts_comes_apart():
    """Every way three hosts can have come by up to three releases and a refusal."""
    stories = [
        list(story)
        for length in (1, 2, 3)
        for story in itertools.permutations((V1, V2, V3, "x" + V9), length)
        if not story[0].startswith("x")
    ]
    for chosen in itertools.islice(itertools.product(stories, repeat=3), 0, None, 7):
        hosts = fleet(*chosen)
        before = serve(hosts)
        found = play(hosts)
        assert len(set(serve(hosts))) == 1 or (found["reasons"] and serve(hosts) == before), chosen
        if not found["reasons"]:
            once = serve(hosts)
            play(hosts)
            assert serve(hosts) == once, chosen

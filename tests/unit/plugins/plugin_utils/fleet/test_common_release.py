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
        entry = {"event": "committed", "kind": "release", "release": release, "time": when, "run": run}
        self.history.insert(0, entry)
        self.current, self.run = release, run
        return self

    def fail_first(self, release, when):
        """The first release failed: nothing is current, and what failed stays as evidence."""
        self.staged.append(release)
        self.history.insert(0, {"event": "rolled_back", "kind": "release", "release": release, "time": when})
        return self

    def refuse(self, release, when):
        self.history.insert(0, {"event": "refused", "kind": "release", "release": release, "time": when})
        return self

    def wait(self, release, when, run=""):
        self.flight = {
            "kind": "release",
            "to": release,
            "source": self.current,
            "started": when,
            "run": run,
            "txn": "t",
        }
        self.current, self.staged = release, [*self.staged, release]
        return self

    def back(self, release, when):
        left, self.current, self.run = self.current, release, ""
        if self.flight and self.flight["kind"] == "rollback":
            left, self.flight = self.flight["source"], None
        if self.flight:
            self.flight = None
            self.history.insert(0, {"event": "rolled_back", "kind": "release", "release": left, "time": when})
            return
        self.good = [i for i in self.good if i not in (left, release)] + [release]
        self.history.insert(0, {"event": "committed", "kind": "rollback", "release": release, "time": when})

    def cut_short(self, release, flipped):
        """A rollback to this release, of which nothing more came."""
        self.flight = {"kind": "rollback", "to": release, "source": self.current, "txn": "t", "started": 900.0}
        if flipped:
            self.current, self.run = release, ""
        return self

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
        if hosts[name].current != target or hosts[name].flight:
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


def test_what_no_host_has_ever_had_is_nothing_to_take_back():
    """The first release failed before it was on any host: the step after it in a workflow has nothing to do."""
    told = {name: host.told() for name, host in fleet([], []).items()}
    found = rollback_plan(told, "shop", run="7")
    assert (found["targets"], found["reasons"]) == ({}, {})
    assert "serves nowhere and is not in flight" in found["text"]
    assert sorted(rollback_plan(told, "shop")["reasons"]) == ["a", "b"], "nobody has said what to take back"
    failed = {"a": Fake().fail_first(V1, 1.0).told()}
    for found in (rollback_plan(failed, "shop", of=V1), rollback_plan(failed, "shop")):
        assert (found["targets"], found["reasons"]) == ({}, {})


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


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("wanted", [{"run": "7"}, {"of": "2.0.0"}, {}])
def test_a_rollback_that_was_cut_short_on_a_host_is_finished(wanted, flipped):
    hosts = fleet([V9, V1], [V9, V1])
    for host in hosts.values():
        host.release(V2, 100.0, "7")
    hosts["a"].cut_short(V1, flipped)
    assert set(play(hosts, **wanted)["targets"]) == {"a", "b"}
    assert serve(hosts) == [V1, V1]
    assert play(hosts, **wanted)["targets"] == {}


@pytest.mark.parametrize("wanted", [{"run": "7"}, {"of": "2.0.0"}])
def test_what_is_named_is_not_where_they_go(wanted):
    """A second release of the version, with another configuration, by the same run."""
    hosts = fleet([V1], [V1])
    for host in hosts.values():
        host.release("2.0.0-b", 100.0, "7").release("2.0.0-c", 200.0, "7")
    play(hosts, **wanted)
    assert serve(hosts) == [V1, V1]
    assert play(hosts, **wanted)["targets"] == {}


def test_a_run_with_two_releases_takes_back_both_and_another_runs_release_of_the_version_stays():
    hosts = fleet([V1], [V1])
    for host in hosts.values():
        host.release("2.0.0-b", 100.0, "6").release("2.0.0-c", 200.0, "7").release(V3, 300.0, "7")
    play(hosts, run="7")
    assert serve(hosts) == ["2.0.0-b", "2.0.0-b"]


def test_what_waits_on_one_host_with_another_release_before_it():
    hosts = fleet([V1, "1.5.0-a"], [V1])
    hosts["a"].wait(V2, 100.0, "7")
    hosts["b"].release(V2, 101.0, "7")
    assert play(hosts, run="7")["targets"] == {"a": V1, "b": V1}


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


def groups():
    """Two hosts of each of two groups with a configuration of their own."""
    hosts = {}
    for place, (name, group) in enumerate((("a", "x"), ("b", "x"), ("c", "y"), ("d", "y"))):
        hosts[name] = Fake()
        for version, when, run in (("1.0.0", 1.0, "5"), ("2.0.0", 2.0, "7")):
            hosts[name].release(f"{version}-{group}", when + place / 100, run)
    return hosts


@pytest.mark.parametrize("wanted", [{}, {"run": "7"}, {"of": "2.0.0"}, {"to": "1.0.0"}])
def test_groups_with_a_configuration_of_their_own_meet_at_a_version(wanted):
    hosts = groups()
    play(hosts, **wanted)
    assert serve(hosts) == ["1.0.0-x", "1.0.0-x", "1.0.0-y", "1.0.0-y"]
    assert play(hosts, **wanted)["targets"] in ({}, {name: host.current for name, host in hosts.items()})


def test_one_group_alone_has_what_is_taken_back():
    hosts = groups()
    for name in "ab":
        hosts[name].back("1.0.0-x", 50.0)
    play(hosts)
    assert serve(hosts) == ["1.0.0-x", "1.0.0-x", "1.0.0-y", "1.0.0-y"]


@pytest.mark.parametrize("wanted", [{}, {"run": "7"}, {"of": "2.0.0"}])
def test_an_old_id_in_common_is_no_reason_to_skip_a_version(wanted):
    hosts = fleet([V1, "1.5.0-a"], [V1, "1.5.0-b"])
    hosts["a"].release("2.0.0-a", 100.0, "7")
    hosts["b"].release("2.0.0-b", 101.0, "7")
    play(hosts, **wanted)
    assert serve(hosts) == ["1.5.0-a", "1.5.0-b"]


def test_a_configuration_on_the_canary_alone_is_told_from_that_of_the_others():
    hosts = fleet([V1, "2.0.0-b", "2.0.0-c"], [V1, "2.0.0-b"], [V1, "2.0.0-b"])
    play(hosts)
    assert serve(hosts) == ["2.0.0-b"] * 3
    assert play(hosts)["targets"] == {}


def test_a_version_of_two_configurations_is_one_release_for_all():
    hosts = fleet(["2.0.0-a", "2.0.0-b", V3], ["2.0.0-b", "2.0.0-a", V3])
    hosts["c"] = Fake().release("2.0.0-a", 1.0).release(V3, 3.0)
    play(hosts, to="2.0.0")
    assert serve(hosts) == ["2.0.0-a"] * 3
    play(hosts, to="2.0.0")
    assert serve(hosts) == ["2.0.0-a"] * 3


def test_a_version_that_was_refused_on_a_host_gives_way_to_one_that_was_good():
    hosts = {name: Fake().release(f"2.0.0-{name}", 1.0).release(V3, 3.0) for name in "ab"}
    for host in hosts.values():
        host.staged.append("2.0.0-c")
    play(hosts, to="2.0.0")
    assert serve(hosts) == ["2.0.0-a", "2.0.0-b"]


@pytest.mark.parametrize("wanted", [{}, {"run": "7"}, {"of": "2.0.0"}, {"to": "1.0.0"}])
def test_a_host_whose_first_release_failed_keeps_no_other_from_going_back(wanted):
    hosts = fleet([V1], [V1])
    for host in hosts.values():
        host.release(V2, 100.0, "7")
    hosts["c"] = Fake().fail_first(V2, 102.0)
    assert set(play(hosts, **wanted)["targets"]) == {"a", "b"}
    assert serve(hosts) == [V1, V1, None]


def test_what_failed_on_a_new_host_alone_takes_nothing_back():
    hosts = fleet([V1, V2], [V1, V2])
    hosts["c"] = Fake().fail_first(V9, 102.0)
    found = play(hosts)
    assert (serve(hosts), found["reasons"]) == ([V2, V2, None], {})
    assert "serves nowhere" in found["text"]
    hosts = {name: Fake().fail_first(V9, 1.0) for name in "ab"}
    assert play(hosts)["targets"] == play(hosts)["reasons"] == {}


def test_a_host_whose_record_is_damaged_says_so_and_none_goes():
    hosts = fleet([V1, V2], [V1, V2])
    answers = {name: host.told() for name, host in hosts.items()}
    answers["a"]["damaged"] = ["state.json is not readable as a transaction: x. Fix: run sudo slipway recover shop"]
    found = rollback_plan(answers, "shop")
    assert found["targets"] == {}
    assert "sudo slipway recover" in found["reasons"]["a"]
    answers["a"]["damaged"] = [
        f"/opt/shop/releases/{V9}/release.json is not readable. Fix: sudo slipway purge shop {V9}"
    ]
    assert set(rollback_plan(answers, "shop")["targets"]) == {"a", "b"}, "one release is not the record"


def test_clocks_that_differ_do_not_take_back_what_has_served_all_along():
    """The clock of the canary, which has refused 9.1.0 last of all, is late."""
    hosts = fleet([V1], [V1], [V1])
    hosts["a"].release(V2, 400.0).refuse(V9, 700.0)
    hosts["b"].release(V2, 1010.0)
    hosts["c"].release(V2, 1020.0)
    found = play(hosts)
    assert (serve(hosts), found["reasons"]) == ([V2, V2, V2], {})


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


ARCHITECTURES = ("amd", "amd", "arm")  # two hosts share their ids, the third has others


def of_architectures(*versions):
    hosts = {}
    for number, architecture in enumerate(ARCHITECTURES):
        host = hosts[f"h{number}"] = Fake()
        for when, version in enumerate(versions):
            host.release(f"{version}-{architecture}{version[0] * 7}", float(10 * when + number), run=f"run{when}")
    return hosts


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [
        ({}, "2.0.0"),
        ({"to": "1.0.0"}, "1.0.0"),
        ({"of": "3.0.0"}, "2.0.0"),
        ({"run": "run2"}, "2.0.0"),
    ],
)
def test_a_fleet_of_two_architectures_meets_at_a_version(wanted, reached):
    hosts = of_architectures("1.0.0", "2.0.0", "3.0.0")
    result = play(hosts, **wanted)
    assert not result["reasons"]
    assert result["targets"] == {
        name: f"{reached}-{architecture}{reached[0] * 7}" for name, architecture in zip(hosts, ARCHITECTURES)
    }


def test_an_architecture_that_was_left_behind_is_no_reason_to_go_further_back():
    """The canary of one architecture has the new version; the others, with ids of their own, do not."""
    hosts = of_architectures("1.0.0", "2.0.0")
    hosts["h2"].release("3.0.0-arm3333333", 90.0)
    assert play(hosts)["targets"] == {"h2": "2.0.0-arm2222222"}

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a fleet's release stops, who goes back, and what is said of it: by example, and for many fleets by chance."""

from __future__ import annotations

import random

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.fleet_closing import fleet_closing
from ansible_collections.slipway.go.plugins.filter.fleet_decision import fleet_decision
from ansible_collections.slipway.go.plugins.filter.fleet_gate import fleet_gate
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import periods
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import way_back

OLD, NEW = "1.0.0-1111111111", "2.0.0-2222222222"
RELEASED = {"changed": True, "action": "release", "current": NEW, "previous": OLD}
UNCHANGED = {"changed": False, "action": "none", "current": NEW, "previous": None}
PREDICTED = {"changed": False, "action": "release", "current": NEW, "previous": OLD}
ILL = {"failed": True, "code": "rolled_back", "msg": "it answers 500.", "current": OLD, "failed_release": NEW}
GONE = {"failed": True, "code": "unreachable", "msg": "no route."}


def fleet(results, alive=None, **more):
    failed = {host: {"code": one["code"], "msg": one["msg"]} for host, one in results.items() if one.get("failed")}
    about = {"service": "shop", "version": "2.0.0", "run": "", "budget": 0, "on_failure": "fleet", "sizes": [1, "50%"]}
    hosts = list(results)
    told = {"hosts": hosts, "results": results, "failures": failed, "alive": hosts if alive is None else list(alive)}
    return {**told, **about, "checked": False, **more}


def runs(release):
    return {"current": release, "health": "pass", "good": [release], "releases": [release]}


@pytest.mark.parametrize(
    ("given", "hosts", "allowed"),
    [
        (0, 9, 0), ("0", 9, 0), (2, 9, 2), ("2", 9, 2), (2.0, 9, 2), ("10%", 9, 0), ("10%", 10, 1), ("34%", 9, 3),
        ("100%", 9, 9), ("", 9, 0), (None, 9, 0), (" 1 ", 9, 1),
    ],
)  # fmt: skip
def test_a_budget_is_a_number_or_a_share_that_is_rounded_down(given, hosts, allowed):
    assert way_back.read_budget(given, hosts) == allowed


@pytest.mark.parametrize("given", ["some", "-1", -1, "101%", "1.5", 1.5, True, [1], {"a": 1}, "10 %%"])
def test_what_is_no_budget_is_refused_with_its_name(given):
    with pytest.raises(SlipwayError, match="release_max_unavailable is") as refused:
        way_back.read_budget(given, 5)
    assert refused.value.fix


def test_bad_rules_are_refused_in_a_sentence():
    for rules in ({"budget": "some"}, {"budget": 0, "on_failure": "everybody"}):
        with pytest.raises(AnsibleFilterError, match="Fix: "):
            fleet_gate(["a"], ["a"], ["a"], {}, **rules)
    assert not fleet_gate(["a"], ["a"], ["a"], {}, "", on_failure="")["stop"]


GATES = {
    "nobody is lost": ("c", "abcde", {}, 0, False, ""),
    "one has failed": ("c", "abcde", {"b": {"code": "x"}}, 0, False, "b failed or could not be reached, and the run"),
    "Ansible has lost one": ("c", "acde", {}, 0, False, "Not touched in this play: c, d, e."),
    "within the budget": ("c", "abcde", {"b": {"code": "x"}}, 1, False, ""),
    "beyond it": ("c", "acde", {"a": {"code": "x"}}, 1, False, "One or more of a, b failed or could not be reached "
                  "(release_max_unavailable allows 1)"),
    "lost before the first batch": ("a", "acde", {}, 1, False, "that was before the first batch"),
    "none has it": ("b", "abcde", {"a": {"code": "x"}}, 1, False, "no host has the release yet"),
    "the canary is down": ("b", "abcde", {"a": {"code": "unreachable"}}, 1, False, ""),
    "in its own batch": ("cd", "abcde", {"c": {"code": "x"}}, 0, True, "Not released: d, e."),
    "an empty failure is none": ("c", "abcde", {"b": {}}, 0, False, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", GATES)
def test_the_gate_before_a_batch(case):
    batch, alive, failures, budget, begun, said = GATES[case]
    told = fleet_gate(list("abcde"), list(batch), list(alive), failures, budget, begun)
    assert told["stop"] == bool(said)
    assert said in told["text"]


UNTIL = {
    "before the first batch": ("a", "canary", ""),
    "after the canary": ("bc", "canary", "after batch 1 of 3: 4 hosts after it not touched"),
    "the second of two is still to come": ("bc", 2, ""),
    "after two": ("de", " 2 ", "after batch 2 of 3: 2 hosts after it not touched"),
    "as a survey may hand it over": ("de", "2.0", "2 hosts after it"),
    "more batches than there are": ("de", "7", ""),
    "not given": ("de", "", ""),
}


@pytest.mark.parametrize("case", UNTIL)
def test_a_run_ends_after_the_batch_that_was_said(case):
    batch, until, said = UNTIL[case]
    told = fleet_gate(list("abcde"), list(batch), list("abcde"), {}, 0, sizes=[1, "50%", "100%"], until=until)
    assert told["stop"] == bool(said)
    assert said in told["text"]


APART = {"a": ["books"], "b": ["books"], "c": ["shop"], "d": ["shop"], "e": []}
SEVERAL = {
    "its first batch is where the service is": ("c", {}, {}, "canary", ""),
    "and the run ends after that": ("d", {}, {}, "canary", "after batch 3 of 5: 2 hosts after it not touched"),
    "batches without any service do not count": ("e", {}, {}, 2, "after batch 4 of 5: 1 host after it not touched"),
    "no host is known to have any": ("b", {}, {host: [] for host in "abcde"}, "canary", "after batch 1 of 5"),
    "what others have released says nothing of it": ("d", {"c": {"code": "x"}}, APART, "", "no host has the"),
    "one that has it is through": ("e", {"d": {"code": "x"}}, APART, "", ""),
    "one that has another service of its host": (
        "c", {"b": {"code": "x", "service": "shop"}}, {**APART, "b": ["books", "shop"]}, "", "no host has the",
    ),
    "one that fails and has none": ("c", {"b": {"code": "x"}}, {**APART, "b": []}, "", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", SEVERAL)
def test_only_a_host_that_has_the_service_is_through(case):
    batch, failures, services, until, said = SEVERAL[case]
    services = services or {host: ["shop"] if host in "cd" else [] for host in "abcde"}
    more = {"sizes": [1], "until": until, "services": services}
    told = fleet_gate(list("abcde"), [batch], list("abcde"), failures, 1, **more)
    assert told["stop"] == bool(said)
    assert said in told["text"]


def test_the_end_of_a_run_judges_as_its_gate_did():
    """With services on different hosts, what the run has brought of any goes back where the gate has stopped it."""
    more = {"services": APART, "budget": 1, "sizes": [1]}
    of_each = {"a": {"books": RELEASED}, "b": {"books": RELEASED}, "c": {"shop": ILL}}
    results = {"a": RELEASED, "b": RELEASED, "c": {}, "d": {}, "e": {}}
    ill = {"c": {"code": "x", "msg": "it answers 500.", "service": "shop"}}
    told = fleet(results, failures=ill, about=["a", "b"], service="books", of_each=of_each, **more)
    assert set(fleet_decision(told)["back"]) == {"a", "b"}
    of_each["d"] = {"shop": RELEASED}
    decision = fleet_decision({**told, "of_each": of_each})
    assert (decision["stops"], decision["back"]) == ("", {}), "d has come through with the service that c failed with"


def test_a_failure_says_more_than_the_end_that_was_meant():
    told = fleet_gate(list("abc"), ["b"], list("abc"), {"a": {"code": "x"}}, 0, sizes=[1], until=1)
    assert "a failed or could not be reached" in told["text"]


@pytest.mark.parametrize("until", ["half", 0, -1, 1.5, True, [1], "50%"])
def test_what_is_no_batch_is_refused_with_its_name(until):
    with pytest.raises(AnsibleFilterError, match=r"release_until is .* Fix: give canary"):
        fleet_gate(["a"], ["a"], ["a"], {}, 0, sizes=[1], until=until)


def test_batches_are_those_of_ansible():
    assert way_back.split("abcde", [1, "40%", "100%"]) == [["a"], ["b", "c"], ["d", "e"]]
    assert way_back.split("abc", [1, "50%", "100%"]) == [["a"], ["b"], ["c"]]
    assert way_back.split("abcde", [2]) == [["a", "b"], ["c", "d"], ["e"]]
    assert way_back.split("abc", []) == [["a", "b", "c"]]


@pytest.mark.parametrize(("mode", "back"), [("fleet", "ab"), ("", "ab"), ("batch", "b"), ("host", "")])
def test_who_goes_back(mode, back):
    results = {"a": RELEASED, "b": RELEASED, "c": ILL, "d": PREDICTED, "e": PREDICTED}
    told = fleet_decision(fleet(results, on_failure=mode, sizes=[1, 2]))
    assert told["back"] == {host: {"of": NEW, "release": OLD} for host in back}
    assert told["lost"] == ("c",)


def test_a_host_that_may_have_it_is_asked_by_the_name_of_the_run():
    results = {"a": RELEASED, "b": GONE}
    assert fleet_decision(fleet(results))["back"] == {"a": {"of": NEW, "release": OLD}}
    assert fleet_decision(fleet(results, run=" 7 "))["back"]["b"] == {"run": "7"}
    stays = {**ILL, "code": "unconfirmed", "current": NEW, "previous": OLD}
    assert fleet_decision(fleet({"a": RELEASED, "b": stays}))["back"]["b"] == {"of": NEW}


def test_a_host_that_ansible_has_given_up_cannot_go_back():
    told = fleet_decision(fleet({"a": RELEASED, "b": RELEASED}, alive="a"))
    assert set(told["back"]) == {"a"}
    closing = fleet_closing(fleet({"a": RELEASED, "b": RELEASED}, alive="a"), {"a": runs(OLD)})
    assert closing["failures"] == {}, "Ansible itself has booked the failure of b"
    assert closing["stats"]["b"]["verdict"] == "unreachable"


def test_what_has_waited_for_the_fleet_is_confirmed_where_it_stays():
    waits = {**RELEASED, "unconfirmed": "t1"}
    wanted = {"unconfirmed": "t1", "current": NEW, "previous": OLD}
    assert fleet_decision(fleet({"a": waits, "b": RELEASED}))["confirm"] == {"a": wanted}
    assert fleet_decision(fleet({"a": waits, "b": ILL}))["confirm"] == {}
    told = fleet_decision(fleet({"a": waits, "b": ILL}, on_failure="host"))
    assert (told["confirm"], told["back"]) == ({"a": wanted}, {})
    assert fleet_decision(fleet({"a": waits, "b": waits}, checked=True))["confirm"] == {}


def test_one_that_was_confirmed_too_late_fails():
    waits = {**RELEASED, "unconfirmed": "t1"}
    late = {**runs(OLD), "failed": True, "code": "too_late", "msg": "it was taken back at 10:00."}
    closing = fleet_closing(fleet({"a": waits, "b": waits}), {"a": runs(NEW), "b": late})
    assert closing["failures"] == {"b": "it was taken back at 10:00."}
    assert (closing["stats"]["b"]["verdict"], closing["outcome"]) == ("not confirmed", "incomplete")


def test_one_that_runs_something_else_at_the_end_fails():
    closing = fleet_closing(fleet({"a": RELEASED, "b": RELEASED}), {"a": runs(NEW), "b": runs(OLD)})
    assert closing["failures"] == {"b": f"{OLD} runs here at the end of the run, which has left {NEW} here."}
    assert "the hosts run different releases" in closing["text"]


def test_one_that_does_not_answer_at_the_end_fails():
    closing = fleet_closing(fleet({"a": RELEASED, "b": RELEASED}), {"a": runs(NEW), "b": GONE})
    assert set(closing["failures"]) == {"b"}
    assert f"{NEW} runs on 1 of 2 hosts" in closing["text"]


def test_releases_of_one_version_with_ids_of_their_own_are_the_same():
    other = {**RELEASED, "current": "2.0.0-3333333333"}
    closing = fleet_closing(fleet({"a": RELEASED, "b": other}), {"a": runs(NEW), "b": runs("2.0.0-3333333333")})
    assert closing["failures"] == {}
    assert "2.0.0 runs on all 2 hosts" in closing["text"]


def test_one_host_of_a_service_is_not_told_as_several():
    closing = fleet_closing(fleet({"a": RELEASED}), {"a": runs(NEW)})
    assert f"{NEW} runs on its one host, asked anew." in closing["text"]


def test_no_release_no_table():
    """Such as a run of the role service alone, which has failed on a host."""
    failed = {"b": {"code": "failed", "msg": "the task X failed."}}
    closing = fleet_closing(fleet({"a": {}, "b": {}}, failures=failed), {})
    assert (closing["text"], closing["failures"]) == ("", {"b": "the task X failed."})


RESULTS = [RELEASED, UNCHANGED, ILL, GONE, {**RELEASED, "previous": None}, {**RELEASED, "action": "confirm"}]


@pytest.mark.parametrize("seed", range(300))
def test_whatever_happens_the_end_is_true(seed):
    """A host goes back only from what this run has brought; who fails, the table and the outcome say the same."""
    chance = random.Random(seed)
    names = [f"web{number}" for number in range(chance.randint(2, 9))]
    tried = chance.randint(0, len(names))
    results = {host: chance.choice(RESULTS) if place < tried else PREDICTED for place, host in enumerate(names)}
    budget, mode = chance.choice([0, 1, "30%"]), chance.choice(["fleet", "batch", "host"])
    about = fleet(results, budget=budget, on_failure=mode, sizes=[1, chance.randint(1, 4)])
    decision = fleet_decision(about)
    lost = [host for host in names if results[host].get("failed")]
    released = [host for host in names if results[host].get("changed")]
    assert list(decision["lost"]) == lost
    assert set(decision["back"]) <= set(released)
    assert all(results[host]["previous"] == way["release"] for host, way in decision["back"].items())
    if len(lost) <= way_back.read_budget(budget, len(names)) and any(results[h].get("action") for h in names[:tried]):
        assert (decision["stops"], decision["back"]) == ("", {})
    if decision["stops"] and mode == "fleet":
        assert set(decision["back"]) == {host for host in released if results[host]["previous"]}
    if mode == "host":
        assert decision["back"] == {}
    stays = {host for host in decision["back"] if chance.random() < 0.2}
    now = {host: NEW if host in released and (host not in decision["back"] or host in stays) else OLD for host in names}
    now |= {host: NEW for host in names if results[host] is UNCHANGED}
    closing = fleet_closing(about, {host: runs(release) for host, release in now.items()})
    assert set(closing["failures"]) == set(lost) | stays
    assert all(closing["failures"].values())
    lines = closing["text"].splitlines()
    assert [line.split()[0] for line in lines[1 : len(names) + 1]] == names
    for line, host in zip(lines[1:], names):
        assert closing["stats"][host]["verdict"] in line
        assert now[host] in line
    different = len(set(now.values())) > 1
    assert ("the hosts run different releases" in closing["text"]) == different
    if closing["outcome"] in ("complete", "incomplete"):
        assert not decision["stops"]
    untouched = any(told["verdict"] == "not touched" for told in closing["stats"].values())
    assert (closing["outcome"] == "complete") == (not lost and not untouched)
    assert (closing["outcome"] == "partial") == (not lost and untouched)


@pytest.mark.parametrize(("code", "bad"), [("fleet_worse", True), ("fleet_unclear", False)])
@pytest.mark.parametrize(
    ("on_failure", "back"), [("fleet", ["a", "b", "c"]), ("batch", ["b", "c"]), ("host", ["b", "c"])]
)
def test_a_release_that_the_others_speak_against_goes_back_whatever_the_budget_is(on_failure, back, code, bad):
    """Hosts that are well but have it fail, and no further host gets it."""
    results = {"a": RELEASED, "b": RELEASED, "c": RELEASED, "d": {}}
    against = {host: {"code": code, "msg": "it does worse."} for host in "bc"}
    told = fleet(results, budget="100%", on_failure=on_failure, sizes=[1, 2, "100%"], failures=against)
    decision = fleet_decision(told)
    assert sorted(decision["back"]) == back
    assert all(way.get("mark_bad", False) is bad for way in decision["back"].values())
    assert fleet_gate(list("abcd"), ["d"], list("abcd"), against, "100%")["stop"]


def test_a_host_that_has_gone_back_because_nobody_confirmed_it_is_not_sent_back_again():
    """Its answer still says that the release was swapped in."""
    gone_back = {**RELEASED, "failed": True, "code": "unconfirmed", "msg": "no new connection.", "current": OLD}
    told = fleet({"a": RELEASED, "b": {**gone_back, "failed_release": NEW}, "c": {}})
    decision = fleet_decision(told)
    assert decision["back"] == {"a": {"of": NEW, "release": OLD}}
    closing = fleet_closing(told, {host: runs(OLD) for host in "abc"})
    assert closing["stats"]["b"]["verdict"] == "failed"
    assert closing["failures"] == {"b": "no new connection."}


def test_another_service_of_these_hosts_goes_back_and_is_not_marked_bad():
    """It has done nothing, but the run stops, and the fleet is one transaction."""
    against = {"a": {"code": "fleet_worse", "msg": "it does worse.", "service": "mail"}}
    told = fleet({"a": RELEASED, "b": {}}, sizes=[1], failures=against)
    assert fleet_decision(told)["back"] == {"a": {"of": NEW, "release": OLD}}
    told = fleet({"a": RELEASED, "b": {}}, sizes=[1], failures={"a": {**against["a"], "service": "shop"}})
    assert fleet_decision(told)["back"] == {"a": {"of": NEW, "release": OLD, "mark_bad": True}}


def test_nothing_is_left_to_do_where_another_run_has_released_it_meanwhile():
    told = fleet({"a": {"failed": True, "code": "lease_lost", "msg": "bob has it."}, "b": PREDICTED, "c": PREDICTED})
    closing = fleet_closing(told, {"a": runs(NEW), "b": runs(NEW), "c": runs(OLD)})
    rows = {line.split()[0]: line for line in closing["text"].splitlines()[1:4]}
    assert "not touched" in rows["b"]
    assert not rows["b"].endswith("release here")
    assert rows["c"].endswith("release here")


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("leased", "see what the other run has released"),
        ("lease_lost", "see what the other run has released"),
        ("lease_ended", "see why it was ended"),
        ("busy", "rollback"),
    ],
)
def test_a_host_that_another_run_has_now_is_not_to_be_rolled_back(code, left):
    told = fleet({"a": RELEASED, "b": ILL}, sizes=[1])
    closing = fleet_closing(told, {"a": {**runs(NEW), "failed": True, "code": code, "msg": "no."}, "b": runs(OLD)})
    (row,) = (line for line in closing["text"].splitlines() if line.startswith("a "))
    assert "not taken back" in row
    assert row.endswith(left)


def test_requests_of_every_period_since_the_swap_began_count() -> None:
    figures = {name: {"sent": 10, "failed": 1, "p99_ms": 2.5} for name in periods.SINCE_THE_SWAP_BEGAN}
    assert way_back.probed(figures) == ("3 of 30", "2.5 ms")
    assert way_back.probed({periods.BEFORE: figures[periods.DURING], periods.ROLLBACK: figures[periods.DURING]}) == (
        "",
        "",
    )

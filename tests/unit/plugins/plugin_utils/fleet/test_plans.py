# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a release: what goes where, in which batch; short for a hundred hosts as for three."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.filter.release_plan import release_plan
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import plans
from hypothesis import given
from hypothesis import strategies as st

OLD, NEW = "1.9.4-77c0aa12de", "2.0.0-3b1d8f00aa"
PLAN = {"serving": OLD, "returns_to": OLD, "took": [1.8, 2.4], "at_most": 635.0, "lease": None}
GOOD = {"action": "release", "current": NEW, "previous": OLD, "plan": PLAN, "changed": False}
LEASE = {
    "run": "90f1c2aa34bb56dd",
    "state": "held",
    "left": 512.3,
    "since": 1_800_000_000.0,
    "by": {"person": "alice", "controller": "ctl1", "reason": "repairs the checkout"},
    "version": "2.1.0",
    "name": "1704",
}
LEASED = {
    "code": "leased",
    "msg": "shop is being released by alice on ctl1.",
    "problems": [{"code": "leased", "message": "shop is being released by alice on ctl1.", "fix": "wait"}],
    "lease": LEASE,
    "plan": {**PLAN, "lease": LEASE},
}


def plan(answers, sizes=(1, "50%", "100%")):
    return release_plan(answers, "shop", "2.0.0", list(sizes))


def test_three_hosts():
    found = plan({"web1": GOOD, "web2": GOOD, "db": {**GOOD, "plan": {**PLAN, "took": [], "returns_to": None}}})
    assert found["text"].splitlines() == [
        "PLAN  shop 2.0.0: 3 hosts in 3 batches",
        "  lease: free",
        "  batch 1 of 3: 1 host",
        f"    {OLD} -> {NEW}  web1",
        "    lost if it takes more than 635 s; the last swaps took up to 5 s",
        f"    if it fails: back to {OLD}",
        "    if the run stops here: 2 hosts after it not touched",
        "  batch 2 of 3: 1 host",
        f"    {OLD} -> {NEW}  web2",
        "    lost if it takes more than 635 s; the last swaps took up to 5 s",
        f"    if it fails: back to {OLD}",
        "    if the run stops here: 1 host before it goes back, too, 1 host after it not touched",
        "  batch 3 of 3: 1 host",
        f"    {OLD} -> {NEW}  db",
        "    lost if it takes more than 635 s; no swap was measured yet",
        "    if it fails: nothing to go back to, so nothing serves",
        "    if the run stops here: 2 hosts before it go back, too",
    ]
    assert (found["refused"], found["ended"]) == ([], [])


@pytest.mark.parametrize(("forks", "second"), [(0, "4 hosts"), (3, "4 hosts, 3 at a time (forks)"), (4, "4 hosts")])
def test_a_batch_that_ansible_does_not_play_at_once_says_so(forks, second):
    answers = {f"web{number}": GOOD for number in range(1, 6)}
    lines = release_plan(answers, "shop", "2.0.0", [1, "100%"], forks=forks)["text"].splitlines()
    batches = [line.strip() for line in lines if line.startswith("  batch ")]
    assert batches == ["batch 1 of 2: 1 host", f"batch 2 of 2: {second}"]


def test_a_run_that_may_outlast_its_lease_says_so():
    longer, long = (
        {**GOOD, "plan": {**PLAN, "lease_needed": needed, "lease_kept": 86400.0}} for needed in (129600.0, 129000.0)
    )
    lines = plan({"web1": longer, "web2": long, "web3": GOOD})["text"].splitlines()
    assert lines[1:3] == [
        "  lease: free",
        "  lease: ends after 1d 0h, and this run may take 1d 12h; keep others from releasing where its turn is later",
    ]
    assert max(map(len, lines)) < 120
    assert sum(line.startswith("  lease:") for line in plan({"web1": GOOD})["text"].splitlines()) == 1


@pytest.mark.parametrize(("until", "batches"), [("canary", 1), (2, 2), (3, 3), ("", 3)])
def test_a_plan_ends_where_the_run_does(until, batches):
    answers = {f"web{number}": GOOD for number in range(1, 6)}
    text = release_plan(answers, "shop", "2.0.0", [1, "50%", "100%"], until=until)["text"]
    assert text.count("  batch ") == batches
    left = {1: "batch 1, and 4 hosts after it not touched", 2: "batch 2, and 2 hosts after it not touched"}.get(batches)
    assert (f"release_until: the run ends after {left}" in text) == bool(left)
    assert ("release_until" in text) == bool(left)


def test_a_plan_counts_the_batches_in_which_somebody_has_the_service():
    hosts = [f"web{number}" for number in range(1, 6)]
    more = {"hosts": hosts, "until": "canary"}
    services = {host: ["shop"] if host in ("web3", "web4") else [] for host in hosts}
    answers = dict.fromkeys(("web3", "web4"), GOOD)
    text = release_plan(answers, "shop", "2.0.0", [1], services=services, **more)["text"]
    assert "release_until: the run ends after batch 1, and 1 host after it not touched" in text
    assert "  batch 1 of 1: 1 host" in text
    services = {**services, "web1": ["books"]}
    text = release_plan(answers, "shop", "2.0.0", [1], services=services, **more)["text"]
    assert "release_until: the run ends before a host of shop, and 2 hosts after it not touched" in text


def test_a_hundred_hosts_are_a_page():
    found = plan({f"web{number:03}": GOOD for number in range(1, 101)})["text"]
    assert len(found.splitlines()) <= 20
    assert max(map(len, found.splitlines())) < 120
    assert "web001" in found
    assert "web[002:051]" in found
    assert "web[052:100]" in found


def test_where_ids_differ_from_host_to_host_versions_are_shown():
    answers = {f"web{number}": {**GOOD, "current": f"2.0.0-{number:010x}"} for number in range(1, 51)}
    found = plan(answers, ["100%"])["text"]
    assert "    1.9.4 -> 2.0.0  web[1:50]" in found.splitlines()


def test_hosts_that_stay_say_why():
    answers = {
        "web1": {**GOOD, "action": "none", "current": OLD},
        "web2": {**GOOD, "action": "settings"},
        "web3": {"code": "unreachable", "msg": "the host became unreachable."},
        "web4": {"problems": [{"code": "port_in_use", "message": "port 80.", "fix": "stop it"}], "plan": PLAN},
        "web5": {},
    }
    found = plan(answers, ["100%"])
    lines = found["text"].splitlines()
    assert f"    {OLD} stays, nothing to do  web1" in lines
    assert f"    {OLD} stays, settings  web2" in lines
    assert "    unreachable  web3" in lines
    assert f"    {OLD} stays, refused (port_in_use)  web4" in lines
    assert found["refused"] == ["web3", "web4", "web5"]
    assert any(line.startswith("web4  port_in_use") for line in lines), "the table below the plan"


def test_who_has_the_lease_and_where():
    found = plan({"web1": GOOD, "web2": LEASED})
    (line,) = [line for line in found["text"].splitlines() if line.startswith("  lease:")]
    assert "alice on ctl1: repairs the checkout, run 1704, version 2.1.0, since " in line
    assert "for at most 9m 0s (id 90f1c2aa34bb56dd)  web2" in line
    assert found["refused"] == ["web2"]


@pytest.mark.parametrize("state", ["given back", "ended"])
def test_a_run_that_another_host_knows_to_be_over_refuses_nothing(state):
    over = {**LEASE, "state": state, "left": 0.0}
    found = plan({"web1": {**GOOD, "plan": {**PLAN, "lease": over}}, "web2": LEASED})
    assert (found["refused"], found["ended"]) == ([], [LEASE["run"]])
    assert "  lease: free" in found["text"].splitlines()
    assert "PROBLEM" not in found["text"]
    assert "once the lease of a run that is over has ended  web2" in found["text"]


def test_nor_does_one_that_was_over_before_this_run_took_the_lease():
    own = {**LEASE, "run": "own", "over": [LEASE["run"]]}
    found = plan({"web1": {**GOOD, "plan": {**PLAN, "lease": own}}, "web2": LEASED})
    assert (found["refused"], found["ended"]) == ([], [LEASE["run"]])


def test_a_run_that_only_expired_is_not_known_to_be_over():
    expired = {**LEASE, "left": 0.0}
    found = plan({"web1": {**GOOD, "plan": {**PLAN, "lease": expired}}, "web2": LEASED})
    assert found["refused"] == ["web2"]


def test_another_problem_beside_the_lease_is_still_one():
    two = {**LEASED, "problems": [*LEASED["problems"], {"code": "disk_full", "message": "no space.", "fix": "free it"}]}
    over = {**LEASE, "state": "given back", "left": 0.0}
    assert plan({"web1": {**GOOD, "plan": {**PLAN, "lease": over}}, "web2": two})["refused"] == ["web2"]


@pytest.mark.parametrize(("broken", "said"), [("", "release_break_glass"), ("users cannot pay", "users cannot pay")])
def test_a_freeze(broken, said):
    freeze = {"reason": "Christmas", "until": "2027-01-04 08:00 +0100", "broken": broken}
    found = plan({"web1": {**GOOD, "plan": {**PLAN, "freeze": freeze}}})["text"]
    (line,) = [line for line in found.splitlines() if line.startswith("  freeze:")]
    assert "until 2027-01-04 08:00 +0100: Christmas;" in line
    assert said in line


@pytest.mark.parametrize(
    ("hosts", "text"),
    [
        ([], ""),
        (["web1"], "web1"),
        (["web1", "web2"], "web1, web2"),
        (["web1", "web2", "web3"], "web[1:3]"),
        (["web8", "web9", "web10", "web11"], "web[8:11]"),
        (["web08", "web09", "web10"], "web[08:10]"),
        (["web01", "web2", "web3"], "web01, web2, web3"),
        (["a1.example.com", "a2.example.com", "a3.example.com", "b"], "a[1:3].example.com, b"),
        (["10.0.0.1", "10.0.0.2", "10.0.0.3"], "10.0.0.[1:3]"),
        (["web3", "web2", "web1"], "web3, web2, web1"),
        (["db", "web1", "db2"], "db, web1, db2"),
    ],
)
def test_names(hosts, text):
    assert plans.names(hosts) == text


@given(st.lists(st.from_regex(r"[a-c]{0,2}[0-9]{0,3}[a-c.]{0,2}", fullmatch=True).filter(bool), unique=True))
def test_names_lose_no_host(hosts):
    from ansible.inventory.manager import split_host_pattern
    from ansible.plugins.inventory import expand_hostname_range

    parts = split_host_pattern(plans.names(hosts)) if hosts else []
    expanded = [h for part in parts for h in (expand_hostname_range(part) if "[" in part else [part])]
    assert expanded == hosts


@pytest.mark.parametrize("answer", [{}, {"plan": None}, {"plan": []}, {"action": "release"}, {"lease": 3}, None, 7])
def test_what_says_little_is_shown_all_the_same(answer):
    assert "web1" in plan({"web1": answer})["text"]

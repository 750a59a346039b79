# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts with a new release beside those without, by what the load balancers in front of them have counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.verdict import Rule
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import comparison
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.balancers import Balancers
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.comparison import Comparison, Unanswered
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

NAMES = ("balancer1", "balancer2")
WANTED = Comparison(haproxy=NAMES, time=60.0, interval=5.0)
NEW, OLD = ("web1",), ("web2", "web3")
GOOD = {"web1": (10, 0.0), "web2": (10, 0.0), "web3": (10, 0.0)}


@dataclass
class Front:
    """Two load balancers, each with half of the requests; rates: requests a second and the share that fails."""

    rates: dict[str, tuple[float, float]]
    now: float = 0.0
    reloads: dict[str, list[float]] = field(default_factory=dict)
    away: dict[str, tuple[float, float]] = field(default_factory=dict)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now

    def answer(self, name: str) -> dict[str, Any]:
        begin, end = self.away.get(name, (1e9, 1e9))
        if begin <= self.now < end:
            raise Unanswered(f"{name} cannot be reached: timed out")
        past = [moment for moment in self.reloads.get(name, []) if moment <= self.now]
        lasts = self.now - max(past, default=-1000.0)
        servers = {
            one: {"requests": round(rate * lasts / 2), "failed": round(rate * lasts / 2 * share)}
            for one, (rate, share) in self.rates.items()
        }
        return {"process": 100 + len(past), "uptime": int(lasts), "servers": servers}

    def compare(self, wanted: Comparison = WANTED, **limits: Any) -> dict[str, Any]:
        source = Balancers({name: lambda name=name: self.answer(name) for name in wanted.haproxy})
        return comparison.compare(wanted, Rule(**limits), NEW, OLD, source.look, self.clock, self.sleep)


def test_what_all_of_them_have_counted_is_one_sum() -> None:
    told = Front({**GOOD, "web1": (10, 0.01)}).compare()
    assert (told["verdict"], told["seconds"], told["by"], told["gaps"]) == ("pass", 60.0, "HAProxy", {})
    assert told["new"] == {"hosts": 1, "requests": 600, "failed": 6, "p99_ms": None}
    assert told["old"] == {"hosts": 2, "requests": 1200, "failed": 0, "p99_ms": None}
    assert "p99" not in comparison.sentence("shop", told)


def test_a_release_that_fails_more_is_found_at_once() -> None:
    told = Front({**GOOD, "web1": (10, 0.2)}).compare()
    assert (told["verdict"], told["seconds"]) == ("fail", 5.0)
    assert "10 of 50 requests" in told["reason"]


def test_a_good_release_may_end_it_early_by_its_failures_alone() -> None:
    told = Front(dict.fromkeys(GOOD, (100, 0.0))).compare(min_time=5)
    assert (told["verdict"], told["seconds"]) == ("pass", 10.0)
    assert told["early"]["evidence"] >= 200


def test_what_a_reload_takes_with_it_is_not_known_and_no_zero() -> None:
    front = Front(GOOD, reloads={"balancer1": [32.0]})
    told = front.compare()
    assert (told["verdict"], told["gaps"]) == ("pass", {"balancer1": 1})
    assert (told["new"]["requests"], told["old"]["requests"]) == (575, 1150), "five seconds of one of the two"
    assert comparison.sentence("shop", told).endswith(
        "one before. HAProxy began to count anew on balancer1: what it counted in the last seconds before is not known."
    )
    front = Front(dict.fromkeys(GOOD, (100, 0.0)), reloads={"balancer1": [3.0]})
    assert front.compare(min_time=5)["early"] is None
    always = Front(GOOD, reloads={name: [float(second) for second in range(1, 100)] for name in NAMES}).compare()
    assert (always["verdict"], always["new"]["requests"]) == ("inconclusive", 0)
    assert "(12 times)" in comparison.sentence("shop", always)


def test_a_defect_is_found_across_a_reload() -> None:
    told = Front({**GOOD, "web1": (10, 0.2)}, reloads={"balancer1": [3.0], "balancer2": [3.0]}).compare()
    assert (told["verdict"], told["seconds"]) == ("fail", 10.0)


def test_one_that_is_away_leaves_what_the_others_know() -> None:
    front = Front({**GOOD, "web1": (10, 0.2)}, away={"balancer1": (0.0, 1e9)})
    assert front.compare()["verdict"] == "fail"
    told = Front(GOOD, away={"balancer1": (0.0, 1e9)}).compare()
    assert (told["verdict"], told["reason"]) == ("inconclusive", "balancer1 cannot be reached: timed out")
    assert told["new"]["requests"] == 300
    told = Front(GOOD, away={"balancer1": (12.0, 33.0)}).compare()
    assert (told["verdict"], told["new"]["requests"]) == ("pass", 600), "it counts while nobody can ask it"


def test_all_of_them_away() -> None:
    told = Front(GOOD, away=dict.fromkeys(NAMES, (0.0, 1e9))).compare()
    assert told["verdict"] == "inconclusive"
    assert told["reason"] == "balancer1 cannot be reached: timed out; balancer2 cannot be reached: timed out"
    assert (told["new"]["requests"], told["timeline"]["at"]) == (0, [])


def test_a_host_that_they_do_not_have() -> None:
    told = Front({"a": (10, 0.0), "web2": (10, 0.0), "web3": (10, 0.0)}).compare()
    assert (told["verdict"], told["reason"]) == (
        "inconclusive",
        "HAProxy has no server web1; it has a, web2, web3",
    )


@pytest.mark.parametrize("answer", [{}, {"process": "x", "uptime": 1, "servers": {}}, {"servers": [], "process": 1}])
def test_what_is_no_answer_is_none(answer: dict[str, Any]) -> None:
    with pytest.raises(Unanswered, match="balancer1 does not answer as"):
        Balancers({"balancer1": lambda: answer}).look()


def test_counters_that_somebody_has_cleared() -> None:
    answers = [{"web1": {"requests": count, "failed": 0}} for count in (50, 10, 30)]
    source = Balancers({"b": lambda: {"process": 1, "uptime": 9, "servers": answers.pop(0)}})
    assert [source.look().samples["web1"].requests for _look in range(3)] == [0, 0, 20]
    assert source._gaps == {"b": 1}


def test_what_is_given() -> None:
    found = comparison.parse({"haproxy": "balancer1, balancer2, balancer1", "backend": "", "time": "60", "url": ""})
    assert found == Comparison(haproxy=NAMES, time=60.0, interval=5.0)
    assert found.at_most > 60 + 12 * 2 * 10
    found = comparison.parse({"haproxy": ["b"], "interval": 2, "backend": "shop", "socket": "/run/a.sock"})
    assert found == Comparison(haproxy=("b",), interval=2.0, backend="shop", socket="/run/a.sock")
    assert comparison.parse({"haproxy": []}) is None
    assert comparison.parse('{"haproxy": ["b"]}') == Comparison(haproxy=("b",), interval=5.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"haproxy": ["b"], "url": "http://a", "durations": "x"}, "has url, durations beside haproxy"),
        ({"haproxy": ["b"], "backend": "a b"}, "backend is 'a b'"),
        ({"haproxy": ["b"], "socket": "admin.sock"}, "has the socket admin.sock"),
        ({"haproxy": {"b": 1}}, "release_compare.haproxy"),
        ({"haproxy": [], "time": 60}, "has neither haproxy nor url"),
        ({"backend": "shop"}, "has backend without haproxy"),
        ({"haproxy": ["b"], "interval": 0}, "interval: 0"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(given: Any, said: str) -> None:
    refused(lambda: comparison.parse(given), "invalid_compare", said)


def test_load_balancers_are_hosts_of_the_inventory() -> None:
    comparison.require_known(WANTED, [*NAMES, "web1"])
    refused(lambda: comparison.require_known(WANTED, ["balancer1"]), "invalid_compare", "haproxy: balancer2, which")

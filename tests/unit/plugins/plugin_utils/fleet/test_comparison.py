# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts with a new release beside those without, by the counters of a Prometheus that is played here."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.verdict import Rule
from ansible_collections.slipway.go.plugins.module_utils._release.timeline import MOST
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import comparison, progress
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.comparison import Comparison, Sample
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

GIVEN = {"url": "http://prometheus:9090", "requests": "requests_total", "failures": "failures_total"}
WANTED = Comparison(**GIVEN, durations="seconds_bucket", time=60.0, interval=10.0)
NEW, OLD = ("web1",), ("web2", "web3")


class Fleet:
    """Hosts that count; each look at the clock is a look at what they have counted by then."""

    def __init__(self, rates: dict[str, tuple[float, float]], slow: dict[str, float] | None = None) -> None:
        """rates: requests a second, and the share of them that fails. slow: seconds that each request takes."""
        self.now, self.rates, self.slow = 0.0, rates, slow or {}
        self.restarted: dict[str, float] = {}
        self.every: dict[str, float] = {}  # seconds after which its process ends
        self.away = (1e9, 1e9)  # from when to when Prometheus does not answer

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        if self.away[0] <= self.now < self.away[1]:
            raise comparison.Unanswered("http://prometheus:9090 does not answer: refused")
        found = []
        for host, (rate, share) in self.rates.items():
            count = 1000 + rate * self.now
            if host in self.every:
                count = rate * (self.now % self.every[host])
            if self.now > self.restarted.get(host, 1e9):
                count = rate * (self.now - self.restarted[host])
            if query == "requests_total":
                found.append(({"instance": f"{host}:9100"}, count))
            elif query == "failures_total" and share:
                found.append(({"instance": f"{host}:9100"}, count * share))
            elif query == "seconds_bucket":
                bounds = (0.01, 0.1, 1.0, float("inf"))
                taken = self.slow.get(host, 0.005)
                found += [({"instance": f"{host}:9100", "le": str(le)}, count if taken <= le else 0.0) for le in bounds]
        return found

    def source(self, wanted: Comparison) -> comparison.Source:
        return comparison.by_queries(self.ask, wanted)

    def compare(self, wanted: Comparison = WANTED, new: Any = NEW, old: Any = OLD, **limits: Any) -> dict[str, Any]:
        return comparison.compare(wanted, Rule(**limits), new, old, self.source(wanted), self.clock, self.sleep)


class Chance(Fleet):
    """Between two looks, each host has so many requests more as chance has it, and one in twenty of them fails."""

    def __init__(self) -> None:
        super().__init__({})
        self.counts = dict.fromkeys(["web1", "web2", "web3"], (0, 0))

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        if query == "requests_total":
            for host, (requests, failed) in self.counts.items():
                more = random.randrange(20)
                self.counts[host] = (requests + more, failed + sum(random.random() < 0.05 for _one in range(more)))
        return [({"instance": host}, float(told[query != "requests_total"])) for host, told in self.counts.items()]


@pytest.mark.parametrize(("seconds", "failing"), [(60.0, 0.0), (60.0, 0.2), (3600.0, 0.001)])
def test_the_evidence_over_time_ends_as_the_comparison_does(seconds: float, failing: float) -> None:
    fleet = Fleet({"web1": (10, failing), "web2": (10, 0.0), "web3": (20, 0.0)})
    told = fleet.compare(replace(WANTED, time=seconds, interval=10.0))
    timeline = told["timeline"]
    new, new_failed, old, old_failed = timeline["counts"][-1]
    assert (new, new_failed) == (told["new"]["requests"], told["new"]["failed"])
    assert (old, old_failed) == (told["old"]["requests"], told["old"]["failed"])
    assert timeline["at"][-1] == told["seconds"]
    assert timeline["at"] == sorted(timeline["at"])
    assert len({len(timeline[name]) for name in ("at", "errors", "latency", "counts")}) == 1
    assert len(timeline["at"]) <= MOST
    assert (timeline["errors"][-1] >= timeline["enough"]) == (told["verdict"] == "fail") == (failing == 0.2)


def test_without_an_answer_there_is_no_evidence() -> None:
    fleet = Fleet({"web1": (10, 0.0), "web2": (10, 0.0), "web3": (20, 0.0)})
    fleet.away = (0.0, 1e9)
    told = fleet.compare()
    assert (told["verdict"], told["timeline"]["at"]) == ("inconclusive", [])


def test_it_shows_how_it_stands_while_it_waits() -> None:
    """Also where two looks are further apart than AWX lets a job be silent."""
    fleet = Fleet({"web1": (10, 0.0), "web2": (10, 0.0), "web3": (20, 0.0)})
    lines: list[tuple[float, str]] = []

    def show(text: str) -> None:
        lines.append((fleet.now, text))

    tell = progress.paced(lambda told, left: comparison.progress("shop", told, left), show, fleet.clock)
    wanted = replace(WANTED, interval=40.0, time=120.0)
    told = comparison.compare(wanted, Rule(), NEW, OLD, fleet.source(wanted), fleet.clock, fleet.sleep, tell)
    assert told["verdict"] == "pass"
    at = [moment for moment, _text in lines]
    assert max(later - before for before, later in zip([0.0, *at], [*at, 160.0])) <= 15
    assert min(later - before for before, later in zip(at, at[1:])) >= 14
    assert lines[0][1] == (
        "shop: compared with the hosts after the batch, at most 155 s left. 0 of 0 requests failed on 1 host with the "
        "new release, 0 of 0 requests failed on 2 hosts with the one before; verdict so far: inconclusive."
    )
    assert "0 of 800 requests failed on 1 host" in lines[-1][1]
    assert lines[-1][1].endswith("verdict so far: pass.")


def test_a_release_that_is_as_good_passes_at_the_end_of_the_time() -> None:
    told = Fleet({"web1": (10, 0.01), "web2": (10, 0.01), "web3": (20, 0.01)}).compare()
    assert (told["verdict"], told["reason"], told["seconds"]) == ("pass", "", 60.0)
    assert told["new"] == {"hosts": 1, "requests": 600, "failed": 6, "p99_ms": 0}
    assert told["old"] == {"hosts": 2, "requests": 1800, "failed": 18, "p99_ms": 10}
    assert comparison.objection(told, True) is None
    assert comparison.sentence("shop", told) == (
        "shop: pass after 60 s. 6 of 600 requests failed on 1 host, p99 0 ms with the new release, "
        "18 of 1800 requests failed on 2 hosts, p99 10 ms with the one before."
    )


def test_a_release_that_fails_more_is_found_long_before() -> None:
    told = Fleet({"web1": (10, 0.2), "web2": (10, 0.0), "web3": (20, 0.0)}).compare()
    assert (told["verdict"], told["seconds"]) == ("fail", 10.0)
    against = comparison.objection(told, False)
    assert against is not None
    assert against.code == "fleet_worse"
    assert "on 1 of 3 hosts" in against.message
    assert "20 of 100 requests" in against.message
    assert "release_max_errors allows 1 %" in against.message


def test_a_release_that_is_good_ends_the_comparison_early_where_that_is_wanted() -> None:
    rates = {"web1": (100, 0.0), "web2": (100, 0.0), "web3": (200, 0.0)}
    assert Fleet(rates).compare()["early"] is None
    told = Fleet(rates).compare(min_time=20)
    assert (told["verdict"], told["seconds"]) == ("pass", 20.0)
    assert told["early"]["evidence"] >= 200
    assert f"after 20 s, before its time (at most {told['early']['at_most']}" in comparison.sentence("shop", told)
    assert Fleet(rates).compare(min_time=0)["seconds"] == 10.0
    assert Fleet(rates).compare(min_time=90)["seconds"] == 60.0
    assert Fleet({**rates, "web1": (100, 0.009)}).compare(min_time=0)["seconds"] == 60.0, "it may be worse than allowed"


def test_what_is_not_known_of_every_host_ends_nothing_early() -> None:
    rates = {"web1": (100, 0.0), "web2": (100, 0.0), "web3": (200, 0.0)}
    assert Fleet({"web1": (100, 0.0), "web2": (200, 0.0)}).compare(min_time=0)["seconds"] == 60.0
    fleet = Fleet(rates)
    fleet.restarted = {"web1": 15.0}
    assert fleet.compare(min_time=0)["seconds"] == 60.0, "its process has ended"
    fleet = Fleet(rates)
    fleet.away = (15.0, 45.0)
    assert fleet.compare(min_time=10)["seconds"] == 40.0
    coarse = Fleet(rates, {"web1": 0.099, "web2": 0.011, "web3": 0.011})
    assert coarse.compare(min_time=0)["seconds"] == 60.0, "in one bucket, and one takes nine times as long"
    assert coarse.compare(min_time=0, max_latency_ratio=0)["early"]


def test_a_slower_release_is_found() -> None:
    rates = {"web1": (10, 0.0), "web2": (10, 0.0), "web3": (20, 0.0)}
    assert Fleet(rates, {"web1": 0.5}).compare()["verdict"] == "fail"
    assert Fleet(rates, {"web1": 0.5}).compare(max_latency_ratio=0)["verdict"] == "pass"
    assert Fleet(rates, dict.fromkeys(rates, 0.5)).compare()["verdict"] == "pass"


def test_two_that_may_be_in_the_same_bucket_are_not_told_apart() -> None:
    """11 and 99 ms are one bucket, so nobody knows that one takes nine times as long."""
    rates = {"web1": (10, 0.0), "web2": (10, 0.0), "web3": (20, 0.0)}
    assert Fleet(rates, {"web1": 0.099, "web2": 0.011, "web3": 0.011}).compare()["verdict"] == "pass"


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ({"web1": (0.5, 0.0), "web2": (10, 0.0), "web3": (10, 0.0)}, "30 requests of users reached it"),
        ({"web1": (10, 0.0), "web2": (0.1, 0.0), "web3": (0.1, 0.0)}, "12 requests reached the hosts with the old"),
        ({"web2": (10, 0.0), "web3": (10, 0.0)}, "no requests with instance web1; it has web2:9100, web3:9100"),
        ({}, "no requests with instance web1, web2, web3; it has none"),
    ],
)
def test_without_requests_nothing_is_known(rates: dict[str, tuple[float, float]], said: str) -> None:
    told = Fleet(rates).compare()
    assert told["verdict"] == "inconclusive"
    assert said in told["reason"]
    assert comparison.objection(told, False) is None
    against = comparison.objection(told, True)
    assert against is not None
    assert against.code == "fleet_unclear"
    assert said in against.message


def test_prometheus_may_be_away_for_a_while_but_not_at_the_end() -> None:
    rates = {"web1": (10, 0.0), "web2": (10, 0.0), "web3": (10, 0.0)}
    fleet = Fleet(rates)
    fleet.away = (25.0, 45.0)
    assert fleet.compare()["verdict"] == "pass"
    assert fleet.compare()["new"]["requests"] == 600, "what was counted meanwhile is in the next answer"
    fleet = Fleet(rates)
    fleet.away = (65.0, 1e9)
    told = fleet.compare()
    assert (told["verdict"], told["reason"]) == ("inconclusive", "http://prometheus:9090 does not answer: refused")
    fleet = Fleet(rates)
    fleet.away = (0.0, 1e9)
    assert fleet.compare()["new"]["requests"] == 0


def test_a_process_that_begins_anew_loses_only_what_nobody_has_seen() -> None:
    fleet = Fleet({"web1": (10, 0.0), "web2": (10, 0.0), "web3": (10, 0.0)})
    fleet.restarted = {"web1": 35.0}
    told = fleet.compare()
    assert told["new"]["requests"] == 550
    assert (told["verdict"], told["reason"]) == (
        "inconclusive",
        "the counters of the new release began anew, as they do when its process ends",
    )
    fleet = Fleet({"web1": (10, 0.0), "web2": (10, 0.0), "web3": (10, 0.0)})
    fleet.restarted = {"web1": 35.0, "web2": 38.0}
    assert fleet.compare()["verdict"] == "pass", "both: a database was restarted, or the machine paused"


def test_a_release_that_ends_again_and_again_is_worse() -> None:
    """Such a process counts no request that it has not answered."""
    fleet = Fleet({"web1": (10, 0.0), "web2": (10, 0.0), "web3": (10, 0.0)})
    fleet.every = {"web1": 20.0}
    told = fleet.compare()
    assert told["verdict"] == "fail"
    assert told["reason"] == "the counters of the new release began anew 2 times, as they do when its process ends"
    assert told["seconds"] == 30.0


def test_a_restart_is_seen_in_any_counter() -> None:
    before = {"web1": Sample(100.0, 50.0, {1.0: 90.0})}
    now = {"web1": Sample(120.0, 1.0, {1.0: 120.0})}
    counts = comparison.between(before, now, ["web1"], False)
    assert (counts.requests, counts.failed) == (120, 1)
    now = {"web1": Sample(120.0, 51.0, {1.0: 20.0})}
    assert comparison.between(before, now, ["web1"], False).requests == 120


def test_false_alarms_are_rare() -> None:
    """At most 1 % by the test's nature; 3 of 100 would be another test."""
    random.seed(4)
    wanted = Comparison(**GIVEN, time=300.0, interval=10.0)
    verdicts = [Chance().compare(wanted)["verdict"] for _turn in range(100)]
    assert verdicts.count("fail") <= 2


def test_hosts_are_known_with_and_without_a_port() -> None:
    reading = {name: Sample() for name in ("web1", "web1:9100", "web10:9100", "[fd00::1]:9100", "fd00::2", "a:b")}
    assert comparison.places(["web1"], reading) == ["web1", "web1:9100"]
    assert comparison.places(["fd00::1"], reading) == ["[fd00::1]:9100"]
    assert comparison.places(["fd00::2"], reading) == ["fd00::2"]
    assert comparison.places(["a"], reading) == []


def about(batch: list[str], after: dict[str, str], **more: Any) -> dict[str, Any]:
    swapped = {"changed": True, "action": "release", "current": "2.0.0-2222222222", "previous": "1.0.0-1111111111"}
    hosts: dict[str, dict[str, Any]] = {host: {"release_result": swapped} for host in batch}
    hosts |= {host: {} for host in after}
    hosts["web1"] = {**hosts.get("web1", {}), **more}
    return {
        "ansible_play_hosts_all": [*batch, *after],
        "ansible_play_batch": batch,
        "release_previews": {
            "shop": {host: {"action": action} for host, action in {**dict.fromkeys(batch, "release"), **after}.items()}
        },
        "hostvars": hosts,
    }


def test_who_is_compared_with_whom() -> None:
    later = {"web3": "release", "web4": "none", "web5": "upload", "web6": "confirm", "web7": ""}
    assert comparison.sides(about(["web1", "web2"], later), "shop") == (["web1", "web2"], ["web3", "web5"])
    named = about(["web1"], {"web3": "release"}, release_compare_name="10.0.0.1")
    assert comparison.sides(named, "shop") == (["10.0.0.1"], ["web3"])
    assert comparison.sides(named, "mail") == ([], []), "its answer is about the other service"
    for answer in (
        {"changed": False, "action": "none"},
        {"failed": True},
        {},
        None,
        {"changed": True, "action": "release"},
    ):
        assert comparison.sides(about(["web1"], {"web3": "release"}, release_result=answer), "shop") == ([], ["web3"])
    assert comparison.sides({}, "shop") == ([], [])


def test_what_is_given() -> None:
    for nothing in (None, "", " ", {}, "{}", {"url": ""}):
        assert comparison.parse(nothing) is None
    assert comparison.parse(GIVEN) == Comparison(**GIVEN)
    text = json.dumps({**GIVEN, "time": "120", "interval": "", "headers": {"Authorization": "Bearer x"}})
    found = comparison.parse(text)
    assert found == Comparison(**GIVEN, time=120.0, headers={"Authorization": "Bearer x"})
    assert found is not None
    assert found.at_most > 135
    decrypted = comparison.parse({**GIVEN, "headers": {"Authorization": "Bearer x\n"}})
    assert decrypted is not None
    assert decrypted.headers == {"Authorization": "Bearer x"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "http://a"}, "requests, failures"),
        ({**GIVEN, "query": "x"}, "query"),
        ({**GIVEN, "time": "soon"}, "release_compare.time"),
        ({**GIVEN, "time": 0}, "time: 0"),
        ({**GIVEN, "interval": 1e9}, "interval"),
        ({**GIVEN, "headers": "x"}, "release_compare.headers"),
        ({**GIVEN, "headers": {"a b": "x"}}, "release_compare.headers has a name"),
        ({**GIVEN, "headers": {"Authorization": "a\nb"}}, "the value of Authorization in release_compare.headers"),
        ({**GIVEN, "requests": ["a"]}, "release_compare.requests"),
        ({**GIVEN, "url": "prometheus:9090"}, "https://"),
        ("some text", "release_compare is not a dictionary"),
        (["a"], "release_compare is not a dictionary"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(given: Any, said: str) -> None:
    refused(lambda: comparison.parse(given), "invalid_compare", said)


class Prometheus(BaseHTTPRequestHandler):
    answer: tuple[int, bytes] = (200, b"")
    headers_seen: ClassVar[list[Any]] = []

    def do_GET(self) -> None:
        Prometheus.headers_seen.append((self.path, self.headers.get("Authorization")))
        status, body = Prometheus.answer
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def asked() -> Iterator[Comparison]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Prometheus) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Prometheus.headers_seen = []
        url = f"http://127.0.0.1:{server.server_address[1]}/prometheus/"
        yield Comparison(**{**GIVEN, "url": url}, headers={"Authorization": "Bearer hush"})
        server.shutdown()


def vector(*entries: Any, kind: str = "vector") -> bytes:
    result = [{"metric": labels, "value": [1.0, value]} for labels, value in entries]
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


def test_a_query_is_asked_over_http(asked: Comparison) -> None:
    Prometheus.answer = (200, vector(({"instance": "web1"}, "12.5"), ({"instance": "web2"}, "NaN")))
    assert comparison.prometheus(asked)('rate(a{b="c d"})') == [({"instance": "web1"}, 12.5)]
    ((path, key),) = Prometheus.headers_seen
    assert path == "/prometheus/api/v1/query?query=rate%28a%7Bb%3D%22c+d%22%7D%29"
    assert key == "Bearer hush"


@pytest.mark.parametrize(
    ("answer", "said", "misread"),
    [
        ((400, b'{"status":"error","error":"1:5: parse error"}'), "answers 400 (1:5: parse error) to requests_", True),
        ((503, b"<html>"), "answers 503 to requests_total", False),
        ((302, b""), "answers 302 to requests_total", False),
        ((200, vector(kind="matrix")), "answers with a matrix, not with a vector", True),
        ((200, b"<html>"), "does not answer as Prometheus does", False),
        ((200, b'{"status": "success", "data": {"resultType": "vector", "result": [1]}}'), "does not answer as", False),
        ((200, b"[" * 100000), "does not answer as", False),
        ((200, vector(({"instance": "web1"}, 10**400))), "does not answer as", False),
    ],
)  # fmt: skip
def test_what_is_no_answer(asked: Comparison, answer: tuple[int, bytes], said: str, misread: bool) -> None:
    Prometheus.answer = answer
    with pytest.raises(comparison.Unanswered) as failed:
        comparison.prometheus(asked)("requests_total")
    assert said in str(failed.value)
    assert "hush" not in str(failed.value)
    assert len(Prometheus.headers_seen) == 1
    if misread:
        refused(
            lambda: comparison.check(comparison.by_queries(comparison.prometheus(asked), asked)),
            "invalid_compare",
            said,
        )
    else:
        comparison.check(comparison.by_queries(comparison.prometheus(asked), asked))


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"",
    ],
)
def test_something_else_on_the_port(raw: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            conn, _address = server.accept()
            with conn:
                conn.recv(65536)
                conn.sendall(raw)

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(comparison.Unanswered):
            comparison.prometheus(Comparison(**{**GIVEN, "url": url}))("requests_total")


def test_a_counter_that_is_too_high_is_none(asked: Comparison) -> None:
    Prometheus.answer = (200, vector(({"instance": "web1"}, "1e308"), ({"instance": "web2"}, "1e15")))
    assert comparison.prometheus(asked)("a") == [({"instance": "web2"}, 1e15)]


def test_nobody_there(asked: Comparison) -> None:
    ask = comparison.prometheus(Comparison(**{**GIVEN, "url": "http://user:hush@127.0.0.1:1/"}))
    with pytest.raises(comparison.Unanswered, match=r"http://127\.0\.0\.1:1/ does not answer: ") as failed:
        ask("requests_total")
    assert "hush" not in str(failed.value)


def test_the_fix_of_what_is_refused() -> None:
    with pytest.raises(SlipwayError) as failed:
        comparison.parse({**GIVEN, "time": 0})
    assert failed.value.fix == "give 1 to 86400 seconds"

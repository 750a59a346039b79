# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe counts what really happened, holds its limits, and never gets in the way of a swap."""

from __future__ import annotations

import collections
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import FAIL, PASS, Attempt
from ansible_collections.slipway.go.plugins.module_utils._health.result import percentile
from ansible_collections.slipway.go.plugins.module_utils._release import probe as module
from ansible_collections.slipway.go.plugins.module_utils._release.periods import AFTER, BEFORE, DURING, PAUSED
from ansible_collections.slipway.go.plugins.module_utils._release.probe import Probe, describe, parse_plan
from hypothesis import given
from hypothesis import strategies as st

HEALTH = {"url": "http://127.0.0.1:8080/readyz", "interval": 0.1, "deadline": 9, "identity": {"unit": "x.service"}}
OK = Attempt(PASS, "ok", "fine", 200, {"total": 0.002})
SLOW = Attempt(PASS, "ok", "fine", 200, {"total": 0.2})
BROKEN = Attempt(FAIL, "status", "it answers 500", 500, {"total": 0.001})
REFUSED = Attempt(FAIL, "refused", "nothing listens there", None, {"total": 0.001})


class Told(Probe):
    """Takes its answers from the test, not from a network."""

    def __init__(self, **options):
        super().__init__(parse_plan(HEALTH, options))

    def hear(self, period, *answers):
        for made in answers:
            self._periods.setdefault(period, module._Period()).add(made)
        return self


@pytest.fixture
def server():
    """An HTTP server whose answers are those of server.answer()."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(server.answer())
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.answer = lambda: 200
    server.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def wait_for(probe, period, sent):
    wait_until(lambda: (probe.figures() or {}).get(period, {}).get("sent", 0) >= sent)


def test_it_asks_what_the_health_check_asks_unless_told_otherwise():
    plan = parse_plan({**HEALTH, "headers": {"X": "y"}}, {})
    assert (str(plan.check.target.request.url), plan.check.identity) == (HEALTH["url"], None)
    assert plan.check.target.request.headers == (("X", "y"), ("X-Slipway-Probe", "1"))
    assert (plan.rate, plan.max_failed_percent, plan.max_failed) == (20, 5, None)
    other = parse_plan({**HEALTH, "body_contains": "ready"}, {"url": "https://shop.example/", "rate": 3})
    page = other.check.target
    assert (str(page.request.url), page.expected.contains, other.rate) == ("https://shop.example/", None, 3)
    through = parse_plan(HEALTH, {"address": "127.0.0.1:81"})
    assert str(through.check.connection.endpoint) == "127.0.0.1:81"


@pytest.mark.parametrize(
    ("health", "options"),
    [({}, {}), ({"kind": "systemd", "unit": "x"}, {}), ({"kind": "tcp", "address": "80"}, {}), (HEALTH, {"rate": 0})],
    ids=["no check", "systemd", "tcp", "rate 0"],
)
def test_without_an_address_of_users_there_is_none(health, options):
    probe = Probe(parse_plan(health, options))
    probe.start()
    probe.sample()
    assert (probe.finish(), probe.objection(AFTER)) == (None, None)


@pytest.mark.parametrize(
    ("health", "options", "words"),
    [
        (HEALTH, {"rate": "fast"}, "release_probe.rate is 'fast'"),
        (HEALTH, {"rate": 1000}, "release_probe.rate is 1000"),
        (HEALTH, {"rate": -1}, "release_probe.rate"),
        (HEALTH, {"max_p99": "nan"}, "release_probe.max_p99"),
        (HEALTH, {"max_faild": 1}, "max_faild"),
        (HEALTH, {"url": "ftp://x/"}, "release_probe"),
        (HEALTH, "on", "release_probe is 'on'"),
        ({}, {"rate": 5}, "release_probe.url"),
        ({"kind": "exec", "command": ["/bin/true"]}, {"max_p99": 1}, "release_probe.url"),
    ],
)
def test_mistakes_are_named(health, options, words):
    with pytest.raises(SlipwayError) as caught:
        parse_plan(health, options)
    assert words in str(caught.value)
    assert caught.value.fix


def test_it_asks_and_counts_in_each_period_and_leaves_no_thread(server):
    before = set(threading.enumerate())
    begun = collections.Counter()

    def ask(session):
        begun[threading.get_ident()] += 1
        return module._attempt(session)

    probe = Probe(parse_plan({"url": server.url, "timeout": 30}, {"rate": 100}), ask)
    probe.start()
    probe.start(DURING)
    wait_for(probe, DURING, 5)
    probe.mark(AFTER)
    # The first request that a worker begins from now on may still count for the former period; with its second one, the
    # first has its answer.
    marked = collections.Counter(begun)
    wait_until(lambda: len(begun) == module.WORKERS and all(begun[w] >= marked[w] + 2 for w in list(begun)))
    server.answer = lambda: 500
    wait_until(lambda: probe.figures()[AFTER]["failed"] >= 5)
    found = probe.finish()
    left = [t for t in set(threading.enumerate()) - before if t in probe._workers]
    assert left == []
    assert (found["target"], found["rate"]) == (server.url, 100)
    assert found[DURING]["failed"] == 0
    assert 0 < found[DURING]["p50_ms"] <= found[DURING]["p99_ms"] <= found[DURING]["max_ms"]
    assert found[AFTER]["reasons"] == {"status": found[AFTER]["failed"]}
    assert BEFORE not in found or found[BEFORE]["failed"] == 0
    assert probe.finish() == found, "it asks no more"
    probe.start()
    assert probe.finish() == found


def test_an_address_that_refuses_is_a_figure():
    probe = Probe(parse_plan({"url": "http://127.0.0.1:9/"}, {"rate": 100}))
    probe.start(DURING)
    wait_for(probe, DURING, 3)
    found = probe.finish()[DURING]
    assert (found["failed"], found["p99_ms"]) == (found["sent"], None)


def test_requests_that_hang_do_not_keep_the_others_from_being_made():
    release, hung = threading.Event(), []

    def ask(_session):
        if not hung:
            hung.append(True)
            release.wait()
        return OK

    probe = Probe(parse_plan(HEALTH, {"rate": 100}), ask)
    probe.start(DURING)
    wait_for(probe, DURING, 5)
    release.set()
    assert probe.finish()[DURING]["failed"] == 0


def test_the_sample_before_is_bounded(monkeypatch):
    slept = []
    probe = Probe(parse_plan(HEALTH, {}), lambda _session: OK)
    probe.start()
    monkeypatch.setattr(module.time, "sleep", slept.append)
    probe.sample()
    probe.finish()
    assert 0 <= slept[0] <= module.SAMPLE


@pytest.mark.parametrize(
    ("options", "before", "now", "said"),
    [
        ({}, [OK] * 10, [OK] * 19 + [REFUSED], None),
        ({}, [OK] * 10, [OK] * 18 + [REFUSED] * 2, "release_probe.max_failed_percent allows 5 %."),
        ({}, [], [REFUSED], None),
        ({}, [], [REFUSED] * 2, "failed (before: 0 of 0; the last: nothing listens there);"),
        ({}, [REFUSED] * 10, [REFUSED] * 10, None),
        ({}, [REFUSED, OK], [REFUSED] * 9 + [OK], "9 of 10 probe requests to "),
        ({"max_failed_percent": 100}, [OK] * 10, [BROKEN] * 20, None),
        ({"max_failed": 0}, [OK] * 10, [OK] * 100 + [BROKEN], "release_probe.max_failed allows 0."),
        ({"max_failed": 2}, [OK] * 10, [OK] * 100 + [BROKEN] * 2, None),
        ({"max_p99": 0.1}, [OK] * 10, [OK] * 10 + [SLOW], "release_probe.max_p99 allows 0.1 s."),
        ({"max_p99": 0.1}, [SLOW] * 10, [SLOW] * 10, None),
        ({"max_p99": 0.1}, [], [SLOW] * 4, None),
        (
            {"max_p99_ratio": 2},
            [OK] * 10,
            [SLOW] * 10,
            " is 200.0 ms, before 2.0 ms; release_probe.max_p99_ratio allows 2 times that.",
        ),
        ({"max_p99_ratio": 2}, [], [SLOW] * 10, None),
        ({"max_p99_ratio": 200}, [OK] * 10, [SLOW] * 10, None),
    ],
)
def test_limits(options, before, now, said):
    objection = Told(**options).hear(BEFORE, *before).hear(AFTER, *now).objection(AFTER)
    assert (objection is None) == (said is None), objection
    if said:
        assert objection.code == "probe_failed"
        assert said in str(objection)
        assert HEALTH["url"] in str(objection)


class Compared(float):
    """Counts how often durations are compared."""

    times = 0

    def __lt__(self, other):
        Compared.times += 1
        return float(self) < other


@pytest.mark.parametrize("options", [{}, {"max_p99": 0.4, "max_p99_ratio": 300}])
def test_what_a_look_costs_does_not_grow_with_a_pause(options):
    """The engine looks five times a second, and the probe waits for it."""
    probe = Told(**options).hear(BEFORE, *[OK] * 10)
    probe.hear(AFTER, *[Attempt(PASS, "ok", "fine", 200, {"total": Compared(0.001 * i)}) for i in range(300)])
    Compared.times = 0
    assert probe.objection(AFTER) is None
    assert Compared.times <= 10


@given(st.lists(st.floats(0, 10), max_size=60), st.sampled_from([50, 99, 100]))
def test_the_percentiles_are_those_of_the_latest(durations, rank):
    kept = module._Durations(20)
    for seconds in durations:
        kept.add(seconds)
    assert kept.percentile(rank) == percentile(durations[-20:], rank)
    assert len(kept) == len(durations[-20:])


def test_a_share_is_one_of_what_the_soak_will_bring():
    probe = Told(max_failed_percent=1).hear(AFTER, *[OK] * 30, BROKEN)
    assert probe.objection(AFTER, planned=60) is None
    assert probe.objection(AFTER, planned=1) is not None


def test_the_line_of_the_history():
    told = Told().hear(BEFORE, OK).hear(AFTER, OK, REFUSED)
    figures = {name: period.figures() for name, period in told._periods.items()}
    assert describe(figures) == "before 0 of 1 failed, p99 2.0 ms; after 1 of 2 failed, p99 2.0 ms"
    assert describe({}) == ""
    told.hear(PAUSED, OK)
    figures = {name: period.figures() for name, period in told._periods.items()}
    assert [part.split()[0] for part in describe(figures).split("; ")] == ["before", "paused", "after"]


@pytest.mark.parametrize(
    ("before", "after", "blind"),
    [
        ([BROKEN] * 3, [BROKEN] * 9, True),
        ([BROKEN] * 3, [REFUSED] * 8 + [OK], False),
        ([BROKEN, OK], [BROKEN] * 9, False),
        ([], [BROKEN] * 9, False),
        ([BROKEN] * 3, [], False),
    ],
)
def test_a_probe_that_never_got_an_answer_says_so(server, before, after, blind):
    probe = Probe(parse_plan({"url": server.url}, {"rate": 0.01}), lambda _session: BROKEN)
    probe._workers = [threading.Thread(target=int)]
    for period, answers in ((BEFORE, before), (AFTER, after)):
        if answers:
            Told.hear(probe, period, *answers)
    figures = probe.figures()
    assert (figures["blind"] is not None) == blind
    assert describe(figures).endswith("; inconclusive") == blind
    if blind:
        assert f"each of its 12 requests to {server.url}" in figures["blind"]
        assert "it answers 500" in figures["blind"]


def test_a_first_release_whose_requests_all_fail_is_told_where_to_look():
    objection = Told().hear(AFTER, *[BROKEN] * 20).objection(AFTER)
    assert "point release_probe.url at what users ask for" in objection.fix

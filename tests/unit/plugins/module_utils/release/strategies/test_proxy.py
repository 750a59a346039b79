# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The strategy proxy: slots, the record, shares of the requests, and what is refused."""

from __future__ import annotations

import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._host import processes, sockets
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import parse_proxy
from ansible_collections.slipway.go.plugins.module_utils._release.strategies import backend
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.haproxy import Server, Worker
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.slots import Record, parse_record
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Host
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused
from hypothesis import given
from hypothesis import strategies as st

A, B = "127.0.0.1:18080", "127.0.0.1:18081"


@pytest.fixture
def host(memory, monkeypatch):
    return Host(memory, "proxy").install(monkeypatch)


@given(st.from_regex(r"[a-z][a-z0-9_-]{0,30}", fullmatch=True), st.sampled_from(["a", "b", None]))
def test_a_record_is_read_as_it_was_written(name, live):
    for more in ({}, {"grpc": {"b": "127.0.0.1:10"}, "x": {"a": "127.0.0.1:11", "b": "127.0.0.1:12"}}):
        record = Record({"a": A, "b": "127.0.0.1:9"}, live, more)
        assert parse_record(record.render(name)) == record


@pytest.mark.parametrize(
    "text", ["", "global\n", Record({"a": A, "b": B}, "a").render("x").replace("disabled", "enabled")]
)
def test_a_record_that_is_none(text):
    with pytest.raises(ValueError, match="not a record"):
        parse_record(text)


def test_services_never_share_a_variable():
    names = ("a-b", "a_b", "ab")
    texts = {Record({"a": A, "b": B}, None).render(name).partition("setenv ")[2].split()[0] for name in names}
    assert len(texts) == 3


@pytest.fixture
def two(host):
    """A service with two public ports."""
    return host.have_ports(grpc=(18082, 18083))


def test_all_ports_are_led_to_the_same_release(two):
    seen = []
    for version in ("v1", "v2", "v3"):
        two.release(version)
        seen.append((two.haproxy.open_addresses(), two.haproxy.open_addresses("grpc")))
    assert seen == [({A}, {"127.0.0.1:18082"}), ({B}, {"127.0.0.1:18083"}), ({A}, {"127.0.0.1:18082"})]
    assert two.settled() == two.id_of("v3")


def test_a_release_finds_each_port_in_a_variable(two):
    release_id = two.release("v1").current
    with open(f"{two.layout.slots}/{release_id}.env", encoding="utf-8") as file:
        told = file.read().splitlines()
    assert told[1:] == [
        "SLIPWAY_SLOT=a", "SLIPWAY_ADDRESS=127.0.0.1:18080", "PORT=18080",
        "SLIPWAY_ADDRESS_GRPC=127.0.0.1:18082", "PORT_GRPC=18082",
    ]  # fmt: skip


@pytest.mark.parametrize("rehearsed", [False, True])
def test_a_release_that_does_not_listen_on_each_port_gets_no_user(two, rehearsed):
    good = two.release("v1").current
    if rehearsed:
        two.rehearse()
    two.behaviours["v2"] = Behaviour(deaf="grpc")
    error = refused(lambda: two.release("v2"), "refused" if rehearsed else "rolled_back")
    assert "PORT_GRPC: nothing listens there" in str(error)
    assert two.settled() == good
    assert "haproxy set slipway-shop:grpc/b ready" not in two.faults.seen


def test_a_release_without_the_port_serves_the_others_and_nobody_there(host):
    first = host.release("v1").current
    host.have_ports(grpc=(18082, 18083))
    assert host.systemd.serving_at("grpc") == [], "it was released without that port"
    second = host.release("v2").current
    assert host.systemd.serving_at("grpc") == [second]
    host.rollback()
    assert host.systemd.serving() == [first]
    assert host.haproxy.open_addresses("grpc") == set(), "503 at once, and no wait for a port where nobody is"
    assert host.settled() == first


def test_a_port_that_is_given_up_leaves_the_release_of_before_its_own(two):
    first = two.release("v1").current
    two.have_ports()
    assert two.systemd.serving() == [first]
    second = two.release("v2").current
    assert two.settled() == second
    two.have_ports(grpc=(18082, 18083))
    two.rollback()
    assert two.systemd.serving_at("grpc") == [first]
    assert two.settled() == first


def test_a_port_that_haproxy_does_not_know_is_refused_before_anything_changes(host):
    good = host.release("v1").current
    host.have_ports(grpc=(18082, 18083))
    host.haproxy.more_now = {}
    host.systemd.commands.clear()
    error = refused(lambda: host.release("v2"), "not_proxied")
    assert "HAProxy knows no backend slipway-shop:grpc" in str(error)
    assert not [command for command in host.systemd.commands if command.startswith("start")]
    assert host.settled() == good


def test_the_requests_of_all_ports_are_counted_and_their_sessions_waited_for(two):
    two.release("v1")
    asked, busy = two.haproxy.servers, {"left": 5}

    def servers(worker, backend):
        found = asked(worker, backend)
        if backend == "slipway-shop:grpc" and found["a"].state == "drain" and busy["left"]:
            busy["left"] -= 1
            assert two.id_of("v1") in two.systemd.running()
            found["a"] = found["a"]._replace(sessions=1)
        return {slot: server._replace(requests=7, failures=2) for slot, server in found.items()}

    two.haproxy.servers = servers
    two.release("v2")
    assert busy["left"] == 0
    told_apart, totals = backend.Backend("shop", two.haproxy, ["grpc"]).totals()
    assert told_apart
    assert {(slot, one.requests, one.failed) for (_pid, slot), one in totals.items()} == {("a", 14, 4), ("b", 14, 4)}


def test_all_ports_have_their_shares_of_a_canary(two):
    two.release("v1")
    two.proxy = {"weights": [5, 100], "step_time": 1}
    two.release("v2")
    weights = [seen for seen in two.faults.seen if seen.endswith("5 %") and ".own" not in seen]
    assert weights == [
        "haproxy set slipway-shop/a 95 %", "haproxy set slipway-shop/b 5 %",
        "haproxy set slipway-shop:grpc/a 95 %", "haproxy set slipway-shop:grpc/b 5 %",
    ]  # fmt: skip
    assert two.settled() == two.id_of("v2")


def test_releases_take_turns(host):
    seen = []
    for version in ("v1", "v2", "v3"):
        host.release(version)
        seen.append(host.haproxy.open_addresses())
    assert seen == [{A}, {B}, {A}]
    assert host.systemd.most == 2
    assert host.settled() == host.id_of("v3")


def test_users_reach_one_or_the_other_and_never_nobody(host):
    host.release("v1")
    host.watch()
    host.release("v2")
    assert host.systemd.lowest == 1


def test_a_bad_release_gets_no_user(host):
    host.release("v1")
    host.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: host.release("v2"), "rolled_back")
    assert host.settled() == host.id_of("v1")
    assert "haproxy set slipway-shop/b ready" not in host.faults.seen


def test_other_ports_are_taken_up_with_the_next_release(host):
    first = host.release("v1").current
    host.proxy = {"ports": [19080, 19081]}
    host.release("v2")
    assert host.haproxy.open_addresses() == {"127.0.0.1:19081"}
    host.rollback()
    assert host.haproxy.open_addresses() == {"127.0.0.1:19080"}
    assert host.settled() == first


def test_a_service_that_ignores_its_port_is_found_out_without_a_health_check(host):
    """Nothing accepts where users would be led to."""
    host.health = {}
    host.release("v1")
    host.behaviours["v2"] = Behaviour(healthy=False)
    assert "did not become healthy" in str(refused(lambda: host.release("v2"), "rolled_back"))


KINDS = {
    "http": {"url": "http://127.0.0.1:8080/readyz"},
    "https": {"url": "https://127.0.0.1:8080/readyz"},
    "tcp": {"kind": "tcp", "address": "127.0.0.1:8080"},
    "grpc": {"kind": "grpc", "address": "127.0.0.1:8080"},
    "unix": {"kind": "unix", "url": "http://shop/readyz", "unix_socket": "/run/shop.sock"},
    "metrics": {
        "kind": "metrics", "url": "http://127.0.0.1:8080/metrics", "metrics": {"requests": "n", "max_error_ratio": 1},
    },
    "exec": {"kind": "exec", "command": ["/bin/true"]},
    "systemd": {"kind": "systemd", "unit": "shop.service"},
    "another's unit": {"kind": "systemd", "unit": "redis.service"},
}  # fmt: skip


@pytest.mark.parametrize("rehearsed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_release_that_listens_elsewhere_fails_whatever_kind_of_check_it_has(host, kind, rehearsed):
    """What the check met was the release before, at the users' port."""
    host.health = {**KINDS[kind], "deadline": 5}
    good = host.release("v1").current
    if rehearsed:
        host.rehearse()
    host.behaviours["v2"] = Behaviour(elsewhere=True)
    error = refused(lambda: host.release("v2"), "refused" if rehearsed else "rolled_back")
    assert error.details["failed_phase"] == ("REHEARSE" if rehearsed else "OVERLAP")
    assert host.settled() == good
    assert host.release("v3").action == "release"


def test_the_slots_of_releases_that_are_gone_are_forgotten(host):
    host.keep = 2
    for version in ("v1", "v2", "v3", "v4", "v5"):
        host.release(version)
    assert len(os.listdir(host.layout.slots)) <= 3


def test_a_drain_waits_for_the_last_request(host):
    first = host.release("v1").current
    busy = {"left": 5}
    asked = host.haproxy.servers

    def servers(worker, backend):
        found = asked(worker, backend)
        if found["a"].state == "drain" and busy["left"]:
            busy["left"] -= 1
            assert first in host.systemd.running()
            found["a"] = found["a"]._replace(sessions=1)
        return found

    host.haproxy.servers = servers
    host.release("v2")
    assert busy["left"] == 0
    assert host.settled() == host.id_of("v2")


def test_a_drain_waits_for_a_worker_that_a_reload_has_left(host):
    """It takes no orders, and leads the connections it still has to the old release."""
    first = host.release("v1").current
    former, looks = Worker(6, True), []
    host.haproxy.workers = lambda: [Worker(7, False), *([former] if len(looks) < 5 else [])]
    asked = host.haproxy.servers

    def servers(worker, backend):
        if worker != former:
            return asked(worker, backend)
        if backend == "slipway-shop":
            looks.append(first in host.systemd.running())
        return {"a": Server("ready", A, 100, 0, 0, 0), "b": Server("maint", B, 100, 0, 0, 0)}

    host.haproxy.servers = servers
    for order in ("set_state", "set_weight", "set_address"):
        act = getattr(host.haproxy, order)

        def told(worker, *what, act=act):
            assert not worker.former, "HAProxy refuses: Proxy is disabled."
            act(worker, *what)

        setattr(host.haproxy, order, told)
    host.release("v2")
    assert looks == [True] * 5
    assert host.settled() == host.id_of("v2")


def test_haproxy_without_this_service_is_said_so(host):
    host.haproxy.servers = lambda _worker, _backend: {}
    error = refused(lambda: host.release("v1"), "rolled_back")
    assert "knows no backend slipway-shop" in str(error)
    assert "slipway.go.proxy" in error.fix


def test_haproxy_that_stays_away_leaves_the_old_release_serving(host):
    host.release("v1")
    host.systemd.commands.clear()

    def away():
        raise SlipwayError("proxy_unreachable", "HAProxy does not answer", "start it")

    host.haproxy.workers = away
    error = refused(lambda: host.release("v2"), "rollback_failed")
    assert error.fix == "start it", "neither release is to blame"
    assert [one["code"] for one in error.details["problems"]] == ["proxy_unreachable"] * 2
    del host.haproxy.workers
    assert host.systemd.serving() == [host.id_of("v1")]
    host.release("v2")
    assert host.settled() == host.id_of("v2")


def test_what_is_lost_while_haproxy_is_down_is_not_held_against_the_release(host, monkeypatch):
    good = host.release("v1").current
    host.behaviours["v2"] = Behaviour(loses="during")
    start = host.systemd.start

    def start_and_bounce(unit):
        start(unit)
        host.haproxy.restart()

    monkeypatch.setattr(host.systemd, "start", start_and_bounce)
    with pytest.raises(SlipwayError) as caught:
        host.release("v2")
    assert caught.value.code == "rolled_back"
    assert "HAProxy ended in the meantime" in caught.value.message
    assert host.settled() == good
    assert host.store.journal.outcomes()[-1]["code"] == "front_failed"
    monkeypatch.setattr(host.systemd, "start", start)
    host.behave("v2").loses = ""
    assert host.release("v2").action == "release", "it is not marked bad"


def test_a_canary_is_given_its_shares_and_then_all(host):
    host.release("v1")
    host.proxy = {"weights": [5, 25, 100], "step_time": 1}
    outcome = host.release("v2")
    weights = [seen for seen in host.faults.seen if seen.endswith("%") and ".own" not in seen]
    assert weights[:4] == [
        "haproxy set slipway-shop/a 95 %",
        "haproxy set slipway-shop/b 5 %",
        "haproxy set slipway-shop/a 75 %",
        "haproxy set slipway-shop/b 25 %",
    ]
    assert "CANARY" in outcome.phases
    (told,) = [event for event in host.store.journal.events() if event["event"] == "canary"]
    assert [step["percent"] for step in told["steps"]] == [5, 25]
    assert host.settled() == host.id_of("v2")


def requests(host, slot, failures):
    """From now on, every look at HAProxy finds 100 more requests at that server, and so many failures."""
    asked = host.haproxy.servers

    def servers(worker, backend):
        now = host.haproxy.servers_now[slot]
        host.haproxy.servers_now[slot] = now._replace(
            requests=now.requests + 100, failures=now.failures + (failures if now.state == "ready" else 0)
        )
        return asked(worker, backend)

    host.haproxy.servers = servers


class Load:
    """Users who ask so often a second, by the host's clock; whoever is ready answers, by the weights."""

    def __init__(self, host, rate, failing):
        self.host, self.rate, self.failing = host, rate, failing
        self.then, self.owed, self.failed = host.clock.now, {"a": 0.0, "b": 0.0}, {"a": 0, "b": 0}
        self.asked = host.haproxy.servers
        self.hanging = {}  # the share of requests that stay open
        self.reload_at = None
        host.haproxy.servers = self.servers

    def servers(self, worker, backend):
        now, self.then = self.host.clock.now - self.then, self.host.clock.now
        if self.reload_at is not None and self.then >= self.reload_at:
            self.reload_at, master = None, self.host.haproxy.pid
            self.host.haproxy.restart()
            self.host.haproxy.pid = master
        there = self.host.haproxy.servers_now
        ready = {slot: server.weight for slot, server in there.items() if server.state == "ready"}
        for slot, weight in ready.items():
            self.owed[slot] += now * self.rate * weight / sum(ready.values())
            more, self.owed[slot] = int(self.owed[slot]), self.owed[slot] % 1
            self.count(slot, more)
        return self.asked(worker, backend)

    def count(self, slot, more):
        server = self.host.haproxy.servers_now[slot]
        hang = round((server.requests + server.sessions + more) * self.hanging.get(slot, 0.0)) - server.sessions
        hang = min(max(hang, 0), more) if slot in self.hanging else 0
        self.change(slot, sessions=server.sessions + hang)
        was, now = (server.requests + n for n in (0, more - hang))
        # The share of failures, spread evenly.
        failed = int(now * self.failing.get(slot, 0.0)) - int(was * self.failing.get(slot, 0.0))
        self.failed[slot] += failed
        self.change(slot, requests=now, failures=self.host.haproxy.servers_now[slot].failures + failed)

    def change(self, slot, **values):
        there = self.host.haproxy.servers_now
        there[slot] = there[slot]._replace(**values)


def test_a_release_that_fails_all_is_found_out_while_the_old_one_drains(host):
    """One open session at the old one, such as a websocket, would have its users wait for all of drain_timeout."""
    first = host.release("v1").current
    load = Load(host, 10, {"b": 1.0})
    load.change("a", sessions=1)
    assert "with 100 % of the requests" in str(refused(lambda: host.release("v2"), "rolled_back"))
    assert 0 < load.failed["b"] < 50
    assert host.systemd.instance(first).state == "active"
    assert host.settled() == first


def test_a_good_release_ends_its_shares_and_the_soak_early(host):
    host.release("v1")
    Load(host, 400, {"a": 0.001, "b": 0.001})
    host.soak_time, host.proxy = 600, {"weights": [25], "step_time": 600, "min_time": 5}
    outcome = host.release("v2")
    assert [step["percent"] for step in outcome.traffic["steps"]] == [25, 100]
    for step in outcome.traffic["steps"]:
        assert 5 <= step["seconds"] < 60
        assert step["early"]["evidence"] >= 200
    assert outcome.phases["SOAK"] < 60
    (told,) = [event for event in host.store.journal.events() if event["event"] == "canary"]
    assert told["steps"][0]["early"] == outcome.traffic["steps"][0]["early"]
    assert host.settled() == host.id_of("v2")


@pytest.mark.parametrize(("proxy", "rate"), [({}, 400), ({"min_time": 5}, 2), ({"min_time": 5, "max_errors": 0}, 400)])
def test_without_evidence_or_unasked_nothing_ends_early(host, proxy, rate):
    host.release("v1")
    Load(host, rate, {})
    host.soak_time, host.proxy = 60, {"weights": [25], "step_time": 60, **proxy}
    outcome = host.release("v2")
    assert [step["seconds"] >= 59 for step in outcome.traffic["steps"]] == [True, True]
    assert not any("early" in step for step in outcome.traffic["steps"])


def test_nothing_ends_early_where_haproxy_cannot_tell_users_apart(host):
    host.release("v1")
    host.haproxy.own_now = {}
    Load(host, 400, {})
    host.soak_time, host.proxy = 30, {"weights": [25], "step_time": 30, "min_time": 1}
    assert not any("early" in step for step in host.release("v2").traffic["steps"])


def test_a_release_that_gets_sick_after_the_least_time_goes_back(host):
    first = host.release("v1").current
    host.behaviours["v2"] = Behaviour(sick_after=20)
    Load(host, 40, {})
    host.proxy = {"weights": [25], "step_time": 600, "min_time": 1}
    assert "failed 3 checks" in str(refused(lambda: host.release("v2"), "rolled_back"))
    assert host.settled() == first


def test_chosen_users_meet_the_new_release_before_all_others(host):
    first = host.release("v1").current
    host.have_chosen()
    assert host.systemd.serving_chosen() == [first]
    host.proxy = {"weights": [0, 25, 100], "step_time": 1}
    host.watch()
    host.release("v2")
    seen = [one for one in host.faults.seen if one.startswith("haproxy set slipway-shop.chosen") and "127" not in one]
    assert seen == ["haproxy set slipway-shop.chosen/b ready", "haproxy set slipway-shop.chosen/a drain",
                    "haproxy set slipway-shop.chosen/a maint"]  # fmt: skip
    weights = [one for one in host.faults.seen if one.endswith("%") and ".own" not in one]
    assert weights[:2] == ["haproxy set slipway-shop/a 75 %", "haproxy set slipway-shop/b 25 %"], (
        "with 0 %, nobody else"
    )
    assert host.systemd.lowest_chosen == 1
    assert host.settled() == host.id_of("v2")
    host.rollback()
    assert host.systemd.serving_chosen() == [first], "a rollback takes them back at once"
    assert host.settled() == first


def test_users_who_are_chosen_while_a_release_is_under_way_are_led_to_the_one_that_counts(host):
    """The role is applied in the middle of a swap, by somebody else."""
    host.release("v1")
    start = host.systemd.start

    def start_and_choose(unit):
        start(unit)
        if not host.chosen:
            host.have_chosen()

    host.systemd.start = start_and_choose
    second = host.release("v2").current
    assert host.systemd.serving_chosen() == [second]
    assert host.settled() == second


def test_chosen_users_of_a_port_that_the_new_release_does_not_have_stay(two):
    first = two.release("v1").current
    two.have_chosen()
    two.more = {}
    two.apply_role()
    two.more = {"grpc": (18082, 18083)}
    two.proxy = {"weights": [0, 100], "step_time": 1}
    record = Record({"a": A, "b": B}, "a", {"grpc": {"a": "127.0.0.1:18082"}})
    wanted = backend.shares(record, {"b": 0, "a": 100})
    assert {slot: one.state for slot, one in wanted[".chosen"].items()} == {"a": "drain", "b": "ready"}
    assert {slot: one.state for slot, one in wanted["grpc.chosen"].items()} == {"a": "ready", "b": "maint"}
    assert {slot: one.state for slot, one in wanted[""].items()} == {"a": "ready", "b": "maint"}
    assert two.systemd.serving_chosen() == [first]


def test_shares_for_chosen_users_alone_are_refused_where_there_are_none(host):
    good = host.release("v1").current
    host.proxy = {"weights": [0, 100], "step_time": 1}
    error = refused(lambda: host.release("v2"), "nobody_chosen")
    assert "release_weights begins with 0" in error.message
    assert host.settled() == good
    host.have_chosen()
    host.release("v2")
    assert host.settled() == host.id_of("v2")


class ChosenLoad(Load):
    """Some of the users are chosen; they ask so often a second, too."""

    def servers(self, worker, backend):
        if not backend.endswith(".chosen"):
            return super().servers(worker, backend)
        there = self.host.haproxy.more_now[backend]
        for slot, server in there.items():
            if server.state == "ready":
                asked = server.requests + 10
                failed = server.failures + int(10 * self.failing.get(f"{slot}.chosen", 0.0))
                there[slot] = server._replace(requests=asked, failures=failed)
        return self.asked(worker, backend)


def test_chosen_users_are_compared_with_themselves(host):
    """Whoever is chosen may ask for other things than the rest does."""
    host.release("v1")
    host.have_chosen()
    load = ChosenLoad(host, 50, {"a.chosen": 0.4, "b.chosen": 0.4})
    host.proxy = {"weights": [0, 50], "step_time": 10}
    host.soak_time = 10
    told = host.release("v2").traffic
    assert told["verdict"] == "pass"
    assert told["chosen"]["requests"] > 50
    assert sum(step["failed"] for step in told["steps"]) == 0, "they are in no share"
    load.failing = {"a.chosen": 0.9, "b.chosen": 0.4}
    error = refused(lambda: host.release("v3"), "rolled_back")
    assert "with 0 % of the requests" in str(error)
    assert "requests of chosen users failed" in str(error)
    assert host.settled() == host.id_of("v2")


def test_what_others_did_in_the_slot_of_the_old_release_before_it_is_not_its_own(host):
    """Earlier releases that failed there made every rate look good."""
    host.release("v1")
    load = Load(host, 3, {"a": 0.2})
    load.change("b", requests=1000, failures=900)
    host.release("v2")
    at_commit = host.haproxy.servers_now["b"].requests
    host.clock.now += 200
    host.soak_time = 60
    error = refused(lambda: host.release("v3"), "rolled_back")
    assert "with 100 % of the requests" in str(error)
    assert error.details["traffic"]["before"]["requests"] > 500
    assert error.details["traffic"]["before"]["requests"] <= host.haproxy.servers_now["b"].requests - at_commit
    assert error.details["traffic"]["before"]["failed"] == 0


@pytest.mark.parametrize("failing", [0.1, 0.2])
def test_in_an_incident_what_the_old_release_did_in_quiet_days_is_no_measure(host, failing):
    """The hotfix is no worse than what it replaces."""
    host.release("v1")
    load = Load(host, 200, {"a": 0.2, "b": failing})
    load.change("a", requests=100_000)
    host.soak_time = 30
    assert host.release("v2").traffic["verdict"] in ("pass", "inconclusive")
    assert host.id_of("v2") not in host.store.journal.bad()


@pytest.mark.parametrize(("failing", "too_many"), [(0.3, False), (1.0, True)])
def test_a_release_of_whose_predecessor_nothing_is_known(host, failing, too_many):
    """A version before this one has committed it, and nobody asked it anything in this run."""
    host.release("v1")
    load = Load(host, 3, {"b": failing})
    load.change("a", requests=5000)
    journal = os.path.join(host.layout.state, "journal.jsonl")
    with open(journal, encoding="utf-8") as stream:
        kept = [line for line in stream if '"counted"' not in line]
    with open(journal, "w", encoding="utf-8") as stream:
        stream.writelines(kept)
    host.soak_time = 60
    if too_many:
        assert "whatever the old release did" in str(refused(lambda: host.release("v2"), "rolled_back"))
    else:
        assert host.release("v2").traffic["verdict"] == "inconclusive"


def test_counting_begins_with_the_first_answer_of_haproxy(host):
    """A reload goes on until the first look: what was in these slots long before is not the new release's."""
    host.release("v1")
    load = Load(host, 10, {})
    load.change("b", requests=10_000, failures=9_000)
    away = []
    totals = backend.Backend.totals

    def begins(servers):
        if len(away) < 3:
            away.append(1)
            raise SlipwayError("proxy_unreachable", "HAProxy reloads", "wait")
        return totals(servers)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(backend.Backend, "totals", begins)
        host.soak_time = 30
        told = host.release("v2").traffic
    assert len(away) == 3
    assert told["steps"][0]["failed"] == 0
    assert told["verdict"] == "pass"


def test_a_step_keeps_its_share_after_a_reload_of_haproxy(host):
    """The new worker does as the record says, where the new release has no users."""
    host.release("v1")
    host.proxy = {"weights": [5], "step_time": 40}
    load = Load(host, 20, {})

    def reload_soon(_release_id):
        load.reload_at = host.clock.now + 8

    host.systemd.on_start = reload_soon
    step = host.release("v2").traffic["steps"][0]
    assert load.reload_at is None
    assert (step["percent"], step["requests"] > 30) == (5, True), step


@pytest.mark.parametrize("weights", [[], [50]])
@pytest.mark.parametrize("share", [0.04, 0.1, 0.5])
def test_requests_that_hang_are_never_a_pass(host, weights, share):
    """They are in no counter until they end."""
    host.release("v1")
    host.proxy = {"weights": weights, "step_time": 30}
    host.soak_time = 30
    Load(host, 20, {}).hanging = {"b": share}
    told = host.release("v2").traffic
    assert told["verdict"] == "inconclusive"
    assert "have no answer" in told["reason"]


@pytest.mark.parametrize("weights", [[], [25]])
@pytest.mark.parametrize("earlier", [0, 100])
def test_connections_that_stay_open_at_both_releases_are_no_requests_that_hang(host, weights, earlier):
    host.release("v1")
    host.proxy = {"weights": weights, "step_time": 30, "inconclusive": "refuse"}
    host.soak_time = 60
    Load(host, 20, {}).hanging = {"a": 0.5, "b": 0.5}
    host.clock.now += earlier
    assert host.release("v2").traffic["verdict"] == "pass"


def test_a_canary_whose_requests_fail_is_taken_back(host):
    host.release("v1")
    host.proxy = {"weights": [5], "step_time": 1}
    requests(host, "b", 30)
    requests(host, "a", 0)
    error = refused(lambda: host.release("v2"), "rolled_back")
    assert "with 5 % of the requests" in str(error)
    told = error.details["traffic"]
    assert (told["verdict"], told["steps"][0]["percent"], len(told["steps"])) == ("fail", 5, 1)
    assert host.store.journal.outcomes()[-1]["traffic"] == told
    del host.haproxy.servers
    assert host.settled() == host.id_of("v1")
    assert host.id_of("v2") in host.store.journal.bad()


def test_a_canary_that_is_no_worse_than_the_old_release_goes_on(host):
    host.release("v1")
    host.proxy = {"weights": [5], "step_time": 1}
    requests(host, "b", 5)
    requests(host, "a", 5)
    host.release("v2")


def test_errors_in_the_soak_alone_are_noticed(host):
    """The share was too small to tell, or there was none."""
    host.release("v1")
    requests(host, "a", 0)
    requests(host, "b", 30)
    assert "with 100 % of the requests" in str(refused(lambda: host.release("v2"), "rolled_back"))
    assert host.store.journal.outcomes()[-1]["code"] == "canary_failed"


@pytest.mark.parametrize("weights", [[], [5, 100]])
def test_no_traffic_is_inconclusive_and_follows_the_setting(host, weights):
    host.release("v1")
    host.proxy = {"weights": weights, "step_time": 1}
    outcome = host.release("v2")
    assert outcome.traffic["verdict"] == "inconclusive"
    assert "0 requests of users" in outcome.traffic["reason"]
    assert host.store.journal.outcomes()[-1]["traffic"]["verdict"] == "inconclusive"
    host.proxy = {**host.proxy, "inconclusive": "refuse"}
    assert "release_inconclusive is refuse" in str(refused(lambda: host.release("v3"), "rolled_back"))
    assert host.settled() == host.id_of("v2")
    assert host.id_of("v3") not in host.store.journal.bad()


def test_where_own_requests_cannot_be_told_apart_nothing_is_a_pass(host):
    """HAProxy has the configuration of an earlier version of the role."""
    host.release("v1")
    asked = host.haproxy.servers
    host.haproxy.servers = lambda worker, backend: {} if backend.endswith(".own") else asked(worker, backend)
    requests(host, "a", 0)
    requests(host, "b", 0)
    told = host.release("v2").traffic
    assert (told["verdict"], "slipway.go.proxy" in told["reason"]) == ("inconclusive", True)


def test_a_rollback_does_not_wait_for_a_canary(host):
    host.release("v1")
    host.release("v2")
    host.proxy = {"weights": [5], "step_time": 1}
    outcome = host.rollback()
    assert "CANARY" not in outcome.phases
    assert not any(seen.endswith("%") for seen in host.faults.seen[-80:])


@pytest.mark.parametrize(("before", "after"), [("restart", "proxy"), ("proxy", "restart"), ("socket", "proxy")])
def test_a_rollback_to_or_from_the_proxy_is_refused(host, before, after):
    host.switch(before)
    first = host.release("v1").current
    host.switch(after)
    host.release("v2")
    for wanted in (None, first):
        for act in (host.engine().predict_rollback, host.rollback):
            error = refused(lambda act=act, wanted=wanted: act(wanted), "other_front")
            assert before in error.fix
    assert host.settled() == host.id_of("v2")


LISTEN = {"listen": ["8080"]}


@pytest.fixture
def moved(host, monkeypatch):
    """A socket's service has been stopped, as the guide says, and HAProxy has its port now."""
    host.switch("socket")
    host.release("v1")
    found = host.systemd.instance(host.id_of("v1"))
    found.state, found.pid, found.inode = "inactive", 0, None
    host.systemd.umbrella, host.systemd.socket, host.systemd.enabled = False, None, set()
    host.switch("proxy")
    programs = {8080: {"haproxy"}}
    monkeypatch.setattr(sockets, "programs", lambda listen: programs if list(listen) == ["8080"] else {})
    return host


@pytest.mark.parametrize("behaviour", [{"boots": False}, {"healthy": False}, {"sick_after": 3}])
@pytest.mark.parametrize("rebooted", [False, True])
def test_a_first_release_behind_haproxy_that_fails_opens_no_second_socket_at_its_port(moved, behaviour, rebooted):
    if rebooted:
        moved.reboot()
    moved.behaviours["v2"] = Behaviour(**behaviour)
    error = refused(lambda: moved.release("v2", **LISTEN), "rolled_back")
    assert error.details["current"] is None
    assert "Now nothing serves" in error.message
    assert "or go back to socket: see 'From another strategy'" in error.message
    assert (moved.systemd.socket, moved.systemd.running(), moved.haproxy.open_addresses()) == (None, [], set())
    assert moved.layout.last_good_id() in moved.layout.staged()
    moved.release("v3", **LISTEN)
    assert moved.settled() == moved.id_of("v3")


def test_then_its_status_does_not_say_that_it_was_never_released(moved):
    moved.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: moved.release("v2", **LISTEN), "rolled_back")
    told = Operator(moved.settings(), moved.layout, moved.systemd).status()
    assert (told["current"], told["state"], told["since"]) == (None, "no release serves", None)
    assert told["message"] == "no release serves"


def test_a_first_release_behind_haproxy_needs_nobodys_word(moved):
    """There is nothing that its host could go back to."""
    assert moved.swap("v2", **LISTEN).unconfirmed is None
    assert moved.settled() == moved.id_of("v2")


def test_after_it_has_failed_the_service_can_leave_haproxy_again(moved):
    moved.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: moved.release("v2", **LISTEN), "rolled_back")
    moved.switch("socket")
    moved.release("v1")
    assert moved.settled() == moved.id_of("v1")


def test_after_it_has_failed_another_version_can_leave_haproxy_too(moved):
    """What was forgotten of the first one, the socket needs in order to start."""
    moved.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: moved.release("v2", **LISTEN), "rolled_back")
    moved.switch("socket")
    moved.release("v3")
    assert moved.settled() == moved.id_of("v3")


def test_a_rollback_opens_no_socket_at_the_port_of_haproxy(moved):
    moved.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: moved.release("v2", **LISTEN), "rolled_back")
    for act in (moved.rollback, moved.engine().predict_rollback):
        assert "HAProxy has port 8080" in refused(act, "other_front").message
    assert moved.systemd.socket is None


def test_what_nobody_can_reach_behind_haproxy_any_more_does_not_come_back(host):
    host.release("v1")
    host.switch("restart")
    host.haproxy.servers = lambda _worker, _backend: {}  # proxy_state: absent
    host.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: host.release("v2"), "rolled_back")
    assert host.systemd.running() == []
    host.release("v3")
    assert host.settled() == host.id_of("v3")


def test_users_ports_that_others_have(host, monkeypatch):
    monkeypatch.setattr(sockets, "tcp_listeners", lambda: {"1": 8080})
    monkeypatch.setattr(sockets, "tcp_addresses", lambda: {"1": "0.0.0.0"})
    monkeypatch.setattr(sockets, "holders", lambda _inodes: [1])
    monkeypatch.setattr(processes, "name", lambda _pid: "systemd")
    error = refused(lambda: host.release("v1", listen=["8080"]), "port_in_use")
    assert "systemd" in str(error)
    assert "slipway.go.proxy" in str(error)
    monkeypatch.setattr(processes, "name", lambda _pid: "haproxy")
    host.release("v1", listen=["8080"])
    host.switch("restart")
    assert "proxy_state: absent" in str(refused(lambda: host.release("v2", listen=["8080"]), "port_in_use"))


def test_a_port_that_nobody_has_opened_yet(host):
    error = refused(lambda: host.release("v1", listen=["8080"]), "not_proxied")
    assert "8080" in str(error)
    assert host.engine().predict(host.spec("v1", listen=["8080"])).changed


@pytest.mark.parametrize(
    "values",
    [
        {"ports": [1]}, {"ports": [1, 1]}, {"ports": [0, 1]}, {"ports": [1, 65536]},
        {"weights": [25, 5]}, {"weights": [-1]}, {"weights": [101]}, {"weights": [5, 5]},
        {"step_time": -1.0}, {"min_time": -1.0}, {"step_time": float("nan")}, {"max_errors": float("inf")},
        {"max_latency_ratio": 0.5}, {"inconclusive": "pass"}, {"min_requests": -1},
    ],
)  # fmt: skip
def test_what_cannot_be(values):
    with pytest.raises(SlipwayError) as caught:
        parse_proxy(values)
    assert caught.value.fix


def test_what_was_saved_is_read_again():
    assert parse_proxy({"ports": [1, 2], "weights": None}) == parse_proxy({"ports": (1, 2)})


def test_a_record_that_somebody_has_removed_is_written_again(host):
    """Until then HAProxy goes on as it was told; but if it restarted, it would lead users elsewhere."""
    host.release("v1")
    host.release("v2")
    os.unlink(host.layout.proxy_record)
    host.watch()
    host.release("v2")
    assert host.systemd.lowest == 1
    assert host.settled() == host.id_of("v2")
    assert host.haproxy.open_addresses() == {B}


def test_a_local_port_of_a_stranger_is_refused_by_its_variable(host, monkeypatch):
    monkeypatch.setattr(sockets, "tcp_listeners", lambda: {"1": 18081})
    monkeypatch.setattr(sockets, "tcp_addresses", lambda: {"1": "127.0.0.1"})
    monkeypatch.setattr(sockets, "holders", lambda _inodes: [1])
    monkeypatch.setattr(processes, "name", lambda _pid: "sshd")
    assert "port 18081 of service_proxy_ports" in str(refused(lambda: host.release("v1"), "port_in_use"))

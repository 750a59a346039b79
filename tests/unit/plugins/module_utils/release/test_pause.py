# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release that is only too slow waits for a person."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.files import sha256_file
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import FAIL, PASS, Attempt
from ansible_collections.slipway.go.plugins.module_utils._release import confirm_timer, context, pause
from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
from ansible_collections.slipway.go.plugins.module_utils._release.operator import watch
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator, WatchOptions
from ansible_collections.slipway.go.plugins.module_utils._release.periods import BEFORE
from ansible_collections.slipway.go.plugins.module_utils._release.probe import Probe, _Period, parse_plan
from ansible_collections.slipway.go.plugins.module_utils._release.progress import Progress
from ansible_collections.slipway.go.plugins.module_utils._release.state.lease import Claim, Leases
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import LONGEST_PAUSE, Proxy
from ansible_collections.slipway.go.plugins.module_utils._release.state.store import Store, Transaction
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.traffic import Traffic
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.verdict import Counts, Rule, Verdict
from ansible_collections.slipway.go.plugins.module_utils._release.verbs import resume
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Faults, Host, Killed
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

ASKED = {"weights": [20], "step_time": 30, "slow": "pause", "pause_time": 60}


@pytest.fixture
def host(memory, monkeypatch):
    """v1 serves, and v2 takes 400 ms where v1 takes 12."""
    host = Host(memory, "proxy").install(monkeypatch)
    host.users, host.proxy = 100.0, dict(ASKED)
    host.behaviours["v2"] = Behaviour(slow=True)
    host.release("v1")
    monkeypatch.setattr(resume, "WITHIN", 0.0)
    return host


def events(host, *names):
    return [event for event in host.store.journal.events() if event["event"] in names]


def when_paused(host, monkeypatch, act):
    """Once, while the engine waits; it looks at the users' requests then."""
    done = []

    def answer():
        waiting = host.store.load()
        if waiting is not None and waiting.paused and not done:
            done.append(True)
            act(waiting)

    monkeypatch.setattr(host, "act_as_person", answer)
    return done


def test_without_the_tool_nothing_may_pause(host, monkeypatch):
    monkeypatch.setattr(confirm_timer, "TOOL", "/nowhere/slipway")
    host.confirm = 0
    error = refused(lambda: host.release("v2"), "no_tool")
    assert "nobody could resume" in error.message
    assert "release_slow" in error.fix
    refused(lambda: host.engine().predict(host.spec("v2")), "no_tool")
    assert host.release("v2", tool=sha256_file(__file__)).action == "tool"
    assert (host.store.load(), host.settled()) == (None, host.id_of("v1"))
    host.proxy = {**ASKED, "slow": "rollback"}
    assert host.engine().predict(host.spec("v2")).action == "release"


def test_without_the_setting_a_slow_release_is_rolled_back(host):
    host.proxy["slow"] = "rollback"
    error = refused(lambda: host.release("v2"), "rolled_back")
    assert "release_max_latency_ratio allows 2" in str(error)
    assert not events(host, "paused")
    assert "paused" not in error.details


def test_a_paused_release_that_is_resumed_goes_on(host):
    host.answers, host.answers_after = "resumed", 20
    began = host.clock.now
    outcome = host.release("v2")
    assert host.settled() == host.id_of("v2")
    told = outcome.paused
    assert (told["ended"], told["by"]) == ("resumed", "alice")
    assert 20 <= told["seconds"] < 22
    assert "ms or longer; release_max_latency_ratio allows 2" in told["reason"]
    assert host.clock.now - began > 30 + 20, "the step has its whole time beside the pause"
    assert outcome.phases["CANARY"] < 32, "the pause is no part of it"
    assert outcome.traffic["tolerated"] == told["reason"]
    assert outcome.traffic["verdict"] != "fail"
    assert outcome.traffic["evidence"]["latency"] >= outcome.traffic["evidence"]["enough"]
    paused, resumed = events(host, "paused", "resumed")
    assert (paused["phase"], paused["txn"] == resumed["txn"]) == ("CANARY", True)
    assert paused["until"] - paused["since"] == 60
    assert resumed["by"] == {"person": "alice"}
    assert host.store.journal.outcomes()[-1]["paused"] == told
    assert len(events(host, "paused")) == 1, "a person has decided for all of it"


def test_the_share_of_users_stays_while_it_is_paused(host, monkeypatch):
    seen = []

    def look(waiting):
        seen.append((waiting.phase, {slot: one.weight for slot, one in host.haproxy.servers_now.items()}))

    done = when_paused(host, monkeypatch, look)
    refused(lambda: host.release("v2"), "not_resumed")
    assert done
    assert seen == [("CANARY", {"a": 80, "b": 20})]


def test_nobody_answers_and_it_goes_back_at_its_time(host):
    began = host.clock.now
    error = refused(lambda: host.release("v2"), "not_resumed")
    assert error.details["rolled_back"] is True
    assert error.details["paused"]["ended"] == "not_resumed"
    assert 60 <= error.details["paused"]["seconds"] < 63
    assert host.clock.now - began < 60 + 30
    assert "It was paused for 60 s, and nobody resumed it" in str(error)
    assert error.details["traffic"]["verdict"] == "fail"
    assert host.settled() == host.id_of("v1")
    last = host.store.journal.outcomes()[-1]
    assert (last["event"], last["code"], last["paused"]["ended"]) == ("rolled_back", "not_resumed", "not_resumed")
    assert host.id_of("v2") in host.store.journal.bad()


def test_it_is_sent_back_at_once(host):
    host.answers = "sent_back"
    error = refused(lambda: host.release("v2"), "sent_back")
    assert (error.details["rolled_back"], error.details["paused"]["by"]) == (True, "alice")
    assert error.details["paused"]["seconds"] < 7
    assert host.settled() == host.id_of("v1")


@pytest.mark.parametrize(("word", "code", "is_bad"), [("", "front_failed", False), ("sent_back", "sent_back", True)])
def test_where_haproxy_ends_meanwhile_only_a_person_marks_it_bad(host, monkeypatch, word, code, is_bad):
    def end(waiting):
        host.haproxy.restart()
        if word:
            host.say(waiting.txn, word)

    when_paused(host, monkeypatch, end)
    refused(lambda: host.release("v2"), word or "rolled_back")
    assert host.store.journal.outcomes()[-1]["code"] == code
    assert (host.id_of("v2") in host.store.journal.bad()) is is_bad
    assert host.settled() == host.id_of("v1")


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [({"sick_after": 40}, "unhealthy_in_soak"), ({"dies_after": 400}, "crashed"), ({"restarts_after": 400}, "crashed")],
)
def test_what_else_goes_wrong_meanwhile_rolls_back_at_once(host, behaviour, code):
    host.proxy["pause_time"] = 600
    host.behaviours["v2"] = Behaviour(slow=True, **behaviour)
    error = refused(lambda: host.release("v2"), "rolled_back")
    last = host.store.journal.outcomes()[-1]
    assert (last["code"], last["paused"]["ended"]) == (code, "failed")
    assert last["paused"]["seconds"] < 590
    assert error.details["paused"] == last["paused"]
    assert host.settled() == host.id_of("v1")
    assert host.store.load() is None


def test_errors_that_turn_worse_meanwhile_roll_back_at_once(host, monkeypatch):
    there = host.haproxy.servers_now

    def fail(_waiting):
        there["b"] = there["b"]._replace(requests=there["b"].requests + 200, failures=there["b"].failures + 100)
        there["a"] = there["a"]._replace(requests=there["a"].requests + 800)

    when_paused(host, monkeypatch, fail)
    error = refused(lambda: host.release("v2"), "rolled_back")
    assert "100 of 200 requests of users failed" in str(error)
    assert host.store.journal.outcomes()[-1]["code"] == "canary_failed"
    assert error.details["paused"]["seconds"] < 10


@pytest.mark.parametrize("period", ["during", "paused"])
def test_the_probe_objects_meanwhile(host, monkeypatch, period):
    when_paused(host, monkeypatch, lambda _waiting: setattr(host.behave("v2"), "loses", period))
    refused(lambda: host.release("v2"), "rolled_back")
    assert host.store.journal.outcomes()[-1]["code"] == "probe_failed"


class Asking(Probe):
    """20 requests a second by the host's clock; is_lost says whether one that is sent now fails."""

    def __init__(self, host, is_lost):
        super().__init__(parse_plan({"url": "http://127.0.0.1:8080/readyz"}, {}))
        self._host, self._is_lost, self._asked = host, is_lost, None

    def start(self, period=BEFORE):
        self.mark(period)

    def mark(self, period):
        self._catch_up()
        return super().mark(period)

    def _catch_up(self):
        now = self._host.clock.now
        for _request in range(round((now - (self._asked or now)) * 20)):
            made = Attempt(FAIL, "refused", "nobody answers") if self._is_lost(now) else Attempt(PASS, "ok", "fine")
            self._periods.setdefault(self._period, _Period()).add(made)
        self._asked = now

    def objection(self, period, planned=0.0):
        self._catch_up()
        return super().objection(period, planned)

    def sent(self):
        return {name: period.sent for name, period in self._periods.items()}


def asked(host, monkeypatch, is_lost):
    probes = []

    def begin(_plan):
        probes.append(Asking(host, is_lost))
        return probes[-1]

    monkeypatch.setattr(context, "Probe", begin)
    return probes


def resumed_at(host):
    return next((event["time"] for event in events(host, "resumed")), None)


def test_what_the_probe_met_in_a_pause_is_no_part_of_the_share(host, monkeypatch):
    """Thousands of good requests would hide hundreds that fail after it."""
    host.proxy["pause_time"], host.answers, host.answers_after = 300, "resumed", 290

    def is_lost(now):
        resumed = resumed_at(host)
        return resumed is not None and now > resumed + 2

    probes = asked(host, monkeypatch, is_lost)
    refused(lambda: host.release("v2"), "rolled_back")
    assert host.store.journal.outcomes()[-1]["code"] == "probe_failed"
    assert host.clock.now - resumed_at(host) < 10
    assert probes[-1].sent()["paused"] > 290 * 19
    assert probes[-1].sent()["during"] < 40 * 20


def test_what_the_probe_meets_in_a_pause_is_judged_by_itself(host, monkeypatch):
    host.proxy.update(step_time=300, pause_time=600)
    began = host.clock.now

    def is_lost(now):
        paused = host.store.load().paused
        return bool(paused) and now > paused["since"] + 5

    asked(host, monkeypatch, is_lost)
    error = refused(lambda: host.release("v2"), "rolled_back")
    assert host.store.journal.outcomes()[-1]["code"] == "probe_failed"
    assert error.details["paused"]["seconds"] < 10
    assert host.clock.now - began < 60


def test_a_pause_in_the_soak_is_no_part_of_what_the_probe_is_measured_by(host, monkeypatch):
    """Where the soak ends early, the percentage is of what it was long, and not of the pause."""
    host.proxy.update(step_time=5, pause_time=200, min_time=1)
    host.answers, host.answers_after, host.soak_time = "resumed", 100, 60.0
    real, asked = Traffic.end, []
    for name in ("look", "end"):
        monkeypatch.setattr(Traffic, name, lambda self: real(self) if len(self._verdict.stages) > 1 else None)

    class Measured(Asking):
        def objection(self, period, planned=0.0):
            asked.append((period, planned, self._host.clock.now))
            return super().objection(period, planned)

    monkeypatch.setattr(context, "Probe", lambda _plan: Measured(host, lambda _now: False))
    host.release("v2")
    assert events(host, "paused")[0]["phase"] == "SOAK"
    resumed = resumed_at(host)
    after = [seconds for period, seconds, now in asked if period == "after" and seconds < 60 and now >= resumed]
    assert after
    assert after[0] < 30


def test_errors_after_a_resume_count_as_always(host, monkeypatch):
    host.answers, there = "resumed", host.haproxy.servers_now

    def fail(_service=None):
        if events(host, "resumed"):
            there["b"] = there["b"]._replace(requests=there["b"].requests + 20, failures=there["b"].failures + 20)

    answer = host.act_as_person
    monkeypatch.setattr(host, "act_as_person", lambda: (answer(), fail()))
    error = refused(lambda: host.release("v2"), "rolled_back")
    assert error.details["paused"]["ended"] == "resumed"
    assert host.settled() == host.id_of("v1")


def test_it_may_pause_in_the_soak_where_the_last_counts_of_the_share_tell(host, monkeypatch):
    """Nothing is judged while the share lasts, so that the end of it is the first look."""
    host.proxy["step_time"], host.answers = 5, "resumed"
    real = Traffic.end
    monkeypatch.setattr(Traffic, "look", lambda self: real(self) if events(host, "paused") else None)
    monkeypatch.setattr(Traffic, "end", lambda self: real(self) if len(self._verdict.stages) > 1 else None)
    outcome = host.release("v2")
    assert events(host, "paused")[0]["phase"] == "SOAK"
    assert outcome.paused["ended"] == "resumed"
    assert host.settled() == host.id_of("v2")


def test_while_the_old_release_drains_it_is_not_rolled_back_but_asked_about_in_the_soak(host, monkeypatch):
    """There is one session left at the old release, and the verdict comes while it is waited for."""
    host.proxy["step_time"], host.answers, there = 5, "resumed", host.haproxy.servers_now
    there["a"] = there["a"]._replace(sessions=1)
    looks = {name: getattr(Traffic, name) for name in ("look", "end")}
    for name, real in looks.items():
        monkeypatch.setattr(
            Traffic, name, lambda self, real=real: real(self) if len(self._verdict.stages) > 1 else None
        )
    host.release("v2")
    assert events(host, "paused")[0]["phase"] == "SOAK"
    assert host.settled() == host.id_of("v2")


def test_a_rollback_and_other_strategies_do_not_pause(host, memory, monkeypatch):
    host.answers = "resumed"
    host.release("v2")
    host.behaviours["v1"] = Behaviour(slow=True)
    assert host.rollback().paused is None
    assert host.settled() == host.id_of("v1")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 0),
        ({"slow": "pause"}, 0),
        ({"slow": "pause", "weights": (5, 100)}, 900),
        ({"slow": "pause", "weights": (0, 100)}, 0),
        ({"slow": "pause", "weights": (5,), "max_latency_ratio": 0}, 0),
        ({"slow": "rollback", "weights": (5,)}, 0),
        ({"slow": "pause", "weights": (5,), "pause_time": 60}, 60),
    ],
)
def test_how_long_it_may_be_paused(given, seconds):
    assert Proxy(**given).longest_pause == seconds


@pytest.mark.parametrize(
    ("given", "code"),
    [({"slow": "ask"}, "invalid_slow"), *(({"pause_time": s}, "invalid_pause") for s in (0, -1, LONGEST_PAUSE + 1))],
)
def test_what_is_refused(given, code):
    refused(lambda: Proxy(**given), code)


def test_the_host_waits_for_the_pause_before_it_takes_back_what_nobody_confirms(host, monkeypatch):
    armed = []
    monkeypatch.setattr(
        "ansible_collections.slipway.go.plugins.module_utils._release.confirm_timer.arm",
        lambda _service, _txn, seconds: armed.append(seconds),
    )
    host.proxy["slow"] = "rollback"
    refused(lambda: host.release("v2"), "rolled_back")
    host.proxy["slow"], host.answers = "pause", "resumed"
    host.release("v2", force=True)
    assert armed[1] == armed[0] + 60


@pytest.mark.parametrize("lasted", [0, 20])
def test_once_nothing_pauses_any_more_the_host_does_not_wait_for_it(host, lasted):
    host.answers, host.answers_after, host.confirm = "resumed", lasted, 40.0
    waits = []
    for version, pauses, slow in (("v3", "rollback", False), ("v4", "pause", lasted > 0)):
        host.proxy["slow"], host.behaviours[version] = pauses, Behaviour(slow=slow)
        host.swap(version)
        waiting = host.store.load()
        waits.append(waiting.deadline - waiting.started)
        assert [one for one in events(host, "phase") if one["phase"] == "PROBATION"][-1]["deadline"] == waiting.deadline
        host.rollback()
    assert waits[1] == pytest.approx(waits[0] + lasted, abs=3)
    ((txn, seconds),) = host.shortened
    assert txn == waiting.txn
    assert host.confirm <= seconds < waits[1]


@pytest.mark.parametrize(("change", "told"), [({"hold": 100.0}, []), ({"hold": 0.0}, [1])])
def test_where_the_fleet_confirms_the_host_waits_for_the_pauses_of_others(host, change, told):
    host.behaviours["v2"], host.confirm = Behaviour(), 40.0
    host.swap("v2", **change)
    assert [1 for _each in host.shortened] == told


def test_a_timer_that_cannot_be_shortened_stays(host, monkeypatch):
    def refuse(*_arguments):
        raise SlipwayError("no_timer", "systemd-run did not set the timer: no", "use a host that runs systemd")

    monkeypatch.setattr(confirm_timer, "shorten", refuse)
    host.behaviours["v2"], host.confirm, began = Behaviour(), 40.0, host.clock.now
    host.swap("v2")
    waiting = host.store.load()
    assert waiting.phase == "PROBATION"
    assert waiting.deadline - began > 60 + 40


def test_the_tool_says_that_it_goes_on(host, monkeypatch):
    said = []
    when_paused(host, monkeypatch, lambda _waiting: said.extend(host.engine().resume() for _each in range(2)))
    outcome = host.release("v2")
    assert outcome.paused["ended"] == "resumed"
    first, second = said
    assert (first.release, first.previous, first.word, first.changed) == (
        host.id_of("v2"), host.id_of("v1"), "resumed", True,
    )  # fmt: skip
    assert second.word == "resumed", "two resumes are one"
    assert len(events(host, "resumed")) == 1
    assert not os.path.exists(os.path.join(host.layout.state, pause.FILE))


@pytest.mark.parametrize(("back", "word"), [(False, "resumed"), (True, "sent_back")])
def test_to_check_says_what_it_would_do_and_does_nothing(host, monkeypatch, back, word):
    said = []
    when_paused(host, monkeypatch, lambda _waiting: said.append(host.engine().resume(back, check=True)))
    refused(lambda: host.release("v2"), "not_resumed")
    assert [tuple(one) for one in said] == [(host.id_of("v2"), host.id_of("v1"), word, True, True)]
    assert events(host, "resumed", "sent_back") == []
    refused(lambda: host.engine().resume(back, check=True), "not_paused")


def test_the_tool_says_that_it_goes_back(host, monkeypatch):
    by = {"person": "bob", "reason": "not today"}
    engine = Engine(host.settings(), host.layout, host.systemd, by=by)
    when_paused(host, monkeypatch, lambda _waiting: engine.resume(back=True))
    error = refused(lambda: host.release("v2"), "sent_back")
    assert error.details["paused"]["by"] == "bob"
    (said,) = events(host, "sent_back")
    assert (said["by"], said["release"], said["phase"]) == (by, host.id_of("v2"), "CANARY")


def test_a_second_resume_while_it_goes_on_changes_nothing(host, monkeypatch):
    host.answers, said = "resumed", []
    answer = host.act_as_person

    def twice():
        answer()
        if events(host, "resumed") and not said:
            said.append(host.engine().resume())

    monkeypatch.setattr(host, "act_as_person", twice)
    host.release("v2")
    assert (said[0].changed, said[0].heard) == (False, True)


def test_a_word_to_go_back_that_comes_after_a_resume_is_too_late(host, monkeypatch):
    """Both are said in the same moment, and the engine hears the resume."""
    told = []

    def both(waiting):
        monkeypatch.setattr(resume.pause, "say", lambda *_: host.say(waiting.txn, "resumed"))
        monkeypatch.setattr(
            resume, "_await", lambda context, txn: host.store.journal.record("resumed", txn=txn) or True
        )
        told.append(refused(lambda: host.engine().resume(back=True), "too_late"))

    when_paused(host, monkeypatch, both)
    host.release("v2")
    assert "goes on already" in str(told[0])
    assert "sudo slipway rollback shop" in told[0].fix
    assert host.settled() == host.id_of("v2")


def test_a_release_that_was_resumed_and_cut_short_does_not_go_on(host, monkeypatch):
    host.answers = "resumed"
    answer = host.act_as_person

    def kill():
        answer()
        if events(host, "resumed"):
            host.faults.dead = True
            raise Killed

    monkeypatch.setattr(host, "act_as_person", kill)
    with pytest.raises(Killed):
        host.release("v2")
    host.faults = Faults()
    assert (host.store.load().phase, host.store.load().paused) == ("CANARY", {})
    error = refused(lambda: host.engine().resume(), "interrupted")
    assert "sudo slipway recover shop" in error.fix


def test_a_release_that_was_resumed_and_waits_to_be_confirmed_has_gone_on(host):
    host.answers, host.confirm = "resumed", 60.0
    host.swap("v2")
    assert host.store.load().phase == "PROBATION"
    said = host.engine().resume()
    assert (said.word, said.changed, said.heard) == ("resumed", False, True)


@pytest.mark.parametrize("back", [False, True])
def test_where_nothing_is_paused_a_resume_is_refused_with_what_is_there(host, back):
    error = refused(lambda: host.engine().resume(back), "not_paused")
    assert f"{host.id_of('v1')} serves" in str(error)
    refused(lambda: host.release("v2"), "not_resumed")
    error = refused(lambda: host.engine().resume(back), "not_paused")
    assert "nobody resumed it" in str(error)
    host.behaviours["v3"] = Behaviour()
    host.swap("v3")
    error = refused(lambda: host.engine().resume(back), "not_paused")
    assert "waits to be confirmed" in str(error)
    assert "sudo slipway confirm shop" in error.fix


def test_a_swap_that_goes_on_is_not_paused(host, monkeypatch):
    told = []
    host.behaviours["v2"] = Behaviour()
    look = Traffic.look

    def ask(self):
        if not told:
            told.append(refused(lambda: host.engine().resume(), "not_paused"))
        look(self)

    monkeypatch.setattr(Traffic, "look", ask)
    host.release("v2")
    assert "is in CANARY" in str(told[0])


def test_a_word_about_another_transaction_is_removed_and_counts_for_nothing(host, monkeypatch):
    when_paused(host, monkeypatch, lambda _waiting: host.say("0" * 32, "resumed"))
    refused(lambda: host.release("v2"), "not_resumed")
    assert not os.path.exists(os.path.join(host.layout.state, pause.FILE))


@pytest.mark.parametrize("by", [None, "alice", {}])
def test_a_word_of_nobody_counts_all_the_same(host, monkeypatch, by):
    def say(waiting):
        with open(os.path.join(host.layout.state, pause.FILE), "w", encoding="utf-8") as stream:
            json.dump({"txn": waiting.txn, "word": "resumed", "by": by}, stream)

    when_paused(host, monkeypatch, say)
    assert "by" not in host.release("v2").paused
    assert events(host, "resumed")[0]["by"] == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"txn": 1}', '{"word": "resumed"}', "\0"])
def test_a_damaged_word_counts_for_nothing(host, monkeypatch, text):
    def write(_waiting):
        with open(os.path.join(host.layout.state, pause.FILE), "w", encoding="utf-8") as stream:
            stream.write(text)

    when_paused(host, monkeypatch, write)
    refused(lambda: host.release("v2"), "not_resumed")


def test_a_word_that_was_written_before_the_pause_does_not_count(host, monkeypatch):
    """Of whatever transaction: it has not asked yet."""
    txns = []
    begin = Transaction.__init__

    def noted(self, txn, *args, **kwargs):
        begin(self, txn, *args, **kwargs)
        if args and args[0] == "INTENT" and not txns:
            txns.append(txn)

    monkeypatch.setattr(Transaction, "__init__", noted)
    host.systemd.on_start = lambda _release_id: host.say(txns[0], "resumed") if txns else None
    refused(lambda: host.release("v2"), "not_resumed")
    assert txns


def killed_in_the_pause(host, monkeypatch):
    def kill(_waiting):
        host.faults.dead = True
        raise Killed

    when_paused(host, monkeypatch, kill)
    with pytest.raises(Killed):
        host.release("v2")
    host.faults = Faults()
    assert host.store.load().paused


@pytest.mark.parametrize("word", ["", "resumed", "sent_back"])
@pytest.mark.parametrize("then", ["recover", "reboot", "timer", "release", "rollback"])
def test_an_engine_that_is_killed_while_it_waits(host, monkeypatch, word, then):
    killed_in_the_pause(host, monkeypatch)
    txn = host.store.load().txn
    if word:
        host.say(txn, word)
    refused(lambda: host.engine().resume(), "interrupted")
    if then == "release":
        host.behaviours["v3"] = Behaviour()
        host.release("v3")
        assert host.settled() == host.id_of("v3")
    else:
        {"recover": lambda: host.engine().recover(), "reboot": host.reboot, "timer": host.expire,
         "rollback": host.rollback}[then]()  # fmt: skip
        assert host.settled() == host.id_of("v1")
    assert not os.path.exists(os.path.join(host.layout.state, pause.FILE))
    assert host.id_of("v2") not in host.store.journal.bad()
    (ended,) = [one for one in host.store.journal.outcomes() if one.get("txn") == txn]
    assert (ended["event"], ended["interrupted"]) == ("rolled_back", True)


@pytest.mark.parametrize("act", ["release", "rollback", "confirm", "recover"])
def test_who_else_wants_the_service_is_told_that_it_is_paused(host, monkeypatch, act):
    told = []
    acts = {
        "release": lambda: host.swap("v3"),
        "rollback": host.rollback,
        "confirm": lambda: host.engine().confirm(),
        "recover": lambda: host.engine().recover(),
    }
    when_paused(host, monkeypatch, lambda _waiting: told.append(refused(acts[act], "locked")))
    refused(lambda: host.release("v2"), "not_resumed")
    assert "is paused until somebody decides" in str(told[0])
    assert "sudo slipway resume shop --back" in told[0].fix


@pytest.mark.parametrize("killed", [False, True])
def test_another_run_that_meets_the_lease_is_told_that_it_is_paused(host, monkeypatch, killed):
    leases, told = Leases(host.layout, host.store.journal), []

    def meet(_waiting=None):
        told.append(refused(lambda: leases.check(Claim("another")), "leased"))

    claim, by = Claim("first", 3600.0, name="r1"), {"person": "alice"}
    leases.take(claim, by)
    engine = Engine(host.settings(), host.layout, host.systemd, by=by, claim=replace(claim, held=True))
    if killed:
        monkeypatch.setattr(host, "engine", lambda: engine)
        killed_in_the_pause(host, monkeypatch)
        meet()
    else:
        when_paused(host, monkeypatch, meet)
        refused(lambda: engine.release(host.spec("v2")), "not_resumed")
    (error,) = told
    assert "alice, run r1" in str(error)
    assert ("it is paused until somebody decides." in str(error)) is not killed
    assert ("sudo slipway resume shop --back" in error.fix) is not killed
    assert ("release_end_lease" in error.fix) is killed


def test_the_status_says_since_when_why_until_when_and_what_to_type(host, monkeypatch):
    told = []
    when_paused(
        host, monkeypatch, lambda _waiting: told.append(Operator(host.settings(), host.layout, host.systemd).status(0))
    )
    refused(lambda: host.release("v2"), "not_resumed")
    (status,) = told
    assert status["current"] == host.id_of("v1")
    assert status["in_flight"]["paused"]["until"] > status["in_flight"]["paused"]["since"]
    for part in (
        "is paused since",
        "ms or longer",
        "it goes back at",
        "sudo slipway resume shop;",
        "resume shop --back",
    ):
        assert part in status["unsettled"], status["unsettled"]


def test_the_timeline_has_the_pause_between_two_parts_of_the_canary(host):
    host.answers = "resumed"
    phases = host.release("v2").timeline["phases"]
    names = [name for name, _begin, _lasts in phases]
    assert names[names.index("CANARY") :][:3] == ["CANARY", "PAUSED", "CANARY"]
    for before, after in zip(phases, phases[1:]):
        assert round(before[1] + before[2], 2) == round(after[1], 2)


def test_a_full_disk_does_not_keep_it_from_going_back(host, monkeypatch):
    def fill(_waiting):
        host.faults.how, host.faults.at = "full", len(host.faults.seen)

    when_paused(host, monkeypatch, fill)
    with pytest.raises((SlipwayError, OSError)):
        host.release("v2")
    assert host.systemd.serving() == [host.id_of("v1")]


def test_old_states_are_read():
    told = {"txn": "a", "phase": "CANARY", "to": "2-0000000000", "source": None, "strategy": "proxy", "started": 1.0}
    assert Transaction.parse(told).paused == {}
    with pytest.raises(ValueError, match="numbers"):
        Transaction.parse({**told, "paused": "yes"})


NEW = {"slow", "pause_time"}


@pytest.mark.parametrize("confirm", [0.0, 60.0])
def test_an_older_tool_on_the_host_reads_what_a_release_without_a_pause_writes(host, monkeypatch, confirm):
    """Its Proxy and its Transaction take none of the new names."""
    states, save = [], Store.save

    def saved(self, transaction):
        save(self, transaction)
        with open(os.path.join(self.layout.state, "state.json"), encoding="utf-8") as stream:
            states.append(json.load(stream))

    monkeypatch.setattr(Store, "save", saved)
    host.proxy.update(slow="rollback", pause_time=900.0)
    host.behaviours["v2"] = Behaviour()
    host.confirm = confirm
    host.release("v2")
    with open(os.path.join(host.layout.state, "settings.json"), encoding="utf-8") as stream:
        told = json.load(stream)["proxy"]
    assert told["step_time"] == 30
    assert not NEW & set(told)
    assert states
    assert not any("paused" in state for state in states)


def test_the_first_release_after_an_upgrade_with_the_same_settings_changes_none(host):
    host.proxy.update(slow="rollback", pause_time=900.0)
    host.behaviours["v2"] = Behaviour()
    host.release("v2")
    path = os.path.join(host.layout.state, "settings.json")
    with open(path, encoding="utf-8") as stream:
        told = json.load(stream)
    told["proxy"] = {name: value for name, value in told["proxy"].items() if name not in NEW}
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(told, stream)
    assert not host.release("v2").changed
    host.proxy["slow"] = "pause"
    assert host.release("v2").changed


def slow_and_then(failed: int) -> Verdict:
    verdict = Verdict(Rule())
    verdict.begin(50)
    verdict.count(Counts(500, 0, {400: 500}), Counts(500, 0, {12: 500}), 10.0)
    assert verdict.look() is not None
    assert verdict.is_slow
    verdict.count(Counts(200, failed, {400: 200}), Counts(200, 0, {12: 200}), 10.0)
    return verdict


def test_errors_count_for_more_than_durations():
    assert slow_and_then(0).is_slow
    verdict = slow_and_then(150)
    assert "failed" in str(verdict.look())
    assert not verdict.is_slow


def test_what_is_tolerated_may_be_insisted_on():
    verdict = slow_and_then(0)
    reason = verdict.stopped
    verdict.tolerate()
    assert (verdict.look(), verdict.verdict, verdict.figures()["tolerated"]) == (None, "pass", reason)
    verdict.insist()
    assert (verdict.look(), verdict.verdict) == (reason, "fail")
    assert json.dumps(verdict.figures())


def test_the_metrics_go_on_and_say_that_it_is_paused(host, monkeypatch, memory):
    folder = os.path.join(memory, "metrics")
    os.mkdir(folder)
    policy = watch.Policy()

    def look(_waiting=None):
        decision = Operator(host.settings(), host.layout, host.systemd).watch(WatchOptions(policy, folder))
        assert (decision.action, decision.message) == (watch.NOTHING, "a release is under way")

    done = when_paused(host, monkeypatch, look)
    refused(lambda: host.release("v2"), "not_resumed")
    assert done
    with open(os.path.join(folder, "slipway-shop.prom"), encoding="utf-8") as stream:
        text = stream.read()
    assert 'slipway_swap_paused{service="shop"} 1\n' in text
    assert 'slipway_swap_pause_end_timestamp_seconds{service="shop"} 100' in text
    assert 'slipway_swap_unfinished{service="shop"} 0\n' in text
    assert 'slipway_up{service="shop"} 1\n' in text
    assert f'release="{host.id_of("v1")}"' in text
    assert 'slipway_health_timestamp_seconds{service="shop"}' in text
    Operator(host.settings(), host.layout, host.systemd).watch(WatchOptions(policy, folder))
    with open(os.path.join(folder, "slipway-shop.prom"), encoding="utf-8") as stream:
        assert 'slipway_swap_paused{service="shop"} 0\n' in stream.read()


def test_the_metrics_say_at_once_that_it_was_resumed(host, monkeypatch, memory):
    """The rest of the swap may take as long as its shares do."""
    folder, told = os.path.join(memory, "metrics"), []
    os.mkdir(folder)
    host.answers = "resumed"
    answer = host.act_as_person

    def look():
        answer()
        Operator(host.settings(), host.layout, host.systemd).watch(WatchOptions(watch.Policy(), folder))
        path = os.path.join(folder, "slipway-shop.prom")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as stream:
                text = stream.read()
            told.append(
                (
                    bool(events(host, "resumed")),
                    'slipway_swap_paused{service="shop"} 1\n' in text,
                    'slipway_swap_unfinished{service="shop"} 0\n' in text,
                )
            )

    monkeypatch.setattr(host, "act_as_person", look)
    host.release("v2")
    assert (False, True, True) in told
    after = [(paused, at_work) for resumed, paused, at_work in told if resumed]
    assert set(after[1:]) == {(False, True)}, "the word is heard between two looks"


def test_a_pause_whose_engine_was_killed_is_shown_as_cut_short(host, monkeypatch, memory):
    folder = os.path.join(memory, "metrics")
    os.mkdir(folder)
    killed_in_the_pause(host, monkeypatch)
    operator = Operator(host.settings(), host.layout, host.systemd)
    status = operator.status(0)
    assert (status["in_flight"]["phase"], status["in_flight"]["paused"]) == ("CANARY", {})
    assert "was cut short" in status["unsettled"] or "is taken back then" in status["unsettled"]
    assert "resume" not in status["unsettled"]
    operator.watch(WatchOptions(watch.Policy(), folder))
    with open(os.path.join(folder, "slipway-shop.prom"), encoding="utf-8") as stream:
        text = stream.read()
    assert 'slipway_swap_paused{service="shop"} 0\n' in text
    assert 'slipway_swap_unfinished{service="shop"} 1\n' in text


def test_what_a_run_reads_of_a_release_that_is_paused(host, monkeypatch):
    seen = []

    def look(self, figures):
        seen.append((self._phase, dict(figures())))

    monkeypatch.setattr(Progress, "look", look)
    host.answers = "resumed"
    Engine(host.settings(), host.layout, host.systemd, claim=Claim("r1")).release(host.spec("v2"))
    paused = [figures for phase, figures in seen if phase == "PAUSED" and "paused" in figures]
    assert paused[0]["paused"]["until"] - paused[0]["paused"]["since"] == 60
    assert paused[0]["traffic"]["verdict"] == "fail"
    phases = [phase for phase, _figures in seen]
    assert phases.index("PAUSED") < len(phases) - 1 - phases[::-1].index("CANARY"), "and then the share goes on"
    assert not any("paused" in figures for phase, figures in seen if phase != "PAUSED")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"ended": "resumed", "by": "alice", "seconds": 184.2}, "for 184 s, then was resumed by alice; slow"),
        ({"ended": "not_resumed", "seconds": 900.0}, "for 900 s, then nobody resumed it; slow"),
        ({"ended": "failed", "seconds": 3.0}, "for 3 s, then the release failed meanwhile; slow"),
        ({"ended": "sent_back"}, "was sent back; slow"),
    ],
)
def test_a_pause_in_words(told, said):
    assert pause.describe({"reason": "slow", **told}) == said

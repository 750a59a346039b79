# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One change of the firewall, on a host whose systemd, clock and firewall are played."""

from __future__ import annotations

import time

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import RevertPlan, System
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import change
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.backend import Backend, Survey
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.rule import Rule
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.survey import Options

TIMER, SHORT = "slipway-deadman-firewall.timer", "slipway-deadman-firewall-short.timer"
ADD, REMOVE, ENABLE, UNDO = "add", "remove", "enable", "undo"


class Host:
    """systemd's timers, a clock that moves only as commands take time, and a firewall kept in one file.

    at: what happens just before a command, by its first word.
    """

    def __init__(self, tmp_path) -> None:
        self.rules = tmp_path / "rules"
        self.rules.write_text("")
        self.clock, self.takes = 1000.0, 1.0
        self.fires_at: dict[str, float] = {}
        self.lasts: dict[str, float] = {}
        self.ran: list[list[str]] = []
        self.limits: list[float] = []
        self.failing: tuple[str, ...] = ()
        self.at: dict[str, object] = {}
        self.active = False
        for name in ("units", "run"):
            (tmp_path / name).mkdir()
        self.system = System(str(tmp_path / "deadman"), str(tmp_path / "units"), str(tmp_path / "run"), self.run)

    def ticks(self, timer: str) -> bool:
        return self.fires_at.get(timer, 0) > self.clock

    def run(self, argv):
        if argv[0] == "systemd-run":
            seconds = float(argv[4].partition("=")[2].rstrip("s"))
            timer = argv[3].partition("=")[2] + ".timer"
            self.fires_at[timer] = self.clock + seconds
            self.lasts[timer] = seconds
        elif argv[:2] == ["systemctl", "restart"]:
            if not self.ticks(argv[2]):
                return 5, "not found"
            self.fires_at[argv[2]] = self.clock + self.lasts[argv[2]]
        elif argv[:2] == ["systemctl", "stop"]:
            for timer in argv[2:]:
                self.fires_at.pop(timer, None)
        elif argv[:2] == ["systemctl", "is-active"]:
            return 3, "\n".join("active" if self.ticks(unit) else "inactive" for unit in argv[2:])
        elif argv[0] == UNDO:
            self.ran.append(list(argv))
            self.active = False
        return 0, ""

    def within(self, argv, seconds):
        step = self.at.get(argv[0])
        if step:
            step()
        self.ran.append(list(argv))
        self.limits.append(seconds)
        if self.takes > seconds:
            self.clock += seconds
            return 127, f"timed out after {seconds:g} seconds"
        self.clock += self.takes
        if argv[0] in self.failing:
            return 1, "refused"
        if argv[0] == ADD:
            self.rules.write_text(self.rules.read_text() + f"{argv[1]}\n")
        elif argv[0] == REMOVE:
            self.rules.write_text("".join(f"{one}\n" for one in self.rules.read_text().split() if one != argv[1]))
        elif argv[0] == ENABLE:
            self.active = True
        return 0, ""

    def words(self) -> list[str]:
        return [argv[0] for argv in self.ran]


class Firewall(Backend):
    """A firewall whose rules are lines of a file."""

    name = program = "wall"

    def __init__(self, host: Host, wanted: list[str]) -> None:
        super().__init__(host.run)
        self.host, self.wanted, self.paths = host, wanted, (str(host.rules),)

    def is_installed(self):
        return True

    def is_active(self):
        return self.host.active

    def default_zone(self):
        return ""

    def ssh_zones(self, connected, zone, zones):
        return {zone}

    def survey(self, request):
        missing = self.missing([Rule(port) for port in self.wanted])
        return Survey(active=self.host.active, policy="deny", target="deny", missing=missing)

    def missing(self, wanted):
        there = self.host.rules.read_text().split()
        return [rule for rule in wanted if rule.port not in there]

    def let_in(self, rules, active):
        return [[ADD, rule.port] for rule in rules]

    def made(self, rules, kept):
        there = self.host.rules.read_text().split()
        return [rule.as_dict() for rule in rules if rule.port in there and rule not in kept]

    def take_away(self, removals, active):
        return [[REMOVE, words["port"]] for words in removals]

    def files(self, survey):
        return {}

    def commands(self, survey):
        return [*self.let_in(survey.missing, survey.active), *([] if survey.active else [[ENABLE]])]

    def undo(self, active):
        return [[UNDO]]

    def undo_at_boot(self, active):
        return []


@pytest.fixture
def host(tmp_path, monkeypatch):
    played = Host(tmp_path)
    monkeypatch.setattr(time, "monotonic", lambda: played.clock)
    monkeypatch.setattr(change, "connection", lambda system: None)
    monkeypatch.setattr(ending, "PAUSE", 0)
    return played


def bring(host, monkeypatch, tmp_path, wanted=("22", "80"), seconds=60.0, check=False, service=""):
    monkeypatch.setattr(change, "choose", lambda name, run: Firewall(host, list(wanted)))
    options = Options(service=service)
    return change.bring_in_order(options, seconds, check, host.system, host.within, str(tmp_path))


def test_it_is_armed_before_the_first_rule_and_on_return(host, monkeypatch, tmp_path):
    armed = []
    host.at = dict.fromkeys((ADD, ENABLE), lambda: armed.append(deadman.armed("firewall", host.system).token))
    done = bring(host, monkeypatch, tmp_path)
    assert host.words() == [ADD, ADD, ENABLE]
    assert armed == [done.token] * 3
    assert done.changed
    assert deadman.pending("firewall", done.token, host.system) is not None


def test_nothing_is_armed_where_all_is_in_order(host, monkeypatch, tmp_path):
    host.rules.write_text("22\n80\n")
    host.active = True
    done = bring(host, monkeypatch, tmp_path)
    assert (done.changed, done.token, host.ran) == (False, None, [])


def test_check_mode_changes_nothing(host, monkeypatch, tmp_path):
    done = bring(host, monkeypatch, tmp_path, check=True)
    assert (done.changed, done.token, host.ran, host.active) == (True, None, [], False)


@pytest.mark.parametrize("seconds", [12, 60, 90])
@pytest.mark.parametrize(("rules", "takes"), [(10, 5.0), (60, 5.0), (200, 8.0), (3, 40.0)])
def test_rules_slower_than_the_time_to_confirm_are_not_taken_back(host, monkeypatch, tmp_path, rules, takes, seconds):
    """And the whole time to confirm is left when they are in force."""
    host.takes = takes
    done = bring(host, monkeypatch, tmp_path, [str(n) for n in range(rules)], seconds=seconds)
    assert len(host.rules.read_text().split()) == rules
    assert min(host.fires_at.values()) == pytest.approx(host.clock + seconds)
    assert host.fires_at[TIMER] >= host.clock + seconds
    assert deadman.pending("firewall", done.token, host.system) is not None


def test_whenever_it_is_killed_the_revert_is_at_most_a_minute_away(host, monkeypatch, tmp_path):
    left = []
    host.at = dict.fromkeys((ADD, ENABLE), lambda: left.append(host.fires_at[TIMER] - host.clock))
    bring(host, monkeypatch, tmp_path, [str(n) for n in range(60)], seconds=12)
    assert all(0 < one <= change.WRITING_S for one in left)
    assert all(limit <= one for limit, one in zip(host.limits, left))


def test_a_confirmation_ends_both_timers(host, monkeypatch, tmp_path):
    done = bring(host, monkeypatch, tmp_path, seconds=12)
    assert host.ticks(TIMER)
    assert host.ticks(SHORT)
    ending.confirm("firewall", done.token, host.system)
    assert not host.ticks(TIMER)
    assert not host.ticks(SHORT)


def test_a_command_that_does_not_end_is_stopped_and_takes_all_back(host, monkeypatch, tmp_path):
    host.takes = 61
    with pytest.raises(SlipwayError, match=r"timed out.*The change was taken back\."):
        bring(host, monkeypatch, tmp_path, seconds=12)
    assert not host.active
    assert deadman.armed("firewall", host.system) is None


@pytest.mark.parametrize("failing", [ADD, ENABLE])
def test_a_step_that_fails_takes_all_back_at_once(host, monkeypatch, tmp_path, failing):
    host.failing = (failing,)
    with pytest.raises(SlipwayError, match=rf"^{failing}.* failed \(1\): refused.*The change was taken back\."):
        bring(host, monkeypatch, tmp_path)
    assert host.rules.read_text() == ""
    assert host.words()[-1] == UNDO
    assert deadman.armed("firewall", host.system) is None


def test_a_revert_that_fails_is_said(host, monkeypatch, tmp_path):
    host.failing = (ENABLE,)
    host.system = System(
        host.system.root,
        host.system.units,
        host.system.runtime,
        lambda argv: (1, "no way") if argv[0] == UNDO else host.run(argv),
    )
    with pytest.raises(SlipwayError, match=r"could not be taken back whole: undo failed \(1\): no way\."):
        bring(host, monkeypatch, tmp_path)


@pytest.mark.parametrize("at", [ADD, ENABLE])
def test_nothing_is_written_any_more_when_the_time_is_over(host, monkeypatch, tmp_path, at):
    """As after a pause of the whole host."""

    def pause():
        host.clock += 61
        host.at.clear()

    host.at = {at: pause}
    with pytest.raises(SlipwayError) as raised:
        bring(host, monkeypatch, tmp_path, ["22", "80", "443"])
    assert raised.value.code == "reverted" or "taken back" in raised.value.message
    assert host.words().count(ADD) <= (1 if at == ADD else 3)
    assert host.rules.read_text() == ""
    assert not host.active
    assert deadman.armed("firewall", host.system) is None


def test_what_takes_every_command_and_does_nothing_is_not_in_order(host, monkeypatch, tmp_path):
    host.at = {ENABLE: lambda: host.rules.write_text("22\n")}
    with pytest.raises(SlipwayError, match=r"still lacks 80/tcp\..*The change was taken back\."):
        bring(host, monkeypatch, tmp_path)
    assert host.rules.read_text() == ""


def test_another_controller_that_was_first_is_waited_for_and_looked_at_again(host, monkeypatch, tmp_path):
    """It arms after this one has looked, makes the same change and confirms it."""
    real, first = deadman.arm, []

    def arm(name, seconds, plan, system):
        if first:
            return real(name, seconds, plan, system)
        first.append(real(name, seconds, RevertPlan([str(host.rules)], [[UNDO]]), system))
        host.rules.write_text("22\n80\n")
        host.active = True
        monkeypatch.setattr(time, "sleep", lambda seconds: ending.confirm(name, first[0], system))
        return real(name, seconds, plan, system)

    monkeypatch.setattr(deadman, "arm", arm)
    done = bring(host, monkeypatch, tmp_path)
    assert (done.changed, done.token) == (False, None)
    assert host.ran == []
    assert host.active


def test_a_record_alone_needs_no_proof(host, monkeypatch, tmp_path):
    host.rules.write_text("22\n80\n")
    host.active = True
    done = bring(host, monkeypatch, tmp_path, service="shop")
    assert (done.changed, done.token) == (True, None)
    assert (tmp_path / "etc/slipway/firewall/shop.json").read_text() == '{"rules": []}\n'
    assert not bring(host, monkeypatch, tmp_path, service="shop").changed


def test_the_record_is_part_of_what_is_taken_back(host, monkeypatch, tmp_path):
    host.failing = (ENABLE,)
    with pytest.raises(SlipwayError, match="taken back"):
        bring(host, monkeypatch, tmp_path, service="shop")
    assert not (tmp_path / "etc/slipway/firewall/shop.json").exists()


def test_a_change_of_the_port_of_ssh_that_begins_meanwhile_is_not_crossed(host, monkeypatch, tmp_path):
    """Its revert would restore the firewall of before this change."""
    real = deadman.arm

    def arm(name, seconds, plan, system):
        real("ssh", 60, RevertPlan([str(host.rules)]), system)
        return real(name, seconds, plan, system)

    monkeypatch.setattr(deadman, "arm", arm)
    with pytest.raises(SlipwayError, match=r"change of ssh has begun meanwhile\. The change was taken back\."):
        bring(host, monkeypatch, tmp_path)
    assert ADD not in host.words()

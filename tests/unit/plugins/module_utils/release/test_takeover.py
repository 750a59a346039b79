# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service that was there before slipway: its first release takes over from it, and it comes back.

As in test_faults, each story is played once to count its effects, then once per effect and kind of fault. A run plays
few of those, on two kinds of hosts; `make faults-simulated` plays all of them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import confirm_timer, takeover
from ansible_collections.slipway.go.plugins.module_utils._release.context import Context
from ansible_collections.slipway.go.plugins.module_utils._release.operator import metrics
from ansible_collections.slipway.go.plugins.module_utils._release.removal.parts import Wish
from ansible_collections.slipway.go.plugins.module_utils._release.takeover import OPEN_SECONDS
from ansible_collections.slipway.go.plugins.module_utils._release.verbs import remove
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.former import (
    BY_HAND,
    SERVICE,
    UMBRELLA,
    WANTS,
    WITH_SOCKET,
    FormerHost,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.removal.placed import own_account
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.test_faults import (
    ONE_IN,
    Problems,
    differs,
    told_apart,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Faults, Killed, read

SHAPES = {"alone": BY_HAND, "with a socket": WITH_SOCKET}
CASES = [("restart", "alone"), ("restart", "with a socket"), ("socket", "with a socket"), ("reload", "alone")]


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case).replace(" ", "_"))
def host(request, memory, monkeypatch) -> FormerHost:
    strategy, shape = request.param
    return FormerHost(f"{memory}/start", strategy, SHAPES[shape]).install(monkeypatch)


def refused(act: Callable[[], object], code: str) -> SlipwayError:
    with pytest.raises(SlipwayError) as caught:
        act()
    assert caught.value.code == code, caught.value
    return caught.value


def test_the_former_service_runs_until_the_release_starts_and_the_downtime_is_measured(host):
    host.keep_former()
    host.apply_role()
    assert host.serves() == "former"
    host.stage("v1")
    assert host.serves() == "former"
    outcome = host.swap("v1")
    assert outcome.downtime_seconds is not None
    assert outcome.previous is None
    assert host.engine().confirm(outcome.unconfirmed).current == outcome.current
    assert host.serves() == "v1"
    assert not host.takeover.in_force


@pytest.fixture
def looks(monkeypatch):
    """How often the record is read."""
    seen = []
    read_it = takeover.Takeover._read
    monkeypatch.setattr(takeover.Takeover, "_read", lambda self: seen.append(1) or read_it(self))
    return seen


@pytest.mark.parametrize("healthy", [True, False])
def test_a_release_reads_once_what_it_takes_over(host, looks, healthy):
    host.keep_former()
    host.apply_role()
    host.stage("v1")
    host.behaviours["v1"] = Behaviour(healthy=healthy)
    looks.clear()
    if healthy:
        host.swap("v1")
    else:
        refused(lambda: host.swap("v1"), "rolled_back")
    assert len(looks) == 1


def test_a_release_that_takes_nothing_over_reads_once_that_it_does_not(host, looks):
    host.keep_former()
    host.apply_role()
    host.release("v1")
    looks.clear()
    host.swap("v2")
    assert len(looks) == 1


def test_who_has_waited_for_the_lock_reads_anew(host):
    host.keep_former()
    engine = host.engine()
    assert engine.takes_over()
    host.takeover.settle()  # another run, meanwhile
    with engine._context.locked():
        assert not engine.takes_over()


def test_a_time_that_ends_in_the_middle_of_a_run_changes_nothing_for_it(host, monkeypatch):
    host.keep_former()
    before = host.takeover
    assert before.is_open
    host.clock.now += OPEN_SECONDS
    assert before.is_open
    assert not takeover.Takeover(host.layout).is_open


def test_what_could_not_be_written_is_read_anew(host, monkeypatch):
    host.keep_former()
    kept = host.takeover
    assert kept.in_force

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(takeover.files, "write_atomic", full)
        with pytest.raises(OSError, match="No space"):
            kept.settle()
    assert kept.in_force


def test_a_release_that_fails_brings_the_former_service_back(host):
    host.behaviours["v1"] = Behaviour(healthy=False)
    error = refused(lambda: host.adopt("v1"), "rolled_back")
    assert "shop.service runs again as it did before slipway" in error.message
    assert host.serves() == "former"
    assert host.store.load() is None
    assert not host.takeover.is_open
    assert not os.path.exists(os.path.join(host.layout.state, "settings.json"))


def test_what_nobody_confirms_brings_the_former_service_back(host):
    host.keep_former()
    host.apply_role()
    host.swap("v1")
    host.expire()
    assert host.serves() == "former"


def test_a_rollback_before_the_confirmation_does_so_too(host):
    host.keep_former()
    host.apply_role()
    host.swap("v1")
    assert host.rollback().changed
    assert host.serves() == "former"


def test_a_rollback_from_the_first_release_names_the_way_back(host):
    host.adopt("v1")
    assert "adopt_undo" in refused(host.rollback, "no_last_good").fix


def test_it_is_given_back_and_taken_over_again(host):
    host.adopt("v1")
    outcome = host.engine().give_back()
    assert (outcome.changed, outcome.current) == (True, None)
    assert outcome.downtime_seconds is not None
    assert host.serves() == "former"
    assert not host.engine().give_back().changed
    host.adopt("v1")
    assert host.serves() == "v1"
    host.release("v2")
    host.engine().give_back()
    assert host.serves() == "former"


def test_a_way_back_whose_times_are_too_long_for_a_timer_is_taken_with_the_longest(host, monkeypatch):
    host.adopt("v1")
    host.start_timeout, seconds = 80000.0, []
    monkeypatch.setattr(confirm_timer, "arm", lambda _name, _txn, most: seconds.append(most))
    host.engine().give_back()
    assert (host.serves(), seconds) == ("former", [86400])


def test_once_it_is_given_back_no_rollback_takes_it_over(host):
    host.adopt("v1")
    host.release("v2")
    host.engine().give_back()
    for wanted in (None, host.id_of("v1")):
        assert "adopt_switch" in refused(lambda wanted=wanted: host.rollback(wanted), "no_last_good").fix
    assert host.serves() == "former"


def test_a_former_service_that_somebody_has_removed_does_not_come_back(host):
    host.adopt("v1")
    host.engine().give_back()
    root = host.layout.unit_root
    for name in (*host.by_hand, WANTS):
        os.unlink(os.path.join(root, name))
    host.systemd.former, host.systemd.socket = False, None
    host.systemd.reload()
    host.apply_role()
    with open(os.path.join(root, SERVICE), "w", encoding="utf-8") as stream:
        stream.write(UMBRELLA)
    host.systemd.reload()
    host.systemd.call("enable", SERVICE)
    host.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: host.release("v2"), "rolled_back")
    assert not host.systemd.former
    assert read(os.path.join(root, SERVICE)) == UMBRELLA
    host.release("v3")
    assert host.serves() == "v3"


def test_what_was_deleted_meanwhile_comes_back_and_what_is_there_stays(host):
    host.adopt("v1")
    os.unlink(host.program)
    host.engine().give_back()
    assert (read(host.program), os.stat(host.program).st_mode & 0o777) == ("as it was\n", 0o755)
    host.adopt("v1")
    with open(host.program, "w", encoding="utf-8") as stream:
        stream.write("newer\n")
    host.engine().give_back()
    assert read(host.program) == "newer\n"


def test_a_removal_leaves_the_former_service_alone_once_it_is_back(host):
    host.adopt("v1")
    host.engine().give_back()
    context = Context(host.settings(), host.layout, host.systemd)
    wish = Wish(*own_account(), metrics.path)
    for _run in range(2):
        remove.remove(context, wish, host.folder)
        assert host.serves() == "former"
    assert not os.path.exists(host.layout.template_unit)
    assert not os.path.exists(os.path.join(host.layout.config, "environment"))


def test_a_unit_of_the_name_that_is_neither_is_still_refused(host):
    host.keep_former()
    host.apply_role()
    with open(os.path.join(host.layout.unit_root, "shop-rehearsal@.service"), "w", encoding="utf-8") as stream:
        stream.write("ExecStart=/bin/true\n")
    assert "shop-rehearsal@.service" in refused(lambda: host.release("v1"), "foreign_unit").message
    assert host.serves() == "former"


def test_without_having_been_asked_no_release_takes_it_over(host, monkeypatch):
    monkeypatch.setattr(
        "ansible_collections.slipway.go.plugins.module_utils._units.foreign.Systemd", lambda: host.systemd
    )
    monkeypatch.setattr(host.systemd, "properties_of_each", lambda *_: [])
    host.keep_former()
    host.apply_role()
    host.clock.now += OPEN_SECONDS
    assert "foreign_unit" in str(refused(lambda: host.release("v1"), "foreign_unit").code)
    assert host.serves() == "former"


def test_a_run_that_ends_before_its_swap_closes_what_it_has_prepared(host, monkeypatch):
    monkeypatch.setattr(
        "ansible_collections.slipway.go.plugins.module_utils._units.foreign.Systemd", lambda: host.systemd
    )
    monkeypatch.setattr(host.systemd, "properties_of_each", lambda *_: [])
    host.keep_former()
    host.apply_role()
    assert host.engine().close_former(predict=True)
    assert host.takeover.is_open
    assert host.engine().close_former()
    assert not host.engine().close_former()
    refused(lambda: host.release("v1"), "foreign_unit")
    assert host.serves() == "former"
    host.adopt("v1")
    assert host.serves() == "v1"
    assert not host.engine().close_former()
    assert not host.takeover.in_force


def test_a_swap_that_is_under_way_closes_it_by_itself(host, monkeypatch):
    host.keep_former()
    with host.store.locked(1):
        assert not host.engine().close_former()
    assert host.takeover.is_open


def test_what_is_prepared_stays_open_while_the_run_goes_on(host):
    """Each call of the release is a step of the run, and the artefact is brought between two of them."""
    host.keep_former()
    host.apply_role()
    host.clock.now += OPEN_SECONDS - 60
    assert host.swap("v1", artefact=replace(host.artefact("v1"), path=None)).action == "upload"
    host.clock.now += OPEN_SECONDS - 60
    host.release("v1")
    assert host.serves() == "v1"


def test_a_former_service_that_was_changed_since_is_left_alone(host):
    host.keep_former()
    host.apply_role()
    with open(os.path.join(host.layout.unit_root, SERVICE), "a", encoding="utf-8") as stream:
        stream.write("Nice=5\n")
    host.systemd.by_hand = None
    assert SERVICE in refused(lambda: host.release("v1"), "former_changed").message
    assert host.systemd.former


def test_what_somebody_changes_after_a_failure_is_kept(host):
    host.behaviours["v1"] = Behaviour(boots=False)
    refused(lambda: host.adopt("v1"), "rolled_back")
    path = os.path.join(host.layout.unit_root, f"{SERVICE}.d", "limits.conf")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("LimitNOFILE=10\n")
    assert not host.engine().give_back().changed
    host.adopt("v2")
    host.engine().give_back()
    assert read(path) == "LimitNOFILE=10\n"
    assert host.systemd.former


def test_a_service_that_nobody_has_taken_over_cannot_be_given_back(host):
    refused(lambda: host.engine().give_back(), "not_adopted")


WHOLE = {"in_force": False, "open_until": 0, "copies": "copies-1", "entries": [], "folders": [], "up": []}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        json.dumps({**WHOLE, "entries": 5}),
        json.dumps({**WHOLE, "entries": [5]}),
        json.dumps({**WHOLE, "entries": [{}]}),
        json.dumps({**WHOLE, "folders": [{"path": 1, "mode": 0, "uid": 0, "gid": 0}]}),
        json.dumps({**WHOLE, "open_until": "now"}),
        json.dumps({**WHOLE, "of_a_newer_version": True}),
        json.dumps({**WHOLE, "in_force": "yes"}),
    ],
)
def test_a_damaged_record_is_told(host, text):
    host.adopt("v1")
    with open(os.path.join(host.takeover.folder, "former.json"), "w", encoding="utf-8") as stream:
        stream.write(text)
    refused(lambda: host.engine().give_back(), "damaged_former")


@dataclass(frozen=True)
class Story:
    before: Callable[[FormerHost], object]
    tried: Callable[[FormerHost], object]
    ends_on: str
    must_see: str


def prepared(**behaviour: object) -> Callable[[FormerHost], None]:
    def before(host: FormerHost) -> None:
        host.behaviours["v1"] = Behaviour(**behaviour)
        host.keep_former()
        host.apply_role()
        host.stage("v1")

    return before


def release(host: FormerHost) -> object:
    return host.release("v1", force=True)


def adopt(host: FormerHost) -> object:
    return host.adopt("v1", force=True)


def adopted(host: FormerHost) -> None:
    host.adopt("v1")


def twice(host: FormerHost) -> None:
    host.adopt("v1")
    host.release("v2")


def give_back(host: FormerHost) -> object:
    return host.engine().give_back()


STOPS = f"systemctl stop {SERVICE}"
STORIES = {
    "kept": Story(lambda host: None, FormerHost.keep_former, "former", "former/former.json"),
    "kept anew": Story(FormerHost.keep_former, FormerHost.keep_former, "former", "former/former.json"),
    "taken over": Story(prepared(), release, "v1", STOPS),
    "unhealthy": Story(prepared(healthy=False), release, "former", STOPS),
    "cannot start": Story(prepared(boots=False), release, "former", STOPS),
    "sick in the soak": Story(prepared(sick_after=2), release, "former", STOPS),
    "given back": Story(adopted, give_back, "former", f"systemctl start --no-block {SERVICE}"),
    "given back after two": Story(twice, give_back, "former", f"systemctl start --no-block {SERVICE}"),
}


class Play:
    def __init__(self, host: FormerHost, folder: str, monkeypatch: pytest.MonkeyPatch, story: Story) -> None:
        self.start, self.folder, self.monkeypatch, self.story, self.number = host, folder, monkeypatch, story, 0
        host.start_timeout, host.soak_time = 12.0, 0.3
        story.before(host)
        rehearsal = self.copy(host)
        self.run(rehearsal, Faults())
        assert rehearsal.serves() == story.ends_on
        self.effects = rehearsal.faults.seen
        assert any(story.must_see in effect for effect in self.effects), self.effects

    def copy(self, host: FormerHost) -> FormerHost:
        self.number += 1
        return host.copy(f"{self.folder}/{self.number}").install(self.monkeypatch)

    def run(self, host: FormerHost, faults: Faults, act: Callable[[FormerHost], object] | None = None) -> str:
        host.faults = faults
        try:
            (act or self.story.tried)(host)
        except SlipwayError as error:
            return error.code
        except OSError:
            return "os_error"
        except Killed:
            return "killed"
        return "ok"

    def after(self, *kinds: str) -> Iterator[tuple[str, FormerHost, str]]:
        plan = [(how, at, effect) for how in kinds for at, effect in told_apart(self.effects) if differs(how, effect)]
        one_in = 1 if ONE_IN == 1 else 4 * ONE_IN
        for how, at, effect in plan[len(self.effects) % one_in :: one_in]:
            host = self.copy(self.start)
            yield f"{how} at {at}, {effect}", host, self.run(host, Faults(how, at))
            shutil.rmtree(host.folder)


PLAYED = [(case, name) for case in (CASES if ONE_IN == 1 else (CASES[0], CASES[2])) for name in STORIES]


@pytest.fixture(params=PLAYED, ids=lambda one: "-".join((*one[0], one[1])).replace(" ", "_"))
def play(request, memory, monkeypatch):
    (strategy, shape), name = request.param
    host = FormerHost(f"{memory}/start", strategy, SHAPES[shape]).install(monkeypatch)
    return Play(host, memory, monkeypatch, STORIES[name])


def again(play: Play, host: FormerHost) -> None:
    """The same once more, with nothing in its way: the playbook keeps what is there first."""
    host.install(play.monkeypatch).faults = Faults()
    play.run(host, Faults(), adopt if play.story.tried is release else play.story.tried)
    assert host.serves() == play.story.ends_on
    assert host.store.load() is None


def reboot(play: Play, host: FormerHost) -> None:
    host.install(play.monkeypatch).faults = Faults()
    host.reboot()
    assert host.serves() in ("former", "v1", "v2"), "after the boot, neither runs"


def timer(play: Play, host: FormerHost) -> None:
    host.install(play.monkeypatch).faults = Faults()
    host.expire()
    assert host.serves() in ("former", "v1", "v2"), "after the deadline, neither runs"


def test_a_killed_run_leaves_a_host_that_brings_one_of_the_two_back_by_itself(play):
    problems = Problems()
    for where, host, ended in play.after("kill", "torn"):
        assert ended == "killed", where
        for then in (reboot, timer):
            twin = play.copy(host)
            problems.check(f"{where}, {then.__name__}", lambda twin=twin, then=then: then(play, twin))
            problems.check(f"{where}, {then.__name__}, again", lambda twin=twin: again(play, twin))
        problems.check(f"{where}, again", lambda host=host: again(play, host))
    assert not problems, problems.summary()


def test_a_step_that_fails_leaves_one_of_the_two_running(play):
    problems = Problems()
    for where, host, ended in play.after("fail", "late", "full"):
        one_runs = host.systemd.former or host.systemd.running()
        hopeless = ended in ("rollback_failed", "former_not_started") or play.story.tried is give_back
        if not one_runs and not hopeless:
            problems.append(f"{where}: neither runs, it ended with {ended}")
        problems.check(f"{where}, again", lambda host=host: again(play, host))
    assert not problems, problems.summary()

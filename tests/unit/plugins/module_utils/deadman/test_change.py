from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending, snapshot
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import Reason, System
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.deadman.host import left_behind, plan


def test_arming_twice_is_refused_and_changes_nothing(system, etc):
    token = deadman.arm("ssh", 30, plan(etc / "c"), system)
    with pytest.raises(SlipwayError) as raised:
        deadman.arm("ssh", 30, plan(etc / "d"), system)
    assert raised.value.code == "already_armed"
    assert deadman.armed("ssh", system).token == token


def test_wait_until_free_ends_with_the_other_change(system, etc):
    token = deadman.arm("ssh", 30, plan(etc / "c"), system)
    timer = threading.Timer(0.3, lambda: ending.revert("ssh", token, Reason.DEADLINE, system))
    timer.start()
    begun = time.monotonic()
    deadman.wait_until_free("ssh", system)
    assert time.monotonic() - begun < 5
    assert deadman.armed("ssh", system) is None


def test_a_change_that_cannot_be_taken_back_is_not_waited_for(system, etc, commands, monkeypatch):
    """Else each later run would hang, and not say why."""
    deadman.arm("ssh", 1, plan(etc / "c"), system)
    failed = snapshot.Restored([], [f"{etc}/c: Read-only file system"], [])
    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "restore", lambda _entries: failed)
        ending.revert("ssh", reason=Reason.DEADLINE, system=system)
        commands.timers.clear()
        for act in (False, True):
            with pytest.raises(SlipwayError, match=r"could not be taken back: .*/c: Read-only file system") as caught:
                deadman.wait_until_free("ssh", system, act)
            assert caught.value.code == "not_reverted"
    deadman.wait_until_free("ssh", system)
    assert deadman.armed("ssh", system) is None, "the next run did not take it back, though it could have"


@pytest.mark.parametrize("last", ["rename", "systemd-run"])
def test_a_change_that_was_killed_before_its_timer_is_disarmed_by_the_next_run(system, etc, commands, last):
    """Nothing had been changed yet, and nobody else would ever end it; what others have made since is theirs."""
    (etc / "c").write_text("old")

    def die(argv):
        if last == "rename" or argv[0] == last:
            os._exit(9)
        return 0, ""

    child = os.fork()
    if not child:
        deadman.arm("ssh", 1, plan(etc / "c"), System(system.root, system.units, system.runtime, die))
    os.waitpid(child, 0)
    assert deadman.armed("ssh", system)
    with pytest.raises(SlipwayError, match="nothing is going to take it back") as caught:
        deadman.wait_until_free("ssh", system, act=False)
    assert "without check mode" in caught.value.fix
    (etc / "c").write_text("by hand, weeks later")
    deadman.wait_until_free("ssh", system)
    assert ending.last_revert("ssh", system) is None
    assert (etc / "c").read_text() == "by hand, weeks later"
    assert left_behind(system) == []


def test_what_lost_its_timer_is_taken_back_by_the_next_run(system, etc, commands):
    (etc / "c").write_text("old")
    deadman.arm("ssh", 30, plan(etc / "c"), system)
    (etc / "c").write_text("new")
    commands.timers.clear()
    deadman.wait_until_free("ssh", system)
    assert (etc / "c").read_text() == "old"
    assert ending.last_revert("ssh", system)["reason"] == "abandoned"


def test_a_clock_that_jumps_does_not_end_the_time_to_confirm(system, etc, commands, monkeypatch):
    token = deadman.arm("ssh", 30, plan(etc / "c"), system)
    now = time.time
    monkeypatch.setattr(deadman.time, "time", lambda: now() + 3600)
    timer = threading.Timer(0.5, ending.confirm, ["ssh", token, system])
    timer.start()
    deadman.wait_until_free("ssh", system)
    timer.join()
    assert ending.last_revert("ssh", system) is None


@pytest.mark.parametrize("ends", ["confirm", "revert"])
def test_whoever_waits_for_a_name_gets_all_of_it(system, etc, commands, ends):
    """The one before has cleared up when the next one is armed; else it takes away what the next one needs."""
    commands.slow = 0.02
    for _round in range(20):
        token = deadman.arm("ssh", 30, plan(etc / "c"), system)
        end = {"confirm": [token, system], "revert": [token, Reason.ASKED, system]}[ends]
        other = threading.Thread(target=getattr(ending, ends), args=["ssh", *end])
        other.start()
        deadman.wait_until_free("ssh", system)
        second = deadman.arm("ssh", 30, plan(etc / "c"), system)
        other.join()
        assert os.path.exists(system.boot_link("ssh"))
        assert os.path.exists(system.boot_unit("ssh"))
        assert os.path.exists(system.marker("ssh"))
        assert commands.timers == {"slipway-deadman-ssh.timer"}
        ending.confirm("ssh", second, system)


def test_what_a_crash_has_left_is_swept(system, etc):
    for left in (".ssh.gone", ".ssh.0123", ".ssh-two.gone"):
        (Path(system.root) / left / "x").mkdir(parents=True)
    ending.confirm("ssh", deadman.arm("ssh", 30, plan(etc / "c"), system), system)
    assert os.listdir(system.root) == [".ssh-two.gone"]


def test_what_is_held_is_not_taken_back_meanwhile(system, etc):
    (etc / "file").write_text("before")
    token = deadman.arm("demo", 60, plan(etc / "file"), system)
    ended = []
    with deadman.hold("demo", token, system):
        due = threading.Thread(target=lambda: ended.append(ending.revert("demo", token, Reason.DEADLINE, system)))
        due.start()
        (etc / "file").write_text("after")
        time.sleep(0.3)
        assert ended == []
        assert (etc / "file").read_text() == "after"
    due.join(5)
    assert (etc / "file").read_text() == "before"


@pytest.mark.parametrize("why", ["taken back", "fired", "no timer", "confirmed", "another"])
def test_a_change_that_is_not_armed_is_not_made(system, etc, commands, why):
    (etc / "file").write_text("before")
    token = deadman.arm("demo", 60, plan(etc / "file"), system)
    if why == "taken back":
        ending.revert("demo", token, Reason.DEADLINE, system)
    elif why == "fired":
        commands.timers.add("slipway-deadman-demo.service")
    elif why == "no timer":
        commands.timers.clear()
    elif why == "confirmed":
        ending.confirm("demo", token, system)
    else:
        token = "0" * 32
    with pytest.raises(SlipwayError) as raised, deadman.hold("demo", token, system):
        pytest.fail("it was held")
    assert raised.value.code == ("not_armed" if why in ("confirmed", "another") else "reverted")


def test_of_two_that_wait_for_a_change_one_comes_after_the_other(system, etc):
    first = deadman.arm("ssh", 60, plan(etc / "c"), system)
    done, failed = [], []

    def wait():
        try:
            with deadman.transaction("ssh", 60, plan(etc / "c"), system) as token:
                pass
            time.sleep(0.3)
            ending.confirm("ssh", token, system)
            done.append(token)
        except SlipwayError as error:
            failed.append(error)

    waiting = [threading.Thread(target=wait) for _each in range(3)]
    for thread in waiting:
        thread.start()
    time.sleep(0.3)
    ending.confirm("ssh", first, system)
    for thread in waiting:
        thread.join(20)
    assert (len(done), failed) == (3, [])


def test_renewing_starts_the_clock_anew(system, etc, commands, monkeypatch):
    token = deadman.arm("demo", 30, plan(etc / "a"), system)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 20)
    with deadman.hold("demo", token, system):
        deadman.renew("demo", token, system)
    assert ["systemctl", "restart", "slipway-deadman-demo.timer"] in commands.asked
    assert deadman.pending("demo", token, system) == pytest.approx(now + 50, abs=5)
    (etc / "a").write_text("new")
    ending.revert("demo", token, system=system)
    assert not (etc / "a").exists()


@pytest.mark.parametrize(("seconds", "short"), [(12, True), (30, False), (90, False)])
def test_a_change_is_shortened_by_a_second_timer_beside_the_first(system, etc, commands, seconds, short):
    token = deadman.arm("demo", 30, plan(etc / "a"), system)
    with deadman.hold("demo", token, system):
        deadman.shorten("demo", token, seconds, system)
    first, second = "slipway-deadman-demo.timer", "slipway-deadman-demo-short.timer"
    assert commands.timers == ({first, second} if short else {first})
    assert deadman.pending("demo", token, system) == pytest.approx(time.time() + min(seconds, 30), abs=5)
    ending.confirm("demo", token, system)
    assert commands.timers == set()


def test_what_has_fired_meanwhile_cannot_be_renewed(system, etc, commands):
    token = deadman.arm("demo", 30, plan(etc / "a"), system)
    with deadman.hold("demo", token, system):
        commands.timers.clear()
        with pytest.raises(SlipwayError, match="demo"):
            deadman.renew("demo", token, system)

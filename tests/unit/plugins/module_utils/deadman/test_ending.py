from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending, journal, snapshot
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import Reason, System
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.deadman.host import left_behind, plan


def test_confirm_leaves_nothing_behind(system, etc):
    token = deadman.arm("ssh", 30, plan(etc / "c"), system)
    assert left_behind(system)
    ending.confirm("ssh", token, system)
    assert left_behind(system) == []
    stopped = [argv[2:] for argv in system.run.asked if argv[:2] == ["systemctl", "stop"]]
    assert any("slipway-deadman-ssh.timer" in units for units in stopped)


def test_a_late_confirmation_says_that_it_was_reverted(system, etc):
    token = deadman.arm("ssh", 30, plan(etc / "c"), system)
    ending.revert("ssh", token, Reason.DEADLINE, system)
    with pytest.raises(SlipwayError) as raised:
        ending.confirm("ssh", token, system)
    assert raised.value.code == "reverted"


def test_a_foreign_token_neither_confirms_nor_reverts(system, etc):
    deadman.arm("ssh", 30, plan(etc / "c"), system)
    with pytest.raises(SlipwayError) as raised:
        ending.confirm("ssh", "0" * 32, system)
    assert raised.value.code == "not_armed"
    assert ending.revert("ssh", "0" * 32, Reason.DEADLINE, system) is None
    assert deadman.armed("ssh", system)


def test_commands_run_after_the_files_are_back(system, etc, commands):
    config = etc / "c"
    config.write_text("old")
    seen = []
    system = System(
        system.root, system.units, system.runtime, lambda argv: (seen.append((argv[0], config.read_text())), (0, ""))[1]
    )
    deadman.arm("ssh", 30, plan(config, run=[["reload"]], run_at_boot=[["boot"]]), system)
    config.write_text("new")
    seen.clear()
    ending.revert("ssh", system=system)
    assert seen[0] == ("reload", "old")
    assert "boot" not in [word for word, _content in seen]


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(ending, "PAUSE", 0.01)


def test_a_command_that_fails_for_a_moment_is_repeated(system, etc, impatient):
    """A lock of the firewall that somebody else holds must not leave in force what cuts the operator off."""
    answers = [(4, "could not lock xtables"), (0, "")]
    busy = System(
        system.root, system.units, system.runtime, lambda argv: answers.pop(0) if argv[0] == "ufw" else (0, "")
    )
    deadman.arm("firewall", 30, plan(run=[["ufw", "reload"]]), busy)
    line = ending.revert("firewall", system=busy)
    assert (line["ran"][0]["code"], line["problems"], answers) == (0, [], [])


def test_a_failing_command_is_journaled_and_the_revert_counts(system, etc, commands, impatient):
    deadman.arm("ssh", 30, plan(etc / "c", run=[["reload"]]), system)
    commands.failing = ("reload",)
    ending.revert("ssh", system=system)
    line = json.loads(Path(system.journal()).read_text())
    assert line["ran"] == [{"argv": ["reload"], "code": 1, "said": "refused"}]
    assert line["problems"] == ["reload failed (1): refused"]
    assert commands.asked.count(["reload"]) == 3
    assert line["reason"] == "asked"
    assert deadman.armed("ssh", system) is None


def test_a_path_that_cannot_be_restored_keeps_it_armed_for_the_next_boot(system, etc, monkeypatch):
    config = etc / "c"
    config.write_text("old")
    deadman.arm("ssh", 30, plan(config), system)
    config.write_text("new")

    def no_space(entry, there):
        raise OSError(28, "No space left")

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "_restore_file", no_space)
        assert ending.revert("ssh", system=system)["problems"] == [f"{config}: No space left"]
    assert deadman.armed("ssh", system)
    assert os.path.exists(system.boot_unit("ssh"))
    assert ending.revert("ssh", system=system)["problems"] == []
    assert config.read_text() == "old"


def test_exactly_one_of_confirm_and_revert_wins(system, etc):
    config = etc / "c"
    for _round in range(40):
        config.write_text("old")
        token = deadman.arm("race", 30, plan(config), system)
        config.write_text("new")
        outcome = {}

        def confirm(token, outcome):
            try:
                ending.confirm("race", token, system)
                outcome["confirmed"] = True
            except SlipwayError as error:
                outcome["confirmed"] = False
                outcome["code"] = error.code

        def revert(token, outcome):
            outcome["reverted"] = ending.revert("race", token, Reason.DEADLINE, system) is not None

        threads = [threading.Thread(target=work, args=(token, outcome)) for work in (confirm, revert)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcome["confirmed"] != outcome["reverted"], outcome
        assert config.read_text() == ("new" if outcome["confirmed"] else "old")


def test_a_change_whose_revert_has_begun_cannot_be_confirmed(system, etc, monkeypatch):
    """Half of it is taken back, and the rest stays armed for the next boot."""
    first, second = etc / "a", etc / "b"
    for path in (first, second):
        path.write_text("old")
    token = deadman.arm("ssh", 30, plan(first, second), system)
    for path in (first, second):
        path.write_text("new")
    real = snapshot._restore_file

    def broken(entry, there):
        if entry["path"] == str(second):
            raise OSError(30, "Read-only file system")
        real(entry, there)

    monkeypatch.setattr(snapshot, "_restore_file", broken)
    ending.revert("ssh", token, Reason.DEADLINE, system)
    assert (first.read_text(), second.read_text()) == ("old", "new")
    with pytest.raises(SlipwayError) as caught:
        ending.confirm("ssh", token, system)
    assert caught.value.code == "reverted"
    assert not ending.disarm("ssh", token, system)
    assert deadman.armed("ssh", system)
    assert deadman.pending("ssh", token, system) is None


def test_a_full_disk_does_not_keep_armed_what_was_taken_back(system, etc, monkeypatch):
    config = etc / "c"
    config.write_text("old")
    token = deadman.arm("ssh", 30, plan(config), system)
    config.write_text("new")

    def full(path, line):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "append", full)
    ending.revert("ssh", token, Reason.DEADLINE, system)
    assert config.read_text() == "old"
    assert deadman.armed("ssh", system) is None
    with pytest.raises(SlipwayError) as raised:
        ending.confirm("ssh", token, system)
    assert raised.value.code == "reverted", "not_armed would pass as confirmed by an attempt whose answer was lost"
    with pytest.raises(SlipwayError) as raised, deadman.hold("ssh", token, system):
        pytest.fail("it was held")
    assert raised.value.code == "reverted"
    assert ending.taken_back("ssh", token, system)["restored"] == []


@pytest.mark.parametrize("how", ["confirm", "revert"])
def test_what_was_changed_after_the_revert_is_taken_back_too(system, etc, commands, how):
    """A controller that was paused goes on, with tasks that do not ask whether their change is armed."""
    (etc / "file").write_text("before")
    token = deadman.arm("demo", 60, plan(etc / "file", etc / "new", run=[["reload"]]), system)
    (etc / "file").write_text("during")
    ending.revert("demo", token, Reason.DEADLINE, system)
    (etc / "file").write_text("late")
    (etc / "new").write_text("late")
    commands.asked.clear()
    if how == "confirm":
        with pytest.raises(SlipwayError, match=r"was taken back .deadline. .* was put back, too") as raised:
            ending.confirm("demo", token, system)
        assert raised.value.code == "reverted"
        line = raised.value.details["reverted"]
    else:
        line = ending.revert("demo", token, system=system)
    assert line["reason"] == "again"
    assert line["restored"] == [str(etc / "file"), str(etc / "new")]
    assert (etc / "file").read_text() == "before"
    assert not (etc / "new").exists()
    assert ["reload"] in commands.asked


def test_a_late_run_does_not_undo_the_change_of_the_next(system, etc):
    (etc / "file").write_text("before")
    late = deadman.arm("demo", 60, plan(etc / "file"), system)
    ending.revert("demo", late, Reason.DEADLINE, system)
    token = deadman.arm("demo", 60, plan(etc / "file"), system)
    (etc / "file").write_text("after")
    assert ending.revert("demo", late, system=system) is None
    ending.confirm("demo", token, system)
    with pytest.raises(SlipwayError):
        ending.confirm("demo", late, system)
    assert (etc / "file").read_text() == "after"
    assert not os.path.exists(system.kept("demo"))


def test_what_was_changed_inside_hold_alone_is_not_taken_back_again(system, etc, commands):
    """Nothing of it can have come after the revert: whatever differs now is somebody else's."""
    (etc / "file").write_text("before")
    with deadman.transaction("demo", 60, plan(etc / "file", run=[["reload"]]), system) as token:
        (etc / "file").write_text("during")
    ending.revert("demo", token, Reason.DEADLINE, system)
    (etc / "file").write_text("a colleague's")
    commands.asked.clear()
    with pytest.raises(SlipwayError, match=r"was taken back .deadline. before it was confirmed\.") as raised:
        ending.confirm("demo", token, system)
    assert raised.value.details["reverted"] is None
    assert ending.revert("demo", token, system=system) is None
    assert (etc / "file").read_text() == "a colleague's"
    assert ["reload"] not in commands.asked


@pytest.mark.parametrize(
    ("first", "second", "again"),
    [("ufw", "ufw/user.rules", False), ("ufw/user.rules", "ufw", False), ("ufw", "ufwx", True)],
)
@pytest.mark.parametrize("armed_before", [True, False])
def test_a_late_run_does_not_undo_a_change_of_the_same_paths_under_another_name(
    system, etc, commands, first, second, again, armed_before
):
    (etc / "ufw").mkdir()
    rules = etc / "ufw" / "user.rules"
    rules.write_text("22\n")
    late = deadman.arm("mine", 60, plan(etc / first), system)
    token = deadman.arm("ssh", 60, plan(etc / second), system) if armed_before else ""
    rules.write_text("22 443\n")
    ending.revert("mine", late, Reason.DEADLINE, system)
    token = token or deadman.arm("ssh", 60, plan(etc / second), system)
    rules.write_text("22 2222\n")
    ending.confirm("ssh", token, system)
    with pytest.raises(SlipwayError, match="put back, too" if again else r"before it was confirmed\.") as raised:
        ending.confirm("mine", late, system)
    assert raised.value.code == "reverted"
    assert rules.read_text() == ("22\n" if again else "22 2222\n")


def test_what_was_taken_back_is_for_root_alone(system, etc):
    (etc / "file").write_text("secret")
    token = deadman.arm("demo", 60, plan(etc / "file"), system)
    ending.revert("demo", token, Reason.DEADLINE, system)
    assert os.stat(system.kept("demo")).st_mode & 0o077 == 0
    modes = [os.stat(os.path.join(system.kept("demo"), name)).st_mode for name in os.listdir(system.kept("demo"))]
    assert [mode & 0o077 for mode in modes] == [0, 0]

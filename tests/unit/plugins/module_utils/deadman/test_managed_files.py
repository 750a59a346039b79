from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending, managed_files, model
from ansible_collections.slipway.go.plugins.module_utils._deadman.managed_files import File, Guard
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import Reason, System

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


def armed_as_asked(argv: list[str]) -> tuple[int, str]:
    """What systemd says of a timer that runs and of a service that does not yet."""
    return 0, "active" if argv[:2] == ["systemctl", "is-active"] and argv[2].endswith(".timer") else ""


@pytest.fixture
def system(tmp_path: Path) -> System:
    for name in ("units", "run"):
        (tmp_path / name).mkdir()

    def run(argv):
        return (1, "no") if argv[0] == "fail" else armed_as_asked(argv)

    return System(str(tmp_path / "deadman"), str(tmp_path / "units"), str(tmp_path / "run"), run)


def test_what_is_as_it_should_be_is_no_change(tmp_path):
    (tmp_path / "a").write_text("x\n")
    (tmp_path / "a").chmod(0o600)
    assert managed_files.plan([File(str(tmp_path / "a"), "x\n", 0o600, **ME), File(str(tmp_path / "b"))]) == []
    assert len(managed_files.plan([File(str(tmp_path / "a"), "x\n", 0o644, **ME), File(str(tmp_path / "a"))])) == 2


def test_files_are_written_and_stay_armed(tmp_path, system):
    target = tmp_path / "sub" / "a"
    changes = managed_files.plan([File(str(target), "new\n", 0o640, **ME)])
    outcome = managed_files.apply(changes, guard=Guard("x", 30), system=system)
    assert target.read_text() == "new\n"
    assert target.stat().st_mode & 0o777 == 0o640
    assert deadman.armed("x", system).token == outcome.token


@pytest.mark.parametrize("guard", [None, Guard("x", 30)])
def test_a_check_that_fails_takes_everything_back(tmp_path, system, guard):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("old\n")
    changes = managed_files.plan([File(str(old), "changed\n", **ME), File(str(new), "new\n", **ME)])
    with pytest.raises(SlipwayError) as raised:
        managed_files.apply(changes, [["fail"]], guard=guard, system=system)
    assert raised.value.code == "command_failed"
    assert old.read_text() == "old\n"
    assert not new.exists()
    assert deadman.armed("x", system) is None


def test_an_invalid_file_changes_nothing(tmp_path, system):
    target = tmp_path / "a"
    changes = managed_files.plan([File(str(target), "x", validate=["fail", "%s"], **ME)])
    with pytest.raises(SlipwayError) as raised:
        managed_files.apply(changes, guard=Guard("x", 30), system=system)
    assert raised.value.code == "invalid_file"
    assert not target.exists()
    assert deadman.armed("x", system) is None


def test_a_checker_that_is_not_installed_is_no_mistake_in_the_file(tmp_path, system):
    changes = managed_files.plan([File(str(tmp_path / "a"), "x", validate=["no-visudo-here", "%s"], **ME)])
    with pytest.raises(SlipwayError) as raised:
        managed_files.apply(changes, system=replace(system, run=model.run))
    assert raised.value.code == "no_program"
    assert raised.value.fix == "install no-visudo-here"
    assert not (tmp_path / "a").exists()


def test_secrets_are_not_in_diffs(tmp_path):
    (change,) = managed_files.plan([File(str(tmp_path / "a"), "password", secret=True, **ME)])
    assert "password" not in str(change.diff())


def test_each_command_runs_once(tmp_path, system):
    asked = []
    system = System(system.root, system.units, system.runtime, lambda argv: (asked.append(list(argv)), (0, ""))[1])
    files = [File(str(tmp_path / name), "x", run=[["reload"]], **ME) for name in "ab"]
    managed_files.apply(managed_files.plan(files), run=[["reload"], ["other"]], system=system)
    assert [argv for argv in asked if argv[0] != "restorecon"] == [["reload"], ["other"]]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "UMASK\t027\n"),
        ("A b\nUMASK 022\nC d\n", "A b\nUMASK\t027\nC d\n"),
        ("#UMASK 022\nA b\n", "UMASK\t027\nA b\n"),
        ("# UMASK\n", "# UMASK\nUMASK\t027\n"),
        ("#UMASK 077\nUMASK 022\nUMASK 002\n", "#UMASK 077\nUMASK\t027\n"),
        ("UMASK_EXTRA 1\n", "UMASK_EXTRA 1\nUMASK\t027\n"),
    ],
)
def test_lines_of_a_file_that_reads_no_drop_ins(before, after):
    assert managed_files.with_settings(before, {"UMASK": "027"}, "\t") == after
    assert managed_files.with_settings(after, {"UMASK": "027"}, "\t") == after


def test_an_exclusive_directory_loses_what_is_neither_named_nor_wanted(tmp_path, system):
    folder = tmp_path / "config"
    (folder / "below").mkdir(parents=True)
    for name in ("wanted", "kept", "old", "below/other"):
        (folder / name).write_text("hunter2")
    (folder / "link").symlink_to("kept")
    wanted = File(str(folder / "wanted"), "new\n", **ME)
    found = managed_files.surplus(str(folder), ["kept"], [wanted])
    assert [os.path.basename(file.path) for file in found] == ["link", "old"]
    changes = managed_files.plan(found)
    assert "hunter2" not in str([change.diff() for change in changes])
    managed_files.apply(changes, system=system)
    assert sorted(os.listdir(folder)) == ["below", "kept", "wanted"]
    assert os.listdir(folder / "below") == ["other"]


def test_an_exclusive_directory_may_be_missing_and_must_be_absolute(tmp_path):
    assert managed_files.surplus(str(tmp_path / "nowhere"), [], []) == []
    with pytest.raises(SlipwayError, match="not an absolute path"):
        managed_files.surplus("config", [], [])


def killed_at(command: str, system: System, files: list[File], **options) -> None:
    """Apply in a process that is killed when it comes to this command."""

    def run(argv):
        if argv[0] == command:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0, ""

    child = os.fork()
    if child == 0:
        dying = System(system.root, system.units, system.runtime, run)
        managed_files.apply(managed_files.plan(files, system=dying), system=dying, **options)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


@pytest.fixture
def asked(system):
    """What the next run asks the host, and the place that remembers it."""
    found = []
    return found, System(system.root, system.units, system.runtime, lambda argv: (found.append(list(argv)), (0, ""))[1])


@pytest.mark.parametrize("command", ["check", "reload", "restart"])
def test_commands_that_a_killed_run_owes_are_run_by_the_next(tmp_path, system, asked, command):
    ran, again = asked
    files = [
        File(str(tmp_path / "a"), "x\n", 0o640, validate=["valid", "%s"], run=[["reload"]], **ME),
        File(str(tmp_path / "b"), "y\n", **ME),
    ]
    killed_at(command, system, files, check=[["check"]], run=[["restart"]])
    changes = managed_files.plan(files, system=again)
    assert [change.file.path for change in changes] == [str(tmp_path / name) for name in "ab"]
    outcome = managed_files.apply(changes, [["check"]], [["restart"]], system=again).as_dict()
    assert outcome["changed"]
    assert all(diff["before"] == diff["after"] for diff in outcome["diff"])
    assert [argv[0] for argv in ran] == ["valid", "check", "reload", "restart"]
    assert managed_files.plan(files, system=again) == []


def test_what_is_owed_stays_owed_until_it_succeeds(tmp_path, system, asked):
    target = tmp_path / "a"
    files = [File(str(target), "x\n", run=[["fail"]], **ME)]
    killed_at("fail", system, files)
    with pytest.raises(SlipwayError) as raised:
        managed_files.apply(managed_files.plan(files, system=system), system=system)
    assert "taken back" not in raised.value.fix
    assert target.read_text() == "x\n"
    ran, again = asked
    managed_files.apply(managed_files.plan(files, system=again), system=again)
    assert ran == [["fail"]]
    assert managed_files.plan(files, system=again) == []


def test_what_was_owed_by_another_call_stays_its_own(tmp_path, system, asked):
    ran, again = asked
    one, other = (File(str(tmp_path / name), "x\n", run=[[name]], **ME) for name in "ab")
    killed_at("a", system, [one])
    managed_files.apply(managed_files.plan([other], system=again), system=again)
    assert ran == [["b"]]
    assert [change.file for change in managed_files.plan([one, other], system=again)] == [one]


def test_a_file_that_had_to_go_is_owed_by_its_folder(tmp_path, system, asked):
    ran, again = asked
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "old").write_text("x\n")
    killed_at("reload", system, managed_files.surplus(str(folder), [], []), run=[["reload"]])
    assert os.listdir(folder) == []
    changes = managed_files.plan(managed_files.surplus(str(folder), [], []), [str(folder)], again)
    managed_files.apply(changes, run=[["reload"]], system=again)
    assert ran == [["reload"]]
    assert folder.is_dir()
    assert managed_files.plan([], [str(folder)], again) == []


def test_a_change_that_was_taken_back_owes_nothing(tmp_path, system, asked):
    files = [File(str(tmp_path / "a"), "x\n", **ME)]
    with pytest.raises(SlipwayError):
        managed_files.apply(managed_files.plan(files, system=system), [["fail"]], [["reload"]], system=system)
    (tmp_path / "a").write_text("x\n")
    (tmp_path / "a").chmod(0o644)
    assert managed_files.plan(files, system=system) == []


def test_what_is_as_it_should_be_is_done_again_on_request(tmp_path, system, asked):
    """A file may be as it should be although something else has changed what it sets."""
    ran, again = asked
    files = [File(str(tmp_path / "a"), "x\n", run=[["load"]], **ME)]
    managed_files.apply(managed_files.plan(files, system=again), system=again)
    ran.clear()
    outcome = managed_files.apply(managed_files.plan(files, system=again, again=True), system=again)
    assert ran == [["load"]]
    assert [change.diff()["before"] == change.diff()["after"] for change in outcome.changes] == [True]


@pytest.mark.parametrize("late", ["first", "second"])
def test_nothing_is_written_once_the_time_is_over(tmp_path, system, monkeypatch, late):
    """The module itself may have been paused between arming and writing."""
    arm = deadman.arm

    def paused(name, seconds, plan, system):
        token = arm(name, seconds, plan, system)
        ending.revert(name, token, Reason.DEADLINE, system)
        return token

    monkeypatch.setattr(deadman, "arm", paused)
    asked = []
    system = System(system.root, system.units, system.runtime, lambda argv: (asked.append(argv[0]), (0, ""))[1])
    files = [File(str(tmp_path / "a"), "new\n", **ME)]
    if late == "second":
        (tmp_path / "a").write_text("new\n")
        (tmp_path / "a").chmod(0o644)
    changes = managed_files.plan(files, system=system, again=True)
    with pytest.raises(SlipwayError) as raised:
        managed_files.apply(changes, run=[["load"]], guard=Guard("x", 30), system=system)
    assert raised.value.code == "reverted"
    assert (tmp_path / "a").exists() == (late == "second")
    assert "load" not in asked


def test_what_guards_is_held_while_commands_run(tmp_path, system):
    """A revert that is due meanwhile comes after them: it would otherwise be undone by them."""
    seen = []

    def run(argv):
        if argv[0] == "load":
            pid = os.fork()
            if pid == 0:
                descriptor = os.open(system.lock("x"), os.O_RDWR)
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os._exit(1)
                os._exit(0)
            seen.append(os.waitpid(pid, 0)[1])
        return armed_as_asked(argv)

    held = System(system.root, system.units, system.runtime, run)
    files = [File(str(tmp_path / "a"), "x\n", **ME)]
    managed_files.apply(managed_files.plan(files, system=held), run=[["load"]], guard=Guard("x", 30), system=held)
    assert seen == [0]

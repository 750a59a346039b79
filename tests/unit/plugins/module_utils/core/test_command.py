# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs are started in one way, and what goes wrong says what it is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import command, descendants


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_a_program_writes_and_how_it_ends() -> None:
    done = command.run(python("import sys; print('out'); print('no', file=sys.stderr); sys.exit(3)"))
    assert (done.code, done.text, done.errors, done.complaint) == (3, "out\n", b"no\n", "no")
    assert command.run(python("import os; os.kill(os.getpid(), 9)")).code == -signal.SIGKILL


def test_a_failure_that_is_not_expected_says_what_the_program_said() -> None:
    argv = python("import sys; print('only here'); sys.exit(4)")
    with pytest.raises(command.SlipwayError, match=r"failed \(4\): only here$") as caught:
        command.run(argv).require_success()
    assert caught.value.code == "command_failed"
    assert command.run(python("")).require_success().text == ""


def test_the_environment_is_the_same_whoever_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/somewhere")
    monkeypatch.setenv("PATH", "/nowhere")
    told = command.run(["env"], variables={"MORE": "1"}).text.splitlines()
    assert sorted(told) == ["LC_ALL=C.UTF-8", "MORE=1", f"PATH={command.PATH}"]


def test_it_reads_what_it_is_given_or_nothing(tmp_path: Path) -> None:
    assert command.run(["cat"], source=b"x" * 100_000).output == b"x" * 100_000
    assert command.run(["cat"]).output == b""
    (tmp_path / "file").write_bytes(b"of a file")
    with open(tmp_path / "file", "rb") as stream:
        assert command.run(["cat"], source=stream).output == b"of a file"


def test_both_streams_in_one_or_in_a_file(tmp_path: Path) -> None:
    argv = ["sh", "-c", "echo one; echo two >&2"]
    done = command.run(argv, merged=True)
    assert (done.output, done.errors) == (b"one\ntwo\n", b"")
    with open(tmp_path / "all", "wb") as stream:
        assert command.run(argv, output=stream).output == b""
    assert (tmp_path / "all").read_text() == "one\ntwo\n"


@pytest.mark.parametrize("run", [command.run, command.run_in_group])
def test_a_time_limit_is_one_and_no_defect(run) -> None:
    begun = time.monotonic()
    with pytest.raises(command.TimeLimitPassed, match=r"^sleep 60 did not end within 0\.1 s\.") as caught:
        run(["sleep", "60"], 0.1)
    assert (caught.value.code, bool(caught.value.fix)) == ("command_timeout", True)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("run", [command.run, command.run_in_group])
@pytest.mark.parametrize(
    ("program", "code", "fix"),
    [
        ("systemctl", "no_systemd", "use a host that runs systemd"),
        ("ufw", "no_program", "install ufw"),
        ("no-such-program", "no_program", "install no-such-program"),
        ("/nowhere/restorecon", "no_program", "install policycoreutils"),
    ],
)
def test_a_program_that_is_missing_is_named_with_its_package(run, program, code, fix, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(command, "PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(command.MissingProgram, match=f"^this host has no {program}") as caught:
        run([program, "--version"], 5)
    assert (caught.value.code, caught.value.fix) == (code, fix)


@pytest.mark.parametrize(("debian", "package"), [(True, "passwd"), (False, "shadow-utils")])
def test_packages_have_the_names_of_the_distribution(debian, package, tmp_path, monkeypatch) -> None:
    (tmp_path / "there").touch()
    monkeypatch.setattr(command, "_DEBIAN", str(tmp_path / ("there" if debian else "not")))
    assert command.package_of("/usr/sbin/useradd") == package


def test_a_script_whose_interpreter_is_missing_is_not_missing_itself(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/nowhere/interpreter\n")
    script.chmod(0o755)
    with pytest.raises(FileNotFoundError):
        command.run([str(script)])


def test_a_group_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    done = command.run_in_group(["sh", "-c", f"sleep 60 & echo $! >{told}; echo started"], 10)
    assert (done.code, done.output) == (0, b"started\n")
    until_gone(int(told.read_text()))
    with pytest.raises(command.TimeLimitPassed):
        command.run_in_group(["sh", "-c", f"sleep 60 & echo $! >{told}; wait"], 0.5)
    until_gone(int(told.read_text()))


LEAVES_ITS_GROUP = """
import os, subprocess, sys, time
told = sys.argv[1]
for depth in range(2):
    if os.fork():
        if sys.argv[2] == "stays" and depth == 0:
            time.sleep(60)
        os._exit(0) if depth else sys.exit(0)
    os.setsid()
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
with open(told + ".new", "w") as stream:
    stream.write(f"{os.getpid()} {child.pid}")
os.rename(told + ".new", told)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["ends", "stays"])
def test_what_leaves_its_group_and_its_parent_is_killed_too(how: str, tmp_path: Path) -> None:
    """A daemon: two forks, a session of its own and no parent; and its child, in yet another session."""
    told = tmp_path / "pids"
    argv = python(LEAVES_ITS_GROUP)
    if how == "ends":
        script = f'{argv[0]} -c "$0" {told} ends; while [ ! -e {told} ]; do sleep 0.02; done'
        assert command.run_in_group(["sh", "-c", script, argv[2]], 20).code == 0
    else:
        with pytest.raises(command.TimeLimitPassed):
            command.run_in_group([*argv, str(told), how], 2)
    for pid in told.read_text().split():
        assert not os.path.exists(f"/proc/{pid}")


def test_groups_side_by_side_keep_their_own_until_they_end(tmp_path: Path) -> None:
    """What one has left to itself lives on while another one ends; nothing of this process is touched."""
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    script = (
        f"setsid sh -c 'sleep 0.6; echo done >{tmp_path}/done' & while [ ! -e {tmp_path}/done ]; do sleep 0.05; done"
    )
    try:
        with ThreadPoolExecutor(9) as pool:
            first = pool.submit(command.run_in_group, ["sh", "-c", f"({script})"], 20)
            time.sleep(0.2)
            others = [
                pool.submit(command.run_in_group, ["sh", "-c", "setsid sleep 60 & sleep 0.1"], 20)
                for _number in range(8)
            ]
            plain = command.run(["sh", "-c", "sleep 0.3; echo whole"])
            assert [one.result().code for one in [first, *others]] == [0] * 9
        assert plain.text == "whole\n"
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert not descendants._is_subreaper()
    assert children() == set()


def test_what_was_there_just_before_is_not_taken_for_an_orphan() -> None:
    """The kernel tells when a process began in hundredths of a second, and two may begin in the same one."""
    for _turn in range(10):
        bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
        try:
            assert command.run_in_group(["true"], 10).code == 0
            assert bystander.poll() is None
        finally:
            bystander.kill()
            bystander.wait()


def test_what_is_left_is_ended_however_little_time_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may need the whole time for one look."""
    monkeypatch.setattr(descendants, "_SECONDS", 0.0)
    assert command.run_in_group(["sh", "-c", "setsid sleep 60 & setsid sleep 60 & sleep 0.1"], 20).code == 0
    assert children() == set()


def children() -> set[str]:
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                found.add(name)
    return found


def test_a_kernel_that_lists_no_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: str) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(descendants, "_text", refuse)
    test_what_leaves_its_group_and_its_parent_is_killed_too("ends", tmp_path)


def test_without_a_c_library_the_group_is_still_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(descendants, "libc", lambda: None)
    test_a_group_is_killed_with_all_that_it_started(tmp_path)


def test_what_has_become_somebody_else_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be killed without root; the check ends all the same, and says what the program said."""
    asked = []

    def refuse(pid: int, _signal: int) -> None:
        asked.append(pid)
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(descendants.os, "kill", refuse)
        done = command.run_in_group(["sh", "-c", "setsid sleep 5 & sleep 0.2; echo said"], 10)
    assert (done.text, len(asked)) == ("said\n", 1)
    os.kill(asked[0], signal.SIGKILL)
    os.waitpid(asked[0], 0)


def until_gone(pid: int) -> None:
    end = time.monotonic() + 10
    while os.path.exists(f"/proc/{pid}") and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_group_writes_without_end_and_only_the_beginning_is_kept() -> None:
    done = command.run_in_group(["sh", "-c", "head -c 1000000 /dev/zero; echo end >&2"], 20, limit=1000)
    assert (done.code, done.output) == (0, b"\0" * 1000)


def test_a_group_has_the_environment_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN", "yes")
    assert command.run_in_group(["sh", "-c", "echo $OWN $MORE"], 10, {"MORE": "too"}).text == "yes too\n"

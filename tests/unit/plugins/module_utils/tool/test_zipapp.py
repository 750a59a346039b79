"""The tool is one file that Python runs, the same bytes every time, with nothing of Ansible in it."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._tool import bootstrap, zipapp

MODULE_UTILS = str(Path(zipapp.__file__).parents[1])


def test_the_same_sources_give_the_same_bytes() -> None:
    assert zipapp.build(MODULE_UTILS) == zipapp.build(MODULE_UTILS)


def test_nothing_in_it_imports_ansible(tmp_path: Path) -> None:
    path = tmp_path / "slipway"
    path.write_bytes(zipapp.build(MODULE_UTILS))
    with zipfile.ZipFile(path) as archive:
        named = [n for n in archive.namelist() if b"ansible" in archive.read(n).replace(b"ansible_collections", b"")]
        assert [n for n in named if b"import ansible" in archive.read(n) or b"from ansible" in archive.read(n)] == []


def test_python_runs_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "slipway"
    path.write_bytes(zipapp.build(MODULE_UTILS, str(tmp_path / "kept")))
    argv = [sys.executable, "-I", "-S", str(path), "--help"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("status", "history", "rollback", "recover", "watch"):
        assert command in done.stdout


@dataclass(frozen=True)
class Installed:
    """The tool as a file, which keeps its byte code in that folder."""

    path: Path
    kept: Path

    def run(self) -> str:
        """Runs it. What Python says about its imports."""
        argv = [sys.executable, "-I", "-S", "-v", str(self.path), "--help"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "3 a.m." in done.stdout
        return done.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    found = Installed(tmp_path / "slipway", tmp_path / "run" / "slipway-tool")
    found.kept.parent.mkdir()
    found.path.write_bytes(zipapp.build(MODULE_UTILS, str(found.kept)))
    return found


def test_it_is_compiled_once(installed: Installed) -> None:
    first, second = installed.run(), installed.run()
    assert re.search(r"created .*/cli\.[a-z0-9-]+\.pyc", first)
    assert re.search(r"/cli\.[a-z0-9-]+\.pyc matches", second)
    assert stat.S_IMODE(installed.kept.stat().st_mode) == 0o700


def test_a_new_tool_is_not_taken_for_the_old_one(installed: Installed) -> None:
    installed.run()
    new = installed.path.with_name("new")
    new.write_bytes(installed.path.read_bytes())
    new.replace(installed.path)
    assert re.search(r"created .*/cli\.[a-z0-9-]+\.pyc", installed.run())
    assert len(list(installed.kept.iterdir())) == 2


@pytest.mark.parametrize("case", ["a file in the way", "a link", "others may write", "no such place"])
def test_without_a_place_of_its_own_it_runs_from_the_zip(installed: Installed, tmp_path: Path, case: str) -> None:
    if case == "a file in the way":
        installed.kept.write_text("")
    elif case == "a link":
        (tmp_path / "elsewhere").mkdir()
        installed.kept.symlink_to(tmp_path / "elsewhere")
    elif case == "others may write":
        installed.kept.mkdir()
        installed.kept.chmod(0o777)
    else:
        installed.kept.parent.rmdir()
        installed.kept.parent.write_text("")
    assert re.search(r"import 'slipway_go\._tool\.cli' # <zipimporter", installed.run())
    assert list(tmp_path.glob("**/cli.*")) == []


def test_of_two_first_runs_the_faster_one_is_kept(installed: Installed, tmp_path: Path) -> None:
    installed.run()
    (target,) = installed.kept.iterdir()
    bootstrap._unpack(str(installed.path), str(installed.kept), str(target))
    assert list(installed.kept.iterdir()) == [target]


HEAVY = ("_release.engine", "_release.strategies", "_linkage", "_health", "_deadman")


def imported(installed: Installed, argv: str) -> set[str]:
    """The tool's modules that this call has read by its end."""
    code = (
        f"import sys; sys.argv = ['slipway', *{argv.split()!r}]; sys.path.insert(0, {str(installed.path)!r})\n"
        "import runpy\n"
        f"try: runpy.run_path({str(installed.path)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(*(name for name in sys.modules if name.startswith('slipway_go')), sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=False)
    return {line for line in done.stderr.splitlines() if line.startswith("slipway_go.")}


@pytest.mark.parametrize("argv", ["--help", "status", "history nobody", "verify nobody --root /nowhere"])
def test_a_call_imports_what_it_needs_only(installed: Installed, argv: str) -> None:
    """Most of what a short call costs is what it imports."""
    read = imported(installed, argv)
    assert "slipway_go._tool.cli" in read
    assert [name for name in sorted(read) if name.startswith(tuple(f"slipway_go.{one}" for one in HEAVY))] == []


def test_nothing_but_the_standard_library_is_read_for_it(installed: Installed) -> None:
    """Not the packages that a host has for Python, nor what the caller's environment names."""
    assert installed.path.read_bytes().startswith(b"#!/usr/bin/python3 -IS\n")

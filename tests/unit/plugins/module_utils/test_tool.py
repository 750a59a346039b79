"""The tool is one file that Python runs, the same bytes every time, with nothing of Ansible in it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from ansible_collections.slipway.go.plugins.module_utils import _tool

MODULE_UTILS = str(Path(_tool.__file__).parent)


def test_the_same_sources_give_the_same_bytes() -> None:
    assert _tool.build(MODULE_UTILS) == _tool.build(MODULE_UTILS)


def test_nothing_in_it_imports_ansible(tmp_path: Path) -> None:
    path = tmp_path / "slipway"
    path.write_bytes(_tool.build(MODULE_UTILS))
    with zipfile.ZipFile(path) as archive:
        named = [n for n in archive.namelist() if b"ansible" in archive.read(n).replace(b"ansible_collections", b"")]
        assert [n for n in named if b"import ansible" in archive.read(n) or b"from ansible" in archive.read(n)] == []


def test_python_runs_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "slipway"
    path.write_bytes(_tool.build(MODULE_UTILS))
    argv = [sys.executable, "-I", "-S", str(path), "--help"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("status", "history", "rollback", "recover", "watch"):
        assert command in done.stdout

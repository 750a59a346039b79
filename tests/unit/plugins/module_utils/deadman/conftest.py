from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.deadman.host import Commands


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def system(tmp_path: Path, commands: Commands) -> System:
    for name in ("units", "run"):
        (tmp_path / name).mkdir()
    return System(str(tmp_path / "deadman"), str(tmp_path / "units"), str(tmp_path / "run"), commands)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a user: its .ssh is below a directory that is not root's alone."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    folder.chmod(0o777)
    return folder

"""Every Molecule scenario, whole: create, check, prepare, converge, idempotence, side effects, verify, destroy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import play
import pytest

SCENARIOS = sorted(path.parent.name for path in (play.CHECKOUT / "molecule").glob("*/molecule.yml"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, binaries: Path) -> None:
    done = subprocess.run(
        ["molecule", "test", "--scenario-name", scenario],
        env=play.environment(),
        cwd=play.CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]

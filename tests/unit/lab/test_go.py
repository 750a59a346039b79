"""The Go parts of the lab: formatted, vetted, and their own tests pass."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(params=["app", "load"])
def source(request: pytest.FixtureRequest, builder: ModuleType) -> Path:
    return builder.LAB / request.param


def run(builder: ModuleType, source: Path, *argv: str) -> str:
    done = subprocess.run(argv, cwd=source, env=builder.go_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_is_formatted(builder: ModuleType, source: Path) -> None:
    root = run(builder, source, str(builder.find_go()), "env", "GOROOT").strip()
    assert run(builder, source, f"{root}/bin/gofmt", "-l", ".") == ""


def test_passes_vet(builder: ModuleType, source: Path) -> None:
    run(builder, source, str(builder.find_go()), "vet", "./...")


def test_passes_its_own_tests(builder: ModuleType, source: Path) -> None:
    run(builder, source, str(builder.find_go()), "test", "./...")

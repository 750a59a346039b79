"""The sample service and the load client, built once for all tests here."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Callable

import pytest

LAB = Path(__file__).resolve().parents[2] / "lab"


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    """tests/lab/build.py, which is a script and not on the import path."""
    spec = importlib.util.spec_from_file_location("slipway_lab_build", LAB / "build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shop(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The path of the sample service in a version."""
    directory = tmp_path_factory.mktemp("shop")
    return lambda version: builder.build_app(version, directory / f"shop-{version}", commit="abc1234")


@pytest.fixture(scope="session")
def load(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builder.build_load(tmp_path_factory.mktemp("load") / "load")

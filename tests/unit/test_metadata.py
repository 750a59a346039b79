"""What Ansible and ansible-builder read of the collection itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return found


def test_the_modules_of_the_group_service_name_it_in_the_same_option() -> None:
    """So that module_defaults with group/slipway.go.service may hold it once."""
    modules = [f"slipway.go.{name}" for name in read("meta/runtime.yml")["action_groups"]["service"]]
    told = json.loads(subprocess.run(["ansible-doc", "--json", *modules], capture_output=True, check=True).stdout)
    assert sorted(told) == modules
    for name, entry in told.items():
        assert entry["doc"]["options"]["name"].get("required") is True or name == "slipway.go.lease", name
        assert "service" in " ".join(entry["doc"]["options"]["name"]["description"]), name


def test_an_execution_environment_gets_the_files_that_are_named() -> None:
    told = read("meta/execution-environment.yml")
    assert told["version"] == 1
    for name in told["dependencies"].values():
        assert (ROOT / name).is_file()
        assert name not in read("galaxy.yml")["build_ignore"]

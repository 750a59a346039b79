"""The rules of the house that no linter knows: roles say what they default to, and everything has a test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
PLUGINS = sorted(
    path for kind in ("modules", "filter", "lookup", "action") for path in (ROOT / "plugins" / kind).glob("[!_]*.py")
)


def load(role: str, *parts: str) -> Any:
    return yaml.safe_load((ROOT / "roles" / role / Path(*parts)).read_text())


def entry_points(role: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load(role, "meta", "argument_specs.yml")["argument_specs"]
    return found


@pytest.mark.parametrize("role", ROLES)
def test_argument_specs_and_defaults_say_the_same(role: str) -> None:
    """Every default is documented as it is, at every entry point, and no option is both required and defaulted."""
    defaults = load(role, "defaults", "main.yml")
    documented: dict[str, Any] = {}
    for name, spec in entry_points(role).items():
        for option, said in spec.get("options", {}).items():
            if said.get("required"):
                assert option not in defaults, f"{option} is required by {name} and has a default"
            else:
                default = defaults[option]
                if is_template_of_another_type(said, default):  # ansible-doc takes no such default
                    assert "default" not in said, option
                    assert "By default" in str(said["description"]), option
                else:
                    assert said.get("default") == default, f"{option} at {name}"
                documented[option] = default
    assert documented == defaults


def is_template_of_another_type(said: dict[str, Any], default: Any) -> bool:
    kinds = {said.get("type"), said.get("elements")}
    return isinstance(default, str) and "{{" in default and bool(kinds & {"int", "float", "bool", "dict"})


@pytest.mark.parametrize("role", ROLES)
def test_every_entry_point_is_there_and_told(role: str) -> None:
    for name, spec in entry_points(role).items():
        assert (ROOT / "roles" / role / "tasks" / f"{name}.yml").is_file()
        assert spec["short_description"]
        assert spec["version_added"]
    readme = (ROOT / "roles" / role / "README.md").read_text()
    assert f"slipway.go.{role}" in readme


@pytest.mark.parametrize("playbook", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.name)
def test_playbooks_use_full_names_only(playbook: Path) -> None:
    for play in yaml.safe_load(playbook.read_text()):
        for imported in (play.get("ansible.builtin.import_playbook"),):
            assert imported is None or imported.startswith("slipway.go.")


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_plugin_has_a_test(plugin: Path) -> None:
    """By name in a unit test, or used by a role or playbook that a scenario or an integration test runs."""
    tests = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    scenarios = [path.read_text() for path in (ROOT / "molecule").rglob("*.*") if path.suffix in (".yml", ".py")]
    named = any(plugin.stem in text for text in (*tests, *scenarios))
    used = any(f"slipway.go.{plugin.stem}" in path.read_text() for path in (ROOT / "roles").rglob("*.yml"))
    assert named or used


FACTS = re.compile(r"ansible_facts\b|\bansible_(?:os_family|distribution|hostname|fqdn|default_ipv4|architecture)")


@pytest.mark.parametrize("role", ROLES)
def test_no_task_runs_on_facts_that_are_not_gathered(role: str) -> None:
    """No playbook gathers any: what a role has to know of a host, it asks."""
    texts = [path for path in (ROOT / "roles" / role).rglob("*") if path.suffix in (".yml", ".j2")]
    assert [str(path) for path in texts if FACTS.search(path.read_text())] == []


@pytest.mark.parametrize("playbook", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.name)
def test_playbooks_gather_no_facts(playbook: Path) -> None:
    plays = [one for one in yaml.safe_load(playbook.read_text()) if "hosts" in one]
    assert [one["name"] for one in plays if one.get("gather_facts") is not False] == []


def test_sanity_has_nothing_to_ignore() -> None:
    assert [path for path in (ROOT / "tests" / "sanity").glob("ignore-*.txt") if path.read_text().strip()] == []

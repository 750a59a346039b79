"""What roles, units and documentation have to spell out is what the code says."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.go.plugins.doc_fragments import building
from ansible_collections.slipway.go.plugins.doc_fragments.attributes import ModuleDocFragment
from ansible_collections.slipway.go.plugins.module_utils._core.paths import STATE_ROOT, TOOL, UNIT_ROOT
from ansible_collections.slipway.go.plugins.module_utils._release import options
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import STRATEGIES
from ansible_collections.slipway.go.plugins.module_utils._release.strategies import registry
from ansible_collections.slipway.go.plugins.modules import build, bundle, rebuild, release, tool, unbundle

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "roles"
TEXTS = sorted(
    path
    for folder in ("roles", "playbooks", "plugins")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".yml", ".j2", ".py", ".md") and path.name != "paths.py"
)


def load(*parts: str) -> Any:
    return yaml.safe_load(ROLES.joinpath(*parts).read_text())


def module_options(documentation: str) -> dict[str, Any]:
    documented: dict[str, Any] = yaml.safe_load(documentation)["options"]
    return documented


def test_the_strategies_have_the_same_names_everywhere() -> None:
    service = load("service", "meta", "argument_specs.yml")["argument_specs"]["main"]["options"]["service_swap"]
    for option in (service, module_options(release.DOCUMENTATION)["strategy"]):
        assert (option["choices"], option["default"]) == (list(STRATEGIES), STRATEGIES[0])
    assert [registry.kind(name).name for name in STRATEGIES] == list(STRATEGIES)
    for role, variable in (("release", "release_strategy"), ("proxy", "proxy_swap")):
        assert load(role, "defaults", "main.yml")[variable] == f"{{{{ service_swap | default('{STRATEGIES[0]}') }}}}"


def test_the_ports_behind_haproxy_are_the_same_everywhere() -> None:
    assert load("service", "defaults", "main.yml")["service_proxy_ports"] == []
    fallback = "{{ service_proxy_ports | default([]) }}"
    assert load("release", "defaults", "main.yml")["release_proxy_ports"] == fallback
    assert load("proxy", "defaults", "main.yml")["proxy_ports"] == fallback


def defaults(documented: dict[str, Any]) -> dict[str, Any]:
    """Of options and of their suboptions, as one table."""
    found: dict[str, Any] = {}
    for name, option in documented.items():
        found[name] = option.get("default")
        inner = option.get("suboptions") or option.get("options") or {}
        found.update({f"{name}.{key}": value for key, value in defaults(inner).items()})
    return found


def test_the_options_of_the_engine_default_to_what_is_documented() -> None:
    documented = module_options(ModuleDocFragment.ENGINE)
    assert defaults(documented) == defaults(options.argument_spec())


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations((build, rebuild, bundle, unbundle), 2)])
def test_an_option_that_modules_share_is_described_in_one_place(one: Any, other: Any) -> None:
    """Where two describe an option of that name, each means something else by it."""
    mine, others = module_options(one.DOCUMENTATION), module_options(other.DOCUMENTATION)
    assert [name for name in mine if mine[name] == others.get(name)] == []


def test_the_shared_options_of_builds_and_bundles_stand_in_no_module_again() -> None:
    users = {"TOOLCHAIN": (build, rebuild), "SIGNING": (build, bundle), "BUNDLE": (bundle, unbundle)}
    for fragment, modules in users.items():
        shared = module_options(getattr(building.ModuleDocFragment, fragment))
        for module in modules:
            named = yaml.safe_load(module.DOCUMENTATION)
            assert f"slipway.go.building.{fragment.lower()}" in named["extends_documentation_fragment"]
            assert set(shared) & set(named["options"]) == set()


def test_the_tool_is_in_one_place() -> None:
    assert module_options(tool.DOCUMENTATION)["path"]["default"] == TOOL
    named = {name for path in TEXTS for name in re.findall(r"(?<![\w.])/[\w/.-]*/sbin/slipway\b", path.read_text())}
    assert named == {TOOL}


@pytest.mark.parametrize("place", [TOOL, STATE_ROOT, UNIT_ROOT])
def test_code_names_a_place_by_its_constant(place: str) -> None:
    """Documentation and examples spell it out."""
    literal = re.compile(rf"^[A-Z_]+ = f?[\"']{re.escape(place)}[\"'/]", re.MULTILINE)
    code = [path for path in TEXTS if path.suffix == ".py"]
    assert [str(path.relative_to(ROOT)) for path in code if literal.search(path.read_text())] == []

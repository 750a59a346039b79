# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A survey of AWX hands over "" for what was left empty, and text for everything else: every variable takes both.

Each case differs from the defaults in one variable.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.filter import core
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar, trust_as_template
from ansible_collections.slipway.go.plugins.action import release as action
from ansible_collections.slipway.go.plugins.filter import batches, host_pattern, switch, texts
from ansible_collections.slipway.go.plugins.lookup import services
from ansible_collections.slipway.go.plugins.lookup.variable import LookupModule
from ansible_collections.slipway.go.plugins.plugin_utils._input import known_variables
from jinja2 import Environment, StrictUndefined, nodes
from jinja2.nativetypes import NativeEnvironment

ROOT = Path(__file__).resolve().parents[2]
SET = {
    "service_name": "shop",
    "build_source": "/srv/shop",
    "rebuild_artefact": "/srv/out/shop",
    "bundle_dest": "/srv/bundles",
    "unbundle_src": "/srv/shop.tar",
    "unbundle_dest": "/srv/bundles",
    "ansible_user": "root",
    "ansible_version": {"full": "2.19.14"},
}
# Where nobody can tell what an empty answer means, it is refused in one sentence.
REFUSED = {
    *("build_source", "bundle_dest", "release_rollback_of", "release_rollback_run", "service_name", "slipway_hosts"),
    *("rebuild_artefact", "unbundle_dest", "unbundle_src"),
}
READ = "{{{{ lookup('slipway.go.variable', '{}') }}}}"
BLOCK = re.compile(r"\{\{.*?\}\}", re.DOTALL)
OMITTED = {"omit", "lookup"}
BY_TYPE = {"int": [1, 2], "str": ["a", "b"]}
EMPTY, TYPED, TEXT = "empty", "typed", "text"


@pytest.fixture(autouse=True)
def own_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible finds those of a collection by its own way of importing, which tests leave out."""
    get, own = lookup_loader.get, {"slipway.go.services": services.LookupModule, "slipway.go.variable": LookupModule}
    monkeypatch.setattr(
        lookup_loader,
        "get",
        lambda name, *args, **kwargs: own[name](**kwargs) if name in own else get(name, *args, **kwargs),
    )


@functools.lru_cache(maxsize=None)
def documented() -> dict[str, dict[str, Any]]:
    """What the specifications say of each variable of a role."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            for name, option in (entry.get("options") or {}).items():
                found[name] = {**option, "role": path.parts[-3]}
    return found


def means_something(option: dict[str, Any]) -> bool:
    """Whether an empty text is a value of its own."""
    text = option.get("type", "str") == "str" and "choices" not in option
    return text and (option.get("default", "") == "" or "empty" in str(option["description"]))


ANSWERED = sorted(set(documented()) - REFUSED)


def example(option: dict[str, Any]) -> Any:
    """A value that is not the default."""
    kind, default = option.get("type", "str"), option.get("default")
    if "choices" in option:
        return next(choice for choice in option["choices"] if choice != default)
    if kind == "bool":
        return not default
    if kind in ("int", "float"):
        return int(default or 0) + 1
    if "Controls by their name" in str(option["description"]):
        return {"su_wheel": "why it is off"}
    if kind == "list" and option["elements"] == "dict":
        return [{name: BY_TYPE.get(one.get("type", "str"), ["x"])[0] for name, one in option["options"].items()
                 if one.get("required")}]  # fmt: skip
    return {"list": BY_TYPE.get(option.get("elements", "")), "dict": {"a": "b"}}.get(kind)


def answer(value: Any) -> str:
    """The value as somebody would type it."""
    if isinstance(value, list) and not isinstance(value[0], dict):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def trusted(value: Any) -> Any:
    """The same as templates that may be evaluated, which Ansible makes of files itself."""
    if isinstance(value, dict):
        return {name: trusted(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [trusted(inner) for inner in value]
    return trust_as_template(value) if isinstance(value, str) else value


@functools.lru_cache(maxsize=None)
def beneath(role: str) -> dict[str, Any]:
    """The role's defaults and variables, with what has to be set."""
    files = [ROOT / "roles" / role / folder / "main.yml" for folder in ("defaults", "vars")]
    found = {name: value for path in files if path.exists() for name, value in yaml.safe_load(path.read_text()).items()}
    return {**trusted(found), "groups": {"all": []}, "hostvars": {}, "inventory_hostname": "web1", **SET}


def evaluated(expression: str, variables: dict[str, Any]) -> Any:
    return Templar(loader=DataLoader(), variables=variables).template(trust_as_template(expression))


def read_by_role(role: str) -> list[str]:
    """The variables that the role reads as they are meant."""
    return [name for name in documented() if beneath(role).get(f"__{name}") == READ.format(name)]


def meant(role: str, names: set[str], **given: Any) -> dict[str, Any]:
    """What the role makes of these variables where some are given, and nothing speaks against them."""
    variables = {**beneath(role), **given}
    known_variables.check(role, variables, lambda name: evaluated(f"{{{{ {name} }}}}", variables))
    lookup = LookupModule(loader=DataLoader(), templar=Templar(loader=DataLoader(), variables=variables))
    return {name: lookup.run([name], variables)[0] for name in read_by_role(role) if name in names}


def concerned(name: str) -> set[str]:
    """The variable, and those whose defaults may come from it."""
    return {name, *(other for other, option in documented().items() if "{{" in str(option.get("default")))}


@pytest.mark.parametrize("name", ANSWERED)
def test_an_empty_answer_is_none(name: str) -> None:
    option = documented()[name]
    names = concerned(name)
    wanted, found = meant(option["role"], names), meant(option["role"], names, **{name: ""})
    if means_something(option):
        assert found.pop(name, "") == ""
        wanted.pop(name, "")
    assert found == wanted


@pytest.mark.parametrize("name", [name for name in ANSWERED if example(documented()[name]) is not None])
def test_a_text_is_what_it_says(name: str) -> None:
    role, value = documented()[name]["role"], example(documented()[name])
    found = meant(role, {name}, **{name: answer(value)})
    assert found == meant(role, {name}, **{name: value})
    assert found.get(name, value) == value


def sites(value: Any, key: str = "") -> Iterator[str]:
    """What Jinja evaluates in a value of YAML."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from sites(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from sites(inner, key)
    elif isinstance(value, str):
        condition = key in ("when", "that", "changed_when", "failed_when", "until") and "{{" not in value
        yield from [f"{{{{ {value} }}}}"] if condition else BLOCK.findall(value)


def names_in(expression: str) -> set[str]:
    """The variables that it reads."""
    return {node.name for node in Environment().parse(expression).find_all(nodes.Name) if node.ctx == "load"}


def names_without_default(expression: str) -> set[str]:
    """Those of them that it would also read where they are empty."""
    tree = Environment().parse(expression)
    filters = [one for one in tree.find_all(nodes.Filter) if one.name == "default" and len(one.args) == 2]
    covered = [one.node for one in filters if isinstance(one.node, nodes.Name)]
    return {node.name for node in tree.find_all(nodes.Name) if all(node is not one for one in covered)}


def handled_by_the_module() -> set[str]:
    """Variables of the role release that go to its module or its filters as they are, with the defaults of those."""
    flat = {**action.OPTIONS, **action.POLICY, **action.PROXY, **action.ONCE}
    return {variable for variable, _reader in flat.values()} | {"release_purge", "release_step_timeout"}


@pytest.mark.parametrize("role", known_variables.roles())
def test_a_role_reads_what_is_meant(role: str) -> None:
    """The variable itself may be empty, or a text that says something else."""
    own = {
        name
        for name, option in documented().items()
        if name not in REFUSED and not (means_something(option) and "{{" not in str(option.get("default")))
    }
    if role == "release":
        own -= handled_by_the_module()
    parts = [path for part in ("tasks", "vars", "templates") for path in (ROOT / "roles" / role / part).rglob("*")]
    raw = []
    for path in sorted(part for part in parts if part.is_file()):
        text = path.read_text()
        jinja = [text] if path.suffix == ".j2" else list(sites(yaml.safe_load(text)))
        raw += [(path.name, name) for one in jinja for name in sorted(names_without_default(one) & own)]
    assert raw == []


def playbook_sites() -> list[str]:
    """The expressions of all playbooks that need nothing but the collection's variables."""
    known = set(known_variables.known()) | OMITTED
    playbooks = [path for path in sorted((ROOT / "playbooks").glob("*.yml")) if path.stem != "awx_setup"]
    texts = {text for path in playbooks for text in sites(yaml.safe_load(path.read_text()))}
    return sorted(text for text in texts if names_in(text) & set(known_variables.known()) and names_in(text) <= known)


PLAYBOOK_SITES = playbook_sites()
OF_PLAYBOOKS = sorted({name for text in PLAYBOOK_SITES for name in names_in(text) if name not in OMITTED})


def jinja() -> NativeEnvironment:
    """Jinja with the filters that playbooks use, without the rest of Ansible."""
    environment = NativeEnvironment(undefined=StrictUndefined)
    environment.filters.update(
        {name: core.FilterModule().filters()[name] for name in ("ternary", "to_json", "flatten")}
    )
    for module in (batches, host_pattern, switch, texts):
        own = module.FilterModule().filters()
        environment.filters.update({f"slipway.go.{name}": function for name, function in own.items()})
    return environment


def in_playbook(text: str, given: dict[str, Any]) -> Any:
    def lookup(_plugin: str, name: str, **_options: Any) -> Any:
        return known_variables.value(name, known_variables.with_defaults(given, str), str, lambda value: value)

    return jinja().from_string(text).render(**given, lookup=lookup, omit="omitted")


@pytest.mark.parametrize("name", [name for name in OF_PLAYBOOKS if name not in REFUSED])
def test_a_playbook_takes_an_empty_answer_for_none(name: str) -> None:
    given = {**SET, "release_vulnerability_database": "/srv/database"}
    if name not in given:
        for text in [text for text in PLAYBOOK_SITES if name in names_in(text) or f"'{name}'" in text]:
            assert in_playbook(text, {**given, name: ""}) == in_playbook(text, given), text


def test_an_empty_pattern_of_hosts_is_refused() -> None:
    texts = {text for text in PLAYBOOK_SITES if "slipway_hosts" in names_in(text)}
    assert texts
    for text in texts:
        with pytest.raises(AnsibleFilterError, match="slipway_hosts is ''"):
            in_playbook(text, {"slipway_hosts": "", "adopt_switch": True, "adopt_undo": True})

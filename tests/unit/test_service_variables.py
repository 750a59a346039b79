# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one service may have for itself is read through the lookup, which knows the service that a task is about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.go.plugins.plugin_utils._input import declared_services, known_variables
from jinja2 import Environment, meta

ROOT = Path(__file__).resolve().parents[2]
EXPRESSIONS = ("when", "that", "failed_when", "changed_when", "until")
FILES = sorted(
    path
    for role in declared_services.ROLES
    for part in ("tasks", "vars", "templates")
    for path in (ROOT / "roles" / role / part).rglob("*")
    if path.is_file()
)


def own() -> set[str]:
    """What a service may have for itself, by the roles' specifications."""
    names = {name for role in declared_services.ROLES for name in known_variables.specification(role)}
    return {name for name in names if not name.startswith("release_rollback_")} - set(declared_services.OF_RUN)


class AnyFilter(dict[str, Any]):
    """Ansible's filters and tests, which only have to be there."""

    def __contains__(self, _name: object) -> bool:
        return True

    def get(self, name: str, _default: Any = None) -> Any:
        return super().get(name, lambda value, *_args, **_kwargs: value)

    def __missing__(self, name: str) -> Any:
        return self.get(name)


def environment() -> Environment:
    found = Environment()
    found.filters, found.tests = AnyFilter(found.filters), AnyFilter(found.tests)
    return found


def texts(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from texts(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, key)
    elif isinstance(value, str):
        yield f"{{{{ {value} }}}}" if key in EXPRESSIONS and "{{" not in value else value


def read(path: Path) -> set[str]:
    text = path.read_text()
    parts = [text] if path.suffix == ".j2" else list(texts(yaml.safe_load(text)))
    jinja = environment()
    found = {name for part in parts for name in meta.find_undeclared_variables(jinja.parse(part))}
    # One that costs much is looked up by its name, where it is needed.
    return found | {name for part in parts for name in re.findall(r"'(__\w+)'", part)}


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT / "roles")) for path in FILES])
def test_a_role_reads_the_variables_of_the_service_at_hand(path: Path) -> None:
    assert read(path) & own() == set()


def test_one_that_reads_another_would_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "main.yml"
    file.write_text("- debug:\n    msg: \"{{ release_src }}\"\n  when: service_swap == 'proxy'\n")
    assert read(file) & own() == {"release_src", "service_swap"}


@pytest.mark.parametrize("role", declared_services.ROLES)
def test_a_role_has_what_it_reads_under_a_name_of_its_own(role: str) -> None:
    folder = ROOT / "roles" / role
    defined = set(yaml.safe_load((folder / "vars" / "main.yml").read_text()))
    of_role = {name for path in FILES if path.is_relative_to(folder) for name in read(path)}
    assert {name for name in of_role if name.removeprefix("__") in own()} - own() - defined == set()


@pytest.mark.parametrize("role", declared_services.ROLES)
def test_what_a_role_has_under_a_name_of_its_own_is_read(role: str) -> None:
    """One that a merge has lost in the tasks would be documented, and without effect."""
    folder = ROOT / "roles" / role
    defined = set(yaml.safe_load((folder / "vars" / "main.yml").read_text()))
    of_role = {name for path in FILES if path.is_relative_to(folder) for name in read(path)}
    assert defined - of_role == set()

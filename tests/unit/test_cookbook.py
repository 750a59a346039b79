# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every recipe of the cookbook is one that hosts are given, and has variables that roles take as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.go.plugins.plugin_utils._input import known_variables

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guide" / "cookbook.md").read_text(encoding="utf-8")
TESTS = (ROOT / "tests" / "faults" / "cookbook" / "test_recipes.py").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n# ([^\n]+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def inventories() -> Iterator[tuple[str, dict[str, Any]]]:
    for title, text in BLOCKS:
        given = yaml.safe_load(text)
        if isinstance(given, dict):
            yield title, given
            for name, own in given.get("slipway_services", {}).items():
                yield f"{title}: {name}", own


def test_every_recipe_is_run_on_a_host() -> None:
    titles = [title for title, _text in BLOCKS]
    assert len(titles) == PAGE.count("```yaml") == len(set(titles))
    assert sorted(re.findall(r'recipe\("(.+?)"\)', TESTS)) == sorted(titles)


@pytest.mark.parametrize(("title", "given"), list(inventories()))
def test_roles_take_the_variables_of_a_recipe(title: str, given: dict[str, Any]) -> None:
    assert not known_variables.find_unknown({title: given}, [])
    of_roles = known_variables.roles_by_variable()
    for name, value in given.items():
        if name in of_roles and "{{" not in str(value):
            option = known_variables.specification(of_roles[name])[name]
            assert known_variables.read_value(name, option, value) == value

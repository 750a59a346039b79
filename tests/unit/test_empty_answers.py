# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each documented variable of a release, a service and a proxy: "" is as if it had not been given, whoever reads it.

test_survey_answers has those that a role reads under a name of its own. Here, each has to have a reader, and the reader
is asked: a variable that comes without one fails.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.slipway.go.plugins.action import release as action
from ansible_collections.slipway.go.plugins.filter.texts import texts
from ansible_collections.slipway.go.plugins.lookup.variable import LookupModule
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import hooks, way_back
from ansible_collections.slipway.go.plugins.plugin_utils._input import role_options, survey
from ansible_collections.slipway.go.tests.unit.test_survey_answers import (
    REFUSED,
    ROOT,
    beneath,
    documented,
    means_something,
    own_lookups,
)

__all__ = ["own_lookups"]
ROLES = ("proxy", "release", "service")
VARIABLES = sorted(name for name, option in documented().items() if option["role"] in ROLES)
LOOKUP, RAW, TABLE, REFUSES, ITS_DEFAULT = "lookup", "raw", "table", "refuses", "its default"
TABLES = (action.OPTIONS, action.POLICY, action.PROXY, action.ONCE)
# What reads it where no table of the module does.
READERS: Mapping[str, Callable[[Any], Any]] = {
    "release_max_unavailable": lambda given: way_back.read_budget(given, 10),
    "release_on_failure": way_back.read_on_failure,
    "release_purge": lambda given: texts(given, "release_purge"),
    "release_step_timeout": hooks.timeout,
}


@functools.lru_cache(maxsize=None)
def written(role: str) -> str:
    parts = [path for part in ("tasks", "vars", "templates") for path in (ROOT / "roles" / role / part).rglob("*")]
    return "\n".join(path.read_text() for path in parts if path.is_file())


def entries(name: str) -> list[tuple[str, Any]]:
    """The option of each table, with that table."""
    return [(option, table) for table in TABLES for option, (variable, _reader) in table.items() if variable == name]


def kind(name: str) -> str:
    """Who makes something of it."""
    if name in REFUSED:
        return REFUSES
    if name in READERS:
        return RAW
    if entries(name):
        return TABLE
    if name in action.READ:
        return LOOKUP
    if re.search(rf"'slipway\.go\.variable', '{name}'[,)](?! read=false)", written(documented()[name]["role"])):
        return LOOKUP
    return ITS_DEFAULT if documented()[name].get("default") == "" else ""


def looked_up(name: str, **given: Any) -> Any:
    variables = {**beneath(documented()[name]["role"]), **given}
    if name in action.READ:  # by the module's own half, in the same way
        return role_options.reader(variables, Templar(loader=DataLoader(), variables=variables), read=action.READ)(name)
    lookup = LookupModule(loader=DataLoader(), templar=Templar(loader=DataLoader(), variables=variables))
    return lookup.run([name], variables)[0]


@pytest.mark.parametrize("name", VARIABLES)
def test_an_empty_answer_is_none_for_whoever_reads_it(name: str) -> None:
    reader = kind(name)
    assert reader, f"nobody is known to read {name}: name what does in READERS"
    if reader == TABLE:
        for option, table in entries(name):
            assert survey.understand({option: "", "other": 1}, table) == {"other": 1}, option
    elif reader == RAW:
        assert READERS[name]("") == READERS[name](documented()[name].get("default"))
    elif reader == LOOKUP:
        wanted = "" if means_something(documented()[name]) else looked_up(name)
        assert looked_up(name, **{name: ""}) == wanted


def test_every_way_is_met() -> None:
    assert {kind(name) for name in VARIABLES} == {LOOKUP, RAW, TABLE, REFUSES, ITS_DEFAULT}
    assert set(READERS) <= set(VARIABLES)

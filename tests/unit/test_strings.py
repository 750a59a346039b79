"""Options that a role calls a boolean or a number hold when they come as strings: -e x=false, INI files, surveys.

The argument specification accepts such a string and hands it on as it is, and "false" is true in a condition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
CONVERTED = {"bool": "bool", "int": "int|float", "float": "float"}
CONDITIONS = ("when", "that", "changed_when", "failed_when", "until")
BLOCK = re.compile(r"\{[{%](.*?)[}%]\}", re.DOTALL)
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


def options() -> dict[str, str]:
    found = {}
    for role in ROLES:
        specs = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
        for spec in specs.values():
            found.update({n: o["type"] for n, o in spec.get("options", {}).items() if o.get("type") in CONVERTED})
    return found


OPTIONS = options()


def expressions(value: Any, condition: bool = False, argument: bool = False) -> Iterator[str]:
    """What Jinja evaluates in a value of YAML; a module converts an argument that is nothing but a variable."""
    if isinstance(value, dict):
        for key, inner in value.items():
            # Whatever has a full name is a module, and vars are read by others.
            inside = "." in str(key) or (argument and key != "vars")
            yield from expressions(inner, key in CONDITIONS, inside)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner, condition, argument)
    elif isinstance(value, str):
        if condition and "{{" not in value:
            yield value
        elif not (argument and re.fullmatch(r"\{\{ \w+ \}\}", value)):
            yield from BLOCK.findall(value)


def bare(expression: str) -> Iterator[str]:
    """The options in it that nothing converts. A number that is only handed on needs no conversion here."""
    text = QUOTED.sub("''", expression)
    default = r"(\s*\|\s*default\([^)]*\))?"
    for name, kind in OPTIONS.items():
        handed_on = kind != "bool" and re.fullmatch(rf"\s*_*{name}{default}\s*|.*\[_*{name}\].*", text, re.DOTALL)
        for found in re.finditer(rf"(?<![\w.])(?:__)?{name}\b(?!\s*=[^=])", text):
            converted = re.match(rf"{default}\s*(\|\s*({CONVERTED[kind]})\b|is (not )?defined)", text[found.end() :])
            if not (handed_on or converted):
                yield name


def unconverted(path: Path) -> list[str]:
    text = path.read_text()
    found = BLOCK.findall(text) if path.suffix == ".j2" else expressions(yaml.safe_load(text))
    return sorted({f"{path.relative_to(ROOT)}: {name}" for expression in found for name in bare(expression)})


def files() -> list[Path]:
    parts = ("tasks", "handlers", "vars", "templates", "defaults")
    inside = [path for role in ROLES for part in parts for path in (ROOT / "roles" / role / part).rglob("*")]
    return sorted([path for path in inside if path.is_file()] + list((ROOT / "playbooks").glob("*.yml")))


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_options_are_converted_where_they_are_used(path: Path) -> None:
    assert unconverted(path) == []


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("base_update", ["base_update"]),
        ("__base_update", ["base_update"]),
        ("__base_update_max_age", []),
        ("not base_update | bool and base_faillock", ["base_faillock"]),
        ("base_update | default(true) | bool or 'base_update'", []),
        ("x > base_update_max_age", ["base_update_max_age"]),
        ("x > base_update_max_age | int", []),
        ("base_update_max_age", []),
        ("base_confirm_timeout | int / 2", []),
        ("base_confirm_timeout | default(60)", []),
        ("(ports + [base_confirm_timeout]) | map('int')", []),
        ("x.base_update and base_update is defined", []),
    ],
)
def test_what_this_test_sees(expression: str, found: list[str]) -> None:
    assert list(bare(expression)) == found

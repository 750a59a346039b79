"""Renders each page of docs/reference from what the code and its documentation say."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.slipway.go.plugins.module_utils._release.operator import metrics
from ansible_collections.slipway.go.tests.reference import error_codes

ROOT = Path(__file__).resolve().parents[2]
NOTE = "<!-- Written by `make reference`. Change tests/reference or the code, not this page. -->"


def error_code_page() -> str:
    lines = [
        "# Error codes",
        NOTE,
        "",
        "Every failure has a `code` that does not change between versions, a message that names the variable, the file",
        "or the unit, and a `fix`. A playbook compares `result.code`; with several `problems`, each has its own.",
        "`OPTION` stands for the name of a variable without its prefix.",
        "",
    ]
    for section in error_codes.SECTIONS:
        lines += [f"## {section.title}", *([section.intro] if section.intro else []), ""]
        for code, entry in sorted(section.codes.items()):
            lines += [f"### `{code}`", entry.meaning, "", f"- Cause: {entry.cause}", f"- Fix: {entry.fix}", ""]
    return "\n".join(lines)


def content_page() -> str:
    """What `ansible-doc` says in one sentence, with a link to each role's README."""
    lines = [
        "# Modules, filters, lookups and roles",
        NOTE,
        "",
        "`ansible-doc slipway.go.NAME` has the options of a module.",
        "",
    ]
    for title, folder in (("Modules", "modules"), ("Filters", "filter"), ("Lookups", "lookup")):
        plugins = sorted((ROOT / "plugins" / folder).glob("[!_]*.py"))
        lines += [f"## {title}", "| name | what it does |", "|---|---|"]
        lines += [f"| `slipway.go.{path.stem}` | {_documented(path)} |" for path in plugins]
        lines += [""]
    lines += ["## Roles", "| name | entry point | what it does |", "|---|---|---|"]
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        role = path.parents[1].name
        for name, spec in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].items():
            lines += [
                f"| [`slipway.go.{role}`](../../roles/{role}/README.md) | `{name}` | {spec['short_description']} |"
            ]
    return "\n".join([*lines, ""])


def _documented(path: Path) -> str:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION":
            said: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))
            return str(said["short_description"])
    raise ValueError(f"{path} has no DOCUMENTATION")


def metrics_page() -> str:
    """Every family that the watch exports, with the labels that its samples have."""
    told = {"state": "pass", "name": "live", "latency": {"total": 0.1}, "certificate_days": 30}
    info = {"release": "1.0-0123456789", "version": "1.0", "commit": "abc"}
    families = [
        *metrics.release("shop", info, 1.0),
        metrics.up("shop", True),
        *metrics.unit("shop", False, 0),
        *metrics.health("shop", [told], 1.0),
        *metrics.watch("shop", {}),
        metrics.swaps("shop", {"committed": 1}),
        *metrics.last_swaps("shop", {"committed": {}}),
        metrics.rollbacks("shop", {"watch": 0}),
        metrics.unconfirmed("shop", {"unconfirmed": 0}),
        *metrics.unfinished("shop", False, None),
        *metrics.at_work("shop", True, 1.0),
        *metrics.paused("shop", 1.0),
        metrics.bad("shop", 0),
        *metrics.drift({"shop": 0}, 1.0),
        *metrics.pull(False, 1.0),
    ]
    writers = (
        "The watch writes them for node_exporter's textfile collector, `slipway drift --metrics` those of drift, and "
        "`slipway pull` those of pulls."
    )
    lines = ["# Metrics", NOTE, "", writers, ""]
    lines += ["| name | type | labels | meaning |", "|---|---|---|---|"]
    for family in families:
        labels = ", ".join(f"`{name}`" for name in dict(family.samples[0][0]))
        lines += [f"| `{family.name}` | {family.kind} | {labels} | {family.help} |"]
    return "\n".join([*lines, ""])


PAGES: dict[str, Callable[[], str]] = {
    "error-codes.md": error_code_page,
    "content.md": content_page,
    "metrics.md": metrics_page,
}

"""Renders each page of docs/reference from what the code and its documentation say."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.slipway.go.tests.reference import error_codes

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


PAGES: dict[str, Callable[[], str]] = {"error-codes.md": error_code_page}

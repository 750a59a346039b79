"""What a row of the fix table is: a failure, how it is made, the fix that the operator reads, and what applies it.

Texts of a row may name @files (a folder of the controller), @url (an https server that the host trusts), @http (one
without TLS), and with <name> what the row's pattern has found in the fix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Union


@dataclass(frozen=True)
class Task:
    """One task of a play, as root over SSH. keywords: of the task, such as become_user."""

    module: str
    arguments: dict[str, Any]
    keywords: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Playbook:
    name: str
    variables: dict[str, Any]


@dataclass(frozen=True)
class Command:
    """The tool on the host; it answers in JSON."""

    script: str


Run = Union[Task, Playbook, Command]


@dataclass(frozen=True)
class Row:
    """One failure and its fix.

    how: what was made wrong, in words.
    says: the whole fix, as a pattern; a fix that is changed fails the row.
    make, undo: shell on the host, before the first run and after the second one.
    fix: shell on the host, as the fix says; here: the same on the controller, in @files.
    then: a run that the fix asks for, after these.
    give: arguments or variables that the fix changes; None takes one out.
    alone: no other row may run between the failure and its fix.
    """

    code: str
    how: str
    run: Run
    says: str
    make: str = ""
    fix: str = ""
    here: str = ""
    then: Run | None = None
    give: dict[str, Any] = field(default_factory=dict)
    undo: str = ""
    alone: bool = False

    @property
    def name(self) -> str:
        return name(self.code, self.how)


@dataclass
class Result:
    """What became of a row, or of a scene. fixes: the texts that the operator saw. applied: what was done with them."""

    row: Any
    fixes: list[str] = field(default_factory=list)
    applied: str = ""
    next_run: str = ""
    broken: str = ""


def name(code: str, how: str) -> str:
    return re.sub(r"\W+", "-", f"{code}-{how}").strip("-").lower()


def problems(result: Any) -> Iterator[dict[str, Any]]:
    """Everything with a code and a fix in what a run has said, at any depth."""
    if isinstance(result, Mapping):
        if isinstance(result.get("code"), str) and "fix" in result:
            yield dict(result)
        for value in result.values():
            yield from problems(value)
    elif isinstance(result, list):
        for value in result:
            yield from problems(value)


def fixes(result: Any, code: str) -> list[str]:
    """Those of this code, each once, in their order. A failure of several problems has its fixes with these."""
    return list(dict.fromkeys(found["fix"] for found in problems(result) if found["code"] == code and found["fix"]))


def why_not(result: Any, code: str) -> str:
    """Why the next run has not passed; nothing where it has."""
    if isinstance(result, Mapping) and (result.get("failed") or result.get("unreachable")):
        return str(result.get("msg", result))
    if any(found["code"] == code for found in problems(result)):
        return f"{code} is reported again"
    programs = result.get("binaries", []) if isinstance(result, Mapping) else []
    return " ".join(str(one["problems"]) for one in programs if not one["runnable"])


def filled(value: Any, words: Mapping[str, str]) -> Any:
    """The same with every word replaced, in texts at any depth."""
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(word, text)
        return value
    if isinstance(value, Mapping):
        return {key: filled(inner, words) for key, inner in value.items()}
    return [filled(inner, words) for inner in value] if isinstance(value, list) else value


def groups(row: Row, fix: str) -> dict[str, str] | None:
    """What the row's pattern finds in the fix, as the words <name>; None where the fix is another one."""
    found = re.fullmatch(row.says, fix)
    return None if found is None else {f"<{name}>": text or "" for name, text in found.groupdict().items()}


def given(arguments: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    changed = {**arguments, **more}
    return {name: value for name, value in changed.items() if value is not None}


def is_foreseen(row: Row) -> bool:
    """Whether what applies the fix is known before it is read, and is done on the host alone."""
    return isinstance(row.run, Task) and not (row.here or row.then) and not re.search(r"<\w+>", f"{row.fix} {row.give}")


def described(run: Run) -> str:
    """What is run, as an operator would name it."""
    if isinstance(run, Command):
        return run.script
    return f"slipway.go.{run.module}" if isinstance(run, Task) else f"{run.name}.yml"

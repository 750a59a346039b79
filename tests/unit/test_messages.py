"""The shape of every message and every fix in the code: a message states, a fix is one imperative clause."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import with_sentence
from ansible_collections.slipway.go.tests.reference import failures

FAILURES = failures.failures()
FIXES = sorted({(fix, failure.path) for failure in FAILURES for fix in failure.fixes if fix != failures.HOLE})
MESSAGES = sorted({(text, failure.path) for failure in FAILURES for text in failure.messages if text != failures.HOLE})
# What a fix may begin with. A new one belongs here if it is an imperative.
# fmt: off
VERBS = frozenset((
    "accept", "add", "apply", "build", "change", "check", "choose", "commit", "correct", "create", "declare", "expose",
    "fetch", "push",
    "find", "free", "give", "install", "keep", "leave", "let", "link", "list", "look", "make", "mount", "move",
    "name", "pack", "put", "quote", "raise", "rebuild", "release", "remove", "renew", "repair", "replace", "run",
    "say", "see", "set", "sign", "start", "stop", "take", "unmask", "unpack", "upgrade", "use", "wait", "write",
))
# fmt: on
# The words of the kernel and of the loaders, which have no full stop.
QUOTING = (
    "plugins/module_utils/_linkage/",
    "plugins/module_utils/_binary/",
    "plugins/module_utils/_units/prerequisites.py",
)


def test_the_collector_finds_what_the_code_reports() -> None:
    assert len(FAILURES) > 350
    assert len(FIXES) > 250
    assert len(MESSAGES) > 250


@pytest.mark.parametrize(("fix", "path"), FIXES)
def test_a_fix_is_one_imperative_clause(fix: str, path: str) -> None:
    first = re.split(r"[\s,]", fix)[0]
    assert first in VERBS or first == failures.HOLE, f"{path}: {fix}"
    assert not fix.endswith("."), f"{path}: {fix}"
    assert not re.search(r"[?;]|[a-z]\. [A-Z]", fix), f"{path}: {fix}"


@pytest.mark.parametrize(("fix", "path"), [(fix, path) for fix, path in FIXES if fix.startswith(failures.HOLE)])
def test_a_fix_that_begins_with_another_begins_with_an_imperative(fix: str, path: str) -> None:
    """The few that are put together: their first part is one of the clauses above."""
    assert fix[len(failures.HOLE) :].startswith((", then ", ", or ")), f"{path}: {fix}"


PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
# A hole of a text, and what follows it there: what begins a sentence, or another hole.
_BEGINS = re.compile(r" (?!MiB|KiB)[A-Z][a-z]")


def _joined(source: str) -> Iterator[tuple[int, str]]:
    """The lines of a source in which a sentence follows what may have no full stop, such as a fix."""
    for node in ast.walk(ast.parse(source)):
        parts = node.values if isinstance(node, ast.JoinedStr) else []
        for hole, after in zip(parts, parts[1:]):
            if not isinstance(hole, ast.FormattedValue):
                continue
            shown = ast.unparse(hole.value)
            is_error = shown in ("error", "failure") and isinstance(after, ast.FormattedValue)
            begins = isinstance(after, ast.Constant) and _BEGINS.match(str(after.value))
            if is_error or (begins and not shown.startswith("sentence(")):
                yield node.lineno, shown


def test_what_is_told_ends_before_the_next_sentence_begins() -> None:
    """An error says its fix last, without a full stop: `with_sentence` puts what else is to be said before it."""
    found = {
        f"{path.relative_to(PLUGINS)}:{line} {shown}"
        for path in PLUGINS.rglob("*.py")
        for line, shown in _joined(path.read_text(encoding="utf-8"))
    }
    assert not found
    assert list(_joined('f"{why} Nothing was changed."')) == [(1, "why")]
    assert list(_joined('f"{error}{more}"')) == [(1, "error")]
    assert not list(_joined('f"{sentence(why)} Nothing was changed: {size} MiB."'))


@pytest.mark.parametrize(
    ("told", "fix", "wanted"),
    [
        ("It failed. Fix: run again", "run again", "It failed. web1 stops the run. Fix: run again"),
        ("It failed", "", "It failed. web1 stops the run."),
        ("Two failed. Fix: a. Fix: b", "c", "Two failed. Fix: a. Fix: b. web1 stops the run."),
    ],
)
def test_a_sentence_more_comes_before_the_fix(told: str, fix: str, wanted: str) -> None:
    assert with_sentence(told, fix, "web1 stops the run.") == wanted
    assert with_sentence(told, fix, "") == told


@pytest.mark.parametrize(("message", "path"), MESSAGES)
def test_a_message_is_a_statement(message: str, path: str) -> None:
    assert "?" not in message, f"{path}: {message}"
    assert "slipway.go has a defect" not in message, f"{path}: {message}"
    assert ".." not in message.replace("...", ""), f"{path}: {message}"
    assert message == message.strip(), f"{path}: {message}"
    if not path.startswith(QUOTING):
        assert message.endswith((".", failures.HOLE)), f"{path}: {message}"


# A command of the tool that is not written as root runs it; one that is only named, in documentation, is C(slipway …).
_BARE = re.compile(
    r"(?<!sudo )(?<!C\()(?<![\w/.-])slipway "
    r"(?:confirm|diagnose|drift|history|lease|metrics|pull|purge|recover|resume|rollback|status|verify|watch)\b"
)


def _bare_commands(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    notes = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in notes:
            yield from _BARE.findall(node.value)


def test_a_command_of_the_tool_is_told_as_it_is_to_be_typed() -> None:
    """Only root may run it."""
    found = {
        f"{path.relative_to(PLUGINS)}: {command}"
        for path in PLUGINS.rglob("*.py")
        for command in _bare_commands(path.read_text(encoding="utf-8"))
    }
    assert not found
    assert list(_bare_commands('f"run slipway resume {name}"')) == ["slipway resume"]
    assert not list(_bare_commands('"""slipway pull"""\nf"run sudo slipway resume {name}"'))

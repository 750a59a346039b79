"""The shape of every message and every fix in the code: a message states, a fix is one imperative clause."""

from __future__ import annotations

import re

import pytest
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


@pytest.mark.parametrize(("message", "path"), MESSAGES)
def test_a_message_is_a_statement(message: str, path: str) -> None:
    assert "?" not in message, f"{path}: {message}"
    assert "slipway.go has a defect" not in message, f"{path}: {message}"
    assert ".." not in message.replace("...", ""), f"{path}: {message}"
    assert message == message.strip(), f"{path}: {message}"
    if not path.startswith(QUOTING):
        assert message.endswith((".", failures.HOLE)), f"{path}: {message}"

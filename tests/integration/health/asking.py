"""How these tests ask."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.slipway.go.plugins.module_utils._health import parsing, runner

Start = Callable[..., Any]  # a program and its arguments to a running process


def checked(**spec: Any) -> dict[str, Any]:
    """One check; services need a moment to start, so it waits."""
    spec.setdefault("deadline", 30)
    spec.setdefault("interval", 0.1)
    return runner.run(parsing.parse_check(spec)).as_dict()


def once(**spec: Any) -> dict[str, Any]:
    return runner.run(parsing.parse_check(spec)).as_dict()

"""How these tests ask."""

from __future__ import annotations

import subprocess
from typing import Any, Callable

from ansible_collections.slipway.go.plugins.module_utils._health import check, runner

Start = Callable[..., "subprocess.Popen[bytes]"]


def checked(**spec: Any) -> dict[str, Any]:
    """One check; services need a moment to start, so it waits."""
    spec.setdefault("deadline", 30)
    spec.setdefault("interval", 0.1)
    return runner.run(check.parse_check(spec)).as_dict()


def once(**spec: Any) -> dict[str, Any]:
    return runner.run(check.parse_check(spec)).as_dict()

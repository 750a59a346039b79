"""Waiting for a state of a lab host, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait(what: str, condition: Callable[[], object], seconds: float = 60.0, pause: float = 0.2) -> None:
    """Return once the condition holds; raise TimeoutError when it does not within that time.

    pause: seconds between two looks.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(pause)

"""Ending what a test has started."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def kill_tree(pid: int) -> None:
    """SIGKILL for a process and what it has started: Ansible's workers have sessions of their own."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    with contextlib.suppress(OSError):
        for child in children.read_text().split():
            kill_tree(int(child))
        os.kill(pid, signal.SIGKILL)

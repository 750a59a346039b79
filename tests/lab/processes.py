"""Signals for what a test has started."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def kill_tree(pid: int) -> None:
    """SIGKILL for a process and what it has started: Ansible's workers have sessions of their own."""
    signal_tree(pid, signal.SIGKILL)


def signal_tree(pid: int, number: int) -> None:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    with contextlib.suppress(OSError):
        if number == signal.SIGSTOP:
            os.kill(pid, number)  # first, so that it starts nothing more
        for child in children.read_text().split():
            signal_tree(int(child), number)
        if number != signal.SIGSTOP:
            os.kill(pid, number)

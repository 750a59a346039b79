"""Stands in for a host that runs systemd."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ansible_collections.slipway.go.plugins.module_utils._deadman.model import RevertPlan, System


class Commands:
    """Stands in for systemd: remembers what was asked, knows the timers that are set, and fails on request."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.failing: tuple[str, ...] = ()
        self.timers: set[str] = set()
        self.slow = 0.0

    def __call__(self, argv):
        self.asked.append(list(argv))
        if argv[0] in self.failing:
            return 1, "refused"
        if argv[0] == "systemd-run":
            timer = argv[3].partition("=")[2] + ".timer"
            if timer in self.timers:
                return 1, f"Failed to start transient timer unit: Unit {timer} was already loaded"
            self.timers.add(timer)
        elif argv[:2] == ["systemctl", "stop"]:
            time.sleep(self.slow)
            self.timers.difference_update(argv[2:])
        elif argv[:2] == ["systemctl", "is-active"]:
            return 3, "\n".join("active" if unit in self.timers else "inactive" for unit in argv[2:])
        return 0, ""


def left_behind(system: System) -> list[str]:
    """But for locks, which a reboot removes, and for what was taken back last, which nothing is armed by."""
    names = []
    for root in (system.root, system.units, system.runtime):
        for folder, _folders, files in os.walk(root):
            names += [os.path.join(folder, file) for file in files if not file.endswith(".lock")]
    return [name for name in names if not os.path.dirname(name).endswith(".kept")]


def plan(*paths: Path, **more) -> RevertPlan:
    return RevertPlan([str(path) for path in paths], **more)


def until(true) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)

"""One fault at one exact moment of an unmodified run: Python imports this where the lab's interpreter is used.

The plan is a file on the host: an event of sys.addaudithook(), or the begin or end of a phase, and what to do then.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import Any

PLAN = "/run/slipway-faults/plan.json"
CLOCK = "/run/slipway-faults/clock"
WRITING = os.O_WRONLY | os.O_RDWR


class Injector:
    """Follows the engine through its files; acts once."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._seen = 0
        self._armed = False
        self._phase = ""
        self._next_phase = ""

    def see(self, event: str, args: tuple[Any, ...]) -> None:
        if self._armed:
            self._armed = False
            self._fire()
        if self._next_phase:
            self._phase, self._next_phase = self._next_phase, ""
            self._meet("begin", self._phase)
        if event in ("os.rename", "os.remove"):
            self._follow(event, args)
        text = self._text(event, args)
        if text:
            self._meet(event, text)

    def _follow(self, event: str, args: tuple[Any, ...]) -> None:
        """A phase begins once state.json names it, and ends before state.json names the next or goes."""
        path = str(args[1] if event == "os.rename" else args[0])
        if os.path.basename(path) != "state.json":
            return
        if self._phase:
            self._meet("end", self._phase)
        self._next_phase = "PRUNE"
        if event == "os.rename":
            with open(args[0], encoding="utf-8") as stream:
                self._next_phase = json.load(stream)["phase"]

    @staticmethod
    def _text(event: str, args: tuple[Any, ...]) -> str:
        if event == "subprocess.Popen":
            return " ".join(map(str, args[1]))
        if event == "open":
            return str(args[0]) if isinstance(args[2], int) and args[2] & WRITING else ""
        return " ".join(map(str, args)) if event.startswith("os.") else ""

    def _meet(self, event: str, text: str) -> None:
        if event != self._plan["event"] or not re.search(self._plan["match"], text):
            return
        self._seen += 1
        if self._seen == self._plan["nth"]:
            if self._plan["after"]:
                self._armed = True
            else:
                self._fire()

    def _fire(self) -> None:
        os.rename(PLAN, f"{PLAN}.done")
        subprocess.run(
            ["/bin/sh", "-c", self._plan["do"]],
            env={**os.environ, "ENGINE": str(os.getpid())},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip


def jump() -> None:
    """From now on, this process sees a clock that is so many seconds off as the file says."""
    real = time.time

    def another() -> float:
        try:
            with open(CLOCK, encoding="utf-8") as stream:
                return real() + float(stream.read())
        except FileNotFoundError:
            return real()

    time.time = another


def install() -> None:
    try:
        with open(PLAN, encoding="utf-8") as stream:
            injector = Injector(json.load(stream))
    except FileNotFoundError:
        return
    busy = False

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal busy
        if busy:
            return
        busy = True
        try:
            injector.see(event, args)
        except OSError:
            pass
        finally:
            busy = False

    jump()
    sys.addaudithook(hook)


install()

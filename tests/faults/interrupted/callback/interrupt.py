"""Stops a run of ansible-playbook before or after one of its tasks, until the test lets it go on."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """INTERRUPT_FOLDER takes `tasks` (what ran), `reached`, and `go`; INTERRUPT_AT is `before 3` or `after 3`."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "interrupt"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(os.environ["INTERRUPT_FOLDER"])
        self._at = os.environ.get("INTERRUPT_AT", "")
        self._number = 0

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._number += 1
        self._reach("before")

    def v2_runner_on_ok(self, result):
        task = getattr(result, "task", None) or result._task
        # What only reads the controller's variables cannot be told from the moment before the next one.
        if task.action.rpartition(".")[2] not in ("include_role", "include_tasks", "validate_argument_spec", "assert"):
            with (self._folder / "tasks").open("a") as stream:
                stream.write(f"{self._number}\t{task.get_name().rpartition(' : ')[2]}\n")
        self._reach("after")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._reach("after")

    def _reach(self, when: str) -> None:
        if f"{when} {self._number}" != self._at:
            return
        (self._folder / "reached").touch()
        while not (self._folder / "go").exists():
            time.sleep(0.02)

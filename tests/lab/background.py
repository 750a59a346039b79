"""A playbook that runs in the background, and how it is interrupted: killed, cancelled or stopped for a while."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import play
from processes import kill_tree, signal_tree


def _take_interrupts() -> None:
    """Whatever started the tests in the background may have had them ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Run:
    """A playbook that runs, and what it has said so far. prefix: words before the command."""

    def __init__(
        self,
        name: str,
        inventory: Path,
        variables: Mapping[str, Any],
        *flags: str,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        log: Path | None = None,
    ) -> None:
        argv = [*prefix, "ansible-playbook", str(play.CHECKOUT / "playbooks" / f"{name}.yml"), "-i", str(inventory)]
        self._log = log or inventory.parent / "run.log"
        self._begun = time.monotonic()
        with self._log.open("w") as stream:
            self._process = subprocess.Popen(
                [*argv, "-e", json.dumps(variables), *flags],
                env={**play.environment(), "ANSIBLE_TIMEOUT": "4", **(environment or {})},
                cwd=play.CHECKOUT,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_take_interrupts,
            )

    def said(self) -> str:
        return self._log.read_text()

    def over(self) -> bool:
        return self._process.poll() is not None

    def until(self, what: str, condition: Callable[[], object], pause: float = 0.1) -> None:
        """pause: seconds between two looks."""
        deadline = time.monotonic() + 300
        while not condition():
            assert not self.over(), f"the run ended before {what}:\n{self.said()}"
            assert time.monotonic() < deadline, f"{what}: not within 300 s:\n{self.said()}"
            time.sleep(pause)

    def cancel(self, number: int) -> None:
        """As whoever cancels a job does: an interrupt for the process group, or the death of all that it has begun."""
        if number == signal.SIGKILL:
            kill_tree(self._process.pid)
        else:
            os.killpg(self._process.pid, number)

    def signal_inside(self, number: int) -> None:
        """For the first process of the container that a prefix has made."""
        os.kill(self._first_inside(), number)

    def _first_inside(self) -> int:
        return int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0])

    @contextmanager
    def namespace_kept(self) -> Iterator[None]:
        """No other container gets the number of its namespace meanwhile, by which a run knows that this one is over."""
        descriptor = os.open(f"/proc/{self._first_inside()}/ns/pid", os.O_RDONLY)
        try:
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """All that it has begun stands still, as when a laptop sleeps."""
        signal_tree(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            signal_tree(self._process.pid, signal.SIGCONT)

    def end(self, seconds: float = 420) -> play.Play:
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.cancel(signal.SIGKILL)
            self._process.wait()
        return play.Play(self._process.returncode, time.monotonic() - self._begun, self.said())

"""The load client, running beside a test: what the users of a lab host would notice."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0  # for the requests that are under way when it is told to end


class Load:
    """Requests at a fixed rate (1/s) to each URL, `http://…` or `NAME=http://…`, until report() or the block ends.

    more: further arguments of tests/lab/load. Its files are load.json and marks.jsonl in the folder.
    """

    def __init__(self, binary: Path, folder: Path, urls: Sequence[str], rate: int, *more: str) -> None:
        self._report, self._marks = folder / "load.json", folder / "marks.jsonl"
        self._marks.write_text("")
        targets = [part for url in urls for part in ("-url", url)]
        files = ["-json", str(self._report), "-marks", str(self._marks)]
        argv = [str(binary), *targets, "-rate", str(rate), "-interval", "0", *files, *more]
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.kill()

    def mark(self, name: str, start: float, end: float, **more: str) -> None:
        """A time of which the report is to have figures of its own (seconds since the epoch); target: of one URL."""
        with self._marks.open("a") as stream:
            stream.write(json.dumps({"name": name, "start": start, "end": end, **more}) + "\n")

    def report(self) -> dict[str, Any]:
        """Ends it. What it has sent and met, as JSON of tests/lab/load says it."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=PATIENCE_S)
        found: dict[str, Any] = json.loads(self._report.read_text())
        return found

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of an upstream of nginx on this host, by its configuration. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Iterator

from .._core import command, files
from .._core.errors import SlipwayError
from .._host import processes
from .model import OUT, Answer, Wish, one_at_a_time, require_others, unknown, wait
from .upstream import entries, with_server

PID_FILE = "/run/nginx.pid"
CONFIGURATION = "/etc/nginx/nginx.conf"
_RELOADED = 10.0  # seconds until no worker of before takes new connections
_MARK = ".slipway-reload"  # beside the file: written, and not yet known to be in force
_ENDING = b"is shutting down"


class Nginx:
    """One upstream, in the file at path, which the main configuration includes."""

    def __init__(self, path: str, wish: Wish, configuration: str = CONFIGURATION, pid_file: str = PID_FILE) -> None:
        self._path = os.path.realpath(path)  # it is replaced as a whole, and a link to it stays one
        self._wish = wish
        self._configuration = configuration
        self._pid_file = pid_file

    def apply(self, predict: bool) -> Answer:
        """predict: only say what would be changed."""
        out = self._wish.state == OUT
        with one_at_a_time():
            before = self._read()
            others = self._others(before, out)
            after = with_server(before, self._wish.backend, self._wish.server, out)
            if predict:
                return Answer(after != before, others)
            if after != before or os.path.exists(self._path + _MARK):
                self._change(before, after)
        return Answer(after != before, others, self._left() if out else 0)

    def _others(self, text: str, out: bool) -> tuple[str, ...]:
        found = entries(text, self._wish.backend)
        own = [one for one in found if one.name == self._wish.server]
        if not own:
            names = sorted({one.name for one in found})
            raise unknown(f"server {self._wish.server} in upstream {self._wish.backend}", self._path, names)
        others = tuple(sorted({one.name for one in found if one.serves and one.name != self._wish.server}))
        if out and any(one.serves for one in own):
            require_others(self._wish, others)
        return others

    def _read(self) -> str:
        try:
            return Path(self._path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            raise SlipwayError(
                "balancer_unknown", f"{self._path} cannot be read: {reason}.", "correct balancer_file"
            ) from error

    def _change(self, before: str, after: str) -> None:
        """The mark stays where this is cut short, so that the next run reloads, too."""
        mode = os.stat(self._path).st_mode & 0o7777
        files.write_atomic(self._path + _MARK, "", 0o600)
        files.write_atomic(self._path, after, mode)
        try:
            self._reload()
        except SlipwayError:
            files.write_atomic(self._path, before, mode)
            raise
        os.unlink(self._path + _MARK)

    def _reload(self) -> None:
        program = ["nginx", "-c", self._configuration]
        tested = command.run([*program, "-t"])
        if tested.code != 0:
            raise _refused(f"nginx does not accept its configuration: {tested.complaint}")
        old = set(self._workers())
        command.run([*program, "-s", "reload"]).require_success()
        if not wait(_RELOADED, lambda: not old & set(self._workers())):
            raise _refused(f"nginx has the workers of before {_RELOADED:g} s after its reload")

    def _left(self) -> int:
        """Wait for the workers that still know the server as it was; how many there are at the end."""
        wait(self._wish.timeout, lambda: not list(self._workers(ending=True)))
        return len(list(self._workers(ending=True)))

    def _workers(self, ending: bool = False) -> Iterator[int]:
        """Those that take new connections, or those that only finish what they have begun."""
        master = self._master()
        for pid in processes.every_pid():
            with contextlib.suppress(OSError):
                title = Path(f"/proc/{pid}/cmdline").read_bytes()
                is_wanted = title.startswith(b"nginx: worker") and (_ENDING in title) == ending
                if is_wanted and processes.parent(pid) == master:
                    yield pid

    def _master(self) -> int:
        try:
            return int(Path(self._pid_file).read_text())
        except (OSError, ValueError) as error:
            raise SlipwayError(
                "balancer_unreachable", f"nginx does not run: {self._pid_file} names no process.", "start nginx"
            ) from error


def _refused(why: str) -> SlipwayError:
    return SlipwayError(
        "balancer_refused", f"{why}. The file is as it was.", "see what nginx -t says, and correct its configuration"
    )

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server of an upstream of nginx on this host, by its configuration. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import os
import re
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
_FILE = re.compile(r"^# configuration file (.+):$", re.MULTILINE)
_ENDING = b"is shutting down"


class Nginx:
    """One upstream, in the file at path, which the main configuration includes."""

    def __init__(self, path: str, wish: Wish, configuration: str = CONFIGURATION, pid_file: str = PID_FILE) -> None:
        self._path = os.path.realpath(path)  # it is replaced as a whole, and a link to it stays one
        self._wish = wish
        self._configuration = configuration
        self._program = ["nginx", "-c", configuration]
        self._pid_file = pid_file

    def apply(self, predict: bool) -> Answer:
        """predict: only say what would be changed."""
        out = self._wish.state == OUT
        with one_at_a_time():
            before = self._read()
            others = self._others(before, out)
            after = with_server(before, self._wish.backend, self._wish.server, out)
            changes = after != before or os.path.exists(self._beside("reload"))
            if predict:
                return Answer(changes, others)
            if changes:
                self._change(before, after)
        return Answer(changes, others, self._left() if out else 0)

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
            with open(self._path, encoding="utf-8", newline="") as stream:
                return stream.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            raise SlipwayError(
                "balancer_unknown", f"{self._path} cannot be read: {reason}.", "correct balancer_file"
            ) from error

    def _change(self, before: str, after: str) -> None:
        """The mark stays where this is cut short, so that the next run reloads, too; not where nothing is to reload."""
        self._master()
        self._check(included=True)
        mark = self._beside("reload")
        was_marked = os.path.exists(mark)
        files.write_atomic(mark, "", 0o600)
        self._replace(after)
        try:
            self._check()
        except SlipwayError:
            self._replace(before)
            if not was_marked:
                os.unlink(mark)
            raise
        try:
            old = set(self._workers())
            command.run([*self._program, "-s", "reload"]).require_success()
        except SlipwayError:
            self._replace(before)
            raise
        if not wait(_RELOADED, lambda: not old & set(self._workers())):
            raise SlipwayError(
                "balancer_refused",
                f"nginx has workers of before {_RELOADED:g} s after its reload.",
                "see nginx's error log, then run again",
            )
        os.unlink(mark)

    def _check(self, included: bool = False) -> None:
        """nginx accepts its configuration, and the file is part of it."""
        tested = command.run([*self._program, "-T" if included else "-t"])
        if tested.code != 0:
            raise SlipwayError(
                "balancer_refused",
                f"nginx does not accept its configuration, and {self._path} is as it was: {tested.complaint[-500:]}",
                "see what nginx -t says, and correct its configuration",
            )
        if included and not any(os.path.realpath(path) == self._path for path in _FILE.findall(tested.text)):
            raise SlipwayError(
                "balancer_unknown",
                f"nginx does not include {self._path} in {self._configuration}.",
                "correct balancer_file",
            )

    def _replace(self, text: str) -> None:
        """As a whole, with its owner; a name with a dot is in no pattern of an include."""
        status, draft = os.stat(self._path), self._beside("draft")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        files.write_new(draft, text, status.st_mode & 0o7777)
        os.chown(draft, status.st_uid, status.st_gid)
        os.replace(draft, self._path)
        files.fsync_directory(os.path.dirname(self._path))

    def _beside(self, what: str) -> str:
        folder, name = os.path.split(self._path)
        return os.path.join(folder, f".{name}.slipway-{what}")

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

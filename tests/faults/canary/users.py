# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users of a lab host who are known by name, and what each of them has met, answer by answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

TIMEOUT = 20.0
FAILED = "failed"


@dataclass
class User:
    """One user; headers are what he sends. met: when he got which version, or FAILED."""

    name: str
    headers: dict[str, str]
    met: list[tuple[float, str]] = field(default_factory=list)

    def versions(self, begin: float = 0.0, end: float = 1e12) -> list[str]:
        return [version for at, version in self.met if begin <= at < end]

    @property
    def changes(self) -> list[str]:
        """The versions, each once as long as it is the same."""
        seen = self.versions()
        return [one for place, one in enumerate(seen) if place == 0 or seen[place - 1] != one]


class Crowd:
    """Users who ask one after the other, so often a second together, until the block ends."""

    def __init__(self, address: str, port: int, users: list[User], rate: float, threads: int = 4) -> None:
        self.users = users
        self._address, self._port = address, port
        self._pause = threads / rate
        self._end = threading.Event()
        parts = [users[one::threads] for one in range(threads)]
        self._threads = [threading.Thread(target=self._ask, args=(part,), daemon=True) for part in parts if part]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(TIMEOUT + 5)

    def _ask(self, users: list[User]) -> None:
        due = time.monotonic()
        while True:
            for user in users:
                due += self._pause
                if self._end.wait(max(due - time.monotonic(), 0)):
                    return
                user.met.append((time.time(), self._version(user)))

    def _version(self, user: User) -> str:
        connection = http.client.HTTPConnection(self._address, self._port, timeout=TIMEOUT)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/", headers=user.headers)
                answer = connection.getresponse()
                text = answer.read()
                return str(json.loads(text)["version"]) if answer.status == 200 else FAILED
            except (OSError, http.client.HTTPException, ValueError):
                return FAILED

    def counted(self, begin: float = 0.0, end: float = 1e12) -> Counter[str]:
        return Counter(version for user in self.users for version in user.versions(begin, end))

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HAProxy through the command line of its master process. This file is PRIVATE to the collection.

The master reaches every worker, also one that a reload has left behind with its open connections: that one tells what
it does, and takes no orders any more.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..._core.errors import SlipwayError
from ..._host import haproxy as command_line

MASTER_SOCKET = "/run/haproxy-master.sock"
TIMEOUT = 2.0
READY, DRAIN, MAINT = "ready", "drain", "maint"
_SERVERS = 4  # the bit of `show stat` that selects servers
_COLUMNS = ("svname", "status", "addr", "weight", "scur", "qcur", *command_line.COUNTERS)
_ENTRY = re.compile(r"\bkey=(\S+?)/(\d+) .*\bgpc0=(\d+)")


class Worker(NamedTuple):
    """A worker process; a former one only finishes what it has begun."""

    pid: int
    former: bool


class Server(NamedTuple):
    """One server of a backend as a worker sees it. sessions are those open or waiting now, the others are totals."""

    state: str
    address: str
    weight: int
    sessions: int
    requests: int
    failures: int


class Haproxy:
    """Each command is a connection of its own. timeout is in seconds for one answer.

    Raises proxy_unreachable while HAProxy starts, stops or is away, and proxy_unexpected for an answer nobody expects.
    """

    def __init__(self, path: str = MASTER_SOCKET, timeout: float = TIMEOUT) -> None:
        self._path = path
        self._timeout = timeout

    def workers(self) -> list[Worker]:
        return parse_workers(self.ask("show proc"))

    def servers(self, worker: Worker, backend: str) -> dict[str, Server]:
        """The backend's servers by name; none where this worker does not know the backend."""
        return parse_servers(self.ask(f"@!{worker.pid} show stat {backend} {_SERVERS} -1"))

    def times(self, worker: Worker, table: str) -> dict[str, dict[int, int]]:
        """How many requests were answered within so many milliseconds, by server; none where there is no such table."""
        return parse_times(self.ask(f"@!{worker.pid} show table {table}"))

    def set_address(self, worker: Worker, server: str, address: str) -> None:
        """server is BACKEND/NAME, address HOST:PORT; HAProxy tells in words what it changed."""
        host, _colon, port = address.rpartition(":")
        self.ask(f"@!{worker.pid} set server {server} addr {host} port {port}")

    def set_state(self, worker: Worker, server: str, state: str) -> None:
        self._order(worker, f"set server {server} state {state}")

    def set_weight(self, worker: Worker, server: str, weight: int) -> None:
        self._order(worker, f"set server {server} weight {weight}")

    def _order(self, worker: Worker, command: str) -> None:
        answer = self.ask(f"@!{worker.pid} {command}").strip()
        if answer:
            raise _unexpected(command, answer)

    def ask(self, command: str) -> str:
        try:
            return _require_target(command_line.ask(self._path, command, self._timeout))
        except command_line.UnexpectedAnswer as error:
            raise _unexpected(command, str(error)) from error
        except OSError as error:
            raise SlipwayError(
                "proxy_unreachable",
                f"HAProxy does not answer at {self._path}: {error.strerror or error}.",
                "see systemctl status haproxy, or set it up with the role slipway.go.proxy",
            ) from error


def _require_target(answer: str) -> str:
    if answer.startswith("Can't find the target"):  # a former worker ended since it was listed
        raise SlipwayError("proxy_unreachable", "a worker of HAProxy has just ended.", "see journalctl -u haproxy")
    return answer


def _unexpected(command: str, answer: str) -> SlipwayError:
    words = " ".join(answer.split())
    return SlipwayError(
        "proxy_unexpected",
        f"HAProxy answers to `{command}`: {words[:200] or 'nothing'}",
        "use HAProxy 2.4 or newer in master-worker mode, as the role slipway.go.proxy sets it up",
    )


def parse_workers(text: str) -> list[Worker]:
    """`show proc`: a table with comments between the current workers and the former ones."""
    workers, former = [], False
    for line in text.splitlines():
        former = former or line.startswith("# old workers")
        words = line.split()
        if len(words) > 1 and words[0].isdigit() and words[1] == "worker":
            workers.append(Worker(int(words[0]), former))
    if not any(not worker.former for worker in workers):
        # As long as a reload loads its configuration, there is a master and nobody behind it.
        raise SlipwayError(
            "proxy_unreachable", "HAProxy has no worker that takes requests.", "see journalctl -u haproxy"
        )
    return workers


def parse_servers(text: str) -> dict[str, Server]:
    """`show stat` of one backend."""
    if not text.strip():  # a worker that ends in this moment
        raise SlipwayError("proxy_unreachable", "a worker of HAProxy did not answer.", "see journalctl -u haproxy")
    try:
        return {row["svname"]: _server(row) for row in command_line.rows(text)}
    except command_line.UnexpectedAnswer as error:
        raise _unexpected("show stat", str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise _unexpected("show stat", f"a table without {', '.join(_COLUMNS)} ({error})") from error


def _server(row: dict[str, str]) -> Server:
    counted = command_line.counted(row)
    return Server(
        state=_state(row["status"]),
        address=row["addr"],
        weight=int(row["weight"] or 0),
        sessions=int(row["scur"] or 0) + int(row["qcur"] or 0),
        requests=counted.requests,
        failures=counted.failed,
    )


def _state(status: str) -> str:
    """MAINT and DRAIN stand first also where a reason follows; a server without checks is simply there."""
    for word, state in (("MAINT", MAINT), ("DRAIN", DRAIN)):
        if status.startswith(word):
            return state
    return READY


def parse_times(text: str) -> dict[str, dict[int, int]]:
    """`show table`: one line for each key, which is SERVER/MILLISECONDS."""
    times: dict[str, dict[int, int]] = {}
    for server, milliseconds, count in _ENTRY.findall(text):
        times.setdefault(server, {})[int(milliseconds)] = int(count)
    return times

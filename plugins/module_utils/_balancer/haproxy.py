# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server of an HAProxy on this host, by the runtime API. This file is PRIVATE to the collection.

What is ordered here lasts until HAProxy's next reload or restart, which puts the server back.
"""

from __future__ import annotations

from typing import NamedTuple

from .._core.errors import SlipwayError
from .._host import haproxy
from .model import OUT, Answer, Wish, one_at_a_time, require_others, unknown, wait

SOCKET = "/run/haproxy/admin.sock"
_SERVERS = 4  # the bit of `show stat` that selects servers
_SECONDS = 5.0
_COLUMNS = ("svname", "status", "weight", "scur", "qcur")


class Server(NamedTuple):
    """status: as HAProxy writes it, such as UP, UP 1/3, no check, DOWN, DRAIN or MAINT (via …)."""

    name: str
    status: str
    weight: int
    connections: int

    @property
    def drains(self) -> bool:
        return self.status.startswith("DRAIN")

    @property
    def is_maintained(self) -> bool:
        return self.status.startswith("MAINT")

    @property
    def is_up(self) -> bool:
        return self.status.startswith(("UP", "no check"))

    @property
    def serves(self) -> bool:
        return self.is_up and self.weight > 0


def parse_servers(text: str) -> dict[str, Server]:
    try:
        return {row["svname"]: _server(row) for row in haproxy.rows(text)}
    except haproxy.UnexpectedAnswer as error:
        raise _refused(str(error) or "nothing") from error
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(f"a table without {', '.join(_COLUMNS)} ({error})") from error


def _server(row: dict[str, str]) -> Server:
    weight, current, queued = (int(row[key] or 0) for key in ("weight", "scur", "qcur"))
    return Server(row["svname"], row["status"], weight, current + queued)


def _refused(answer: str) -> SlipwayError:
    return SlipwayError(
        "balancer_refused",
        f"HAProxy answers: {' '.join(answer.split())[:200]}",
        "give its socket the level admin (stats socket … level admin), and use HAProxy 2.4 or newer",
    )


class Haproxy:
    """One backend, through the socket at path."""

    def __init__(self, path: str, wish: Wish) -> None:
        self._path = path
        self._wish = wish

    def apply(self, predict: bool) -> Answer:
        """predict: only say what would be changed."""
        with one_at_a_time():
            servers = self._servers()
            own = servers[self._wish.server]
            others = tuple(one.name for one in servers.values() if one.serves and one != own)
            out = self._wish.state == OUT
            # Somebody has taken it out for a reason of their own; that is not for a release to end.
            changes = not own.is_maintained and own.drains != out
            if out and changes and own.serves:
                require_others(self._wish, others)
            if changes and not predict:
                self._order()
        if predict:
            return Answer(changes, others)
        return Answer(changes, others, self._drained() if out else self._serving(own.is_maintained))

    def _drained(self) -> int:
        """Wait for its connections; how many are open at the end."""
        wait(self._wish.timeout, lambda: self._look_out().connections == 0)
        return self._look_out().connections

    def _look_out(self) -> Server:
        """A reload in the meantime has put it back."""
        own = self._servers()[self._wish.server]
        if not own.drains and not own.is_maintained:
            self._order()
        return own

    def _serving(self, is_maintained: bool) -> int:
        seen = ""

        def is_up() -> bool:
            nonlocal seen
            own = self._servers()[self._wish.server]
            seen = own.status
            return own.is_up

        if not is_maintained and not wait(self._wish.timeout, is_up):
            raise SlipwayError(
                "balancer_server_down",
                f"{self._wish.backend}/{self._wish.server} was put back, and is {seen} after {self._wish.timeout:g} s.",
                "see HAProxy's check of that server (show stat), then run again",
            )
        return 0

    def _servers(self) -> dict[str, Server]:
        servers = parse_servers(self._ask(f"show stat {self._wish.backend} {_SERVERS} -1"))
        if not servers:
            raise unknown(f"backend {self._wish.backend} with servers", "HAProxy", self._backends())
        if self._wish.server not in servers:
            raise unknown(f"server {self._wish.server}", f"HAProxy's backend {self._wish.backend}", sorted(servers))
        return servers

    def _backends(self) -> list[str]:
        lines = self._ask("show backend").splitlines()
        return sorted(line for line in lines if line and not line.startswith("#") and line != "MASTER")

    def _order(self) -> None:
        state = "drain" if self._wish.state == OUT else "ready"
        answer = self._ask(f"set server {self._wish.backend}/{self._wish.server} state {state}").strip()
        if answer:
            raise _refused(answer)

    def _ask(self, command: str) -> str:
        try:
            return haproxy.ask(self._path, command, _SECONDS)
        except haproxy.UnexpectedAnswer as error:
            raise _refused(str(error)) from error
        except OSError as error:
            raise SlipwayError(
                "balancer_unreachable",
                f"HAProxy does not answer at {self._path}: {error.strerror or error}.",
                "start HAProxy, or correct balancer_socket",
            ) from error

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server of an HAProxy on this host, by the runtime API. This file is PRIVATE to the collection.

What is ordered here lasts until HAProxy's next reload or restart, which puts the server back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Mapping, NamedTuple, Optional

from .._core.errors import SlipwayError
from .._host import haproxy
from .given_weights import GivenWeights
from .model import OUT, WHOLE, Answer, Wish, one_at_a_time, require_others, unknown, wait

SOCKET = "/run/haproxy/admin.sock"
_SECONDS = 5.0
_STATE = ("be_name", "srv_name", "srv_op_state", "srv_admin_state", "srv_uweight", "srv_iweight")
_MAINTAINED, _DRAINED = 0x27, 0x18  # bits of srv_admin_state, each forced, inherited or configured
_FAR = 2.0  # so many times as much as was chosen is another share
_UP = (1, 2)  # srv_op_state: it starts slowly, or runs


class Server(NamedTuple):
    """A server of the backend. A check may find it down while it drains, and up again. whole: its weight at first.

    Source: management.txt of HAProxy, "show servers state", version 1 of the format.
    """

    name: str
    is_up: bool
    drains: bool
    is_maintained: bool
    weight: int
    whole: int

    @property
    def serves(self) -> bool:
        return self.is_up and self.weight > 0 and not self.drains and not self.is_maintained

    def __str__(self) -> str:
        return "in maintenance" if self.is_maintained else "drained" if self.drains else "up" if self.is_up else "down"


def parse_servers(text: str, backend: str) -> dict[str, Server]:
    """`show servers state`; HAProxy may take a name that begins with digits for the number of another backend."""
    lines = [line.split() for line in text.splitlines()]
    header = next((line[1:] for line in lines if line[:1] == ["#"]), [])
    found = [dict(zip(header, line)) for line in lines if line and line[0] != "#" and len(line) > 1]
    try:
        return {row["srv_name"]: _server(row) for row in found if row["be_name"] == backend} if header else {}
    except (KeyError, ValueError) as error:
        raise refusal(f"a table without {', '.join(_STATE)} ({error})") from error


def _server(row: dict[str, str]) -> Server:
    state, admin, weight, whole = (int(row[key]) for key in _STATE[2:])
    return Server(row["srv_name"], state in _UP, bool(admin & _DRAINED), bool(admin & _MAINTAINED), weight, whole)


def weight_for(wish: Wish, servers: Mapping[str, Server]) -> Optional[int]:
    """The weight by which the server gets its part of the share; never 0, and never more than its own."""
    own = servers[wish.server]
    if wish.share is None:
        return None
    sharing, rest = _sharing(wish, servers)
    if wish.share >= WHOLE or not rest:
        return own.whole
    return min(max(round(rest * wish.share / (WHOLE - wish.share) / len(sharing)), 1), own.whole)


def require_share(wish: Wish, servers: Mapping[str, Server]) -> None:
    """Refuse a share that is far from the least that the weights allow: the servers would get more than was chosen."""
    sharing, rest = _sharing(wish, servers)
    if wish.share is None or not rest:
        return
    weight = weight_for(wish, servers) or 0
    gets = WHOLE * weight * len(sharing) / (weight * len(sharing) + rest)
    if gets > _FAR * wish.share:
        raise SlipwayError(
            "balancer_share",
            f"with these weights, {' and '.join(sorted(sharing))} would get {gets:.0f} % of the requests of "
            f"{wish.backend} at least, not {wish.share:g} %.",
            "give the servers of that backend a weight of 100 each (default-server weight 100), or raise "
            "balancer_canary_share",
        )


def _sharing(wish: Wish, servers: Mapping[str, Server]) -> tuple[set[str], int]:
    """Who has the share together, and the weight of all others that serve."""
    sharing = {wish.server, *wish.together} & servers.keys()
    return sharing, sum(one.weight for one in servers.values() if one.serves and one.name not in sharing)


def parse_connections(text: str, backend: str, server: str) -> int:
    """What is open at the server or waits for it, of `show stat`, which has frontends of the same name, too."""
    try:
        rows = [row for row in haproxy.rows(text) if (row["pxname"], row["svname"]) == (backend, server)]
        return sum(int(row[key] or 0) for row in rows for key in ("scur", "qcur"))
    except haproxy.UnexpectedAnswer as error:
        raise refusal(str(error) or "nothing") from error
    except (KeyError, TypeError, ValueError) as error:
        raise refusal(f"a table without pxname, svname, scur, qcur ({error})") from error


def refusal(answer: str) -> SlipwayError:
    return SlipwayError(
        "balancer_refused",
        f"HAProxy answers: {' '.join(answer.split())[:200]}",
        "give its socket the level admin (stats socket … level admin), and use HAProxy 2.4 or newer",
    )


def ask(path: str, command: str) -> str:
    """Of the socket at path."""
    try:
        return haproxy.ask(path, command, _SECONDS)
    except haproxy.UnexpectedAnswer as error:
        raise refusal(str(error)) from error
    except PermissionError as error:
        raise SlipwayError(
            "balancer_refused", f"{path} may not be used by this user.", "run this as root (become: true)"
        ) from error
    except OSError as error:
        raise SlipwayError(
            "balancer_unreachable",
            f"HAProxy does not answer at {path}: {error.strerror or error}.",
            "start HAProxy, or correct balancer_socket",
        ) from error


class Haproxy:
    """One backend, through the socket at path."""

    def __init__(self, path: str, wish: Wish) -> None:
        self._path = path
        self._wish = wish
        self._given = GivenWeights(path, wish.backend, wish.server)
        self._ordered = ""  # the process that has got the order

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
                require_share(self._wish, servers)
            weight = None if own.is_maintained else weight_for(self._unless_given(own), servers)
            if own.weight == own.whole and not predict:  # what HAProxy has forgotten, too
                self._given.forget()
            if out and weight is not None:
                # Where HAProxy takes no other, it says so. Rules of the operator's may lead users here by its weight.
                if not predict:
                    self._weigh(weight, own)
                weight = own.whole
            weighs = weight not in (None, own.weight)
            if weight is not None and not predict:
                self._weigh(weight, own)
            if changes and not predict:
                self._order()
            stays = not out and weight is None and not own.is_maintained and own.weight < own.whole
            answer = Answer(changes or weighs, others, weight=weight, lowered=own.weight if stays else None)
        if predict:
            return answer
        return replace(answer, connections=self._drained() if out else self._back())

    def _unless_given(self, own: Server) -> Wish:
        """The wish, with the whole weight where a run was killed before it has given that back."""
        if self._wish.share is None and own.weight != own.whole and self._given.has(own.weight):
            return replace(self._wish, share=WHOLE)
        return self._wish

    def _drained(self) -> int:
        """Wait for its connections; how many are open at the end."""
        self._ordered = self._ordered or self._process()
        wait(self._wish.timeout, lambda: self._look_out() == 0)
        return self._look_out()

    def _look_out(self) -> int:
        """How many are open. A reload has put the server back; if there was none, somebody has."""
        own = self._servers()[self._wish.server]
        if not own.drains and not own.is_maintained:
            if self._process() == self._ordered:
                raise SlipwayError(
                    "changed_meanwhile",
                    f"somebody has put {self._wish.backend}/{own.name} back while its connections were waited for.",
                    "run again when nobody else changes HAProxy",
                )
            self._order()
        return parse_connections(self._ask("show stat -1 4 -1"), self._wish.backend, own.name)

    def _back(self) -> int:
        own = self._own()
        if not own.is_maintained and not wait(self._wish.timeout, lambda: self._own().is_up):
            raise SlipwayError(
                "balancer_server_down",
                f"{self._wish.backend}/{own.name} was put back, and is {self._own()} after {self._wish.timeout:g} s.",
                "see HAProxy's check of that server (show stat), then run again",
            )
        return 0

    def _own(self) -> Server:
        return self._servers()[self._wish.server]

    def _servers(self) -> dict[str, Server]:
        servers = parse_servers(self._ask(f"show servers state {self._wish.backend}"), self._wish.backend)
        if not servers:
            raise unknown(f"backend {self._wish.backend} with servers", "HAProxy", self._backends())
        if self._wish.server not in servers:
            raise unknown(f"server {self._wish.server}", f"HAProxy's backend {self._wish.backend}", sorted(servers))
        return servers

    def _backends(self) -> list[str]:
        lines = self._ask("show backend").splitlines()
        return sorted(line for line in lines if line and not line.startswith("#") and line != "MASTER")

    def _process(self) -> str:
        """Which process answers; each reload makes another one."""
        lines = self._ask("show info").splitlines()
        return next((line for line in lines if line.startswith("Pid:")), "")

    def _weigh(self, weight: int, own: Server) -> None:
        """Its own weight is a percentage: a balancing that is static takes no other."""
        if weight != own.whole:
            self._given.add(weight)
        wanted = "100%" if weight == own.whole else str(weight)
        answer = self._ask(f"set server {self._wish.backend}/{own.name} weight {wanted}").strip()
        if "static" in answer:
            raise SlipwayError(
                "balancer_share",
                f"HAProxy answers: {' '.join(answer.split())[:200]}",
                "use balance roundrobin or leastconn in that backend, or leave balancer_canary_share out",
            )
        if answer:
            raise refusal(answer)
        if weight == own.whole:
            self._given.forget()

    def _order(self) -> None:
        self._ordered = self._process()
        state = "drain" if self._wish.state == OUT else "ready"
        answer = self._ask(f"set server {self._wish.backend}/{self._wish.server} state {state}").strip()
        if answer:
            raise refusal(answer)

    def _ask(self, command: str) -> str:
        return ask(self._path, command)

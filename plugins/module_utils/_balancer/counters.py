# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What HAProxy on this host has counted at the servers of a backend. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from .._core.errors import SlipwayError
from .._host import haproxy
from .haproxy import ask, refusal
from .model import require_name, unknown

_HEADER = "# pxname"
_SERVER = "2"  # the value of `type`
# One connection, so that one process answers both.
_COMMAND = "show info;show stat -1 4 -1"


@dataclass(frozen=True)
class Counters:
    """Since the process began; each reload makes another one. uptime: in seconds."""

    process: int
    uptime: int
    servers: Mapping[str, haproxy.Counted]


def read(path: str, backend: str) -> Counters:
    """By the socket at path, which needs no level admin."""
    return parse(ask(path, _COMMAND), require_name("backend", backend))


def parse(text: str, backend: str) -> Counters:
    """`show info`, followed by `show stat` of servers."""
    info, header, table = text.partition(_HEADER)
    told = dict(line.split(": ", 1) for line in info.splitlines() if ": " in line)
    try:
        servers = [row for row in haproxy.rows(header + table) if row["type"] == _SERVER]
        rows = [row for row in servers if row["pxname"] == backend]
        if not rows:
            raise unknown(f"backend {backend} with servers", "HAProxy", sorted({row["pxname"] for row in servers}))
        if any(row.get("mode") == "tcp" for row in rows):
            raise _counts_no_answers(backend)
        found = {row["svname"]: haproxy.counted(row) for row in rows}
        return Counters(int(told["Pid"]), int(told["Uptime_sec"]), found)
    except haproxy.UnexpectedAnswer as error:
        raise refusal(str(error) or "nothing") from error
    except (KeyError, TypeError, ValueError) as error:
        columns = ", ".join(("pxname", "svname", "type", *haproxy.COUNTERS))
        raise refusal(f"a table without {columns}, or no Pid and Uptime_sec ({error})") from error


def _counts_no_answers(backend: str) -> SlipwayError:
    return SlipwayError(
        "balancer_unknown",
        f"backend {backend} has the mode tcp, in which HAProxy counts no answers.",
        "name a backend with the mode http",
    )

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HAProxy's command line on a socket. This file is PRIVATE to the collection.

Format: management.txt of HAProxy 2.4 and newer, "Unix Socket commands".
"""

from __future__ import annotations

import csv
import io
import socket
from typing import Mapping, NamedTuple

MAX_ANSWER = 4 << 20


class UnexpectedAnswer(ValueError):
    """HAProxy answers what nobody expects."""


def ask(path: str, command: str, timeout: float) -> str:
    """One command, one answer, which may take so many seconds. Raises OSError where nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(command.encode() + b"\n")
        connection.shutdown(socket.SHUT_WR)  # the master waits for more commands otherwise
        answer = b""
        while len(answer) <= MAX_ANSWER:
            part = connection.recv(1 << 16)
            if not part:
                return answer.decode(errors="replace")
            answer += part
    raise UnexpectedAnswer(f"more than {MAX_ANSWER} bytes")


def rows(text: str) -> list[dict[str, str]]:
    """`show stat`: CSV whose header starts with '# '; none where there is no such backend."""
    text = text.strip()
    if text.startswith("# "):
        return list(csv.DictReader(io.StringIO(text[2:])))
    if text.startswith(("No such proxy", "Unknown proxy", "Invalid proxy")) or "such proxy" in text:
        return []
    raise UnexpectedAnswer(text)


class Counted(NamedTuple):
    """What a server of a backend was asked since HAProxy began.

    Requests are those that were answered or have failed there; one that HAProxy could send to another server after all
    is not among them. Failed are answers 5xx, refused connections, and answers that did not come, or not in whole.
    What a client has broken off or asked in a wrong way (4xx) has not failed.
    An answer 1xx that another one follows is no request; one that opens a connection such as a websocket's is.
    """

    requests: int
    failed: int


COUNTERS = ("req_tot", "econ", "eresp", "srv_abrt", "hrsp_5xx")


def counted(row: Mapping[str, str]) -> Counted:
    """Of one row of `show stat`; raises KeyError, TypeError or ValueError where it has other columns."""
    number = {key: int(row[key] or 0) for key in COUNTERS}
    # An answer that breaks off is counted as a request, as eresp and as srv_abrt; one that never began as eresp alone.
    unanswered = number["econ"] + max(number["eresp"] - number["srv_abrt"], 0)
    # req_tot counts each answer 1xx, too. Of a websocket it is the only one: stot has one for each request and attempt.
    provisional = int(row.get("hrsp_1xx") or 0)
    if row.get("stot"):
        asked = int(row["stot"]) - sum(int(row.get(key) or 0) for key in ("wretr", "wredis"))
        provisional = min(provisional, max(number["req_tot"] + unanswered - asked, 0))
    return Counted(
        requests=max(number["req_tot"] - provisional, 0) + unanswered,
        failed=number["econ"] + number["eresp"] + number["hrsp_5xx"],
    )

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

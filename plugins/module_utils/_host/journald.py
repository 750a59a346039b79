# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What units have logged, through journalctl(1), and a way to log. This file is PRIVATE to the collection."""

from __future__ import annotations

import socket
from typing import Any, Mapping

from .._core import command, json_lines

SOCKET = "/run/systemd/journal/socket"
SECONDS = 5.0  # a log that is slow to read must not hold up what waits for these lines


def last_lines(unit: str, since: float, until: float, count: int) -> list[str]:
    """The last lines that the unit's processes wrote in that span of the wall clock, the oldest first.

    Where they wrote none, what PID 1 said of the unit: it may never have come to its program.
    """
    return written_by(unit, since, until, count) or said_by_systemd(unit, since, until, count)


def written_by(unit: str, since: float, until: float, count: int) -> list[str]:
    """The last lines that the unit's processes wrote in that span of the wall clock, the oldest first."""
    return _lines(f"_SYSTEMD_UNIT={unit}", since, until, count)


def said_by_systemd(unit: str, since: float, until: float, count: int) -> list[str]:
    """The last lines that PID 1 wrote of the unit in that span of the wall clock, the oldest first."""
    return _lines(f"UNIT={unit}", since, until, count)


def said_by_kernel(since: float, until: float, count: int) -> list[str]:
    """The last lines of the kernel's log and of its audit in that span of the wall clock, the oldest first."""
    return [line for source in ("kernel", "audit") for line in _lines(f"_TRANSPORT={source}", since, until, count)]


def send(fields: Mapping[str, str]) -> None:
    """Write one entry to the log (the native protocol of journald); raise OSError where there is none.

    Each value is of one line: what stands behind a line feed would be a field of its own.
    """
    entry = "".join(f"{name}={' '.join(value.splitlines())}\n" for name, value in fields.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        connection.settimeout(1.0)
        connection.sendto(entry.encode(errors="replace"), SOCKET)


def _lines(match: str, since: float, until: float, count: int) -> list[str]:
    span = (f"--since=@{since:.3f}", f"--until=@{until:.3f}")
    # Without --reverse, systemd before 254 takes the first ones of a span (systemd issue 26657).
    latest = ("--reverse", f"--lines={count}")
    options = ("--quiet", "--no-pager", "--all", "--output=json", "--output-fields=MESSAGE")
    finished = command.run(["journalctl", *options, *latest, *span, match], SECONDS).require_success()
    entries = [json_lines.parse(line) for line in finished.text.splitlines()]
    lines = [line for entry in reversed(entries) for line in _message(entry or {}).splitlines()]
    return [line for line in lines if line.strip()][-count:]


def _message(entry: Mapping[str, Any]) -> str:
    """The text of an entry; bytes that are no text come as a list of numbers, and a long entry as nothing."""
    message = entry.get("MESSAGE")
    if isinstance(message, list):
        return bytes(byte for byte in message if isinstance(byte, int) and 0 <= byte < 256).decode(errors="replace")
    return message if isinstance(message, str) else ""

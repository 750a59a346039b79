# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one attempt can say. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

PASS = "pass"  # noqa: S105 - a state, not a password
WARN = "warn"
FAIL = "fail"
STATES = (PASS, WARN, FAIL)

# The closed list: every reason a result can carry, with what it means.
REASONS: dict[str, str] = {
    "ok": "healthy",
    "degraded": "the service answers and calls itself degraded",
    "refused": "nothing listens there, connection refused or no socket file",
    "unreachable": "no route, no permission, or no address of the wanted family",
    "reset": "the other side reset the connection or the stream, also by RST_STREAM or GOAWAY",
    "closed": "the other side closed the connection before it had answered",
    "timeout": "no complete answer within timeout",
    "dns": "the name did not resolve, or not in time",
    "tls": "handshake, certificate or protocol version",
    "protocol": "the answer breaks the protocol that was spoken",
    "status": "an HTTP status, gRPC status or health page that says not healthy",
    "body": "the body is wrong, cut short, too large or not what it claims to be",
    "assertion": "a header or JSON assertion does not hold",
    "latency": "slower than the threshold",
    "identity": "another process than the wanted one answered",
    "unstable": "healthy at first, then not, or its process was replaced",
    "exec": "the command could not run or its exit status says not healthy",
    "unit": "the systemd unit is not in the wanted state",
    "metrics": "error ratio or latency quantile over the threshold, or not in the Prometheus format",
    "inconclusive": "too little traffic for a verdict, no such metric yet, or a page that does not show the errors",
    "skipped": "not attempted, because a startup check failed",
    "error": "the check itself could not be made on this host",
}

MESSAGE_LIMIT = 600
_CUT = " … "
PHASES = ("dns", "connect", "tls", "first_byte", "total")


def printable(text: str) -> str:
    """One line of bounded length: what strangers sent reaches no terminal as it came."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"


def excerpt(body: str) -> str:
    """An answer in one line of bounded length: its beginning, and its end where it is longer."""
    text = " | ".join(line.strip() for line in body.splitlines() if line.strip())
    half = (MESSAGE_LIMIT - len(_CUT)) // 2
    return printable(text if len(text) <= MESSAGE_LIMIT else text[:half] + _CUT + text[-half:])


def no_latency() -> dict[str, Optional[float]]:
    return dict.fromkeys(PHASES)


class CheckFailed(Exception):
    """One attempt ended without a healthy answer; reason is one of REASONS."""

    def __init__(self, reason: str, message: str, state: str = FAIL, counts: bool = True) -> None:
        self.message = printable(message)
        super().__init__(self.message)
        self.reason = reason
        self.state = state
        self.counts = counts
        self.process: Optional[Process] = None  # who answered, where that is what is wrong

    @property
    def of_another(self) -> bool:
        """Another process of a shared socket answered: that says nothing of the wanted one."""
        return self.reason == "identity" and not self.counts


@dataclass(frozen=True)
class Process:
    """The process at the other end of the connection, or behind the unit."""

    pid: int
    started: int  # clock ticks since boot, /proc/PID/stat field 22: PID and this name one process for ever
    exe: Optional[str] = None
    unit: Optional[str] = None
    build_id: Optional[str] = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "pid": self.pid,
            "started": self.started,
            "exe": self.exe,
            "unit": self.unit,
            "build_id": self.build_id,
        }


@dataclass(frozen=True)
class Attempt:
    """One attempt, finished."""

    state: str
    reason: str
    message: str
    status: Optional[int] = None
    latency: dict[str, Optional[float]] = field(default_factory=no_latency)
    process: Optional[Process] = None
    certificate_days: Optional[float] = None
    details: dict[str, Any] = field(default_factory=dict)
    counts: bool = True  # False: says nothing for or against (another process answered, too little traffic)
    clipped: bool = False  # True: ended by the deadline of the whole check before its own timeout
    at: float = 0.0  # seconds after the check began
    answer: bytes = b""  # the body of an answer that was not good, as it came: it may hold what no message may show

    @property
    def good(self) -> bool:
        return self.counts and self.state != FAIL

    @property
    def pid(self) -> Optional[int]:
        return self.process.pid if self.process else None

    @property
    def exe(self) -> Optional[str]:
        return self.process.exe if self.process else None

    def as_dict(self) -> dict[str, Any]:
        return {
            "at": round(self.at, 3),
            "state": self.state,
            "reason": self.reason,
            "message": self.message,
            "status": self.status,
            "total": self.latency.get("total"),
            "pid": self.pid,
        }

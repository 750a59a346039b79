# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operating system error on a connection means to an operator. This file is PRIVATE to the collection."""

from __future__ import annotations

import errno

from ..outcome import CheckFailed

_ERRNO_REASONS = {
    errno.ECONNREFUSED: "refused",
    errno.ENOENT: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ECONNABORTED: "reset",
    errno.ENOTCONN: "reset",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",
    errno.EAFNOSUPPORT: "unreachable",
    errno.EACCES: "unreachable",
    errno.EPERM: "unreachable",
    errno.ENOTSOCK: "unreachable",
    errno.EPROTOTYPE: "unreachable",
}

NOBODY_LISTENS = "refused the connection: nothing listens there"
_REASON_WORDS = {
    "refused": NOBODY_LISTENS,
    "reset": "reset the connection",
    "timeout": "did not answer: the network gave up",
}


def failure(error: OSError, where: str) -> CheckFailed:
    """An operating system error in words an operator acts on."""
    reason = _ERRNO_REASONS.get(error.errno or 0, "error")
    if error.errno == errno.ENOENT:
        return CheckFailed(reason, f"{where} does not exist: the service has not created its socket")
    words = _REASON_WORDS.get(reason)
    return CheckFailed(reason, f"{where} {words}" if words else f"{where}: {error.strerror or error}")

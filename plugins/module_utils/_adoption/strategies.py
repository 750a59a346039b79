# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which swap strategy fits a service. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

import re
from typing import NamedTuple

from .._host.sockets import tcp_port
from .former import Former, Seen

FITS, MAY_FIT, DOES_NOT, UNKNOWN = "fits", "may fit", "does not fit", "not known"


class Fit(NamedTuple):
    """verdict: FITS where nothing is to be changed or tried, MAY_FIT where something is."""

    strategy: str
    verdict: str
    because: str


def fits(former: Former, seen: Seen) -> list[Fit]:
    """Each strategy once, the one with the least downtime first."""
    restart = Fit("restart", FITS, "it is what systemctl restart does today, with its downtime")
    return [_socket(former, seen), _proxy(former, seen), _reload(former, seen), restart]


def chosen(former: Former, seen: Seen) -> str:
    """What changes the least: the socket that systemd holds already, or else a plain restart."""
    return "socket" if _socket(former, seen).verdict == FITS else "restart"


def _socket(former: Former, seen: Seen) -> Fit:
    able = None if seen.abilities is None else seen.abilities.sockets
    if former.streams and able is not False:
        known = "reads LISTEN_FDS" if able else "cannot be read, but is started by it"
        return Fit("socket", FITS, f"{former.name}.socket holds its socket today, and the program {known}")
    if able is None:
        return Fit("socket", UNKNOWN, "the program's file does not say whether it reads LISTEN_FDS")
    if able:
        return Fit(
            "socket", MAY_FIT, "the program has LISTEN_FDS in it; its own documentation says what makes it use that"
        )
    return Fit("socket", DOES_NOT, "the program never reads LISTEN_FDS")


def _proxy(former: Former, seen: Seen) -> Fit:
    port = next(filter(None, map(tcp_port, [*former.streams, *seen.listen])), None)
    if port is None:
        return Fit("proxy", UNKNOWN, "it listens on no TCP port now")
    where = _said_in(former, port)
    if where == "the variable PORT":
        return Fit("proxy", FITS, f"it takes its port {port} from the variable PORT; HAProxy would have the port then")
    if where:
        return Fit("proxy", MAY_FIT, f"its port {port} stands in {where}; write ${{PORT}} there")
    return Fit("proxy", UNKNOWN, f"its port {port} stands in no argument and no variable of the unit")


def _said_in(former: Former, port: int) -> str:
    """Where the program is told its port; empty where nothing of the unit says it."""
    number = re.compile(rf"(?<![0-9.]){port}(?![0-9.])")
    variables = [one.name for one in former.variables if number.search(one.value)]
    if "PORT" in variables:
        return "the variable PORT"
    if variables:
        return f"the variable {variables[0]}"
    start = former.starts[0] if former.starts else None
    positions = [place for place, word in enumerate(start.arguments, 1) if number.search(word)] if start else []
    return f"argument {positions[0]} of ExecStart=" if positions else ""


def _reload(former: Former, seen: Seen) -> Fit:
    told = any(re.search(r"\bkill\b", value) for value in former.unit.every("ExecReload"))
    if seen.abilities is None and told:
        return Fit("reload", UNKNOWN, "the program's file does not say whether it handles signals")
    able = seen.abilities is not None and seen.abilities.signals and seen.abilities.readiness
    if told and able:
        return Fit("reload", MAY_FIT, "ExecReload= sends a signal; only if the program then starts its next process")
    return Fit("reload", DOES_NOT, "nothing shows that the program starts its next process on a signal")

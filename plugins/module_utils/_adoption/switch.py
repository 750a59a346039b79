# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a release may take a service over by itself, and which files are kept first. PRIVATE to the collection."""

from __future__ import annotations

import os
from typing import Any, Mapping, NamedTuple, Optional, Sequence

from .._core.problems import Problem, ProblemsError
from .._release.state.layout import Layout
from .look import look

_PROXY = "proxy"
_FORKING = "Type=forking"


class Wish(NamedTuple):
    """foreground: the inventory has the arguments that keep a forking program in the foreground."""

    strategy: str
    log_file: bool = False
    foreground: bool = False


class Files(NamedTuple):
    """moved: what is away while a release serves. kept: that, and what else the service needs."""

    moved: Sequence[str]
    kept: Sequence[str]


def files_to_keep(layout: Layout, wish: Wish) -> Optional[Files]:
    """What is kept of the service that runs; None where slipway has it. Raise where it cannot be taken over."""
    told = look(layout)
    if told["managed"]:
        return None
    against = [*_against_wish(layout, wish), *_blocking(told, wish), *_out_of_place(layout, told)]
    if against:
        raise ProblemsError(against)
    return Files(told["moved"], told["kept"])


def _against_wish(layout: Layout, wish: Wish) -> list[Problem]:
    found = []
    if wish.strategy == _PROXY:
        found.append(
            Problem(
                "not_adoptable",
                f"service_swap is proxy, and {layout.name}.service has the port that HAProxy would need.",
                "take the service over with service_swap: restart, and change to proxy with the next release",
            )
        )
    if wish.log_file:
        found.append(
            Problem(
                "not_adoptable",
                f"service_log is file, and the role would close /var/log/{layout.name} to the service that still runs.",
                "take the service over with service_log: journald, and change to file with the next release",
            )
        )
    return found


def _blocking(told: Mapping[str, Any], wish: Wish) -> list[Problem]:
    solved = (_FORKING,) if wish.foreground else ()
    findings = [one for one in told["findings"] if one["blocks"] and one["setting"] not in solved]
    return [Problem("not_adoptable", f"{one['setting']}: {one['message']}.", one["fix"]) for one in findings]


def _out_of_place(layout: Layout, told: Mapping[str, Any]) -> list[Problem]:
    """Files that cannot go and come back as what PID 1 reads of /etc."""
    moved = told["moved"]
    elsewhere = [path for path in moved if not path.startswith(f"{layout.unit_root}/")]
    linked = [path for path in moved if os.path.islink(os.path.dirname(path))]
    found = []
    if elsewhere:
        found.append(
            Problem(
                "not_adoptable",
                f"{', '.join(elsewhere)} would have to go, and only what is in {layout.unit_root} is moved and brought "
                "back.",
                f"move units and drop-ins into {layout.unit_root}, and other files out of the way, and run systemctl "
                "daemon-reload",
            )
        )
    if linked:
        found.append(
            Problem(
                "not_adoptable",
                f"{', '.join(map(os.path.dirname, linked))} is a link.",
                "put a folder with the same drop-ins in its place",
            )
        )
    return found

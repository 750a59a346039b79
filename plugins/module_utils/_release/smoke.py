# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operator's own commands against a release in rehearsal, as the service's user. PRIVATE to the collection."""

from __future__ import annotations

import shlex
import tempfile
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, Mapping, Sequence

from .._core import command as programs
from .._core.errors import SlipwayError
from .diagnostics import masked

MARGIN = 15.0  # seconds for systemd-run beyond the command's own time
LAST_LINES = 8
LAST_BYTES = 4096
_LIMITS = ("TimeoutStopSec=5", "LimitFSIZE=16M", "NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes")


@dataclass(frozen=True)
class RunAs:
    """As whom and where the commands run."""

    user: str
    group: str
    directory: str
    variables: Mapping[str, str]


def variables(
    address: str, scheme: str, release_id: str, more: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """What a command finds in its environment; address in the notation of systemd.socket(5).

    more: the addresses behind further public ports, by the variable that tells the release that port.
    """
    ports = {name: where.rpartition(":")[2] for name, where in more.items()}
    environment = {"SLIPWAY_RELEASE": release_id, **ports}
    if address.startswith(("/", "@")):
        return {**environment, "SLIPWAY_ADDRESS": address, "SLIPWAY_SOCKET": address}
    where = f"127.0.0.1:{address}" if address.isdigit() else address
    return {**environment, "SLIPWAY_ADDRESS": where, "SLIPWAY_URL": f"{scheme}://{where}"}


def argv(command: Sequence[str], run_as: RunAs, seconds: float) -> list[str]:
    """systemd-run(1) around the command: nothing it leaves behind outlives it."""
    properties = (*_LIMITS, f"RuntimeMaxSec={seconds:g}", f"WorkingDirectory={run_as.directory}")
    return [
        "systemd-run",
        *("--quiet", "--collect", "--wait", "--pipe", f"--uid={run_as.user}", f"--gid={run_as.group}"),
        *(f"--property={setting}" for setting in properties),
        *(f"--setenv={name}={value}" for name, value in run_as.variables.items()),
        "--",
        *command,
    ]


def run(command: Sequence[str], run_as: RunAs, seconds: float, secrets: Sequence[str]) -> None:
    """Raise unless the command ends well in time; secrets are what its output must not show."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output:
        try:
            code = programs.run(argv(command, run_as, seconds), seconds + MARGIN, output=output).code
        except programs.TimeLimitPassed:
            code = -1
        last_lines = masked(_end_of(output), secrets)
    if code == 0:
        return
    late = code == -1 or time.monotonic() - begun >= seconds
    how = f"did not end within {seconds:g} s" if late else f"ended with exit status {code}"
    raise SlipwayError(
        "smoke_failed",
        f"the smoke command {masked(shlex.join(command), secrets)} {how}{': ' if last_lines else '.'}{last_lines}",
        "correct the release or release_smoke, or raise release_smoke_timeout",
    )


def _end_of(output: IO[bytes]) -> str:
    size = output.seek(0, 2)
    output.seek(max(size - LAST_BYTES, 0))
    lines = output.read().decode(errors="replace").splitlines()
    return " | ".join(line.strip() for line in lines[-LAST_LINES:] if line.strip())

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release that goes on draining beside the next one. PRIVATE to the collection.

The tool on the host waits for its users to leave, in a transient unit of its own, and ends it: slipway drain SHOP ID.
A stop of the service stops that unit, too (PartOf= in systemd.unit(5)), and after a reboot neither is there.
"""

from __future__ import annotations

import contextlib
import glob
import os
import time

from .._core import command, files
from .._core.paths import TOOL
from .._host.systemd import Systemd

RUNTIME_UNITS = "/run/systemd/system"
TRANSIENT_UNITS = "/run/systemd/transient"  # what systemd-run(1) starts has its file there, until it is over
_DROP_IN = "slipway-drain.conf"


def unit(service: str, release_id: str) -> str:
    """The unit that waits; no service's name has a colon, so that a pattern of one matches no other's."""
    return f"slipway-drain-{service}:{release_id}.service"


def armed(service: str) -> list[str]:
    """The releases whose users the host waits for."""
    paths = glob.glob(os.path.join(glob.escape(TRANSIENT_UNITS), unit(service, "*")))
    return sorted(os.path.basename(path).partition(":")[2][: -len(".service")] for path in paths)


def is_armed(service: str, release_id: str) -> bool:
    return os.path.exists(os.path.join(TRANSIENT_UNITS, unit(service, release_id)))


def arm(service: str, release_id: str, seconds: float, stop_timeout: float) -> None:
    """Have the host wait for the users of this release, for so many seconds. Raise where it cannot.

    A wait that crashes is begun anew, with what is left of its time. stop_timeout is how long it may take to end the
    release when it is told to wait no longer.
    """
    argv = ["systemd-run", "--quiet", "--collect", f"--unit={unit(service, release_id)}"]
    argv += [f"--description=Drain {release_id} of {service}", f"--property=PartOf={service}.service"]
    argv += ["--property=Type=exec", f"--property=TimeoutStopSec={stop_timeout:.3f}"]
    argv += ["--property=Restart=on-failure", "--property=RestartSec=5"]
    argv += ["--property=StartLimitIntervalSec=600", "--property=StartLimitBurst=10"]
    until = time.monotonic() + seconds
    command.run([*argv, TOOL, "drain", service, release_id, "--until", f"{until:.3f}"]).require_success()


def disarm(systemd: Systemd, service: str, release_id: str) -> None:
    """Wait no longer for the users of this release, which is to serve again: it is not ended."""
    if is_armed(service, release_id):
        _stop(systemd, unit(service, release_id))


def stop_all(systemd: Systemd, service: str) -> None:
    """Wait no longer for the users of any release; none is ended."""
    if armed(service):
        _stop(systemd, unit(service, "*"))


def _stop(systemd: Systemd, units: str) -> None:
    """At once, so that it does not act on what is started or ended next."""
    systemd.call("kill", "--signal=KILL", units, check=False)
    systemd.call("stop", units, check=False)


def _drop_in(unit_name: str) -> str:
    return os.path.join(RUNTIME_UNITS, f"{unit_name}.d", _DROP_IN)


def allow(systemd: Systemd, unit_name: str, seconds: float) -> None:
    """Have PID 1 leave a unit that it stops so many seconds (TimeoutStopSec= in systemd.service(5)), until forbid().

    Not in the unit's own file: a stop of the service, or of the host, must not take that long.
    """
    path = _drop_in(unit_name)
    files.make_directory(os.path.dirname(path), 0o755)
    files.write_atomic(path, f"[Service]\nTimeoutStopSec={seconds:.3f}\n", 0o644)
    systemd.call("daemon-reload")


def collect_drafts(unit_name: str) -> None:
    """Remove what a run that was cut short in allow() has left half-written."""
    path = _drop_in(unit_name)
    drafts = glob.glob(f"{glob.escape(path)}.tmp-*")
    for draft in drafts:
        os.unlink(draft)
    if drafts:
        with contextlib.suppress(OSError):  # the drop-in is there
            os.rmdir(os.path.dirname(path))


def is_allowed(unit_name: str) -> bool:
    return os.path.exists(_drop_in(unit_name))


def forbid(systemd: Systemd, unit_name: str) -> None:
    """The opposite of allow(); nothing where that is not in force."""
    path = _drop_in(unit_name)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(path))
    systemd.call("daemon-reload")

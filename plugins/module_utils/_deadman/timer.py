# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The timer that takes a change back at its deadline, and the unit that does so after a reboot. PRIVATE."""

from __future__ import annotations

import os
import sys
import time

from .._core import files
from .._core.errors import SlipwayError
from .model import EARLY, RUNNER, Argv, System

PATIENCE = 5.0  # seconds for the unit of an ended change to be gone
_UP = {"active", "activating", "reloading", "deactivating"}
_EARLY_UNIT = """\
DefaultDependencies=no
After=local-fs.target systemd-sysctl.service
Wants=network-pre.target
Before=network-pre.target shutdown.target
Before=ssh.socket ssh.service sshd.socket sshd.service ufw.service firewalld.service nftables.service
"""
_LATE_UNIT = "After=network.target\n"


def unit(name: str) -> str:
    return f"slipway-deadman-{name}"


def short_unit(name: str) -> str:
    return f"slipway-deadman-{name}-short"


def _revert_command(system: System, name: str, token: str) -> Argv:
    runner = os.path.join(system.folder(name), RUNNER)
    return [sys.executable or "/usr/bin/python3", runner, "revert", name, "--token", token]


def start(system: System, unit_name: str, name: str, seconds: float, token: str) -> None:
    """Have systemd take the change back after so many seconds."""
    # Else `systemctl isolate` stops it, and the boot unit is not known to systemd before the next start.
    stays = ["--timer-property=IgnoreOnIsolate=yes", "--property=IgnoreOnIsolate=yes"]
    argv = [
        "systemd-run", "--quiet", "--collect", f"--unit={unit_name}", f"--on-active={seconds:g}s", *stays,
        "--timer-property=AccuracySec=100ms", "--service-type=oneshot",
        f"--description=Take back the unconfirmed change {name}",
        *_revert_command(system, name, token),
    ]  # fmt: skip
    system.run(["systemctl", "reset-failed", f"{unit_name}.service", f"{unit_name}.timer"])
    end = time.monotonic() + PATIENCE
    code, output = system.run(argv)
    if code != 0 and "already" not in output:
        # A systemd that does not know this of transient units.
        argv = [word for word in argv if word not in stays]
        code, output = system.run(argv)
    # Of the change before: its service is still ending, or a crash has left its timer.
    while code != 0 and "already" in output and time.monotonic() < end:
        system.run(["systemctl", "stop", f"{unit_name}.timer"])
        time.sleep(0.1)
        code, output = system.run(argv)
    if code != 0:
        raise SlipwayError("no_timer", f"systemd-run did not set the timer: {output}", "use a host that runs systemd")


def restart(system: System, name: str) -> bool:
    """One call of PID 1 stops and starts it, so that a process killed at any point leaves it ticking."""
    return system.run(["systemctl", "restart", f"{unit(name)}.timer"])[0] == 0


def stop(system: System, name: str) -> None:
    system.run(["systemctl", "stop", f"{unit(name)}.timer", f"{short_unit(name)}.timer"])


def is_ticking(system: System, name: str) -> bool:
    """Whether it runs and has not fired yet. systemd's clock counts: the host's own may jump."""
    timer, service = (
        system.run(["systemctl", "is-active", f"{unit(name)}.{kind}"])[1] for kind in ("timer", "service")
    )
    return timer == "active" and service not in _UP


def is_in_charge(system: System, name: str) -> bool:
    """Whether it is going to take the change back, or does."""
    return _is_up(system, f"{unit(name)}.timer", f"{unit(name)}.service")


def ends_by_itself(system: System, name: str) -> bool:
    """Whether a timer or a unit of the boot is going to take the change back, or does."""
    return is_in_charge(system, name) or _is_up(system, os.path.basename(system.boot_unit(name)))


def _is_up(system: System, *units: str) -> bool:
    output = system.run(["systemctl", "is-active", *units])[1]
    return not _UP.isdisjoint(output.split())


def boot_unit(system: System, name: str, stage: str, token: str) -> str:
    """The text of the unit that takes the change back after a reboot."""
    command = " ".join([*_revert_command(system, name, token), "--boot"])
    order = _EARLY_UNIT if stage == EARLY else _LATE_UNIT
    return (
        "[Unit]\n"
        f"Description=Take back the unconfirmed change {name}\n"
        f"RequiresMountsFor={system.root}\n"
        f"ConditionPathExists={os.path.join(system.folder(name), RUNNER)}\n"
        f"{order}"
        "\n[Service]\nType=oneshot\n"
        f"ExecStart={command}\n"
        "\n[Install]\nWantedBy=multi-user.target\n"
    )


def install_boot_unit(system: System, name: str, text: str) -> None:
    """No daemon-reload: only the next boot is to read it."""
    path, link = system.boot_unit(name), system.boot_link(name)
    os.makedirs(os.path.dirname(link), exist_ok=True)
    files.write_atomic(path, text, 0o644)
    files.flip_symlink(link, path)

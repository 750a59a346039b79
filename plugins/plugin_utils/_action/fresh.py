# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections beside that of a task: such as prove that the host can still be reached. PRIVATE to the collection."""

from __future__ import annotations

import copy
from typing import Any

from ansible.plugins.loader import connection_loader

# First on the command line, where ssh takes the first value: no connection that is open already can be reused.
FRESH = "-o ControlMaster=no -o ControlPath=none"
# A network that is gone is noticed after 15 seconds, and not when TCP gives up.
ALIVE = "-o ServerAliveInterval=5 -o ServerAliveCountMax=3"
_ARGUMENTS = ("ssh_args", "ssh_common_args", "ssh_extra_args")
SSH_PLUGINS = ("ssh", "ansible.builtin.ssh", "ansible.legacy.ssh")


def separate(connection: Any) -> None:
    """Have an SSH connection that is not open yet share nothing with others, and try only once."""
    connection.set_option("ssh_args", f"{FRESH} {ALIVE} {connection.get_option('ssh_args') or ''}".strip())
    connection.set_option("reconnection_retries", 0)


def fresh(connection: Any, play_context: Any) -> Any:
    """A new connection with every option of this one; the same one where it is not kept open between commands."""
    if connection.transport not in SSH_PLUGINS:
        return connection
    made = connection_loader.get("ansible.builtin.ssh", play_context.copy())
    made.set_options(direct=connection.get_options())
    separate(made)
    if connection.become:
        made.set_become_plugin(connection.become)
    return made


def beside(connection: Any, play_context: Any) -> Any | None:
    """Another connection for the same host, which needs no login; None where there is no such thing.

    It has a become plugin of its own, since that remembers for which word of the command before it waits.
    """
    if connection.transport not in SSH_PLUGINS:
        return None
    arguments = " ".join(str(connection.get_option(name) or "") for name in _ARGUMENTS)
    if "ControlPersist" not in arguments or "ControlMaster=no" in arguments:
        return None
    made = connection_loader.get("ansible.builtin.ssh", play_context.copy())
    made.set_options(direct=connection.get_options())
    made.set_option("reconnection_retries", 0)
    if connection.become:
        made.set_become_plugin(copy.copy(connection.become))
    return made

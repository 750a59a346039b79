# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How large the batches of a run are, wherever that was said. This file is PRIVATE to the collection.

Ansible evaluates `serial` for a whole play, without any host. A variable of the inventory is read of the play's hosts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError, AnsibleFilterError
from ansible_collections.slipway.go.plugins.plugin_utils._input import survey

HARDEN, RELEASE = "harden_serial", "release_serial"
# Where nobody has set it.
SIZES: dict[str, tuple[int | str, ...]] = {HARDEN: (1, "100%"), RELEASE: (1, "50%", "100%")}

_SIZE = re.compile(r"([0-9]{1,9})(?:\.0+)?(%?)")

Variables = Mapping[str, Any]
Template = Callable[[Any, Variables], Any]


def sizes(name: str, hosts: Iterable[str], variables: Variables, template: Template) -> list[int | str]:
    """The sizes of the batches that a play over these hosts has.

    variables: those of the play or of a task. An extra variable or one of the play holds for all hosts.
    Raises AnsibleError for what is no size, and where hosts have different ones.
    """
    own = variables.get(name)
    of_hosts = _of_hosts(name, hosts, variables, template)
    # A task sees its host's variable, too; only where it sees another value has the play or the command line set it.
    if not survey.is_empty(own) and own is not None:
        meant = batches(template(own, variables), name)
        if of_hosts.get(str(variables.get("inventory_hostname"))) != meant:
            return meant
    return _agreed(name, of_hosts) or list(SIZES[name])


def _of_hosts(name: str, hosts: Iterable[str], variables: Variables, template: Template) -> dict[str, list[int | str]]:
    """The sizes that hosts of the inventory have; not those that have none."""
    found: dict[str, list[int | str]] = {}
    hostvars = variables.get("hostvars")
    if hostvars is None:
        return found
    for host in hosts:
        theirs = hostvars.raw_get(host)
        value = template(theirs[name], theirs) if name in theirs else None
        if value is not None and not survey.is_empty(value):
            found[host] = batches(value, name)
    return found


def _agreed(name: str, of_hosts: Mapping[str, Sequence[int | str]]) -> list[int | str]:
    first: tuple[str, Sequence[int | str]] | None = None
    for host, theirs in of_hosts.items():
        first = first or (host, theirs)
        if theirs != first[1]:
            raise AnsibleError(
                f"{name} is {_shown(first[1])} for {first[0]} and {_shown(theirs)} for {host}, and a run has one. "
                f"Fix: set {name} for all hosts of the run, or limit the run to hosts that have the same"
            )
    return list(first[1]) if first else []


def _shown(given: Sequence[int | str]) -> str:
    return ",".join(map(str, given))


def batches(given: Any, variable: str) -> list[int | str]:
    listed = given if isinstance(given, (list, tuple)) else re.sub(r"[\[\]\"'\s]", "", str(given)).split(",")
    return [_size(one, given, variable) for one in listed] or _refuse(given, variable)


def _size(one: Any, given: Any, variable: str) -> int | str:
    found = None if isinstance(one, bool) else _SIZE.fullmatch(str(one).strip())
    if not found or not 0 < int(found[1]) <= (100 if found[2] else 10**9):
        return _refuse(given, variable)
    return f"{int(found[1])}%" if found[2] else int(found[1])


def _refuse(given: Any, variable: str) -> Any:
    raise AnsibleFilterError(
        f"{variable} is {given!r}. Fix: give a number of hosts, a percentage, or a list of them such as 1,50%,100%"
    )

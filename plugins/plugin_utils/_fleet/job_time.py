# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a job may take that releases, before anybody knows its hosts. This file is PRIVATE to the collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._release.options import argument_spec
from ansible_collections.slipway.go.plugins.module_utils._release.state import model
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import comparison
from ansible_collections.slipway.go.plugins.plugin_utils._input import batch_sizes, survey
from ansible_collections.slipway.go.plugins.plugin_utils._run import lease_claim, time_limits

# Checks of all hosts, uploads, what hosts fetch, and the last play.
AROUND = 900.0
# Where nobody says how many hosts there are: as many batches as there are by default.
WAVES = 3
# As many hosts as Ansible plays at a time where nobody says so.
FORKS = 5
_NUMBERS = {
    "start_timeout": "release_start_timeout",
    "drain_timeout": "release_drain_timeout",
    "soak_time": "release_soak_time",
    "lock_timeout": "release_lock_timeout",
    "smoke_timeout": "release_smoke_timeout",
    "confirm": "release_confirm",
    "hold": "release_confirm_fleet",
}
_READ: dict[str, tuple[str, survey.Reader]] = {
    **{option: (variable, survey.number) for option, variable in _NUMBERS.items()},
    "health": ("release_health", survey.mapping),
    "smoke": ("release_smoke", survey.commands),
    "serial": (batch_sizes.RELEASE, batch_sizes.batches),
    "compare": (comparison.VARIABLE, lambda value, _variable: comparison.parse(value)),
}
_PROXY: dict[str, tuple[str, survey.Reader]] = {
    "weights": ("release_weights", survey.list_of(survey.whole)),
    "step_time": ("release_step_time", survey.number),
    "slow": ("release_slow", survey.choice(model.ROLLBACK, model.PAUSE)),
    "pause_time": ("release_pause_time", survey.number),
    "max_latency_ratio": ("release_max_latency_ratio", survey.number),
}
_ONCE: dict[str, tuple[str, survey.Reader]] = {
    "command": ("release_once", survey.list_of(survey.text)),
    "timeout": ("release_once_timeout", survey.number),
}
# What stands for a variable of the role that nobody has set.
_ELSE = {"release_start_timeout": "service_start_timeout", "release_drain_timeout": "service_drain_timeout"}
# What the time comes from.
VARIABLES = (
    *(variable for table in (_READ, _PROXY, _ONCE) for variable, _reader in table.values()),
    *_ELSE.values(),
)


def seconds(variables: Mapping[str, Any], hosts: int = 0, forks: int = 0) -> float:
    """The time of a job with these variables; what is missing or empty has its default.

    hosts: how many it releases on; 0 where that is not known. forks: how many Ansible plays at a time; 0 for its own.
    """
    options = _read(_READ, variables)
    # Who asks a person and says nothing of shares has these in an inventory, for nothing is paused without.
    proxy = _read(_PROXY, variables)
    proxy = {"weights": [1], **proxy} if proxy.get("slow") == model.PAUSE else proxy
    model.parse_proxy(proxy)
    patience = time_limits.of({**options, "proxy": proxy, "once": _read(_ONCE, variables)})
    wave = patience.release + options.get("confirm", argument_spec()["confirm"]["default"])
    batches, waves = _turns(options.get("serial", batch_sizes.SIZES[batch_sizes.RELEASE]), hosts, forks or FORKS)
    compare = options.get("compare")
    after = wave * (waves - 1) + (compare.at_most if compare else 0.0) * (batches - 1)
    return AROUND + wave + max(after, options.get("hold", 0.0) if hosts != 1 else 0.0)


def _read(table: Mapping[str, tuple[str, survey.Reader]], variables: Mapping[str, Any]) -> dict[str, Any]:
    given = {option: (_given(variable, variables), reader) for option, (variable, reader) in table.items()}
    return survey.understand({option: variables.get(variable) for option, (variable, _reader) in given.items()}, given)


def _given(variable: str, variables: Mapping[str, Any]) -> str:
    return variable if variables.get(variable) not in (None, "") else _ELSE.get(variable, variable)


def _turns(sizes: Iterable[int | str], hosts: int, forks: int) -> tuple[int, int]:
    """How many batches there are, and in how many waves they are played."""
    if not hosts:
        batches = max(WAVES, len(list(sizes)))
        return batches, batches
    groups = lease_claim.split([str(number) for number in range(hosts)], sizes)
    return len(groups), lease_claim.waves(groups, forks)

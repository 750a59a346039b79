# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run says of itself to the hosts whose lease it takes. This file is PRIVATE to the collection."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.state.lease import LONGEST
from ansible_collections.slipway.go.plugins.plugin_utils._input import batch_sizes, declared_services
from ansible_collections.slipway.go.plugins.plugin_utils._run import this_run, time_limits
from ansible_collections.slipway.go.plugins.plugin_utils._run.time_limits import Patience

# What hardening and configuring a host may take, where a run does that between its preflight and its releases.
CONFIGURE = 300.0


def split(hosts: Sequence[str], sizes: Iterable[int | str]) -> list[list[str]]:
    """The hosts batch by batch, as Ansible does it for `serial`: the last size repeats."""
    found: list[list[str]] = []
    left, counts = list(hosts), [_count(size, len(hosts)) for size in sizes] or [len(hosts)]
    while left:
        count = counts[min(len(found), len(counts) - 1)]
        found.append(left[:count])
        left = left[count:]
    return found


def reached(batches: Sequence[Sequence[str]], until: int, services: Mapping[str, Sequence[str]]) -> int:
    """After how many batches a run ends that is to release in so many of them.

    until: 0 stands for all. services: by host, those that the run is about there; a batch without any does not count.
    """
    counted = [place for place, hosts in enumerate(batches, 1) if any(services.get(host, True) for host in hosts)]
    return counted[until - 1] if 0 < until <= len(counted) else len(batches)


def _count(size: int | str, total: int) -> int:
    number = int(str(size).rstrip("%"))
    return max(1, int(number / 100 * total) if str(size).endswith("%") else number)


def serial(
    hosts: Sequence[str], variables: Mapping[str, Any], template: Callable[[Any, Mapping[str, Any]], Any]
) -> list[int | str]:
    """The sizes of the batches; those of the default where they cannot be read, which another play refuses."""
    try:
        return batch_sizes.sizes(batch_sizes.RELEASE, hosts, variables, template)
    except AnsibleError:
        return list(batch_sizes.SIZES[batch_sizes.RELEASE])


def waves(groups: Sequence[Sequence[str]], forks: int) -> int:
    """How often Ansible begins with hosts anew, where it plays so many of a batch at a time."""
    return sum(math.ceil(len(group) / max(1, forks)) for group in groups)


def seconds(
    patience: Patience, groups: Sequence[Sequence[str]], forks: int, configures: bool, compares: float = 0.0
) -> float:
    """How long after its preflight a run may come to the last of its hosts, where all goes well.

    One that needs longer may go on as long as nobody else has taken the lease. compares: how long each batch but the
    last may be compared with those after it.
    """
    compared = compares * max(0, len(groups) - 1)
    each = patience.well + (CONFIGURE if configures else 0.0)
    return time_limits.SLACK + max(1, waves(groups, forks)) * each + compared


def needed(
    arguments: Mapping[str, Any], patience: Patience, variables: Mapping[str, Any], template: Callable[[Any], Any]
) -> float:
    """Those seconds for a task with these options of slipway.go.release."""
    hosts, host = list(variables.get("ansible_play_hosts_all") or []), str(variables.get("inventory_hostname"))
    groups = split(hosts, serial([host], variables, lambda value, _variables: template(value)))
    # One after the other in each batch.
    services = len(declared_services.declared(variables, lambda value, _variables: template(value))) or 1
    comparison = arguments.get("compare")
    compares = comparison.at_most if comparison else 0.0
    forks = int(variables.get("ansible_forks") or 1)
    return services * seconds(patience, groups, forks, arguments.get("configured") is False, compares)


def of(arguments: Mapping[str, Any], variables: Mapping[str, Any], needs: float) -> dict[str, Any]:
    """The claim of this run, which needs so many seconds, on this host."""
    service, host = str(arguments["name"]), str(variables.get("inventory_hostname"))
    given = float(arguments.get("lease_time") or 0)
    if given < 0:
        raise SlipwayError("invalid_duration", f"release_lease_time is {given:g}.", "give seconds, 0 or more")
    return {
        "run": this_run.this().id,
        "seconds": given or needs,
        "held": this_run.has_lease(service, host),
        "instead": [str(arguments["end_lease"])] if arguments.get("end_lease") else [],
        "name": str(arguments.get("run") or ""),
        "version": str(arguments.get("version") or ""),
        "process": this_run.process(),
    }


def outlasting(claim: Mapping[str, Any], variables: Mapping[str, Any], needs: float) -> dict[str, float]:
    """What a plan tells of a run of several hosts that may need its lease for longer than a host keeps it."""
    kept = min(float(claim["seconds"]), LONGEST)
    alone = len(variables.get("ansible_play_hosts_all") or ()) < 2
    return {} if alone or needs <= kept else {"lease_needed": needs, "lease_kept": kept}


def of_way_back(service: str, variables: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a run says that takes back what it has released; nothing where it has never had the lease of this host."""
    if not this_run.has_lease(service, str(variables.get("inventory_hostname"))):
        return None
    return {"run": this_run.this().id, "held": True}


def ended(answer: Mapping[str, Any]) -> str:
    """The id of the run whose lease stands in the way, where its process on this machine is gone; else empty."""
    lease = answer.get("lease")
    if not isinstance(lease, Mapping) or not this_run.has_ended(lease.get("process") or {}):
        return ""
    return str(lease.get("run") or "")


def instead(sealed: str, run: str) -> str:
    """The sealed arguments of a task, with a claim that ends the lease of that run; empty where it did so already."""
    told = json.loads(sealed)
    claim = told.get("claim") or {"instead": [run]}
    if run in claim["instead"]:
        return ""
    return json.dumps({**told, "claim": {**claim, "instead": [*claim["instead"], run]}})

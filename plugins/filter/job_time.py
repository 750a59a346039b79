# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: job_time
short_description: Say how long a job may take that releases
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - The time limit for a job of AWX, or for a unit that releases on one host. It has 900 seconds for checks, uploads and
    the last play and, for each wave of hosts, the longest that a release may take there. A wave is as many hosts of a
    batch as Ansible plays at a time.
  - Steps of your own and hardening are not in it.
options:
  _input:
    description:
      - The variables by their names. What is missing or empty has its default.
      - C(release_start_timeout) or else C(service_start_timeout), C(release_drain_timeout) or else
        C(service_drain_timeout), C(release_health) with its C(deadline), C(release_soak_time), C(release_lock_timeout),
        C(release_smoke), C(release_smoke_timeout), C(release_once), C(release_once_timeout), C(release_weights),
        C(release_step_time), C(release_slow), C(release_pause_time), C(release_max_latency_ratio), C(release_confirm),
        C(release_confirm_fleet), C(release_compare) and C(release_serial) count.
    type: dict
    required: true
  hosts:
    description: How many hosts the job releases on. With V(0), each batch is one wave, and there are three at least.
    type: int
    default: 0
  forks:
    description: How many hosts Ansible plays at a time. V(0) stands for five, as Ansible has it.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Say how long a release on 100 hosts may take
  ansible.builtin.debug:
    msg: "{{ {'release_weights': [5, 25], 'release_step_time': 600} | slipway.go.job_time(hosts=100, forks=50) }}"
"""

RETURN = r"""
_value:
  description: Whole seconds.
  type: int
  sample: 2985
"""

import math
from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import job_time as calculation
from ansible_collections.slipway.go.plugins.plugin_utils._input import survey
from ansible_collections.slipway.go.plugins.plugin_utils._input.refusal import refusal


def job_time(variables: Any, hosts: Any = 0, forks: Any = 0) -> int:
    if not isinstance(variables, Mapping):
        raise AnsibleFilterError(f"job_time takes a dictionary of variables, not {type(variables).__name__}")
    with refusal():
        return math.ceil(calculation.seconds(variables, survey.whole(hosts, "hosts"), survey.whole(forks, "forks")))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., int]]:
        return {"job_time": job_time}

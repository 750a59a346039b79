#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_stats
short_description: Tell the next node of a workflow what a run has found or done
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Hands one dictionary on as M(ansible.builtin.set_stats) does. AWX gives it to the next node of a workflow as the
    variable C(slipway). Later tasks of the run add to it, as do M(slipway.go.release), M(slipway.go.rollback) and
    M(slipway.go.remove) for each host that comes through.
  - It has ids, codes and numbers, and no text that a host has written. 500 hosts are listed at most.
  - Runs on the controller and asks no host.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  answers:
    description:
      - A dictionary of hosts and their answers, in the form of the modules that have asked them.
    type: dict
    required: true
  kind:
    description:
      - What the answers are about. With V(pending) nothing is known yet.
    type: str
    choices:
      - compliance
      - conclusion
      - diagnose
      - drift
      - harden
      - pending
      - preflight
      - release
      - remove
      - rollback
      - status
      - vulnerable
    required: true
  playbook:
    description:
      - The playbook that runs.
    type: str
    required: true
  service:
    description:
      - The service that it is about.
    type: str
    default: ""
  release:
    description:
      - The version that it is about.
    type: str
    default: ""
  run:
    description:
      - The name of the run, see C(release_run).
    type: str
    default: ""
  outcome:
    description:
      - How the run has ended on all hosts, in one word.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Tell the next node
  slipway.go.run_stats:
    answers: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'told'))) }}"
    kind: status
    playbook: status
    service: shop
  run_once: true
"""

RETURN = r"""
ansible_stats:
  description: What is handed on.
  returned: success
  type: dict
  sample:
    per_host: false
    aggregate: true
    data:
      slipway:
        playbook: status
        service: shop
        total: 1
        hosts: {web1: {release: 2.0.0-aa00bb11cc, verdict: pass, run: "1704"}}
"""

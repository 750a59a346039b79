#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: variables
short_description: Find misspelt variables of the collection's roles, and values that they could not use
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Without O(role), compares the names of the variables of all hosts of the play with those that the roles and
    playbooks of the collection read. A name that begins like theirs, such as C(release_sok_time), and that none of them
    reads, is a warning that names the nearest one.
  - The variable C(slipway_unknown_variables) makes it a failure (V(refuse)) instead of a warning (V(warn), the
    default). C(slipway_other_variables) lists names that others read, and patterns of names such as V(proxy_env*).
  - C(service_name) must name services that C(slipway_services) declares for a host of the play, if hosts declare any,
    and C(slipway_hosts) has to be given where it has an effect.
  - With O(notices), every entry of C(slipway_notices) must be usable, and its templates must be for every notice.
  - With O(role), checks the values of that role's variables for this host. One that the role could not use is a failure
    of one sentence.
  - Runs on the controller and asks no host.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  role:
    description:
      - The role whose variables are checked.
    type: str
    choices:
      - balancer
      - base
      - build
      - bundle
      - deploy_user
      - firewall
      - proxy
      - pull
      - rebuild
      - release
      - selinux
      - service
      - ssh
      - unbundle
  undeclared:
    description:
      - Whether C(service_name) may name a service that C(slipway_services) does not declare.
    type: bool
    default: false
  notices:
    description:
      - Whether C(slipway_notices) is read, and whether an entry that cannot be used is a warning or a failure.
    type: str
    choices: [ignore, warn, refuse]
    default: ignore
"""

EXAMPLES = r"""
- name: Report misspelt variables, once for all hosts
  slipway.go.variables:
  run_once: true

- name: Check the service's variables
  slipway.go.variables:
    role: service
"""

RETURN = r"""
notices:
  description: The hosts whose C(slipway_notices) say where notices go.
  returned: success, without O(role)
  type: list
  elements: str
  sample: [web1]
unknown:
  description: The variables that nobody reads.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The variable.
      type: str
      sample: release_sok_time
    nearest:
      description: The one that may be meant; empty where none is like it.
      type: str
      sample: release_soak_time
    hosts:
      description: The hosts that have it.
      type: list
      elements: str
      sample: [web1, web2]
  sample:
    - name: release_sok_time
      nearest: release_soak_time
      hosts: [web1, web2]
"""

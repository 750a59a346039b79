#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: conclude
short_description: End a fleet's release on a host
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes back what the run has released on this host, if the fleet does not keep it, and asks the host anew what it
    runs. What has waited for the fleet, and is kept, is confirmed over a new connection. All of this is one task, since
    tasks are what a run on a fleet costs.
  - What is taken back is not marked bad here, for it was good on this host.
  - A host that cannot be reached fails; it is not dropped from the play, so that the run can still tell of it.
  - In check mode, nothing is taken back or confirmed.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.by
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  name:
    description:
      - The service's name.
    type: str
    required: true
  root:
    description:
      - The directory that holds the releases. Defaults to C(/opt/NAME).
    type: str
  back:
    description:
      - What is to be taken back, as P(slipway.go.fleet_decision#filter) says it for this host. Nothing when empty.
    type: dict
    default: {}
    suboptions:
      of:
        description:
          - As O(slipway.go.rollback#module:of).
        type: str
      release:
        description:
          - As O(slipway.go.rollback#module:release).
        type: str
      run:
        description:
          - As O(slipway.go.rollback#module:run).
        type: str
      mark_bad:
        description:
          - As O(slipway.go.rollback#module:mark_bad), but V(false) by default.
        type: bool
  confirm:
    description:
      - The release that waits to be confirmed, as P(slipway.go.fleet_decision#filter) says it. Nothing when empty.
    type: dict
    default: {}
    suboptions:
      unconfirmed:
        description:
          - The transaction.
        type: str
      current:
        description:
          - The release that waits.
        type: str
      previous:
        description:
          - The release that comes back where it is not confirmed.
        type: str
  expects:
    description:
      - The release that the run has brought here, and that must serve. Nothing is taken back or confirmed then. The
        host fails where it does not answer within 60 seconds, where it has another release, or where the release does
        not run.
    type: str
  start_timeout:
    description:
      - Seconds that a start of the service may take. With the next two, they say how long the answer is waited for.
    type: raw
  drain_timeout:
    description:
      - Seconds that requests may take to end.
    type: raw
  soak_time:
    description:
      - Seconds for which a release must stay healthy.
    type: raw
seealso:
  - module: slipway.go.rollback
  - module: slipway.go.release_info
"""

EXAMPLES = r"""
- name: End the release on this host
  slipway.go.conclude:
    name: shop
    back: "{{ decision.back[inventory_hostname] | default({}) }}"
  register: answer

- name: Ask whether the release still serves
  slipway.go.conclude:
    name: shop
    expects: 2.0.0-3b1d8f00aa
"""

RETURN = r"""
current:
  description: The id of the release that the host runs now. All else that M(slipway.go.release_info) returns is there.
  returned: when the host answers
  type: str
  sample: 1.9.4-77c0aa12de
left:
  description: The id of the release that was taken back; V(null) where nothing was.
  returned: success
  type: str
  sample: 2.0.0-3b1d8f00aa
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: unreachable
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: see that it can be reached again, then sudo slipway status there
"""

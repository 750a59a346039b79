#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_report
short_description: Write what a release has been like on its hosts into one HTML file
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Writes one file on the controller about all that M(slipway.go.release) has done in this run until now, with the
    timeline of each host. The file needs no network and no script.
  - A second task of the same run replaces the file of the first. The file of another run is never replaced, because
    each has the id of its run in its name.
  - Where the file cannot be written, the task warns and succeeds. It changes no host and asks none.
  - A release with C(no_log) is left out.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: none
    details: In check mode nothing is written, and the task succeeds.
  diff_mode:
    support: none
options:
  path:
    description:
      - A folder on the controller, which is made if it is missing, or the name of a file that ends in C(.html), before
        whose ending the time and the id of the run are inserted. A relative path starts in the folder in which Ansible
        runs. Where it is empty, nothing is written.
    type: str
    required: true
  mode:
    description:
      - Who may read the file. Messages and logs of hosts are in it.
    type: raw
    default: "0600"
  service:
    description:
      - The service that O(closing) is about.
    type: str
    default: ""
  version:
    description:
      - The version that was to be released.
    type: str
    default: ""
  playbook:
    description:
      - The playbook that runs.
    type: str
    default: release
  run:
    description:
      - The name of the run, see C(release_run).
    type: str
    default: ""
  closing:
    description:
      - How the run has ended for the service, from P(slipway.go.fleet_closing#filter). Without it, the hosts alone say
        that.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Write the report
  slipway.go.release_report:
    path: reports
    service: shop
    closing: "{{ release_closing }}"
  run_once: true
"""

RETURN = r"""
report:
  description: The file; empty where none was written.
  returned: success
  type: str
  sample: /srv/reports/release-20261130T024512Z-90f1c2aa34bb56dd.html
ansible_stats:
  description: The same for the next node of a workflow; left out where the name of the file could act as a template.
  returned: success
  type: dict
  sample:
    per_host: false
    aggregate: true
    data:
      slipway:
        report: /srv/reports/release-20261130T024512Z-90f1c2aa34bb56dd.html
"""

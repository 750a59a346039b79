# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: author
short_description: Who runs this playbook, from where and in which job
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Returns what is known without being said. The person is the user of AWX, GitLab, GitHub or Jenkins where the run is
    one of their jobs, and otherwise who runs the playbook.
  - The modules of the collection find it by themselves. It is for the commands of the tool on the host.
"""

EXAMPLES = r"""
- name: Have a paused release go on
  ansible.builtin.command:
    argv: [/usr/local/sbin/slipway, resume, shop, --by, "{{ lookup('slipway.go.author') | to_json }}"]
"""

RETURN = r"""
_raw:
  description: A dictionary with C(person), C(controller) and C(job), as far as they are known, as the only element.
  type: list
  elements: dict
  sample: [{person: alice, controller: awx-1, job: "AWX job 42, resume shop"}]
"""

import os
from collections.abc import Sequence
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.slipway.go.plugins.plugin_utils._run import authorship


class LookupModule(LookupBase):
    def run(self, _terms: Sequence[str], variables: dict[str, Any] | None = None) -> list[dict[str, str]]:
        return [authorship.known(variables or {}, os.environ)]

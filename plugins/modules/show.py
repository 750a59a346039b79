#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: show
short_description: Show a text of several lines as it is
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Writes a text to the output of the run, line by line. M(ansible.builtin.debug) would show it as one line of JSON.
  - Runs on the controller and asks no host.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  text:
    description:
      - The text. A character that a terminal could take for a command is shown as a blank.
    type: str
    required: true
seealso:
  - module: ansible.builtin.debug
"""

EXAMPLES = r"""
- name: Show what serves on the hosts
  slipway.go.show:
    text: "{{ (answers | slipway.go.status_table(service='shop')).table }}"
  run_once: true
"""

RETURN = r"""
text:
  description: The text as it was shown.
  returned: success
  type: str
  sample: "HOST  SERVICE  RELEASE\nweb1  shop     2.0.0-aa00bb11cc"
"""

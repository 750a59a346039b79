# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""This machine under many names, each of which is gone as soon as a file says so."""

from __future__ import annotations

DOCUMENTATION = r"""
name: vanishing
short_description: This machine, until it is gone
description:
  - For tests.
author:
  - Slipway maintainers (@slipway)
options:
  gone:
    description: The file whose lines name those that cannot be reached.
    vars:
      - name: vanishing_gone
    required: true
  me:
    description: The name of this one.
    vars:
      - name: inventory_hostname
    required: true
extends_documentation_fragment:
  - connection_pipelining
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local


class Connection(Local):
    transport = "vanishing"

    def exec_command(self, *arguments: Any, **named: Any) -> Any:
        if self.get_option("me") in Path(self.get_option("gone")).read_text().splitlines():
            raise AnsibleConnectionFailure("nobody answers")
        return super().exec_command(*arguments, **named)

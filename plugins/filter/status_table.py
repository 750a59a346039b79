# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: status_table
short_description: Render the state of services on hosts as one table
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes what M(slipway.go.release_info) has returned for each host, and gives one line a host.
  - A host that did not answer counts as down. So does one with a release in flight, which may yet be taken back; the
    health is V(unconfirmed) then, and the message says until when.
options:
  _input:
    description:
      - A dictionary of host names and the registered results of M(slipway.go.release_info).
    type: dict
    required: true
  service:
    description:
      - The service's name, for hosts that did not answer.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the table
  ansible.builtin.debug:
    msg: "{{ (results | slipway.go.status_table(service='shop')).table }}"
"""

RETURN = r"""
_value:
  description: The table and the names of the hosts on which the service does not serve.
  type: dict
  contains:
    table:
      description: The table, its lines separated by line breaks.
      type: str
    down:
      description: The hosts, as C(HOST/SERVICE).
      type: list
      elements: str
    reasons:
      description: What is wrong on each of these hosts, in one sentence.
      type: dict
  sample:
    table: "HOST  SERVICE  RELEASE"
    down: [web2/shop]
    reasons: {web2: "shop is not well on this host: readyz answers 503."}
"""

import time
from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import sentence
from ansible_collections.slipway.go.plugins.module_utils._release.operator import status_table as status

NEVER = "never released"
ENDINGS = {"rolled_back": "was rolled back", "refused": "was refused", "given_up": "was given up"}


def first_failure(event: Mapping[str, Any]) -> str:
    """What became of a release before which there was none."""
    why = " ".join(str(event.get("reason") or "").split())
    ending = ENDINGS.get(str(event.get("event")), "did not end well")
    return f"{NEVER}: {event.get('release')} {ending}{': ' if why else ''}{why}"


def row(host: str, service: str, told: Mapping[str, Any]) -> dict[str, Any]:
    if told.get("unreachable") or told.get("failed") or "health" not in told:
        return {"host": host, "service": service, "health": "unknown", "message": told.get("msg") or "did not answer"}
    shown = {key: told.get(key) for key in ("service", "commit", "since", "health", "p99", "restarts", "message")}
    if told.get("damaged"):
        shown["message"] = " ".join([*([shown["message"]] if shown["message"] else []), *map(str, told["damaged"])])
    if told.get("state") == NEVER and told.get("history"):
        shown["message"] = first_failure(told["history"][0])
    if told.get("unsettled"):
        health = "paused" if (told.get("in_flight") or {}).get("paused") else "unconfirmed"
        shown |= {"health": health, "message": told["unsettled"]}
    return {"host": host, "release": told.get("current"), "damaged": bool(told.get("damaged")), **shown}


def status_table(results: Any, service: str) -> dict[str, Any]:
    if not isinstance(results, Mapping):
        raise AnsibleFilterError(f"status_table takes a dictionary of hosts, not {type(results).__name__}")
    rows = [row(str(host), service, told) for host, told in results.items()]
    down = status.down(rows)
    reasons = {one["host"]: reason(one) for one in rows if status.down([one])}
    return {"table": status.render_status_table(rows, time.time()), "down": down, "reasons": reasons}


def reason(one: Mapping[str, Any]) -> str:
    """Why the service is not well on this host, in one line."""
    why = " ".join(str(one.get("message") or f"its health is {one.get('health')}").split())
    return sentence(f"{one.get('service')} is not well on this host: {why}")


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"status_table": status_table}

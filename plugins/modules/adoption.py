#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: adoption
short_description: Let a release take over a service that somebody has set up by hand, or give the service back
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - With O(state=kept), keeps a copy of the former unit, its drop-ins, its links, its environment files and its program
    in C(/var/lib/slipway/NAME/former), which only root can read. The service goes on running, and nothing of it
    changes. For ten minutes, anew with each call of M(slipway.go.release), the role C(service) and that module then
    accept the former service. The role's units of its names wait; the release ends the former service, starts in its
    place, and brings it back when it fails.
  - With O(state=closed), they accept it no longer, unless a release has taken it over by then. Nothing else changes.
  - With O(state=given_back), ends the release that serves and brings the former service back, its files as they were.
  - Fails where M(slipway.go.adoption_info) has a finding that blocks. Nothing changes then.
  - Takes the service's lock, and first settles what an interrupted run has left.
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
      - The service's name, which is the unit's without C(.service).
    type: str
    required: true
  root:
    description:
      - The directory that is to hold its releases. Defaults to C(/opt/NAME).
    type: path
  state:
    description:
      - Whether the former service is kept for a release to take over, is not to be taken over any more by what
        was prepared, or is to run again.
    type: str
    choices: [kept, closed, given_back]
    default: kept
  strategy:
    description:
      - The strategy of the release that is to take over. With V(proxy) nothing is kept, because the former service has
        the port that HAProxy would need.
    type: str
    choices: [socket, proxy, reload, restart]
    default: restart
  log_file:
    description:
      - Whether the service is to write its log into a file. Nothing is kept then, because the role would close
        C(/var/log/NAME) to the former service.
    type: bool
    default: false
  foreground:
    description:
      - Whether C(service_arguments) keep a program in the foreground that goes into the background today. Without it,
        C(Type=forking) blocks.
    type: bool
    default: false
  start_timeout:
    description:
      - Seconds that the former service may take to start.
    type: float
    default: 60
  drain_timeout:
    description:
      - Seconds that what is ended may take to end by itself.
    type: float
    default: 30
seealso:
  - module: slipway.go.adoption_info
  - module: slipway.go.release
"""

EXAMPLES = r"""
- name: Keep the former service for the release that takes it over
  slipway.go.adoption:
    name: shop

- name: Give the service back to its former unit
  slipway.go.adoption:
    name: shop
    state: given_back
"""

RETURN = r"""
takes_over:
  description: Whether the next release takes the service over; in check mode, whether it would.
  returned: when O(state=kept)
  type: bool
  sample: true
kept:
  description: The files of which a copy is kept, or would be.
  returned: when O(state=kept)
  type: list
  elements: str
  sample: [/etc/systemd/system/shop.service, /etc/default/shop, /usr/local/bin/shop]
previous:
  description: The release that was ended, or would be; V(none) where the former service runs already.
  returned: when O(state=given_back)
  type: str
  sample: 1.4.2-5f0c1a9b3e
downtime_seconds:
  description: How long neither ran.
  returned: when O(state=given_back) and a release was ended
  type: float
  sample: 0.412
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: not_adoptable
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: leave it as it is
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._adoption import switch
from ansible_collections.slipway.go.plugins.module_utils._release import options
from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import STRATEGIES, Settings, validate_name

KEPT = "kept"
CLOSED = "closed"
GIVEN_BACK = "given_back"


def keep(engine: Engine, layout: Layout, values: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    wish = switch.Wish(values["strategy"], values["log_file"], values["foreground"])
    if not check_mode:
        engine.recover()
    files = switch.files_to_keep(layout, wish)
    if files is None:
        return {"changed": False, "takes_over": engine.takes_over(), "kept": []}
    if not check_mode:
        engine.keep_former(files.moved, files.kept)
    return {"changed": True, "takes_over": check_mode or engine.takes_over(), "kept": list(files.kept)}


def give_back(engine: Engine, check_mode: bool) -> dict[str, Any]:
    outcome = engine.give_back(predict=check_mode)
    found: dict[str, Any] = {"changed": outcome.changed, "previous": outcome.previous}
    if outcome.downtime_seconds is not None:
        found["downtime_seconds"] = round(outcome.downtime_seconds, 3)
    return found


def work(module: AnsibleModule) -> dict[str, Any]:
    values = module.params
    name = validate_name(values["name"])
    layout = Layout(name, values["root"] or f"/opt/{name}")
    times = {key: values[key] for key in ("start_timeout", "drain_timeout")}
    engine = Engine(Settings(name, layout.root, **times), by=values["by"])
    if values["state"] == CLOSED:
        return {"changed": engine.close_former(predict=module.check_mode)}
    if values["state"] == GIVEN_BACK:
        return give_back(engine, module.check_mode)
    return keep(engine, layout, values, module.check_mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path"},
            "state": {"type": "str", "choices": [KEPT, CLOSED, GIVEN_BACK], "default": KEPT},
            "strategy": {"type": "str", "choices": list(STRATEGIES), "default": "restart"},
            "log_file": {"type": "bool", "default": False},
            "foreground": {"type": "bool", "default": False},
            "start_timeout": {"type": "float", "default": Settings.start_timeout},
            "drain_timeout": {"type": "float", "default": Settings.drain_timeout},
            "by": options.BY,
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_files
short_description: Write a service's environment, configuration, credentials and units as one step
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Finds and renders everything on the controller before the host is touched, then writes it in one call. A run that is
    killed at any point leaves what was there or all of what is new, never a part that a release could take along.
  - What is in C(/etc/NAME/config), C(/etc/NAME/credentials) and C(/etc/NAME/units) and is no longer wanted goes.
  - Units are verified and installed as M(slipway.go.systemd_units) does it for a service.
    A unit, drop-in or running process of the service's names that is not slipway's is refused, and so are files in
    C(/etc/NAME) that would be replaced on a host where slipway has configured no such service. Nothing changes then.
  - Environment, credentials and the contents of configuration files are in no log and no result; diffs show those of
    configuration files that are not secret.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  name:
    description:
      - The service's name.
    type: str
    required: true
  state:
    description:
      - V(rendered) finds and renders only, on the controller, and asks no host.
      - V(checked) asks the host only whether the service's names are somebody else's, and reserves O(proxy_ports).
        V(present) writes.
    type: str
    choices: [present, checked, rendered]
    default: present
  root:
    description:
      - The directory that holds the releases. Defaults to C(/opt/NAME).
    type: path
  group:
    description:
      - The group that may read environment and configuration. Defaults to the service's name.
    type: str
  environment:
    description:
      - Environment variables of the service.
    type: dict
    default: {}
  config_files:
    description:
      - Templates of the controller. They are looked for where M(ansible.builtin.template) looks, then beside the
        inventory and in the working directory, each time in C(templates/), too.
    type: list
    elements: dict
    default: []
    suboptions:
      src:
        description:
          - The template.
        type: str
        required: true
      dest:
        description:
          - The file's name below C(/etc/NAME/config). Defaults to the template's name without C(.j2).
        type: str
      secret:
        description:
          - Whether to keep its content out of diffs.
        type: bool
        default: false
  credentials:
    description:
      - Secrets of the service, name and content.
    type: dict
    default: {}
  credentials_shared:
    description:
      - Whether the group may read credentials, for a host whose systemd does not hand them over.
    type: bool
    default: false
  log_rotation:
    description:
      - Whether the service is to have a rule of its own in C(/etc/logrotate.d). One that is
        there before slipway knows the service is refused.
    type: bool
    default: false
  proxy_ports:
    description:
      - With O(state=checked), the two local ports that the service has on this host behind HAProxy, and that no other
        service may have from then on. When empty, the host chooses two that are free, and keeps to them.
      - None by default.
    type: list
    elements: int
  more_ports:
    description:
      - With O(proxy_ports), the names of the public ports that the service has beside the first. The host chooses two
        local ports for each, and keeps to them.
    type: list
    elements: str
    default: []
  public:
    description:
      - What all services of the host are to listen on, in the notation of C(ListenStream=). None of these is chosen as
        a local port.
    type: list
    elements: str
    default: []
  record:
    description:
      - What the runs of the host's other services have to know of this one, kept in C(/etc/slipway/services/NAME.json).
    type: dict
    default: {}
  watch:
    description:
      - How the host's watcher looks at this service, kept in C(/etc/slipway/watch/NAME.json). Empty for not at all.
    type: dict
    default: {}
  units:
    description:
      - The service's units, each with the content it is to have.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The unit's file name.
        type: str
        required: true
      content:
        description:
          - The whole content of the file.
        type: str
        required: true
      enabled:
        description:
          - Whether the unit starts at boot.
        type: bool
      started:
        description:
          - Whether to start the unit when it is not active. It is never restarted.
        type: bool
        default: false
  absent:
    description:
      - File names of units that must not be there.
    type: list
    elements: str
    default: []
  directives:
    description:
      - Which directives come from which variable, as lists of names by variable; where two have the same, the first one
        counts. A line that systemd does not take is then reported with its variable, and a directive of theirs that no
        systemd knows is an error.
    type: dict
    default: {}
  sealed:
    description:
      - What the controller's half of this module has found and rendered. Not for playbooks.
    type: str
seealso:
  - module: slipway.go.systemd_units
  - module: slipway.go.release
"""

EXAMPLES = r"""
- name: Would everything render?
  slipway.go.service_files:
    name: shop
    state: rendered
    config_files:
      - src: shop.toml.j2

- name: Configuration and units of the shop
  slipway.go.service_files:
    name: shop
    environment:
      DATABASE_URL: "{{ vault_database_url }}"
    config_files:
      - src: shop.toml.j2
    units:
      - name: shop@.service
        content: "{{ lookup('ansible.builtin.template', 'shop@.service.j2') }}"
"""

RETURN = r"""
paths:
  description: The files of the configuration that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/shop/config/shop.toml]
units:
  description: The names of the units that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [shop.socket]
drop_ins:
  description: Drop-ins of the operator's own that change the service's units. No release brings or takes them.
  returned: success
  type: list
  elements: str
  sample: []
proxy_ports:
  description: With O(state=checked) and O(proxy_ports), the two local ports that are reserved for the service.
  returned: success
  type: list
  elements: int
  sample: [18080, 18081]
more_ports:
  description:
    - With O(state=checked) and O(proxy_ports), the two local ports that are reserved behind each of O(more_ports), and
      behind those that the service had before.
  returned: success
  type: dict
  sample: {"grpc": [18082, 18083]}
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: missing_template
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: correct the path in service_config_files
"""

import contextlib
import json
import os
import re
from typing import Any, Optional, Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._core import files as _files
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.paths import SERVICES_ROOT, WATCH_ROOT
from ansible_collections.slipway.go.plugins.module_utils._release import configuration, staged_units
from ansible_collections.slipway.go.plugins.module_utils._release.configuration import File
from ansible_collections.slipway.go.plugins.module_utils._release.operator import metrics
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import validate_name
from ansible_collections.slipway.go.plugins.module_utils._release.strategies import reserved_ports
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.slots import LocalPorts
from ansible_collections.slipway.go.plugins.module_utils._units import foreign, installer

RECORDS = SERVICES_ROOT
WATCHES = WATCH_ROOT
LOGROTATE = "/etc/logrotate.d"
_METRICS = re.compile(r"--metrics (\S+)")


def files(values: dict[str, Any], coming: list[installer.UnitFile]) -> list[File]:
    """The whole set below /etc/NAME."""
    sealed, group = json.loads(values["sealed"]), values["group"] or values["name"]
    shared = values["credentials_shared"]
    return [
        File("environment", sealed["environment"], 0o640, group, secret=True),
        *(File(f"config/{one['name']}", one["content"], 0o640, group, one["secret"]) for one in sealed["config"]),
        *(
            File(f"credentials/{name}", text, 0o640 if shared else 0o600, group if shared else "", secret=True)
            for name, text in sealed["credentials"].items()
        ),
        *(File(f"units/{unit.name}", unit.content, 0o644) for unit in coming),
    ]


def record(folder: str, name: str, told: dict[str, Any], check_mode: bool) -> bool:
    """Whether this was not in the file of the service in that folder, which the host's other programs read."""
    path, text = f"{folder}/{name}.json", json.dumps(told, sort_keys=True)
    if _files.text(path) == text:
        return False
    if not check_mode:
        _files.make_directory(folder, 0o755)
        _files.write_atomic(path, text, 0o644)
    return True


def watch(name: str, options: dict[str, Any], check_mode: bool) -> bool:
    """Whether the host's watcher did not know this of the service."""
    if options:
        return record(WATCHES, name, options, check_mode)
    path = f"{WATCHES}/{name}.json"
    if not os.path.lexists(path):
        return False
    if not check_mode:
        os.unlink(path)
    return True


def plan(layout: Layout, wanted: list[installer.UnitFile], absent: list[str]) -> installer.UnitPlan:
    installer.validate(wanted, absent, layout.unit_root)
    now, gone = staged_units.in_force(wanted, absent, layout, installer.is_active)
    others = staged_units.besides_former(layout)
    return installer.plan([unit for unit in now if others(unit.name)], list(filter(others, gone)), layout.unit_root)


def foreign_rotation(name: str) -> list[str]:
    """The rotation rule of the service's name, unless it is the role's, whose one has the service's own folder."""
    path = f"{LOGROTATE}/{name}"
    return [path] if os.path.lexists(path) and f"/var/log/{name}/own/" not in _files.text(path) else []


def drop_metrics(name: str, changes: Sequence[installer.UnitChange]) -> None:
    """Remove what a watch has exported that exports there no more: nobody would correct its last verdict."""
    for change in changes:
        if change.name == f"{name}-watch.service":
            before, after = (_METRICS.findall(text or "") for text in (change.before, change.after))
            for folder in set(before) - set(after):
                with contextlib.suppress(OSError):
                    os.unlink(metrics.path(folder, name))


def work(module: AnsibleModule) -> dict[str, Any]:
    values = module.params
    layout = Layout(validate_name(values["name"]), values["root"] or f"/opt/{values['name']}")
    wished: Optional[list[int]] = values["proxy_ports"]
    place = staged_units.place(layout)
    drop_ins = staged_units.refuse_foreign(layout, foreign_rotation(layout.name) if values["log_rotation"] else [])
    if values["state"] == "checked":
        ports, changed = (
            reserved_ports.reserve(layout, wished, module.check_mode, values["more_ports"], values["public"])
            if wished is not None
            else (LocalPorts(), False)
        )
        return {
            "changed": changed,
            "paths": [],
            "units": [],
            "drop_ins": drop_ins,
            "proxy_ports": list(ports.first),
            "more_ports": {name: list(local) for name, local in ports.more.items()},
        }
    if not values["sealed"]:
        raise SlipwayError("not_rendered", "the controller's half of this module did not run.", "use it in a task")
    wanted, absent = [installer.UnitFile(**unit) for unit in values["units"]], values["absent"]
    members = files(values, staged_units.next_release(wanted, layout))
    planned, changes = plan(layout, wanted, absent), configuration.changes(layout, members)
    if wanted and (planned.changes or any(f"{layout.units}/" in change.path for change in changes)):
        for warning in installer.verify(wanted, values["directives"] or None):
            module.warn(warning)
    group = values["group"] or values["name"]
    if not module.check_mode:
        configuration.known_group(group)
    held = False
    told = bool(values["record"]) and record(RECORDS, layout.name, values["record"], module.check_mode)
    watched = watch(layout.name, values["watch"], module.check_mode)
    if not module.check_mode:
        foreign.note(place, {unit.name: unit.content for unit in planned.wanted})
        # Cut short after this, a first release is refused for want of its units, and a later one has the set of before.
        installer.apply(planned)
        held = staged_units.hold(layout, wanted)
        drop_metrics(layout.name, planned.changes)
        changes = configuration.write(layout, members, group)
    return {
        "changed": bool(planned.changed or changes or told or watched or held),
        "paths": [change.path for change in changes],
        "units": planned.changed_names,
        "drop_ins": drop_ins,
        "diff": [
            *(change.diff() for change in changes),
            *(
                {"before_header": c.path, "after_header": c.path, "before": c.before or "", "after": c.after or ""}
                for c in planned.changes
            ),
        ],
    }


def main() -> None:
    unit = {
        "name": {"type": "str", "required": True},
        "content": {"type": "str", "required": True},
        "enabled": {"type": "bool"},
        "started": {"type": "bool", "default": False},
    }
    config = {
        "src": {"type": "str", "required": True},
        "dest": {"type": "str"},
        "secret": {"type": "bool", "default": False, "no_log": False},
    }
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "checked", "rendered"], "default": "present"},
            "root": {"type": "path"},
            "group": {"type": "str"},
            "environment": {"type": "dict", "default": {}, "no_log": True},
            "config_files": {"type": "list", "elements": "dict", "default": [], "options": config},
            "credentials": {"type": "dict", "default": {}, "no_log": True},
            "credentials_shared": {"type": "bool", "default": False, "no_log": False},
            "log_rotation": {"type": "bool", "default": False},
            "proxy_ports": {"type": "list", "elements": "int"},
            "more_ports": {"type": "list", "elements": "str", "default": []},
            "public": {"type": "list", "elements": "str", "default": []},
            "record": {"type": "dict", "default": {}},
            "watch": {"type": "dict", "default": {}},
            "units": {"type": "list", "elements": "dict", "default": [], "options": unit},
            "absent": {"type": "list", "elements": "str", "default": []},
            "directives": {"type": "dict", "default": {}},
            "sealed": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()

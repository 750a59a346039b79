#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: remove
short_description: Remove one service from a host, and leave every other one as it is
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Drains and stops the service and removes its units, its sockets, its watch with the metrics, its part of HAProxy and
    nginx, its rotation rule, its configuration with the credentials, its state, and its lines in the rules of sudo that
    M(slipway.go.account) has written. Data, logs, releases and the journal stay.
  - Takes the service's lock. It fails while a release is under way or waits to be confirmed, and where units of the
    service's names are not slipway's. Nothing changes then.
  - Nothing starts what has been stopped, not even a boot. A run that was interrupted is finished by the next one.
  - Where M(slipway.go.adoption) has given the service back to the unit that it had before, that unit stays and goes on
    running. With O(data), the module fails then.
  - What the service had let in through the firewall is closed by M(slipway.go.firewall).
extends_documentation_fragment:
  - slipway.go.attributes
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
  confirm:
    description:
      - The service's name once more. With anything else, nothing is changed.
    type: str
    required: true
  root:
    description:
      - The directory that holds the releases. Defaults to what the last release has used, or C(/opt/NAME).
    type: path
  user:
    description:
      - The user that the service runs as. Defaults to the service's name.
    type: str
  group:
    description:
      - The group of that user. Defaults to the user's name.
    type: str
  archive:
    description:
      - A C(.tar.gz) file of the host that gets a copy of everything first, when the service has stopped. Only root can
        read it, because it holds secrets. A file that is there is never replaced.
    type: str
    default: ""
  data:
    description:
      - Whether to delete data (C(/var/lib/NAME), C(/var/cache/NAME)), logs (C(/var/log/NAME)), releases, and the user
        with its group if they were made for the service and nothing else uses them.
      - A folder that does not belong to that user or group is not the service's, and stays.
    type: bool
    default: false
seealso:
  - module: slipway.go.firewall
  - module: slipway.go.purge
"""

EXAMPLES = r"""
- name: Remove the shop, and keep its data and releases
  slipway.go.remove:
    name: shop
    confirm: shop

- name: Remove all of it, after a copy
  slipway.go.remove:
    name: shop
    confirm: shop
    archive: /var/backups/shop.tar.gz
    data: true
"""

RETURN = r"""
removed:
  description: The files, folders and accounts that were removed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/shop.service, /etc/shop/environment]
kept:
  description: What of the service, or under its name, is left.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/shop, /opt/shop/releases]
sudo:
  description: Files of which the lines about the service were removed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/sudoers.d/90-slipway-deploy]
archive:
  description: The archive that was written, or in check mode would be; empty where none was.
  returned: success
  type: str
  sample: /var/backups/shop.tar.gz
known:
  description: Whether slipway has, or had, a service of that name on this host.
  returned: success
  type: bool
  sample: true
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: release_in_flight
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: run sudo slipway confirm shop or sudo slipway rollback shop on the host, then run again
"""

from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._hardening.account import withdrawal
from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
from ansible_collections.slipway.go.plugins.module_utils._release.operator import metrics
from ansible_collections.slipway.go.plugins.module_utils._release.removal.parts import Wish
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Settings, validate_name
from ansible_collections.slipway.go.plugins.module_utils._release.state.store import load_settings

# Without what the last release has said, or with what a disk has left of it, a service can be removed all the same.
UNUSABLE = ("unknown_service", "damaged_settings")


def refuse_unconfirmed(name: str, confirm: str) -> None:
    if confirm != name:
        raise SlipwayError(
            "name_not_confirmed",
            f"remove_confirm is {confirm!r} and the service is {name!r}, so nothing was changed.",
            f"set remove_confirm to {name} if that service is to be removed",
        )


def settings_of(name: str, root: str) -> Settings:
    """Those of the last release, without its checks: nothing is asked whether it is healthy any more."""
    try:
        return replace(load_settings(name), health={}, probe={})
    except SlipwayError as error:
        if error.code not in UNUSABLE:
            raise
    return Settings(name, root or f"/opt/{name}")


def work(module: AnsibleModule) -> dict[str, Any]:
    values, check = module.params, module.check_mode
    name = validate_name(values["name"])
    refuse_unconfirmed(name, values["confirm"])
    user = values["user"] or name
    wish = Wish(user, values["group"] or user, metrics.path, values["archive"], values["data"])
    done = Engine(settings_of(name, values["root"])).remove(wish, predict=check)
    sudo = withdrawal.withdraw(name, check) if done.known else []
    return {
        "changed": bool(done.removed or sudo),
        "removed": list(done.removed),
        "kept": list(done.kept),
        "sudo": sudo,
        "archive": done.archive,
        "known": done.known,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "confirm": {"type": "str", "required": True},
            "root": {"type": "path"},
            "user": {"type": "str"},
            "group": {"type": "str"},
            "archive": {"type": "str", "default": ""},
            "data": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()

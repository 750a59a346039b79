# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a file of the controller is. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
from collections.abc import Callable

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase


def find_source(
    action: ActionBase, kind: str, path: str, inventory: str, missing: Callable[[list[str]], Exception], own: str = ""
) -> str:
    """The file or folder, where Ansible looks for that kind ("files", "templates"), else beside the inventory or here.

    The playbook may be the collection's own, far from the operator's. missing: the error, given the places that were
    looked at. own: a folder of the collection whose files are never meant.
    """
    searched: list[str] = []
    try:
        found = str(action._find_needle(kind, path))
        if not own or not os.path.realpath(found).startswith(os.path.join(os.path.realpath(own), "")):
            return found
    except AnsibleError as error:
        searched = list(getattr(error, "paths", None) or [])
    if path.startswith(("/", "~")):
        return str(action._loader.path_dwim(path))
    folders = [folder for folder in (inventory, os.getcwd()) if os.path.isabs(folder)]
    nearby = [
        os.path.join(folder, *more, path) for folder in folders for more in ((kind,), ()) if kind != "files" or not more
    ]
    nearest = next(filter(os.path.exists, nearby), None)
    if nearest is None:
        raise missing([*searched, *nearby])
    return nearest

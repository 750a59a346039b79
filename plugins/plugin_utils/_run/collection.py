# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which version of the collection this is. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import json
import os

from ansible.module_utils.common.yaml import yaml_load

_ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.realpath(__file__)), *[os.pardir] * 3))


def version(root: str = _ROOT) -> str:
    """As it was installed, or as its checkout says; "unknown" where neither can be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(_read(root, "MANIFEST.json"))["collection_info"]["version"])
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(yaml_load(_read(root, "galaxy.yml"))["version"])
    return "unknown"


def _read(root: str, name: str) -> str:
    with open(os.path.join(root, name), encoding="utf-8") as stream:
        return stream.read()

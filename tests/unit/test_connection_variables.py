# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whoever goes on by another user or port says so by every name that Ansible's ssh reads, the last of which wins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.plugins.connection import ssh

ROOT = Path(__file__).parents[2]
TASKS = sorted(p for folder in ("roles", "playbooks") for p in (ROOT / folder).rglob("*.yml"))


def facts(node: Any) -> Iterator[dict[str, Any]]:
    """What set_fact sets, at any depth."""
    if isinstance(node, list):
        for one in node:
            yield from facts(one)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "ansible.builtin.set_fact":
                yield value
            else:
                yield from facts(value)


def names(option: str) -> list[str]:
    return [one["name"] for one in yaml.safe_load(ssh.DOCUMENTATION)["options"][option]["vars"]]


@pytest.mark.parametrize("option", ["remote_user", "port"])
def test_another_user_or_port_is_named_by_every_variable(option: str) -> None:
    known = names(option)
    assert len(known) > 1
    found = [one for path in TASKS for one in facts(yaml.safe_load(path.read_text())) if set(known) & set(one)]
    assert found
    for one in found:
        assert [one.get(name) for name in known] == [one[known[0]]] * len(known)

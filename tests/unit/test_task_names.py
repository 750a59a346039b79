# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task's name says what it does, as an imperative."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*(ROOT / "roles").glob("*/tasks/*.yml"), *(ROOT / "playbooks").glob("*.yml")])
IMPERATIVE = re.compile(
    "(Accept|Apply|Ask|Boot|Build|Change|Check|Choose|Close|Collect|Combine|Compare|Conclude|Configure|Continue|Create|Decide|Diagnose|Enforce"
    "|Fail|Fill|Find|Give|Install|Keep|Label|Let|Lock|Mask|Mount|Name|Open|Prove|Purge|Put|Read|Reboot|Refuse|Reject|Release|Relabel|Remember|Remove"
    r"|Report|Restrict|Roll|Run|Schedule|Set|Show|Skip|Start|Stop|Synchronise|Take|Tell|Try|Upgrade|Validate|Warn|Write)\b(.*[^?.!])?"
)


def tasks(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        if "hosts" not in entry and "ansible.builtin.import_playbook" not in entry:
            yield entry
        for part in ("tasks", "block", "rescue", "always"):
            yield from tasks(entry.get(part) or [])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_are_imperatives(path: Path) -> None:
    names = [str(task.get("name", "")) for task in tasks(yaml.safe_load(path.read_text()))]
    assert [name for name in names if not IMPERATIVE.fullmatch(name)] == []

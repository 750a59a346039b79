# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing stands between a module's message and the operator.

Where a `failed_when` fails a task, ansible-core 2.21 puts "A 'failed_when' expression evaluated to 'True'" in the place
of what the module said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    [
        *(ROOT / "roles").glob("*/tasks/*.yml"),
        *(ROOT / "roles").glob("*/handlers/*.yml"),
        *(ROOT / "playbooks").glob("*.yml"),
    ]
)
OWN = re.compile(r"slipway\.go\..*|ansible\.builtin\.(assert|fail)")
FENCE = re.compile(r"^```ya?ml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def tasks(entries: Any) -> Iterator[dict[str, Any]]:
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            yield entry
            for part in ("tasks", "pre_tasks", "post_tasks", "block", "rescue", "always"):
                yield from tasks(entry.get(part))


def hides(task: dict[str, Any]) -> bool:
    """Whether a condition decides that it fails; one that never fails hands the message on."""
    return any(OWN.fullmatch(key) for key in task) and task.get("failed_when", False) is not False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_failure_of_the_collection_speaks_for_itself(path: Path) -> None:
    assert [task["name"] for task in tasks(yaml.safe_load(path.read_text())) if hides(task)] == []


def documented() -> Iterator[Any]:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "roles").glob("*/README.md")]
    for page in pages:
        for block in FENCE.findall(page.read_text()):
            yield yaml.safe_load(block)
    for plugin in sorted((ROOT / "plugins").glob("*/*.py")):
        example = re.search(r'^EXAMPLES = r"""\n(.*?)^"""', plugin.read_text(), re.MULTILINE | re.DOTALL)
        yield yaml.safe_load(example[1]) if example else None


def test_no_example_teaches_it() -> None:
    found = list(documented())
    assert len(found) > 30
    assert [task.get("name") for example in found for task in tasks(example) if hides(task)] == []


def test_what_this_test_sees() -> None:
    assert hides({"slipway.go.release": {}, "failed_when": "result is failed and not asked"})
    assert hides({"ansible.builtin.assert": {}, "failed_when": True})
    assert not hides({"slipway.go.release_info": {}, "failed_when": False})
    assert not hides({"ansible.builtin.command": {}, "failed_when": "result.rc > 1"})

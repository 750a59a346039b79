# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What roles and playbooks keep in private variables is read; else what a playbook says there counts for nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SET = re.compile(r"^\s*(__[a-z0-9_]+):", re.MULTILINE)
FILES = sorted([*ROOT.glob("roles/*/*/**/*.*"), *ROOT.glob("playbooks/*.yml"), *ROOT.glob("plugins/**/*.py")])
READ = "\n".join(SET.sub("", path.read_text(encoding="utf-8")) for path in FILES if path.is_file())
GIVEN = {
    name: path.relative_to(ROOT)
    for path in (*ROOT.glob("roles/*/vars/*.yml"), *ROOT.glob("playbooks/*.yml"))
    for name in SET.findall(path.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_somebody_reads_it(name: str) -> None:
    assert re.search(rf"{name}\b", READ), f"{GIVEN[name]} sets {name}, which nothing reads"

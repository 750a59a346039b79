# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A text reaches the operator line by line, on every ansible-core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.action.show import printable

ROOT = Path(__file__).resolve().parents[4]
OLDEST = ROOT / ".work" / "venv-oldest" / "bin" / "python"
PYTHONS = [sys.executable, *([str(OLDEST)] if OLDEST.exists() else [])]
TABLE = """HOST  PROBLEM      WHAT
web1  port_in_use  it's "taken"
"""


@pytest.mark.parametrize("python", PYTHONS)
def test_lines_are_lines(python: str) -> None:
    arguments = ["-m", "slipway.go.show", "-a", "text={{ table }}", "-e", json.dumps({"table": TABLE})]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "40"}
    environment.setdefault("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".work" / "collections"))
    done = subprocess.run(
        [python, "-m", "ansible.cli.adhoc", "-i", "localhost,", "-c", "local", "localhost", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert TABLE in done.stdout, done.stdout + done.stderr


def test_nothing_in_it_commands_a_terminal() -> None:
    assert printable("a\x1b[2Jb \r\n\tc\n") == "a [2Jb\n c"

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks load as Ansible loads them: every role, module and task file they name is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted(str(path) for path in (ROOT / "playbooks").glob("*.yml"))


def check(playbooks: list[str]) -> subprocess.CompletedProcess[str]:
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".work" / "collections"))
    return subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", "--syntax-check", "-i", "localhost,", *playbooks],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_playbooks_load() -> None:
    done = check(PLAYBOOKS)
    assert done.returncode == 0, done.stderr
    assert all(f"playbook: {path}" in done.stdout for path in PLAYBOOKS)


def test_one_that_does_not_load_would_be_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("- hosts: all\n  tasks:\n    - ansible.builtin.import_role: {name: slipway.go.no_such_role}\n")
    assert check([str(wrong)]).returncode != 0

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook resume tells the tool of each host who resumes a release."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLDEST = ROOT / ".work" / "venv-oldest" / "bin" / "python"
PYTHONS = [sys.executable, *([str(OLDEST)] if OLDEST.exists() else [])]
TOOL = "/usr/local/sbin/slipway"
# Writes down what it was told, and answers that the release goes on.
PLAYED = """\
#!/bin/sh
for word; do printf '%s\\n' "$word"; done > TOLD
echo '{"changed": true, "heard": true, "word": "resumed", "release": "2.0-aa00bb11cc", "previous": "1.0-aa00bb11cc"}'
"""


def play(folder: Path, python: str, answer: str) -> subprocess.CompletedProcess[str]:
    """A run on a host whose tool is this script; without one, the host has no tool."""
    collection = folder / "collections" / "ansible_collections" / "slipway" / "go"
    for part in ("galaxy.yml", "meta", "plugins", "playbooks", "roles/release"):
        (collection / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, collection / part)
    tool = folder / "slipway"
    if answer:
        tool.write_text(answer)
        tool.chmod(0o755)
    tasks = collection / "roles" / "release" / "tasks" / "resume.yml"
    assert TOOL in tasks.read_text()
    tasks.write_text(tasks.read_text().replace(TOOL, str(tool)))
    given = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        "service_name": "shop",
        "release_reason": "the sale begins",
        "awx_user_name": "alice",
        "awx_job_id": 42,
        "awx_job_template_name": "production: resume",
    }
    return subprocess.run(
        [python, "-m", "ansible.cli.playbook", "-i", "web1,", "slipway.go.resume", "-e", json.dumps(given)],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"), "ANSIBLE_NOCOLOR": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("python", PYTHONS)
def test_the_tool_is_told_who_resumes(tmp_path: Path, python: str) -> None:
    told = tmp_path / "told"
    done = play(tmp_path, python, PLAYED.replace("TOLD", str(told)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "web1  shop: 2.0-aa00bb11cc goes on" in done.stdout
    words = told.read_text().splitlines()
    assert words[:3] == ["resume", "shop", "--json"]
    options = dict(zip(words[3::2], words[4::2]))
    assert options.pop("--reason") == "the sale begins"
    by = json.loads(options.pop("--by"))
    assert by == {"person": "alice", "controller": socket.gethostname(), "job": "AWX job 42, production: resume"}
    assert options == {}


@pytest.mark.parametrize("python", PYTHONS)
def test_a_host_without_the_tool_says_so(tmp_path: Path, python: str) -> None:
    done = play(tmp_path, python, "")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "web1  no release of shop is paused: the host does not have the tool slipway." in done.stdout

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


@pytest.mark.parametrize("python", PYTHONS)
def test_the_tool_is_told_who_resumes(tmp_path: Path, python: str) -> None:
    collection = tmp_path / "collections" / "ansible_collections" / "slipway" / "go"
    for part in ("galaxy.yml", "meta", "plugins", "playbooks", "roles/release"):
        (collection / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, collection / part)
    tool, told = tmp_path / "slipway", tmp_path / "told"
    tool.write_text(PLAYED.replace("TOLD", str(told)))
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
    done = subprocess.run(
        [python, "-m", "ansible.cli.playbook", "-i", "web1,", "slipway.go.resume", "-e", json.dumps(given)],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"), "ANSIBLE_NOCOLOR": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "web1  shop: 2.0-aa00bb11cc goes on" in done.stdout
    words = told.read_text().splitlines()
    assert words[:3] == ["resume", "shop", "--json"]
    options = dict(zip(words[3::2], words[4::2]))
    assert options.pop("--reason") == "the sale begins"
    by = json.loads(options.pop("--by"))
    assert by == {"person": "alice", "controller": socket.gethostname(), "job": "AWX job 42, production: resume"}
    assert options == {}

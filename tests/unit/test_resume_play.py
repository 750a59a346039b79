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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def play(python: str, folder: Path, inventory: str, given: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """The playbook on this machine, with a tool that writes down what it was told."""
    collection = folder / "collections" / "ansible_collections" / "slipway" / "go"
    for part in ("galaxy.yml", "meta", "plugins", "playbooks", "roles/release"):
        (collection / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, collection / part)
    tool = folder / "slipway"
    tool.write_text(PLAYED.replace("TOLD", str(folder / "told")))
    tool.chmod(0o755)
    tasks = collection / "roles" / "release" / "tasks" / "resume.yml"
    assert TOOL in tasks.read_text()
    tasks.write_text(tasks.read_text().replace(TOOL, str(tool)))
    local = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
    }
    return subprocess.run(
        [
            python,
            "-m",
            "ansible.cli.playbook",
            "-i",
            inventory,
            "slipway.go.resume",
            "-e",
            json.dumps({**local, **given}),
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"), "ANSIBLE_NOCOLOR": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("python", PYTHONS)
def test_the_tool_is_told_who_resumes(tmp_path: Path, python: str) -> None:
    given = {
        "service_name": "shop",
        "release_reason": "the sale begins",
        "awx_user_name": "alice",
        "awx_job_id": 42,
        "awx_job_template_name": "production: resume",
    }
    done = play(python, tmp_path, "web1,", given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "web1  shop: 2.0-aa00bb11cc goes on" in done.stdout
    words = (tmp_path / "told").read_text().splitlines()
    assert words[:3] == ["resume", "shop", "--json"]
    options = dict(zip(words[3::2], words[4::2]))
    assert options.pop("--reason") == "the sale begins"
    by = json.loads(options.pop("--by"))
    assert by == {"person": "alice", "controller": socket.gethostname(), "job": "AWX job 42, production: resume"}
    assert options == {}


@pytest.mark.parametrize("python", PYTHONS)
def test_a_host_without_a_service_is_passed_over(tmp_path: Path, python: str) -> None:
    hosts = {"balancer": {}, "web1": {"slipway_services": {"shop": {}}}}
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    done = play(python, tmp_path, str(inventory), {})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "web1  shop: 2.0-aa00bb11cc goes on" in done.stdout
    assert "balancer  " not in done.stdout.partition("PLAY RECAP")[0]

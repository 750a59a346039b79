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


SHOP = {"service_name": "shop"}
LOCAL = {
    "ansible_connection": "local",
    "ansible_become": False,
    "ansible_python_interpreter": sys.executable,
}


def played(
    tmp_path: Path, python: str, given: dict[str, Any], *more: str, inventory: str = "web1,lb1"
) -> subprocess.CompletedProcess[str]:
    """The playbook, with the tool of each host where tmp_path has one of the host's name."""
    collection = tmp_path / "collections" / "ansible_collections" / "slipway" / "go"
    for part in ("galaxy.yml", "meta", "plugins", "playbooks", "roles/release"):
        (collection / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, collection / part)
    tasks = collection / "roles" / "release" / "tasks" / "resume.yml"
    assert f"'{TOOL}'" in tasks.read_text()
    tasks.write_text(tasks.read_text().replace(f"'{TOOL}'", f"'{tmp_path}/' ~ inventory_hostname"))
    extra = json.dumps({**LOCAL, **given})
    return subprocess.run(
        [python, "-m", "ansible.cli.playbook", "-i", inventory, "slipway.go.resume", "-e", extra, *more],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"), "ANSIBLE_NOCOLOR": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


def tool(tmp_path: Path, host: str) -> Path:
    """The tool of a host, and the file in which it writes down what it was told."""
    program, told = tmp_path / host, tmp_path / f"{host}.told"
    program.write_text(PLAYED.replace("TOLD", str(told)))
    program.chmod(0o755)
    return told


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("checks", [False, True])
def test_the_tool_is_told_who_resumes(tmp_path: Path, python: str, checks: bool) -> None:
    told = tool(tmp_path, "web1")
    given = {
        **SHOP,
        "release_reason": "--back to the sale",
        "awx_user_name": "alice",
        "awx_job_id": 42,
        "awx_job_template_name": "production: resume",
    }
    done = played(tmp_path, python, given, *(["--check"] if checks else []))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "web1  shop: 2.0-aa00bb11cc goes on" in done.stdout
    words = told.read_text().splitlines()
    assert words[:3] == ["resume", "shop", "--json"]
    assert ("--check" in words) == checks
    options = dict(word.split("=", 1) for word in words[3:] if word != "--check")
    assert options.pop("--reason") == "--back to the sale"
    by = json.loads(options.pop("--by"))
    assert by == {"person": "alice", "controller": socket.gethostname(), "job": "AWX job 42, production: resume"}
    assert options == {}


@pytest.mark.parametrize("python", PYTHONS)
def test_a_host_without_the_tool_has_nothing_to_resume(tmp_path: Path, python: str) -> None:
    done = played(tmp_path, python, SHOP)
    assert done.returncode != 0
    assert "lb1  no release of shop is paused: the host does not have the tool slipway." in done.stdout
    tool(tmp_path, "web1")
    shutil.rmtree(tmp_path / "collections")
    done = played(tmp_path, python, SHOP)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lb1  no release of shop is paused: the host does not have the tool slipway." in done.stdout


DECLARED = {"slipway_services": {"shop": {}}}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("web1", "given"),
    [(DECLARED, {}), (SHOP, {}), *((DECLARED, {"service_name": name}) for name in ("all", "", "shop,mailer"))],
)
def test_a_host_without_a_service_is_passed_over(
    tmp_path: Path, python: str, web1: dict[str, Any], given: dict[str, Any]
) -> None:
    tool(tmp_path, "web1")
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(json.dumps({"all": {"hosts": {"lb1": {}, "web1": web1}}}))
    done = played(tmp_path, python, given, inventory=str(inventory))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "web1  shop: 2.0-aa00bb11cc goes on" in done.stdout
    assert "lb1  " not in done.stdout.partition("PLAY RECAP")[0]

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Ansible makes of an expression that stands in a role."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def evaluate(folder: Path, role: str, expression: str, files: Sequence[str], variables: dict[str, Any]) -> Any:
    """The expression in a play of one task on this machine, without a module: that would take most of the time.

    files: of variables, which lie beneath the variables given. The role's templates are found.
    """
    templates = folder / "templates"
    if not templates.is_symlink():
        templates.symlink_to(ROOT / "roles" / role / "templates")
    task = {"ansible.builtin.debug": {"msg": "{{ " + expression + " | to_json }}"}}
    play = {"hosts": "localhost", "gather_facts": False, "vars_files": list(files), "tasks": [task]}
    (folder / "play.yml").write_text(json.dumps([play]))
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".work" / "collections"))
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    environment["ANSIBLE_STDOUT_CALLBACK"] = "ansible.posix.json"
    argv = [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", "-c", "local", "play.yml"]
    argv += ["-e", json.dumps(variables)]
    done = subprocess.run(argv, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout[done.stdout.index("{") :])["plays"][0]["tasks"][0]["hosts"]["localhost"]["msg"]
    return json.loads(told) if isinstance(told, str) else told

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook status accepts hosts that are well, and books on each other one what is wrong there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLDEST = ROOT / ".work" / "venv-oldest" / "bin" / "python"
PYTHONS = [sys.executable, *([str(OLDEST)] if OLDEST.exists() else [])]
WELL = {"service": "shop", "current": "1.0-aa00bb11cc", "state": "active (running)", "health": "pass", "since": 1.0}
NEVER = {
    **WELL,
    "current": None,
    "state": "never released",
    "health": "fail",
    "message": "never released",
    "history": [{"event": "rolled_back", "release": "1.0-aa00bb11cc", "reason": "readyz answers 503"}],
}
PLAYED = """
import json
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({name: {} for name in ("name", "root", "answers")}, supports_check_mode=True)
module.exit_json(changed=False, **json.loads(TOLD)[module.params["root"]])
"""


@pytest.mark.parametrize("python", PYTHONS)
def test_hosts_that_are_well_and_one_that_is_not(tmp_path: Path, python: str) -> None:
    collection = tmp_path / "collections" / "ansible_collections" / "slipway" / "go"
    for part in ("galaxy.yml", "meta", "plugins", "playbooks", "roles/release"):
        (collection / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, collection / part)
    played = PLAYED.replace("TOLD", repr(json.dumps({"/web1": WELL, "/web2": NEVER})))
    (collection / "plugins" / "modules" / "release_info.py").write_text(played)
    shared = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "service_name": "shop"}
    hosts = {name: {"service_root": f"/{name}"} for name in ("web1", "web2")}
    (tmp_path / "inventory.yml").write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}))

    def run(*arguments: str) -> tuple[int, str]:
        argv = [python, "-m", "ansible.cli.playbook", "-i", "inventory.yml", "slipway.go.status", *arguments]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"), "ANSIBLE_NOCOLOR": "1"}
        environment["ANSIBLE_SHOW_CUSTOM_STATS"] = "1"
        done = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, said = run("--limit", "web1")
    assert code == 0, said
    code, said = run()
    assert code != 0
    assert "shop is not well on this host: never released: 1.0-aa00bb11cc was rolled back: readyz answers 503." in said
    assert "\nHOST  SERVICE  RELEASE" in said
    assert "fatal: [web1" not in said
    (told,) = [json.loads(line.partition("RUN: ")[2]) for line in said.splitlines() if "RUN: " in line]
    assert told["slipway"] == {
        "playbook": "status",
        "service": "shop",
        "total": 2,
        "hosts": {
            "web1": {"release": "1.0-aa00bb11cc", "verdict": "pass", "run": None},
            "web2": {"release": None, "verdict": "fail", "run": None},
        },
    }

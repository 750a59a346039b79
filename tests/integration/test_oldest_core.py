"""The oldest ansible-core that meta/runtime.yml promises releases for real, and finds nothing to do the second time."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import play

OLDEST = play.CHECKOUT / ".work" / "venv-oldest"
HOST = 0


def test_site_twice(fleet: Any, binaries: Path) -> None:
    command = str(OLDEST / "bin" / "ansible-playbook")
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    promised = re.search(r'requires_ansible: ">=([0-9]+\.[0-9]+)', (play.CHECKOUT / "meta/runtime.yml").read_text())
    assert promised
    assert f"[core {promised.group(1)}." in said
    values = {
        "service_name": "oldest",
        "service_listen": ["6060"],
        "release_version": "1.0.0",
        "release_src": str(binaries / "shop-1.0.0"),
        "release_health": {"url": "http://127.0.0.1:6060/readyz"},
        "release_soak_time": 0,
    }
    argv = [command, "slipway.go.site", "-i", str(fleet.inventory), "-e", play.json.dumps(values)]
    environment = {**play.environment(), "PATH": f"{OLDEST / 'bin'}:{os.environ['PATH']}"}
    changed = []
    for _run in range(2):
        done = subprocess.run(argv, env=environment, cwd=play.CHECKOUT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        changed.append({host["changed"] > 0 for host in play.Play(0, 0.0, done.stdout).recap.values()})
    assert changed == [{True}, {False}]

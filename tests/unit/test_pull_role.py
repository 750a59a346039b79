# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role pull refuses before it asks the host, all of it at once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB"
GOOD = {
    "pull_repository": "ssh://git@git.example.com:2222/state.git",
    "pull_signers": [f"alice@example.com {KEY}", f'bob@example.com namespaces="git",valid-before="20300101" {KEY} bob'],
    "pull_inventory": "inventory/hosts..yml",
    "pull_playbook": "slipway.go.site",
    "pull_at_least": "0" * 40,
    "pull_interval": "60",
    "pull_environment": {"https_proxy": "http://proxy:3128"},
}
BAD = {
    "pull_repository": "https://git:secret@git.example.com/state.git",
    "pull_branch": "--upload-pack=x",
    "pull_signers": [KEY],
    "pull_wave": 10000,
    "pull_at_least": "0" * 12,
    "pull_host": "web*",
    "pull_inventory": "../inventory",
    "pull_playbook": "/etc/local.yml",
    "pull_ansible": "ansible-playbook",
    "pull_environment": {"A B": "c"},
    "pull_interval": 59,
    "pull_splay": -1,
    "pull_timeout": "1",
}


def apply(tmp_path: Path, variables: dict[str, Any]) -> str:
    """The role as far as its first look at the host, which is not let through."""
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".work" / "collections"))
    role = {"ansible.builtin.import_role": {"name": "slipway.go.pull"}}
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "web1", "gather_facts": False, "tasks": [role]}]))
    argv = [sys.executable, "-m", "ansible.cli.playbook", "-i", "web1,", "-c", "local", "play.yml"]
    python = {"ansible_python_interpreter": "/nowhere/python"}
    done = subprocess.run(
        [*argv, "-e", json.dumps({**variables, **python})],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_each_value_that_cannot_be_used_is_refused_with_its_fix(tmp_path: Path) -> None:
    told = apply(tmp_path, BAD)
    refused = re.findall(r'^failed: \[web1\] \(item=(\w+)\).*"msg": ".* Fix: [^"]', told, re.MULTILINE)
    assert set(refused) == set(BAD), told
    assert "secret" not in told
    assert "Read the host's state" not in told


@pytest.mark.parametrize(
    "url",
    [
        "https://secret@github.com/o/r.git",
        "https://u:pa/secret@h/x",
        "Https://h/x?access_token=secret",
        " https://u:secret@h/x",
    ],
)
def test_a_secret_in_the_address_is_refused_and_not_told(tmp_path: Path, url: str) -> None:
    told = apply(tmp_path, {**GOOD, "pull_repository": url})
    assert "pull_repository has a user, a password or a query in it" in told
    assert "secret" not in told
    assert "Read the host's state" not in told


PAUSES = {"release_slow": "pause", "release_weights": "5, 25", "release_step_time": "60"}
# 900 s around it, what a host may take, its confirmation, and two shares.
BESIDE = 900 + 635 + 60 + 120


@pytest.mark.parametrize(
    ("given", "least"),
    [
        ({"release_pause_time": "3600"}, BESIDE + 3600),
        ({"release_pause_time": 43200, "pull_timeout": BESIDE + 43199}, BESIDE + 43200),
        ({"release_pause_time": 43200, "pull_timeout": BESIDE + 43200}, 0),
        ({"release_pause_time": 43200, "release_slow": "rollback"}, 0),
    ],
)
def test_a_pull_that_would_end_a_pause_is_refused(tmp_path: Path, given: dict[str, Any], least: int) -> None:
    told = apply(tmp_path, {**GOOD, **PAUSES, **given})
    assert ("failed: [web1] (item=release_pause_time)" in told) == bool(least), told
    assert not least or f"Fix: set pull_timeout to at least {least}, or lower release_pause_time" in told
    assert ("Read the host's state" in told) == (not least)


def test_values_that_can_be_used_are_let_through(tmp_path: Path) -> None:
    told = apply(tmp_path, GOOD)
    assert "failed: [web1] (item=" not in told
    assert "Read the host's state" in told

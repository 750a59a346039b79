# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A variable that cannot be used is one sentence, before any host is asked, and not its role's whole specification.

Ansible's own check of a role's arguments prints all of that, so that the playbooks leave it out and the roles check.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OLDEST = ROOT / ".work" / "venv-oldest" / "bin" / "python"
PYTHONS = [sys.executable, *([str(OLDEST)] if OLDEST.exists() else [])]
AT_ONCE = ("base", "build", "bundle", "firewall", "pull", "rebuild", "selinux", "unbundle")
CHECKED = dict.fromkeys(AT_ONCE, "main") | dict.fromkeys(("deploy_user", "proxy", "service", "ssh"), "validate")
GOOD = {
    "service_name": "shop",
    "service_listen": ["8080"],
    "release_version": "1.0.0",
    "release_src": "/nowhere/shop",
    "site_harden": False,
}


def imported(entries: Any) -> Iterator[dict[str, Any]]:
    for entry in entries or []:
        for word in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
            if word in entry:
                yield entry[word]
        for part in ("tasks", "block", "rescue", "always"):
            yield from imported(entry.get(part))


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: str(path.stem))
def test_playbooks_leave_the_check_to_the_roles(path: Path) -> None:
    assert [
        one for one in imported(yaml.safe_load(path.read_text())) if one.get("rolespec_validate") is not False
    ] == []


@pytest.mark.parametrize("role", sorted(CHECKED))
def test_the_first_task_of_a_role_checks(role: str) -> None:
    tasks = yaml.safe_load((ROOT / "roles" / role / "tasks" / f"{CHECKED[role]}.yml").read_text())
    assert tasks[0]["slipway.go.variables"] == {"role": role}
    if CHECKED[role] == "main":
        assert tasks[0]["tags"] == ["always"]
    else:
        main = yaml.safe_load((ROOT / "roles" / role / "tasks" / "main.yml").read_text())
        assert main[0]["ansible.builtin.import_tasks"] == "validate.yml"


def play(tmp_path: Path, playbook: str, extra: dict[str, Any], python: str = sys.executable) -> tuple[int, str]:
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".work" / "collections"))
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"hosts": {"web1": host, "web2": host}, "vars": GOOD}}
    (tmp_path / "inventory.yml").write_text(json.dumps(inventory))
    done = subprocess.run(
        [
            python,
            "-m",
            "ansible.cli.playbook",
            "-i",
            "inventory.yml",
            f"slipway.go.{playbook}",
            "-e",
            json.dumps(extra),
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_NOCOLOR": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", ["service_swap", "service_watch", "service_drain_timeout"])
def test_a_wrong_value_is_one_sentence(tmp_path: Path, python: str, name: str) -> None:
    code, said = play(tmp_path, "site", {name: "nonsense"}, python)
    assert code != 0
    assert f"{name} is 'nonsense', not " in said
    assert "argument_spec_data" not in said
    assert len(said) < 5000, said


@pytest.mark.parametrize("python", PYTHONS)
def test_a_misspelt_variable_is_a_warning_once(tmp_path: Path, python: str) -> None:
    _code, said = play(tmp_path, "preflight", {"release_sok_time": 1, "slipway_other_variables": "base_*"}, python)
    assert (
        " ".join(said.split()).count("release_sok_time is set for web1, web2, and no role of slipway.go reads it.") == 1
    )
    assert "write release_soak_time" in " ".join(said.split())


@pytest.mark.parametrize("python", PYTHONS)
def test_a_misspelt_variable_is_an_error_where_that_is_wanted(tmp_path: Path, python: str) -> None:
    extra = {"release_sok_time": 1, "slipway_unknown_variables": "refuse"}
    code, said = play(tmp_path, "preflight", extra, python)
    assert code != 0
    assert "release_sok_time is set for" in said
    assert "Release 1.0.0" not in said, "before any host is asked"

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook build.yml, from a Go module to artefacts for what the hosts are; the second run changes nothing."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._build.targets import of_machine
from ansible_collections.slipway.go.tests.lab import build as lab

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, Any]:
    source, cache = tmp_path / "source", tmp_path / "cache"
    source.mkdir()
    cache.mkdir()
    (source / "go.mod").write_text("module example.com/shop\n\ngo 1.21\n")
    (source / "main.go").write_text("package main\n\nvar version string\n\nfunc main() { println(version) }\n")
    (cache / "build").symlink_to(lab.go_environment()["GOCACHE"])
    return {
        "service_name": "shop",
        "release_version": "2.0.0",
        "build_source": str(source),
        "build_dest": str(tmp_path / "out"),
        "build_cache": str(cache),
        "build_go": str(lab.find_go()),
        "build_variables": {"version": "main.version"},
        "build_offline": "true",
        "build_as_root": True,
    }


def play(folder: Path, variables: dict[str, Any], *flags: str, playbook: str = "build") -> tuple[int, str]:
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".work" / "collections"))
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {"web1": host, "web2": host, "localhost": host}
    (folder / "inventory.yml").write_text(json.dumps({"all": {"hosts": hosts}}))
    argv = ["-m", "ansible.cli.playbook", "-i", "inventory.yml", f"slipway.go.{playbook}", "-e", json.dumps(variables)]
    done = subprocess.run(
        [sys.executable, *argv, *flags],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_NOCOLOR": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def changes(said: str) -> int:
    """How many tasks have changed something on the host that builds."""
    (found,) = re.findall(r"^localhost .*changed=(\d+)", said, re.MULTILINE)
    return int(found)


def test_it_builds_for_what_the_hosts_are_and_once(tmp_path: Path, variables: dict[str, Any]) -> None:
    target = of_machine(platform.machine())
    assert target is not None
    artefact = tmp_path / "out" / f"shop-linux-{target.goarch}{target.suffix}"
    code, said = play(tmp_path, variables, "--check")
    assert (code, changes(said), artefact.exists()) == (0, 1, False), said
    code, said = play(tmp_path, variables)
    assert (code, changes(said)) == (0, 1), said
    assert str(artefact) in said
    assert sorted(path.name for path in artefact.parent.iterdir()) == sorted(
        ["SHA256SUMS", artefact.name, f"{artefact.name}.cdx.json", f"{artefact.name}.json"]
    )
    told = subprocess.run([str(artefact)], capture_output=True, text=True, check=True)
    assert told.stderr == "2.0.0\n"
    code, said = play(tmp_path, variables)
    assert (code, changes(said)) == (0, 0), said
    given = {**variables, "rebuild_artefact": str(artefact), "rebuild_source": variables["build_source"]}
    artefact.write_bytes(artefact.read_bytes() + b"more")
    code, said = play(tmp_path, given, playbook="rebuild")
    assert code == 2
    assert "bytes that are in no section differ" in " ".join(said.split())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"build_source": ""}, "build_source is empty"),
        ({"build_targets": "sparc"}, "Go has no architecture 'sparc'"),
        ({"build_mod": "other"}, "build_mod is 'other'"),
        ({"service_name": ""}, "build_name is ''"),
    ],
)
def test_what_it_cannot_use_is_one_sentence(
    tmp_path: Path, variables: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    code, said = play(tmp_path, {**variables, **change})
    assert code != 0
    assert words in " ".join(said.split())
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()

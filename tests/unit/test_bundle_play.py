# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks bundle.yml and unbundle.yml: what one makes, the other unpacks, with variables of a survey."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.slipway.go.tests.unit.plugins.module_utils.bundle.collection import installed

ROOT = Path(__file__).resolve().parents[2]


def play(folder: Path, name: str, variables: dict[str, Any]) -> tuple[int, str]:
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".work" / "collections"))
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (folder / "inventory.yml").write_text(json.dumps({"all": {"hosts": {"localhost": host}}}))
    argv = ["-m", "ansible.cli.playbook", "-i", "inventory.yml", f"slipway.go.{name}", "-e", json.dumps(variables)]
    done = subprocess.run(
        [sys.executable, *argv],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_NOCOLOR": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_what_one_makes_the_other_unpacks(tmp_path: Path) -> None:
    (tmp_path / "artefacts").mkdir()
    (tmp_path / "artefacts/shop-linux-amd64").write_text("program")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    (tmp_path / "allowed_signers").write_text(f"ci {(tmp_path / 'key.pub').read_text()}")
    needed = [installed(tmp_path / name, *name.split(".")) for name in ("ansible.posix", "community.general")]
    bundle = {
        "service_name": "shop",
        "release_version": "2.0.0",
        "build_dest": str(tmp_path / "artefacts"),
        "bundle_dest": str(tmp_path / "out"),
        "bundle_cache": str(tmp_path / "cache"),
        "bundle_collections": ", ".join(map(str, needed)),
        "bundle_requirements": [],
        "bundle_max_size": "100",
        "bundle_ssh_key": str(tmp_path / "key"),
    }
    unbundle = {
        "unbundle_src": str(tmp_path / "out/shop-2.0.0.tar"),
        "unbundle_dest": str(tmp_path / "site"),
        "unbundle_allowed_signers": str(tmp_path / "allowed_signers"),
        "unbundle_max_size": "",
    }
    for name, variables in (("bundle", bundle), ("unbundle", unbundle)):
        code, said = play(tmp_path, name, variables)
        assert (code, re.findall(r"changed=(\d+)", said)) == (0, ["1"]), said
    unpacked = tmp_path / "site/shop-2.0.0"
    assert (unpacked / "artefacts/shop-linux-amd64").read_text() == "program"
    tarballs = sorted(path.name.rpartition("-")[0] for path in (unpacked / "collections").iterdir())
    assert tarballs == ["ansible-posix", "community-general", "slipway-go"]

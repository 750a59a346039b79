"""The tarball users install: complete, clean, and usable from anywhere."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import play
import pytest

PLAYBOOKS = ("preflight", "site", "release", "rollback")
KEPT_OUT = (
    "tests",
    "molecule",
    ".work",
    ".git",
    ".github",
    ".ci",
    ".config",
    "changelogs/fragments",
    "Makefile",
    "ansible.cfg",
)


def run(argv: list[str], cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        argv, cwd=cwd, env={**play.environment(), **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("build")
    run(["ansible-galaxy", "collection", "build", "--output-path", str(out)], play.CHECKOUT)
    return next(out.glob("slipway-go-*.tar.gz"))


@pytest.fixture(scope="module")
def installed(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collections path that holds nothing of this checkout."""
    path = tmp_path_factory.mktemp("collections")
    argv = ["ansible-galaxy", "collection", "install", "--no-deps", "--collections-path", str(path), str(tarball)]
    run(argv, path, ANSIBLE_COLLECTIONS_PATH=str(path))
    return path


def test_the_tarball_holds_the_product_only(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = archive.getnames()
    for wanted in ("README.md", "LICENSE", "CHANGELOG.rst", "meta/runtime.yml", "plugins/modules/release.py", "docs"):
        assert wanted in names
    stray = [
        n for n in names if n.split("/")[0] in KEPT_OUT or n in KEPT_OUT or "__pycache__" in n or n.endswith(".pyc")
    ]
    assert stray == []


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_playbooks_run_by_their_collection_name(installed: Path, name: str) -> None:
    empty = installed / "ansible.cfg"
    empty.touch()
    argv = ["ansible-playbook", f"slipway.go.{name}", "--syntax-check", "-i", "localhost,"]
    run(argv, installed, ANSIBLE_COLLECTIONS_PATH=str(installed), ANSIBLE_CONFIG=str(empty))


def test_every_plugin_is_documented(installed: Path) -> None:
    for kind, folder in (("module", "modules"), ("filter", "filter")):
        for path in sorted((play.CHECKOUT / "plugins" / folder).glob("[!_]*.py")):
            name = f"slipway.go.{path.stem}"
            argv = ["ansible-doc", "--type", kind, "--json", name]
            told: dict[str, Any] = json.loads(run(argv, installed, ANSIBLE_COLLECTIONS_PATH=str(installed)))
            assert told[name]["examples"]
            assert told[name]["return"]

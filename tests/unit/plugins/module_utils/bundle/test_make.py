# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bundle holds what was asked for, in the same bytes each time, and its receiver can use all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._build.signing import Keys
from ansible_collections.slipway.go.plugins.module_utils._bundle import galaxy, make, place, receive
from ansible_collections.slipway.go.plugins.module_utils._bundle.request import Request
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.signature import Trust
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.bundle.collection import FILES, installed
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

ARTEFACTS = {
    "shop-linux-amd64": "artefact",
    "shop-linux-amd64.cdx.json": "sbom",
    "shop-linux-amd64.json": "manifest",
    "shop-linux-amd64.sig": "signature",
    "shop-linux-amd64.intoto.jsonl": "provenance",
    "SHA256SUMS": "checksums",
    "nested/shop-linux-arm64": "artefact",
}


@pytest.fixture
def wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    for name in ARTEFACTS:
        path = tmp_path / "artefacts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    return Request(
        "shop-2.0.0",
        "2.0.0",
        str(tmp_path / "out"),
        str(tmp_path / "cache"),
        artefacts=(str(tmp_path / "artefacts"),),
        galaxy=str(fake(tmp_path / "ansible-galaxy", "echo no server >&2; exit 1")),
        keys=Keys(ssh_key=str(tmp_path / "key"), prefix="bundle"),
    )


def fake(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def trust(folder: Path) -> Trust:
    return Trust(allowed_signers=f"ci {(folder / 'key.pub').read_text()}", signer="ci")


def unpack(wanted: Request, folder: Path) -> dict[str, Any]:
    return receive.unbundle(receive.Request(wanted.path, str(folder / "site"), trust(folder)))


def kinds(told: Mapping[str, Any]) -> dict[str, str]:
    return {one["path"]: one["kind"] for one in told["files"]}


def test_it_is_made_once_and_in_the_same_bytes(wanted: Request, tmp_path: Path) -> None:
    collection = installed(tmp_path / "collection")
    wanted = replace(wanted, collections=(str(collection),), files=(str(tmp_path / "key.pub"),))
    assert make.bundle(wanted, check_mode=True)["changed"]
    assert not Path(wanted.dest).exists()
    told = make.bundle(wanted)
    assert told["changed"]
    expected = {f"artefacts/{name}": kind for name, kind in ARTEFACTS.items()}
    assert kinds(told) == {
        **expected,
        "README.txt": "readme",
        "collections/example-one-1.0.0.tar.gz": "collection",
        "files/key.pub": "file",
    }
    first = {path.name: path.read_bytes() for path in Path(wanted.dest).iterdir()}
    again = make.bundle(wanted)
    assert (again["changed"], make.bundle(wanted, check_mode=True)["changed"]) == (False, False)
    os.utime(collection / "README.md", (1, 1))
    elsewhere = replace(wanted, dest=str(tmp_path / "elsewhere"))
    make.bundle(elsewhere)
    assert {path.name: path.read_bytes() for path in Path(elsewhere.dest).iterdir()} == first
    assert unpack(wanted, tmp_path)["signer"].startswith("ssh ci ")


def test_tar_lists_it_too(wanted: Request) -> None:
    make.bundle(wanted)
    with tarfile.open(wanted.path) as archive:
        members = archive.getmembers()
    assert [one.name for one in members[:3]] == ["MANIFEST.json", "MANIFEST.json.sig", "README.txt"]
    assert {(one.uid, one.gid, one.mtime) for one in members} == {(0, 0, 0)}


def test_what_was_changed_is_made_again(wanted: Request, tmp_path: Path) -> None:
    make.bundle(wanted)
    before = {path: path.read_bytes() for path in Path(wanted.dest).iterdir() if path.suffix != ".lock"}
    for path, content in before.items():
        path.write_bytes(content[: len(content) // 2] + b"!" + content[len(content) // 2 + 1 :])
        assert make.bundle(wanted, check_mode=True)["changed"], path
        assert make.bundle(wanted)["changed"], path
        assert path.read_bytes() == content
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    assert make.bundle(replace(wanted, keys=Keys(ssh_key=str(tmp_path / "other"), prefix="bundle")))["changed"]


def test_a_delta_has_only_what_is_new(wanted: Request, tmp_path: Path) -> None:
    make.bundle(wanted)
    unpack(wanted, tmp_path)
    (tmp_path / "artefacts" / "shop-linux-amd64").write_text("newer")
    newer = replace(wanted, name="shop-2.1.0", version="2.1.0", base=wanted.path)
    told = make.bundle(newer)
    assert (told["base"], told["packed"] < told["size"]) == ("shop-2.0.0", True)
    assert {one["path"] for one in told["files"] if not one["base"]} == {"README.txt", "artefacts/shop-linux-amd64"}
    assert unpack(newer, tmp_path)["files"] == len(ARTEFACTS) + 1
    assert (tmp_path / "site/shop-2.1.0/artefacts/shop-linux-amd64").read_text() == "newer"


def test_a_file_that_changes_meanwhile_is_no_bundle(wanted: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    signatures = make._Maker._signatures

    def changing(self: Any, raw: bytes) -> dict[str, bytes]:
        Path(wanted.artefacts[0], "SHA256SUMS").write_text("sha256sums")
        return signatures(self, raw)

    monkeypatch.setattr(make._Maker, "_signatures", changing)
    refused(lambda: make.bundle(wanted), "changed_meanwhile", "SHA256SUMS")
    assert [path.name for path in Path(wanted.dest).iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../x"}, "bundle_name"),
        ({"version": ""}, "bundle_version"),
        ({"dest": "out"}, "bundle_dest"),
        ({"files": ("/nowhere",)}, "bundle_files"),
        ({"requirements": ("-r /etc/passwd",)}, "bundle_requirements"),
        ({"requirements": ("a @ https://user:password@example.com",)}, "bundle_requirements"),
        ({"platforms": ("--index-url=x",)}, "bundle_platforms"),
        ({"python_version": "3 12"}, "bundle_python_version"),
        ({"most": 0}, "bundle_max_size"),
        ({"collections": ("community",)}, "bundle_collections"),
        ({"collections": ("/nowhere",)}, "bundle_collections"),
    ],
)
def test_what_it_cannot_use_is_refused(wanted: Request, change: dict[str, Any], words: str) -> None:
    refused(lambda: make.bundle(replace(wanted, **change)), "invalid_bundle", words)


def test_files_that_no_bundle_can_have_are_refused(wanted: Request, tmp_path: Path) -> None:
    for folder, name, words in (
        ("a", "SHA256SUMS", "two files"),
        ("b", "sha256SUMS", "two files"),
        ("c", "x\ny", "no terminal"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("x")
        both = replace(wanted, artefacts=(*wanted.artefacts, str(tmp_path / folder)))
        refused(lambda both=both: make.bundle(both), "invalid_bundle", words)
    (tmp_path / "latest").symlink_to(tmp_path / "artefacts/SHA256SUMS")
    linked = replace(wanted, files=(str(tmp_path / "latest"),))
    refused(lambda: make.bundle(linked), "invalid_bundle", f"{tmp_path}/latest is a link")
    inside = replace(wanted, dest=f"{wanted.artefacts[0]}/out")
    refused(lambda: make.bundle(inside), "invalid_bundle", "the bundle would be in itself")


# Collections and wheels


def test_an_installed_collection_is_one_that_ansible_galaxy_installs(tmp_path: Path) -> None:
    """Without the tests, which packages of it leave out."""
    folder = installed(tmp_path / "collection")
    (folder / "tests/test_one.py").unlink()
    packed = galaxy.local(str(folder), str(tmp_path), "ansible-galaxy", 60)
    assert packed.file_name == "example-one-1.0.0.tar.gz"
    argv = ["collection", "install", "--offline", "-p", str(tmp_path / "there"), packed.path]
    done = subprocess.run(
        [sys.executable, "-m", "ansible.cli.galaxy", *argv], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    there = tmp_path / "there/ansible_collections/example/one"
    assert (there / "plugins/modules/one.py").read_bytes() == FILES["plugins/modules/one.py"]
    assert not (there / "tests/test_one.py").exists()


def test_a_changed_or_lost_plugin_is_not_packed(tmp_path: Path) -> None:
    folder = installed(tmp_path / "collection")
    module = folder / "plugins/modules/one.py"
    module.unlink()
    refused(lambda: galaxy.local(str(folder), str(tmp_path), "", 1), "invalid_bundle", "plugins/modules/one.py")
    module.symlink_to("/etc/hostname")
    refused(lambda: galaxy.local(str(folder), str(tmp_path), "", 1), "invalid_bundle", "plugins/modules/one.py")
    (folder / "FILES.json").write_text("{")
    refused(lambda: galaxy.local(str(folder), str(tmp_path), "", 1), "invalid_bundle", "FILES.json is damaged")


def test_what_a_collection_needs_is_fetched_unless_it_is_there(wanted: Request, tmp_path: Path) -> None:
    needs = {"example.two": ">=1.0.0"}
    one = installed(tmp_path / "one", needs=needs)
    two = galaxy.local(str(installed(tmp_path / "two", name="two")), str(tmp_path), "", 1)
    alone = replace(wanted, collections=(str(one),))
    refused(lambda: make.bundle(alone), "bundle_not_fetched", "example.two", "no server")
    log = tmp_path / "log"
    server = fake(
        tmp_path / "server", f'echo "$@" > {log}; cat "$4" >> {log}; mkdir "$6"; cp {two.path} "$6/{two.file_name}"'
    )
    told = make.bundle(replace(alone, galaxy=str(server)))
    assert "collections/example-two-1.0.0.tar.gz" in kinds(told)
    words, listing = log.read_text().splitlines()
    assert words.startswith("collection download -r ")
    assert json.loads(listing) == {"collections": [{"name": "example.two", "version": ">=1.0.0"}]}
    both = replace(wanted, collections=(str(one), two.path))
    assert kinds(make.bundle(both)) == kinds(told)


def test_wheels_are_fetched_by_a_list_and_not_by_arguments(wanted: Request, tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = 'echo "$@" > LOG; cat "${12}" >> LOG; : > "${10}/ansible_core-2.19.14-py3-none-any.whl"'
    python = fake(tmp_path / "python", script.replace("LOG", str(log)))
    told = make.bundle(
        replace(
            wanted,
            requirements=("ansible-core==2.19.14", "jmespath >= 1"),
            python=str(python),
            python_version="3.12",
            platforms=("manylinux2014_aarch64",),
        )
    )
    assert kinds(told)["wheels/ansible_core-2.19.14-py3-none-any.whl"] == "wheel"
    words, *listing = log.read_text().splitlines()
    assert words.startswith("-m pip download ")
    assert words.endswith("--platform manylinux2014_aarch64 --python-version 3.12")
    assert listing == ["ansible-core==2.19.14", "jmespath >= 1"]
    unpack(wanted, tmp_path)
    readme = (tmp_path / "site/shop-2.0.0/README.txt").read_text()
    assert "--no-index --find-links wheels 'ansible-core==2.19.14' 'jmespath >= 1'" in readme
    assert "-e release_src=$PWD/artefacts/" in readme


def test_the_program_beside_it_needs_nothing_else(wanted: Request, tmp_path: Path) -> None:
    told = make.bundle(wanted)
    signers = tmp_path / "allowed_signers"
    signers.write_text(trust(tmp_path).allowed_signers)
    signature = ["-Y", "verify", "-f", str(signers), "-I", "ci", "-n", "file", "-s", f"{told['verifier']}.sig"]
    subprocess.run(
        ["ssh-keygen", *signature], input=Path(told["verifier"]).read_bytes(), check=True, capture_output=True
    )
    argv = [told["verifier"], wanted.path, "--dest", str(tmp_path / "site"), "--allowed-signers", str(signers)]
    done = subprocess.run([sys.executable, "-IS", *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "shop-2.0.0, signed by ssh ci SHA256:" in done.stdout
    assert place.manifest_of(str(tmp_path / "site/shop-2.0.0"))
    Path(wanted.path).write_bytes(Path(wanted.path).read_bytes() + b"x")
    done = subprocess.run([sys.executable, "-IS", *argv], capture_output=True, text=True, check=False)
    assert (done.returncode, "(damaged_bundle)" in done.stderr, "Traceback" in done.stderr) == (1, True, False)

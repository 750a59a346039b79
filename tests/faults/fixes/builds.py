"""Scenes of builds whose toolchain, git, keys or source are not as they should be."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._build import builder, request, signing
from ansible_collections.slipway.go.plugins.module_utils._build.request import Request
from ansible_collections.slipway.go.plugins.module_utils._build.signing import Keys
from ansible_collections.slipway.go.plugins.module_utils._core import command
from ansible_collections.slipway.go.tests.faults.fixes.inputs import GOOD, refused
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.faults.fixes.sources import new_key, signed, source
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.build.test_builder import FAKE_MINISIGN, git
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SCENES = Scenes()
NO_KEYS = Keys()
BUILDER = "https://ci.example.com/builders/release"

for how, field, wrong, right, fix in (
    (
        "the builder of a provenance is a word",
        "provenance_builder",
        "ci",
        BUILDER,
        f"name the builder such as {BUILDER}",
    ),
    (
        "the repository of a provenance has a space",
        "provenance_repository",
        "the shop",
        "https://git.example.com/shop",
        "give the repository's URL",
    ),
):
    refused(
        "invalid_build",
        how,
        fix,
        lambda value, field=field: request.check(replace(GOOD, **{field: value})),
        wrong,
        right,
        f"build_{field}",
        SCENES,
    )


def predicted(wanted: Request, keys: Keys = NO_KEYS) -> Any:
    """What a build would do; the source is read and its packages are listed."""
    found = builder.build(wanted, keys, True)
    assert found["changed"], found
    return found


SIGNER = literal("set build_minisign_key or build_ssh_key, or leave build_provenance_builder out")
for how in ("signs", "has no provenance"):

    @SCENES.row(
        "build_not_signed",
        f"a provenance is to be written and there is no key, and then the build {how}",
        SIGNER,
        "`build_ssh_key`" if how == "signs" else "no `build_provenance_builder`",
    )
    def _scene(stage: Stage, with_key: bool = how == "signs") -> None:
        wanted = source(stage)
        stage.fails(lambda: predicted(replace(wanted, provenance_builder=BUILDER)))
        keys = Keys(ssh_key=new_key(stage.folder / "key")) if with_key else NO_KEYS
        stage.passes(lambda: predicted(replace(wanted, provenance_builder=BUILDER if with_key else ""), keys))


OLD_GO = """#!/bin/sh
[ "$1" = env ] && [ "$4" = GOVERSION ] && exec echo {version}
[ "$1" = env ] && exec {go} "$@"
echo "go: go.mod requires go >= {newer} (running go {version}; GOTOOLCHAIN=local)" >&2
exit 1
"""


def old_go(stage: Stage, version: str) -> tuple[Request, str]:
    """A source that asks for the release of Go that is here, with an older one; and the newer one's version."""
    wanted = source(stage)
    newer = subprocess.run([wanted.go, "env", "GOVERSION"], check=True, capture_output=True, text=True).stdout.strip()
    Path(wanted.source, "go.mod").write_text(f"module example.com/shop\n\ngo {newer[2:]}\n")
    older = stage.folder / "go"
    older.write_text(OLD_GO.format(version=version, newer=newer[2:], go=wanted.go))
    older.chmod(0o755)
    return replace(wanted, go=str(older)), newer[2:]


@SCENES.row(
    "build_toolchain",
    "the source demands a newer Go",
    r"install Go (?P<release>\S+) on the host that builds, and set build_go to it",
    "that release, and `build_go`",
)
def _scene(stage: Stage) -> None:
    newer = source(stage).go
    stage.folder = stage.folder / "older"
    stage.folder.mkdir()
    wanted, release = old_go(stage, "go1.21.13")
    assert stage.fails(lambda: predicted(wanted))["release"] == release
    stage.passes(lambda: predicted(replace(wanted, go=newer)))


@SCENES.row(
    "build_toolchain",
    "the host has the Go of an old distribution",
    r"install go(?P<release>[0-9.]+) or newer, and set build_go to the path of its program go",
    "a newer release, and `build_go`",
)
def _scene(stage: Stage) -> None:
    newer = source(stage).go
    stage.folder = stage.folder / "older"
    stage.folder.mkdir()
    wanted, _release = old_go(stage, "go1.19.8")
    stage.fails(lambda: predicted(wanted))
    stage.passes(lambda: predicted(replace(wanted, go=newer)))


def repository(stage: Stage, **files: str) -> Request:
    """A source in a repository with one commit, which is v1."""
    wanted = source(stage, **files)
    git(wanted.source, "init", "-q", "-b", "main")
    git(wanted.source, "add", ".")
    git(wanted.source, "commit", "-q", "-m", "first")
    git(wanted.source, "tag", "v1")
    return wanted


@SCENES.row(
    "build_no_git",
    "the source is in a repository, and the host has no git",
    literal("install git on the host that builds"),
    "`apt install git`",
)
def _scene(stage: Stage) -> None:
    wanted = repository(stage)
    nothing = stage.folder / "bin"
    nothing.mkdir()
    with stage.patch.context() as patch:
        patch.setattr(command, "PATH", str(nothing))
        stage.fails(lambda: predicted(wanted))
    stage.passes(lambda: predicted(wanted))


FOLDER = literal("name a commit that has it in build_ref, or correct build_source")
for how in ("of a commit that has it", "that the commit has"):

    @SCENES.row(
        "build_no_source",
        f"the commit of build_ref has no folder build_source: it is one {how}",
        FOLDER,
        "another `build_ref`" if how == "of a commit that has it" else "another `build_source`",
    )
    def _scene(stage: Stage, another_commit: bool = how == "of a commit that has it") -> None:
        wanted = repository(stage)
        service = Path(wanted.source, "service")
        service.mkdir()
        for name in ("go.mod", "main.go"):
            (service / name).write_text(Path(wanted.source, name).read_text())
        git(wanted.source, "add", ".")
        git(wanted.source, "commit", "-q", "-m", "second")
        git(wanted.source, "tag", "v2")
        moved = replace(wanted, source=str(service), ref="v1")
        stage.fails(lambda: predicted(moved))
        stage.passes(lambda: predicted(replace(moved, ref="v2") if another_commit else replace(wanted, ref="v1")))


HALVES = literal("give the secret and the public half of the same key")


@SCENES.row("build_not_signed", "the public half beside the SSH key is of another one", HALVES, "its own public half")
def _scene(stage: Stage) -> None:
    artefact, key, other = stage.folder / "shop", new_key(stage.folder / "key"), new_key(stage.folder / "other")
    artefact.write_bytes(b"shop")
    own = Path(f"{key}.pub").read_text()
    Path(f"{key}.pub").write_text(Path(f"{other}.pub").read_text())
    stage.fails(lambda: signed(stage, artefact, key))
    Path(f"{key}.pub").write_text(own)
    assert "BEGIN SSH SIGNATURE" in stage.passes(lambda: signed(stage, artefact, key))


def minisign(stage: Stage, kind: str) -> None:
    """A minisign that is played, with a real key; its kind is what it knows."""
    program = stage.folder / "bin" / "minisign"
    program.parent.mkdir(exist_ok=True)
    program.write_text(FAKE_MINISIGN.format(python=sys.executable, kind=kind))
    program.chmod(0o755)
    stage.patch.setattr(command, "PATH", f"{program.parent}{os.pathsep}{PATH}")


PATH = command.PATH
SECRET = Ed25519PrivateKey.from_private_bytes(bytes(32))


def line(public: bytes) -> str:
    return base64.b64encode(b"Edslipway1" + public).decode()


OF_MINISIGN = Keys(minisign_key="/etc/passwd", minisign_public=line(SECRET.public_key().public_bytes_raw()))


def said(stage: Stage, ending: str, keys: Keys) -> Any:
    """The signature of a provenance."""
    return signing.sign_message(b"said", ending, keys, str(stage.folder))


@SCENES.row("build_not_signed", "build_minisign_public_key is of another key", HALVES, "another public key")
def _scene(stage: Stage) -> None:
    minisign(stage, "new")
    stranger = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32)).public_key().public_bytes_raw()
    other = replace(OF_MINISIGN, minisign_public=line(stranger))
    stage.fails(lambda: said(stage, signing.MINISIG, other))
    stage.passes(lambda: said(stage, signing.MINISIG, OF_MINISIGN))


for how in ("another minisign", "a key of SSH"):

    @SCENES.row(
        "build_not_signed",
        f"minisign signs a digest of the provenance, and then {how} signs",
        literal("use a minisign that knows the option -l, or build_ssh_key"),
        "another minisign" if how == "another minisign" else "`build_ssh_key`",
    )
    def _scene(stage: Stage, another: bool = how == "another minisign") -> None:
        minisign(stage, "digest")
        stage.fails(lambda: said(stage, signing.MINISIG, OF_MINISIGN))
        if another:
            minisign(stage, "new")
            stage.passes(lambda: said(stage, signing.MINISIG, OF_MINISIGN))
        else:
            keys = Keys(ssh_key=new_key(stage.folder / "key"))
            stage.passes(lambda: said(stage, signing.SSHSIG, keys))

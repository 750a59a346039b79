"""Scenes of an artefact that is built again: what it lacks, and that it is the same afterwards."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._build import rebuild
from ansible_collections.slipway.go.plugins.module_utils._build.rebuild import Rebuild
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.lab import build as lab

SCENES = Scenes()
MAIN = "package main\n\nvar version string\n\nfunc main() { println(version) }\n"
LDFLAGS = "-s -w -X main.version=1.0"


def git(folder: Path, *words: str) -> None:
    """At a time that is always the same, so that the same commit comes out."""
    dates = {"GIT_AUTHOR_DATE": "2026-01-31T12:00:00Z", "GIT_COMMITTER_DATE": "2026-01-31T12:00:00Z"}
    argv = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
    subprocess.run(argv, env={**os.environ, **dates}, check=True, capture_output=True)


def repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / "go.mod").write_text("module example.com/shop\n\ngo 1.21\n")
    (folder / "main.go").write_text(MAIN)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    return folder


def build(source: Path, out: Path) -> None:
    argv = [str(lab.find_go()), "build", "-buildvcs=true", f"-ldflags={LDFLAGS}", "-o", str(out), "."]
    subprocess.run(argv, cwd=source, env=lab.go_environment(), check=True, capture_output=True)


@functools.lru_cache(maxsize=None)
def built() -> bytes:
    """The program of the first commit of every repository here."""
    with tempfile.TemporaryDirectory(prefix="rebuild-") as folder:
        build(repository(Path(folder) / "source"), Path(folder) / "shop")
        return (Path(folder) / "shop").read_bytes()


def prepare(stage: Stage) -> Rebuild:
    """The artefact, the repository that it was built from, and what is needed to build it again."""
    (stage.folder / "shop").write_bytes(built())
    (stage.folder / "cache").mkdir()
    (stage.folder / "cache" / "build").symlink_to(lab.go_environment()["GOCACHE"])
    return Rebuild(
        str(stage.folder / "shop"),
        str(repository(stage.folder / "source")),
        cache=str(stage.folder / "cache"),
        ldflags=LDFLAGS,
        offline=True,
        go=str(lab.find_go()),
        as_root=True,
    )


def looked_at(wanted: Rebuild) -> Any:
    """In check mode, which builds nothing."""
    return rebuild.rebuild(wanted, True)


def changed(stage: Stage, old: bytes, new: bytes) -> None:
    """An artefact with other bytes."""
    assert old in built()
    (stage.folder / "shop").write_bytes(built().replace(old, new))


@SCENES.row(
    "rebuild_different",
    "a byte of the program was changed after its build",
    literal("release it nowhere, find out who changed it, and build it again"),
    "the artefact as it was built",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    changed(stage, b"1.0", b"1.1")
    stage.fails(lambda: rebuild.rebuild(wanted, False))
    (stage.folder / "shop").write_bytes(built())
    assert stage.passes(lambda: rebuild.rebuild(wanted, False))["verdict"] == "same"


@SCENES.row(
    "rebuild_different",
    "nothing says which flags of the linker it was built with",
    r"set (?P<variable>\w+) to those of the build, or put its manifest beside it \(NAME\.json\)",
    "`rebuild_ldflags`",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    variable = stage.fails(lambda: rebuild.rebuild(replace(wanted, ldflags=""), False))["variable"]
    given = {variable.replace("rebuild_", ""): LDFLAGS}
    assert stage.passes(lambda: rebuild.rebuild(replace(wanted, **given), False))["verdict"] == "same"


@SCENES.row(
    "rebuild_modified",
    "it was built with a file that was not committed",
    literal("commit the changes, and build the artefact again from that commit"),
    "`git commit`, and another build",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    source = Path(wanted.source)
    (source / "more.go").write_text("package main\n\nfunc init() { println(1) }\n")
    build(source, stage.folder / "shop")
    stage.fails(lambda: looked_at(wanted))
    git(source, "add", ".")
    git(source, "commit", "-q", "-m", "two")
    build(source, stage.folder / "shop")
    stage.passes(lambda: looked_at(wanted))


@SCENES.row(
    "rebuild_no_commit",
    "it was built with -buildvcs=false",
    r"set (?P<variable>\w+) to the commit that it was built from",
    "`rebuild_ref`",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    changed(stage, b"vcs.revision=", b"vcs.revisiom=")
    variable = stage.fails(lambda: looked_at(wanted))["variable"]
    stage.passes(lambda: looked_at(replace(wanted, **{variable.replace("rebuild_", ""): "main"})))


@SCENES.row(
    "rebuild_no_record",
    "the build information was taken out of it",
    literal("give the artefact as go build has written it"),
    "the artefact as it was built",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    changed(stage, b"\xff Go buildinf:", bytes(14))
    stage.fails(lambda: looked_at(wanted))
    (stage.folder / "shop").write_bytes(built())
    stage.passes(lambda: looked_at(wanted))


@SCENES.row(
    "rebuild_no_source",
    "rebuild_source is on another host",
    r"set (?P<variable>\w+) to a clone of the repository on that host",
    "`rebuild_source`",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    variable = stage.fails(lambda: looked_at(replace(wanted, source="/srv/nowhere")))["variable"]
    stage.passes(lambda: looked_at(replace(wanted, **{variable.replace("rebuild_", ""): wanted.source})))


@SCENES.row(
    "rebuild_unknown_commit",
    "the clone does not have the commit",
    literal("fetch it into that repository, or set rebuild_source to the repository that has it"),
    "`git fetch`",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    clone = stage.folder / "clone"
    clone.mkdir()
    git(clone, "init", "-q")
    one = replace(wanted, source=str(clone))
    git(clone, "commit", "-q", "--allow-empty", "-m", "other")
    stage.fails(lambda: looked_at(one))
    git(clone, "fetch", "-q", wanted.source, "main")
    stage.passes(lambda: looked_at(one))


@SCENES.row(
    "rebuild_unsupported",
    "it was built with cgo",
    literal("build it with CGO_ENABLED=0, as slipway.go.build does"),
    "the artefact as it is built without cgo",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    changed(stage, b"CGO_ENABLED=0", b"CGO_ENABLED=1")
    stage.fails(lambda: looked_at(wanted))
    (stage.folder / "shop").write_bytes(built())
    stage.passes(lambda: looked_at(wanted))

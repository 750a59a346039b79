"""Scenes of an artefact that is built again: what it lacks, and that it is the same afterwards."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._build import rebuild
from ansible_collections.slipway.go.plugins.module_utils._build.rebuild import Rebuild
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import dsse
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.provenance import BUILD_TYPE
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


def repository(folder: Path, module: str = "example.com/shop") -> Path:
    folder.mkdir()
    (folder / "go.mod").write_text(f"module {module}\n\ngo 1.21\n")
    (folder / "main.go").write_text(MAIN)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    return folder


def build(source: Path, out: Path, package: str = ".") -> None:
    argv = [str(lab.find_go()), "build", "-buildvcs=true", f"-ldflags={LDFLAGS}", "-o", str(out), package]
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


def given_as_built(stage: Stage, wanted: Rebuild) -> None:
    stage.fails(lambda: looked_at(wanted))
    (stage.folder / "shop").write_bytes(built())
    stage.passes(lambda: looked_at(wanted))


def set_as_told(stage: Stage, wrong: Rebuild, right: str, check_mode: bool = True) -> None:
    """The fix names one variable, which gets that value."""
    variable = stage.fails(lambda: rebuild.rebuild(wrong, check_mode))["variable"]
    fixed = replace(wrong, **{variable.replace("rebuild_", ""): right})
    stage.passes(lambda: rebuild.rebuild(fixed, check_mode))


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
    set_as_told(stage, wanted, "main")


@SCENES.row(
    "rebuild_no_record",
    "the build information was taken out of it",
    literal("give the artefact as go build has written it"),
    "the artefact as it was built",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    changed(stage, b"\xff Go buildinf:", bytes(14))
    given_as_built(stage, wanted)


@SCENES.row(
    "rebuild_no_source",
    "rebuild_source is on another host",
    r"set (?P<variable>\w+) to a clone of the repository on that host",
    "`rebuild_source`",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    set_as_told(stage, replace(wanted, source="/srv/nowhere"), wanted.source)


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


for how, old, new, fix, applied in (
    (
        "it was built with cgo",
        b"CGO_ENABLED=0",
        b"CGO_ENABLED=1",
        "build it with CGO_ENABLED=0, as slipway.go.build does",
        "the artefact as it is built without cgo",
    ),
    (
        "it was built without -trimpath",
        b"-trimpath=true",
        b"-trimpath=fals",
        "build it with -trimpath, as slipway.go.build does",
        "the artefact as it is built with -trimpath",
    ),
    (
        "its Go did not write how it is built",
        b"GOOS=linux",
        b"XXXX=linux",
        "build it with Go 1.18 or newer",
        "the artefact as it is built by a newer Go",
    ),
    (
        "it is for another system",
        b"GOOS=linux",
        b"GOOS=plan9",
        "give an artefact that is built with GOOS=linux",
        "the artefact for Linux",
    ),
):

    @SCENES.row("rebuild_unsupported", how, literal(fix), applied)
    def _scene(stage: Stage, old: bytes = old, new: bytes = new) -> None:
        wanted = prepare(stage)
        changed(stage, old, new)
        given_as_built(stage, wanted)


@SCENES.row(
    "rebuild_unsupported",
    "it was built from a list of files",
    literal("build it as a package, such as ./cmd/shop, and not from a list of files"),
    "`go build .`",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    build(Path(wanted.source), stage.folder / "shop", "main.go")
    given_as_built(stage, wanted)


def beside(stage: Stage, *flags: str) -> None:
    """A manifest of the build."""
    (stage.folder / "shop.json").write_text(json.dumps({"flags": flags}))


@SCENES.row(
    "rebuild_unsupported",
    "its manifest names another linker",
    r"build it with the flags that slipway\.go\.build has, or set (?P<variable>\w+) to -s, -w and -X alone",
    "`rebuild_ldflags`",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    beside(stage, "-trimpath", "-buildvcs=auto", "-ldflags=-s -w -extld=/bin/sh")
    set_as_told(stage, replace(wanted, ldflags=""), LDFLAGS, check_mode=False)


@SCENES.row(
    "rebuild_unsupported",
    "it was built with a profile that is not the package's",
    r"put the manifest of the build beside it \(NAME\.json\)",
    "its manifest",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    changed(stage, b"vcs.time=2026-01-31T12:00:00Z", b"-pgo=profile-of-january.pprof")
    stage.fails(lambda: looked_at(wanted))
    beside(stage, "-trimpath", "-buildvcs=auto", "-pgo=profile-of-january.pprof", f"-ldflags={LDFLAGS}")
    stage.passes(lambda: looked_at(replace(wanted, ldflags="")))


# Where it is built from


def provenance(stage: Stage, repository: str) -> None:
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": {"source": {"repository": repository}},
        "internalParameters": {"flags": ["-trimpath", "-buildvcs=auto", f"-ldflags={LDFLAGS}"]},
        "resolvedDependencies": [],
    }
    statement = {"subject": [{"digest": {"sha256": ""}}], "predicate": {"buildDefinition": definition}}
    text = dsse.render(dsse.PAYLOAD_TYPE, json.dumps(statement).encode(), [dsse.Signature("", b"0")])
    (stage.folder / "shop.intoto.jsonl").write_text(text)


@SCENES.row(
    "rebuild_no_source",
    "its provenance names a repository that nobody allows",
    r"add it to (?P<variable>\w+) if you trust it, or set rebuild_source",
    "`rebuild_repositories`",
)
def _scene(stage: Stage) -> None:
    wanted = replace(prepare(stage), source="")
    provenance(stage, f"file://{stage.folder / 'source'}")
    assert stage.fails(lambda: rebuild.rebuild(wanted, False))["variable"] == "rebuild_repositories"
    one = replace(wanted, repositories=("file://*",))
    assert stage.passes(lambda: rebuild.rebuild(one, False))["verdict"] == "same"


@SCENES.row(
    "rebuild_no_source",
    "nothing says where its source is",
    r"set (?P<variable>\w+) to a clone of the repository or to its URL",
    "`rebuild_source`",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    set_as_told(stage, replace(wanted, source=""), wanted.source)


@SCENES.row(
    "rebuild_no_source",
    "rebuild_source is a copy of the files alone",
    r"set (?P<variable>\w+) to a clone of the repository, or to its URL",
    "`rebuild_source`",
)
def _scene(stage: Stage) -> None:
    wanted, copy = prepare(stage), stage.folder / "copy"
    copy.mkdir()
    (copy / "main.go").write_text(MAIN)
    set_as_told(stage, replace(wanted, source=str(copy)), wanted.source)


@SCENES.row(
    "rebuild_no_source",
    "git cannot clone the URL",
    r"correct (?P<variable>\w+), or let the user who builds read that repository",
    "another `rebuild_source`",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    wrong = replace(wanted, source=f"file://{stage.folder / 'none'}")
    set_as_told(stage, wrong, f"file://{wanted.source}", check_mode=False)


@SCENES.row(
    "rebuild_no_source",
    "rebuild_source is the repository of another module",
    r"set (?P<variable>\w+) to the repository of that module",
    "another `rebuild_source`",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    other = repository(stage.folder / "other", "example.com/other")
    set_as_told(stage, replace(wanted, source=str(other), ref="main"), wanted.source, check_mode=False)


@SCENES.row(
    "build_failed",
    "rebuild_ref names a commit that does not compile",
    literal("correct what it names on the host that builds, and name a commit that compiles"),
    "another `rebuild_ref`",
)
def _scene(stage: Stage) -> None:
    wanted = prepare(stage)
    source = Path(wanted.source)
    git(source, "checkout", "-q", "-b", "broken")
    (source / "main.go").write_text("package main\n")
    git(source, "commit", "-q", "-a", "-m", "two")
    stage.fails(lambda: rebuild.rebuild(replace(wanted, ref="broken"), False))
    stage.passes(lambda: rebuild.rebuild(replace(wanted, ref="main"), False))


# Variables that cannot be meant


for how, field, wrong, right, fix in (
    (
        "rebuild_artefact is relative",
        "artefact",
        "shop",
        "@folder/shop",
        "set rebuild_artefact to a path that begins with /",
    ),
    (
        "rebuild_source is a word",
        "source",
        "shop",
        "@folder/source",
        "give a folder on the host that builds, or a URL such as https://…",
    ),
    (
        "rebuild_source has a password",
        "source",
        "https://ci:secret@git.example.com/shop",
        "https://git.example.com/shop",
        "set rebuild_source to the URL alone, and give git the password by a credential helper",
    ),
    ("rebuild_ldflags names a program", "ldflags", "-extld=/bin/sh", LDFLAGS, "give -s, -w and -X alone"),
):

    @SCENES.row("invalid_build", how, literal(fix), f"another `rebuild_{field}`")
    def _scene(stage: Stage, field: str = field, values: Any = (wrong, right)) -> None:
        wanted = prepare(stage)
        wrong, right = (replace(wanted, **{field: value.replace("@folder", str(stage.folder))}) for value in values)
        stage.fails(lambda: looked_at(wrong))
        stage.passes(lambda: looked_at(right))

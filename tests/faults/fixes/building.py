"""Rows of `slipway.go.build`, on a host that has Go and git. The repositories are a builder's own."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.model import Row, Task

USER, SOURCES, OUT, GO = "builder", "/srv/src", "/srv/out", "/usr/local/go/bin/go"
BUILDER = {"become_user": USER, "environment": {"GOTOOLCHAIN": "local", "GOPROXY": "off"}}
COMMIT = "git -c user.name=a -c user.email=a@example.com commit -q"


def build(name: str, **options: Any) -> Task:
    given = {"source": f"{SOURCES}/{name}", "dest": f"{OUT}/{name}", "name": "shop", "version": "1.0.0", "go": GO}
    return Task("build", {**given, "targets": ["linux/amd64"], **options}, BUILDER)


def repository(name: str, then: str = "true") -> str:
    """A copy of the builder's repository, and what is changed in it, as that user."""
    folder = f"{SOURCES}/{name}"
    return f"rm -rf {folder}; cp -a {SOURCES}/base {folder}; {as_builder(name, then)}"


def as_builder(name: str, script: str) -> str:
    return f"runuser -u {USER} -- bash -ec '{{ cd {SOURCES}/{name}; {script}; }}'"


ROWS = [
    Row(
        "build_as_root",
        "root builds",
        Task("build", {**build("by-root").arguments, "source": f"{SOURCES}/by-root"}),
        literal("run it as another user (become: false), or set build_as_root: true in a container of its own"),
        f"{repository('by-root')}; chown -R root: {SOURCES}/by-root",
        give={"as_root": True},
    ),
    Row(
        "build_cgo",
        "a package of the program calls C, and works without",
        build("cgo"),
        r"use a package in Go alone, or set build_cgo to (?P<value>\w+) if these packages work when cgo is off",
        repository("cgo", f'printf "package main\\n\\nimport \\"C\\"\\n" > c.go; git add c.go; {COMMIT} -m c'),
        give={"cgo": "<value>"},
    ),
    Row(
        "build_dest_in_source",
        "the artefacts are to be in the repository",
        build("inside", dest=f"{SOURCES}/inside/out"),
        literal("add that folder to .gitignore and commit that, or set build_dest to a folder elsewhere"),
        repository("inside"),
        as_builder("inside", f"echo /out/ >> .gitignore; git add .gitignore; {COMMIT} -m ignore"),
    ),
    Row(
        "build_dirty",
        "a file was changed and not committed",
        build("dirty"),
        literal("commit or remove what git status lists, name a commit in build_ref, or set build_dirty: accept"),
        repository("dirty", "echo // changed >> go.mod"),
        as_builder("dirty", f"git status --short; git add -A; {COMMIT} -m changed"),
    ),
    Row(
        "build_dirty",
        "a file was changed, and a commit is named",
        build("dirty-ref"),
        literal("commit or remove what git status lists, name a commit in build_ref, or set build_dirty: accept"),
        repository("dirty-ref", "echo // changed >> go.mod"),
        give={"ref": "HEAD"},
    ),
    Row(
        "build_failed",
        "the source does not compile",
        build("broken"),
        literal("correct what it names in the source"),
        repository("broken", f'printf "package main\\n\\nfunc broken() {{\\n" > b.go; git add b.go; {COMMIT} -m b'),
        as_builder("broken", f"git rm -q b.go; {COMMIT} -m mended"),
    ),
    Row(
        "build_check_failed",
        "go vet complains",
        build("vetted", vet=True),
        r"correct what .*",
        repository(
            "vetted",
            'printf "package main\\n\\nimport \\"fmt\\"\\n\\nfunc vetted() { fmt.Printf(\\"%%d\\", \\"a\\") }\\n"'
            f" > v.go; git add v.go; {COMMIT} -m v",
        ),
        as_builder("vetted", f"git rm -q v.go; {COMMIT} -m mended"),
    ),
    Row(
        "build_no_git",
        "the repository belongs to another user",
        build("others"),
        r"let the user who builds own the repository, or list it as safe\.directory in that user's ~/\.gitconfig",
        f"{repository('others')}; chown -R root: {SOURCES}/others",
        f"chown -R {USER}: {SOURCES}/others",
    ),
    Row(
        "build_no_git",
        "build_vcs is true and the source is in no repository",
        build("no-repository", vcs="true"),
        literal("build from a repository, or leave build_vcs out"),
        repository("no-repository", "rm -rf .git"),
        give={"vcs": None},
    ),
    Row(
        "build_no_go",
        "build_go leads nowhere",
        build("no-go", go="/usr/local/bin/go"),
        literal("install Go on the host that builds, or set build_go to the path of the program go"),
        repository("no-go"),
        give={"go": GO},
    ),
    Row(
        "build_no_source",
        "build_source is no folder",
        build("nowhere"),
        literal("set build_source to the folder of the module on that host"),
        repository("somewhere"),
        give={"source": f"{SOURCES}/somewhere"},
    ),
    Row(
        "build_no_source",
        "build_package is a package for others",
        build("library", package="./lib"),
        literal("set build_package to the folder of the package main, such as ./cmd/shop"),
        repository("library", f"mkdir lib; echo package lib > lib/lib.go; git add lib; {COMMIT} -m lib"),
        give={"package": "."},
    ),
    Row(
        "build_no_stamp",
        "no version is set and there is no repository",
        build("no-version", version=""),
        literal("set build_version or release_version"),
        repository("no-version", "rm -rf .git"),
        give={"version": "1.0.0"},
    ),
    Row(
        "build_no_vendor",
        "build_mod is vendor and nothing was vendored",
        build("no-vendor", mod="vendor"),
        literal("run go mod vendor and commit what it writes, or leave build_mod out"),
        repository("no-vendor"),
        give={"mod": None},
    ),
    Row(
        "build_toolchain",
        "build_toolchain is another release",
        build("toolchain", toolchain="1.20"),
        r"install Go 1\.20 and set build_go to it, or change build_toolchain",
        repository("toolchain"),
        give={"toolchain": ""},
    ),
    Row(
        "build_unknown_ref",
        "build_ref is no commit of the repository",
        build("no-tag", ref="v9.9.9"),
        literal("fetch it into that repository, or name a tag, a branch or a commit that it has"),
        repository("no-tag"),
        as_builder("no-tag", "git tag v9.9.9"),
    ),
    Row(
        "build_unknown_ref",
        "build_ref is set and the source is in no repository",
        build("no-ref", ref="v1"),
        literal("leave build_ref out, or set build_source to a folder in a repository"),
        repository("no-ref", "rm -rf .git"),
        give={"ref": ""},
    ),
    Row(
        "build_unknown_variable",
        "the program does not have the variable",
        build("no-variable", variables={"version": "main.stamped"}),
        r"write var (?P<name>\w+) string in that package, or correct build_variables",
        repository("no-variable"),
        as_builder(
            "no-variable",
            f'printf "package main\\n\\nvar <name> string\\n" > variable.go; git add variable.go; {COMMIT} -m variable',
        ),
    ),
    Row(
        "invalid_build",
        "no target is named",
        build("untargeted", targets=[]),
        r"set build_targets to a list such as \[(?P<target>[\w/]+), \S+\]",
        repository("untargeted"),
        give={"targets": ["<target>"]},
    ),
    Row(
        "invalid_build",
        "build_version has a space",
        build("word", version="1.0 final"),
        literal("set build_version to a word without spaces and quotes"),
        repository("word"),
        give={"version": "1.0-final"},
    ),
    Row(
        "invalid_build",
        "build_tags has a comma",
        build("tags", tags=["a,b"]),
        literal("give letters, digits, _ and . only"),
        repository("tags"),
        give={"tags": ["a", "b"]},
    ),
    Row(
        "invalid_build",
        "build_toolchain is no release",
        build("series", toolchain="newest"),
        r"give a release such as (?P<release>\S+), or a series such as (?P<series>\S+)",
        repository("series"),
        give={"toolchain": "<series>"},
    ),
]

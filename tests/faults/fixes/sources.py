"""Scenes of what is built and of what is in it: the builder with its toolchain, signatures, licences, databases."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._binary.policy import check_policy, parse_denylist
from ansible_collections.slipway.go.plugins.module_utils._build import builder, signing
from ansible_collections.slipway.go.plugins.module_utils._build.request import Request
from ansible_collections.slipway.go.plugins.module_utils._build.signing import Keys
from ansible_collections.slipway.go.plugins.module_utils._build.targets import parse
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities import database
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.licences import judge_licences
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.lab import build as lab
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_program import upx_stub
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.fake_root import glibc_root
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.vulnerabilities.entries import entry

SCENES = Scenes()
MAIN = "package main\n\nfunc main() {}\n"
USING = 'package main\n\nimport _ "example.com/lib"\n\nfunc main() {}\n'
MOD = "module example.com/shop\n\ngo 1.21\n\nrequire example.com/lib v1.0.0\n"
LIBRARY = "package lib\n"


def source(stage: Stage, **files: str) -> Request:
    """A source outside of any repository, and how it is built; what is compiled is shared with the unit tests."""
    folder = stage.folder / "source"
    for name, text in {"go.mod": "module example.com/shop\n\ngo 1.21\n", "main.go": MAIN, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    cache = stage.folder / "cache"
    for one in (cache, cache / "verify"):
        one.mkdir()
        (one / "build").symlink_to(lab.go_environment()["GOCACHE"])
    stage.patch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return Request(
        str(folder),
        str(stage.folder / "out"),
        "shop",
        (parse("amd64"),),
        str(cache),
        version="1.0",
        variables={},
        offline=True,
        go=str(lab.find_go()),
        as_root=True,
    )


def built(wanted: Request) -> Any:
    return builder.build(wanted, Keys(), False)


def proxy_with_the_library(folder: Path) -> str:
    """A module proxy in a folder, as go has them with file://."""
    place = folder / "proxy/example.com/lib/@v"
    place.mkdir(parents=True)
    (place / "list").write_text("v1.0.0\n")
    (place / "v1.0.0.mod").write_text("module example.com/lib\n")
    (place / "v1.0.0.info").write_text(json.dumps({"Version": "v1.0.0", "Time": "2026-01-01T00:00:00Z"}))
    with zipfile.ZipFile(place / "v1.0.0.zip", "w") as archive:
        archive.writestr("example.com/lib@v1.0.0/go.mod", "module example.com/lib\n")
        archive.writestr("example.com/lib@v1.0.0/lib.go", LIBRARY)
    return f"file://{folder / 'proxy'}"


@SCENES.row(
    "build_offline",
    "the source needs a module that is not here",
    r"run (?P<command>go mod vendor) and commit what it writes, or build once without build_offline",
    "`go mod vendor` where there is a network",
)
def _scene(stage: Stage) -> None:
    wanted = source(stage, **{"go.mod": MOD, "main.go": USING})
    network = {
        **lab.go_environment(),
        "GOPROXY": proxy_with_the_library(stage.folder),
        "GOMODCACHE": str(stage.folder / "modules"),
        "GOFLAGS": "-mod=mod -modcacherw",
        "GOSUMDB": "off",
    }

    def go(*words: str) -> None:
        subprocess.run([wanted.go, *words], cwd=wanted.source, env=network, check=True, capture_output=True)

    go("mod", "tidy")
    command = stage.fails(lambda: built(wanted))["command"].split()
    go(*command[1:])
    assert stage.passes(lambda: built(wanted))["changed"]


@SCENES.row(
    "build_outside_source",
    "a module of the program is beside the source",
    literal("move it into the repository, or leave build_verify out"),
    "`mv` into the source, and go.mod leads there",
)
def _scene(stage: Stage) -> None:
    text = f"{MOD}\nreplace example.com/lib => ../lib\n"
    wanted = source(stage, **{"go.mod": text, "main.go": USING})
    outside = stage.folder / "lib"
    outside.mkdir()
    (outside / "go.mod").write_text("module example.com/lib\n")
    (outside / "lib.go").write_text(LIBRARY)
    verified = replace(wanted, verify=True)
    stage.fails(lambda: built(verified))
    assert str(outside) in stage.message
    shutil.move(str(outside), f"{wanted.source}/lib")
    Path(wanted.source, "go.mod").write_text(text.replace("../lib", "./lib"))
    assert stage.passes(lambda: built(verified))["changed"]


@SCENES.row(
    "build_not_reproducible",
    "a file of the source is generated with the clock in it",
    literal("remove what depends on the folder or the clock from the source, such as generated files"),
    "nothing generates that file any more",
)
def _scene(stage: Stage) -> None:
    wanted = source(stage, **{"stamp.go": 'package main\n\nvar stamp = "never"\n\nfunc init() { println(stamp) }\n'})
    generating = stage.folder / "go"
    generating.write_text(
        f'#!/bin/sh\n[ "$1" = build ] && sed -i "s/^var stamp = .*/var stamp = \\"$(date +%s%N)\\"/" "$3/stamp.go"\n'
        f'exec {wanted.go} "$@"\n'
    )
    generating.chmod(0o755)
    stage.fails(lambda: built(replace(wanted, go=str(generating), verify=True)))
    assert stage.passes(lambda: built(replace(wanted, verify=True)))["changed"]


def new_key(path: Path) -> str:
    path.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return str(path)


@SCENES.row(
    "build_not_signed",
    "the key is not on the host that builds",
    r"put the key there, or leave (?P<variable>\w+) out",
    "the key is put there",
)
def _scene(stage: Stage) -> None:
    keys = Keys(ssh_key=str(stage.folder / "key"))
    stage.fails(lambda: signing.check(keys))
    new_key(stage.folder / "key")
    stage.passes(lambda: signing.check(keys))


@SCENES.row(
    "build_not_signed",
    "the secret key has a passphrase, and there is no agent",
    literal("check the key, and use an agent for a key with a passphrase, and build_ssh_key to its public half"),
    "`ssh-add`, and another `build_ssh_key`",
)
def _scene(stage: Stage) -> None:
    artefact, key = stage.folder / "shop", new_key(stage.folder / "key")
    artefact.write_bytes(b"shop")
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True, capture_output=True)
    stage.patch.delenv("SSH_AUTH_SOCK", raising=False)
    stage.fails(lambda: signed(stage, artefact, key))
    # Without a terminal, ssh-add takes the passphrase from a program.
    ask = stage.folder / "ask"
    ask.write_text("#!/bin/sh\necho secret\n")
    ask.chmod(0o755)
    agent = subprocess.run(["ssh-agent", "-c"], check=True, capture_output=True, text=True).stdout.split()
    socket, pid = (agent[agent.index(name) + 1].rstrip(";") for name in ("SSH_AUTH_SOCK", "SSH_AGENT_PID"))
    try:
        stage.patch.setenv("SSH_AUTH_SOCK", socket)
        asking = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(["ssh-add", key], env=asking, check=True, capture_output=True)
        assert "BEGIN SSH SIGNATURE" in stage.passes(lambda: signed(stage, artefact, f"{key}.pub"))
    finally:
        os.kill(int(pid), 15)


def signed(stage: Stage, artefact: Path, key: str) -> str:
    return signing.sign(str(artefact), signing.SSHSIG, Keys(ssh_key=key), "1.0", str(stage.folder))


# --- what is in a program


@SCENES.row(
    "packed",
    "the build has run upx over the program",
    literal("release the program without UPX, or unpack it with upx -d"),
    "the program as the build leaves it without upx",
)
def _scene(stage: Stage) -> None:
    root, app = glibc_root(stage.folder), stage.folder / "app"
    app.write_bytes(upx_stub())
    app.chmod(0o755)
    stage.fails(root.check)
    app.write_bytes(ElfBuilder(type=EXEC).build())
    assert stage.passes(root.check)["runnable"]


@SCENES.row(
    "policy_denied_licence",
    "a component has a denied licence",
    r"remove (?P<name>\S+) \S+",
    "the SBOM of a build without it",
)
def _scene(stage: Stage) -> None:
    components = [
        {"name": "example.com/free", "version": "v1.0.0", "licenses": [{"license": {"id": "MIT"}}]},
        {"name": "example.com/lib", "version": "v1.0.0", "licenses": [{"license": {"id": "AGPL-3.0-only"}}]},
    ]

    def judged() -> Any:
        sbom = {"bomFormat": "CycloneDX", "components": components}
        return judge_licences(sbom, hashlib.sha256(b"").hexdigest(), ["AGPL-3.0-only"]).problems

    name = stage.fails(judged)["name"]
    components = [one for one in components if one["name"] != name]
    assert len(components) == 1
    stage.passes(judged)


@SCENES.row(
    "vulnerability_database_too_large",
    "the database is one of all languages",
    literal("give the database of Go alone, as Go publishes it"),
    "another `release_vulnerability_database`",
)
def _scene(stage: Stage) -> None:
    stage.patch.setattr(database, "MAX_FILES", 2)
    whole, of_go = stage.folder / "all", stage.folder / "go"
    for folder, names in ((whole, ("PYSEC-1", "RUSTSEC-1", "GO-1")), (of_go, ("GO-1",))):
        folder.mkdir()
        for name in names:
            (folder / f"{name}.json").write_text(json.dumps(entry(name)))
    stage.fails(lambda: database.read_database(str(whole)))
    stage.passes(lambda: database.read_database(str(of_go)))


# --- sources that cannot be built


@SCENES.row(
    "build_no_source",
    "build_source is the folder above the module",
    literal("set build_source to the folder of a Go module"),
    "another `build_source`",
)
def _scene(stage: Stage) -> None:
    wanted = source(stage)
    stage.fails(lambda: built(replace(wanted, source=str(stage.folder))))
    assert stage.passes(lambda: built(wanted))["changed"]


@SCENES.row(
    "build_no_source",
    "the profile of build_pgo is not there",
    literal("give the profile's path below build_source, or leave build_pgo out"),
    "no `build_pgo`",
)
def _scene(stage: Stage) -> None:
    wanted = source(stage)
    stage.fails(lambda: built(replace(wanted, pgo="none.pprof")))
    assert stage.passes(lambda: built(wanted))["changed"]


@SCENES.row(
    "build_no_stamp",
    "the source is in no repository that tells its commit",
    r"set build_(?P<name>\w+), or take (?P=name) out of build_variables",
    "another `build_commit`",
)
def _scene(stage: Stage) -> None:
    text = "package main\n\nvar commit string\n\nfunc main() { println(commit) }\n"
    wanted = replace(source(stage, **{"main.go": text}), variables={"commit": "main.commit"})
    name = stage.fails(lambda: built(wanted))["name"]
    stamped: dict[str, Any] = {name: "abc123"}
    assert stage.passes(lambda: built(replace(wanted, **stamped)))["changed"]


@SCENES.row(
    "build_not_signed",
    "build_ssh_namespace has a space",
    literal("leave it out, or give a word"),
    "no `build_ssh_namespace`",
)
def _scene(stage: Stage) -> None:
    stage.fails(lambda: signing.check(Keys(namespace="a file")))
    stage.passes(lambda: signing.check(Keys()))


def denied(constraint: str, version: str) -> Any:
    """What a list of denied modules says of a program that has this version of the library."""
    facts = {"go": {"version": "go1.27.3", "deps": [{"path": "example.com/lib", "version": version}]}, "path": "/app"}
    return check_policy(facts, {"denied_modules": parse_denylist(f"example.com/lib {constraint}")})


for how, constraint, says, other in (
    ("older than one", "<v1.2.3", r"run go get (?P<module>\S+)@(?P<version>\S+) or newer, then build", "v1.2.3"),
    (
        "up to one",
        "<=v1.2.3",
        r"run go get (?P<module>\S+) with a version newer than (?P<version>\S+), then build",
        "v1.2.4",
    ),
    ("equal to one", "=v1.2.0", r"remove (?P<module>\S+) or take another version, then build", "v1.2.1"),
):

    @SCENES.row(
        "policy_denied_module",
        f"a list denies the versions of a module that are {how}",
        says,
        f"a build with {other} of it",
    )
    def _scene(stage: Stage, constraint: str = constraint, other: str = other) -> None:
        found = stage.fails(lambda: denied(constraint, "v1.2.0"))
        assert found["module"] == "example.com/lib"
        stage.passes(lambda: denied(constraint, found.get("version", other).replace("v1.2.3", other)))

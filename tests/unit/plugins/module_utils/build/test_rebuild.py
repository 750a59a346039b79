# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An artefact and its rebuild: the same, or what differs in words, or why it cannot be rebuilt."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import replace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary.elf import read_sections
from ansible_collections.slipway.go.plugins.module_utils._binary.program import open_program
from ansible_collections.slipway.go.plugins.module_utils._build import builder, record
from ansible_collections.slipway.go.plugins.module_utils._build.rebuild import Rebuild, judge, rebuild
from ansible_collections.slipway.go.plugins.module_utils._build.request import Request
from ansible_collections.slipway.go.plugins.module_utils._build.signing import Keys
from ansible_collections.slipway.go.plugins.module_utils._build.targets import parse
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import dsse
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.provenance import BUILD_TYPE
from ansible_collections.slipway.go.tests.lab import build as lab
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_program import upx_stub
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.build.test_builder import git
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

MAIN = 'package main\n\nvar version string\n\nfunc main() { println("listening", version) }\n'


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A repository whose module is in a folder of it, the artefacts of its first commit, and the caches."""
    place = tmp_path_factory.mktemp("rebuild")
    folder = place / "source" / "backend" / "cmd" / "shop"
    folder.mkdir(parents=True)
    (folder / "main.go").write_text(MAIN)
    (folder / "extra.go").write_text("//go:build extra\n\npackage main\n\nfunc init() { println(1) }\n")
    (place / "source" / "backend" / "go.mod").write_text("module example.com/shop\n\ngo 1.21\n")
    git(place / "source", "init", "-q", "-b", "main")
    git(place / "source", "add", ".")
    git(place / "source", "commit", "-q", "-m", "first")
    git(place / "source", "tag", "v1.2.3")
    (place / "cache").mkdir()
    (place / "cache" / "build").symlink_to(lab.go_environment()["GOCACHE"])
    wanted = Request(
        str(place / "source" / "backend"),
        str(place / "out"),
        "shop",
        (parse("amd64"),),
        str(place / "cache"),
        package="./cmd/shop",
        variables={"version": "main.version"},
        tags=("extra",),
        offline=True,
        go=str(lab.find_go()),
        as_root=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SOURCE_DATE_EPOCH", raising=False)
        builder.build(wanted, Keys(), False)
    return place


@pytest.fixture
def artefact(place, tmp_path):
    """A copy of the artefact with its manifest."""
    for name in ("shop-linux-amd64", "shop-linux-amd64.json"):
        shutil.copy(place / "out" / name, tmp_path / name)
    return tmp_path / "shop-linux-amd64"


@pytest.fixture
def wanted(place, artefact):
    return Rebuild(
        str(artefact),
        str(place / "source"),
        cache=str(place / "cache"),
        offline=True,
        go=str(lab.find_go()),
        as_root=True,
    )


def alone(artefact):
    """Without its manifest."""
    artefact.with_name(f"{artefact.name}.json").unlink()


def patch(path, old, new):
    """Other bytes in the file, as many as before."""
    data = path.read_bytes()
    assert len(old) == len(new)
    assert data.count(old) >= 1
    path.write_bytes(data.replace(old, new))


def flip(path, name):
    """One other byte in the middle of a section; return its offset."""
    with open_program(str(path)) as opened:
        section = next(one for one in read_sections(opened.reader, opened.elf.header) if one.name == name)
    offset = section.offset + section.size // 2
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)
    return offset


def different(wanted, *words):
    error = refused(lambda: rebuild(wanted, False), "rebuild_different", *words)
    assert error.details["verdict"] == "different"
    return error


def found(error, kind):
    return [one for one in error.details["differences"] if one["kind"] == kind]


def test_the_same_from_another_branch_and_with_a_changed_folder(wanted, place):
    """The commit counts, and not what lies in the folder; nothing is left behind."""
    stray = place / "source" / "backend" / "cmd" / "shop" / "stray.go"
    stray.write_text("not Go")
    try:
        seen = rebuild(wanted, True)
        told = rebuild(wanted, False)
    finally:
        stray.unlink()
    assert (seen["verdict"], seen["rebuilt_sha256"], seen["flags"]) == (None, None, told["flags"])
    assert (told["verdict"], told["changed"], told["differences"]) == ("same", False, [])
    assert (told["sha256"], told["flags_from"]) == (told["rebuilt_sha256"], "manifest")
    assert (told["target"], told["package"]) == ("linux/amd64/v1", "example.com/shop/cmd/shop")
    assert told["commit"] == git(place / "source", "rev-parse", "HEAD")
    assert told["text"].startswith("shop-linux-amd64 is the same as its rebuild from commit ")
    assert os.listdir(place / "cache" / "work") == []


def test_the_flags_of_the_linker_are_in_no_artefact(wanted, artefact):
    """Without a manifest, -s -w is taken, and the message says that somebody has to say more."""
    alone(artefact)
    error = different(wanted, "nothing says which -ldflags", "-ldflags=-s -w", "set rebuild_ldflags")
    assert (error.details["flags_from"], len(found(error, "build_id"))) == ("artefact", 1)
    assert "package main is the same" in found(error, "build_id")[0]["text"]
    told = rebuild(replace(wanted, ldflags="-s -w -X main.version=v1.2.3"), False)
    assert (told["verdict"], told["flags_from"]) == ("same", "variable")


def test_a_symbol_table_shows(wanted, artefact, place):
    alone(artefact)
    argv = [wanted.go, "build", "-ldflags=-X main.version=v1.2.3", "-tags=extra", "-o", str(artefact), "./cmd/shop"]
    variables = {**lab.go_environment(), "GOFLAGS": "-trimpath"}
    subprocess.run(argv, cwd=place / "source" / "backend", env=variables, check=True, capture_output=True)
    error = judged(artefact, place, "the artefact has a symbol table, and the rebuild no symbol table (-ldflags=-s)")
    assert ".symtab" in {one["name"] for one in found(error, "section")}


def test_one_byte_of_code_that_was_changed_after_the_build(wanted, artefact):
    """The manifest is not about that file, but its flags still are those of the build."""
    offset = flip(artefact, ".text")
    error = different(
        wanted,
        "its manifest is about a file with the SHA-256",
        "changed after it was built",
        ".text (machine code) differs in 1 of",
        "find out who changed it",
    )
    (one,) = error.details["differences"]
    assert (one["kind"], one["name"], one["offset"]) == ("section", ".text", offset)


def judged(artefact, place, *words):
    """The verdict on it where the rebuild is the file that was built."""
    told = {"commit": "", "source": "/srv/shop"}
    rebuilt = str(place / "out" / artefact.name)
    return refused(lambda: judge(record.read(str(artefact), ""), rebuilt, told), "rebuild_different", *words)


def test_one_byte_of_a_text_that_was_changed(artefact, place):
    offset = flip(artefact, ".rodata")
    error = judged(artefact, place, "changed after it was built", ".rodata (constants and texts) differs in 1 of")
    assert [(one["name"], one["offset"]) for one in error.details["differences"]] == [(".rodata", offset)]


def test_bytes_behind_the_last_section(artefact, place):
    size = artefact.stat().st_size
    artefact.write_bytes(artefact.read_bytes() + b"more")
    error = judged(artefact, place, f"bytes that are in no section differ, first at byte {size}", f"{size + 4:,} bytes")
    assert [one["kind"] for one in error.details["differences"]] == ["size", "outside"]


def test_another_commit_says_what_the_commits_differ_in(wanted, place):
    """The stamps, the version by the tags, and the build id; of a commit that is named instead of the recorded one."""
    folder = place / "source"
    git(folder, "checkout", "-q", "-b", "other")
    git(folder, "commit", "-q", "--allow-empty", "-m", "other")
    git(folder, "checkout", "-q", "main")
    error = different(replace(wanted, ref="other"), "vcs.revision is")
    names = {one["name"] for one in found(error, "setting")}
    assert "vcs.revision" in names
    assert [one["name"] for one in found(error, "module")] in ([], ["example.com/shop"])


def module_proxy(folder):
    """Two versions of a module, as go reads them with file://."""
    place = folder / "proxy" / "example.com" / "lib" / "@v"
    place.mkdir(parents=True)
    (place / "list").write_text("v1.0.0\nv1.1.0\n")
    for version in ("v1.0.0", "v1.1.0"):
        (place / f"{version}.mod").write_text("module example.com/lib\n")
        (place / f"{version}.info").write_text(json.dumps({"Version": version, "Time": "2026-01-01T00:00:00Z"}))
        with zipfile.ZipFile(place / f"{version}.zip", "w") as archive:
            archive.writestr(f"example.com/lib@{version}/go.mod", "module example.com/lib\n")
            archive.writestr(f"example.com/lib@{version}/lib.go", f'package lib\n\nconst Name = "{version}"\n')
    return f"file://{folder / 'proxy'}"


def test_another_version_of_a_module(wanted, artefact, tmp_path):
    """Built with -modfile, which no build information tells, from a tree without changes."""
    source, go = tmp_path / "source", wanted.go
    source.mkdir()
    (source / "main.go").write_text('package main\n\nimport "example.com/lib"\n\nfunc main() { println(lib.Name) }\n')
    text = "module example.com/shop\n\ngo 1.21\n\nrequire example.com/lib v1.0.0\n"
    (source / "go.mod").write_text(text)
    (tmp_path / "other.mod").write_text(text.replace("v1.0.0", "v1.1.0"))
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "build").symlink_to(lab.go_environment()["GOCACHE"])
    variables = {
        **lab.go_environment(),
        "GOPROXY": module_proxy(tmp_path),
        "GOMODCACHE": str(cache / "modules"),
        "GOFLAGS": "-mod=mod -modcacherw -trimpath",
        "GOSUMDB": "off",
    }

    def run(*words):
        subprocess.run([go, *words], cwd=source, env=variables, check=True, capture_output=True)

    run("mod", "download", "all")
    git(source, "init", "-q", "-b", "main")
    git(source, "add", ".")
    git(source, "commit", "-q", "-m", "first")
    alone(artefact)
    run("build", f"-modfile={tmp_path / 'other.mod'}", "-ldflags=-s -w", "-o", str(artefact), ".")
    one = replace(wanted, source=str(source), cache=str(cache))
    error = different(one, "the module example.com/lib is v1.1.0", "v1.0.0", "find out what it was built from")
    (module,) = [one for one in found(error, "module") if one["name"] == "example.com/lib"]
    assert module["artefact"].startswith("v1.1.0 (h1:")
    # A file:// proxy leaves folders without the right to write, also with -modcacherw where go build has fetched.
    subprocess.run(["chmod", "-R", "u+w", str(cache / "modules")], check=True)


def test_a_tree_with_changes_in_no_commit(wanted, artefact, place):
    extra = place / "source" / "backend" / "cmd" / "shop" / "more.go"
    extra.write_text("package main\n\nfunc init() { println(2) }\n")
    variables = {**lab.go_environment(), "GOFLAGS": "-trimpath"}
    argv = [wanted.go, "build", "-buildvcs=true", "-ldflags=-s -w", "-o", str(artefact), "./cmd/shop"]
    try:
        subprocess.run(argv, cwd=place / "source" / "backend", env=variables, check=True, capture_output=True)
    finally:
        extra.unlink()
    commit = git(place / "source", "rev-parse", "HEAD")
    error = refused(lambda: rebuild(wanted, False), "rebuild_modified", commit, "vcs.modified=true")
    assert error.details == {"verdict": "cannot be rebuilt"}


def provenance(artefact, place, repository):
    """A statement with the flags of the manifest, which nobody has signed with a key that counts."""
    flags = json.loads((place / "out" / "shop-linux-amd64.json").read_text())["flags"]
    statement = {
        "subject": [{"digest": {"sha256": "00"}}],
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"source": {"repository": repository}},
                "internalParameters": {"flags": flags},
                "resolvedDependencies": [{"digest": {"gitCommit": "0" * 40}}],
            }
        },
    }
    text = dsse.render(dsse.PAYLOAD_TYPE, json.dumps(statement).encode(), [dsse.Signature("", b"0")])
    assert base64.b64decode(json.loads(text)["payload"])
    artefact.with_name(f"{artefact.name}.intoto.jsonl").write_text(text)


def test_the_repository_of_the_provenance_is_cloned_if_it_is_allowed(wanted, artefact, place):
    alone(artefact)
    url = f"file://{place / 'source'}"
    provenance(artefact, place, url)
    one = replace(wanted, source="")
    refused(lambda: rebuild(one, False), "rebuild_no_source", url, "rebuild_repositories allows none")
    other = replace(one, repositories=("https://*",))
    refused(lambda: rebuild(other, True), "rebuild_no_source", "rebuild_repositories allows https://*")
    told = rebuild(replace(one, repositories=("file://*",)), False)
    assert (told["verdict"], told["source"], told["flags_from"]) == ("same", url, "provenance")
    assert told["warnings_beside"] == [
        f"its provenance is about a file with the SHA-256 00, and that of the artefact is {told['sha256']}"
    ]
    provenance(artefact, place, f"file://{place / 'none'}")
    refused(lambda: rebuild(replace(one, repositories=("*",)), False), "rebuild_no_source", "git does not clone")


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"payloadType": "application/vnd.in-toto+json"}'])
def test_a_provenance_of_others_says_nothing(tmp_path, text):
    (tmp_path / "x").write_text(text)
    assert record.read_provenance(str(tmp_path / "x")) == record.Beside()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": ""}, "rebuild_source is empty"),
        ({"source": "/nowhere"}, "no such folder"),
        ({"ref": "v9"}, "v9, which is no commit"),
    ],
)
def test_sources_from_which_it_cannot_be_built(wanted, change, words):
    code = "rebuild_unknown_commit" if "ref" in change else "rebuild_no_source"
    for check_mode in (True, False):
        refused(lambda check_mode=check_mode: rebuild(replace(wanted, **change), check_mode), code, words)


def test_a_source_that_is_another(wanted, tmp_path):
    """A folder without a repository, one of another module, and one that has another history."""
    plain = tmp_path / "plain"
    plain.mkdir()
    refused(lambda: rebuild(replace(wanted, source=str(plain)), False), "rebuild_no_source", "in no repository of git")
    (plain / "go.mod").write_text("module example.com/other\n")
    git(plain, "init", "-q")
    git(plain, "add", ".")
    git(plain, "commit", "-q", "-m", "first")
    one = replace(wanted, source=str(plain))
    refused(lambda: rebuild(one, False), "rebuild_unknown_commit", str(plain))
    refused(lambda: rebuild(replace(one, ref="HEAD"), False), "rebuild_no_source", "no go.mod in")


def test_files_that_are_no_artefact(wanted, artefact):
    def refuse(data, code, *words):
        artefact.write_bytes(data)
        error = refused(lambda: rebuild(wanted, True), code, *words)
        assert error.details["verdict"] == "cannot be rebuilt"

    whole = artefact.read_bytes()
    refuse(b"", "empty")
    refuse(b"#!/bin/sh\n", "not_elf", "the program that this script starts")
    refuse(whole[: len(whole) // 2], "truncated", "build or upload the file again")
    refuse(ElfBuilder(EXEC).build(), "rebuild_no_record", "no program of Go")
    refuse(whole.replace(b"\xff Go buildinf:", b"\xff no buildinf:"), "rebuild_no_record")
    refuse(upx_stub(), "rebuild_no_record", "packed by UPX")
    artefact.unlink()
    refused(lambda: rebuild(wanted, True), "not_found")
    refused(lambda: rebuild(replace(wanted, artefact="shop"), True), "invalid_build", "rebuild_artefact")


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        (b"CGO_ENABLED=0", b"CGO_ENABLED=1", "rebuild_unsupported", "built with cgo"),
        (b"-trimpath=true", b"-trimpath=nope", "rebuild_unsupported", "without -trimpath"),
        (b"build\tGOOS=linux", b"build\tNOOS=linux", "rebuild_unsupported", "does not write into a program how"),
        (b"GOOS=linux", b"GOOS=plan9", "rebuild_unsupported", "built for plan9"),
        (b"build\t-tags=extra", b"build\t-race=extra", "rebuild_unsupported", "'-race=extra'"),
        (b"path\texample.com/shop/", b"path\texample.com/shoq/", "rebuild_unsupported", "no package of a module"),
    ],
    ids=["cgo", "trimpath", "old", "goos", "race", "package"],
)
def test_builds_that_cannot_be_repeated(wanted, artefact, old, new, code, words):
    patch(artefact, old, new)
    for check_mode in (True, False):
        refused(lambda check_mode=check_mode: rebuild(wanted, check_mode), code, words)


def test_another_toolchain_says_which_is_needed_and_which_is_there(wanted, artefact):
    here = rebuild(wanted, True)["toolchain"]
    other = here[:-1] + ("1" if here[-1] == "0" else "0")
    patch(artefact, here.encode(), other.encode())
    fix = f"install Go {other[2:]} and set build_go to it"
    refused(lambda: rebuild(wanted, True), "build_toolchain", f"built with {other}", f"is {here}", fix)


def test_without_a_commit_somebody_has_to_name_it(wanted, artefact, place):
    patch(artefact, b"vcs.revision=", b"vcs.revisiom=")
    assert rebuild(wanted, True)["commit"] == git(place / "source", "rev-parse", "HEAD")
    alone(artefact)
    refused(lambda: rebuild(wanted, False), "rebuild_no_commit", "set rebuild_ref")
    named = rebuild(replace(wanted, ref="v1.2.3"), True)
    assert (named["verdict"], named["commit"]) == (None, git(place / "source", "rev-parse", "HEAD"))


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["-trimpath", "-toolexec=/tmp/evil"], "-toolexec=/tmp/evil"),
        (["-trimpath", "-ldflags=-linkmode=external -extld=/tmp/evil"], "-extld"),
        (["-trimpath", "-overlay=/tmp/x"], "-overlay"),
        (["-trimpath", "-pgo=../../etc/passwd"], "-pgo"),
        (["-trimpath", "-o", "/etc/passwd"], "'-o'"),
    ],
    ids=["toolexec", "extld", "overlay", "pgo", "output"],
)
def test_a_manifest_cannot_start_another_program(wanted, artefact, flags, word):
    beside = artefact.with_name(f"{artefact.name}.json")
    beside.write_text(json.dumps({"flags": flags}))
    refused(lambda: rebuild(wanted, True), "rebuild_unsupported", word)


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ("-s -w -X main.version=1 -X=example.com/a/b.time=2026-01-01T00:00:00Z", True),
        ("-X 'main.text=two words'", True),
        ("-X", False),
        ("-X main", False),
        ("-X -extld=a.b=c", False),
        ("-s -extldflags=-static", False),
        ("-X 'main.text=open", False),
        ("-X main.a=b\\ -extld=x", False),
    ],
)
def test_which_flags_of_the_linker_are_passed_on(text, is_plain):
    assert record.is_plain(f"-ldflags={text}") is is_plain


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"ref": "--upload-pack=x"}, "rebuild_ref"),
        ({"source": "build"}, "neither an absolute path nor the URL"),
        ({"source": "ext::sh -c x"}, "neither an absolute path nor the URL"),
        ({"source": "https://me:secret@git.example.com/shop.git"}, "a password in it"),
        ({"ldflags": "-extld=x"}, "rebuild_ldflags"),
        ({"timeout": 0}, "build_timeout"),
    ],
)
def test_variables_that_cannot_be_used(wanted, change, word):
    error = refused(lambda: rebuild(replace(wanted, **change), True), "invalid_build", word)
    assert "secret" not in str(error)


def test_root_builds_only_where_it_is_told_to(wanted, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    refused(lambda: rebuild(replace(wanted, as_root=False), False), "build_as_root", "become: false")


def test_a_source_that_does_not_compile(wanted, place):
    """Of a commit that somebody has named by mistake."""
    folder = place / "source"
    git(folder, "checkout", "-q", "-b", "broken")
    (folder / "backend" / "cmd" / "shop" / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")
    git(folder, "commit", "-q", "-a", "-m", "broken")
    git(folder, "checkout", "-q", "main")
    error = refused(lambda: rebuild(replace(wanted, ref="broken"), False), "build_failed", "undefined")
    assert error.details["verdict"] == "cannot be rebuilt"

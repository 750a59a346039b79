# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From source to artefacts, with the toolchain; and that a release takes what is made."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary.facts import read_binary
from ansible_collections.slipway.go.plugins.module_utils._build import builder, provenance, signing, toolchain
from ansible_collections.slipway.go.plugins.module_utils._build import git as git_of
from ansible_collections.slipway.go.plugins.module_utils._build.request import Request
from ansible_collections.slipway.go.plugins.module_utils._build.signing import Keys
from ansible_collections.slipway.go.plugins.module_utils._build.targets import parse
from ansible_collections.slipway.go.plugins.module_utils._host.fingerprint import read_fingerprint
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import (
    binding,
    checksums,
    minisign,
    signature,
)
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import provenance as release_provenance
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.provenance import Policy
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.signature import Trust
from ansible_collections.slipway.go.plugins.module_utils._release.build_host import read_built
from ansible_collections.slipway.go.tests.lab import build as lab
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAIN = "package main\n\nvar version, commit, built string\n\nfunc main() { println(version, commit, built) }\n"
STAMPED = {"version": "main.version", "commit": "main.commit", "time": "main.built"}
IDENTITY = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
needs_minisign = pytest.mark.skipif(shutil.which("minisign") is None, reason="minisign is not installed")


def git(folder, *arguments):
    fixed = {"GIT_AUTHOR_DATE": "2026-01-31T12:00:00Z", "GIT_COMMITTER_DATE": "2026-01-31T12:00:00Z"}
    argv = ["git", "-C", str(folder), *IDENTITY, *arguments]
    return subprocess.run(argv, env={**os.environ, **fixed}, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def source(tmp_path):
    """A repository with one commit, which is v1.2.3."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "go.mod").write_text("module example.com/shop\n\ngo 1.21\n")
    (folder / "main.go").write_text(MAIN)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    git(folder, "tag", "v1.2.3")
    return folder


@pytest.fixture
def wanted(source, tmp_path, monkeypatch):
    """For two architectures; what is compiled is shared with the other tests."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    cache = tmp_path / "cache"
    for one in (cache, cache / "verify"):
        one.mkdir()
        (one / "build").symlink_to(lab.go_environment()["GOCACHE"])
    return Request(
        str(source),
        str(tmp_path / "out"),
        "shop",
        (parse("amd64"), parse("arm64")),
        str(cache),
        variables=STAMPED,
        offline=True,
        go=str(lab.find_go()),
        as_root=True,
    )


def build(wanted, keys=None, check_mode=False):
    return builder.build(wanted, keys or Keys(), check_mode)


def snapshot(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_a_module_for_two_architectures_twice_with_the_same_bytes(wanted, source):
    told = build(replace(wanted, verify=True))
    commit = git(source, "rev-parse", "HEAD")
    assert (told["changed"], told["version"], told["commit"], told["branch"]) == (True, "v1.2.3", commit, "main")
    assert [one["reproducible"] for one in told["artefacts"]] == [True, True]
    for one, goarch in zip(told["artefacts"], ("amd64", "arm64")):
        facts = read_binary(one["path"]).facts
        assert (facts["goarch"], facts["class"], facts["stripped"], facts["sha256"]) == (
            goarch,
            "static",
            True,
            one["sha256"],
        )
        assert facts["go"]["vcs"]["revision"] == commit
        assert str(source).encode() not in Path(one["path"]).read_bytes()
    said = subprocess.run([told["artefacts"][0]["path"]], capture_output=True, text=True, check=True).stderr
    assert said.split() == ["v1.2.3", commit, "2026-01-31T12:00:00Z"]
    made = snapshot(wanted.dest)
    again = build(replace(wanted, verify=True))
    assert (again["changed"], snapshot(wanted.dest)) == (False, made)
    assert [one["built"] for one in again["artefacts"]] == [False, False]


def test_what_is_made_is_what_a_release_takes(wanted, tmp_path):
    """Checksums, and a signature of the artefact or of the checksums file, as the release's intake reads them."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    keys = Keys(ssh_key=str(key))
    told = build(replace(wanted, targets=(parse("amd64"),), version="1.2.3"), keys)
    (artefact,) = told["artefacts"]
    listing = Path(told["checksums"])
    assert checksums.find_checksum(listing.read_text(), os.path.basename(artefact["path"]), "") == artefact["sha256"]
    trust = Trust(allowed_signers=f"ci {(tmp_path / 'key.pub').read_text()}", signer="ci")
    for path in (artefact["path"], told["checksums"]):
        signed = signature.verify(Path(path + ".sig").read_text(), trust, path, str(tmp_path))
        assert signed.signer.startswith("ssh ci ")
    assert artefact["signatures"] == [artefact["path"] + ".sig"]
    again = build(replace(wanted, targets=(parse("amd64"),), version="1.2.3"), keys)
    assert not again["changed"]


def make_minisign_key(folder):
    argv = ["minisign", "-G", "-W", "-p", f"{folder}/pub", "-s", f"{folder}/secret"]
    subprocess.run(argv, check=True, capture_output=True)
    return Keys(minisign_key=f"{folder}/secret", minisign_public=(folder / "pub").read_text())


@needs_minisign
def test_a_signature_of_minisign_names_the_version(tmp_path):
    keys, artefact = make_minisign_key(tmp_path), tmp_path / "shop-linux-amd64"
    artefact.write_bytes(b"program")
    assert signing.missing(str(artefact), keys, "2.0.0") == [".minisig"]
    text = signing.sign(str(artefact), ".minisig", keys, "2.0.0", str(tmp_path))
    signed = signature.verify(text, Trust(keys=(keys.minisign_public,)), str(artefact), str(tmp_path))
    claims = binding.comment_claims(signed.comment)
    assert signed.comment == "version:2.0.0 file:shop-linux-amd64"
    assert binding.problems("2.0.0", "required", claims) == []
    assert binding.problems("2.0.1", "required", claims) != []
    (tmp_path / "shop-linux-amd64.minisig").write_text(text)
    assert signing.missing(str(artefact), keys, "2.0.0") == []
    assert signing.missing(str(artefact), keys, "2.0.1") == [".minisig"]
    artefact.write_bytes(b"changed")
    assert signing.missing(str(artefact), keys, "2.0.0") == [".minisig"]


@needs_minisign
def test_halves_of_two_keys_are_refused(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = map(make_minisign_key, folders)
    (tmp_path / "shop").write_bytes(b"program")
    mixed = replace(one, minisign_public=two.minisign_public)
    refused(lambda: signing.sign(str(tmp_path / "shop"), ".minisig", mixed, "1", str(tmp_path)), "build_not_signed")


def test_a_key_that_is_not_there_is_refused_before_anything_is_built(wanted, tmp_path):
    for keys in (Keys(ssh_key=str(tmp_path / "none")), Keys(minisign_key="/etc/hostname"), Keys(namespace="")):
        refused(lambda keys=keys: build(wanted, keys), "build_not_signed")
    assert not os.path.exists(wanted.dest)


def test_check_mode_puts_nothing_there(wanted):
    wanted = replace(wanted, targets=(parse("amd64"),))
    told = build(wanted, check_mode=True)
    assert (told["changed"], told["artefacts"][0]["built"], told["artefacts"][0]["sha256"]) == (True, True, None)
    assert not os.path.exists(wanted.dest)
    build(wanted)
    assert not build(wanted, check_mode=True)["changed"]


def test_what_was_changed_by_hand_is_made_again(wanted):
    wanted = replace(wanted, targets=(parse("amd64"),))
    (artefact,) = build(wanted)["artefacts"]
    made = snapshot(wanted.dest)
    for path in (artefact["path"], artefact["sbom"], artefact["manifest"], f"{wanted.dest}/SHA256SUMS"):
        Path(path).write_text("changed")
        assert build(wanted, check_mode=True)["changed"], path
        assert build(wanted)["changed"], path
        assert snapshot(wanted.dest) == made, path


def test_a_ref_is_built_whatever_lies_in_the_folder(wanted, source):
    (source / "main.go").write_text("not Go")
    refused(lambda: build(wanted), "build_dirty", str(source))
    told = build(replace(wanted, ref="v1.2.3", targets=(parse("amd64"),)))
    manifest = json.loads(Path(told["artefacts"][0]["manifest"]).read_text())
    assert (manifest["version"], manifest["modified"], manifest["branch"]) == ("v1.2.3", False, "")
    built = read_built(told["artefacts"][0]["path"])
    assert (built.host, built.digest) == (read_fingerprint(), told["artefacts"][0]["sha256"])
    assert (built.target, built.linked, built.toolchain) == ("amd64v1", "static", told["toolchain"])
    assert build(replace(wanted, ref="main", targets=(parse("amd64"),)))["branch"] == "main"
    refused(lambda: build(replace(wanted, ref="v9")), "build_unknown_ref", "v9")
    assert os.listdir(os.path.join(wanted.cache, "work")) == []


def test_a_failure_leaves_what_is_there(wanted, source):
    wanted = replace(wanted, targets=(parse("amd64"),), dirty="accept")
    build(wanted)
    made = snapshot(wanted.dest)
    (source / "main.go").write_text(MAIN + "func broken() { undefined() }\n")
    refused(lambda: build(wanted), "build_failed", "undefined")
    assert snapshot(wanted.dest) == made


@pytest.mark.parametrize("tag", ["v1/2", "v1'2"])
def test_a_tag_that_is_no_word(wanted, source, tag):
    git(source, "tag", "-d", "v1.2.3")
    git(source, "tag", tag)
    refused(lambda: build(wanted), "build_no_stamp", tag)
    assert not os.path.exists(wanted.dest)


def test_artefacts_in_the_repository_must_be_ignored(wanted, source):
    inside = replace(wanted, dest=str(source / "build"), targets=(parse("amd64"),))
    refused(lambda: build(inside), "build_dest_in_source", ".gitignore")
    (source / ".gitignore").write_text("/build/\n")
    git(source, "add", ".")
    git(source, "commit", "-q", "-m", "ignore")
    assert build(inside)["changed"]
    assert not build(inside)["changed"]


def test_without_git_what_is_to_be_written_must_be_given(wanted, source):
    shutil.rmtree(source / ".git")
    refused(lambda: build(wanted), "build_no_stamp", "build_version")
    refused(lambda: build(replace(wanted, version="1.0")), "build_no_stamp", "commit")
    refused(lambda: build(replace(wanted, version="1.0", vcs="true")), "build_no_git")
    refused(lambda: build(replace(wanted, ref="v1.2.3")), "build_unknown_ref")
    told = build(replace(wanted, version="1.0", commit="abc", time="1767182400", targets=(parse("amd64"),)))
    assert (told["version"], told["commit"], told["time"]) == ("1.0", "abc", "2025-12-31T12:00:00Z")


def test_a_repository_on_a_host_without_git(wanted, monkeypatch):
    monkeypatch.setattr("ansible_collections.slipway.go.plugins.module_utils._core.command.PATH", "/nowhere")
    refused(lambda: build(wanted), "build_no_git", "install git")


def test_sources_that_cannot_be_built(wanted, source, tmp_path):
    refused(lambda: build(replace(wanted, source=str(tmp_path / "none"))), "build_no_source", "no such folder")
    refused(lambda: build(replace(wanted, source=str(tmp_path))), "build_no_source", "go.mod")
    refused(lambda: build(replace(wanted, pgo="none.pprof")), "build_no_source", "none.pprof")
    refused(lambda: build(replace(wanted, mod="vendor")), "build_no_vendor", "go mod vendor")
    refused(lambda: build(replace(wanted, toolchain="1.12")), "build_toolchain", "1.12")
    refused(lambda: build(replace(wanted, variables={"version": "main.none"})), "build_unknown_variable", "main.none")
    accepting = replace(wanted, dirty="accept", version="1.0", targets=(parse("amd64"),))
    (source / "main.go").write_text('package main\n\nimport "C"\n\nfunc main() {}\n')
    refused(lambda: build(replace(accepting, variables={})), "build_cgo", "example.com/shop", "linux/amd64")
    (source / "main.go").write_text("package shop\n")
    refused(lambda: build(replace(accepting, variables={})), "build_no_source", "no program")
    (source / "main.go").write_text('package main\n\nimport _ "example.com/other"\n\nfunc main() {}\n')
    (source / "go.mod").write_text("module example.com/shop\n\ngo 1.21\n\nrequire example.com/other v1.0.0\n")
    (source / "go.sum").write_text("example.com/other v1.0.0 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
    refused(lambda: build(replace(accepting, variables={})), "build_offline", "example.com/other")
    (source / "go.mod").write_text("module example.com/shop\n\ngo 1.99\n")
    refused(lambda: build(replace(accepting, variables={})), "build_toolchain", "1.99")
    assert not os.path.exists(wanted.dest)


def test_root_builds_only_where_it_is_told_to(wanted, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    refused(lambda: build(replace(wanted, as_root=False)), "build_as_root", "become: false")
    assert not os.path.exists(wanted.dest)


def test_no_toolchain_changes_nothing(wanted, monkeypatch, tmp_path):
    monkeypatch.setattr(toolchain, "_USUAL", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(lambda: build(replace(wanted, go="")), "build_no_go")
    assert not os.path.exists(wanted.dest)


def test_where_two_files_differ(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"abcdef")
    other.write_bytes(b"abcdef")
    assert builder.compare(str(one), str(other)) == ""
    other.write_bytes(b"abcxef")
    assert builder.compare(str(one), str(other)) == "6 bytes each, from byte 3 on"
    other.write_bytes(b"abc")
    assert builder.compare(str(one), str(other)) == "6 and 3 bytes"


def commit(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "more")


USING = 'package main\n\nimport "example.com/lib"\n\nvar version string\n\nfunc main() { println(version, lib.Name) }\n'
LIBRARY = 'package lib\n\nconst Name = "lib"\n'
SHAPES = {
    "vendored": {
        "go.mod": "module example.com/shop\n\ngo 1.21\n\nrequire example.com/lib v1.0.0\n",
        "main.go": USING,
        "vendor/example.com/lib/lib.go": LIBRARY,
        "vendor/modules.txt": "# example.com/lib v1.0.0\n## explicit\nexample.com/lib\n",
    },
    "replaced": {
        "go.mod": "module example.com/shop\n\ngo 1.21\n\nrequire example.com/lib v0.0.0\n\n"
        "replace example.com/lib => ./lib\n",
        "main.go": USING,
        "lib/go.mod": "module example.com/lib\n",
        "lib/lib.go": LIBRARY,
    },
    "workspace": {
        "go.work": "go 1.21\n\nuse (\n\t.\n\t./lib\n)\n",
        "main.go": USING,
        "lib/go.mod": "module example.com/lib\n\ngo 1.21\n",
        "lib/lib.go": LIBRARY,
    },
    "embedding": {
        "main.go": 'package main\n\nimport _ "embed"\n\n//go:embed name.txt\nvar name string\n\nvar version string\n\n'
        "func main() { println(version, name) }\n",
        "name.txt": "lib",
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_modules_of_other_shapes(wanted, source, shape):
    """Each is built twice with the same bytes, and again when any of its files has changed."""
    commit(source, SHAPES[shape])
    mod = "vendor" if shape == "vendored" else "auto"
    one = replace(wanted, targets=(parse("amd64"),), variables={"version": "main.version"}, version="1.0", mod=mod)
    one = replace(one, verify=True)
    (artefact,) = build(one)["artefacts"]
    said = subprocess.run([artefact["path"]], capture_output=True, text=True, check=True).stderr
    assert said.split() == ["1.0", "lib"]
    assert not build(one)["changed"]
    changed = next(name for name in SHAPES[shape] if name.endswith(("lib.go", ".txt")) and "modules" not in name)
    commit(source, {changed: SHAPES[shape][changed].replace("lib", "other").replace("package other", "package lib")})
    (artefact,) = build(one)["artefacts"]
    said = subprocess.run([artefact["path"]], capture_output=True, text=True, check=True).stderr
    assert (artefact["built"], said.split()) == (True, ["1.0", "other"])


def test_a_copy_cannot_have_what_is_outside(wanted, source):
    outside = source.parent / "lib"
    outside.mkdir()
    commit(source, SHAPES["replaced"])
    shutil.move(str(source / "lib"), str(source.parent / "lib" / "lib"))
    text = SHAPES["replaced"]["go.mod"].replace("./lib", "../lib/lib")
    commit(source, {"go.mod": text})
    one = replace(wanted, targets=(parse("amd64"),), variables={})
    refused(lambda: build(replace(one, verify=True)), "build_outside_source", str(outside))
    assert build(one)["changed"]


@pytest.mark.parametrize(
    ("flag", "file", "text", "word"),
    [
        ("vet", "main.go", MAIN + "\nfunc f() { for { }; println() }\n", "unreachable code"),
        (
            "test",
            "main_test.go",
            'package main\n\nimport "testing"\n\nfunc TestIt(t *testing.T) { t.Fatal("no") }\n',
            "no",
        ),
    ],
)
def test_what_is_checked_first(wanted, source, flag, file, text, word):
    commit(source, {file: text})
    one = replace(wanted, targets=(parse("amd64"),), **{flag: True})
    refused(lambda: build(one), "build_check_failed", f"go {flag}", word)
    assert not os.path.exists(wanted.dest)


def test_artefacts_that_differ_are_refused(wanted, tmp_path):
    """A toolchain that writes the clock into what it builds."""
    go = tmp_path / "go"
    go.write_text(
        f'#!/bin/sh\n{wanted.go} "$@" || exit\n[ "$1" = build ] || exit 0\n'
        'while [ "$1" != -o ]; do shift; done\ndate +%s%N >>"$2"\n'
    )
    go.chmod(0o755)
    refused(lambda: build(replace(wanted, go=str(go), verify=True)), "build_not_reproducible", "shop-linux-amd64")
    assert not os.path.exists(wanted.dest)


BUILDER = "https://ci.example.com/release"


def ssh_keys(folder):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    return Keys(ssh_key=str(folder / "key")), Trust(allowed_signers=f"ci {(folder / 'key.pub').read_text()}")


def test_a_provenance_is_what_a_release_accepts(wanted, source, tmp_path):
    git(source, "remote", "add", "origin", "https://user:secret@git.example.com/shop.git")
    keys, trust = ssh_keys(tmp_path)
    wanted = replace(wanted, targets=(parse("amd64"),), version="1.2.3", ref="v1.2.3", provenance_builder=BUILDER)
    (artefact,) = build(wanted, keys)["artefacts"]
    place = Path(artefact["provenance"])
    assert place.name == "shop-linux-amd64.intoto.jsonl"
    work = tmp_path / "work"
    work.mkdir()
    found = release_provenance.verify(
        place.read_text(),
        artefact["sha256"],
        trust,
        Policy((BUILDER,), ("https://git.example.com/shop.git",), ("refs/tags/v*",)),
        lambda: str(work),
    )
    commit = git(source, "rev-parse", "HEAD")
    assert found[1:] == (BUILDER, "https://git.example.com/shop.git", "refs/tags/v1.2.3", commit, "1.2.3")
    assert "secret" not in json.dumps(json.loads(base64.b64decode(json.loads(place.read_text())["payload"])))
    made = snapshot(wanted.dest)
    assert not build(wanted, keys)["changed"]
    for damaged in ("", "{}", place.read_text().replace('"sig": "', '"sig": "A')):
        place.write_text(damaged)
        assert build(wanted, keys, check_mode=True)["changed"]
        assert build(wanted, keys)["changed"]
        assert snapshot(wanted.dest) == made, "what was there is there again, byte by byte"
    other = replace(wanted, provenance_builder="urn:other", provenance_repository="git@host:shop")
    assert build(other, keys)["artefacts"][0]["built"] is False
    assert b"git@host:shop" in base64.b64decode(json.loads(place.read_text())["payload"])


def test_a_provenance_needs_a_builder_with_a_name_and_a_key(wanted, tmp_path):
    refused(lambda: build(replace(wanted, provenance_builder=BUILDER)), "build_not_signed", "build_provenance_builder")
    for values in ({"provenance_builder": "ci"}, {"provenance_repository": "a b"}):
        refused(lambda values=values: build(replace(wanted, **values)), "invalid_build", next(iter(values)))
    assert not os.path.exists(wanted.dest)


def test_what_a_provenance_says_of_the_source(wanted, source):
    def said(**values):
        return provenance.read_source(replace(wanted, **values), git_of.read(str(source)))

    commit = git(source, "rev-parse", "HEAD")
    assert said() == ("", "refs/heads/main", commit)
    assert said(provenance_repository="https://h/shop") == ("https://h/shop", "refs/heads/main", commit)
    git(source, "checkout", "-q", "--detach")
    assert said() == ("", "refs/tags/v1.2.3", commit)
    git(source, "tag", "-d", "v1.2.3")
    assert said() == ("", "", commit)
    (source / "main.go").write_text("changed")
    assert said(provenance_repository="https://h/shop") == ("https://h/shop", "", "")
    assert provenance.read_source(wanted, None) == ("", "", "")


FAKE_MINISIGN = """#!{python}
import base64, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
kind = {kind!r}
if kind == "old" and "-l" in sys.argv:
    sys.exit("minisign: invalid option -- 'l'")
def after(option):
    return sys.argv[sys.argv.index(option) + 1]
key = Ed25519PrivateKey.from_private_bytes(bytes(32))
message = open(after("-m"), "rb").read()
name = b"ED" if kind == "digest" else b"Ed"
first = base64.b64encode(name + b"slipway1" + key.sign(message)).decode()
last = base64.b64encode(bytes(64)).decode()
open(after("-x"), "w").write(f"untrusted comment: x\\n{{first}}\\ntrusted comment: x\\n{{last}}\\n")
"""


@pytest.mark.parametrize(("kind", "good"), [("new", True), ("old", True), ("digest", False)])
def test_minisign_signs_the_statement_itself(tmp_path, monkeypatch, kind, good):
    """A minisign that knows no -l signs so anyway; one that signs a digest is of no use."""
    program = tmp_path / "bin" / "minisign"
    program.parent.mkdir()
    program.write_text(FAKE_MINISIGN.format(python=sys.executable, kind=kind))
    program.chmod(0o755)
    monkeypatch.setattr("ansible_collections.slipway.go.plugins.module_utils._core.command.PATH", str(program.parent))
    public = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    line = base64.b64encode(b"Edslipway1" + public).decode()
    keys = Keys(minisign_key="/etc/hostname", minisign_public=line)
    if not good:
        refused(lambda: signing.sign_message(b"said", ".minisig", keys, str(tmp_path)), "build_not_signed", "digest")
        return
    signed = signing.sign_message(b"said", ".minisig", keys, str(tmp_path))
    assert (signed.keyid, len(signed.signature)) == (str(minisign.parse_key(line)), 64)
    assert signing.is_message_signed(b"said", signed, ".minisig", keys, str(tmp_path))
    assert not signing.is_message_signed(b"Said", signed, ".minisig", keys, str(tmp_path))
    other = replace(keys, minisign_public=base64.b64encode(b"Edslipway1" + bytes(31) + b"\x01").decode())
    refused(lambda: signing.sign_message(b"said", ".minisig", other, str(tmp_path)), "build_not_signed", "same key")


@needs_minisign
def test_minisign_itself_signs_the_statement(tmp_path):
    keys = make_minisign_key(tmp_path)
    text = provenance.envelope(b"{}", keys, str(tmp_path))
    assert provenance.is_current(text, b"{}", keys, str(tmp_path))
    assert not provenance.is_current(text, b"[]", keys, str(tmp_path))

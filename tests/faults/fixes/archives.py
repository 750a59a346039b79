"""Scenes of artefacts: what is packed, what is fetched, and who has signed where it was built."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._core import command
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import archive, fetch, signature, zstd
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.fetch import Limits
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.signature import Trust
from ansible_collections.slipway.go.plugins.plugin_utils._artefact import offer
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.origins import Controller, released
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.faults.fixes.sources import new_key, signed
from ansible_collections.slipway.go.tests.lab import web
from ansible_collections.slipway.go.tests.unit.plugins.action.test_policy_table import GOOD, VERSION, provenance_of
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import DYN, EXEC, ElfBuilder
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.artefact.test_archive import entry, pack
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.artefact.test_provenance import (
    KEY,
    STRANGER,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.vulnerabilities.entries import entry as advisory
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.vulnerabilities.entries import write

SCENES = Scenes()
XATTRS = {"SCHILY.xattr.user.note": "x" * archive.MAX_TEXT}
SERVICE = entry("shop", GOOD, mode=0o755)


def packed(code: str, how: str, fix: str, applied: str, wrong: bytes, right: bytes, **options: Any) -> None:
    """A row of one archive. options: what the fix changes of the release."""

    def act(stage: Stage) -> None:
        here = Controller(stage)
        stage.fails(lambda: here.release(content=wrong))
        released(stage.passes(lambda: here.release(content=right, **options)))

    SCENES.row(code, how, literal(fix), applied)(act)


packed(
    "unsafe_archive",
    "a file has a name in Latin-1",
    "name its files in UTF-8",
    "the file has another name",
    pack(SERVICE, entry("caf\xe9".encode("latin-1").decode("utf-8", "surrogateescape")), form=tarfile.GNU_FORMAT),
    pack(SERVICE, entry("caf\xe9"), form=tarfile.GNU_FORMAT),
)
packed(
    "unsafe_archive",
    "a file has extended attributes",
    "make it anew without extended attributes (--no-xattrs)",
    "`tar --no-xattrs`",
    pack(SERVICE, entry("style.css", pax_headers=XATTRS)),
    pack(SERVICE, entry("style.css")),
)
packed(
    "unsafe_archive",
    "a header is for all members",
    "make it anew with another tar",
    "GNU's tar",
    pack(SERVICE, pax_headers={"path": "shop"}),
    pack(SERVICE),
)
TWO = (entry("bin/store", GOOD, mode=0o755), entry("tools/store", GOOD, mode=0o755))


@SCENES.row(
    "no_binary",
    "release_binary is a name that two programs have",
    literal("correct release_binary"),
    "another `release_binary`",
)
def _scene(stage: Stage) -> None:
    here = Controller(stage)
    stage.fails(lambda: here.release(content=pack(*TWO), binary="store"))
    released(stage.passes(lambda: here.release(content=pack(*TWO), binary="bin/store")))


packed(
    "no_binary",
    "two programs have the name of the service",
    "set release_binary to the path of the right one",
    "`release_binary`",
    pack(entry("bin/shop", GOOD, mode=0o755), entry("tools/shop", GOOD, mode=0o755)),
    pack(entry("bin/shop", GOOD, mode=0o755), entry("tools/shop", GOOD, mode=0o755)),
    binary="bin/shop",
)


@SCENES.row(
    "archive_too_large",
    "the archive has more files than a release may",
    literal("pack the assets together"),
    "an archive of the assets in the archive",
)
def _scene(stage: Stage) -> None:
    here, assets = Controller(stage), [entry(f"assets/{number}.css") for number in range(9)]
    stage.patch.setattr(archive, "MAX_MEMBERS", 5)
    stage.fails(lambda: here.release(content=pack(SERVICE, *assets)))
    released(stage.passes(lambda: here.release(content=pack(SERVICE, entry("assets.tar", pack(*assets))))))


def tar(stage: Stage, *arguments: str) -> bytes:
    """What tar makes of the service and of a file with a hole."""
    tree = stage.folder / "tree"
    tree.mkdir(exist_ok=True)
    (tree / "shop").write_bytes(GOOD)
    (tree / "shop").chmod(0o755)
    with (tree / "data").open("wb") as file:
        file.truncate(1 << 20)
    argv = ["tar", *arguments, "-C", str(tree), "-cf", "-", "shop", "data"]
    return subprocess.run(argv, check=True, capture_output=True).stdout


for form in ("gnu", "pax"):

    @SCENES.row(
        "unsafe_archive",
        f"a file has holes, and tar --format={form} keeps them",
        literal("pack it without tar --sparse"),
        "`tar` without `--sparse`",
    )
    def _scene(stage: Stage, form: str = form) -> None:
        here = Controller(stage)
        stage.fails(lambda: here.release(content=tar(stage, f"--format={form}", "--sparse")))
        released(stage.passes(lambda: here.release(content=tar(stage, f"--format={form}"))))


WITHOUT_ZSTD = literal(
    "install zstd on the controller and on the hosts that read it, or make it a .tar.gz, .tar.xz or .tar"
)
for how, again in (("is packed by gzip", True), ("stays, and zstd is installed", False)):

    @SCENES.row(
        "foreign_archive",
        f"the archive needs a zstd that is not there, and {how}",
        WITHOUT_ZSTD,
        "a .tar.gz" if again else "`apt install zstd`",
    )
    def _scene(stage: Stage, again: bool = again) -> None:
        here, there = stage.folder / "shop.tar", [False]
        plain = pack(SERVICE)
        here.write_bytes(zstd.MAGIC + plain)
        stage.patch.setattr(zstd, "is_available", lambda: there[0])
        stage.fails(lambda: archive.is_archive(str(here)))
        if again:
            here.write_bytes(plain)
        there[0] = not again
        assert stage.passes(lambda: archive.is_archive(str(here)))


@SCENES.row(
    "not_executable",
    "the build has made a shared library",
    literal("build it with GOOS=linux and -buildmode=exe or pie"),
    "a build with `-buildmode=exe`",
)
def _scene(stage: Stage) -> None:
    here, library = Controller(stage), ElfBuilder(type=DYN, soname="libshop.so", entry=0).build()
    stage.fails(lambda: here.release(content=library))
    released(stage.passes(lambda: here.release(content=GOOD)))


@SCENES.row(
    "missing_file",
    "release_remote_src is set, and release_src is a folder of the host",
    literal("correct the path"),
    "another `release_src`",
)
def _scene(stage: Stage) -> None:
    here = Controller(stage)
    folder = str(stage.folder)
    stage.fails(lambda: here.release(src=folder, remote_src=True))
    released(stage.passes(lambda: here.release(src=here.lab.put("shop", GOOD), remote_src=True)))


NO_MODULES = literal("build with go build inside a module, or accept that with release_vulnerability_inconclusive")
for how in ("is built by Go", "is accepted"):

    @SCENES.row(
        "policy_vulnerability_unknown",
        f"a program does not say of what it was built, and then {how}",
        NO_MODULES,
        "a build with `go build`" if how == "is built by Go" else "`release_vulnerability_inconclusive: accept`",
    )
    def _scene(stage: Stage, built: bool = how == "is built by Go") -> None:
        here, silent = Controller(stage), ElfBuilder(type=EXEC).build()
        modified = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
        rules = {
            "vulnerability_database": write(
                stage.folder / "database", advisory("GO-2026-0001", "example.com/other", modified=modified)
            )
        }
        stage.fails(lambda: here.release(content=silent, policy=rules))
        accepted = rules if built else {**rules, "vulnerability_inconclusive": "accept"}
        released(stage.passes(lambda: here.release(content=GOOD if built else silent, policy=accepted)))


# --- what is fetched


@contextlib.contextmanager
def server(stage: Stage) -> Iterator[web.Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for one in (name, name.upper()):
            stage.patch.delenv(one, raising=False)
    made = web.Server()
    made.paths["/shop"] = web.body(GOOD)
    try:
        yield made
    finally:
        made.close()


def fetched(stage: Stage, url: str) -> str:
    """The digest of what the host has then."""
    with (stage.folder / "fetched").open("wb") as target:
        fetch.fetch(url, "release_src", target, Limits(1 << 20, 20.0))
    return hashlib.sha256((stage.folder / "fetched").read_bytes()).hexdigest()


for what, location in (("to what is no URL", "http://[::1/shop"), ("in a circle", "/old")):

    @SCENES.row(
        "invalid_url" if what == "to what is no URL" else "not_fetched",
        f"the server leads {what}",
        literal("use the URL of the file itself"),
        "another `release_src`",
    )
    def _scene(stage: Stage, location: str = location) -> None:
        with server(stage) as there:
            there.paths["/old"] = web.redirect(location)
            stage.fails(lambda: fetched(stage, there.url("/old")))
            assert stage.passes(lambda: fetched(stage, there.url("/shop"))) == hashlib.sha256(GOOD).hexdigest()


@SCENES.row(
    "not_fetched",
    "the server ends the connection too early",
    literal("run again, or look at that server if it stays"),
    "the same run again",
)
def _scene(stage: Stage) -> None:
    with server(stage) as there:
        there.paths["/shop"] = web.body(GOOD[:100], Content_Length=str(len(GOOD)))
        stage.fails(lambda: fetched(stage, there.url("/shop")))
        there.paths["/shop"] = web.body(GOOD)
        assert stage.passes(lambda: fetched(stage, there.url("/shop"))) == hashlib.sha256(GOOD).hexdigest()


@SCENES.row(
    "disk_full",
    "the file system that a release is fetched to is full",
    literal("free space on the file system of /var/tmp"),
    "files of that file system are removed",
)
def _scene(stage: Stage) -> None:
    free = [0]
    stage.patch.setattr(os, "fstatvfs", lambda _descriptor: SimpleNamespace(f_bavail=free[0], f_frsize=1 << 20))
    with server(stage) as there:
        stage.fails(lambda: fetched(stage, there.url("/shop")))
        free[0] = 100
        assert stage.passes(lambda: fetched(stage, there.url("/shop"))) == hashlib.sha256(GOOD).hexdigest()


# --- who has signed where it was built

SHA256 = hashlib.sha256(GOOD).hexdigest()
UNKNOWN = literal("sign with one of these keys, or add the public key of that builder if you trust it")


@SCENES.row("unknown_signer", "the provenance was signed with a key of another builder", UNKNOWN, "the known key signs")
def _scene(stage: Stage) -> None:
    here = Controller(stage)
    stage.fails(lambda: here.release(provenance=provenance_of(SHA256, key=STRANGER)))
    released(stage.passes(lambda: here.release(provenance=provenance_of(SHA256, key=KEY))))


@SCENES.row("unknown_signer", "the builder that signs the provenance is new", UNKNOWN, "`release_minisign_keys`")
def _scene(stage: Stage) -> None:
    here, signed = Controller(stage), provenance_of(SHA256, key=STRANGER)
    stage.fails(lambda: here.release(provenance=signed))
    both = [KEY.public, STRANGER.public]
    released(stage.passes(lambda: here.release(provenance=signed, minisign_keys=both)))


@SCENES.row(
    "bad_signature",
    "somebody has changed the version in the provenance",
    literal("take the file as the builder has made it, or find out who changed it"),
    "the file of the build",
)
def _scene(stage: Stage) -> None:
    here, signed = Controller(stage), provenance_of(SHA256)
    other = provenance_of(SHA256, "9.9.9")
    changed = signed.replace(*(text.partition('"payload": "')[2].partition('"')[0] for text in (signed, other)))
    assert changed != signed
    stage.fails(lambda: here.release(provenance=changed))
    released(stage.passes(lambda: here.release(VERSION, provenance=signed)))


# --- what the controller and the host need to read it


@SCENES.row(
    "unreadable_artefact",
    "the artefact belongs to another user of the controller",
    literal("let the user who runs Ansible read it"),
    "`chmod a+r`",
)
def _scene(stage: Stage) -> None:
    path = stage.folder / "shop"
    path.write_bytes(GOOD)
    path.chmod(0o600)

    def access(name: str, mode: int) -> bool:
        """What somebody else than its owner may do, for the tests may be root."""
        return os.stat(name).st_mode & mode == mode

    stage.patch.setattr(os, "access", access)
    stage.fails(lambda: offer.check_readable(str(path)))
    path.chmod(0o644)
    stage.passes(lambda: offer.check_readable(str(path)))


NO_TOOL = literal("install OpenSSH 8.1 or newer on the host (ssh-keygen), or sign with minisign")


@SCENES.row("no_ssh_keygen", "the host has no ssh-keygen", NO_TOOL, "`apt install openssh-client`")
def _scene(stage: Stage) -> None:
    key, program, nothing = new_key(stage.folder / "key"), stage.folder / "shop", stage.folder / "bin"
    program.write_bytes(GOOD)
    nothing.mkdir()
    text = signed(stage, program, key)
    trust = Trust((), f"release@example.com {Path(f'{key}.pub').read_text()}")

    def verified() -> Any:
        return signature.verify(text, trust, str(program), str(stage.folder))

    with stage.patch.context() as patch:
        patch.setattr(command, "PATH", str(nothing))
        stage.fails(verified)
    assert stage.passes(verified).signer.startswith("ssh release@example.com")

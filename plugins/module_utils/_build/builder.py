# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds what is asked for and is not there yet. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Iterator, Mapping, NamedTuple, NoReturn, Optional

from .._core import command, files
from .._core.errors import SlipwayError
from .._host.fingerprint import read_fingerprint
from .._release.artefact.provenance import ENDING
from . import commands, manifest, packages, provenance, signing, toolchain
from .commands import Stamp
from .manifest import Recipe
from .packages import Package
from .request import OFF, REFUSE, Request, check
from .signing import Keys
from .source import Tree, copy_tree, open_tree, read_stamp, require_usable, scratch_folder
from .targets import Target

_SHOWN = 4000  # characters of what a compiler says


class Item(NamedTuple):
    """One artefact. reproducible: as its manifest says, where it is there."""

    path: str
    recipe: Recipe
    packages: list[Package]
    is_current: bool
    reproducible: Optional[bool] = None


def build(request: Request, keys: Keys, check_mode: bool) -> dict[str, Any]:
    """What the artefacts are; those that are not there are built first, unless in check mode."""
    check(request)
    signing.check(keys)
    require_signer(request, keys)
    refuse_root(request)
    builder = Builder(request, keys)
    with open_tree(request) as tree:
        require_usable(request, tree)
        return builder.run(tree, read_stamp(request, tree), check_mode)


def refuse_root(request: Request) -> None:
    if os.geteuid() == 0 and not request.as_root:
        raise SlipwayError(
            "build_as_root",
            "the build would run as root, and with it whatever the source's tests and generators do.",
            "run it as another user (become: false), or set build_as_root: true in a container of its own",
        )


def require_signer(request: Request, keys: Keys) -> None:
    if request.provenance_builder and not keys.endings:
        raise SlipwayError(
            "build_not_signed",
            "build_provenance_builder is set, and there is no key: a provenance that nobody has signed says nothing.",
            "set build_minisign_key or build_ssh_key, or leave build_provenance_builder out",
        )


class Builder:
    """One run for one source."""

    def __init__(self, request: Request, keys: Keys) -> None:
        self._request = request
        self._keys = keys
        self._go = toolchain.find(request.go)
        self._places = commands.places(request, request.cache, os.environ)
        files_of_toolchain = {**self._places, "GOENV": OFF, "GOFLAGS": "", "GOTOOLCHAIN": "local"}
        self._version = toolchain.read_version(self._go, files_of_toolchain)
        toolchain.require(self._go, self._version, request.toolchain)

    def run(self, tree: Tree, stamp: Stamp, check_mode: bool) -> dict[str, Any]:
        """Read, decide, build aside, put in place, sign."""
        items = [self._item(tree, stamp, target) for target in self._request.targets]
        todo = [item for item in items if not item.is_current]
        changed = bool(todo)
        if todo and not check_mode:
            self._check_source(tree, stamp)
            self._build_all(tree, todo)
        if not check_mode:
            changed = self._write_beside(items, stamp) or changed
            changed = self._write_provenance(items, tree) or changed
        elif not todo:
            changed = self._would_sign(items, stamp) or bool(list(self._lacking_provenance(items, tree)))
        return self._result(items, stamp, changed)

    # What is to be built

    def _item(self, tree: Tree, stamp: Stamp, target: Target) -> Item:
        request = self._request
        found = self._list(tree, stamp, target)
        packages.require_variables(found, request)
        flags, settings = commands.build_flags(request, stamp), commands.settings(target, stamp)
        parameters: dict[str, Any] = {
            "toolchain": self._version,
            "package": request.package,
            "flags": flags,
            "settings": settings,
            "stamp": stamp._asdict(),
        }
        if tree.checkout is not None:  # go writes them into the program
            parameters["git"] = [tree.checkout.commit, tree.checkout.time, tree.checkout.modified]
        inputs = packages.digest(packages.inputs(found, tree.folder, request), parameters)
        recipe = Recipe(target, self._version, flags, settings, stamp, inputs)
        path = os.path.join(request.dest, request.file_name(target, stamp.version))
        there = manifest.read(path + manifest.MANIFEST)
        reproducible = there.get("reproducible")
        is_current = _is_current(path, there, inputs) and (reproducible is True or not request.verify)
        return Item(path, recipe, found, is_current, reproducible if is_current else None)

    def _list(self, tree: Tree, stamp: Stamp, target: Target) -> list[Package]:
        argv = commands.list_packages(self._go, tree.folder, self._request)
        done = self._run(argv, commands.settings(target, stamp))
        if self._request.cgo == REFUSE:
            with_cgo = self._run(argv, commands.settings(target, stamp, cgo=True))
            if with_cgo.code == 0:
                packages.require_no_cgo(packages.parse(with_cgo.text), target)
        if done.code != 0:
            self._fail("go list", done, "build_failed")
        found = packages.parse(done.text)
        if not found or found[-1].name != "main":
            raise SlipwayError(
                "build_no_source",
                f"build_package is {self._request.package}, which is no program but a package for others.",
                "set build_package to the folder of the package main, such as ./cmd/shop",
            )
        return found

    def _run(self, argv: list[str], settings: Mapping[str, str], cache: str = "") -> command.Finished:
        places = commands.places(self._request, cache, os.environ) if cache else self._places
        return command.run(argv, self._request.timeout, variables={**places, **settings})

    def _fail(self, what: str, done: command.Finished, code: str) -> NoReturn:
        raise failure(self._go, self._version, what, done, code)

    def _check_source(self, tree: Tree, stamp: Stamp) -> None:
        """Vet and tests run for the host that builds, whose programs it can execute."""
        request, settings = self._request, commands.settings(None, stamp)
        if request.vet:
            done = self._run(commands.vet(self._go, tree.folder, request), settings)
            if done.code != 0:
                self._fail("go vet", done, "build_check_failed")
        if request.test:
            done = self._run(commands.test(self._go, tree.folder, request), settings)
            if done.code != 0:
                self._fail("go test", done, "build_check_failed")

    # Building

    def _build_all(self, tree: Tree, items: list[Item]) -> None:
        """All or none: what is there stays until every artefact is built."""
        with scratch_folder(self._request) as scratch:
            made = [
                self._build(tree.folder, item, os.path.join(scratch, "first"), self._request.cache) for item in items
            ]
            if self._request.verify:
                used = [package for item in items for package in item.packages]
                other = copy_tree(self._request, tree, used, os.path.join(scratch, "elsewhere"))
                for item, path in zip(items, made):
                    self._verify(other, item, path, os.path.join(scratch, "second"))
            os.makedirs(self._request.dest, mode=0o755, exist_ok=True)
            for item, path in zip(items, made):
                self._publish(item, path)

    def _build(self, folder: str, item: Item, place: str, cache: str) -> str:
        output = os.path.join(place, os.path.basename(item.path))
        argv = commands.build(self._go, folder, self._request, item.recipe.stamp, output)
        done = self._run(argv, item.recipe.settings, cache)
        if done.code != 0:
            self._fail("go build", done, "build_failed")
        return output

    def _verify(self, folder: str, item: Item, first: str, place: str) -> None:
        """Raise unless a build of the copy, with a cache of its own, has the same bytes."""
        second = self._build(folder, item, place, os.path.join(self._request.cache, "verify"))
        difference = compare(first, second)
        if difference:
            raise SlipwayError(
                "build_not_reproducible",
                f"two builds of {os.path.basename(item.path)} in two folders differ: {difference}.",
                "remove what depends on the folder or the clock from the source, such as generated files",
            )

    def _publish(self, item: Item, made: str) -> None:
        """The artefact last but for its manifest, which alone makes it current."""
        name = os.path.basename(item.path)
        bill = manifest.bill_of_materials(made, self._request.name)
        for ending in (manifest.MANIFEST, signing.MINISIG, signing.SSHSIG, ENDING):
            files.remove_link(item.path + ending)
        files.replace_if_different(item.path + manifest.SBOM, bill)
        sha256 = put(made, item.path)
        size = os.path.getsize(item.path)
        verified = True if self._request.verify else None
        document = manifest.describe(
            self._request.name, name, item.recipe, sha256, size, verified, read_fingerprint()._asdict()
        )
        files.replace_if_different(item.path + manifest.MANIFEST, manifest.as_text(document))

    # Beside the artefacts

    def _to_sign(self, items: list[Item]) -> list[str]:
        return [*(item.path for item in items), os.path.join(self._request.dest, manifest.CHECKSUMS)]

    def _checksums(self, items: list[Item]) -> str:
        paths = [item.path + ending for item in items for ending in ("", manifest.SBOM, manifest.MANIFEST)]
        return manifest.checksums((os.path.basename(path), files.sha256_file(path)) for path in paths)

    def _write_beside(self, items: list[Item], stamp: Stamp) -> bool:
        """Checksums and signatures; return whether any was not there."""
        listing = os.path.join(self._request.dest, manifest.CHECKSUMS)
        changed = files.replace_if_different(listing, self._checksums(items))
        for path in self._to_sign(items):
            for ending in signing.missing(path, self._keys, stamp.version):
                with scratch_folder(self._request) as scratch:
                    text = signing.sign(path, ending, self._keys, stamp.version, scratch)
                files.replace_if_different(path + ending, text)
                changed = True
        return changed

    def _lacking_provenance(self, items: list[Item], tree: Tree) -> Iterator[tuple[str, bytes]]:
        """Where a provenance is not there, or says something else, or is signed by others; and what it should say."""
        request = self._request
        if not request.provenance_builder:
            return
        source = provenance.read_source(request, tree.checkout)
        for item in items:
            payload = provenance.statement(
                request,
                os.path.basename(item.path),
                files.sha256_file(item.path),
                files.sha256_file(item.path + manifest.SBOM),
                item.recipe,
                source,
            )
            path = item.path + ENDING
            with scratch_folder(request) as scratch:
                if not provenance.is_current(files.text(path), payload, self._keys, scratch):
                    yield path, payload

    def _write_provenance(self, items: list[Item], tree: Tree) -> bool:
        """Return whether any was not there."""
        changed = False
        for path, payload in self._lacking_provenance(items, tree):
            with scratch_folder(self._request) as scratch:
                text = provenance.envelope(payload, self._keys, scratch)
            files.replace_if_different(path, text)
            changed = True
        return changed

    def _would_sign(self, items: list[Item], stamp: Stamp) -> bool:
        listing = os.path.join(self._request.dest, manifest.CHECKSUMS)
        return files.text(listing) != self._checksums(items) or any(
            signing.missing(path, self._keys, stamp.version) for path in self._to_sign(items)
        )

    def _result(self, items: list[Item], stamp: Stamp, changed: bool) -> dict[str, Any]:
        return {
            "changed": changed,
            "version": stamp.version,
            "commit": stamp.commit,
            "branch": stamp.branch,
            "modified": stamp.modified,
            "time": stamp.value("time"),
            "toolchain": self._version,
            "checksums": os.path.join(self._request.dest, manifest.CHECKSUMS),
            "artefacts": [self._told(item) for item in items],
        }

    def _told(self, item: Item) -> dict[str, Any]:
        there = manifest.read(item.path + manifest.MANIFEST)
        is_there = there.get("inputs") == item.recipe.inputs
        return {
            "path": item.path,
            "target": str(item.recipe.target),
            "goarch": item.recipe.target.goarch,
            "level": item.recipe.target.level,
            "built": not item.is_current,
            "inputs": item.recipe.inputs,
            "sha256": there.get("sha256") if is_there else None,
            "size": there.get("size") if is_there else None,
            "reproducible": there.get("reproducible") if is_there else None,
            "sbom": item.path + manifest.SBOM,
            "manifest": item.path + manifest.MANIFEST,
            "signatures": [item.path + ending for ending in self._keys.endings],
            "provenance": item.path + ENDING if self._request.provenance_builder else None,
        }


def failure(
    go: str,
    version: str,
    what: str,
    done: command.Finished,
    code: str,
    fix: str = "correct what it names in the source",
) -> SlipwayError:
    """Why a command of the toolchain has failed. fix: where neither its release nor the network is the cause."""
    said = done.complaint[-_SHOWN:]
    newer = toolchain.newer_than(said)
    if newer:
        return SlipwayError(
            "build_toolchain",
            f"{go} is {version}, and the source demands Go {newer} or newer.",
            f"install Go {newer} on the host that builds, and set build_go to it",
        )
    if "GOPROXY=off" in said:
        return SlipwayError(
            "build_offline",
            f"build_offline is set, and the source needs modules that are not here: {said}",
            "run go mod vendor and commit what it writes, or build once without build_offline",
        )
    return SlipwayError(code, f"{what} failed ({done.code}): {said}", fix)


def _is_current(path: str, there: Mapping[str, Any], inputs: str) -> bool:
    """Whether the artefact is what these inputs have made, and is whole."""
    if there.get("inputs") != inputs or not os.path.isfile(path) or files.sha256_file(path) != there.get("sha256"):
        return False
    return files.text(path + manifest.SBOM) == manifest.bill_of_materials(path, str(there.get("name")))


def put(source: str, target: str) -> str:
    """Replace target by a copy of source in one step; return its SHA-256."""
    aside = f"{target}.tmp-{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside)
    try:
        digest = files.copy_hashed(source, aside, 0o755)
        os.rename(aside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise
    files.fsync_directory(os.path.dirname(target))
    return digest


def compare(first: str, second: str) -> str:
    """Where two files differ; empty where they have the same bytes."""
    sizes = os.path.getsize(first), os.path.getsize(second)
    if sizes[0] != sizes[1]:
        return f"{sizes[0]} and {sizes[1]} bytes"
    with open(first, "rb") as one, open(second, "rb") as other:
        at = 0
        while True:
            left, right = one.read(files.CHUNK), other.read(files.CHUNK)
            if left != right:
                offset = next(index for index, pair in enumerate(zip(left, right)) if pair[0] != pair[1])
                return f"{sizes[0]} bytes each, from byte {at + offset} on"
            if not left:
                return ""
            at += len(left)

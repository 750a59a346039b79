# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts a release on the host, inert and complete or not at all. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import re
import time
from typing import Any, BinaryIO, Callable, Container, Iterator, Mapping, Optional

from .._binary.facts import read_binary
from .._core import command
from .._core import files as _files
from .._core.errors import SlipwayError
from .._units.parser import parse_environment_file
from . import background_drain, configuration, integrity
from .artefact import archive
from .state.layout import Layout
from .state.model import Content, Spec, render_environment
from .state.store import remove

_RESTORECON = ("/usr/sbin/restorecon", "/sbin/restorecon")
# What is kept of a release beside the state of its service.
_KEPT = re.compile(r"\.(sha256|json|health\.json)\Z")
_SELINUX = "/sys/fs/selinux/enforce"


def group_id(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise SlipwayError(
            "no_group",
            f"the group {name!r} of service_group is not on this host.",
            "apply the role slipway.go.service first, or correct service_group",
        ) from None


def _config_files(folder: str) -> Iterator[tuple[str, str]]:
    """(relative path, path) of each regular file below folder, in a fixed order; links are not followed."""
    for base, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(base, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield os.path.relpath(path, folder), path


def _digests(folder: str) -> dict[str, str]:
    return {name: _files.sha256_file(path) for name, path in _config_files(folder)}


def _text(path: str, errors: str = "strict") -> str:
    try:
        with open(path, encoding="utf-8", errors=errors) as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SlipwayError(
            "not_utf8",
            f"{path} is not UTF-8 in line {line}.",
            "write that file in UTF-8, for systemd takes no other values",
        ) from None


def _next_units(layout: Layout) -> dict[str, str]:
    """{name: path} of the units that the next release takes along."""
    folder = configuration.source(layout).units
    units = {os.path.basename(unit): os.path.join(folder, os.path.basename(unit)) for unit in layout.own_units}
    return {name: path for name, path in units.items() if os.path.isfile(path)}


def require_units(layout: Layout) -> None:
    """Raise where there is no unit that a release could run in."""
    template = os.path.basename(layout.template_unit)
    if template not in _next_units(layout):
        raise SlipwayError(
            "no_units",
            f"{layout.units} has no {template} for the release to run in.",
            "apply the role slipway.go.service first, or run site.yml",
        )


def content(spec: Spec, layout: Layout) -> Content:
    """What this release would be on this host: the artefact, and the configuration as the host has it now."""
    here = configuration.source(layout).config
    shared = _text(os.path.join(here, "environment"))
    if shared and not shared.endswith("\n"):
        shared += "\n"
    own = render_environment(spec.environment)
    config = _digests(os.path.join(here, "config"))
    units = {name: _files.sha256_file(path) for name, path in _next_units(layout).items()}
    return Content(
        spec.version, spec.artefact.sha256, shared + own, config, units, spec.artefact.binary, next_credentials(layout)
    )


def next_credentials(layout: Layout) -> dict[str, str]:
    """The digests of the credentials that a release would take along now, by their names."""
    return _digests(os.path.join(configuration.source(layout).config, "credentials"))


def unit_copies(layout: Layout, release_id: str) -> dict[str, str]:
    """The units the release was staged with: where each belongs, and its content."""
    folder = layout.release_units(release_id)
    copies = {unit: os.path.join(folder, os.path.basename(unit)) for unit in layout.own_units}
    return {unit: _text(copy) for unit, copy in copies.items() if os.path.isfile(copy)}


def environment(layout: Layout, release_id: str) -> str:
    """The environment file of a release that is on the host, with what a disk has damaged in it replaced."""
    return _text(os.path.join(layout.release(release_id), "environment"), "replace")


def secrets(layout: Layout, release_id: str) -> list[str]:
    """What of a release no message may show: its environment's values, its credentials and each of their lines.

    Credentials may be binary; what is no UTF-8 in them is replaced as it is in the output of commands.
    """
    folder = os.path.join(layout.release(release_id), "credentials")
    texts = [_text(path, "replace").strip() for _name, path in _config_files(folder)]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    return [*parse_environment_file(environment(layout, release_id)).values(), *texts, *lines]


def credentials(layout: Layout, release_id: str) -> dict[str, str]:
    """The digests of the credentials of a release that is on the host."""
    return _digests(os.path.join(layout.release(release_id), "credentials"))


def is_staged(layout: Layout, release_id: str, wanted: Content) -> bool:
    """Whether it is here and whole: what a disk has damaged, or somebody, is staged anew."""
    manifest = layout.manifest(release_id)
    return (
        manifest.get("sha256") == wanted.artefact_sha256
        and integrity.kept(layout, release_id) == _content_digests(wanted, manifest.get("files") or {})
        and not integrity.differences(layout, release_id)
    )


def _content_digests(wanted: Content, files: Mapping[str, str]) -> dict[str, str]:
    """The digest of every file of a release by its name there."""
    parts = {"config": wanted.config, "credentials": wanted.credentials, "units": wanted.units}
    return {
        **files,
        "environment": hashlib.sha256(wanted.environment.encode()).hexdigest(),
        **{f"{part}/{name}": digest for part, named in parts.items() for name, digest in named.items()},
    }


def collect_leftovers(layout: Layout) -> None:
    """Remove what a run that was cut short has left half-written; complete releases never start with a dot."""
    prefixes = {
        layout.releases: (".tmp-", "current.tmp-"),
        layout.root: ("current.tmp-", "last-good.tmp-"),
        layout.state: tuple(
            f"{name}.tmp-"
            for name in ("boot.env", "state.json", "settings.json", "settings.next.json", "watch.json", "units.json")
        ),
        layout.unit_root: tuple(f"{os.path.basename(unit)}.tmp-" for unit in layout.own_units),
        **{layout.release(release_id): ("release.json.tmp-",) for release_id in layout.staged()},
        layout.proxy_root: (f"{layout.name}.cfg.tmp-",),
    }
    for folder, names in prefixes.items():
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(folder):
                if entry.name.startswith(names):
                    remove(entry.path)
    staged = layout.staged()
    for release_id in staged:
        background_drain.collect_drafts(layout.instance(release_id))
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(layout.released):
            if _KEPT.sub("", entry.name) not in staged:
                remove(entry.path)


def _set_aside(path: str) -> str:
    """Take a release away in one rename(2), so that what is half removed is no release; return where it is now."""
    folder, name = os.path.split(path)
    aside = os.path.join(folder, f".tmp-{name}.old")
    os.rename(path, aside)
    return aside


def stage(spec: Spec, layout: Layout, release_id: str, wanted: Content) -> None:
    """Write the release aside, verify it, sync it, and rename it into place."""
    gid = group_id(spec.group)
    for path, mode in ((layout.root, 0o755), (layout.releases, 0o711)):
        _files.make_directory(path, mode, gid)
    collect_leftovers(layout)
    target = layout.release(release_id)
    temporary = os.path.join(layout.releases, f".tmp-{release_id}")
    try:
        manifest = _fill(spec, layout, temporary, wanted, gid)
        integrity.keep(layout, release_id, _content_digests(wanted, manifest["files"]), manifest)
        if os.path.isdir(target):
            _set_aside(target)
        os.rename(temporary, target)
    except BaseException:
        _files.remove_tree(temporary)
        raise
    _files.fsync_directory(layout.releases)
    collect_leftovers(layout)
    _label(target)


def _fill(spec: Spec, layout: Layout, folder: str, wanted: Content, gid: int) -> dict[str, Any]:
    """Return the manifest."""
    for path in (folder, os.path.join(folder, "bin"), os.path.join(folder, "config")):
        _files.make_directory(path, 0o750, gid)
    binary = os.path.join(folder, "bin", layout.name)
    source = str(spec.artefact.path)
    if archive.is_archive(source):
        written, files = _unpack(spec, layout, folder, gid)
    else:
        written = _files.copy_hashed(source, binary, 0o750, gid)
        files = {f"bin/{layout.name}": written}
    if written != wanted.artefact_sha256:
        raise SlipwayError(
            "wrong_checksum",
            f"what arrived on this host has SHA-256 {written}, expected {wanted.artefact_sha256}.",
            "run again, or check the artefact and the disk if it stays",
        )
    _files.write_new(os.path.join(folder, "environment"), wanted.environment, 0o640, gid)
    here = configuration.source(layout).config
    config = _copy_config(os.path.join(here, "config"), os.path.join(folder, "config"), gid)
    secret = _copy_credentials(os.path.join(here, "credentials"), os.path.join(folder, "credentials"), gid)
    units = _copy_units(layout, os.path.join(folder, "units"), gid)
    if (config, secret, units) != (wanted.config, wanted.credentials, wanted.units):
        raise SlipwayError(
            "config_changed",
            f"something below {layout.config} changed while it was copied into the release.",
            "run again when nobody else writes there",
        )
    manifest: dict[str, Any] = {
        "version": spec.version,
        "sha256": wanted.artefact_sha256,
        "files": files,
        "units": wanted.units,
        "config": wanted.config,
        "strategy": spec.strategy,
        **_build(binary),
        "origin": dict(spec.artefact.origin),
        "staged": round(time.time(), 3),
    }
    _files.write_new(os.path.join(folder, "release.json"), json.dumps(manifest, indent=2) + "\n", 0o640, gid)
    for base, _folders, _names in os.walk(folder):
        _files.fsync_directory(base)
    return manifest


class _Hashed:
    """A file whose digest is that of the very bytes that were read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._digest = stream, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._digest.update(data)
        return data

    def finish(self) -> str:
        while self.read(_files.CHUNK):
            pass
        return self._digest.hexdigest()


def _make_place(folder: str, name: str, gid: int) -> str:
    """The path of name in folder, with every folder between them made so that the service may read it."""
    parents = name.split("/")[:-1]
    for depth in range(len(parents)):
        _files.make_directory(os.path.join(folder, *parents[: depth + 1]), 0o750, gid)
    return os.path.join(folder, name)


def _unpack(spec: Spec, layout: Layout, folder: str, gid: int) -> tuple[str, dict[str, str]]:
    """Write the archive's program to bin/ and the rest to assets/, nobody's to change.

    Return the SHA-256 of the archive, and of each file by its name in the release.
    """
    path, limit = str(spec.artefact.path), spec.artefact.limit
    survey = archive.survey(path, limit)
    chosen = archive.choose_binary(survey, spec.artefact.binary, layout.name)
    if len(survey.files) > 1:
        _files.make_directory(os.path.join(folder, "assets"), 0o750, gid)
    written: dict[str, str] = {}
    with open(path, "rb") as stream:
        hashed = _Hashed(stream)
        for member, content in archive.members(hashed, limit):
            name = f"bin/{layout.name}" if member.name == chosen.name else f"assets/{survey.inside(member.name)}"
            mode = 0o750 if member.executable or member.name == chosen.name else 0o640
            written[name] = _files.write_pieces(content, _make_place(folder, name, gid), mode, gid)
        return hashed.finish(), written


def note_origin(layout: Layout, release_id: str, origin: Mapping[str, Any]) -> None:
    """Write into a staged release who vouches for it now. Its content, and so its id, stay what they are."""
    manifest = {**layout.manifest(release_id), "origin": dict(origin)}
    path = os.path.join(layout.release(release_id), integrity.MANIFEST)
    gid = os.stat(path).st_gid
    if os.path.exists(layout.kept_manifest(release_id)):
        _files.write_atomic(layout.kept_manifest(release_id), json.dumps(manifest) + "\n", 0o600)
    _files.write_atomic(path, json.dumps(manifest, indent=2) + "\n", 0o640, gid)


def _copy_config(source: str, target: str, gid: int) -> dict[str, str]:
    """Return the digest of each file by its name, as do the two below."""
    return {
        name: _files.copy_hashed(path, _make_place(target, name, gid), 0o640, gid)
        for name, path in _config_files(source)
    }


def _copy_credentials(source: str, target: str, gid: int) -> dict[str, str]:
    """Readable for the group where the role has left them so: on a host whose PID 1 cannot hand them over."""
    written = {}
    for name, path in _config_files(source):
        shared = bool(os.stat(path).st_mode & 0o040)
        copy = os.path.join(target, name)
        _files.make_directory(os.path.dirname(copy), 0o750 if shared else 0o700, gid)
        written[name] = _files.copy_hashed(path, copy, 0o640 if shared else 0o600, gid if shared else -1)
    return written


def _copy_units(layout: Layout, target: str, gid: int) -> dict[str, str]:
    _files.make_directory(target, 0o750, gid)
    return {
        name: _files.copy_hashed(path, os.path.join(target, name), 0o640, gid)
        for name, path in _next_units(layout).items()
    }


def _build(binary: str) -> dict[str, Optional[str]]:
    """Where the binary comes from, as Go has written into it; nothing where it is not readable as a program."""
    try:
        go = read_binary(binary, checksum=False).facts["go"] or {}
    except SlipwayError:
        go = {}
    vcs, main = go.get("vcs") or {}, go.get("main") or {}
    return {"commit": vcs.get("revision"), "go_version": go.get("version"), "main_module": main.get("path")}


def _label(path: str) -> None:
    """Give new files their SELinux context; moved ones keep the wrong one and end in 203/EXEC."""
    program = next((c for c in _RESTORECON if os.path.exists(c)), None)
    if program and os.path.exists(_SELINUX):
        command.run([program, "-R", path], 60.0).require_success()


def surplus(layout: Layout, keep: int, protect: set[str], good: Container[str] = ()) -> list[str]:
    """The releases beyond keep, never a protected one; the oldest first, good ones last."""
    staged = layout.staged()
    beyond = max(len(staged) - keep, 0)
    return sorted((name for name in staged if name not in protect), key=lambda name: name in good)[:beyond]


def prune(layout: Layout, keep: int, protect: set[str], good: Container[str] = ()) -> list[str]:
    """Delete the surplus; return what went."""
    gone = []
    for name in surplus(layout, keep, protect, good):
        with contextlib.suppress(OSError):  # what cannot be removed now is surplus next time, too
            _files.remove_tree(_set_aside(layout.release(name)))
            gone.append(name)
    return gone


def is_named(layout: Layout, release_id: str, names: Container[str]) -> bool:
    """Whether one of the names is this release's id, or its version."""
    return release_id in names or str(layout.manifest(release_id).get("version", "")) in names


def purge(layout: Layout, release_id: str, record: Callable[[str], None]) -> None:
    """Delete a release with all that it came with, and raise where something of it stays."""
    aside = _set_aside(layout.release(release_id))
    _files.fsync_directory(layout.releases)
    record(release_id)
    _files.remove_tree(aside)
    kept = (layout.sums(release_id), layout.kept_manifest(release_id), layout.health_file(release_id))
    for path in (*kept, *(os.path.join(layout.slots, f"{release_id}{kind}.env") for kind in ("", ".rehearsal"))):
        remove(path)
    if os.path.lexists(aside):
        raise SlipwayError(
            "not_purged", f"{aside} could not be removed as a whole.", "remove what is left of it by hand"
        )

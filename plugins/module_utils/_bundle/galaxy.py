# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Collections as tarballs that ansible-galaxy installs without a network. This file is PRIVATE to the collection."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
from typing import Any, Iterable, Mapping, NamedTuple, NoReturn, Sequence

from .._core import command
from .._core.errors import SlipwayError
from . import place

_INSTALLED, _FILES, _SOURCE = "MANIFEST.json", "FILES.json", "galaxy.yml"
_SPECIFIED = re.compile(
    r"(?P<name>[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*)(?::(?P<version>[<>=!*A-Za-z0-9][A-Za-z0-9.,<>=!*+-]*))?"
)
# What a collection cannot work without. Packages of collections leave out the others, such as tests.
_NEEDED = ("plugins/", "roles/", "playbooks/", "meta/")
_MODES = {True: 0o755, False: 0o644}
_LARGEST = 16 << 20  # of MANIFEST.json in a tarball


class Collection(NamedTuple):
    """A tarball. needs: the versions of other collections that it needs, by their names."""

    name: str
    version: str
    needs: Mapping[str, str]
    path: str

    @property
    def file_name(self) -> str:
        return f"{self.name.replace('.', '-')}-{self.version}.tar.gz"


def _refuse(what: str, fix: str) -> NoReturn:
    raise SlipwayError("invalid_bundle", f"bundle_collections has {what}.", fix)


def is_path(text: str) -> bool:
    """Whether it names a file or a folder, and not a collection of a server."""
    return os.path.isabs(text)


def specification(text: str) -> tuple[str, str]:
    """Name and versions of `community.general:>=9.0.0`."""
    found = _SPECIFIED.fullmatch(text)
    if found is None:
        _refuse(
            f"{text!r}, which is neither a collection nor a path",
            "give NAMESPACE.NAME, NAMESPACE.NAME:VERSION, or the absolute path of a tarball or a collection's folder",
        )
    return found.group("name"), found.group("version") or "*"


def local(path: str, scratch: str, galaxy: str, seconds: float) -> Collection:
    """A tarball as it is, or one made of a collection's folder. scratch: an empty folder."""
    if os.path.isfile(path):
        return read(path)
    if os.path.isfile(os.path.join(path, _SOURCE)):
        return _repacked(_built(path, scratch, galaxy, seconds), scratch)
    if os.path.isfile(os.path.join(path, _INSTALLED)):
        return _packed(path, scratch)
    _refuse(
        f"{path}, where there is neither a tarball nor a collection",
        "give the path of a tarball, or of a folder with galaxy.yml or MANIFEST.json",
    )


def read(path: str) -> Collection:
    """What a tarball says of itself."""
    try:
        with tarfile.open(path) as archive:
            member = archive.getmember(_INSTALLED)
            stream = archive.extractfile(member) if member.size <= _LARGEST else None
            document = json.loads(stream.read()) if stream is not None else None
        return _described(document, path)
    except (tarfile.TarError, OSError, EOFError, KeyError, TypeError, ValueError):
        _refuse(
            f"{path}, which is no tarball of a collection", "give one that ansible-galaxy collection build has made"
        )


def _described(document: Any, path: str) -> Collection:
    info = document["collection_info"]
    name, version = f"{info['namespace']}.{info['name']}", info["version"]
    needs = info.get("dependencies") or {}
    if not _SPECIFIED.fullmatch(f"{name}:{version}") or not isinstance(needs, dict):
        raise ValueError(name)
    return Collection(name, version, {str(one): str(versions) for one, versions in needs.items()}, path)


def _built(path: str, scratch: str, galaxy: str, seconds: float) -> str:
    run_fetcher([galaxy, "collection", "build", "--force", "--output-path", scratch, path], seconds, path)
    (made,) = [name for name in os.listdir(scratch) if name.endswith(".tar.gz")]
    return os.path.join(scratch, made)


def _repacked(path: str, scratch: str) -> Collection:
    """With no clock in it: the same folder gives the same bytes."""
    found = read(path)
    with tarfile.open(path) as archive:
        members = {}
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            members[member.name] = (stream.read() if stream else None, bool(member.mode & 0o100))
    target = os.path.join(scratch, f"again-{found.file_name}")
    _write(target, members)
    return found._replace(path=target)


def _packed(path: str, scratch: str) -> Collection:
    """An installed collection, if its files are those that were installed."""
    try:
        with open(os.path.join(path, _INSTALLED), "rb") as stream:
            document = json.loads(stream.read())
        with open(os.path.join(path, _FILES), "rb") as stream:
            listed = json.loads(stream.read())
        found, files = _described(document, path), list(listed["files"])
        names = [str(one["name"]) for one in files]
    except (OSError, ValueError, KeyError, TypeError):
        _refuse(f"{path}, whose MANIFEST.json or FILES.json is damaged", "install that collection again")
    members: dict[str, tuple[Any, bool]] = {}
    kept: list[Any] = []
    for one, name in zip(files, names):
        inside = os.path.join(path, name)
        if one.get("ftype") == "dir":
            if os.path.isdir(inside):
                members[name], kept = (None, True), [*kept, one]
            continue
        if not os.path.lexists(inside) and not name.startswith(_NEEDED):
            continue
        if place.digest_of(inside) != one.get("chksum_sha256"):
            _refuse(f"{path}, and its {name} is not what was installed", "install that collection again")
        members[name] = (b"".join(place.pieces_of(inside)), os.access(inside, os.X_OK))
        kept.append(one)
    files_text = _text({**listed, "files": kept})
    document["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(files_text).hexdigest()
    target = os.path.join(scratch, found.file_name)
    _write(target, {**members, _FILES: (files_text, False), _INSTALLED: (_text(document), False)})
    return found._replace(path=target)


def _text(document: Any) -> bytes:
    return json.dumps(document, indent=1).encode()


def _write(path: str, members: Mapping[str, tuple[Any, bool]]) -> None:
    """A tarball of contents by their names; None is a folder."""
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        _fill(packed, members)


def _fill(packed: Any, members: Mapping[str, tuple[Any, bool]]) -> None:
    """The two files that ansible-galaxy looks for come first."""
    first = [name for name in (_INSTALLED, _FILES) if name in members]
    names = [*first, *sorted(name for name in members if name not in (*first, "", "."))]
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            content, executable = members[name]
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size, info.mode = len(content or b""), _MODES[executable or content is None]
            archive.addfile(info, io.BytesIO(content or b""))


def missing(have: Iterable[Collection], wanted: Mapping[str, str]) -> dict[str, str]:
    """What has to be fetched: what is wanted, and what those that are here need, unless it is here."""
    here = {one.name for one in have}
    needs = {name: versions for one in have for name, versions in one.needs.items()}
    return {name: versions for name, versions in {**needs, **wanted}.items() if name not in here}


def download(wanted: Mapping[str, str], scratch: str, galaxy: str, seconds: float) -> list[Collection]:
    """These collections, and all that they need, from the servers that ansible.cfg names."""
    if not wanted:
        return []
    listing = os.path.join(scratch, "wanted.yml")
    with open(listing, "w", encoding="utf-8") as stream:
        json.dump({"collections": [{"name": name, "version": versions} for name, versions in wanted.items()]}, stream)
    folder = os.path.join(scratch, "fetched")
    names = ", ".join(sorted(wanted))
    run_fetcher([galaxy, "collection", "download", "-r", listing, "-p", folder], seconds, names)
    return [read(os.path.join(folder, name)) for name in sorted(os.listdir(folder)) if name.endswith(".tar.gz")]


def run_fetcher(argv: Sequence[str], seconds: float, what: str) -> None:
    """pip and ansible-galaxy read their servers and passwords from the user's own settings."""
    done = command.run(argv, seconds, variables=dict(os.environ), merged=True)
    if done.code != 0:
        lines = [line for line in done.text.splitlines() if line.strip()]
        said = " ".join(lines[-3:])[-1000:].rstrip(".")
        raise SlipwayError(
            "bundle_not_fetched",
            f"{os.path.basename(argv[0])} did not get {what} ({done.code}): {said or 'no reason given'}.",
            "correct what it complains of on the host that makes the bundle, then run again",
        )

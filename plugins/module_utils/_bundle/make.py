# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a bundle: gathers files, signs the list of them, and writes one file. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from contextlib import nullcontext, suppress
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, NoReturn, Optional

from .._build import signing
from .._build.request import show_time
from .._core import files, zipped
from .._core.errors import SlipwayError
from . import archive, galaxy, manifest, place, reader, readme, request, verifier
from .galaxy import Collection
from .manifest import Entry, Manifest
from .reader import Opened, Walk
from .request import Request

_KINDS = {
    ".cdx.json": "sbom",
    ".intoto.jsonl": "provenance",
    ".json": "manifest",
    ".minisig": "signature",
    ".sig": "signature",
}
_CHECKSUMS = ("SHA256SUMS", "SHA512SUMS")


class Source(NamedTuple):
    """A file and where it is to be in the bundle."""

    path: str
    kind: str
    file: str


def bundle(wanted: Request, check_mode: bool = False) -> dict[str, Any]:
    """What the bundle holds; it is written unless it is there already, or in check mode."""
    request.check(wanted)
    signing.check(wanted.keys)
    _require_signer(wanted)
    base = _read_base(wanted) if wanted.base else None
    os.makedirs(wanted.cache, mode=0o700, exist_ok=True)
    run = nullcontext() if check_mode else place.only_run(wanted.dest, "bundle_dest")
    with run, tempfile.TemporaryDirectory(dir=wanted.cache, prefix="bundle-") as scratch:
        return _Maker(wanted, scratch, base).run(check_mode)


def _require_signer(wanted: Request) -> None:
    if not wanted.keys.endings:
        raise SlipwayError(
            "unsigned_bundle",
            "there is no key to sign the bundle with, and nobody would unpack it.",
            "set bundle_ssh_key or bundle_minisign_key",
        )


def _read_base(wanted: Request) -> Opened:
    with reader.opened(wanted.base, "bundle_base") as stream:
        return reader.read_beginning(stream, manifest.MAX_FILE * manifest.MAX_FILES)


def _refuse(what: str, fix: str, code: str = "invalid_bundle") -> NoReturn:
    raise SlipwayError(code, f"{what}.", fix)


def kind_of(path: str) -> str:
    """By the names that a build gives."""
    name = os.path.basename(path)
    if name in _CHECKSUMS:
        return "checksums"
    return next((kind for ending, kind in _KINDS.items() if name.endswith(ending)), manifest.PROGRAM)


class _Maker:
    def __init__(self, wanted: Request, scratch: str, base: Optional[Opened]) -> None:
        self._wanted, self._scratch, self._base = wanted, scratch, base
        self._galaxy = wanted.galaxy or _beside_python("ansible-galaxy")

    def run(self, check_mode: bool) -> dict[str, Any]:
        sources = {source.path: source for source in self._gather()}
        made = self._manifest(sources.values())
        raw = manifest.as_bytes(made)
        is_current = self._is_current(made, raw)
        if not is_current and not check_mode:
            self._write(made, raw, sources)
        changed = self._write_verifier(check_mode) or not is_current
        return self._result(made, changed)

    # What is in it

    def _gather(self) -> Iterator[Source]:
        wanted = self._wanted
        found = [
            *self._below("artefacts", "bundle_artefacts", wanted.artefacts, kind_of),
            *self._below("files", "bundle_files", wanted.files, lambda _path: "file"),
            *(Source(f"collections/{one.file_name}", "collection", one.path) for one in self._collections()),
            *self._wheels(),
        ]
        text = self._file("readme")
        entries = sorted(Entry(one.path, 0, "", one.kind) for one in found)
        with open(text, "w", encoding="utf-8") as stream:
            stream.write(readme.text(wanted.name, wanted.version, entries, wanted.requirements))
        found.append(Source(readme.NAME, "readme", text))
        self._require_paths([one.path for one in found])
        return iter(found)

    def _file(self, name: str) -> str:
        return os.path.join(self._scratch, name)

    def _folder(self, name: str) -> str:
        path = self._file(name)
        os.mkdir(path)
        return path

    def _below(self, top: str, variable: str, paths: Iterable[str], kind: Any) -> Iterator[Source]:
        for path in paths:
            if not os.path.isdir(path):
                yield Source(f"{top}/{os.path.basename(path)}", kind(path), path)
                continue
            for inside, size in place.paths_below(path):
                if size is None:
                    _refuse(
                        f"{variable} has {path}, and its {inside} is a link or no file",
                        "put the file itself there, or take it away",
                    )
                yield Source(f"{top}/{inside}", kind(inside), os.path.join(path, inside))

    def _collections(self) -> list[Collection]:
        paths = [text for text in self._wanted.collections if galaxy.is_path(text)]
        named = dict(galaxy.specification(text) for text in self._wanted.collections if text not in paths)
        seconds = self._wanted.timeout
        here = [
            galaxy.local(path, self._folder(f"collection-{at}"), self._galaxy, seconds)
            for at, path in enumerate(dict.fromkeys(paths))
        ]
        wanted = galaxy.missing(here, named)
        fetched = galaxy.download(wanted, self._folder("galaxy"), self._galaxy, seconds)
        names = {one.name for one in here}
        return [*here, *(one for one in fetched if one.name not in names)]

    def _wheels(self) -> Iterator[Source]:
        """Wheels only: what would have to be built needs more than the receiver may have."""
        wanted = self._wanted
        if not wanted.requirements:
            return
        listing, folder = self._file("requirements.txt"), self._folder("wheels")
        with open(listing, "w", encoding="utf-8") as stream:
            stream.writelines(f"{one}\n" for one in wanted.requirements)
        argv = [wanted.python or sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
        argv += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", folder, "--requirement", listing]
        argv += [word for platform in wanted.platforms for word in ("--platform", platform)]
        argv += ["--python-version", wanted.python_version] if wanted.python_version else []
        galaxy.run_fetcher(argv, wanted.timeout, ", ".join(wanted.requirements))
        for name in sorted(os.listdir(folder)):
            yield Source(f"wheels/{name}", "wheel", os.path.join(folder, name))

    def _require_paths(self, paths: list[str]) -> None:
        for path in paths:
            why = manifest.why_unsafe(path)
            if why:
                _refuse(f"{path!r} {why}, and no bundle can have it", "give it another name")
        for path in manifest.collisions(paths):
            _refuse(f"two files would be {path!r} in the bundle", "give the folder above both, or rename one of them")
        if len(paths) > manifest.MAX_FILES:
            fix = "pack files together, or make two bundles"
            _refuse(
                f"the bundle would have {len(paths)} files, and {manifest.MAX_FILES} are allowed",
                fix,
                "bundle_too_large",
            )

    def _manifest(self, sources: Iterable[Source]) -> Manifest:
        entries = []
        for source in sources:
            size = os.path.getsize(source.file)
            if size > manifest.MAX_FILE:
                fix = "take it out of the bundle, or split it"
                _refuse(f"{source.file} has {size} bytes, and {manifest.MAX_FILE} are allowed", fix, "bundle_too_large")
            sha256 = place.digest_of(source.file)
            if not sha256:
                _refuse(
                    f"{source.file} is a link, or cannot be read as a file",
                    "put the file itself there, or take it away",
                )
            entries.append(Entry(source.path, size, sha256, source.kind))
        wanted = self._wanted
        made = Manifest(wanted.name, wanted.version, _created(), tuple(sorted(entries)))
        if made.total > wanted.most:
            what = f"the files have {made.total} bytes, and bundle_max_size allows {wanted.most}"
            _refuse(what, "raise bundle_max_size, and unbundle_max_size where it is unpacked", "bundle_too_large")
        return manifest.delta(made, self._base.manifest, self._base.sha256) if self._base else made

    # The file

    def _is_current(self, made: Manifest, raw: bytes) -> bool:
        """Whether the bundle is there, whole, and signed by these keys."""
        if not os.path.isfile(self._wanted.path):
            return False
        try:
            with reader.opened(self._wanted.path, "bundle_dest") as stream:
                found = reader.read_beginning(stream, self._wanted.most)
                if found.raw != raw or Walk(stream, made.packed).run():
                    return False
        except SlipwayError:
            return False
        path = os.path.join(self._folder("current"), manifest.NAME)
        _write_file(path, raw)
        for name, text in found.signatures.items():
            _write_file(os.path.join(os.path.dirname(path), name), text.encode("utf-8", "surrogateescape"))
        keys = self._wanted.keys
        is_complete = set(found.signatures) == {manifest.NAME + ending for ending in keys.endings}
        return is_complete and not signing.missing(path, keys, self._wanted.version)

    def _signatures(self, raw: bytes) -> dict[str, bytes]:
        path = os.path.join(self._folder("signed"), manifest.NAME)
        _write_file(path, raw)
        keys, found = self._wanted.keys, {}
        for ending in sorted(keys.endings):
            text = signing.sign(path, ending, keys, self._wanted.version, self._scratch)
            plain = reader.plain_minisig(text) if ending == manifest.MINISIG else text
            found[manifest.NAME + ending] = plain.encode()
        return found

    def _write(self, made: Manifest, raw: bytes, sources: Mapping[str, Source]) -> None:
        texts = {manifest.NAME: raw, **self._signatures(raw)}
        self._publish(_pieces(made, texts, sources), self._wanted.path)

    def _publish(self, pieces: Iterable[bytes], path: str) -> None:
        part = place.part(self._wanted.dest, os.path.basename(path))
        try:
            files.write_pieces(pieces, part, archive.MODE)
            os.rename(part, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(part)
            raise
        files.fsync_directory(self._wanted.dest)

    def _write_verifier(self, check_mode: bool) -> bool:
        """The program that unpacks bundles where nothing is installed yet; return whether it was another one."""
        path, keys = os.path.join(self._wanted.dest, verifier.FILE), self._wanted.keys
        program = zipped.program(verifier, verifier.PACKAGE, verifier.INTERPRETER)
        changed = place.digest_of(path) != hashlib.sha256(program).hexdigest()
        if changed and not check_mode:
            self._publish([program], path)
        missing = keys.endings if changed else signing.missing(path, keys, self._wanted.version)
        for ending in () if check_mode else missing:
            text = signing.sign(path, ending, keys, self._wanted.version, self._scratch)
            files.replace_if_different(path + ending, text)
        return changed or bool(missing)

    def _result(self, made: Manifest, changed: bool) -> dict[str, Any]:
        wanted = self._wanted
        return {
            "changed": changed,
            "path": wanted.path,
            "name": made.name,
            "version": made.version,
            "created": made.created,
            "base": made.base.name if made.base else "",
            "files": [entry._asdict() for entry in made.entries],
            "size": made.total,
            "packed": sum(entry.size for entry in made.packed),
            "verifier": os.path.join(wanted.dest, verifier.FILE),
        }


def _created() -> str:
    """As the manifest has it; the clock never counts, so that the same content has the same bytes."""
    stated = os.environ.get("SOURCE_DATE_EPOCH", "")
    if stated and not re.fullmatch(r"[0-9]{1,11}", stated):
        _refuse(f"SOURCE_DATE_EPOCH is {stated!r}, which is no number of seconds", "correct it, or leave it out")
    return show_time(int(stated)) if stated else ""


def _beside_python(program: str) -> str:
    """Where a virtual environment has it, else where the user's PATH has it."""
    beside = os.path.join(os.path.dirname(sys.executable), program)
    return beside if os.path.isfile(beside) else shutil.which(program) or program


def _write_file(path: str, raw: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(raw)


def _pieces(made: Manifest, texts: Mapping[str, bytes], sources: Mapping[str, Source]) -> Iterator[bytes]:
    """The bytes of the archive."""
    for name, raw in texts.items():
        yield archive.header(name, len(raw))
        yield from archive.pieces(raw)
    for entry in made.packed:
        yield archive.header_of(entry)
        yield from _content(sources[entry.path].file, entry)
        yield bytes(archive.padding(entry.size))
    yield archive.END


def _content(path: str, entry: Entry) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for piece in place.pieces_of(path):
        digest.update(piece)
        yield piece
    if digest.hexdigest() != entry.sha256:
        raise SlipwayError(
            "changed_meanwhile", f"{path} was changed while the bundle was made. No bundle was written.", "run again"
        )

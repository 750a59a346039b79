# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What intake reads from others, damaged by the thousand: each is refused in one sentence, or says what was signed.

Envelopes, statements that are signed after they were damaged, signatures of minisign, checksums files, manifests beside
an artefact, manifests of bundles, and archives. `make fuzz-intake MUTATIONS=200000` runs it at length.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import lzma
import random
import sys
import tarfile
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Callable, NamedTuple
from unittest import mock

from ansible_collections.slipway.go.plugins.module_utils._bundle import manifest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import build_host
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import (
    archive,
    checksums,
    dsse,
    ed25519,
    minisign,
    provenance,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.bundle import bundles
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.artefact import (
    test_minisign,
    test_provenance,
)

SHA256 = hashlib.sha256(b"shop").hexdigest()
LISTING = f"{SHA256}  shop-linux-amd64\n{'cd' * 32} *shop-linux-arm64\nSHA256 (a b) = {'ef' * 32}\n"
BESIDE = {
    "format": build_host.FORMAT,
    "sha256": SHA256,
    "toolchain": "go1.27.3",
    "target": {"goarch": "amd64", "level": "v3"},
    "build_host": {"os": "Debian 12", "kernel": "6.1.0", "architecture": "amd64", "libc": "glibc 2.36"},
}
MAX_SECONDS = 5.0
MOST = 1 << 20
WORDS = (
    *(b"", b"\0", b"\xff", b'"', b"{", b"}", b"[", b",", b":", b"null", b"true", b"-1", b"1e400", b"NaN"),
    *(b"\n", b"\r\n", b"\r", b"\xc2\x85"),
    *(b"\\ud800", b"=", b"9" * 400, b"[" * 300, b"../", b"/etc/passwd", b"\xed\xa0\x80", b"0" * 64, b"  ", b"\\"),
    *(b"\x1b[2J", "\u202e".encode(), b"00000000000\0", b"77777777777\0", b"\x80\0\0\0\xff\xff\xff\xff", b"ustar\0"),
)


class Seed(NamedTuple):
    """read: raises SlipwayError, or returns why what was accepted is wrong."""

    name: str
    raw: bytes
    read: Callable[[bytes], str]


def mutated(dice: random.Random, raw: bytes) -> bytes:
    """Something else, made of it: bytes changed, taken out, doubled, moved, or words put in."""
    found = bytearray(raw)
    for _count in range(dice.choice((1, 1, 1, 2, 5))):
        at, end = sorted(dice.randrange(len(found) + 1) for _end in range(2))
        end = min(end, at + dice.choice((1, 4, 40, 600)))
        word, change = dice.choice(WORDS), dice.randrange(7)
        if change == 0 and at < len(found):
            found[at] ^= 1 << dice.randrange(8)
        elif change == 1:
            del found[at:end]
        elif change == 2:
            found[at:at] = found[at:end]
        elif change == 3:
            found[at : at + len(word)] = word
        elif change == 4:
            found[at:at] = word
        elif change == 5:
            piece = found[at:end]
            del found[at:end]
            to = dice.randrange(len(found) + 1)
            found[to:to] = piece
        else:
            found = found[:at] if dice.random() < 0.3 else found + word
    return bytes(found)


def text(raw: bytes) -> str:
    """As files that ought to be texts are read."""
    return raw.decode("utf-8", "surrogateescape")


def read_envelope(raw: bytes) -> str:
    found = test_provenance.verify(text(raw))
    return "" if found == test_provenance.GOOD else f"says {found}"


def read_statement(raw: bytes) -> str:
    """It is signed, so it may say anything that can be written down."""
    found = provenance.read_statement(raw, test_provenance.SHA256)
    json.dumps(found.record()).encode()
    return ""


def read_signature(raw: bytes) -> str:
    minisign.signed_by(text(raw), [test_minisign.ONE], io.BytesIO(test_minisign.MESSAGE))
    comments = map(minisign.comment_of, (test_minisign.HASHED, test_minisign.LEGACY))
    return "" if minisign.comment_of(text(raw)) in comments else f"has the comment {minisign.comment_of(text(raw))!r}"


def read_checksums(raw: bytes) -> str:
    found = checksums.find_checksum(text(raw), "shop-linux-amd64", "SHA256SUMS")
    is_digest = len(found) in (64, 128) and not set(found) - set("0123456789abcdef")
    return "" if is_digest and found in text(raw).lower() else f"is {found!r}"


def read_bundle_manifest(raw: bytes) -> str:
    """It has one spelling."""
    return "" if manifest.as_bytes(manifest.parse(raw, MOST)) == raw else "is spelt otherwise"


def read_archive(raw: bytes) -> str:
    total = 0
    for member, content in archive.members(io.BytesIO(raw), MOST):
        total += sum(map(len, content))
        if member.name.startswith("/") or ".." in member.name.split("/"):
            return f"has {member.name!r}"
    return f"has {total} bytes" if total > MOST else ""


class Beside:
    """The manifest beside an artefact, which nothing vouches for: it is read or is not, and refuses nothing."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "shop"

    def read(self, raw: bytes) -> str:
        (self._path.parent / f"shop{build_host.SUFFIX}").write_bytes(raw)
        found = build_host.read_built(str(self._path))
        shown = "".join(map(str, found or ()))
        return "" if shown.isprintable() else f"says {found}"


def packed() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tape:
        for name, mode, content in (("shop/shop", 0o755, b"\x7fELF"), ("shop/" + "x" * 120, 0o644, b"x" * 700)):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tape.addfile(info, io.BytesIO(content))
    return made.getvalue()


def inside(pack: Callable[[bytes], bytes]) -> Callable[[bytes], str]:
    """Of an archive that was packed after it was damaged."""
    return lambda raw: read_archive(pack(raw))


def seeds(folder: Path) -> list[Seed]:
    tape = packed()
    return [
        Seed("envelope", test_provenance.envelope().encode(), read_envelope),
        Seed("statement", test_provenance.statement(), read_statement),
        Seed("minisign, hashed", test_minisign.HASHED.encode(), read_signature),
        Seed("minisign, legacy", test_minisign.LEGACY.encode(), read_signature),
        Seed("checksums", LISTING.encode(), read_checksums),
        Seed("manifest beside an artefact", json.dumps(BESIDE).encode(), Beside(folder).read),
        Seed("manifest of a bundle", manifest.as_bytes(bundles.described()), read_bundle_manifest),
        Seed("tar", tape, read_archive),
        Seed("tar in gzip", tape, inside(lambda raw: gzip.compress(raw, 1))),
        Seed("gzip", gzip.compress(tape), read_archive),
        Seed("xz", lzma.compress(tape), read_archive),
    ]


def one(seed: Seed, raw: bytes) -> tuple[str, str]:
    """How it was judged, and what is wrong with that."""
    begun = time.process_time()
    try:
        wrong, verdict = seed.read(raw), "accepted"
    except dsse.Malformed as error:
        wrong, verdict = "" if str(error) else "no reason", "refused"
    except SlipwayError as error:
        is_told = error.code and error.fix and str(error).isprintable()
        wrong, verdict = "" if is_told else f"told as {error!r}", "refused"
    except Exception:  # what must never be
        wrong, verdict = traceback.format_exc(), "traceback"
    seconds = time.process_time() - begun
    return verdict, wrong or (f"took {seconds:.1f} s" if seconds > MAX_SECONDS else "")


def run(mutations: int, seed: int) -> tuple[Counter[str], list[str]]:
    """As many of each kind; how they were judged, and what is wrong."""
    dice, verdicts, wrong = random.Random(seed), Counter[str](), []
    shm = Path("/dev/shm")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None))
        for module in (minisign, ed25519):
            stack.enter_context(mock.patch.object(module, "verify", bundles.verify_quickly))
        kinds = seeds(Path(folder))
        for number in range(mutations):
            kind = kinds[number % len(kinds)]
            raw = mutated(dice, kind.raw)
            verdict, why = one(kind, raw)
            verdicts[f"{kind.name}: {verdict}"] += 1
            if why:
                wrong.append(f"{kind.name}: {why}: {raw!r}")
    return verdicts, wrong


def main() -> int:
    mutations, begun = int(sys.argv[1]), time.monotonic()
    verdicts, wrong = run(mutations, 1)
    for name, count in sorted(verdicts.items()):
        print(f"{name}: {count}")
    for line in wrong[:20]:
        print(line[:2000])
    print(f"{mutations} mutations, {len(wrong)} wrong, {time.monotonic() - begun:.0f} s")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

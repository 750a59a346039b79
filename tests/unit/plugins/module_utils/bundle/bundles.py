# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small bundles, made of contents in memory, and what can be done to them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from ansible_collections.slipway.go.plugins.module_utils._bundle import archive, manifest, receive
from ansible_collections.slipway.go.plugins.module_utils._bundle.manifest import Entry, Manifest
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.signature import Trust
from ansible_collections.slipway.go.tests.lab.minisigner import Signer
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNER = Signer()
TRUST = Trust(keys=(SIGNER.public,))
MINISIG = f"{manifest.NAME}.minisig"
CONTENTS: Mapping[str, bytes] = MappingProxyType(
    {
        "README.txt": b"read me\n",
        "artefacts/SHA256SUMS": b"0" * 64 + b"  shop-linux-amd64\n",
        "artefacts/shop-linux-amd64": bytes(range(256)) * 9,
        "artefacts/shop-linux-amd64.cdx.json": b'{"bomFormat": "CycloneDX"}\n',
        "artefacts/shop-linux-arm64": b"arm" * 500,
        "collections/slipway-go-0.1.0.tar.gz": b"\x1f\x8b" + b"c" * 1022,
        "files/empty": b"",
        "wheels/ansible_core-2.19.14-py3-none-any.whl": b"PK" + b"w" * 700,
    }
)
KINDS = {"README.txt": "readme", "artefacts/SHA256SUMS": "checksums", "files/empty": "file"}
BY_TOP = {"collections": "collection", "files": "file", "wheels": "wheel"}


def kind(path: str) -> str:
    if path.endswith(".cdx.json"):
        return "sbom"
    return KINDS.get(path) or BY_TOP.get(path.partition("/")[0]) or "artefact"


def entry(path: str, content: bytes) -> Entry:
    return Entry(path, len(content), hashlib.sha256(content).hexdigest(), kind(path))


def described(contents: Mapping[str, bytes] = CONTENTS, name: str = "shop-2.0.0") -> Manifest:
    return Manifest(name, "2.0.0", "", tuple(entry(path, content) for path, content in sorted(contents.items())))


def signed(raw: bytes, signer: Signer = SIGNER) -> bytes:
    """The text of a signature, as it stands in a bundle."""
    text = signer.sign(raw, "version:2.0.0 file:MANIFEST.json").decode()
    return text.replace("untrusted comment: \n", "untrusted comment: signature of MANIFEST.json\n", 1).encode()


def member(path: str, content: bytes, of_kind: str = "") -> bytes:
    return archive.header(path, len(content), of_kind) + padded(content)


def padded(content: bytes) -> bytes:
    return content + bytes(archive.padding(len(content)))


@dataclass
class Bundle:
    """members: path and bytes of each, the manifest first. end: what follows them."""

    members: list[tuple[str, bytes]]
    end: bytes = archive.END
    others: dict[str, bytes] = field(default_factory=dict)

    @property
    def raw(self) -> bytes:
        return b"".join(raw for _path, raw in self.members) + self.end

    def index(self, path: str) -> int:
        return [one for one, _raw in self.members].index(path)


def of(raw: bytes, signature: bytes, contents: Mapping[str, bytes]) -> Bundle:
    beginning = [(manifest.NAME, member(manifest.NAME, raw)), (MINISIG, member(MINISIG, signature))]
    return Bundle(
        [*beginning, *((path, member(path, content, kind(path))) for path, content in sorted(contents.items()))]
    )


def good(contents: Mapping[str, bytes] = CONTENTS, name: str = "shop-2.0.0") -> Bundle:
    raw = manifest.as_bytes(described(contents, name))
    return of(raw, signed(raw), contents)


def delta(contents: Mapping[str, bytes], base: Manifest, name: str = "shop-2.1.0") -> Bundle:
    """Without what the base has."""
    found = manifest.delta(described(contents, name), base, manifest.digest(manifest.as_bytes(base)))
    raw = manifest.as_bytes(found)
    return of(raw, signed(raw), {one.path: contents[one.path] for one in found.packed})


def verify_quickly(public: bytes, signature: bytes, message: Iterable[bytes]) -> bool:
    """As _release/artefact/ed25519.py answers, whose own tests compare both; that one takes a tenth of a second."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, b"".join(message))
    except InvalidSignature:
        return False
    return True


@contextmanager
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="bundle-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Site(Path(folder))


class Site:
    """Where bundles are received. Its files need not survive a power cut."""

    def __init__(self, folder: Path) -> None:
        self.src, self.dest = folder / "shop.tar", folder / "site"

    def unpack(self, raw: bytes, check: bool = False, base: str = "", trust: Trust = TRUST) -> dict[str, object]:
        self.src.write_bytes(raw)
        return receive.unbundle(receive.Request(str(self.src), str(self.dest), trust, base, 1 << 20), check)

    def left(self) -> list[str]:
        """What is in the folder, but for the lock."""
        return sorted(path.name for path in self.dest.iterdir() if path.suffix != ".lock") if self.dest.exists() else []

    def holds(self, name: str = "shop-2.0.0") -> dict[str, bytes]:
        root = self.dest / name
        found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        return {path: content for path, content in found.items() if not path.startswith("MANIFEST.json")}

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules of several shapes, built for five architectures twice, and each program executed: `make builds`.

Each artefact is built in two folders with two caches and must have the same bytes. Its checksum, signatures and
provenance must verify, by this collection, minisign's own program and securesystemslib. It must be static, say of
itself what was asked for, and print what its source says; programs of other architectures run under qemu-user. The
module with cgo is refused first. Needs the packages minisign and qemu-user, and requirements-bench.txt. Ends with 1
where one row fails.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(CHECKOUT / ".work" / "collections"))
from ansible_collections.slipway.go.plugins.module_utils._binary.facts import read_binary
from ansible_collections.slipway.go.plugins.module_utils._build import builder
from ansible_collections.slipway.go.plugins.module_utils._build.request import REFUSE, WITHOUT, Request
from ansible_collections.slipway.go.plugins.module_utils._build.signing import Keys
from ansible_collections.slipway.go.plugins.module_utils._build.targets import parse
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import checksums, provenance
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.provenance import Policy
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.signature import Trust
from ansible_collections.slipway.go.tests.lab import build as lab
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

WORK = CHECKOUT / ".work" / "builds"
VERSION, BUILDER = "1.2.3", "https://ci.example.com/release"
REPOSITORY = "https://git.example.com/shop.git"
# The architecture, and what executes a program of it on another one.
TARGETS = {"amd64": "x86_64", "arm64": "aarch64", "arm/6": "arm", "386": "i386", "riscv64": "riscv64"}
MODULE = "module example.com/shop\n\ngo 1.21\n"
USING = """\
package main

import (
\t"fmt"
\t"runtime"

\t"example.com/lib"
)

var version string

func main() { fmt.Println(version, lib.Name, runtime.GOARCH) }
"""
LIBRARY = 'package lib\n\nvar Name = "works"\n'
PLAIN = USING.replace('\n\t"example.com/lib"\n', "").replace("lib.Name", "name") + '\nvar name = "works"\n'
SHAPES: dict[str, dict[str, str]] = {
    "plain": {"go.mod": MODULE, "main.go": PLAIN},
    "vendored": {
        "go.mod": f"{MODULE}\nrequire example.com/lib v1.0.0\n",
        "main.go": USING,
        "vendor/example.com/lib/lib.go": LIBRARY,
        "vendor/modules.txt": "# example.com/lib v1.0.0\n## explicit\nexample.com/lib\n",
    },
    "workspace": {
        "go.work": "go 1.21\n\nuse (\n\t.\n\t./lib\n)\n",
        "go.mod": MODULE,
        "main.go": USING,
        "lib/go.mod": "module example.com/lib\n\ngo 1.21\n",
        "lib/lib.go": LIBRARY,
    },
    "replaced": {
        "go.mod": f"{MODULE}\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ./lib\n",
        "main.go": USING,
        "lib/go.mod": "module example.com/lib\n",
        "lib/lib.go": LIBRARY,
    },
    "embedded": {
        "go.mod": MODULE,
        "main.go": PLAIN.replace("import (", 'import (\n\t_ "embed"').replace(
            'var name = "works"', "//go:embed name.txt\nvar name string"
        ),
        "name.txt": "works",
    },
    "cgo": {
        "go.mod": MODULE,
        "main.go": USING.replace("example.com/lib", "example.com/shop/lib"),
        "lib/with.go": 'package lib\n\n// static int one(void) { return 1; }\nimport "C"\n\n'
        'var Name = map[bool]string{true: "calls C"}[C.one() == 1]\n',
        "lib/without.go": f"//go:build !cgo\n\n{LIBRARY}",
    },
}


def git(folder: Path, *arguments: str) -> None:
    fixed = {"GIT_AUTHOR_DATE": "2026-01-31T12:00:00Z", "GIT_COMMITTER_DATE": "2026-01-31T12:00:00Z"}
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    argv = ["git", "-C", str(folder), *identity, *arguments]
    subprocess.run(argv, env={**os.environ, **fixed}, check=True, capture_output=True)


def write(folder: Path, shape: str) -> None:
    """A repository with one commit."""
    for name, text in SHAPES[shape].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")


def request(folder: Path, shape: str) -> Request:
    return Request(
        str(folder / "source"),
        str(folder / "artefacts"),
        "shop",
        tuple(map(parse, TARGETS)),
        str(WORK / "cache"),
        version=VERSION,
        variables={"version": "main.version"},
        mod="vendor" if shape == "vendored" else "auto",
        offline=True,
        verify=True,
        cgo=REFUSE,
        go=str(lab.find_go()),
        as_root=True,
        provenance_builder=BUILDER,
        provenance_repository=REPOSITORY,
    )


def require_refused(wanted: Request, keys: Keys) -> None:
    try:
        builder.build(wanted, keys, False)
    except SlipwayError as error:
        if error.code == "build_cgo" and not os.path.exists(wanted.dest):
            print(f"cgo refused: {error}")
            return
        raise
    raise SystemExit("a module that calls C was built")


def executed(path: str, goarch: str) -> str:
    native = {"x86_64": ("amd64", "386"), "aarch64": ("arm64",)}.get(os.uname().machine, ())
    emulator = next(name for target, name in TARGETS.items() if target.partition("/")[0] == goarch)
    argv = [path] if goarch in native else [f"qemu-{emulator}", path]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    return done.stdout.strip() or f"{done.returncode} {done.stderr.strip()[-200:]}"


def is_envelope_verified(text: str, public: str) -> bool:
    """By securesystemslib, which knows no signatures of ssh-keygen."""
    raw = base64.b64decode(public.splitlines()[-1])
    name = f"{int.from_bytes(raw[2:10], 'little'):016X}"
    document = json.loads(text)
    document["signatures"] = [one for one in document["signatures"] if one["keyid"] == name]
    try:
        key = SSlibKey(name, "ed25519", "ed25519", {"public": raw[10:].hex()})
        return list(Envelope.from_dict(document).verify([key], 1)) == [name]
    except VerificationError:
        return False


def faults_of_signatures(artefact: dict[str, Any], keys: Keys) -> Iterator[str]:
    """By the programs of others."""
    path = artefact["path"]
    argv = ["minisign", "-V", "-Q", "-P", keys.minisign_public.splitlines()[-1], "-m", path]
    comment = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
    if comment != f"version:{VERSION} file:{os.path.basename(path)}":
        yield f"minisign says {comment!r}"
    text = Path(artefact["provenance"]).read_text()
    if not is_envelope_verified(text, keys.minisign_public):
        yield "securesystemslib does not verify its provenance"
    if is_envelope_verified(text.replace('"payload": "ey', '"payload": "eX'), keys.minisign_public):
        yield "securesystemslib verifies a damaged provenance"


def faults(artefact: dict[str, Any], listing: str, trust: Trust) -> Iterator[str]:
    """What is wrong with one artefact."""
    path, goarch = artefact["path"], artefact["goarch"]
    facts = read_binary(path).facts
    if artefact["reproducible"] is not True:
        yield "it is not the same twice"
    if (facts["goarch"], facts["class"], facts["sha256"]) != (goarch, "static", artefact["sha256"]):
        yield f"it is {facts['goarch']}, {facts['class']}"
    if checksums.find_checksum(listing, os.path.basename(path), "") != artefact["sha256"]:
        yield "SHA256SUMS has another checksum"
    if not os.path.exists(artefact["sbom"]) or not os.path.exists(artefact["manifest"]):
        yield "it has no SBOM or no manifest"
    with tempfile.TemporaryDirectory() as scratch:
        text = Path(artefact["provenance"]).read_text()
        try:
            provenance.verify(text, artefact["sha256"], trust, Policy((BUILDER,), (REPOSITORY,)), lambda: scratch)
        except SlipwayError as error:
            yield f"its provenance: {error}"
    said = executed(path, goarch)
    if said != f"{VERSION} works {goarch}":
        yield f"it prints {said!r}"


def run(shape: str, folder: Path, keys: Keys, trust: Trust) -> int:
    """How many artefacts of that shape are wrong."""
    begun, failed = time.monotonic(), 0
    write(folder / "source", shape)
    wanted = request(folder, shape)
    if shape == "cgo":
        require_refused(wanted, keys)
        wanted = replace(wanted, cgo=WITHOUT)
    told = builder.build(wanted, keys, False)
    listing = Path(told["checksums"]).read_text()
    for artefact in told["artefacts"]:
        wrong = [*faults(artefact, listing, trust), *faults_of_signatures(artefact, keys)]
        failed += bool(wrong)
        print(f"{shape} {artefact['target']}: {'; '.join(wrong) or 'passed'}")
    if builder.build(wanted, keys, False)["changed"]:
        print(f"{shape}: a second run changes something")
        failed += 1
    print(f"{shape}: {time.monotonic() - begun:.0f} s", flush=True)
    return failed


def make_keys(folder: Path) -> Keys:
    secret, public, ssh = (str(folder / name) for name in ("minisign", "minisign.pub", "ssh"))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ssh], check=True)
    subprocess.run(["minisign", "-G", "-W", "-s", secret, "-p", public], check=True, capture_output=True)
    return Keys(minisign_key=secret, minisign_public=Path(public).read_text(), ssh_key=ssh)


def main() -> int:
    (WORK / "cache").mkdir(parents=True, exist_ok=True)
    programs = ["minisign", *(f"qemu-{name}" for name in TARGETS.values())]
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        raise SystemExit(f"{', '.join(missing)} is not here: install the packages minisign and qemu-user")
    with tempfile.TemporaryDirectory(prefix="slipway-builds-") as temporary:
        place = Path(temporary)
        keys = make_keys(place)
        trust = Trust(
            keys=(keys.minisign_public,), allowed_signers=f"ci {(place / 'ssh.pub').read_text()}", signer="ci"
        )
        failed = sum(run(shape, place / shape, keys, trust) for shape in SHAPES)
    print(f"{len(SHAPES)} modules x {len(TARGETS)} architectures: {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

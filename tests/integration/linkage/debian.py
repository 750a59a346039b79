# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages and whole Debian trees as input that no one here wrote. Nothing is installed on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
WORK = Path(os.environ.get("SLIPWAY_LINKAGE_WORK", CHECKOUT / ".work" / "linkage"))
MIRROR = os.environ.get("SLIPWAY_DEBIAN_MIRROR", "http://deb.debian.org/debian")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


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
    if not any(home.glob("lists/*Packages*")):
        subprocess.run(["apt-get", "update", "-qq"], env=environment, check=True)
    return environment


def unpacked(suite: str, package: str) -> Path | None:
    """The package's files below a directory of their own; None where the suite does not have it."""
    target = WORK / "packages" / suite / package
    if target.is_dir():
        return target
    download = WORK / "download"
    shutil.rmtree(download, ignore_errors=True)
    download.mkdir(parents=True)
    done = subprocess.run(
        ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package],
        cwd=download,
        env=_apt(suite),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        return None
    partial = target.with_name(package + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    subprocess.run(["dpkg-deb", "-x", str(next(download.glob("*.deb"))), str(partial)], check=True)
    partial.rename(target)
    return target


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
    if not (target / ".done").exists():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        include = "python3-minimal,gcc,git,curl,openssl,perl"
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={include}", suite, str(target), MIRROR],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (target / ".done").touch()
    return target

"""Lay out a collections path: pinned collections from the PyPI package `ansible`, and this checkout as slipway.go.

PyPI serves where Galaxy does not, and one wheel pins every dependency at once. Standard library only.

Usage: collections_path.py DEST [--copy]
  DEST    becomes a collections path (DEST/ansible_collections/…)
  --copy  copy the files git knows instead of linking the checkout: ansible-test resolves symlinks
          and then refuses a directory that is not named slipway/go
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "ansible==12.3.0"
WANTED = (
    "ansible/posix",
    "awx/awx",
    "community/general",
    "community/docker",
    "community/library_inventory_filtering_v1",
)
CHECKOUT = Path(__file__).resolve().parents[2]


def unpack_dependencies(root: Path) -> None:
    stamp = root / ".dependencies"
    holds = " ".join((WHEEL, *WANTED))
    if stamp.exists() and stamp.read_text() == holds:
        return
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", tmp, WHEEL], check=True
        )
        wheel = next(Path(tmp).glob("*.whl"))
        prefixes = tuple(f"ansible_collections/{name}/" for name in WANTED)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(root, [n for n in archive.namelist() if n.startswith(prefixes)])
    stamp.write_text(holds)


def link_checkout(target: Path) -> None:
    if target.is_symlink() and target.resolve() == CHECKOUT:
        return
    if target.is_symlink():
        target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(CHECKOUT)


def copy_checkout(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    listed = subprocess.run(
        ["git", "-C", str(CHECKOUT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    for name in listed.decode().split("\0"):
        source = CHECKOUT / name
        if not name or not source.is_file():
            continue
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copy)


def main(argv: list[str]) -> int:
    if not argv or argv[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    root = Path(argv[0])
    root.mkdir(parents=True, exist_ok=True)
    target = root / "ansible_collections" / "slipway" / "go"
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unpack_dependencies(root)
        (copy_checkout if "--copy" in argv[1:] else link_checkout)(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

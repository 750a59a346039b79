# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mount options of the partitions that a host has for /home, /var and others. PRIVATE to the collection."""

from __future__ import annotations

import os
import re
import stat
import time
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

_QUIET = ("nosuid", "nodev")
# Packages run scripts in /var, operators run programs in /home, and services run in /opt and /srv. From a file system
# with nosuid, SELinux would start a service in the domain of systemd unless its policy says otherwise.
# Debian's policy does not, and dpkg is refused the scripts of packages in /var/lib/dpkg.
OPTIONS: Mapping[str, Sequence[str]] = {
    "/boot": (*_QUIET, "noexec"),
    "/home": _QUIET,
    "/opt": ("nodev",),
    "/srv": ("nodev",),
    "/var": _QUIET,
    "/var/log": (*_QUIET, "noexec"),
    "/var/log/audit": (*_QUIET, "noexec"),
    "/var/tmp": (*_QUIET, "noexec"),  # noqa: S108
}
# A bind mount shows what another partition has, and those that are fetched may need a server that is away.
DISKS = ("btrfs", "ext2", "ext3", "ext4", "f2fs", "xfs")
_SELINUX = "selinuxfs"
_SCRIPTS = "/var"
_BINDS = ("bind", "rbind")
# Of the attribute that holds a file's capabilities, which nosuid takes away.
_CAPABILITIES = "security.capability"
SECONDS = 60.0

Needs = Callable[[str], Optional[str]]


@dataclass(frozen=True)
class Row:
    source: str
    path: str
    kind: str
    options: Sequence[str]

    @property
    def is_disk(self) -> bool:
        return self.kind in DISKS and not set(_BINDS) & set(self.options)


def rows(text: str) -> Mapping[str, Row]:
    """What a table of mounts says of these paths; the last one is on top."""
    fields = [line.split() for line in text.splitlines() if not line.lstrip().startswith("#")]
    return {one[1]: Row(one[0], one[1], one[2], one[3].split(",")) for one in fields if one[3:] and one[1] in OPTIONS}


def held(mounts: str, fstab: str) -> dict[str, set[str]]:
    """The partitions that fstab mounts from a disk, with the options that each has now and at the next boot."""
    now, configured = rows(mounts), rows(fstab)
    both = [path for path in sorted(now) if now[path].is_disk and path in configured and configured[path].is_disk]
    return {path: set(now[path].options) & set(configured[path].options) for path in both}


def wanted(path: str, mounts: str) -> list[str]:
    """The options that a partition is to have on this host."""
    quiet = path != _SCRIPTS or not _has_selinux(mounts)
    return [one for one in OPTIONS[path] if quiet or one != "nosuid"]


def _has_selinux(mounts: str) -> bool:
    return any(line.split()[2:3] == [_SELINUX] for line in mounts.splitlines())


def _stops_packages(mounts: str) -> bool:
    row = rows(mounts).get(_SCRIPTS)
    return row is not None and "nosuid" in row.options and _has_selinux(mounts)


def lacking(mounts: str, fstab: str) -> dict[str, list[str]]:
    """The options that such a partition lacks, now or at the next boot."""
    found = {path: [one for one in wanted(path, mounts) if one not in has] for path, has in held(mounts, fstab).items()}
    return {path: options for path, options in found.items() if options}


def with_options(fstab: str, wanted: Mapping[str, Sequence[str]]) -> str:
    """fstab with these options beside those that the paths have in it; nothing else changes."""
    return "".join(_line(line, wanted) for line in fstab.splitlines(keepends=True))


def _line(line: str, wanted: Mapping[str, Sequence[str]]) -> str:
    match = re.match(r"(\s*[^#\s]\S*\s+(\S+)\s+\S+\s+)(\S+)(.*)$", line, re.DOTALL)
    if not match or match.group(2) not in wanted:
        return line
    head, path, options, tail = match.groups()
    opposites = [option[2:] for option in wanted[path]]
    kept = [one for one in options.split(",") if one not in opposites and one not in wanted[path]]
    return head + ",".join([*kept, *wanted[path]]) + tail


def survey(mounts: str, fstab: str, restrict: bool, needs: Optional[Needs] = None) -> dict[str, Any]:
    """What is to be restricted, with the fstab that does it, and what is left alone, with the reason."""
    options = lacking(mounts, fstab) if restrict else {}
    found = {path: (needs or needs_more)(path) for path in options}
    left = {path: why for path, why in found.items() if why}
    if restrict and _stops_packages(mounts):
        left[_SCRIPTS] = "with its nosuid, SELinux refuses dpkg the scripts of packages there"
    restricted = {path: lacks for path, lacks in options.items() if path not in left}
    closed = [path for path, row in rows(mounts).items() if "noexec" in (*row.options, *restricted.get(path, ()))]
    return {
        "options": restricted,
        "left": left,
        "fstab": with_options(fstab, restricted) if restricted else "",
        "noexec": sorted(closed),
    }


def needs_more(path: str, seconds: float = SECONDS) -> Optional[str]:
    """The first thing below a path that nosuid or nodev would take away; None where there is nothing."""
    deadline = time.monotonic() + seconds
    for entry in _entries(path, os.lstat(path).st_dev):
        if time.monotonic() > deadline:
            return f"it has more files than can be looked at in {seconds:g} s"
        why = _needs(entry)
        if why:
            return why
    return None


def _entries(top: str, device: int) -> Iterator[os.DirEntry[str]]:
    """All that is below a folder, on the same file system."""
    folders = [top]
    while folders:
        try:
            with os.scandir(folders.pop()) as scanned:
                entries = list(scanned)
        except OSError:
            continue
        yield from entries
        folders += [entry.path for entry in entries if _is_folder(entry, device)]


def _is_folder(entry: os.DirEntry[str], device: int) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_dev == device
    except OSError:
        return False


def _needs(entry: os.DirEntry[str]) -> Optional[str]:
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
    except OSError:
        return None
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        return f"{entry.path} is a device"
    if not stat.S_ISREG(mode) or not mode & 0o111:
        return None
    if mode & stat.S_ISUID or (mode & stat.S_ISGID and mode & stat.S_IXGRP):
        return f"{entry.path} runs as its owner"
    return f"{entry.path} has capabilities" if _has_capabilities(entry.path) else None


def _has_capabilities(path: str) -> bool:
    try:
        return bool(os.getxattr(path, _CAPABILITIES, follow_symlinks=False))
    except OSError:
        return False

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which partitions lack mount options, the fstab that gives them, and what keeps a partition as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._hardening import partitions

FSTAB = """# <file system> <mount point> <type> <options> <dump> <pass>
UUID=1 / ext4 errors=remount-ro 0 1
UUID=2\t/home\txfs\tdefaults,usrquota,suid  0 2  # of the users
# UUID=3 /srv ext4 defaults 0 2
UUID=4 /var/log ext4 nosuid,nodev,noexec 0 2
"""
MOUNTS = """/dev/vda1 / ext4 rw,relatime 0 0
/dev/vda2 /home xfs rw,relatime,usrquota 0 0
/dev/vda3 /srv ext4 rw,relatime 0 0
/dev/vda4 /var/log ext4 rw,nosuid,nodev,relatime 0 0
"""
MISSING = {"/home": ["nosuid", "nodev"], "/var/log": ["noexec"]}


def nothing(_path: str) -> None:
    return None


def test_options_are_needed_now_and_at_the_next_boot() -> None:
    """/srv is no line of fstab, and / is never restricted."""
    assert partitions.lacking(MOUNTS, FSTAB) == MISSING


def test_fstab_keeps_all_but_the_options_of_these_paths() -> None:
    assert partitions.with_options(FSTAB, MISSING) == FSTAB.replace(
        "defaults,usrquota,suid", "defaults,usrquota,nosuid,nodev"
    )


def test_what_fstab_gives_is_lacking_no_more() -> None:
    fstab = partitions.with_options(FSTAB, MISSING)
    mounts = MOUNTS.replace("rw,", "rw,nosuid,nodev,noexec,")
    assert partitions.lacking(mounts, fstab) == {}
    assert partitions.survey(mounts, fstab, True, nothing) == {
        "options": {},
        "left": {},
        "fstab": "",
        "noexec": ["/home", "/srv", "/var/log"],
    }


@pytest.mark.parametrize(
    ("kind", "options"),
    [("nfs4", "defaults"), ("none", "bind"), ("ext4", "rbind"), ("tmpfs", "size=1g"), ("vfat", "ro")],
)
def test_only_file_systems_on_disks_are_restricted(kind: str, options: str) -> None:
    row = f"UUID=2 /home {kind} {options} 0 2\n"
    assert partitions.lacking(row, row) == {}


def test_the_last_mount_is_on_top() -> None:
    mounts = "systemd-1 /boot autofs rw 0 0\n/dev/vda2 /boot ext4 rw 0 0\n"
    fstab = "UUID=2 /boot ext4 noauto,x-systemd.automount 0 2\n"
    assert partitions.lacking(mounts, fstab) == {"/boot": ["nosuid", "nodev", "noexec"]}


VAR = "/dev/vda5 /var ext4 rw,relatime 0 0\n"
SELINUX = "selinuxfs /sys/fs/selinux selinuxfs rw,nosuid,noexec,relatime 0 0\n"


@pytest.mark.parametrize(("mounts", "options"), [(VAR, ["nosuid", "nodev"]), (SELINUX + VAR, ["nodev"])])
def test_selinux_lets_packages_run_their_scripts_only_without_nosuid(mounts: str, options: list[str]) -> None:
    """dpkg ended with "Permission denied" on a machine whose /var had nosuid, with Debian's policy enforcing."""
    assert partitions.lacking(mounts, VAR) == {"/var": options}
    assert partitions.survey(mounts, VAR, True, nothing)["options"] == {"/var": options}


@pytest.mark.parametrize(
    ("mounts", "told"), [(VAR, False), (SELINUX + VAR, False), (SELINUX + VAR.replace("rw", "rw,nosuid"), True)]
)
def test_a_partition_whose_nosuid_stops_packages_is_told(mounts: str, told: bool) -> None:
    assert ("/var" in partitions.survey(mounts, VAR, True, nothing)["left"]) is told
    assert partitions.survey(mounts, VAR, False, nothing)["left"] == {}


def test_a_partition_with_programs_that_need_more_is_left() -> None:
    def needs(path: str) -> str | None:
        return "/home/x/su runs as its owner" if path == "/home" else None

    found = partitions.survey(MOUNTS, FSTAB, True, needs)
    assert found["options"] == {"/var/log": ["noexec"]}
    assert found["left"] == {"/home": "/home/x/su runs as its owner"}
    assert found["fstab"] == FSTAB
    assert found["noexec"] == ["/var/log"]


def test_nothing_is_looked_at_where_it_is_not_asked_for() -> None:
    def needs(path: str) -> str:
        raise AssertionError(path)

    assert partitions.survey(MOUNTS, FSTAB, False, needs)["options"] == {}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (0o755, None),
        (0o4755, "runs as its owner"),
        (0o2755, "runs as its owner"),
        (0o4644, None),
        (0o2644, None),
    ],
)
def test_a_program_that_runs_as_its_owner_is_found(tmp_path: Path, mode: int, expected: str | None) -> None:
    (tmp_path / "below").mkdir(mode=0o2755)
    (tmp_path / "link").symlink_to("/usr/bin/su")
    program = tmp_path / "below" / "program"
    program.touch()
    program.chmod(mode)
    found = partitions.needs_more(str(tmp_path))
    assert found == (expected and f"{program} {expected}")


def test_a_program_with_capabilities_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "program").touch(mode=0o755)
    monkeypatch.setattr(os, "getxattr", lambda *_words, **_more: b"\x01")
    assert partitions.needs_more(str(tmp_path)) == f"{tmp_path / 'program'} has capabilities"


def test_a_look_has_its_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert partitions.needs_more(str(tmp_path), -1) == "it has more files than can be looked at in -1 s"

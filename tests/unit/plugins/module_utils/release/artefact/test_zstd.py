# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives in zstd, where the machine has the program."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import time

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import command
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import archive, zstd

MIB = 1 << 20
needs_zstd = pytest.mark.skipif(shutil.which("zstd", path=command.PATH) is None, reason="no zstd here")


def packed(**files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tape:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tape.addfile(info, io.BytesIO(content))
    return made.getvalue()


def compressed(data, *arguments):
    return subprocess.run(["zstd", "-q", "-c", *arguments], input=data, stdout=subprocess.PIPE, check=True).stdout


def read(data, most=MIB):
    return {member.name: b"".join(content) for member, content in archive.members(io.BytesIO(data), most)}


def refused(code, act):
    with pytest.raises(SlipwayError) as caught:
        act()
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)
    return caught.value


def children():
    """Programs of this process that have not been waited for."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as stream:
        return stream.read().split()


@needs_zstd
@pytest.mark.parametrize("arguments", [(), ("--ultra", "-20"), ("--long=27",), ("--check",)])
def test_what_is_packed_arrives(arguments, tmp_path):
    files = {"shop": os.urandom(300_000), "empty": b"", "text": b"x" * 100_000}
    data = compressed(packed(**files), *arguments)
    assert read(data) == files
    (tmp_path / "shop.bin").write_bytes(data)
    assert archive.is_archive(str(tmp_path / "shop.bin"))
    assert archive.survey(str(tmp_path / "shop.bin"), MIB).total == 400_000
    assert not children()


@needs_zstd
def test_several_frames_are_one_archive():
    whole = packed(shop=os.urandom(9000))
    assert set(read(b"".join(compressed(whole[at : at + 4000]) for at in range(0, len(whole), 4000)))) == {"shop"}


@needs_zstd
def test_all_of_the_file_is_read_by_who_reads_it_to_its_end():
    """The engine takes the digest of what it has unpacked on the way."""
    raw = io.BytesIO(compressed(packed(shop=b"x" * 200_000)))
    assert [member.name for member, _content in archive.members(raw, MIB)] == ["shop"]
    assert raw.read() == b""


@needs_zstd
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_damage_is_told(share):
    data = compressed(packed(shop=os.urandom(300_000)), "--check")
    refused("damaged_archive", lambda: read(data[: int(len(data) * share)]))
    assert "zstd ended with 1" in str(refused("damaged_archive", lambda: read(zstd.MAGIC + b"no frame" * 99)))
    changed = bytearray(data)
    changed[int(len(data) * share)] ^= 0xFF
    with pytest.raises(SlipwayError):
        read(bytes(changed))
    assert not children()


@needs_zstd
def test_a_bomb_is_refused_by_its_header_and_nothing_runs_on():
    bomb = compressed(packed(shop=bytes(64 * MIB)))
    assert len(bomb) < MIB // 8
    begun = time.monotonic()
    refused("archive_too_large", lambda: read(bomb))
    assert time.monotonic() - begun < 5
    assert not children()


@needs_zstd
def test_a_window_that_takes_much_memory_is_refused():
    data = bytearray(compressed(packed(shop=os.urandom(3000)), "--no-check"))
    assert data[4] & 0x20 == 0, "not one segment, so that the next byte is the size of the window"
    data[5] = (31 - 10) << 3  # 2 GiB
    assert "zstd ended with 1" in str(refused("damaged_archive", lambda: read(bytes(data))))


def test_without_the_program_the_fix_says_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PATH", str(tmp_path))
    (tmp_path / "shop.tar.zst").write_bytes(zstd.MAGIC + bytes(600))
    error = refused("foreign_archive", lambda: archive.is_archive(str(tmp_path / "shop.tar.zst")))
    assert "has no program zstd" in error.message
    assert error.fix.startswith("install zstd")


@pytest.mark.parametrize("script", ["exec sleep 60", "cat >/dev/null; exec sleep 60", "exec 0<&-; exec sleep 60"])
def test_a_program_that_hangs_is_ended_in_time(script, tmp_path, monkeypatch):
    program = tmp_path / "zstd"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(command, "PATH", f"{tmp_path}:{command.PATH}")
    stream = zstd.Decompressed(zstd.MAGIC, io.BytesIO(os.urandom(300_000)), 0.4)
    begun = time.monotonic()
    with pytest.raises(zstd.ZstdError, match=r"within 0\.4 s"):
        stream.read(10)
    stream.close()
    assert time.monotonic() - begun < 5
    assert not children()

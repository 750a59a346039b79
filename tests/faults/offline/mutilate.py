"""Copies of a bundle, each with something else wrong, and what the program beside it says of them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

BLOCK, BEGINNING = 512, 2


class Member(NamedTuple):
    """start: of its header; end: behind its padding."""

    name: str
    start: int
    size: int
    end: int


def members(path: Path) -> list[Member]:
    found, at = [], 0
    with path.open("rb") as stream:
        while True:
            stream.seek(at)
            block = stream.read(BLOCK)
            if not any(block):
                return found
            name = block[345:500].rstrip(b"\0") + b"/" + block[:100].rstrip(b"\0")
            size = int(block[124:135], 8)
            end = at + BLOCK + size + -size % BLOCK
            found.append(Member(name.decode().lstrip("/"), at, size, end))
            at = end


def checked(block: bytes) -> bytes:
    """With the checksum that it has."""
    total = sum(block[:148]) + 8 * 0x20 + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


Change = Callable[[bytes, Member, random.Random], bytes]


def flipped(raw: bytes, one: Member, chance: random.Random) -> bytes:
    at = one.start + BLOCK + chance.randrange(one.size)
    return raw[:at] + bytes([raw[at] ^ (1 << chance.randrange(8))]) + raw[at + 1 :]


def flipped_header(raw: bytes, one: Member, chance: random.Random) -> bytes:
    at = one.start + chance.randrange(BLOCK)
    return raw[:at] + bytes([raw[at] ^ (1 << chance.randrange(8))]) + raw[at + 1 :]


def cut(raw: bytes, one: Member, chance: random.Random) -> bytes:
    return raw[: chance.randrange(one.start + 1, one.end)]


def dropped(raw: bytes, one: Member, _chance: random.Random) -> bytes:
    return raw[: one.start] + raw[one.end :]


def doubled(raw: bytes, one: Member, _chance: random.Random) -> bytes:
    return raw[: one.end] + raw[one.start :]


def linked(raw: bytes, one: Member, chance: random.Random) -> bytes:
    block = raw[one.start : one.start + BLOCK]
    block = (
        block[:124] + b"0" * 11 + b"\0" + block[136:156] + chance.choice([b"1", b"2", b"3", b"5", b"6"]) + block[157:]
    )
    return raw[: one.start] + checked(block) + raw[one.end :]


def renamed(raw: bytes, one: Member, chance: random.Random) -> bytes:
    name = chance.choice([b"../evil", b"/etc/evil", b"evil\n", b"EVIL", b"MANIFEST.json"])
    block = name.ljust(100, b"\0") + raw[one.start + 100 : one.start + BLOCK]
    return raw[: one.start] + checked(block[:345] + bytes(155) + block[500:]) + raw[one.start + BLOCK :]


def followed(raw: bytes, one: Member, chance: random.Random) -> bytes:
    return raw + chance.choice([b"x", bytes(BLOCK), raw[one.start : one.end]])


CHANGES: tuple[Change, ...] = (flipped, flipped_header, cut, dropped, doubled, linked, renamed, followed)


def copies(bundle: Path, count: int) -> Iterator[tuple[str, bytes, list[str]]]:
    """What was done, the bytes, and names of which the refusal has to have one."""
    raw, chance = bundle.read_bytes(), random.Random(2026)
    found = members(bundle)
    for number in range(count):
        change = CHANGES[number % len(CHANGES)]
        whole = change in (flipped, flipped_header, cut)
        one = chance.choice([one for one in found[0 if whole else BEGINNING :] if one.size])
        names = [one.name, "MANIFEST.json"] if one in found[:BEGINNING] else [one.name]
        if change is followed:
            names = ["follow the end of the archive"]
        yield f"{change.__name__} {one.name}", change(raw, one, chance), names


def run(bundle: Path, signers: Path, site: Path, folder: Path, count: int) -> list[str]:
    """Those that were not refused as they should be."""
    dest, program = folder / "dest", bundle.parent / "slipway-unbundle.pyz"
    dest.mkdir(parents=True, exist_ok=True)
    copy, bad = folder / bundle.name, []
    for what, raw, names in copies(bundle, count):
        copy.write_bytes(raw)
        argv = [str(program), str(copy), "--dest", str(dest), "--allowed-signers", str(signers)]
        argv += ["--base", str(site / "shop-1.0.0")]
        done = subprocess.run([sys.executable, "-IS", *argv], capture_output=True, text=True, check=False)
        left = [name for name in os.listdir(dest) if not name.endswith(".lock")]
        if done.returncode != 1 or left or not any(name in done.stderr for name in names) or "Traceback" in done.stderr:
            bad.append(f"{what}: {done.returncode} {left} {done.stdout}{done.stderr}".strip())
    return bad

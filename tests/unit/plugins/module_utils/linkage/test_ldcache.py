# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct

import pytest
from ansible_collections.slipway.go.plugins.module_utils._linkage import ldcache
from ansible_collections.slipway.go.plugins.module_utils._linkage.ldcache import LdCache, Rules, name_key

NAMED = 1 << 62
X86 = 0x303


def build(entries, hwcaps=(), order="<", marker=None, prefix=b""):
    """entries: name, path, flags, hwcap word; the last may be a name of hwcaps."""
    entries = sorted(entries, key=lambda e: (name_key(e[0].encode()), isinstance(e[3], str)), reverse=True)
    strings = bytearray()
    start = 48 + 24 * len(entries)

    def string(text: str) -> int:
        at = start + len(strings)
        strings.extend(text.encode() + b"\0")
        return at

    names = sorted(hwcaps)
    indexes = [len(prefix) + string(name) for name in names]
    rows = b""
    for name, path, flags, hwcap in entries:
        word = NAMED | names.index(hwcap) if isinstance(hwcap, str) else hwcap
        rows += struct.pack(order + "iIIIQ", flags, string(name), string(path), 0, word)
    strings.extend(b"\0" * (-(start + len(strings)) % 4))
    extension = len(prefix) + start + len(strings)
    data = struct.pack(order + f"{len(indexes)}I", *indexes)
    table = struct.pack(order + "II", ldcache.EXTENSION_MAGIC, 1)
    table += struct.pack(order + "IIII", 1, 0, extension + 24, len(data))
    wanted = 2 if order == "<" else 3
    head = ldcache.NEW_MAGIC + struct.pack(
        order + "IIB3xI12x", len(entries), len(strings), wanted if marker is None else marker, extension
    )
    return prefix + head + rows + bytes(strings) + table + data


def rules(hwcaps=(), legacy=lambda word: False):
    return Rules((X86,), tuple(hwcaps), legacy)


PLAIN = [(f"lib{n}.so.{v}", f"/lib/lib{n}.so.{v}", X86, 0) for n in "abcxyz" for v in (1, 2, 9, 10, 11, 100)]


def test_names_are_found_whatever_their_numbers():
    cache = LdCache(build(PLAIN), "little")
    for name, path, _ignored, _ignored in PLAIN:
        assert cache.lookup(name, rules()) == path
    for name in ("liba.so.3", "lib.so", "", "libzz.so.1", "a", "\xff"):
        assert cache.lookup(name, rules()) is None


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("liba.so.9", "liba.so.10"),
        ("liba", "libb"),
        ("liba.so", "liba.so.1"),
        ("lib-x", "lib1"),
        ("libz.so", "lib1.so"),
    ],
)
def test_order(small, large):
    assert name_key(small.encode()) < name_key(large.encode())


def test_entries_for_other_loaders_are_passed_over():
    cache = LdCache(build([("liba.so.1", "/lib32/liba.so.1", 3, 0), ("liba.so.1", "/lib/liba.so.1", X86, 0)]), "little")
    assert cache.lookup("liba.so.1", rules()) == "/lib/liba.so.1"
    assert cache.lookup("liba.so.1", Rules((0xA03,), (), lambda word: False)) is None


def test_the_best_hwcaps_directory_that_is_usable():
    entries = [
        ("liba.so.1", "/v2/liba.so.1", X86, "x86-64-v2"),
        ("liba.so.1", "/v3/liba.so.1", X86, "x86-64-v3"),
        ("liba.so.1", "/lib/liba.so.1", X86, 0),
    ]
    cache = LdCache(build(entries, ["x86-64-v2", "x86-64-v3"]), "little")
    assert cache.lookup("liba.so.1", rules(["x86-64-v4", "x86-64-v3", "x86-64-v2"])) == "/v3/liba.so.1"
    assert cache.lookup("liba.so.1", rules(["x86-64-v2"])) == "/v2/liba.so.1"
    assert cache.lookup("liba.so.1", rules()) == "/lib/liba.so.1"


def test_legacy_words_only_where_the_loader_knows_them():
    entries = [("liba.so.1", "/lib/haswell/liba.so.1", X86, 1 << 50)]
    cache = LdCache(build(entries), "little")
    assert cache.lookup("liba.so.1", rules()) is None
    assert cache.lookup("liba.so.1", rules(legacy=lambda word: word == 1 << 50)) == "/lib/haswell/liba.so.1"


def test_behind_a_table_of_the_old_format():
    prefix = ldcache.OLD_MAGIC + b"\0" + struct.pack("<I", 2) + bytes(24)
    prefix += b"\0" * (-len(prefix) % 8)
    entries = [("liba.so.1", "/v3/liba.so.1", X86, "x86-64-v3"), *PLAIN]
    cache = LdCache(build(entries, ["x86-64-v3"], prefix=prefix), "little")
    assert cache.lookup("libz.so.100", rules()) == "/lib/libz.so.100"
    assert cache.lookup("liba.so.1", rules(["x86-64-v3"])) == "/v3/liba.so.1"


def test_of_the_other_byte_order():
    assert LdCache(build(PLAIN, order=">"), "big").lookup("liba.so.1", rules()) == "/lib/liba.so.1"
    assert LdCache(build(PLAIN, order=">"), "little").lookup("liba.so.1", rules()) is None
    assert LdCache(build(PLAIN, marker=0), "little").lookup("liba.so.1", rules()) == "/lib/liba.so.1"
    assert LdCache(build(PLAIN, marker=1), "little").lookup("liba.so.1", rules()) is None


def test_damage_means_no_cache():
    whole = build([("liba.so.1", "/v2/liba.so.1", X86, "x86-64-v2"), *PLAIN], ["x86-64-v2"])
    for size in range(0, len(whole), 7):
        LdCache(whole[:size], "little").lookup("liba.so.1", rules(["x86-64-v2"]))
    many = bytearray(whole)
    struct.pack_into("<I", many, 20, 0xFFFFFFFF)
    assert LdCache(bytes(many), "little").lookup("liba.so.1", rules()) is None


def test_no_file_and_no_regular_file(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        assert ldcache.read_cache(str(path), "little").lookup("liba.so.1", rules()) is None

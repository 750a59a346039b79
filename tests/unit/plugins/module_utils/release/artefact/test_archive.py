# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives from anybody: what is in them arrives, and nothing else happens."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import signal
import struct
import subprocess
import tarfile
import tracemalloc
import zlib
from contextlib import contextmanager

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import archive
from hypothesis import assume, example, given
from hypothesis import strategies as st

MIB = 1 << 20
ELF = b"\x7fELF the program"
PACKERS = {"tar": bytes, "gz": gzip.compress, "xz": lzma.compress}


def entry(name, content=b"", **changes):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def pack(*entries, form=tarfile.PAX_FORMAT, **options):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form, **options) as tape:
        for info, content in entries:
            tape.addfile(info, io.BytesIO(content))
    return made.getvalue()


def folder(name, **changes):
    return entry(name, type=tarfile.DIRTYPE, **{"mode": 0o755, **changes})


def program(name="shop", content=ELF):
    return entry(name, content, mode=0o755)


def header(name=b"a", size=b"00000000000\0", kind=b"0", mode=b"0000644\0", magic=b"ustar\x0000", prefix=b"", link=b""):
    """A raw header with a right checksum, for what no tool would write."""
    block = bytearray(512)
    for at, value in ((0, name), (100, mode), (124, size), (156, kind), (157, link), (257, magic), (345, prefix)):
        block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


END = bytes(1024)


@pytest.fixture
def file(tmp_path):
    def write(data):
        path = tmp_path / "archive"
        path.write_bytes(data)
        return str(path)

    return write


def read(data, most=MIB):
    return {member.name: b"".join(content) for member, content in archive.members(io.BytesIO(data), most)}


def refused(code, data, *words, most=MIB):
    with pytest.raises(SlipwayError) as caught:
        read(data, most)
    assert caught.value.code == code
    assert caught.value.fix
    assert "release_src" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@contextmanager
def within(seconds):
    """Fail what takes longer, instead of waiting for it for ever."""

    def late(_number, _frame):
        pytest.fail(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


CODES = ("damaged_archive", "unsafe_archive", "archive_too_large")


def attempt(data):
    """What is in it, or None where it was refused with a fix; anything else raises."""
    try:
        with within(20):
            return read(data)
    except SlipwayError as error:
        return None if error.fix and error.code in CODES else pytest.fail(str(error))


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_is_packed_arrives(file, packer, form):
    files = {"shop": os.urandom(100_000), "static/a.css": b"body", "static/empty": b"", "README.md": b"x" * 512}
    data = PACKERS[packer](pack(folder("./static/"), *(entry(name, c) for name, c in files.items()), form=form))
    assert read(data) == files
    assert archive.is_archive(file(data))
    assert archive.survey(file(data), MIB).total == sum(map(len, files.values()))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_other_letters(form):
    names = ["a" * 200 + "/" + "b" * 200, "static/ä€/" + "c" * 120, "x/" * 20 + "y"]
    assert set(read(pack(*(entry(name, b"1") for name in names), form=form))) == set(names)


def test_a_name_in_two_fields():
    name = "d" * 100 + "/" + "e" * 90
    assert set(read(pack(entry(name, b"1"), form=tarfile.USTAR_FORMAT))) == {name}


@pytest.mark.skipif(shutil.which("tar") is None, reason="tar is not installed")
@pytest.mark.parametrize("flags", [["--format=gnu"], ["--format=pax"], ["--format=ustar"], ["--format=gnu", "-z"]])
def test_what_tar_writes(tmp_path, flags):
    tree = tmp_path / "tree" / "shop-1.0"
    (tree / "static").mkdir(parents=True)
    os.chmod(tree / "static", 0o2775)  # a folder's setgid bit says nothing about the release
    (tree / "shop").write_bytes(ELF)
    (tree / "shop").chmod(0o755)
    (tree / "static" / "a").write_bytes(b"1")
    made = tmp_path / "made.tar"
    subprocess.run(["tar", "-C", tmp_path / "tree", *flags, "-cf", made, "."], check=True)
    found = archive.survey(str(made), MIB)
    assert {member.name: member.executable for member in found.files} == {
        "shop-1.0/shop": True,
        "shop-1.0/static/a": False,
    }
    assert found.top == "shop-1.0"
    assert found.inside("shop-1.0/static/a") == "static/a"


ESCAPES = ["/etc/passwd", "../x", "a/../../x", "a/..", "..", "//x", "./../x", "a/b/../../../x", "/"]


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_paths_that_lead_out(name, form):
    for member in (entry(name, b"1"), folder(name)):
        refused("unsafe_archive", pack(program(), member, form=form))


@pytest.mark.parametrize("name", ESCAPES)
def test_paths_that_lead_out_in_a_pax_header(name):
    refused("unsafe_archive", pack(entry("harmless", b"1", pax_headers={"path": name})))


def test_a_path_that_leads_out_only_when_its_parts_are_joined():
    refused("unsafe_archive", header(name=b"x", prefix=b"..") + END)
    refused("unsafe_archive", header(name=b"x", prefix=b"/etc") + END)


KINDS = {
    "symbolic link": (tarfile.SYMTYPE, "a symbolic link"),
    "hard link": (tarfile.LNKTYPE, "a hard link"),
    "character device": (tarfile.CHRTYPE, "a character device"),
    "block device": (tarfile.BLKTYPE, "a block device"),
    "fifo": (tarfile.FIFOTYPE, "a fifo"),
    "contiguous": (tarfile.CONTTYPE, "a contiguous file"),
    "sparse": (tarfile.GNUTYPE_SPARSE, "a sparse file"),
    "unknown": (b"Z", "kind b'Z'"),
    "volume": (b"V", "kind b'V'"),
    "multi-volume": (b"M", "kind b'M'"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_and_no_folder(kind):
    letter, words = KINDS[kind]
    refused("unsafe_archive", header(name=b"x", kind=letter, link=b"shop") + END, words, "'x'")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc", "shop", "."])
def test_a_link_and_what_would_go_through_it(target):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        refused(
            "unsafe_archive", pack(entry("d", type=kind, linkname=target), entry("d/x", b"1")), "link", "dereference"
        )


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6755, 0o4644])
def test_setuid_and_setgid(mode):
    refused("unsafe_archive", pack(entry("x", b"1", mode=mode)), "setuid", "'x'")


@pytest.mark.parametrize(
    "entries",
    [
        [entry("a", b"1"), entry("a", b"2")],
        [entry("a", b"1"), entry("./a", b"2")],
        [entry("a", b"1"), entry("b//a", b"2"), entry("b/a", b"2")],
        [entry("a", b"1"), entry("a/b", b"2")],
        [entry("a/b", b"1"), entry("a", b"2")],
        [entry("a", b"1"), folder("a")],
        [folder("a"), entry("a", b"1")],
        [entry("a/b", b"1"), folder("a/b/c")],
    ],
)
def test_one_path_twice(entries):
    refused("unsafe_archive", pack(*entries), "every path once")


def test_a_folder_may_come_twice_and_late():
    assert read(pack(entry("a/b", b"1"), folder("a"), folder("a"), folder("."))) == {"a/b": b"1"}


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "\x07", "a\x7f"])
def test_names_that_would_play_with_a_terminal(name):
    refused("unsafe_archive", pack(entry(name, b"1")), "control characters")


def test_names_that_are_too_long_or_too_deep():
    refused("unsafe_archive", pack(entry("a" * 256, b"1")), "too long")
    refused("unsafe_archive", pack(entry("/".join("a" * 40), b"1")), "too long or too deep")
    refused("unsafe_archive", pack(entry("/".join(["b" * 200] * 6), b"1")), "too long")


def test_names_that_are_not_utf_8():
    refused("unsafe_archive", header(name=b"\xff\xfe") + END, "not UTF-8")


def test_no_name():
    refused("damaged_archive", header(name=b"") + END, "without a name")
    refused("damaged_archive", header(name=b"./") + END, "without a name")
    refused("damaged_archive", header(name=b"a/") + END, "without a name")
    refused("damaged_archive", header(name=b"d/", kind=b"5", size=b"00000001000\0") + bytes(512) + END, "with content")


def test_too_much_of_it():
    whole = pack(entry("a", bytes(600)), entry("b", bytes(600)))
    assert len(read(whole, most=1200)) == 2
    refused("archive_too_large", whole, "release_max_size", most=1199)


def test_a_size_that_is_claimed_only():
    """The sum is refused when the header says it, not when the disk is full."""
    huge = header(size=b"\x80" + (1 << 60).to_bytes(11, "big"))
    refused("archive_too_large", huge + END)
    refused("archive_too_large", header(size=b"77777777777\0") + END)
    refused("archive_too_large", pack(entry("a", b"1", pax_headers={"size": "999999999999"})))
    refused("damaged_archive", header(size=b"\xff" * 12) + END, "no number")


@pytest.mark.parametrize("size", ["-1", "1e9", "0x10", "", "9" * 40, "1.5", " 5"])
def test_a_pax_size_that_is_no_number(size):
    refused("damaged_archive", pack(entry("a", b"1", pax_headers={"size": size})), "pax header")


def test_too_many_files():
    many = pack(*(entry(f"f{number}") for number in range(archive.MAX_MEMBERS + 1)), form=tarfile.USTAR_FORMAT)
    refused("archive_too_large", gzip.compress(many), "more than 10000")


def test_too_many_folders_that_nobody_names():
    deep = [entry(f"{number}/" + "d/" * 25 + "f") for number in range(500)]
    refused("archive_too_large", pack(*deep, form=tarfile.PAX_FORMAT), "more than 10000")


def peak(act):
    """The most bytes that were held at once."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packer", ["gz", "xz"])
def test_a_bomb_stays_small(packer):
    """32 MiB of zeros in a file of some KiB: refused by its header, and skipped without being held."""
    data = PACKERS[packer](header(name=b"shop", size=b"%011o\0" % (32 * MIB)) + bytes(32 * MIB) + END)
    assert len(data) < MIB
    most = 12 * MIB  # what xz wants for itself, and a little
    assert peak(lambda: refused("archive_too_large", data)) < most
    assert peak(lambda: [None for _member in archive.members(io.BytesIO(data), 1 << 30)]) < most


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_header_that_claims_to_be_endless(kind):
    refused("unsafe_archive", header(kind=kind, size=b"%011o\0" % (1 << 30)) + END, "too large")


def test_headers_without_end():
    one = header(kind=b"x", size=b"%011o\0" % 0)
    refused("archive_too_large", gzip.compress(one * (archive.MAX_HEADERS + 1) + END), "headers")
    record = b"60000 comment=" + b"c" * (60000 - 15) + b"\n"
    assert len(record) == 60000
    padded = record + bytes(-len(record) % 512)
    long = header(kind=b"x", size=b"%011o\0" % len(record)) + padded
    refused("unsafe_archive", gzip.compress(long * 300 + END, 1), "too large")


def test_compressed_streams_without_end():
    nothing = gzip.compress(b"")
    refused("damaged_archive", nothing * (archive.MAX_STREAMS + 1), "streams")


def test_an_xz_that_asks_for_much_memory():
    """Its header asks for a dictionary of 1.5 GiB."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    data = bytearray(lzma.compress(pack(program()), format=lzma.FORMAT_XZ, filters=filters))
    at = data.index(b"\x21\x01", 12) + 2  # the filter's one byte of properties
    data[at] = 39
    block = 12
    length = (data[block] + 1) * 4
    data[block + length - 4 : block + length] = struct.pack("<I", zlib.crc32(bytes(data[block : block + length - 4])))
    refused("damaged_archive", bytes(data), "cannot be decompressed")


@pytest.mark.parametrize("packer", ["gz", "xz"])
def test_several_streams_are_one_archive(packer):
    whole = pack(program(), entry("static/a", bytes(2000)))
    parts = [PACKERS[packer](whole[at : at + 700]) for at in range(0, len(whole), 700)]
    assert set(read(b"".join(parts))) == {"shop", "static/a"}


@pytest.mark.parametrize("packer", PACKERS)
def test_an_archive_that_was_cut_short(packer):
    """Wherever it was cut, it is damaged: never a part of it for the whole."""
    content = os.urandom(3000)
    data = PACKERS[packer](pack(entry("a", content), entry("b", content)))
    found = [attempt(data[:size]) for size in [*range(512, len(data), 97), len(data)]]
    whole = found.index({"a": content, "b": content})
    assert whole > len(found) / 3
    assert found == [None] * whole + [found[whole]] * (len(found) - whole), "only padding may be missing"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"PK\x03\x04 a zip", "foreign_archive"),
        (bz2.compress(b"a tar archive"), "foreign_archive"),
    ],
)
def test_archives_of_another_kind_are_named(file, data, code):
    with pytest.raises(SlipwayError) as caught:
        archive.is_archive(file(data))
    assert caught.value.code == code
    assert ".tar.gz" in caught.value.fix


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#!/bin/sh\n", bytes(2000), b"x" * 2000])
def test_what_is_no_archive(file, data):
    assert not archive.is_archive(file(data))


def test_a_compressed_file_that_is_no_archive():
    refused("damaged_archive", gzip.compress(b"x" * 600), "is no tar archive")
    refused("damaged_archive", gzip.compress(b"x"), "ends too early")


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x", "GNU.sparse.realsize": "9999999"}


def test_sparse_files_of_pax():
    refused("unsafe_archive", pack(entry("a", b"1", pax_headers=SPARSE)), "sparse")


def test_a_pax_header_for_all_members():
    assert read(pack(entry("a", b"1"), pax_headers={"comment": "from git archive"})) == {"a": b"1"}
    refused("unsafe_archive", pack(entry("a", b"1"), pax_headers={"path": "b"}), "for all members")


@pytest.mark.parametrize(
    "record",
    [
        b"nonsense",
        b"5 a=b",
        b"99 path=x\n",
        b"1 \n",
        b"0 path=x\n",
        b"-9 path=x\n",
        b"9 path=x ",
        b"8 pathx\n",
        b"11 path=a\0b\n",
        b"11 path=ab\nxxxxxxxx",
        b"11 path=ab\n12345678 path=c\n",
    ],
)
def test_malformed_pax_headers(record):
    data = header(kind=b"x", size=b"%011o\0" % len(record)) + record.ljust(512, b"\0") + header() + END
    with within(20):
        refused("damaged_archive", data, "pax")


PAX = (b"11 path=ab\n", b"9 size=1\n", b"6 a=b\n", b"x" * 8, b"1", b"0", b"9" * 5000, b" ", b"=", b"\n", b"path=c\n")


@given(pieces=st.lists(st.one_of(st.sampled_from(PAX), st.binary(max_size=9)), max_size=12))
@example(pieces=[b"11 path=ab\n", b"x" * 8])
@example(pieces=[b"11 path=ab\n", b"0", b"x" * 8, b" "])
def test_reading_the_records_of_a_pax_header_ends(pieces):
    """Whatever is in them; a record that is no record once left the reader where it was."""
    raw = b"".join(pieces)
    data = header(kind=b"x", size=b"%011o\0" % len(raw)) + raw.ljust(-len(raw) % 512 + len(raw), b"\0") + header() + END
    attempt(data)


def choose(names, wanted="", service="shop"):
    members = [archive.Member(name.rstrip("*"), 1, name.endswith("*")) for name in names]
    first = {member.name.partition("/")[0] for member in members}
    top = first.pop() if len(first) == 1 and all("/" in m.name for m in members) else ""
    return archive.choose_binary(archive.Survey(tuple(members), top, 0), wanted, service).name


@pytest.mark.parametrize(
    ("names", "wanted", "found"),
    [
        (["shop", "README"], "", "shop"),
        (["shop*", "other*"], "", "shop"),
        (["x/shop*", "x/README"], "", "x/shop"),
        (["bin/shop*", "completions/shop"], "", "bin/shop"),
        (["server*", "README"], "", "server"),
        (["server", "tool*"], "server", "server"),
        (["x/bin/server*", "x/bin/tool*"], "bin/server", "x/bin/server"),
        (["x/bin/server*", "x/bin/tool*"], "x/bin/server", "x/bin/server"),
        (["x/bin/server*", "x/bin/tool*"], "server", "x/bin/server"),
    ],
)
def test_the_binary_is_found(names, wanted, found):
    assert choose(names, wanted) == found


@pytest.mark.parametrize(
    ("names", "wanted", "words"),
    [
        ([], "", "is empty"),
        (["README"], "", "an executable 0 times; it has 'README'"),
        (["a*", "b*"], "", "an executable 2 times"),
        (["a/shop*", "b/shop*"], "", "a file named 'shop' 2 times"),
        (["a/shop", "b/shop"], "", "an executable 0 times; it has 'a/shop', 'b/shop'"),
        (["shop*"], "server", "release_binary 'server' 0 times; it has 'shop'"),
        (["a/server*", "b/server"], "server", "release_binary 'server' 2 times"),
        ([f"f{number}" for number in range(9)], "", "and 4 more"),
    ],
)
def test_no_binary_or_too_many(names, wanted, words):
    with pytest.raises(SlipwayError) as caught:
        choose(names, wanted)
    assert caught.value.code == "no_binary"
    assert words in str(caught.value)
    assert "release_binary" in caught.value.fix


SEEDS = [
    pack(folder("d"), program("d/shop"), entry("d/" + "n" * 120, b"1" * 700), form=tarfile.GNU_FORMAT),
    pack(program(), entry("ä" * 80, b"2" * 700), entry("s", b"", type=tarfile.SYMTYPE, linkname="/x")),
]
CHANGES = st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=8)


def repaired(data):
    """With right checksums in every header, so that changes get past them."""
    made = bytearray(data)
    for at in range(0, len(made) - 511, 512):
        if made[at + 257 : at + 262] == b"ustar":
            made[at + 148 : at + 156] = b" " * 8
            made[at + 148 : at + 156] = b"%06o\0 " % sum(made[at : at + 512])
    return bytes(made)


@given(seed=st.sampled_from(SEEDS), changes=CHANGES, cut=st.integers(0, 12000), packer=st.sampled_from(sorted(PACKERS)))
@example(seed=SEEDS[0], changes=[], cut=12000, packer="gz")
def test_damaged_archives_are_refused_or_read_within_bounds(seed, changes, cut, packer):
    data = bytearray(seed)
    for at, value in changes:
        data[at % len(data)] = value
    found = attempt(PACKERS[packer](repaired(bytes(data))[:cut])) or {}
    assert sum(map(len, found.values())) <= MIB
    for name in found:
        assert name
        assert not name.startswith("/")
        assert ".." not in name.split("/")
        assert all(ord(char) >= 32 for char in name)


@given(start=st.sampled_from([b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"BZh9", b""]), rest=st.binary(max_size=2000))
def test_noise_is_refused(start, rest):
    assume(start or rest.strip(b"\0"))
    assert attempt(start + rest) is None


@given(data=st.sampled_from([PACKERS[p](SEEDS[0]) for p in ("gz", "xz")]), changes=CHANGES)
def test_damage_to_the_compressed_bytes(data, changes):
    made = bytearray(data)
    for at, value in changes:
        made[at % len(made)] = value
    attempt(bytes(made))

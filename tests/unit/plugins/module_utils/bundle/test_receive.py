# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bundle is unpacked whole, or it is refused by the name of the file that differs, and nothing of it is there."""

from __future__ import annotations

import gzip
import os
import random
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._bundle import archive, manifest, place, reader, verifier
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import minisign
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.signature import Trust
from ansible_collections.slipway.go.tests.lab.minisigner import Signer
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.bundle import bundles
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.bundle.bundles import (
    CONTENTS,
    MINISIG,
    TRUST,
    Bundle,
    Site,
    member,
    padded,
    signed,
)
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

GOOD = bundles.good()
# Every byte and every effect, where a sample of both would do: `make bundle-table`.
EVERY = os.environ.get("SLIPWAY_BUNDLE") == "all"
FLIPPED = 0x41


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(minisign, "verify", bundles.verify_quickly)
    with bundles.site() as made:
        yield made


def rewritten(block: bytes, at: int, data: bytes) -> bytes:
    """A header with other bytes there, and the checksum that they have."""
    block = block[:at] + data + block[at + len(data) :]
    total = sum(block[:148]) + 8 * 0x20 + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


def header(path: str) -> bytes:
    return archive.header(path, len(CONTENTS[path]), bundles.kind(path))


def replaced(path: str, raw: bytes) -> bytes:
    """The bundle with other bytes where this file was."""
    at = GOOD.index(path)
    return replace(GOOD, members=[*GOOD.members[:at], (path, raw), *GOOD.members[at + 1 :]]).raw


def start(path: str) -> int:
    return len(b"".join(raw for _path, raw in GOOD.members[: GOOD.index(path)]))


Tampering = tuple[str, str, bytes, str]


def of_content(path: str) -> Iterator[Tampering]:
    content = CONTENTS[path]
    for where, at in (("first", 0), ("middle", len(content) // 2), ("last", len(content) - 1)):
        changed = content[:at] + bytes([content[at] ^ FLIPPED]) + content[at + 1 :]
        yield "changed", where, replaced(path, header(path) + padded(changed)), path
    other = bytes(len(content))
    yield "changed", "all zeros", replaced(path, header(path) + padded(other)), path
    yield "changed", "shorter", replaced(path, member(path, content[:-1], bundles.kind(path))), path
    if archive.padding(len(content)):
        yield (
            "padding",
            "last",
            replaced(path, header(path) + content + bytes(archive.padding(len(content)) - 1) + b"x"),
            path,
        )
    yield "truncated", "in its content", GOOD.raw[: start(path) + archive.BLOCK + len(content) // 2], path


def of_header(path: str) -> Iterator[Tampering]:
    content, block = padded(CONTENTS[path]), header(path)
    for name, at, data in (
        ("setuid", 100, b"0004755\0"),
        ("mode", 100, b"0000600\0"),
        ("owner", 108, b"0001750\0"),
        ("group", 116, b"0001750\0"),
        ("time", 136, b"00000000001\0"),
        ("magic", 257, b"ustar  \0"),
        ("user", 265, b"root"),
        ("link name", 157, b"/etc/passwd"),
        ("device", 329, b"0000001\0"),
        ("rest", 500, b"x"),
    ):
        yield "header", name, replaced(path, rewritten(block, at, data) + content), path
    for what, kind in (("hard link", b"1"), ("symbolic link", b"2"), ("device", b"3"), ("block device", b"4"),
                       ("folder", b"5"), ("fifo", b"6"), ("sparse", b"S"), ("unknown", b"?")):  # fmt: skip
        size = block[124:136] if kind in (b"S", b"?") else b"00000000000\0"
        linked = rewritten(rewritten(block, 124, size), 156, kind)
        yield "kind", what, replaced(path, linked + (content if kind in (b"S", b"?") else b"")), path
    yield "header", "checksum", replaced(path, block[:148] + b"0000000\0" + block[156:] + content), path
    yield "header", "size in base 256", replaced(path, rewritten(block, 124, b"\x80" + b"\xff" * 11) + content), path
    yield "header", "zeros", replaced(path, bytes(archive.BLOCK) + content), path
    yield "truncated", "in its header", GOOD.raw[: start(path) + 100], path


def of_member(path: str) -> Iterator[Tampering]:
    own = GOOD.members[GOOD.index(path)][1]
    renamed = member(path + "x", CONTENTS[path], bundles.kind(path))
    yield "missing", "", replaced(path, b""), path
    yield "truncated", "before it", GOOD.raw[: start(path)], path
    yield "twice", "", replaced(path, own + own), path
    yield "twice", "with another content", replaced(path, own + member(path, b"other", bundles.kind(path))), path
    yield "renamed", "", replaced(path, renamed), path
    yield "renamed", "in capitals", replaced(path, member(path.upper(), CONTENTS[path], bundles.kind(path))), path
    yield "extra", "before it", replaced(path, member("extra", b"x") + own), "extra"
    yield "extra", "of another case", replaced(path, own + member(path.upper(), b"x")), path.upper()
    extended = rewritten(archive.header("x", 20), 156, b"x") + padded(b"20 path=/etc/passwd\n")
    yield "extended", "", replaced(path, extended + own), "extended header"
    long_name = rewritten(archive.header("././@LongLink", 6), 156, b"L") + padded(b"/etc/x")
    yield "extended", "long name", replaced(path, long_name + own), "@LongLink"


def of_whole() -> Iterator[Tampering]:
    for name in ("../evil", "/etc/cron.d/evil", "artefacts/../../evil", "a\nb", "a\x1b[2J", "./README.txt", "a//b",
                 "~/.ssh/x", "MANIFEST.json", "manifest.JSON", "artefacts", "README.txt/x"):  # fmt: skip
        block = archive.header(name, 1)
        for kind in (b"0", b"2", b"5"):
            extra = rewritten(block, 156, kind) + (padded(b"x") if kind == b"0" else b"")
            yield "extra", f"{name!r} {kind!r}", replace(GOOD, end=extra + GOOD.end).raw, repr(name)[1:-1]
    for what, end, words in (
        ("none", b"", "cut short"),
        ("half", GOOD.end[:512], "end as a bundle does"),
        ("one byte", GOOD.end + b"x", "follow the end"),
        ("zeros", GOOD.end + bytes(512), "follow the end"),
        ("another archive", GOOD.end + GOOD.raw, "follow the end"),
        ("no zeros", GOOD.end[:-1] + b"x", "end as a bundle does"),
        ("a file behind it", GOOD.end[:512] + member("evil", b"x") + GOOD.end, "end as a bundle does"),
    ):
        yield "end", what, replace(GOOD, end=end).raw, words
    first, second = GOOD.index("artefacts/SHA256SUMS"), GOOD.index("wheels/ansible_core-2.19.14-py3-none-any.whl")
    moved = list(GOOD.members)
    moved[first], moved[second] = moved[second], moved[first]
    yield "moved", "", replace(GOOD, members=moved).raw, moved[first][0]


def of_beginning() -> Iterator[Tampering]:
    rest = b"".join(raw for _path, raw in GOOD.members[2:]) + GOOD.end
    text, sig = (raw for _path, raw in GOOD.members[:2])
    own = manifest.as_bytes(bundles.described())
    signature = signed(own)
    other = manifest.as_bytes(bundles.described(name="shop-9.9.9"))
    lines = signature.split(b"\n")
    for what, raw, words in (
        ("empty", b"", "MANIFEST.json"),
        ("compressed", gzip.compress(GOOD.raw), "MANIFEST.json"),
        ("no manifest", sig + rest, "MANIFEST.json"),
        ("no signature", text + rest, "signature"),
        ("signature first", sig + text + rest, "MANIFEST.json"),
        ("another manifest", member(manifest.NAME, other) + sig + rest, "MANIFEST.json"),
        ("another key", text + member(MINISIG, signed(own, Signer(b"nobodys!"))) + rest, "MANIFEST.json"),
        ("the same id", text + member(MINISIG, signed(own, Signer())) + rest, "MANIFEST.json"),
        ("signature of another", text + member(MINISIG, signed(other)) + rest, "MANIFEST.json"),
        ("no newline", text + member(MINISIG, signature[:-1]) + rest, MINISIG),
        ("more lines", text + member(MINISIG, signature + b"\n") + rest, MINISIG),
        ("returns", text + member(MINISIG, signature.replace(b"\n", b"\r\n")) + rest, MINISIG),
        ("comment", text + member(MINISIG, b"\n".join([b"untrusted comment: x", *lines[1:]])) + rest, MINISIG),
        ("trusted", text + member(MINISIG, signature.replace(b"2.0.0", b"2.0.1")) + rest, "MANIFEST.json"),
        ("blank", text + member(MINISIG, signature.replace(lines[1], lines[1] + b" ")) + rest, MINISIG),
        ("no text", text + member(MINISIG, b"\xff\xfe") + rest, MINISIG),
        ("large", text + archive.header(MINISIG, 1 << 30) + rest, MINISIG),
        ("large manifest", archive.header(manifest.NAME, 1 << 30) + rest, "MANIFEST.json"),
        ("its mode", rewritten(text[:512], 100, b"0000755\0") + text[512:] + sig + rest, "MANIFEST.json"),
        ("its padding", text[:-1] + b"x" + sig + rest, "MANIFEST.json"),
        ("cut short", text[:700], "MANIFEST.json"),
        ("cut in the signature", text + sig[:600], MINISIG),
        ("cut in its header", text + sig[:100], "MANIFEST.json"),
        ("two signatures of a kind", text + sig + sig + rest, MINISIG),
    ):
        yield "beginning", what, raw, words
    for at in range(0, len(own), len(own) // 20):
        yield (
            "manifest",
            f"byte {at}",
            member(manifest.NAME, own[:at] + b"\x7f" + own[at + 1 :]) + sig + rest,
            "MANIFEST.json",
        )


FULL = [path for path, content in CONTENTS.items() if content]
MAKERS: tuple[tuple[Callable[[str], Iterator[Tampering]], list[str]], ...] = (
    (of_content, FULL),
    (of_header, FULL[1:6:2]),
    (of_member, FULL),
)
TABLE = [
    *(one for maker, paths in MAKERS for path in paths for one in maker(path)),
    *of_whole(),
    *of_beginning(),
]


def test_the_table_has_every_kind_of_tampering() -> None:
    assert len({raw for _what, _how, raw, _name in TABLE}) == len(TABLE) >= 200
    assert GOOD.raw not in {raw for _what, _how, raw, _name in TABLE}


@pytest.mark.parametrize("what", sorted({what for what, *_rest in TABLE}))
def test_each_is_refused_by_the_name_of_the_file_and_leaves_nothing(what: str, site: Site) -> None:
    """Also beside an earlier bundle, which stays as it is."""
    site.unpack(bundles.good({"README.txt": b"earlier"}, "shop-1.0.0").raw)
    for kind, how, raw, name in TABLE:
        if kind != what:
            continue
        with pytest.raises(SlipwayError) as caught:
            site.unpack(raw)
        assert name in str(caught.value), f"{how}: {caught.value}"
        assert caught.value.fix, how
        assert site.left() == ["shop-1.0.0"], how
    assert site.unpack(GOOD.raw)["changed"]
    assert site.holds() == CONTENTS


def test_every_byte_is_accounted_for(site: Site) -> None:
    """Whichever is another one."""
    raw = GOOD.raw
    places = range(len(raw)) if EVERY else random.Random(18).sample(range(len(raw)), 40)
    for at in places:
        with pytest.raises(SlipwayError):
            site.unpack(raw[:at] + bytes([raw[at] ^ FLIPPED]) + raw[at + 1 :], check=True)
    assert not site.dest.exists(), "check mode writes nothing"


def test_all_that_differs_is_told_at_once(site: Site) -> None:
    first, second = "artefacts/shop-linux-amd64", "collections/slipway-go-0.1.0.tar.gz"
    members = [(path, raw) for path, raw in GOOD.members if path != "README.txt"]
    at = [path for path, _raw in members].index(first)
    members[at] = (first, header(first) + padded(bytes(len(CONTENTS[first]))))
    members.insert(at, ("extra", member("extra", b"x")))
    members.append((second, dict(GOOD.members)[second]))
    error = refused(
        lambda: site.unpack(Bundle(members).raw), "damaged_bundle", "shop.tar is not what its manifest says"
    )
    told = [problem["message"] for problem in error.details["problems"]]
    assert told == [
        "extra is there, and the manifest does not list it",
        f"{first} was changed: its digest is not that of the manifest",
        f"{second} is there twice",
        "README.txt is missing",
    ]


def test_a_bundle_with_countless_members_is_not_read_to_its_end(site: Site) -> None:
    end = b"".join(member(f"extra{at}", b"") for at in range(100)) + GOOD.end
    error = refused(lambda: site.unpack(replace(GOOD, end=end).raw), "damaged_bundle", "and perhaps more")
    assert len(error.details["problems"]) == reader.MOST_PROBLEMS


# What somebody trusted has signed, and no bundle may say


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"path": "../evil"}, "unsafe_bundle", "leads out of the bundle"),
        ({"path": "/etc/passwd"}, "unsafe_bundle", "is an absolute path"),
        ({"path": "a/./b"}, "unsafe_bundle", "shortest form"),
        ({"path": "a\nb"}, "unsafe_bundle", "no terminal shows"),
        ({"path": "a\u202eb"}, "unsafe_bundle", "no terminal shows"),
        ({"path": "a\udc80b"}, "unsafe_bundle", "no terminal shows"),
        ({"path": "manifest.JSON"}, "unsafe_bundle", "the name of the manifest"),
        ({"path": "readme.TXT"}, "unsafe_bundle", "twice, or in two spellings"),
        ({"path": "README.txt/x"}, "unsafe_bundle", "twice, or in two spellings"),
        ({"path": "x" * 101}, "unsafe_bundle", "too long"),
        ({"path": "/".join("abc" for _depth in range(33))}, "unsafe_bundle", "too deep"),
        ({"path": ""}, "unsafe_bundle", "shortest form"),
        ({"path": "Aa"}, "not_a_bundle", "in their order"),
        ({"size": -1}, "not_a_bundle", "artefacts/SHA256SUMS"),
        ({"size": 1 << 40}, "not_a_bundle", "artefacts/SHA256SUMS"),
        ({"size": 1 << 30}, "bundle_too_large", "unbundle_max_size"),
        ({"sha256": "0" * 63}, "not_a_bundle", "artefacts/SHA256SUMS"),
        ({"kind": "program"}, "not_a_bundle", "artefacts/SHA256SUMS"),
        ({"base": "x"}, "not_a_bundle", "a base that it does not name"),
    ],
)
def test_a_signed_manifest_is_no_licence(site: Site, change: dict[str, object], code: str, words: str) -> None:
    made = bundles.described()
    entries = [one._replace(**change) if one.path == "artefacts/SHA256SUMS" else one for one in made.entries]
    raw = manifest.as_bytes(made._replace(entries=tuple(entries)))
    refused(lambda: site.unpack(bundles.of(raw, signed(raw), CONTENTS).raw), code, words)
    assert site.left() == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'"schema": 1', b'"schema": 2', "the schema 2"),
        (b'"schema": 1', b'"schema": true', "the schema True"),
        (b'"schema": 1', b'"schema": 1, "schema": 1', "not spelt"),
        (b'"schema": 1', b'"schema":  1', "not spelt"),
        (b'"base": null', b'"base": {}', "its base"),
        (b'"base": null', b'"base": null, "more": 1', "not spelt"),
        (b'"name": "shop-2.0.0"', b'"name": "../shop"', "the name"),
        (b'"name": "shop-2.0.0"', b'"name": ".shop"', "the name"),
        (b'"name": "shop-2.0.0"', b'"name": 1', "lacks a name"),
        (b'"created": ""', b'"created": "now"', "a time"),
        (b"{", b"[", "no JSON"),
        (b"{", b"[" * 100_000, "no JSON"),
    ],
)
def test_a_manifest_has_one_spelling(site: Site, old: bytes, new: bytes, words: str) -> None:
    raw = manifest.as_bytes(bundles.described()).replace(old, new, 1)
    refused(lambda: site.unpack(bundles.of(raw, signed(raw), CONTENTS).raw), "not_a_bundle", words)


def test_seeds_of_manifests_are_refused_or_spelt_as_they_are(site: Site) -> None:
    """Whatever the parser takes, it would write in the same bytes."""
    chance, good = random.Random(5), manifest.as_bytes(bundles.described())
    pieces = [b"null", b'"x"', b"-1", b"1e9", b"[]", b"{}", b'"\\ud800"', b"NaN", b"9" * 5000, b"\xff", b",", b'"base"']
    for _turn in range(400):
        raw = good
        for _change in range(chance.randrange(1, 4)):
            at = chance.randrange(len(raw))
            raw = raw[:at] + chance.choice([*pieces, b""]) + raw[at + chance.randrange(20) :]
        try:
            found = manifest.parse(raw, 1 << 30)
        except SlipwayError:
            continue
        assert manifest.as_bytes(found) == raw


# Whom to trust


def test_without_a_signer_nothing_is_read(site: Site) -> None:
    refused(lambda: site.unpack(b"no bundle", trust=Trust()), "no_signer", "unbundle_allowed_signers")


def test_a_refusal_names_the_variables_of_whoever_unpacks(site: Site) -> None:
    error = refused(lambda: site.unpack(GOOD.raw, trust=Trust((Signer(b"another!").public,))), "unknown_signer")
    assert "release_" not in str(error)
    assert "unbundle_minisign_keys" in str(error)
    error = refused(lambda: site.unpack(GOOD.raw, trust=Trust(allowed_signers="ci ssh-ed25519 AAAA")), "no_signer")
    assert "release_" not in str(error)


# The folder


def test_twice_changes_nothing(site: Site) -> None:
    assert site.unpack(GOOD.raw, check=True)["changed"]
    assert site.left() == []
    told = site.unpack(GOOD.raw)
    assert (told["changed"], told["files"], told["kinds"]["artefact"]) == (True, len(CONTENTS), 2)
    before = [(path, os.lstat(path).st_mtime_ns) for path in sorted(site.dest.rglob("*"))]
    assert not site.unpack(GOOD.raw)["changed"]
    assert not site.unpack(GOOD.raw, check=True)["changed"]
    assert [(path, os.lstat(path).st_mtime_ns) for path in sorted(site.dest.rglob("*"))] == before
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (site.dest / "shop-2.0.0").rglob("*")}
    assert (modes["shop-linux-amd64"], modes["README.txt"], modes["artefacts"]) == (0o755, 0o644, 0o755)


def test_what_was_changed_by_hand_is_unpacked_again(site: Site) -> None:
    site.unpack(GOOD.raw)
    readme, program = (site.dest / "shop-2.0.0" / path for path in ("README.txt", "artefacts/shop-linux-amd64"))
    for change in (
        lambda: readme.write_bytes(b"REad me\n"),
        readme.unlink,
        lambda: program.chmod(0o644),
        lambda: (site.dest / "shop-2.0.0" / MINISIG).write_text("x"),
    ):
        change()
        assert site.unpack(GOOD.raw, check=True)["changed"]
        assert site.unpack(GOOD.raw)["changed"]
        assert (site.holds(), site.left()) == (CONTENTS, ["shop-2.0.0"])


def test_what_is_not_of_the_bundle_is_not_deleted(site: Site) -> None:
    site.unpack(GOOD.raw)
    other = site.dest / "shop-2.0.0" / "venv"
    other.symlink_to("/tmp")
    refused(lambda: site.unpack(GOOD.raw), "bundle_place_taken", "venv")
    other.unlink()
    changed = bundles.good({**CONTENTS, "README.txt": b"another"}).raw
    refused(lambda: site.unpack(changed), "bundle_place_taken", "is not this bundle")
    assert site.holds() == CONTENTS


def test_a_link_in_its_place_is_not_followed(site: Site) -> None:
    elsewhere = site.dest.parent / "elsewhere"
    elsewhere.mkdir()
    site.dest.mkdir()
    (site.dest / "shop-2.0.0").symlink_to(elsewhere)
    refused(lambda: site.unpack(GOOD.raw), "bundle_place_taken", "remove")
    assert list(elsewhere.iterdir()) == []


def test_another_run_is_not_disturbed(site: Site) -> None:
    with place.only_run(str(site.dest), "unbundle_dest"):
        refused(lambda: site.unpack(GOOD.raw), "bundle_in_use", str(site.dest))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: None], ids=["fifo", "folder", "nothing"])
def test_what_is_no_file_is_refused_at_once(site: Site, make: Callable[[str], None]) -> None:
    make(str(site.src))
    fake = replace(bundles.receive.Request(str(site.src), str(site.dest), TRUST))
    refused(lambda: bundles.receive.unbundle(fake), "not_a_bundle", "unbundle_src")


# A run that is killed


EFFECTS = ("open", "mkdir", "rename", "unlink", "chmod", "fchmod", "fsync", "rmdir")


def killed_at(number: int, run: Callable[[], object]) -> bool:
    """Run it in a child that is gone before its effect of that number; whether it came that far."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(name: str) -> Callable[..., object]:
            real = getattr(os, name)

            def effect(*args: object, **options: object) -> object:
                nonlocal count
                count += 1
                if count == number:
                    os._exit(9)
                return real(*args, **options)

            return effect

        try:
            for name in EFFECTS:
                setattr(os, name, counted(name))
            run()
            os._exit(0)
        except BaseException:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), code
    return code == 9


@pytest.mark.parametrize("damaged", [False, True], ids=["new", "over a damaged one"])
def test_a_run_that_is_killed_leaves_nothing_half_done(site: Site, damaged: bool) -> None:
    contents = dict(list(CONTENTS.items())[1:3])
    raw, number = bundles.good(contents).raw, 1
    while True:
        site.unpack(bundles.good({"README.txt": b"earlier"}, "shop-1.0.0").raw)
        if damaged:
            site.unpack(raw)
            (site.dest / "shop-2.0.0" / "artefacts/SHA256SUMS").write_bytes(b"damaged")
        was_killed = killed_at(number, lambda: site.unpack(raw))
        there = [name for name in site.left() if not name.startswith(".")]
        assert there in (["shop-1.0.0"], ["shop-1.0.0", "shop-2.0.0"])
        if "shop-2.0.0" in there:
            assert site.holds() == contents or (damaged and b"damaged" in site.holds().values()), number
        site.unpack(raw)
        assert (site.holds(), site.left()) == (contents, ["shop-1.0.0", "shop-2.0.0"]), number
        if not was_killed:
            break
        place.files.remove_tree(str(site.dest))
        number += 1 if EVERY else 13
    assert number > 20


def test_an_error_while_it_writes_leaves_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(OSError, match="No space left"):
        site.unpack(GOOD.raw)
    assert site.left() == []


# Only what is new


BASE = bundles.described()
NEWER = {**CONTENTS, "artefacts/shop-linux-amd64": b"new" * 400, "artefacts/renamed": CONTENTS["README.txt"]}


def test_only_what_is_new_is_in_a_delta(site: Site) -> None:
    small = bundles.delta(NEWER, BASE)
    assert [path for path, _raw in small.members[2:]] == ["artefacts/shop-linux-amd64"]
    site.unpack(GOOD.raw)
    assert site.unpack(small.raw, check=True)["changed"]
    assert site.unpack(small.raw)["base"] == "shop-2.0.0"
    assert site.holds("shop-2.1.0") == NEWER
    assert site.holds() == CONTENTS
    assert not site.unpack(small.raw)["changed"]


def test_the_earlier_bundle_serves_as_well_as_its_folder(site: Site) -> None:
    base = site.dest.parent / "base.tar"
    base.write_bytes(GOOD.raw)
    small = bundles.delta(NEWER, BASE).raw
    site.unpack(small, base=str(base), check=True)
    site.unpack(small, base=str(base))
    assert site.holds("shop-2.1.0") == NEWER


def test_a_delta_of_a_delta_needs_the_folder(site: Site) -> None:
    second = bundles.delta(NEWER, BASE)
    latest = {**NEWER, "README.txt": b"latest"}
    third = bundles.delta(latest, manifest.parse(read_manifest(second), 1 << 20), "shop-2.2.0").raw
    base = site.dest.parent / "base.tar"
    base.write_bytes(second.raw)
    refused(lambda: site.unpack(third, base=str(base)), "wrong_bundle_base", "an earlier bundle itself")
    site.unpack(GOOD.raw)
    site.unpack(second.raw)
    site.unpack(third)
    assert site.holds("shop-2.2.0") == latest


def read_manifest(bundle: Bundle) -> bytes:
    raw = bundle.members[0][1]
    found = archive.member(raw[: archive.BLOCK])
    assert found is not None
    return raw[archive.BLOCK : archive.BLOCK + found.size]


def test_a_base_that_is_not_the_one_is_refused(site: Site) -> None:
    small, base = bundles.delta(NEWER, BASE).raw, site.dest.parent / "base.tar"
    refused(lambda: site.unpack(small), "wrong_bundle_base", "unpack shop-2.0.0 first")
    base.write_bytes(bundles.good({"README.txt": b"other"}).raw)
    refused(lambda: site.unpack(small, base=str(base)), "wrong_bundle_base", "is not the shop-2.0.0")
    base.write_bytes(replaced("README.txt", header("README.txt") + padded(b"READ me\n")))
    refused(lambda: site.unpack(small, base=str(base)), "wrong_bundle_base", "README.txt")
    site.unpack(GOOD.raw)
    (site.dest / "shop-2.0.0" / "wheels").rename(site.dest / "shop-2.0.0" / "moved")
    refused(lambda: site.unpack(small), "wrong_bundle_base", "wheels/ansible_core")
    refused(lambda: site.unpack(small, check=True), "wrong_bundle_base", "wheels/ansible_core")
    (site.dest / "shop-2.0.0" / "moved").rename(site.dest / "shop-2.0.0" / "wheels")
    (site.dest / "shop-2.0.0" / "README.txt").write_bytes(b"READ me\n")
    refused(lambda: site.unpack(small), "wrong_bundle_base", "README.txt")
    assert site.left() == ["shop-2.0.0"]


# As a program of its own


def test_the_program_says_one_sentence(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.src.write_bytes(GOOD.raw)
    argv = [str(site.src), "--dest", str(site.dest)]
    assert verifier.main(argv) == 1
    assert "(no_signer)" in capsys.readouterr().err
    assert verifier.main([*argv, "--minisign-key", TRUST.keys[0], "--check"]) == 0
    assert "would be unpacked to" in capsys.readouterr().out
    assert verifier.main([*argv, "--minisign-key", TRUST.keys[0]]) == 0
    assert f"is in {site.dest}/shop-2.0.0: {len(CONTENTS)} files" in capsys.readouterr().out
    assert verifier.main([*argv, "--allowed-signers", "/nowhere"]) == 1
    assert "unbundle_allowed_signers is /nowhere, which cannot be read: no such file" in capsys.readouterr().err


def test_of_two_signatures_each_that_one_trusts_must_be_right(site: Site, tmp_path: Path) -> None:
    """One of a kind of which nothing was said is not looked at."""
    key, raw = tmp_path / "key", manifest.as_bytes(bundles.described())
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    argv = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", "file"]
    text = subprocess.run(argv, input=raw, capture_output=True, check=True).stdout
    signers = f"ci {key.with_suffix('.pub').read_text()}"
    both = Trust(keys=TRUST.keys, allowed_signers=signers)

    def bundle(minisig: bytes, sshsig: bytes) -> bytes:
        sig = f"{manifest.NAME}.sig"
        rest = GOOD.members[2:]
        return Bundle([GOOD.members[0], (MINISIG, member(MINISIG, minisig)), (sig, member(sig, sshsig)), *rest]).raw

    good, other = signed(raw), signed(raw + b"x")
    assert site.unpack(bundle(good, text), trust=both, check=True)["signer"].startswith("minisign ")
    refused(lambda: site.unpack(bundle(other, text), trust=both), "bad_signature", "MANIFEST.json")
    refused(
        lambda: site.unpack(bundle(good, text.replace(b"U1", b"U2", 1)), trust=both), "bad_signature", "MANIFEST.json"
    )
    refused(lambda: site.unpack(bundle(good, text + b"\n"), trust=both), "invalid_signature", "MANIFEST.json.sig")
    ssh = Trust(allowed_signers=signers)
    assert site.unpack(bundle(other, text), trust=ssh, check=True)["signer"].startswith("ssh ci ")
    refused(lambda: site.unpack(GOOD.raw, trust=ssh), "no_signer", "unbundle_minisign_keys")

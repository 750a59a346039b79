# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checksums files of every kind: one entry is found, or it is said why not."""

from __future__ import annotations

import hashlib
import shutil
import subprocess

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import checksums
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused
from hypothesis import given
from hypothesis import strategies as st

ONE = hashlib.sha256(b"one").hexdigest()
TWO = hashlib.sha256(b"two").hexdigest()
SHA512 = hashlib.sha512(b"one").hexdigest()
MD5 = hashlib.md5(b"one").hexdigest()


def find(text, name="shop"):
    return checksums.find_checksum(text, name, "SHA256SUMS")


def not_found(code, text, *words, name="shop"):
    refused(lambda: find(text, name), code, "release_checksum SHA256SUMS", *words)


@pytest.mark.parametrize(
    "text",
    [
        f"{ONE}  shop\n",
        f"{ONE} *shop\n",
        f"{ONE}  shop",
        f"{ONE.upper()}  shop\n",
        f"{ONE}  ./shop\n",
        f"{ONE}  dist/linux/shop\n",
        f"{ONE}  shop\r\n",
        f"\ufeff{ONE}  shop\n",
        f"SHA256 (shop) = {ONE}\n",
        f"SHA256 (dist/shop) = {ONE}\n",
        f"SHA256(shop)= {ONE}\n",
        f"SHA2-256(shop)= {ONE}\n",
        f"{ONE}\n",
        f"{ONE}",
        f"{ONE}  \n\n",
        f"{ONE}  -\n",
        f"# made by nobody\n\n{TWO}  shop.exe\n{ONE}  shop\n{TWO}  myshop\n",
        f"{TWO}  shop/other\n{ONE}  shop\n",
        f"{MD5}  shop\n{ONE}  shop\n{SHA512}  shop\n",
        f"MD5 (shop) = {MD5}\nSHA512 (shop) = {SHA512}\nSHA256 (shop) = {ONE}\n",
    ],
)
def test_the_entry_is_found(text):
    assert find(text) == ONE


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a b", "a b"),
        ("a\nb", "a\\nb"),
        ("a\\b", "a\\\\b"),
        ("a\rb", "a\\rb"),
        ("a\\nb", "a\\\\nb"),
    ],
)
def test_names_that_are_escaped(name, written):
    prefix = "\\" if written != name else ""
    assert find(f"{prefix}{ONE}  {written}\n", name) == ONE
    assert find(f"{prefix}SHA256 ({written}) = {ONE}\n", name) == ONE


def test_a_backslash_is_one_where_the_line_does_not_begin_with_one():
    assert find(f"{ONE}  a\\nb\n", "a\\nb") == ONE


@pytest.mark.parametrize("name", [")", "a) = b", "(x)", " shop", "shop ", "*shop", "a)=b"])
def test_awkward_names(name):
    assert find(f"{ONE}  {name}\n", name) == ONE
    assert find(f"SHA256 ({name}) = {ONE}\n", name) == ONE


def test_absent():
    not_found("no_checksum", f"{ONE}  other\n", "no SHA-256 or SHA-512 of shop", "'other'")
    not_found("no_checksum", "", "none with a name")
    not_found("no_checksum", "# nothing\n")
    not_found("no_checksum", "".join(f"{ONE}  n{i}\n" for i in range(9)), "and 4 more")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"{SHA512}  shop\n", SHA512),
        (f"{SHA512.upper()}\tshop\n", SHA512),
        (f"{ONE}\t\tdist/shop\n{ONE}\tother\n", ONE),
        (f"SHA512 (shop) = {SHA512}\n", SHA512),
        (f"SHA2-512 (shop) = {SHA512}\nMD5 (shop) = {MD5}\n", SHA512),
        (f"{SHA512}\n", SHA512),
        (f"{SHA512}  shop\n{ONE}  shop\n", ONE),
    ],
)
def test_the_longer_one_and_tabs(text, wanted):
    assert find(text, "shop") == wanted


def test_two_of_the_longer_one():
    not_found("ambiguous_checksum", f"{SHA512}  shop\n{SHA512}\tshop\n", "2 equal")


@pytest.mark.parametrize("text", [f"SHA512 (shop) = {ONE}\n", f"SHA256 (shop) = {SHA512}\n"])
def test_a_digest_of_another_length_than_its_algorithm(text):
    not_found("invalid_checksums", text, "line 1")


@pytest.mark.parametrize("text", [f"{MD5}  shop\n", f"SHA384 (shop) = {SHA512}\n", f"{MD5}\n"])
def test_only_another_algorithm(text):
    not_found("no_checksum", text, "only another checksum")


def test_conflicts_and_duplicates():
    not_found("ambiguous_checksum", f"{ONE}  shop\n\n{TWO}  shop\n", "2 different", "lines 1, 3")
    not_found("ambiguous_checksum", f"{ONE}  shop\n{ONE} *shop\n", "2 equal", "lines 1, 2")
    not_found("ambiguous_checksum", f"{ONE}  linux/shop\n{TWO}  darwin/shop\n", "2 different")
    not_found("ambiguous_checksum", f"{ONE}  shop\nSHA256 (shop) = {TWO}\n", "2 different")


def test_a_bare_one_beside_others():
    not_found("invalid_checksums", f"{ONE}\n{TWO}\n", "without a file name")
    not_found("invalid_checksums", f"{ONE}\n{ONE}  shop\n", "without a file name")


@pytest.mark.parametrize(
    "line",
    [
        "no checksum at all",
        "-----BEGIN PGP SIGNED MESSAGE-----",
        f"{ONE[:-1]}  shop",
        f"{ONE}0  shop",
        f"{ONE[:-1]}g  shop",
        f"{ONE} shop",
        f" {ONE}",
        f"SHA256 () = {ONE}",
        f"SHA256 (shop) = {MD5}",
        f"SHA256 (shop) {ONE}",
        f"SHA256 (shop = {ONE}",
        f"\\{ONE}  a\\x",
        f"\\{ONE}  a\\",
        f"\\{ONE}",
        f"{ONE}  a\0b",
        "<html>",
        "0",
    ],
)
def test_what_is_no_checksum_is_named_by_its_line(line):
    not_found("invalid_checksums", f"{ONE}  shop\n{line}\n", "line 2")


NAMES = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=30)


def gnu(name, digest, binary):
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{chr(92) if escaped != name else ''}{digest} {'*' if binary else ' '}{escaped}\n"


def bsd(name, digest, _binary):
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{chr(92) if escaped != name else ''}SHA256 ({escaped}) = {digest}\n"


@given(
    entries=st.dictionaries(NAMES, st.binary(max_size=8), min_size=1, max_size=6),
    form=st.sampled_from([gnu, bsd]),
    binary=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_whatever_the_names_each_has_its_own(entries, form, binary, end):
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in entries.items()}
    text = "".join(form(name, digest, binary) for name, digest in digests.items()).replace("\n", end)
    for name, digest in digests.items():
        assert find(text, name) == digest
    absent = "".join(entries) + "x"
    with pytest.raises(SlipwayError):
        find(text, absent)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
@pytest.mark.parametrize("flags", [[], ["--tag"], ["--binary"]])
@pytest.mark.parametrize("name", ["shop", "a b", "a\nb", "a\\b", "ä", "SHA256 (x) = y"])
def test_what_sha256sum_writes(tmp_path, name, flags):
    (tmp_path / name).write_bytes(b"one")
    (tmp_path / "other").write_bytes(b"two")
    argv = ["sha256sum", *flags, "--", name, "other"]
    told = subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True).stdout.decode()
    assert find(told, name) == ONE
    assert find(told, "other") == TWO


PIECES = [
    ONE,
    TWO,
    MD5,
    ONE.upper(),
    "SHA256",
    "SHA512",
    "(",
    ")",
    " = ",
    "=",
    "  ",
    " *",
    "\\",
    "\n",
    "\r",
    "shop",
    "#",
]


@given(
    text=st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=24).map("".join)), name=NAMES | st.just("shop")
)
def test_noise_never_gets_a_digest_that_is_not_in_it(text, name):
    try:
        found = find(text, name)
    except SlipwayError:
        return
    assert found in text.lower()
    bare = text.lstrip("\ufeff").strip().lower() == found
    assert bare or name in text or "\\" in text


@given(text=st.text(max_size=200), line=st.integers(0, 3))
def test_a_strange_line_is_never_passed_over(text, line):
    """An attacker cannot hide a line: whatever is no checksum and no comment fails the whole file."""
    strange = text.replace("\n", " ").replace("\0", " ")
    lines = [f"{ONE}  shop", f"{TWO}  a", f"{TWO}  b"]
    lines.insert(line, f"?{strange}")
    with pytest.raises(SlipwayError):
        find("\n".join(lines))

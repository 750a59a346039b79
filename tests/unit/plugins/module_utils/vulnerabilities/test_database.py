# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import zipfile
from datetime import date
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities import database
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.database import check_age, read_database
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.vulnerabilities.entries import entry, write

OTHER = {**entry("PYSEC-1"), "affected": [{"package": {"ecosystem": "PyPI", "name": "x"}}]}


def zipped(path, *members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return str(path)


def refusal(path):
    with pytest.raises(SlipwayError) as caught:
        read_database(str(path))
    assert caught.value.fix
    return caught.value


def test_a_folder_and_a_zip_of_it_say_the_same(tmp_path):
    entries = [entry(), entry("GO-2026-0002", "stdlib"), entry("GO-2026-0003", withdrawn="2026-01-01T00:00:00Z"), OTHER]
    folder = write(tmp_path / "db", *entries)
    names = sorted(os.path.join(base, name) for base, _folders, names in os.walk(folder) for name in names)
    packed = zipped(
        tmp_path / "db.zip", *[(os.path.relpath(name, tmp_path), Path(name).read_bytes()) for name in names]
    )
    found = read_database(folder)
    assert found == read_database(packed)
    assert sorted(found.modules) == ["golang.org/x/sys", "stdlib"]
    assert (found.entries, found.withdrawn, found.newest) == (3, 1, date(2026, 11, 20))


def test_a_severity_comes_from_an_alias(tmp_path):
    rated = entry("GHSA-1", database_specific={"severity": "HIGH"})
    found = read_database(write(tmp_path, entry(aliases=["CVE-1", "GHSA-1"]), rated))
    assert [one.severity for one in found.modules["golang.org/x/sys"]] == ["high", "high"]


@pytest.mark.parametrize("content", [[], [OTHER]], ids=["nothing", "nothing about Go"])
def test_a_database_without_entries_of_go_is_no_clean_bill(tmp_path, content):
    assert refusal(write(tmp_path, *content)).code == "vulnerability_database_empty"


def test_an_empty_folder_is_no_clean_bill(tmp_path):
    assert refusal(tmp_path).code == "vulnerability_database_empty"
    assert refusal(zipped(tmp_path / "empty.zip")).code == "vulnerability_database_empty"


def test_what_is_not_there_or_no_database(tmp_path):
    assert refusal(tmp_path / "none").code == "vulnerability_database_missing"
    (tmp_path / "text").write_text("{}")
    assert refusal(tmp_path / "text").code == "vulnerability_database_format"


@pytest.mark.parametrize(
    "content",
    ["{", "", "[]", "\ud800".encode("utf-8", "surrogatepass"), "[" * 100_000, json.dumps({**entry(), "id": None})],
    ids=["cut", "empty", "list", "no UTF-8", "deep", "no id"],
)
def test_one_entry_that_cannot_be_read_makes_it_unfit(tmp_path, content):
    write(tmp_path / "db", entry())
    broken = tmp_path / "db" / "ID" / "GO-2.json"
    broken.write_bytes(content if isinstance(content, bytes) else content.encode())
    error = refusal(tmp_path / "db")
    assert error.code == "vulnerability_database_broken"
    assert "ID/GO-2.json" in error.message
    assert "1 of 4 entries" in error.message
    packed = zipped(tmp_path / "db.zip", ("GO-1.json", json.dumps(entry())), ("GO-2.json", broken.read_bytes()))
    assert refusal(packed).code == "vulnerability_database_broken"


def test_only_the_first_broken_entries_are_named(tmp_path):
    for number in range(9):
        (tmp_path / f"GO-{number}.json").write_text("{")
    message = refusal(tmp_path).message
    assert "9 of 9" in message
    assert message.count("it cannot be read") == 3
    assert "and 6 more" in message


def test_an_entry_that_unpacks_to_too_much_is_not_unpacked(tmp_path):
    bomb = zipped(tmp_path / "bomb.zip", ("GO-1.json", b" " * (database.MAX_ENTRY + 2)))
    assert os.path.getsize(bomb) < 100_000
    assert "more than 8 MiB" in refusal(bomb).message


def test_all_entries_together_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "MAX_TOTAL", 500)
    assert refusal(write(tmp_path, entry(), entry("GO-2"))).code == "vulnerability_database_too_large"
    monkeypatch.setattr(database, "MAX_TOTAL", 1 << 20)
    monkeypatch.setattr(database, "MAX_FILES", 2)
    assert "more than 2 files" in refusal(tmp_path).message
    monkeypatch.setattr(database, "MAX_ARCHIVE", 10)
    assert refusal(zipped(tmp_path / "x.zip")).code == "vulnerability_database_too_large"


def test_a_damaged_zip(tmp_path):
    path = zipped(tmp_path / "db.zip", ("GO-1.json", json.dumps(entry())))
    raw = bytearray(Path(path).read_bytes())
    raw[50] ^= 0xFF
    (tmp_path / "db.zip").write_bytes(raw)
    assert refusal(path).code == "vulnerability_database_broken"
    (tmp_path / "half.zip").write_bytes(bytes(raw[: len(raw) // 2]))
    assert refusal(tmp_path / "half.zip").code == "vulnerability_database_format"


def test_a_pipe_is_not_waited_for(tmp_path):
    write(tmp_path, entry())
    os.mkfifo(tmp_path / "GO-2.json")
    assert "it is no file" in refusal(tmp_path).message


@pytest.mark.parametrize(
    ("today", "limit", "code"),
    [
        (date(2026, 12, 20), 30, ""),
        (date(2026, 12, 21), 30, "vulnerability_database_stale"),
        (date(2036, 12, 22), 0, ""),
        (date(2026, 11, 19), 30, ""),
        (date(2026, 11, 18), 30, "vulnerability_database_future"),
    ],
)
def test_its_age(tmp_path, today, limit, code):
    found = read_database(write(tmp_path, entry()))
    if not code:
        check_age(found, today, limit, "db")
        return
    with pytest.raises(SlipwayError) as caught:
        check_age(found, today, limit, "db")
    assert caught.value.code == code


def test_a_database_without_times_has_no_age(tmp_path):
    """As in the repository golang/vulndb, whose entries get their times when they are published."""
    undated = {"modified": "0001-01-01T00:00:00Z", "published": "0001-01-01T00:00:00Z"}
    found = read_database(write(tmp_path, entry(**undated)))
    with pytest.raises(SlipwayError) as caught:
        check_age(found, date(2026, 12, 20), 30, "db")
    assert caught.value.code == "vulnerability_database_undated"
    assert "release_vulnerability_max_age allows 30 days" in caught.value.message
    check_age(found, date(2026, 12, 20), 0, "db")
    assert found.modules["golang.org/x/sys"][0].published == ""


def test_one_time_is_enough_for_an_age(tmp_path):
    found = read_database(write(tmp_path, entry(), entry("GO-2", modified="0001-01-01T00:00:00Z")))
    check_age(found, date(2026, 12, 20), 30, "db")

"""Every error code has a row in the fix table, or a reason why it has none."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.go.tests.faults.fixes import model, table, untried
from ansible_collections.slipway.go.tests.faults.fixes.model import Result, Row, Task
from ansible_collections.slipway.go.tests.faults.fixes.rows import SUBJECTS
from ansible_collections.slipway.go.tests.reference import error_codes

ROWS = [row for rows in SUBJECTS.values() for row in rows]
TRIED = {code for row in ROWS for code in error_codes.CODES if re.fullmatch(code.replace("OPTION", r"\w+"), row.code)}


def test_each_code_has_a_row_or_a_reason() -> None:
    described = set(error_codes.CODES)
    told = TRIED | set(untried.CANNOT) | set(untried.NOT_YET)
    assert sorted(described - told) == [], "add a row to tests/faults/fixes, or a reason to untried.py"
    assert sorted(told - described) == [], "no such code"
    assert sorted(TRIED & (set(untried.CANNOT) | set(untried.NOT_YET))) == [], "a row has it: take the reason out"
    assert sorted(set(untried.CANNOT) & set(untried.NOT_YET)) == []


@pytest.mark.parametrize("code", sorted({**untried.CANNOT, **untried.NOT_YET}))
def test_a_reason_is_a_sentence(code: str) -> None:
    reason = {**untried.CANNOT, **untried.NOT_YET}[code]
    assert re.fullmatch(r"[a-z`A-Z].*[^.]\.", reason), reason


def test_each_row_has_a_name_of_its_own() -> None:
    for rows in SUBJECTS.values():
        assert len({row.name for row in rows}) == len(rows)


def test_each_row_is_of_a_known_code() -> None:
    patterns = [code.replace("OPTION", r"\w+") for code in error_codes.CODES]
    assert [row.code for row in ROWS if not any(re.fullmatch(pattern, row.code) for pattern in patterns)] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_names_its_fix_and_applies_it(row: Row) -> None:
    assert model.groups(row, "") is None
    assert model.groups(row, "do something else") is None, "the pattern takes any fix"
    assert row.fix or row.here or row.give or row.then
    named = set(re.compile(row.says).groupindex)
    used = set(re.findall(r"<(\w+)>", f"{row.fix} {row.here} {row.give}"))
    assert used <= named, used - named


def test_words_are_filled_in_at_any_depth() -> None:
    given = {"path": ["@files/a", {"b": "<package>"}], "number": 1}
    words = {"@files": "/srv", "<package>": "bc"}
    assert model.filled(given, words) == {"path": ["/srv/a", {"b": "bc"}], "number": 1}


ROW = Row("library_missing", "none", Task("linkage", {}), r"install (?P<package>\S+)", fix="apt install <package>")


def test_a_fix_of_another_text_is_not_the_rows() -> None:
    assert model.groups(ROW, "install bc") == {"<package>": "bc"}
    assert model.groups(ROW, "install bc first") is None


def test_a_failure_is_found_at_any_depth() -> None:
    said = {"binaries": [{"problems": [{"code": "library_missing", "fix": "install bc"}], "runnable": False}]}
    assert model.fixes(said, "library_missing") == ["install bc"]
    assert model.why_not(said, "library_missing") == "library_missing is reported again"
    assert model.why_not(said, "empty") != "", "another problem keeps it from passing"
    assert model.why_not({"failed": True, "msg": "no"}, "empty") == "no"
    assert model.why_not({"binaries": [{"problems": [], "runnable": True}]}, "empty") == ""


def test_a_row_that_was_changed_since_it_ran_has_not_run(tmp_path: Path) -> None:
    store = tmp_path / "results.json"
    table.record(store, {"programs": {ROW.name: Result(ROW, ["install bc"], "apt install bc", "passes")}})
    assert not table.recorded(store, {"programs": [ROW]})["programs"][ROW.name].broken
    other = replace(ROW, fix="apt-get install <package>")
    assert table.recorded(store, {"programs": [other]})["programs"][ROW.name].broken == "it has not run"


def test_the_page_says_which_row_fails() -> None:
    passed = Result(ROW, ["install bc"], "apt install <package>", "passes")
    failed = Result(ROW, ["install a|b"], broken="no")
    page = table.markdown({"programs": {"one": passed, "two": failed}})
    assert "1 of 2 rows passed" in page
    assert "| `library_missing` | none | install bc | `apt install <package>` | passes |" in page
    assert r"| `library_missing` | none | install a\|b |  | **fails** |" in page

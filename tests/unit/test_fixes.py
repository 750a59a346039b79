"""Every error code has a row in the fix table, or a reason why it has none."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.tests.faults.fixes import model, rows, scene, table, untried
from ansible_collections.slipway.go.tests.faults.fixes.model import Result, Row, Task
from ansible_collections.slipway.go.tests.faults.fixes.rows import SUBJECTS
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scene
from ansible_collections.slipway.go.tests.reference import error_codes

ROWS = [row for rows in SUBJECTS.values() for row in rows]
SCENES = [one for part in rows.SCENES.values() for one in part]
PATTERNS = {code: re.compile(code.replace("OPTION", r"\w+")) for code in error_codes.CODES}
TRIED = {code for row in (*ROWS, *SCENES) for code, pattern in PATTERNS.items() if pattern.fullmatch(row.code)}


def test_each_code_has_a_row_or_cannot_be_tried() -> None:
    """There is no third way: a code that is new needs a row, or a reason why no row can be."""
    described, cannot = set(error_codes.CODES), set(untried.CANNOT)
    assert sorted(described - TRIED - cannot) == [], "add a row or a scene to tests/faults/fixes"
    assert sorted(cannot - described) == [], "no such code"
    assert sorted(TRIED & cannot) == [], "a row has it: take the reason out"
    lists = [name for name, value in vars(untried).items() if isinstance(value, dict) and not name.startswith("_")]
    assert lists == ["CANNOT", "TEXTS"], "what has no row yet gets one"


MOST = 18


def test_what_cannot_be_tried_does_not_grow_by_itself() -> None:
    """A reason is easier to write than a row. Whoever raises the number has tried."""
    assert len(untried.CANNOT) + len(untried.TEXTS) <= MOST


def test_a_fix_that_cannot_be_tried_is_one_of_the_code() -> None:
    assert set(untried.TEXTS) <= set(table.texts()), "no failure has this fix: take it out"


def test_every_fix_of_the_code_was_tried_or_cannot_be() -> None:
    """As the page has it; `make fixes` writes that anew."""
    page = Path(__file__).parents[2] / "docs" / "evidence" / "fixes.md"
    untried_there = page.read_text(encoding="utf-8").partition("## Fixes that no row has seen")[2]
    untold = [line for line in untried_there.splitlines() if table.WITHOUT_REASON in line]
    assert untold == [], "add a row or a scene to tests/faults/fixes"
    seen = [text for text in untried.TEXTS if text.replace("{}", "…") not in untried_there]
    assert seen == [], "a row has it: take the reason out"


@pytest.mark.parametrize("code", sorted(untried.CANNOT))
def test_a_reason_is_a_sentence(code: str) -> None:
    reason = untried.CANNOT[code]
    assert re.fullmatch(r"[a-z`A-Z].*[^.]\.", reason), reason
    assert not re.search(r"\b(yet|nobody|not written|later)\b", reason), f"{code} can be tried: {reason}"


def test_every_subject_has_a_place_on_the_page() -> None:
    assert set(table.TITLES) == {*SUBJECTS, *rows.SCENES}


@pytest.mark.parametrize("one", SCENES, ids=lambda one: one.name)
def test_the_fix_lets_the_next_run_pass_on_a_simulated_host(one: Scene) -> None:
    assert scene.play(one).fixes


@pytest.mark.parametrize("one", SCENES, ids=lambda one: one.name)
def test_a_scene_names_its_fix_and_says_what_is_applied(one: Scene) -> None:
    assert re.fullmatch(one.says, "do something else") is None, "the pattern takes any fix"
    assert one.applied


def stub(act: Callable[[scene.Stage], None]) -> Scene:
    return Scene("no_release", "none", "release one", "a release", act)


def no_release() -> None:
    raise SlipwayError("no_release", "shop has no release.", "release one")


def test_a_scene_needs_a_failure_and_a_run_after_it() -> None:
    def good(stage: scene.Stage) -> None:
        stage.fails(no_release)
        stage.passes(dict)

    assert scene.play(stub(good)).fixes == ["release one"]
    with pytest.raises(AssertionError, match="nothing has run after the fix"):
        scene.play(stub(lambda stage: stage.fails(no_release) and None))
    with pytest.raises(AssertionError, match="nothing has failed before"):
        scene.play(stub(lambda stage: stage.passes(dict) and None))
    with pytest.raises(AssertionError, match="no_release is not reported"):
        scene.play(stub(lambda stage: stage.fails(dict) and None))


def test_a_scene_whose_next_run_fails_has_failed() -> None:
    def same(stage: scene.Stage) -> None:
        stage.fails(no_release)
        stage.passes(no_release)

    with pytest.raises(SlipwayError):
        scene.play(stub(same))
    assert scene.results({"x": scene.Scenes([stub(same)])})["x"]["no_release-none"].broken


def test_a_scene_with_another_fix_has_failed() -> None:
    def other() -> None:
        raise SlipwayError("no_release", "shop has no release.", "do nothing")

    with pytest.raises(AssertionError, match="the fix is another one: do nothing"):
        scene.play(stub(lambda stage: stage.fails(other) and None))


def test_the_fix_of_a_cause_is_the_one_that_the_operator_reads() -> None:
    def rolled_back(fix: str) -> None:
        try:
            no_release()
        except SlipwayError as error:
            raise SlipwayError("rolled_back", "it was rolled back.", fix) from error

    def read(stage: scene.Stage) -> None:
        stage.fails(lambda: rolled_back("release one"))
        stage.passes(dict)

    assert scene.play(stub(read)).fixes == ["release one"]
    with pytest.raises(AssertionError, match="the operator does not read release one"):
        scene.play(stub(lambda stage: stage.fails(lambda: rolled_back("look")) and None))


def test_each_row_has_a_name_of_its_own() -> None:
    for part in (*SUBJECTS.values(), *rows.SCENES.values()):
        assert len({row.name for row in part}) == len(part)


def test_each_row_is_of_a_known_code() -> None:
    known = [*PATTERNS.values()]
    assert [row.code for row in (*ROWS, *SCENES) if not any(one.fullmatch(row.code) for one in known)] == []


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


def test_the_page_lists_the_fixes_that_no_row_has_seen() -> None:
    (text,) = [one for one, codes in table.texts().items() if codes == {"not_purged"}]
    seen = Result(stub(lambda _stage: None), [text])
    assert text not in table.unseen([seen])
    assert text in table.unseen([replace(seen, broken="no")])
    page = table.markdown({"hosts": {"one": replace(seen, broken="no")}})
    assert f"- {table.WITHOUT_REASON}: {text} (`not_purged`)" in page


def test_the_page_says_why_no_row_has_a_fix() -> None:
    page = table.markdown({"hosts": {}})
    assert f"{untried.CANNOT['clock_not_synchronised'][:-1]}: run timedatectl set-ntp true (`clock_not_" in page
    for text, reason in untried.TEXTS.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"- {reason[:-1]}: ")]
        assert text.replace("{}", "…") in line


def test_a_fix_of_several_codes_needs_a_reason_of_each() -> None:
    assert untried.reason("look", {"no_systemd", "not_purged"}) == ""
    assert untried.reason("look", {"no_systemd", "no_timer"}) == untried.CANNOT["no_systemd"]
    assert untried.reason("look", set()) == ""


def test_the_page_says_which_row_fails() -> None:
    passed = Result(ROW, ["install bc"], "apt install <package>", "passes")
    failed = Result(ROW, ["install a|b"], broken="no")
    page = table.markdown({"programs": {"one": passed, "two": failed}})
    assert "1 of 2 rows passed" in page
    assert "| `library_missing` | none | install bc | `apt install <package>` | passes |" in page
    assert r"| `library_missing` | none | install a\|b |  | **fails** |" in page

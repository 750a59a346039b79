# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is around a release, by what the hosts have said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.once_plan import once_plan
from ansible_collections.slipway.go.plugins.filter.release_steps import release_steps
from ansible_collections.slipway.go.plugins.filter.swap_outcome import swap_outcome
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Once

COMMAND = ["bin/shop", "migrate"]
KEY = Once(tuple(COMMAND)).key("2.0.0")
DONE: dict[str, Any] = {"action": "release", "once": {"state": "done"}}
DUE: dict[str, Any] = {"action": "release", "once": {"state": "due"}}


def plan(answers: dict[str, Any], host: str = "a", batch: tuple[str, ...] = ("a", "b")) -> dict[str, str]:
    return once_plan(answers, "2.0.0", COMMAND, host, batch)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"a": DONE, "b": DUE}, "a"),
        ({"a": DONE, "b": DONE}, "a"),
        ({"a": DUE, "b": DONE}, "b"),
        ({"b": {"once": {"state": "done", "host": "gone"}}}, "gone"),
        ({"a": {"once": {KEY: {"state": "done"}}}, "b": DUE}, "a"),
        ({"a": {"failed": True, "msg": "no."}, "b": DONE}, "b"),
    ],
)
def test_what_one_host_knows_to_be_done_is_done(answers: dict[str, Any], told: str) -> None:
    assert plan(answers) == {"told": told, "run": "", "reason": ""}


@pytest.mark.parametrize("state", ["due", "failed", "running", "unknown"])
def test_where_nobody_knows_it_to_be_done_one_host_of_the_batch_runs_it(state: str) -> None:
    found = plan({"a": {"action": "release", "once": {"state": state}}, "b": DUE})
    assert (found["told"], found["run"]) == ("", "a")
    assert "a has not run release_once for 2.0.0." in found["reason"], "as long as it has not"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"b": DUE}, "cannot be asked: it did not answer."),
        ({"b": DUE, "a": {"unreachable": True, "msg": "no route."}}, "cannot be asked: no route."),
        ({"b": DUE, "a": {"failed": True, "msg": "damaged."}}, "cannot be asked: damaged."),
        (
            {"b": DUE, "a": {"once": {}}},
            "is not in the first batch of this run. Nothing was swapped.",
        ),
        ({"b": DUE, "a": {"once": {"1.0.0-0123456789": {"state": "done"}}}}, "set release_once_host: b"),
    ],
)
def test_without_that_host_nothing_is_swapped(answers: dict[str, Any], reason: str) -> None:
    found = plan(answers, batch=("b",))
    assert (found["told"], found["run"]) == ("", "")
    assert reason in found["reason"]


def test_what_was_no_dictionary_is_no_answer() -> None:
    assert plan({"a": None, "b": DONE})["told"] == "b"
    with pytest.raises(AnsibleFilterError, match="not list"):
        plan([])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "served", "wanted"),
    [
        ({}, "1-a", ("not_tried", True)),
        ({}, "", ("not_tried", False)),
        ({"action": "release", "current": "2-b"}, "1-a", ("released", True)),
        ({"action": "confirm", "current": "2-b"}, "1-a", ("released", True)),
        ({"action": "none", "current": "2-b"}, "2-b", ("unchanged", True)),
        ({"failed": True, "rolled_back": True, "current": "1-a"}, "1-a", ("rolled_back", True)),
        ({"failed": True, "rolled_back": True, "current": None}, "", ("rolled_back", False)),
        ({"failed": True, "code": "refused", "rolled_back": False}, "1-a", ("refused", True)),
        ({"failed": True, "problems": [1], "code": "port_in_use"}, "", ("refused", False)),
        ({"failed": True, "code": "unreachable"}, "1-a", ("failed", False)),
        ({"failed": True, "code": "rollback_failed", "rolled_back": False}, "1-a", ("failed", False)),
        ({"failed": True, "msg": "a traceback"}, "1-a", ("failed", False)),
        ("", "", ("not_tried", False)),
    ],
)
def test_how_a_release_ended(result: Any, served: str, wanted: tuple[str, bool]) -> None:
    found = swap_outcome(result, served)
    assert (found["outcome"], found["serves"]) == wanted


def test_files_are_found_in_the_first_folder_that_has_them(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "out.yml").write_text("[]")
    folders = ["", str(tmp_path / "one"), str(tmp_path / "two")]
    given = {"before_swap": "out.yml", "after_swap": str(tmp_path / "two" / "out.yml"), "after_all": "", "timeout": "7"}
    assert release_steps(given, folders) == {
        "before_swap": str(tmp_path / "one" / "out.yml"),
        "after_swap": str(tmp_path / "two" / "out.yml"),
        "timeout": 7,
    }
    assert release_steps({"after_all": None, "timeout": 7}, folders) == {}
    assert release_steps({"after_all": "out.yml", "timeout": ""}, folders)["timeout"] == 300


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"on_failure": "nowhere.yml"}, "release_on_failure_tasks nowhere.yml is in none of the places"),
        ({"on_failure": ["a"]}, "release_on_failure_tasks is not a text."),
        ({"on_failure": "out.yml", "timeout": "soon"}, "release_step_timeout is 'soon', not a whole number"),
        ({"on_failure": "out.yml", "timeout": 0}, "release_step_timeout is 0."),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, given: dict[str, Any], says: str) -> None:
    (tmp_path / "out.yml").write_text("[]")
    with pytest.raises(AnsibleFilterError, match=says):
        release_steps(given, [str(tmp_path)])
    with pytest.raises(AnsibleFilterError, match="not str"):
        release_steps("out.yml", [])

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The questions of a job template are those of the role, in its words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.survey import survey

SPECS = Path(__file__).resolve().parents[4] / "roles" / "release" / "meta" / "argument_specs.yml"
OPTIONS: dict[str, Any] = yaml.safe_load(SPECS.read_text())["argument_specs"]["main"]["options"]


def test_every_variable_of_the_role_can_be_asked_for() -> None:
    made = survey(OPTIONS, list(OPTIONS), required=["release_version"])
    assert [question["variable"] for question in made["spec"]] == list(OPTIONS)
    assert [question["variable"] for question in made["spec"] if question["required"]] == ["release_version"]
    for question in made["spec"]:
        assert question["default"] == "", "an answer would win over the inventory"
        assert question["question_description"], question
        assert "C(" not in question["question_description"]
        assert set(question) == {
            *("question_name", "question_description", "required", "type", "variable", "default", "choices"),
            *("min", "max"),
        }


@pytest.mark.parametrize(
    ("name", "kind", "choices"),
    [
        ("release_version", "text", ""),
        ("release_force", "multiplechoice", ["false", "true"]),
        ("release_inconclusive", "text", ""),
        ("release_soak_time", "integer", ""),
        ("release_weights", "text", ""),
        ("release_start_timeout", "text", ""),
    ],
)
def test_the_type_is_what_the_default_says(name: str, kind: str, choices: Any) -> None:
    question = survey(OPTIONS, [name])["spec"][0]
    assert (question["type"], question["choices"]) == (kind, choices)


def test_choices_are_choices() -> None:
    made = survey({"x": {"choices": ["a", 1], "description": "One."}}, ["x"])
    assert made["spec"][0]["choices"] == ["a", "1"]


@pytest.mark.parametrize(
    ("ask", "required", "says"),
    [
        (["release_verson"], [], "no variable release_verson; did you mean release_version?"),
        (["release_version"], ["release_src"], "no question asks for the required release_src"),
    ],
)
def test_a_misspelled_question_is_refused(ask: list[str], required: list[str], says: str) -> None:
    with pytest.raises(AnsibleFilterError, match=says.replace("?", r"\?")):
        survey(OPTIONS, ask, required)


def test_what_is_no_specification_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="not list"):
        survey([], ["x"])

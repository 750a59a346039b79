# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a survey answers: an empty text is no answer, and a list may come as one text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.switch import switch
from ansible_collections.slipway.go.plugins.filter.texts import texts

PLAYBOOKS = Path(__file__).resolve().parents[4] / "playbooks"


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize("given", ["", " ", None])
def test_an_empty_answer_is_the_default(given: Any, default: bool) -> None:
    assert switch(given, "harden_ssh", default) is default


@pytest.mark.parametrize(
    ("given", "wanted"), [(True, True), (False, False), ("no", False), ("Yes", True), ("0", False), (1, True)]
)
def test_an_answer_counts(given: Any, wanted: bool) -> None:
    assert switch(given, "harden_ssh") is wanted


@pytest.mark.parametrize("given", ["perhaps", [], {}, 2])
def test_what_is_no_answer_is_refused(given: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"harden_ssh is .*, not true or false"):
        switch(given, "harden_ssh")


def test_no_switch_of_a_playbook_is_off_by_an_empty_answer() -> None:
    texts_of = {path.name: path.read_text() for path in PLAYBOOKS.glob("*.yml")}
    assert {name: found for name, text in texts_of.items() if (found := re.findall(r".*\| bool\b.*", text))} == {}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("", []),
        (None, []),
        ([], []),
        (["1.9.4"], ["1.9.4"]),
        ("1.9.4, 1.9.3", ["1.9.4", "1.9.3"]),
        ("[1.9.3]", ["1.9.3"]),
        ('["1.9.3", "others"]', ["1.9.3", "others"]),
        (2, ["2"]),
    ],
)
def test_a_list_may_come_as_one_text(given: Any, wanted: list[str]) -> None:
    assert texts(given, "release_purge") == wanted


@pytest.mark.parametrize("given", [{"a": 1}, [["a"]], "[a"])
def test_what_is_no_list_of_texts_is_refused(given: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="release_purge"):
        texts(given, "release_purge")

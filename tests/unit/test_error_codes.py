"""Every error code of the code is on the generated page, with its meaning, its cause and its fix, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.slipway.go.tests.reference import error_codes, failures, pages

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "error-codes.md"


def test_each_code_has_a_meaning_and_is_used() -> None:
    used = {code.replace("*", "OPTION") for code in failures.codes()}
    assert sorted(used - set(error_codes.CODES)) == [], "add them to tests/reference/error_codes.py"
    assert sorted(set(error_codes.CODES) - used) == [], "no code of the collection reports them"


def test_no_code_is_described_twice() -> None:
    assert sum(len(section.codes) for section in error_codes.SECTIONS) == len(error_codes.CODES)


@pytest.mark.parametrize("code", sorted(error_codes.CODES))
def test_each_part_of_a_description_is_a_sentence(code: str) -> None:
    entry = error_codes.CODES[code]
    for text in entry:
        assert re.match(r"[A-Z`]|(argv|ufw|firewalld|cgo)\b", text), text
        assert text.endswith("."), text
        assert "?" not in text
    assert len(set(entry)) == len(entry)


@pytest.mark.parametrize("name", sorted(pages.PAGES))
def test_the_page_is_the_generated_one(name: str) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert written == pages.PAGES[name](), "run `make reference`"


def test_every_code_has_a_heading_to_link_to() -> None:
    headings = re.findall(r"^### `(\w+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(error_codes.CODES)


def test_the_guide_names_every_code_of_a_program() -> None:
    guide = (ROOT / "docs" / "guide" / "will-it-run-there.md").read_text(encoding="utf-8")
    described = {**error_codes.PROGRAM.codes, **error_codes.POLICY.codes}
    assert [code for code in described if f"`{code}`" not in guide] == ["policy_syntax"]


def test_every_metric_of_the_code_is_on_its_page() -> None:
    source = (ROOT / "plugins/module_utils/_release/operator/metrics.py").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    assert set(re.findall(r'"(slipway_\w+)"', source)) == set(re.findall(r"^\| `(slipway_\w+)`", page, re.MULTILINE))

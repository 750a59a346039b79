"""Every link of the documentation leads somewhere, and every page can be reached from the first one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "roles").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
# The folders in which a file may name a page of the documentation by its path from the root.
NAMING = ("playbooks", "plugins", "roles", "molecule", "tests", ".github", ".ci")


def prose(page: Path) -> str:
    """A page without its fenced blocks, in which brackets are code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    for link in LINK.findall(prose(page)):
        target, _sign, anchor = link.partition("#")
        if "://" not in link:
            yield link, Path(os.path.normpath(page.parent / target)) if target else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link, target, anchor in links(page):
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_first() -> None:
    first = ROOT / "docs" / "README.md"
    reached, waiting = {first}, [first]
    while waiting:
        targets = {target for _link, target, _anchor in links(waiting.pop()) if target.suffix == ".md"}
        waiting.extend(targets - reached)
        reached |= targets
    assert [str(page) for page in (ROOT / "docs").rglob("*.md") if page not in reached] == []


def test_every_page_that_code_names_exists() -> None:
    named = {
        match
        for folder in NAMING
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in (".py", ".yml", ".go", ".md", ".j2", "")
        for match in re.findall(r"(?<![\w/])docs/[\w/-]+\.md", path.read_text(encoding="utf-8", errors="replace"))
    }
    named |= set(re.findall(r"docs/[\w/-]+\.md", (ROOT / "Makefile").read_text()))
    assert named
    assert sorted(page for page in named if not (ROOT / page).is_file()) == []

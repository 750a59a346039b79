"""The messages that the page on troubleshooting quotes are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "guide" / "troubleshooting.md"
# What stands for a name, in the page and in the code.
PLACEHOLDER = re.compile(r"…|\b[A-Z]{2,}\b(?:@current\.service)?|/\S+|\w+\.json|release_rollback_\w+|serves now|[{}]")


def quoted() -> list[str]:
    cells = re.findall(r"^\| (.+?) \| [^|]+ \| [^|]+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [quote for cell in cells for quote in re.findall(r"`([^`]+)`", cell) if " " in quote]


def code() -> str:
    """The texts of the code, with strings of several lines as one."""
    files = [*(ROOT / "plugins").rglob("*.py"), *(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks").rglob("*.yml")]
    texts = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return re.sub(r"\s+", " ", re.sub(r"\"\s*\n\s*f?\"", "", texts))


CODE = code()


@pytest.mark.parametrize("quote", quoted())
def test_the_code_says_what_the_page_quotes(quote: str) -> None:
    pieces = [piece.strip(" ,.;:()") for piece in PLACEHOLDER.split(quote)]
    longest = max(pieces, key=len)
    assert longest in CODE or quote.startswith(("systemctl", "journalctl", "slipway ", "sha256sum"))

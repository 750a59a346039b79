"""Pages of the documentation that a bench fills in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

MARK = "<!-- tables -->\n"


def write(page: str, lines: Iterable[str]) -> None:
    """Put the tables into the page, below its mark."""
    path = Path(page)
    head, mark, _rest = path.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise SystemExit(f"{page} has no place for the tables")
    path.write_text(f"{head}{mark}" + "\n".join(lines) + "\n", encoding="utf-8")

"""docs/evidence/fixes.md, as the run writes it."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.slipway.go.tests.faults.fixes.model import Result


def write(page: Path, results: dict[str, dict[str, Result]]) -> None:
    page.write_text("")

"""A guide whose excerpts no longer are in the sample would teach what nobody runs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def test_every_go_excerpt_of_the_guide_is_in_the_sample() -> None:
    sample = [squeeze(file.read_text()) for file in (ROOT / "tests/lab/app").glob("*.go")]
    excerpts = re.findall(r"```go\n(.*?)```", (ROOT / "docs/guide/your-service.md").read_text(), re.DOTALL)
    assert excerpts
    for excerpt in excerpts:
        for part in excerpt.split("// …"):
            assert any(squeeze(part) in file for file in sample), f"not in tests/lab/app:\n{part}"

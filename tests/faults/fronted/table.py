"""The table of releases behind a HAProxy, for a terminal and for the documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_SAID = re.compile(r"^shop: (pass|inconclusive|fail) after ([0-9.]+) s", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    title: str
    environment: dict[str, str]
    stays: bool
    more: Mapping[str, Any] = field(default_factory=dict)
    meanwhile: str = ""

    @property
    def variables(self) -> dict[str, Any]:
        return {"release_environment": self.environment, **self.more}


@dataclass
class Row:
    title: str
    said: str
    failed: str
    ends: str
    broken: list[str] = field(default_factory=list)

    def line(self) -> str:
        return " | ".join((self.title, self.said, self.failed, self.ends, "; ".join(self.broken) or "kept"))


def row(
    case: Case,
    code: int,
    output: str,
    report: Mapping[str, Any],
    serves: Mapping[str, str],
    weights: Mapping[str, str],
) -> Row:
    verdicts = _SAID.findall(output)
    said, seconds = verdicts[0] if verdicts else ("nothing", "-")
    total = report["total"]
    ends = ", ".join(sorted(set(serves.values())))
    found = Row(case.title, f"{said} after {seconds} s", f"{total['failed']:,} of {total['sent']:,}", ends)
    if (code == 0) != case.stays:
        found.broken.append(f"the run ended with {code}")
    if ends != ("2.0.0" if case.stays else "1.0.0"):
        found.broken.append(f"{ends} at the end")
    if said != ("pass" if case.stays else "fail"):
        found.broken.append(f"verdicts: {verdicts}")
    if case.stays and total["failed"]:
        found.broken.append(f"{total['failures']}")
    return found


def page(rows: Sequence[Row]) -> str:
    return "\n".join(one.line() for one in rows)

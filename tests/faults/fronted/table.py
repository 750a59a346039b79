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
    share: float = 0.0
    reloads: bool = False
    killed: bool = False

    @property
    def variables(self) -> dict[str, Any]:
        return {"release_environment": self.environment, **self.more}


@dataclass
class Row:
    title: str
    said: str
    share: str
    failed: str
    ends: str
    broken: list[str] = field(default_factory=list)

    def line(self) -> str:
        return " | ".join(self.cells())

    def cells(self) -> tuple[str, ...]:
        return (self.title, self.said, self.share, self.failed, self.ends, "; ".join(self.broken) or "kept")


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
    share = _share(report)
    shown = "-" if share is None else f"{share:.1f} %"
    found = Row(case.title, f"{said} after {seconds} s", shown, f"{total['failed']:,} of {total['sent']:,}", ends)
    if (code == 0) != case.stays:
        found.broken.append(f"the run ended with {code}")
    if ends != ("2.0.0" if case.stays else "1.0.0"):
        found.broken.append(f"{ends} at the end")
    if said != ("pass" if case.stays else "fail"):
        found.broken.append(f"verdicts: {verdicts}")
    if case.stays and total["failed"]:
        found.broken.append(f"{total['failures']}")
    # Failed answers have no version.
    if case.share and case.stays and (share is None or abs(share - case.share) > 1):
        found.broken.append("the canary had another share")
    if case.reloads and "began to count anew" not in output:
        found.broken.append("the reload was not told")
    if any(not one.startswith("100 ") for one in weights.values()):
        found.broken.append(f"weights: {dict(weights)}")
    return found


def _share(report: Mapping[str, Any]) -> float | None:
    """The percentage of the new release among the answers while the canary had less than its weight."""
    versions: dict[str, int] = {}
    for mark in report["marks"]:
        for version, count in mark["versions"].items():
            versions[version] = versions.get(version, 0) + count
    every = sum(versions.values())
    return 100 * versions.get("2.0.0", 0) / every if every else None


def page(rows: Sequence[Row]) -> str:
    return "\n".join(one.line() for one in rows)

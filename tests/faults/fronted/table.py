"""The table of releases behind a HAProxy, for a terminal and for the documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PAGE = """# Releases that the fleet's HAProxy judges

`make fronted` releases the sample service on three hosts (Debian 12, strategy `socket`, batches of one and two)
behind a HAProxy on a host of its own, while a client sends 100 requests a second to HAProxy. Nothing but HAProxy's
counters compares the canary with the hosts after it ([`release_compare`](../guide/fleets.md#compared-with-the-rest)
with `haproxy`, a look every 3 seconds, for 30 s). Each host leaves HAProxy around its swap. Where the canary has a
share, it is [`balancer_canary_share`](../guide/fleets.md#who-meets-the-canary). The run writes this page.

{summary}

| the release | the run says | share of the canary | requests failed | release at the end | verdict |
|---|---|---|---|---|---|
{rows}

The share is that of the new release among the answers that the client got while the canary had less than its own
weight; failed requests say no release. A row is kept if a release that should not stay is stopped at the canary, if a
release that should stay is on all hosts and no request failed but in the moment of a reload of HAProxy, if the share
of a good release is within one percentage point, and if all hosts have their whole weight at the end. In the last
row, the run is killed when the canary has its share: it keeps it, and the same release, run again, gives it its whole
weight before the next batch.
"""
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
    said, seconds = verdicts[0] if verdicts else ("", "")
    total = report["total"]
    ends = ", ".join(sorted(set(serves.values())))
    share = _share(report)
    shown = "-" if share is None else f"{share:.1f} %"
    found = Row(
        case.title,
        f"{said} after {seconds} s" if said else "-",
        shown,
        f"{total['failed']:,} of {total['sent']:,}",
        ends,
    )
    if (code == 0) != case.stays:
        found.broken.append(f"the run ended with {code}")
    if ends != ("2.0.0" if case.stays else "1.0.0"):
        found.broken.append(f"{ends} at the end")
    # The canary of a run that was killed has the release already, and is compared no more.
    if said != ("" if case.killed else "pass" if case.stays else "fail"):
        found.broken.append(f"verdicts: {verdicts}")
    # A reload of HAProxy may close a kept connection in the moment of a request.
    if case.stays and set(total["failures"]) - ({"eof"} if case.reloads else set()):
        found.broken.append(f"{total['failures']}")
    # Failed answers have no version.
    if case.share and case.stays and not case.killed and (share is None or abs(share - case.share) > 1):
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
    kept = sum(not one.broken for one in rows)
    summary = f"{kept} of {len(rows)} rows kept."
    return PAGE.format(summary=summary, rows="\n".join(f"| {' | '.join(one.cells())} |" for one in rows))

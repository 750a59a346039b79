"""The table of compared releases, for a terminal and for the documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PAGE = """# Releases compared with the rest of the fleet

`make compared` releases the same program with one defect each on four hosts (Debian 12 and 13, strategy `socket`,
batches of one, one and two hosts), under 50 requests a second on each host. Each defect is one that health check and
soak do not see. A Prometheus on the controller reads the hosts' own counters every two seconds, and
[`release_compare`](../guide/fleets.md#compared-with-the-rest) compares for at most 90 s. All requests of the release
before take 20 ms. The run writes this page.

{summary}

| defect | the run says | after | failed on hosts with the defect | on the others | release at the end | verdict |
|---|---|---|---|---|---|---|
{rows}

A row is kept if a release that should not stay is stopped at the first host and all hosts end on the one before, if a
release that should stay is on all hosts at the end, and if no host without the new release fails a request.
"""
_SAID = re.compile(r"^shop: (pass|inconclusive|fail) after ([0-9.]+) s", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    title: str
    environment: dict[str, str]
    stays: bool


@dataclass
class Row:
    title: str
    said: str
    seconds: str
    here: int
    elsewhere: int
    ends: str
    broken: list[str] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        verdict = "; ".join(self.broken) or "kept"
        return (self.title, self.said, self.seconds, f"{self.here:,}", f"{self.elsewhere:,}", self.ends, verdict)

    def line(self) -> str:
        return " | ".join(self.cells())


def row(case: Case, code: int, output: str, report: Mapping[str, Any], serves: Mapping[str, str]) -> Row:
    verdicts = _SAID.findall(output)
    hosts = list(serves)
    # The hosts that have had the release: those of the batches before the verdict that stopped the run.
    reached = hosts if case.stays else hosts[:1]
    failed = {host: report["targets"][host]["total"]["failed"] for host in hosts}
    here = sum(failed[host] for host in reached)
    elsewhere = sum(failed.values()) - here
    said, seconds = verdicts[-1] if verdicts else ("nothing", "-")
    ends = ", ".join(sorted(set(serves.values())))
    found = Row(case.title, said, f"{seconds} s" if said == "fail" else "-", here, elsewhere, ends)
    if (code == 0) != case.stays:
        found.broken.append(f"the run ended with {code}")
    if ends != ("2.0.0" if case.stays else "1.0.0"):
        found.broken.append(f"{ends} at the end")
    if not case.stays and [one[0] for one in verdicts] != ["fail"]:
        found.broken.append(f"verdicts: {verdicts}")
    if elsewhere:
        found.broken.append(f"failed where the release was not: {failed}")
    return found


def page(rows: Sequence[Row]) -> str:
    kept = sum(not one.broken for one in rows)
    summary = f"{kept} of {len(rows)} rows kept."
    return PAGE.format(summary=summary, rows="\n".join(f"| {' | '.join(one.cells())} |" for one in rows))

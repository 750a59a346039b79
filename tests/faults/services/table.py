"""The table of services, for a terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PAGE = """# Ten services on each of three hosts

`make services` declares ten services in `slipway_services`: two each of the strategies `socket`, `proxy` and `reload`,
two that restart, and two workers without a public port, on three hosts (Debian 12 and 13) with a firewall and the
deploy user's sudo rules. `site` configures and releases all of them. Each row is one more run under load on every
public port; the last two are the steps of [a new name](../guide/remove.md#rename-a-service-or-move-it), and
[the switch](../guide/adopt.md#the-switch) of an eleventh service that was set up by hand. The run writes this page.

{summary}

| run | requests sent / lost, services that are not restarted | lost by those that are | seconds | verdict |
|---|---|---|---|---|
{rows}

A row is kept if the run succeeds (the second `site` without any change), if no service that need not be restarted
loses a request, and if the files, units, processes, ports, sudo rules and firewall rules of every service that the run
is not about are the same before and after.
"""


@dataclass
class Row:
    title: str
    seconds: float
    sent: int
    lost: int
    excused: int
    broken: list[str] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        verdict = "; ".join(self.broken).replace("\n", " ") or "kept"
        return (self.title, f"{self.sent:,} / {self.lost}", str(self.excused), f"{self.seconds:.0f}", verdict)

    def line(self) -> str:
        return " | ".join(self.cells())


def row(
    title: str, seconds: float, report: Mapping[str, Any], promised: Collection[str], about: Collection[str]
) -> Row:
    """promised: the services of which none may be lost in any run; of the others only those that it is about may."""
    of_each = {target: found["total"] for target, found in report["targets"].items()}
    strict = [one for target, one in of_each.items() if _service(target) in promised or _service(target) not in about]
    excused = [one for target, one in of_each.items() if _service(target) not in promised and _service(target) in about]
    lost = sum(one["failed"] for one in strict)
    found = Row(title, seconds, sum(one["sent"] for one in strict), lost, sum(one["failed"] for one in excused))
    if lost:
        kinds = {target: one["failures"] for target, one in of_each.items() if one["failures"]}
        found.broken.append(f"lost requests: {kinds}")
    return found


def _service(target: str) -> str:
    return target.partition(".")[0]


def page(rows: Sequence[Row]) -> str:
    broken = sum(bool(one.broken) for one in rows)
    sent, lost = sum(one.sent for one in rows), sum(one.lost for one in rows)
    summary = (
        f"{len(rows)} rows, {broken} of them broken; {sent:,} requests sent to services that are not restarted, "
        f"{lost} lost."
    )
    return PAGE.format(summary=summary, rows="\n".join(f"| {' | '.join(one.cells())} |" for one in rows))

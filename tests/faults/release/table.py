"""The fault table, for a terminal and for the documentation."""

from __future__ import annotations

import re
from pathlib import Path

from model import Result

HEADINGS = ("fault", "when", "sent / lost", "serves then", "the next ordinary run")


def lost(result: Result) -> str:
    if not result.sent:
        return "-"
    count = sum(result.failures.values())
    return f"{result.sent} / {count}" + (f" ({', '.join(sorted(result.failures))})" if count else "")


def cells(result: Result) -> tuple[str, ...]:
    row = result.row
    return (row.fault, row.when, lost(result), result.served, result.next_run)


def groups(results: list[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(f"{result.row.strategy}, {result.row.kind}", []).append(result)
    return found


def summary(results: list[Result]) -> str:
    sent = sum(result.sent for result in results)
    failed = sum(sum(result.failures.values()) for result in results if not result.row.lost)
    broken = sum(bool(result.broken) for result in results)
    load = (
        f"; {sent:,} requests sent during the faults, {failed} lost where a release could have served" if sent else ""
    )
    return f"{len(results)} rows, {broken} of them broken{load}"


def text(results: list[Result], seconds: float) -> str:
    rows = [HEADINGS, *(cells(result) for result in results)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEADINGS))]
    lines = []
    for name, members in groups(results).items():
        lines += ["", name, "  ".join(h.ljust(w) for h, w in zip(HEADINGS, widths)).rstrip()]
        for result in members:
            lines.append("  ".join(c.ljust(w) for c, w in zip(cells(result), widths)).rstrip())
            lines += [f"    BROKEN: {broken}  ({result.log})" for broken in result.broken]
    return "\n".join([*lines, "", f"{summary(results)}; {seconds:.0f} s"])


def markdown(results: list[Result]) -> str:
    lines = [f"{summary(results)}.", ""]
    for name, members in groups(results).items():
        lines += [f"### {name}", "", "| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
        lines += ["| " + " | ".join(cell.replace("|", r"\|") for cell in cells(result)) + " |" for result in members]
        lines.append("")
    return "\n".join(lines)


def put(page: Path, part: str, content: str) -> None:
    """Replace what stands between the two comments of that part."""
    found = re.compile(rf"(<!-- {part}:[^\n]*-->\n).*?(<!-- /{part} -->)", re.DOTALL)
    page.write_text(found.sub(lambda match: f"{match.group(1)}{content}{match.group(2)}", page.read_text()))

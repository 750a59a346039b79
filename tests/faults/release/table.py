"""The fault table, for a terminal and for the documentation."""

from __future__ import annotations

from model import Result

HEADINGS = ("fault", "when", "sent / lost", "serves then", "the next ordinary run")


def lost(result: Result) -> str:
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


def text(results: list[Result], seconds: float) -> str:
    rows = [HEADINGS, *(cells(result) for result in results)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEADINGS))]
    lines = []
    for name, members in groups(results).items():
        lines += ["", name, "  ".join(h.ljust(w) for h, w in zip(HEADINGS, widths)).rstrip()]
        for result in members:
            lines.append("  ".join(c.ljust(w) for c, w in zip(cells(result), widths)).rstrip())
            lines += [f"    BROKEN: {broken}  ({result.log})" for broken in result.broken]
    sent = sum(result.sent for result in results)
    failed = sum(sum(result.failures.values()) for result in results if not result.row.lost)
    broken = sum(bool(result.broken) for result in results)
    lines += [
        "",
        f"{len(results)} rows in {seconds:.0f} s, {broken} of them broken; {sent:,} requests sent during the faults,"
        f" {failed} lost where a release could have served",
    ]
    return "\n".join(lines)


def markdown(results: list[Result]) -> str:
    lines = []
    for name, members in groups(results).items():
        lines += [f"### {name}", "", "| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
        lines += ["| " + " | ".join(cell.replace("|", r"\|") for cell in cells(result)) + " |" for result in members]
        lines.append("")
    return "\n".join(lines)

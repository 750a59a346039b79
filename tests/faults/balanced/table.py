"""The table of ten hosts behind a balancer, for a terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from model import Result, Row

PAGE = """# Ten hosts behind a load balancer

`make balanced` releases the sample service on ten hosts (Debian 12, strategy `socket`, batches of one, four and five)
behind a HAProxy on a host of its own, while users send their requests to HAProxy: GET and POST on new and on kept
connections, requests that take half a second, and streams. Each row is one fault, and one outcome that the fleet must
have. The run writes this page.

{summary}

A row says in advance what each host runs once its deadlines have passed, how the run ends, what its table says of each
host, which hosts it fails, whose requests users may lose, and which hosts the balancer still has out. It is kept if all
of that is so, if the next ordinary run brings all hosts to the release without a lost request, and if the balancer has
all hosts then. HAProxy's own log says which host a lost request was sent to. Host 1 is the canary; hosts 2 to 5 are the
second batch. Where the next run stands `with rows after it`, the rows down to the next one with a run of its own share
that run: each of them begins on what the one before has left, and the last one is followed by the ordinary run.
Rows may be of several calls, each on the commit that it names.

| row | the fleet must be | users may lose requests of | lost / sent | lost at | next run | seconds | commit | verdict |
|---|---|---|---|---|---|---|---|---|
{rows}
{rest}"""
REST = """
Not run:

{names}
"""


def must(row: Row) -> str:
    """Such as `old; host 1 new`."""
    text = f"all {row.ends.rest}" if not row.ends.but else row.ends.rest
    but = ", ".join(f"host {place + 1} {word}" for place, word in row.ends.but.items())
    return f"{text}; {but}" if but else text


def hosts(places: frozenset[int]) -> str:
    return "host " + ", ".join(str(place + 1) for place in sorted(places)) if places else "none"


def line(row: Row, result: Result) -> str:
    verdict = "; ".join(result.broken).replace("\n", " ").replace("|", "/") or "kept"
    of = ", ".join(f"{name}: {count}" for name, count in result.of.items()) or "-"
    lost = f"{result.failed:,} / {result.sent:,}"
    told = (lost, of, result.next_run or "-", f"{result.seconds:.0f}", result.commit or "-", verdict)
    return " | ".join((row.title, must(row), hosts(row.lost), *told))


def page(rows: Sequence[Row], results: Mapping[str, Result]) -> str:
    known = {row.name: row for row in rows}
    played = [(known[name], result) for name, result in results.items() if name in known]
    left = [row.title for row in rows if row.name not in results]
    kept = sum(not result.broken for _row, result in played)
    sent = sum(result.sent for _row, result in played)
    allowed = sum(result.failed for row, result in played if row.lost)
    other = sum(result.failed for row, result in played if not row.lost)
    summary = (
        f"{kept} of {len(played)} rows kept{f', {len(left)} not run' if left else ''}. {sent:,} requests of users;\n"
        f"{allowed:,} lost in the rows in which a host with a fault may lose some, {other:,} in all others."
    )
    told = "\n".join(f"| {line(row, result)} |" for row, result in played)
    rest = REST.format(names="\n".join(f"- {title}" for title in left)) if left else ""
    return PAGE.format(summary=summary, rows=told, rest=rest)

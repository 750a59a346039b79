"""The table of daemons, for a terminal and for the documentation."""

from __future__ import annotations

from drive import DRAIN_S, RATE, Result, total

HEADINGS = (
    "daemon", "versions", "strategy", "requests sent / lost", "lost, by kind", "`wrk`: requests / errors",
    "websockets: short ones / lost", "long ones cut: says the run / saw the client", "serves at the end",
)  # fmt: skip
PAGE = """# Daemons from Debian packages

Nobody here wrote these Go programs, and nothing in them is changed: they get arguments, an environment and
configuration files. `make daemons` takes each of them in two versions from Debian's packages. It releases the older
version with the playbook `site`. Then, under load, the playbook `release` brings the newer one, and `slipway rollback`
on the host takes it back. The host is Debian 13; the packages come from Debian 12, 13 and unstable. The run writes this
page.

{summary}

{table}

## How to read it

- *requests*: the project's load client sends {rate} requests a second, half of them on connections of their own
  (`new-get`) and half on kept ones (`keep-get`). It repeats none. `eof` and `reset` mean that the server closed the
  connection before it answered, `refused` that nobody accepted it.
- *`wrk`*: a second client, with kept connections only. It does not tell what became of a request: a `read` error is
  also a connection that the server closed while no request was open on it. While nobody listens, it tries again at once
  and counts each attempt as a `write` error.
- *websockets*: a third client. A short websocket lives for 2 seconds, so it ends within `service_drain_timeout`
  ({drain} s) and must be carried through. Five long ones stay open, with a ping twice a second. They outlive the drain,
  are cut, and are opened again. A daemon that speaks none is not asked.
- *long ones cut*: in the upgrade + in the rollback. The run says it as `cut` in `slipway history`.
- *serves at the end*: the version that `current` names. The file that the process executes has the digest of that
  version's program, and `slipway status` calls the service healthy.

`wrk` and the websockets' client are Debian's packages ({clients}).

A row is kept if no request and no short websocket is lost, if the run and the client count the same websockets cut, and
if the older version serves at the end. These rows may lose requests:

{excused}

Where the run and the client count differently:

{differing}
"""


def cells(result: Result) -> tuple[str, ...]:
    row = result.row
    lost = ", ".join(f"{kind}: {counts(failures)}" for kind, failures in result.lost.items())
    return (
        f"`{row.package}`",
        " → ".join(result.versions),
        f"`{row.strategy}`",
        f"{result.sent:,} / {total(result.lost)}",
        lost or "-",
        f"{result.wrk.get('requests', 0):,} / {counts(result.wrk_errors) or 0}",
        *websockets(result),
        result.serves,
    )


def counts(found: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))


def websockets(result: Result) -> tuple[str, str]:
    if result.sockets is None:
        return "speaks none", plus(result.cut) if any(result.cut) else "-"
    short = f"{result.sockets['short']:,} / {sum(result.sockets['lost'].values())}"
    return short, f"{plus(result.cut)} / {plus(result.seen)}"


def plus(numbers: list[int]) -> str:
    return " + ".join(map(str, numbers))


def summary(results: list[Result]) -> str:
    broken = [result for result in results if result.broken]
    promised = [result for result in results if not result.row.loses]
    sent = sum(result.sent for result in promised)
    lost = sum(total(result.lost) for result in promised)
    return (
        f"{len(results)} daemons, {len(broken)} of them broken. Of {sent:,} requests to those whose strategy promises "
        f"it, {lost} were lost."
    )


def excused(results: list[Result]) -> str:
    """Why a row may lose requests, and for how long it was down where that is its strategy's."""
    lines = []
    for result in results:
        if result.row.loses:
            down = ", ".join(f"{seconds:.1f} s" for seconds in result.downtime)
            measured = f"; down for {down}, in the upgrade and in the rollback" if down else ""
            lines.append(f"- `{result.row.package}`: {result.row.loses}{measured}.")
    return "\n".join(lines) or "None."


def differing(results: list[Result]) -> str:
    found = [result for result in results if result.sockets is not None and result.cut != result.seen]
    return "\n".join(f"- `{result.row.package}`: {result.row.closes or 'unexplained'}." for result in found) or "None."


def page(results: list[Result], clients: str) -> str:
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(cells(result) for result in results)]
    broken = [f"- `{result.row.package}`: {problem}" for result in results for problem in result.broken]
    return PAGE.format(
        summary="\n".join([summary(results), *(["", *broken] if broken else [])]),
        table="\n".join("| " + " | ".join(line) + " |" for line in lines),
        rate=RATE,
        drain=DRAIN_S,
        clients=clients,
        excused=excused(results),
        differing=differing(results),
    )

"""Ten hosts behind a HAProxy: releases, defects, lost hosts, killed, paused and concurrent controllers, under load.

`make balanced` runs it; alone: lab.py run -- python tests/faults/balanced [--page FILE] [--only NAME…] [--resume]
[--lab NAME]. Exits 1 when a row is broken. Results are written as they come, to .work/balanced/results-10.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "lab")]

import lab
import table
from bench import HOSTS, Bench
from build import build_load, build_releases
from drive import played
from model import Result, Row
from rows import ROWS

LAB = "balanced"
WORK = lab.CHECKOUT / ".work" / "balanced"
SHARE = 10  # rows at most
RESULTS = WORK / f"results-{HOSTS}.json"


def read() -> dict[str, Result]:
    return {name: Result(**told) for name, told in json.loads(RESULTS.read_text()).items()} if RESULTS.exists() else {}


def write(results: dict[str, Result]) -> None:
    RESULTS.write_text(json.dumps({name: asdict(one) for name, one in results.items()}, indent=1))


def commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=lab.CHECKOUT, capture_output=True, text=True, check=False
    ).stdout.strip()


def run(name: str, rows: list[Row], results: dict[str, Result], share: bool) -> None:
    bench = Bench(name, WORK)
    with bench.cuts.in_force():
        bench.set_up()
        with bench.watched() if any(row.compare for row in rows) else nullcontext():
            for place, row in enumerate(rows):
                after = rows[place + 1 : place + 2]
                # A run from elsewhere would find the lease of a controller that was killed.
                shared = share and (place + 1) % SHARE > 0 and bool(after) and not after[0].as_awx
                results.pop(row.name, None)  # the order of the page is that of the runs
                found = results[row.name] = played(bench, row, WORK / "load", shared)
                found.commit = commit()
                print(table.line(row, found), file=sys.stderr, flush=True)
                write(results)


def main() -> int:
    parser = argparse.ArgumentParser(prog="balanced", description=__doc__)
    parser.add_argument("--page", type=Path, help="file that gets the table")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these rows, in this order")
    parser.add_argument("--resume", action="store_true", help="the rows that an earlier call has not come to")
    parser.add_argument("--share", action="store_true", help="several rows that leave the old release share a next run")
    parser.add_argument("--no-rows", action="store_true", help="only write the page of what earlier calls have played")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    parser.add_argument("--lab", help="use the hosts of this lab, which are up, and leave them up")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(row.name for row in ROWS))
        return 0
    WORK.mkdir(parents=True, exist_ok=True)
    results = read() if arguments.resume or arguments.only or arguments.no_rows else {}
    by_name = {row.name: row for row in ROWS}
    chosen = [] if arguments.no_rows else [by_name[name] for name in arguments.only or by_name]
    if arguments.resume:
        chosen = [row for row in chosen if row.name not in results]
    if chosen:
        build_releases(WORK)
        build_load(WORK / "load")
        if not arguments.lab:
            lab.up(LAB, HOSTS + 1, ["bookworm"])
        try:
            run(arguments.lab or LAB, chosen, results, arguments.share)
        finally:
            if not arguments.lab:
                lab.down(LAB)
    text = table.page(ROWS, results)
    if arguments.page:
        arguments.page.write_text(text)
    print(text)
    return int(any(one.broken for one in results.values()))


if __name__ == "__main__":
    sys.exit(main())

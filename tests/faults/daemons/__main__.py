"""The table of daemons: Go programs from Debian packages, unmodified, upgraded and rolled back under load.

`make daemons` runs it; alone: lab.py run -- python tests/faults/daemons [--page FILE] [--only REGEX] [--lab NAME].
Exits 1 when a row does not keep what its strategy promises.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "lab"), str(HERE.parents[1] / "integration" / "linkage")]

import clients
import lab
import rows
import table
from build import build_load
from drive import Bench, BenchError, Result, saved

LAB = "daemons"
WORK = lab.CHECKOUT / ".work" / "daemons"
# The programs run on the newest host of the lab, so that it has what each of them needs of the C library.
SUITE = "trixie"


def run(chosen: list[rows.Row], name: str, resume: bool) -> tuple[list[Result], str]:
    """Every row on the first host, with the clients on the second."""
    inventory = lab.folder(name) / "inventory.yml"
    server, client = (f"slipway-{name}-{name}{number}" for number in (1, 2))
    versions = clients.prepare(client)
    bench = Bench(inventory, f"{name}1", server, client, WORK)
    results = []
    for row in chosen:
        begun, path = time.monotonic(), WORK / f"{row.package}.json"
        result = (saved(row, path) if resume else None) or attempt(bench, row)
        result.save(path)
        results.append(result)
        told = " | ".join((*table.cells(result), "; ".join(result.broken) or "kept"))
        print(f"{time.monotonic() - begun:5.0f} s  {told}", file=sys.stderr, flush=True)
    return results, versions


def attempt(bench: Bench, row: rows.Row) -> Result:
    try:
        return bench.execute(row)
    except (BenchError, OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        return Result(row, broken=[f"the row could not be run: {error}"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="daemons", description=__doc__)
    parser.add_argument("--page", type=Path, help="file that gets the table")
    parser.add_argument("--only", default="", metavar="REGEX", help="the rows whose package matches")
    parser.add_argument("--resume", action="store_true", help="the rows that an earlier run has kept are not run again")
    parser.add_argument("--lab", help="use the hosts NAME1 and NAME2 of this lab, which are up")
    arguments = parser.parse_args()
    chosen = [row for row in rows.ROWS if re.search(arguments.only, row.package)]
    WORK.mkdir(parents=True, exist_ok=True)
    build_load(WORK / "load")
    if not arguments.lab:
        lab.up(LAB, 2, [SUITE])
    try:
        results, versions = run(chosen, arguments.lab or LAB, arguments.resume)
    finally:
        if not arguments.lab:
            lab.down(LAB)
    text = table.page(results, versions)
    if arguments.page:
        arguments.page.write_text(text)
    print(text)
    return int(not results or any(result.broken for result in results))


if __name__ == "__main__":
    sys.exit(main())

"""Releases on hosts behind a HAProxy whose counters alone say whether the canary is worse, under load through it.

`make fronted` runs it; alone: lab.py run -- python tests/faults/fronted [--page FILE] [--only TITLE].
Exits 1 when a release ends otherwise than its row says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "balanced"), str(HERE.parents[1] / "lab")]

import front
import lab
import table
from build import build_load, build_releases
from client import Load

LAB, RATE = "fronted", 100
WORK = lab.CHECKOUT / ".work" / "fronted"
BROKEN = {"APP_ERROR_RATIO": "0.2"}
SHARE = {"balancer_canary_share": 10}
ROWS = (
    table.Case("no defect", {}, stays=True),
    table.Case("20 % errors", BROKEN, stays=False),
    table.Case("no defect, and the canary has 10 % of the requests", {}, stays=True, more=SHARE, share=10),
    table.Case("20 % errors, and the canary has 10 % of the requests", BROKEN, stays=False, more=SHARE, share=10),
    table.Case("HAProxy is reloaded meanwhile", {}, stays=True, reloads=True),
    table.Case("the run is killed while it compares", {}, stays=True, more=SHARE, share=10, killed=True),
)


def played(bench: front.Bench, case: table.Case) -> table.Row:
    with tempfile.TemporaryDirectory() as folder, Load(WORK / "load", Path(folder), [bench.url], RATE) as client:
        if case.killed:
            bench.kill(case, client)
        with bench.watching(case, client):
            done = bench.play("release", front.SECOND, case)
        report = client.report()
    row = table.row(case, done.code, done.output, report, bench.serves(), bench.weights())
    print(row.line(), file=sys.stderr, flush=True)
    if row.broken:
        print(done.output[-8000:], file=sys.stderr)
    bench.take_back()
    return row


def main() -> int:
    parser = argparse.ArgumentParser(prog="fronted", description=__doc__)
    parser.add_argument("--page", type=Path, help="file that gets the table")
    parser.add_argument("--only", default="", help="rows whose title has this text")
    parser.add_argument("--keep", action="store_true", help="leave the hosts running")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    build_releases(WORK)
    build_load(WORK / "load")
    if not (lab.folder(LAB) / "inventory.yml").exists() or not arguments.keep:
        lab.up(LAB, front.HOSTS + 1, ["bookworm"])
    try:
        bench = front.Bench(LAB, WORK)
        bench.set_up()
        rows = [played(bench, case) for case in ROWS if arguments.only in case.title]
    finally:
        if not arguments.keep:
            lab.down(LAB)
    text = table.page(rows)
    if arguments.page:
        arguments.page.write_text(text)
    print(text)
    return int(any(row.broken for row in rows))


if __name__ == "__main__":
    sys.exit(main())

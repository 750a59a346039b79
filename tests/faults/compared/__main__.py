"""Defects that show only under traffic, released on four hosts that a Prometheus knows: where does the run stop?

`make compared` runs it; alone: lab.py run -- python tests/faults/compared [--page FILE] [--only TITLE].
Exits 1 when a release ends otherwise than its row says, or when hosts without it fail requests.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "lab")]

import inside
import lab
import play
import prometheus
import table
from build import build_load, build_releases
from client import Load

LAB, HOSTS, PORT, RATE = "compared", 4, 8101, 50
SCRAPE = 2
WORK = lab.CHECKOUT / ".work" / "compared"
# Every request takes as long in the release before: a millisecond is too little to be twice as slow.
BEFORE = {"APP_SLOW_RATIO": "1", "APP_SLOW_MS": "20"}
ROWS = (
    table.Case("no defect", {}, stays=True),
    table.Case("2 % errors", {"APP_ERROR_RATIO": "0.02"}, stays=False),
    table.Case("5 % errors", {"APP_ERROR_RATIO": "0.05"}, stays=False),
    table.Case("20 % errors", {"APP_ERROR_RATIO": "0.2"}, stays=False),
    table.Case("requests take twice as long, within the next bucket", {"APP_SLOW_MS": "40"}, stays=True),
    table.Case("requests take ten times as long", {"APP_SLOW_MS": "200"}, stays=False),
    table.Case("it crashes after 20 s", {"APP_CRASH_AFTER": "20s"}, stays=False),
)


class Bench:
    """The hosts, and a Prometheus that knows them by their inventory names."""

    def __init__(self, name: str, folder: Path) -> None:
        self.inventory = lab.folder(name) / "inventory.yml"
        hosts = json.loads(self.inventory.read_text())["all"]["hosts"]
        self.addresses: dict[str, str] = {host: values["ansible_host"] for host, values in hosts.items()}
        self.containers = {host: f"slipway-{name}-{host}" for host in self.addresses}
        self.folder = folder
        self.prometheus = ""

    @contextmanager
    def watched(self) -> Iterator[None]:
        with prometheus.watching(self.addresses, PORT, SCRAPE, self.folder) as self.prometheus:
            yield

    def play(self, name: str, version: str, environment: dict[str, str], **more: Any) -> play.Play:
        return play.playbook(name, self.inventory, {**self.variables(version, environment), **more})

    def variables(self, version: str, environment: dict[str, str]) -> dict[str, Any]:
        return {
            "service_name": "shop",
            "service_swap": "socket",
            "service_listen": [str(PORT)],
            "site_harden": False,
            "release_version": version,
            "release_src": str(WORK / f"shop-{version}"),
            "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 30},
            "release_environment": {**BEFORE, **environment},
            "release_soak_time": 1,
            "release_serial": [1, 1, "100%"],
            "release_force": True,
            "release_min_requests": 200,
            "release_compare": prometheus.compare(self.prometheus, SCRAPE, 90),
        }

    def serves(self) -> dict[str, str]:
        """The version on each host."""
        found = {}
        for host, container in self.containers.items():
            found[host] = inside.run(container, "readlink", "/opt/shop/current").rpartition("/")[2].partition("-")[0]
        return found


def played(bench: Bench, case: table.Case) -> table.Row:
    urls = [f"{host}=http://{address}:{PORT}/" for host, address in bench.addresses.items()]
    with tempfile.TemporaryDirectory() as folder, Load(WORK / "load", Path(folder), urls, RATE) as client:
        done = bench.play("release", "2.0.0", case.environment)
        report = client.report()
    row = table.row(case, done.code, done.output, report, bench.serves())
    print(row.line(), file=sys.stderr, flush=True)
    if row.broken:
        print(done.output[-6000:], file=sys.stderr)
    if set(bench.serves().values()) != {"1.0.0"}:
        back = bench.play("rollback", "2.0.0", {})
        if back.code:
            raise SystemExit(back.output[-4000:])
    return row


def run(bench: Bench, only: str) -> list[table.Row]:
    first = bench.play("site", "1.0.0", {})
    if first.code:
        raise SystemExit(first.output[-4000:])
    with bench.watched():
        return [played(bench, case) for case in ROWS if only in case.title]


def main() -> int:
    parser = argparse.ArgumentParser(prog="compared", description=__doc__)
    parser.add_argument("--page", type=Path, help="file that gets the table")
    parser.add_argument("--only", default="", help="rows whose title has this text")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    build_releases(WORK)
    build_load(WORK / "load")
    lab.up(LAB, HOSTS, ["bookworm", "trixie"])
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = run(Bench(LAB, Path(folder)), arguments.only)
    finally:
        lab.down(LAB)
    text = table.page(rows)
    if arguments.page:
        arguments.page.write_text(text)
    print(text)
    return int(any(row.broken for row in rows))


if __name__ == "__main__":
    sys.exit(main())

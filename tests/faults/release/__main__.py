"""The fault table of the release engine: what fails, when, what is lost, what serves then, what the next run does.

Real hosts of the lab, playbooks over SSH, requests all the time. Exits 1 when a row does not keep its promise.
`make faults` and `make faults-power` run it; alone: lab.py run -- python tests/faults/release [--power] [--only REGEX]
"""

from __future__ import annotations

import argparse
import queue
import re
import shutil
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "lab")]

import lab
import table
import vm
from build import build_app, build_load
from drive import VERSIONS, Bench
from host import Host, MachineHost, Service
from model import Result, Row
from rows import POWER_CUTS, ROWS

LAB = "faults"
# How much slower an emulated processor is than a container, for what has to end in time.
PATIENCE = 8
WORK = lab.CHECKOUT / ".work" / "faults"
SERVICES = {
    "socket": Service("shop", 8080, {"service_swap": "socket"}),
    "restart": Service("till", 8081, {"service_swap": "restart", "service_rehearsal": "18081"}),
    "proxy": Service("kiosk", 8082, {"service_swap": "proxy", "service_proxy_ports": [18182, 18282]}),
    # A process that is started by the one before has its environment: another one would be a restart. So the same two
    # releases take turns here, and one that a row has rolled back from is wanted again.
    "reload": Service(
        "relay", 8083, {"service_swap": "reload", "service_rehearsal": "18083", "release_force": True}, False
    ),
}


def needed(rows: list[tuple[int, Row]]) -> dict[str, Service]:
    strategies = {row.strategy for _number, row in rows}
    return {name: service for name, service in SERVICES.items() if name in strategies}


def build() -> None:
    for version in VERSIONS:
        build_app(version, WORK / f"shop-{version}")
    build_app(VERSIONS[0], WORK / "shop-arm64", goarch="arm64")
    build_load(WORK / "load")
    whole = (WORK / f"shop-{VERSIONS[0]}").read_bytes()
    (WORK / "shop-truncated").write_bytes(whole[:3_000_000])
    (WORK / "shop-text").write_text("#!/bin/sh\nexec sleep 60\n")
    # Any dynamic program, with the name of its library changed in place.
    dynamic = Path(shutil.which("true") or "/bin/true").read_bytes()
    (WORK / "shop-missing-library").write_bytes(dynamic.replace(b"libc.so.6\0", b"libq.so.6\0"))


def work_off(bench: Bench, waiting: queue.SimpleQueue[tuple[int, Row]], done: list[Result]) -> None:
    bench.prepare()
    while True:
        try:
            number, row = waiting.get_nowait()
        except queue.Empty:
            return
        result = bench.execute(row, number)
        done.append(result)
        told = " | ".join((*table.cells(result)[2:], "; ".join(result.broken) or "kept"))
        print(f"{len(done):>3} {result.seconds:5.1f} s  {row.title}: {told}", file=sys.stderr, flush=True)


def run_machine(rows: list[tuple[int, Row]], keep: bool) -> list[Result]:
    """Rows whose fault is a power cut, one after the other: the machine wants both processors.

    One that an earlier run has left up is taken as it is.
    """
    machine = vm.Machine(LAB)
    if machine.pid() is None:
        machine = vm.create(LAB, [service.port for service in SERVICES.values()])
        machine.boot()
    waiting: queue.SimpleQueue[tuple[int, Row]] = queue.SimpleQueue()
    done: list[Result] = []
    for entry in rows:
        waiting.put(entry)
    try:
        bench = Bench(MachineHost(machine), needed(rows), WORK, WORK, load=False, patience=PATIENCE)
        work_off(bench, waiting, done)
    finally:
        if not keep:
            machine.remove()
    return done


def run(rows: list[tuple[int, Row]], hosts: int, keep: bool) -> list[Result]:
    inventory = lab.up(LAB, hosts, ["bookworm", "trixie"])
    waiting: queue.SimpleQueue[tuple[int, Row]] = queue.SimpleQueue()
    done: list[Result] = []
    for entry in rows:
        waiting.put(entry)
    try:
        benches = [Bench(Host(f"{LAB}{n + 1}", inventory), needed(rows), WORK, WORK) for n in range(hosts)]
        threads = [threading.Thread(target=work_off, args=(bench, waiting, done)) for bench in benches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        if not keep:
            lab.down(LAB)
    order = {id(row): number for number, row in rows}
    return sorted(done, key=lambda result: order[id(result.row)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", metavar="REGEX", help="the rows whose title matches")
    parser.add_argument("--list", action="store_true", help="their titles, and nothing else")
    parser.add_argument("--power", action="store_true", help="the power cuts, in a virtual machine")
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--keep", action="store_true", help="leave the hosts up")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into this page, too")
    arguments = parser.parse_args()
    rows = [
        entry
        for entry in enumerate(POWER_CUTS if arguments.power else ROWS, 1)
        if re.search(arguments.only, entry[1].title)
    ]
    if arguments.list:
        print("\n".join(f"{number:>3} {row.title}" for number, row in rows))
        return 0
    begun = time.monotonic()
    WORK.mkdir(parents=True, exist_ok=True)
    build()
    if arguments.power:
        results = run_machine(rows, arguments.keep)
    else:
        results = run(rows, min(arguments.hosts, len(rows)), arguments.keep)
    took = time.monotonic() - begun
    print(table.text(results, took))
    if arguments.page:
        table.put(arguments.page, "power" if arguments.power else "containers", table.markdown(results))
    return 1 if len(results) != len(rows) or any(result.broken for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())

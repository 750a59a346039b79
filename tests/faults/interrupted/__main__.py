"""The table of interrupted changes of access: the controller pauses, dies or loses the network at every task.

Real hosts of the lab, the roles over SSH. After each row somebody who administers can log in, the change is in force or
not made at all, what the run said is true, and the next ordinary run repairs. Exits 1 when a row does not keep that.
`make lockout-interrupted` runs it; alone: lab.py run -- python tests/faults/interrupted [--only REGEX] [--outages 20]
"""

from __future__ import annotations

import argparse
import json
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lockout"), str(HERE.parents[1] / "lab")]

import crowd
import lab
from drive import Bench
from hardened import Host
from model import OUTAGES_S, SCENARIOS, Result, Row, Scenario, rows_of

LAB = "interrupted"
WORK = lab.CHECKOUT / ".work" / "interrupted"


def boot(suites: list[str]) -> list[Host]:
    inventory = json.loads(lab.up(LAB, len(suites), suites).read_text())["all"]
    return [Host(name, variables, inventory["vars"], LAB) for name, variables in inventory["hosts"].items()]


def furnish(host: Host) -> None:
    """Both firewalls, off, and a deploy user that administers."""
    host.inside(
        "apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install -y ufw firewalld"
        " >/dev/null 2>&1; systemctl disable --now firewalld >/dev/null 2>&1"
    )
    public = Path(host.key + ".pub").read_text().strip()
    variables = {"case_roles": ["deploy_user"], "deploy_user_keys": [public], "deploy_user_sudo": "full"}
    done = host.play("roles.yml", variables)
    assert done.returncode == 0, done.stdout
    host.save()


def work_off(bench: Bench, waiting: queue.SimpleQueue[tuple[int, Row]], done: list[Result]) -> None:
    while True:
        try:
            number, row = waiting.get_nowait()
        except queue.Empty:
            return
        result = bench.execute(row, number)
        done.append(result)
        told = " | ".join((result.end, result.said[:70], result.next_run, "; ".join(result.broken) or "kept"))
        print(f"{len(done):>3} {result.seconds:5.1f} s  {result.title}: {told}", file=sys.stderr, flush=True)


def run_scenario(
    scenario: Scenario, hosts: list[Host], arguments: argparse.Namespace, done: list[Result], planned: list[Row]
) -> None:
    """The rows of one scenario, on its own hosts side by side."""
    benches = [Bench(host, scenario, WORK) for host in hosts]
    try:
        tasks, *_same = [bench.prepare() for bench in benches]
    except (RuntimeError, TimeoutError, AssertionError) as error:
        done.append(Result(scenario.name, broken=[str(error)[-2000:]]))
        return
    rows = [row for row in rows_of(scenario, tasks, arguments.outages) if re.search(arguments.only, row.title)]
    planned += rows
    waiting: queue.SimpleQueue[tuple[int, Row]] = queue.SimpleQueue()
    for entry in enumerate(rows, 1):
        waiting.put(entry)
    threads = [threading.Thread(target=work_off, args=(bench, waiting, done)) for bench in benches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def text(results: list[Result], seconds: float) -> str:
    lines = []
    for result in sorted(results, key=lambda one: one.title):
        lines.append(f"{result.title:<90}  {result.end:<14}  {result.said[:60]:<60}  {result.next_run}")
        lines += [f"    BROKEN: {broken}  ({result.log})" for broken in result.broken]
    broken = sum(bool(result.broken) for result in results)
    return "\n".join([*lines, "", f"{len(results)} rows, {broken} of them broken; {seconds:.0f} s"])


def markdown(results: list[Result]) -> str:
    """The rows by what was changed; a kept row in one line, as the page is long enough."""
    broken = sum(bool(result.broken) for result in results)
    lines = [f"{len(results)} rows, {broken} of them broken.", ""]
    groups: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda one: one.title):
        groups.setdefault(result.title.partition(":")[0], []).append(result)
    for name, members in groups.items():
        lines += [f"### {name}", "", "| interrupted | the change is | the run said | the next run |", "|---" * 4 + "|"]
        for one in members:
            cells = (one.title.partition(": ")[2] or one.title, one.end, one.said[:90], one.next_run)
            lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def put(page: Path, content: str) -> None:
    """Replace what stands between the page's two comments."""
    found = re.compile(r"(<!-- rows:[^\n]*-->\n).*?(<!-- /rows -->)", re.DOTALL)
    page.write_text(found.sub(lambda match: f"{match.group(1)}{content}{match.group(2)}", page.read_text()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", metavar="REGEX", help="the rows whose title matches")
    parser.add_argument("--scenarios", default="", metavar="REGEX", help="the scenarios whose name matches")
    parser.add_argument("--outages", default=OUTAGES_S, type=lambda text: tuple(map(int, text.split(","))))
    parser.add_argument("--hosts", type=int, default=2, help="hosts for each scenario")
    parser.add_argument("--keep", action="store_true", help="leave the hosts up")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into this page, too")
    arguments = parser.parse_args()
    chosen = [scenario for scenario in SCENARIOS if re.search(arguments.scenarios, scenario.name)]
    begun = time.monotonic()
    subprocess.run(["sysctl", "-qw", "fs.inotify.max_user_instances=8192"], check=False)
    done: list[Result] = []
    planned: list[Row] = []
    try:
        hosts = boot([scenario.suite for scenario in chosen for _copy in range(arguments.hosts)])
        workers = [threading.Thread(target=furnish, args=(host,)) for host in hosts]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        shares = [hosts[n * arguments.hosts : (n + 1) * arguments.hosts] for n in range(len(chosen))]
        scenarios = [
            threading.Thread(target=run_scenario, args=(scenario, share, arguments, done, planned))
            for scenario, share in zip(chosen, shares)
        ]
        for thread in scenarios:
            thread.start()
        for thread in scenarios:
            thread.join()
        done += crowd.run(hosts, WORK, arguments.only)
    finally:
        if not arguments.keep:
            lab.down(LAB)
    print(text(done, time.monotonic() - begun))
    if arguments.page:
        put(arguments.page, markdown(done))
    return 1 if len(done) < len(planned) or not done or any(result.broken for result in done) else 0


if __name__ == "__main__":
    sys.exit(main())

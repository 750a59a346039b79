"""What the tool and the watch cost on a host: `make bench-watch`.

One lab host with ten services. Each command of the tool, as it is and as it was in an earlier commit, one after the
other in turn; then one look of the watch in each way in which it can be had. Processor time is that of the process and
of all that it starts. Writes the tables of docs/evidence/watch-cost.md with --page.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

import lab
import pages
import play
from build import build_app

LAB = os.environ.get("SLIPWAY_LAB", "bench-watch")
BEFORE = "96c9a69"  # the last commit with a timer for each service
WORK = lab.CHECKOUT / ".work" / "bench"
SERVICES = 10
TIMES = 25
SECONDS = 60
BUILD = (
    "import sys; sys.path.insert(0, sys.argv[1]); from old._tool import zipapp; sys.stdout.buffer.write(zipapp.own())"
)

# Runs on the host. Each command in turn with the others, so that what else runs there is the same for all.
CALLS = """
import json, os, statistics, sys
calls, times = json.loads(sys.argv[1]), int(sys.argv[2])
found = {name: ([], []) for name in calls}
for number in range(times + 1):
    for name, argv in calls.items():
        pid = os.fork()
        if pid == 0:
            null = os.open("/dev/null", os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            os.execvp(argv[0], argv)
        used = os.wait4(pid, 0)[2]
        if number:  # the first one compiles
            found[name][0].append(1000 * (used.ru_utime + used.ru_stime))
            found[name][1].append(used.ru_maxrss / 1024)
print(json.dumps({name: [statistics.median(cpu), max(memory)] for name, (cpu, memory) in found.items()}))
"""
# A process that has everything imported, and becomes another one for each look.
FORKED = """
import gc, json, os, resource, statistics, sys
service, times = sys.argv[2], int(sys.argv[3])
sys.path.insert(0, sys.argv[1])
from slipway_go._release.operator.operator import WatchOptions, operator
from slipway_go._release.operator.watch import Policy
operator(service).watch(WatchOptions(Policy()), acts=False)
gc.collect(); gc.freeze()
own = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
took = []
for _number in range(times):
    begun = own()
    pid = os.fork()
    if pid == 0:
        operator(service).watch(WatchOptions(Policy()), acts=False)
        os._exit(0)
    used = os.wait4(pid, 0)[2]
    took.append(1000 * (used.ru_utime + used.ru_stime + own() - begun))
print(json.dumps(statistics.median(took)))
"""
# The processor time of the watcher and its children, its memory, and how many looks there were meanwhile.
WATCHER = """
import glob, json, os, sys, time
services, interval, seconds = sys.argv[1].split(), int(sys.argv[2]), int(sys.argv[3])
folder, kept = "/etc/slipway/watch", "/root/watch"
os.makedirs(kept, exist_ok=True)
for path in glob.glob(folder + "/*.json"):
    os.rename(path, kept + "/" + os.path.basename(path))
for service in services:
    options = json.load(open(kept + "/" + service + ".json"))
    json.dump({**options, "interval": interval}, open(folder + "/" + service + ".json", "w"))
os.system("systemctl restart slipway-watch.service")
pid = os.popen("systemctl show --property=MainPID --value slipway-watch.service").read().strip()
seen = lambda: {s: os.stat("/var/lib/slipway/" + s + "/watch.json").st_mtime_ns for s in services}
ticks = lambda: open("/proc/" + pid + "/stat").read().rpartition(")")[2].split()[11:15]
used = lambda: sum(map(int, ticks())) / os.sysconf("SC_CLK_TCK")
time.sleep(interval + 6)
looks, last, begun, end = 0, seen(), used(), time.monotonic() + seconds
while time.monotonic() < end:
    time.sleep(0.05)
    now = seen()
    looks, last = looks + sum(now[s] != last[s] for s in services), now
cpu = used() - begun
status = dict(line.split(":", 1) for line in open("/proc/" + pid + "/status").read().splitlines())
for path in glob.glob(kept + "/*.json"):
    os.replace(path, folder + "/" + os.path.basename(path))
print(json.dumps({"cpu": 1000 * cpu / looks, "looks": looks, "memory": int(status["VmHWM"].split()[0]) / 1024}))
"""


def on_host(*argv: str) -> str:
    docker = ["docker", "exec", f"slipway-{LAB}-{LAB}1", *argv]
    return subprocess.run(docker, check=True, capture_output=True, text=True).stdout


def variables(number: int) -> dict[str, object]:
    return {
        "service_name": f"shop{number}",
        "service_listen": [str(8080 + number)],
        "service_watch_metrics": "",
        "release_version": "1.0.0",
        "release_src": str(WORK / "shop-1.0.0"),
        "release_health": {"url": f"http://127.0.0.1:{8080 + number}/readyz"},
        "release_soak_time": 0,
    }


def set_up(inventory: Path) -> None:
    build_app("1.0.0", WORK / "shop-1.0.0")
    for number in range(SERVICES):
        done = play.playbook("site", inventory, variables(number))
        if done.code:
            raise SystemExit(done.output[-3000:])


def put_earlier_tool(commit: str) -> None:
    """The tool of that commit, beside the one of today."""
    with tempfile.TemporaryDirectory() as folder:
        inside = "plugins/module_utils"
        archive = subprocess.run(
            ["git", "archive", commit, inside], check=True, capture_output=True, cwd=lab.CHECKOUT
        ).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        (Path(folder) / inside).rename(Path(folder) / "old")
        tool = WORK / "slipway-before"
        built = subprocess.run([sys.executable, "-c", BUILD, folder], check=True, capture_output=True, cwd=folder)
        tool.write_bytes(built.stdout)
        tool.chmod(0o755)
    subprocess.run(["docker", "cp", str(tool), f"slipway-{LAB}-{LAB}1:/usr/local/sbin/slipway-before"], check=True)


def calls() -> dict[str, list[str]]:
    of_tool = {
        "status, one service": ["status", "shop0"],
        f"status, {SERVICES} services": ["status"],
        "history": ["history", "shop0"],
        "verify": ["verify", "shop0"],
        "recover": ["recover", "shop0"],
        "confirm": ["confirm", "shop0"],
        "rollback that has nothing to do": ["rollback", "shop0", "--of", "9.9.9"],
        "watch, one look": ["watch", "shop0"],
        "settle": ["settle", "shop0"],
        "--help": ["--help"],
    }
    found = {}
    for name, arguments in of_tool.items():
        found[f"before {name}"] = ["slipway-before", *arguments]
        found[f"after {name}"] = ["slipway", *arguments]
    found["python"] = ["/usr/bin/python3", "-IS", "-c", "pass"]
    found["modules"] = ["/usr/bin/python3", "-IS", "-c", "import dataclasses, json, re, socket, subprocess"]
    found["systemctl"] = ["systemctl", "show", "--property=ActiveState,MainPID", "shop0.service"]
    return found


def measure() -> dict[str, Any]:
    found: dict[str, Any] = {"calls": json.loads(on_host("python3", "-c", CALLS, json.dumps(calls()), str(TIMES)))}
    unpacked = on_host("sh", "-c", "ls -d /run/slipway-tool/$(stat -c %i /usr/local/sbin/slipway)-*").split()[0]
    found["forked"] = json.loads(on_host("python3", "-ISc", FORKED, unpacked, "shop0", str(TIMES)))
    for count in (1, SERVICES):
        names = " ".join(f"shop{number}" for number in range(count))
        found[f"watcher {count}"] = json.loads(on_host("python3", "-c", WATCHER, names, "1", str(SECONDS)))
    return found


def tables(found: dict[str, Any]) -> list[str]:
    lines = [
        "| call | processor time before | after | peak memory before | after |",
        "|---|---|---|---|---|",
    ]
    of_calls = found["calls"]
    for name in [name[len("after ") :] for name in of_calls if name.startswith("after ")]:
        (cpu, memory), (cpu_now, memory_now) = of_calls[f"before {name}"], of_calls[f"after {name}"]
        lines.append(f"| `slipway` {name} | {cpu:.0f} ms | {cpu_now:.0f} ms | {memory:.0f} MB | {memory_now:.0f} MB |")
    one, ten = found["watcher 1"], found[f"watcher {SERVICES}"]

    def row(name: str, measured: tuple[float, float]) -> str:
        return f"| {name} | {measured[0]:.0f} ms | {measured[1]:.0f} MB |"

    python, modules, systemctl = of_calls["python"], of_calls["modules"], of_calls["systemctl"]
    return [
        *lines,
        "",
        "| one look at one service | processor time | memory |",
        "|---|---|---|",
        row("a process for each look, before", of_calls["before watch, one look"]),
        row("a process for each look, which imports what a look needs", of_calls["after watch, one look"]),
        row(
            "the least that a process for each look can cost: Python, its own modules and one `systemctl show`",
            (modules[0] + systemctl[0], modules[1]),
        ),
        row("of these, Python alone", python),
        row("of these, `systemctl show` alone", systemctl),
        f"| a process that has everything imported forks for each look | {found['forked']:.0f} ms | |",
        row("**the watcher, with one service**", (one["cpu"], one["memory"])),
        row(f"**the watcher, with {SERVICES} services**", (ten["cpu"], ten["memory"])),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default=BEFORE, help=f"the commit to compare with ({BEFORE})")
    parser.add_argument("--page", help="the page whose tables to write")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    inventory = lab.up(LAB, 1, ["bookworm"])
    try:
        set_up(inventory)
        put_earlier_tool(options.before)
        found = measure()
    finally:
        lab.down(LAB)
    (WORK / "watch.json").write_text(json.dumps(found, indent=2) + "\n")
    lines = tables(found)
    print("\n".join(lines))
    if options.page:
        pages.write(options.page, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())

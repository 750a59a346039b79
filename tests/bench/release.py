"""What a release costs, as ratios in one run: `make bench`.

One lab host. First `ansible -m ping` and playbooks that have nothing to do, then SWAPS releases under a fixed load of
new connections, keep-alive POSTs, long requests and streams, then rollbacks on the host. Prints a table and writes
.work/bench/release-STRATEGY.json. What the engine itself adds is what is left of a swap, or of a rollback until new
requests reach the release, without the time that the service needs to become ready and to end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

import lab
import play
from build import build_app, build_load
from client import Load

LAB = os.environ.get("SLIPWAY_LAB", "bench")
SERVICE = "shop"
PORT = 8080
WORK = lab.CHECKOUT / ".work" / "bench"
PINGS = 5  # also how often everything else is done that is short; its median counts
QUIET_S = 20.0


RELOAD = "systemctl reload haproxy"
PHASES = ("OVERLAP", "FLIP", "DRAIN", "SOAK")
# With proxy, the service does not follow the drain contract: it just ends.
STRATEGIES: dict[str, dict[str, Any]] = {
    "socket": {},
    "proxy": {"service_swap": "proxy", "service_environment": {"DRAIN_LINGER": "0s"}},
    "reload": {"service_swap": "reload"},
}


def variables(version: str, strategy: str) -> dict[str, Any]:
    return {
        **STRATEGIES[strategy],
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "release_version": version,
        "release_src": str(WORK / f"{SERVICE}-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz"},
        "release_soak_time": 1,
    }


def timed_ping(inventory: Path) -> float:
    begun = time.monotonic()
    subprocess.run(
        ["ansible", "all", "-i", str(inventory), "-m", "ping"],
        env=play.environment(), cwd=lab.CHECKOUT, check=True, capture_output=True,
    )  # fmt: skip
    return time.monotonic() - begun


def run(name: str, inventory: Path, version: str, strategy: str) -> play.Play:
    done = play.playbook(name, inventory, variables(version, strategy))
    if done.code:
        raise SystemExit(f"playbooks/{name}.yml failed:\n{done.output[-3000:]}")
    return done


def noop(name: str, inventory: Path, strategy: str) -> list[play.Play]:
    """Runs that find everything as it is to be."""
    return [run(name, inventory, "1.0.0", strategy) for _number in range(PINGS)]


def pings(runs: list[play.Play], ping: float) -> float:
    return round(statistics.median(done.seconds for done in runs) / ping, 1)


def container(strategy: str) -> str:
    return f"slipway-{LAB}{strategy}-{LAB}{strategy}1"


def on_host(strategy: str, script: str) -> str:
    argv = ["docker", "exec", container(strategy), "sh", "-c", script]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def phase_times(strategy: str) -> dict[str, float]:
    """When each phase of the newest swap began, and when it was committed."""
    lines = on_host(strategy, f"cat /var/lib/slipway/{SERVICE}/journal.jsonl").splitlines()
    events = [json.loads(line) for line in lines]
    mine = [event for event in events if event.get("txn") == events[-1]["txn"]]
    return {str(event.get("phase", event["event"])): float(event["time"]) for event in mine}


def length(times: dict[str, float], phase: str) -> float:
    return min(when for when in times.values() if when > times[phase]) - times[phase]


def boot_seconds(strategy: str, times: dict[str, float]) -> float:
    """What the service needed until it said that it is ready; for reload, until it had handed over."""
    if strategy == "reload":
        return length(times, "START")
    told = on_host(
        strategy,
        f"systemctl show --property=ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic '{SERVICE}@*'",
    )
    values = dict(line.split("=") for line in told.split())
    return (int(values["ActiveEnterTimestampMonotonic"]) - int(values["ExecMainStartTimestampMonotonic"])) / 1e6


def rollbacks(strategy: str) -> dict[str, list[float]]:
    """Go back and forth on the host, from the command until new requests reach the release, and to its end."""
    found: dict[str, list[float]] = {"until_exposed": [], "beyond_boot": [], "whole": []}
    releases = on_host(strategy, f"ls /opt/{SERVICE}/releases").split()
    for _number in range(PINGS):
        current = on_host(strategy, f"readlink /opt/{SERVICE}/current").strip().rpartition("/")[2]
        other = next(one for one in releases if one != current)
        begun, ended = on_host(
            strategy, f"date +%s.%N; slipway rollback {SERVICE} {other} >/dev/null && date +%s.%N"
        ).split()
        times = phase_times(strategy)
        exposed = times["DRAIN"] - float(begun)
        found["until_exposed"].append(exposed)
        found["beyond_boot"].append(exposed - boot_seconds(strategy, times))
        found["whole"].append(float(ended) - float(begun))
    return found


def tasks(done: play.Play) -> int:
    return sum(line.startswith("TASK [") for line in done.output.splitlines())


def reload_haproxy(number: int) -> None:
    """As soon as the swap has come to its phase."""
    phase = PHASES[number % len(PHASES)]
    wait = f"until grep -q {phase} /var/lib/slipway/{SERVICE}/state.json 2>/dev/null; do sleep 0.01; done"
    subprocess.Popen(["docker", "exec", container("proxy"), "timeout", "120", "sh", "-c", f"{wait}; {RELOAD}"])


def swaps(
    inventory: Path, strategy: str, count: int, seconds: float, disturbed: bool
) -> tuple[list[float], list[float]]:
    """Release two versions in turn, evenly over the time.

    Returns the wall-clock seconds of each run, and of each swap what it took beside the boot and the drain.
    """
    begun, took, beside = time.monotonic(), [], []
    for number in range(count):
        if disturbed:
            reload_haproxy(number)
        took.append(run("release", inventory, ("2.0.0", "1.0.0")[number % 2], strategy).seconds)
        times = phase_times(strategy)
        serving = boot_seconds(strategy, times) + length(times, "DRAIN")
        beside.append(times["SOAK"] - times["INTENT"] - serving)
        time.sleep(max(0.0, begun + (number + 1) * seconds / count - time.monotonic()))
    return took, beside


def marks(inventory: Path, count: int) -> list[dict[str, Any]]:
    told = play.module("slipway.go.release_info", {"name": SERVICE, "history": count}, inventory)
    history = next(iter(told.values()))["history"]
    return [
        {"name": f"swap {n}", "start": e["started"], "end": e["started"] + e["swap_seconds"]}
        for n, e in enumerate(reversed(history))
    ]


def under_load(inventory: Path, strategy: str, given: argparse.Namespace) -> dict[str, Any]:
    address = next(iter(json.loads(inventory.read_text())["all"]["hosts"].values()))["ansible_host"]
    with Load(WORK / "load", WORK, [f"http://{address}:{PORT}"], given.rate) as load:
        time.sleep(QUIET_S)
        quiet = max(given.requests / given.rate - QUIET_S, 0.0)
        took, beside = swaps(inventory, strategy, given.swaps, quiet, given.disturb)
        for mark in marks(inventory, given.swaps):
            load.mark(**mark)
        return {"took": took, "beside": beside, **load.report()}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    WORK.mkdir(parents=True, exist_ok=True)
    for version in ("1.0.0", "2.0.0"):
        build_app(version, WORK / f"{SERVICE}-{version}")
    build_load(WORK / "load")
    inventory, strategy = lab.up(f"{LAB}{arguments.strategy}", 1, ["bookworm"]), arguments.strategy
    try:
        first = run("site", inventory, "1.0.0", strategy)
        ping = statistics.median(timed_ping(inventory) for _number in range(PINGS))
        noop_site, noop_release = noop("site", inventory, strategy), noop("release", inventory, strategy)
        quiet = [run("release", inventory, version, strategy) for version in ("2.0.0", "1.0.0") * 2]
        loaded = under_load(inventory, strategy, arguments)
        back = rollbacks(strategy)
    finally:
        lab.down(f"{LAB}{arguments.strategy}")
    swap = [m["end"] - m["start"] for m in loaded["marks"]]
    during = [m["latency_ms"]["p99"] for m in loaded["marks"] if m["sent"]]
    return {
        "strategy": arguments.strategy,
        "ping_s": round(ping, 2),
        "first_site_pings": pings([first], ping),
        "noop_site_pings": pings(noop_site, ping),
        "noop_site_tasks": tasks(noop_site[0]),
        "noop_release_pings": pings(noop_release, ping),
        "release_pings_without_load": pings(quiet, ping),
        "release_pings": round(statistics.median(loaded["took"]) / ping, 1),
        "swaps": len(swap),
        "swap_s_median": round(statistics.median(swap), 3),
        "swap_s_beside_boot_and_drain": round(statistics.median(loaded["beside"]), 3),
        **{f"rollback_s_{name}": round(statistics.median(values), 3) for name, values in back.items()},
        "requests": loaded["total"]["sent"],
        "failed": loaded["total"]["failed"],
        "failures": loaded["total"]["failures"],
        "late": loaded["total"]["late"],
        "p99_ms_before": loaded["before_marks"]["latency_ms"]["p99"],
        "p99_ms_outside": loaded["outside_marks"]["latency_ms"]["p99"],
        "p99_ms_during_median": round(statistics.median(during), 2),
        "p99_during_over_outside": round(statistics.median(during) / loaded["outside_marks"]["latency_ms"]["p99"], 2),
        "p99_during_over_before": round(statistics.median(during) / loaded["before_marks"]["latency_ms"]["p99"], 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--strategy", choices=sorted(STRATEGIES), default="socket")
    parser.add_argument("--disturb", action="store_true", help="reload HAProxy in each swap, in its phases in turn")
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--rate", type=int, default=400, help="requests per second")
    parser.add_argument("--requests", type=int, default=105_000, help="requests in all, at least")
    arguments = parser.parse_args()
    figures = measure(arguments)
    for name, value in figures.items():
        print(f"{name:<32}{value}")
    (WORK / f"release-{arguments.strategy}.json").write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a release costs, as ratios in one run: `make bench`.

One lab host. First `ansible -m ping` and playbooks that have nothing to do, then SWAPS releases under a fixed load of
new connections, keep-alive POSTs, long requests and streams. Prints a table and writes
.work/bench/release-STRATEGY.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
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

LAB = os.environ.get("SLIPWAY_LAB", "bench")
SERVICE = "shop"
PORT = 8080
WORK = lab.CHECKOUT / ".work" / "bench"
PINGS = 5
QUIET_S = 20.0


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


def tasks(done: play.Play) -> int:
    return sum(line.startswith("TASK [") for line in done.output.splitlines())


def swaps(inventory: Path, strategy: str, count: int, seconds: float) -> list[float]:
    """Release two versions in turn, evenly over the time, and return the wall-clock seconds of each run."""
    begun, took = time.monotonic(), []
    for number in range(count):
        took.append(run("release", inventory, ("2.0.0", "1.0.0")[number % 2], strategy).seconds)
        time.sleep(max(0.0, begun + (number + 1) * seconds / count - time.monotonic()))
    return took


def marks(inventory: Path, count: int) -> list[dict[str, Any]]:
    told = play.module("slipway.go.release_info", {"name": SERVICE, "history": count}, inventory)
    history = next(iter(told.values()))["history"]
    return [
        {"name": f"swap {n}", "start": e["started"], "end": e["started"] + e["swap_seconds"]}
        for n, e in enumerate(reversed(history))
    ]


def under_load(inventory: Path, strategy: str, count: int, rate: int, requests: int) -> dict[str, Any]:
    address = next(iter(json.loads(inventory.read_text())["all"]["hosts"].values()))["ansible_host"]
    report, marked = WORK / "load.json", WORK / "marks.jsonl"
    argv = [str(WORK / "load"), "-url", f"http://{address}:{PORT}", "-rate", str(rate), "-interval", "0"]
    load = subprocess.Popen([*argv, "-json", str(report), "-marks", str(marked)], stdout=subprocess.DEVNULL)
    try:
        time.sleep(QUIET_S)
        took = swaps(inventory, strategy, count, max(requests / rate - QUIET_S, 0.0))
        marked.write_text("".join(json.dumps(mark) + "\n" for mark in marks(inventory, count)))
        load.send_signal(signal.SIGINT)
        load.wait(timeout=60)
    finally:
        if load.poll() is None:
            load.kill()
    return {"took": took, **json.loads(report.read_text())}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    WORK.mkdir(parents=True, exist_ok=True)
    for version in ("1.0.0", "2.0.0"):
        build_app(version, WORK / f"{SERVICE}-{version}")
    build_load(WORK / "load")
    inventory, strategy = lab.up(f"{LAB}{arguments.strategy}", 1, ["bookworm"]), arguments.strategy
    try:
        first = run("site", inventory, "1.0.0", strategy)
        pings = [timed_ping(inventory) for _number in range(PINGS)]
        noop_site = run("site", inventory, "1.0.0", strategy)
        noop_release = run("release", inventory, "1.0.0", strategy)
        loaded = under_load(inventory, strategy, arguments.swaps, arguments.rate, arguments.requests)
    finally:
        lab.down(f"{LAB}{arguments.strategy}")
    ping = statistics.median(pings)
    swap = [m["end"] - m["start"] for m in loaded["marks"]]
    during = [m["latency_ms"]["p99"] for m in loaded["marks"] if m["sent"]]
    return {
        "strategy": arguments.strategy,
        "ping_s": round(ping, 2),
        "first_site_pings": round(first.seconds / ping, 1),
        "noop_site_pings": round(noop_site.seconds / ping, 1),
        "noop_site_tasks": tasks(noop_site),
        "noop_release_pings": round(noop_release.seconds / ping, 1),
        "release_pings": round(statistics.median(loaded["took"]) / ping, 1),
        "swaps": len(swap),
        "swap_s_median": round(statistics.median(swap), 3),
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
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--rate", type=int, default=400, help="requests per second")
    parser.add_argument("--requests", type=int, default=105_000, help="requests in all, at least")
    arguments = parser.parse_args()
    figures = measure(arguments)
    for name, value in figures.items():
        print(f"{name:<26}{value}")
    (WORK / f"release-{arguments.strategy}.json").write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The product in a few minutes: bare hosts to a released service, an upgrade under load, and a bad release.

`make demo` runs it and leaves the hosts up; `make demo-down` removes them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lab
from build import BuildError, build_app, build_load
from client import Load
from engine import LabError
from play import module, playbook

LAB = "demo"
SERVICE = "shop"
PORT = 8080
GOOD, BETTER, BAD = "1.0.0", "2.0.0", "3.0.0"
RATE = 200
SETTLE_S = 4.0
WORK = lab.CHECKOUT / ".work" / "demo"
LOG = WORK / "ansible.log"


def say(text: str = "") -> None:
    print(text, flush=True)


@contextmanager
def step(number: int, text: str) -> Iterator[None]:
    say(f"[{number}/6] {text}")
    begun = time.monotonic()
    yield
    say(f"      done in {time.monotonic() - begun:.1f} s")


def variables(version: str, **more: Any) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "release_version": version,
        "release_src": str(WORK / f"{SERVICE}-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 8},
        "release_soak_time": 3,
        **more,
    }


def play(name: str, inventory: Path, values: dict[str, Any], fails: bool = False) -> None:
    done = playbook(name, inventory, values, log=LOG)
    if (done.code != 0) != fails:
        raise LabError(f"playbooks/{name}.yml ended with {done.code}; see {LOG}:\n{done.output[-3000:]}")


def marks(told: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """When each host was in the middle of a swap, from its own journal."""
    found = []
    for host, info in told.items():
        for entry in info["history"]:
            good = entry["event"] == "committed"
            end = entry["started"] + entry["swap_seconds"] if good else entry["time"]
            name = ("swap" if good else "bad") + f" {host}"
            if entry["release"].partition("-")[0] != GOOD:
                found.append({"name": name, "start": entry["started"], "end": end, "target": host})
    return found


def row(title: str, figures: dict[str, Any] | None) -> str:
    if not figures or not figures["sent"]:
        return f"  {title:<34}{'-':>9}"
    latency = figures["latency_ms"]
    return (
        f"  {title:<34}{figures['sent']:>9,}{figures['failed']:>8,}"
        f"{latency['p50']:>9.1f}{latency['p99']:>9.1f}{latency['max']:>9.1f}"
    )


def summary(report: dict[str, Any], told: dict[str, dict[str, Any]]) -> None:
    total = report["total"]
    say()
    say(
        f"Summary: {len(told)} hosts, {RATE} requests/s to each; {total['sent']:,} requests, {total['failed']:,} failed"
    )
    say(f"  {'':<34}{'sent':>9}{'failed':>8}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    say(row("before", report.get("before_marks")))
    for mark in report["marks"]:
        kind, _space, host = mark["name"].partition(" ")
        title = f"while {host} swapped to {BETTER}" if kind == "swap" else f"while {host} refused {BAD}"
        say(row(title, mark))
    say(row("after", report.get("after_marks")))
    reached = total["versions"].get(BAD, 0)
    say(f"  answered by {', '.join(f'{v}: {n:,}' for v, n in sorted(total['versions'].items()))}")
    say(f"  the bad release answered {reached:,} requests before it was refused")
    for name, count in sorted(total["failures"].items()):
        say(f"  FAILED {name}: {count}")
    say()
    say(f"  {'host':<10}{'runs now':<26}{'systemd says':<22}{'swap to ' + BETTER:>16}")
    for host, info in told.items():
        seconds = next(e["swap_seconds"] for e in info["history"] if e["event"] == "committed")
        say(f"  {host:<10}{info['current']:<26}{info['state']:<22}{seconds:>14.2f} s")
    say()


def explore(inventory: Path) -> None:
    first = json.loads(inventory.read_text())["all"]["hosts"]
    name, host = next(iter(first.items()))
    state = inventory.parent
    say("The hosts stay up. Look around:")
    say(f"  ssh -i {state}/id_ed25519 -o UserKnownHostsFile={state}/known_hosts root@{host['ansible_host']}   # {name}")
    say(f"  systemctl status '{SERVICE}@*'; journalctl -u '{SERVICE}*'; cat /var/lib/slipway/{SERVICE}/journal.jsonl")
    say("  make demo-down   removes them")


def run() -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    LOG.unlink(missing_ok=True)
    with step(1, "three bare hosts, with systemd and sshd and nothing else"):
        inventory = lab.up(LAB, 3, ["bookworm", "trixie"])
        addresses = {n: h["ansible_host"] for n, h in json.loads(inventory.read_text())["all"]["hosts"].items()}
    with step(2, f"building the sample service ({GOOD}, {BETTER}, {BAD}) and the load client"):
        for version in (GOOD, BETTER, BAD):
            build_app(version, WORK / f"{SERVICE}-{version}")
        build_load(WORK / "load")
    with step(3, f"site.yml: from bare hosts to {GOOD}"):
        play("site", inventory, variables(GOOD))
    urls = [f"{name}=http://{ip}:{PORT}" for name, ip in addresses.items()]
    with Load(WORK / "load", WORK, urls, RATE) as load:
        time.sleep(SETTLE_S)
        with step(4, f"release.yml: {BETTER} in batches, under {RATE} requests/s to each host"):
            play("release", inventory, variables(BETTER))
        with step(5, f"release.yml: {BAD}, which starts but never becomes healthy; it must be refused"):
            bad = variables(BAD, release_environment={"APP_UNHEALTHY_AFTER": "0s"})
            play("release", inventory, bad, fails=True)
        time.sleep(SETTLE_S)
        with step(6, "asking the hosts and the load client what happened"):
            told = module("slipway.go.release_info", {"name": SERVICE}, inventory)
            for mark in marks(told):
                load.mark(**mark)
            report = load.report()
    summary(report, told)
    explore(inventory)
    if report["total"]["failed"]:
        raise LabError(f"{report['total']['failed']} requests failed; {WORK / 'load.json'} has examples")


def main() -> int:
    try:
        run()
    except (LabError, BuildError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os.chdir(lab.CHECKOUT)
    sys.exit(main())

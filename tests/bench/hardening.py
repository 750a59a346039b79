"""What hardening costs a host that has it already, in units of `ansible -m ping` on the same hosts.

Usage: hardening.py [HOSTS]   boots HOSTS lab hosts (10), runs site.yml on them over root, measures as the deploy user
Prints a line of JSON for one host and one for all: a no-op harden.yml and a no-op site.yml, the median of three rounds
beside the ping, the tasks that ran on a host, and the remote round trips (ssh calls) of all hosts together.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests" / "lab"))

import lab
import play
from build import build_app

LAB = "benchharden"
ROUNDS = 3


def timed(argv: list[str]) -> tuple[float, str]:
    begun = time.monotonic()
    done = subprocess.run(argv, env=play.environment(), cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    return time.monotonic() - begun, done.stdout


def measure(inventory: Path, variables: str, names: list[str]) -> dict[str, Any]:
    login = ["-i", str(inventory), "-l", ",".join(names), "-e", "ansible_user=deploy"]
    ping = ["ansible", *login, "-m", "ansible.builtin.ping", "all"]
    books = {
        name: ["ansible-playbook", *login, "-e", variables, str(CHECKOUT / "playbooks" / f"{name}.yml")]
        for name in ("harden", "site")
    }
    pings, runs, said = [], {name: [] for name in books}, {}
    for _round in range(ROUNDS):
        pings.append(timed(ping)[0])
        for name, argv in books.items():
            seconds, said[name] = timed(argv)
            runs[name].append(seconds)
    unit = statistics.median(pings)
    found: dict[str, Any] = {"hosts": len(names), "ping_seconds": round(unit, 2)}
    for name, argv in books.items():
        recap = play.Play(0, 0.0, said[name]).recap
        if any(host["changed"] for host in recap.values()):
            raise SystemExit(f"{name} has changed something, so that nothing was measured")
        found[name] = {
            "pings": round(statistics.median(runs[name]) / unit, 1),
            "tasks_on_a_host": max(host["ok"] for host in recap.values()),
            "ssh_calls_all_hosts": timed([*argv, "-vvv"])[1].count("SSH: EXEC"),
        }
    return found


def main(argv: list[str]) -> int:
    count = int(argv[0]) if argv else 10
    inventory = lab.up(LAB, count, ["bookworm", "trixie"])
    try:
        binary = CHECKOUT / ".work" / "app" / "shop-1.0.0"
        build_app("1.0.0", binary)
        variables = json.dumps(
            {
                "site_harden": True,
                "deploy_user_keys": [(inventory.parent / "id_ed25519.pub").read_text().strip()],
                "service_name": "shop",
                "service_listen": ["8080"],
                "release_version": "1.0.0",
                "release_src": str(binary),
                "release_health": {"url": "http://127.0.0.1:8080/readyz"},
            }
        )
        timed(["ansible-playbook", "-i", str(inventory), "-e", variables, str(CHECKOUT / "playbooks" / "site.yml")])
        names = list(json.loads(inventory.read_text())["all"]["hosts"])
        for chosen in dict.fromkeys((1, count)):
            print(json.dumps(measure(inventory, variables, names[:chosen])), flush=True)
    finally:
        lab.down(LAB)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

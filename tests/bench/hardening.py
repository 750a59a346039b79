"""What a run of the hardening roles costs that has nothing to do, in units of `ansible -m ping` on the same hosts.

Usage: hardening.py INVENTORY VARIABLES.yml [USER]   the hosts are hardened already; prints one line per number of hosts
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
ROUNDS = 3


def timed(argv: list[str], more: dict[str, str]) -> tuple[float, str]:
    begun = time.monotonic()
    done = subprocess.run(argv, env={**os.environ, **more}, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - begun, done.stdout


def main(argv: list[str]) -> int:
    inventory, variables, user = argv[0], argv[1], (argv[2:] or ["deploy"])[0]
    hosts = list(json.loads(Path(inventory).read_text())["all"]["hosts"])
    login = ["-i", inventory, "-e", f"ansible_user={user}"]
    for count in sorted({1, len(hosts)}):
        limit = ["-l", ",".join(hosts[:count])]
        ping = ["ansible", *login, *limit, "-m", "ansible.builtin.ping", "all"]
        run = ["ansible-playbook", *login, *limit, "-e", f"@{variables}", str(CHECKOUT / "playbooks" / "harden.yml")]
        pings, runs, said = [], [], ""
        for _round in range(ROUNDS):
            pings.append(timed(ping, {})[0])
            seconds, said = timed(run, {"ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"})
            runs.append(seconds)
        assert "changed=0" in said, "the hosts are not hardened yet"
        _seconds, verbose = timed([*run, "-vvv"], {})
        print(
            json.dumps(
                {
                    "hosts": count,
                    "pings": round(statistics.median(runs) / statistics.median(pings), 1),
                    "ping_seconds": round(statistics.median(pings), 2),
                    "run_seconds": round(statistics.median(runs), 2),
                    "tasks_run_per_host": int(said.split("ok=")[1].split()[0]),
                    "ssh_calls": verbose.count("SSH: EXEC"),
                }
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

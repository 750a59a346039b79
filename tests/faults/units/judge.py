"""Runs on a host, with nothing but the standard library: judges each unit, and then starts it.

Usage: judge.py FOLDER, with module_utils and rows.json in it; one line of JSON for each unit.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

FOLDER = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(FOLDER))
UNITS = pathlib.Path("/run/systemd/system")


def systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)


def name_of(number: int) -> str:
    return f"bench-{number}.service"


def write(number: int, row: dict[str, Any]) -> None:
    service = [
        "[Service]",
        "Type=oneshot",
        "TimeoutStartSec=20",
        f"ExecStart={row['program']}",
        *row["lines"],
    ]
    (UNITS / name_of(number)).write_text("\n".join(service) + "\n")


def real(number: int) -> dict[str, Any]:
    done = systemctl("start", name_of(number))
    shown = systemctl("show", "-p", "Result,ExecMainCode,ExecMainStatus", name_of(number)).stdout.split()
    return {"started": done.returncode == 0, "result": " ".join(shown)}


def main() -> None:
    from module_utils._host.kernel import read_host
    from module_utils._linkage.checker import Checker
    from module_utils._units.context import unit_context

    rows = json.loads((FOLDER / "rows.json").read_text())
    for number, row in enumerate(rows):
        write(number, row)
    systemctl("daemon-reload")
    host = read_host()
    for number, row in enumerate(rows):
        verdict = Checker(host, unit_context(name_of(number))).check(row["program"]).as_dict()
        problems = [(problem["code"], problem["message"]) for problem in verdict["problems"]]
        print(json.dumps({**row, "said": verdict["runnable"], "problems": problems, **real(number)}), flush=True)
    for number in range(len(rows)):
        (UNITS / name_of(number)).unlink()
    systemctl("reset-failed")
    systemctl("daemon-reload")


main()

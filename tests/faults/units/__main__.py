"""The table of units: hundreds of them, each judged by `linkage` and then started by the systemd of two real hosts.

`make units` runs it; alone: lab.py run -- python tests/faults/units [--page FILE] [--lab NAME]. Exits 1 when fewer than
99 of 100 verdicts are what systemd does.
"""

from __future__ import annotations

import argparse
import collections
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "lab")]

import lab
import programs
import rows

WORK = lab.CHECKOUT / ".work" / "units"
SUITES = {"bookworm": "Debian 12", "trixie": "Debian 13"}
ENOUGH = 0.99
PAGE = """# Verdicts on units

`slipway.go.linkage` with `unit:` judges each of these units, and then systemd starts it. The units put together
directives, programs and files: `tests/faults/units/rows.py` lists 700 of them, and 300 more are drawn at random from
the programs and sets of directives of these. `make units` fills in this page.

| host | units | systemd starts | agree | said to start and does not | said not to start and does |
|---|---|---|---|---|---|
{table}

What was wrong in these units, by the code of the problem:

| code | units |
|---|---|
{codes}

## Differences

{differences}
"""


def make(folder: Path, units: list[rows.Row]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    programs.build(folder)
    (folder / "rows.json").write_text(json.dumps([row._asdict() for row in units]))
    shutil.copytree(lab.CHECKOUT / "plugins/module_utils", folder / "module_utils")
    shutil.copy(HERE / "judge.py", folder / "judge.py")


def judged(container: str, folder: Path) -> list[dict[str, Any]]:
    docker("exec", container, "rm", "-rf", "/opt/bench")
    docker("cp", "-q", str(folder), f"{container}:/opt/bench")
    docker("exec", container, "chown", "-R", "root:root", "/opt/bench")
    docker("exec", container, "chmod", "0755", "/opt/bench")
    docker("exec", container, "sh", "-c", rows.FILES)
    lines = docker("exec", container, "nice", "-n", "19", "python3", "/opt/bench/judge.py", "/opt/bench")
    return [json.loads(line) for line in lines.splitlines()]


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"docker {' '.join(arguments)[:200]}: {done.stderr}")
    return done.stdout


def page(results: dict[str, list[dict[str, Any]]]) -> str:
    table, codes, differences = [], collections.Counter[str](), []
    for suite, judgements in results.items():
        count = collections.Counter((row["said"], row["started"]) for row in judgements)
        agree = count[True, True] + count[False, False]
        table.append(
            f"| {SUITES[suite]} | {len(judgements)} | {count[True, True] + count[False, True]} | "
            f"{agree} ({100 * agree / len(judgements):.1f} %) | {count[True, False]} | {count[False, True]} |"
        )
        codes.update(code for row in judgements for code in {problem[0] for problem in row["problems"]})
        differences += [describe(suite, row) for row in judgements if row["said"] != row["started"]]
    return PAGE.format(
        table="\n".join(table),
        codes="\n".join(f"| `{code}` | {number} |" for code, number in sorted(codes.items())),
        differences="\n".join(differences) or "None.",
    )


def describe(suite: str, row: dict[str, Any]) -> str:
    said = "starts" if row["said"] else f"does not start ({', '.join(code for code, _message in row['problems'])})"
    lines = " ".join(f"`{line}`" for line in row["lines"]) or "no directive"
    return f"- {SUITES[suite]}, `{row['program']}` with {lines}: said that it {said}, systemd: {row['result']}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="units", description=__doc__)
    parser.add_argument("--page", type=Path, help="file that gets the table")
    parser.add_argument("--lab", help="use the hosts NAME1 and NAME2 of this lab, which are up")
    parser.add_argument("--mixed", type=int, default=300, help="how many units beside the listed ones")
    parser.add_argument("--seed", type=int, default=1, help="decides which these are")
    parser.add_argument("--only-mixed", action="store_true", help="without the listed ones")
    arguments = parser.parse_args()
    name = arguments.lab or "units"
    make(WORK, [*([] if arguments.only_mixed else rows.listed()), *rows.mixed(arguments.mixed, arguments.seed)])
    if not arguments.lab:
        lab.up(name, len(SUITES), list(SUITES))
    try:
        results = {
            suite: judged(f"slipway-{name}-{name}{number}", WORK) for number, suite in enumerate(SUITES, start=1)
        }
    finally:
        if not arguments.lab:
            lab.down(name)
    (WORK / "results.json").write_text(json.dumps(results))
    text = page(results)
    if arguments.page:
        arguments.page.write_text(text)
    print(text)
    every = [row for judgements in results.values() for row in judgements]
    return int(sum(row["said"] == row["started"] for row in every) < ENOUGH * len(every))


if __name__ == "__main__":
    sys.exit(main())

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate with the Go project's own database, on programs that no one here wrote.

Usage: python tests/bench/vulndb.py [--govulncheck PROGRAM] DATABASE DIRECTORY …

DATABASE is a folder of entries: vulndb.zip, unpacked, or data/osv of the repository golang/vulndb. Every Go program
below the directories is judged by the gate. Which entries affect its versions is compared with what `go version -m`
prints and ranges evaluated pair by pair; which of them are linked in, with govulncheck's binary mode, if its program is
given. govulncheck does not judge Go's own commands by what is known of the toolchain, and does not report an entry
without packages as linked in: such findings are left out of the second comparison. Ends with 1 where one differs.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import vulnerabilities
from ansible_collections.slipway.go.plugins.module_utils._binary.facts import read_binary
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.database import read_database
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.gate import Gate, pack, unpack
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.judge import Judgement, Rules
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.policy import judge_program
from vulnerabilities import Said, independent_ids, independent_modules, timed

GO_ITSELF = ("stdlib", "toolchain")


def peak() -> str:
    return f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"


def zipped(folder: Path, path: Path) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in sorted(folder.rglob("*.json")):
            archive.write(one, one.relative_to(folder))
    return str(path)


def read(folder: Path) -> Gate:
    """As the controller and a host do it, with the time each takes."""
    database = timed("read from the folder", lambda: read_database(str(folder)))
    print(f"{database.entries} entries, {database.withdrawn} withdrawn, {len(database.modules)} modules; {peak()}")
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as temporary:
        path = zipped(folder, Path(temporary) / "vulndb.zip")
        if timed("read from a zip", lambda: read_database(path)) != database:
            raise SystemExit("the zip is read otherwise than the folder")
    text = timed("packed for a host", lambda: pack(Gate(database.modules, Rules(date.today()))))
    gate = timed(f"unpacked from {len(text) / 1024:.0f} KiB", lambda: unpack(text))
    if gate.modules != database.modules:
        raise SystemExit("a host unpacks something else than was packed")
    return gate


def judge_all(paths: list[str], gate: Gate) -> dict[str, Judgement]:
    """Those that can be read, with the time for each."""
    found, seconds = {}, []
    for path in paths:
        start = time.process_time()
        try:
            found[path] = judge_program(path, read_binary(path, checksum=False).facts, gate)
        except SlipwayError as error:
            print(f"{path}: not judged: {error}")
            continue
        seconds.append(time.process_time() - start)
        if len(seconds) == 1:
            print(f"after one program: {peak()}")
    print(f"after {len(seconds)} programs: {peak()}")
    print(f"one program read and judged: median {statistics.median(seconds):.3f} s, longest {max(seconds):.3f} s")
    return found


def entries_of(folder: Path) -> Said:
    files = (one for one in folder.rglob("*.json") if one.parent.name != "index")
    return vulnerabilities.by_module([json.loads(one.read_text()) for one in files])


class Linked(NamedTuple):
    """By govulncheck: ids of which a symbol or a package is linked in."""

    ids: set[str]
    complaint: str


def govulncheck(program: str, folder: Path, path: str) -> Linked:
    argv = [program, "-mode", "binary", "-db", folder.resolve().as_uri(), "-format", "json", path]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    findings = [one["finding"] for one in documents(done.stdout) if "finding" in one]
    return Linked({one["osv"] for one in findings if "function" in one["trace"][0]}, done.stderr.strip())


def documents(text: str) -> list[dict[str, Any]]:
    """JSON documents, one behind the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        one, at = decoder.raw_decode(text, at)
        found.append(one)
    return found


def comparable(judgement: Judgement, unnamed: set[str]) -> set[str]:
    """What govulncheck looks for as well."""
    return {one.id for one in judgement.findings if one.module != "toolchain"} - unnamed


def differences(ours: set[str], theirs: set[str]) -> str:
    return f"only the gate {sorted(ours - theirs)[:3]}, only the other {sorted(theirs - ours)[:3]}"


def compare(judged: dict[str, Judgement], programs: dict[str, Any], said: Said) -> int:
    """By versions alone. A program that names no modules is judged by its packages, too, which go does not print."""
    of_go = {name for module in GO_ITSELF for name, _affected in said[module]}
    differing, matches = 0, 0
    for path, judgement in judged.items():
        ours = {one.id for one in judgement.findings} | set(judgement.not_linked)
        ours = ours if programs[path]["modules"] else ours & of_go
        theirs = independent_ids(programs[path], None, said)
        matches += len(theirs)
        if ours != theirs:
            differing += 1
            print(f"{path}: {differences(ours, theirs)}")
    print(f"{len(judged)} programs, {matches} entries match their versions; {differing} programs judged otherwise")
    return differing


def compare_linked(judged: dict[str, Judgement], folder: Path, said: Said, program: str) -> int:
    affecting = [pair for pairs in said.values() for pair in pairs]
    unnamed = {name for name, affected in affecting if not affected["ecosystem_specific"].get("imports")}
    differing, kinds = 0, Counter[str]()
    for path, judgement in judged.items():
        linked = govulncheck(program, folder, path)
        if linked.complaint:
            kinds[linked.complaint] += 1
            continue
        ours = comparable(judgement, unnamed)
        kinds["programs"] += 1
        kinds["entries linked in"] += len(linked.ids)
        kinds["narrowed"] += any(not one.not_narrowed for one in judgement.findings) or bool(judgement.not_linked)
        if ours != linked.ids - unnamed:
            differing += 1
            print(f"{path}: {differences(ours, linked.ids - unnamed)}")
    print(f"govulncheck: {dict(kinds)}; {differing} programs judged otherwise")
    return differing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--govulncheck", default="", metavar="PROGRAM")
    parser.add_argument("database", type=Path, metavar="DATABASE")
    parser.add_argument("folders", nargs="+", metavar="DIRECTORY")
    options = parser.parse_args()
    gate = read(options.database)
    programs = independent_modules(options.folders)
    judged = judge_all(list(programs), gate)
    said = entries_of(options.database)
    differing = compare(judged, programs, said)
    if options.govulncheck:
        differing += compare_linked(judged, options.database, said, options.govulncheck)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate beside an independent evaluation, and how long it takes with a large database.

Usage: python tests/bench/vulnerabilities.py [--entries N] [--programs N] [--size N] [DIRECTORY …]

Generates a database in the format of the Go one and small programs with vendored modules of many versions, which the Go
toolchain builds. The programs, and every Go program below the directories, are judged twice: by the gate, and here from
what `go version -m` and `go tool nm` print, with ranges evaluated pair by pair. Ends with 1 where the two differ.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / ".work" / "collections"))
from ansible_collections.slipway.go.plugins.module_utils._binary.facts import read_binary
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.database import read_database
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.gate import Gate, pack, unpack
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.judge import Rules
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.policy import judge_program
from ansible_collections.slipway.go.tests.lab import build

MODULES = [f"example.net/m{number}" for number in range(10)] + ["gopkg.in/m10.v3", "example.net/m11"]
PSEUDO = "20240102030405-abcdefabcdef"
FUNCTIONS = ("Open", "Close", "Parse", "Walk")
STDLIB_PACKAGES = {"net/http": ["Get", "Server.Serve"], "strings": ["ToUpper"], "os": ["Open"], "archive/zip": []}


def versions(module: str) -> list[str]:
    """Versions that a go.mod may name for it."""
    if module.endswith(".v3"):
        return [f"v3.{minor}.{patch}" for minor in range(4) for patch in range(3)] + [f"v3.1.1-0.{PSEUDO}"]
    found = [f"v{major}.{minor}.{patch}" for major in (0, 1) for minor in range(4) for patch in range(3)]
    found += [f"v0.0.0-{PSEUDO}", f"v1.2.3-0.{PSEUDO}", "v1.3.0-rc.1", "v1.3.0-rc.10", "v1.3.0-beta"]
    return found + (["v2.1.0+incompatible"] if module.endswith("m11") else [])


def go_versions() -> list[str]:
    found = [f"1.{minor}.{patch}" for minor in range(17, 29) for patch in range(0, 14, 2)]
    return found + [f"1.{minor}.0-0" for minor in range(17, 29)] + ["1.19.0-rc.1", "1.22.0-rc.2"]


def precedes(one: str, two: str) -> bool:
    """By section 11 of the specification of semantic versions."""
    (core_one, pre_one), (core_two, pre_two) = map(parts, (one, two))
    if core_one != core_two:
        return core_one < core_two
    if not pre_one or not pre_two:
        return bool(pre_one) and not pre_two
    for a, b in zip(pre_one, pre_two):
        if a != b:
            if a.isdigit() and b.isdigit():
                return int(a) < int(b)
            return a.isdigit() if a.isdigit() != b.isdigit() else a < b
    return len(pre_one) < len(pre_two)


def parts(version: str) -> tuple[list[int], list[str]]:
    core, _dash, pre = version.partition("+")[0].lstrip("v").partition("-")
    numbers = [int(number) for number in core.split(".")]
    return numbers + [0] * (3 - len(numbers)), pre.split(".") if pre else []


def entry(number: int, dice: random.Random) -> dict[str, Any]:
    """One to three ranges about one module or about Go itself."""
    name = dice.choice([*MODULES, *["stdlib"] * 6])
    pool = go_versions() if name == "stdlib" else [version[1:] for version in versions(name)]
    pairs = [pair for pair in (dice.sample(pool, 2) for _try in range(dice.randint(1, 3))) if precedes(*pair)]
    ranges = [{"type": "SEMVER", "events": [{"introduced": a}, {"fixed": b}]} for a, b in pairs]
    ranges = ranges or [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": dice.choice(pool)}]}]
    imports: list[dict[str, Any]] = []
    if name == "stdlib" and dice.random() < 0.8:
        imports = [{"path": path, "symbols": names} for path, names in dice.sample(sorted(STDLIB_PACKAGES.items()), 1)]
    elif name != "stdlib" and dice.random() < 0.8:
        symbols = dice.sample(FUNCTIONS, dice.randint(0, 2)) + dice.sample(["Conn.Read", "Conn.Write"], 1)
        imports = [{"path": f"{name}/{dice.choice('pq')}", "symbols": symbols if dice.random() < 0.7 else []}]
    if imports and dice.random() < 0.1:
        imports[0]["goos"] = ["windows"]
    return {
        "schema_version": "1.3.1",
        "id": f"GO-{2020 + number % 7}-{number:05}",
        "modified": f"{date.today()}T00:00:00Z",
        "published": "2026-01-01T00:00:00Z",
        "aliases": [f"CVE-2026-{number:05}"],
        "details": "What goes wrong, at some length. " * 20,
        "affected": [
            {
                "package": {"name": name, "ecosystem": "Go"},
                "ranges": ranges,
                "ecosystem_specific": {"imports": imports},
            }
        ],
    }


def module_source(package: str) -> str:
    """Nothing is inlined, so that nm lists all that is linked in."""
    body = "".join(f"//go:noinline\nfunc {name}() {{ println({name!r}) }}\n\n".replace("'", '"') for name in FUNCTIONS)
    methods = "".join(
        f'//go:noinline\nfunc (c *Conn) {name}() {{ println(c.one, "{name}") }}\n\n' for name in ("Read", "Write")
    )
    return f"package {package}\n\ntype Conn struct{{ one int }}\n\n{body}{methods}"


def write_program(folder: Path, dice: random.Random) -> None:
    """A module with vendored ones, of which it calls some functions."""
    chosen = [(module, dice.choice(versions(module))) for module in dice.sample(MODULES, 6)]
    replaced = {chosen[0][0]: (chosen[0][0], dice.choice(versions(chosen[0][0])))}
    if not chosen[1][0].startswith("gopkg.in"):
        replaced[chosen[1][0]] = ("example.net/m0", dice.choice(versions("example.net/m0")))
    requires = "".join(f"require {module} {version}\n" for module, version in chosen)
    requires += "".join(f"replace {module} => {other} {version}\n" for module, (other, version) in replaced.items())
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text(f"module example.com/program\n\ngo 1.22\n\n{requires}")
    listed, imports, calls = [], [], []
    for number, (module, version) in enumerate(chosen):
        package = dice.choice("pq")
        arrow = f" => {' '.join(replaced[module])}" if module in replaced else ""
        listed.append(f"# {module} {version}{arrow}\n## explicit\n{module}/{package}\n")
        source = folder / "vendor" / module / package
        source.mkdir(parents=True)
        (source / "x.go").write_text(module_source(package))
        imports.append(f'import a{number} "{module}/{package}"\n')
        calls += [f"\ta{number}.{name}()\n" for name in dice.sample(FUNCTIONS, 2)]
        calls += [f"\t(&a{number}.Conn{{}}).{dice.choice(('Read', 'Write'))}()\n"]
    listed += [f"# {module} => {other} {version}\n" for module, (other, version) in replaced.items()]
    (folder / "vendor" / "modules.txt").write_text("".join(listed))
    (folder / "main.go").write_text(f"package main\n\n{''.join(imports)}\nfunc main() {{\n{''.join(calls)}}}\n")


def build_programs(folder: Path, count: int, dice: random.Random) -> None:
    for number in range(count):
        source = folder / f"source{number}"
        write_program(source, dice)
        flags = ["-ldflags=-s"] if number % 3 == 0 else []
        argv = [str(build.find_go()), "build", "-mod=vendor", *flags, "-o", str(folder / "bin" / f"p{number}"), "."]
        environment = {**build.go_environment(), "CGO_ENABLED": "0", "GOFLAGS": "", "GOPROXY": "off"}
        subprocess.run(argv, cwd=source, check=True, env=environment)


def programs_below(folders: list[str]) -> list[str]:
    """ELF files, executable or not: wheels lose that when they are unpacked."""
    found = []
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as stream:
                    found += [str(path)] if stream.read(4) == b"\x7fELF" else []
    return found


def independent_modules(folders: list[str]) -> dict[str, dict[str, Any]]:
    """{program: its Go version, and of each module by its import path which one is in it}, as go prints them."""
    argv = [str(build.find_go()), "version", "-m", *programs_below(folders)]
    printed = subprocess.run(argv, check=False, capture_output=True, text=True, env=build.go_environment()).stdout
    found: dict[str, dict[str, Any]] = {}
    told: dict[str, Any] = {}
    last = ""
    for line in printed.splitlines():
        words = line.split("\t")
        if not line.startswith("\t"):
            path, _colon, version = line.rpartition(": ")
            told = found[path] = {"go": version, "modules": {}, "path": "", "settings": {}}
        elif words[1] == "path":
            told["path"] = words[2]
        elif words[1] in ("mod", "dep"):
            last = words[2]
            told["modules"][last] = (words[2], words[3])
        elif words[1] == "=>":
            told["modules"][last] = (last, "") if words[2].startswith((".", "/")) else (words[2], words[3])
        elif words[1] == "build":
            name, _equals, value = words[2].partition("=")
            told["settings"][name] = value
    return found


@functools.lru_cache(maxsize=None)
def nm() -> str:
    """Where Go has it, which builds it when it is first asked for."""
    argv = [str(build.find_go()), "tool", "-n", "nm"]
    return subprocess.run(argv, check=True, capture_output=True, text=True, env=build.go_environment()).stdout.strip()


def independent_symbols(path: str) -> set[str] | None:
    """What nm lists; None of a stripped program."""
    done = subprocess.run([nm(), path], check=False, capture_output=True, text=True)
    names = {line.split()[-1] for line in done.stdout.splitlines() if len(line.split()) >= 3}
    names = {name.replace("%2e", ".").replace("(*", "").replace(")", "") for name in names}
    return names if "runtime.main" in names else None


Said = dict[str, list[tuple[str, dict[str, Any]]]]


def by_module(entries: list[dict[str, Any]]) -> Said:
    """What the entries say of each module, each with its id."""
    found: Said = defaultdict(list)
    for one in entries:
        for affected in [] if one.get("withdrawn") else one["affected"]:
            found[affected["package"]["name"]].append((one["id"], affected))
    return found


def independent_ids(told: dict[str, Any], symbols: set[str] | None, said: Said) -> set[str]:
    go = re.sub(r"(rc|beta)(\d+)", r".0-\1.\2", told["go"].split()[0][2:])
    go = go if go.count(".") >= 2 else f"{go}.0"
    subjects = [("stdlib", "stdlib", go)]
    subjects += [("toolchain", "toolchain", go)] if told["path"].startswith("cmd/") else []
    subjects += [(imported, module, version) for imported, (module, version) in told["modules"].items()]
    return {
        name
        for imported, module, version in subjects
        for name, affected in said.get(module, ())
        if is_affected(affected, version)
        and is_linked(imports_here(affected, told["settings"]), symbols, imported, module)
    }


def is_affected(affected: dict[str, Any], version: str) -> bool:
    """A version that is none may be any."""
    if not re.match(r"v?\d", version):
        return True
    return any(is_inside(one["events"], version) for one in affected["ranges"])


def is_inside(events: list[dict[str, str]], version: str) -> bool:
    begins = [event["introduced"] for event in events if "introduced" in event]
    ends = [event["fixed"] for event in events if "fixed" in event]
    return any(
        (begin == "0" or not precedes(version, begin)) and (end is None or precedes(version, end))
        for begin, end in itertools.zip_longest(begins, ends)
    )


def imports_here(affected: dict[str, Any], settings: dict[str, str]) -> list[dict[str, Any]] | None:
    """The packages that are affected on the program's system; None where none are named."""
    named = affected["ecosystem_specific"].get("imports")
    goos, goarch = settings.get("GOOS", "linux"), settings.get("GOARCH", "amd64")
    here = [one for one in named or () if goos in one.get("goos", [goos]) and goarch in one.get("goarch", [goarch])]
    return here if named else None


def is_linked(here: list[dict[str, Any]] | None, symbols: set[str] | None, imported: str, module: str) -> bool:
    if here is None or symbols is None:
        return here is None or bool(here)
    for one in here:
        path = one["path"].replace(module, imported, 1)
        wanted = [f"{path}.{name}" for name in one.get("symbols", ())]
        if wanted and symbols.intersection(wanted):
            return True
        if not wanted and any(name.startswith(f"{path}.") for name in symbols):
            return True
    return False


def compare(folder: str, folders: list[str], entries: list[dict[str, Any]]) -> int:
    """How many programs are judged otherwise."""
    modules = read_database(folder).modules
    gate, said = Gate(modules, Rules(date.today())), by_module(entries)
    differing = judged = findings = narrowed = 0
    kinds: dict[str, int] = defaultdict(int)
    for path, told in independent_modules(folders).items():
        try:
            facts = read_binary(path, checksum=False).facts
        except SlipwayError:
            continue
        judgement = judge_program(path, facts, gate)
        symbols = independent_symbols(path)
        ours, theirs = {one.id for one in judgement.findings}, independent_ids(told, symbols, said)
        judged += 1
        kinds["stripped" if symbols is None else "with symbols"] += 1
        kinds["without modules, said so" if judgement.unjudged else "with modules"] += 1
        findings += len(ours)
        narrowed += len(judgement.not_linked)
        if ours != theirs:
            differing += 1
            print(f"{path}: only the gate {sorted(ours - theirs)[:3]}, only the other {sorted(theirs - ours)[:3]}")
    print(
        f"{len(entries)} entries x {judged} programs ({dict(kinds)}): {findings} findings, {narrowed} not linked in, "
    )
    print(f"{differing} programs judged otherwise by the independent evaluation")
    return differing


def measure(folder: Path, size: int, program: str) -> None:
    """One program against a large database, as folder and as zip."""
    dice = random.Random(2)
    entries = [entry(number, dice) for number in range(size)]
    write_database(folder / "large", entries)
    with zipfile.ZipFile(folder / "large.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for one in entries:
            archive.writestr(f"ID/{one['id']}.json", json.dumps(one))
    del entries
    timed(f"{size} entries read from a folder", lambda: read_database(str(folder / "large")))
    database = timed(f"{size} entries read from a zip", lambda: read_database(str(folder / "large.zip")))
    text = timed("packed for a host", lambda: pack(Gate(database.modules, Rules(date.today()))))
    gate = timed(f"unpacked from {len(text) / 1024:.0f} KiB", lambda: unpack(text))
    facts = timed("the program read", lambda: read_binary(program, checksum=False).facts)
    timed("the program judged", lambda: judge_program(program, facts, gate))
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def timed(what: str, act: Any) -> Any:
    """In seconds of the processor, which other programs hardly change."""
    start = time.process_time()
    result = act()
    print(f"{what}: {time.process_time() - start:.3f} s")
    return result


def write_database(folder: Path, entries: list[dict[str, Any]]) -> str:
    (folder / "ID").mkdir(parents=True)
    for one in entries:
        (folder / "ID" / f"{one['id']}.json").write_text(json.dumps(one))
    return str(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=400)
    parser.add_argument("--programs", type=int, default=30)
    parser.add_argument("--size", type=int, default=5000)
    parser.add_argument("folders", nargs="*", metavar="DIRECTORY")
    options = parser.parse_args()
    dice = random.Random(1)
    entries = [entry(number, dice) for number in range(options.entries)]
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as temporary:
        folder = Path(temporary)
        build_programs(folder, options.programs, dice)
        programs = folder / "bin"
        differing = compare(write_database(folder / "db", entries), [str(programs), *options.folders], entries)
        largest = max(programs.iterdir(), key=os.path.getsize) if options.programs else Path(sys.argv[0])
        measure(folder, options.size, str(largest))
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

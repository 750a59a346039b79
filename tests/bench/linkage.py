# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long one binary takes, beside ldd, readelf, go version, pyelftools and LIEF in the same run.

Usage: python tests/bench/linkage.py [--binaries N] [--rounds N] [DIRECTORY …]

Makes an environment with the two Python packages below .work/bench when they are missing. Every tool looks at every
binary once a round, in turn, so that a busy machine slows all of them; the figures are medians, and what counts is
their ratio. Ends with 1 where a limit of the project is missed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

CHECKOUT = Path(__file__).resolve().parents[2]
WORK = CHECKOUT / ".work" / "bench"
UTILS = "ansible_collections.slipway.go.plugins.module_utils"


def prepare() -> None:
    """Start again in an environment that has the other libraries and this checkout under its collection name."""
    python = WORK / "venv" / "bin" / "python"
    if not python.exists():
        script = CHECKOUT / "tests" / "lab" / "venv.sh"
        subprocess.run(
            [script, sys.executable, WORK / "venv", CHECKOUT / "requirements-bench.txt"], check=True, stdout=sys.stderr
        )
    link = WORK / "collections" / "ansible_collections" / "slipway" / "go"
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(CHECKOUT)
    environment = dict(os.environ, PYTHONPATH=str(WORK / "collections"), SLIPWAY_BENCH="ready")
    os.execve(python, [str(python), __file__, *sys.argv[1:]], environment)


def is_program(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def choose(directories: list[str], count: int) -> list[str]:
    found = sorted(str(path) for directory in directories for path in Path(directory).iterdir() if is_program(path))
    return sorted(random.Random(1).sample(found, min(count, len(found))))


def quiet(*command: str) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def with_pyelftools(path: str) -> None:
    """The same questions as `readelf -d` and `-V`: needed libraries, run paths, versions."""
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVerNeedSection

    with open(path, "rb") as file:
        elf = ELFFile(file)
        for segment in elf.iter_segments():
            if isinstance(segment, DynamicSegment):
                for tag in segment.iter_tags():
                    getattr(tag, "needed", None)
        for section in elf.iter_sections():
            if isinstance(section, GNUVerNeedSection):
                for _ignored, versions in section.iter_versions():
                    for version in versions:
                        _ignored = version.name


def with_lief(path: str) -> None:
    import lief

    elf = lief.ELF.parse(path)
    _ignored = elf.libraries
    for need in elf.symbols_version_requirement:
        for version in need.get_auxiliary_symbols():
            _ignored = version.name


def tools() -> dict[str, Callable[[str], None]]:
    from importlib import import_module

    elf, facts = import_module(f"{UTILS}._binary.elf"), import_module(f"{UTILS}._binary.facts")
    kernel, linkage = import_module(f"{UTILS}._host.kernel"), import_module(f"{UTILS}._linkage.checker")
    context = import_module(f"{UTILS}._units.context")
    checker = linkage.Checker(kernel.read_host(), context.own_context())

    def headers(path: str) -> None:
        with elf.Reader(path) as reader:
            elf.parse_elf(reader)

    def alone(path: str) -> None:
        linkage.Checker(kernel.read_host(), context.own_context()).check(path)

    found: dict[str, Callable[[str], None]] = {
        "ours: headers, needed, versions": headers,
        "ours: binary_info, no checksum": lambda path: facts.read_binary(path, checksum=False),
        "ours: linkage, many in one call": checker.check,
        "ours: linkage, nothing known yet": alone,
        "pyelftools: needed, versions": with_pyelftools,
        "LIEF: needed, versions": with_lief,
        "readelf -d": lambda path: quiet("readelf", "-d", path),
        "ldd": lambda path: quiet("ldd", path),
    }
    if shutil.which("go"):
        found["go version -m"] = lambda path: quiet("go", "version", "-m", path)
    return found


def measure(paths: list[str], rounds: int) -> dict[str, float]:
    """Median milliseconds per binary."""
    every = tools()
    times: dict[str, list[float]] = {name: [] for name in every}
    for number in range(rounds + 1):
        for path in paths:
            for name, tool in every.items():
                started = time.perf_counter()
                tool(path)
                if number:  # the first round warms the page cache
                    times[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) * 1000 for name, taken in times.items()}


PEAK = f"""
import re, sys
from {UTILS}._host.kernel import read_host
from {UTILS}._linkage.checker import Checker
from {UTILS}._units.context import own_context
Checker(read_host(), own_context()).check(sys.argv[1])
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1))
"""


def peak(path: str) -> float:
    done = subprocess.run([sys.executable, "-c", PEAK, path], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


def memory() -> tuple[float, float]:
    """MiB for a small program, and for the same with a gibibyte behind it."""
    with tempfile.TemporaryDirectory() as folder:
        small = shutil.copy("/bin/true", os.path.join(folder, "small"))
        large = shutil.copy("/bin/true", os.path.join(folder, "large"))
        os.truncate(large, 1 << 30)
        return peak(small), peak(large)


def main() -> int:
    parser = argparse.ArgumentParser(description="How long one binary takes.")
    parser.add_argument("--binaries", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("directory", nargs="*", default=["/usr/bin", "/usr/sbin"])
    arguments = parser.parse_args()
    paths = choose(arguments.directory, arguments.binaries)
    taken = measure(paths, arguments.rounds)
    reference = taken["readelf -d"]
    print(f"{len(paths)} binaries, {arguments.rounds} rounds, median per binary")
    for name, milliseconds in taken.items():
        print(f"{name:36}{milliseconds:9.3f} ms{milliseconds / reference:8.2f} x readelf -d")
    small, large = memory()
    print(f"memory for 35 KiB {small:.1f} MiB, with a gibibyte of file {large:.1f} MiB")
    headers = taken["ours: headers, needed, versions"]
    bars = {
        "faster than pyelftools": headers < taken["pyelftools: needed, versions"],
        "faster than LIEF": headers < taken["LIEF: needed, versions"],
        "within 3 x readelf -d, many in one call": taken["ours: linkage, many in one call"] <= 3 * reference,
        "memory flat in file size": large < small * 1.1,
    }
    for limit, met in bars.items():
        print(f"{'met   ' if met else 'MISSED'} {limit}")
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    if os.environ.get("SLIPWAY_BENCH") != "ready":
        prepare()
    sys.exit(main())

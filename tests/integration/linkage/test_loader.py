# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our verdict and the path of every library against what the loader itself says, on programs of distributions.

Those programs are trusted, so their loader may be asked (`ld.so --list`), which maps what it lists. On this host, and
in Debian 11, 12 and 13 trees made with debootstrap (about two minutes each, once on a machine).

pytest -s tests/integration/linkage/test_loader.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary.facts import read_binary
from ansible_collections.slipway.go.plugins.module_utils._core.root_view import View
from ansible_collections.slipway.go.plugins.module_utils._host.kernel import read_host
from ansible_collections.slipway.go.plugins.module_utils._linkage.checker import Checker
from ansible_collections.slipway.go.plugins.module_utils._units.surroundings import Context
from ansible_collections.slipway.go.tests.integration.linkage import debian

DIRECTORIES = ("usr/bin", "usr/sbin", "bin", "sbin", "usr/libexec", "usr/lib/git-core", "usr/lib/gcc")
LOADER = "/lib64/ld-linux-x86-64.so.2"
SUITES = ("bullseye", "bookworm", "trixie")


def programs(root: str) -> list[str]:
    """Paths inside root; each file once."""
    found = {}
    for directory in DIRECTORIES:
        for path in sorted(Path(root, directory).rglob("*")):
            if path.is_file() and not path.is_symlink() and is_elf(path):
                status = path.stat()
                found.setdefault((status.st_dev, status.st_ino), "/" + str(path.relative_to(root)))
    return sorted(found.values())


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def loader_says(root: str, interpreter: str, path: str) -> tuple[bool, list[tuple[str, str | None]]]:
    """Whether it is content, and what it finds where, in its order. It names itself without an arrow."""
    command = [interpreter, "--list", path]
    if root != "/":
        command = ["chroot", root, *command]
    environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    libraries: list[tuple[str, str | None]] = []
    for line in done.stdout.splitlines():
        match = re.match(r"\s+(\S+) => (not found|\S+)", line)
        if match:
            libraries.append((match.group(1), None if match.group(2) == "not found" else match.group(2)))
    return done.returncode == 0 and all(path for _ignored, path in libraries), libraries


class Comparison:
    def __init__(self, root: str) -> None:
        self.root = root
        self.checker = Checker(read_host(), Context(View(root), {}))
        self.programs = 0
        self.libraries = 0
        self.different: list[object] = []

    def add(self, path: str) -> set[str]:
        """Compare one file; the libraries it uses."""
        verdict = self.checker.check(path).as_dict()
        # What only execve asks: `--list` takes libraries, and libcap.so.2 is one that could be started.
        codes = [problem["code"] for problem in verdict["problems"]]
        codes = [code for code in codes if code not in ("not_a_program", "not_executable")]
        interpreter = verdict["interpreter"] or (LOADER if verdict["class"] == "library" else None)
        if interpreter is None:
            if verdict["class"] in ("static", "static-pie") and codes:
                self.different.append((path, verdict))
            return set()
        if verdict["class"] == "library" and read_binary(self.checker.context.view.host(path)).elf.bits == 32:
            return set()  # there is no 32-bit loader to ask
        if not self.exists(interpreter):
            if codes != ["interpreter_missing"]:  # 32-bit programs of valgrind, for one
                self.different.append((path, verdict))
            return set()
        content, expected = loader_says(self.root, interpreter, path)
        ours = [(library["name"], library["path"]) for library in verdict["libraries"]]
        ours = [pair for pair in ours if pair[1] != interpreter]
        self.programs += 1
        self.libraries += len(expected)
        if not content and not expected:
            ours = []  # it gave up before it listed anything
        if ours != expected or content != (not codes):
            self.different.append((path, codes, sorted(set(ours) ^ set(expected), key=str), expected))
        return {found for _ignored, found in expected if found}

    def exists(self, path: str) -> bool:
        try:
            return os.path.exists(self.checker.context.view.host(path))
        except OSError:
            return False

    def add_all(self) -> None:
        used: set[str] = set()
        for path in programs(self.root):
            used |= self.add(path)
        for path in sorted(used):
            self.add(path)

    def report(self) -> None:
        print(
            f"{self.root}: {self.programs} files, {self.libraries} libraries found, {len(self.different)} differences"
        )
        assert self.different == []


def test_this_host():
    comparison = Comparison("/")
    comparison.add_all()
    comparison.report()
    assert comparison.programs > 100


@pytest.fixture(scope="module", params=SUITES)
def tree(request):
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("needs root and debootstrap")
    with debian.alone(f"root-{request.param}"):
        yield str(debian.root(request.param))


def test_other_hosts(tree):
    comparison = Comparison(tree)
    comparison.add_all()
    comparison.report()
    assert comparison.programs > 300


def test_hwcaps_and_stale_entries_of_the_cache(tree, tmp_path):
    """A cache with named hwcaps for every level, one library gone, one moved since ldconfig ran."""
    run = ["chroot", tree, "/sbin/ldconfig"]
    place = Path(tree, "opt/slipway")
    configuration = Path(tree, "etc/ld.so.conf.d/slipway.conf")
    library = next(Path(tree, "usr/lib/x86_64-linux-gnu").glob("libz.so.1"))
    shutil.rmtree(place, ignore_errors=True)  # of a run that was killed
    try:
        for level in ("", "glibc-hwcaps/x86-64-v2", "glibc-hwcaps/x86-64-v3", "glibc-hwcaps/x86-64-v4"):
            (place / level).mkdir(parents=True)
            shutil.copy(library.resolve(), place / level / "libz.so.1")
        configuration.write_text("/opt/slipway\n")
        subprocess.run(run, check=True)
        users = [path for path in programs(tree) if "libz.so.1" in needed(tree, path)][:10]
        assert users
        for step in ("", "glibc-hwcaps/x86-64-v4", "glibc-hwcaps/x86-64-v3", "glibc-hwcaps/x86-64-v2", "."):
            if step:
                (place / step / "libz.so.1").unlink()  # without another ldconfig
            comparison = Comparison(tree)
            for path in users:
                comparison.add(path)
            comparison.report()
    finally:
        shutil.rmtree(place, ignore_errors=True)
        configuration.unlink(missing_ok=True)
        subprocess.run(run, check=True)


def needed(root: str, path: str) -> list[str]:
    return list(read_binary(root + path).elf.needed)

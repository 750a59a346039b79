# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host that built an artefact, as its manifest says, beside the one that is to run it. PRIVATE to the collection.

Whether a program starts is judged by the program itself. This only says why it may not: a manifest that is missing,
damaged or about another file says nothing, and nothing of it refuses a release.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import Any, Iterator, Mapping, NamedTuple, Optional

from .._binary.facts import Binary, read_binary
from .._binary.machines import host_goarch
from .._binary.versions import go_kernel
from .._core.errors import SlipwayError
from .._core.problems import Problem
from .._host import levels
from .._host.cpu import Cpu
from .._host.fingerprint import GLIBC, Fingerprint
from .._host.kernel import kernel_version

SUFFIX = ".json"  # of the manifest behind the artefact's name
FORMAT = 1
MAX_TEXT = 1 << 20
_LONGEST = 120  # characters of one entry
# The levels that /proc/cpuinfo tells apart.
_TOLD = {
    "386": re.compile(r"sse2|softfloat"),
    "amd64": re.compile(r"v[1-4]"),
    "arm": re.compile(r"[5-7]"),
    "arm64": re.compile(r"v8\.[0-6]|v9\.[01]"),
    "riscv64": re.compile(r"rva2[023]u64"),
}


class Built(NamedTuple):
    """How an artefact was built. digest: of which artefact this is said.

    os, kernel, architecture, libc: of the host that built it. level: of the processors that it is for. linked: the
    class of its ELF file, and uses: the C library that it asks for; empty where that is not known.
    """

    digest: str = ""
    os: str = ""
    kernel: str = ""
    architecture: str = ""
    libc: str = ""
    toolchain: str = ""
    goarch: str = ""
    level: str = ""
    linked: str = ""
    uses: str = ""

    @property
    def host(self) -> Fingerprint:
        return Fingerprint(self.os, self.kernel, self.architecture, self.libc)

    @property
    def target(self) -> str:
        """As artefacts are named: amd64v3, armv7."""
        return f"{self.goarch}{'v' if self.goarch == 'arm' and self.level else ''}{self.level}"


def read_built(path: str, binary: Optional[Binary] = None) -> Optional[Built]:
    """What the manifest beside the artefact at path says, and the program itself, which binary is where it is known."""
    document = _document(path + SUFFIX)
    if document.get("format") != FORMAT:
        return None
    host, target = _mapping(document.get("build_host")), _mapping(document.get("target"))
    facts = binary.facts if binary is not None else _facts(path)
    return Built(
        digest=_line(document.get("sha256")),
        os=_line(host.get("os")),
        kernel=_line(host.get("kernel")),
        architecture=_line(host.get("architecture")),
        libc=_line(host.get("libc")),
        toolchain=_line(document.get("toolchain")),
        goarch=_line(target.get("goarch")),
        level=_line(target.get("level")),
        linked=str(facts.get("class") or ""),
        uses=str(facts.get("libc") or ""),
    )


def _document(path: str) -> Mapping[str, Any]:
    try:
        if not os.path.isfile(path):
            return {}
        with open(path, "rb") as stream:
            raw = stream.read(MAX_TEXT + 1)
        return _mapping(json.loads(raw.decode("utf-8", "replace"))) if len(raw) <= MAX_TEXT else {}
    except (OSError, ValueError, RecursionError):
        return {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _line(value: Any) -> str:
    """A text that can be shown; nothing vouches for a manifest."""
    return "".join(filter(str.isprintable, value))[:_LONGEST].strip() if isinstance(value, str) else ""


def _facts(path: str) -> Mapping[str, Any]:
    """Nothing of an archive, whose program is not unpacked for this."""
    try:
        return read_binary(path, checksum=False).facts if os.path.isfile(path) else {}
    except (SlipwayError, OSError):
        return {}


def compare(built: Built, here: Fingerprint, cpu: Cpu) -> list[Problem]:
    """What differs and matters to this program."""
    return [*_libc(built, here), *_kernel(built, here), *_processor(built, here, cpu)]


class Comparison:
    """Of the host that built an artefact with this one; empty where no manifest speaks of that artefact."""

    def __init__(self, built: Optional[Built], here: Fingerprint, cpu: Cpu) -> None:
        self._built, self._here, self._cpu = built, here, cpu
        self.result: dict[str, Any] = {}

    def differences(self, digest: str) -> list[Problem]:
        """Of the artefact with that SHA-256; the result has them from now on."""
        built, here = self._built, self._here
        if built is None or built.digest != digest:
            return []
        found = compare(built, here, self._cpu)
        self.result["build_host"] = {
            "built_on": built.host._asdict(),
            "runs_on": here._asdict(),
            "toolchain": built.toolchain,
            "target": built.target,
            "linked": built.linked,
            "differs": [difference.code for difference in found],
        }
        return found

    @contextlib.contextmanager
    def told_of_failures(self) -> Iterator[None]:
        """A failure has no other result."""
        try:
            yield
        except SlipwayError as error:
            error.details.update(self.result)
            raise


def _libc(built: Built, here: Fingerprint) -> Iterator[Problem]:
    """Only where it is loaded from the host: a static program brings its own, or has none."""
    family, _word, version = here.libc.partition(" ")
    if built.linked != "dynamic" or not built.uses or not family:
        return
    if built.uses != family:
        yield Problem(
            "other_libc",
            f"release_src loads {built.uses}, and was built on a host with {built.libc or built.uses}; this host has "
            f"{here.libc}.",
            f"build it with CGO_ENABLED=0, or on a host with {family}",
        )
        return
    other, _word, newer = built.libc.partition(" ")
    if other == family == GLIBC and _numbers(newer) > _numbers(version) > ():
        yield Problem(
            "older_libc",
            f"release_src loads the host's C library, and was built with {built.libc}; this host has {here.libc}. If "
            "it needs a symbol of the newer one, the check of its libraries refuses it.",
            f"build it with CGO_ENABLED=0, or on a host with {here.libc}",
        )


def _numbers(version: str) -> tuple[int, ...]:
    """At most four, of at most six digits each."""
    return tuple(int(digits) for digits in re.findall(r"[0-9]{1,6}", version)[:4])


def _kernel(built: Built, here: Fingerprint) -> Iterator[Problem]:
    """The kernel that built it does not matter; the toolchain has a floor."""
    floor = go_kernel(built.toolchain)
    if floor is not None and here.kernel and kernel_version(here.kernel) < floor:
        wanted = ".".join(map(str, floor))
        yield Problem(
            "older_kernel",
            f"release_src was built with {built.toolchain}, which needs kernel {wanted}; this host runs {here.kernel}.",
            f"upgrade the kernel to {wanted} or newer, or build it with an older Go",
        )


def _processor(built: Built, here: Fingerprint, cpu: Cpu) -> Iterator[Problem]:
    """Another architecture is refused by a check of its own."""
    told = _TOLD.get(built.goarch)
    if told is None or not told.fullmatch(built.level) or host_goarch(here.architecture) != built.goarch:
        return
    names = levels.names(built.goarch, here.architecture, cpu)
    if cpu.features and built.target not in names:
        yield Problem(
            "lower_processor",
            f"release_src was built for {built.target}, and the best that the processor of this host runs is "
            f"{names[0]}.",
            f"build it for {names[0]}",
        )

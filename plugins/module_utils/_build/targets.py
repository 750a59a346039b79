# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a program is built for. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Iterable, NamedTuple, Optional, Sequence

from .._binary.machines import host_goarch
from .._core.errors import SlipwayError

GOOS = "linux"
_MIPS = ("hardfloat", "softfloat")
_POWER = ("power8", "power9", "power10")
# The architectures of Go on Linux, each with the variable and the values that say which processors it is built for.
_LEVELS: dict[str, tuple[str, Sequence[str]]] = {
    "386": ("GO386", ("sse2", "softfloat")),
    "amd64": ("GOAMD64", ("v1", "v2", "v3", "v4")),
    "arm": ("GOARM", ("5", "6", "7")),
    "arm64": ("GOARM64", (*(f"v8.{minor}" for minor in range(10)), *(f"v9.{minor}" for minor in range(6)))),
    "loong64": ("", ()),
    "mips": ("GOMIPS", _MIPS),
    "mips64": ("GOMIPS64", _MIPS),
    "mips64le": ("GOMIPS64", _MIPS),
    "mipsle": ("GOMIPS", _MIPS),
    "ppc64": ("GOPPC64", _POWER),
    "ppc64le": ("GOPPC64", _POWER),
    "riscv64": ("GORISCV64", ("rva20u64", "rva22u64", "rva23u64")),
    "s390x": ("", ()),
}
# What Go takes by itself; for arm that depends on the machine that builds, so it is always given.
_USUAL = {"amd64": "v1", "arm": "7"}
# What GNU's compilers for an architecture are called after, where Go has another name for it.
_COMPILERS = {
    "386": "i686",
    "amd64": "x86_64",
    "arm64": "aarch64",
    "loong64": "loongarch64",
    "mips64le": "mips64el",
    "mipsle": "mipsel",
    "ppc64": "powerpc64",
    "ppc64le": "powerpc64le",
}


class Target(NamedTuple):
    """level: empty for that which Go takes by itself."""

    goarch: str
    level: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (GOOS, self.goarch, self.level)))

    @property
    def suffix(self) -> str:
        """How the level stands in a file name behind the architecture: amd64v3, armv7."""
        if self.level == "v1" and self.goarch == "amd64":
            return ""
        return f"v{self.level}" if self.goarch == "arm" else self.level

    @property
    def compiler(self) -> str:
        """What its C compiler is called where it is not the host's own."""
        abi = {"arm": "gnueabi" if self.level == "5" else "gnueabihf", "mips64": "gnuabi64", "mips64le": "gnuabi64"}
        return f"{_COMPILERS.get(self.goarch, self.goarch)}-linux-{abi.get(self.goarch, 'gnu')}-gcc"

    @property
    def variables(self) -> dict[str, str]:
        """What tells the toolchain."""
        found = {"GOOS": GOOS, "GOARCH": self.goarch}
        if self.level:
            found[_LEVELS[self.goarch][0]] = self.level
        return found


def names() -> tuple[str, ...]:
    """What an artefact may be named after: each architecture, and each with a level behind it, as in amd64v3, armv6."""
    return tuple(
        f"{goarch}{'v' if level and goarch == 'arm' else ''}{level}"
        for goarch, (_variable, levels) in _LEVELS.items()
        for level in ("", *levels)
    )


def parse(text: str) -> Target:
    """linux/amd64, amd64, linux/amd64/v3, arm/6."""
    parts = text.strip().split("/")
    if len(parts) > 1 and parts[0] not in _LEVELS:
        goos = parts.pop(0)
        if goos != GOOS:
            raise SlipwayError(
                "invalid_build",
                f"build_targets has {text!r}; only {GOOS} is built for.",
                "name each target as linux/GOARCH or linux/GOARCH/LEVEL, such as linux/amd64/v3",
            )
    goarch, level = parts[0], "/".join(parts[1:])
    if goarch not in _LEVELS:
        raise SlipwayError(
            "invalid_build",
            f"build_targets has {text!r}, and Go has no architecture {goarch!r} on Linux; it has {', '.join(_LEVELS)}.",
            "name each target as linux/GOARCH or linux/GOARCH/LEVEL, such as linux/amd64/v3",
        )
    _variable, levels = _LEVELS[goarch]
    if len(parts) > 1 and level not in levels:
        raise SlipwayError(
            "invalid_build",
            f"build_targets has {text!r}; {goarch} has {', '.join(levels) or 'no levels'}.",
            "leave the level out, or take one of these" if levels else "leave the level out",
        )
    return Target(goarch, level or _USUAL.get(goarch, ""))


def of_machine(machine: str) -> Optional[Target]:
    """For a host that answers `uname -m` so; None where Go does not build for it."""
    goarch = host_goarch(machine)
    if goarch not in _LEVELS:
        return None
    if goarch == "arm":
        number = machine[len("armv") : len("armv") + 1]
        return Target(goarch, number if number in ("5", "6") else "7")
    return Target(goarch, _USUAL.get(goarch, ""))


def of_machines(machines: Iterable[str]) -> list[Target]:
    """Each once, in the order of their names."""
    found = set()
    for machine in machines:
        target = of_machine(machine)
        if target is None:
            raise SlipwayError(
                "invalid_build",
                f"a host is a {machine!r}, and Go does not build for that.",
                "set build_targets, or leave that host out of slipway_hosts",
            )
        found.add(target)
    return sorted(found)


def variable_names() -> tuple[str, ...]:
    """Of the variables that say which processors a program is built for."""
    return tuple(dict.fromkeys(variable for variable, _levels in _LEVELS.values() if variable))

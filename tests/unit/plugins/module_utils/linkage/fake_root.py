# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.slipway.go.plugins.module_utils._core.root_view import View
from ansible_collections.slipway.go.plugins.module_utils._host.cpu import X86_LEVELS, Cpu
from ansible_collections.slipway.go.plugins.module_utils._host.kernel import Host
from ansible_collections.slipway.go.plugins.module_utils._linkage.checker import Checker
from ansible_collections.slipway.go.plugins.module_utils._units.surroundings import Context
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import ElfBuilder

GLIBC = "/lib64/ld-linux-x86-64.so.2"
MUSL = "/lib/ld-musl-x86_64.so.1"
GLIBC_CONSTANTS = (
    b"\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0lib/x86_64-linux-gnu\0"
    b"/etc/ld.so.cache\0x86-64-v4:x86-64-v3:x86-64-v2\0"
)
MUSL_CONSTANTS = b"\0/lib:/usr/local/lib:/usr/lib\0%.*s/etc/ld-musl-x86_64.path\0"
LIBC_VERSIONS = ["libc.so.6", "GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_2.36", "GLIBC_PRIVATE"]


def cpu(level: int = 3, vendor: str = "AuthenticAMD") -> Cpu:
    return Cpu(vendor, frozenset().union(*X86_LEVELS[:level]))


def host(**changes) -> Host:
    plain = Host("x86_64", "amd64", "6.1.0-30-amd64", 4096, cpu(), ("386",), (1 << 64) - 1, ())
    return plain._replace(**changes)


class Root:
    """A system made of files that were never linked."""

    def __init__(self, path) -> None:
        self.path = path

    def elf(self, name: str, **spec) -> str:
        ElfBuilder(**spec).write(self.path / name.lstrip("/"))
        return name

    def lib(self, name: str, **spec) -> str:
        return self.elf(name, **{"soname": name.rpartition("/")[2], "entry": 0, **spec})

    def glibc(self, **spec) -> None:
        self.elf(
            GLIBC,
            **{
                "soname": "ld-linux-x86-64.so.2",
                "verdef": ["ld-linux-x86-64.so.2", "GLIBC_2.2.5", "GLIBC_PRIVATE"],
                "constants": GLIBC_CONSTANTS,
                **spec,
            },
        )
        self.lib("/lib/x86_64-linux-gnu/libc.so.6", verdef=LIBC_VERSIONS, needed=["ld-linux-x86-64.so.2"])

    def musl(self, **spec) -> None:
        self.elf(MUSL, **{"constants": MUSL_CONSTANTS, "dynamic": True, **spec})

    def app(self, *needed: str, **spec) -> str:
        return self.elf("/app", **{"interpreter": GLIBC, "needed": list(needed), **spec})

    def check(self, path: str = "/app", environment=None, host=None, **context) -> dict:
        view = View(str(self.path), context.pop("binds", None), context.pop("cwd", "/"))
        checker = Checker(host or HOST, Context(view, environment or {}, **context))
        return checker.check(path).as_dict()

    def codes(self, path: str = "/app", **options) -> list[str]:
        return [problem["code"] for problem in self.check(path, **options)["problems"]]

    def found(self, path: str = "/app", **options) -> dict[str, str | None]:
        return {library["name"]: library["path"] for library in self.check(path, **options)["libraries"]}


HOST = host()


def glibc_root(path) -> Root:
    made = Root(path)
    made.glibc()
    return made


def musl_root(path) -> Root:
    made = Root(path)
    made.musl()
    return made

"""Scenes of an artefact whose build host differs from the one that runs it; action, module and engine are real."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._host.cpu import Cpu
from ansible_collections.slipway.go.plugins.module_utils._host.fingerprint import Fingerprint
from ansible_collections.slipway.go.plugins.modules import release as module
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.origins import Controller, released
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.unit.plugins.action.test_policy_table import GOOD, LOADER, VERSION, program

SCENES = Scenes()
BUILDER = Fingerprint("Ubuntu 24.04", "6.8.0-71-generic", "x86_64", "glibc 2.39")
HOST = Fingerprint("Debian GNU/Linux 11", "5.10.0-35-amd64", "x86_64", "glibc 2.31")
ALPINE = Fingerprint("Alpine Linux v3.22", "6.12.31-0-lts", "x86_64", "musl")
X86_64_V2 = "cmov cx8 fpu fxsr mmx sse sse2 cx16 lahf_lm popcnt pni ssse3 sse4_1 sse4_2"
CGO = program(interpreter=LOADER, needed=["libc.so.6"])


class Elsewhere:
    """It releases what BUILDER has built to one host."""

    def __init__(self, stage: Stage, host: Fingerprint = HOST) -> None:
        self._controller, self._patch = Controller(stage), stage.patch
        self.upgrade(host)
        stage.patch.setattr(module, "read_cpu", lambda: Cpu("GenuineIntel", frozenset(X86_64_V2.split())))

    def upgrade(self, host: Fingerprint) -> None:
        self._patch.setattr(module, "read_fingerprint", lambda: host)

    def release(self, content: bytes = GOOD, level: str = "v1", toolchain: str = "go1.24.1") -> Any:
        manifest = {
            "format": 1,
            "sha256": hashlib.sha256(content).hexdigest(),
            "toolchain": toolchain,
            "target": {"goos": "linux", "goarch": "amd64", "level": level},
            "build_host": BUILDER._asdict(),
        }
        self._controller.lab.put("artefact.json", json.dumps(manifest).encode())
        answer = self._controller.release(VERSION, content, force=True)
        assert answer["build_host"]["built_on"] == BUILDER._asdict(), answer
        return answer


OLDER = literal("build it with CGO_ENABLED=0, or on a host with glibc 2.31")
OTHER = literal("build it with CGO_ENABLED=0, or on a host with musl")
KERNEL = literal("upgrade the kernel to 3.2.0 or newer, or build it with an older Go")


@SCENES.row("older_libc", "a program with cgo was built with a newer glibc", OLDER, "`CGO_ENABLED=0`")
def _scene(stage: Stage) -> None:
    here = Elsewhere(stage)
    stage.fails(lambda: here.release(CGO))
    released(stage.passes(here.release))


@SCENES.row("other_libc", "a program with cgo was built for glibc, and the host has musl", OTHER, "`CGO_ENABLED=0`")
def _scene(stage: Stage) -> None:
    here = Elsewhere(stage, ALPINE)
    stage.fails(lambda: here.release(CGO))
    released(stage.passes(here.release))


@SCENES.row("older_kernel", "the host runs a kernel of 2010", KERNEL, "another kernel")
def _scene(stage: Stage) -> None:
    here = Elsewhere(stage, HOST._replace(kernel="2.6.32-754.el6.x86_64"))
    stage.fails(here.release)
    here.upgrade(HOST)
    stage.passes(here.release)


@SCENES.row("older_kernel", "the program may be built with the Go of before", KERNEL, "an older Go")
def _scene(stage: Stage) -> None:
    here = Elsewhere(stage, HOST._replace(kernel="2.6.32-754.el6.x86_64"))
    stage.fails(here.release)
    stage.passes(lambda: here.release(program(version="(devel)"), toolchain="go1.23.12"))


@SCENES.row("lower_processor", "the program was built for AVX2", literal("build it for amd64v2"), "another target")
def _scene(stage: Stage) -> None:
    here = Elsewhere(stage)
    stage.fails(lambda: here.release(level="v3"))
    released(stage.passes(lambda: here.release(program(version="(devel)"), level="v2")))

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import struct

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary.facts import read_binary
from ansible_collections.slipway.go.plugins.module_utils._binary.go_build_info import BuildInfo
from ansible_collections.slipway.go.plugins.module_utils._host import kernel as _host
from ansible_collections.slipway.go.plugins.module_utils._host.cpu import parse_cpuinfo
from ansible_collections.slipway.go.plugins.module_utils._linkage.host_profile import (
    HostProfile,
    Libc,
    collect_host_profile,
    judge_artifact,
)
from ansible_collections.slipway.go.plugins.module_utils._units.credentials import Credentials
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import (
    CORE,
    EXEC,
    REL,
    ElfBuilder,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_go_build_info import inline
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.fake_root import (
    GLIBC,
    GLIBC_CONSTANTS,
    HOST,
    MUSL,
    cpu,
    glibc_root,
    host,
    musl_root,
)

GO = {"body": inline("go1.22.3", "path\tp\n")}


@pytest.fixture
def root(tmp_path):
    return glibc_root(tmp_path)


def static(root, version="go1.22.3", settings="", **spec):
    return root.elf("/app", **{"type": EXEC, "body": inline(version, f"path\tp\n{settings}"), **spec})


def test_contract(root):
    static(root)
    assert root.check() == {
        "path": "/app", "runnable": True, "class": "static", "interpreter": None, "libraries": [], "problems": [],
    }  # fmt: skip
    verdict = root.check("/absent")
    assert verdict == {
        "path": "/absent",
        "runnable": False,
        "class": None,
        "interpreter": None,
        "libraries": [],
        "problems": [
            {
                "code": "not_found",
                "message": f"/absent: No such file or directory in {root.path}",
                "fix": "correct the path, or upload the file first",
            }
        ],
    }
    json.dumps(verdict)


@pytest.mark.parametrize(
    ("spec", "code", "fix"),
    [
        ({"machine": 183}, "wrong_machine", "rebuild with GOARCH=amd64: it is built for arm64"),
        ({"endian": "big", "machine": 8}, "wrong_machine", "rebuild with GOARCH=amd64: it is built for mips64"),
        ({"bits": 32}, "wrong_machine", "built for amd64p32"),
        ({"machine": 999}, "wrong_machine", "built for machine 999"),
        ({"osabi": 9}, "wrong_os", "rebuild with GOOS=linux: it is built for freebsd"),
        ({"type": REL}, "not_a_program", "-buildmode=exe"),
        ({"type": CORE}, "not_a_program", ""),
        ({"type": 3, "soname": "libx.so"}, "not_a_program", ""),
    ],
)
def test_what_the_kernel_does_not_start(root, spec, code, fix):
    static(root, **spec)
    (problem,) = root.check()["problems"]
    assert problem["code"] == code
    assert "Exec format error" in problem["message"]
    assert fix in problem["fix"]


def test_thirty_two_bits(root):
    static(root, bits=32, machine=3)
    assert root.codes() == []
    assert root.codes(host=host(also=())) == ["wrong_machine"]


def test_an_emulator_registered_with_the_kernel(root):
    static(root, machine=183)
    text = (
        "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\n"
        "magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
    )
    entry = _host.parse_binfmt(text)
    assert root.codes(host=host(binfmts=(entry,))) == []
    assert _host.parse_binfmt(text.replace("enabled", "disabled")) is None
    assert _host.parse_binfmt("enabled\ninterpreter /x\nflags: \nextension .py\n") is None


@pytest.mark.parametrize(
    ("version", "kernel", "fine"),
    [
        ("go1.24.4", "3.1.9", False),
        ("go1.24.4", "3.2.0", True),
        ("go1.23.1", "2.6.32-754.el6", True),
        ("go1.23.1", "2.6.31", False),
        ("go1.18", "2.6.23", True),
        ("devel go1.28-abc", "3.1", False),
        ("unknown", "2.6.0", True),
    ],
)
def test_the_kernel_a_go_release_needs(root, version, kernel, fine):
    static(root, version)
    assert root.codes(host=host(kernel=kernel)) == ([] if fine else ["kernel_too_old"])


def test_go_says_which_kernel(root):
    static(root, "go1.24.4")
    (problem,) = root.check(host=host(kernel="3.1.9"))["problems"]
    assert problem["fix"] == "upgrade the kernel to 3.2 or newer, or build with an older Go: this host runs 3.1.9"


def test_the_kernel_a_note_asks_for(root):
    static(root, "go1.20", notes=[("GNU", 1, struct.pack("<IIII", 0, 99, 0, 0))])
    (problem,) = root.check()["problems"]
    assert problem["message"] == "/app: FATAL: kernel too old"
    assert problem["fix"] == "upgrade the kernel to 99.0 or newer: this host runs 6.1.0-30-amd64"


@pytest.mark.parametrize(
    ("setting", "level", "fine"), [("v1", 1, 1), ("v3", 2, 0), ("v3", 3, 1), ("v4", 3, 0), ("", 1, 1)]
)
def test_the_processor_level(root, setting, level, fine):
    static(root, settings=f"build\tGOAMD64={setting}\n")
    assert root.codes(host=host(cpu=cpu(level))) == ([] if fine else ["cpu_level"])


def test_the_processor_level_in_words(root):
    static(root, settings="build\tGOAMD64=v3\n")
    (problem,) = root.check(host=host(cpu=cpu(2)))["problems"]
    assert problem["fix"] == "rebuild with GOAMD64=v2: this processor is x86-64-v2, the program needs v3"


@pytest.mark.parametrize(
    ("machine", "features", "setting", "fine"),
    [
        ("aarch64", "fp asimd atomics", "build\tGOARM64=v8.1\n", 1),
        ("aarch64", "fp asimd", "build\tGOARM64=v8.1\n", 0),
        ("aarch64", "fp asimd", "build\tGOARM64=v8.0,lse\n", 0),
        ("aarch64", "fp asimd", "build\tGOARM64=v8.0\n", 1),
        ("armv6l", "half vfp", "build\tGOARM=7\n", 0),
        ("armv6l", "half vfp", "build\tGOARM=6\n", 1),
        ("armv6l", "half", "build\tGOARM=6\n", 0),
        ("armv7l", "half vfp vfpv3", "build\tGOARM=7\n", 1),
        ("armv6l", "half", "build\tGOARM=7,softfloat\n", 1),
    ],
)
def test_arm(root, machine, features, setting, fine):
    arm64 = machine == "aarch64"
    static(root, settings=setting, machine=183 if arm64 else 40, bits=64 if arm64 else 32)
    here = host(
        machine=machine, goarch="arm64" if arm64 else "arm", cpu=cpu(0)._replace(features=frozenset(features.split()))
    )
    assert root.codes(host=here) == ([] if fine else ["cpu_level"])


def test_page_size(root):
    root.elf("/app", type=EXEC, entry=0x401040)
    blob = bytearray((root.path / "app").read_bytes())
    struct.pack_into("<Q", blob, 64 + 16, 0x401000)  # the first segment's address
    (root.path / "app").write_bytes(blob)
    assert root.codes() == []
    assert root.codes(host=host(page_size=65536)) == ["page_size"]


# Interpreters


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"interpreter": MUSL, "needed": ["libc.so"], **GO}, "rebuild with CGO_ENABLED=0, or install musl: the"),
        ({"interpreter": MUSL, "needed": ["libc.so"]}, "install musl: the interpreter"),
        ({"interpreter": "/lib/ld-linux.so.2", "bits": 32, "machine": 3, "needed": ["libc.so.6"]}, "32-bit C library"),
        ({"interpreter": "/lib/ld-linux-foo.so.1", "needed": ["libc.so.6"], **GO}, "or install the C library"),
        ({"interpreter": "/lib/ld-linux-foo.so.1", "needed": ["libc.so.6"]}, "install the C library for amd64: the"),
        ({"interpreter": "/lib/ld-linux-foo.so.1", **GO}, "rebuild without -buildmode=pie, or on a system like this"),
        ({"interpreter": "/lib/ld-linux-foo.so.1"}, "rebuild on a system like this"),
        ({"interpreter": "/opt/own/ld", "needed": ["libc.so.6"]}, "with the interpreter of this host"),
    ],
)
def test_interpreter_missing(root, spec, words):
    root.elf("/app", **spec)
    verdict = root.check()
    (problem,) = verdict["problems"]
    assert problem["code"] == "interpreter_missing"
    assert "No such file or directory" in problem["message"]
    assert problem["fix"].startswith(words) or words in problem["fix"]
    assert ("CGO_ENABLED" in problem["fix"] or "-buildmode" in problem["fix"]) <= ("body" in spec)
    assert verdict["libraries"] == [{"name": name, "path": None} for name in spec.get("needed", [])]


def test_a_glibc_program_on_alpine(tmp_path):
    alpine = musl_root(tmp_path)
    alpine.app("libc.so.6")
    (problem,) = alpine.check()["problems"]
    assert problem["code"] == "interpreter_missing"
    assert "this host has musl" in problem["fix"]


def test_musl_beside_glibc_does_not_fool(root):
    root.elf(MUSL, constants=b"not musl at all", dynamic=True)
    root.app("libc.so.6")
    assert root.codes() == []
    root.app("libc.so", interpreter=MUSL)
    assert root.codes() == ["loader_unknown"]
    root.app(interpreter=MUSL)
    assert root.codes() == []


def test_interpreters_that_are_none(root):
    root.app("libc.so.6", interpreter="/lib/ld-x.so")
    (root.path / "lib/ld-x.so").write_text("text")
    (root.path / "lib/ld-x.so").chmod(0o755)
    assert root.codes() == ["interpreter_invalid"]
    root.elf("/lib/ld-x.so", machine=183)
    assert root.codes() == ["interpreter_invalid"]
    root.elf("/lib/ld-x.so", constants=GLIBC_CONSTANTS)
    (root.path / "lib/ld-x.so").chmod(0o644)
    assert root.codes() == ["interpreter_invalid"]
    (root.path / "lib/ld-x.so").unlink()
    (root.path / "lib/ld-x.so").mkdir()
    assert root.codes() == ["interpreter_invalid"]


# Rights and the unit


def test_not_executable(root):
    static(root)
    (root.path / "app").chmod(0o644)
    (problem,) = root.check()["problems"]
    assert (problem["code"], problem["message"]) == (
        "not_executable", "/app: Permission denied: not executable (-rw-r--r--)",
    )  # fmt: skip


def test_who_starts_it(root):
    static(root)
    (root.path / "app").chmod(0o700)
    stranger = Credentials(4711, frozenset([4711]), False)
    assert root.codes(who=stranger) == ["not_executable"]
    owner = Credentials(os.getuid(), frozenset(os.getgroups()), True)
    assert root.codes(who=owner) == []


def test_the_units_sandbox(root):
    static(root)
    assert root.codes(hidden=(("/app", "ProtectHome=yes"),), unit="x.service") == ["unit_hidden"]
    assert root.codes(exec_rules=(("/", False),), unit="x.service") == ["unit_noexec"]
    assert root.codes(architectures=("native",), unit="x.service") == []
    static(root, bits=32, machine=3)
    for names in (("native",), ("x86-64",), ("arm64", "native")):
        assert root.codes(architectures=names, unit="x.service") == ["unit_architecture"]
    assert root.codes(architectures=("x86",), unit="x.service") == []
    assert root.codes(root_image="/x.raw", unit="x.service") == ["unit_root_image"]


def test_a_library_that_the_unit_makes_noexec(root):
    root.lib("/opt/libx.so")
    root.app("libx.so", runpath="/opt")
    rules = (("/", True), ("/opt", False))
    assert root.codes(exec_rules=rules, unit="x.service") == ["noexec_mount"]
    assert root.codes(exec_rules=(("/lib64", False),), unit="x.service") == ["noexec_mount"]


def test_a_library_that_the_unit_hides(root):
    root.lib("/home/me/libx.so")
    root.app("libx.so", runpath="/home/me")
    hidden = (("/home", "ProtectHome=yes"),)
    (problem,) = root.check(hidden=hidden, unit="x.service")["problems"]
    assert problem["code"] == "library_missing"
    assert problem["fix"].startswith(
        "set ProtectHome=tmpfs in x.service and BindReadOnlyPaths=/home/me/libx.so, or move"
    )
    (problem,) = root.check(hidden=(("/home", "ProtectHome=tmpfs"),), unit="x.service")["problems"]
    assert problem["fix"] == "expose /home/me/libx.so with BindReadOnlyPaths=: ProtectHome=tmpfs of x.service hides it"
    root.lib("/lib/x86_64-linux-gnu/libx.so")
    assert root.codes(hidden=hidden, unit="x.service") == []
    assert root.codes(hidden=(("/lib64", "InaccessiblePaths="),), unit="x.service") == ["interpreter_missing"]


def test_a_library_behind_a_symlink_into_what_the_unit_hides(root):
    root.lib("/home/me/libx.so")
    root.lib("/opt/real/libx.so")
    (root.path / "opt/deps").mkdir(parents=True)
    (root.path / "opt/deps/libx.so").symlink_to("/home/me/libx.so")
    root.app("libx.so", runpath="/opt/deps")
    hidden = (("/home", "ProtectHome=yes"),)
    (problem,) = root.check(hidden=hidden, unit="x.service")["problems"]
    assert problem["code"] == "library_missing"
    assert "BindReadOnlyPaths=/home/me/libx.so" in problem["fix"]
    assert "ProtectHome=yes hides it" in problem["fix"]
    assert root.codes() == []
    # Through the hidden place and out again is as hidden.
    (root.path / "home/me/libx.so").unlink()
    (root.path / "home/me/libx.so").symlink_to("/opt/real/libx.so")
    assert root.codes(hidden=hidden, unit="x.service") == ["library_missing"]
    (root.path / "opt/deps/libx.so").unlink()
    (root.path / "opt/deps/libx.so").symlink_to("../real/libx.so")
    assert root.codes(hidden=hidden, unit="x.service") == []


def test_a_path_of_the_host_below_the_root_directory(root):
    static(root)
    path = str(root.path / "app")
    assert root.check(path)["runnable"]
    assert root.check(path)["path"] == path


def test_bind_mounts(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    ElfBuilder(type=EXEC).write(outside / "app")
    (root.path / "srv").mkdir()
    assert root.codes("/srv/app") == ["not_found"]
    assert root.codes("/srv/app", binds={"/srv": str(outside)}) == []


# Facts about the host


def test_cpuinfo_of_unequal_processors():
    text = "vendor_id\t: GenuineIntel\nflags\t\t: a b c\n\nvendor_id\t: GenuineIntel\nflags\t\t: b c d\n"
    found = parse_cpuinfo(text)
    assert (found.vendor, found.features) == ("GenuineIntel", {"b", "c"})
    assert parse_cpuinfo("").x86_level == 0
    assert parse_cpuinfo("Features\t: fp asimd atomics\n").features == {"fp", "asimd", "atomics"}
    assert [cpu(level).x86_level for level in range(5)] == [0, 1, 2, 3, 4]


def test_read_host():
    here = _host.read_host()
    assert here.machine == os.uname().machine
    assert here.starts(here.goarch)
    assert not here.starts(None)
    assert _host.kernel_version("6.1.0-30-amd64") == (6, 1, 0)
    assert _host.kernel_version("5") == (5, 0, 0)


# The profile of a host, judged elsewhere


def profile(**changes) -> HostProfile:
    provides = {"libc.so.6": ("libc.so.6", "GLIBC_2.34", "GLIBC_2.36")}
    plain = HostProfile(
        "x86_64", "amd64", "6.1.0", 4096, "AuthenticAMD", tuple(sorted(cpu(2).features)), ("386",),
        (Libc("glibc", "amd64", GLIBC, provides),),
    )  # fmt: skip
    return plain._replace(**changes)


def judge(tmp_path, host_profile, info=None, packed=False, **spec):
    binary = read_binary(str(ElfBuilder(**spec).write(tmp_path / "app")))._replace(info=info, packed=packed)
    return [problem.code for problem in judge_artifact(binary, host_profile)]


def test_judge_artifact(tmp_path):
    dynamic = {"interpreter": GLIBC, "needed": ["libc.so.6", "libother.so"]}
    assert judge(tmp_path, profile(), **dynamic, verneed={"libc.so.6": ["GLIBC_2.34"]}) == []
    assert judge(tmp_path, profile(), **dynamic, verneed={"libc.so.6": ["GLIBC_2.38"]}) == ["version_missing"]
    assert judge(tmp_path, profile(), **dynamic, verneed={"libc.so.6": [("GLIBC_2.38", True)]}) == []
    assert judge(tmp_path, profile(), **dynamic, verneed={"libother.so": ["X_1"]}) == []
    assert judge(tmp_path, profile(), interpreter=MUSL, needed=["libc.so"]) == ["interpreter_missing"]
    assert judge(tmp_path, profile(), interpreter="/opt/own/ld.so", needed=["libc.so.6"]) == []
    assert judge(tmp_path, profile(), type=EXEC, machine=183) == ["wrong_machine"]
    assert judge(tmp_path, profile(), type=EXEC, bits=32, machine=3) == []
    assert judge(tmp_path, profile(also=()), type=EXEC, bits=32, machine=3) == ["wrong_machine"]
    assert judge(tmp_path, profile(), type=EXEC, osabi=9) == ["wrong_os"]
    info = BuildInfo("go1.24", settings=(("GOAMD64", "v3"),))
    assert judge(tmp_path, profile(kernel="3.0"), info, type=EXEC) == ["kernel_too_old", "cpu_level"]


def test_a_packed_artefact_is_refused_without_being_on_the_host(tmp_path):
    assert judge(tmp_path, profile(), packed=True, type=EXEC) == ["packed"]
    assert judge(tmp_path, profile(), packed=True, type=EXEC, machine=183) == ["wrong_machine"]


def test_a_profile_survives_json():
    assert HostProfile.from_dict(json.loads(json.dumps(profile().as_dict()))) == profile()
    here = collect_host_profile()
    assert HostProfile.from_dict(json.loads(json.dumps(here.as_dict()))) == here
    assert here.machine == os.uname().machine
    assert len(json.dumps(here.as_dict())) < 20000


def test_collect_a_profile_of_another_root(root, monkeypatch):
    monkeypatch.setattr(
        "ansible_collections.slipway.go.plugins.module_utils._linkage.host_profile.read_host", lambda: HOST
    )
    here = collect_host_profile(_linkage_view(root))
    (libc,) = here.libcs
    assert (libc.kind, libc.goarch, libc.interpreter) == ("glibc", "amd64", GLIBC)
    assert "GLIBC_2.36" in libc.provides["libc.so.6"]


def _linkage_view(root):
    from ansible_collections.slipway.go.plugins.module_utils._core.root_view import View

    return View(str(root.path))

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import struct

import pytest
from ansible_collections.slipway.go.plugins.module_utils._host.cpu import Cpu
from ansible_collections.slipway.go.plugins.module_utils._linkage import glibc
from ansible_collections.slipway.go.plugins.module_utils._units.credentials import Credentials
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, REL, Symbol
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.fake_root import (
    GLIBC,
    GLIBC_CONSTANTS,
    LIBC_VERSIONS,
    cpu,
    glibc_root,
    host,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.test_ldcache import X86, build

NODEFLIB, PIE = 0x800, 0x08000000
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"


@pytest.fixture
def root(tmp_path):
    return glibc_root(tmp_path)


def test_the_loader_is_listed_once_somebody_needs_it(root):
    root.app("libc.so.6")
    verdict = root.check()
    assert verdict == {
        "path": "/app",
        "runnable": True,
        "class": "dynamic",
        "interpreter": GLIBC,
        "libraries": [{"name": "libc.so.6", "path": LIBC}, {"name": "ld-linux-x86-64.so.2", "path": GLIBC}],
        "problems": [],
    }


def test_breadth_first(root):
    root.lib("/usr/lib/liba.so", needed=["libc1.so"])
    root.lib("/usr/lib/libb.so", needed=["liba.so"])
    root.lib("/usr/lib/libc1.so")
    root.app("liba.so", "libb.so")
    assert list(root.found()) == ["liba.so", "libb.so", "libc1.so"]


def test_missing_once_however_often_needed(root):
    root.lib("/usr/lib/liba.so", needed=["libgone.so"])
    root.app("liba.so", "libgone.so")
    verdict = root.check()
    assert [problem["code"] for problem in verdict["problems"]] == ["library_missing"]
    assert verdict["problems"][0]["message"] == (
        "/app: error while loading shared libraries: libgone.so: cannot open shared object file: "
        "No such file or directory"
    )
    assert root.found() == {"liba.so": "/usr/lib/liba.so", "libgone.so": None}


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["/rpath", "/env", "/cache", "/lib"], "/rpath"),
        (["/env", "/cache", "/lib"], "/env"),
        (["/cache", "/lib"], "/cache"),
        (["/lib", "/usr/lib"], "/lib"),
    ],
)
def test_order(root, order, expected):
    for directory in order:
        root.lib(f"{directory}/libx.so")
    if "/cache" in order:
        (root.path / "etc").mkdir()
        (root.path / "etc/ld.so.cache").write_bytes(build([("libx.so", "/cache/libx.so", X86, 0)]))
    root.app("libx.so", rpath="/rpath")
    assert root.found(environment={"LD_LIBRARY_PATH": "/env"}) == {"libx.so": f"{expected}/libx.so"}


def test_runpath_comes_after_the_environment_and_hides_rpath(root):
    for directory in ("/rpath", "/env", "/runpath"):
        root.lib(f"{directory}/libx.so")
    root.app("libx.so", rpath="/rpath", runpath="/runpath")
    assert root.found(environment={"LD_LIBRARY_PATH": "/env"}) == {"libx.so": "/env/libx.so"}
    assert root.found() == {"libx.so": "/runpath/libx.so"}


def test_rpath_of_all_who_needed_it_runpath_of_none(root):
    root.lib("/p/liba.so", needed=["libb.so"])
    root.lib("/p/libb.so", needed=["libc1.so"])
    root.lib("/q/libc1.so")
    root.app("liba.so", rpath="/p:/q")
    assert root.codes() == []
    root.app("liba.so", runpath="/p:/q")
    assert root.codes() == ["library_missing"]
    assert "RUNPATH of /app" in root.check()["problems"][0]["fix"]
    root.lib("/p/liba.so", needed=["libb.so"], runpath="/p")
    root.lib("/p/libb.so", needed=["libc1.so"], runpath="/q")
    assert root.codes() == []


def test_a_stale_cache_is_passed_over(root):
    (root.path / "etc").mkdir()
    (root.path / "etc/ld.so.cache").write_bytes(build([("libx.so", "/gone/libx.so", X86, 0)]))
    root.lib("/usr/lib/libx.so")
    root.app("libx.so")
    assert root.found() == {"libx.so": "/usr/lib/libx.so"}


def test_no_default_directories(root):
    (root.path / "etc").mkdir()
    cache = [("libx.so", "/usr/lib/libx.so", X86, 0), ("liby.so", "/opt/liby.so", X86, 0)]
    (root.path / "etc/ld.so.cache").write_bytes(build(cache))
    root.lib("/usr/lib/libx.so")
    root.lib("/opt/liby.so")
    root.app("libx.so", "liby.so", flags_1=NODEFLIB)
    assert root.found() == {"libx.so": None, "liby.so": "/opt/liby.so"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$ORIGIN/lib", "/opt/lib/libx.so"),
        ("${ORIGIN}/../opt/lib", "/opt/../opt/lib/libx.so"),
        ("/$LIB", "/lib/x86_64-linux-gnu/libx.so"),
        ("/plat/$PLATFORM", "/plat/x86_64/libx.so"),
        ("$ORIGINAL:$ORIGIN/lib", "/opt/lib/libx.so"),
        ("/opt/lib///", "/opt/lib/libx.so"),
        ("/none:$ORIGIN/lib:$ORIGIN/lib", "/opt/lib/libx.so"),
    ],
)
def test_tokens(root, text, expected):
    for directory in ("/opt/lib", "/lib/x86_64-linux-gnu", "/plat/x86_64"):
        root.lib(f"{directory}/libx.so")
    root.elf("/opt/app", interpreter=GLIBC, needed=["libx.so"], runpath=text)
    assert root.found("/opt/app") == {"libx.so": expected}


def test_an_empty_element_is_the_working_directory(root):
    root.lib("/work/libx.so")
    root.app("libx.so", runpath="/none:")
    assert root.found(cwd="/work") == {"libx.so": "libx.so"}
    assert root.codes() == ["library_missing"]


def test_hwcaps_of_this_processor(root):
    for level in (2, 3, 4):
        root.lib(f"/p/glibc-hwcaps/x86-64-v{level}/libx.so")
    root.lib("/p/libx.so")
    root.app("libx.so", runpath="/p")
    assert root.found(host=host(cpu=cpu(3))) == {"libx.so": "/p/glibc-hwcaps/x86-64-v3/libx.so"}
    assert root.found(host=host(cpu=cpu(4))) == {"libx.so": "/p/glibc-hwcaps/x86-64-v4/libx.so"}
    assert root.found(host=host(cpu=cpu(1))) == {"libx.so": "/p/libx.so"}


def test_legacy_directories_only_before_2_37(root):
    root.lib("/p/tls/haswell/libx.so")
    root.lib("/p/libx.so")
    root.app("libx.so", runpath="/p")
    intel = host(cpu=cpu(3, "GenuineIntel"))
    assert root.found(host=intel) == {"libx.so": "/p/libx.so"}
    root.glibc(constants=GLIBC_CONSTANTS + b"i686\0\0\0\0\0haswell\0\0xeon_phi\0")
    assert root.found(host=intel) == {"libx.so": "/p/tls/haswell/libx.so"}
    assert root.found() == {"libx.so": "/p/libx.so"}
    assert glibc.legacy_subdirectories(["x86_64", "haswell", "tls"]) == [
        "tls/haswell/x86_64/", "tls/haswell/", "tls/x86_64/", "tls/", "haswell/x86_64/", "haswell/", "x86_64/",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        ({"bits": 32, "machine": 3}, "library_invalid", "wrong ELF class: ELFCLASS32"),
        ({"machine": 183}, "library_missing", "cannot open shared object file"),
        ({"endian": "big"}, "library_missing", "cannot open shared object file"),
        ({"type": REL}, "library_invalid", "/p/libx.so: only ET_DYN and ET_EXEC can be loaded"),
        ({"type": EXEC}, "library_invalid", ": libx.so: cannot dynamically load executable"),
        ({"osabi": 9}, "library_invalid", "/p/libx.so: ELF file OS ABI invalid"),
        ({"flags_1": PIE}, "library_invalid", "cannot dynamically load position-independent executable"),
        ({"soname": None}, "library_invalid", "object file has no dynamic section"),
    ],
)
def test_libraries_that_are_none(root, spec, code, words):
    root.lib("/p/libx.so", **spec)
    root.app("libx.so", runpath="/p")
    problem = root.check()["problems"][0]
    assert problem["code"] == code
    assert words in problem["message"]
    root.lib("/q/libx.so")
    root.app("libx.so", runpath="/p:/q")
    passed_over = code == "library_missing" or "class" in words
    assert root.found()["libx.so"] == ("/q/libx.so" if passed_over else None)


def test_a_directory_with_the_name_of_a_library(root):
    (root.path / "p/libx.so").mkdir(parents=True)
    root.app("libx.so", runpath="/p")
    assert root.check()["problems"][0]["message"].endswith("/p/libx.so: cannot read file data: Error 21")


def test_loaded_is_loaded_by_name_soname_path_and_inode(root):
    root.lib("/p/libx.so.1")
    os.link(root.path / "p/libx.so.1", root.path / "p/libx.so")
    root.lib("/p/other.so", soname="libreal.so")
    root.app("/p/libx.so.1", "libx.so.1", "libx.so", "/p/other.so", "libreal.so", "linux-vdso.so.1", rpath="/p")
    assert root.codes() == []
    assert list(root.found()) == ["/p/libx.so.1", "/p/other.so"]


def test_versions_of_the_library_found(root):
    wanted = {"libc.so.6": ["GLIBC_2.34", "GLIBC_2.38", ("GLIBC_2.99", True), "GLIBC_ABI_DT_RELR"]}
    root.app("libc.so.6", verneed=wanted)
    problems = root.check()["problems"]
    assert [problem["code"] for problem in problems] == ["version_missing"] * 2
    assert problems[0]["message"] == f"/app: {LIBC}: version `GLIBC_2.38' not found (required by /app)"
    assert problems[0]["fix"].endswith("it needs GLIBC_2.38, and the libc here provides up to GLIBC_2.36")
    assert "GLIBC_ABI_DT_RELR" in problems[1]["message"]


def test_numbers_are_not_compared(root):
    root.lib("/lib/x86_64-linux-gnu/libc.so.6", verdef=["libc.so.6", "GLIBC_2.34", "GLIBC_2.35"])
    root.app("libc.so.6", verneed={"libc.so.6": ["GLIBC_2.35"]})
    assert root.codes() == []
    root.lib("/lib/x86_64-linux-gnu/libc.so.6", verdef=["libc.so.6", "GLIBC_2.40"])
    assert root.codes() == ["version_missing"]


def test_a_library_without_versions_is_taken(root):
    root.lib("/usr/lib/libx.so", symbols=[Symbol("f")])
    root.app("libx.so", verneed={"libx.so": ["X_1"]})
    assert root.codes() == []


def test_versions_wanted_of_what_nothing_loads(root):
    root.app("libc.so.6", verneed={"libnot.so.1": ["X_1"]})
    assert root.codes() == ["library_invalid"]


def test_symbols_bound_at_start(root):
    root.lib("/usr/lib/libx.so", symbols=[Symbol("here"), Symbol("weak", weak=True)])
    wanted = [Symbol(name, defined=False) for name in ("here", "weak", "gone")] + [Symbol("shrug", False, True)]
    root.app("libx.so", symbols=wanted)
    assert root.codes() == []  # bound when it is called
    root.app("libx.so", symbols=wanted, fixed=["gone"])
    assert root.codes() == ["symbol_missing"]
    root.app("libx.so", symbols=wanted, bind_now=True)
    assert root.check()["problems"][0]["message"] == "/app: symbol lookup error: /app: undefined symbol: gone"
    root.app("libx.so", symbols=wanted)
    assert root.codes(environment={"LD_BIND_NOW": "1"}) == ["symbol_missing"]


def test_copied_data_must_be_in_a_library(root):
    root.lib("/usr/lib/libx.so", symbols=[Symbol("here")])
    root.app("libx.so", symbols=[Symbol("here"), Symbol("gone")], copies=["here", "gone"])
    assert root.check()["problems"][0]["message"].endswith("undefined symbol: gone")


def test_preload(root):
    root.lib("/usr/lib/libpre.so", needed=["libgone.so"])
    root.app("libc.so.6")
    assert root.codes(environment={"LD_PRELOAD": "/none.so libnone.so"}) == []
    assert root.codes(environment={"LD_PRELOAD": "libpre.so"}) == ["library_missing"]
    (root.path / "etc").mkdir()
    (root.path / "etc/ld.so.preload").write_text("# a comment\n/usr/lib/libpre.so\n")
    assert root.codes() == ["library_missing"]


def test_secure_programs(root):
    for directory in ("/opt/lib", "/usr/lib/app"):
        root.lib(f"{directory}/libx.so")
    for where, text, expected in (
        ("/opt/app", "$ORIGIN/lib", None),
        ("/usr/lib/run", "$ORIGIN/app", "/usr/lib/app/libx.so"),  # below a directory the loader trusts
        ("/opt/app", "/opt/lib", "/opt/lib/libx.so"),
        ("/opt/app", "/none/$ORIGIN:/opt/lib", "/opt/lib/libx.so"),
    ):
        root.elf(where, interpreter=GLIBC, needed=["libx.so"], runpath=text)
        (root.path / where[1:]).chmod(0o4755)
        assert root.found(where) == {"libx.so": expected}, text
    assert root.found("/opt/app", environment={"LD_LIBRARY_PATH": "/none"})["libx.so"] == "/opt/lib/libx.so"
    root.elf("/opt/app", interpreter=GLIBC, needed=["libx.so"])
    (root.path / "opt/app").chmod(0o4755)
    assert root.found("/opt/app", environment={"LD_LIBRARY_PATH": "/opt/lib"}) == {"libx.so": None}
    nobody = Credentials(root.path.stat().st_uid, frozenset(), False)
    assert root.found("/opt/app", environment={"LD_LIBRARY_PATH": "/opt/lib"}, unit="x.service", who=nobody) == {
        "libx.so": "/opt/lib/libx.so"
    }


def test_traits_of_other_distributions():
    fedora = glibc.read_traits(b"\0/lib64/\0/usr/lib64/\0lib64\0/etc/ld.so.cache\0GLIBC_ABI_DT_RELR\0", 64)
    assert fedora == glibc.Traits(("/lib64/", "/usr/lib64/"), "lib64", "/etc/ld.so.cache", (), False, True)
    nix = glibc.read_traits(b"\0/nix/store/x-glibc/lib/\0\0lib\0/nix/store/x-glibc/etc/ld.so.cache\0", 64)
    assert nix.system == ("/nix/store/x-glibc/lib/",)
    assert nix.cache == "/nix/store/x-glibc/etc/ld.so.cache"
    assert glibc.read_traits(b"", 64).system == ("/lib64/", "/usr/lib64/")
    assert glibc.read_traits(b"", 32).system == ("/lib/", "/usr/lib/")


def test_processor_levels_in_notes(root):
    note = [("GNU", 5, struct.pack("<IIII", 0xC0008002, 4, 0b100, 0))]
    root.app("libc.so.6", notes=note)
    problem = root.check(host=host(cpu=cpu(2)))["problems"][0]
    assert (problem["code"], problem["message"]) == ("cpu_level", "/app: CPU ISA level is lower than required")
    assert problem["fix"] == "rebuild it for x86-64-v2, which this processor is: it needs x86-64-v3"
    assert root.codes(host=host(cpu=cpu(3))) == []
    assert root.codes(host=host(cpu=Cpu())) == []  # /proc is not mounted: nothing is known


def banner(release, name="ld.so (Debian GLIBC)"):
    return GLIBC_CONSTANTS + f"\0{name} stable release version {release}.\n\0".encode()


@pytest.mark.parametrize("way", ["runpath", "environment"])
@pytest.mark.parametrize(
    ("loader", "bundled", "codes"),
    [
        (banner("2.36"), banner("2.36", "GNU C Library (Debian GLIBC 2.36-9+deb12u13)"), []),
        (banner("2.36"), banner("2.41", "GNU C Library (Debian GLIBC 2.41-12)"), ["library_invalid"]),
        (banner("2.41"), banner("2.36", "GNU C Library (Debian GLIBC 2.36-9)"), ["library_invalid"]),
        (GLIBC_CONSTANTS, banner("2.36", "GNU C Library"), ["library_invalid"]),
        (banner("2.36"), b"", ["library_invalid"]),
        (GLIBC_CONSTANTS, b"", ["library_invalid"]),
    ],
    ids=["the same", "newer", "older", "an unknown loader", "an unknown libc", "both unknown"],
)
def test_a_bundled_libc_is_of_the_loader_s_glibc(root, way, loader, bundled, codes):
    root.glibc(constants=loader)
    spec = {"verdef": ["libc.so.6", "GLIBC_2.2.5"], "needed": ["ld-linux-x86-64.so.2"]}
    root.lib("/opt/lib/libc.so.6", constants=bundled, **spec)
    root.app("libc.so.6", **({"runpath": "/opt/lib"} if way == "runpath" else {}))
    verdict = root.check(environment={"LD_LIBRARY_PATH": "/opt/lib"} if way == "environment" else {})
    assert [problem["code"] for problem in verdict["problems"]] == codes
    assert verdict["libraries"][0]["path"] == "/opt/lib/libc.so.6"
    if codes:
        assert "/opt/lib/libc.so.6 is of glibc" in verdict["problems"][0]["message"]


def test_a_libc_beside_a_bundled_loader_is_its_own(root):
    root.glibc(constants=banner("2.36"))
    root.elf("/opt/lib/ld.so", soname="ld-linux-x86-64.so.2", constants=GLIBC_CONSTANTS,
             verdef=["ld-linux-x86-64.so.2", "GLIBC_2.2.5", "GLIBC_PRIVATE"])  # fmt: skip
    root.lib("/opt/lib/libc.so.6", verdef=["libc.so.6", "GLIBC_2.2.5"])
    root.app("libc.so.6", interpreter="/opt/lib/ld.so", runpath="/opt/lib")
    assert root.codes() == []


def test_a_part_of_glibc_finds_the_insides_of_the_others_also_when_bound_lazily(root):
    private = {"libc.so.6": ["GLIBC_PRIVATE"]}
    root.lib(
        "/opt/lib/libpthread.so.0",
        needed=["libc.so.6"],
        verneed=private,
        symbols=[Symbol("__libc_pthread_init", defined=False)],
    )
    root.app("libpthread.so.0", "libc.so.6", runpath="/opt/lib")
    assert root.codes() == ["symbol_missing"]


def test_the_alignment_that_loaders_before_2_35_ask_for(root):
    root.lib("/p/libx.so")
    root.app("libx.so", rpath="/p")
    assert root.codes() == []
    root.glibc(constants=GLIBC_CONSTANTS + b"ELF load command alignment not page-aligned\0")
    assert "ELF load command alignment not page-aligned" in root.check()["problems"][0]["message"]


def test_the_version_that_the_libc_has_and_not_its_neighbour(root):
    root.lib("/lib/x86_64-linux-gnu/libm.so.6", verdef=["libm.so.6", "GLIBC_2.29"])
    root.app("libm.so.6", "libc.so.6", verneed={"libm.so.6": ["GLIBC_2.38"]})
    (problem,) = root.check()["problems"]
    assert problem["fix"].endswith("it needs GLIBC_2.38, and the libc here provides up to GLIBC_2.36")
    assert "CGO_ENABLED" not in problem["fix"]
    banner = b"GNU C Library (Debian GLIBC 2.41-1) stable release version 2.41.\0"
    root.glibc(constants=GLIBC_CONSTANTS + banner)
    root.lib("/lib/x86_64-linux-gnu/libc.so.6", verdef=LIBC_VERSIONS, constants=banner)
    (problem,) = root.check()["problems"]
    assert problem["fix"].endswith("and the libc here, glibc 2.41, provides up to GLIBC_2.36")

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.root_view import View
from ansible_collections.slipway.go.plugins.module_utils._linkage.advice import Advice
from ansible_collections.slipway.go.plugins.module_utils._linkage.debian import debian_names, read_packages
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.fake_root import MUSL, glibc_root, musl_root

STATUS = "Package: adduser\nArchitecture: all\n\nPackage: dpkg\nStatus: x\nArchitecture: amd64\n"
LISTS = "var/lib/apt/lists"


@pytest.fixture
def debian(tmp_path):
    made = glibc_root(tmp_path)
    (tmp_path / "var/lib/dpkg/info").mkdir(parents=True)
    (tmp_path / LISTS).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    return made


def fix(root, goarch="amd64", bits=64, go=False, name="libselinux.so.1", musl=False) -> str:
    return Advice(View(str(root.path)), goarch, bits, go, musl).library(name)


@pytest.mark.parametrize(
    ("soname", "names"),
    [
        ("libssl.so.3", ["libssl3", "libssl3t64"]),
        ("libpcre2-8.so.0", ["libpcre2-8-0", "libpcre2-8-0t64"]),
        ("libFoo_x.so", ["libfoo-x", "libfoo-xt64"]),
        ("libm.so.6", ["libc6"]),
        ("ld-linux.so.2", ["libc6"]),
    ],
)
def test_the_name_by_the_rule(soname, names):
    assert debian_names(soname) == names


def test_no_name_is_invented(debian):
    assert fix(debian) == (
        "install the Debian package that has libselinux.so.1"
        " (apt install apt-file, apt-file update, then apt-file search libselinux.so.1)"
    )


def test_the_list_of_an_installed_package_for_another_architecture(debian):
    info = debian.path / "var/lib/dpkg/info"
    (info / "libselinux1:amd64.list").write_text("/.\n/lib/x86_64-linux-gnu/libselinux.so.1\n")
    (info / "other:amd64.list").write_text("/usr/lib/x86_64-linux-gnu/other/libpriv.so.1\n")
    assert fix(debian, "386", 32) == (
        "install libselinux.so.1: apt install libselinux1:i386 after dpkg --add-architecture i386"
    )
    (debian.path / "var/lib/dpkg/arch").write_text("amd64\ni386\n")
    assert fix(debian, "386", 32) == "install libselinux.so.1: apt install libselinux1:i386"
    assert fix(debian) == "install libselinux.so.1: apt install libselinux1"
    assert "apt-file search" in fix(debian, name="libpriv.so.1")


@pytest.mark.parametrize("packed", [False, True])
def test_what_apt_file_reads(debian, packed):
    text = b"usr/lib/python3/libodd.so.4 python/none\nusr/lib/x86_64-linux-gnu/libodd.so.4.1 libs/no\n"
    text += b"usr/lib/x86_64-linux-gnu/libodd.so.4    libs/strange-name4,oldlibs/other\n"
    path = debian.path / LISTS / f"deb.debian.org_dists_x_main_Contents-amd64{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(text) if packed else text)
    assert fix(debian, name="libodd.so.4") == "install libodd.so.4: apt install strange-name4"


def test_a_name_by_the_rule_counts_if_there_is_such_a_package(debian):
    path = debian.path / LISTS / "deb.debian.org_dists_x_main_binary-amd64_Packages"
    path.write_text("Package: libfoo1t64\nVersion: 1\n\nPackage: libfoo10\n")
    assert fix(debian, name="libfoo.so.1") == "install libfoo.so.1: apt install libfoo1t64"
    assert "apt-file search" in fix(debian, name="libfoo.so.2")


def test_go_advice_for_go_programs(debian):
    assert fix(debian, go=True).endswith(", or rebuild with CGO_ENABLED=0")
    assert "CGO" not in fix(debian)


def test_musl_has_libraries_of_its_own(debian, tmp_path):
    assert fix(debian, musl=True).startswith("build libselinux.so.1 with musl-gcc")
    alpine = musl_root(tmp_path / "alpine")
    (alpine.path / "sbin").mkdir()
    (alpine.path / "sbin/apk").write_text("")
    assert fix(alpine, musl=True) == "install libselinux.so.1: apk add so:libselinux.so.1"
    alpine.app("libx.so.1", interpreter=MUSL)
    assert alpine.check()["problems"][0]["fix"] == "install libx.so.1: apk add so:libx.so.1"


def test_a_library_that_is_there_and_not_used(debian):
    debian.lib("/usr/local/lib/libselinux.so.1", machine=183)
    assert "ldconfig" not in fix(debian)
    debian.lib("/usr/local/lib/libselinux.so.1")
    assert fix(debian).startswith("list /usr/local/lib in /etc/ld.so.conf.d, then run ldconfig")


def test_the_c_library_of_another_architecture(debian):
    (debian.path / "var/lib/dpkg/info/libc6:amd64.list").write_text("/lib/x86_64-linux-gnu/libc.so.6\n")
    debian.app("libc.so.6", interpreter="/lib/ld-linux.so.2", bits=32, machine=3)
    assert debian.check()["problems"][0]["fix"] == (
        "install the 32-bit C library: apt install libc6:i386 after dpkg --add-architecture i386"
    )


def test_a_host_without_dpkg(tmp_path):
    assert read_packages(View(str(tmp_path))) is None

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import Symbol
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.fake_root import (
    MUSL,
    MUSL_CONSTANTS,
    musl_root,
)


@pytest.fixture
def alpine(tmp_path):
    return musl_root(tmp_path)


def app(root, *needed, **spec):
    return root.app(*needed, **{"interpreter": MUSL, **spec})


def test_its_own_names(alpine):
    app(alpine, "libc.so", "libpthread.so.0", "libm.so.6", "libc.musl-x86_64.so.1")
    assert alpine.codes() == []
    assert alpine.found() == {"libc.so": MUSL}


def test_default_path_and_the_file_that_replaces_it(alpine):
    alpine.lib("/usr/local/lib/liba.so")
    alpine.lib("/opt/lib/libb.so")
    app(alpine, "liba.so", "libb.so")
    assert alpine.found() == {"liba.so": "/usr/local/lib/liba.so", "libb.so": None}
    (alpine.path / "etc").mkdir()
    (alpine.path / "etc/ld-musl-x86_64.path").write_text("/nowhere\n/opt/lib\n")
    assert alpine.found() == {"liba.so": None, "libb.so": "/opt/lib/libb.so"}


def test_both_run_paths_are_handed_down(alpine):
    alpine.lib("/p/liba.so", needed=["libb.so"])
    alpine.lib("/q/libb.so")
    app(alpine, "liba.so", runpath="/p:/q")
    assert alpine.codes() == []
    app(alpine, "liba.so", rpath="/p:/q")
    assert alpine.codes() == []
    app(alpine, "liba.so", rpath="/p:/q", runpath="/none")
    assert alpine.codes() == ["library_missing"]


def test_the_environment_first(alpine):
    for directory in ("/env", "/p"):
        alpine.lib(f"{directory}/liba.so")
    app(alpine, "liba.so", runpath="/p")
    assert alpine.found(environment={"LD_LIBRARY_PATH": "/env"}) == {"liba.so": "/env/liba.so"}


def test_the_first_file_is_taken_whatever_it_is(alpine):
    (alpine.path / "env").mkdir()
    (alpine.path / "env/liba.so").write_text("not a library")
    alpine.lib("/lib/liba.so")
    app(alpine, "liba.so")
    problem = alpine.check(environment={"LD_LIBRARY_PATH": "/env"})["problems"][0]
    assert problem["code"] == "library_invalid"
    assert problem["message"] == "Error loading shared library liba.so: Exec format error (needed by /app)"


def test_origin_but_no_other_token(alpine):
    alpine.lib("/opt/lib/liba.so")
    alpine.elf("/opt/app", interpreter=MUSL, needed=["liba.so"], runpath="$ORIGIN/lib")
    assert alpine.codes("/opt/app") == []
    (alpine.path / "opt/app").chmod(0o4755)
    assert alpine.codes("/opt/app") == ["library_missing"]
    alpine.elf("/opt/app", interpreter=MUSL, needed=["liba.so"], runpath="$ORIGIN/lib:/$LIB")
    assert alpine.codes("/opt/app") == ["library_missing"]


def test_versions_do_not_count_symbols_do(alpine):
    alpine.musl(symbols=[Symbol("puts")])
    app(alpine, "libc.so", verneed={"libc.so": ["GLIBC_2.99"]}, symbols=[Symbol("puts", False)])
    assert alpine.codes() == []
    app(alpine, "libc.so", symbols=[Symbol("puts", False), Symbol("__printf_chk", False), Symbol("z", False)])
    problem = alpine.check()["problems"][0]
    assert problem["code"] == "symbol_missing"
    assert problem["message"] == "Error relocating /app: __printf_chk: symbol not found"
    assert "and 1 more" in problem["fix"]


def test_a_loader_in_another_prefix(alpine):
    alpine.elf("/opt/musl/lib/ld-musl-x86_64.so.1", constants=MUSL_CONSTANTS, dynamic=True)
    (alpine.path / "opt/musl/etc").mkdir()
    (alpine.path / "opt/musl/etc/ld-musl-x86_64.path").write_text("/opt/musl/lib")
    alpine.lib("/opt/musl/lib/liba.so")
    alpine.app("liba.so", interpreter="/opt/musl/lib/ld-musl-x86_64.so.1")
    assert alpine.found() == {"liba.so": "/opt/musl/lib/liba.so"}

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a host tells itself from others."""

from __future__ import annotations

import os
import platform

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import files
from ansible_collections.slipway.go.plugins.module_utils._host import fingerprint
from ansible_collections.slipway.go.plugins.module_utils._host.fingerprint import read_fingerprint

DEBIAN = 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'


def without(_name):
    raise ValueError("unrecognized configuration name")


def test_a_host_by_its_own_words(monkeypatch):
    monkeypatch.setattr(files, "text", {"/etc/os-release": DEBIAN}.get)
    monkeypatch.setattr(os, "confstr", {"CS_GNU_LIBC_VERSION": "glibc 2.36"}.get)
    found = read_fingerprint()
    assert (found.os, found.libc) == ("Debian GNU/Linux 12 (bookworm)", "glibc 2.36")
    assert (found.kernel, found.architecture) == (platform.release(), platform.machine())


@pytest.mark.parametrize("confstr", [without, lambda _name: None])
@pytest.mark.parametrize(("loader", "libc"), [("ld-musl-x86_64.so.1", "musl"), ("ld-linux.so.2", "")])
def test_a_host_without_glibc(tmp_path, monkeypatch, confstr, loader, libc):
    (tmp_path / loader).touch()
    monkeypatch.setattr(os, "confstr", confstr)
    monkeypatch.setattr(fingerprint, "LOADERS_OF_MUSL", f"{tmp_path}/ld-musl-*.so.1")
    assert read_fingerprint().libc == libc


def test_a_host_without_a_name_is_called_by_its_system(monkeypatch):
    monkeypatch.setattr(files, "text", lambda _path: "")
    assert read_fingerprint().os == platform.system()

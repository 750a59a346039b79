# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.root_view import View


@pytest.fixture
def jail(tmp_path):
    root = tmp_path / "jail"
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/libx.so.1.2").write_text("x")
    (root / "usr/lib/libx.so.1").symlink_to("libx.so.1.2")
    (root / "lib").symlink_to("usr/lib")
    (root / "abs").symlink_to("/usr/lib/libx.so.1")
    (root / "up").symlink_to("../../../../usr/lib")
    (root / "loop").symlink_to("/loop")
    (root / "out").symlink_to("/etc/passwd")
    return root


def test_symlinks_stay_inside(jail):
    view = View(str(jail))
    for path in ("/lib/libx.so.1", "/abs", "/up/libx.so.1", "/../lib/./libx.so.1", "lib//libx.so.1"):
        assert view.resolve(path).path == "/usr/lib/libx.so.1.2"
        assert view.host(path) == str(jail / "usr/lib/libx.so.1.2")
    for path in ("/out", "/etc/passwd", "/absent"):
        with pytest.raises(FileNotFoundError):
            view.host(path)
    with pytest.raises(OSError, match="symbolic links"):
        view.host("/loop")


def test_a_path_of_the_host_is_known_inside(jail):
    view = View(str(jail))
    assert view.inside(str(jail / "lib/x")) == "/lib/x"
    assert view.inside(str(jail)) == "/"
    assert view.inside("/lib/x") == "/lib/x"
    assert view.inside(str(jail) + "er/x") == str(jail) + "er/x"


def test_bind_mounts(jail, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/app").write_text("x")
    view = View(str(jail), {"/opt/app": str(tmp_path / "data")})
    assert view.host("/opt/app/app") == str(tmp_path / "data/app") if (jail / "opt").exists() else True
    (jail / "opt").mkdir()
    assert view.host("/opt/app/app") == str(tmp_path / "data/app")
    assert view.resolve("/opt/app/app").path == "/opt/app/app"


def test_the_host_itself(tmp_path):
    view = View(cwd=str(tmp_path))
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").symlink_to("a")
    assert view.plain
    assert view.resolve("b").path == os.path.realpath(tmp_path / "a")
    assert view.host("b") == str(tmp_path / "b")
    with pytest.raises(FileNotFoundError):
        view.resolve("absent")

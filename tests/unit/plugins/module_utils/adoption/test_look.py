# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The look at a service of somebody's own: what it reads of the host, and what it says of files."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._adoption import look as looks
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._host import processes
from ansible_collections.slipway.go.plugins.module_utils._host.systemd import Systemd, UnitState
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.adoption.units import ACCOUNTS, SIMPLE, Host


class Pid1(Systemd):
    """The service runs, and a timer of its name does not."""

    unit_file_state = "enabled"

    def show(self, unit: str) -> UnitState:
        return UnitState("loaded", "active", "running", os.getpid(), 0, "success", 0)

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        return dict.fromkeys(names, self.unit_file_state if unit.endswith(".service") else "")

    def is_active(self, unit: str) -> bool:
        return False


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(looks, "accounts", lambda: ACCOUNTS)
    monkeypatch.setattr(processes, "service_of", lambda pid: "shop.service" if pid == os.getpid() else None)
    return Host(tmp_path)


def layout(host: Host) -> Layout:
    root = host.etc.parent
    return Layout("shop", str(root / "opt"), str(root / "state"), str(root / "config"), str(host.etc))


def look(host: Host) -> dict[str, Any]:
    return looks.look(layout(host), Pid1(), host.path)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_service_and_where_it_listens(host: Host) -> None:
    program = host.write("program", "#!/bin/sh\n")
    host.write("shop.service", SIMPLE.replace("/usr/local/bin/shop", program))
    before = tree(host.etc.parent)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = look(host)
    assert f"127.0.0.1:{port}" in found["listen"]
    assert (found["state"], found["pid"], found["enabled"]) == ("active (running)", os.getpid(), True)
    assert found["moved"] == [str(host.etc / "shop.service")]
    assert found["kept"] == [str(host.etc / "shop.service"), program]
    assert not found["adoptable"]
    assert any(program in one["message"] for one in found["findings"] if one["blocks"])  # a script is no release
    assert tree(host.etc.parent) == before


def test_drop_ins_of_every_service_stay_and_its_own_files_go(host: Host) -> None:
    host.write("shop.service", SIMPLE)
    host.write("shop.socket", "[Socket]\nListenStream=8080\n")
    own = host.write("shop.service.d/10.conf", "[Service]\nNice=5\n")
    shared = host.write("service.d/10-all.conf", "[Service]\nOOMScoreAdjust=5\n")
    (host.etc.parent / "config" / "shop").mkdir(parents=True)
    environment = host.etc.parent / "config" / "shop" / "environment"
    environment.write_text("A=1\n")
    found = look(host)
    assert shared in found["unit_files"] or own in found["unit_files"]
    assert found["moved"] == [
        str(host.etc / "shop.service"),
        own,
        str(host.etc / "shop.socket"),
        str(environment),
    ]
    assert str(host.etc / "shop@.service") not in found["moved"]


def test_a_link_of_another_tool_is_in_the_way(host: Host) -> None:
    host.write("shop.service", SIMPLE)
    root = host.etc.parent / "opt"
    root.mkdir()
    (root / "current").symlink_to("releases/2024")
    assert str(root / "current") in look(host)["moved"]


@pytest.mark.parametrize(("state", "enabled"), [("enabled-runtime", True), ("static", False), ("disabled", False)])
def test_whether_a_boot_starts_it(host: Host, monkeypatch: pytest.MonkeyPatch, state: str, enabled: bool) -> None:
    monkeypatch.setattr(Pid1, "unit_file_state", state)
    host.write("shop.service", SIMPLE)
    assert look(host)["enabled"] is enabled


def test_a_program_behind_links_is_kept_where_it_is(host: Host) -> None:
    root = host.etc.parent / "srv"
    (root / "v1").mkdir(parents=True)
    (root / "v1" / "shop").write_text("#!/bin/sh\n")
    (root / "now").symlink_to("v1")
    (root / "v1" / "link").symlink_to("shop")
    host.write("shop.service", SIMPLE.replace("/usr/local/bin/shop", str(root / "now" / "link")))
    assert look(host)["kept"][1:] == [str(root / "v1" / "link"), str(root / "v1" / "shop")]


def test_a_service_that_slipway_has(host: Host) -> None:
    host.write("shop.service", "[Service]\nExecStart=/usr/local/sbin/slipway boot shop\n")
    assert look(host) == {"managed": True, "service": "shop", "former_kept": False}


@pytest.mark.parametrize("files", [[], ["shop@.service"]])
def test_no_unit_of_that_name(host: Host, files: list[str]) -> None:
    for name in files:
        host.write(name, SIMPLE)
    with pytest.raises(SlipwayError) as raised:
        look(host)
    assert raised.value.code == "unit_not_found"
    assert ("template" in raised.value.message) is bool(files)

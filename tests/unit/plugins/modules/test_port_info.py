# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who listens on a port."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.slipway.go.plugins.module_utils._hardening import services
from ansible_collections.slipway.go.plugins.modules import port_info
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module


def test_a_port_of_this_process_and_one_of_nobody(capsys):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as closed:
        mine, free = server.getsockname()[1], closed.getsockname()[1]
        closed.close()
        found = run_module(port_info, capsys, listen=[str(mine), f"127.0.0.1:{free}", "/run/x.sock"])
    assert found["changed"] is False
    programs = {entry["port"]: entry["programs"] for entry in found["ports"]}
    assert programs[free] == []
    assert len(programs[mine]) == 1


@pytest.mark.parametrize("listen", ["x", "0", "65536", "1.2.3.4:"])
def test_what_is_no_port(capsys, listen):
    found = run_module(port_info, capsys, listen=[listen])
    assert found["failed"]
    assert found["code"] == "invalid_listen"


def test_for_whom_else_haproxy_listens(capsys, monkeypatch, tmp_path):
    folder = tmp_path / "etc/haproxy/slipway.d"
    folder.mkdir(parents=True)
    for name, binds in {
        "00-slipway": "    bind 0.0.0.0:1\n",
        "shop": "    bind 0.0.0.0:1\n",
        "mailer": "    bind 0.0.0.0:1 ssl crt /x\n    bind :::1 v6only\n    bind 127.0.0.2:2\n",
    }.items():
        (folder / f"{name}.cfg").write_text(f"frontend x\n{binds}")
    monkeypatch.setattr(port_info, "in_haproxy", lambda: services.in_haproxy(str(tmp_path)))
    found = run_module(port_info, capsys, listen=["1", "127.0.0.1:2", "3"], service="shop")
    assert {entry["port"]: entry["services"] for entry in found["ports"]} == {1: ["mailer"], 2: [], 3: []}
    found = run_module(port_info, capsys, listen=["127.0.0.2:2"])
    assert [entry["services"] for entry in found["ports"]] == [["mailer"]]

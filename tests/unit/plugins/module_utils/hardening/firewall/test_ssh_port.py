# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A new port of SSH in the firewall that is in force."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._deadman.managed_files import Guard
from ansible_collections.slipway.go.plugins.module_utils._hardening.connection import Connection
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import ssh_port
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.backend import Backend
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.firewalld import Firewalld
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.ufw import Ufw

HERE = Connection("192.0.2.7", "192.0.2.10", 22, "eth0")
GUARD = Guard("ssh", 60, [["systemctl", "reload", "ssh"]], [["systemctl", "daemon-reload"]], ["/etc/ssh"])
ZONES = "public (default)\n  ports: 22/tcp\ninternal (active)\n  interfaces: eth0\n  ports: 22/tcp 2222/tcp\n"


@pytest.fixture
def in_force(monkeypatch):
    def choose(name: str) -> None:
        for backend in (Ufw, Firewalld):
            monkeypatch.setattr(backend, "is_active", lambda self: self.name == name)

    monkeypatch.setattr(Backend, "is_installed", lambda self: True)
    return choose


def run(argv):
    return 0, ZONES if "--list-all-zones" in argv else "public"


def opened(ports, sources=(), limit=False):
    found = ssh_port.opening(ports, sources, limit, HERE, run)
    return found, [" ".join(argv) for argv in found.commands]


def test_nothing_where_no_firewall_is_in_force(in_force):
    in_force("")
    found, commands = opened([2222])
    assert commands == []
    assert found.guarded(GUARD) == GUARD


def test_ufw_lets_it_in_and_takes_it_away_with_the_change(in_force, monkeypatch):
    in_force("ufw")
    monkeypatch.setattr(Ufw, "missing", lambda self, rules: list(rules))
    found, commands = opened([2222], ["10.0.0.0/8"])
    assert commands == ["ufw allow in from 10.0.0.0/8 to any port 2222 proto tcp comment slipway"]
    guard = found.guarded(GUARD)
    assert guard.paths == ["/etc/ssh", "/etc/ufw", "/etc/default/ufw"]
    assert guard.run == [["systemctl", "reload", "ssh"], ["ufw", "reload"]]


def test_firewalld_lets_it_in_wherever_this_connection_is_judged(in_force):
    in_force("firewalld")
    found, commands = opened([22, 2222])
    assert commands == [
        "firewall-cmd --permanent --zone=public --add-port=2222/tcp",
        "firewall-cmd --zone=public --add-port=2222/tcp",
    ]
    assert "/etc/firewalld" in found.guarded(GUARD).paths
    assert found.guarded(GUARD).run[-1] == ["firewall-cmd", "--complete-reload"]


def test_what_is_let_in_already_changes_nothing(in_force):
    in_force("firewalld")
    found, commands = opened([22])
    assert commands == []
    assert found.guarded(GUARD) == GUARD

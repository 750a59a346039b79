# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a service cannot be taken over, and what will be different."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._adoption.former import Seen
from ansible_collections.slipway.go.plugins.module_utils._adoption.obstacles import Finding, findings
from ansible_collections.slipway.go.plugins.module_utils._core.paths import UNIT_ROOT
from ansible_collections.slipway.go.plugins.module_utils._core.problems import Problem
from ansible_collections.slipway.go.tests.unit import test_messages
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.adoption.units import Host

PLAIN = ("User=shop", "ExecStart=/srv/shop")
HERE = Seen(state="active (running)", pid=1, listen=("8080",))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def found(host: Host, *lines: str, seen: Seen = HERE, blocks: bool = True) -> list[Finding]:
    """Without the place of the unit, which is no folder of systemd's here."""
    all_of_them = findings(host.read(*lines), seen)
    return [one for one in all_of_them if one.blocks is blocks and one.setting != "shop.service"]


def test_nothing_blocks_a_plain_service(host: Host) -> None:
    assert found(host, *PLAIN) == []


@pytest.mark.parametrize(
    ("setting", "lines"),
    [
        ("ExecStart=", ["User=shop"]),
        ("ExecStart=", ["User=shop", "Type=oneshot", "ExecStart=/a", "ExecStart=/b"]),
        ("ExecStart=", ["User=shop", "ExecStart=/bin/sh -c 'exec /srv/shop'"]),
        ("ExecStart=", ["User=shop", "ExecStart=+/srv/shop"]),
        ("Type=forking", [*PLAIN, "Type=forking"]),
        ("Type=forking", [*PLAIN, "Type=forking", "PIDFile=/run/shop.pid"]),
        ("Type=oneshot", [*PLAIN, "Type=oneshot"]),
        ("Type=dbus", [*PLAIN, "Type=dbus", "BusName=org.shop"]),
        ("User=", ["ExecStart=/srv/shop"]),
        ("User=", ["ExecStart=/srv/shop", "User=anna"]),
        ("DynamicUser=", [*PLAIN, "DynamicUser=yes"]),
        ("RootDirectory=", [*PLAIN, "RootDirectory=/srv/root"]),
    ],
)
def test_what_a_unit_says(host: Host, setting: str, lines: list[str]) -> None:
    assert setting in [one.setting for one in found(host, *lines)]


def test_a_pid_file_is_named(host: Host) -> None:
    (one,) = found(host, *PLAIN, "Type=forking", "PIDFile=/run/shop.pid")
    assert "/run/shop.pid" in one.message


@pytest.mark.parametrize("line", ["Accept=yes", "ListenDatagram=514", "ListenFIFO=/run/shop"])
def test_sockets_that_the_role_does_not_have(host: Host, line: str) -> None:
    host.write("shop.socket", f"[Socket]\nListenStream=8080\n{line}\n")
    assert [one.setting for one in found(host, *PLAIN)] == ["shop.socket"]


@pytest.mark.parametrize(
    ("seen", "setting"),
    [
        (Seen(problem="/srv/shop: it is no ELF file"), "ExecStart="),
        (Seen(triggers=("shop.timer",)), "shop.timer"),
        (Seen(others=("/etc/systemd/system/shop@.service",)), "/etc/systemd/system/shop@.service"),
        (
            Seen(owners=(Problem("foreign_owner", "/opt/shop belongs to anna.", "run chown root /opt/shop"),)),
            "service_root",
        ),
    ],
)
def test_what_the_host_says(host: Host, seen: Seen, setting: str) -> None:
    assert [one.setting for one in found(host, *PLAIN, seen=seen)] == [setting]


def test_a_unit_of_a_package(host: Host) -> None:
    (host.lib).mkdir()
    (host.lib / "shop.service").write_text("[Service]\nUser=shop\nExecStart=/srv/shop\n")
    blocking = [one for one in findings(host.read(), HERE) if one.blocks]
    assert [one.setting for one in blocking] == ["shop.service"]
    assert UNIT_ROOT not in blocking[0].message


@pytest.mark.parametrize(
    ("setting", "lines"),
    [
        ("Environment=", ["Environment=TOKEN=x"]),
        ("ExecStart=", ["ExecStart=", "ExecStart=/srv/shop --token=x"]),
        ("ExecStart=", ["ExecStartPre=/srv/migrate --password=x"]),
        ("EnvironmentFile=", ["EnvironmentFile=/nowhere/shop"]),
        ("WorkingDirectory=", ["WorkingDirectory=/srv/shop"]),
        ("TimeoutStartSec=", ["TimeoutStartSec=infinity"]),
        ("TimeoutStopSec=", ["TimeoutSec=0"]),
        ("StandardOutput=", ["StandardOutput=append:/srv/shop.log"]),
        ("ProtectSystem=", []),
        ("[Unit]", ["[Unit]", "After=network.target postgresql.service"]),
        ("[Install]", ["[Install]", "Alias=store.service"]),
        ("release_health", []),
    ],
)
def test_what_will_be_different(host: Host, setting: str, lines: list[str]) -> None:
    assert setting in [one.setting for one in found(host, *PLAIN, *lines, blocks=False)]


def test_what_will_not_be_different_is_not_told(host: Host) -> None:
    lines = ("ProtectSystem=strict", "PrivateDevices=yes", "SystemCallFilter=@system-service", "WorkingDirectory=/")
    quiet = found(host, *PLAIN, *lines, "[Unit]", "After=network.target", blocks=False)
    assert [one.setting for one in quiet] == ["release_health"]


@pytest.mark.parametrize(
    ("seen", "lines", "told"),
    [
        (Seen(listen=("80",), pid=1), [], True),
        (Seen(listen=("80",), pid=1), ["AmbientCapabilities=CAP_NET_BIND_SERVICE"], False),
        (Seen(listen=("8080",), pid=1), [], False),
    ],
)
def test_ports_that_need_a_right(host: Host, seen: Seen, lines: list[str], told: bool) -> None:
    settings = [one.setting for one in found(host, *PLAIN, *lines, seen=seen, blocks=False)]
    assert ("AmbientCapabilities=" in settings) is told


def test_ports(host: Host) -> None:
    (none,) = [one for one in found(host, *PLAIN, seen=Seen(), blocks=False) if one.setting == "service_listen"]
    assert "does not run" in none.message
    two = Seen(listen=("8080", "127.0.0.1:6060"), pid=1)
    (one,) = [one for one in found(host, *PLAIN, seen=two, blocks=False) if one.setting == "service_listen"]
    assert "8080, 127.0.0.1:6060" in one.message


def test_each_fix_is_one_imperative_clause(host: Host) -> None:
    host.write("shop.socket", "[Socket]\nAccept=yes\nListenDatagram=1\n")
    seen = Seen(problem="it is no program", triggers=("shop.timer",), others=("/x",), listen=())
    lines = (
        "User=anna",
        "ExecStart=+/srv/shop --token=x",
        "ExecStart=/b",
        "EnvironmentFile=/nowhere",
        "Environment=KEY=x",
    )
    more = (
        "WorkingDirectory=/srv",
        "StandardOutput=file:/x",
        "[Unit]",
        "After=a.service",
        "[Install]",
        "Alias=b.service",
    )
    every = [
        one
        for kind in ("forking", "oneshot", "dbus")
        for one in findings(host.read(*lines, f"Type={kind}", "RootImage=/i", *more), seen)
    ]
    every += findings(host.read("DynamicUser=yes", "ExecStart=/bin/sh -c x"), seen)
    every += findings(host.read("User=root"), Seen(listen=("80", "81")))
    for one in every:
        assert re.split(r"[\s,]", one.fix)[0] in test_messages.VERBS, one.fix
        assert not one.fix.endswith("."), one.fix
        assert not one.message.endswith("."), one.message

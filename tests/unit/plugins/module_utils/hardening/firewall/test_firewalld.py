# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""What the zones of firewalld say, and the commands that change them."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._hardening.connection import Connection
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import firewalld
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.backend import Request, Survey
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.rule import Rule

ZONES = """\
public (default, active)
  target: default
  interfaces: eth0
  sources:\x20
  services: dhcpv6-client ssh
  ports: 8080/tcp 8000-8010/udp
  protocols: igmp
  forward-ports:\x20
\tport=80:proto=tcp:toport=8080:toaddr=
  rich rules:\x20
\trule family="ipv4" source address="10.0.0.0/8" port port="53" protocol="udp" accept

drop
  target: DROP
  services:\x20
  rich rules:\x20
"""
HERE = Connection("192.0.2.7", "192.0.2.10", 2222, "eth0")


@pytest.mark.parametrize(
    ("rich", "rule"),
    [
        (
            'rule family="ipv4" source address="10.0.0.1" port port="53" protocol="udp" accept',
            Rule("53", "udp", "10.0.0.1"),
        ),
        ('rule priority="-1" service name="ssh" log prefix="a b" level="info" accept', Rule(service="ssh")),
        ('rule port port="1-9" protocol="tcp" accept limit value="6/m"', Rule("1:9", limit=True)),
        ('rule family="ipv4" source address="10.0.0.0/8" accept', Rule("", "any", "10.0.0.0/8")),
        ('rule family="ipv4" source NOT address="10.0.0.0/8" accept', Rule("", "any")),
        ('rule family="ipv4" source ipset="x" port port="22" protocol="tcp" accept', None),
        ('rule service name="ssh" reject', None),
    ],
)  # fmt: skip
def test_what_a_rich_rule_lets_in(rich, rule):
    assert firewalld.parse_rich(rich, "") == rule


def test_zones():
    zones = firewalld.parse_zones(ZONES)
    assert zones["public"]["interfaces"] == ["eth0"]
    assert zones["drop"]["services"] == []
    assert firewalld.holds(Rule("8080", zone="public"), zones)
    assert firewalld.holds(Rule("8000:8010", "udp", zone="public"), zones)
    assert firewalld.holds(Rule("53", "udp", "10.0.0.0/8", zone="public"), zones)
    assert firewalld.holds(Rule(service="ssh", zone="public"), zones)
    assert not firewalld.holds(Rule("8080", zone="drop"), zones)
    assert not firewalld.holds(Rule("53", "udp", zone="public"), zones)


def test_what_else_a_zone_lets_in():
    zone = firewalld.parse_zones(ZONES)["public"]
    wanted = [Rule("53", "udp", "10.0.0.0/8", zone="public")]
    more = firewalld.zone_more("public", zone, wanted)
    assert [one["protocol"] or one["forward"] for one in more] == [
        "igmp",
        {"port": "80", "proto": "tcp", "toport": "8080"},
    ]
    assert [one["rich"] for one in firewalld.zone_more("public", zone, []) if one["rich"]] == [wanted[0].rich()]
    assert firewalld.zone_more("drop", firewalld.parse_zones(ZONES)["drop"], wanted) == []


def test_zones_that_judge_somebody():
    """A source may also be a MAC address or a set of addresses, which say nothing about this connection."""
    zones = {**firewalld.parse_zones(ZONES), "work": {"sources": ["10.0.0.0/8", "00:11:22:33:44:55", "ipset:x"]}}
    assert firewalld.bindings(zones) == [
        {"name": "public", "interfaces": ["eth0"], "sources": []},
        {"name": "work", "interfaces": [], "sources": ["10.0.0.0/8"]},
    ]


@pytest.mark.parametrize(
    ("rule", "rich"),
    [
        (Rule("22"), ""),
        (Rule("22", limit=True), 'rule port port="22" protocol="tcp" accept limit value="6/m"'),
        (
            Rule("22", source="2001:db8::/32"),
            'rule family="ipv6" source address="2001:db8::/32" port port="22" protocol="tcp" accept',
        ),
        (
            Rule(service="http", source="192.0.2.1"),
            'rule family="ipv4" source address="192.0.2.1" service name="http" accept',
        ),
    ],
)
def test_rich_rules(rule, rich):
    assert rule.rich() == rich


@pytest.mark.parametrize(
    ("zones", "zone"),
    [
        ([], "public"),
        ([{"name": "internal", "interfaces": ["eth0"]}], "internal"),
        ([{"name": "internal", "interfaces": ["eth1"]}], "public"),
        ([{"name": "a", "interfaces": ["eth0"]}, {"name": "b", "sources": ["192.0.2.0/24"]}], "b"),
    ],
)
def test_the_zone_that_judges_the_connection(zones, zone):
    assert firewalld.zone_of(HERE, zones, "public") == zone


def commands(**values) -> list[str]:
    survey = Survey(**{"active": True, "policy": "public", "target": "public", **values})
    return [" ".join(argv) for argv in firewalld.Firewalld(lambda argv: (0, "")).commands(survey)]


def test_what_is_alike_in_a_zone_is_one_command_and_the_files_come_first():
    missing = [Rule("22", zone="public"), Rule("8000:8010", "udp", zone="public"), Rule(service="https", zone="dmz")]
    removals = [firewalld.in_words(Rule(service="ssh", zone="public"))]
    bindings = [{"zone": "dmz", "kind": "interface", "value": "eth1"}]
    assert commands(missing=missing, removals=removals, bindings=bindings, policy="work") == [
        "firewall-cmd --permanent --zone=public --add-port=22/tcp --add-port=8000-8010/udp",
        "firewall-cmd --permanent --zone=dmz --add-service=https",
        "firewall-cmd --zone=public --add-port=22/tcp --add-port=8000-8010/udp",
        "firewall-cmd --zone=dmz --add-service=https",
        "firewall-cmd --permanent --zone=dmz --change-interface=eth1",
        "firewall-cmd --zone=dmz --change-interface=eth1",
        "firewall-cmd --set-default-zone=public",
        "firewall-cmd --permanent --zone=public --remove-service=ssh",
        "firewall-cmd --zone=public --remove-service=ssh",
        "systemctl enable --now firewalld.service",
    ]


def test_one_that_is_off_starts_when_all_is_written():
    ssh = firewalld.in_words(Rule(service="ssh", zone="public"))
    removals = [
        ssh,
        {**firewalld.in_words(Rule(zone="public")), "forward": {"port": "80", "proto": "tcp", "toport": "8080"}},
    ]
    assert commands(missing=[Rule("22", source="10.0.0.0/8", zone="public")], removals=removals, active=False) == [
        'firewall-offline-cmd --zone=public --add-rich-rule=rule family="ipv4" source address="10.0.0.0/8" '
        'port port="22" protocol="tcp" accept',
        "firewall-offline-cmd --zone=public --remove-service-from-zone=ssh",
        "firewall-offline-cmd --zone=public --remove-forward-port=port=80:proto=tcp:toport=8080",
        "systemctl unmask firewalld.service",
        "systemctl enable --now firewalld.service",
    ]


RUNTIME = """\
public (active)
  interfaces: eth0 eth1
  sources: 198.51.100.0/24
  services: dhcpv6-client ssh
  ports: 22/tcp 2222/tcp
  rich rules:\x20
\trule family="ipv4" source address="10.0.0.0/8" accept

internal (active)
  ports: 53/udp
"""
PERMANENT = """\
public
  interfaces: eth0
  services: dhcpv6-client
  ports: 22/tcp
  rich rules:\x20

internal
  ports: 53/udp 54/udp
"""


def played(active: bool, enabled: str) -> firewalld.Firewalld:
    answers = {
        ("systemctl", "is-active"): (0 if active else 3, ""),
        ("systemctl", "is-enabled"): (0 if enabled.startswith("enabled") else 1, enabled),
        ("firewall-cmd", "--list-all-zones"): (0, RUNTIME),
        ("firewall-cmd", "--get-default-zone"): (0, "public"),
        ("firewall-cmd", "--permanent"): (0, PERMANENT),
        ("firewall-offline-cmd", "--list-all-zones"): (0, PERMANENT),
        ("firewall-offline-cmd", "--get-default-zone"): (0, "public"),
    }
    backend = firewalld.Firewalld(lambda argv: answers[tuple(argv[:2])])
    backend.is_installed = lambda: True
    return backend


def test_a_revert_puts_in_force_again_what_was_so_for_now_only():
    """Its reload would close the port by which somebody came in who had opened it without --permanent."""
    first, *again = played(True, "enabled").undo(True)
    assert first == ["firewall-cmd", "--complete-reload"]
    assert [" ".join(argv[2:]) for argv in again if argv[1] == "--zone=public"] == [
        "--change-source=198.51.100.0/24",
        "--change-interface=eth1",
        "--add-port=2222/tcp",
        "--add-service=ssh",
        '--add-rich-rule=rule family="ipv4" source address="10.0.0.0/8" accept',
    ]
    assert len(again) == 5, "what was closed for now only is not the business of a revert"


@pytest.mark.parametrize(
    ("enabled", "in_order"), [("enabled", True), ("disabled", False), ("masked", False), ("enabled-runtime", False)]
)
def test_one_that_runs_and_will_not_after_a_boot_is_not_in_order(enabled, in_order):
    survey = played(True, enabled).survey(Request([Rule("22", zone="public")]))
    assert (survey.active, survey.in_order) == (True, in_order)
    commands = played(True, enabled).commands(survey)
    assert ["systemctl", "enable", "--now", firewalld.UNIT] in commands
    assert (["systemctl", "unmask", firewalld.UNIT] in commands) != in_order


@pytest.mark.parametrize(
    ("enabled", "undo", "at_boot"),
    [("disabled", ["disable --now"], ["disable", "--no-block stop"]), ("enabled", ["stop"], ["--no-block stop"])],
)
def test_one_that_was_off_stays_as_enabled_as_it_was(enabled, undo, at_boot):
    backend = played(False, enabled)
    assert [" ".join(argv[1:-1]) for argv in backend.undo(False)] == undo
    assert [" ".join(argv[1:-1]) for argv in backend.undo_at_boot(False)] == at_boot
    assert f"/etc/systemd/system/{firewalld.UNIT}" in backend.paths

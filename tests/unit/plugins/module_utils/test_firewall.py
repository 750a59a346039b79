from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils import _firewall
from ansible_collections.slipway.go.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._firewall import Connection, Rule

UFW = """\
*filter
### RULES ###

### tuple ### allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 in comment=736c6970
### tuple ### limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow udp 53 0.0.0.0/0 any 0.0.0.0/0 in_eth1
### tuple ### allow any any 0.0.0.0/0 any 10.1.1.1 in
### tuple ### deny tcp 25 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in
### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 - - out
### tuple ### allow tcp 81 0.0.0.0/0 any 0.0.0.0/0 out_eth1
### END RULES ###
"""
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


def test_ufw_rules_are_read_from_its_own_notes():
    assert _firewall.parse_ufw(UFW) == [
        Rule("22", "tcp", "10.0.0.0/8"),
        Rule("22", "tcp", limit=True),
        Rule("53", "udp", interface="eth1"),
        Rule("", "any", "10.1.1.1"),
        Rule("25", refusal="deny"),
        Rule("22", service="OpenSSH"),
    ]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("IPT_SYSCTL=/etc/ufw/sysctl.conf\n", "/etc/ufw/sysctl.conf"),
        ('A=b\nIPT_SYSCTL="/etc/sysctl.d/99-zz-slipway.conf"\n', "/etc/sysctl.d/99-zz-slipway.conf"),
        ("#IPT_SYSCTL=/etc/ufw/sysctl.conf\n", ""),
        ("IPT_SYSCTL=\n", ""),
        ("", ""),
    ],
)
def test_the_kernel_settings_that_ufw_applies(text, path):
    assert _firewall.ufw_sysctl(text) == path


@pytest.mark.parametrize(
    ("text", "policy"),
    [('DEFAULT_INPUT_POLICY="DROP"\n', "deny"), ("DEFAULT_INPUT_POLICY=ACCEPT\n", "allow"), ("", "")],
)
def test_ufw_policy(text, policy):
    assert _firewall.ufw_policy(text) == policy


def test_zones():
    zones = _firewall.parse_zones(ZONES)
    assert zones["public"]["interfaces"] == ["eth0"]
    assert zones["drop"]["services"] == []
    assert _firewall.holds(Rule("8080", zone="public"), zones)
    assert _firewall.holds(Rule("8000:8010", "udp", zone="public"), zones)
    assert _firewall.holds(Rule("53", "udp", "10.0.0.0/8", zone="public"), zones)
    assert _firewall.holds(Rule(service="ssh", zone="public"), zones)
    assert not _firewall.holds(Rule("8080", zone="drop"), zones)
    assert not _firewall.holds(Rule("53", "udp", zone="public"), zones)


def test_what_else_a_zone_lets_in():
    zone = _firewall.parse_zones(ZONES)["public"]
    wanted = [Rule("53", "udp", "10.0.0.0/8", zone="public")]
    more = _firewall.zone_more("public", zone, wanted)
    assert [one["protocol"] or one["forward"] for one in more] == [
        "igmp",
        {"port": "80", "proto": "tcp", "toport": "8080"},
    ]
    assert [one["rich"] for one in _firewall.zone_more("public", zone, []) if one["rich"]] == [wanted[0].rich()]
    assert _firewall.zone_more("drop", _firewall.parse_zones(ZONES)["drop"], wanted) == []


def test_zones_that_judge_somebody():
    """A source may also be a MAC address or a set of addresses, which say nothing about this connection."""
    zones = {**_firewall.parse_zones(ZONES), "work": {"sources": ["10.0.0.0/8", "00:11:22:33:44:55", "ipset:x"]}}
    assert _firewall.bindings(zones) == [
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
    "bad", [{}, {"port": "0"}, {"port": "x"}, {"port": "1:2:3"}, {"port": "80", "service": "http"}, {"port": "70000"}]
)
def test_rules_need_a_port_or_a_service(bad):
    with pytest.raises(SlipwayError):
        _firewall.parse_rule(bad)


@pytest.mark.parametrize("bad", ["somewhere", "10.0.0.0/33", "1.2.3"])
def test_sources_are_networks(bad):
    with pytest.raises(SlipwayError):
        _firewall.parse_source(bad)


def test_sources_are_normal():
    assert _firewall.parse_source("10.1.2.3/8") == "10.0.0.0/8"
    assert _firewall.parse_source("192.0.2.1/32") == "192.0.2.1"
    assert _firewall.parse_source("any") == ""


def test_the_port_in_use_is_always_let_in():
    assert [rule.port for rule in _firewall.ssh_rules([22], [], False, "public", HERE)] == ["22", "2222"]


def test_sources_that_leave_out_the_controller_are_refused():
    with pytest.raises(SlipwayError) as raised:
        _firewall.ssh_rules([22], ["10.0.0.0/8"], False, "public", HERE)
    assert raised.value.code == "would_lock_out"
    assert _firewall.ssh_rules([22], ["192.0.2.0/24"], False, "public", HERE)


def test_a_mapped_address_is_the_one_it_maps():
    assert _firewall.contains("192.0.2.0/24", "::ffff:192.0.2.7")


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
    assert _firewall.zone_of(HERE, zones, "public") == zone

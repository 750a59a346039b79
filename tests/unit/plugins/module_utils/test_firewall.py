from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils import _firewall
from ansible_collections.slipway.go.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._firewall import Connection, Rule

UFW = """\
*filter
### RULES ###

### tuple ### allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 in comment=736c6970776179
### tuple ### limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow udp 53 0.0.0.0/0 any 0.0.0.0/0 in_eth1
### tuple ### allow any any 0.0.0.0/0 any 10.1.1.1 in
### tuple ### deny tcp 25 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in
### tuple ### allow_log tcp 445 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### deny_log tcp 446 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### route:allow tcp 447 0.0.0.0/0 any 0.0.0.0/0 in_eth0!out_eth1
### tuple ### route:allow tcp 448 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow tcp 449 10.0.0.5 any 0.0.0.0/0 in
### tuple ### allow tcp 450 0.0.0.0/0 1000 0.0.0.0/0 in
### tuple ### allow tcp 77 0.0.0.0/0 22 0.0.0.0/0 - OpenSSH in
### tuple ### allow_log-all tcp 444 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow tcp 463 0.0.0.0/0 any 0.0.0.0/0 in_br_out
### tuple ### allow tcp 23 0.0.0.0/0 any 0.0.0.0/0 in comment=736c697077617920737368
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
    found = _firewall.parse_ufw(UFW)
    assert [one.rule for one in found] == [
        Rule("22", "tcp", "10.0.0.0/8"),
        Rule("22", "tcp", limit=True),
        Rule("53", "udp", interface="eth1"),
        Rule("", "any", "10.1.1.1"),
        Rule("25", refusal="deny"),
        Rule("22", service="OpenSSH"),
        Rule("445", log=True),
        Rule("446", refusal="deny", log=True),
        Rule("449", destination="10.0.0.5"),
        Rule("450", source_port="1000"),
        Rule("77", source_port="22"),
        Rule("444", log=True),
        Rule("463", interface="br_out"),
        Rule("23"),
    ]
    assert [one.comment for one in found if one.own] == ["slipway", "slipway ssh"]
    assert [one.rule.port for one in found if not one.removable] == ["77", "444"]


def both(line: str) -> list[_firewall.UfwRule]:
    """One rule as ufw keeps it, once for each version of IP."""
    six = line.replace("0.0.0.0/0", "::/0")
    tuples = [(4, line), (6, six)]
    return _firewall.merge_ufw(one for v, text in tuples for one in _firewall.parse_ufw(f"### tuple ### {text}\n", v))


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        ("allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in", True),
        ("allow_log tcp 443 0.0.0.0/0 any 0.0.0.0/0 in", True),
        ("allow_log-all tcp 443 0.0.0.0/0 any 0.0.0.0/0 in comment=736c6970776179", True),
        ("route:allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in", False),
        ("route:allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in_eth0!out_eth1", False),
        ("deny_log tcp 443 0.0.0.0/0 any 0.0.0.0/0 in", False),
        ("limit tcp 443 0.0.0.0/0 any 0.0.0.0/0 in", False),
        ("allow tcp 443 10.0.0.5 any 0.0.0.0/0 in", False),
        ("allow tcp 443 0.0.0.0/0 1000 0.0.0.0/0 in", False),
        ("allow tcp 443 0.0.0.0/0 22 0.0.0.0/0 - OpenSSH in", False),
    ],
)
def test_what_counts_as_let_in_by_ufw(line, holds):
    assert _firewall.ufw_holds(Rule("443"), both(line), frozenset({4, 6})) is holds


def test_what_ufw_lets_in_for_one_version_of_ip_is_missing_for_the_other():
    four = _firewall.parse_ufw("### tuple ### allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in\n", 4)
    assert not _firewall.ufw_holds(Rule("443"), four, frozenset({4, 6}))
    assert _firewall.ufw_holds(Rule("443"), four, frozenset({4}))
    here = _firewall.parse_ufw("### tuple ### allow tcp 443 0.0.0.0/0 any 10.0.0.0/8 in\n", 4)
    assert _firewall.ufw_holds(Rule("443", source="10.0.0.0/8"), here, frozenset({4, 6}))


def test_versions_of_ip_that_ufw_has_rules_for(tmp_path, monkeypatch):
    monkeypatch.setattr(_firewall, "_IPV6", str(tmp_path))
    assert _firewall.ufw_versions("IPV6=yes\n") == {4, 6}
    assert _firewall.ufw_versions("IPV6=no\n") == {4}
    monkeypatch.setattr(_firewall, "_IPV6", str(tmp_path / "no"))
    assert _firewall.ufw_versions("IPV6=yes\n") == {4}


NARROW = [Rule("22", source="10.0.0.0/8"), Rule("9100", interface="eth1"), Rule("80"), Rule("25", limit=True)]


@pytest.mark.parametrize(
    ("rule", "wider"),
    [
        (Rule("22"), True),
        (Rule("22", service="OpenSSH"), True),
        (Rule("22", "any"), True),
        (Rule("20:30", limit=True), True),
        (Rule("21,22"), True),
        (Rule("", "any"), True),
        (Rule("22", destination="10.0.0.5"), True),
        (Rule("22", source="10.0.0.0/7"), True),
        (Rule("22", source="10.0.0.0/8"), False),
        (Rule("22", source="10.1.0.0/16"), False),
        (Rule("22", source="192.0.2.0/24"), False),
        (Rule("22", source="2001:db8::/32"), False),
        (Rule("22", "udp"), False),
        (Rule("22", refusal="deny"), False),
        (Rule("9100"), True),
        (Rule("9100", interface="eth2"), False),
        (Rule("80"), False),
        (Rule("80:81"), False),
        (Rule("25"), True),
        (Rule("25", limit=True), False),
        (Rule("22", zone="internal"), False),
    ],
)
def test_what_is_wider_than_what_is_wanted(rule, wider):
    assert _firewall.is_wider(rule, NARROW) is wider


def test_a_wide_rule_that_is_asked_for_is_no_wider_one():
    assert not _firewall.is_wider(Rule("22"), [*NARROW, Rule("22")])


def test_a_wider_rule_is_named_with_a_way_out():
    with pytest.raises(SlipwayError) as raised:
        _firewall.refuse_wider([Rule("22", service="OpenSSH").as_dict()])
    assert raised.value.code == "wider_rule"
    assert "OpenSSH" in str(raised.value)
    assert "firewall_remove_unmanaged" in str(raised.value)


def test_services_of_firewalld_are_wider_by_their_ports(tmp_path, monkeypatch):
    (tmp_path / "ssh.xml").write_text('<service>\n  <port protocol="tcp" port="22"/>\n</service>\n')
    monkeypatch.setattr(_firewall, "_SERVICES", (str(tmp_path),))
    assert _firewall.service_ports("ssh") == [("22", "tcp")]
    assert _firewall.is_wider(Rule(service="ssh"), NARROW)
    assert not _firewall.is_wider(Rule(service="http"), NARROW)


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
    assert _firewall.parse_rich(rich, "") == rule


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


@pytest.mark.parametrize(
    ("environment", "user"),
    [(b"A=b\0USER=alice\0", "alice"), (b"USER=root\0SUDO_USER=alice", "alice"), (b"", "")],
)
def test_who_logged_in(environment, user):
    assert _firewall._login(environment) == user

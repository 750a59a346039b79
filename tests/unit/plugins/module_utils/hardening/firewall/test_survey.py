# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which firewall a host uses, and what firewalld has besides what is wanted."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._hardening.connection import Connection
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import overlap, survey, ufw
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.backend import Backend, Request
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.firewalld import Firewalld
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.rule import Rule
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.survey import Options
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.ufw import Ufw

ZONE = """\
public (default, active)
  interfaces: eth0
  services: dhcpv6-client ssh https
  ports: 22/tcp 9100/tcp
  rich rules:\x20
"""
SERVICES = {"ssh": "22", "https": "443", "dhcpv6-client": "546"}


def a_host(enabled: str = "", zones: str = ZONE):
    def run(argv):
        said = {"is-enabled": "enabled" if argv[-1] == enabled else "disabled", "--list-all-zones": zones}
        return 0, next((text for word, text in said.items() if word in argv), "public")

    return run


def only_active(monkeypatch, active: str) -> None:
    for backend in (Ufw, Firewalld):
        monkeypatch.setattr(backend, "is_active", lambda self: self.name == active)


@pytest.fixture
def services(tmp_path, monkeypatch):
    monkeypatch.setattr(Backend, "is_installed", lambda backend: True)
    for name, port in SERVICES.items():
        protocol = "udp" if name == "dhcpv6-client" else "tcp"
        (tmp_path / f"{name}.xml").write_text(f'<service><port protocol="{protocol}" port="{port}"/></service>')
    monkeypatch.setattr(overlap, "_SERVICES", (str(tmp_path),))


@pytest.mark.parametrize("unit", survey.OTHERS)
def test_a_host_that_filters_packets_by_itself_is_left_alone(monkeypatch, unit):
    monkeypatch.setattr(Backend, "is_installed", lambda backend: False)
    with pytest.raises(SlipwayError) as raised:
        survey.choose("auto", a_host(unit))
    assert raised.value.code == "other_firewall"
    assert unit in raised.value.message
    assert "firewall_backend" in raised.value.fix
    assert "harden_firewall: false" in raised.value.fix
    assert survey.choose("ufw", a_host(unit)).name == "ufw"


def test_a_host_with_no_firewall_gets_the_one_of_its_distribution(monkeypatch):
    monkeypatch.setattr(Backend, "is_installed", lambda backend: False)
    assert survey.choose("auto", a_host()).name in ("ufw", "firewalld")


@pytest.mark.parametrize("installed", ["ufw", "firewalld"])
def test_one_that_is_installed_and_off_is_not_put_beside_another(monkeypatch, installed):
    """A reload of nftables.service would flush its rules, and nobody would notice."""
    monkeypatch.setattr(Backend, "is_installed", lambda backend: backend.name == installed)
    only_active(monkeypatch, "")
    assert survey.choose("auto", a_host()).name == installed
    with pytest.raises(SlipwayError, match="neither ufw nor firewalld is in force"):
        survey.choose("auto", a_host("nftables.service"))


@pytest.mark.parametrize("active", ["ufw", "firewalld"])
def test_one_that_is_in_force_is_used_beside_another(monkeypatch, active):
    only_active(monkeypatch, active)
    assert survey.choose("auto", a_host("nftables.service")).name == active


def look(wanted: list[Rule], zones: str = ZONE, **values):
    given = {"zone": "public", "keep_services": ["dhcpv6-client"], **values}
    return Firewalld(a_host(zones=zones)).survey(Request(wanted=wanted, **given))


def test_what_a_narrower_rule_supersedes_in_firewalld(services):
    """The stock service, and the plain port that the role writes when everybody may come."""
    found = look([Rule("22", source="10.0.0.0/8", zone="public"), Rule("9100", zone="public")])
    assert [one["port"] or one["service"] for one in found.superseded] == ["22", "ssh"]
    assert [one["service"] for one in found.unmanaged] == ["https"]


def test_nothing_is_superseded_by_a_wide_rule(services):
    found = look([Rule("22", zone="public"), Rule("443", zone="public", interface="eth0")])
    assert found.superseded == []
    assert [one["port"] or one["service"] for one in found.unmanaged] == ["9100", "ssh", "https"]


def test_a_wider_rule_of_somebody_else_is_refused_unless_it_is_to_go(services):
    wanted = [Rule("443", source="10.0.0.0/8", zone="public")]
    with pytest.raises(SlipwayError, match="https"):
        look(wanted)
    assert "https" in [one["service"] for one in look(wanted, remove_unmanaged=True).unmanaged]


def test_a_zone_that_lets_in_everything_is_refused_whatever_is_to_go(services):
    zones = ZONE.replace("  interfaces", "  target: ACCEPT\n  interfaces")
    with pytest.raises(SlipwayError, match="target ACCEPT"):
        look([Rule("443", source="10.0.0.0/8", zone="public")], zones, remove_unmanaged=True)
    assert look([Rule("443", zone="public")], zones).superseded == []


def test_a_protocol_is_wider_than_its_ports(services):
    zones = ZONE.replace("  ports", "  protocols: igmp tcp\n  ports")
    with pytest.raises(SlipwayError, match="protocol tcp"):
        look([Rule("53", source="10.0.0.0/8", zone="public")], zones)


def test_dhcpv6_goes_only_when_told(services):
    assert "dhcpv6-client" not in [one["service"] for one in look([]).unmanaged]
    assert "dhcpv6-client" in [one["service"] for one in look([], keep_services=[]).unmanaged]


def test_a_zone_that_the_host_does_not_have_is_refused(services):
    with pytest.raises(SlipwayError, match="no zone dmz"):
        look([Rule("443", zone="dmz")])
    with pytest.raises(SlipwayError, match="no zone lan"):
        look([], zone="lan")


HERE = Connection("192.0.2.7", "192.0.2.10", 22, "eth0")


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host with ufw, whose files are below tmp_path."""
    (tmp_path / "etc/ufw").mkdir(parents=True)
    (tmp_path / "etc/default").mkdir()
    (tmp_path / "etc/default/ufw").write_text('IPV6=no\nDEFAULT_INPUT_POLICY="DROP"\n')
    monkeypatch.setattr(ufw, "_DEFAULTS", str(tmp_path / "etc/default/ufw"))
    monkeypatch.setattr(ufw, "_RULES", (str(tmp_path / "etc/ufw"),))
    monkeypatch.setattr(Backend, "is_installed", lambda backend: True)
    return tmp_path


def put(path, told) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(told if isinstance(told, str) else json.dumps(told))


def has(host, *rules: str) -> None:
    tuples = [f"### tuple ### {rule} in comment=736c6970776179" for rule in rules]
    (host / "etc/ufw/user.rules").write_text("\n".join(tuples) + "\n")


SSH = "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0"


def look_at(host, monkeypatch, active: bool = True, **values):
    only_active(monkeypatch, "ufw" if active else "")
    options = Options(backend="ufw", **{"service": "shop", "remove_unmanaged": True, **values})
    return survey.look(options, Ufw(a_host()), HERE, str(host))


def ports(rules) -> list[str]:
    return [rule["port"] if isinstance(rule, dict) else rule.port for rule in rules]


def test_the_run_of_one_service_keeps_what_another_has_asked_for(host, monkeypatch):
    put(host / "etc/slipway/services/news.json", {"listen": ["9090"]})
    put(
        host / "etc/slipway/firewall/news.json", {"rules": [{"port": "9090", "source": "10.0.0.0/8"}, {"port": "9091"}]}
    )
    has(host, SSH, "allow tcp 9090 0.0.0.0/0 any 10.0.0.0/8", "allow tcp 7 0.0.0.0/0 any 0.0.0.0/0")
    found = look_at(host, monkeypatch, rules=[{"port": "8080"}]).survey
    assert ports(found.missing) == ["8080", "9091"]
    assert ports(found.removals) == ["7"]


def test_a_service_that_has_not_asked_keeps_its_port_and_gets_none(host, monkeypatch):
    """What lets it in may be narrower than everybody, and is not to be widened either."""
    put(host / "etc/slipway/services/news.json", {"listen": ["9090", "9092", "127.0.0.1:9093"]})
    has(host, SSH, "allow tcp 9090 0.0.0.0/0 any 10.0.0.0/8", "allow tcp 9093 0.0.0.0/0 any 0.0.0.0/0")
    found = look_at(host, monkeypatch).survey
    assert ports(found.missing) == []
    assert ports(found.removals) == ["9093"]


def test_a_firewall_that_comes_into_force_closes_no_service(host, monkeypatch):
    put(host / "etc/slipway/services/news.json", {"listen": ["9090"]})
    has(host, SSH)
    assert ports(look_at(host, monkeypatch, active=False).survey.missing) == ["9090"]


def test_what_a_service_asked_for_that_the_host_has_no_more_is_nobodys(host, monkeypatch):
    put(host / "etc/slipway/firewall/news.json", {"rules": [{"port": "9090"}]})
    has(host, SSH, "allow tcp 9090 0.0.0.0/0 any 0.0.0.0/0")
    assert ports(look_at(host, monkeypatch).survey.removals) == ["9090"]


@pytest.mark.parametrize("text", ["{", "[]", '{"rules": [{"port": "x"}]}', '{"rules": ["9090"]}', '{"rules": 5}'])
def test_a_damaged_record_of_another_service_is_named(host, monkeypatch, text):
    put(host / "etc/slipway/services/news.json", {"listen": ["9090"]})
    put(host / "etc/slipway/firewall/news.json", text)
    with pytest.raises(SlipwayError, match=r"firewall/news\.json"):
        look_at(host, monkeypatch)


def test_the_own_record_is_what_was_asked_for(host, monkeypatch):
    rules = [{"port": "8080", "source": "10.0.0.0/8", "limit": True}, {"service": "https", "zone": "dmz"}]
    has(host, SSH, "limit tcp 8080 0.0.0.0/0 any 10.0.0.0/8")
    found = look_at(host, monkeypatch, rules=rules)
    (record,) = found.records.values()
    assert json.loads(record) == {"rules": rules}
    assert found.survey.in_order
    assert not found.in_order
    put(host / "etc/slipway/firewall/shop.json", record)
    assert look_at(host, monkeypatch, rules=rules).in_order


def test_without_a_service_nothing_is_recorded(host, monkeypatch):
    has(host, SSH, "allow tcp 8080 0.0.0.0/0 any 0.0.0.0/0")
    assert look_at(host, monkeypatch, service="", rules=[{"port": "8080"}]).in_order


@pytest.mark.parametrize("service", ["../shop", "Shop", "shop/x"])
def test_a_service_is_named_like_one(host, monkeypatch, service):
    with pytest.raises(SlipwayError, match="firewall_service"):
        look_at(host, monkeypatch, service=service)


def test_each_service_has_a_record_of_its_own_and_all_are_wanted(host, monkeypatch):
    services = [{"name": "books", "rules": [{"port": "8082"}]}, {"name": "mailer", "rules": []}]
    has(host, SSH)
    found = look_at(host, monkeypatch, rules=[{"port": "9090"}], service="", services=services)
    assert sorted(os.path.basename(path) for path in found.records) == ["books.json", "mailer.json"]
    assert {rule.port for rule in found.survey.missing} == {"9090", "8082"}

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which firewall a host uses, and what firewalld has besides what is wanted."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils import _deadman, _firewall
from ansible_collections.slipway.go.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._firewall import Rule
from ansible_collections.slipway.go.plugins.modules import firewall_info

ZONE = """\
public (default, active)
  interfaces: eth0
  services: dhcpv6-client ssh https
  ports: 22/tcp 9100/tcp
  rich rules:\x20
"""
SERVICES = {"ssh": "22", "https": "443", "dhcpv6-client": "546"}


def a_host(enabled: str = "", zones: str = ZONE) -> _deadman.Place:
    def run(argv):
        said = {"is-enabled": "enabled" if argv[-1] == enabled else "disabled", "--list-all-zones": zones}
        return 0, next((text for word, text in said.items() if word in argv), "public")

    return _deadman.Place(run=run)


@pytest.fixture
def services(tmp_path, monkeypatch):
    for name, port in SERVICES.items():
        protocol = "udp" if name == "dhcpv6-client" else "tcp"
        (tmp_path / f"{name}.xml").write_text(f'<service><port protocol="{protocol}" port="{port}"/></service>')
    monkeypatch.setattr(_firewall, "_SERVICES", (str(tmp_path),))


@pytest.mark.parametrize("unit", firewall_info.OTHERS)
def test_a_host_that_filters_packets_by_itself_is_left_alone(monkeypatch, unit):
    monkeypatch.setattr(firewall_info, "is_installed", lambda backend: False)
    with pytest.raises(SlipwayError) as raised:
        firewall_info.choose("auto", a_host(unit))
    assert raised.value.code == "other_firewall"
    assert unit in raised.value.message
    assert "firewall_backend" in raised.value.fix
    assert "harden_firewall: false" in raised.value.fix
    assert firewall_info.choose("ufw", a_host(unit)) == "ufw"


def test_a_host_with_no_firewall_gets_the_one_of_its_distribution(monkeypatch):
    monkeypatch.setattr(firewall_info, "is_installed", lambda backend: False)
    assert firewall_info.choose("auto", a_host()) in ("ufw", "firewalld")


@pytest.mark.parametrize("installed", ["ufw", "firewalld"])
def test_one_that_is_installed_and_off_is_not_put_beside_another(monkeypatch, installed):
    """A reload of nftables.service would flush its rules, and nobody would notice."""
    monkeypatch.setattr(firewall_info, "is_installed", lambda backend: backend == installed)
    monkeypatch.setattr(firewall_info, "is_active", lambda backend, place: False)
    assert firewall_info.choose("auto", a_host()) == installed
    with pytest.raises(SlipwayError, match="neither ufw nor firewalld is in force"):
        firewall_info.choose("auto", a_host("nftables.service"))


@pytest.mark.parametrize("active", ["ufw", "firewalld"])
def test_one_that_is_in_force_is_used_beside_another(monkeypatch, active):
    monkeypatch.setattr(firewall_info, "is_active", lambda backend, place: backend == active)
    assert firewall_info.choose("auto", a_host("nftables.service")) == active


def look(wanted: list[Rule], zones: str = ZONE, **values) -> dict:
    given = {"zone": "public", "zones": [], "keep_services": ["dhcpv6-client"], "remove_unmanaged": False, **values}
    return firewall_info.look_at_firewalld(given, wanted, True, _firewall.parse_zones(zones), a_host(zones=zones))


def test_what_a_narrower_rule_supersedes_in_firewalld(services):
    """The stock service, and the plain port that the role writes when everybody may come."""
    found = look([Rule("22", source="10.0.0.0/8", zone="public"), Rule("9100", zone="public")])
    assert [one["port"] or one["service"] for one in found["superseded"]] == ["22", "ssh"]
    assert [one["service"] for one in found["unmanaged"]] == ["https"]


def test_nothing_is_superseded_by_a_wide_rule(services):
    found = look([Rule("22", zone="public"), Rule("443", zone="public", interface="eth0")])
    assert found["superseded"] == []
    assert [one["port"] or one["service"] for one in found["unmanaged"]] == ["9100", "ssh", "https"]


def test_a_wider_rule_of_somebody_else_is_refused_unless_it_is_to_go(services):
    wanted = [Rule("443", source="10.0.0.0/8", zone="public")]
    with pytest.raises(SlipwayError, match="https"):
        look(wanted)
    assert "https" in [one["service"] for one in look(wanted, remove_unmanaged=True)["unmanaged"]]


def test_a_zone_that_lets_in_everything_is_refused_whatever_is_to_go(services):
    zones = ZONE.replace("  interfaces", "  target: ACCEPT\n  interfaces")
    with pytest.raises(SlipwayError, match="target ACCEPT"):
        look([Rule("443", source="10.0.0.0/8", zone="public")], zones, remove_unmanaged=True)
    assert look([Rule("443", zone="public")], zones)["superseded"] == []


def test_a_protocol_is_wider_than_its_ports(services):
    zones = ZONE.replace("  ports", "  protocols: igmp tcp\n  ports")
    with pytest.raises(SlipwayError, match="protocol tcp"):
        look([Rule("53", source="10.0.0.0/8", zone="public")], zones)


def test_dhcpv6_goes_only_when_told(services):
    assert "dhcpv6-client" not in [one["service"] for one in look([])["unmanaged"]]
    assert "dhcpv6-client" in [one["service"] for one in look([], keep_services=[])["unmanaged"]]

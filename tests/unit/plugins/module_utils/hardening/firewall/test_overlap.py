# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Which rules are wider than what is wanted."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import overlap
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.rule import Rule

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
    assert overlap.is_wider(rule, NARROW) is wider


def test_a_wide_rule_that_is_asked_for_is_no_wider_one():
    assert not overlap.is_wider(Rule("22"), [*NARROW, Rule("22")])


def test_a_wider_rule_is_named_with_a_way_out():
    with pytest.raises(SlipwayError) as raised:
        overlap.refuse_wider([Rule("22", service="OpenSSH").as_dict()])
    assert raised.value.code == "wider_rule"
    assert "OpenSSH" in str(raised.value)
    assert "firewall_remove_unmanaged" in str(raised.value)


def test_services_of_firewalld_are_wider_by_their_ports(tmp_path, monkeypatch):
    (tmp_path / "ssh.xml").write_text('<service>\n  <port protocol="tcp" port="22"/>\n</service>\n')
    monkeypatch.setattr(overlap, "_SERVICES", (str(tmp_path),))
    assert overlap.service_ports("ssh") == [("22", "tcp")]
    assert overlap.is_wider(Rule(service="ssh"), NARROW)
    assert not overlap.is_wider(Rule(service="http"), NARROW)

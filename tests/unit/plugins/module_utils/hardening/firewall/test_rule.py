# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Rules that are wanted, and sources."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._hardening.connection import Connection
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import rule

HERE = Connection("192.0.2.7", "192.0.2.10", 2222, "eth0")


@pytest.mark.parametrize(
    "bad", [{}, {"port": "0"}, {"port": "x"}, {"port": "1:2:3"}, {"port": "80", "service": "http"}, {"port": "70000"}]
)
def test_rules_need_a_port_or_a_service(bad):
    with pytest.raises(SlipwayError):
        rule.parse_rule(bad)


@pytest.mark.parametrize("bad", ["somewhere", "10.0.0.0/33", "1.2.3"])
def test_sources_are_networks(bad):
    with pytest.raises(SlipwayError):
        rule.parse_source(bad)


def test_sources_are_normal():
    assert rule.parse_source("10.1.2.3/8") == "10.0.0.0/8"
    assert rule.parse_source("192.0.2.1/32") == "192.0.2.1"
    assert rule.parse_source("any") == ""


def test_the_port_in_use_is_always_let_in():
    assert [rule.port for rule in rule.ssh_rules([22], [], False, "public", HERE)] == ["22", "2222"]


def test_sources_that_leave_out_the_controller_are_refused():
    with pytest.raises(SlipwayError) as raised:
        rule.ssh_rules([22], ["10.0.0.0/8"], False, "public", HERE)
    assert raised.value.code == "would_lock_out"
    assert rule.ssh_rules([22], ["192.0.2.0/24"], False, "public", HERE)


def test_a_mapped_address_is_the_one_it_maps():
    assert rule.contains("192.0.2.0/24", "::ffff:192.0.2.7")

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What only one service had let in is closed, armed; what others need, and SSH, stays open."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending
from ansible_collections.slipway.go.plugins.module_utils._hardening.connection import Connection
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import ufw, withdrawal
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.firewalld import Firewalld
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.rule import Rule
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.survey import Options
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.firewall.test_change import (
    REMOVE,
    UNDO,
    Firewall,
    Host,
)
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


@pytest.fixture
def host(tmp_path, monkeypatch):
    played = Host(tmp_path)
    monkeypatch.setattr("time.monotonic", lambda: played.clock)
    monkeypatch.setattr(withdrawal, "connection", lambda system: None)
    monkeypatch.setattr(withdrawal, "choose", lambda name, run: Firewall(played, []))
    monkeypatch.setattr(ending, "PAUSE", 0)
    played.active = True
    played.rules.write_text("22\n8080\n9100\n")
    record(tmp_path, "shop", {"port": "8080"}, {"port": "9100"})
    return played


def record(top, service, *rules):
    for folder, content in (("services", {"listen": []}), ("firewall", {"rules": list(rules)})):
        path = top / "etc/slipway" / folder / f"{service}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def withdraw(host, top, check=False, **options):
    return withdrawal.withdraw(
        Options(**{"service": "shop", **options}), 60.0, check, host.system, host.within, str(top)
    )


def test_what_only_it_needed_is_closed_and_armed(host, tmp_path):
    done, token = withdraw(host, tmp_path)
    assert (done.changed, host.rules.read_text().split()) == (True, ["22"])
    assert [words["port"] for words in done.removals] == ["8080", "9100"]
    assert not (tmp_path / "etc/slipway/firewall/shop.json").exists()
    assert deadman.pending("firewall", token, host.system) is not None
    ending.confirm("firewall", token, host.system)
    again, token = withdraw(host, tmp_path)
    assert (again.changed, token, len(host.ran)) == (False, None, 2)


def test_what_another_service_has_asked_for_stays(host, tmp_path):
    record(tmp_path, "kiosk", {"port": "9100"})
    withdraw(host, tmp_path)
    assert host.rules.read_text().split() == ["22", "9100"]


def test_the_port_of_a_service_that_has_not_asked_yet_stays(host, tmp_path):
    record(tmp_path, "kiosk")
    os.unlink(tmp_path / "etc/slipway/firewall/kiosk.json")
    (tmp_path / "etc/slipway/services/kiosk.json").write_text('{"listen": ["8080"]}')
    withdraw(host, tmp_path)
    assert host.rules.read_text().split() == ["22", "8080"]


@pytest.mark.parametrize("known", ["variable", "connection"])
def test_ssh_is_never_closed(host, tmp_path, monkeypatch, known):
    record(tmp_path, "shop", {"port": "22"}, {"port": "8080"})
    connected = Connection("192.0.2.7", "192.0.2.10", 22, "eth0") if known == "connection" else None
    monkeypatch.setattr(withdrawal, "connection", lambda system: connected)
    withdraw(host, tmp_path, ssh_ports=[22] if known == "variable" else [])
    assert host.rules.read_text().split() == ["22", "9100"]


def test_check_mode_says_it_and_changes_nothing(host, tmp_path):
    done, token = withdraw(host, tmp_path, check=True)
    assert (len(done.removals), token, host.ran) == (2, None, [])
    assert (tmp_path / "etc/slipway/firewall/shop.json").exists()


def test_a_record_without_rules_in_force_needs_no_proof(host, tmp_path):
    host.rules.write_text("22\n")
    done, token = withdraw(host, tmp_path)
    assert (done.changed, token, host.ran) == (True, None, [])
    assert not (tmp_path / "etc/slipway/firewall/shop.json").exists()


def test_a_command_that_fails_takes_all_back(host, tmp_path):
    host.failing = (REMOVE,)
    with pytest.raises(SlipwayError, match="refused"):
        withdraw(host, tmp_path)
    assert host.rules.read_text().split() == ["22", "8080", "9100"]
    assert (tmp_path / "etc/slipway/firewall/shop.json").exists()
    assert host.words()[-1] == UNDO


@pytest.mark.parametrize("name", ["", "../shop", "Shop"])
def test_what_is_no_service_is_refused(host, tmp_path, name):
    refused(lambda: withdraw(host, tmp_path, service=name), "invalid_service")
    assert host.ran == []


def test_a_damaged_record_is_refused(host, tmp_path):
    (tmp_path / "etc/slipway/firewall/shop.json").write_text("{")
    refused(lambda: withdraw(host, tmp_path), "damaged_record")
    assert host.ran == []


@pytest.mark.parametrize(
    ("rule", "goes"),
    [
        (Rule("8080"), True),
        (Rule("8000:8090"), True),
        (Rule("1:1024"), False),
        (Rule("22", proto="udp"), True),
        (Rule(service="ssh"), False),
        (Rule(service="dhcpv6-client"), False),
        (Rule("8443"), False),
    ],
)
def test_what_may_be_closed(rule, goes):
    assert (withdrawal.closable([rule], ["8443"], [22], ["dhcpv6-client"]) == [rule]) == goes


TUPLES = (
    "### tuple ### allow tcp 8080 0.0.0.0/0 any 0.0.0.0/0 in comment=736c6970776179\n"
    "### tuple ### allow tcp 9100 0.0.0.0/0 any 0.0.0.0/0 in\n"
    "### tuple ### limit tcp 8443 0.0.0.0/0 any 10.0.0.0/8 in comment=736c6970776179\n"
)


def test_ufw_closes_what_has_the_collections_comment(tmp_path, monkeypatch):
    monkeypatch.setattr(ufw, "_RULES", (str(tmp_path),))
    monkeypatch.setattr(ufw, "_DEFAULTS", str(tmp_path / "ufw"))
    (tmp_path / "user.rules").write_text(TUPLES)
    backend = ufw.Ufw(lambda argv: (0, ""))
    rules = [Rule("8080", zone="public"), Rule("9100", zone="public"), Rule("8443", source="10.0.0.0/8", limit=True)]
    made = backend.made(rules, [])
    assert sorted(words["port"] for words in made) == ["8080", "8443"]
    assert backend.made(rules, [Rule("8080", zone="dmz"), Rule("8443")]) == [
        words for words in made if words["port"] == "8443"
    ]
    assert ["ufw", "delete", "allow", "in", "from", "any", "to", "any", "port", "8080", "proto", "tcp"] in (
        backend.take_away(made, True)
    )


ZONES = "public (active)\n  ports: 8080/tcp 9100/tcp\n  services: ssh\n  rich rules: \n"


def test_firewalld_closes_them_for_now_and_for_good():
    answers = {"--list-all-zones": ZONES}
    backend = Firewalld(lambda argv: (0, answers.get(argv[-1], "")))
    backend.is_installed = lambda: True
    made = backend.made([Rule("8080", zone="public"), Rule("9999", zone="public")], [Rule("9100", zone="public")])
    assert [words["port"] for words in made] == ["8080"]
    assert backend.take_away(made, True) == [
        ["firewall-cmd", "--permanent", "--zone=public", "--remove-port=8080/tcp"],
        ["firewall-cmd", "--zone=public", "--remove-port=8080/tcp"],
    ]
    assert backend.take_away(made, False) == [["firewall-offline-cmd", "--zone=public", "--remove-port=8080/tcp"]]

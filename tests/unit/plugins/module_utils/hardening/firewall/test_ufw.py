# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""ufw's own notes of its rules, and the commands that change them."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import ufw
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.backend import Survey
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.rule import Rule

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


def test_ufw_rules_are_read_from_its_own_notes():
    found = ufw.parse_ufw(UFW)
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


def both(line: str) -> list[ufw.UfwRule]:
    """One rule as ufw keeps it, once for each version of IP."""
    six = line.replace("0.0.0.0/0", "::/0")
    tuples = [(4, line), (6, six)]
    return ufw.merge_ufw(one for v, text in tuples for one in ufw.parse_ufw(f"### tuple ### {text}\n", v))


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
    assert ufw.ufw_holds(Rule("443"), both(line), frozenset({4, 6})) is holds


def test_what_ufw_lets_in_for_one_version_of_ip_is_missing_for_the_other():
    four = ufw.parse_ufw("### tuple ### allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in\n", 4)
    assert not ufw.ufw_holds(Rule("443"), four, frozenset({4, 6}))
    assert ufw.ufw_holds(Rule("443"), four, frozenset({4}))
    here = ufw.parse_ufw("### tuple ### allow tcp 443 0.0.0.0/0 any 10.0.0.0/8 in\n", 4)
    assert ufw.ufw_holds(Rule("443", source="10.0.0.0/8"), here, frozenset({4, 6}))


def test_versions_of_ip_that_ufw_has_rules_for(tmp_path, monkeypatch):
    monkeypatch.setattr(ufw, "_IPV6", str(tmp_path))
    assert ufw.ufw_versions("IPV6=yes\n") == {4, 6}
    assert ufw.ufw_versions("IPV6=no\n") == {4}
    monkeypatch.setattr(ufw, "_IPV6", str(tmp_path / "no"))
    assert ufw.ufw_versions("IPV6=yes\n") == {4}


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
    assert ufw.ufw_sysctl(text) == path


@pytest.mark.parametrize(
    ("text", "policy"),
    [('DEFAULT_INPUT_POLICY="DROP"\n', "deny"), ("DEFAULT_INPUT_POLICY=ACCEPT\n", "allow"), ("", "")],
)
def test_ufw_policy(text, policy):
    assert ufw.ufw_policy(text) == policy


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (Rule("22"), "ufw allow in from any to any port 22 proto tcp comment slipway"),
        (
            Rule("53", "udp", "10.0.0.0/8", "eth1", limit=True),
            "ufw limit in on eth1 from 10.0.0.0/8 to any port 53 proto udp comment slipway",
        ),
        (Rule("8000:8010"), "ufw allow in from any to any port 8000:8010 proto tcp comment slipway"),
    ],
)
def test_the_command_that_lets_in(rule, line):
    assert " ".join(ufw.allow(rule)) == line


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule("22"), "allow in from any to any port 22 proto tcp"),
        (Rule("25", refusal="deny"), "deny in from any to any port 25 proto tcp"),
        (Rule("22", service="OpenSSH"), "allow in from any to any app OpenSSH"),
        (Rule("", "any", "10.1.1.1"), "allow in from 10.1.1.1 to any"),
        (
            Rule("7", "tcp", "192.0.2.1", "eth0", refusal="reject", destination="10.0.0.5", source_port="5", log=True),
            "reject in on eth0 log from 192.0.2.1 port 5 to 10.0.0.5 port 7 proto tcp",
        ),
    ],
)
def test_the_command_that_takes_a_rule_away(rule, words):
    assert " ".join(ufw.delete(rule.as_dict())) == f"ufw delete {words}"


def commands(**values) -> list[str]:
    survey = Survey(**{"active": False, "policy": "allow", "target": "deny", **values})
    return [" ".join(argv) for argv in ufw.Ufw(lambda argv: (0, "")).commands(survey)]


def test_it_lets_in_first_and_comes_into_force_last():
    removals = [Rule("7").as_dict()]
    assert commands(missing=[Rule("22"), Rule("80")], removals=removals) == [
        "ufw allow in from any to any port 22 proto tcp comment slipway",
        "ufw allow in from any to any port 80 proto tcp comment slipway",
        "ufw delete allow in from any to any port 7 proto tcp",
        "ufw default deny incoming",
        "ufw --force enable",
    ]


def test_kernel_settings_are_read_by_a_reload(tmp_path, monkeypatch):
    monkeypatch.setattr(ufw, "_DEFAULTS", str(tmp_path / "ufw"))
    (tmp_path / "ufw").write_text("IPV6=yes\nIPT_SYSCTL=/etc/ufw/sysctl.conf\n")
    survey = Survey(active=True, policy="deny", target="deny", ufw_sysctl="/etc/sysctl.d/x.conf")
    backend = ufw.Ufw(lambda argv: (0, ""))
    assert backend.files(survey) == {str(tmp_path / "ufw"): "IPV6=yes\nIPT_SYSCTL=/etc/sysctl.d/x.conf\n"}
    assert backend.commands(survey) == [["ufw", "reload"]]

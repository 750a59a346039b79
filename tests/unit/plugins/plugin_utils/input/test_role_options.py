# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.slipway.go.plugins.action import release
from ansible_collections.slipway.go.plugins.plugin_utils._input import known_variables, more_ports, role_options

DAY = datetime.date(2026, 12, 20)
OF_ROLE = {**known_variables.defaults("release"), "service_name": "shop"}
FREEZE = [{"from": DAY, "to": datetime.datetime(2027, 1, 2, 8), "reason": "holidays"}]


def complete(variables, **given):
    variables = {name: role_options.trusted(value) for name, value in {**OF_ROLE, **variables}.items()}
    reader = role_options.reader(variables, Templar(loader=DataLoader(), variables=variables), read=release.READ)
    return role_options.complete(given, release.OF_ROLE, reader)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("", True), ("holidays", True), (3, True), (None, True), (FREEZE, True), ({"a": [1.5, {"b": True}]}, True),
        ("{{ version }}", False), ("{% if a %}", False), ([{"a": "{{ b }}"}], False), ({"{{ a }}": 1}, False),
        (object(), False), ([object()], False),
    ],
)  # fmt: skip
def test_what_holds_no_template_is_known(value, plain):
    assert role_options.is_plain(value) is plain


def test_dates_stay_dates():
    found = complete({"release_freeze": FREEZE, "release_vulnerability_ignore": [{"until": DAY}]})
    assert found["freeze"] == FREEZE
    assert found["policy"]["vulnerability_ignore"] == [{"until": DAY}]


def test_what_the_variables_say_is_evaluated():
    found = complete(
        {"release_src": "/srv/{{ service_name }}", "service_swap": "proxy", "release_reason": "{{ 40 + 2 }}"}
    )
    assert (found["src"], found["strategy"], str(found["by"]["reason"])) == ("/srv/shop", "proxy", "42")


def test_an_option_of_the_task_stays():
    found = complete({"release_src": "/srv/shop", "release_reason": "late"}, src="/other", by={"reason": "early"})
    assert (found["src"], found["by"]) == ("/other", {"reason": "early"})


@pytest.mark.parametrize(
    ("entries", "listen"),
    [
        ([], []),
        ([{"listen": ["8443", "[::1]:8443"]}, {"listen": [9090]}], ["8443", "[::1]:8443", 9090]),
        ([{"name": "admin", "listen": "8443"}, {"name": "grpc"}], ["8443"]),
    ],
)  # fmt: skip
def test_more_ports_are_those_of_every_entry(entries, listen):
    assert more_ports.listened(entries) == listen

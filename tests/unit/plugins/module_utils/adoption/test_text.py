# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The answer for people: YAML that an inventory takes, no secret, and the steps with their paths."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.adoption_text import adoption_text
from ansible_collections.slipway.go.plugins.module_utils._adoption.text import differences, yaml_lines

PROPOSAL: dict[str, Any] = {
    "service_name": "shop",
    "service_swap": "restart",
    "service_listen": ["8080", "[::1]:9090"],
    "service_arguments": ["--name", "no", "a: b # c", "--format={{ .Name }}"],
    "service_environment": {"LEVEL": "yes", "TOKEN": "{{ vault_shop_token }}"},
    "service_restart_delay": 0.5,
    "service_sandbox": {"ReadWritePaths": ["/srv/a", "/srv/b"], "ProtectSystem": "full"},
}
TOLD: dict[str, Any] = {
    "managed": False,
    "service": "shop",
    "state": "active (running)",
    "enabled": True,
    "pid": 7,
    "type": "simple",
    "user": "shop",
    "program": "/srv/my shop",
    "listen": ["8080"],
    "unit_files": ["/etc/systemd/system/shop.service"],
    "environment_files": ["/etc/default/shop"],
    "proposal": PROPOSAL,
    "strategies": [{"strategy": "restart", "verdict": "fits", "because": "it is what happens today"}],
    "findings": [{"setting": "User=", "message": "it is root", "fix": "create a user", "blocks": True}],
    "adoptable": True,
    "moved": ["/etc/systemd/system/shop.service"],
    "kept": ["/etc/systemd/system/shop.service", "/srv/my shop"],
}


class Loader(yaml.SafeLoader):
    """Knows Ansible's tag for a text that is no template."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def test_the_variables_are_yaml() -> None:
    text = "\n".join(yaml_lines(PROPOSAL))
    assert yaml.load(text, Loader) == PROPOSAL
    assert '- !unsafe "--format={{ .Name }}"' in text
    assert 'TOKEN: "{{ vault_shop_token }}"' in text


def test_differences_show_no_secret() -> None:
    declared = {
        "service_listen": "8080",
        "service_arguments": ["--token=hunter2"],
        "service_environment": {"TOKEN": "hunter2"},
        "service_swap": "restart",
        "service_restart_delay": "",
    }
    found = differences(PROPOSAL, declared)
    assert [one.variable for one in found] == ["service_listen", "service_arguments", "service_environment"]
    assert found[2].inventory == "the names TOKEN"
    assert "hunter2" not in str(found)


def test_the_same_names_are_no_difference() -> None:
    assert differences(PROPOSAL, {"service_environment": ["TOKEN", "LEVEL"]}) == []


@pytest.mark.parametrize(
    ("variable", "proposed", "declared"),
    [
        ("service_restart_delay", 2, 2.0),
        ("service_listen", ["8080"], [8080]),
        ("service_limits", {"LimitNOFILE": "4096"}, {"LimitNOFILE": 4096}),
        ("service_sandbox", {"PrivateTmp": "no"}, {"PrivateTmp": False}),
    ],
)
def test_another_spelling_is_no_difference(variable: str, proposed: Any, declared: Any) -> None:
    assert differences({variable: proposed}, {variable: declared}) == []


def test_the_steps_name_the_files() -> None:
    said = adoption_text(TOLD, host="web1")
    kept = "etc/systemd/system/shop.service 'srv/my shop'"
    assert f"(umask 077; set -C; tar -C / -cz {kept} > /root/shop-before-slipway.tar.gz && sync) &&\n" in said
    assert "    systemctl disable --now shop.service &&\n" in said
    assert "    ansible-playbook slipway.go.site --limit web1 -e service_name=shop -e release_version=VERSION" in said
    assert said.endswith("systemctl enable --now shop.service")
    assert said.startswith("web1, shop: active (running)")
    assert "User=: it is root. Fix: create a user" in said


@pytest.mark.parametrize(
    ("enabled", "pid", "last"),
    [
        (True, 0, "systemctl enable shop.service"),
        (False, 7, "systemctl start shop.service"),
        (False, 0, "systemctl daemon-reload"),
    ],
)
def test_the_way_back_starts_what_was_started(enabled: bool, pid: int, last: str) -> None:
    assert adoption_text({**TOLD, "enabled": enabled, "pid": pid}).splitlines()[-1].strip() == last


def test_what_systemd_listens_for_is_stopped_first() -> None:
    told = {**TOLD, "pid": 0, "unit_files": [*TOLD["unit_files"], "/etc/systemd/system/shop.socket"]}
    said = adoption_text(told)
    assert "systemctl disable --now shop.socket shop.service" in said
    assert said.endswith("systemctl enable --now shop.socket shop.service")


def test_no_steps_where_something_blocks() -> None:
    said = adoption_text({**TOLD, "adoptable": False})
    assert "tar " not in said
    assert "service_swap: restart" in said


def test_a_service_that_slipway_has() -> None:
    assert "slipway has this service already" in adoption_text({"managed": True, "service": "shop"})


@pytest.mark.parametrize(("told", "declared"), [("x", None), ({}, None), (TOLD, "x")])
def test_what_is_no_answer(told: Any, declared: Any) -> None:
    with pytest.raises(AnsibleFilterError):
        adoption_text(told, declared)

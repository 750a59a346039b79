# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A misspelt variable is found with the one that was meant; a value that a role cannot use is one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.modules import variables as module
from ansible_collections.slipway.go.plugins.plugin_utils._input import known_variables

ROOT = Path(__file__).resolve().parents[5]


def test_the_module_takes_every_role_that_checks_its_variables() -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]["role"]["choices"]
    assert documented == known_variables.roles()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("release_sok_time", "release_soak_time"),
        ("release_helth", "release_health"),
        ("service_enviroment", "service_environment"),
        ("service_drain_time_out", "service_drain_timeout"),
        ("proxy_tls_certificat", "proxy_tls_certificate"),
        ("harden_ssshd", "harden_ssh"),
        ("deploy_user_key", "deploy_user_keys"),
        ("ssh_password_auth", "ssh_password_authentication"),
        ("firewall_ssh_source", "firewall_ssh_sources"),
        ("service_soak_time", "release_soak_time"),
        ("release_environement", "release_environment"),
        ("slipway_host", "slipway_hosts"),
        ("base_url", ""),
        ("site_name", ""),
        ("proxy_env", ""),
        ("service_account", ""),
    ],
)
def test_the_nearest_one(name: str, meant: str) -> None:
    assert known_variables.nearest(name) == meant


def test_every_variable_is_found_with_a_letter_missing() -> None:
    """The one that is found has that letter more."""
    wrong = []
    for name in sorted(known_variables.known()):
        prefix, tail = known_variables._split(name)
        for place in range(len(tail) % 4, len(tail), 4) if len(tail) > 4 else ():
            short = prefix + tail[:place] + tail[place + 1 :]
            found = known_variables.nearest(short)
            if short not in known_variables.known() and short not in (
                found[:at] + found[at + 1 :] for at in range(len(found))
            ):
                wrong.append((short, name, found))
    assert wrong == []


def test_names_that_nobody_reads() -> None:
    names = {
        "web1": ["release_sok_time", "service_name", "release_result", "ansible_user", "base_url", "__ssh_tried"],
        "web2": ["release_sok_time", "http_port"],
    }
    found = known_variables.find_unknown(names, [])
    assert [(one.name, one.nearest, one.hosts) for one in found] == [
        ("base_url", "", ("web1",)),
        ("release_sok_time", "release_soak_time", ("web1", "web2")),
    ]
    assert [one.name for one in known_variables.find_unknown(names, ["base_*"])] == ["release_sok_time"]
    assert known_variables.find_unknown(names, ["base_url", "release_sok_time"]) == []


def test_what_is_said_of_them() -> None:
    hosts = tuple(f"web{number}" for number in range(1, 6))
    one = known_variables.Unknown("release_sok_time", "release_soak_time", hosts)
    assert known_variables.describe(one) == (
        "release_sok_time is set for web1, web2, web3 and 2 more, and no role of slipway.go reads it."
    )
    assert known_variables.fix(one).startswith("write release_soak_time, or ")
    assert known_variables.fix(one._replace(nearest="")).startswith("remove it, or ")


def words(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("register", "loop_var"):
                yield f"register {inner}"
            elif key == "ansible.builtin.set_fact":
                yield from (f"register {name}" for name in inner)
            yield from words(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from words(inner)
    elif isinstance(value, str):
        yield value


def test_playbooks_read_what_is_known() -> None:
    """And what is known of them is read."""
    files = sorted([*(ROOT / "playbooks").glob("*.yml"), ROOT / "roles" / "release" / "tasks" / "status.yml"])
    texts = [re.sub(r"'[^']*'", "", text) for path in files for text in words(yaml.safe_load(path.read_text()))]
    read = {name for text in texts for name in re.findall(r"(?<![\w./ -])[ ]*\b([a-z]+(?:_[a-z]+)+)\b", " " + text)}
    ours = {name for name in read if name.startswith(known_variables.prefixes())}
    assert ours - known_variables.known() - known_variables.RESULTS == set()
    utils = ROOT / "plugins" / "plugin_utils" / "_input"
    own = (ROOT / "plugins" / "action" / "variables.py", utils / "declared_services.py", utils / "batch_sizes.py")
    code = "".join(path.read_text() for path in own)
    unread = {name for name in known_variables.OF_PLAYBOOKS if name not in read and name not in code}
    assert unread == set()


def test_what_roles_leave_behind_is_known() -> None:
    files = sorted([*(ROOT / "roles").glob("*/tasks/*.yml"), *(ROOT / "playbooks").glob("*.yml")])
    left = {
        text.split()[1]
        for path in files
        for text in words(yaml.safe_load(path.read_text()))
        if " " in text
        if text.startswith("register ")
    }
    assert {name for name in left if name.startswith(known_variables.prefixes())} == known_variables.RESULTS


def refusal(role: str, **given: Any) -> str:
    with pytest.raises(SlipwayError) as caught:
        known_variables.check(role, given, given.__getitem__)
    assert caught.value.code == "invalid_variable"
    return str(caught.value)


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [
        ("service", "service_swap", "sockets"),
        ("service", "service_watch", "maybe"),
        ("service", "service_drain_timeout", "30s"),
        ("service", "service_restart_delay", "1s"),
        ("service", "service_environment", "A=1 B"),
        ("service", "service_environment", ["A=1"]),
        ("service", "service_user", ["www"]),
        ("service", "service_listen", {"port": 80}),
        ("service", "service_config_files", [{"source": "shop.toml"}]),
        ("firewall", "firewall_allow", [{"prt": 80}]),
        ("firewall", "firewall_allow", [{"port": 80, "proto": "icmp"}]),
        ("ssh", "ssh_ports", "ssh"),
        ("base", "base_update", "sometimes"),
        ("proxy", "proxy_timeout", "1m"),
    ],
)
def test_what_a_role_cannot_use_is_one_sentence(role: str, name: str, value: Any) -> None:
    others = {"service_name": "shop"} if role == "service" else {}
    told = refusal(role, **{**others, name: value})
    assert name in told
    assert " Fix: " in told
    assert "\n" not in told
    assert len(told) < 300, "no specification"


def test_what_has_to_be_set() -> None:
    assert refusal("service") == "service_name is not set. Fix: set service_name"
    assert refusal("service", service_name="").startswith("service_name is empty.")


@pytest.mark.parametrize(
    ("role", "given"),
    [
        ("service", {"service_watch": "false", "service_drain_timeout": "30", "service_restart_delay": "0.5"}),
        ("service", {"service_listen": ["8080"], "service_environment": {"A": 1}, "service_rehearsal": ""}),
        ("service", {"service_log": "file", "service_watch": None, "service_config_files": [{"src": "a.j2"}]}),
        ("base", {"base_umask": "", "base_reboot_time": "04:00", "base_update": "yes"}),
        ("ssh", {"ssh_ports": ["22", 2222], "ssh_banner": False, "ssh_permit_root_login": False}),
        ("firewall", {"firewall_allow": [{"port": 80}]}),
        ("selinux", {"selinux_mode": "", "selinux_confirm_timeout": " ", "selinux_ports": ""}),
    ],
)
def test_what_a_role_can_use(role: str, given: dict[str, Any]) -> None:
    given = {"service_name": "shop", **given}
    known_variables.check(role, given, given.__getitem__)


@pytest.mark.parametrize("role", known_variables.roles())
def test_every_default_is_good(role: str) -> None:
    given = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())
    given = {name: value for name, value in given.items() if "{{" not in str(value)}
    for name, option in known_variables.specification(role).items():
        if name in given:
            known_variables.check_value(name, {**option, "default": object()}, given[name])


@pytest.mark.parametrize("name", known_variables.OF_DIRECTIVES)
@pytest.mark.parametrize(
    ("wrong", "meant"), [("ProtectSytem", "ProtectSystem"), ("protectHome", "ProtectHome"), ("MemoryMaks", "MemoryMax")]
)
def test_a_misspelt_directive(name: str, wrong: str, meant: str) -> None:
    given = {"service_name": "shop", name: {wrong: "strict"}}
    with pytest.raises(SlipwayError) as caught:
        known_variables.check("service", given, given.__getitem__)
    assert caught.value.code == "unknown_directive"
    assert str(caught.value) == f"{name} has {wrong}, which is no directive of systemd. Fix: write {meant} in {name}"


def test_directives_that_are_left_to_the_host() -> None:
    """Those that this systemd knows, systemd's own extension mark, and what only a later one may know."""
    given = {"service_name": "shop", "service_sandbox": {"ProtectSystem": "full", "X-Team": "shop", "Quux": 1}}
    known_variables.check("service", given, given.__getitem__)


@pytest.mark.parametrize(
    ("given", "fix"),
    [
        ({"su_whel": True}, "write su_wheel in base_controls"),
        ('{"su_whel": true}', "write su_wheel in base_controls"),
        ({"ssh_root": "false"}, "write the reason why ssh_root is off"),
    ],
)
def test_a_control_that_there_is_not(given: Any, fix: str) -> None:
    with pytest.raises(SlipwayError) as caught:
        known_variables.check("base", {"base_controls": given}, lambda _name: given)
    assert (caught.value.code, caught.value.fix) == ("invalid_variable", fix)
    known_variables.check("base", {"base_controls": {"su_wheel": "a reason"}}, lambda _name: {"su_wheel": "a reason"})

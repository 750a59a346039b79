# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What roles render from variables as users give them: -e and an INI inventory know strings only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._drift import written
from ansible_collections.slipway.go.tests.unit.expressions import evaluate

ROOT = Path(__file__).resolve().parents[2]
# What the host has answered.
ANSWER = {"proxy_ports": [18080, 18081], "more_ports": {"grpc": [18082, 18083], "admin": [18084, 18085]}}
PORTS = dict.fromkeys(("__service_checked", "__proxy_ports_now"), ANSWER)


def render(folder: Path, role: str, expression: str, **given: Any) -> Any:
    """The expression with the role's defaults and variables beneath what is given."""
    files = [str(ROOT / "roles" / role / name / "main.yml") for name in ("defaults", "vars")]
    return evaluate(folder, role, expression, files, given)


def units(folder: Path, **given: Any) -> dict[str, str]:
    found = render(folder, "service", "__service_units", service_name="shop", service_listen=["8080"], **PORTS, **given)
    return {unit["name"]: unit["content"] for unit in found}


def test_numbers_of_units_may_be_strings(tmp_path: Path) -> None:
    found = units(tmp_path, service_start_timeout="60", service_drain_timeout="45")
    assert (
        "--timeout 60 --metrics /var/lib/prometheus/node-exporter\nTimeoutStartSec=75\nTimeoutStopSec=65\n"
        in found["shop.service"]
    )
    assert "TimeoutStartSec=450\n" in found["shop-watch.service"]


def test_a_watch_that_is_off_may_be_a_string(tmp_path: Path) -> None:
    assert not [name for name in units(tmp_path, service_watch="false") if "watch" in name]


def test_the_watcher_and_the_run_that_acts_have_the_same_options(tmp_path: Path) -> None:
    given = {"service_watch_fall": "2", "service_watch_interval": "5", "service_watch_metrics": "/run/textfiles"}
    told = render(tmp_path, "service", "__service_watch_options", service_name="shop", service_listen=["8080"], **given)
    assert told == {"interval": 5, "fall": 2, "backoff": 30, "cap": 900, "rollback": 5, "metrics": "/run/textfiles"}
    (tmp_path / "units").mkdir()
    start = "slipway watch shop --fall 2 --backoff 30 --cap 900 --rollback 5 --metrics /run/textfiles\n"
    assert start in units(tmp_path / "units", **given)["shop-watch.service"]


def test_no_timer_of_the_watch_is_left(tmp_path: Path) -> None:
    expression = "__service_units_all | difference(__service_units | map(attribute='name'))"
    absent = render(tmp_path, "service", expression, service_name="shop", service_listen=["8080"])
    assert "shop-watch.timer" in absent
    assert "slipway-watch.service" not in absent


TLS = {
    "proxy_service": "shop",
    "proxy_swap": "proxy",
    "proxy_listen": [8080],
    "proxy_tls_listen": ["8443"],
    "proxy_tls_certificate": "/dev/null",
}


def served(folder: Path, server: str, **given: Any) -> str:
    names = {"haproxy": "haproxy/slipway.d/SERVICE.cfg.j2", "nginx": "nginx/conf.d/slipway-SERVICE.conf.j2"}
    expression = f"lookup('ansible.builtin.template', 'etc/{names[server]}')"
    return str(render(folder, "proxy", expression, proxy_server=server, **{**TLS, **PORTS, **given}))


def test_what_is_off_in_the_proxy_may_be_a_string(tmp_path: Path) -> None:
    for server in ("haproxy", "nginx"):
        folder = tmp_path / server
        folder.mkdir()
        said = served(folder, server, proxy_tls_redirect="false", proxy_hsts="0")
        assert "308" not in said
        assert "Strict-Transport-Security" not in said


def test_the_redirect_names_the_port_unless_it_is_that_of_https(tmp_path: Path) -> None:
    cases = [("[::]:8443", ":8443"), ("443", "")]
    for server, begin in (("haproxy", "https://%[var(req.slipway_host)]"), ("nginx", "https://$host")):
        for number, (listen, suffix) in enumerate(cases):
            folder = tmp_path / f"{server}{number}"
            folder.mkdir()
            end = {"haproxy": "%[pathq]", "nginx": "$request_uri"}[server]
            assert f"{begin}{suffix}{end}" in served(folder, server, proxy_tls_listen=[listen])


def test_the_environment_may_name_the_port(tmp_path: Path) -> None:
    environment = {"ADDR": '"%a\\${PORT}$x', "SLOT": "${SLIPWAY_SLOT}:${HOME}", "HOME_OF": "${HOME}", "NUMBER": 5}
    given = {"service_environment": environment, "service_arguments": ["-x"]}
    for swap in ("proxy", "restart"):
        folder = tmp_path / swap
        folder.mkdir()
        found = units(folder, service_swap=swap, service_rehearsal="slot" if swap == "proxy" else "18080", **given)
        for name in ("shop@.service", "shop-rehearsal@.service"):
            (start,) = [line for line in found[name].splitlines() if line.startswith("ExecStart=")]
            assert start == (
                'ExecStart=/usr/bin/env "ADDR=\\"%%a\\\\${PORT}$$x" "SLOT=${SLIPWAY_SLOT}:$${HOME}" '
                '/opt/shop/releases/%i/bin/shop "-x"'
            )


def test_the_environment_may_name_each_port_of_the_service(tmp_path: Path) -> None:
    found = units(
        tmp_path,
        service_swap="proxy",
        service_rehearsal="slot",
        service_more_ports='[{"name": "grpc", "listen": ["9090"]}]',
        service_environment={"A": "${SLIPWAY_ADDRESS_GRPC} ${PORT_GRPC} ${PORT_OTHER}", "B": "$PORT_GRPC"},
    )
    for name in ("shop@.service", "shop-rehearsal@.service"):
        lines = found[name].splitlines()
        assert "Environment=PORT_GRPC=18082 SLIPWAY_ADDRESS_GRPC=127.0.0.1:18082" in lines
        (start,) = [line for line in lines if line.startswith("ExecStart=")]
        assert '"A=${SLIPWAY_ADDRESS_GRPC} ${PORT_GRPC} $${PORT_OTHER}" /opt' in start.replace("  ", " ")


def test_each_public_port_has_servers_of_its_own_in_haproxy(tmp_path: Path) -> None:
    ports = [
        {"name": "grpc", "listen": ["127.0.0.1:9090"], "http2": "true", "tls": "false"},
        {"name": "admin", "listen": ["9091"], "tls": True},
    ]
    found = served(tmp_path, "haproxy", proxy_more_ports=ports, proxy_static=[{"path": "/s/", "root": "/srv"}])
    sections = dict(
        re.findall(r"^(?:frontend|backend) (\S+) from slipway-shop\n((?:(?:    .*)?\n)*)", found + "\n", re.MULTILINE)
    )
    admin, grpc = (sections[f"slipway-shop:{name}.users"] for name in ("admin", "grpc"))
    assert "    bind 127.0.0.1:9090\n" in grpc
    assert "    timeout client 3600s\n" in grpc
    assert "    bind 0.0.0.0:9091 ssl crt" in admin
    assert "timeout client" not in admin
    for name, users in (("grpc", grpc), ("admin", admin)):
        assert "    http-request del-header ^(forwarded|" in users, "nobody may say who he is, whatever the port"
        assert f"    use_backend slipway-shop:{name}.own if " in users
        assert f"    default_backend slipway-shop:{name}\n" in users
        assert "redirect" not in users
        assert "static" not in users
    for backend in ("slipway-shop:grpc", "slipway-shop:grpc.own"):
        assert (
            '    server b "${SLIPWAY_shop_b_GRPC-127.0.0.1:18083}" weight 100 "${SLIPWAY_shop_b_GRPC_state-disabled}"'
            " proto h2\n"
        ) in sections[backend]
        assert "SLIPWAY_shop_a_GRPC_state-disabled" in sections[backend], "nobody is led to a release without this port"
    assert "table slipway-shop.times" in sections["slipway-shop:admin"]
    assert "SLIPWAY_shop_a_state-enabled" in sections["slipway-shop"]


def test_users_are_known_and_chosen_in_haproxy_at_each_port(tmp_path: Path) -> None:
    ports = [{"name": "grpc", "listen": ["127.0.0.1:9090"]}]
    chosen = "header:X-Staff=yes, cookie:beta=a=b,source:2001:db8::/32"
    found = served(tmp_path, "haproxy", proxy_more_ports=ports, proxy_canary_by="cookie:sid", proxy_canary_for=chosen)
    sections = dict(
        re.findall(r"^(?:frontend|backend) (\S+) from slipway-shop\n((?:(?:    .*)?\n)*)", found + "\n", re.M)
    )
    for name in ("slipway-shop", "slipway-shop:grpc"):
        users = sections[f"{name}.users"].splitlines()
        assert users.index(f"    use_backend {name}.chosen if slipway_chosen") == len(users) - 3
        assert f"    use_backend {name}.own if {{ req.hdr(x-slipway-probe) -m found }}" in users[:-3]
        assert "    acl slipway_chosen req.hdr(X-Staff) -m str -- yes" in users
        assert "    acl slipway_chosen req.cook(beta) -m str -- a=b" in users
        assert "    acl slipway_chosen src 2001:db8::/32" in users
        assert "    balance hash req.cook(sid)\n    hash-type consistent" in sections[name]
        for other in (f"{name}.own", f"{name}.chosen"):
            assert "balance" not in sections[other]
            assert "track-sc2" not in sections[other], "whom nobody has led by chance is not compared"
        servers = [line for line in sections[name].splitlines() if line.startswith("    server ")]
        assert [line for line in sections[f"{name}.chosen"].splitlines() if line.startswith("    server ")] == servers


def test_without_a_wish_nobody_is_chosen(tmp_path: Path) -> None:
    found = served(tmp_path, "haproxy", proxy_canary_by="", proxy_canary_for="")
    assert "chosen" not in found
    assert "balance" not in found


def test_the_firewall_lets_in_each_public_port(tmp_path: Path) -> None:
    more = [{"name": "grpc", "listen": ["9090", "127.0.0.1:9091"]}]
    cases = (
        ({"service_more_ports": more}, ["8080", "9090"]),
        ({"service_more_ports": more, "firewall_service_listen": []}, []),
    )
    for number, (given, opened) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        rules = render(folder, "firewall", "__firewall_rules", service_name="shop", service_listen=["8080"], **given)
        assert [rule["port"] for rule in rules] == opened
    services = {"shop": {"service_listen": ["8080"], "service_more_ports": more}, "mailer": {"service_listen": ["25"]}}
    rules = render(tmp_path, "firewall", "__firewall_services", slipway_services=services)
    assert {one["name"]: [rule["port"] for rule in one["rules"]] for one in rules} == {
        "shop": ["8080", "9090"], "mailer": ["25"],
    }  # fmt: skip


def test_a_unit_without_the_port_in_its_environment_stays_as_it_was(tmp_path: Path) -> None:
    found = units(tmp_path, service_environment={"HOME_OF": "${HOME}", "NUMBER": 5})
    assert "\nExecStart=/opt/shop/releases/%i/bin/shop\n" in found["shop@.service"]


def test_a_socket_for_ipv4_beside_that_for_ipv6_is_for_ipv6_only(tmp_path: Path) -> None:
    cases = (
        (["0.0.0.0:8080", "[::]:8080"], True),
        (["8080"], False),
        (["[::]:8080"], False),
        (["8080", "0.0.0.0:9090", "[::]:9090"], False),
    )
    for number, (listen, alone) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        expression = "lookup('ansible.builtin.template', 'etc/systemd/system/SERVICE.socket.j2')"
        text = render(folder, "service", expression, service_name="shop", service_listen=listen)
        assert ("BindIPv6Only=ipv6-only\n" in text) is alone, listen


def test_nginx_redirects_no_request_without_a_host(tmp_path: Path) -> None:
    assert 'if ($http_host = "") {\n        return 400;' in served(tmp_path, "nginx")


def test_drift_knows_the_drop_in_that_the_role_proxy_writes(tmp_path: Path) -> None:
    template = "etc/systemd/system/haproxy.service.d/slipway.conf.j2"
    found = render(tmp_path, "proxy", f"lookup('ansible.builtin.template', '{template}')")
    assert written.is_haproxy_drop_in(found)

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which services a host has, from what the roles leave on it."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._hardening.services import Service, public_ports, services


def put(root, path, text=""):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_bare_host_has_none(tmp_path):
    assert services(str(tmp_path)) == []


def test_services_are_told_by_their_records(tmp_path):
    put(tmp_path, "etc/slipway/services/shop.json", '{"listen": ["8080", "127.0.0.1:9000"]}')
    put(tmp_path, "etc/slipway/services/worker.json", '{"listen": []}')
    put(tmp_path, "etc/slipway/services/README", "not a record")
    assert services(str(tmp_path)) == [Service("shop", ("8080", "127.0.0.1:9000")), Service("worker")]


def test_a_host_of_an_earlier_version_is_read_from_its_units(tmp_path):
    put(tmp_path, "var/lib/slipway/shop/settings.json", "{}")
    put(tmp_path, "var/lib/slipway/deadman/journal.jsonl")
    put(tmp_path, "etc/systemd/system/shop.socket", "[Socket]\nListenStream=8080\nListenStream=/run/shop.sock\n")
    assert services(str(tmp_path)) == [Service("shop", ("8080", "/run/shop.sock"))]


@pytest.mark.parametrize(
    ("port", "listen"),
    [("bind :::80 v4v6", ("80",)), ("bind 0.0.0.0:80\n    bind :::80 v6only", ("80", "0.0.0.0:80"))],
)
def test_what_haproxy_listens_on_for_a_service(tmp_path, port, listen):
    put(tmp_path, "etc/slipway/services/shop.json", '{"listen": ["80"]}')
    put(
        tmp_path,
        "etc/haproxy/slipway.d/shop.cfg",
        f"frontend x\n    {port}\n    bind 10.0.0.1:443 ssl crt x\nbackend y\n    server a 127.0.0.1:1\n",
    )
    assert services(str(tmp_path)) == [Service("shop", (*listen, "10.0.0.1:443"))]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"listen": 8080}', '{"listen": "8080"}'])
def test_a_damaged_record_is_named_and_not_taken_for_no_port(tmp_path, text):
    put(tmp_path, "etc/slipway/services/shop.json", text)
    with pytest.raises(SlipwayError, match=r"shop\.json"):
        services(str(tmp_path))


def test_only_what_others_can_reach_is_public():
    listen = [
        "8080",
        "0.0.0.0:81",
        "[::]:82",
        "127.0.0.1:83",
        "localhost:84",
        "[::1]:85",
        "/run/x:86",
        "@x:87",
        "10.0.0.1:88",
    ]
    assert public_ports(listen) == ["8080", "81", "82", "88"]

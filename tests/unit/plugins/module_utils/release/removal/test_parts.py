# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes, what stays, and what was never the service's."""

from __future__ import annotations

import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.removal import parts
from ansible_collections.slipway.go.plugins.module_utils._units import foreign


def below(host, paths):
    return {os.path.relpath(path, host.top) for path in paths}


def test_all_that_goes_and_what_stays(host):
    found = host.parts("shop")
    assert below(host, found.doomed()) == {
        "etc/slipway/watch/shop.json",
        "etc/haproxy/slipway.d/shop.cfg",
        "etc/slipway-haproxy/shop.pem",
        "etc/haproxy/slipway.live/shop.cfg",
        "etc/nginx/conf.d/slipway-shop.conf",
        *(f"etc/systemd/system/{unit}" for unit in foreign.names_of("shop")),
        "run/shop.sock",
        "etc/logrotate.d/shop",
        "var/metrics/slipway-shop.prom",
        "etc/slipway/next/.shop.old",
        *(f"etc/shop/{part}" for part in ("environment", "config", "credentials", "units")),
        "opt/shop/current",
        "opt/shop/last-good",
        *(
            f"var/lib/slipway/shop/{part}"
            for part in ("settings.json", "watch.json", "verified.json", "progress.json", "slots")
        ),
        "etc/slipway/services/shop.json",
        "var/lib/slipway/shop/units.json",
    }
    kept = {"var/lib/shop", "var/log/shop", "opt/shop/releases"}
    kept |= {f"var/lib/slipway/shop/{part}" for part in ("released", "boot.env")}
    assert below(host, found.kept()) == {*kept, "var/lib/slipway/shop/journal.jsonl"}
    more = host.parts("shop", data=True)
    assert below(host, more.doomed()) - below(host, found.doomed()) == kept
    assert below(host, more.kept()) == {"var/lib/slipway/shop/journal.jsonl"}


def test_nothing_of_a_service_whose_name_begins_alike(host):
    ours, others = host.parts("shop", data=True), host.parts("shop-admin", data=True)
    assert not {*ours.doomed(), *ours.kept()} & {*others.doomed(), *others.kept()}


def test_what_is_somebody_elses_stays(host):
    host.write("etc/logrotate.d/shop", "/var/log/shop/*.log {\n}\n")
    host.write("etc/systemd/system/shop-alert.service", "[Service]\nExecStart=/srv/alert\n")
    mine = host.write("etc/shop/mine.toml")
    found = host.parts("shop")
    assert not {"etc/logrotate.d/shop", "etc/systemd/system/shop-alert.service"} & below(host, found.doomed())
    assert str(mine) in found.kept()


def test_drop_ins_go_so_that_the_name_is_free_again(host):
    drop_in = host.write("etc/systemd/system/shop@.service.d/own.conf", "[Service]\n")
    host.write("etc/systemd/system/shop-admin@.service.d/own.conf", "[Service]\n")
    found = host.parts("shop")
    assert (found.drop_ins, str(drop_in) in found.doomed()) == ([str(drop_in)], True)


def test_data_of_another_account_with_that_name_is_not_the_services(host, monkeypatch):
    monkeypatch.setattr(parts, "_uid", lambda _user: None)
    monkeypatch.setattr(parts, "_gid", lambda _group: 0)
    found = host.parts("shop", data=True)
    assert below(host, found.data) == {
        "opt/shop/releases",
        "var/lib/slipway/shop/released",
        "var/lib/slipway/shop/boot.env",
    }


def test_a_link_in_the_place_of_data_is_not_followed(host):
    (host.top / "var/lib/shop").rename(host.top / "elsewhere")
    (host.top / "var/lib/shop").symlink_to(host.top / "elsewhere")
    assert "var/lib/shop" not in below(host, host.parts("shop", data=True).doomed())


def test_a_host_that_has_never_had_it(host):
    found = host.parts("kiosk", data=True)
    host.write("var/lib/kiosk/data")
    host.write("etc/kiosk/environment")
    assert (found.is_known, found.doomed()) == (False, [])


@pytest.mark.parametrize("part", ["etc/slipway/services/shop.json", "var/lib/slipway/shop/units.json"])
def test_one_trace_is_enough_to_go_on(host, part):
    """What is left of a removal that was cut short."""
    for path in host.parts("shop").doomed():
        if os.path.relpath(path, host.top) != part and not os.path.isdir(path):
            os.unlink(path)
    assert host.parts("shop").is_managed
    assert part in below(host, host.parts("shop").doomed())

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a service is not as it was released, on a host that is a few files; the tests of site.yml have a real one."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._drift import released
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout

CURRENT = "1.0.0-aa00bb11cc"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    layout = Layout("shop", str(tmp_path / "opt"), unit_root=str(tmp_path / "units"))
    for folder in (layout.release_units(CURRENT), layout.unit_root):
        os.makedirs(folder)
        for unit in ("shop.socket", "shop@.service"):
            with open(os.path.join(folder, unit), "w", encoding="utf-8") as stream:
                stream.write(unit)
    os.symlink(f"releases/{CURRENT}", layout.current)
    told = {"state": "active (running)", "in_flight": None, "damaged": [], "differences": []}
    one = SimpleNamespace(settings=SimpleNamespace(name="shop"), layout=layout, status=lambda _answers: told)
    monkeypatch.setattr(released, "operator", lambda _name: one)
    return SimpleNamespace(layout=layout, told=told, at_boot={"shop.service", "shop.socket"})


def found(shop):
    systemd = SimpleNamespace(is_enabled=lambda unit: unit in shop.at_boot)
    compared = released.compare_services("shop", systemd)
    return [(os.path.basename(one.what), one.expected, one.found) for one in compared.findings], compared.in_flight


def test_as_it_was_released(shop):
    assert found(shop) == ([], [])


def test_every_difference_is_named(shop):
    shop.told.update(state="failed (failed)", differences=["bin/shop has another content"], damaged=["a damage"])
    shop.at_boot.clear()
    os.unlink(shop.layout.socket_unit)
    for unit in (shop.layout.template_unit, shop.layout.guard_unit):
        with open(unit, "w", encoding="utf-8") as stream:
            stream.write("by hand")
    assert found(shop)[0] == [
        ("shop", "readable", "a damage"),
        (CURRENT, "as it was released", "bin/shop has another content"),
        ("shop-guard.service", "none", "a unit"),
        ("shop.socket", f"as {CURRENT} brought it", "missing"),
        ("shop@.service", f"as {CURRENT} brought it", "another content"),
        ("shop.service", "active", "failed (failed)"),
        ("shop.service", "started at boot", "not started at boot"),
        ("shop.socket", "started at boot", "not started at boot"),
    ]


def test_a_release_in_flight_is_not_compared(shop):
    shop.told.update(state="failed (failed)", in_flight={"phase": "OVERLAP"})
    assert found(shop) == ([], ["shop"])


def test_a_service_that_serves_nothing_any_more(shop):
    os.unlink(shop.layout.current)
    shop.told["state"] = "never released"
    assert found(shop)[0] == []
    shop.told["state"] = "no release serves"
    assert found(shop)[0] == [("current", "a link to a release", "none")]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SlipwayError("damaged_settings", "it is damaged.", "restore it"), "it is damaged."),
        (PermissionError(13, "Permission denied", "/x"), "Permission denied /x"),
    ],
)
def test_a_service_that_cannot_be_read_does_not_hide_the_others(shop, monkeypatch, error, told):
    good = released.operator

    def operator(name):
        if name == "bad":
            raise error
        return good(name)

    monkeypatch.setattr(released, "operator", operator)
    monkeypatch.setattr(released, "services", lambda: ["bad", "shop"])
    shop.at_boot.clear()
    compared = released.compare_services("", SimpleNamespace(is_enabled=lambda _unit: False))
    first = compared.findings[0]
    assert (first.service, first.found) == ("bad", told)
    assert {one.service for one in compared.findings} == {"bad", "shop"} == set(compared.services)


def test_a_service_that_is_not_there_is_a_failure(monkeypatch):
    def operator(name):
        raise SlipwayError("unknown_service", f"{name} has never been released on this host.", "choose another")

    monkeypatch.setattr(released, "operator", operator)
    with pytest.raises(SlipwayError):
        released.compare_services("nobody", SimpleNamespace())

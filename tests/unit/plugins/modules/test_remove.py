# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The name has to be there twice, a service that nobody knows is no failure, and what was done is told."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Settings
from ansible_collections.slipway.go.plugins.module_utils._release.verbs.remove import Removed
from ansible_collections.slipway.go.plugins.modules import remove
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module


@pytest.fixture
def asked(monkeypatch):
    """What the engine was asked."""
    asked = []

    class Engine:
        def __init__(self, settings):
            self.settings = settings

        def remove(self, wish, predict):
            asked.append((self.settings, wish, predict))
            return Removed(["/etc/shop/environment"], ["/var/lib/shop"], wish.archive)

    monkeypatch.setattr(remove, "Engine", Engine)
    monkeypatch.setattr(remove.withdrawal, "withdraw", lambda name, check: ["/etc/sudoers.d/90-slipway-deploy"])
    settings = Settings("shop", "/srv/shop", health={"url": "http://x/"}, drain_timeout=7.0)
    monkeypatch.setattr(remove, "load_settings", lambda name: settings)
    return asked


def test_what_was_done_is_told(asked, capsys):
    result = run_module(remove, capsys, name="shop", confirm="shop", archive="/root/shop.tar.gz", data=True)
    assert result["changed"]
    assert (result["removed"], result["kept"]) == (["/etc/shop/environment"], ["/var/lib/shop"])
    assert (result["sudo"], result["archive"]) == (["/etc/sudoers.d/90-slipway-deploy"], "/root/shop.tar.gz")
    ((settings, wish, predict),) = asked
    assert (settings.root, settings.drain_timeout, settings.health) == ("/srv/shop", 7.0, {})
    assert (wish.user, wish.group, wish.data, predict) == ("shop", "shop", True, False)


def test_check_mode_asks_for_a_prediction(asked, capsys):
    run_module(remove, capsys, name="shop", confirm="shop", user="www", _ansible_check_mode=True)
    ((_settings, wish, predict),) = asked
    assert (wish.user, wish.group, wish.data, predict) == ("www", "www", False, True)


@pytest.mark.parametrize("confirm", ["", "Shop", "shop ", "shop-admin", "True"])
def test_a_name_that_is_not_there_twice_changes_nothing(asked, capsys, confirm):
    result = run_module(remove, capsys, name="shop", confirm=confirm)
    assert (result["failed"], result["code"], asked) == (True, "name_not_confirmed", [])
    assert result["msg"] == (
        f"remove_confirm is {confirm!r} and the service is 'shop', so nothing was changed. "
        "Fix: set remove_confirm to shop if that service is to be removed"
    )


@pytest.mark.parametrize("name", ["../shop", "slipway", "shop-guard", ""])
def test_what_is_no_name_is_refused(asked, capsys, name):
    result = run_module(remove, capsys, name=name, confirm=name)
    assert (result["failed"], result["code"], asked) == (True, "invalid_name", [])


@pytest.mark.parametrize("code", ["unknown_service", "damaged_settings"])
def test_settings_are_no_condition(asked, monkeypatch, capsys, code):
    def load(name):
        raise SlipwayError(code, f"{name} is not known.", "release it")

    monkeypatch.setattr(remove, "load_settings", load)
    run_module(remove, capsys, name="shop", confirm="shop")
    run_module(remove, capsys, name="shop", confirm="shop", root="/srv/here")
    assert [settings.root for settings, _wish, _predict in asked] == ["/opt/shop", "/srv/here"]


def test_a_service_that_the_host_does_not_know_has_no_rules_of_sudo(asked, monkeypatch, capsys):
    class Engine:
        def __init__(self, settings):
            pass

        def remove(self, wish, predict):
            return Removed([], [], known=False)

    monkeypatch.setattr(remove, "Engine", Engine)
    result = run_module(remove, capsys, name="shop", confirm="shop")
    assert (result["changed"], result["sudo"], result["known"]) == (False, [], False)

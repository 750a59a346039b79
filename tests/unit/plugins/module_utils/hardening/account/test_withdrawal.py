# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines about one service leave the rules of sudo, and no other line does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System
from ansible_collections.slipway.go.plugins.module_utils._hardening.account import sudo, withdrawal
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.account.people import BOB_SAME


def rules(*services, **more):
    return sudo.rules(replace(BOB_SAME, **{"sudo": "limited", "services": list(services), **more})) or ""


def test_the_rules_are_those_of_the_services_that_stay():
    text = rules("shop", "shop-admin", commands=["/usr/bin/journalctl -u shop"])
    assert sudo.without_service(text, "shop") == rules("shop-admin", commands=["/usr/bin/journalctl -u shop"])
    assert sudo.without_service(text, "kiosk") == text


def test_full_rules_have_no_line_about_a_service():
    text = rules(sudo="full")
    assert sudo.without_service(text, "shop") == text


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(sudo, "check", list)
    for name in ("units", "run"):
        (tmp_path / name).mkdir()
    folder = tmp_path / "etc/sudoers.d"
    folder.mkdir(parents=True)
    (folder / "90-slipway-bob").write_text(rules("shop", "shop-admin"))
    (folder / "90-slipway-eve").write_text(rules("shop-admin"))
    (folder / "mine").write_text(rules("shop"))
    return tmp_path


def withdraw(host, check=False):
    system = System(str(host / "deadman"), str(host / "units"), str(host / "run"), lambda argv: (0, ""))
    return withdrawal.withdraw("shop", check, system, str(host))


def test_only_files_that_change_are_written_and_only_the_roles_own(host):
    folder = host / "etc/sudoers.d"
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert withdraw(host, check=True) == [str(folder / "90-slipway-bob")]
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert withdraw(host) == [str(folder / "90-slipway-bob")]
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        **before,
        "90-slipway-bob": rules("shop-admin"),
    }
    assert (folder / "90-slipway-bob").stat().st_mode & 0o777 == 0o440
    assert withdraw(host) == []


def test_a_host_without_such_rules(tmp_path):
    (tmp_path / "units").mkdir()
    assert withdraw(tmp_path) == []

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Units are verified before any is written, and in check mode none is."""

from __future__ import annotations

import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import staged_units
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._units import installer
from ansible_collections.slipway.go.plugins.modules import systemd_units
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module

UNIT = {"name": "shop.socket", "content": "[Socket]\n", "enabled": True}


@pytest.fixture
def steps(monkeypatch):
    """What was done, in order."""
    steps = []

    def plan(wanted, absent):
        changes = [
            installer.UnitChange("shop.socket", "old\n", "[Socket]\n"),
            installer.UnitChange("gone.service", "x\n", None),
        ]
        return installer.UnitPlan(wanted, changes if wanted[0].content != "same" else [], [], [], [])

    def verify(wanted):
        steps.append("verify")
        if wanted[0].content == "bad":
            raise SlipwayError("invalid_unit", "systemd would not take it.", "correct it")
        return ["shop.socket:3: Unknown key"]

    monkeypatch.setattr(systemd_units.AnsibleModule, "warn", lambda _module, text: steps.append(f"warn {text}"))
    monkeypatch.setattr(installer, "plan", plan)
    monkeypatch.setattr(installer, "verify", verify)
    monkeypatch.setattr(installer, "apply", lambda planned: steps.append("apply"))
    return steps


def test_verified_then_written(steps, capsys):
    result = run_module(systemd_units, capsys, units=[UNIT], absent=["gone.service"])
    assert steps == ["verify", "warn shop.socket:3: Unknown key", "apply"]
    assert result["changed"] is True
    assert result["units"] == ["gone.service", "shop.socket"]
    assert result["diff"][0] == {
        "before_header": "/etc/systemd/system/shop.socket",
        "after_header": "/etc/systemd/system/shop.socket",
        "before": "old\n",
        "after": "[Socket]\n",
    }
    assert (result["diff"][1]["before"], result["diff"][1]["after"]) == ("x\n", "")


def test_check_mode_verifies_and_writes_nothing(steps, capsys):
    result = run_module(systemd_units, capsys, units=[UNIT], _ansible_check_mode=True)
    assert "apply" not in steps
    assert steps[0] == "verify"
    assert result["changed"] is True


def test_nothing_to_do(steps, capsys):
    result = run_module(systemd_units, capsys, units=[{"name": "shop.socket", "content": "same"}])
    assert (result["changed"], result["units"], result["diff"]) == (False, [], [])
    assert steps == ["apply"]


def test_what_systemd_refuses_is_not_written(steps, capsys):
    result = run_module(systemd_units, capsys, units=[{"name": "shop.socket", "content": "bad"}])
    assert (result["failed"], result["code"], result["fix"]) == (True, "invalid_unit", "correct it")
    assert steps == ["verify"]


@pytest.mark.parametrize("unit", [{"name": "shop.socket"}, {"content": "x"}, {**UNIT, "mode": "0644"}])
def test_incomplete_units_are_refused(steps, capsys, unit):
    assert run_module(systemd_units, capsys, units=[unit])["failed"] is True
    assert steps == []


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host whose PID 1 and service have these folders."""
    roots = {f"{name}_root": str(tmp_path / name) for name in ("state", "config", "unit", "proxy")}
    for root in roots.values():
        (tmp_path / root).mkdir()
    monkeypatch.setattr(systemd_units, "Layout", lambda name, root: Layout(name, root, **roots))
    plan = installer.plan
    monkeypatch.setattr(installer, "plan", lambda wanted, absent: plan(wanted, absent, roots["unit_root"]))
    for name in ("is_enabled", "is_active"):
        monkeypatch.setattr(installer, name, lambda _name: True)
    monkeypatch.setattr(installer, "verify", lambda _wanted: [])
    monkeypatch.setattr(installer.Systemd, "stale", lambda *_names: ())
    monkeypatch.setattr(installer.Systemd, "call", lambda *_argv, **_options: "")
    return tmp_path


def test_a_unit_of_the_next_release_waits_beside_its_configuration(host, capsys, monkeypatch):
    monkeypatch.setattr(staged_units.integrity, "differences", lambda _layout, _release: [])

    def apply(content, **more):
        unit = {"name": "shop@.service", "content": content}
        return run_module(
            systemd_units, capsys, units=[unit], service={"name": "shop", "root": str(host / "shop")}, **more
        )

    def texts():
        return [(host / place / "shop@.service").read_text() for place in ("unit", "config/shop/units")]

    assert apply("first")["changed"] is True
    assert texts() == ["first", "first"]
    folder = host / "shop" / "releases" / "v1-0123456789" / "units"
    folder.mkdir(parents=True)
    (folder / "shop@.service").write_text("first")
    (host / "shop" / "current").symlink_to("releases/v1-0123456789")
    assert apply("second", _ansible_check_mode=True)["changed"] is True
    assert texts() == ["first", "first"]
    assert apply("second")["changed"] is True
    assert texts() == ["first", "second"]
    assert apply("second")["changed"] is False
    (host / "unit" / "shop@.service").write_text("by hand, of /var/lib/slipway/shop")
    assert apply("second")["changed"] is True
    assert texts() == ["first", "second"]


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("name", ["shop.service", "shop@.service", "shop.socket", "shop-watch.timer"])
def test_a_hand_made_unit_is_neither_overwritten_nor_removed(host, capsys, monkeypatch, name, check_mode):
    done = []
    monkeypatch.setattr(installer.Systemd, "call", lambda _self, *argv, **_options: done.append(argv[0]) or "")
    (host / "unit" / name).write_text("[Service]\nExecStart=/srv/shop\n")
    result = run_module(
        systemd_units,
        capsys,
        units=[{"name": "shop@.service", "content": "x"}, {"name": "shop.service", "content": "y"}],
        absent=["shop.socket", "shop-watch.timer"],
        service={"name": "shop", "root": str(host / "shop")},
        _ansible_check_mode=check_mode,
    )
    assert (result["failed"], result["code"]) == (True, "foreign_unit")
    assert str(host / "unit" / name) in result["msg"]
    assert (host / "unit" / name).read_text() == "[Service]\nExecStart=/srv/shop\n"
    assert os.listdir(host / "unit") == [name]
    assert not (host / "config" / "shop").exists()
    assert set(done) <= {"show"}


def test_drop_ins_of_the_operator_are_told(host, capsys):
    def apply():
        unit = {"name": "shop@.service", "content": "x"}
        return run_module(systemd_units, capsys, units=[unit], service={"name": "shop", "root": str(host / "shop")})

    assert apply()["drop_ins"] == []
    folder = host / "unit" / "shop@.service.d"
    folder.mkdir()
    (folder / "override.conf").write_text("[Service]\nNice=5\n")
    again = apply()
    assert (again["changed"], again["drop_ins"]) == (False, [str(folder / "override.conf")])

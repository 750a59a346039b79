# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's configuration and units in one call: nothing before all is accepted, and nothing secret told."""

from __future__ import annotations

import grp
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.takeover import Takeover
from ansible_collections.slipway.go.plugins.module_utils._units import installer
from ansible_collections.slipway.go.plugins.modules import service_files
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module

SEALED = {
    "environment": 'KEY="hunter2"\n',
    "config": [{"name": "shop.toml", "content": "a = 1\n", "secret": False}],
    "credentials": {"key": "hunter3", "empty": ""},
}
UNITS = [
    {"name": "shop@.service", "content": "[Service]\nEnvironment=SLIPWAY_RELEASE=%i\n"},
    {"name": "shop.service", "content": "[Service]\nEnvironmentFile=/var/lib/slipway/shop/boot.env\n"},
]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    roots = {f"{name}_root": str(tmp_path / name) for name in ("state", "config", "unit", "proxy")}
    (tmp_path / "unit").mkdir()
    monkeypatch.setattr(service_files, "Layout", lambda name, root: Layout(name, root, **roots))
    monkeypatch.setattr(service_files, "RECORDS", str(tmp_path / "records"))
    monkeypatch.setattr(service_files, "WATCHES", str(tmp_path / "watch"))
    for name in ("is_enabled", "is_active"):
        monkeypatch.setattr(installer, name, lambda _name: True)
    monkeypatch.setattr(installer, "verify", lambda _wanted, _given: [])
    monkeypatch.setattr(installer.Systemd, "stale", lambda *_names: ())
    monkeypatch.setattr(installer.Systemd, "call", lambda *_argv, **_options: "")
    return tmp_path


def apply(capsys: Any, host: Path, **more: Any) -> dict[str, Any]:
    given = {"group": grp.getgrgid(os.getgid()).gr_name, "record": {"listen": ["8080"]}, "units": UNITS}
    sealed = json.dumps(more.pop("sealed", SEALED))
    return run_module(service_files, capsys, name="shop", root=str(host / "shop"), sealed=sealed, **{**given, **more})


def texts(host: Path) -> dict[str, str]:
    return {
        str(path.relative_to(host)): path.read_text()
        for place in ("config/shop", "unit", "records", "watch")
        for path in (host / place).rglob("*")
        if path.is_file()
    }


def test_everything_and_once_more(host: Path, capsys: Any) -> None:
    foreseen = apply(capsys, host, _ansible_check_mode=True)
    assert (foreseen["changed"], texts(host)) == (True, {})
    done = apply(capsys, host)
    assert done["units"] == ["shop.service", "shop@.service"]
    assert texts(host) == {
        "config/shop/environment": SEALED["environment"],
        "config/shop/config/shop.toml": "a = 1\n",
        "config/shop/credentials/key": "hunter3",
        "config/shop/credentials/empty": "",
        "config/shop/units/shop@.service": UNITS[0]["content"],
        "unit/shop@.service": UNITS[0]["content"],
        "unit/shop.service": UNITS[1]["content"],
        "records/shop.json": '{"listen": ["8080"]}',
    }
    assert "a = 1" in str(done["diff"])
    assert "hunter" not in str(done) + str(foreseen)
    again = apply(capsys, host)
    assert (again["changed"], again["paths"], again["units"], again["diff"]) == (False, [], [], [])


def test_a_unit_that_systemd_would_not_take_leaves_everything_as_it_was(
    host: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(capsys, host)
    before = texts(host)

    def refuse(_wanted: Any, _given: Any) -> list[str]:
        raise SlipwayError("invalid_unit", "systemd would not take it.", "correct it")

    monkeypatch.setattr(installer, "verify", refuse)
    bad = [{**UNITS[0], "content": "[Service]\nNonsense=SLIPWAY_RELEASE=%i\n"}, UNITS[1]]
    sealed = {**SEALED, "environment": 'KEY="other"\n'}
    assert apply(capsys, host, units=bad, sealed=sealed, record={"listen": []})["code"] == "invalid_unit"
    assert texts(host) == before


@pytest.mark.parametrize("more", [{}, {"state": "checked"}, {"_ansible_check_mode": True}])
def test_a_hand_made_unit_leaves_everything_as_it_was(host: Path, capsys: Any, more: dict[str, Any]) -> None:
    (host / "unit" / "shop.service").write_text("[Service]\nExecStart=/srv/shop\n")
    assert apply(capsys, host, **more)["code"] == "foreign_unit"
    assert texts(host) == {"unit/shop.service": "[Service]\nExecStart=/srv/shop\n"}
    assert not (host / "state").exists()


def test_beside_a_service_that_is_taken_over_the_units_of_its_names_wait(host: Path, capsys: Any) -> None:
    roots = {f"{name}_root": str(host / name) for name in ("state", "config", "unit", "proxy")}
    by_hand = {"shop.service": "[Service]\nExecStart=/srv/shop\n", "shop.socket": "[Socket]\nListenStream=8080\n"}
    for name, text in by_hand.items():
        (host / "unit" / name).write_text(text)
    takeover = Takeover(Layout("shop", str(host / "shop"), **roots))
    takeover.keep([str(host / "unit" / name) for name in by_hand], [])
    for changed in (True, False):
        done = apply(capsys, host, absent=["shop.socket", "shop-guard.service"])
        assert done["changed"] is changed, done
        found = texts(host)
        assert {name: found.get(f"unit/{name}") for name in by_hand} == by_hand
        assert found["unit/shop@.service"] == UNITS[0]["content"]
        assert takeover.held() == {"shop.service": UNITS[1]["content"]}
    takeover.settle()
    assert apply(capsys, host)["code"] == "foreign_unit"


@pytest.mark.parametrize("more", [{}, {"state": "checked"}, {"_ansible_check_mode": True}])
@pytest.mark.parametrize("name", ["environment", "config/production.yml", "credentials/key", "units/shop@.service"])
def test_files_of_a_service_that_slipway_does_not_know_stay(
    host: Path, capsys: Any, more: dict[str, Any], name: str
) -> None:
    path = host / "config" / "shop" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (host / "config" / "shop").chmod(0o755)
    path.write_text("mine\n")
    (host / "config" / "shop" / "ca.pem").write_text("not in the way\n")
    before = texts(host)
    done = apply(capsys, host, **more)
    assert (done["code"], done["files"]) == ("foreign_files", [str(path)])
    assert texts(host) == before
    path.unlink()
    assert "code" not in apply(capsys, host)
    if "state" not in more:
        assert (host / "config" / "shop").stat().st_mode & 0o777 == 0o755, "others may read ca.pem as before"


@pytest.mark.parametrize("mode", [0o700, 0o777])
def test_a_folder_in_which_the_service_can_do_nothing_or_everybody_all_is_set_right(
    host: Path, capsys: Any, mode: int
) -> None:
    (host / "config" / "shop").mkdir(parents=True)
    (host / "config" / "shop").chmod(mode)
    assert "code" not in apply(capsys, host)
    assert (host / "config" / "shop").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("name", ["current", "last-good"])
def test_another_tools_link_to_its_release_stays(host: Path, capsys: Any, name: str) -> None:
    link = host / "shop" / name
    link.parent.mkdir()
    link.symlink_to("releases/20240101120000")
    done = apply(capsys, host)
    assert (done["code"], done["files"]) == ("foreign_files", [str(link)])
    assert (os.readlink(link), texts(host)) == ("releases/20240101120000", {})


def test_a_rotation_rule_that_is_not_slipways_stays(host: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = host / "logrotate.d" / "shop"
    rule.parent.mkdir()
    monkeypatch.setattr(service_files, "LOGROTATE", str(rule.parent))
    rule.write_text("/var/log/shop/*.log {}\n")
    assert apply(capsys, host, log_rotation=True)["code"] == "foreign_files"
    assert (texts(host), rule.read_text()) == ({}, "/var/log/shop/*.log {}\n")
    rule.write_text("/var/log/shop/own/*.log {}\n")
    assert "code" not in apply(capsys, host, log_rotation=True)


def test_a_group_that_is_not_there_is_told_before_anything_is_written(host: Path, capsys: Any) -> None:
    assert apply(capsys, host, group="nosuchgroup")["code"] == "no_group"
    assert texts(host) == {}


def test_without_the_controllers_half_nothing_happens(host: Path, capsys: Any) -> None:
    assert run_module(service_files, capsys, name="shop", units=UNITS)["code"] == "not_rendered"
    assert texts(host) == {}


def test_the_hosts_watcher_knows_how_to_watch_the_service(host: Path, capsys: Any) -> None:
    options = {"interval": 10, "fall": 3}
    file = host / "watch" / "shop.json"
    assert apply(capsys, host, watch=options, _ansible_check_mode=True)["changed"] is True
    assert not file.exists()
    assert [apply(capsys, host, watch=options)["changed"] for _turn in range(2)] == [True, False]
    assert json.loads(file.read_text()) == options
    assert apply(capsys, host, _ansible_check_mode=True)["changed"] is True
    assert file.exists()
    assert [apply(capsys, host)["changed"] for _turn in range(2)] == [True, False]
    assert not file.exists()


def test_the_watcher_finds_the_options_when_it_is_started(
    host: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    monkeypatch.setattr(installer, "apply", lambda _planned: found.append((host / "watch" / "shop.json").exists()))
    apply(capsys, host, watch={"interval": 10})
    assert found == [True]


def test_a_watch_that_exports_no_more_leaves_no_verdict(host: Path, capsys: Any) -> None:
    folder = host / "textfiles"
    folder.mkdir()
    (folder / "slipway-shop.prom").write_text("slipway_up 1\n")
    watch = {
        "name": "shop-watch.service",
        "content": f"[Service]\nExecStart=/usr/local/sbin/slipway watch shop --metrics {folder}\n",
    }
    apply(capsys, host, units=[*UNITS, watch])
    apply(capsys, host, units=[*UNITS, {**watch, "content": watch["content"] + "# more\n"}])
    assert os.listdir(folder) == ["slipway-shop.prom"]
    apply(capsys, host, units=UNITS, absent=["shop-watch.service"])
    assert os.listdir(folder) == []


def test_a_run_that_is_killed_between_units_and_configuration_leaves_the_old_set(
    host: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(capsys, host)
    before = {path: text for path, text in texts(host).items() if path.startswith("config/")}

    def killed(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    changed = [UNITS[0], {**UNITS[1], "content": "# /var/lib/slipway/\n"}]
    with monkeypatch.context() as patched:
        patched.setattr(service_files.configuration, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            apply(capsys, host, sealed={**SEALED, "environment": 'KEY="new"\n'}, units=changed)
    assert {path: text for path, text in texts(host).items() if path.startswith("config/")} == before
    assert apply(capsys, host)["changed"] is True

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module that keeps a former service and gives it back: what it answers, and what check mode leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._adoption import switch
from ansible_collections.slipway.go.plugins.module_utils._adoption.switch import Files, Wish
from ansible_collections.slipway.go.plugins.module_utils._release.outcome import Outcome
from ansible_collections.slipway.go.plugins.modules import adoption
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module

UNIT = "/etc/systemd/system/shop.service"


class Engine:
    """Remembers what it was asked to do."""

    def __init__(self, done: list[str], taken: bool) -> None:
        self.done, self.taken = done, taken

    def recover(self) -> None:
        self.done.append("recover")

    def keep_former(self, moved: Any, kept: Any) -> None:
        self.done.append(f"keep {len(moved)} of {len(kept)}")
        self.taken = True

    def close_former(self, predict: bool) -> bool:
        self.done.append("predict" if predict else "close")
        return True

    def takes_over(self) -> bool:
        return self.taken

    def give_back(self, predict: bool) -> Outcome:
        self.done.append("predict" if predict else "give back")
        return Outcome(True, None, "1-abc", "given_back", downtime_seconds=None if predict else 0.12345)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    acts: list[str] = []
    monkeypatch.setattr(adoption, "Engine", lambda _settings, by: Engine(acts, taken=False))
    monkeypatch.setattr(switch, "files_to_keep", lambda _layout, _wish: Files([UNIT], [UNIT, "/srv/shop"]))
    return acts


def test_what_is_kept(done: list[str], capsys: Any) -> None:
    told = run_module(adoption, capsys, name="shop")
    assert (told["changed"], told["takes_over"], told["kept"]) == (True, True, [UNIT, "/srv/shop"])
    assert done == ["recover", "keep 1 of 2"]


def test_what_was_prepared_is_closed(done: list[str], capsys: Any) -> None:
    assert run_module(adoption, capsys, name="shop", state="closed")["changed"]
    assert run_module(adoption, capsys, name="shop", state="closed", _ansible_check_mode=True)["changed"]
    assert done == ["close", "predict"]


def test_check_mode_only_foresees_it(done: list[str], capsys: Any) -> None:
    told = run_module(adoption, capsys, name="shop", _ansible_check_mode=True)
    assert (told["changed"], told["takes_over"], done) == (True, True, [])
    back = run_module(adoption, capsys, name="shop", state="given_back", _ansible_check_mode=True)
    assert (back["changed"], back["previous"], done) == (True, "1-abc", ["predict"])
    assert "downtime_seconds" not in back


def test_nothing_is_kept_of_a_service_that_slipway_has(
    done: list[str], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "files_to_keep", lambda _layout, _wish: None)
    told = run_module(adoption, capsys, name="shop")
    assert (told["changed"], told["takes_over"], done) == (False, False, ["recover"])


def test_the_downtime_of_the_way_back(done: list[str], capsys: Any) -> None:
    told = run_module(adoption, capsys, name="shop", state="given_back")
    assert (told["downtime_seconds"], done) == (0.123, ["give back"])


def test_what_the_unit_has_that_blocks_is_told_with_each_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = {"setting": "Type=forking", "message": "it forks", "fix": "use Type=exec", "blocks": True}
    told = {"managed": False, "findings": [finding], "moved": [UNIT], "kept": [UNIT]}
    monkeypatch.setattr(switch, "look", lambda _layout: told)
    layout = adoption.Layout("shop", "/opt/shop")
    with pytest.raises(switch.ProblemsError) as caught:
        switch.files_to_keep(layout, Wish("restart"))
    assert (caught.value.code, str(caught.value)) == ("not_adoptable", "Type=forking: it forks. Fix: use Type=exec")
    assert switch.files_to_keep(layout, Wish("restart", foreground=True)) == Files([UNIT], [UNIT])

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._hardening.account import removal
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.account.people import BOB


def test_what_is_left_of_a_removed_account_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "REMOVED", str(tmp_path / "state" / "removed"))
    home = tmp_path / "home" / "bob"
    (home / ".ssh").mkdir(parents=True)
    assert removal.remains("bob") == []
    removal.write_record(replace(BOB, home=str(home), uid=os.getuid() + 1))
    assert removal.remains("bob") == []
    removal.write_record(replace(BOB, home=str(home), uid=os.getuid()))
    assert removal.remove_remains("bob") == [str(home)]
    assert not home.exists()
    assert removal.remove_remains("bob") == []

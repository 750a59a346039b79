"""What would be changed, and who is asked first; that it is made, armed and taken back is tried on hosts."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System
from ansible_collections.slipway.go.plugins.module_utils._hardening.account import change, entries, refusals, removal
from ansible_collections.slipway.go.plugins.module_utils._hardening.account.model import WantedAccount
from ansible_collections.slipway.go.plugins.module_utils._hardening.services import Service
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.account.people import BOB, KEY


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A host without Bob, with one service."""
    monkeypatch.setattr(entries, "look", lambda _name: None)
    monkeypatch.setattr(refusals, "refuse_unusable", lambda *_arguments: None)
    monkeypatch.setattr(change.sudo, "path", lambda name: str(tmp_path / name))
    monkeypatch.setattr(change, "services", lambda: [Service("shop")])
    monkeypatch.setattr(removal, "REMOVED", str(tmp_path / "removed"))
    return System(str(tmp_path / "deadman"), str(tmp_path), str(tmp_path), lambda _argv: (0, ""))


def test_a_new_account_with_the_services_that_the_host_has(system: System, tmp_path: Path) -> None:
    asked = WantedAccount("bob", [KEY], home=str(tmp_path / "home"), services=["api"])
    done = change.make_present(asked, 60, True, True, system)
    assert (done.changes, done.token, done.services) == (["account", "keys", "sudo"], None, ["api", "shop"])
    assert done.login == {"user": "bob", "sudo": "limited", "command": ["/usr/bin/systemctl", "start", "api"]}
    assert [part["after"].splitlines()[-1] for part in done.diff[1:]] == [
        KEY,
        "bob ALL=(root) NOPASSWD: /usr/local/sbin/slipway rollback shop",
    ]


def test_an_account_that_may_do_everything_needs_no_services(system: System, tmp_path: Path) -> None:
    asked = WantedAccount("bob", [KEY], home=str(tmp_path / "home"), sudo="full")
    assert change.make_present(asked, 60, True, True, system).as_dict()["services"] == []


def test_an_account_that_is_not_there_is_no_change(system: System) -> None:
    done = change.make_absent("bob", 60, True, False, system)
    assert done.as_dict() == {
        "changed": False, "changes": [], "diff": [], "token": None, "login": None, "services": [],
    }  # fmt: skip


def test_a_removal_is_refused_before_anything_changes(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(account: object) -> None:
        assert account == BOB
        raise SlipwayError("not_removable", "no.")

    monkeypatch.setattr(entries, "look", lambda _name: BOB)
    monkeypatch.setattr(removal, "refuse_removal", refuse)
    with pytest.raises(SlipwayError, match="no"):
        change.make_absent("bob", 60, True, False, system)
    monkeypatch.setattr(removal, "refuse_removal", lambda _account: None)
    done = change.make_absent("bob", 60, True, True, system)
    assert (done.changes, done.token) == (["account"], None)

"""An account that is there is never changed, and a person's account never serves a service."""

from __future__ import annotations

import grp
import pwd

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.modules import system_user


def account(name: str, uid: int, shell: str) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, uid, "", "/nonexistent", shell))


def lookup(monkeypatch: pytest.MonkeyPatch, users: dict[str, pwd.struct_passwd], groups: set[str]) -> None:
    def group(name: str) -> grp.struct_group:
        if name not in groups:
            raise KeyError(name)
        return grp.struct_group((name, "x", 1, []))

    monkeypatch.setattr(system_user.pwd, "getpwnam", users.__getitem__)
    monkeypatch.setattr(system_user.grp, "getgrnam", group)


def test_what_is_missing_is_created(monkeypatch: pytest.MonkeyPatch) -> None:
    lookup(monkeypatch, {}, set())
    commands = system_user.missing("shop", "shop")
    assert [(c[0], c[-1]) for c in commands] == [("groupadd", "shop"), ("useradd", "shop")]
    assert "/usr/sbin/nologin" in commands[1]


def test_a_service_user_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    lookup(monkeypatch, {"shop": account("shop", 998, "/usr/sbin/nologin")}, {"shop"})
    assert system_user.missing("shop", "shop") == []


@pytest.mark.parametrize("person", [account("alice", 1000, "/bin/bash"), account("root", 0, "/usr/sbin/nologin")])
def test_people_and_root_are_refused(monkeypatch: pytest.MonkeyPatch, person: pwd.struct_passwd) -> None:
    lookup(monkeypatch, {person.pw_name: person}, {"shop"})
    with pytest.raises(SlipwayError, match="service_user"):
        system_user.missing(person.pw_name, "shop")

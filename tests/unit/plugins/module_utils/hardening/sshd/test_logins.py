from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._hardening.sshd import logins
from ansible_collections.slipway.go.plugins.module_utils._hardening.sshd.logins import Candidate, ShutOut

OPEN = {
    "permitrootlogin": ["yes"],
    "passwordauthentication": ["yes"],
    "kbdinteractiveauthentication": ["no"],
    "pubkeyauthentication": ["yes"],
    "authorizedkeysfile": [".ssh/authorized_keys .ssh/authorized_keys2"],
    "authorizedkeyscommand": ["none"],
    "trustedusercakeys": ["none"],
}


def somebody(home: Path, key: bool = False, password: bool = False, **more: Any) -> Candidate:
    if key:
        (home / ".ssh").mkdir(parents=True, exist_ok=True)
        (home / ".ssh" / "authorized_keys2").write_text("# mine\nssh-ed25519 AAAA ann\n")
    values = {"name": "ann", "uid": 1001, "home": str(home), "groups": ["ann", "wheel"], "has_password": password}
    return Candidate(**{**values, **more})


@pytest.mark.parametrize(
    ("key", "password", "changed", "means"),
    [
        (True, True, {}, ["key", "password"]),
        (True, True, {"passwordauthentication": ["no"]}, ["key"]),
        (True, True, {"pubkeyauthentication": ["no"]}, ["password"]),
        (True, False, {"authorizedkeysfile": ["/etc/ssh/keys/%u"]}, []),
        (False, True, {"passwordauthentication": ["no"]}, []),
        (False, True, {"passwordauthentication": ["no"], "kbdinteractiveauthentication": ["yes"]}, ["password"]),
        (False, False, {}, []),
        (False, False, {"authorizedkeyscommand": ["/usr/bin/keys %u"]}, ["key"]),
        (False, False, {"trustedusercakeys": ["/etc/ssh/ca.pub"]}, ["key"]),
        (True, True, {"allowusers": ["deploy", "bob"]}, []),
        (True, False, {"allowusers": ["deploy", "ann@192.0.2.0/24"]}, ["key"]),
        (True, False, {"denyusers": ["a*"]}, []),
        (True, False, {"allowgroups": ["wheel"]}, ["key"]),
        (True, False, {"allowgroups": ["sudo"]}, []),
        (True, False, {"denygroups": ["wheel"]}, []),
    ],
)
def test_who_can_log_in(tmp_path: Path, key: bool, password: bool, changed: dict[str, Any], means: list[str]) -> None:
    assert logins.means(somebody(tmp_path, key, password), {**OPEN, **changed}) == means


def test_whoever_may_only_copy_files_can_log_in_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    homes = {name: tmp_path / name for name in ("upload", "daemon", "ann")}
    somebody(homes["upload"], key=True)
    shells = {"upload": "/usr/sbin/nologin", "daemon": "/usr/sbin/nologin", "ann": "/bin/sh"}
    listed = [SimpleNamespace(pw_name=n, pw_uid=1001, pw_dir=str(homes[n]), pw_shell=s) for n, s in shells.items()]
    monkeypatch.setattr(logins.pwd, "getpwall", lambda: listed)
    monkeypatch.setattr(logins.access, "groups_of", lambda _name: [])
    found = logins.candidates()
    assert [(one.name, one.has_shell) for one in found] == [("upload", False), ("ann", True)]
    assert logins.means(found[0], OPEN) == ["key"]
    (homes["upload"] / ".ssh" / "authorized_keys2").unlink()
    assert logins.means(found[0], {**OPEN, "trustedusercakeys": ["/etc/ssh/ca.pub"]}) == [], "nobody has said so"


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("yes", ["key", "password"]),
        ("prohibit-password", ["key"]),
        ("without-password", ["key"]),
        ("no", []),
        ("forced-commands-only", []),
    ],
)
def test_root_is_let_in_by_a_directive_of_its_own(tmp_path: Path, said: str, means: list[str]) -> None:
    root = somebody(tmp_path, True, True, name="root", uid=0)
    assert logins.means(root, {**OPEN, "permitrootlogin": [said]}) == means


def test_a_program_s_account_is_nobody_s_by_a_certificate_alone(tmp_path: Path) -> None:
    daemon = somebody(tmp_path, name="backup", uid=34)
    assert logins.means(daemon, {**OPEN, "trustedusercakeys": ["/etc/ssh/ca.pub"]}) == []


def test_those_who_lose_their_access_are_told_with_the_reason(tmp_path: Path) -> None:
    people = [
        somebody(tmp_path / "ann", True),
        somebody(tmp_path / "bob", False, True, name="bob"),
        somebody(tmp_path / "deploy", True, name="deploy"),
        somebody(tmp_path / "old", False, False, name="old"),
        somebody(tmp_path / "root", True, False, name="root", uid=0),
    ]
    after = {**OPEN, "allowusers": ["deploy", "bob"], "passwordauthentication": ["no"], "permitrootlogin": ["no"]}
    found = logins.shut_out(people, lambda _user: OPEN, lambda _user: after)
    assert [(one.name, one.means) for one in found] == [("ann", ["key"]), ("bob", ["password"]), ("root", ["key"])]
    assert "AllowUsers deploy bob" in str(found[0])
    assert "PasswordAuthentication no" in str(found[1])


ANN, ROOT = ShutOut("ann", ["key"], "AllowUsers deploy"), ShutOut("root", ["key"], "PermitRootLogin no")


@pytest.mark.parametrize(
    ("found", "accepted", "root_is_closed", "refused"),
    [
        ([], [], False, None),
        ([ROOT], [], True, None),
        ([ROOT], [], False, ["root"]),
        ([ANN, ROOT], [], True, ["ann"]),
        ([ANN, ROOT], ["ann"], True, None),
        ([ANN], ["bob"], True, ["ann"]),
        ([ANN, ROOT], ["*"], False, None),
    ],
)
def test_nobody_is_shut_out_unasked(
    found: list[ShutOut], accepted: list[str], root_is_closed: bool, refused: list[str] | None
) -> None:
    if refused is None:
        logins.refuse(found, accepted, root_is_closed)
        return
    with pytest.raises(SlipwayError) as raised:
        logins.refuse(found, accepted, root_is_closed)
    assert raised.value.details["shut_out"] == refused
    assert "ssh_shut_out_users" in raised.value.fix


def test_the_list_of_the_file_that_goes_does_not_count_any_more() -> None:
    now = {"allowusers": ["deploy", "ann", "carl"], "denygroups": ["guests"]}
    assert logins.lists_after({}, now, ["deploy", "ann"]) == {"allowusers": ["carl"], "denygroups": ["guests"]}
    assert logins.lists_after({"AllowUsers": ["deploy"]}, now, ["ann"]) == {
        "allowusers": ["deploy"],
        "denygroups": ["guests"],
    }

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System
from ansible_collections.slipway.go.plugins.module_utils._hardening import account
from ansible_collections.slipway.go.plugins.module_utils._hardening.account import Account, Wanted

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA bob@desk"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB ann@desk"
DAY = 20000
LASTS = ["--maxdays", "99999", "--inactive", "-1", "--expiredate", "-1"]
SHADOW = ("bob", "*", "19000", "0", "99999", "7", "", "", "")
BOB = Account("bob", 1001, 1001, "/srv/bob", "/bin/sh", frozenset({"bob", "adm"}), SHADOW)
BOB_SAME = Wanted("bob", [KEY])


def shadow(**fields: str) -> tuple[str, ...]:
    names = ("name", "password", "changed", "least", "longest", "warn", "inactive", "expires", "flag")
    return tuple({**dict(zip(names, SHADOW)), **fields}.values())


def test_an_account_that_is_there_keeps_its_home_and_its_shell() -> None:
    wanted = account.complete(BOB_SAME, BOB)
    assert (wanted.home, wanted.shell) == ("/srv/bob", "/bin/sh")
    assert account.entry_commands(wanted, BOB, DAY) == []


def test_a_new_account_gets_what_is_usual() -> None:
    wanted = account.complete(replace(BOB_SAME, groups=["adm"]), None)
    (argv,) = account.entry_commands(wanted, None, DAY)
    assert argv[0] == "useradd"
    assert argv[-1] == "bob"
    assert argv[argv.index("--home-dir") + 1] == "/home/bob"
    assert argv[argv.index("--shell") + 1] == "/bin/bash"
    assert argv[argv.index("--groups") + 1] == "adm"
    lasts = ["--expiredate", "", "--inactive", "-1", "--key", "PASS_MAX_DAYS=99999"]
    assert " ".join(lasts) in " ".join(argv), "login.defs and default/useradd would end it"


def test_a_key_with_options_is_in_force_only_with_these() -> None:
    asked = f'restrict,command="/bin/deploy a" {KEY}'
    assert account.wanted_keys(f"{KEY}\n", [asked], False) == f"{asked}\n{KEY}\n"
    assert account.wanted_keys(f"{asked}\n", [asked], False) == f"{asked}\n"


@pytest.mark.parametrize(
    ("now", "code", "says"),
    [
        ({"longest": "90", "changed": "99000"}, "password_expires", "expires on 2241-04-20.*chage -M 99999 bob"),
        ({"expires": "99000"}, "account_expires", "expires on 2241-01-20.*chage -E -1 bob"),
        ({"expires": "99000", "password": "*"}, "", ""),
        ({"longest": "90", "changed": "99000", "password": "!x"}, "", ""),
    ],
)
def test_who_may_be_meant_to_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: dict[str, str], code: str, says: str
) -> None:
    """PAM refuses keys, too, from the day on which a password or an account has expired."""
    monkeypatch.setattr(account, "refuse_shell", lambda *_words: None)
    monkeypatch.setattr(account, "_refuse_home", lambda *_words: None)
    there = replace(BOB, shadow=shadow(**{"password": "$y$x", **now}))
    assert "ends on" in account.describe(there)
    if not code:
        account.refuse_unusable(account.complete(BOB_SAME, there), there, System())
        return
    with pytest.raises(SlipwayError, match=says) as raised:
        account.refuse_unusable(account.complete(BOB_SAME, there), there, System())
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("asked", "now", "commands"),
    [
        ({"shell": "/bin/zsh"}, {}, [["usermod", "--shell", "/bin/zsh", "bob"]]),
        ({"home": "/home/bob"}, {}, [["usermod", "--home", "/home/bob", "bob"]]),
        ({"groups": ["adm", "docker"]}, {}, [["usermod", "--append", "--groups", "docker", "bob"]]),
        ({"groups": ["adm"]}, {}, []),
        ({}, {"expires": "20000"}, [["chage", *LASTS, "bob"]]),
        ({}, {"expires": "20001"}, [["chage", *LASTS, "bob"]]),
        ({}, {"expires": "20000", "password": "$y$x"}, [["usermod", "--expiredate", "", "bob"]]),
        ({}, {"changed": "0"}, [["chage", "--lastday", "20000", "bob"]]),
        ({}, {"longest": "90"}, [["chage", "--lastday", "20000", *LASTS, "bob"]]),
        ({}, {"longest": "9000", "password": "!"}, [["chage", *LASTS, "bob"]]),
        ({}, {"longest": "", "inactive": "30"}, []),
        ({}, {"longest": "90", "changed": ""}, []),
    ],
)
def test_what_an_account_needs(asked: dict[str, Any], now: dict[str, str], commands: list[list[str]]) -> None:
    there = replace(BOB, shadow=shadow(**now))
    assert account.entry_commands(account.complete(replace(BOB_SAME, **asked), there), there, DAY) == commands


def test_an_account_of_a_directory_service_is_not_changed() -> None:
    there = replace(BOB, shadow=())
    assert account.entry_commands(account.complete(BOB_SAME, there), there, DAY) == []
    with pytest.raises(SlipwayError) as raised:
        account.entry_commands(account.complete(replace(BOB_SAME, shell="/bin/zsh"), there), there, DAY)
    assert raised.value.code == "not_local"


def script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("shell", "why"),
    [
        ("/usr/sbin/nologin", "it is no shell"),
        ("bash", "it is no shell"),
        ("/no/such/shell", "no such file"),
        ("/bin", "not everybody may execute it"),
        ("/bin/cat", "it does not run a command"),
        ("/bin/true", "it is no shell"),
    ],
)
def test_a_shell_that_lets_nobody_in_is_refused(shell: str, why: str) -> None:
    with pytest.raises(SlipwayError, match=why) as raised:
        account.refuse_shell(shell, System())
    assert raised.value.code == "unusable_shell"
    assert "nothing was changed" in str(raised.value)


def test_a_shell_that_runs_commands_is_one_and_one_that_others_may_write_is_not(tmp_path: Path) -> None:
    account.refuse_shell("/bin/sh", System())
    account.refuse_shell(script(tmp_path / "mine", 'exec /bin/sh "$@"'), System())
    for text, mode in (('exec /bin/sh "$@"', 0o757), ('exec /bin/sh "$@"', 0o700), ("exit 0", 0o755)):
        with pytest.raises(SlipwayError):
            account.refuse_shell(script(tmp_path / "sh", text, mode), System())


@pytest.mark.parametrize("home", ["/", "relative", "/srv/../x", "/no/such"])
def test_a_home_that_could_not_be_one_is_refused(home: str) -> None:
    with pytest.raises(SlipwayError) as raised:
        account._refuse_home(account.complete(replace(BOB_SAME, home=home), BOB), BOB)
    assert raised.value.code == "unusable_home"


def test_another_home_has_to_be_there_and_the_accounts_own(tmp_path: Path) -> None:
    there = replace(BOB, uid=os.getuid(), home=str(tmp_path))
    asked = account.complete(replace(BOB_SAME, home=str(tmp_path / "new")), there)
    with pytest.raises(SlipwayError, match="is not there"):
        account._refuse_home(asked, there)
    (tmp_path / "new").mkdir()
    account._refuse_home(asked, there)
    with pytest.raises(SlipwayError, match="does not belong to bob"):
        account._refuse_home(asked, replace(there, uid=os.getuid() + 1))


@pytest.mark.parametrize(
    ("before", "exclusive", "after"),
    [
        (None, True, f"{KEY}\n"),
        (f"# mine\n{KEY}\n", True, f"# mine\n{KEY}\n"),
        (f"{OTHER}\n{KEY}\n", True, f"{KEY}\n"),
        (f"{OTHER}\n", False, f"{OTHER}\n{KEY}\n"),
        (f"{KEY} renamed\n", False, f"{KEY} renamed\n"),
        (f'from="192.0.2.1" {KEY} renamed\n', False, f'{KEY}\nfrom="192.0.2.1" {KEY} renamed\n'),
        (f'{OTHER}\ncommand="/bin/a \\"b" {KEY}\n', False, f'{OTHER}\n{KEY}\ncommand="/bin/a \\"b" {KEY}\n'),
        (f"{KEY}\nrestrict {KEY}\n", False, f"{KEY}\nrestrict {KEY}\n"),
        (f"# {KEY}\n#{KEY}\n", False, f"# {KEY}\n#{KEY}\n{KEY}\n"),
        (f'from="192.0.2.1" {KEY}\n', True, f"{KEY}\n"),
        ("", True, f"{KEY}\n"),
        (OTHER, False, f"{OTHER}\n{KEY}\n"),
    ],
)
def test_keys(before: str | None, exclusive: bool, after: str) -> None:
    assert account.wanted_keys(before, [f"{KEY}\n"], exclusive) == after


def me(home: Path) -> Account:
    return replace(BOB, uid=os.getuid(), gid=os.getgid(), home=str(home))


def test_keys_are_written_for_their_owner_alone(tmp_path: Path) -> None:
    account.write_keys(me(tmp_path), f"{KEY}\n")
    assert account.read_keys(str(tmp_path)) == f"{KEY}\n"
    assert (tmp_path / ".ssh").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / ".ssh/authorized_keys").stat().st_mode & 0o777 == 0o600
    assert account.keys_are_safe(me(tmp_path), str(tmp_path))
    (tmp_path / ".ssh/authorized_keys").chmod(0o666)
    assert not account.keys_are_safe(me(tmp_path), str(tmp_path))
    assert [path.name for path in (tmp_path / ".ssh").iterdir()] == ["authorized_keys"]


@pytest.mark.parametrize("what", [".ssh", ".ssh/authorized_keys"])
def test_keys_are_not_written_through_a_link(tmp_path: Path, what: str) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    (home / ".ssh").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "authorized_keys").write_text("others\n")
    if what == ".ssh":
        (home / ".ssh").rmdir()
        (home / what).symlink_to(elsewhere)
        with pytest.raises(OSError, match=r"\.ssh"):
            account.write_keys(me(home), f"{KEY}\n")
    else:
        (home / what).symlink_to(elsewhere / "authorized_keys")
        with pytest.raises(SlipwayError) as raised:
            account.read_keys(str(home))
        assert raised.value.code == "bent_path"
        account.write_keys(me(home), f"{KEY}\n")
    assert (elsewhere / "authorized_keys").read_text() == "others\n"


@pytest.mark.parametrize(
    ("sudo", "services", "proof"),
    [
        ("full", ["shop"], {"sudo": "full", "command": []}),
        ("limited", ["shop"], {"sudo": "limited", "command": ["/usr/bin/systemctl", "start", "shop"]}),
        ("limited", [], {"sudo": "none", "command": []}),
        ("none", ["shop"], {"sudo": "none", "command": []}),
    ],
)
def test_what_is_proven_is_what_is_given(sudo: str, services: list[str], proof: dict[str, Any]) -> None:
    assert replace(BOB_SAME, sudo=sudo, services=services).proof() == {"user": "bob", **proof}


def test_sudo_rules_name_every_service_and_nothing_else() -> None:
    text = account.sudoers(replace(BOB_SAME, sudo="limited", services=["api", "shop"], commands=["/bin/x y"])) or ""
    rules = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(rules) == 2 * len(account.SERVICE_COMMANDS) + 1
    assert all(rule.startswith("bob ALL=(root) NOPASSWD: /") for rule in rules)
    assert account.sudoers(replace(BOB_SAME, sudo="none")) is None


def test_what_is_left_of_a_removed_account_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "REMOVED", str(tmp_path / "state" / "removed"))
    home = tmp_path / "home" / "bob"
    (home / ".ssh").mkdir(parents=True)
    assert account.remains("bob") == []
    account.write_record(replace(BOB, home=str(home), uid=os.getuid() + 1))
    assert account.remains("bob") == []
    account.write_record(replace(BOB, home=str(home), uid=os.getuid()))
    assert account.remove_remains("bob") == [str(home)]
    assert not home.exists()
    assert account.remove_remains("bob") == []

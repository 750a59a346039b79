from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._hardening.account import entries
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.account.people import (
    BOB,
    BOB_SAME,
    DAY,
    LASTS,
    shadow,
)


def test_an_account_that_is_there_keeps_its_home_and_its_shell() -> None:
    wanted = entries.complete(BOB_SAME, BOB)
    assert (wanted.home, wanted.shell) == ("/srv/bob", "/bin/sh")
    assert entries.entry_commands(wanted, BOB, DAY) == []


def test_a_new_account_gets_what_is_usual() -> None:
    wanted = entries.complete(replace(BOB_SAME, groups=["adm"]), None)
    (argv,) = entries.entry_commands(wanted, None, DAY)
    assert argv[0] == "useradd"
    assert argv[-1] == "bob"
    assert argv[argv.index("--home-dir") + 1] == "/home/bob"
    assert argv[argv.index("--shell") + 1] == "/bin/bash"
    assert argv[argv.index("--groups") + 1] == "adm"
    lasts = ["--expiredate", "", "--inactive", "-1", "--key", "PASS_MAX_DAYS=99999"]
    assert " ".join(lasts) in " ".join(argv), "login.defs and default/useradd would end it"


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
    assert entries.entry_commands(entries.complete(replace(BOB_SAME, **asked), there), there, DAY) == commands


def test_an_account_of_a_directory_service_is_not_changed() -> None:
    there = replace(BOB, shadow=())
    assert entries.entry_commands(entries.complete(BOB_SAME, there), there, DAY) == []
    with pytest.raises(SlipwayError) as raised:
        entries.entry_commands(entries.complete(replace(BOB_SAME, shell="/bin/zsh"), there), there, DAY)
    assert raised.value.code == "not_local"

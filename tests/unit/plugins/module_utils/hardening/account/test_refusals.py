from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System
from ansible_collections.slipway.go.plugins.module_utils._hardening.account import entries, refusals
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.account.people import (
    BOB,
    BOB_SAME,
    script,
    shadow,
)


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
    monkeypatch.setattr(refusals, "refuse_shell", lambda *_words: None)
    monkeypatch.setattr(refusals, "_refuse_home", lambda *_words: None)
    there = replace(BOB, shadow=shadow(**{"password": "$y$x", **now}))
    assert "ends on" in entries.describe(there)
    if not code:
        refusals.refuse_unusable(entries.complete(BOB_SAME, there), there, System())
        return
    with pytest.raises(SlipwayError, match=says) as raised:
        refusals.refuse_unusable(entries.complete(BOB_SAME, there), there, System())
    assert raised.value.code == code


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
        refusals.refuse_shell(shell, System())
    assert raised.value.code == "unusable_shell"
    assert "nothing was changed" in str(raised.value)


def test_a_shell_that_runs_commands_is_one_and_one_that_others_may_write_is_not(tmp_path: Path) -> None:
    refusals.refuse_shell("/bin/sh", System())
    refusals.refuse_shell(script(tmp_path / "mine", 'exec /bin/sh "$@"'), System())
    for text, mode in (('exec /bin/sh "$@"', 0o757), ('exec /bin/sh "$@"', 0o700), ("exit 0", 0o755)):
        with pytest.raises(SlipwayError):
            refusals.refuse_shell(script(tmp_path / "sh", text, mode), System())


@pytest.mark.parametrize("home", ["/", "relative", "/srv/../x", "/no/such"])
def test_a_home_that_could_not_be_one_is_refused(home: str) -> None:
    with pytest.raises(SlipwayError) as raised:
        refusals._refuse_home(entries.complete(replace(BOB_SAME, home=home), BOB), BOB)
    assert raised.value.code == "unusable_home"


def test_another_home_has_to_be_there_and_the_accounts_own(tmp_path: Path) -> None:
    there = replace(BOB, uid=os.getuid(), home=str(tmp_path))
    asked = entries.complete(replace(BOB_SAME, home=str(tmp_path / "new")), there)
    with pytest.raises(SlipwayError, match="is not there"):
        refusals._refuse_home(asked, there)
    (tmp_path / "new").mkdir()
    refusals._refuse_home(asked, there)
    with pytest.raises(SlipwayError, match="does not belong to bob"):
        refusals._refuse_home(asked, replace(there, uid=os.getuid() + 1))

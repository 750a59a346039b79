from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._hardening.account import keys
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.account.people import KEY, OTHER, me


def test_a_key_with_options_is_in_force_only_with_these() -> None:
    asked = f'restrict,command="/bin/deploy a" {KEY}'
    assert keys.wanted_keys(f"{KEY}\n", [asked], False) == f"{asked}\n{KEY}\n"
    assert keys.wanted_keys(f"{asked}\n", [asked], False) == f"{asked}\n"


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
    assert keys.wanted_keys(before, [f"{KEY}\n"], exclusive) == after


def test_keys_are_written_for_their_owner_alone(tmp_path: Path) -> None:
    keys.write_keys(me(tmp_path), f"{KEY}\n")
    assert keys.read_keys(str(tmp_path)) == f"{KEY}\n"
    assert (tmp_path / ".ssh").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / ".ssh/authorized_keys").stat().st_mode & 0o777 == 0o600
    assert keys.keys_are_safe(me(tmp_path), str(tmp_path))
    (tmp_path / ".ssh/authorized_keys").chmod(0o666)
    assert not keys.keys_are_safe(me(tmp_path), str(tmp_path))
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
            keys.write_keys(me(home), f"{KEY}\n")
    else:
        (home / what).symlink_to(elsewhere / "authorized_keys")
        with pytest.raises(SlipwayError) as raised:
            keys.read_keys(str(home))
        assert raised.value.code == "bent_path"
        assert raised.value.fix == "replace it by a file"
        keys.write_keys(me(home), f"{KEY}\n")
    assert (elsewhere / "authorized_keys").read_text() == "others\n"

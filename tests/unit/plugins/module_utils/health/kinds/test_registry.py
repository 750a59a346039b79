"""The kinds of checks: each is one file and one entry in the registry."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health.kinds import registry
from ansible_collections.slipway.go.plugins.module_utils._health.spec.check import COMMON_OPTIONS


def test_every_file_with_a_kind_is_registered() -> None:
    folder = Path(registry.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "\nKIND = Kind(" in path.read_text(encoding="utf-8")}
    assert set(registry.KINDS) == files | {"https"}


@pytest.mark.parametrize("name", sorted(registry.KINDS))
def test_no_kind_takes_the_name_of_an_option_that_all_have(name: str) -> None:
    assert registry.KINDS[name]().options & COMMON_OPTIONS == set()


def test_what_is_sent_to_an_address() -> None:
    kinds = {name for name in registry.KINDS if registry.has_address(name)}
    assert kinds == set(registry.KINDS) - {"exec", "systemd"}
    assert not registry.has_address("shop")
    assert not registry.has_address(["http"])

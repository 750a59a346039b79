from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.filter.not_networks import not_networks


def test_addresses_and_networks() -> None:
    assert not_networks(["203.0.113.7", "203.0.113.0/24", "0.0.0.0/0", "2001:db8::/32", "::1"]) == []


@pytest.mark.parametrize(
    "entry",
    ["", "10.0.0.1/8", "10.0.0.0/255.0.0.0", "10.0.0.0/33", "10.0.0/8", "fe80::1%eth0", "shop.test",
     "10.0.0.1 10.0.0.2", "10.0.0.1\n", "10.0.0.1;", 10, None, ["10.0.0.1"]],
)  # fmt: skip
def test_everything_else_is_named(entry: Any) -> None:
    assert not_networks(["::1", entry]) == [entry]


def test_a_text_is_no_list() -> None:
    assert not_networks("10.0.0.1") == ["10.0.0.1"]

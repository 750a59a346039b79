from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.account.people import BOB_SAME


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

from __future__ import annotations

from dataclasses import replace

from ansible_collections.slipway.go.plugins.module_utils._hardening.account import model, sudo
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.hardening.account.people import BOB_SAME


def test_sudo_rules_name_every_service_and_nothing_else() -> None:
    text = sudo.rules(replace(BOB_SAME, sudo="limited", services=["api", "shop"], commands=["/bin/x y"])) or ""
    rules = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(rules) == 2 * len(model.SERVICE_COMMANDS) + 1
    assert all(rule.startswith("bob ALL=(root) NOPASSWD: /") for rule in rules)
    assert sudo.rules(replace(BOB_SAME, sudo="none")) is None

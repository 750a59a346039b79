from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import Reason
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.deadman.host import plan


def test_a_torn_line_of_the_journal_is_skipped(system, etc):
    tokens = []
    for _round in range(2):
        tokens.append(deadman.arm("ssh", 30, plan(etc / "c"), system))
        ending.revert("ssh", tokens[-1], Reason.DEADLINE, system)
        with open(system.journal(), "a") as journal:
            journal.write('{"time": 1, "na')
    assert ending.last_revert("ssh", system)["token"] == tokens[-1]
    with pytest.raises(SlipwayError, match=r"taken back \(deadline\)"):
        ending.confirm("ssh", tokens[-1], system)

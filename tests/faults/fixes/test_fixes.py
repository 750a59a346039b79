"""The fix table: each failure is made on a lab host, its fix is applied as it is read, and the next run passes.

`make fixes` runs it. tests/unit/test_fixes.py requires a row, or a reason against one, for every error code.
"""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.go.tests.faults.fixes.model import Row
from ansible_collections.slipway.go.tests.faults.fixes.rows import SUBJECTS

ROWS = [(subject, row) for subject, rows in SUBJECTS.items() for row in rows]


@pytest.mark.parametrize(("subject", "row"), ROWS, ids=[f"{subject}-{row.name}" for subject, row in ROWS])
def test_the_fix_lets_the_next_run_pass(trials: Any, subject: str, row: Row) -> None:
    result = trials.result(subject, row)
    assert not result.broken, result.broken

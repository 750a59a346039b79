"""Every row of the fix table by its subject, in the order in which they run."""

from __future__ import annotations

from ansible_collections.slipway.go.tests.faults.fixes import (
    access,
    building,
    intake,
    life,
    playbooks,
    programs,
    settings,
)
from ansible_collections.slipway.go.tests.faults.fixes.model import Row

SUBJECTS: dict[str, list[Row]] = {
    "programs": programs.ROWS,
    "access": access.ROWS,
    "building": building.ROWS,
    "intake": intake.ROWS,
    "settings": settings.ROWS,
    "playbooks": playbooks.ROWS,
    "diagnosis": life.DIAGNOSIS,
    "life": life.ROWS,
}

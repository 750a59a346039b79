# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a host complies with the controls, one row for each. Reads only. PRIVATE to the collection."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from .._deadman.model import System
from . import checks
from .checks import DEVIATIONS, Verdict
from .controls import CONTROLS, Control
from .evidence import Evidence, Wanted
from .look import look

REFERENCES = "CIS: Benchmark for Debian Linux 12. ANSSI: BP-028, version 2."


def compliance(wanted: Wanted, system: System) -> dict[str, Any]:
    return answers(look(wanted, system), wanted)


def answers(evidence: Evidence, wanted: Wanted) -> dict[str, Any]:
    rows = [_row(control, evidence, wanted) for control in CONTROLS]
    return {"controls": rows, "counts": _counts(rows), "references": REFERENCES}


def _row(control: Control, evidence: Evidence, wanted: Wanted) -> dict[str, Any]:
    found = checks.answer(control.name, evidence, wanted)
    deviates = found.verdict in DEVIATIONS
    return {
        "control": control.name,
        "title": control.title,
        "references": list(control.references),
        "verdict": found.verdict.value,
        "expected": found.expected,
        "found": found.found,
        "verified": control.verified,
        "reason": found.reason,
        "fix": checks.fix(control.name, wanted.choices[control.name].on) if deviates else "",
    }


def _counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {verdict.value: sum(row["verdict"] == verdict.value for row in rows) for verdict in Verdict}

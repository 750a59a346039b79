# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.problems import Problem, ProblemsError


def test_one_error_names_every_problem() -> None:
    problems = [Problem.of(SlipwayError("one", "It is one.", "undo it")), Problem("two", "It is two.", "")]
    error = ProblemsError(problems, current="1.0")
    assert (error.code, str(error)) == ("one", "It is one. Fix: undo it. It is two.")
    assert error.problems == problems
    assert error.details == {"problems": [problem._asdict() for problem in problems], "current": "1.0"}

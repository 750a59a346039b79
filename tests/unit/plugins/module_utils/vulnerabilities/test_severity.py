# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.severity import base_score, severity_of


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 7.5),
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 7.8),
        ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),
        ("CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", 1.6),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H/E:U/RL:O", 7.5),
    ],
)
def test_base_scores_that_the_published_calculator_gives(vector, score):
    assert base_score(vector) == score


@pytest.mark.parametrize(
    "vector",
    ["", "9.8", "CVSS:4.0/AV:N", "CVSS:3.1/AV:N/AC:L", "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "CVSS:3.1/AV"],
)
def test_what_is_no_vector_has_no_score(vector):
    assert base_score(vector) is None


def test_the_highest_that_is_said_counts():
    score = {"type": "CVSS_V3", "score": "CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N"}
    assert severity_of({"severity": [score]}, {}) == "medium"
    assert severity_of({"severity": [score], "database_specific": {"severity": "HIGH"}}, {}) == "high"
    assert severity_of({}, {"database_specific": {"severity": "MODERATE"}}) == "medium"
    assert severity_of({"severity": [{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N"}]}, {}) == ""
    assert severity_of({"severity": "high", "database_specific": ["high"]}, {"severity": [7]}) == ""

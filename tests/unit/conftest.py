# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, so that a failure is a change and not a dice roll. To look for more:
#   HYPOTHESIS_PROFILE=explore pytest tests/unit
_COMMON = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("steady", derandomize=True, max_examples=60, **_COMMON)
settings.register_profile("explore", max_examples=2000, print_blob=True, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture
def memory():
    """A folder that costs no disk writes where the machine has such a place: for tests with thousands of files."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="slipway-", dir=place) as folder:
        yield folder

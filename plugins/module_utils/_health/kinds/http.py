# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The http and https kinds. This file is PRIVATE to the collection."""

from __future__ import annotations

from ..outcome import Attempt, need
from ..session import Probe, healthy
from .assertions import judge
from .fetch import fetch


def attempt(probe: Probe) -> Attempt:
    response = fetch(probe)
    judge(probe, need(probe.check.http), response)
    return healthy(probe, f"{probe.check.target} answers {response.status}")

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with two services of which every part is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.removal.placed import (
    Host,
    two_services,
)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return two_services(tmp_path, monkeypatch)

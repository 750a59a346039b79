# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every refusal owes an operator: its code, the words that say what was measured, and a fix."""

from __future__ import annotations

from typing import Callable

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError


def refused(act: Callable[[], object], code: str, *words: str) -> SlipwayError:
    with pytest.raises(SlipwayError) as caught:
        act()
    error = caught.value
    assert error.code == code, str(error)
    assert "Fix: " in str(error), str(error)
    missing = [word for word in words if word not in str(error)]
    assert not missing, f"{missing} in: {error}"
    return error

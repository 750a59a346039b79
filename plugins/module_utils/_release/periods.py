# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The periods of a swap, as the figures of its probe name them. This file is PRIVATE to the collection."""

from __future__ import annotations

BEFORE, DURING, PAUSED, AFTER, ROLLBACK = "before", "during", "paused", "after", "rollback"
SINCE_THE_SWAP_BEGAN = (DURING, PAUSED, AFTER)

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variable service_more_ports. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def listened(entries: Iterable[Mapping[str, Any]]) -> list[Any]:
    """What HAProxy listens on for the entries: texts or numbers. One that is no list stands for itself."""
    of_each = [entry.get("listen") or [] for entry in entries]
    return [one for found in of_each for one in (found if isinstance(found, (list, tuple)) else [found])]

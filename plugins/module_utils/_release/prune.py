# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which releases go when there are more than `release_keep`. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Optional

from . import background_drain, stage
from .context import Context


def protected(context: Context, *needed: Optional[str]) -> set[str]:
    """What pruning leaves: these, what serves or drains, and where a rollback from there would go."""
    layout, current = context.layout, context.current_id()
    wanted = (*needed, current, layout.last_good_id(), context.earlier_good(current))
    return {name for name in (*wanted, *background_drain.armed(layout.name)) if name}


def surplus(context: Context, *needed: Optional[str]) -> list[str]:
    """The releases that pruning would delete."""
    return stage.surplus(context.layout, context.settings.keep, protected(context, *needed), context.journal.good())


def prune(context: Context, *needed: Optional[str], keep: Optional[int] = None) -> list[str]:
    """Delete releases beyond `keep`, but never what is protected; return what went.

    What cannot be deleted now stays for the next time.
    """
    try:
        wanted = context.settings.keep if keep is None else keep
        return stage.prune(context.layout, wanted, protected(context, *needed), context.journal.good())
    except OSError:
        return []

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verb purge: releases deleted with their configuration and secrets. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Sequence

from ..._core.errors import SlipwayError
from .. import stage
from ..context import Context

# Instead of names of releases: all but the one that serves.
OTHERS = "others"


def purge(context: Context, names: Sequence[str]) -> list[str]:
    """Delete these releases, given by id or version, or all but the one that serves (OTHERS); return their ids.

    None that serves, is last good or is part of a swap in flight. That it was deleted stays in the journal.
    """
    with context.locked():
        stage.collect_leftovers(context.layout)  # of a purge that was cut short, too
        doomed = predict(context, names)
        for release_id in doomed:
            stage.purge(context.layout, release_id, lambda name: context.journal.record("purged", release=name))
        return doomed


def predict(context: Context, names: Sequence[str]) -> list[str]:
    """The ids of those that would be deleted; raise where one of them must stay."""
    layout, needed = context.layout, _needed(context)
    doomed = [i for i in layout.staged() if stage.is_named(layout, i, names)]
    if OTHERS in names:
        doomed = [i for i in layout.staged() if i != layout.current_id()]
    for release_id in doomed:
        if release_id in needed:
            raise SlipwayError(
                "release_needed",
                f"{release_id} of {layout.name} {needed[release_id]}. Nothing was purged.",
                "release or confirm another one first, or name the ids of those that are to go",
                current=layout.current_id(),
            )
    return doomed


def _needed(context: Context) -> dict[str, str]:
    """The releases that must stay, each with the reason."""
    layout, in_flight = context.layout, context.store.load()
    running = context.systemd.active_instances(layout.name)
    needed = {i: "still runs" for i in layout.staged() if layout.instance(i) in running}
    if layout.last_good_id():
        needed[str(layout.last_good_id())] = "is the last good release"
    if in_flight is not None:
        reason = f"is part of the swap in flight, {in_flight.phase}"
        needed.update({i: reason for i in (in_flight.to, in_flight.source) if i})
    if layout.current_id():
        needed[str(layout.current_id())] = "serves now"
    return needed

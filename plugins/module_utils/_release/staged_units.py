# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The units that come with a release: as the next one will take them along, and in force. PRIVATE to the collection.

A unit in force is that of the release that serves, for whatever starts that release again (a crash, a boot, an
operator) must start it as it was proven. One that a later release needs waits beside that release's configuration.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Callable, Optional, Sequence

from .._core import files
from .._core.errors import SlipwayError
from .._units import foreign
from .._units.installer import UnitFile
from . import configuration, integrity, stage
from .state.layout import Layout
from .state.model import is_release_id
from .state.store import Store
from .takeover import Takeover


def place(layout: Layout) -> foreign.ServiceUnits:
    """Where the units of this service are, to tell them from somebody else's."""
    copies = [layout.units, *(layout.release_units(release_id) for release_id in layout.staged())]
    return foreign.ServiceUnits(layout.name, layout.state, layout.unit_root, copies)


def refuse_foreign(layout: Layout, also: Sequence[str] = (), takeover: Optional[Takeover] = None) -> list[str]:
    """Raise where units, processes or configuration of this service's names are somebody else's.

    also: other files that a service which slipway does not know must not replace. Return the drop-ins of a service that
    is slipway's: they are the operator's own. The former service that a run is taking over is none of it.
    """
    where, takeover = place(layout), takeover or Takeover(layout)
    own = foreign.check(where, former=takeover.paths() if takeover.is_open else ())
    unmanaged = [] if foreign.is_managed(where) else [*configuration.members(layout), *foreign_links(layout), *also]
    if unmanaged:
        one = len(unmanaged) == 1
        raise SlipwayError(
            "foreign_files",
            f"{', '.join(unmanaged)} {'is' if one else 'are'} there, and slipway has configured no service"
            f" {layout.name} on this host. Nothing was changed.",
            f"move {'it' if one else 'them'} away, or choose another service_name",
            files=unmanaged,
        )
    return own


def besides_former(layout: Layout) -> Callable[[str], bool]:
    """Whether a unit has none of the names that a service has which a run is taking over."""
    takeover = Takeover(layout)
    names = takeover.names if takeover.is_open else ()
    return lambda name: name not in names


def hold(layout: Layout, wanted: Sequence[UnitFile]) -> bool:
    """Have the units wait that a former service has the names of; return whether that changed anything."""
    is_other = besides_former(layout)
    waiting = {unit.name: unit.content for unit in wanted if not is_other(unit.name)}
    return bool(waiting) and Takeover(layout).hold(waiting)


def foreign_links(layout: Layout) -> list[str]:
    """What has the place of the engine's links, and leads to no release of slipway's."""
    links = (layout.current, layout.last_good)
    return [path for path in links if os.path.lexists(path) and not is_release_id(files.link_name(path) or "")]


def next_release(wanted: Sequence[UnitFile], layout: Layout) -> list[UnitFile]:
    """Those of the wanted units that a release takes along, for the folder in which it finds them."""
    own = set(map(os.path.basename, layout.own_units))
    return [UnitFile(unit.name, unit.content) for unit in wanted if unit.name in own]


def in_force(
    wanted: Sequence[UnitFile], absent: Sequence[str], layout: Layout, active: Callable[[str], bool]
) -> tuple[list[UnitFile], list[str]]:
    """The units that PID 1 is to have now, and those that it must not have; active says whether it has started one.

    That is what is wanted until there is a release, and then what the release that serves came with. While a swap is
    under way, or waits to be settled, these units are in neither; nor where that release is not as it was staged, for a
    unit decides what root runs.
    """
    current, socket = layout.current_id(), os.path.basename(layout.socket_unit)
    # A release whose socket somebody has closed for good, as on the way to HAProxy, must not open it again at a boot.
    if current is None or (socket in absent and os.path.exists(layout.socket_unit) and not active(socket)):
        return list(wanted), list(absent)
    own = set(map(os.path.basename, layout.own_units))
    others = [unit for unit in wanted if unit.name not in own]
    gone = [name for name in absent if name not in own]
    copies = {os.path.basename(path): text for path, text in stage.unit_copies(layout, current).items()}
    if Store(layout).load() is not None or not copies or integrity.differences(layout, current):
        return others, gone
    named = {unit.name: unit for unit in wanted}
    kept = [replace(named.get(name, UnitFile(name, "")), content=text) for name, text in copies.items()]
    return [*others, *kept], [*gone, *sorted(own - set(copies))]

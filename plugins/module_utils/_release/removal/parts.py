# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a service has on this host, part by part, and which of it goes when it is removed. PRIVATE to the collection.

Reads only. Each part lists what is there now, so that a removal that was cut short finds what is left to do.
"""

from __future__ import annotations

import glob
import grp
import os
import pwd
import re
import stat
from dataclasses import dataclass
from typing import Callable, Optional

from ..._core import files
from ..._core.paths import PORTS_ROOT, SERVICES_ROOT, WATCH_ROOT
from ..._units import foreign
from ..._units.parser import parse
from .. import progress, staged_units
from ..state.layout import Layout
from ..takeover import Takeover

# Of /etc/SHOP; what else is there is not the collection's.
CONFIGURATION = ("environment", "config", "credentials", "units")
# Of /var/lib/slipway/SHOP. What says that the host knows the service goes last.
STATE = (
    "settings.next.json",
    "watch.json",
    "verified.json",
    "state.json.damaged",
    progress.FILE,
    f"{progress.FILE}.new",
    "slots",
)
ARCHIVED = "removal.json"
PROOF = ("units.json", ARCHIVED)
SETTINGS = "settings.json"
# Where drop-ins are that somebody has written, or had systemctl write.
_OWN_UNITS = ("/etc/systemd/", "/run/systemd/system/", "/run/systemd/system.control/")
_METRICS = re.compile(r"--metrics (\S+)")
_OWN_LOG = "/own/"  # below /var/log/SHOP: a rotation rule with it is the role's


@dataclass(frozen=True)
class Wish:
    """What is asked for. archive: the file of this host that gets a copy of everything first; empty for none.

    data: whether data, releases and the account go as well. metrics_file: the file of a service in a folder of metrics.
    """

    user: str
    group: str
    metrics_file: Callable[[str, str], str]
    archive: str = ""
    data: bool = False


class Parts:
    """The parts of one service. Paths that are not the layout's are below top."""

    def __init__(self, layout: Layout, wish: Wish, top: str = "/") -> None:
        self.layout, self.wish, self.top = layout, wish, top
        self.place = staged_units.place(layout)

    @property
    def takeover(self) -> Takeover:
        """Read anew each time: what this asks for goes meanwhile."""
        return Takeover(self.layout)

    def at(self, path: str) -> str:
        return os.path.join(self.top, path.lstrip("/"))

    @property
    def is_managed(self) -> bool:
        """Whether the host has something that runs or is configured as this service."""
        return foreign.is_managed(self.place) or bool(self.record) or os.path.exists(self._state(SETTINGS))

    @property
    def is_known(self) -> bool:
        """Whether slipway has, or had, this service here."""
        return self.is_managed or os.path.exists(self._state("journal.jsonl"))

    # What goes, in the order in which it goes.

    @property
    def watch(self) -> list[str]:
        return _present([self.at(f"{WATCH_ROOT}/{self.layout.name}.json")])

    @property
    def units(self) -> list[str]:
        """The names of the units that are slipway's."""
        return [name for name in foreign.names_of(self.layout.name) if foreign.is_ours(self.place, name)]

    @property
    def unit_files(self) -> list[str]:
        return [os.path.join(self.layout.unit_root, name) for name in self.units]

    @property
    def haproxy(self) -> list[str]:
        """What the role proxy and the engine have given HAProxy, in an order in which it can start at any moment."""
        name = self.layout.name
        address, certificate = f"/etc/haproxy/slipway.d/{name}.cfg", f"/etc/slipway-haproxy/{name}.pem"
        return _present([self.at(address), self.at(certificate), self.layout.proxy_record])

    @property
    def nginx(self) -> list[str]:
        name = self.layout.name
        return _present([self.at(f"/etc/nginx/conf.d/slipway-{name}.conf"), self.at(f"/etc/slipway-nginx/{name}.pem")])

    @property
    def drop_ins(self) -> list[str]:
        """Changes of an operator's to its units, which would be in the way of another service of that name."""
        mine = tuple(self.at(folder) for folder in _OWN_UNITS)
        found = [path for path in foreign.drop_ins(self.place) if path.startswith(mine)]
        takeover = self.takeover
        return [path for path in found if not (takeover.in_force and path in takeover.paths())]

    @property
    def sockets(self) -> list[str]:
        """Paths on which systemd has listened for the service, or for its rehearsals."""
        names = (f"{self.layout.name}.socket", f"{self.layout.name}-rehearsal.socket")
        texts = [files.text(os.path.join(self.layout.unit_root, name)) for name in names if name in self.units]
        listen = [value for text in texts for _section, key, value in parse(text) if key == "ListenStream"]
        return [path for path in map(self.at, (one for one in listen if one.startswith("/"))) if _is_socket(path)]

    @property
    def extras(self) -> list[str]:
        """The rotation rule and the metrics."""
        name = self.layout.name
        rotation = self.at(f"/etc/logrotate.d/{name}")
        ours = [rotation] if f"/var/log/{name}{_OWN_LOG}" in files.text(rotation) else []
        return [*ours, *_present(sorted(self.wish.metrics_file(self.at(one), name) for one in self._metric_folders()))]

    def _metric_folders(self) -> set[str]:
        return {folder for path in self.unit_files for folder in _METRICS.findall(files.text(path))}

    @property
    def configuration(self) -> list[str]:
        name, root = self.layout.name, self.layout.config_root
        under_way = [os.path.join(root, "slipway", "next", one) for one in (name, f".{name}.new", f".{name}.old")]
        drafts = glob.glob(os.path.join(glob.escape(self.layout.config), "environment.tmp-*"))
        own = [os.path.join(self.layout.config, one) for one in CONFIGURATION]
        return _present([*under_way, *own, *sorted(drafts)])

    @property
    def links(self) -> list[str]:
        """Nothing is current any more."""
        layout = self.layout
        return [
            path
            for path in (layout.current, layout.last_good, os.path.join(layout.root, ".current"))
            if os.path.islink(path)
        ]

    @property
    def state(self) -> list[str]:
        return _present([self._state(name) for name in (SETTINGS, *STATE)])

    @property
    def record(self) -> list[str]:
        return _present([self.at(f"{folder}/{self.layout.name}.json") for folder in (PORTS_ROOT, SERVICES_ROOT)])

    @property
    def data(self) -> list[str]:
        """Data, logs and releases; that of others, which have the name by chance, is not the service's.

        Releases that stay are what a later release can fall back on. PID 1 opens no socket for it without boot.env.
        """
        name = self.layout.name
        folders = [self.at(f"/var/{kind}/{name}") for kind in ("lib", "cache", "log")]
        releases = [self.layout.releases, self.layout.released, self.layout.boot_file, self.takeover.folder]
        return _present([*(path for path in folders if self._is_services(path)), *releases])

    @property
    def proof(self) -> list[str]:
        return _present([self._state(name) for name in PROOF])

    def doomed(self) -> list[str]:
        """All that would go, paths only."""
        if not self.is_known:
            return []
        data = self.data if self.wish.data else []
        if not self.is_managed:
            # A removal has ended: what has the service's names elsewhere by now is somebody else's.
            return [*self.state, *data, *self.proof]
        own = [*self.watch, *self.haproxy, *self.nginx, *self.sockets, *self.extras, *self.drop_ins, *self.unit_files]
        return [*own, *self.configuration, *self.links, *self.state, *self.record, *data, *self.proof]

    def kept(self) -> list[str]:
        """What of the service, or under its name, stays."""
        doomed = set(self.doomed())
        journal = _present([self._state("journal.jsonl")])
        candidates = [*self.data, *foreign.drop_ins(self.place), *self._in_configuration(), *journal]
        return [path for path in candidates if path not in doomed]

    def _in_configuration(self) -> list[str]:
        try:
            names = sorted(os.listdir(self.layout.config))
        except OSError:
            return []
        return [os.path.join(self.layout.config, one) for one in names]

    def emptied(self) -> list[str]:
        """Folders that go when nothing is in them any more."""
        return [self.layout.config, *([self.layout.root] if self.wish.data else [])]

    def _state(self, name: str) -> str:
        return os.path.join(self.layout.state, name)

    def _is_services(self, path: str) -> bool:
        """Whether the folder belongs to the service's account: /var/lib/dpkg is not that of a service of that name."""
        status = _status(path)
        if status is None or not stat.S_ISDIR(status.st_mode):
            return False
        uid, gid = _uid(self.wish.user), _gid(self.wish.group)
        return status.st_uid == uid or (status.st_uid == 0 and gid not in (None, 0) and status.st_gid == gid)


def _present(paths: list[str]) -> list[str]:
    return [path for path in paths if os.path.lexists(path)]


def _status(path: str) -> Optional[os.stat_result]:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _is_socket(path: str) -> bool:
    status = _status(path)
    return status is not None and stat.S_ISSOCK(status.st_mode)


def _uid(user: str) -> Optional[int]:
    """None where there is none, and for root, whose folders are nobody's data."""
    try:
        return pwd.getpwnam(user).pw_uid or None
    except KeyError:
        return None


def _gid(group: str) -> Optional[int]:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None

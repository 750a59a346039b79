# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release was judged by: the options of the judgement, and this host. This file is PRIVATE to the collection.

A release that has failed is not tried again while both are what they were. Once one of them is another, it may well
pass. Only digests are kept, because options and paths may hold secrets.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat as modes
from dataclasses import asdict
from typing import Any, Iterable, Mapping, Optional

from .._core import files
from .._units.parser import parse_environment_file
from .state.journal import Event
from .state.layout import Layout
from .state.model import Settings

# Nothing of how a release is judged depends on these.
_NOT_ABOUT_A_RELEASE = ("name", "root", "lock_timeout", "keep", "confirm")
# What users' requests have met says nothing of the host, and must not be tried on them again because of it.
_MET_BY_USERS = ("canary_failed", "probe_failed")
_BY_A_PERSON = ("taken_back",)
_HOST_FILES = ("/var/lib/dpkg/status", "/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite")
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_PATH = re.compile(r"""(?:^|[\s"'=:,(\[])(/[A-Za-z0-9._@%+-][A-Za-z0-9._@%+/-]*)""", re.MULTILINE)
_MOST_PATHS = 256
_LARGEST_FILE = 1 << 20
# What comes and goes by itself, and where a file changes while a service runs.
_FLEETING = ("/dev/", "/proc/", "/run/", "/sys/", "/tmp/")  # noqa: S108 - named, not used
_CHANGING = ("/var/",)


def conditions(settings: Settings, layout: Layout, release_id: str, rehearsal: str = "") -> dict[str, str]:
    """The digests of what this release is judged by here and now; rehearsal is the address it is rehearsed at."""
    options = {key: value for key, value in asdict(settings).items() if key not in _NOT_ABOUT_A_RELEASE}
    named = sorted(_named_paths(layout, release_id))[:_MOST_PATHS]
    host = [_text(_BOOT_ID), *map(_seen, (*_HOST_FILES, *named))]
    return {"options": _digest([options, rehearsal]), "host": _digest(host)}


def is_new_try(event: Event, now: Mapping[str, str]) -> bool:
    """Whether a release with this failure in its history would be judged by something else now.

    What a person has gone back from stays as that person left it, and so does what does not say what it was judged by.
    """
    then = event.get("judged_by")
    if event.get("event") == "committed" or event.get("code") in _BY_A_PERSON or not isinstance(then, dict):
        return False
    compared = ("options",) if event.get("code") in _MET_BY_USERS else ("options", "host")
    return any(then.get(key) != now.get(key) for key in compared)


def _named_paths(layout: Layout, release_id: str) -> set[str]:
    """The paths of this host that the release's environment, configuration and units name, without its own."""
    own = tuple(f"{folder}/" for folder in (layout.root, layout.state, layout.config, layout.released))
    found = {path.rstrip("/.") for text in _texts(layout, release_id) for path in _PATH.findall(text)}
    return {path for path in found if path and not f"{path}/".startswith((*own, *_FLEETING))}


def _texts(layout: Layout, release_id: str) -> Iterable[str]:
    folder = layout.release(release_id)
    yield "\n".join(parse_environment_file(_text(os.path.join(folder, "environment"))).values())
    for name in ("config", "units"):
        for parent, _folders, names in os.walk(os.path.join(folder, name)):
            for one in sorted(names):
                yield _text(os.path.join(parent, one))


def _seen(path: str) -> Optional[tuple[Any, ...]]:
    """What tells whether it is still as it was, as far as it stays so by itself; None where there is nothing."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    about = (path, found.st_mode, found.st_uid, found.st_gid)
    lasting = path in _HOST_FILES or not path.startswith(_CHANGING)
    return (*about, found.st_size, found.st_mtime_ns) if lasting and modes.S_ISREG(found.st_mode) else about


def _text(path: str) -> str:
    try:
        return files.text(path) if os.path.getsize(path) <= _LARGEST_FILE else ""
    except (OSError, ValueError):
        return ""


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode(errors="surrogatepass")).hexdigest()

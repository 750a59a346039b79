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
from typing import Any, Iterable, Mapping

from .._core import files
from .._units.parser import parse_environment_file
from .state.journal import Event
from .state.layout import Layout
from .state.model import Settings

# By name, so that a setting of a later version does not lift every mark.
_OPTIONS = ("health", "probe", "proxy", "start_timeout", "drain_timeout", "soak_time")
# What ends a wait for a release that is good, or lets a person decide, speaks for none that is not.
_NO_JUDGEMENT = ("min_time", "slow", "pause_time")
# What users' requests have met says nothing of the host, and must not be tried on them again because of it.
_MET_BY_USERS = ("canary_failed", "not_resumed", "probe_failed")
_BY_A_PERSON = ("sent_back", "taken_back")
_PACKAGES = (
    "/var/lib/dpkg/status",
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
)
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MOUNTS = "/proc/self/mounts"
_PATH = re.compile(r"""(?:^|[\s"'=:,(\[!+@-]|file://)(/[A-Za-z0-9._@%+-][A-Za-z0-9._@%+/-]*)""", re.MULTILINE)
_MOST_PATHS = 64
_LARGEST_FILE = 1 << 20
# What comes and goes by itself; where the content of a file is configuration; and what may hang when it is looked at.
_FLEETING = ("/dev/", "/proc/", "/run/", "/sys/", "/tmp/", "/var/run/", "/var/tmp/")  # noqa: S108 - named, not used
_CONFIGURATION = ("/etc/", "/usr/")
_REMOTE = re.compile(r"nfs|cifs|smb|fuse|autofs|9p|ceph|gluster|afs|lustre")
_OWN_CONFIG = ("environment", "config", "credentials", "units")


def conditions(settings: Settings, layout: Layout, release_id: str, rehearsal: str = "") -> dict[str, Any]:
    """The digests of what this release is judged by here and now; rehearsal is the address it is rehearsed at.

    files: of each path of the host that the release names, the digest of its name with that of what is there, which is
    empty where nothing is. None of them where the release itself is no longer on the host.
    """
    options = {name: value for name, value in asdict(settings).items() if name in _OPTIONS}
    options["proxy"] = {name: value for name, value in options["proxy"].items() if name not in _NO_JUDGEMENT}
    packages = [_changed(path) for path in _PACKAGES]
    named = sorted(_named_paths(layout, release_id))[:_MOST_PATHS]
    return {
        "options": _digest([_normal(options), rehearsal]),
        "host": _digest([files.text(_BOOT_ID), packages]),
        "files": {_digest(path)[:16]: _seen(path) for path in named},
    }


def is_new_try(event: Event, now: Mapping[str, Any]) -> bool:
    """Whether a release with this failure in its history would be judged by something else now.

    What a person has gone back from stays as that person left it, and so does what does not say what it was judged by.
    """
    then = event.get("judged_by")
    if event.get("event") == "committed" or event.get("code") in _BY_A_PERSON or not isinstance(then, dict):
        return False
    if then.get("options") != now["options"]:
        return True
    return compares_host(event) and (then.get("host") != now["host"] or _corrected(then.get("files"), now["files"]))


def compares_host(event: Event) -> bool:
    """Whether a change of the host is a reason to try the release again."""
    return isinstance(event.get("judged_by"), dict) and event.get("code") not in (*_MET_BY_USERS, *_BY_A_PERSON)


def _corrected(then: Any, now: Mapping[str, str]) -> bool:
    """Whether a file is there that was missing, or is another one. What has gone since is no correction."""
    if not isinstance(then, dict):
        return False
    return any(seen and name in then and then[name] != seen for name, seen in now.items())


def _named_paths(layout: Layout, release_id: str) -> set[str]:
    """The paths of this host that the release's environment, configuration and units name, without its own."""
    own = (
        *(f"{folder}/" for folder in (layout.releases, layout.current, layout.last_good, layout.state)),
        *(f"{os.path.join(layout.config, name)}/" for name in _OWN_CONFIG),
    )
    found = {path.rstrip("/.") for text in _texts(layout, release_id) for path in _PATH.findall(text)}
    remote = _remote_mounts()
    return {path for path in found if path and not f"{path}/".startswith((*own, *_FLEETING, *remote))}


def _remote_mounts() -> tuple[str, ...]:
    rows = [line.split() for line in files.text(_MOUNTS).splitlines()]
    return tuple(f"{row[1].rstrip('/')}/" for row in rows if len(row) > 2 and row[1] != "/" and _REMOTE.match(row[2]))


def _texts(layout: Layout, release_id: str) -> Iterable[str]:
    folder = layout.release(release_id)
    yield "\n".join(parse_environment_file(_text(os.path.join(folder, "environment"))).values())
    for name in ("config", "units"):
        for parent, _folders, names in os.walk(os.path.join(folder, name)):
            for one in sorted(names):
                yield _text(os.path.join(parent, one))


def _seen(path: str) -> str:
    """What tells whether it is still as it was, as far as it stays so by itself; empty where there is nothing."""
    target = os.path.realpath(path)
    try:
        found = os.stat(target)
    except OSError:
        return ""
    if f"{target}/".startswith(_FLEETING) or not (modes.S_ISREG(found.st_mode) or modes.S_ISDIR(found.st_mode)):
        return ""
    content = _text(target) if modes.S_ISREG(found.st_mode) and target.startswith(_CONFIGURATION) else ""
    return _digest([found.st_mode, found.st_uid, found.st_gid, content])[:16]


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _text(path: str) -> str:
    try:
        return files.text(path) if os.path.getsize(path) <= _LARGEST_FILE else ""
    except (OSError, ValueError):
        return ""


def _normal(value: Any) -> Any:
    """The same for 3, 3.0 and "3", as YAML and the text of a survey write one number."""
    if isinstance(value, dict):
        return {str(key): _normal(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_normal(one) for one in value]
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError):
        return str(value)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode(errors="surrogatepass")).hexdigest()

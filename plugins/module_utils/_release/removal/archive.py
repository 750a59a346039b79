# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A copy of a service, in one file of the host, before it is removed. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
from typing import Iterable, Optional

from ..._core import files
from ..._core.errors import SlipwayError
from .parts import ARCHIVED, Parts


def marker(parts: Parts) -> str:
    """Says which archive a removal that is under way writes, or has written."""
    return os.path.join(parts.layout.state, ARCHIVED)


def check(parts: Parts) -> None:
    """Raise where the archive could not be written there, or would replace something."""
    path = parts.wish.archive
    if not path:
        return
    folder = os.path.dirname(path)
    if not os.path.isabs(path) or os.path.normpath(path) != path or not path.endswith((".tar.gz", ".tgz")):
        raise SlipwayError(
            "invalid_archive_path",
            f"remove_archive {path!r} is not the absolute path of a .tar.gz file.",
            f"use a path such as /var/backups/{parts.layout.name}.tar.gz",
        )
    if not os.path.isdir(folder):
        raise SlipwayError(
            "invalid_archive_path", f"the folder of remove_archive, {folder}, is not on this host.", "create it first"
        )
    inside = [top for top in contents(parts) if f"{os.path.realpath(folder)}/".startswith(f"{os.path.realpath(top)}/")]
    if inside:
        raise SlipwayError(
            "invalid_archive_path",
            f"remove_archive {path} is in {inside[0]}, which is the service's own.",
            f"use a path such as /var/backups/{parts.layout.name}.tar.gz",
        )
    if os.path.lexists(path) and _begun(parts) != path:
        raise SlipwayError(
            "archive_exists",
            f"{path} is there, and not from this removal.",
            "move it away, or name another file in remove_archive",
        )


def contents(parts: Parts) -> list[str]:
    """What goes into it: everything of the service, whether it goes or stays."""
    layout = parts.layout
    written = [*parts.unit_files, *parts.drop_ins, *parts.haproxy, *parts.nginx, *parts.extras]
    named = [*written, layout.config, layout.root, layout.state, *parts.data]
    paths = [path for path in dict.fromkeys(named) if os.path.lexists(path)]
    return [path for path in paths if not any(path.startswith(f"{other}/") for other in paths)]


def write(parts: Parts) -> bool:
    """Write it, whole or not at all, readable for root only; return whether it was not there yet."""
    path = parts.wish.archive
    if not path or os.path.lexists(path):
        return False
    files.write_atomic(marker(parts), json.dumps({"archive": path}) + "\n", 0o600)
    draft = f"{path}.tmp-{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft)
    try:
        _pack(draft, contents(parts))
        os.rename(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    files.fsync_directory(os.path.dirname(path))
    return True


def _pack(draft: str, paths: Iterable[str]) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        with tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT) as packed:
            for path in paths:
                packed.add(path, arcname=path.lstrip("/"))
        stream.flush()
        os.fsync(stream.fileno())


def _begun(parts: Parts) -> Optional[str]:
    try:
        path = json.loads(files.text(marker(parts)))["archive"]
    except (ValueError, KeyError, TypeError):
        return None
    return path if isinstance(path, str) else None

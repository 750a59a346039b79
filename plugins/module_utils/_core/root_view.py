# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file system as a service will see it: another root, bind mounts. This file is PRIVATE to the collection.

Paths "in the view" are what the program and its loader would say; host paths are where this process finds them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
from typing import Mapping, NamedTuple, Optional

MAX_SYMLINKS = 40


class ResolvedPath(NamedTuple):
    """path: canonical, in the view. host: where this process opens it."""

    path: str
    host: str


class View:
    def __init__(self, root: str = "/", binds: Optional[Mapping[str, str]] = None, cwd: str = "/") -> None:
        self.root = os.path.realpath(root)
        self.binds = {posixpath.normpath(inside): os.path.realpath(host) for inside, host in (binds or {}).items()}
        self.cwd = cwd
        self.plain = self.root == "/" and not self.binds

    def absolute(self, path: str) -> str:
        return path if path.startswith("/") else posixpath.join(self.cwd, path)

    def host(self, path: str) -> str:
        """Where to open path. OSError where the view has no such path."""
        path = self.absolute(path)
        return path if self.plain else self.resolve(path).host

    def resolve(self, path: str) -> ResolvedPath:
        """Follow every symlink as the kernel would inside the view. OSError where there is nothing."""
        path = self.absolute(path)
        if self.plain:
            real = os.path.realpath(path)
            os.lstat(real)
            return ResolvedPath(real, real)
        return self._walk(path)

    def way(self, path: str) -> list[str]:
        """What is looked at on the way to a path, each as the view knows it: every symlink, and what is at the end."""
        seen: list[str] = []
        with contextlib.suppress(OSError, ValueError):
            seen.append(self._walk(self.absolute(path), seen).path)
        return seen or [posixpath.normpath(self.absolute(path))]

    def directories(self, path: str) -> list[ResolvedPath]:
        """Every directory that is searched on the way to a path."""
        searched: list[ResolvedPath] = []
        with contextlib.suppress(OSError, ValueError):
            self._walk(self.absolute(path), searched=searched)
        return searched

    def canonical(self, path: str) -> str:
        """The path without symlinks; what does not exist stays as it is written."""
        try:
            return self._walk(self.absolute(path)).path
        except (OSError, ValueError):
            parent, name = posixpath.split(posixpath.normpath(self.absolute(path)))
            return posixpath.join(self.canonical(parent), name) if name else "/"

    def _walk(
        self, path: str, seen: Optional[list[str]] = None, searched: Optional[list[ResolvedPath]] = None
    ) -> ResolvedPath:
        links = 0
        todo = path.split("/")[::-1]
        done = [ResolvedPath("/", self.binds.get("/", self.root))]
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                done = done[:-1] or done
                continue
            if searched is not None and done[-1] not in searched:
                searched.append(done[-1])
            step = self._step(done[-1], part)
            target = self._link(step)
            if target is None:
                done.append(step)
                continue
            links += 1
            if seen is not None:
                seen.append(step.path)
            if links > MAX_SYMLINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                done = done[:1]
            todo.extend(target.split("/")[::-1])
        return done[-1]

    def _step(self, parent: ResolvedPath, part: str) -> ResolvedPath:
        path = posixpath.join(parent.path, part)
        return ResolvedPath(path, self.binds.get(path) or os.path.join(parent.host, part))

    def _link(self, step: ResolvedPath) -> Optional[str]:
        """What a symlink points to; None for anything else. OSError where there is nothing."""
        try:
            return os.readlink(step.host)
        except OSError as error:
            if error.errno == errno.ENOENT and any(inside.startswith(step.path + "/") for inside in self.binds):
                return None  # made for what is mounted below it
            if error.errno != errno.EINVAL:
                raise
            return None

    def inside(self, path: str) -> str:
        """The view's name for a path that may be given as the host's: /srv/jail/app is /app in /srv/jail."""
        if self.root != "/" and (path == self.root or path.startswith(self.root + "/")):
            return path[len(self.root) :] or "/"
        return path

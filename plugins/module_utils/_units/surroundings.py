# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files a program sees, its user, what its unit forbids. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
from typing import Mapping, NamedTuple, Optional

from .._core.problems import Problem
from .._core.root_view import ResolvedPath, View
from .._host.kernel import ALL_CAPABILITIES
from .credentials import EXECUTE, Credentials


class Context(NamedTuple):
    """who: None where it is not known. hidden: prefixes with the setting that hides them.

    mounts: what becomes a mount of its own. systemd: its release, 0 where it is not known.
    """

    view: View
    environment: Mapping[str, str]
    unit: str = ""
    who: Optional[Credentials] = None
    no_new_privileges: bool = False
    bounding: int = ALL_CAPABILITIES
    hidden: tuple[tuple[str, str], ...] = ()
    exec_rules: tuple[tuple[str, bool], ...] = ()
    mounts: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    denies_write_execute: bool = False
    systemd: int = 0
    root_image: str = ""
    missing: tuple[Problem, ...] = ()

    def hidden_by(self, path: str) -> str:
        """The setting that hides a path of the view, or nothing."""
        best, why = "", ""
        for prefix, setting in self.hidden:
            if not covers(prefix, path):
                continue
            if removes(setting):
                return setting
            if len(prefix) > len(best):
                best, why = prefix, setting
        exposed = any(covers(inside, path) and len(inside) >= len(best) for inside in self.view.binds)
        return "" if exposed else why

    def exec_rule(self, path: str) -> tuple[str, Optional[bool]]:
        """The entry of ExecPaths= or NoExecPaths= that counts for a path of the view, and what it says: the longest.

        None where none counts. What is a mount of its own below an entry keeps the flags that it has.
        """
        best, verdict = "", None
        rules: list[tuple[str, Optional[bool]]] = [*self.exec_rules, *((mount, None) for mount in self.mounts)]
        for prefix, allowed in rules:
            if covers(prefix, path) and len(prefix) > len(best):
                best, verdict = prefix, allowed
        return best, verdict

    def barrier(self, path: str, bit: int, at_start: bool = False) -> Optional[ResolvedPath]:
        """What keeps the user from a path of the view: a directory that may not be entered, or the mode of the file.

        at_start: until the program runs, root has every capability, whatever the unit leaves to the program.
        """
        who = self.who
        if who is None:
            return None
        if at_start and who.uid == 0:
            who = who._replace(privileged=True)
        for directory in [] if who.privileged else self.view.directories(path):
            if not self._may_enter(who, directory):
                return directory
        end = self.view.resolve(path)
        return None if who.has(end.host, bit) else end

    def _may_enter(self, who: Credentials, directory: ResolvedPath) -> bool:
        if self.hidden and self.hidden_by(directory.path):
            return self._may_enter_empty(who, directory.path)
        return who.has(directory.host, EXECUTE) or not os.path.lexists(directory.host)

    def _may_enter_empty(self, who: Credentials, path: str) -> bool:
        """systemd covers a path with a closed directory, or with a plain one; newer releases close one of these."""
        if removes(self.hidden_by(path)):
            return who.privileged
        return path != "/root" or 0 < self.systemd < 254


def removes(setting: str) -> bool:
    """Whether nothing below can be exposed again: the path is closed, and not covered by an empty directory."""
    return setting.startswith("InaccessiblePaths=") or (
        setting.startswith("ProtectHome=") and setting != "ProtectHome=tmpfs"
    )


def covers(prefix: str, path: str) -> bool:
    return prefix == "/" or path == prefix or path.startswith(prefix + "/")

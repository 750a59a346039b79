# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a look at a host has found, as data, and what it is held against. PRIVATE to the collection."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from .controls import Choice
from .published import Published

_INCLUDES = (["include"], ["substack"])
_DEEPEST = 8


@dataclass(frozen=True)
class Wanted:
    """What the variables of the host ask for."""

    choices: Mapping[str, Choice]
    password_length: int = 15
    umask: str = "027"
    sysctl: Mapping[str, Any] = field(default_factory=dict)
    services_off: Sequence[str] = ()
    modules: Sequence[str] = ()


@dataclass(frozen=True)
class Mode:
    permissions: int
    uid: int


@dataclass(frozen=True)
class Evidence:
    """None stands for what could not be read, or is not on this host.

    texts: files by their path. modes: the permissions of a path, without those that are not there. sysctl: the settings
    that have another value than the wanted one. partitions: those that the control of this name is about, and what each
    lacks. audit, audit_enabled: of auditctl. sudo: the unbound Defaults. advertised: the interfaces with a route by
    router advertisement. unread_chains: those of containers in which a rule could not be read.
    """

    family: str = "debian"
    machine: str = "x86_64"
    container: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, Mode] = field(default_factory=dict)
    sysctl: Mapping[str, str] = field(default_factory=dict)
    unit_files: Mapping[str, str] = field(default_factory=dict)
    active: Sequence[str] = ()
    mounts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    partitions: Sequence[str] = ()
    partitions_lack: Mapping[str, Sequence[str]] = field(default_factory=dict)
    selinux: str = "disabled"
    apparmor: Mapping[str, Any] = field(default_factory=dict)
    faillock: Sequence[str] = ()
    sshd: Optional[Mapping[str, str]] = None
    firewall: Optional[Sequence[str]] = None
    modprobe: Optional[str] = None
    apt: Optional[str] = None
    audit: Optional[Sequence[str]] = None
    audit_enabled: Optional[int] = None
    sudo: Optional[Mapping[str, Any]] = None
    sudo_rs: bool = False
    root_has_password: bool = False
    advertised: Sequence[str] = ()
    journal_on_disk: bool = False
    has: Sequence[str] = ()
    published: Sequence[Published] = ()
    unread_chains: Sequence[str] = ()

    def text(self, path: str) -> str:
        return self.texts.get(path, "")

    def below(self, folder: str) -> list[str]:
        """The texts of the files of a folder, in the order in which programs read them."""
        return [text for path, text in sorted(self.texts.items()) if path.startswith(f"{folder}/")]

    def settings(self, path: str) -> dict[str, str]:
        """NAME = VALUE of the folder PATH.d, then of the file, which wins; a name alone has no value."""
        found: dict[str, str] = {}
        for text in (*self.below(f"{path}.d"), self.text(path)):
            for line in text.splitlines():
                name, _equals, value = line.partition("#")[0].partition("=")
                if name.strip():
                    found[name.strip()] = value.strip()
        return found

    def pam(self, name: str, depth: int = 0) -> list[str]:
        """The lines of a stack, with those that it includes."""
        lines: list[str] = []
        for line in self.text(f"/etc/pam.d/{name}").splitlines():
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            included = words[1:] if words[0] == "@include" else words[2:] if words[1:2] in _INCLUDES else []
            if included and depth < _DEEPEST:
                lines += self.pam(included[0], depth + 1)
            elif not included:
                lines.append(" ".join(words))
        return lines

    def pam_module(self, stack: str, kind: str, module: str) -> Optional[list[str]]:
        """The arguments of a module in a stack; None where it is not in it."""
        pattern = re.compile(rf"^-?{kind}\s+(?:\[[^\]]*\]|\S+)\s+(?:\S*/)?{re.escape(module)}(?:\s+(.*))?$")
        for line in self.pam(stack):
            match = pattern.match(line)
            if match:
                return (match.group(1) or "").split()
        return None

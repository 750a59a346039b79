# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a firewall has to offer, whichever it is. PRIVATE to the collection."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import AbstractSet, Any, Callable, List, Mapping, Optional, Sequence, Tuple

from ..connection import Connection
from .rule import Rule

Argv = List[str]
Run = Callable[[Sequence[str]], Tuple[int, str]]
Words = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What the host is to let in.

    wanted has its zones. kept are ports of other services of the host: what lets them in stays, and is not made.
    """

    wanted: Sequence[Rule]
    kept: AbstractSet[str] = frozenset()
    zone: str = "public"
    zones: Sequence[Mapping[str, Any]] = ()
    ufw_sysctl: str = ""
    remove_unmanaged: bool = False
    keep_services: Sequence[str] = ()


@dataclass(frozen=True)
class Survey:
    """What the host lets in, compared with the request. policy is the one of ufw, or firewalld's default zone.

    enabled: whether it will be in force after the next boot, too.
    """

    active: bool
    policy: str
    target: str
    missing: Sequence[Rule] = ()
    superseded: Sequence[Words] = ()
    unmanaged: Sequence[Words] = ()
    bindings: Sequence[Words] = ()
    ufw_sysctl: str = ""
    removals: Sequence[Words] = field(default=())
    enabled: bool = True

    @property
    def in_order(self) -> bool:
        pending = (self.missing, self.removals, self.bindings, self.ufw_sysctl)
        return self.active and self.enabled and self.policy == self.target and not any(pending)


class Backend(ABC):
    """One firewall. The modules firewall and sshd ask it for nothing else than this.

    paths is all that it keeps on disk, which a revert restores before it runs what undo() says. policy is what it calls
    that which a survey compares with its target.
    """

    name = ""
    program = ""
    policy = ""
    paths: Sequence[str] = ()

    def __init__(self, run: Run) -> None:
        self.run = run

    def is_installed(self) -> bool:
        return shutil.which(self.program, path="/usr/sbin:/usr/bin:/sbin:/bin") is not None

    @abstractmethod
    def is_active(self) -> bool:
        """Whether it is in force now."""

    @abstractmethod
    def default_zone(self) -> str:
        """The zone of a rule that names none, while it is active."""

    @abstractmethod
    def ssh_zones(self, connected: Optional[Connection], zone: str, zones: Sequence[Mapping[str, Any]]) -> set[str]:
        """The zones in which SSH has to be let in."""

    @abstractmethod
    def survey(self, request: Request) -> Survey:
        """Compare; raise where a rule of somebody else would make the request mean nothing."""

    @abstractmethod
    def missing(self, wanted: Sequence[Rule]) -> list[Rule]:
        """Of these, those that are not there."""

    @abstractmethod
    def let_in(self, rules: Sequence[Rule], active: bool) -> list[Argv]:
        """What adds these rules, now, if it is active, and for the next start."""

    @abstractmethod
    def made(self, rules: Sequence[Rule], kept: Sequence[Rule]) -> list[Words]:
        """Of these rules, those that it has from the collection and that kept does not ask for, as they are removed."""

    @abstractmethod
    def take_away(self, removals: Sequence[Words], active: bool) -> list[Argv]:
        """What removes these, now, if it is active, and for the next start."""

    @abstractmethod
    def files(self, survey: Survey) -> dict[str, str]:
        """Files that it has no command for, with their content; they are written before the commands run."""

    @abstractmethod
    def commands(self, survey: Survey) -> list[Argv]:
        """What brings it in order: lets in first, denies and takes away next, puts it in force last."""

    @abstractmethod
    def undo(self, active: bool) -> list[Argv]:
        """What follows when its files are restored; active: whether it was in force."""

    @abstractmethod
    def undo_at_boot(self, active: bool) -> list[Argv]:
        """The same for a boot, when neither it nor the network has started."""


def is_kept(rule: Rule, kept: AbstractSet[str]) -> bool:
    """Whether the rule lets in, from wherever, what another service of the host listens on."""
    return not rule.refusal and rule.proto in ("tcp", "any") and rule.port in kept

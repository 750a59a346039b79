# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The strategies by their names. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Sequence

from ..._core.errors import SlipwayError
from ..state.service import Service
from .base import Strategy, fronted
from .restart import RestartStrategy

PROXY = "proxy"


def kind(name: str) -> type[Strategy]:
    """The strategy of that name; one that only a newer engine knows is treated as restart.

    Each imports much of its own, which a look at a service of another one is spared.
    """
    if name == PROXY:
        from .proxy import ProxyStrategy

        return ProxyStrategy
    if name == "reload":
        from .reload import ReloadStrategy

        return ReloadStrategy
    if name == "socket":
        from .socket import SocketStrategy

        return SocketStrategy
    return RestartStrategy


def strategy(name: str, service: Service) -> Strategy:
    return kind(name)(service)


def strategy_of(release_id: str, service: Service, otherwise: str = RestartStrategy.name) -> Strategy:
    """How this release was swapped in, as it says itself, else the journal; `otherwise` where neither does."""
    name = service.layout.manifest(release_id).get("strategy") or service.store.journal.strategy_of(release_id)
    return strategy(str(name or otherwise), service)


def _same_front(one: Strategy, other: Strategy) -> bool:
    """Whether users reach the releases of both through HAProxy, or those of neither."""
    return (one.name == PROXY) == (other.name == PROXY)


def may_return(source: str, before: Strategy, after: Strategy, listen: Sequence[str]) -> bool:
    """Whether `source`, a release of `before`, could serve again when one of `after` fails; listen is that one's.

    It cannot where it was stopped so that HAProxy could have its port, nor where HAProxy does not lead to it any more.
    """
    if _same_front(before, after) or before.is_reached(source):
        return True
    return after.name == PROXY and not fronted(listen)


def may_replace(other: str, source: str, service: Service, otherwise: str) -> bool:
    """Whether users would reach `other` where they reach `source`."""
    return _same_front(strategy_of(other, service, otherwise), strategy_of(source, service, otherwise))


def check_return(target: Strategy, now: Strategy) -> None:
    """Raise when a rollback would have to move the users' address to or from HAProxy, which is not the engine's."""
    if _same_front(target, now):
        return
    raise SlipwayError(
        "other_front",
        f"that release was released with the strategy {target.name}, and the service runs with {now.name} now.",
        f"set service_swap back to {target.name}, apply the roles service and proxy, and release that version",
    )

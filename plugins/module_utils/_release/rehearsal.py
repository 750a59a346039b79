# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release proven in its own sandbox, at an address no user knows. This file is PRIVATE to the collection."""

from __future__ import annotations

import time
from typing import Mapping

from .._core.errors import SlipwayError
from . import smoke, stage
from .announce import announce
from .conditions import conditions
from .context import Context
from .diagnostics import Failure, diagnose
from .phases import Phase
from .prune import prune
from .state.model import Spec
from .strategies.base import cause


def rehearse(context: Context, spec: Spec, release_id: str) -> None:
    """Raise unless the release is healthy in its rehearsal; nothing is exposed, so there is nothing to undo."""
    begun = time.time()
    try:
        _end_rehearsal(context, release_id)
        _prove(context, spec, release_id)
    except SlipwayError as error:
        raise _refused(context, spec, release_id, begun, error) from error
    finally:
        _end_rehearsal(context, release_id)


def _prove(context: Context, spec: Spec, release_id: str) -> None:
    strategy, unit = context.strategy(spec.strategy), context.layout.rehearsal(release_id)
    strategy.open_rehearsal(release_id)
    context.systemd.start(unit)
    started = context.systemd.wait_active(unit, context.settings.start_timeout)
    address = strategy.rehearsal_address(release_id, spec.rehearsal)
    more = strategy.rehearsal_ports(release_id)
    subject = strategy.gate.rehearsing(release_id, address, more)
    strategy.gate.wait_healthy(subject, started)
    if spec.smoke:
        _run_smoke_commands(context, spec, release_id, address, more)
        strategy.gate.wait_healthy(subject, started)


def _run_smoke_commands(context: Context, spec: Spec, release_id: str, address: str, more: Mapping[str, str]) -> None:
    """Run the operator's own commands against the release in rehearsal, as the user it runs as."""
    account = context.systemd.properties(context.layout.rehearsal(release_id), "User", "Group")
    https = str(context.settings.health.get("url", "")).startswith("https:")
    variables = smoke.variables(address, "https" if https else "http", release_id, more)
    folder = context.layout.release(release_id)
    run_as = smoke.RunAs(account["User"] or "root", account["Group"] or "root", folder, variables)
    secrets = stage.secrets(context.layout, release_id)
    for command in spec.smoke:
        smoke.run(command, run_as, spec.smoke_timeout, secrets)


def _refused(context: Context, spec: Spec, release_id: str, begun: float, error: SlipwayError) -> SlipwayError:
    reason, fix = cause(error)
    unit, asked = context.layout.rehearsal(release_id), (context.settings.health,)
    said = diagnose(context.layout, Failure(release_id, unit, begun, time.time(), error, asked))
    event = {
        "kind": "release",
        "release": release_id,
        "started": round(begun, 3),
        "phase": Phase.REHEARSE,
        "code": error.code,
        "reason": reason,
        "rehearsal": spec.rehearsal,
        "judged_by": conditions(context.settings, context.layout, release_id, spec.rehearsal),
        **({"by": context.by} if context.by else {}),
        **said.as_dict(),
    }
    context.journal.record("refused", **event)
    announce(context.layout.name, {"event": "refused", **event})
    prune(context, release_id)
    current = context.current_id()
    return SlipwayError(
        "refused",
        f"{release_id} was refused in {Phase.REHEARSE}, before any request could reach it: {reason} "
        f"{current or 'Nothing'} serves as before.{said.sentences()}",
        fix,
        rolled_back=False,
        failed_phase=Phase.REHEARSE,
        failed_release=release_id,
        current=current,
        **said.as_dict(),
    )


def _end_rehearsal(context: Context, release_id: str) -> None:
    """Stop the rehearsal, also one that a run before this has left; the sockets first, so that nothing restarts."""
    layout, systemd = context.layout, context.systemd
    strays = systemd.active_instances(f"{layout.name}-rehearsal")
    for unit in (layout.rehearsal_socket, layout.rehearsal(release_id), *strays):
        systemd.call("stop", unit, check=False)
        systemd.call("reset-failed", unit, check=False)

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The exec kind: a program whose exit status is the answer. This file is PRIVATE to the collection."""

from __future__ import annotations

from ..outcome import WARN, Attempt, CheckFailed
from ..session import Probe, healthy
from .command import execute
from .tcp import answered, wanted_words


def attempt(probe: Probe) -> Attempt:
    check = probe.check
    finished = execute(check.command, probe.deadline, check.variables)
    probe.status = finished.code
    said = _said(finished.output)
    if finished.code in check.warn_rc:
        probe.warning = CheckFailed("degraded", f"{check.command[0]} exits with {finished.code}{said}", WARN)
    elif finished.code != 0:
        raise CheckFailed("exec", f"{check.command[0]} {_ended(finished.code)}{said}")
    if check.talk is not None and _expects(probe) and not answered(finished.output, check.talk, probe.deadline):
        raise CheckFailed("body", f"{check.command[0]} does not print {wanted_words(check.talk)}{said}")
    return healthy(probe, f"{check.command[0]} exits with 0")


def _expects(probe: Probe) -> bool:
    talk = probe.check.talk
    return talk is not None and (talk.expect is not None or talk.pattern is not None)


def _ended(rc: int) -> str:
    return f"exits with {rc}" if rc > 0 else f"was ended by signal {-rc}"


def _said(output: bytes) -> str:
    """The last line, which is where programs put what matters."""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1].strip()[:200]}" if lines else ""

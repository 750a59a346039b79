# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has a release count once the host has been reached anew. This file is PRIVATE to the collection."""

from __future__ import annotations

import json
import shlex
import time
from typing import Any, Callable

from ansible.errors import AnsibleError
from ansible_collections.slipway.go.plugins.module_utils._release.revert import TOOL

PAUSE = 0.5
WITHIN = 20.0

# Runs a command on the host over a new connection (True) or the open one, and says how it ended: rc, stdout, stderr.
Command = Callable[[str, bool], "dict[str, Any]"]


def confirm(run: Command, name: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Confirm the transaction that `answer`, a result of the release module, tells of; return the result to show."""
    txn = str(answer["unconfirmed"])
    try:
        said = _ask_anew(run, shlex.join([TOOL, "confirm", name, "--txn", txn, "--json"]))
    except AnsibleError as error:
        said = _take_back(run, name, txn, answer, _one_line(str(error)))
    if said.get("failed"):
        return {**answer, **said}
    phases = {**answer.get("phases", {}), **said.get("phases", {})}
    return {**answer, "unconfirmed": None, "phases": phases, "pruned": said.get("pruned", [])}


def _ask_anew(run: Command, command: str) -> dict[str, Any]:
    """Try for a while: a host under load, or an sshd that restarts, is no reason to go back."""
    end = time.monotonic() + WITHIN
    while True:
        try:
            return _parse(run(command, True))
        except AnsibleError as error:
            # sshd penalises an address that fails again and again, and this one is the operator's.
            if "Permission denied" in str(error) or time.monotonic() + PAUSE >= end:
                raise
            time.sleep(PAUSE)


def _take_back(run: Command, name: str, txn: str, answer: dict[str, Any], why: str) -> dict[str, Any]:
    """Ask over the connection that is still open; the answer to a confirmation may be all that was lost."""
    failed = {
        "failed": True,
        "code": "unconfirmed",
        "fix": "see what keeps new connections from that host, then release again; the release is not marked bad",
        "failed_phase": "PROBATION",
        "failed_release": answer.get("current"),
        "rolled_back": False,
    }
    lost = f"{answer.get('current')} serves, but a new connection to confirm it did not work: {why}"
    try:
        taken_back = _parse(run(shlex.join([TOOL, "recover", name, "--txn", txn, "--json"]), False))
        if not taken_back.get("failed") and taken_back.get(name) is None:
            return _parse(run(shlex.join([TOOL, "confirm", name, "--txn", txn, "--json"]), False))
    except AnsibleError:
        return {**failed, "msg": f"{lost} The host takes it back by itself at its deadline. Fix: {failed['fix']}"}
    if taken_back.get("failed"):
        return {**failed, "msg": f"{lost} Taking it back failed: {taken_back.get('msg')} Fix: {failed['fix']}"}
    now = answer.get("previous")
    text = f"{lost} It was taken back, and {now} serves again. Fix: {failed['fix']}"
    return {**failed, "rolled_back": True, "current": now, "msg": text}


def _parse(done: dict[str, Any]) -> dict[str, Any]:
    try:
        found = json.loads(str(done.get("stdout", "")).strip())
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    raise AnsibleError(
        f"slipway ended with {done.get('rc')}: {_one_line(str(done.get('stderr') or done.get('stdout')))}"
    )


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    return "; ".join([line for line in lines if line and not line.startswith("debug")][-2:]) or "it said nothing."

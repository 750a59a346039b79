# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has a release count once the host has been reached anew. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import time
from typing import Any, Callable

from ansible.errors import AnsibleError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import sentence, with_fix, without_fix
from ansible_collections.slipway.go.plugins.module_utils._core.paths import TOOL
from ansible_collections.slipway.go.plugins.module_utils._release.verbs.recover import SERVING

PAUSE = 0.5
WITHIN = 20.0
LOOK = "see what keeps new connections from that host"
AGAIN = f"{LOOK}, then release again; the release is not marked bad"
STAYS = f"{LOOK}, and sudo slipway history there; nothing is to be released again"
DOWN = f"{LOOK}, and sudo slipway status there, then release again"

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


def prove(run: Command, name: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Reach the host over a new connection, as a confirmation does, and leave the transaction waiting for one."""
    try:
        _try_anew(lambda: run(shlex.join([TOOL, "status", name, "--json"]), True))
    except AnsibleError as error:
        said = _take_back(run, name, str(answer["unconfirmed"]), answer, _one_line(str(error)))
        return {**answer, "unconfirmed": None, **said}
    return answer


def _ask_anew(run: Command, command: str) -> dict[str, Any]:
    return _try_anew(lambda: _parse(run(command, True)))


def _try_anew(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Try for a while: a host under load, or an sshd that restarts, is no reason to go back."""
    end = time.monotonic() + WITHIN
    while True:
        try:
            return ask()
        except AnsibleError as error:
            # sshd penalises an address that fails again and again, and this one is the operator's.
            if "Permission denied" in str(error) or time.monotonic() + PAUSE >= end:
                raise
            time.sleep(PAUSE)


def _take_back(run: Command, name: str, txn: str, answer: dict[str, Any], why: str) -> dict[str, Any]:
    """Ask over the connection that is still open; the answer to a confirmation may be all that was lost."""
    wanted, before = answer.get("current"), answer.get("previous")
    lost = f"{wanted} serves, but a new connection to confirm it did not work: {why}"
    try:
        taken_back = _parse(run(shlex.join([TOOL, "recover", name, "--txn", txn, "--json"]), False))
        if not taken_back.get("failed") and taken_back.get(name) is None:
            return _parse(run(shlex.join([TOOL, "confirm", name, "--txn", txn, "--json"]), False))
    except AnsibleError:
        return _unconfirmed(answer, wanted, f"{sentence(lost)} The host takes it back by itself at its deadline.")
    if taken_back.get("failed"):
        return _unconfirmed(answer, wanted, f"{sentence(lost)} Taking it back failed: {_message(taken_back)}")
    now = taken_back.get(SERVING, {name: before}).get(name)
    if now is None:
        return _unconfirmed(
            answer, now, f"{sentence(lost)} It was taken back, but {before} does not run: nothing serves.", DOWN
        )
    if now == wanted:
        return _unconfirmed(
            answer, now, f"{sentence(lost)} It was not taken back: it serves, and is the last good one.", STAYS
        )
    return _unconfirmed(answer, now, f"{sentence(lost)} It was taken back, and {now} serves again.")


def _unconfirmed(answer: dict[str, Any], now: str | None, text: str, fix: str = AGAIN) -> dict[str, Any]:
    """The result of a release that did not come to count as it should, with what serves now."""
    return {
        "failed": True,
        "code": "unconfirmed",
        "fix": fix,
        "failed_phase": "PROBATION",
        "failed_release": answer.get("current"),
        "rolled_back": now not in (None, answer.get("current")),
        "current": now,
        "msg": with_fix(text, fix),
    }


def _message(answer: dict[str, Any]) -> str:
    return without_fix(str(answer.get("msg")), str(answer.get("fix") or ""))


def _parse(done: dict[str, Any]) -> dict[str, Any]:
    """What the tool answers; one that ended badly has failed, whatever it says."""
    found = _find_object(str(done.get("stdout", "")))
    ended = f"slipway ended with {done.get('rc')}: {_one_line(str(done.get('stderr') or done.get('stdout')))}"
    if found is None:
        raise AnsibleError(ended)
    return {"failed": True, "msg": ended, **found} if done.get("rc") else found


def _find_object(text: str) -> dict[str, Any] | None:
    """The last JSON object in the text: on a terminal, what sudo says to stderr stands before it."""
    found = None
    for start in re.finditer(r"^\{", text, re.MULTILINE):
        with contextlib.suppress(ValueError):
            found = json.JSONDecoder().raw_decode(text, start.start())[0]
    return found


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    return "; ".join([line for line in lines if line and not line.startswith("debug")][-2:]) or "it said nothing."

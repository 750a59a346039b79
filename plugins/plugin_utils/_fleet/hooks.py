# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps around the release of a host: which there are, who runs what is run once, and how it ended.

Pure but for the search for files. PRIVATE to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError, sentence, with_fix
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Once
from ansible_collections.slipway.go.plugins.plugin_utils._input import survey

STEPS = ("before_swap", "after_swap", "after_verdict", "after_all", "on_failure")
# Failures of which is known that they came before anything was swapped.
_REFUSALS = frozenset(("refused", "known_bad", "locked", "once_failed", "once_unknown", "once_not_run"))
SECONDS = 300
_SWAPPED = ("release", "confirm")

Told = Mapping[str, Any]


def find_files(given: Mapping[str, Any], folders: Iterable[str]) -> dict[str, str]:
    """The path of each task file that is given; raise for one that is in none of the folders."""
    places = list(dict.fromkeys(folder for folder in folders if folder))
    found = {}
    for step in STEPS:
        if survey.is_empty(given.get(step)):
            continue
        variable = f"release_{step}_tasks"
        path = os.path.expanduser(survey.text(given[step], variable))
        paths = [os.path.join(folder, path) for folder in places]
        here = next((one for one in paths if os.path.isfile(one)), None)
        if here is None:
            raise SlipwayError(
                "missing_tasks",
                f"{variable} {path} is in none of the places where it is looked for on the controller: "
                f"{', '.join(dict.fromkeys(paths))}.",
                f"correct the path, or leave {variable} empty",
            )
        found[step] = here
    return found


def timeout(given: Any) -> int:
    """Seconds for each task of such a file, as Ansible takes them."""
    if survey.is_empty(given):
        return SECONDS
    seconds: int = survey.whole(given, "release_step_timeout")
    if seconds < 1:
        raise SlipwayError("invalid_duration", f"release_step_timeout is {seconds}.", "give whole seconds, more than 0")
    return seconds


def plan_once(
    answers: Mapping[str, Told], version: str, command: Sequence[str], runs_it: str, batch: Sequence[str]
) -> dict[str, str]:
    """Where the command was run, or is to be run now, or why nothing may be swapped.

    answers: what hosts of the play have said last, and the one that runs it, wherever that is.
    """
    known = {host: _known(told, Once(tuple(command)).key(version)) for host, told in answers.items()}
    done = [host for host, once in known.items() if once.get("state") == "done"]
    if done:
        host = runs_it if runs_it in done else done[0]
        return {"told": str(known[host].get("host") or host), "run": "", "reason": ""}
    if runs_it in batch:
        return {"told": "", "run": runs_it, "reason": _not_done(answers.get(runs_it, {}), runs_it, version)}
    return {"told": "", "run": "", "reason": _elsewhere(answers, version, runs_it, batch)}


def _known(told: Told, key: str) -> Told:
    """What a result of the release module, or of release_info, says of the command."""
    once = told.get("once") or {}
    return once if "state" in once else once.get(key) or {}


def _not_done(told: Told, runs_it: str, version: str) -> str:
    if told.get("code") or told.get("failed") or told.get("unreachable"):
        return f"{runs_it} has not run release_once for {version}: {told.get('msg') or 'it did not answer.'}"
    return f"{runs_it} has not run release_once for {version}. Nothing was swapped."


def _elsewhere(answers: Mapping[str, Told], version: str, runs_it: str, batch: Sequence[str]) -> str:
    told = answers.get(runs_it)
    first = next(iter(batch), "")
    if told is None or told.get("failed") or told.get("unreachable"):
        why = (told or {}).get("msg") or "it did not answer."
        return with_fix(
            f"{runs_it} knows whether release_once was run for {version} (release_once_host), and cannot be asked: "
            f"{sentence(why)} Nothing was swapped.",
            "repair that host, or leave release_once empty in this run if the command was run",
        )
    return with_fix(
        f"release_once has not been run for {version}, and {runs_it}, which is to run it (release_once_host), is not in"
        " the first batch of this run. Nothing was swapped.",
        f"release on {runs_it} first, or set release_once_host: {first}",
    )


def outcome(result: Told, served: Any) -> dict[str, Any]:
    """How the release of a host ended, in a word, and whether what serves there is known to be good.

    result: empty where the release was not tried. served: what served before.
    """
    if not result:
        return {"outcome": "not_tried", "serves": bool(served)}
    if not result.get("failed"):
        swapped = result.get("action") in _SWAPPED
        return {"outcome": "released" if swapped else "unchanged", "serves": bool(result.get("current"))}
    if result.get("rolled_back"):
        return {"outcome": "rolled_back", "serves": bool(result.get("current"))}
    if result.get("problems") or result.get("code") in _REFUSALS:
        return {"outcome": "refused", "serves": bool(served)}
    return {"outcome": "failed", "serves": False}

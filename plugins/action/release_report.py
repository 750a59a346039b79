# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of slipway.go.release_report: writes what a run has been like into one file of HTML on the controller."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Mapping
from typing import Any

from ansible import release as core
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.module_utils._core import files
from ansible_collections.slipway.go.plugins.plugin_utils._report import notes, page, run_report
from ansible_collections.slipway.go.plugins.plugin_utils._run import collection, run_stats, this_run

MODES = ("0600", "0640", "0644")
_OCTAL = {int(mode, 8): mode for mode in MODES}  # YAML 1.1 reads 0640 without quotes as 416
ENDING = ".html"
ARGUMENTS = {
    "path": {"type": "str", "required": True},
    "mode": {"type": "raw", "default": MODES[0]},
    "service": {"type": "str", "default": ""},
    "version": {"type": "str", "default": ""},
    "playbook": {"type": "str", "default": "release"},
    "run": {"type": "str", "default": ""},
    "closing": {"type": "dict", "default": {}},
}


def mode_of(given: Any) -> str | None:
    """Who may read the report; None where that is none of the modes."""
    text = str(given).strip()
    if text in MODES or f"0{text}" in MODES:
        return text if text in MODES else f"0{text}"
    return _OCTAL.get(int(text)) if text.isascii() and text.isdigit() else None


def file_of(path: str, run: this_run.Run) -> str:
    """The file of this run, and of no other: in that folder, or named like that file."""
    began = datetime.datetime.fromtimestamp(run.began, datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    own = f"{began}-{run.id}{ENDING}"
    given = os.path.abspath(os.path.expanduser(path))
    if given.endswith(ENDING) and not os.path.isdir(given):
        return f"{given[: -len(ENDING)]}-{own}"
    return os.path.join(given, f"release-{own}")


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(ARGUMENTS)
        if self._task.check_mode or not arguments["path"]:
            return {**result, "changed": False, "report": ""}
        path, mode = arguments["path"], mode_of(arguments["mode"])
        warnings = [] if mode else [f"release_report_mode is {arguments['mode']!r}. Fix: use one of {', '.join(MODES)}"]
        arguments["mode"] = mode or MODES[0]
        try:
            path = file_of(path, this_run.this())
            self._write(path, arguments, task_vars or {})
        except Exception as error:  # whatever it is, the run ends as it would have ended without a report
            why = getattr(error, "strerror", None) or error or type(error).__name__
            fix = "give release_report a folder in which the user who runs Ansible may write"
            warning = f"The report of this run was not written to {path}: {why}. The release itself stands. Fix: {fix}"
            return {**result, "changed": False, "report": "", "warnings": [*warnings, warning]}
        told = run_stats.handed_on({"report": path}) if _is_plain(path) else None
        more = {**({"warnings": warnings} if warnings else {}), **({"ansible_stats": told} if told else {})}
        return {**result, "changed": False, "report": path, **more}

    def _write(self, path: str, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
        run, service = this_run.this(), arguments["service"]
        if arguments["closing"]:
            note = {"closing": arguments["closing"], "version": arguments["version"]}
            notes.keep(notes.CLOSING, service, "", note)
        services, by = run_report.gather(notes.kept(), list(variables.get("ansible_play_hosts_all") or []))
        report = run_report.Report(run.id, run.began, time.time(), services, _about(arguments, by))
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        files.write_atomic(path, page.render(report), int(arguments["mode"], 8))


def _about(arguments: Mapping[str, Any], by: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    told = (
        ("Who", " on ".join(filter(None, (by.get("person"), by.get("controller"))))),
        ("Why", by.get("reason")),
        ("In a freeze, because", by.get("break_glass")),
        ("Job", by.get("job")),
        ("Playbook", arguments["playbook"]),
        ("Name of the run", arguments["run"]),
        ("Versions", f"slipway.go {collection.version()}, ansible-core {core.__version__}"),
    )
    return tuple((name, str(value)) for name, value in told if value)


def _is_plain(path: str) -> bool:
    """Whether it acts as no template where it becomes a variable of another run."""
    return path.isprintable() and "{" not in path

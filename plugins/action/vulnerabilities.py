# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of slipway.go.vulnerabilities: reads the database, and hands a host what it judges by."""

from __future__ import annotations

import json
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import checksums
from ansible_collections.slipway.go.plugins.module_utils._release.intake import read_text
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.licences import (
    Licences,
    judge_licences,
    parse_sbom,
)
from ansible_collections.slipway.go.plugins.plugin_utils._artefact import vulnerability_gate
from ansible_collections.slipway.go.plugins.plugin_utils._input import survey
from ansible_collections.slipway.go.plugins.plugin_utils._input.sources import find_source

MAX_SBOM = 64 << 20
OPTIONS = {
    **{name: (name, reader) for name, (_variable, reader) in vulnerability_gate.OPTIONS.items()},
    "denied_licences": ("denied_licences", survey.list_of(survey.text)),
}


class ActionModule(ActionBase):
    """One round trip; the host gets the database as one text."""

    TRANSFERS_FILES = False
    _inventory = ""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._inventory = str((task_vars or {}).get("inventory_dir"))
        try:
            arguments = survey.understand(dict(self._task.args), OPTIONS)
            sbom = self._sbom(arguments)
            arguments["sealed"] = json.dumps({"gate": self._gate(arguments), "denylist": self._denylist(arguments)})
            answer: dict[str, Any] = self._execute_module(
                "slipway.go.vulnerabilities", module_args=arguments, task_vars=task_vars
            )
            if not answer.get("failed"):
                answer = with_licences(answer, sbom, arguments.get("denied_licences") or [])
        except SlipwayError as error:
            answer = {"failed": True, "msg": str(error), "code": error.code, "fix": error.fix}
        return {**result, **answer}

    def _gate(self, arguments: dict[str, Any]) -> str:
        given = arguments.get("database")
        return vulnerability_gate.read_gate(self._find(str(given), "database"), arguments) if given else ""

    def _denylist(self, arguments: dict[str, Any]) -> str:
        return self._text(arguments.get("denylist"), "denylist", checksums.MAX_TEXT)

    def _sbom(self, arguments: dict[str, Any]) -> dict[str, Any] | None:
        text = self._text(arguments.get("sbom"), "sbom", MAX_SBOM)
        return parse_sbom(text, str(arguments["sbom"])) if text else None

    def _text(self, given: Any, option: str, limit: int) -> str:
        if not given:
            return ""
        path = self._find(str(given), option)
        try:
            return read_text(path, option, limit)
        except OSError as error:
            raise _unreadable(option, path, str(error.strerror)) from error

    def _find(self, path: str, option: str) -> str:
        def missing(searched: list[str]) -> SlipwayError:
            return _unreadable(option, path, f"it is in none of {', '.join(dict.fromkeys(searched))}")

        return find_source(self, "files", path, self._inventory, missing)


def _unreadable(option: str, path: str, why: str) -> SlipwayError:
    return SlipwayError(
        f"unreadable_{option}", f"{option} {path} cannot be read on the controller: {why}.", f"correct {option}"
    )


def with_licences(answer: dict[str, Any], sbom: dict[str, Any] | None, denied: list[str]) -> dict[str, Any]:
    """The host's answer, and what the SBOM says of licences."""
    judged = Licences(False, "no SBOM is given")
    if sbom is not None and not denied:
        judged = Licences(False, "no licence is denied")
    elif sbom is not None:
        judged = judge_licences(sbom, str(answer.get("sha256")), denied)
    told = {"judged": judged.judged, "why_not": judged.why_not, "unnamed": list(judged.unnamed)}
    problems = [*answer["problems"], *(one._asdict() for one in judged.problems)]
    return {**answer, "licences": told, "problems": problems, "refused": bool(problems)}

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of slipway.go.release: looks at the artefact, and uploads it only where it is missing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.module_utils import _files
from ansible_collections.slipway.go.plugins.module_utils._elf import read_elf
from ansible_collections.slipway.go.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import model


@dataclass(frozen=True)
class Inspected:
    """What the controller knows of an artefact without executing it."""

    digest: str
    size: int
    goarch: str | None


def inspect(path: str, checksum: str | None) -> Inspected:
    """Raise unless path is a Linux binary with that checksum."""
    if not os.path.isfile(path):
        raise SlipwayError(
            "missing_artefact", f"release_src {path} is not a file on the controller.", "build it, or correct the path"
        )
    if not os.access(path, os.R_OK):
        raise SlipwayError("unreadable_artefact", f"release_src {path} is not readable.", "check its permissions")
    try:
        elf = read_elf(path)
    except SlipwayError as error:
        raise SlipwayError(
            error.code,
            f"release_src {path} is not a Linux executable: {error.message}",
            "build it with GOOS=linux, and give the binary itself, not an archive",
        ) from error
    digest = _files.sha256_file(path)
    if checksum and model.parse_checksum(checksum) != digest:
        raise SlipwayError(
            "wrong_checksum",
            f"release_src {path} has SHA-256 {digest}, release_checksum says {checksum}.",
            "build or fetch the artefact again, or correct release_checksum",
        )
    return Inspected(digest, os.path.getsize(path), elf.goarch)


class ActionModule(ActionBase):
    """Runs the module once where the host has the artefact, and twice where it must be uploaded."""

    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        try:
            self._validate(arguments)
            source = self._find_source(str(arguments["src"]))
            inspected = inspect(source, arguments.get("checksum"))
        except SlipwayError as error:
            return {**result, "failed": True, "msg": str(error), "code": error.code, "fix": error.fix}
        arguments.update(digest=inspected.digest, size=inspected.size, goarch=inspected.goarch)
        answer = self._execute(arguments, task_vars)
        if answer.get("action") == "upload":
            answer = self._upload_and_execute(source, arguments, task_vars)
        return {**result, **answer}

    @staticmethod
    def _validate(arguments: dict[str, Any]) -> None:
        """The checks that need no host, so that bad input fails before one is asked."""
        for option, variable in (("name", "service_name"), ("version", "release_version"), ("src", "release_src")):
            if not str(arguments.get(option) or ""):
                raise SlipwayError(f"missing_{option}", f"{variable} is empty.", f"set {variable} (option {option})")
        model.validate_name(str(arguments["name"]))
        model.validate_version(str(arguments["version"]))
        model.render_environment(arguments.get("environment") or {})

    def _find_source(self, path: str) -> str:
        try:
            return str(self._find_needle("files", path))
        except AnsibleError:
            return str(self._loader.path_dwim(path))

    def _execute(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module("slipway.go.release", module_args=arguments, task_vars=task_vars)
        return answer

    def _upload_and_execute(
        self, source: str, arguments: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        folder = self._make_tmp_path()
        try:
            remote = self._connection._shell.join_path(folder, "artefact")
            self._transfer_file(source, remote)
            self._fixup_perms2((folder, remote))
            return self._execute({**arguments, "uploaded": remote}, task_vars)
        finally:
            self._remove_tmp_path(folder)

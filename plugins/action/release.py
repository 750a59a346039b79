# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of slipway.go.release: judges the artefact, and uploads it only where it is missing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.module_utils import _linkage
from ansible_collections.slipway.go.plugins.module_utils._binary import Binary, read_binary
from ansible_collections.slipway.go.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._problems import Problem
from ansible_collections.slipway.go.plugins.module_utils._release import model
from ansible_collections.slipway.go.plugins.plugin_utils import _confirmation
from ansible_collections.slipway.go.plugins.plugin_utils._fresh import fresh

POLICIES = ("require_static", "require_vcs_clean", "min_go_version", "main_module")
# Options that may hold secrets: an environment, and the headers of a health check or probe.
SEALED = ("environment", "health", "probe")
# What holds for the temporary place of a file that is only looked at, and not for where it will run.
ABOUT_THE_PLACE = ("noexec_mount", "not_executable")


def inspect(path: str, checksum: str) -> Binary:
    """Raise unless path is a Linux program with that checksum. Nothing is executed."""
    if not os.path.isfile(path):
        raise SlipwayError(
            "missing_artefact", f"release_src {path} is not a file on the controller.", "build it, or correct the path"
        )
    if not os.access(path, os.R_OK):
        raise SlipwayError("unreadable_artefact", f"release_src {path} is not readable.", "check its permissions")
    wanted = model.parse_checksum(checksum) if checksum else None
    try:
        binary = read_binary(path)
    except SlipwayError as error:
        raise SlipwayError(
            error.code,
            f"release_src {path} is not a Linux executable: {error.message}",
            "build it with GOOS=linux, and give the binary itself, not an archive",
        ) from error
    elf = binary.elf
    if elf.goos != "linux" or elf.elf_class in ("library", "other"):
        what = f"an ELF file for {elf.goos or 'an unknown system'}" if elf.goos != "linux" else "no program"
        raise SlipwayError(
            "not_executable",
            f"release_src {path} is not a Linux executable: it is {what}.",
            "build it with GOOS=linux and -buildmode=exe or pie",
        )
    if wanted and wanted != binary.facts["sha256"]:
        raise SlipwayError(
            "wrong_checksum",
            f"release_src {path} has SHA-256 {binary.facts['sha256']}, release_checksum says {checksum}.",
            "build or fetch the artefact again, or correct release_checksum",
        )
    return binary


def check_policy(binary: Binary, policy: Mapping[str, Any]) -> list[Problem]:
    """What the operator's own rules have against the artefact; denylist is a path on the controller."""
    asked = {key: policy.get(key) for key in POLICIES}
    path = policy.get("denylist")
    if path:
        try:
            with open(path, encoding="utf-8") as stream:
                asked["denied_modules"] = _linkage.parse_denylist(stream.read(), path)
        except OSError as error:
            raise SlipwayError(
                "unreadable_denylist",
                f"release_denylist {path} is not readable: {error.strerror}.",
                "correct the path, or leave release_denylist empty",
            ) from error
    return _linkage.check_policy(binary.facts, asked)


def refusal(problems: Sequence[Problem]) -> dict[str, Any]:
    """A failed result that names every problem; the first one's code is the failure's."""
    return {
        "failed": True,
        "changed": False,
        "code": problems[0].code,
        "fix": problems[0].fix,
        "msg": " ".join(f"{problem.message} Fix: {problem.fix}" for problem in problems),
        "problems": [problem._asdict() for problem in problems],
    }


def seal(arguments: dict[str, Any]) -> str:
    """Take what may hold secrets out of the arguments, as one text that no result shows and no short value can mask."""
    return json.dumps({name: arguments.pop(name, None) or {} for name in SEALED})


class ActionModule(ActionBase):
    """Runs the module once where the host has the artefact, and twice where it must be uploaded."""

    TRANSFERS_FILES = True
    _connection: Any

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        try:
            self._validate(arguments)
            source = self._find_source(str(arguments["src"]))
            binary = inspect(source, str(arguments.get("checksum") or ""))
            against = check_policy(binary, self._policy(arguments))
        except SlipwayError as error:
            return {**result, "failed": True, "msg": str(error), "code": error.code, "fix": error.fix}
        if against:
            return {**result, **refusal(against)}
        arguments.update(digest=binary.facts["sha256"], size=binary.facts["size"], goarch=binary.elf.goarch)
        arguments["sealed"] = seal(arguments)
        answer = self._release(source, binary, arguments, task_vars)
        if answer.get("unconfirmed"):
            answer = _confirmation.confirm(self._command, str(arguments["name"]), answer)
        return {**result, **answer}

    def _command(self, command: str, anew: bool) -> dict[str, Any]:
        """Run it on the host with the task's become, over a connection of its own or over the open one."""
        live = self._connection
        try:
            self._connection = fresh(live, self._play_context) if anew else live
            answer: dict[str, Any] = self._low_level_execute_command(command)
        finally:
            self._connection = live
        return answer

    def _release(
        self, source: str, binary: Binary, arguments: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        answer = self._execute("release", arguments, task_vars)
        profile = answer.pop("host_profile", None)
        if answer.get("failed"):
            return answer
        upload = answer.get("action") == "upload"
        if profile is not None:
            problems = _linkage.judge_artifact(binary.elf, _linkage.HostProfile.from_dict(profile), binary.info)
            if problems:
                return refusal(problems)
        if not upload and (profile is None or binary.elf.elf_class in ("static", "static-pie")):
            return answer
        with self._uploaded(source) as remote:
            if upload:
                return self._execute("release", {**arguments, "uploaded": remote}, task_vars)
            problems = self._look(remote, source, task_vars)
        return refusal(problems) if problems else answer

    def _look(self, remote: str, source: str, task_vars: dict[str, Any] | None) -> list[Problem]:
        """Only the host can tell where its loader finds the libraries of a dynamic program."""
        answer = self._execute("linkage", {"path": [remote]}, task_vars)
        if answer.get("failed"):
            return [Problem("not_judged", str(answer.get("msg")), "run slipway.go.linkage on that host")]
        found = answer["binaries"][0]["problems"]
        return [
            Problem(p["code"], p["message"].replace(remote, source), p["fix"].replace(remote, source))
            for p in found
            if p["code"] not in ABOUT_THE_PLACE
        ]

    @staticmethod
    def _validate(arguments: dict[str, Any]) -> None:
        """The checks that need no host, so that bad input fails before one is asked."""
        for option, variable in (("name", "service_name"), ("version", "release_version"), ("src", "release_src")):
            if not str(arguments.get(option) or ""):
                raise SlipwayError(f"missing_{option}", f"{variable} is empty.", f"set {variable} (option {option})")
        model.validate_name(str(arguments["name"]))
        model.validate_version(str(arguments["version"]))
        environment = arguments.get("environment") or {}
        if not isinstance(environment, Mapping):
            raise SlipwayError(
                "invalid_environment",
                f"release_environment is not a dictionary but {type(environment).__name__}.",
                "write it as name: value pairs",
            )
        model.render_environment(environment)

    def _policy(self, arguments: dict[str, Any]) -> dict[str, Any]:
        policy = dict(arguments.get("policy") or {})
        if policy.get("denylist"):
            policy["denylist"] = self._find_source(str(policy["denylist"]))
        return policy

    def _find_source(self, path: str) -> str:
        try:
            return str(self._find_needle("files", path))
        except AnsibleError:
            return str(self._loader.path_dwim(path))

    def _execute(self, name: str, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(f"slipway.go.{name}", module_args=arguments, task_vars=task_vars)
        return answer

    @contextmanager
    def _uploaded(self, source: str) -> Iterator[str]:
        """The artefact in a temporary directory of the host, for as long as it is needed there."""
        folder = self._make_tmp_path()
        try:
            remote = str(self._connection._shell.join_path(folder, "artefact"))
            self._transfer_file(source, remote)
            self._fixup_perms2((folder, remote))
            yield remote
        finally:
            self._remove_tmp_path(folder)

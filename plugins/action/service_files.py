# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of slipway.go.service_files: finds and renders everything before the host is asked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible.release import __version__ as core
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import render_environment, validate_name
from ansible_collections.slipway.go.plugins.plugin_utils._action import lost_hosts
from ansible_collections.slipway.go.plugins.plugin_utils._input import declared_services
from ansible_collections.slipway.go.plugins.plugin_utils._input.sources import find_source

# What holds secrets: it goes to the host as one text that no result shows.
SEALED = ("environment", "config_files", "credentials")
# Templates of the collection's own have names that an operator's may have, too.
OWN = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))), "roles", "service")
# Older versions would make a dictionary of a text that looks like one.
AS_TEXT = {"convert_data": False} if tuple(map(int, core.split(".")[:2])) < (2, 19) else {}


class ActionModule(ActionBase):
    _inventory = ""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        try:
            variables = dict(declared_services.at_hand(task_vars or {}, self._templar, self._loader))
            self._inventory = str(variables.get("inventory_dir"))
            sealed = json.dumps(self._sealed(arguments, variables))
        except SlipwayError as error:
            return {**result, "failed": True, "msg": str(error), "code": error.code, "fix": error.fix}
        if arguments.get("state") == "rendered":
            return {**result, "changed": False, "paths": [], "units": [], "drop_ins": []}
        for option in SEALED:
            arguments.pop(option, None)
        try:
            answer: dict[str, Any] = self._execute_module(
                "slipway.go.service_files", module_args={**arguments, "sealed": sealed}, task_vars=task_vars
            )
        except AnsibleConnectionFailure as error:  # the first contact of a batch: a batch that is gone ends the run
            answer = lost_hosts.unreachable(error, variables)
        return {**result, **answer}

    def _sealed(self, arguments: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        validate_name(str(arguments.get("name") or ""))
        environment = _mapping(arguments, "environment")
        credentials = _mapping(arguments, "credentials")
        return {
            "environment": render_environment(environment),
            "config": self._config(arguments.get("config_files") or [], variables),
            "credentials": {str(name): str(text) for name, text in credentials.items()},
        }

    def _config(self, given: Any, variables: dict[str, Any]) -> list[dict[str, Any]]:
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise SlipwayError(
                "invalid_config_files", "service_config_files is not a list.", "write it as a list of src"
            )
        found: dict[str, dict[str, Any]] = {}
        for one in given:
            file = self._file(one, variables)
            if file["name"] in found:
                raise SlipwayError(
                    "two_contents", f"service_config_files has {file['name']} twice.", "give one of them another dest"
                )
            found[file["name"]] = file
        return list(found.values())

    def _file(self, given: Any, variables: dict[str, Any]) -> dict[str, Any]:
        src = str(given.get("src") or "") if isinstance(given, Mapping) else ""
        if not src:
            raise SlipwayError(
                "missing_src",
                f"an entry of service_config_files has no src: {_shown(given)}.",
                "name the template in src",
            )
        name = str(given.get("dest") or os.path.basename(src).removesuffix(".j2"))
        secret = boolean(given.get("secret") or False, strict=False)
        return {"name": name, "secret": secret, "content": self._render(src, secret, variables)}

    def _render(self, src: str, secret: bool, variables: dict[str, Any]) -> str:
        def missing(searched: Sequence[str]) -> SlipwayError:
            return SlipwayError(
                "missing_template",
                f"the template {src} of service_config_files is in none of the places where it is looked for on the "
                f"controller: {', '.join(dict.fromkeys(searched))}.",
                "correct the path, or put the template there",
            )

        path = find_source(self, "templates", src, self._inventory, missing, own=OWN)
        if not os.path.isfile(path):
            folder = os.path.isdir(path)
            raise SlipwayError(
                "missing_template",
                f"the template {path} of service_config_files is "
                f"{'a directory' if folder else 'not a file on the controller'}.",
                "name a file in src" if folder else "correct the path, or put the template there",
            )
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        try:
            (content,) = lookup.run([path], variables, **AS_TEXT)
        except (AnsibleError, OSError, ValueError, TypeError) as error:
            why = type(error).__name__ if secret else _line(error)
            raise SlipwayError(
                "invalid_template",
                f"the template {path} of service_config_files cannot be rendered: {why}.",
                "correct the template, or define what it uses for every host",
            ) from error
        return str(content)


def _mapping(arguments: Mapping[str, Any], option: str) -> Mapping[str, Any]:
    given = arguments.get(option) or {}
    if not isinstance(given, Mapping):
        raise SlipwayError(
            f"invalid_{option}", f"service_{option} is not a dictionary.", "write it as name: value pairs"
        )
    return given


def _line(error: Exception) -> str:
    """What it says, in one line."""
    return " ".join(str(getattr(error, "message", None) or error).split()).rstrip(".")


def _shown(given: Any) -> str:
    return json.dumps(sorted(given)) if isinstance(given, Mapping) else type(given).__name__

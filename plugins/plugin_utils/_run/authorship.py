# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who runs this playbook, from where and in which job. This file is PRIVATE to the collection.

AWX says it in extra variables, GitLab, GitHub and Jenkins in the environment of the job, and so does `slipway pull`.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.by import LIMITS, parse_by

_PERSON_VARIABLES = ("awx_user_name", "tower_user_name")
_PERSON_ENVIRONMENT = ("GITLAB_USER_LOGIN", "GITHUB_ACTOR", "BUILD_USER_ID", "SLIPWAY_PULL_SIGNER", "SUDO_USER")
_JOB_ADDRESSES = ("CI_JOB_URL", "BUILD_URL", "SLIPWAY_PULL_JOB")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return str(os.getuid())


def _job(variables: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    for prefix in ("awx", "tower"):
        number, name = variables.get(f"{prefix}_job_id"), variables.get(f"{prefix}_job_template_name")
        if number:
            return f"AWX job {number}{f', {name}' if name else ''}"
    if environment.get("GITHUB_RUN_ID"):
        base, repository = environment.get("GITHUB_SERVER_URL", ""), environment.get("GITHUB_REPOSITORY", "")
        return f"{base}/{repository}/actions/runs/{environment['GITHUB_RUN_ID']}"
    return next((environment[name] for name in _JOB_ADDRESSES if environment.get(name)), "")


def known(variables: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """What can be told without being said."""
    said = [str(variables[name]) for name in _PERSON_VARIABLES if variables.get(name)]
    said += [environment[name] for name in _PERSON_ENVIRONMENT if environment.get(name)]
    person = next(iter(said), "") or _user()
    return parse_by({"person": person, "controller": socket.gethostname(), "job": _job(variables, environment)})


def complete(given: Any, variables: Mapping[str, Any]) -> dict[str, str]:
    """What was said, and what else is known."""
    if not isinstance(given, (Mapping, type(None))) and given != "":
        raise SlipwayError(
            "invalid_by", f"by is {type(given).__name__} and not a mapping.", "give person, controller, job and reason"
        )
    unknown = sorted(set(map(str, given or {})) - set(LIMITS))
    if unknown:
        raise SlipwayError(
            "invalid_by", f"by has {', '.join(unknown)}, which it does not know.", f"give {', '.join(LIMITS)}"
        )
    return {**known(variables, os.environ), **parse_by(given or {})}


def require_reason(by: Mapping[str, str]) -> None:
    if not by.get("reason"):
        raise SlipwayError(
            "missing_reason",
            "release_reason is empty, and release_reason_required asks for one.",
            "set release_reason to why this release is made",
        )

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that become unreachable or fail in their batch. This file is PRIVATE to the collection.

Ansible counts an unreachable host of a play with any_errors_fatal twice, and so begins the next batch. One that has
failed ends the run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Mapping

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.slipway.go.plugins.module_utils._core.errors import sentence, with_fix, with_sentence

DENIED = "Permission denied"
DEPLOY = "deploy"


def login_fix(reason: object, variables: Mapping[str, Any]) -> str:
    """What to do where the host lets this user in no more, as root after it was hardened; empty for other reasons."""
    if DENIED not in str(reason):
        return ""
    named = [str(variables.get(name) or "") for name in ("ssh_proof_user", "deploy_user_name")]
    user = next((name for name in named if name and "{{" not in name), DEPLOY)
    if f"{user}@" in str(reason):
        return f"let {user} log in, or run the first site as the host's own user (the README's -e bootstrap_user=root)"
    return f"set ansible_user: {user} in the inventory if slipway.go.harden has closed the login of another user"


def explain(reason: object, variables: Mapping[str, Any]) -> str:
    """Why a host cannot be reached, in one line, with the fix where there is one."""
    return with_fix(" ".join(str(reason).split()), login_fix(reason, variables))


@contextlib.contextmanager
def explained(variables: Mapping[str, Any]) -> Iterator[None]:
    """A host stays unreachable, and the reason says what to do."""
    try:
        yield
    except AnsibleConnectionFailure as error:
        raise AnsibleConnectionFailure(explain(error, variables)) from None


def unreachable(reason: object, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The failed result of a release whose host cannot be reached any more."""
    fix = login_fix(reason, variables) or "see that it can be reached again, then sudo slipway status there"
    why = " ".join(str(reason).split()).partition(" Fix: ")[0]  # explain may have said it already
    return {
        "failed": True,
        "changed": False,
        "code": "unreachable",
        "fix": fix,
        "msg": f"the host became unreachable: {sentence(why)} What it had begun and nobody confirms, it takes back by "
        f"itself at its deadline. Fix: {fix}",
    }


def not_touched(variables: Mapping[str, Any]) -> list[str]:
    """The hosts of the play that come after this batch, which is a slice of them."""
    everyone: list[str] = list(variables.get("ansible_play_hosts_all") or [])
    batch = set(variables.get("ansible_play_batch") or [])
    last = max((place for place, host in enumerate(everyone) if host in batch), default=len(everyone))
    return everyone[last + 1 :]


def stop(result: dict[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """The failed result, with what it means for the run that ends with it."""
    left = not_touched(variables)
    more = f"{variables.get('inventory_hostname')} stops the run; not touched: {', '.join(left)}." if left else ""
    return {**result, "msg": with_sentence(str(result.get("msg", "")), str(result.get("fix") or ""), more)}

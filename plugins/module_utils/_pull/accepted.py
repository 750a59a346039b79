# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this host has accepted so far. This file is PRIVATE to the collection."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from .._core import files
from .._core.errors import SlipwayError

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}|")


@dataclass(frozen=True)
class Accepted:
    """head: the newest commit of the branch that was seen and was signed. commit: the one that was begun last.

    Whatever comes later has to descend from them. Both are empty at first.
    """

    head: str = ""
    commit: str = ""


def load(path: str) -> Accepted:
    """What was written last. A file that is damaged is not taken for none, which would accept any signed commit."""
    try:
        with open(path, encoding="utf-8") as stream:
            return _parse(json.load(stream))
    except FileNotFoundError:
        return Accepted()
    except ValueError:
        raise SlipwayError(
            "invalid_pull_settings",
            f"{path}, which says what this host has accepted, cannot be read.",
            f"set pull_at_least to the commit that this host has to have, apply the role pull and remove {path}",
        ) from None


def _parse(given: Any) -> Accepted:
    if not isinstance(given, dict):
        raise ValueError("no object")
    found = Accepted(str(given.get("head", "")), str(given.get("commit", "")))
    if not all(map(_COMMIT.fullmatch, (found.head, found.commit))):
        raise ValueError("no commit")
    return found


def save(path: str, accepted: Accepted) -> None:
    """Durable before anything of the commit runs: a power cut does not let an older commit in."""
    files.write_atomic(path, json.dumps(asdict(accepted)) + "\n", 0o600)

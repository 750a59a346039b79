# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role pull has left on the host for its pulls. This file is PRIVATE to the collection."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields
from typing import Any, Mapping, get_type_hints

from .._core.errors import SlipwayError

PATH = "/etc/slipway/pull.json"
FIX = "apply the role pull again"
# What git would have among its arguments. Over HTTP, a user alone can be a token, and git is looser than a browser
# about where the user ends: so no @ at all, and no query. As in the role's own rule.
_OPEN_SECRET = re.compile(r"https?:.*[@?]|://[^/@]*:[^/@]*@", re.IGNORECASE | re.DOTALL)
_USER = re.compile(r"(?<=://)[^/?#]*@")


@dataclass(frozen=True)
class Settings:
    """signers: a file of allowed signers. wave: 0 for a host that takes every commit.

    metrics: the folder of node_exporter's textfile collector; written to where it exists.
    at_least: a commit that the branch must have, also the first time; empty for any.
    environment: of git and of Ansible, beside their usual one.
    """

    repository: str
    branch: str
    signers: str
    host: str
    playbook: str
    inventory: str
    ansible: str
    wave: int = 0
    at_least: str = ""
    metrics: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def load(path: str = PATH) -> Settings:
    try:
        with open(path, encoding="utf-8") as stream:
            return parse(json.load(stream))
    except FileNotFoundError:
        raise SlipwayError("invalid_pull_settings", f"this host pulls nothing: it has no {path}.", FIX) from None
    except ValueError as error:
        raise SlipwayError("invalid_pull_settings", f"{path} cannot be read: {error}.", FIX) from None


def parse(given: Any) -> Settings:
    """ValueError where it is not what the role writes."""
    if not isinstance(given, dict):
        raise ValueError("it is no object")
    types = get_type_hints(Settings)
    needed = {one.name for one in fields(Settings)} - {"wave", "at_least", "metrics", "environment"}
    wrong = sorted((needed - set(given)) | (set(given) - set(types)))
    wrong += sorted(name for name in set(given) & set(types) if not _fits(given[name], types[name]))
    if wrong:
        raise ValueError(f"{', '.join(wrong)} is missing, unknown or of another type")
    if _OPEN_SECRET.search(given["repository"]):
        raise ValueError("its repository has a user, a password or a query in it, which every user of this host sees")
    return Settings(**given)


def shown(url: str) -> str:
    """The address of a repository without what may be secret in it: the user with a password, and the query."""
    return _USER.sub("", url).partition("?")[0] if "://" in url else url


def _fits(value: Any, wanted: Any) -> bool:
    if wanted in (str, int):
        return isinstance(value, wanted) and not isinstance(value, bool)
    return isinstance(value, dict) and all(isinstance(text, str) for text in (*value, *value.values()))

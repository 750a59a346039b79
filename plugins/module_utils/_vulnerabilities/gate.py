# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database with the rules to judge by, as one text for a host. This file is PRIVATE to the collection."""

from __future__ import annotations

import base64
import json
import zlib
from datetime import date
from typing import Any, Mapping, NamedTuple, Sequence

from .judge import Ignored, Rules
from .osv import Affected, Import


class Gate(NamedTuple):
    """All that a program is judged by."""

    modules: Mapping[str, Sequence[Affected]]
    rules: Rules


def pack(gate: Gate) -> str:
    """The same gate gives the same text."""
    rules = gate.rules._asdict()
    ignored = [{**one._asdict(), "until": str(one.until)} for one in gate.rules.ignored]
    rules.update(today=str(gate.rules.today), ignored=ignored)
    entries = [one for module in sorted(gate.modules) for one in gate.modules[module]]
    content = json.dumps({"rules": rules, "entries": entries}, sort_keys=True, separators=(",", ":"))
    return base64.b64encode(zlib.compress(content.encode(), 9)).decode()


def unpack(text: str) -> Gate:
    told = json.loads(zlib.decompress(base64.b64decode(text)))
    modules: dict[str, list[Affected]] = {}
    for row in told["entries"]:
        affected = _affected(row)
        modules.setdefault(affected.module, []).append(affected)
    return Gate(modules, _rules(told["rules"]))


def _affected(row: list[Any]) -> Affected:
    one = Affected(*row)
    ranges = (
        None if one.ranges is None else tuple(tuple((kind, text) for kind, text in events) for events in one.ranges)
    )
    imports = tuple(Import(path, *map(tuple, lists)) for path, *lists in one.imports)
    return one._replace(ranges=ranges, versions=tuple(one.versions), imports=imports, aliases=tuple(one.aliases))


def _rules(told: dict[str, Any]) -> Rules:
    ignored = tuple(Ignored(one["id"], one["reason"], _day(one["until"])) for one in told["ignored"])
    return Rules(**{**told, "today": _day(told["today"]), "ignored": ignored})


def _day(text: str) -> date:
    return date(*map(int, text.split("-")))

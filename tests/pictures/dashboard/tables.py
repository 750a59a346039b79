"""What a table panel shows of several answers: Grafana's transformations merge and organize."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

from ansible_collections.slipway.go.tests.pictures.dashboard.api import Series

Cell = Union[float, str]
Row = dict[str, Cell]


def rows(panel: Mapping[str, Any], answers: Sequence[Sequence[Series]]) -> tuple[list[str], list[Row]]:
    """The names of its columns, and its rows by these names, in their order."""
    refs = [target["refId"] for target in panel["targets"]]
    frames = [_frame(answer, "Value" if len(refs) == 1 else f"Value #{ref}") for ref, answer in zip(refs, answers)]
    columns = sorted({name for frame in frames for row in frame for name in row})
    found = frames[0] if len(frames) == 1 else []
    for step in panel.get("transformations", ()):
        if step["id"] == "merge":
            found = merged(frames)
        elif step["id"] == "organize":
            columns, found = organized(columns, found, step["options"])
        else:
            raise ValueError(f"{panel['title']}: the transformation {step['id']} is not known here")
    return columns, _sorted(found, panel["options"].get("sortBy", ()))


def _frame(answer: Sequence[Series], value: str) -> list[Row]:
    return [{**one.labels, value: one.points[-1][1]} for one in answer if one.points]


def merged(frames: Sequence[Sequence[Row]]) -> list[Row]:
    """One row for all rows that say the same of the columns that every frame has."""
    whole = [frame for frame in frames if frame]
    if not whole:
        return []
    shared = sorted(set.intersection(*({name for row in frame for name in row} for frame in whole)))
    together: dict[tuple[Cell, ...], Row] = {}
    for frame in whole:
        for row in frame:
            together.setdefault(tuple(row.get(name, "") for name in shared), {}).update(row)
    return list(together.values())


def organized(columns: Sequence[str], found: Sequence[Row], options: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
    """Columns in their order and by their new names, without those that are left out."""
    hidden, order, names = options["excludeByName"], options["indexByName"], options["renameByName"]
    kept = sorted(
        (name for name in columns if not hidden.get(name)), key=lambda name: (order.get(name, len(order)), name)
    )
    renamed = [{names.get(name, name): row[name] for name in kept if name in row} for row in found]
    return [names.get(name, name) for name in kept], renamed


def _sorted(found: list[Row], by: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows without a value come last."""
    for one in reversed(by):
        name = one["displayName"]
        with_value = sorted((row for row in found if name in row), key=lambda row: row[name], reverse=one["desc"])
        found = [*with_value, *(row for row in found if name not in row)]
    return found

"""Whether a dashboard and its rules say something of a day, on the Prometheus that has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Protocol

from ansible_collections.slipway.go.tests.pictures.dashboard.api import Refused, Series
from ansible_collections.slipway.go.tests.pictures.dashboard.queries import (
    Query,
    legend,
    metrics,
    one_of,
    panels,
    queries,
    step_of,
    substituted,
    times,
    without_fallback,
)

STEP = 60


class Day(Protocol):
    def between(self, query: str, begin: float, end: float, step: int) -> list[Series]: ...

    def values(self, label: str, of: str) -> list[str]: ...


def problems(dashboard: Mapping[str, Any], reference: set[str], day: Day, begin: float, end: float) -> Iterator[str]:
    """What is wrong with it; reference: the metrics that hosts export."""
    shown = set().union(*(metrics(query.text) for query in queries(dashboard)))
    yield from (f"no panel shows {name}" for name in sorted(reference - shown))
    variables = {name: day.values(*of) for name, of in listed(dashboard).items()}
    yield from (f"the variable {name} has no values" for name, values in variables.items() if not values)
    known = {name for name in sorted(reference | shown) if day.between(name, begin, end, STEP)}
    yield from (f"the day has no {name}" for name in sorted(reference - known))
    for query in queries(dashboard):
        told = list(_of_query(query, known, day, begin, end))
        yield from told
        for chosen in [] if told else choices(variables):
            yield from _of_choice(query, chosen, day, begin, end)
    for panel in panels(dashboard):
        yield from _of_legends(panel, day, begin, end)


def listed(dashboard: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The label and the metric of each variable that asks for its values."""
    told = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = variable["query"]["query"].removeprefix("label_values(").removesuffix(")").split(", ")
            told[variable["name"]] = (label, metric)
    return told


def choices(variables: Mapping[str, Sequence[str]]) -> Iterator[dict[str, list[str]]]:
    """One value of a variable, or two of them, while the others have all."""
    for name, values in variables.items():
        for count in (1, 2):
            yield from ({name: list(some)} for some in list(combinations(values, count))[:3])


def expanded(text: str, chosen: Mapping[str, Sequence[str]], seconds: int, step: int) -> str:
    """The query as Grafana sends it. What is not chosen is All."""
    values = {name: one_of(chosen[name]) if name in chosen else ".*" for name in ("service", "instance")}
    return substituted(text, {**values, **times(seconds, step)})


def _of_query(query: Query, known: set[str], day: Day, begin: float, end: float) -> Iterator[str]:
    """With all values: it is understood, and finds something in a day that has what it asks for."""
    text = expanded(without_fallback(query.text), {}, int(end - begin), STEP)
    try:
        found = day.between(text, begin, end, STEP)
    except Refused as error:
        yield f"{query.panel} {query.ref}: refused: {error}"
        return
    if not found and metrics(query.text) <= known:
        yield f"{query.panel} {query.ref}: returns nothing: {text}"


def _of_choice(query: Query, chosen: Mapping[str, Sequence[str]], day: Day, begin: float, end: float) -> Iterator[str]:
    """With some values: it is understood, and shows nothing of the others."""
    try:
        found = day.between(expanded(query.text, chosen, int(end - begin), STEP), begin, end, STEP * 10)
    except Refused as error:
        yield f"{query.panel} {query.ref}: refused with {dict(chosen)}: {error}"
        return
    for name, values in chosen.items():
        others = {one.labels[name] for one in found if name in one.labels} - set(values)
        if others:
            yield f"{query.panel} {query.ref}: shows {name} {', '.join(sorted(others))}, and {values} is chosen"


def _of_legends(panel: Mapping[str, Any], day: Day, begin: float, end: float) -> Iterator[str]:
    """Two series of a panel that have one name cannot be told apart."""
    if panel["type"] == "table":
        return
    names: Counter[str] = Counter()
    for target in panel["targets"]:
        text = expanded(target["expr"], {}, int(end - begin), STEP)
        try:
            found = day.between(text, begin, end, step_of(int(end - begin)))
        except Refused:
            return
        names.update(legend(target.get("legendFormat", ""), one.labels) for one in found)
    yield from (f"{panel['title']}: {count} series are called {name!r}" for name, count in names.items() if count > 1)


def rule_problems(rules: Sequence[Mapping[str, Any]], day: Day, begin: float, end: float) -> Iterator[str]:
    """rules: as Prometheus tells of them after it has evaluated each. They are asked of the whole day, too."""
    for rule in rules:
        if rule["health"] != "ok":
            yield f"{rule['name']}: {rule['health']}: {rule.get('lastError', 'not evaluated')}"
        try:
            day.between(rule["query"], begin, end, STEP)
        except Refused as error:
            yield f"{rule['name']}: refused: {error}"

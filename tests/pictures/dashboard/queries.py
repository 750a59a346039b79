"""The queries of a dashboard, with its variables replaced as Grafana replaces them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

METRIC = re.compile(r"\bslipway_\w+")
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
FALLBACK = re.compile(r"\s+or\s+vector\(0\)\s*$")
SCRAPE = 60  # seconds between two looks of the Prometheus, as its data source in Grafana is told

Labels = Mapping[str, str]


class Query(NamedTuple):
    panel: str
    ref: str
    text: str
    instant: bool


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that show something; a row is a headline."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    """Of panels and annotations."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield Query(panel["title"], target["refId"], target["expr"], target.get("instant", False))
    for annotation in dashboard["annotations"]["list"]:
        yield Query(f"annotation {annotation['name']}", "", annotation["expr"], False)


def metrics(text: str) -> set[str]:
    return set(METRIC.findall(text))


def one_of(values: Sequence[str]) -> str:
    """What a variable of several values becomes in a query, where it stands in a regular expression."""
    escaped = [re.sub(r"([\\^$*+?.()|\[\]{}])", r"\\\\\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def times(seconds: int, step: int) -> dict[str, str]:
    """The variables that Grafana has of the range that is shown and of the distance of two points."""
    return {
        "__interval": f"{step}s",
        "__rate_interval": f"{max(step + SCRAPE, 4 * SCRAPE)}s",
        "__range": f"{seconds}s",
    }


def substituted(text: str, variables: Mapping[str, str]) -> str:
    """KeyError where the dashboard has no such variable."""
    return VARIABLE.sub(lambda found: variables[found[1] or found[2]], text)


def without_fallback(text: str) -> str:
    """The query without the 0 that it shows where nothing is found, and that would hide a query that finds nothing."""
    return FALLBACK.sub("", text)


def legend(template: str, labels: Labels) -> str:
    """The name of a series."""
    if template in ("", "__auto"):
        told = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
        return f"{labels.get('__name__', '')}{{{told}}}" if told else labels.get("__name__", "")
    return LEGEND.sub(lambda found: labels.get(found[1], ""), template)


def step_of(seconds: int, points: int = 360) -> int:
    """Seconds between two points of a graph, never less than between two looks."""
    return max(SCRAPE, -(-seconds // points))


def seconds_of(text: str) -> int:
    """How far back `now-6h` is."""
    number, unit = re.fullmatch(r"now-(\d+)([mhd])", text).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 60, "h": 3600, "d": 86400}[unit]

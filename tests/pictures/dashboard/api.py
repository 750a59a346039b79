"""What a Prometheus answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, NamedTuple


class Series(NamedTuple):
    labels: dict[str, str]
    points: list[tuple[float, float]]  # time and value, oldest first


class Refused(Exception):
    """It takes the query for none, or warns of what it answers."""


class Prometheus:
    def __init__(self, listens: str) -> None:
        self._address = f"http://{listens}/api/v1"

    def at(self, query: str, time: float) -> list[Series]:
        told = self.ask("query", query=query, time=time)
        if told["resultType"] == "scalar":
            return [Series({}, [_point(told["result"])])]
        return [Series(one["metric"], [_point(one["value"])]) for one in told["result"]]

    def between(self, query: str, begin: float, end: float, step: int) -> list[Series]:
        told = self.ask("query_range", query=query, start=begin, end=end, step=step)
        return [Series(one["metric"], [_point(value) for value in one["values"]]) for one in told["result"]]

    def values(self, label: str, of: str) -> list[str]:
        """What label_values(of, label) gives in Grafana."""
        values: list[str] = self.ask(f"label/{label}/values", **{"match[]": of})
        return values

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def ask(self, path: str, **parameters: object) -> Any:
        address = f"{self._address}/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            raise Refused(json.load(error)["error"]) from error
        if told.get("warnings"):
            raise Refused("; ".join(told["warnings"]))
        return told["data"]


def _point(value: list[Any]) -> tuple[float, float]:
    return float(value[0]), float(value[1])

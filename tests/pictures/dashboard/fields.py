"""How a value is shown: its unit, its text, its colour, as fieldConfig of a panel says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

Config = Mapping[str, Any]
Value = Optional[float]
NO_DATA = "No data"
_DURATIONS = (
    (60, 1, "s"),
    (3600, 60, "mins"),
    (86400, 3600, "hours"),
    (604800, 86400, "days"),
    (31536000, 604800, "weeks"),
)
_BELOW_A_SECOND = ((1e-3, 1e-6, "µs"), (1.0, 1e-3, "ms"))


class Shown(NamedTuple):
    text: str
    color: str  # a name of Grafana's palette; empty for that of text


def config_of(panel: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The defaults of a panel with the overrides of the field that is shown by that name."""
    config = dict(panel["fieldConfig"]["defaults"])
    for one in panel["fieldConfig"]["overrides"]:
        if one["matcher"] == {"id": "byName", "options": name}:
            config.update({prop["id"]: prop["value"] for prop in one["properties"]})
    return config


def shown(value: float | str | None, config: Config) -> Shown:
    mapped = mapping(value, config.get("mappings", ()))
    if mapped:
        return Shown(str(mapped.get("text", value)), str(mapped.get("color", "")))
    if isinstance(value, str):
        return Shown(value, "")
    color = threshold(value, config.get("thresholds", {}).get("steps", ()))
    if value is None:
        return Shown(str(config.get("noValue", NO_DATA)), color)
    return Shown(formatted(value, config.get("unit", "none"), config.get("decimals")), color)


def mapping(value: float | str | None, mappings: Sequence[Config]) -> Optional[Config]:
    """The text and colour that a value is replaced by, where there is one."""
    for one in mappings:
        if one["type"] == "special" and one["options"]["match"] == "null" and value is None:
            result: Config = one["options"]["result"]
            return result
        if one["type"] == "value" and value is not None and _plain(value) in one["options"]:
            return dict(one["options"][_plain(value)])
    return None


def threshold(value: Value, steps: Sequence[Config]) -> str:
    """The colour of the highest step that the value reaches; the lowest one has no value."""
    reached = [step for step in steps if step["value"] is None or (value is not None and value >= step["value"])]
    return str(reached[-1]["color"]) if reached else ""


def formatted(value: float, unit: str, decimals: Optional[int] = None) -> str:
    if unit == "percentunit":
        return f"{_rounded(100 * value, decimals)}%"
    if unit == "s":
        return _duration(value, decimals)
    suffix = {"none": "", "short": ""}.get(unit, f" {unit.removeprefix('suffix:')}")
    return f"{_rounded(value, decimals)}{suffix}"


def _duration(seconds: float, decimals: Optional[int]) -> str:
    if seconds == 0:
        return "0 s"
    scales = [*_BELOW_A_SECOND, *_DURATIONS] if abs(seconds) < 1 else _DURATIONS
    divisor, name = next(((size, name) for limit, size, name in scales if abs(seconds) < limit), (31536000, "years"))
    return f"{_rounded(seconds / divisor, decimals)} {name}"


def _rounded(value: float, decimals: Optional[int]) -> str:
    """With three digits that say something, where it is not told how many decimals it has."""
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"

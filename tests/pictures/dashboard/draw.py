"""The panels of a dashboard, drawn as one page from what a Prometheus answers to their queries."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from html import escape
from typing import Any, NamedTuple

from ansible_collections.slipway.go.tests.pictures.dashboard import fields, tables
from ansible_collections.slipway.go.tests.pictures.dashboard.api import Prometheus, Series
from ansible_collections.slipway.go.tests.pictures.dashboard.check import expanded
from ansible_collections.slipway.go.tests.pictures.dashboard.queries import legend, seconds_of, step_of

WIDTH, CELL, GAP, HEAD, TITLE, PAD = 1440, 30, 6, 58, 24, 8
COLUMNS = 24
LETTER, LINE = 6.1, 17  # the size of small text, to know how much of it fits
COLORS = {
    "green": "#4a9c5d",
    "red": "#cf3f3f",
    "orange": "#e0862a",
    "yellow": "#dfb81f",
    "blue": "#4177c4",
    "text": "#20252e",
}
LINES = ("#4177c4", "#e0862a", "#4a9c5d", "#a352b3", "#cf3f3f", "#2a9d9d", "#8a6d3b", "#d46a9f", "#6b7280", "#b5a300")
STYLE = f"""
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: #eef0f3; color: {COLORS["text"]}; font: 12px/1.35 "DejaVu Sans", sans-serif; }}
header {{ position: absolute; left: {GAP}px; right: {GAP}px; top: 8px; }}
header b {{ font-size: 17px; margin-right: 14px; }}
header span {{ background: #fff; border: 1px solid #d5d9df; padding: 2px 8px; margin-right: 6px; }}
header p {{ margin: 5px 0 0; color: #5b6472; font-size: 11px; }}
section {{ position: absolute; background: #fff; border: 1px solid #d5d9df; border-radius: 3px; overflow: hidden; }}
h2 {{ margin: 0; padding: 4px {PAD}px 0; font-size: 12px; font-weight: bold; white-space: nowrap; height: {TITLE}px;
  overflow: hidden; text-overflow: ellipsis; }}
h2 small {{ font-weight: normal; color: #7a8291; font-size: 10.5px; margin-left: 8px; }}
.row {{ position: absolute; font-weight: bold; font-size: 13px; padding-top: 7px; }}
.stat {{ color: #fff; font-size: 25px; font-weight: bold; text-align: center; }}
.stat h2 {{ font-size: 11px; text-align: left; }}
.none {{ color: #7a8291; text-align: center; padding-top: 24px; }}
table {{ width: calc(100% - {2 * PAD}px); margin: 0 {PAD}px; border-collapse: collapse; font-size: 11px; }}
th {{ text-align: left; color: #4177c4; padding: 2px 5px; border-bottom: 1px solid #d5d9df; white-space: nowrap; }}
td {{ padding: 2.5px 5px; border-bottom: 1px solid #eef0f3; white-space: nowrap; }}
.number {{ text-align: right; }}
.legend {{ padding: 0 {PAD}px; font-size: 10.5px; }}
.legend span {{ white-space: nowrap; margin-right: 14px; }}
.legend i {{ display: inline-block; width: 11px; height: 4px; margin-right: 4px; vertical-align: middle; }}
svg {{ display: block; }}
svg text {{ font: 10px "DejaVu Sans", sans-serif; fill: #5b6472; }}
"""


class Box(NamedTuple):
    x: int
    y: int
    width: int
    height: int


class Span(NamedTuple):
    """The time that is shown."""

    begin: float
    end: float

    def at(self, time: float, width: float) -> float:
        return width * (time - self.begin) / (self.end - self.begin)


def size(dashboard: Mapping[str, Any]) -> tuple[int, int]:
    bottom = max(box_of(panel["gridPos"]).y + box_of(panel["gridPos"]).height for panel in dashboard["panels"])
    return WIDTH, bottom + GAP


def box_of(place: Mapping[str, int]) -> Box:
    """Where a panel is on the page."""
    column = (WIDTH - GAP) / COLUMNS
    left, right = (round(GAP + column * n) for n in (place["x"], place["x"] + place["w"]))
    return Box(left, HEAD + place["y"] * CELL, right - left - GAP, place["h"] * CELL - GAP)


def page(dashboard: Mapping[str, Any], asked: Prometheus, now: float) -> str:
    span = Span(now - seconds_of(dashboard["time"]["from"]), now)
    marks = list(swaps(dashboard, asked, span))
    bodies = "".join(one_panel(panel, asked, span, marks) for panel in dashboard["panels"])
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{escape(dashboard["title"])}</title>'
        f"<style>{STYLE}</style>{header(dashboard, span)}{bodies}</html>\n"
    )


def header(dashboard: Mapping[str, Any], span: Span) -> str:
    names = [one["name"] for one in dashboard["templating"]["list"]]
    values = dict.fromkeys(names, "All") | {"datasource": "Prometheus"}
    chosen = "".join(f"<span>{name}: {values[name]}</span>" for name in names)
    times = " to ".join(f"{datetime.fromtimestamp(time, timezone.utc):%H:%M}" for time in span)
    return (
        f"<header><b>{escape(dashboard['title'])}</b>{chosen}<span>{times} UTC</span>"
        "<p>Panels and queries of examples/monitoring/dashboard.json, asked of a real Prometheus with a made-up day. "
        "Drawn by make dashboard, not by Grafana.</p></header>"
    )


def swaps(dashboard: Mapping[str, Any], asked: Prometheus, span: Span) -> Iterator[float]:
    """The times of annotations whose value is one, in milliseconds."""
    for annotation in dashboard["annotations"]["list"]:
        if not annotation.get("useValueForTime"):
            raise ValueError(f"the annotation {annotation['name']} is of a kind that is not known here")
        for one in asked.between(expand(annotation["expr"], span), *span, step_of(int(span.end - span.begin))):
            yield from sorted({value / 1000 for _time, value in one.points if value / 1000 > span.begin})


def expand(text: str, span: Span) -> str:
    seconds = int(span.end - span.begin)
    return expanded(text, {}, seconds, step_of(seconds))


def one_panel(panel: Mapping[str, Any], asked: Prometheus, span: Span, marks: Sequence[float]) -> str:
    box = box_of(panel["gridPos"])
    place = f"left:{box.x}px;top:{box.y}px;width:{box.width}px;height:{box.height}px"
    if panel["type"] == "row":
        return f'<div class="row" style="{place}">{escape(panel["title"])}</div>'
    answers = [_ask(target, asked, span) for target in panel["targets"]]
    title = f"<h2>{escape(panel['title'])}</h2>"
    if panel["type"] == "stat":
        told = stat(panel, answers)
        background = COLORS.get(told.color, COLORS["blue"])
        style = f"{place};background:{background}"
        return f'<section class="stat" style="{style}">{title}<div>{escape(told.text)}</div></section>'
    title = f"<h2>{escape(panel['title'])}<small>{escape(panel['description'])}</small></h2>"
    if not any(answers):
        empty = panel["fieldConfig"]["defaults"].get("noValue", fields.NO_DATA)
        return f'<section style="{place}">{title}<div class="none">{escape(empty)}</div></section>'
    if panel["type"] == "table":
        body = table(panel, answers)
    elif panel["type"] == "state-timeline":
        body = timeline(panel, named(panel, answers), span, box)
    elif panel["type"] == "timeseries":
        body = graph(panel, named(panel, answers), span, box, marks)
    else:
        raise ValueError(f"{panel['title']}: a {panel['type']} is not known here")
    return f'<section style="{place}">{title}{body}</section>'


def _ask(target: Mapping[str, Any], asked: Prometheus, span: Span) -> list[Series]:
    text = expand(target["expr"], span)
    if target.get("instant"):
        return asked.at(text, span.end)
    return asked.between(text, *span, step_of(int(span.end - span.begin)))


def stat(panel: Mapping[str, Any], answers: Sequence[Sequence[Series]]) -> fields.Shown:
    values = [one.points[-1][1] for answer in answers for one in answer]
    if len(values) > 1:
        raise ValueError(f"{panel['title']}: a stat of several series is not known here")
    return fields.shown(values[0] if values else None, fields.config_of(panel, ""))


def named(panel: Mapping[str, Any], answers: Sequence[Sequence[Series]]) -> dict[str, Series]:
    return {
        legend(target.get("legendFormat", ""), one.labels): one
        for target, answer in zip(panel["targets"], answers)
        for one in answer
    }


def table(panel: Mapping[str, Any], answers: Sequence[Sequence[Series]]) -> str:
    columns, rows = tables.rows(panel, answers)
    numbers = {name for name in columns if any(_is_number(panel, name, row.get(name)) for row in rows)}
    head = "".join(f"<th{_side(name in numbers)}>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(cell(panel, name, row.get(name)) for name in columns) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def cell(panel: Mapping[str, Any], name: str, value: float | str | None) -> str:
    if value is None:
        return "<td></td>"
    config = fields.config_of(panel, name)
    told = fields.shown(value, config)
    kind = config.get("custom.cellOptions", {}).get("type", "auto")
    color = COLORS.get(told.color, COLORS["text"])
    style = {"color-background": f"background:{color};color:#fff", "color-text": f"color:{color}"}.get(kind, "")
    return f'<td{_side(_is_number(panel, name, value))} style="{style}">{escape(told.text)}</td>'


def _is_number(panel: Mapping[str, Any], name: str, value: object) -> bool:
    return isinstance(value, float) and "mappings" not in fields.config_of(panel, name)


def _side(number: bool) -> str:
    return ' class="number"' if number else ""


def timeline(panel: Mapping[str, Any], series: Mapping[str, Series], span: Span, box: Box) -> str:
    config = fields.config_of(panel, "")
    left = int(max(map(len, series)) * LETTER) + 14
    step = step_of(int(span.end - span.begin))
    width, height = box.width - left - 2 * PAD, box.height - TITLE - 2 * LINE - 14
    band = height / len(series)
    parts = [_hours(span, left, width, height)]
    for number, name in enumerate(sorted(series)):
        top = band * number
        parts.append(f'<text x="{left - 6}" y="{top + band / 2 + 3:.1f}" text-anchor="end">{escape(name)}</text>')
        for begin, end, value in stretches(series[name].points, step):
            x, to = (left + width * min(1, max(0, span.at(time, 1))) for time in (begin, end))
            color = COLORS.get(fields.shown(value, config).color, COLORS["text"])
            parts.append(
                f'<rect x="{x:.1f}" y="{top + band * 0.1:.1f}" width="{max(1, to - x):.1f}" height="{band * 0.8:.1f}" '
                f'fill="{color}"/>'
            )
    told = [one for mapping in config["mappings"] for one in mapping["options"].values()]
    keys = [(one["text"], COLORS[one["color"]]) for one in told]
    return _svg(box.width, height + LINE + 4, parts) + _legend(keys)


def stretches(points: Sequence[tuple[float, float]], step: int) -> Iterator[tuple[float, float, float]]:
    """Begin, end and value of each time that it stays the same; a gap ends one."""
    begin = last = value = math.nan
    for time, now in points:
        if now != value or time - last > 1.5 * step:
            if not math.isnan(value):
                yield begin, min(time, last + step), value
            begin, value = time, now
        last = time
    if not math.isnan(value):
        yield begin, last + step, value


def graph(panel: Mapping[str, Any], series: Mapping[str, Series], span: Span, box: Box, marks: Sequence[float]) -> str:
    config = fields.config_of(panel, "")
    custom = config["custom"]
    stepped = custom.get("lineInterpolation") == "stepAfter"
    legend_lines = _lines_of(series, box.width - 2 * PAD)
    left, right = 62, 12
    width, height = box.width - left - right, box.height - TITLE - LINE * (1 + legend_lines) - 16
    top = max(value for one in series.values() for _time, value in one.points)
    ticks = ticks_of(top, whole=config.get("decimals") == 0, seconds=config.get("unit") == "s")
    parts = [_hours(span, left, width, height)]
    for tick in ticks:
        y = height - height * tick / ticks[-1]
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e6ea"/>')
        text = fields.formatted(tick, config.get("unit", "none"), config.get("decimals"))
        parts.append(f'<text x="{left - 6}" y="{y + 3.5:.1f}" text-anchor="end">{escape(text)}</text>')
    for mark in marks:
        x = left + span.at(mark, width)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="#4177c4" stroke-dasharray="2 3"/>')
    step = step_of(int(span.end - span.begin))
    keys = []
    for number, (name, one) in enumerate(series.items()):
        color = LINES[number % len(LINES)]
        keys.append((name, color))
        for piece in pieces(one.points, step):
            path = line_path([(left + span.at(t, width), height - height * v / ticks[-1]) for t, v in piece], stepped)
            parts.append(f'<path d="{path}" fill="none" stroke="{color}" stroke-width="{custom["lineWidth"] + 0.5}"/>')
    return _svg(box.width, height + LINE + 4, parts) + _legend(keys)


def pieces(points: Sequence[tuple[float, float]], step: int) -> Iterator[list[tuple[float, float]]]:
    """A line ends where a value is missing."""
    piece: list[tuple[float, float]] = []
    for time, value in points:
        if piece and time - piece[-1][0] > 1.5 * step:
            yield piece
            piece = []
        piece.append((time, value))
    if piece:
        yield piece


def line_path(points: Sequence[tuple[float, float]], stepped: bool) -> str:
    (x, y), *rest = points
    path = f"M{x:.1f} {y:.1f}h0.5"
    for to, height in rest:
        path += f"H{to:.1f}V{height:.1f}" if stepped else f"L{to:.1f} {height:.1f}"
    return path


def ticks_of(top: float, whole: bool = False, seconds: bool = False, count: int = 4) -> list[float]:
    """From 0 to at least the top, at round numbers; those of seconds are round in the unit that they are shown in."""
    if top <= 0:
        return [0.0, 1.0]
    unit = next((size for size in (86400, 3600, 60) if seconds and top >= 2 * size), 1)
    rough = top / unit / count
    scale = 10 ** math.floor(math.log10(rough))
    step = next(factor * scale for factor in (1, 2, 5, 10) if factor * scale >= rough * 0.999)
    step = unit * (max(1.0, math.ceil(step)) if whole else step)
    return [step * n for n in range(math.ceil(top / step - 1e-9) + 1)]


def _hours(span: Span, left: int, width: int, height: float) -> str:
    parts = []
    first = math.ceil(span.begin / 3600) * 3600
    for time in range(first, int(span.end) + 1, 3600):
        x = left + span.at(time, width)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height:.1f}" stroke="#eef0f3"/>')
        text = f"{datetime.fromtimestamp(time, timezone.utc):%H:%M}"
        parts.append(f'<text x="{x:.1f}" y="{height + 13:.1f}" text-anchor="middle">{text}</text>')
    return "".join(parts)


def _svg(width: int, height: float, parts: Sequence[str]) -> str:
    """The label of the topmost line reaches over the drawing."""
    tall = f"{height + 8:.0f}"
    return f'<svg width="{width}" height="{tall}" viewBox="0 -8 {width} {tall}">{"".join(parts)}</svg>'


def _legend(keys: Sequence[tuple[str, str]]) -> str:
    told = (f'<span><i style="background:{color}"></i>{escape(name)}</span> ' for name, color in keys)
    return f'<div class="legend">{"".join(told)}</div>'


def _lines_of(names: Mapping[str, object], width: int) -> int:
    """How many lines a legend takes."""
    lines, used = 1, 0.0
    for name in names:
        needed = len(name) * LETTER + 32
        if used and used + needed > width:
            lines, used = lines + 1, 0.0
        used += needed
    return lines

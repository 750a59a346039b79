"""What `make dashboard` asks of a real Prometheus and draws, as far as it needs none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.tests.pictures.dashboard import check, day, draw, fields, queries, tables
from ansible_collections.slipway.go.tests.pictures.dashboard.api import Refused, Series

ROOT = Path(__file__).resolve().parents[3]
END = 1_700_000_000.0


@pytest.mark.parametrize(
    ("values", "told"), [(["shop"], "shop"), (["shop", "mail"], "(shop|mail)"), (["a.b"], r"a\\.b")]
)
def test_chosen_values_stand_in_a_regular_expression(values: list[str], told: str) -> None:
    assert queries.one_of(values) == told


def test_variables_are_replaced_however_they_are_written() -> None:
    variables = {"service": "shop", "__rate_interval": "4m"}
    text = 'rate(x{a="$service", b="${service}", c="${service:regex}"}[$__rate_interval])'
    assert queries.substituted(text, variables) == 'rate(x{a="shop", b="shop", c="shop"}[4m])'
    with pytest.raises(KeyError, match="host"):
        queries.substituted("up{instance=~'$host'}", variables)


def test_a_series_is_called_by_its_legend_else_by_its_labels() -> None:
    labels = {"__name__": "slipway_up", "service": "shop", "instance": "web1"}
    assert queries.legend("{{service}} on {{ instance }}, {{side}}", labels) == "shop on web1, "
    assert queries.legend("", labels) == 'slipway_up{instance="web1", service="shop"}'


def test_the_0_of_a_query_that_finds_nothing_is_taken_away() -> None:
    assert queries.without_fallback("sum(x) or vector(0)") == "sum(x)"
    assert queries.without_fallback("vector(0) or x") == "vector(0) or x"


class Asked:
    """Answers by what a query has in it; everything else finds nothing."""

    def __init__(self, **answers: list[dict[str, str]]) -> None:
        self._answers = answers

    def between(self, query: str, begin: float, end: float, step: int) -> list[Series]:
        if "broken" in query:
            raise Refused("parse error")
        found = [labels for part, all_of in self._answers.items() if part in query for labels in all_of]
        return [Series(labels, [(end, 1.0)]) for labels in found]

    def values(self, label: str, of: str) -> list[str]:
        return ["shop", "mail"]


def dashboard(*expressions: str, legend: str = "") -> dict[str, Any]:
    targets = [{"refId": ref, "expr": text, "legendFormat": legend} for ref, text in zip("ABC", expressions)]
    panel = {"title": "Panel", "type": "timeseries", "targets": targets}
    variable = {"name": "service", "type": "query", "query": {"query": "label_values(slipway_up, service)"}}
    return {"panels": [panel], "annotations": {"list": []}, "templating": {"list": [variable]}}


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        (dashboard("slipway_up"), ""),
        (dashboard("slipway_up broken"), "Panel A: refused: parse error"),
        (dashboard("slipway_up", 'count(slipway_gone{a="wrong"}) or vector(0)'), "the day has no slipway_gone"),
        (dashboard("slipway_other"), "no panel shows slipway_up"),
    ],
)
def test_what_is_wrong_with_a_panel_is_told_by_its_title(shown: Mapping[str, Any], problem: str) -> None:
    reference = {"slipway_up", *(["slipway_gone"] if "gone" in problem else [])}
    found = list(check.problems(shown, reference, Asked(slipway_up=[{}], slipway_other=[{}]), END - 3600, END))
    assert [one for one in found if problem in one] or not problem
    assert found == [] or problem


def test_a_query_that_finds_nothing_is_told_although_it_shows_0() -> None:
    shown = dashboard('count(slipway_up{state="wrong"} == 0) or vector(0)')

    class Nothing(Asked):
        def between(self, query: str, begin: float, end: float, step: int) -> list[Series]:
            return [] if "wrong" in query and "vector" not in query else [Series({}, [(end, 1.0)])]

    found = list(check.problems(shown, {"slipway_up"}, Nothing(), END - 3600, END))
    assert [one.partition(": count")[0] for one in found] == ["Panel A: returns nothing"]


def test_a_panel_that_shows_what_was_not_chosen_is_told() -> None:
    asked = Asked(slipway_up=[{"service": "shop"}])
    found = list(check.problems(dashboard("slipway_up"), {"slipway_up"}, asked, END - 3600, END))
    assert found == ["Panel A: shows service shop, and ['mail'] is chosen"]


def test_two_series_of_one_name_are_told() -> None:
    asked = Asked(slipway_up=[{"instance": "web1"}, {"instance": "web2"}])
    shown = dashboard("slipway_up", legend="{{service}}up")
    found = list(check.problems(shown, {"slipway_up"}, asked, END - 3600, END))
    assert found == ["Panel: 2 series are called 'up'"]


def test_a_rule_that_cannot_be_evaluated_is_told() -> None:
    rules = [
        {"name": "Fine", "health": "ok", "query": "slipway_up"},
        {"name": "Failed", "health": "err", "lastError": "many-to-many matching", "query": "slipway_up"},
        {"name": "Refused", "health": "ok", "query": "broken"},
    ]
    assert list(check.rule_problems(rules, Asked(), END - 3600, END)) == [
        "Failed: err: many-to-many matching",
        "Refused: refused: parse error",
    ]


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (0.018, "s", None, "18 ms"),
        (0, "s", None, "0 s"),
        (90, "s", None, "1.5 mins"),
        (7200, "s", 1, "2.0 hours"),
        (0.0543, "percentunit", 2, "5.43%"),
        (3, "none", None, "3"),
        (9.04, "suffix:days", 1, "9.0 days"),
    ],
)
def test_a_value_is_shown_in_its_unit(value: float, unit: str, decimals: int, text: str) -> None:
    assert fields.formatted(value, unit, decimals) == text


def test_a_mapping_comes_before_a_threshold() -> None:
    steps = [{"value": None, "color": "green"}, {"value": 1, "color": "red"}]
    down = {"type": "value", "options": {"0": {"text": "down", "color": "red"}}}
    none = {"type": "special", "options": {"match": "null", "result": {"text": "none waits", "color": "green"}}}
    config = {"thresholds": {"steps": steps}, "mappings": [down, none]}
    assert fields.shown(0, config) == ("down", "red")
    assert fields.shown(None, config) == ("none waits", "green")
    assert fields.shown(2, config) == ("2", "red")
    assert fields.shown(0.5, config) == ("0.5", "green")


def test_answers_become_one_row_for_each_set_of_shared_labels() -> None:
    web1, web2 = {"instance": "web1"}, {"instance": "web2"}
    answers = [
        [Series({**web1, "version": "2.0"}, [(END, 1.0)]), Series({**web2, "version": "1.0"}, [(END, 1.0)])],
        [Series(web2, [(END, 0.0)])],
    ]
    organize = {
        "excludeByName": {"Value #A": True},
        "indexByName": {"instance": 0, "Value #B": 1},
        "renameByName": {"instance": "host", "Value #B": "state"},
    }
    panel = {
        "title": "Services",
        "targets": [{"refId": "A"}, {"refId": "B"}],
        "transformations": [{"id": "merge"}, {"id": "organize", "options": organize}],
        "options": {"sortBy": [{"displayName": "state", "desc": False}]},
    }
    columns, rows = tables.rows(panel, answers)
    assert columns == ["host", "state", "version"]
    assert rows == [{"host": "web2", "state": 0.0, "version": "1.0"}, {"host": "web1", "version": "2.0"}]


def test_panels_are_where_their_grid_says() -> None:
    left, right = (draw.box_of({"x": x, "y": 1, "w": 12, "h": 8}) for x in (0, 12))
    assert left.x + left.width + draw.GAP == right.x
    assert right.x + right.width + draw.GAP == draw.WIDTH
    assert draw.box_of({"x": 0, "y": 9, "w": 24, "h": 1}).y == left.y + left.height + draw.GAP


@pytest.mark.parametrize(
    ("top", "told", "ticks"),
    [
        (4, {"whole": True}, [0, 1, 2, 3, 4]),
        (1, {"whole": True}, [0, 1]),
        (0, {}, [0, 1]),
        (0.31, {}, [0, 0.1, 0.2, 0.3, 0.4]),
        (1900, {"seconds": True}, [0, 600, 1200, 1800, 2400]),
    ],
)
def test_a_graph_has_round_numbers_at_its_side(top: float, told: dict[str, bool], ticks: list[float]) -> None:
    assert draw.ticks_of(top, **told) == pytest.approx(ticks)


def test_what_stays_the_same_is_one_stretch_and_a_gap_ends_it() -> None:
    points = [(0.0, 1.0), (60.0, 1.0), (120.0, 0.0), (300.0, 0.0)]
    assert list(draw.stretches(points, 60)) == [(0, 120, 1), (120, 180, 0), (300, 360, 0)]


def test_the_day_ends_with_a_service_down_a_pause_and_a_release_that_waits() -> None:
    assert 'slipway_up{service="search"} 0' in day.page("web3", END, END)
    assert 'slipway_swap_paused{service="shop"} 1' in day.page("web1", END, END)
    assert 'slipway_swap_unfinished{service="mail"} 1' in day.page("mail1", END, END)
    assert day.page("mail2", END - 330 * 60, END) == ""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("slipway_pull_failed 0", 'slipway_pull_failed{instance="web1",job="node"} 0'),
        ('slipway_up{service="shop"} 1', 'slipway_up{instance="web1",job="node",service="shop"} 1'),
    ],
)
def test_a_sample_gets_the_labels_of_its_host(line: str, told: str) -> None:
    assert day.with_instance(line, "web1") == told


def test_the_dashboard_can_be_drawn_where_nothing_is_exported() -> None:
    class Empty(Asked):
        def at(self, query: str, time: float) -> list[Series]:
            return []

    shown = json.loads((ROOT / "examples/monitoring/dashboard.json").read_text())
    page = draw.page(shown, Empty(), END)
    assert page.count("<section") == len(queries.panels(shown))
    assert "none waits" in page

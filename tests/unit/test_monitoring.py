# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alert rules and dashboard know the metrics that are exported, and all of them. `make alerts` plays the rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "slipway.rules.yml").read_text())["groups"][0]["rules"]
TESTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "slipway.rules.test.yml").read_text())["tests"]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
NAMES = [rule["alert"] for rule in RULES]
METRIC = re.compile(r"\bslipway_\w+")


def exported() -> set[str]:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    return set(re.findall(r"^\| `(slipway_\w+)`", page, re.MULTILINE))


def queries() -> str:
    return "\n".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])


@pytest.mark.parametrize("name", ["slipway.rules.yml", "slipway.rules.test.yml", "dashboard.json"])
def test_every_metric_is_exported(name: str) -> None:
    used = set(METRIC.findall((FOLDER / name).read_text()))
    assert used
    assert used <= exported()


def test_the_dashboard_shows_every_metric() -> None:
    assert set(METRIC.findall(queries())) == exported()


def test_every_panel_has_its_place() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _y in cells) == 23
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_a_number_of_now_is_asked_of_now() -> None:
    """Of a range, Grafana shows the last value that there was: a deadline stays on the wall after it is gone."""
    asked = {
        (panel["title"], target["instant"], target["range"])
        for panel in DASHBOARD["panels"]
        if panel["type"] in ("stat", "table")
        for target in panel["targets"]
    }
    assert [one for one in asked if one[1:] != (True, False)] == []


def test_a_table_of_several_queries_is_one_table() -> None:
    """Grafana shows the first of them otherwise, and a list to choose from."""
    tables = [panel for panel in DASHBOARD["panels"] if panel["type"] == "table"]
    assert [panel["title"] for panel in tables if panel["transformations"][0]["id"] != "merge"] == []


@pytest.mark.parametrize("name", ["slipway.rules.yml", "dashboard.json"])
def test_a_range_has_several_samples_where_a_scrape_comes_every_minute(name: str) -> None:
    ranges = re.findall(r"\[(\d+)([mhd])\]", (FOLDER / name).read_text())
    assert ranges
    assert [one for one in ranges if int(one[0]) * {"m": 1, "h": 60, "d": 1440}[one[1]] < 5] == []


def test_the_picture_of_the_dashboard_is_in_the_guide_with_its_origin() -> None:
    page = (ROOT / "docs/guide/alerts.md").read_text()
    assert "](pictures/dashboard.png)" in page
    assert "not by Grafana" in page
    assert (ROOT / "docs/guide/pictures/dashboard.png").stat().st_size < 400_000


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_says_what_is_to_be_done(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "action"}


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_is_played_with_and_without_cause(name: str) -> None:
    played = [case for test in TESTS for case in test["alert_rule_test"] if case["alertname"] == name]
    assert {bool(case.get("exp_alerts")) for case in played} == {True, False}


def test_the_page_lists_every_alert_with_its_severity() -> None:
    rows = re.findall(
        r"^\| `(Slipway\w+)` \| .* \| (\w+) \|$", (ROOT / "docs/guide/alerts.md").read_text(), re.MULTILINE
    )
    assert sorted(rows) == sorted((rule["alert"], rule["labels"]["severity"]) for rule in RULES)

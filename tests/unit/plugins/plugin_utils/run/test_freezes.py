# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times in which nothing is released: read as people write them, and judged in the zone that they have."""

from __future__ import annotations

import contextlib
import datetime
import json
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._run import freezes
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused
from hypothesis import given
from hypothesis import strategies as st

WEEKEND = {"weekdays": ["fri"], "from": "16:00", "to": "08:00", "zone": "Europe/Berlin", "reason": "nobody is here"}
CHRISTMAS = {"from": "2026-12-20T18:00:00+01:00", "to": "2027-01-04T08:00:00+01:00", "reason": "Christmas"}


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def frozen(windows: Any, moment: str) -> freezes.Frozen | None:
    return freezes.find(freezes.parse(windows), at(moment))


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-12-20T16:59:59+00:00", False),
        ("2026-12-20T17:00:00+00:00", True),
        ("2027-01-04T06:59:59+00:00", True),
        ("2027-01-04T07:00:00+00:00", False),
    ],
)
def test_a_window_begins_and_ends_at_its_times(moment, inside):
    assert (frozen([CHRISTMAS], moment) is not None) == inside


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-07-03T13:59:00+00:00", False),  # a Friday in summer, 15:59 in Berlin
        ("2026-07-03T14:00:00+00:00", True),
        ("2026-07-04T05:59:00+00:00", True),
        ("2026-07-04T06:00:00+00:00", False),
        ("2026-12-04T14:30:00+00:00", False),  # in winter, 15:30 there
        ("2026-12-04T15:00:00+00:00", True),
        ("2026-12-05T15:30:00+00:00", False),  # a Saturday
    ],
)
def test_a_window_that_recurs_goes_over_midnight_in_its_zone(moment, inside):
    assert (frozen([WEEKEND], moment) is not None) == inside


def test_days_without_times_are_whole_and_times_without_days_are_daily():
    days = [{"weekdays": "sat, sun", "zone": "UTC", "reason": "weekend"}]
    assert frozen(days, "2026-07-04T00:00:00+00:00") == freezes.Frozen("weekend", "2026-07-05 00:00 +0000")
    assert frozen(days, "2026-07-05T23:59:00+00:00")
    assert not frozen(days, "2026-07-06T00:00:00+00:00")
    nights = [{"from": "22:00", "to": "24:00", "zone": "+02:00", "reason": "backup"}]
    assert frozen(nights, "2026-07-06T20:00:00+00:00")
    assert not frozen(nights, "2026-07-06T22:00:00+00:00")


def test_the_window_that_ends_last_counts():
    both = [{"weekdays": "sun", "zone": "UTC", "reason": "Sunday"}, CHRISTMAS]
    assert frozen(both, "2026-12-27T12:00:00+00:00").reason == "Christmas"


def test_dates_are_whole_days_in_their_zone():
    days = [{"from": "2026-12-24", "to": "2026-12-26", "zone": "+01:00", "reason": "Christmas"}]
    assert frozen(days, "2026-12-23T23:00:00+00:00")
    assert frozen(days, "2026-12-26T22:59:00+00:00")
    assert not frozen(days, "2026-12-26T23:00:00+00:00")


@pytest.mark.parametrize("written", [CHRISTMAS, WEEKEND])
def test_text_as_a_survey_hands_it_over_is_the_same(written):
    moment = "2026-12-26T06:00:00+00:00"  # a Saturday
    for text in (json.dumps([written]), yaml.safe_dump([written])):
        assert frozen([written], moment) is not None
        assert frozen(text, moment) == frozen([written], moment)


@pytest.mark.parametrize("given_", [None, "", " ", [], "[]"])
def test_no_calendar(given_):
    assert freezes.parse(given_) == []


def test_what_yaml_makes_of_times_without_quotes():
    written = "[{from: 2026-12-20T18:00:00+01:00, to: 2027-01-04, zone: UTC, reason: x}, "
    written += "{from: 16:00, to: 17:30, zone: UTC, reason: y}]"
    windows = yaml.safe_load(written)
    assert windows[1]["from"] == 960, "the base of 60"
    assert frozen(windows, "2026-07-01T17:29:00+00:00").reason == "y"
    assert not frozen(windows, "2026-07-01T17:30:00+00:00")
    assert frozen(json.dumps(windows, default=str), "2026-12-25T00:00:00+00:00").reason == "x"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("always", "entry 1 of release_freeze is no dictionary"),
        ({**CHRISTMAS, "reason": " "}, "has no reason"),
        ({**CHRISTMAS, "until": "x"}, "has until, which is unknown"),
        ({**CHRISTMAS, "from": "Monday"}, "has from 'Monday'"),
        ({**CHRISTMAS, "from": None}, "has from None"),
        ({**CHRISTMAS, "to": "2026-12-20T18:00:00"}, "without a zone"),
        ({**CHRISTMAS, "to": CHRISTMAS["from"]}, "ends before it begins"),
        ({**CHRISTMAS, "zone": "Europe/Nowhere"}, "'Europe/Nowhere', which this controller does not know"),
        ({**CHRISTMAS, "zone": "../../etc/passwd"}, "this controller does not know"),
        ({**WEEKEND, "zone": ""}, "recurs and has no zone"),
        ({**WEEKEND, "weekdays": ["someday"]}, "has weekdays ['someday']"),
        ({**WEEKEND, "from": "25:00"}, "has from '25:00', and recurs"),
    ],
)
def test_a_bad_entry_is_refused_by_its_number(entry, words):
    refused(lambda: freezes.parse([entry]), "invalid_freeze", words)


@pytest.mark.parametrize("given_", [{"from": 1}, "no list", 7])
def test_what_is_no_list_is_refused_by_name(given_):
    refused(lambda: freezes.parse(given_), "invalid_freeze", "release_freeze")


def test_the_refusal_says_until_when_and_what_goes_on():
    window = frozen([CHRISTMAS], "2026-12-24T18:00:00+00:00")
    error = freezes.refusal(window)
    assert "until 2027-01-04 08:00 +0100: Christmas" in error.message
    assert "release_break_glass" in error.fix


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.datetimes() | st.dates() | st.floats()


@given(st.lists(st.dictionaries(st.sampled_from(freezes.KEYS), VALUES | st.lists(VALUES, max_size=3)), max_size=3))
def test_whatever_is_written_is_read_or_refused(windows):
    with contextlib.suppress(SlipwayError):
        freezes.find(freezes.parse(windows), at("2026-07-01T17:29:00+00:00"))

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the metrics say of a journal, as a parser of others reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.operator import figures, metrics
from ansible_collections.slipway.go.plugins.module_utils._release.state.journal import OUTCOMES, Journal
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

STEPS = [
    {"percent": 5, "requests": 100, "failed": 7, "old_requests": 1900, "old_failed": 2},
    {"percent": 25, "requests": 500, "failed": 1, "old_requests": 1500, "old_failed": 1},
]
PROBE = {
    "before": {"sent": 9, "failed": 4},
    "during": {"sent": 9, "failed": 1},
    "after": {"sent": 9, "failed": 2},
    "rollback": {"sent": 9, "failed": 3},
}
FULL = {"swap_seconds": 1.5, "downtime_seconds": 0.25, "probe": PROBE, "cut": 3, "traffic": {"steps": STEPS}}


def event(name: str, time: float = 1.0, **details: Any) -> dict[str, Any]:
    return {"time": time, "event": name, "release": "1.0-0123456789", "kind": "release", **details}


def exported(history: list[dict[str, Any]]) -> dict[str, float]:
    """Every sample by its name and the values of its labels but the service's, without those that are 0."""
    page = metrics.render(
        [
            metrics.swaps("shop", figures.results(history)),
            *metrics.last_swaps("shop", figures.last_by_result(history)),
            metrics.rollbacks("shop", figures.rollbacks(history)),
            metrics.unconfirmed("shop", figures.unconfirmed(history)),
        ]
    )
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    assert all(sample.labels.pop("service") == "shop" for sample in samples)
    told = {" ".join([s.name.replace("slipway_", ""), *sorted(s.labels.values())]): s.value for s in samples}
    assert len(told) == len(samples)
    return {name: value for name, value in told.items() if value}


JOURNALS: dict[str, tuple[list[dict[str, Any]], dict[str, float]]] = {
    "an empty journal": ([], {}),
    "an entry of a version that measured nothing": (
        [event("committed")],
        {"swaps_total committed": 1, "swap_timestamp_seconds committed": 1},
    ),
    "an entry of a version that did not keep its downtime": (
        [event("committed", swap_seconds=1.5, probe=None, traffic=None)],
        {"swaps_total committed": 1, "swap_timestamp_seconds committed": 1, "swap_seconds committed": 1.5},
    ),
    "all that can be measured": (
        [event("committed", **FULL)],
        {
            "swaps_total committed": 1,
            "swap_timestamp_seconds committed": 1,
            "swap_seconds committed": 1.5,
            "swap_downtime_seconds committed": 0.25,
            "swap_probe_failures committed": 6,
            "swap_connections_cut committed": 3,
            "swap_canary_ratio committed": 0.25,
            "swap_canary_requests committed new": 600,
            "swap_canary_errors committed new": 8,
            "swap_canary_requests committed old": 3400,
            "swap_canary_errors committed old": 3,
        },
    ),
    "a failed swap after one that was committed": (
        [
            event("committed", 1, cut=4),
            event("rolled_back", 2, code="canary_failed", traffic={"steps": STEPS[:1]}, drained=[{"cut": 2}]),
        ],
        {
            "swaps_total committed": 1,
            "swaps_total rolled_back": 1,
            "swap_timestamp_seconds committed": 1,
            "swap_timestamp_seconds rolled_back": 2,
            "swap_connections_cut committed": 4,
            "swap_connections_cut rolled_back": 2,
            "swap_canary_ratio rolled_back": 0.05,
            "swap_canary_requests new rolled_back": 100,
            "swap_canary_errors new rolled_back": 7,
            "swap_canary_requests old rolled_back": 1900,
            "swap_canary_errors old rolled_back": 2,
        },
    ),
    "figures that are none": (
        [
            event("committed", 1, swap_seconds=10**400, cut="2", drained=None),
            event("rolled_back", 2, drained=[1, {"cut": 2}]),
            event("given_up", 3, drained={"cut": 2}),
        ],
        {
            "swaps_total committed": 1,
            "swaps_total rolled_back": 1,
            "swaps_total given_up": 1,
            "swap_timestamp_seconds committed": 1,
            "swap_timestamp_seconds rolled_back": 2,
            "swap_timestamp_seconds given_up": 3,
            "swap_connections_cut rolled_back": 2,
        },
    ),
    "what never came to a swap": (
        [event("refused", 2), event("given_up", 3)],
        {
            "swaps_total refused": 1,
            "swaps_total given_up": 1,
            "swap_timestamp_seconds refused": 2,
            "swap_timestamp_seconds given_up": 3,
        },
    ),
    "releases that were not confirmed": (
        [
            event("rolled_back", 1, code="unconfirmed", swap_seconds=0),
            event("rolled_back", 1, code="unconfirmed", swap_seconds=0),
            event("rolled_back", 1, code="taken_back", swap_seconds=0),
            event("rolled_back", 1, code="damaged_release", swap_seconds=0),
            event("rolled_back", 1, code="crashed"),
        ],
        {
            "swaps_total rolled_back": 5,
            "swap_timestamp_seconds rolled_back": 1,
            "confirmations_failed_total unconfirmed": 2,
            "confirmations_failed_total taken_back": 1,
            "confirmations_failed_total other": 1,
        },
    ),
    "rollbacks": (
        [
            event("committed", 1, kind="rollback"),
            event("rolled_back", 2, kind="rollback"),
            event("committed", 3, kind="rollback", reason="3 crashes"),
            event("committed", 3, kind="rollback", withdrawn=True),
            event("committed", 4, kind="rollback", by={"reason": "the shop is slow"}),
        ],
        {
            "swaps_total committed": 4,
            "swaps_total rolled_back": 1,
            "swap_timestamp_seconds committed": 4,
            "swap_timestamp_seconds rolled_back": 2,
            "rollbacks_total operator": 2,
            "rollbacks_total watch": 1,
            "rollbacks_total fleet": 1,
        },
    ),
}


@pytest.mark.parametrize(("history", "expected"), JOURNALS.values(), ids=JOURNALS)
def test_what_a_journal_says(history: list[dict[str, Any]], expected: dict[str, float]) -> None:
    assert exported(history) == expected


def test_what_failed_while_it_was_paused_is_lost_as_well() -> None:
    paused = {**PROBE, "paused": {"sent": 9, "failed": 10}}
    assert figures.of_swap(event("committed", probe=paused))["lost"] == 16


def test_a_counter_is_there_before_it_counts() -> None:
    """Without its 0, Prometheus would not see the first one as an increase."""
    page = metrics.render(
        [metrics.rollbacks("shop", figures.rollbacks([])), metrics.unconfirmed("shop", figures.unconfirmed([]))]
    )
    assert 'slipway_rollbacks_total{service="shop",trigger="watch"} 0' in page.splitlines()
    assert 'slipway_confirmations_failed_total{service="shop",reason="unconfirmed"} 0' in page.splitlines()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*FULL, *STEPS[0], "sent"]), inner),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journal")


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(OUTCOMES), st.dictionaries(st.sampled_from([*FULL, "steps"]), ANYTHING))))
def test_whatever_an_entry_holds_the_page_can_be_read(folder: Path, entries: list[Any]) -> None:
    path = folder / "journal.jsonl"
    path.write_text("".join(json.dumps(event(name, **details)) + "\n" for name, details in entries))
    counted = exported(Journal(str(path)).history())
    skipped = Journal(str(path)).unreadable_lines()
    assert sum(n for name, n in counted.items() if name.startswith("swaps_total")) == len(entries) - skipped

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health import parsing, runner
from ansible_collections.slipway.go.plugins.module_utils._health.kinds import exposition
from ansible_collections.slipway.go.plugins.module_utils._release.operator import metrics, watch
from hypothesis import given
from hypothesis import strategies as st


def test_the_page_of_a_service() -> None:
    result = runner.run(parsing.parse_check({"name": "live", "kind": "exec", "command": ["/bin/true"]})).as_dict()
    result["latency"]["total"] = 0.25
    page = metrics.render(
        metrics.release("shop", {"release": "1.4.2-0123456789", "version": "1.4.2", "commit": None}, 1700000000.5)
        + metrics.health("shop", [result], 1700000100)
        + metrics.watch("shop", watch.fresh(""))
        + [metrics.swaps("shop", {"committed": 3, "rolled_back": 1})]
        + metrics.last_swaps("shop", {"committed": {"seconds": 1.5}})
    )
    assert page.splitlines()[:3] == [
        "# HELP slipway_release_info The release that serves, always 1.",
        "# TYPE slipway_release_info gauge",
        'slipway_release_info{service="shop",release="1.4.2-0123456789",version="1.4.2"} 1',
    ]
    for line in (
        'slipway_release_timestamp_seconds{service="shop"} 1700000000.5',
        'slipway_health_state{service="shop",check="live",state="pass"} 1',
        'slipway_health_state{service="shop",check="live",state="fail"} 0',
        'slipway_health_latency_seconds{service="shop",check="live"} 0.25',
        'slipway_health_timestamp_seconds{service="shop"} 1700000100',
        'slipway_watch_restarts_total{service="shop"} 0',
        'slipway_swaps_total{service="shop",result="rolled_back"} 1',
        'slipway_swap_seconds{service="shop",result="committed"} 1.5',
    ):
        assert line in page.splitlines()
    assert "certificate" not in page
    assert "None" not in page


def test_the_end_of_a_certificate_is_a_time_and_not_a_number_of_days() -> None:
    """Days would stand still when the watch does."""
    result = runner.run(parsing.parse_check({"name": "live", "kind": "exec", "command": ["/bin/true"]})).as_dict()
    page = metrics.render(metrics.health("shop", [{**result, "certificate_days": 1.5}], 1700000000))
    assert (
        'slipway_health_certificate_expiry_timestamp_seconds{service="shop",check="live"} 1700129600'
        in page.splitlines()
    )


@given(
    st.dictionaries(st.from_regex(r"\A[a-z_]+\Z"), st.text(max_size=20), min_size=1),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_what_is_rendered_is_read_back(labels: dict[str, str], value: float) -> None:
    page = metrics.render([metrics.Family("m", "gauge", "Help.", [(labels, value)])])
    told = tuple(sorted((name, text) for name, text in labels.items() if text))
    assert exposition.samples(page.encode(), ["m"])["m"] == [exposition.Sample(told, value)]


def test_families_are_replaced_and_the_others_stay() -> None:
    before = [metrics.up("shop", True), *metrics.at_work("shop", False, 1.0), *metrics.paused("shop", 5.0)]
    now = [*metrics.at_work("shop", True, 2.0), *metrics.paused("shop", None)]
    text = metrics.replaced(metrics.render(before), now)
    assert text == metrics.render([metrics.up("shop", True), *now])
    assert metrics.replaced(text, now) == text
    assert metrics.replaced("", now) == metrics.render(now)


def test_a_family_whose_name_begins_like_another_one_stays() -> None:
    short, long = (metrics.Family(name, "gauge", "Help.", [({}, 1.0)]) for name in ("a", "a_b"))
    assert metrics.replaced(metrics.render([long, short]), [short]) == metrics.render([long, short])


def test_a_file_is_replaced_at_once_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "slipway_shop.prom"
    metrics.write(str(path), "a 1\n")
    metrics.write(str(path), "a 2\n")
    assert path.read_text() == "a 2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == [path.name]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "slipway_shop.prom"
    metrics.write(str(path), "a 1\n")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        metrics.write(str(path), "a 2\n")
    assert path.read_text() == "a 1\n"
    assert os.listdir(tmp_path) == [path.name]

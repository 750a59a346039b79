from __future__ import annotations

import contextlib
import math
import re

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health import exposition
from hypothesis import given
from hypothesis import strategies as st

PAGE = r"""
# HELP requests_total All of them.
# TYPE requests_total counter
requests_total{code="200",path="/a\"b\\c\n"} 12
requests_total{ code = "503" , path="/", } 3 1712000000000
requests_total{code="404"} 1e1 # {trace_id="x"} 0.1
requests_total_created 5
requests_total 7
"""


def test_the_format_with_its_oddities() -> None:
    rows = exposition.samples(PAGE, ["requests_total"])["requests_total"]
    assert [row.value for row in rows] == [12, 3, 10, 7]
    assert dict(rows[0].labels) == {"code": "200", "path": '/a"b\\c\n'}
    assert dict(rows[1].labels) == {"code": "503", "path": "/"}
    assert rows[3].labels == ()


@pytest.mark.parametrize("line", ["x{", 'x{a="b} 1', "x{a=b} 1", "x", "x one", "x{a='b'} 1", "x{} "])
def test_broken_lines_are_refused(line: str) -> None:
    with pytest.raises(exposition.FormatError):
        exposition.samples(line, ["x"])


@given(st.text(alphabet='x{}="\\, \n1e+-#', max_size=40))
def test_any_page_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(exposition.FormatError):
        exposition.samples(text, ["x"])


def counter(*values: tuple[str, float]) -> list[exposition.Sample]:
    return [exposition.Sample((("code", code),), value) for code, value in values]


@pytest.mark.parametrize(
    ("before", "after", "total", "ratio"),
    [
        (counter(("200", 10), ("500", 1)), counter(("200", 100), ("500", 11)), 100, 0.1),
        (counter(("200", 10)), counter(("200", 20), ("502", 10)), 20, 0.5),
        (counter(("200", 1000), ("500", 5)), counter(("200", 8), ("500", 2)), 10, 0.2),
        (counter(("200", 10)), counter(("200", 10)), 0, None),
    ],
    ids=["grew", "a new label", "restarted", "no traffic"],
)
def test_error_ratio(
    before: list[exposition.Sample], after: list[exposition.Sample], total: float, ratio: float | None
) -> None:
    grown = exposition.growth(before, after)
    assert exposition.error_ratio(grown, "code", re.compile("5..")) == (total, ratio)


def grown(*buckets: tuple[str, float]) -> dict[exposition.Labels, float]:
    return {(("le", bound),): count for bound, count in buckets}


@pytest.mark.parametrize(
    ("buckets", "rank", "found"),
    [
        (grown(("0.1", 50), ("0.2", 100), ("+Inf", 100)), 0.5, 0.1),
        (grown(("0.1", 50), ("0.2", 100), ("+Inf", 100)), 0.75, 0.15),
        (grown(("0.1", 0), ("0.2", 100), ("+Inf", 100)), 0.99, 0.199),
        (grown(("0.1", 50), ("+Inf", 100)), 0.99, math.inf),
        (grown(("+Inf", 100)), 0.5, math.inf),
        (grown(("0.1", 0), ("+Inf", 0)), 0.5, None),
    ],
)
def test_quantile(buckets: dict[exposition.Labels, float], rank: float, found: float | None) -> None:
    _total, value = exposition.quantile(buckets, rank)
    assert value == (None if found is None else pytest.approx(found))


def test_buckets_of_several_series_are_added_up() -> None:
    both = {
        (("le", "0.1"), ("path", "/a")): 10.0,
        (("le", "0.1"), ("path", "/b")): 30.0,
        (("le", "+Inf"), ("path", "/a")): 10.0,
        (("le", "+Inf"), ("path", "/b")): 30.0,
    }
    assert exposition.quantile(both, 0.5) == (40.0, pytest.approx(0.05))


def test_a_histogram_without_its_last_bucket_is_refused() -> None:
    with pytest.raises(exposition.FormatError, match="Inf"):
        exposition.quantile(grown(("0.1", 1)), 0.5)

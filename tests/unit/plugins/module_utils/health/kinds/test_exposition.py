from __future__ import annotations

import contextlib
import math
import re

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health.kinds import exposition
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
    rows = exposition.samples(PAGE.encode(), ["requests_total"])["requests_total"]
    assert [row.value for row in rows] == [12, 3, 10, 7]
    assert dict(rows[0].labels) == {"code": "200", "path": '/a"b\\c\n'}
    assert dict(rows[1].labels) == {"code": "503", "path": "/"}
    assert rows[3].labels == ()


BROKEN = ["x{", 'x{a="b} 1', "x{a=b} 1", "x", "x one", "x{a='b'} 1", "x{} ", "x 1\r", 'x{a="1",a="2"} 1', "x 1 2 3"]
BROKEN += ["x1_0 _1", "x 1_0", "x ٣", "x\u20281", "x 1\u2028", "x{,} 1", '{a="1"} 1', '{"x","y"} 1', 'x{"y"} 1', "{} 1"]
BROKEN += ["x 1 # {} ", "x 1 # comment", "# TYPE x count", "# TYPE x\u2028 counter", "# HELP +", 'x{a="\\"} 1', "x\n"]


@pytest.mark.parametrize("name", ["x", "other"])
@pytest.mark.parametrize("line", BROKEN)
def test_one_broken_line_spoils_the_page_and_is_named(line: str, name: str) -> None:
    with pytest.raises(exposition.FormatError, match=r"^line 3"):
        exposition.samples(f"# all is well\nx 1\n{line}\n".encode(), [name])


def test_bytes_that_are_no_text_are_named() -> None:
    with pytest.raises(exposition.FormatError, match="line 2 is not UTF-8"):
        exposition.samples(b'x{a="b"} 1\nx{a="\xff"} 1\n', ["x"])


@pytest.mark.parametrize("first", ['x{a="b"} 1', 'x{a="b",c=""} 1', '{a="b","x"} 1'])
def test_a_series_twice_is_refused(first: str) -> None:
    with pytest.raises(exposition.FormatError, match="line 2: the same series once more"):
        exposition.samples(f'{first}\nx {{ a="b", }} 2\n'.encode(), ["x"])


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ('x {a="b"} 1', ((("a", "b"),), 1.0)),
        ('\t x{a="b"}1', ((("a", "b"),), 1.0)),
        ('{"x",a="b"} 1', ((("a", "b"),), 1.0)),
        ('x{"a"="b"} 1 12.5 # {trace="} 9"} 1 2', ((("a", "b"),), 1.0)),
        ("x{} +inf", ((), math.inf)),
        ('x{a="\\x\\\\n\\n\\""} .5', ((("a", '\\x\\n\n"'),), 0.5)),
        ('x{a="a\rb\u2028x 9 \u0085x 9 "} 1', ((("a", "a\rb\u2028x 9 \u0085x 9 "),), 1.0)),
    ],
)
def test_what_servers_send(line: str, row: tuple[exposition.Labels, float]) -> None:
    assert exposition.samples(line.encode(), ["x"])["x"] == [exposition.Sample(*row)]


@pytest.mark.parametrize(
    ("page", "right"),
    [
        (b"x 1\n# EOF\n", True),
        (b"x 1\n# EOF", True),
        (b"x 1\n", False),
        (b"", False),
        (b"x 1\n# EOF\nx 2\n", False),
        (b"# EOF\nx 1\n# EOF\n", False),
    ],
)
def test_an_openmetrics_page_has_an_end(page: bytes, right: bool) -> None:
    with contextlib.nullcontext() if right else pytest.raises(exposition.FormatError, match="# EOF"):
        exposition.samples(page, ["x"], openmetrics=True)


@given(st.text(alphabet='x{}="\\, \n1e+-#', max_size=40))
def test_any_page_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(exposition.FormatError):
        exposition.samples(text.encode(), ["x"])


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
    assert exposition.error_ratio(grown.series, "code", re.compile("5..")) == (total, ratio)


def test_what_fell_or_went_away_was_restarted() -> None:
    rows = exposition.growth(counter(("200", 10), ("404", 3), ("500", 2)), counter(("200", 4), ("404", 3)))
    assert rows.restarted == ((("code", "200"),), (("code", "500"),))
    assert rows.series == {(("code", "200"),): 4.0, (("code", "404"),): 0.0}


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


def test_each_histogram_has_its_last_bucket() -> None:
    two = {(("le", "+Inf"), ("path", "/a")): 10.0, (("le", "1"), ("path", "/b")): 30.0}
    with pytest.raises(exposition.FormatError, match='path="/b"'):
        exposition.quantile(two, 0.5)

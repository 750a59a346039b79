from __future__ import annotations

import contextlib
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._health.spec import jsonpath
from hypothesis import given
from hypothesis import strategies as st

DOCUMENT = {
    "status": "UP",
    "list": [{"x": 1}, {"x": 2}, {}],
    "odd name": {"a.b": True, "it's": None},
    "components": {"db": {"status": "UP"}, "mq": {"status": "DOWN"}},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [DOCUMENT]),
        ("$.status", ["UP"]),
        ("status", ["UP"]),
        ("$['status']", ["UP"]),
        ('$["odd name"]["a.b"]', [True]),
        (r"$['odd name']['it\'s']", [None]),
        ("$.list[0].x", [1]),
        ("$.list[-2].x", [2]),
        ("$.list[*].x", [1, 2]),
        ("list[9]", []),
        ("$.components.*.status", ["UP", "DOWN"]),
        ("$.components[*].status", ["UP", "DOWN"]),
        ("$.status.deeper", []),
        ("$.status[0]", []),
        ("$.list.x", []),
        ("$.missing", []),
    ],
)
def test_paths(path: str, found: list[Any]) -> None:
    assert jsonpath.find(DOCUMENT, jsonpath.parse(path, "here")) == found


@pytest.mark.parametrize("path", ["$.", "$.a[", "$.a[x]", "$..a", "$.a b", "$.a]", "$['a", "$.a.", "$.a[?(@.x)]"])
def test_what_cannot_be_read_is_refused(path: str) -> None:
    with pytest.raises(SlipwayError, match="here: path"):
        jsonpath.parse(path, "here")


@given(st.text(max_size=30))
def test_any_text_is_a_path_or_a_named_mistake(text: str) -> None:
    with contextlib.suppress(SlipwayError):
        jsonpath.find(DOCUMENT, jsonpath.parse(text, "here"))

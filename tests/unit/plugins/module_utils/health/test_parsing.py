"""Options: what is accepted, and what an operator is told about the rest."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._health import parsing
from ansible_collections.slipway.go.plugins.module_utils._health.kinds.fetch import HttpTarget
from ansible_collections.slipway.go.plugins.module_utils._health.kinds.registry import KINDS
from hypothesis import given
from hypothesis import strategies as st

HTTP = {"kind": "http", "url": "http://127.0.0.1/"}
TCP = {"kind": "tcp", "address": "127.0.0.1:1"}
METRICS = {"kind": "metrics", "url": "http://127.0.0.1/metrics"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("http", "not a mapping"),
        ({}, "kind is missing"),
        ({"kind": "htttp"}, "kind is 'htttp'"),
        ({"kind": "http"}, "url is missing"),
        ({**HTTP, "ulr": 1}, "use url, or remove it"),
        ({**HTTP, "unti": 1}, "use unit, or remove it"),
        ({**HTTP, "send": "x"}, "send has no meaning for kind http"),
        ({**TCP, "status": ["200"]}, "status has no meaning for kind tcp"),
        ({**HTTP, "timeout": 0}, "timeout is 0"),
        ({**HTTP, "timeout": "soon"}, "timeout is 'soon'"),
        ({**HTTP, "timeout": float("nan")}, "timeout is nan"),
        ({**HTTP, "timeout": True}, "timeout is True"),
        ({**HTTP, "rise": 1.5}, "rise is 1.5"),
        ({**HTTP, "rise": 0}, "rise is 0"),
        ({**HTTP, "interval": -1}, "interval is -1"),
        ({**HTTP, "deadline": 3, "min_healthy_time": 3}, "deadline of 3 s leaves no time"),
        ({**HTTP, "max_latency": {"p98": 1}}, "p98 is not an option"),
        ({**HTTP, "max_latency": 3}, "not a mapping"),
        ({**HTTP, "url": "ftp://127.0.0.1/"}, "not an http or https URL"),
        ({**HTTP, "url": "http://me:secret@127.0.0.1/"}, "authorization_file"),
        ({**HTTP, "url": "http:///path"}, "names no host"),
        ({**HTTP, "url": "http://host:99999/"}, "is not a URL"),
        ({**HTTP, "url": "http://host:0/"}, "port 0"),
        ({**HTTP, "url": "http://host/a b"}, "blanks"),
        ({**HTTP, "url": "http://host/\r\nX: y"}, "blanks"),
        ({**HTTP, "url": "http://[::1/"}, "is not a URL"),
        ({**HTTP, "url": "https://127.0.0.1/"}, "use kind https"),
        ({**HTTP, "unix_socket": "relative.sock"}, "absolute path"),
        ({**HTTP, "unix_socket": "/" + "x" * 108}, "longer than"),
        ({**HTTP, "unix_socket": "/run/x", "address": "h:1"}, "both say where to connect"),
        ({**HTTP, "unix_socket": "/run/x", "family": "6"}, "family has no meaning"),
        ({**HTTP, "ca_file": "/ca.pem"}, "no meaning without TLS"),
        ({**HTTP, "headers": {"X": "a\r\nb: c"}}, "cannot be sent"),
        ({**HTTP, "headers": {"X Y": "a"}}, "cannot be sent"),
        ({**HTTP, "headers": ["X"]}, "headers is not a mapping"),
        ({**HTTP, "status": ["2xx"]}, "status holds '2xx'"),
        ({**HTTP, "status": ["299-200"]}, "lower number first"),
        ({**HTTP, "status": [99]}, "status holds '99'"),
        ({**HTTP, "body_regex": "("}, "not a regular expression"),
        ({**HTTP, "assert_json": [{"equals": 1}]}, "path is missing"),
        ({**HTTP, "assert_json": [{"path": "$.a["}]}, "cannot be read from"),
        ({**HTTP, "assert_json": {"path": "$.a"}}, "assert_json is not a list"),
        ({**HTTP, "assert_headers": [{"equals": "1"}]}, "name is missing"),
        ({**HTTP, "preset": "nagios"}, "preset is 'nagios'"),
        ({**HTTP, "identity": {}}, "names nothing"),
        ({**HTTP, "identity": {"executable": "shop"}}, "absolute path"),
        ({**HTTP, "identity": {"executabel": "/x"}}, "use executable, or remove it"),
        ({**HTTP, "identity": {"unit": "shop"}, "proxy": "http://p:1"}, "hides which process"),
        ({**HTTP, "unix_socket": "/run/x", "proxy": "http://p:1"}, "cannot reach a unix socket"),
        ({**HTTP, "proxy": "https://p:1"}, "write http://HOST:PORT"),
        ({"kind": "https", "url": "https://h/", "client_key": "/k"}, "without client_cert"),
        ({"kind": "https", "url": "https://h/", "min_tls_version": "1.4"}, "min_tls_version"),
        ({"kind": "https", "url": "https://h/", "validate_certs": "maybe"}, "true or false"),
        ({"kind": "tcp"}, "address is missing"),
        ({"kind": "tcp", "address": "::1"}, "address is '::1'"),
        ({"kind": "tcp", "address": "host:0"}, "address is 'host:0'"),
        ({"kind": "tcp", "address": "host:65536"}, "address is"),
        ({"kind": "unix", "address": "host:1"}, "not the path of a unix socket"),
        ({"kind": "unix", "address": "h:1", "url": "http://h/"}, "is not a unix socket"),
        ({"kind": "unix", "address": "/run/x", "preset": "spring"}, "no meaning without url"),
        ({"kind": "tcp", "address": "/run/x", "tls": True}, "server_name is missing"),
        ({"kind": "exec"}, "command is not a list"),
        ({"kind": "exec", "command": "true && true"}, "no shell"),
        ({"kind": "exec", "command": ["x"], "warn_rc": [0]}, "warn_rc holds"),
        ({"kind": "systemd"}, "unit is None"),
        ({"kind": "systemd", "unit": "--all"}, "unit is '--all'"),
        (METRICS, "metrics is missing"),
        ({**METRICS, "metrics": {"requests": "r"}}, "both missing"),
        ({**METRICS, "metrics": {"max_error_ratio": 0.1}}, "requests is missing"),
        ({**METRICS, "metrics": {"max_quantile": 0.1}}, "histogram is missing"),
        ({**METRICS, "metrics": {"max_quantile": 1, "histogram": "h", "quantile": 99}}, "between 0 and 1"),
        ({**METRICS, "timeout": 2, "metrics": {"requests": "r", "max_error_ratio": 0}}, "ends before the window"),
    ],
)
def test_a_mistake_is_named_with_its_fix(spec: Any, words: str) -> None:
    with pytest.raises(SlipwayError) as caught:
        parsing.parse_check(spec)
    assert words in str(caught.value)
    assert caught.value.code == "health_option"
    assert caught.value.fix


def test_defaults() -> None:
    made = parsing.parse_check(HTTP)
    assert (made.name, made.phase, made.timeout, made.rise, made.fall) == ("http", "readiness", 5.0, 1, None)
    assert isinstance(made.target, HttpTarget)
    assert made.target.request.follow_redirects == 0
    assert made.target.request.proxy is None


def test_unset_is_the_same_as_absent() -> None:
    assert parsing.parse_check({**HTTP, "fall": None, "identity": None}) == parsing.parse_check(HTTP)


def test_numbers_may_come_as_text() -> None:
    made = parsing.parse_check({**HTTP, "timeout": "2.5", "rise": "3"})
    assert (made.timeout, made.rise) == (2.5, 3)


def test_liveness_forgives_two_failures() -> None:
    assert parsing.parse_check({**HTTP, "phase": "liveness"}).fall == 3


def test_the_timeout_of_metrics_follows_its_window() -> None:
    spec = {**METRICS, "metrics": {"requests": "r", "max_error_ratio": 0, "window": 30}}
    assert parsing.parse_check(spec).timeout == 35


@pytest.mark.parametrize(
    ("address", "shown", "path"),
    [
        ("db.example:5432", "db.example:5432", None),
        ("[::1]:80", "[::1]:80", None),
        (":80", "localhost:80", None),
        ("/run/x.sock", "unix:/run/x.sock", "/run/x.sock"),
        ("unix:/run/x.sock", "unix:/run/x.sock", "/run/x.sock"),
        ("@abstract", "unix:@abstract", "@abstract"),
    ],
)
def test_addresses(address: str, shown: str, path: Any) -> None:
    connection = parsing.parse_check({"kind": "tcp", "address": address}).connection
    assert connection is not None
    assert (str(connection.endpoint), connection.endpoint.path) == (shown, path)


@pytest.mark.parametrize(
    ("url", "shown", "target"),
    [
        ("http://h", "http://h/", "/"),
        ("http://h:80/a?b=c#d", "http://h/a?b=c", "/a?b=c"),
        ("http://[::1]:8080/", "http://[::1]:8080/", "/"),
        ("http://h/ä", "http://h/%C3%A4", "/%C3%A4"),
        ("http://h/%20", "http://h/%20", "/%20"),
    ],
)
def test_urls(url: str, shown: str, target: str) -> None:
    page = parsing.parse_check({"kind": "http", "url": url}).target
    assert isinstance(page, HttpTarget)
    assert (str(page.request.url), page.request.url.target) == (shown, target)


@pytest.mark.parametrize(
    ("preset", "url", "target"),
    [
        ("spring", "http://h", "/actuator/health"),
        ("spring", "http://h/manage/health", "/manage/health"),
        ("healthz", "http://h/", "/healthz"),
        ("health_json", "http://h/", "/health"),
    ],
)
def test_a_preset_brings_a_path_where_there_is_none(preset: str, url: str, target: str) -> None:
    page = parsing.parse_check({"kind": "http", "url": url, "preset": preset}).target
    assert isinstance(page, HttpTarget)
    assert page.request.url.target == target


def test_http_over_a_unix_socket_in_three_ways() -> None:
    url = "http://shop.example/"
    made = [
        parsing.parse_check({"kind": "http", "url": url, "unix_socket": "/run/x"}),
        parsing.parse_check({"kind": "http", "url": url, "address": "/run/x"}),
        parsing.parse_check({"kind": "unix", "url": url, "address": "/run/x"}),
    ]
    assert {one.connection for one in made} == {made[0].connection}
    assert {str(one.target) for one in made} == {"http://shop.example/ over unix:/run/x"}


@pytest.mark.parametrize("specs", [None, [], {}, "x", 3])
def test_there_has_to_be_a_list_of_checks(specs: Any) -> None:
    with pytest.raises(SlipwayError, match="not a list of checks"):
        parsing.parse_checks(specs)


def test_names_are_unique() -> None:
    with pytest.raises(SlipwayError, match="used twice"):
        parsing.parse_checks([HTTP, HTTP])


def test_a_mistake_names_the_place_of_a_check_without_kind() -> None:
    with pytest.raises(SlipwayError, match=r"checks\[1\]: kind is missing"):
        parsing.parse_checks([HTTP, {}])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
OPTIONS = sorted(parsing.every_option())


@given(st.sampled_from(tuple(KINDS)), st.dictionaries(st.sampled_from(OPTIONS), anything, max_size=6))
def test_no_options_at_all_cause_anything_but_a_check_or_a_named_mistake(kind: str, options: dict[str, Any]) -> None:
    with contextlib.suppress(SlipwayError):
        parsing.parse_check({"url": "http://h/", **options, "kind": kind})

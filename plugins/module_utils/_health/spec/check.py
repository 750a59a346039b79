# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One check, typed, and how it is read from options. This file is PRIVATE to the collection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Pattern, Sequence, Union

from . import jsonpath
from .endpoint import Endpoint, Url, parse_address, parse_url, unix_endpoint
from .options import Options, bad

KINDS = ("http", "https", "tcp", "unix", "grpc", "exec", "systemd", "metrics")
PHASES = ("startup", "readiness", "liveness")
FAMILIES = ("any", "4", "6", "both")
PRESETS = ("healthz", "spring", "health_json")
TLS_VERSIONS = ("1.0", "1.1", "1.2", "1.3")
METHODS = ("GET", "HEAD", "POST", "PUT", "OPTIONS")

TIMEOUT = 5.0
INTERVAL = 1.0
WINDOW = 2.0
LIVENESS_FALL = 3
MAX_BODY = 1024 * 1024
HOLD = 0.1
ERRORS = "5.."
STATUS = ("200-299",)
PRESET_PATHS = {"healthz": "/healthz", "spring": "/actuator/health", "health_json": "/health"}

_COMMON = {
    "name",
    "kind",
    "phase",
    "timeout",
    "interval",
    "initial_delay",
    "rise",
    "fall",
    "deadline",
    "min_healthy_time",
    "max_latency",
    "warn_latency",
}
_TLS = {
    "validate_certs",
    "ca_file",
    "server_name",
    "client_cert",
    "client_key",
    "min_tls_version",
    "min_days",
    "warn_days",
}
_REQUEST = {"url", "unix_socket", "family", "headers", "authorization_file", "proxy", "max_body", "identity"} | _TLS
_HTTP = _REQUEST | {
    "method",
    "status",
    "follow_redirects",
    "body_contains",
    "body_regex",
    "assert_headers",
    "assert_json",
    "preset",
}
_TALK = {"address", "family", "tls", "send", "expect", "expect_regex", "hold", "identity"} | _TLS
_KIND_OPTIONS: dict[str, Any] = {
    "http": _HTTP | {"address"},
    "https": _HTTP | {"address"},
    "tcp": _TALK,
    "unix": _TALK | _HTTP,
    "grpc": {"address", "family", "tls", "service", "headers", "authorization_file", "identity"} | _TLS,
    "exec": {"command", "warn_rc", "expect", "expect_regex"},
    "systemd": {"unit", "max_restarts"},
    "metrics": _REQUEST | {"metrics", "address"},
}


@dataclass(frozen=True)
class Identity:
    executable: Optional[str] = None
    unit: Optional[str] = None
    build_id: Optional[str] = None
    shared: bool = False


@dataclass(frozen=True)
class Tls:
    verify: bool = True
    ca_file: Optional[str] = None
    server_name: Optional[str] = None
    client_cert: Optional[str] = None
    client_key: Optional[str] = None
    min_version: str = "1.2"
    min_days: Optional[float] = None
    warn_days: Optional[float] = None


@dataclass(frozen=True)
class Comparison:
    """What a header or JSON value has to be; unset parts ask nothing."""

    equals: Any = None
    pattern: Optional[Pattern[str]] = None
    least: Optional[float] = None
    most: Optional[float] = None
    exists: bool = True


@dataclass(frozen=True)
class HeaderAssertion:
    name: str
    wanted: Comparison


@dataclass(frozen=True)
class JsonAssertion:
    path: str
    steps: tuple[Union[str, int, None], ...]
    wanted: Comparison


@dataclass(frozen=True)
class Http:
    url: Url
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    authorization_file: Optional[str] = None
    status: tuple[tuple[int, int], ...] = ((200, 299),)
    follow_redirects: int = 0
    proxy: Optional[Url] = None
    max_body: int = MAX_BODY
    contains: Optional[str] = None
    pattern: Optional[Pattern[str]] = None
    header_assertions: tuple[HeaderAssertion, ...] = ()
    json_assertions: tuple[JsonAssertion, ...] = ()
    preset: Optional[str] = None


@dataclass(frozen=True)
class Talk:
    """What is sent over a plain connection, and what has to come back."""

    send: Optional[bytes] = None
    expect: Optional[bytes] = None
    pattern: Optional[Pattern[str]] = None
    hold: float = HOLD


@dataclass(frozen=True)
class Grpc:
    service: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    authorization_file: Optional[str] = None


@dataclass(frozen=True)
class Metrics:
    window: float = WINDOW
    min_requests: float = 20
    labels: tuple[tuple[str, str], ...] = ()
    requests: Optional[str] = None
    status_label: str = "code"
    errors: Pattern[str] = re.compile(ERRORS)
    max_error_ratio: Optional[float] = None
    warn_error_ratio: Optional[float] = None
    histogram: Optional[str] = None
    quantile: float = 0.99
    max_quantile: Optional[float] = None
    warn_quantile: Optional[float] = None


@dataclass(frozen=True)
class Check:
    name: str
    kind: str
    phase: str = "readiness"
    timeout: float = TIMEOUT
    interval: float = INTERVAL
    initial_delay: float = 0.0
    rise: int = 1
    fall: Optional[int] = None
    deadline: Optional[float] = None
    min_healthy_time: float = 0.0
    max_latency: tuple[tuple[str, float], ...] = ()
    warn_latency: tuple[tuple[str, float], ...] = ()
    endpoint: Optional[Endpoint] = None
    family: str = "any"
    tls: Optional[Tls] = None
    identity: Optional[Identity] = None
    http: Optional[Http] = None
    talk: Optional[Talk] = None
    grpc: Optional[Grpc] = None
    command: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()  # that the command finds in its environment, beside its own
    warn_rc: tuple[int, ...] = ()
    unit: Optional[str] = None
    max_restarts: Optional[int] = None
    metrics: Optional[Metrics] = None

    @property
    def target(self) -> str:
        """What is checked, for people."""
        if self.http is not None:
            via = f" over {self.endpoint}" if self.endpoint and self.endpoint.path else ""
            return f"{self.http.url}{via}"
        return str(self.endpoint or self.unit or " ".join(self.command))


def parse_checks(specs: Any) -> tuple[Check, ...]:
    if not isinstance(specs, Sequence) or isinstance(specs, (str, bytes)) or not specs:
        raise bad("checks", "not a list of checks, or empty", "give at least one check")
    parsed = tuple(parse_check(spec, f"checks[{number}]") for number, spec in enumerate(specs))
    seen = set()
    for check in parsed:
        if check.name in seen:
            raise bad(f"check {check.name}", "the name is used twice", "give every check a name of its own")
        seen.add(check.name)
    return parsed


def parse_check(spec: Mapping[str, Any], where: str = "check") -> Check:
    """A check from its options, or a SlipwayError that names the option and the fix."""
    options = Options(spec, where)
    kind = options.text("kind", KINDS)
    if kind is None:
        raise options.error("kind", "is missing", f"use one of {', '.join(KINDS)}")
    name = options.text("name") or kind
    options.where = f"check {name}"
    options.only(_COMMON.union(*_KIND_OPTIONS.values()))
    _refuse_foreign(options, kind)
    parts = _kind_parts(options, kind)
    check = Check(name=name, kind=kind, **_timing(options, parts.get("metrics")), **parts)
    _refuse_impossible(options, check)
    return check


def _refuse_foreign(options: Options, kind: str) -> None:
    foreign = sorted(options.given() - _COMMON - _KIND_OPTIONS[kind])
    if foreign:
        meant = [other for other in KINDS if foreign[0] in _KIND_OPTIONS[other]]
        raise options.error(
            foreign[0], f"has no meaning for kind {kind}", f"remove it; it belongs to kind {', '.join(meant)}"
        )


def _timing(options: Options, metrics: Optional[Metrics]) -> dict[str, Any]:
    phase = options.text("phase", PHASES) or "readiness"
    timeout = TIMEOUT if metrics is None else TIMEOUT + metrics.window
    fall = options.whole("fall", LIVENESS_FALL if phase == "liveness" else None, 1)
    return {
        "phase": phase,
        "timeout": options.seconds("timeout", timeout, above=True),
        "interval": options.seconds("interval", INTERVAL),
        "initial_delay": options.seconds("initial_delay", 0.0),
        "rise": options.whole("rise", 1, 1),
        "fall": fall,
        "deadline": options.number("deadline", None, 0, above=True),
        "min_healthy_time": options.seconds("min_healthy_time", 0.0),
        "max_latency": _thresholds(options, "max_latency"),
        "warn_latency": _thresholds(options, "warn_latency"),
    }


def _thresholds(options: Options, name: str) -> tuple[tuple[str, float], ...]:
    nested = options.nested(name)
    if nested is None:
        return ()
    names = ("p50", "p95", "p99")
    nested.only(names)
    return tuple((key, nested.seconds(key, 0.0, above=True)) for key in names if key in nested.raw)


def _refuse_impossible(options: Options, check: Check) -> None:
    if check.deadline is not None and check.initial_delay + check.min_healthy_time >= check.deadline:
        raise options.error(
            "deadline",
            f"of {check.deadline:g} s leaves no time beside initial_delay and min_healthy_time",
            f"give more than {check.initial_delay + check.min_healthy_time:g} s",
        )
    if check.metrics is not None and check.metrics.window >= check.timeout:
        raise options.error(
            "timeout",
            f"of {check.timeout:g} s ends before the window of {check.metrics.window:g} s between the two scrapes",
            "raise timeout or shorten metrics.window",
        )
    if check.family != "any" and check.endpoint is not None and check.endpoint.path is not None:
        raise options.error("family", "has no meaning for a unix socket", "remove it")
    _refuse_proxied(options, check)


def _refuse_proxied(options: Options, check: Check) -> None:
    if check.http is None or check.http.proxy is None:
        return
    if check.identity is not None:
        raise options.error("proxy", "hides which process answers", "remove proxy or identity")
    if check.endpoint is not None and check.endpoint.path is not None:
        raise options.error("proxy", "cannot reach a unix socket", "remove proxy or unix_socket")


def _kind_parts(options: Options, kind: str) -> dict[str, Any]:
    if kind == "exec":
        return _exec_parts(options)
    if kind == "systemd":
        return _systemd_parts(options)
    parts: dict[str, Any] = {
        "family": options.text("family", FAMILIES) or "any",
        "identity": _identity(options),
    }
    if kind in ("http", "https", "metrics") or (kind == "unix" and "url" in options.raw):
        parts.update(_http_parts(options, kind))
    else:
        parts.update(_stream_parts(options, kind))
    return parts


def _identity(options: Options) -> Optional[Identity]:
    nested = options.nested("identity")
    if nested is None:
        return None
    nested.only(("executable", "unit", "build_id", "shared"))
    made = Identity(
        executable=nested.text("executable"),
        unit=nested.text("unit"),
        build_id=nested.text("build_id"),
        shared=nested.flag("shared", False),
    )
    if made.executable is None and made.unit is None and made.build_id is None:
        raise options.error("identity", "names nothing to compare with", "give executable, unit or build_id")
    if made.executable is not None and not made.executable.startswith("/"):
        raise nested.error("executable", f"is {made.executable!r}", "give the absolute path of the deployed file")
    return made


def _http_parts(options: Options, kind: str) -> dict[str, Any]:
    text = options.text("url")
    if text is None:
        raise options.error("url", "is missing", "write http://HOST:PORT/PATH")
    url = parse_url(text, options.where)
    preset = options.text("preset", PRESETS)
    if preset and url.target == "/":
        url = Url(url.scheme, url.host, url.port, PRESET_PATHS[preset])
    if kind in ("http", "https") and url.scheme != kind:
        raise options.error("url", f"starts with {url.scheme}://, the kind is {kind}", f"use kind {url.scheme}")
    return {
        "endpoint": _http_endpoint(options, kind, url),
        "tls": _tls(options, url.scheme == "https"),
        "http": _http(options, url, preset),
        "metrics": _metrics(options) if kind == "metrics" else None,
    }


def _http_endpoint(options: Options, kind: str, url: Url) -> Endpoint:
    """Where to connect: the unix socket or address if there is one, else what the URL names."""
    if "unix_socket" in options.raw and "address" in options.raw:
        raise options.error("unix_socket", "and address both say where to connect", "give one of the two")
    socket_path = options.text("unix_socket")
    if socket_path is not None:
        return unix_endpoint(socket_path, options.where, "unix_socket")
    address = options.text("address")
    endpoint = url.endpoint if address is None else parse_address(address, options.where)
    if kind == "unix" and endpoint.path is None:
        raise options.error("address", "is not a unix socket", "give the path of the socket in address or unix_socket")
    return endpoint


def _http(options: Options, url: Url, preset: Optional[str]) -> Http:
    proxy = options.text("proxy")
    ranges = options.texts("status")
    return Http(
        url=url,
        method=options.text("method", METHODS) or "GET",
        headers=_headers(options),
        authorization_file=options.text("authorization_file"),
        status=tuple(_status_range(options, entry) for entry in ranges or STATUS),
        follow_redirects=options.whole("follow_redirects", 0, 0) or 0,
        proxy=None if proxy is None else _proxy(options, proxy),
        max_body=options.whole("max_body", MAX_BODY, 0) or 0,
        contains=options.text("body_contains"),
        pattern=options.pattern("body_regex"),
        header_assertions=tuple(_header_assertion(entry) for entry in options.list_of("assert_headers")),
        json_assertions=tuple(_json_assertion(entry) for entry in options.list_of("assert_json")),
        preset=preset,
    )


def _proxy(options: Options, text: str) -> Url:
    proxy = parse_url(text, options.where, "proxy")
    if proxy.scheme != "http":
        raise options.error("proxy", f"is {text!r}", "write http://HOST:PORT")
    return proxy


def _headers(options: Options) -> tuple[tuple[str, str], ...]:
    pairs = options.pairs("headers")
    for name, value in pairs:
        token = name and all(c.isascii() and (c.isalnum() or c in "!#$%&'*+-.^_`|~") for c in name)
        if not token or any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise options.error("headers", f"holds {name!r}, which cannot be sent", "use a plain name and one line")
    return pairs


def _status_range(options: Options, text: str) -> tuple[int, int]:
    low, _dash, high = text.partition("-")
    parts = [part.strip() for part in (low, high or low)]
    if not all(part.isascii() and part.isdigit() and 100 <= int(part) <= 599 for part in parts):
        raise options.error("status", f"holds {text!r}", "write a status or a range such as 200-299")
    if int(parts[0]) > int(parts[1]):
        raise options.error("status", f"holds {text!r}", "write the lower number first")
    return int(parts[0]), int(parts[1])


def _header_assertion(entry: Options) -> HeaderAssertion:
    entry.only(("name", "equals", "matches", "exists"))
    name = entry.text("name")
    if not name:
        raise entry.error("name", "is missing", "name the header")
    wanted = Comparison(
        equals=entry.text("equals"), pattern=entry.pattern("matches"), exists=entry.flag("exists", True)
    )
    return HeaderAssertion(name.lower(), wanted)


def _json_assertion(entry: Options) -> JsonAssertion:
    entry.only(("path", "equals", "matches", "min", "max", "exists"))
    path = entry.text("path")
    if path is None:
        raise entry.error("path", "is missing", "write a path such as $.components.db.status")
    wanted = Comparison(
        equals=entry.raw.get("equals"),
        pattern=entry.pattern("matches"),
        least=entry.number("min", None, float("-inf")),
        most=entry.number("max", None, float("-inf")),
        exists=entry.flag("exists", True),
    )
    return JsonAssertion(path, jsonpath.parse(path, entry.where), wanted)


def _tls(options: Options, wanted: bool) -> Optional[Tls]:
    given = sorted(options.given() & _TLS)
    if not wanted:
        if given:
            raise options.error(given[0], "has no meaning without TLS", "use https or tls: true, or remove it")
        return None
    made = Tls(
        verify=options.flag("validate_certs", True),
        ca_file=options.text("ca_file"),
        server_name=options.text("server_name"),
        client_cert=options.text("client_cert"),
        client_key=options.text("client_key"),
        min_version=options.text("min_tls_version", TLS_VERSIONS) or "1.2",
        min_days=options.number("min_days", None, 0),
        warn_days=options.number("warn_days", None, 0),
    )
    if made.client_key and not made.client_cert:
        raise options.error("client_key", "is given without client_cert", "name the certificate too")
    return made


def _stream_parts(options: Options, kind: str) -> dict[str, Any]:
    text = options.text("address") or options.text("unix_socket")
    if text is None:
        raise options.error("address", "is missing", "write HOST:PORT or the path of a unix socket")
    endpoint = parse_address(text, options.where)
    if kind == "unix" and endpoint.path is None:
        raise options.error("address", "is not the path of a unix socket", "write an absolute path, or use kind tcp")
    tls = _tls(options, options.flag("tls", False))
    if tls is not None and tls.verify and endpoint.path is not None and not tls.server_name:
        raise options.error(
            "server_name", "is missing: a unix socket has no name to check the certificate against", "give server_name"
        )
    parts: dict[str, Any] = {"endpoint": endpoint, "tls": tls}
    if kind == "grpc":
        service = options.text("service") or ""
        parts["grpc"] = Grpc(service, _headers(options), options.text("authorization_file"))
    else:
        foreign = sorted(options.given() & (_HTTP - _TALK - {"unix_socket"}))
        if foreign:
            raise options.error(foreign[0], "has no meaning without url", "give url, or remove it")
        parts["talk"] = _talk(options)
    return parts


def _talk(options: Options) -> Talk:
    send, expect = options.text("send"), options.text("expect")
    return Talk(
        send=None if send is None else send.encode(),
        expect=None if expect is None else expect.encode(),
        pattern=options.pattern("expect_regex"),
        hold=options.seconds("hold", HOLD),
    )


def _exec_parts(options: Options) -> dict[str, Any]:
    raw = options.raw.get("command")
    if not isinstance(raw, (list, tuple)) or not raw:
        raise options.error(
            "command", "is not a list", "give the program and its arguments as a list; no shell is used"
        )
    expect = options.text("expect")
    talk = Talk(expect=None if expect is None else expect.encode(), pattern=options.pattern("expect_regex"))
    return {
        "command": options.texts("command") or (),
        "warn_rc": tuple(_return_code(options, text) for text in options.texts("warn_rc") or ()),
        "talk": talk,
    }


def _return_code(options: Options, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 255):
        raise options.error("warn_rc", f"holds {text!r}", "give exit statuses from 1 to 255")
    return int(text)


def _systemd_parts(options: Options) -> dict[str, Any]:
    unit = options.text("unit")
    if not unit or unit.startswith("-") or any(ord(c) <= 32 for c in unit):
        raise options.error("unit", f"is {unit!r}", "name the unit, for example shop.service")
    return {"unit": unit, "max_restarts": options.whole("max_restarts", None, 0)}


def _metrics(options: Options) -> Metrics:
    nested = options.nested("metrics")
    if nested is None:
        raise options.error("metrics", "is missing", "say what to compare: requests or histogram, and a threshold")
    nested.only(
        (
            "window",
            "min_requests",
            "labels",
            "requests",
            "status_label",
            "errors",
            "max_error_ratio",
            "warn_error_ratio",
            "histogram",
            "quantile",
            "max_quantile",
            "warn_quantile",
        )
    )
    made = _metrics_values(nested)
    _refuse_aimless(nested, made)
    return made


def _metrics_values(nested: Options) -> Metrics:
    return Metrics(
        window=nested.seconds("window", WINDOW, above=True),
        min_requests=nested.seconds("min_requests", 20.0, 1.0),
        labels=nested.pairs("labels"),
        requests=nested.text("requests"),
        status_label=nested.text("status_label") or "code",
        errors=nested.pattern("errors") or re.compile(ERRORS),
        max_error_ratio=nested.number("max_error_ratio", None, 0),
        warn_error_ratio=nested.number("warn_error_ratio", None, 0),
        histogram=nested.text("histogram"),
        quantile=nested.seconds("quantile", 0.99, 0.0, above=True),
        max_quantile=nested.number("max_quantile", None, 0, above=True),
        warn_quantile=nested.number("warn_quantile", None, 0, above=True),
    )


def _refuse_aimless(nested: Options, made: Metrics) -> None:
    ratio = made.max_error_ratio is not None or made.warn_error_ratio is not None
    quantile = made.max_quantile is not None or made.warn_quantile is not None
    if not ratio and not quantile:
        raise nested.error("max_error_ratio", "and max_quantile are both missing", "give a threshold to judge by")
    if ratio and made.requests is None:
        raise nested.error("requests", "is missing", "name the counter of requests, such as http_requests_total")
    if quantile and made.histogram is None:
        raise nested.error("histogram", "is missing", "name the histogram, such as http_request_duration_seconds")
    if made.quantile >= 1:
        raise nested.error("quantile", f"is {made.quantile:g}", "give a number between 0 and 1, such as 0.99")

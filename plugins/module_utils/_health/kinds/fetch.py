# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One HTTP request, redirects and proxy included, and its response. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional
from urllib.parse import urljoin

from ..._core.errors import SlipwayError
from ..net.http1 import Reader, Response, read_head, read_response
from ..outcome import CheckFailed, need
from ..session import Probe
from ..spec.endpoint import Url, parse_url

if TYPE_CHECKING:
    from ..net.stream import Stream
    from ..spec.check import Check, Http, Tls

_REDIRECTS = (301, 302, 303, 307, 308)


def fetch(probe: Probe) -> Response:
    """The final response, redirects followed as far as asked."""
    check = probe.check
    http = need(check.http)
    url, method = http.url, http.method
    for _hop in range(http.follow_redirects + 1):
        response = _exchange(probe, http, url, method)
        location = response.header("location")
        if response.status not in _REDIRECTS or location is None or not http.follow_redirects:
            return response
        if response.status == 303 and method != "HEAD":
            method = "GET"
        url = _redirected(check, url, location)
    raise CheckFailed("status", f"{check.target} redirects more than {http.follow_redirects} times, last to {url}")


def _redirected(check: Check, url: Url, location: str) -> Url:
    try:
        target = parse_url(urljoin(str(url), location.strip()), check.name)
    except (SlipwayError, ValueError) as error:
        raise CheckFailed("status", f"{url} redirects to {location!r}, which is no http URL") from error
    if url.scheme == "https" and target.scheme == "http":
        raise CheckFailed("status", f"{url} redirects to {target}, which gives up TLS")
    pinned = check.endpoint is not None and (check.endpoint.path is not None or check.endpoint != url.endpoint)
    if pinned and (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
        raise CheckFailed("status", f"{url} redirects to {target}, away from {check.endpoint}")
    return target


def _exchange(probe: Probe, http: Http, url: Url, method: str) -> Response:
    check = probe.check
    own = (url.scheme, url.host, url.port) == (http.url.scheme, http.url.host, http.url.port)
    endpoint = http.proxy.endpoint if http.proxy else (check.endpoint if own else None) or url.endpoint
    with probe.open(endpoint) as stream:
        if url.scheme == "https":
            if http.proxy:
                _tunnel(stream, url)
            tls = check.tls or _default_tls()
            probe.secure(stream, tls, (tls.server_name if own else None) or url.host, ("http/1.1",))
        refused = _ask(probe, stream, _request(http, url, method, own))
        stream.doing = f"waiting for the first byte of an answer from {stream.where}"
        try:
            response = read_response(stream, method, http.max_body)
        except CheckFailed as failed:
            # TLS 1.3 refuses a client certificate only after the handshake, and says so only to who reads.
            raise failed if refused is None or failed.reason == "tls" else refused from None
    probe.status = response.status
    return response


def _ask(probe: Probe, stream: Stream, request: bytes) -> Optional[CheckFailed]:
    """Send the request. Who answers and closes without reading it may still have said why."""
    try:
        probe.say(stream, request)
    except CheckFailed as failed:
        if failed.reason != "reset":
            raise
        return failed
    return None


def _default_tls() -> Tls:
    from ..spec.check import Tls

    return Tls()


def _tunnel(stream: Stream, url: Url) -> None:
    host = f"[{url.host}]" if ":" in url.host else url.host
    authority = f"{host}:{url.port}"
    stream.doing = f"waiting for the proxy {stream.where} to connect"
    stream.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode("latin-1"))
    reader = Reader(stream)
    status, _headers = read_head(reader)
    if status != 200:
        raise CheckFailed("status", f"the proxy {stream.where} answered {status} to CONNECT {authority}")


def _request(http: Http, url: Url, method: str, own: bool) -> bytes:
    """The head of the request. Another host than the one asked for gets no credentials."""
    target = str(url) if http.proxy and url.scheme == "http" else url.target
    headers = [
        ("Host", url.authority),
        ("User-Agent", "slipway-health"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    extra = list(http.headers) if own else []
    if http.authorization_file and own:
        extra.append(("Authorization", read_secret(http.authorization_file)))
    if method in ("POST", "PUT"):
        extra.append(("Content-Length", "0"))
    replaced = {name.lower() for name, _value in extra}
    lines = [f"{name}: {value}" for name, value in headers if name.lower() not in replaced]
    lines += [f"{name}: {value}" for name, value in extra]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("utf-8")


def read_secret(path: str) -> str:
    """One line of a file; neither it nor the file's content ever goes into a message."""
    try:
        with open(path, encoding="utf-8") as file:
            secret = file.read(8192).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckFailed("error", f"authorization_file {path} cannot be read") from error
    if not secret or any(ord(c) < 32 or ord(c) == 127 for c in secret):
        raise CheckFailed("error", f"authorization_file {path} does not hold exactly one line")
    return secret

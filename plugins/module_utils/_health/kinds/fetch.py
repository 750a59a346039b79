# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One HTTP request as the options describe it, with redirects and proxy. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional
from urllib.parse import urljoin

from ..._core.errors import SlipwayError
from ..net.http1 import Response, read_response, tunnel
from ..outcome import CheckFailed
from ..session import RunningAttempt
from ..spec.check import ConnectedTarget
from ..spec.connection import CONNECTION_OPTIONS, Connection, Tls, parse_connection
from ..spec.endpoint import Endpoint, Url, parse_address, parse_url, unix_endpoint
from ..spec.options import Options
from .headers import parse_headers, read_secret

if TYPE_CHECKING:
    from ..net.stream import Stream

METHODS = ("GET", "HEAD", "POST", "PUT", "OPTIONS")
REQUEST_OPTIONS = CONNECTION_OPTIONS | {
    "url",
    "address",
    "unix_socket",
    "headers",
    "authorization_file",
    "proxy",
    "max_body",
}
_MAX_BODY = 1024 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class HttpRequest:
    url: Url
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    authorization_file: Optional[str] = None
    follow_redirects: int = 0
    proxy: Optional[Url] = None
    max_body: int = _MAX_BODY


@dataclass(frozen=True)
class HttpTarget(ConnectedTarget):
    """What is fetched by HTTP."""

    request: HttpRequest

    def __str__(self) -> str:
        endpoint = self.connection.endpoint
        return f"{self.request.url} over {endpoint}" if endpoint.path else str(self.request.url)


def parse_request_url(options: Options) -> Url:
    text = options.text("url")
    if text is None:
        raise options.error("url", "is missing", "write http://HOST:PORT/PATH")
    return parse_url(text, options.where)


def parse_http_connection(options: Options, url: Url) -> Connection:
    """To the unix socket or the address if there is one, else to what the URL names."""
    if "unix_socket" in options.raw and "address" in options.raw:
        raise options.error("unix_socket", "and address both say where to connect", "give one of the two")
    socket_path, address = options.text("unix_socket"), options.text("address")
    if socket_path is not None:
        endpoint = unix_endpoint(socket_path, options.where, "unix_socket")
    else:
        endpoint = url.endpoint if address is None else parse_address(address, options.where)
    return parse_connection(options, endpoint, url.scheme == "https")


def parse_request(options: Options, url: Url, connection: Connection) -> HttpRequest:
    return HttpRequest(
        url=url,
        method=options.text("method", METHODS) or "GET",
        headers=parse_headers(options),
        authorization_file=options.text("authorization_file"),
        follow_redirects=options.whole("follow_redirects", 0, 0) or 0,
        proxy=_parse_proxy(options, connection),
        max_body=options.whole("max_body", _MAX_BODY, 0) or 0,
    )


def _parse_proxy(options: Options, connection: Connection) -> Optional[Url]:
    text = options.text("proxy")
    if text is None:
        return None
    proxy = parse_url(text, options.where, "proxy")
    if proxy.scheme != "http":
        raise options.error("proxy", f"is {text!r}", "write http://HOST:PORT")
    if connection.identity is not None:
        raise options.error("proxy", "hides which process answers", "remove proxy or identity")
    if connection.endpoint.path is not None:
        raise options.error("proxy", "cannot reach a unix socket", "remove proxy or unix_socket")
    return proxy


def fetch(running: RunningAttempt, target: HttpTarget) -> Response:
    """The final response, redirects followed as far as asked."""
    url, method = target.request.url, target.request.method
    follow = target.request.follow_redirects
    for _hop in range(follow + 1):
        response = _exchange(running, target, url, method)
        location = response.header("location")
        if response.status not in _REDIRECTS or location is None or not follow:
            return response
        if response.status == 303 and method != "HEAD":
            method = "GET"
        url = _redirected(target.connection.endpoint, url, location)
    raise CheckFailed("status", f"{target} redirects more than {follow} times, last to {url}")


def _redirected(endpoint: Endpoint, url: Url, location: str) -> Url:
    try:
        to = parse_url(urljoin(str(url), location.strip()), "redirect")
    except (SlipwayError, ValueError) as error:
        raise CheckFailed("status", f"{url} redirects to {location!r}, which is no http URL") from error
    if url.scheme == "https" and to.scheme == "http":
        raise CheckFailed("status", f"{url} redirects to {to}, which gives up TLS")
    pinned = endpoint.path is not None or endpoint != url.endpoint
    if pinned and to.origin != url.origin:
        raise CheckFailed("status", f"{url} redirects to {to}, away from {endpoint}")
    return to


def _exchange(running: RunningAttempt, target: HttpTarget, url: Url, method: str) -> Response:
    request, connection = target.request, target.connection
    own = url.origin == request.url.origin
    direct = connection.endpoint if own else url.endpoint
    with running.open(request.proxy.endpoint if request.proxy else direct) as stream:
        if url.scheme == "https":
            if request.proxy:
                host = f"[{url.host}]" if ":" in url.host else url.host
                tunnel(stream, f"{host}:{url.port}")
            tls = connection.tls or Tls()
            running.secure(stream, tls, (tls.server_name if own else None) or url.host, ("http/1.1",))
        refused = _ask(running, stream, _head(request, url, method, own))
        stream.doing = f"waiting for the first byte of an answer from {stream.where}"
        try:
            response = read_response(stream, method, request.max_body)
        except CheckFailed as failed:
            # TLS 1.3 refuses a client certificate only after the handshake, and says so only to who reads.
            raise failed if refused is None or failed.reason == "tls" else refused from None
    running.status, running.answer = response.status, response.body
    return response


def _ask(running: RunningAttempt, stream: Stream, head: bytes) -> Optional[CheckFailed]:
    """Send the request. Who answers and closes without reading it may still have said why."""
    try:
        running.say(stream, head)
    except CheckFailed as failed:
        if failed.reason != "reset":
            raise
        return failed
    return None


def _head(request: HttpRequest, url: Url, method: str, own: bool) -> bytes:
    """The head of the request. Another host than the one asked for gets no credentials."""
    target = str(url) if request.proxy and url.scheme == "http" else url.target
    headers = [
        ("Host", url.authority),
        ("User-Agent", "slipway-health"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    extra = list(request.headers) if own else []
    if request.authorization_file and own:
        extra.append(("Authorization", read_secret(request.authorization_file)))
    if method in ("POST", "PUT"):
        extra.append(("Content-Length", "0"))
    replaced = {name.lower() for name, _value in extra}
    lines = [f"{name}: {value}" for name, value in headers if name.lower() not in replaced]
    lines += [f"{name}: {value}" for name, value in extra]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("utf-8")

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetches a file over HTTP: bounded in size and time, and never telling what is secret. PRIVATE to the collection."""

from __future__ import annotations

import base64
import errno
import http.client
import os
import signal
import ssl
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import Any, BinaryIO, Iterator, NamedTuple, Optional
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from ..._core.errors import SlipwayError

CHUNK = 1 << 18
MAX_REDIRECTS = 5
SILENCE = 30.0  # seconds without a byte
RESERVE = 64 << 20  # bytes that stay free on the file system
_REDIRECTS = (301, 302, 303, 307, 308)


class Limits(NamedTuple):
    """The most bytes of a file, and the most seconds for all of it."""

    size: int
    seconds: float


class _OutOfTimeError(Exception):
    """The time is over. No OSError: socket.create_connection() takes one for an address and tries the next."""


def is_url(text: str) -> bool:
    return "://" in text


def parse_url(url: str, variable: str) -> SplitResult:
    """The URL in parts; raise for one that nobody could fetch."""
    fix = f"write {variable} as https://HOST/PATH"
    try:
        parts = urlsplit(url)
        usable = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        raise SlipwayError("invalid_url", f"{variable} is not a URL.", fix) from None
    if parts.scheme not in ("https", "http"):
        raise SlipwayError("invalid_url", f"{variable} is a {parts.scheme}:// URL, which cannot be fetched.", fix)
    plain = url.isascii() and not any(ord(char) <= 32 or ord(char) == 127 for char in url)
    if not parts.hostname or not usable or not plain:
        raise SlipwayError("invalid_url", f"{variable} {shown(url)!r} is not a usable URL.", fix)
    return parts


def shown(url: str) -> str:
    """The URL without what may be secret in it: user and password, the query, the fragment."""
    if not is_url(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{url.partition('://')[0]}://…"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def file_name(source: str) -> str:
    """The name of the file at the end of a URL or of a path."""
    return unquote(urlsplit(source).path.rpartition("/")[2]) if is_url(source) else os.path.basename(source)


def _without_user(parts: SplitResult) -> str:
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path or "/", parts.query, ""))


def _authorization(parts: SplitResult) -> Optional[str]:
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _opener() -> urllib.request.OpenerDirector:
    """http and https by the environment's proxies; no files, no FTP, no redirects. Certificates are always checked."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """_OutOfTimeError after so many seconds, whatever the other side does: trickles a header, or one byte a minute."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(_number: int, _frame: Any) -> None:
        raise _OutOfTimeError

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _failed(url: str, variable: str, why: str, fix: str) -> SlipwayError:
    return SlipwayError("not_fetched", f"{variable} {shown(url)} could not be fetched by this host: {why}.", fix)


def _http_error(url: str, variable: str, status: int) -> SlipwayError:
    name = http.client.responses.get(status, "")
    fix = {
        401: "put a user and a password that may read it into the URL",
        403: "use a URL that this host may read; a signed one may have expired",
        404: f"correct {variable}",
        407: "give the proxy's user and password in the environment of the play",
    }.get(status, "look at that server, then run again")
    return _failed(url, variable, f"the server answered {status} {name}".rstrip(), fix)


def _redirected(parts: SplitResult, location: str, variable: str) -> SplitResult:
    """Where a redirect leads; raise where it must not."""
    target = parse_url(urljoin(_without_user(parts), location), f"the redirect of {variable}")
    if parts.scheme == "https" and target.scheme != "https":
        raise SlipwayError(
            "insecure_redirect",
            f"{variable} {shown(urlunsplit(parts))} redirects from https to {shown(urlunsplit(target))}.",
            "use the https URL of the file itself",
        )
    if target.username is None and (target.scheme, target.hostname, target.port) == (
        parts.scheme,
        parts.hostname,
        parts.port,
    ):  # the password is for this server, and for no other
        return target._replace(netloc=parts.netloc)
    return target


def _open(url: str, variable: str) -> Any:
    parts = parse_url(url, variable)
    opener = _opener()
    for _count in range(MAX_REDIRECTS + 1):
        headers = {"User-Agent": "slipway", "Accept-Encoding": "identity"}
        request = urllib.request.Request(_without_user(parts), headers=headers)  # noqa: S310 (the scheme was checked)
        authorization = _authorization(parts)
        if authorization:
            request.add_unredirected_header("Authorization", authorization)
        try:
            return opener.open(request, timeout=SILENCE)
        except urllib.error.HTTPError as error:
            location = error.headers.get("Location")
            error.close()
            if error.code not in _REDIRECTS or not location:
                raise _http_error(urlunsplit(parts), variable, error.code) from None
            parts = _redirected(parts, location, variable)
    raise _failed(url, variable, f"it redirects more than {MAX_REDIRECTS} times", "use the URL of the file itself")


def _check_size(length: int, limit: int, url: str, variable: str, room: Optional[int]) -> None:
    if length > limit:
        raise SlipwayError(
            "artefact_too_large",
            f"{variable} {shown(url)} is larger than {limit >> 20} MiB.",
            "correct the URL, or raise release_max_size",
        )
    if room is not None and length > room:
        raise SlipwayError(
            "disk_full",
            f"{variable} {shown(url)} has {length >> 20} MiB, and there is room for {max(room, 0) >> 20} MiB here.",
            "free space on the file system of /var/tmp",
        )


def _room(target: BinaryIO) -> Optional[int]:
    """Bytes that may be written where target is; None for what is no file."""
    try:
        found = os.fstatvfs(target.fileno())
    except (OSError, ValueError):
        return None
    return found.f_bavail * found.f_frsize - RESERVE


def _receive(url: str, variable: str, target: BinaryIO, limit: int) -> None:
    with _open(url, variable) as answer:
        told = answer.headers.get("Content-Length") or ""
        length = int(told) if told.isascii() and told.isdigit() and len(told) < 16 else None
        room = _room(target)
        _check_size(length or 0, limit, url, variable, room)
        received = 0
        while True:
            piece = answer.read1(CHUNK)
            if not piece:
                break
            received += len(piece)
            _check_size(received, limit, url, variable, room)
            target.write(piece)
        if length is not None and received != length:
            why = f"the connection ended after {received} of {length} bytes"
            raise _failed(url, variable, why, "run again; if it stays, look at that server")


def fetch(url: str, variable: str, target: BinaryIO, limits: Limits) -> None:
    """Write what the URL gives to target; raise SlipwayError, with nothing secret in it, where that fails."""
    begun = time.monotonic()
    try:
        with _deadline(limits.seconds):
            _receive(url, variable, target, limits.size)
    except SlipwayError:
        raise
    except (_OutOfTimeError, OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, OSError) and reason.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise reason from None
        spent = time.monotonic() - begun
        raise _failed(url, variable, *_reason(reason, spent, limits.seconds)) from None


def _reason(reason: Any, spent: float, seconds: float) -> tuple[str, str]:
    """What went wrong and what to do. Words of the other side are left out: they may repeat what we sent."""
    if isinstance(reason, (_OutOfTimeError, TimeoutError)) or "timed out" in str(reason):
        fix = "look at the network and at that server, or raise release_fetch_timeout"
        return f"it took more than {min(spent, seconds):.3g} s", fix
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not valid: {reason.verify_message}",
            "have the host trust the authority that signed it",
        )
    if isinstance(reason, ssl.SSLError):
        return f"TLS failed ({reason.reason or 'unknown'})", "look at that server's TLS, or at the URL's port"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower(), "correct the URL, or let the host reach that server"
    if isinstance(reason, OSError) and "Tunnel connection failed" in str(reason):
        return "the proxy refused the connection", "look at https_proxy and no_proxy in the environment of the play"
    return f"the answer is no HTTP ({type(reason).__name__})", "correct the URL"

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delivers a notice as one HTTP request. This file is PRIVATE to the collection.

No redirect is followed, so that headers and URLs that open something go nowhere else. A certificate is verified. The
answer's status is all that is read of it.
"""

from __future__ import annotations

import base64
import http.client
import ssl
import urllib.request
from dataclasses import dataclass, field
from typing import Mapping
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from .delivery import Undelivered, of_network

SCHEMES = ("https", "http")
JSON = "application/json"


@dataclass(frozen=True)
class Webhook:
    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    ca_file: str = ""

    @property
    def where(self) -> str:
        """What of the address is no secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def send(webhook: Webhook, body: bytes, content_type: str, seconds: float) -> None:
    parts = urlsplit(webhook.url)
    headers = {"Content-Type": content_type, "User-Agent": "slipway", **_authorization(parts), **webhook.headers}
    url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path or "/", parts.query, ""))
    try:
        request = urllib.request.Request(url, data=body, headers=headers, method=webhook.method)  # noqa: S310 of SCHEMES
        with _opener(webhook.ca_file).open(request, timeout=seconds) as answer:
            status = int(answer.status)
    except http.client.HTTPException:  # its text quotes the answer or the URL
        raise Undelivered("no_http", f"{webhook.where} does not answer as a web server does") from None
    except (OSError, ValueError) as error:
        failure = of_network(error, seconds)
        raise Undelivered(failure.code, f"{webhook.where}: {failure.why}") from None
    if 300 <= status < 400:
        raise Undelivered("redirect", f"{webhook.where} answered {status}, and no redirect is followed")
    if not 200 <= status < 300:
        raise Undelivered("status", f"{webhook.where} answered {status}")


def _opener(ca_file: str) -> urllib.request.OpenerDirector:
    """Without the handlers that follow redirects, read files, or send what ~/.netrc has."""
    opener = urllib.request.OpenerDirector()
    context = ssl.create_default_context(cafile=ca_file or None)
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
    ):
        opener.add_handler(handler)
    return opener


def _authorization(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

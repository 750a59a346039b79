# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The http and https kinds. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..outcome import Attempt
from ..session import RunningAttempt, healthy
from ..spec.options import Options
from .assertions import EXPECTED_OPTIONS, PRESET_PATHS, Expected, judge, parse_expected
from .fetch import REQUEST_OPTIONS, HttpTarget, fetch, parse_http_connection, parse_request, parse_request_url
from .kind import Kind

OPTIONS = REQUEST_OPTIONS | EXPECTED_OPTIONS | {"method", "follow_redirects"}


@dataclass(frozen=True)
class PageTarget(HttpTarget):
    """A page, and what it has to say."""

    expected: Expected


def parse(options: Options) -> PageTarget:
    url = parse_request_url(options)
    kind = options.text("kind")
    if kind in ("http", "https") and url.scheme != kind:
        raise options.error("url", f"starts with {url.scheme}://, the kind is {kind}", f"use kind {url.scheme}")
    expected = parse_expected(options)
    if expected.preset is not None and url.target == "/":
        url = replace(url, target=PRESET_PATHS[expected.preset])
    connection = parse_http_connection(options, url)
    return PageTarget(connection, parse_request(options, url, connection), expected)


def attempt(running: RunningAttempt, target: PageTarget) -> Attempt:
    response = fetch(running, target)
    judge(running, target, target.expected, response)
    return healthy(running, f"{target} answers {response.status}")


KIND = Kind(OPTIONS, parse, attempt)

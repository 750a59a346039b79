# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The unix kind: a unix socket; with a URL, HTTP over it. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Union

from ..outcome import Attempt
from ..session import RunningAttempt
from ..spec.options import Options
from . import http, tcp
from .kind import Kind


def parse(options: Options) -> Union[http.PageTarget, tcp.StreamTarget]:
    if "url" in options.raw:
        page = http.parse(options)
        if page.connection.endpoint.path is None:
            raise options.error(
                "address", "is not a unix socket", "give the path of the socket in address or unix_socket"
            )
        return page
    stream = tcp.parse(options)
    if stream.connection.endpoint.path is None:
        raise options.error("address", "is not the path of a unix socket", "write an absolute path, or use kind tcp")
    foreign = sorted(options.given() & (http.OPTIONS - tcp.OPTIONS - {"unix_socket"}))
    if foreign:
        raise options.error(foreign[0], "has no meaning without url", "give url, or remove it")
    return stream


def attempt(running: RunningAttempt, target: Union[http.PageTarget, tcp.StreamTarget]) -> Attempt:
    if isinstance(target, http.PageTarget):
        return http.attempt(running, target)
    return tcp.attempt(running, target)


KIND = Kind(http.OPTIONS | tcp.OPTIONS, parse, attempt)

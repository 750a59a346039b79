# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections are counted where they were accepted, and the last count stays."""

from __future__ import annotations

import os
import socket
import time

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._host import connections
from ansible_collections.slipway.go.plugins.module_utils._host.connections import LastCount, accepted, parse_established


def test_accepted_connections_of_a_process_are_counted():
    before = accepted(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()), server.accept()[0]:
            assert accepted(os.getpid()) == before + 1, "the side that connected is none"
        assert accepted(os.getpid()) == before


def test_a_connection_over_ipv6_counts():
    if not socket.has_dualstack_ipv6():
        pytest.skip("this kernel has no IPv6")
    before = accepted(os.getpid())
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        address = server.getsockname()[:2]
        with socket.create_connection(address), server.accept()[0]:
            assert accepted(os.getpid()) == before + 1


def test_a_process_that_is_gone_has_no_count():
    assert accepted(2**22 + 1) is None


@pytest.mark.parametrize("text", ["", "\n", "head\n", "head\n1: x\n", "head\n" + " ".join("0123456789ab")])
def test_rows_that_say_nothing_are_left_out(text):
    assert parse_established(text) == {}


def test_the_last_count_that_could_be_made_stays(monkeypatch):
    monkeypatch.setattr(connections, "EVERY", 0.001)
    answers = iter([3, 5, SlipwayError("proxy_unreachable", "away"), OSError("gone")])

    def count() -> int | None:
        answer = next(answers, None)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with LastCount(count) as last:
        deadline = time.monotonic() + 10
        while last.value != 5 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
    assert last.value == 5

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections are counted where they were accepted, and the last count stays."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._host.connections import (
    LastCount,
    accepted,
    listening_ports,
    parse_established,
)


def test_accepted_connections_of_a_process_are_counted():
    with socket.create_server(("127.0.0.1", 0)) as server:
        ports = {server.getsockname()[1]}
        assert ports <= listening_ports()
        with socket.create_connection(server.getsockname()), server.accept()[0]:
            assert accepted(os.getpid(), ports) == 1, "the side that connected is none"
            server.close()
            assert accepted(os.getpid(), ports) == 1, "who drains has closed its port"
        assert accepted(os.getpid(), ports) == 0


CONNECTIONS = 100
HOLDER = f"""
import socket
with socket.create_server(("127.0.0.1", 0), backlog={CONNECTIONS}) as server:
    print(server.getsockname()[1], flush=True)
    held = [server.accept() for _ in range({CONNECTIONS})]
    print("all", flush=True)
    while True:
        server.accept()
"""


@pytest.mark.parametrize("_nth", range(20))
def test_what_is_counted_while_a_killed_process_ends_is_no_count(_nth):
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True) as holder:
        port = int(holder.stdout.readline())
        held = [socket.create_connection(("127.0.0.1", port)) for _number in range(CONNECTIONS)]
        assert holder.stdout.readline() == "all\n"
        counts = [accepted(holder.pid, {port})]
        holder.kill()
        while counts[-1] is not None:
            counts.append(accepted(holder.pid, {port}))
        for one in held:
            one.close()
    assert set(counts) == {CONNECTIONS, None}


def test_a_connection_over_ipv6_counts():
    if not socket.has_dualstack_ipv6():
        pytest.skip("this kernel has no IPv6")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        address = server.getsockname()[:2]
        with socket.create_connection(address), server.accept()[0]:
            assert accepted(os.getpid(), {address[1]}) == 1


def test_a_process_that_is_gone_has_no_count():
    assert accepted(2**22 + 1, {80}) is None


@pytest.mark.parametrize("text", ["", "\n", "head\n", "head\n1: x\n", "head\n" + " ".join("0123456789ab")])
def test_rows_that_say_nothing_are_left_out(text):
    assert parse_established(text) == {}


def test_the_last_count_that_could_be_made_stays():
    answers = iter([3, 5, SlipwayError("proxy_unreachable", "away"), OSError("gone")])

    def count() -> int | None:
        answer = next(answers, None)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with LastCount(count, every=0.001) as last:
        deadline = time.monotonic() + 10
        while last.value != 5 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
    assert last.value == 5


def test_a_count_that_does_not_end_is_not_waited_for():
    never = threading.Event()

    def count() -> int:
        never.wait(30)
        return 1

    begun = time.monotonic()
    with LastCount(count, first=4, every=0.01) as last:
        time.sleep(0.05)
    never.set()
    assert (last.value, time.monotonic() - begun < 10) == (4, True)

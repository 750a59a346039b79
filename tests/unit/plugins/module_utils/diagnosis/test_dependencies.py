# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declared dependencies are asked for real, on this machine."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from ansible_collections.slipway.go.plugins.module_utils._diagnosis import dependencies


@pytest.fixture
def listener() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_each_is_asked_and_the_most_important_comes_first(listener: str) -> None:
    closed = f"127.0.0.1:{free_port()}"
    found = dependencies.ask(
        [
            {"name": "cache", "priority": "low", "address": listener},
            {"name": "queue", "address": closed},
            {"name": "database", "priority": "high", "address": listener, "timeout": 1},
            {"name": "search", "priority": "high", "url": f"http://{closed}/"},
        ]
    )
    told = [(one.name, one.priority, one.state, one.reason) for one in found]
    assert told == [
        ("database", "high", "pass", "ok"),
        ("search", "high", "fail", "refused"),
        ("queue", "medium", "fail", "refused"),
        ("cache", "low", "pass", "ok"),
    ]


def test_a_name_that_does_not_resolve() -> None:
    (found,) = dependencies.ask([{"name": "database", "address": "db.invalid:5432"}])
    assert (found.state, found.reason) == ("fail", "dns")


def test_one_that_cannot_be_asked_is_told_as_such() -> None:
    (found,) = dependencies.ask([{"name": "database", "address": "db", "nonsense": 1}])
    assert (found.state, found.reason, found.target) == ("fail", "error", "db")
    assert "Fix:" not in found.message


@pytest.mark.parametrize("url", ["http://[::1", "https://[x/", "ftp://files/", "http://"])
def test_a_url_that_is_none_is_told_as_such(url: str) -> None:
    (found,) = dependencies.ask([{"name": "api", "url": url}])
    assert (found.state, found.reason) == ("fail", "error")


def test_secrets_of_a_url_are_not_told() -> None:
    (found,) = dependencies.ask(
        [{"name": "api", "url": f"http://user:hunter2@127.0.0.1:{free_port()}/x?token=hunter3"}]
    )
    assert found.target.startswith("http://127.0.0.1:")
    assert found.target.endswith("/x")
    assert "hunter" not in found.message


def test_one_for_which_no_time_is_left_was_not_asked(listener: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "LONGEST", 0.0)
    (found,) = dependencies.ask([{"name": "api", "url": f"http://{listener}/"}])
    assert found.state == "skipped"


def test_silent_ones_are_asked_side_by_side(listener: str) -> None:
    """They accept, and never answer."""
    begun = time.monotonic()
    found = dependencies.ask([{"name": f"n{n}", "url": f"http://{listener}/", "timeout": 1} for n in range(8)])
    assert {one.reason for one in found} == {"timeout"}
    assert time.monotonic() - begun < 6, "one after the other would take 8 s"

"""One of several addresses leads somewhere."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health.deadline import Deadline, Stopwatch
from ansible_collections.slipway.go.plugins.module_utils._health.net import stream
from ansible_collections.slipway.go.plugins.module_utils._health.net.dns import Address
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import CheckFailed
from ansible_collections.slipway.go.plugins.module_utils._health.spec.endpoint import Endpoint
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.health import hostile


def address(listener: socket.socket) -> Address:
    return Address(listener.family, listener.getsockname())


@contextlib.contextmanager
def black_hole(folder: Path) -> Iterator[Address]:
    """Its backlog is full: what comes now is dropped without a word."""
    with hostile.listen("tcp", folder, 0) as listener, contextlib.ExitStack() as stack:
        for held in hostile.fill_backlog(listener):
            stack.enter_context(held)
        yield address(listener)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(addresses: list[Address], seconds: float = 5.0) -> stream.Stream:
        monkeypatch.setattr(stream, "resolve", lambda *_arguments: addresses)
        return stream.connect(Endpoint("shop.test", 80), "any", Deadline.after(seconds), Stopwatch())

    return run


@pytest.mark.parametrize("holes", [1, 3])
def test_a_black_hole_first_costs_little(connect: Any, tmp_path: Path, holes: int) -> None:
    with contextlib.ExitStack() as stack, hostile.listen("tcp", tmp_path) as listener:
        addresses = [stack.enter_context(black_hole(tmp_path)) for _number in range(holes)]
        begun = time.monotonic()
        with connect([*addresses, address(listener)]) as made:
            assert made.where == str(address(listener))
        assert time.monotonic() - begun < stream.NEXT_ADDRESS * holes + 0.4


def test_a_short_time_is_enough_for_all_of_them(connect: Any, tmp_path: Path) -> None:
    """A service that needs 0.25 s for its answer is healthy within 0.6 s, whatever else its name stands for."""
    with black_hole(tmp_path) as hole, hostile.listen("tcp", tmp_path) as listener, connect(
        [hole, address(listener)], 0.6
    ) as made:
        assert made.deadline.remaining() > 0.3


def test_what_refuses_is_followed_by_the_next_at_once(connect: Any, tmp_path: Path) -> None:
    nobody = Address(socket.AF_INET, ("127.0.0.1", hostile.free_port()))
    with hostile.listen("tcp", tmp_path) as listener:
        begun = time.monotonic()
        connect([nobody, nobody, address(listener)]).close()
        assert time.monotonic() - begun < stream.NEXT_ADDRESS


def test_silence_everywhere_is_a_timeout_that_names_all(
    connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "NEXT_ADDRESS", 0.05)
    with black_hole(tmp_path) as one, black_hole(tmp_path) as other:
        with pytest.raises(CheckFailed) as caught:
            connect([one, other], 0.5)
        assert caught.value.reason == "timeout"
        assert str(one) in caught.value.message
        assert str(other) in caught.value.message


def test_every_reason_is_told_and_the_furthest_first(connect: Any, tmp_path: Path) -> None:
    nobody = Address(socket.AF_INET, ("127.0.0.1", hostile.free_port()))
    with black_hole(tmp_path) as hole, pytest.raises(CheckFailed) as caught:
        connect([nobody, hole], 0.3)
    assert caught.value.reason == "timeout"
    assert caught.value.message.startswith("no complete answer within 0.3 s: still connecting")
    assert caught.value.message.endswith("refused the connection: nothing listens there")


def test_nothing_is_left_open(connect: Any, tmp_path: Path) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with black_hole(tmp_path) as hole, hostile.listen("tcp", tmp_path) as listener:
        before = descriptors()
        connect([hole, address(listener)], 0.5).close()
        with pytest.raises(CheckFailed):
            connect([hole, hole], 0.2)
        assert descriptors() == before


def test_families_take_turns() -> None:
    six = [Address(socket.AF_INET6, (f"2001:db8::{number}", 80, 0, 0)) for number in range(3)]
    four = [Address(socket.AF_INET, ("192.0.2.1", 80))]
    assert stream._interleaved([*six, *four]) == [six[0], four[0], *six[1:]]
    assert stream._interleaved([*four, *six]) == [*four, *six]

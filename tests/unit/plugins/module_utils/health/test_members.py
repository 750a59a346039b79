"""Several sockets share a port (SO_REUSEPORT), and one of them hangs."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from typing import Any, Iterator, Optional, Sequence

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health import parsing, runner
from ansible_collections.slipway.go.plugins.module_utils._health.deadline import Deadline, Stopwatch
from ansible_collections.slipway.go.plugins.module_utils._health.identity import diagnosis, group
from ansible_collections.slipway.go.plugins.module_utils._health.net.stream import Stream
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import Attempt
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.health import hostile

GOOD = hostile.answer(hostile.OK)
SLOW = hostile.answer(then=lambda conn: (time.sleep(0.15), conn.sendall(hostile.OK)))  # type: ignore[arg-type,func-returns-value]


USUAL = group._MISSED


@pytest.fixture(autouse=True)
def certain(monkeypatch: pytest.MonkeyPatch) -> None:
    """One miss in a thousand is little for a check, and often for tests that run every day."""
    monkeypatch.setattr(group, "_MISSED", 1e-9)


def bound(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(64)
    return listener


@contextlib.contextmanager
def sharing(behaviours: Sequence[Any], host: str = "127.0.0.1") -> Iterator[int]:
    """Each behaviour with a socket of its own; one without a behaviour never accepts."""
    with contextlib.ExitStack() as stack:
        port = 0
        for behaviour in behaviours:
            listener = bound(host, port)
            port = listener.getsockname()[1]
            stack.enter_context(hostile.Server(listener, behaviour))
        yield port


def asked(port: int, **options: Any) -> Attempt:
    spec = {"kind": "http", "url": f"http://127.0.0.1:{port}/", "timeout": 3, **options}
    return runner.attempt_all(parsing.parse_check(spec))


@pytest.mark.parametrize(
    ("hung", "others", "timeout"),
    [(None, 1, 1), (None, 3, 1), (hostile.silent, 1, 3)],
    ids=["never accepts", "never accepts, of four", "never answers"],
)
def test_one_that_hangs_is_found_each_time(hung: Any, others: int, timeout: float) -> None:
    with sharing([GOOD] * others + [hung]) as port:
        for _number in range(3):
            found = asked(port, timeout=timeout)
            assert (found.state, found.reason) == ("fail", "timeout")


def test_a_single_attempt_asks_one_as_a_user_does() -> None:
    """The probe of a swap counts requests; it sends no more than it says."""
    with sharing([GOOD, hostile.answer(hostile.http(b"", "503 Service Unavailable"))]) as port:
        check = parsing.parse_check({"kind": "http", "url": f"http://127.0.0.1:{port}/"})
        assert {runner.attempt(check).state for _number in range(40)} == {"pass", "fail"}


def test_the_message_says_that_the_port_is_shared() -> None:
    with sharing([GOOD, None]) as port:
        said = f"one of 2 sockets that share port {port} (SO_REUSEPORT): "
        # Whoever meets the one that hangs at once has met no other.
        assert any(said in asked(port, timeout=2).message for _number in range(30))


def test_what_another_one_says_counts_too() -> None:
    with sharing([GOOD, hostile.answer(hostile.http(b"", "503 Service Unavailable"))]) as port:
        assert {asked(port, timeout=5).reason for _number in range(4)} == {"status"}


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_members_that_are_well_pass_and_cost_little(host: str) -> None:
    with sharing([GOOD] * 4, host) as port:
        found = asked(port, timeout=5)
        assert (found.state, found.message) == ("pass", f"http://127.0.0.1:{port}/ answers 200")
        assert group.size(group.Reached(socket.AF_INET, "127.0.0.1", port)) == 4
        if host == "::":
            assert group.size(group.Reached(socket.AF_INET6, "::1", port)) == 4
            assert asked(port, url=f"http://[::1]:{port}/", family="6", timeout=5).state == "pass"


def test_slow_members_are_only_knocked_at() -> None:
    """Thirty whole answers would take 4.5 s; that a process accepts takes nothing."""
    questions: list[bytes] = []

    def counting(conn: socket.socket) -> None:
        request = hostile.read_request(conn)
        if request:  # and no knock
            questions.append(request)
            time.sleep(0.15)
            conn.sendall(hostile.OK)

    with sharing([counting, counting]) as port:
        assert asked(port, timeout=4).state == "pass"
    assert 1 <= len(questions) <= 4
    with sharing([SLOW, None]) as port:
        assert {asked(port, timeout=2).reason for _number in range(3)} == {"timeout"}


def test_silence_is_no_evidence_without_time() -> None:
    """The first answer took most of the time: then nothing is said of the others."""
    late = hostile.answer(then=lambda conn: (time.sleep(1.25), conn.sendall(hostile.OK)))  # type: ignore[arg-type,func-returns-value]
    with sharing([late, late]) as port:
        assert asked(port, timeout=2).state == "pass"


def test_another_address_is_another_socket() -> None:
    with sharing([GOOD], "127.0.0.1") as port, hostile.Server(bound("0.0.0.0", port), None):
        assert {asked(port).state for _number in range(5)} == {"pass"}
        assert group.size(group.Reached(socket.AF_INET, "127.0.0.1", port)) == 1


def test_a_shared_identity_is_asked_once() -> None:
    """The other one may be the release before."""
    with sharing([GOOD, GOOD]) as port, pytest.MonkeyPatch.context() as patch:
        patch.setattr(group, "size", lambda _place: pytest.fail("asked"))
        spec = {"identity": {"executable": "/proc/self/exe", "shared": True}}
        assert asked(port, **spec).state == "pass"


def test_two_scrapes_are_taken_once_and_the_others_knocked_at() -> None:
    pages = [hostile.errors(100 * number, number) for number in range(1, 20)]
    with sharing([hostile.scrapes(*pages), None]) as port:
        url = f"http://127.0.0.1:{port}/metrics"
        reasons = {asked(port, **{**hostile.METRICS, "url": url, "timeout": 1}).reason for _number in range(3)}
    assert reasons == {"timeout"}


def test_a_kernel_that_does_not_tell_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any) -> Any:
        raise OSError(errno.EPERM, "not allowed")

    place = group.Reached(socket.AF_INET, "127.0.0.1", 1)
    assert group.size(place) == 1
    monkeypatch.setattr(diagnosis.socket, "socket", refuse)
    assert group.size(place) == 1


def test_another_host_and_a_unix_socket_are_no_group() -> None:
    class Elsewhere:
        family = socket.AF_INET

        def getpeername(self) -> tuple[str, int]:
            return "192.0.2.7", 80

        def getsockname(self) -> tuple[str, int]:
            return "192.0.2.1", 40000

    def led(sock: Any) -> Optional[group.Reached]:
        return group.reached(Stream(sock, "there", Deadline.after(1), Stopwatch()))

    here, there = socket.socketpair()
    with here, there:
        assert led(here) is None
    assert led(Elsewhere()) is None


@pytest.mark.parametrize(("count", "visits"), [(2, 10), (4, 25), (8, 52), (64, 100)])
def test_visits(count: int, visits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "_MISSED", USUAL)
    assert group.visits(count) == visits
    assert count > 16 or (1 - 1 / count) ** visits <= 0.001

"""Phases, order, time: many checks in one call."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health import outcome, parsing, result, runner, session
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.health import hostile


@contextlib.contextmanager
def serving(behaviour: Any) -> Iterator[int]:
    listener = hostile.listen("tcp", Path("/"))
    with hostile.Server(listener, behaviour):
        yield listener.getsockname()[1]


def program(name: str, script: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "kind": "exec", "command": ["/bin/sh", "-c", script], **options}


def test_results_come_in_the_order_asked_for() -> None:
    specs = [program("slow", "sleep 0.3"), program("gate", "true", phase="startup"), program("fast", "true")]
    found = runner.run_all(parsing.parse_checks(specs))
    assert [one.name for one in found] == ["slow", "gate", "fast"]
    assert result.overall(found) == "pass"


def test_checks_run_side_by_side(tmp_path: Path) -> None:
    """Each of them waits until the others have begun."""
    all_of_them = f"while [ $(ls {tmp_path} | wc -l) -lt 8 ]; do sleep 0.05; done"
    specs = [program(f"c{number}", f"touch {tmp_path}/{number}; {all_of_them}", timeout=30) for number in range(8)]
    assert result.overall(runner.run_all(parsing.parse_checks(specs))) == "pass"


def test_no_check_begins_before_startup_is_over(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    specs = [
        program("after", f"test -e {mark}"),
        program("gate", f"sleep 0.2; touch {mark}", phase="startup"),
    ]
    assert result.overall(runner.run_all(parsing.parse_checks(specs))) == "pass"


def test_a_failed_startup_skips_the_rest() -> None:
    specs = [
        program("gate", "false", phase="startup"),
        program("after", "true"),
        program("alive", "true", phase="liveness"),
    ]
    gate, *others = runner.run_all(parsing.parse_checks(specs))
    assert gate.reason == "exec"
    assert {(one.state, one.reason, one.message) for one in others} == {
        ("fail", "skipped", "not attempted: startup check gate failed")
    }
    assert set(gate.as_dict()) == set(others[0].as_dict())


@pytest.mark.parametrize(("states", "worst"), [("pp", "pass"), ("pw", "warn"), ("wfp", "fail")])
def test_the_overall_state_is_the_worst(states: str, worst: str) -> None:
    scripts = {"p": "true", "w": "exit 3", "f": "false"}
    specs = [program(f"c{n}", scripts[one], warn_rc=[3]) for n, one in enumerate(states)]
    assert result.overall(runner.run_all(parsing.parse_checks(specs))) == worst


def test_a_service_that_comes_up_late_is_waited_for() -> None:
    port = hostile.free_port()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def late() -> None:
        listener.bind(("127.0.0.1", port))
        listener.listen()

    timer = threading.Timer(0.4, late)
    timer.start()
    wanted = {"kind": "tcp", "address": f"127.0.0.1:{port}", "deadline": 20, "interval": 0.05, "hold": 0}
    found = runner.run(parsing.parse_check(wanted)).as_dict()
    timer.join()
    listener.close()
    assert found["state"] == "pass"
    assert found["attempts"] > 2
    assert found["last_attempts"] == []


def test_the_deadline_ends_the_check_and_the_last_attempts_are_kept() -> None:
    wanted = {"kind": "tcp", "address": f"127.0.0.1:{hostile.free_port()}", "deadline": 0.5, "interval": 0.02}
    began = time.monotonic()
    found = runner.run(parsing.parse_check(wanted)).as_dict()
    assert time.monotonic() - began < 5
    assert (found["state"], found["reason"]) == ("fail", "refused")
    assert found["attempts"] > 5
    assert len(found["last_attempts"]) == 5
    assert found["last_attempts"][0]["reason"] == "refused"
    assert "not healthy within 0.5 s" in found["message"]


def test_an_attempt_never_outlives_the_deadline_of_its_check() -> None:
    with serving(hostile.silent) as port:
        wanted = parsing.parse_check(
            {"kind": "http", "url": f"http://127.0.0.1:{port}/", "timeout": 30, "deadline": 0.4}
        )
        began = time.monotonic()
        found = runner.run(wanted)
        assert time.monotonic() - began < 5
    assert found.reason == "timeout"


def test_the_caller_s_deadline_is_a_monotonic_time() -> None:
    with serving(hostile.silent) as port:
        wanted = parsing.parse_check({"kind": "http", "url": f"http://127.0.0.1:{port}/", "timeout": 30})
        began = time.monotonic()
        found = runner.attempt(wanted, began + 0.3)
        assert time.monotonic() - began < 5
    assert (found.reason, found.clipped) == ("timeout", True)


def test_a_name_server_that_is_cut_short_says_nothing_either() -> None:
    with hostile.names_of_the_stage():
        wanted = parsing.parse_check({"kind": "http", "url": "http://hanging.test/", "timeout": 30})
        found = runner.attempt(wanted, time.monotonic() + 0.1)
        assert (found.reason, found.clipped) == ("dns", True)
        unknown = parsing.parse_check({"kind": "http", "url": "http://nowhere.invalid/", "timeout": 300})
        found = runner.attempt(unknown, time.monotonic() + 100)
        assert (found.reason, found.clipped) == ("dns", False)


def test_what_the_deadline_cuts_short_does_not_hide_what_came_before() -> None:
    def make(session: Any, _end: Any) -> outcome.Attempt:
        time.sleep(0.05)
        if time.monotonic() - began < 0.2:
            return outcome.Attempt("fail", "status", "answers 503", status=503, details={"why": "db"})
        return outcome.Attempt("fail", "timeout", "no complete answer within 0 s", clipped=True)

    spec = {"kind": "http", "url": "http://127.0.0.1:9/", "deadline": 0.3, "interval": 0.01}
    began = time.monotonic()
    found = runner.run(parsing.parse_check(spec), make).as_dict()
    assert (found["reason"], found["status"], found["details"]) == ("status", 503, {"why": "db"})
    assert found["message"] == "not healthy within 0.3 s: answers 503"
    assert found["last_attempts"][-1]["reason"] == "timeout"


def test_healthy_and_then_gone_is_unstable() -> None:
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(serving(hostile.answer(hostile.OK)))
        threading.Timer(0.3, stack.pop_all().close).start()
        options = {"min_healthy_time": 10, "interval": 0.05}
        found = runner.run(parsing.parse_check({"kind": "http", "url": f"http://127.0.0.1:{port}/", **options}))
    assert (found.state, found.reason) == ("fail", "unstable")
    assert "healthy for" in found.message


def test_rise_takes_that_many_answers() -> None:
    with serving(hostile.answer(hostile.OK)) as port:
        options = {"rise": 4, "interval": 0.01}
        found = runner.run(
            parsing.parse_check({"kind": "http", "url": f"http://127.0.0.1:{port}/", **options})
        ).as_dict()
    assert found["attempts"] == 4
    assert 0 < found["latency"]["p50"] <= found["latency"]["p99"]


def test_the_initial_delay_comes_first() -> None:
    began = time.monotonic()
    runner.run(parsing.parse_check(program("c", "true", initial_delay=0.3)))
    assert time.monotonic() - began >= 0.3


def test_a_defect_fails_the_check_and_not_its_caller(monkeypatch: Any) -> None:
    from ansible_collections.slipway.go.plugins.module_utils._health.kinds import http as pages

    def broken(_running: Any, _target: Any) -> Any:
        raise KeyError("oops")

    monkeypatch.setattr(pages, "KIND", pages.KIND._replace(attempt=broken))
    found = runner.attempt(parsing.parse_check({"kind": "http", "url": "http://127.0.0.1/"}))
    assert (found.state, found.reason) == ("fail", "error")
    assert "KeyError" in found.message


def test_out_of_descriptors_is_an_error_and_no_traceback(monkeypatch: Any) -> None:
    def none_left(*_args: Any, **_rest: Any) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socket", none_left)
    found = runner.attempt(parsing.parse_check({"kind": "tcp", "address": "127.0.0.1:1"}))
    assert (found.reason, "Too many open files" in found.message) == ("error", True)


def test_a_connection_that_is_reset_before_it_is_looked_at_is_a_reset(monkeypatch: Any) -> None:
    """The kernel then knows no other end: "Transport endpoint is not connected" tells an operator nothing."""

    connect = session.connect

    def connect_late(*arguments: Any) -> Any:
        stream = connect(*arguments)
        poller = select.poll()
        poller.register(stream.raw, 0)  # an error is reported unasked
        assert poller.poll(5000)
        return stream

    monkeypatch.setattr(session, "connect", connect_late)
    with serving(hostile.reset) as port:
        found = runner.run(parsing.parse_check({"kind": "http", "url": f"http://127.0.0.1:{port}/"}))
    assert (found.reason, found.message) == ("reset", f"127.0.0.1:{port} reset the connection")


@pytest.mark.parametrize("family", ["4", "6"])
def test_an_address_of_the_other_family_is_unreachable(family: str) -> None:
    address = "[::1]:1" if family == "4" else "127.0.0.1:1"
    found = runner.attempt(parsing.parse_check({"kind": "tcp", "address": address, "family": family}))
    assert found.reason == "unreachable"


def test_a_port_is_not_mistaken_for_a_listener_when_the_kernel_connects_it_to_itself() -> None:
    # A socket bound to a port may connect to that very port with nobody listening.
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        assert sock.getsockname() == sock.getpeername()
    from ansible_collections.slipway.go.plugins.module_utils._health.deadline import Deadline
    from ansible_collections.slipway.go.plugins.module_utils._health.net import stream
    from ansible_collections.slipway.go.plugins.module_utils._health.net.dns import Address

    port = hostile.free_port()
    made = socket.socket()
    made.bind(("127.0.0.1", port))
    made.setblocking(False)
    original = stream._new_socket
    stream._new_socket = lambda family: made  # type: ignore[assignment]
    try:
        with pytest.raises(outcome.CheckFailed) as caught:
            stream._Race([Address(socket.AF_INET, ("127.0.0.1", port))], Deadline.after(2)).run()
    finally:
        stream._new_socket = original
    assert caught.value.reason == "refused"


def test_a_secret_reaches_the_server_and_nothing_else(tmp_path: Path) -> None:
    secret = tmp_path / "authorization"
    secret.write_text("Bearer hunter2\n")
    seen: list[bytes] = []

    def remember(conn: socket.socket) -> None:
        seen.append(hostile.read_request(conn))
        conn.sendall(hostile.http(b"", "401 Unauthorized"))

    with serving(remember) as port:
        spec = {"kind": "http", "url": f"http://127.0.0.1:{port}/", "authorization_file": str(secret)}
        found = runner.run(parsing.parse_check(spec))
    assert b"Authorization: Bearer hunter2\r\n" in seen[0]
    assert "hunter2" not in str(found.as_dict())


@pytest.mark.parametrize("content", [None, "", "two\nlines", "\x00"])
def test_a_secret_that_cannot_be_used_is_an_error(tmp_path: Path, content: Any) -> None:
    secret = tmp_path / "authorization"
    if content is not None:
        secret.write_text(content)
    with serving(hostile.answer(hostile.OK)) as port:
        spec = {"kind": "http", "url": f"http://127.0.0.1:{port}/", "authorization_file": str(secret)}
        found = runner.run(parsing.parse_check(spec))
    assert (found.state, found.reason) == ("fail", "error")


def test_credentials_do_not_follow_a_redirect_to_another_host(tmp_path: Path) -> None:
    secret = tmp_path / "authorization"
    secret.write_text("Bearer hunter2")
    seen: list[bytes] = []

    def remember(conn: socket.socket) -> None:
        seen.append(hostile.read_request(conn))
        conn.sendall(hostile.OK)

    with serving(remember) as other, serving(hostile.redirects(f"http://127.0.0.1:{other}/")) as port:
        spec = {
            "kind": "http",
            "url": f"http://127.0.0.1:{port}/",
            "authorization_file": str(secret),
            "headers": {"X-Token": "hunter2"},
            "follow_redirects": 2,
        }
        assert runner.run(parsing.parse_check(spec)).state == "pass"
    assert b"hunter2" not in seen[0]


def test_a_proxy_is_used_where_one_is_asked_for() -> None:
    seen: list[bytes] = []

    def proxy(conn: socket.socket) -> None:
        seen.append(hostile.read_request(conn))
        conn.sendall(hostile.OK)

    with serving(proxy) as port:
        spec = {"kind": "http", "url": "http://shop.invalid/x", "proxy": f"http://127.0.0.1:{port}"}
        assert runner.run(parsing.parse_check(spec)).state == "pass"
    assert seen[0].startswith(b"GET http://shop.invalid/x HTTP/1.1\r\n")


def test_tls_through_a_proxy(tmp_path: Path) -> None:
    certificates = hostile.make_certificates(tmp_path)
    context = hostile.server_context(certificates, "other")

    def proxy(conn: socket.socket) -> None:
        assert hostile.read_request(conn).startswith(b"CONNECT other.example:443 HTTP/1.1\r\n")
        conn.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        with context.wrap_socket(conn, server_side=True) as secured:
            hostile.answer(hostile.OK)(secured)

    with serving(proxy) as port, serving(hostile.answer(hostile.http(b"", "403 Forbidden"))) as forbidden:
        spec = {"kind": "https", "url": "https://other.example/", "ca_file": certificates.ca}
        found = runner.run(parsing.parse_check({**spec, "proxy": f"http://127.0.0.1:{port}"}))
        assert found.state == "pass", found.message
        found = runner.run(parsing.parse_check({**spec, "proxy": f"http://127.0.0.1:{forbidden}"}))
        assert (found.reason, "answered 403 to CONNECT" in found.message) == ("status", True)


@pytest.mark.parametrize(("leaf", "days"), [("good", 365), ("expired", -1), ("selfsigned", 365)])
def test_days_left_are_told_also_of_a_certificate_that_is_not_verified(tmp_path: Path, leaf: str, days: float) -> None:
    certificates = hostile.make_certificates(tmp_path)
    listener = hostile.listen("tcp", tmp_path)
    with hostile.Server(listener, hostile.answer(hostile.OK), hostile.server_context(certificates, leaf)):
        port = listener.getsockname()[1]
        spec = {"kind": "https", "url": f"https://127.0.0.1:{port}/", "validate_certs": False}
        found = runner.run(parsing.parse_check(spec)).as_dict()
    assert found["state"] == "pass"
    assert found["certificate_days"] == pytest.approx(days, abs=0.1)


def test_tls_over_a_unix_socket_with_a_name(tmp_path: Path) -> None:
    certificates = hostile.make_certificates(tmp_path)
    listener = hostile.listen("unix", tmp_path)
    with hostile.Server(listener, hostile.redis, hostile.server_context(certificates, "other")):
        spec = {
            "kind": "unix",
            "address": str(tmp_path / "server.sock"),
            "tls": True,
            "ca_file": certificates.ca,
            "server_name": "other.example",
            "send": "PING\r\n",
            "expect_regex": r"^\+PO.G",
        }
        assert runner.run(parsing.parse_check(spec)).state == "pass"


@pytest.mark.parametrize("name", ["ca_file", "client_cert"])
def test_a_missing_certificate_file_is_named(name: str) -> None:
    with serving(hostile.silent) as port:
        spec = {"kind": "tcp", "address": f"127.0.0.1:{port}", "tls": True, name: "/nonexistent/file.pem"}
        found = runner.run(parsing.parse_check(spec))
    assert found.reason == "tls"
    assert f"{name} /nonexistent/file.pem" in found.message


def test_metrics_wait_for_traffic_with_a_growing_window() -> None:
    pages = [hostile.errors(100 + 4 * number, 0) for number in range(12)]
    with serving(hostile.scrapes(*pages)) as port:
        spec = {
            "kind": "metrics",
            "url": f"http://127.0.0.1:{port}/metrics",
            "deadline": 10,
            "interval": 0.01,
            "metrics": {"window": 0.02, "requests": "requests_total", "max_error_ratio": 0, "min_requests": 10},
        }
        found = runner.run(parsing.parse_check(spec)).as_dict()
    assert found["state"] == "pass"
    assert found["attempts"] > 1
    assert found["details"]["requests"] >= 10


def test_no_environment_of_the_operator_changes_an_answer(monkeypatch: Any) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(hostile.answer(hostile.OK)) as port:
        assert runner.run(parsing.parse_check({"kind": "http", "url": f"http://127.0.0.1:{port}/"})).state == "pass"
    assert "NO_PROXY" not in os.environ

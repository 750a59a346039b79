"""The answer is bound to the process that gives it: real processes, real sockets."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary.elf import read_notes
from ansible_collections.slipway.go.plugins.module_utils._health import parsing, runner
from ansible_collections.slipway.go.plugins.module_utils._health.identity import diagnosis
from ansible_collections.slipway.go.plugins.module_utils._host import processes

# Serves HTTP on the listening socket it was started with, as a socket-activated service does.
SERVICE = """
import socket, sys, time
listener = socket.socket(fileno=int(sys.argv[1]))
mode = sys.argv[2]
if mode == "reads-first":
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
print("ready", flush=True)
accepted = []
while True:
    conn, _ = listener.accept()
    if mode == "accepts ahead":
        accepted.append(conn)
        if len(accepted) % 100 == 0:
            time.sleep(0.3)
        continue
    if mode == "silent":
        conn.recv(1)
        time.sleep(60)
    if mode == "closes":
        conn.close()
        continue
    data = b""
    while b"\\r\\n\\r\\n" not in data:
        more = conn.recv(4096)
        if not more:
            break
        data += more
    else:
        conn.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    conn.close()
"""


class Service:
    """A process of its own executable file that accepts from a shared listening socket."""

    def __init__(self, folder: Path, name: str) -> None:
        self.executable = str(folder / name)
        shutil.copy(os.path.realpath(sys.executable), self.executable)
        self.process: Any = None

    def start(self, listener: socket.socket, mode: str = "answers") -> None:
        self.process = subprocess.Popen(
            [self.executable, "-c", SERVICE, str(listener.fileno()), mode],
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHOME": sys.base_prefix},
        )
        assert self.process.stdout.readline() == b"ready\n"

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@pytest.fixture
def services(tmp_path: Path) -> Iterator[tuple[Service, Service]]:
    old, new = Service(tmp_path, "old"), Service(tmp_path, "new")
    yield old, new
    old.stop()
    new.stop()


@pytest.fixture(params=["tcp", "dual", "unix"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    if request.param == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(tmp_path / "shared.sock"))
    elif request.param == "tcp":
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
    else:
        sock = socket.socket(socket.AF_INET6)
        sock.bind(("::", 0))
    sock.listen(64)
    with sock:
        yield sock


def spec(listener: socket.socket, executable: str, **options: Any) -> dict[str, Any]:
    wanted = {"executable": executable, **options.pop("identity", {})}
    made: dict[str, Any] = {"kind": "http", "url": "http://127.0.0.1/", "identity": wanted, **options}
    if listener.family == socket.AF_UNIX:
        made["unix_socket"] = listener.getsockname()
    else:
        made["url"] = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    return made


def tried(listener: socket.socket, executable: str, **options: Any) -> Any:
    return runner.attempt(parsing.parse_check(spec(listener, executable, **options)))


def test_the_wanted_process_passes_and_is_named(services: tuple[Service, Service], listener: socket.socket) -> None:
    _old, new = services
    new.start(listener)
    found = tried(listener, new.executable)
    assert (found.state, found.pid, found.exe) == ("pass", new.process.pid, new.executable)


def test_the_old_release_on_the_port_is_caught(services: tuple[Service, Service], listener: socket.socket) -> None:
    old, new = services
    old.start(listener)
    found = tried(listener, new.executable)
    assert (found.state, found.reason, found.pid) == ("fail", "identity", old.process.pid)
    assert old.executable in found.message
    assert new.executable in found.message


def test_on_a_shared_socket_the_wanted_one_is_found(services: tuple[Service, Service], listener: socket.socket) -> None:
    old, new = services
    old.start(listener)
    new.start(listener)
    for _turn in range(10):
        found = tried(listener, new.executable, identity={"shared": True})
        assert (found.state, found.pid) == ("pass", new.process.pid)


def spent(pid: int) -> float:
    """Seconds of processor time, up to now: clock_getcpuclockid(3) makes the clock's number of the process's."""
    return time.clock_gettime((~pid << 3) | 2)


def sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@contextlib.contextmanager
def starved(pid: int) -> Iterator[None]:
    """In every fifth of a second the process gets half a millisecond of a processor, however busy the machine is."""
    over = threading.Event()

    def starve() -> None:
        while not over.wait(0.2):
            limit = spent(pid) + 0.0005
            os.kill(pid, signal.SIGCONT)
            while spent(pid) < limit and not sleeps(pid) and not over.is_set():
                time.sleep(0.0001)
            os.kill(pid, signal.SIGSTOP)

    os.kill(pid, signal.SIGSTOP)
    thread = threading.Thread(target=starve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("mode", ["answers", "accepts ahead"])
def test_on_a_shared_socket_one_that_gets_little_time_is_found(
    services: tuple[Service, Service], listener: socket.socket, mode: str
) -> None:
    """On a busy machine the process that runs takes what comes before the other one has been woken."""
    old, new = services
    old.start(listener, mode)
    new.start(listener)
    with starved(new.process.pid):
        found = tried(listener, new.executable, identity={"shared": True}, timeout=5)
    assert (found.state, found.pid) == ("pass", new.process.pid), found


def test_on_a_shared_socket_with_a_short_backlog_the_wanted_one_is_found(services: tuple[Service, Service]) -> None:
    """Connections beyond it would wait for a second and more each."""
    old, new = services
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        old.start(listener)
        new.start(listener)
        for _turn in range(5):
            found = tried(listener, new.executable, identity={"shared": True}, timeout=5)
            assert (found.state, found.pid) == ("pass", new.process.pid), found


def test_on_a_shared_socket_the_other_one_counts_neither_for_nor_against(
    services: tuple[Service, Service], listener: socket.socket
) -> None:
    old, new = services
    old.start(listener)
    found = tried(listener, new.executable, identity={"shared": True}, timeout=0.3)
    assert (found.state, found.reason, found.counts) == ("fail", "identity", False)
    result = runner.run(
        parsing.parse_check(
            spec(listener, new.executable, identity={"shared": True}, timeout=0.2, deadline=1, interval=0.1, fall=1)
        )
    )
    assert (result.state, result.reason) == ("fail", "identity")
    assert len(result.attempts) > 1


def test_time_that_runs_out_while_connecting_again_does_not_count_against_the_wanted_process(
    services: tuple[Service, Service], listener: socket.socket, monkeypatch: Any
) -> None:
    from ansible_collections.slipway.go.plugins.module_utils._health import session

    old, new = services
    old.start(listener)
    connect, turns = session.connect, []

    def slower(endpoint: Any, family: str, deadline: Any, watch: Any) -> Any:
        turns.append(1)
        if len(turns) > 1:
            time.sleep(max(0.0, deadline.remaining()))
            deadline.require("connecting")
        return connect(endpoint, family, deadline, watch)

    monkeypatch.setattr(session, "connect", slower)
    found = tried(listener, new.executable, identity={"shared": True}, timeout=0.3)
    assert (found.reason, found.counts, found.pid) == ("identity", False, old.process.pid)


def test_the_wanted_process_that_accepts_and_is_silent_counts_on_a_shared_socket(
    services: tuple[Service, Service], listener: socket.socket
) -> None:
    old, new = services
    old.start(listener)
    new.start(listener, "silent")
    reasons = (tried(listener, new.executable, identity={"shared": True}, timeout=0.2).reason for _turn in range(20))
    assert "timeout" in reasons


def test_a_shared_socket_whose_wanted_process_comes_late(
    services: tuple[Service, Service], listener: socket.socket
) -> None:
    old, new = services
    old.start(listener)
    wanted = parsing.parse_check(
        spec(listener, new.executable, identity={"shared": True}, timeout=0.2, deadline=10, interval=0.05)
    )
    tried_before = []

    def tries(session: Any, end: float | None) -> Any:
        if len(tried_before) == 2:
            new.start(listener)
        tried_before.append(1)
        return runner.attempt(session.check, end, session)

    result = runner.run(wanted, tries)
    assert result.state == "pass"
    assert result.as_dict()["process"]["pid"] == new.process.pid


def test_a_listener_that_waits_for_data_before_it_accepts(services: tuple[Service, Service]) -> None:
    _old, new = services
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        new.start(listener, "reads-first")
        assert tried(listener, new.executable).state == "pass"


def test_a_process_that_closes_at_once(services: tuple[Service, Service], listener: socket.socket) -> None:
    _old, new = services
    new.start(listener, "closes")
    assert tried(listener, new.executable).reason in ("closed", "reset")


def test_the_same_name_is_not_the_same_file(services: tuple[Service, Service], listener: socket.socket) -> None:
    _old, new = services
    new.start(listener)
    os.rename(new.executable, new.executable + ".1")
    shutil.copy(new.executable + ".1", new.executable)
    found = tried(listener, new.executable)
    assert found.reason == "identity"
    os.unlink(new.executable)
    assert "is not there" in tried(listener, new.executable).message


def test_the_build_id(services: tuple[Service, Service], listener: socket.socket) -> None:
    _old, new = services
    new.start(listener)
    right = read_notes(new.executable).gnu_build_id
    if right is None:
        pytest.skip("this Python carries no build id")
    assert tried(listener, new.executable, identity={"build_id": right}).state == "pass"
    found = tried(listener, new.executable, identity={"build_id": "another"})
    assert found.reason == "identity"
    assert "build id" in found.message


def test_the_unit(services: tuple[Service, Service], listener: socket.socket, monkeypatch: Any) -> None:
    _old, new = services
    new.start(listener)
    monkeypatch.setattr(processes, "units", lambda pid: ("shop.service", "system.slice"))
    assert tried(listener, new.executable, identity={"unit": "shop"}).state == "pass"
    found = tried(listener, new.executable, identity={"unit": "other.service"})
    assert "not to other.service" in found.message


@pytest.mark.parametrize("way", ["netlink", "text", "kernel without diagnostics"])
def test_all_ways_to_ask_the_kernel_agree(way: str, monkeypatch: Any) -> None:
    def denied(_request: bytes) -> bytes:
        if way == "text":
            raise diagnosis.DiagUnavailable("denied")
        return b""

    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as listener, socket.socket(family) as client:
            try:
                listener.bind((host, 0))
            except OSError:
                continue
            listener.listen()
            client.connect(listener.getsockname())
            if way != "netlink":
                monkeypatch.setattr(diagnosis, "_ask", denied)
            assert diagnosis.server_inode(client) == diagnosis.NOT_ACCEPTED
            accepted, _address = listener.accept()
            assert diagnosis.server_inode(client) == os.fstat(accepted.fileno()).st_ino
            accepted.close()


def test_a_connection_that_ends_elsewhere_is_said_to() -> None:
    with socket.socket() as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client.connect(listener.getsockname())
        accepted, _address = listener.accept()
        accepted.close()
        client.close()
        with socket.socket() as other:
            other.connect(listener.getsockname())
            assert diagnosis.server_inode(other) == diagnosis.NOT_ACCEPTED


def test_who_may_not_look_is_told_so(
    services: tuple[Service, Service], listener: socket.socket, monkeypatch: Any
) -> None:
    _old, new = services
    new.start(listener)

    def denied(_pid: int, _inode: int) -> bool:
        raise PermissionError

    monkeypatch.setattr(processes, "holds", denied)
    found = tried(listener, new.executable, timeout=2)
    assert found.reason == "identity"
    assert "become" in found.message
    assert (found.latency["total"] or 9) < 1


def test_without_socket_diagnostics_a_unix_socket_still_tells_who_listens(tmp_path: Path, monkeypatch: Any) -> None:
    def denied(_request: bytes) -> bytes:
        raise diagnosis.DiagUnavailable("denied")

    monkeypatch.setattr(diagnosis, "_ask", denied)
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        wanted = {"executable": os.path.realpath(sys.executable)}
        found = runner.attempt(parsing.parse_check({"kind": "unix", "address": str(path), "identity": wanted}))
    assert (found.state, found.pid) == ("pass", os.getpid())


# -- Stability


def test_a_process_that_is_replaced_is_unstable_though_every_answer_is_good(
    services: tuple[Service, Service], listener: socket.socket
) -> None:
    old, new = services
    old.start(listener)
    options = spec(listener, old.executable, min_healthy_time=5, interval=0.05, deadline=10)
    del options["identity"]
    tries = []

    def replaced(session: Any, end: float | None) -> Any:
        if len(tries) == 2:
            old.stop()
            new.start(listener)
        tries.append(1)
        return runner.attempt(session.check, end, session)

    began = time.monotonic()
    result = runner.run(parsing.parse_check(options), replaced)
    assert (result.state, result.reason) == ("fail", "unstable")
    assert all(one.state == "pass" for one in result.attempts)
    assert str(old.process.pid) in result.message
    assert time.monotonic() - began < 4


def test_several_workers_may_answer_in_turn(services: tuple[Service, Service], listener: socket.socket) -> None:
    old, new = services
    old.start(listener)
    new.start(listener)
    options = spec(listener, "/", min_healthy_time=0.5, interval=0.02)
    del options["identity"]
    result = runner.run(parsing.parse_check(options))
    assert result.state == "pass", result.message


def test_a_restart_counted_by_systemd_is_unstable(
    services: tuple[Service, Service], listener: socket.socket, monkeypatch: Any
) -> None:
    from ansible_collections.slipway.go.plugins.module_utils._health.kinds import systemd

    _old, new = services
    new.start(listener)
    counts = iter(["0", "0", "1"])
    monkeypatch.setattr(systemd, "show", lambda unit, deadline: {"NRestarts": next(counts)})
    monkeypatch.setattr(processes, "units", lambda pid: ("shop.service",))
    options = spec(listener, new.executable, identity={"unit": "shop"}, min_healthy_time=5, interval=0.02)
    result = runner.run(parsing.parse_check(options))
    assert (result.reason, len(result.attempts)) == ("unstable", 3)
    assert "NRestarts 0 → 1" in result.message

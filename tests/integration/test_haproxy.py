# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's configuration in a real HAProxy on this machine: time limits, gRPC, the PROXY protocol, redirects."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.health import hostile
from ansible_collections.slipway.go.tests.unit.test_templates import render

LIMITS = {"proxy_timeout": 1, "proxy_answer_timeout": 2, "proxy_stream_timeout": 20}
PROXY = b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 80\r\n"


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    if shutil.which("haproxy") is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            pytest.skip("HAProxy is not installed on this machine")
        subprocess.run(["apt-get", "-qq", "install", "-y", "haproxy"], check=True)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return int(listener.getsockname()[1])


def configuration(folder: Path, listen: int, service: int, **given: Any) -> Path:
    """The file that the role writes, with the service in slot a."""
    variables = {
        "proxy_service": "shop",
        "proxy_swap": "proxy",
        "proxy_listen": [str(listen)],
        "proxy_ports": [service, 1],
        **given,
    }
    text = str(
        render(
            folder, "proxy", "lookup('ansible.builtin.template', 'etc/haproxy/slipway.d/SERVICE.cfg.j2')", **variables
        )
    )
    path = folder / "shop.cfg"
    path.write_text(text.replace("/etc/slipway-haproxy/shop.pem", str(folder / "shop.pem")))
    return path


@contextlib.contextmanager
def haproxy(folder: Path, service: int, **given: Any) -> Iterator[int]:
    """The port at which users reach HAProxy."""
    port = free_port()
    path = configuration(folder, port, service, **given)
    checked = subprocess.run(["haproxy", "-c", "-f", str(path)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    with subprocess.Popen(["haproxy", "-db", "-q", "-f", str(path)]) as process:
        try:
            wait_for(port)
            yield port
        finally:
            process.terminate()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("HAProxy does not listen")


class Service(BaseHTTPRequestHandler):
    """Silent for as many seconds as the path says, before its answer or after its first byte (/after/N)."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 9 * ("Transfer-Encoding" in self.headers))))
        _empty, when, seconds = self.path.split("/")
        if when == "before":
            time.sleep(float(seconds))
        self.send_response(200)
        self.send_header("X-Client", self.headers.get("X-Forwarded-For", ""))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"1\r\na\r\n")
        self.wfile.flush()
        if when == "after":
            time.sleep(float(seconds))
        self.wfile.write(b"1\r\nb\r\n0\r\n\r\n")

    do_POST = do_GET

    def log_message(self, *_given: Any) -> None:
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        server.handle_error = lambda *_given: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def talk(port: int, data: bytes, source: str = "127.0.0.1") -> bytes:
    """What comes back until the other side closes, or is silent for ten seconds."""
    with socket.create_connection(("127.0.0.1", port), 10, (source, 0)) as connection:
        connection.sendall(data)
        answer = b""
        with contextlib.suppress(OSError):
            while part := connection.recv(1 << 16):
                answer += part
        return answer


def ask(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: shop.example.com:80", "Connection: close", *headers]
    return ("\r\n".join([*lines, "", ""])).encode()


def test_who_is_silent_is_given_the_time_that_suits_the_request(tmp_path: Path, service: int) -> None:
    with haproxy(tmp_path, service, **LIMITS) as port:
        assert talk(port, ask("/before/1.5")).endswith(b"0\r\n\r\n"), "a long poll outlasts the client's limit"
        assert b" 504 " in talk(port, ask("/before/4"))
        assert not talk(port, ask("/after/4")).endswith(b"0\r\n\r\n")
        assert talk(port, ask("/after/4", "Accept: text/event-stream")).endswith(b"0\r\n\r\n")
        for header in ("Content-Length: 9", "Transfer-Encoding: chunked"):
            for method in ("GET", "POST"):
                began = time.monotonic()
                lines = (f"{method} /before/0 HTTP/1.1", "Host: shop", "Accept: text/event-stream", header, "", "3")
                talk(port, "\r\n".join(lines).encode())
                assert time.monotonic() - began < 1.9, "a client that stops sending has the short limit"


def test_the_defaults_of_the_limits(tmp_path: Path) -> None:
    for number, (given, said) in enumerate((({}, 600), ({"proxy_timeout": "900"}, 900))):
        folder = tmp_path / str(number)
        folder.mkdir()
        text = configuration(folder, 8080, 8081, **given).read_text()
        assert f"timeout server {said}s\n" in text
        assert "timeout http-request 30s\n" in text


def test_clients_of_ipv4_are_shown_as_such(tmp_path: Path) -> None:
    text = configuration(tmp_path, 8080, 8081).read_text()
    assert "    bind 0.0.0.0:8080\n    bind :::8080 v6only\n" in text


def test_a_request_without_a_host_is_not_sent_to_an_address_without_one(tmp_path: Path, service: int) -> None:
    made = hostile.make_certificates(tmp_path)
    shutil.copy(made.good, tmp_path / "shop.pem")
    tls = {"proxy_tls_listen": [f"127.0.0.1:{free_port()}"], "proxy_tls_certificate": "/dev/null"}
    with haproxy(tmp_path, service, **tls) as port:
        for request in (
            b"GET / HTTP/1.0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n",
        ):
            assert talk(port, request).startswith(b"HTTP/1.1 400 "), request
        sent = talk(port, ask("/before/0"))
        assert sent.startswith(b"HTTP/1.1 308 ")
        assert b"location: https://shop.example.com:" in sent


def test_load_balancers_name_the_client_by_the_proxy_protocol(tmp_path: Path, service: int) -> None:
    with haproxy(tmp_path, service, proxy_protocol_from=["127.0.0.2"]) as port:
        assert b"x-client: 127.0.0.1\r\n" in talk(port, ask("/before/0")), "others need no header"
        assert b" 400 " in talk(port, PROXY + ask("/before/0")), "and are not believed one"
        assert b"x-client: 192.0.2.7\r\n" in talk(port, PROXY + ask("/before/0"), "127.0.0.2")
        assert not talk(port, ask("/before/0"), "127.0.0.2"), "without the header, nobody knows who asks"


def test_the_service_is_told_the_client_by_the_proxy_protocol(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(10)
        port = stack.enter_context(haproxy(tmp_path, listener.getsockname()[1], proxy_protocol_send=True))
        client = threading.Thread(target=talk, args=(port, ask("/before/0")))
        client.start()
        connection, _peer = listener.accept()
        with connection:
            connection.settimeout(10)
            begin = connection.recv(28, socket.MSG_WAITALL)
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        client.join()
    assert begin[:14] == b"\r\n\r\n\0\r\nQUIT\n\x21\x11", "version 2, TCP over IPv4"
    assert socket.inet_ntoa(begin[16:20]) == "127.0.0.1"


def test_grpc_streams_in_both_directions_with_long_silence(tmp_path: Path) -> None:
    grpc = pytest.importorskip("grpc")

    def echo(requests: Iterator[bytes], _context: Any) -> Iterator[bytes]:
        yield from requests

    handler = grpc.method_handlers_generic_handler("Shop", {"Echo": grpc.stream_stream_rpc_method_handler(echo)})
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    service = server.add_insecure_port("127.0.0.1:0")
    server.start()

    def slow() -> Iterator[bytes]:
        for text in (b"one", b"two"):
            yield text
            time.sleep(3)  # longer than a client and the service may be silent otherwise

    with contextlib.ExitStack() as stack:
        port = stack.enter_context(haproxy(tmp_path, service, proxy_http2=True, **LIMITS))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
        call = channel.stream_stream("/Shop/Echo")(slow(), timeout=20)
        assert list(call) == [b"one", b"two"]
        assert call.code() is grpc.StatusCode.OK
        missing = channel.unary_unary("/Shop/Missing")
        with pytest.raises(grpc.RpcError) as refused:
            missing(b"", timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED, "trailers come through"
    server.stop(None)

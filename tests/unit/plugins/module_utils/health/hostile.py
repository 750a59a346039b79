"""A server that misbehaves over real sockets, and the table of what a check has to say about it.

Used by the unit tests and by tests/bench/health_compare.py, which asks other tools the same questions.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import gzip
import itertools
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator

Behaviour = Callable[[socket.socket], None]
DRIP = 0.1  # seconds between two bytes: slow enough to be hopeless, fast enough to defeat a timeout per read


# ---------------------------------------------------------------------------------------------------------------------
# The server


class Server:
    """Listens, and hands every connection to a behaviour in a thread of its own."""

    def __init__(self, listener: socket.socket, behaviour: Behaviour | None, tls: ssl.SSLContext | None = None) -> None:
        self.listener = listener
        self.behaviour = behaviour
        self.tls = tls
        self.connections: list[socket.socket] = []
        self.closing = False

    def __enter__(self) -> Server:
        if self.behaviour is not None:
            threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.closing = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while not self.closing:
            try:
                connection, _address = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self.connections.append(connection)
            assert self.behaviour is not None
            self.behaviour(connection)
            if self.tls is not None:
                with contextlib.suppress(OSError):
                    connection.unwrap()
            connection.close()


def listen(transport: str, folder: Path, backlog: int = 64) -> socket.socket:
    if transport == "unix":
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(folder / "server.sock"))
    else:
        family, host = (socket.AF_INET6, "::1") if transport == "tcp6" else (socket.AF_INET, "127.0.0.1")
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, 0))
    listener.listen(backlog)
    return listener


def share_port(listener: socket.socket) -> socket.socket:
    """Another socket at the same port, which the kernel gives its part of the connections; nobody accepts on it."""
    other = socket.socket(listener.family, socket.SOCK_STREAM)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    other.bind(listener.getsockname())
    other.listen(64)
    return other


def fill_backlog(listener: socket.socket) -> list[socket.socket]:
    """Connections nobody accepts, until the kernel takes no more."""
    held = []
    for _number in range(64):
        sock = socket.socket(listener.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        code = sock.connect_ex(listener.getsockname())
        held.append(sock)
        if code == errno.EAGAIN:
            break
        if code == errno.EINPROGRESS:
            time.sleep(0.05)
            try:
                sock.getpeername()
            except OSError:
                break
    return held


# ---------------------------------------------------------------------------------------------------------------------
# Behaviours


def read_request(conn: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = conn.recv(4096)
        if not more:
            break
        data += more
    return data


def hold(conn: socket.socket) -> None:
    """Say nothing until the other side has gone."""
    while conn.recv(65536):
        pass


def drip(conn: socket.socket, data: bytes) -> None:
    for position in range(len(data)):
        conn.sendall(data[position : position + 1])
        time.sleep(DRIP)


def for_ever(conn: socket.socket, data: bytes) -> None:
    while True:
        conn.sendall(data)


def reset(conn: socket.socket) -> None:
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def silent(conn: socket.socket) -> None:
    hold(conn)


def closes(conn: socket.socket) -> None:
    conn.close()


def closes_after_request(conn: socket.socket) -> None:
    read_request(conn)


def resets_after_request(conn: socket.socket) -> None:
    read_request(conn)
    reset(conn)


def answer(*parts: bytes, then: Behaviour | None = None) -> Behaviour:
    """Read the request, send the parts, then do something or close."""

    def behave(conn: socket.socket) -> None:
        read_request(conn)
        for part in parts:
            conn.sendall(part)
        if then is not None:
            then(conn)

    return behave


def http(body: bytes = b"", status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def dripping(data: bytes) -> Behaviour:
    return answer(then=lambda conn: drip(conn, data))


def endless(head: bytes, piece: bytes) -> Behaviour:
    return answer(head, then=lambda conn: for_ever(conn, piece))


def resets_after(data: bytes) -> Behaviour:
    def behave(conn: socket.socket) -> None:
        read_request(conn)
        conn.sendall(data)
        time.sleep(0.05)
        reset(conn)

    return behave


def shouts_before_request(conn: socket.socket) -> None:
    """Refuses without reading, as an overloaded proxy does: the answer crosses the request."""
    conn.sendall(http(b"full", "503 Service Unavailable"))


def speaks_first(conn: socket.socket) -> None:
    conn.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")
    hold(conn)


def speaks_plain(conn: socket.socket) -> None:
    conn.recv(65536)
    conn.sendall(http(b"", "400 Bad Request"))
    hold(conn)


def redis(conn: socket.socket) -> None:
    while True:
        data = conn.recv(4096)
        if not data:
            return
        conn.sendall(b"+PONG\r\n" if b"PING" in data else b"-ERR unknown command\r\n")


def redirects(location: str) -> Behaviour:
    return answer(http(b"", "302 Found", f"Location: {location}\r\n"))


def redirects_elsewhere(conn: socket.socket) -> None:
    """Away from here; who follows and still comes here is welcomed."""
    if b"Host: elsewhere" in read_request(conn):
        conn.sendall(OK)
    else:
        conn.sendall(http(b"", "302 Found", "Location: http://elsewhere.example/\r\n"))


# -- HTTP/2 and gRPC

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def literal(*headers: tuple[str, str]) -> bytes:
    """Headers as literals without indexing."""
    block = b""
    for name, value in headers:
        block += b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return block


SETTINGS = frame(4, 0, 0)
PING = frame(6, 0, 0, b"pingpong")
GRPC_HEADERS = literal((":status", "200"), ("content-type", "application/grpc"))
SERVING = b"\0\0\0\0\x02\x08\x01"


def grpc(*frames: bytes, then: Behaviour | None = hold) -> Behaviour:
    """Wait for the whole question, then send the frames."""

    def behave(conn: socket.socket) -> None:
        data = b""
        # The question ends with its DATA frame, which ends the stream: type 0, flag 1, stream 1.
        while b"\0\1\0\0\0\1" not in data:
            more = conn.recv(4096)
            if not more:
                return
            data += more
        conn.sendall(SETTINGS + b"".join(frames))
        if then is not None:
            then(conn)

    return behave


def grpc_answer(message: bytes = SERVING, status: str = "0", *more: tuple[str, str]) -> bytes:
    trailers = literal(("grpc-status", status), *more)
    return frame(1, 4, 1, GRPC_HEADERS) + frame(0, 0, 1, message) + frame(1, 5, 1, trailers)


def grpc_status(status: str, said: str = "") -> bytes:
    return frame(1, 5, 1, GRPC_HEADERS + literal(("grpc-status", status), *([("grpc-message", said)] if said else [])))


# -- Metrics


def page(*counts: tuple[str, float]) -> bytes:
    return "".join(f"{name} {value}\n" for name, value in counts).encode()


def forged(number: int) -> bytes:
    """Half of the requests fail, and a client has sent a line of its own as its agent."""
    agent = f"x\u2028requests_total {10**6 * number} "
    return errors(100 * number, 100 * number) + f'visits_total{{agent="{agent}"}} 1\n'.encode()


def separated(number: int) -> bytes:
    return page(('requests_total{code="200",path="/a\u2028b\x85c\rd"}', 1000 * number))


def scrapes(*pages: bytes) -> Behaviour:
    """A page for each scrape, and then from the start again: a case may be played more than once."""
    turn = itertools.cycle(pages)

    def behave(conn: socket.socket) -> None:
        read_request(conn)
        conn.sendall(http(next(turn)))

    return behave


# ---------------------------------------------------------------------------------------------------------------------
# Certificates


@dataclass(frozen=True)
class Certificates:
    folder: Path

    def __getattr__(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")


def make_certificates(folder: Path) -> Certificates:
    """An authority, and leaves that are good, expired, not valid yet, for another host, nearly over and self-signed.

    One has its name only in its subject; one is good itself, and the authority between it and the root nearly over.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.timezone.utc)

    def day(number: float) -> datetime.datetime:
        return now + datetime.timedelta(days=number)

    def make(
        name: str, names: list[str], begins: float, ends: float, issuer: Any = None, common: str = ""
    ) -> tuple[Any, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common or name)])
        import ipaddress

        alternatives = [
            x509.IPAddress(ipaddress.ip_address(entry)) if entry[0].isdigit() else x509.DNSName(entry)
            for entry in names
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer[0].subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(day(begins))
            .not_valid_after(day(ends))
            .add_extension(x509.BasicConstraints(ca=name in ("ca", "between"), path_length=None), critical=True)
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
        pem = certificate.public_bytes(Encoding.PEM)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.pem").write_bytes(pem if name == "ca" else pem + secret)
        return certificate, key

    here = ["127.0.0.1", "localhost"]
    ca = make("ca", [], -400, 4000)
    make("good", here, -1, 365, ca)
    make("expired", here, -30, -1, ca)
    make("early", here, 1, 30, ca)
    make("ending", here, -30, 3, ca)
    make("other", ["other.example"], -1, 365, ca)
    make("client", ["client.example"], -1, 365, ca)
    make("selfsigned", here, -1, 365)
    make("common", [], -1, 365, ca, common="localhost")
    make("chained", here, -1, 365, make("between", [], -30, 3, ca))
    with open(folder / "chained.pem", "ab") as chain:
        chain.write((folder / "between.pem").read_bytes())
    return Certificates(folder)


def server_context(certificates: Certificates, leaf: str, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(getattr(certificates, leaf))
    for name, value in options.items():
        setattr(context, name, value)
    if options.get("verify_mode") == ssl.CERT_REQUIRED:
        context.load_verify_locations(certificates.ca)
    return context


def slow_handshake(certificates: Certificates) -> Behaviour:
    """A real handshake, a byte at a time."""

    def behave(conn: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secured = server_context(certificates, "good").wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                drip(conn, outgoing.read())
                incoming.write(conn.recv(65536))
                continue
            return

    return behave


# ---------------------------------------------------------------------------------------------------------------------
# The table

TIMEOUT = 0.4  # of a check that has to run into it: there are 30 of them


@dataclass(frozen=True)
class Case:
    """What is asked, of whom, and what has to come of it."""

    name: str
    spec: dict[str, Any]
    behaviour: Behaviour | Callable[[Certificates], Behaviour] | None = None
    transport: str = "tcp"  # tcp, tcp6, unix, shared, or how there is nobody: none, stale, backlog, unix-backlog, …
    tls: str | None = None
    tls_options: dict[str, Any] = field(default_factory=dict)
    reason: str = "ok"
    state: str = "fail"
    slow: bool = False  # only the timeout ends it
    environment: dict[str, str] = field(default_factory=dict)
    needs: str | None = None  # what the behaviour is made from: "certificates"


HTTP = {"kind": "http", "url": "http://127.0.0.1:{port}/"}
HTTPS = {"kind": "https", "url": "https://127.0.0.1:{port}/", "ca_file": "{ca}"}
TCP = {"kind": "tcp", "address": "127.0.0.1:{port}"}
UNIX = {"kind": "unix", "address": "{path}"}
UNIX_HTTP = {"kind": "http", "url": "http://localhost/", "unix_socket": "{path}"}
GRPC = {"kind": "grpc", "address": "127.0.0.1:{port}"}
METRICS: dict[str, Any] = {
    "kind": "metrics",
    "url": "http://127.0.0.1:{port}/metrics",
    "timeout": 5,
    "metrics": {"window": 0.05, "requests": "requests_total", "max_error_ratio": 0.05, "min_requests": 10},
}
LATENCIES: dict[str, Any] = {
    "kind": "metrics",
    "url": "http://127.0.0.1:{port}/metrics",
    "timeout": 5,
    "metrics": {"window": 0.05, "histogram": "seconds", "max_quantile": 0.5, "min_requests": 10},
}
PYTHON = sys.executable
OK = http(b"hello")
BOMB = gzip.compress(b"\0" * 8_000_000)
RAW_DEFLATE = zlib.compress(b"hello")[2:-4]
DEEP = b"[" * 200_000
LONG_NUMBER = b'{"n": ' + b"9" * 900_000 + b"}"


def a(
    name: str, base: dict[str, Any], behaviour: Any = None, *, spec: dict[str, Any] | None = None, **rest: Any
) -> Case:
    rest.setdefault("state", "pass" if rest.get("reason", "ok") == "ok" else "fail")
    rest.setdefault("slow", rest.get("reason") == "timeout")
    return Case(name, {**base, **(spec or {})}, behaviour, **rest)


def errors(ok: float, bad: float) -> bytes:
    return page(('requests_total{code="200"}', ok), ('requests_total{code="503"}', bad))


def buckets(fast: float, total: float) -> bytes:
    return page(
        ('seconds_bucket{le="0.1"}', fast), ('seconds_bucket{le="1"}', total), ('seconds_bucket{le="+Inf"}', total)
    )


CASES: tuple[Case, ...] = (
    # Nobody, or nobody who answers
    a("a healthy answer", HTTP, answer(OK)),
    a("nothing listens", HTTP, transport="none", reason="refused"),
    a("accepts and never answers", HTTP, silent, reason="timeout"),
    a("listens and never accepts", HTTP, None, reason="timeout"),
    a("backlog is full", HTTP, transport="backlog", reason="timeout"),
    a("one of two sockets at the port never accepts", HTTP, answer(OK), transport="shared", reason="timeout"),
    a("resets at once", HTTP, reset, reason="reset"),
    a("resets after the request", HTTP, resets_after_request, reason="reset"),
    a("resets in the middle of the headers", HTTP, resets_after(b"HTTP/1.1 200 OK\r\nX-"), reason="reset"),
    a("closes at once", HTTP, closes, reason="closed|reset"),
    a("closes after the request", HTTP, closes_after_request, reason="closed"),
    a("closes in the middle of the headers", HTTP, answer(b"HTTP/1.1 200 OK\r\nX-"), reason="closed"),
    a(
        "dead service behind http_proxy",
        HTTP,
        transport="none",
        reason="refused",
        environment={"http_proxy": "{proxy}"},
    ),
    # Addresses
    a("IPv6 only, asked over IPv6", {"kind": "http", "url": "http://[::1]:{port}/"}, answer(OK), transport="tcp6"),
    a("IPv6 only, asked over IPv4", HTTP, answer(OK), transport="tcp6", reason="refused"),
    a("IPv6 only, asked by name", {"kind": "http", "url": "http://both.test:{port}/"}, answer(OK), transport="tcp6"),
    a(
        "IPv4 only, wanted on both",
        {"kind": "tcp", "address": "both.test:{port}", "family": "both"},
        silent,
        reason="refused",
    ),
    a("the name does not exist", {"kind": "http", "url": "http://nowhere.invalid:{port}/"}, answer(OK), reason="dns"),
    a(
        "the resolver hangs",
        {"kind": "http", "url": "http://hanging.test:{port}/"},
        answer(OK),
        reason="dns",
        slow=True,
    ),
    # HTTP, slow and endless
    a("drips its headers", HTTP, dripping(b"HTTP/1.1 200 OK\r\nServer: slow and steady\r\n\r\n"), reason="timeout"),
    a("its headers in many pieces", HTTP, answer(*(bytes([byte]) for byte in http(b"hello")))),
    a("drips a long body", HTTP, answer(http(b"x" * 99)[:-99], then=lambda c: drip(c, b"x" * 99)), reason="timeout"),
    a("drips a body without length", HTTP, dripping(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 99), reason="timeout"),
    a("drips chunks", HTTP, dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), reason="timeout"),
    a("endless headers", HTTP, endless(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n"), reason="protocol"),
    a("an endless header line", HTTP, endless(b"HTTP/1.1 200 OK\r\nX-More: ", b"and more " * 99), reason="protocol"),
    a("an endless status line", HTTP, endless(b"HTTP/1.1 200 ", b"OK " * 99), reason="protocol"),
    a("endless interim answers", HTTP, endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), reason="protocol"),
    a("an endless body", HTTP, endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 9999), reason="body"),
    a(
        "endless chunks",
        HTTP,
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"400\r\n" + b"x" * 1024 + b"\r\n"),
        reason="body",
    ),
    a("a gzip bomb", HTTP, answer(http(BOMB, headers="Content-Encoding: gzip\r\n")), reason="body"),
    # HTTP, wrong lengths and garbage
    a("Content-Length too large", HTTP, answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), reason="body"),
    a(
        "Content-Length too large, then silence",
        HTTP,
        answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", then=hold),
        reason="timeout",
    ),
    a("Content-Length too small", HTTP, answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nlong"), reason="body"),
    a(
        "Content-Length enormous",
        HTTP,
        answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
        reason="body",
    ),
    a("Content-Length negative", HTTP, answer(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), reason="protocol"),
    a(
        "Content-Length twice",
        HTTP,
        answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
        reason="protocol",
    ),
    a(
        "Content-Length and chunks",
        HTTP,
        answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        reason="protocol",
    ),
    a(
        "garbage instead of chunks",
        HTTP,
        answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"),
        reason="protocol",
    ),
    a(
        "a negative chunk",
        HTTP,
        answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"),
        reason="protocol",
    ),
    a(
        "chunks that stop",
        HTTP,
        answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"),
        reason="body",
    ),
    a("a banner instead of HTTP", HTTP, speaks_first, reason="protocol"),
    a("binary garbage", HTTP, answer(bytes(range(256)) * 99), reason="protocol"),
    a("a header without a colon", HTTP, answer(b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), reason="protocol"),
    a("switches protocols", HTTP, answer(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), reason="protocol"),
    a("HTTP/1.0 without a length", HTTP, answer(b"HTTP/1.0 200 OK\r\n\r\nhello"), spec={"body_contains": "hello"}),
    a("204 without a body", HTTP, answer(b"HTTP/1.1 204 No Content\r\n\r\n")),
    a(
        "a header over two lines",
        HTTP,
        answer(http(b"hello", headers="X-Release: one\r\n\t two\r\n")),
        spec={"assert_headers": [{"name": "X-Release", "equals": "one two"}]},
    ),
    a(
        "gzip in several members",
        HTTP,
        answer(http(gzip.compress(b"hel") + gzip.compress(b"lo"), headers="Content-Encoding: gzip\r\n")),
        spec={"body_regex": "^hello$"},
    ),
    a(
        "deflate without a header",
        HTTP,
        answer(http(RAW_DEFLATE, headers="Content-Encoding: deflate\r\n")),
        spec={"body_regex": "^hello$"},
    ),
    a("an encoding nobody can read", HTTP, answer(http(b"\x0b\x02", headers="Content-Encoding: br\r\n"))),
    a(
        "an encoding nobody can read, and a body to read",
        HTTP,
        answer(http(b"\x0b\x02", headers="Content-Encoding: br\r\n")),
        spec={"body_contains": "hello"},
        reason="body",
    ),
    a("interim answer first", HTTP, answer(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK)),
    a("refuses before it reads", HTTP, shouts_before_request, reason="status"),
    # HTTP, an answer that is not the wanted one
    a("500", HTTP, answer(http(b"", "500 Internal Server Error")), reason="status"),
    a("a redirect", HTTP, redirects("http://127.0.0.1:{port}/login"), reason="status"),
    a("a redirect loop", HTTP, redirects("/"), spec={"follow_redirects": 5}, reason="status"),
    a("a redirect to a file", HTTP, redirects("file:///etc/passwd"), spec={"follow_redirects": 5}, reason="status"),
    a(
        "a unix socket redirects to another host",
        UNIX_HTTP,
        redirects_elsewhere,
        spec={"follow_redirects": 5},
        transport="unix",
        reason="status",
    ),
    a("200 with a wrong body", HTTP, answer(http(b"starting")), spec={"body_contains": "ready"}, reason="body"),
    a("200 with an empty body", HTTP, answer(http(b"")), spec={"body_regex": "^ready$"}, reason="body"),
    a(
        "a body that keeps the pattern busy",
        HTTP,
        answer(http(b"a" * 60)),
        spec={"body_regex": "^(a+)+$b"},
        reason="timeout",
    ),
    a(
        "JSON that says otherwise",
        HTTP,
        answer(http(b'{"db": {"up": "true"}}')),
        spec={"assert_json": [{"path": "$.db.up", "equals": True}]},
        reason="assertion",
    ),
    a("HTML instead of JSON", HTTP, answer(http(b"<html>")), spec={"assert_json": [{"path": "$.a"}]}, reason="body"),
    a("JSON without a bottom", HTTP, answer(http(DEEP)), spec={"assert_json": [{"path": "$.a"}]}, reason="body"),
    a(
        "JSON with an endless number",
        HTTP,
        answer(http(LONG_NUMBER)),
        spec={"assert_json": [{"path": "$.n", "max": 9}]},
        reason="assertion",
    ),
    a(
        "a header is missing",
        HTTP,
        answer(OK),
        spec={"assert_headers": [{"name": "X-Release", "equals": "1.4.2"}]},
        reason="assertion",
    ),
    a(
        "a health page that is down",
        HTTP,
        answer(http(b'{"status": "DOWN", "components": {"db": {"status": "DOWN"}}}', "503 Service Unavailable")),
        spec={"preset": "spring"},
        reason="status",
    ),
    a(
        "a health page that warns",
        HTTP,
        answer(http(b'{"status": "warn", "checks": {"cpu": [{"status": "warn"}]}}')),
        spec={"preset": "health_json"},
        reason="degraded",
        state="warn",
    ),
    a(
        "a health page that is up, and a component that is down",
        HTTP,
        answer(http(b'{"status": "UP", "components": {"db": {"status": "DOWN"}, "disk": {"status": "UP"}}}')),
        spec={"preset": "spring"},
        reason="degraded",
        state="warn",
    ),
    a("a login page instead of a health page", HTTP, answer(OK), spec={"preset": "spring"}, reason="body"),
    a(
        "slower than the threshold",
        HTTP,
        answer(then=lambda conn: (time.sleep(0.2), conn.sendall(OK))),  # type: ignore[arg-type,func-returns-value]
        spec={"max_latency": {"p99": 0.1}},
        reason="latency",
    ),
    # Plain TCP
    a("TCP: a healthy answer", TCP, redis, spec={"send": "PING\r\n", "expect": "+PONG"}),
    a("TCP: IPv6 only, asked by name", {"kind": "tcp", "address": "both.test:{port}"}, silent, transport="tcp6"),
    a("TCP: IPv6 only, asked over IPv4", TCP, silent, transport="tcp6", reason="refused"),
    a("TCP: the name does not exist", {"kind": "tcp", "address": "nowhere.invalid:{port}"}, silent, reason="dns"),
    a("TCP: nothing listens", TCP, transport="none", reason="refused"),
    a("TCP: resets at once", TCP, reset, reason="reset"),
    a("TCP: closes at once", TCP, closes, reason="closed"),
    a("TCP: backlog is full", TCP, transport="backlog", reason="timeout"),
    a("TCP: another answer", TCP, redis, spec={"send": "HELO\r\n", "expect": "+PONG"}, reason="timeout"),
    a(
        "TCP: another answer, then the end",
        TCP,
        answer(b"no\r\n"),
        spec={"send": "\r\n\r\n", "expect": "yes"},
        reason="body",
    ),
    a("TCP: never answers", TCP, silent, spec={"send": "PING\r\n", "expect": "+PONG"}, reason="timeout"),
    a(
        "TCP: an endless answer",
        TCP,
        endless(b"", b"x" * 9999),
        spec={"send": "\r\n\r\n", "expect": "y"},
        reason="body",
    ),
    # Unix sockets
    a("unix: a healthy answer", UNIX_HTTP, answer(OK), transport="unix"),
    a("unix: no such file", UNIX, transport="unix-none", reason="refused"),
    a("unix: a stale socket", UNIX, transport="unix-stale", reason="refused"),
    a("unix: not a socket", UNIX, transport="unix-file", reason="refused"),
    a("unix: backlog is full", UNIX_HTTP, transport="unix-backlog", reason="timeout"),
    a("unix: never answers", UNIX_HTTP, silent, transport="unix", reason="timeout"),
    a(
        "unix: drips",
        UNIX_HTTP,
        dripping(b"HTTP/1.1 200 OK\r\nServer: slow\r\n\r\n"),
        transport="unix",
        reason="timeout",
    ),
    # TLS
    a("TLS: a healthy answer", HTTPS, answer(OK), tls="good"),
    a("TLS: never shakes hands", HTTPS, silent, reason="timeout"),
    a("TLS: drips its handshake", HTTPS, slow_handshake, needs="certificates", reason="timeout"),
    a("TLS: resets in the handshake", HTTPS, reset, reason="reset"),
    a("TLS: closes in the handshake", HTTPS, lambda conn: conn.recv(9999) and None, reason="tls|reset"),
    a("TLS: silent after the handshake", HTTPS, silent, tls="good", reason="timeout"),
    a("TLS: speaks plain HTTP", HTTPS, speaks_plain, reason="tls"),
    a("TLS: expired certificate", HTTPS, answer(OK), tls="expired", reason="tls"),
    a("TLS: certificate not valid yet", HTTPS, answer(OK), tls="early", reason="tls"),
    a("TLS: certificate of another host", HTTPS, answer(OK), tls="other", reason="tls"),
    a("TLS: self-signed certificate", HTTPS, answer(OK), tls="selfsigned", reason="tls"),
    a("TLS: certificate nearly over", HTTPS, answer(OK), spec={"min_days": 7}, tls="ending", reason="tls"),
    a("TLS: certificate to renew", HTTPS, answer(OK), spec={"warn_days": 7}, tls="ending", reason="tls", state="warn"),
    a("TLS: authority in between nearly over", HTTPS, answer(OK), spec={"min_days": 7}, tls="chained", reason="tls"),
    a(
        "TLS: authority in between to renew",
        HTTPS,
        answer(OK),
        spec={"warn_days": 7},
        tls="chained",
        reason="tls",
        state="warn",
    ),
    a(
        "TLS: the name stands in the subject alone",
        {"kind": "https", "url": "https://localhost:{port}/", "ca_file": "{ca}"},
        answer(OK),
        tls="common",
        reason="tls",
    ),
    a(
        "TLS: too old a version",
        HTTPS,
        answer(OK),
        spec={"min_tls_version": "1.3"},
        tls="good",
        tls_options={"maximum_version": ssl.TLSVersion.TLSv1_2},
        reason="tls",
    ),
    a(
        "TLS: wants a client certificate",
        HTTPS,
        answer(OK),
        tls="good",
        tls_options={"verify_mode": ssl.CERT_REQUIRED},
        reason="tls|reset",
    ),
    a(
        "TLS: gets a client certificate",
        HTTPS,
        answer(OK),
        spec={"client_cert": "{client}"},
        tls="good",
        tls_options={"verify_mode": ssl.CERT_REQUIRED},
    ),
    a("TLS: asked in plain", HTTP, answer(OK), tls="good", reason="protocol|closed|reset"),
    # gRPC
    a("gRPC: a healthy answer", GRPC, grpc(grpc_answer())),
    a("gRPC: a healthy answer, then GOAWAY", GRPC, grpc(frame(7, 0, 0, b"\0\0\0\1\0\0\0\0"), grpc_answer())),
    a("gRPC: a healthy answer, then the end", GRPC, grpc(PING, PING, grpc_answer(), then=None)),
    a("gRPC: GOAWAY", GRPC, grpc(frame(7, 0, 0, b"\0\0\0\0\0\0\0\0")), reason="reset"),
    a("gRPC: GOAWAY with an error", GRPC, grpc(frame(7, 0, 0, b"\0\0\0\1\0\0\0\x0bcalm")), reason="reset"),
    a("gRPC: RST_STREAM", GRPC, grpc(frame(3, 0, 1, b"\0\0\0\x07")), reason="reset"),
    a("gRPC: never answers", GRPC, silent, reason="timeout"),
    a("gRPC: settings, then silence", GRPC, grpc(), reason="timeout"),
    a("gRPC: headers, then silence", GRPC, grpc(frame(1, 4, 1, GRPC_HEADERS)), reason="timeout"),
    a("gRPC: drips", GRPC, grpc(then=lambda conn: drip(conn, grpc_answer())), reason="timeout"),
    a("gRPC: resets", GRPC, grpc(then=reset), reason="reset"),
    a("gRPC: closes before its answer", GRPC, grpc(then=None), reason="closed|reset"),
    a("gRPC: closes in the middle of a frame", GRPC, grpc(grpc_answer()[:-3], then=None), reason="closed|reset"),
    a("gRPC: speaks HTTP/1", GRPC, answer(http(b"", "400 Bad Request")), reason="protocol"),
    a("gRPC: a frame too large", GRPC, grpc(b"\xff\xff\xff\0\0\0\0\0\1"), reason="protocol"),
    a("gRPC: unreadable headers", GRPC, grpc(frame(1, 4, 1, b"\xff\xff\xff\xff\xff\xff\x7f")), reason="protocol"),
    a("gRPC: no such table entry", GRPC, grpc(frame(1, 5, 1, b"\xfe")), reason="protocol"),
    a(
        "gRPC: endless header blocks",
        GRPC,
        grpc(frame(1, 0, 1), then=lambda c: for_ever(c, frame(9, 0, 1, b"\0" * 9999))),
        reason="protocol",
    ),
    a(
        "gRPC: endless frames",
        GRPC,
        grpc(then=lambda conn: for_ever(conn, frame(99, 0, 0, b"x" * 9999))),
        reason="protocol",
    ),
    a("gRPC: pushes", GRPC, grpc(frame(5, 4, 1, b"\0\0\0\2")), reason="protocol"),
    a("gRPC: padding only", GRPC, grpc(frame(1, 4 | 8, 1, b"\xff\0")), reason="protocol"),
    a(
        "gRPC: a web page",
        GRPC,
        grpc(frame(1, 5, 1, literal((":status", "200"), ("content-type", "text/html")))),
        reason="protocol",
    ),
    a("gRPC: a proxy's 502", GRPC, grpc(frame(1, 5, 1, literal((":status", "502")))), reason="status"),
    a("gRPC: NOT_SERVING", GRPC, grpc(grpc_answer(b"\0\0\0\0\x02\x08\x02")), reason="status"),
    a("gRPC: UNKNOWN by default", GRPC, grpc(grpc_answer(b"\0\0\0\0\0")), reason="status"),
    a("gRPC: no health service", GRPC, grpc(grpc_status("12", "unknown%20service")), reason="status"),
    a("gRPC: an answer for the terminal", GRPC, grpc(grpc_status("13", "%1B%5B2J%0A" + "x" * 99)), reason="status"),
    a("gRPC: no such service", GRPC, grpc(grpc_status("5")), spec={"service": "shop.Orders"}, reason="status"),
    a("gRPC: a message cut short", GRPC, grpc(grpc_answer(b"\0\0\0\0\x09\x08")), reason="protocol"),
    a("gRPC: a message of another type", GRPC, grpc(grpc_answer(b"\0\0\0\0\x02\x0a\x7f")), reason="protocol"),
    a("gRPC: no status at the end", GRPC, grpc(frame(1, 5, 1, GRPC_HEADERS)), reason="protocol"),
    # Programs
    a("exec: a healthy answer", {"kind": "exec", "command": ["/bin/true"]}, transport="none"),
    a("exec: never ends", {"kind": "exec", "command": ["/bin/sleep", "60"]}, transport="none", reason="timeout"),
    a(
        "exec: does not mind SIGTERM",
        {"kind": "exec", "command": ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"]},
        transport="none",
        reason="timeout",
    ),
    a(
        "exec: endless output",
        {"kind": "exec", "command": ["/bin/cat", "/dev/zero"]},
        transport="none",
        reason="timeout",
    ),
    a(
        "exec: leaves a child that holds its output",
        {"kind": "exec", "command": ["/bin/sh", "-c", "sleep 60 & echo ready"], "expect": "ready"},
        transport="none",
    ),
    a(
        "exec: leaves a child with a session of its own",
        {"kind": "exec", "command": ["/bin/sh", "-c", "setsid sleep 60 & echo ready"], "expect": "ready"},
        transport="none",
    ),
    a(
        "exec: waits for a child with a session of its own",
        {"kind": "exec", "command": ["/bin/sh", "-c", "setsid -w sleep 60"]},
        transport="none",
        reason="timeout",
    ),
    a("exec: fails", {"kind": "exec", "command": ["/bin/false"]}, transport="none", reason="exec"),
    a(
        "exec: warns",
        {"kind": "exec", "command": ["/bin/sh", "-c", "exit 3"], "warn_rc": [3]},
        transport="none",
        reason="degraded",
        state="warn",
    ),
    a("exec: is not there", {"kind": "exec", "command": ["/nonexistent/check"]}, transport="none", reason="exec"),
    a("exec: killed", {"kind": "exec", "command": ["/bin/sh", "-c", "kill -9 $$"]}, transport="none", reason="exec"),
    # Metrics
    a("metrics: healthy", METRICS, scrapes(errors(100, 1), errors(200, 2))),
    a("metrics: too many errors", METRICS, scrapes(errors(100, 1), errors(200, 51)), reason="metrics"),
    a("metrics: restarted in between, and bad", METRICS, scrapes(errors(900, 9), errors(50, 8)), reason="metrics"),
    a("metrics: no traffic", METRICS, scrapes(errors(100, 1)), reason="inconclusive", state="warn"),
    a("metrics: no such metric", METRICS, scrapes(b"# nothing\n"), reason="inconclusive", state="warn"),
    a(
        "metrics: NaN",
        METRICS,
        scrapes(page(('requests_total{code="503"}', float("nan")))),
        reason="inconclusive",
        state="warn",
    ),
    a("metrics: not the text format", METRICS, scrapes(b"requests_total{code=200 what\n"), reason="metrics"),
    a(
        "metrics: the status has another label",
        METRICS,
        scrapes(*(page(('requests_total{status="500"}', 1000 * n)) for n in (1, 2))),
        reason="inconclusive",
        state="warn",
    ),
    a(
        "metrics: half of the series have no status",
        METRICS,
        scrapes(*(page(('requests_total{code="200"}', 90 * n), ("requests_total", 90 * n)) for n in (1, 2))),
        reason="inconclusive",
        state="warn",
    ),
    a(
        "metrics: a status that is no HTTP status",
        METRICS,
        scrapes(*(page(('requests_total{code="Internal"}', 90 * n)) for n in (1, 2))),
        reason="inconclusive",
        state="warn",
    ),
    a(
        "metrics: a restart hides what came before",
        METRICS,
        scrapes(errors(900, 9), errors(50, 1)),
        reason="inconclusive",
        state="warn",
    ),
    a(
        "metrics: a counter below zero",
        METRICS,
        scrapes(errors(100, 1), page(('requests_total{code="200"}', 1000), ('requests_total{code="500"}', -1))),
        reason="inconclusive",
        state="warn",
    ),
    a("metrics: a client forges a line", METRICS, scrapes(*map(forged, (1, 2))), reason="metrics"),
    a("metrics: a path with a separator", METRICS, scrapes(*(separated(n) for n in (1, 2)))),
    a("metrics: a damaged line elsewhere", METRICS, scrapes(errors(1, 1) + b"other{\n"), reason="metrics"),
    a("metrics: slow", LATENCIES, scrapes(buckets(10, 10), buckets(30, 60)), reason="metrics"),
    a("metrics: fast", LATENCIES, scrapes(buckets(10, 10), buckets(60, 60))),
    a("metrics: an endless page", METRICS, endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x 1\n" * 999), reason="body"),
    # Somebody else
    a("another process answers", HTTP, answer(OK), spec={"identity": {"executable": "/bin/true"}}, reason="identity"),
    a(
        "another process closes at once",
        TCP,
        silent,
        spec={"identity": {"executable": "/bin/true"}, "send": "x", "expect": "y"},
        reason="identity",
    ),
    a(
        "nobody accepts, a process is wanted",
        HTTP,
        None,
        spec={"identity": {"executable": "/bin/true"}},
        reason="timeout",
    ),
)


# ---------------------------------------------------------------------------------------------------------------------
# Setting the stage


@dataclass(frozen=True)
class Stage:
    certificates: Certificates
    proxy: str  # a proxy that answers 200 for everything


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def filled(value: Any, names: dict[str, str]) -> Any:
    """The value with {port} and the like filled in."""
    if isinstance(value, dict):
        return {key: filled(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, names) for inner in value]
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace("{" + name + "}", text)
    return value


@contextlib.contextmanager
def played(case: Case, stage: Stage, timeout: float) -> Iterator[dict[str, Any]]:
    """The server of the case at work; gives the options of the check."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hostile")))
        names = {"path": str(folder / "server.sock"), "ca": stage.certificates.ca, "client": stage.certificates.client}
        names["port"] = str(_set_up(case, stage, folder, stack))
        names["proxy"] = stage.proxy
        for name, value in case.environment.items():
            stack.enter_context(_variable(name, filled(value, names)))
        spec = filled(case.spec, names)
        spec.setdefault("timeout", timeout if case.slow else 5)
        yield {"name": case.name, **spec}


def _set_up(case: Case, stage: Stage, folder: Path, stack: contextlib.ExitStack) -> int:
    """Bring about the case's transport; the port it listens on, or one nobody does."""
    kind, _dash, trouble = case.transport.partition("-")
    if case.transport == "none" or trouble == "none":
        return free_port()
    if trouble == "file":
        (folder / "server.sock").write_text("")
        return 0
    full = "backlog" in case.transport
    listener = listen("tcp" if kind in ("backlog", "shared") else kind, folder, 0 if full else 64)
    if kind == "shared":
        stack.enter_context(share_port(listener))
    if trouble == "stale":
        listener.close()
        return 0
    if full:
        for sock in fill_backlog(listener):
            stack.callback(sock.close)
    behaviour: Any = case.behaviour
    if case.needs == "certificates":
        behaviour = behaviour(stage.certificates)
    context = server_context(stage.certificates, case.tls, **case.tls_options) if case.tls else None
    stack.enter_context(Server(listener, None if full else behaviour, context))
    return 0 if kind == "unix" else int(listener.getsockname()[1])


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def names_of_the_stage() -> Iterator[None]:
    """A resolver that hangs for one name, and knows another one with two addresses."""
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, family: int = 0, *args: Any, **rest: Any) -> Any:
        if host == "hanging.test":
            time.sleep(10)
        if host == "both.test":
            return [
                (one, socket.SOCK_STREAM, 6, "", (address, port))
                for one, address in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
                if family in (0, one)
            ]
        return real(host, port, family, *args, **rest)

    socket.getaddrinfo = resolve  # type: ignore[assignment]
    try:
        yield
    finally:
        socket.getaddrinfo = real


@contextlib.contextmanager
def set_stage(folder: Path) -> Iterator[Stage]:
    """What all cases share: certificates, names, and a proxy that lies."""
    certificates = make_certificates(folder)
    listener = listen("tcp", folder)
    with Server(listener, answer(OK)), names_of_the_stage():
        yield Stage(certificates, f"http://127.0.0.1:{listener.getsockname()[1]}")


# ---------------------------------------------------------------------------------------------------------------------
# How late this machine is by itself

_SENTRY = """
import sys, time
while True:
    began = time.monotonic()
    time.sleep(0.005)
    late = time.monotonic() - began - 0.005
    if late > 0.01:
        print(began, late, flush=True)
"""


class Sentry:
    """Another process that only sleeps 5 ms at a time and tells when it was woken late.

    It shares no interpreter with the check: a check that hogs the processor's interpreter lock is still caught.
    """

    def __enter__(self) -> Sentry:
        self.file = tempfile.TemporaryFile("a+")
        self.process = subprocess.Popen([sys.executable, "-c", _SENTRY], stdout=self.file)
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.file.close()

    def lateness(self, since: float) -> float:
        """The longest delay since then, in seconds; what the scheduler did to everyone."""
        time.sleep(0.01)
        self.file.seek(0)
        delays = [tuple(map(float, line.split())) for line in self.file.read().splitlines() if line.count(" ") == 1]
        return max((late for began, late in delays if began + late >= since), default=0.0)

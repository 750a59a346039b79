"""The forms of HTTP/1 that servers send, read from a socket."""

from __future__ import annotations

import gzip
import socket
import zlib

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health.deadline import Deadline, Stopwatch
from ansible_collections.slipway.go.plugins.module_utils._health.net import http1
from ansible_collections.slipway.go.plugins.module_utils._health.net.stream import Stream
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import CheckFailed


def zipped(data: bytes) -> bytes:
    """Without the time, which would give a test another name in each process."""
    return gzip.compress(data, mtime=0)


RAW = zlib.compress(b"hello")[2:-4]


def read(raw: bytes, max_body: int = 1000) -> http1.Response:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(raw)
        there.shutdown(socket.SHUT_WR)
        here.setblocking(False)
        return http1.read_response(Stream(here, "there", Deadline.after(5), Stopwatch()), "GET", max_body)


def encoded(name: str, body: bytes, max_body: int = 1000) -> http1.Response:
    return read(b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n\r\n%s" % (name.encode(), body), max_body)


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (b"X: one\r\n two\r\n", "one two"),
        (b"X: one\r\n\t  two \r\n three\r\n", "one two three"),
        (b"X:\r\n one\r\n", "one"),
        (b"X: one\r\n \r\n", "one"),
        (b"X: one\n two\n", "one two"),
        (b"X: one\r\nX: two\r\n", "one, two"),
    ],
)
def test_a_value_may_go_on_in_the_next_line(lines: bytes, value: str) -> None:
    assert read(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 2\r\n\r\nok").header("x") == value


@pytest.mark.parametrize("lines", [b" X: one\r\n", b"X : one\r\n", b"\tX\r\n", b": one\r\n", b"X\r\n"])
def test_a_line_that_is_no_header_is_refused(lines: bytes) -> None:
    with pytest.raises(CheckFailed, match="malformed header"):
        read(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n")


def test_a_length_over_two_lines_is_one_value() -> None:
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok").content == b"ok"
    with pytest.raises(CheckFailed, match="Content-Length"):
        read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n 3\r\n\r\nok")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("gzip", zipped(b"hello")),
        ("x-gzip", zipped(b"hel") + zipped(b"") + zipped(b"lo")),
        ("GZIP", zipped(b"hello") + b"\0\0"),
        ("deflate", zlib.compress(b"hello")),
        ("deflate", RAW),
        ("identity", b"hello"),
        ("", b"hello"),
        ("deflate, gzip", zipped(RAW)),
        ("identity,gzip", zipped(b"hello")),
    ],
)
def test_encodings_that_servers_use(name: str, body: bytes) -> None:
    assert encoded(name, body).content == b"hello"


@pytest.mark.parametrize("name", ["br", "zstd", "compress", "br, gzip", "gzip, gzip, gzip, gzip"])
def test_an_encoding_that_cannot_be_read_matters_to_who_reads_the_body(name: str) -> None:
    response = encoded(name, zipped(b"what"))
    assert response.status == 200
    with pytest.raises(CheckFailed, match="encoded as") as caught:
        assert response.content
    assert caught.value.reason == "body"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("gzip", b"hello"),
        ("gzip", zipped(b"hello")[:-9]),
        ("gzip", zipped(b"hel") + zipped(b"lo")[:-9]),
        ("gzip", zipped(b"x" * 600) + zipped(b"x" * 600)),
        ("gzip", zipped(b"") * 1001),
        ("deflate", RAW[:-1]),
        ("deflate", b"hello"),
        ("deflate", zlib.compress(b"x" * 1001)),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused(name: str, body: bytes) -> None:
    with pytest.raises(CheckFailed) as caught:
        encoded(name, body, 30000 if len(body) > 1000 else 1000)
    assert caught.value.reason == "body"

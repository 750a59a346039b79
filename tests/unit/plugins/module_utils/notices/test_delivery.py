# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A notice reaches its place, or it is told why not: within its time, and without what is secret."""

from __future__ import annotations

import functools
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.slipway.go.plugins.module_utils._notices import delivery, mail, program, webhook
from ansible_collections.slipway.go.plugins.module_utils._notices.delivery import Delivery, Outcome, deliver
from ansible_collections.slipway.go.plugins.module_utils._notices.mail import Mail
from ansible_collections.slipway.go.plugins.module_utils._notices.webhook import Webhook
from ansible_collections.slipway.go.tests.lab import web

SECRET = "s3cr3t-part"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def server(act: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port at which every connection is treated like that."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _address = listening.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                act(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()


def read(connection: socket.socket) -> bytes:
    """A whole request: one that is closed before it was read is reset."""
    found = b""
    while not found.endswith(b"{}"):
        part = connection.recv(65536)
        if not part:
            break
        found += part
    return found


@contextmanager
def tls_server(folder: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    def act(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inner:
            read(inner)
            inner.sendall(OK)

    with server(act) as port:
        yield port


def attempt(send: Callable[[], None], seconds: float = 5) -> Outcome:
    (outcome,) = deliver([Delivery("chat", "failed", send, seconds)])
    return outcome


def to_web(port: int, seconds: float = 5, scheme: str = "http", **options: Any) -> Outcome:
    hook = Webhook(f"{scheme}://127.0.0.1:{port}/{SECRET}?token={SECRET}", **options)
    return attempt(functools.partial(webhook.send, hook, b"{}", webhook.JSON, seconds), seconds)


def answering(answer: bytes, got: list[bytes]) -> Callable[[socket.socket], None]:
    def act(connection: socket.socket) -> None:
        got.append(read(connection))
        connection.sendall(answer)

    return act


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def test_a_webhook_gets_the_body_and_its_headers() -> None:
    got: list[bytes] = []
    with server(answering(OK, got)) as port:
        assert to_web(port, method="PUT", headers={"Authorization": f"Bearer {SECRET}"}) == Outcome(
            "chat", event="failed"
        )
    head = b" ".join(got)
    assert head.startswith(f"PUT /{SECRET}?token={SECRET} HTTP/1.1\r\n".encode())
    assert f"Authorization: Bearer {SECRET}\r\n".encode() in head
    assert b"Content-Type: application/json" in head or b"Content-type: application/json" in head


def test_a_user_in_the_url_is_sent_as_a_header() -> None:
    got: list[bytes] = []
    with server(answering(OK, got)) as port:
        hook = Webhook(f"http://me:p%40ss@127.0.0.1:{port}/x")
        assert not attempt(functools.partial(webhook.send, hook, b"{}", webhook.JSON, 5)).code
    assert b"Authorization: Basic bWU6cEBzcw==" in got[0]
    assert hook.where == f"http://127.0.0.1:{port}"


def redirect(status: int, target: str) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()


def endless(connection: socket.socket) -> None:
    read(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    end = time.monotonic() + 3
    while time.monotonic() < end:
        connection.sendall(b"x" * 65536)


def drips(connection: socket.socket) -> None:
    """A header that never ends, and of which a byte comes now and then."""
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 50:
        connection.sendall(bytes([byte]))
        time.sleep(0.1)


def hang(_connection: socket.socket) -> None:
    time.sleep(3)


@pytest.mark.parametrize(
    ("act", "code", "why"),
    [
        (answering(b"HTTP/1.1 500 No\r\n\r\nleaked " + SECRET.encode(), []), "status", "answered 500"),
        (answering(b"HTTP/1.1 404 No\r\n\r\n", []), "status", "answered 404"),
        (answering(redirect(302, f"http://127.0.0.1:9/{SECRET}"), []), "redirect", "no redirect is followed"),
        (answering(redirect(307, "http://127.0.0.1:9/"), []), "redirect", "no redirect is followed"),
        (answering(b"SSH-2.0-" + SECRET.encode() + b"\r\n", []), "no_http", "does not answer as a web server"),
        (answering(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", []), "no_http", "as a web server"),
        (answering(b"", []), "no_http", "does not answer as a web server"),
        (hang, "timeout", "was not delivered within 1 s"),
        (drips, "timeout", "was not delivered within 1 s"),
    ],
)
def test_a_webhook_that_fails_is_told_without_its_secrets(
    act: Callable[[socket.socket], object], code: str, why: str
) -> None:
    began = time.monotonic()
    with server(act) as port:
        told = to_web(port, seconds=1)
    assert (told.name, told.code, told.event) == ("chat", code, "failed"), told
    assert why in told.why
    assert SECRET not in told.why
    assert time.monotonic() - began < 1 + delivery.SLACK + 1.5


def test_a_redirect_takes_no_credentials_elsewhere() -> None:
    got: list[bytes] = []
    with server(answering(OK, got)) as other, server(
        answering(redirect(307, f"http://127.0.0.1:{other}/"), [])
    ) as port:
        assert to_web(port, headers={"Authorization": SECRET}).code == "redirect"
    assert got == []


def test_of_an_answer_without_end_nothing_is_read() -> None:
    began = time.monotonic()
    with server(endless) as port:
        assert to_web(port).code == ""
    assert time.monotonic() - began < 2


def test_what_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert to_web(port)[1:3] == ("refused", f"http://127.0.0.1:{port}: it refuses connections")
    hook = Webhook(f"http://no-such-name.invalid/{SECRET}")
    told = attempt(functools.partial(webhook.send, hook, b"{}", webhook.JSON, 5))
    assert told.code in ("unresolved", "timeout", "network"), "as the machine's resolver has it"
    assert SECRET not in told.why


def test_a_certificate_is_verified(tmp_path: Path) -> None:
    web.certificate(tmp_path, "127.0.0.1")
    with tls_server(tmp_path) as port:
        told = to_web(port, scheme="https")
        assert (told.code, "certificate is not accepted" in told.why) == ("tls", True), told
        assert to_web(port, scheme="https", ca_file=str(tmp_path / "cert.pem")).code == ""
        hook = Webhook(f"https://localhost:{port}/", ca_file=str(tmp_path / "cert.pem"))
        told = attempt(functools.partial(webhook.send, hook, b"{}", webhook.JSON, 5))
        assert told.code == "tls", "it is the certificate of another name"
    with server(lambda connection: connection.sendall(OK)) as port:
        assert to_web(port, scheme="https").code in ("tls", "network")


def test_all_are_delivered_at_the_same_time_and_one_that_breaks_keeps_no_other() -> None:
    def breaks() -> None:
        raise ZeroDivisionError(SECRET)

    sent: list[str] = []
    slow = [Delivery(f"slow{number}", "failed", lambda: time.sleep(3), 1) for number in range(5)]
    began = time.monotonic()
    told = deliver(
        [*slow, Delivery("breaks", "failed", breaks, 1), Delivery("good", "failed", lambda: sent.append("x"), 1)]
    )
    assert time.monotonic() - began < 2.5
    assert [one.code for one in told] == [*["timeout"] * 5, "defect", ""]
    assert sent == ["x"]
    assert SECRET not in repr(told)


READS = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"


def test_a_command_gets_the_notice_on_its_standard_input(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", READS, str(tmp_path / "got")]
    assert attempt(lambda: program.send(argv, json.dumps({"event": "failed"}).encode(), 20), 20).code == ""
    assert json.loads((tmp_path / "got").read_text()) == {"event": "failed"}


@pytest.mark.parametrize(
    ("argv", "code", "why"),
    [
        (["/no/such/program", SECRET], "command", "/no/such/program was not started: No such file or directory"),
        (["/bin/sh", "-c", f"echo {SECRET}; exit 3"], "command", "/bin/sh ended with status 3"),
        (["/bin/sh", "-c", "kill -9 $$"], "command", "/bin/sh was killed by signal 9"),
        (["/bin/sh", "-c", "sleep 30 & sleep 30"], "timeout", "/bin/sh did not end within 1 s, and was killed"),
    ],
)
def test_a_command_that_fails(argv: list[str], code: str, why: str) -> None:
    assert attempt(lambda: program.send(argv, b"x" * 1_000_000, 1), 1)[1:3] == (code, why)


class Post:
    """A mail server: what it says to a command, by the command's first word."""

    def __init__(self, **says: str) -> None:
        self.says = {"EHLO": "250 ok", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go", "QUIT": "221 bye", **says}
        self.got: list[str] = []

    def __call__(self, connection: socket.socket) -> None:
        stream = connection.makefile("rwb")
        stream.write(b"220 post\r\n")
        stream.flush()
        while True:
            line = stream.readline().decode()
            if not line:
                return
            self.got.append(line.strip())
            word = line.split()[0].upper() if line.strip() else ""
            stream.write(f"{self.says.get(word, '500 what')}\r\n".encode())
            stream.flush()
            if word == "DATA":
                while line.strip() != ".":
                    line = stream.readline().decode()
                    self.got.append(line.rstrip("\r\n"))
                stream.write(f"{self.says.get('.', '250 taken')}\r\n".encode())
                stream.flush()


def to_post(port: int, **options: Any) -> Outcome:
    told = {"tls": mail.NONE, **options}
    letter = Mail(("a@example.com", "b@example.com"), "slipway@example.com", "127.0.0.1", port, **told)
    return attempt(lambda: mail.send(letter, "failed: shop é", "text\n.\nmore\n", 2), 2)


def test_a_mail_is_sent_to_everybody() -> None:
    post = Post()
    with server(post) as port:
        assert to_post(port).code == ""
    text = "\n".join(post.got)
    assert post.got[1].startswith("mail FROM:<slipway@example.com>")
    assert [line for line in post.got if line.startswith("rcpt")] == [
        "rcpt TO:<a@example.com>",
        "rcpt TO:<b@example.com>",
    ]
    for header in ("Subject: ", "To: a@example.com, b@example.com", "Auto-Submitted: auto-generated", "Message-ID: <"):
        assert header in text
    assert "\ntext\n..\nmore\n" in text


NO_USER = {"EHLO": "250-post\r\n250 AUTH PLAIN", "AUTH": f"535 {SECRET}"}


@pytest.mark.parametrize(
    ("says", "options", "code", "why"),
    [
        ({"RCPT": f"550 {SECRET}"}, {}, "status", "refuses every recipient (550)"),
        ({"MAIL": f"451 {SECRET}"}, {}, "status", "answered 451"),
        ({".": f"554 {SECRET}"}, {}, "status", "answered 554"),
        ({}, {"tls": mail.STARTTLS}, "status", "does not offer STARTTLS"),
        (NO_USER, {"username": "me", "password": SECRET}, "status", "(535)"),
    ],
)
def test_a_mail_that_is_refused(says: dict[str, str], options: dict[str, str], code: str, why: str) -> None:
    with server(Post(**says)) as port:
        told = to_post(port, **options)
    assert (told.code, why in told.why, SECRET in told.why) == (code, True, False), told


def test_a_mail_server_that_is_none() -> None:
    with server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n")) as port:
        assert to_post(port).code in ("no_mail", "network")
    with server(hang) as port:
        assert to_post(port).code == "timeout"
    with server(lambda connection: None) as port:
        assert to_post(port).code in ("no_mail", "network")

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetching: bounded in every direction, and silent about what is secret."""

from __future__ import annotations

import errno
import io
import socket
import threading
import time

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import fetch
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.fetch import Limits
from ansible_collections.slipway.go.tests.lab import web
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused
from hypothesis import given
from hypothesis import strategies as st

LIMITS = Limits(1 << 20, 20.0)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server():
    made = web.Server()
    yield made
    made.close()


@pytest.fixture
def secure(tmp_path, monkeypatch):
    web.certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    made = web.Server(tls=tmp_path)
    yield made
    made.close()


def get(url, limits=LIMITS):
    found = io.BytesIO()
    fetch.fetch(url, "release_src", found, limits)
    return found.getvalue()


def not_fetched(code, url, *words, limits=LIMITS):
    error = refused(lambda: get(url, limits), code, "release_src", *words)
    assert "hunter2" not in str(error)
    return error


def test_what_is_there(server):
    server.paths["/shop"] = web.body(b"x" * 300_000)
    assert get(server.url("/shop")) == b"x" * 300_000
    ((_path, headers),) = server.requests
    assert headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in headers


def test_without_a_length(server):
    def answer(request):
        request.send_response(200)
        request.end_headers()
        request.wfile.write(b"until the end")

    server.paths["/shop"] = answer
    assert get(server.url("/shop")) == b"until the end"


def test_a_user_and_a_password_are_used_and_not_shown(server):
    server.paths["/shop"] = web.body(b"secret")
    url = server.url("/shop?token=hunter2").replace("://", "://me:hunter2%21@")
    assert get(url) == b"secret"
    ((path, headers),) = server.requests
    assert path == "/shop?token=hunter2"
    assert headers["Authorization"] == "Basic bWU6aHVudGVyMiE="
    assert "hunter2" not in headers["Host"]
    del server.paths["/shop"]
    assert "me:" not in str(not_fetched("not_fetched", url, "404 Not Found", "/shop"))


@pytest.mark.parametrize(
    ("code", "fix"), [(401, "user and a password"), (403, "expired"), (404, "correct release_src"), (500, "run again")]
)
def test_a_server_that_says_no(server, code, fix):
    server.paths["/shop"] = web.status(code)
    assert fix in not_fetched("not_fetched", server.url("/shop"), str(code)).fix


def test_too_large_by_its_own_word(server):
    server.paths["/shop"] = web.body(b"x", Content_Length="1048577")
    not_fetched("artefact_too_large", server.url("/shop"), "1 MiB", "release_max_size")


def test_too_large_without_a_word(server):
    def answer(request):
        request.send_response(200)
        request.end_headers()
        for _count in range(40):
            request.wfile.write(b"x" * 65536)

    server.paths["/shop"] = answer
    found = io.BytesIO()
    with pytest.raises(SlipwayError) as caught:
        fetch.fetch(server.url("/shop"), "release_src", found, LIMITS)
    assert caught.value.code == "artefact_too_large"
    assert len(found.getvalue()) <= LIMITS.size


def test_no_room_for_it(server, monkeypatch):
    server.paths["/shop"] = web.body(b"x" * 5000)
    monkeypatch.setattr(fetch, "_room", lambda target: 4000)
    not_fetched("disk_full", server.url("/shop"), "/var/tmp")


def test_a_disk_that_fills_up_is_no_fault_of_the_network(server):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    server.paths["/shop"] = web.body(b"x" * 5000)
    with pytest.raises(OSError, match="No space left"):
        fetch.fetch(server.url("/shop"), "release_src", Full(), LIMITS)


def test_cut_short(server):
    def answer(request):
        request.send_response(200)
        request.send_header("Content-Length", "5000")
        request.end_headers()
        request.wfile.write(b"x" * 100)

    server.paths["/shop"] = answer
    not_fetched("not_fetched", server.url("/shop"), "100 of 5000 bytes")


def trickle(request):
    request.send_response(200)
    request.send_header("Content-Length", "5000")
    request.end_headers()
    with_silence(request)


def with_silence(request):
    try:
        for _count in range(500):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.02)
    except OSError:
        pass


@pytest.mark.parametrize("answer", [trickle, with_silence], ids=["body", "header"])
def test_one_byte_now_and_then(server, answer):
    server.paths["/shop"] = answer
    not_fetched(
        "not_fetched", server.url("/shop"), "took more than", "release_fetch_timeout", limits=Limits(1 << 20, 0.3)
    )


@pytest.mark.parametrize("answer", [trickle, with_silence], ids=["body", "header"])
def test_the_time_is_over_while_one_of_several_addresses_is_silent(server, monkeypatch, answer):
    """Whatever tries the next address after an error must not do so when all of the time is over."""
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def connect_slowly(self, address):
        if address[0] == "127.0.0.2":
            time.sleep(20)
        connect(self, address)

    def resolve_to_two(host, port, *others, **options):
        if host == "two.example":
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, ("127.0.0.2", port)), (*kind, ("127.0.0.1", port))]
        return resolve(host, port, *others, **options)

    monkeypatch.setattr(socket.socket, "connect", connect_slowly)
    monkeypatch.setattr(socket, "getaddrinfo", resolve_to_two)
    server.paths["/shop"] = answer
    url = f"http://two.example:{server.port}/shop"
    begun = time.monotonic()
    not_fetched("not_fetched", url, "took more than 0.3 s", "release_fetch_timeout", limits=Limits(1 << 20, 0.3))
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("answer", [trickle, with_silence], ids=["body", "header"])
def test_the_time_is_over_in_a_thread_too(server, answer):
    """Where no signal could end what waits."""
    server.paths["/shop"] = answer
    errors = []

    def run():
        try:
            get(server.url("/shop"), Limits(1 << 20, 0.3))
        except SlipwayError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(5)
    assert "took more than 0.3 s" in "".join(errors)


def test_the_time_is_over_while_a_name_is_looked_up(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments: time.sleep(10) or [])
    begun = time.monotonic()
    not_fetched("not_fetched", "http://slow.example/shop", "took more than 0.3 s", limits=Limits(1 << 20, 0.3))
    assert time.monotonic() - begun < 5


def test_in_chunks(server):
    def answer(request):
        request.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        request.wfile.write(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")

    server.paths["/shop"] = answer
    assert get(server.url("/shop")) == b"abcde"


def test_chunks_that_end_early(server):
    server.paths["/shop"] = lambda request: request.wfile.write(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
    )
    not_fetched("not_fetched", server.url("/shop"), "ended after 2 bytes")


def test_what_comes_behind_the_announced_bytes_is_left_out(server):
    server.paths["/shop"] = web.body(b"abcde and more", Content_Length="5")
    assert get(server.url("/shop")) == b"abcde"


def test_a_compressed_file_stays_as_it_is(server):
    """Some servers call an archive's own compression an encoding."""
    server.paths["/shop.tgz"] = web.body(b"\x1f\x8b...", Content_Encoding="gzip")
    assert get(server.url("/shop.tgz")) == b"\x1f\x8b..."


def test_nobody_there(server):
    port = server.port
    not_fetched(
        "not_fetched", f"http://127.0.0.1:{port - 1 if port > 1025 else port + 1}/shop", "refused the connection"
    )


def test_what_is_no_http(server):
    server.paths["/shop"] = lambda request: request.wfile.write(b"hello hunter2\r\n\r\n")
    not_fetched("not_fetched", server.url("/shop"), "no HTTP")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects(server, code):
    server.paths.update({"/a": web.redirect("/b?x=hunter2", code), "/b": web.body(b"found")})
    assert get(server.url("/a")) == b"found"


def test_redirects_without_end(server):
    server.paths["/a"] = web.redirect("/a")
    not_fetched("not_fetched", server.url("/a"), "redirects more than 5 times")
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "gopher://127.0.0.1/", "http://[bad"]
)
def test_redirects_to_what_is_not_the_web(server, location):
    server.paths["/a"] = web.redirect(location)
    assert not_fetched("invalid_url", server.url("/a"), "redirect")


def test_a_password_stays_with_its_server(server):
    other = web.Server()
    try:
        server.paths.update({"/a": web.redirect("/b"), "/b": web.redirect(other.url("/c"))})
        other.paths["/c"] = web.body(b"found")
        assert get(server.url("/a").replace("://", "://me:hunter2@")) == b"found"
    finally:
        other.close()
    assert ["Authorization" in headers for _path, headers in server.requests] == [True, True]
    assert ["Authorization" in headers for _path, headers in other.requests] == [False]


SECRET = {"Authorization": "Bearer hunter2", "PRIVATE-TOKEN": "hunter2", "Accept": "application/octet-stream"}


def get_with(server, path, headers=None, url=""):
    made = fetch.parse_headers(headers or SECRET, [server.url("/shop")])
    found = io.BytesIO()
    fetch.fetch(url or server.url(path), "release_src", found, LIMITS, made)
    return found.getvalue()


def tokens(server):
    return [headers.get("PRIVATE-TOKEN") for _path, headers in server.requests]


def test_headers_open_their_server(server):
    server.paths.update({"/a": web.redirect("/b"), "/b": web.body(b"found")})
    assert get_with(server, "/a") == b"found"
    assert tokens(server) == ["hunter2", "hunter2"]
    assert [headers["Authorization"] for _path, headers in server.requests] == ["Bearer hunter2"] * 2
    assert {headers["Accept"] for _path, headers in server.requests} == {"application/octet-stream"}


def test_a_header_replaces_the_password_of_the_url(server):
    server.paths["/a"] = web.body(b"found")
    get_with(server, "/a", url=server.url("/a").replace("://", "://me:hunter2@"))
    ((_path, headers),) = server.requests
    assert headers["Authorization"] == "Bearer hunter2"


def test_headers_stay_with_their_server(server):
    """Another port is another server; and none gets them that another one has led to, be it the first again."""
    other = web.Server()
    try:
        server.paths.update({"/a": web.redirect(other.url("/b")), "/c": web.body(b"found")})
        other.paths["/b"] = web.redirect(server.url("/c"))
        assert get_with(server, "/a") == b"found"
        assert (tokens(server), tokens(other)) == (["hunter2", None], [None])
        other.paths["/sums"] = web.body(b"of another server")
        get_with(server, "", url=other.url("/sums"))
        assert tokens(other) == [None, None]
        server.paths["/d"] = web.redirect(server.url("/c").replace("127.0.0.1", "localhost"))
        get_with(server, "/d")
        assert tokens(server)[2:] == ["hunter2", None]
    finally:
        other.close()


def test_headers_are_in_no_message(server):
    for code in (401, 403, 404, 500):
        server.paths["/a"] = web.status(code)
        with pytest.raises(SlipwayError) as caught:
            get_with(server, "/a")
        assert "hunter2" not in str(caught.value)
        assert code != 401 or "release_fetch_headers" in caught.value.fix


def test_headers_go_through_a_tunnel_to_their_server_and_not_to_the_proxy(server, monkeypatch):
    monkeypatch.setenv("https_proxy", server.url(""))
    made = fetch.parse_headers(SECRET, ["https://shop.test/a"])
    with pytest.raises(SlipwayError, match="proxy"):
        fetch.fetch("https://shop.test/a", "release_src", io.BytesIO(), LIMITS, made)
    assert tokens(server) in ([None], [])


@pytest.mark.parametrize(
    "given",
    [
        {"Host": "hunter2"},
        {"content-length": 7},
        {"Transfer-Encoding": "chunked"},
        {"bad name": "hunter2"},
        {"": "hunter2"},
        {7: "hunter2"},
        {"X:hunter2": "x"},
        {"X-Token": "hunter2\r\nX-More: 1"},
        {"X-Token": ""},
        {"X-Token": None},
        {"X-Token": True},
        {"X-Token": ["hunter2"]},
        {"X-Token": "hunter2\u2028"},
    ],
)
def test_headers_that_cannot_be_sent(given):
    error = refused(lambda: fetch.parse_headers(given, []), "invalid_headers", "release_fetch_headers")
    assert "hunter2" not in str(error)


def test_headers_belong_to_the_first_url():
    urls = ["https://one.test:8443/a", "https://two.test/b"]
    assert fetch.parse_headers({"A": " 1 "}, urls) == fetch.Headers(("https", "one.test", 8443), (("A", "1"),))
    assert fetch.parse_headers({"A": 1}, ["https://one.test/"]).origin == ("https", "one.test", 443)
    assert fetch.parse_headers({"A": "1"}, []) == fetch.parse_headers({}, urls) == fetch.Headers()


def test_https_with_an_authority_that_is_trusted(secure):
    secure.paths["/shop"] = web.body(b"found")
    assert get(secure.url("/shop")) == b"found"


def test_https_with_one_that_is_not(secure, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    secure.paths["/shop"] = web.body(b"found")
    not_fetched("not_fetched", secure.url("/shop"), "certificate is not valid", "authority")
    assert secure.requests == []


def test_https_does_not_lead_to_http(secure, server):
    server.paths["/shop"] = web.body(b"found")
    secure.paths["/shop"] = web.redirect(server.url("/shop?hunter2"))
    not_fetched("insecure_redirect", secure.url("/shop"), "from https to http://")
    assert server.requests == []


def test_a_proxy_of_the_environment_and_its_password(server, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://me:hunter2@127.0.0.1:{server.port}")
    server.paths["http://elsewhere.invalid/shop"] = web.body(b"through the proxy")
    assert get("http://elsewhere.invalid/shop") == b"through the proxy"
    not_fetched("not_fetched", "http://elsewhere.invalid/other", "404")
    monkeypatch.setenv("https_proxy", f"http://me:hunter2@127.0.0.1:{server.port}")
    not_fetched("not_fetched", "https://elsewhere.invalid/shop", "the proxy refused")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://host:99999/x",
        "https://host:x/x",
        "https://[::1/x",
        "https://host/a b",
        "https://host/a\nb",
        "https://host/ä",
        "://x",
    ],
)
def test_urls_that_nobody_can_fetch(url):
    not_fetched("invalid_url", url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:hunter2@host:8443/a/b?token=hunter2#hunter2", "https://host:8443/a/b"),
        ("https://token@host/a", "https://host/a"),
        ("https://a@b:c@host/a", "https://host/a"),
        ("https://host", "https://host"),
        ("/a/path?x", "/a/path?x"),
        ("https://[::1/hunter2", "https://…"),
    ],
)
def test_what_is_shown_of_a_url(url, shown):
    assert fetch.shown(url) == shown


@given(user=st.text("ab:%/?#@!", min_size=1, max_size=9), query=st.text("ab=&?#@/", max_size=9))
def test_no_secret_is_ever_shown(user, query):
    url = f"https://{user.replace('/', '%2F').replace('?', '%3F').replace('#', '%23')}SECRET@host/path?{query}SECRET"
    assert "SECRET" not in fetch.shown(url)
    assert fetch.shown(url).endswith("host/path")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("https://host/a/shop-1.0.tar.gz?x=/y", "shop-1.0.tar.gz"),
        ("https://host/a%20b", "a b"),
        ("/srv/shop", "shop"),
        ("shop", "shop"),
        ("https://host/a/", ""),
    ],
)
def test_the_name_of_a_file(source, name):
    assert fetch.file_name(source) == name

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who listens where, from what kernels really write."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._host import sockets
from hypothesis import example, given
from hypothesis import strategies as st

TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 15734 1 0 100 0
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 24680 1 0 100 0
   2: 0100007F:1F90 0100007F:C350 01 00000000:00000000 02:000A7D8C 00000000     0        0 24999 2 0 20 4
   3: 0100007F:C350 0100007F:1F90 06 00000000:00000000 03:0000176F 00000000     0        0 0 3 0000000000000000
"""
TCP6 = """  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 """
TCP6 += """00000000     0        0 33333 1 0000000000000000 100 0 0 10 0
"""
UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 20231 /run/systemd/private
0000000000000000: 00000003 00000000 00000000 0001 03 20245 /run/systemd/journal/stdout
0000000000000000: 00000002 00000000 00010000 0001 01 20300 @/tmp/abstract
0000000000000000: 00000002 00000000 00010000 0005 01 20301 /run/udev/control
0000000000000000: 00000003 00000000 00000000 0001 03 20246
"""


@pytest.mark.parametrize(
    ("listen", "port"),
    [
        ("8080", 8080),
        (8080, 8080),
        (" 8080 ", 8080),
        ("1", 1),
        ("65535", 65535),
        ("127.0.0.1:80", 80),
        ("[::1]:443", 443),
        ("[fe80::1]:443", 443),
        ("/run/shop.sock", None),
        ("/run/shop:80", None),
        ("@shop", None),
        ("vsock:2:1234", None),
    ],
)
def test_ports(listen, port):
    assert sockets.tcp_port(listen) == port


@pytest.mark.parametrize(
    "listen", ["", "0", "65536", "http", "127.0.0.1", "127.0.0.1:", "[::1]", "80 81", "-1", "²", "٣", "8_0"]
)
def test_bad_ports(listen):
    with pytest.raises(SlipwayError) as caught:
        sockets.tcp_port(listen)
    assert caught.value.code == "invalid_listen"
    assert "service_listen" in str(caught.value)
    assert repr(listen) in str(caught.value)
    assert caught.value.fix


@given(st.one_of(st.text(), st.from_regex(r"[0-9:.\[\]]{0,12}"), st.integers()))
def test_anything_is_a_port_or_a_path_or_refused(listen):
    try:
        port = sockets.tcp_port(listen)
    except SlipwayError:
        return
    assert port is None or 1 <= port <= 65535


def test_tcp_tables():
    assert sockets.parse_tcp_listeners(TCP) == {"15734": 22, "24680": 8080}
    assert sockets.parse_tcp_listeners(TCP6) == {"33333": 443}
    assert sockets.parse_tcp_listeners("") == {}
    assert sockets.parse_tcp_listeners(TCP.splitlines()[0]) == {}


def test_unix_table():
    assert sockets.parse_unix_listeners(UNIX) == {"20231", "20300", "20301"}
    assert sockets.parse_unix_listeners("") == set()


def test_a_socket_with_a_line_break_in_its_name_hides_nobody():
    """Anybody on the host may give a socket such a name, and the kernel writes it as it is."""
    lines = UNIX.splitlines()
    lines.insert(3, "0000000000000000: 00000002 00000000 00010000 0001 01 20299 @evil\na b c zz e f 666 g\nx")
    assert sockets.parse_unix_listeners("\n".join(lines)) == {"20231", "20299", "20300", "20301"}


def test_the_kernel_writes_such_names(tmp_path, monkeypatch):
    """Seen, not supposed: this is what the test above stands on."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0slipway {os.getpid()}\na b c zz e f 666 g\nx")
        listener.listen()
        assert str(os.fstat(listener.fileno()).st_ino) in sockets.listening_inodes()


@given(st.lists(st.one_of(st.sampled_from(TCP.splitlines()), st.text(), st.text("0A :1F\n", max_size=60))))
@example(["", "0: 0:zz 0:0 0A 0:0 0:0 0 0 0 7 1"])
def test_any_garbage_in_the_tcp_table(lines):
    found = sockets.parse_tcp_listeners("\n".join(lines))
    assert all(isinstance(port, int) for port in found.values())


@given(st.lists(st.one_of(st.sampled_from(UNIX.splitlines()), st.text(), st.text("01 z:\n", max_size=60))))
def test_any_garbage_in_the_unix_table(lines):
    assert isinstance(sockets.parse_unix_listeners("\n".join(lines)), set)


@pytest.fixture
def listener():
    """Another process that listens, on a port and on a unix socket."""
    script = (
        "import os, socket, sys\n"
        "a = socket.create_server(('127.0.0.1', 0)); b = socket.socket(socket.AF_UNIX)\n"
        "b.bind(f'\\0slipway-test-{os.getpid()}'); b.listen()\n"
        "print(a.getsockname()[1], os.fstat(a.fileno()).st_ino, os.fstat(b.fileno()).st_ino, flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port, tcp, unix = process.stdout.readline().split()
    yield process.pid, int(port), tcp, unix
    process.communicate("")


def test_a_real_listener_is_found_and_named(listener):
    pid, port, tcp, unix = listener
    assert sockets.tcp_listeners()[tcp] == port
    assert {tcp, unix} <= sockets.listening_inodes()
    assert sockets.holders([tcp]) == [pid]
    assert sockets.holders([unix, "0"]) == [pid]
    assert sockets.holders([]) == []

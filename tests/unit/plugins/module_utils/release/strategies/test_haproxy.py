# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HAProxy's command line, played by a socket that says what real ones of Debian 12 and 13 said."""

from __future__ import annotations

import socket
import threading

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.haproxy import (
    Haproxy,
    Server,
    Worker,
    parse_servers,
    parse_times,
    parse_workers,
)
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused
from hypothesis import given
from hypothesis import strategies as st

PROC = """\
#<PID>          <type>          <reloads>       <uptime>        <version>
391             master          1 [failed: 0]   0d00h00m01s     2.6.12-1+deb12u3
# workers
404             worker          0               0d00h00m01s     2.6.12-1+deb12u3
# old workers
393             worker          1               0d00h00m01s     2.6.12-1+deb12u3
# programs

"""
STAT = """\
# pxname,svname,qcur,scur,stot,econ,eresp,status,weight,hrsp_5xx,req_tot,srv_abrt,addr,
slipway-shop,a,1,2,999,3,4,no check,100,5,90,1,127.0.0.1:18080,
slipway-shop,b,0,0,21,0,0,MAINT,100,0,0,0,127.0.0.1:18081,

"""


def test_workers_and_those_that_a_reload_has_left():
    assert parse_workers(PROC) == [Worker(404, False), Worker(393, True)]


def test_a_master_that_is_about_to_start_its_worker_is_not_there_yet():
    refused(lambda: parse_workers(PROC.replace("404 ", "# 4 ")), "proxy_unreachable")


def test_servers():
    assert parse_servers(STAT) == {
        "a": Server("ready", "127.0.0.1:18080", 100, 3, 96, 12),
        "b": Server("maint", "127.0.0.1:18081", 100, 0, 0, 0),
    }


def test_answers_before_the_one_that_counts_are_no_requests():
    """With `103 Early Hints` before each, ten errors in a hundred would look like five."""

    def counted(stot, req_tot, early, again=0):
        text = "# svname,status,addr,weight,scur,qcur,stot,req_tot,econ,eresp,srv_abrt,hrsp_1xx,hrsp_5xx,wretr,\n"
        row = f"a,UP,127.0.0.1:18080,100,0,0,{stot},{req_tot},0,0,0,{early},10,{again},\n"
        (server,) = parse_servers(text + row).values()
        return server.requests, server.failures

    assert counted(100, 200, 100) == (100, 10)
    assert counted("", 200, 100) == (100, 10)
    assert counted(103, 200, 100, 3) == (100, 10), "what was tried again"
    assert counted(100, 100, 60) == (100, 10), "websockets, whose only answer is 101"
    assert counted(100, 140, 60) == (100, 10)


def test_durations_by_server():
    """The lines that HAProxy 2.6 writes, without those of another form."""
    table = """\
# table: slipway-shop.times, type: string, size:10240, used:3
0x558b2e72bcd8: key=a/0 use=0 exp=3595312 gpc0=4
0x7f8a80047868: key=a/1100 use=0 exp=3598495 gpc0=1
0x7f8a80047868: key=b/250 use=0 exp=3598495 shard=0 gpc0=12
0x7f8a80047868: key=<BADSRV> use=0 exp=3598495 gpc0=1

"""
    assert parse_times(table) == {"a": {0: 4, 1100: 1}, "b": {250: 12}}
    assert parse_times("Unknown table\n") == {}


@pytest.mark.parametrize(
    ("status", "state"),
    [("UP", "ready"), ("no check", "ready"), ("DRAIN", "drain"), ("MAINT (via x/y)", "maint"), ("UP 1/3", "ready")],
)
def test_states(status, state):
    assert parse_servers(STAT.replace("no check", status))["a"].state == state


def test_a_backend_that_this_worker_does_not_know():
    assert parse_servers("No such proxy.\n\n") == {}


def test_a_worker_that_ends_while_it_is_asked():
    refused(lambda: parse_servers("\n"), "proxy_unreachable")


@pytest.mark.parametrize("text", ["Permission denied\n", STAT.replace("scur", "other"), STAT.replace(",90,", ",x,")])
def test_what_nobody_expects(text):
    assert refused(lambda: parse_servers(text), "proxy_unexpected").fix


@given(st.text())
def test_no_answer_is_a_traceback(text):
    for parse in (parse_workers, parse_servers):
        try:
            parse(text)
            parse("# " + text)
        except SlipwayError:
            pass


class Master:
    """A master's socket that answers in turn, and keeps what it was told."""

    def __init__(self, path, *answers):
        self.told = []
        self._answers = answers
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        for answer in self._answers:
            connection = self._socket.accept()[0]
            with connection:
                said = b""
                while part := connection.recv(4096):
                    said += part
                self.told.append(said.decode())
                if answer is not None:
                    connection.sendall(answer.encode())

    def close(self):
        self._thread.join(10)
        self._socket.close()


@pytest.fixture
def master(tmp_path):
    opened = []

    def start(*answers):
        path = str(tmp_path / "master.sock")
        opened.append(Master(path, *answers))
        return opened[-1], Haproxy(path, timeout=5.0)

    yield start
    for one in opened:
        one.close()


def test_what_a_worker_is_told(master):
    played, haproxy = master("\n", "\n", "port changed from '1' to '2' by 'stats socket command'\n", STAT)
    worker = Worker(404, False)
    haproxy.set_state(worker, "slipway-shop/a", "drain")
    haproxy.set_weight(worker, "slipway-shop/a", 5)
    haproxy.set_address(worker, "slipway-shop/a", "127.0.0.1:2")
    assert set(haproxy.servers(worker, "slipway-shop")) == {"a", "b"}
    assert played.told == [
        "@!404 set server slipway-shop/a state drain\n",
        "@!404 set server slipway-shop/a weight 5\n",
        "@!404 set server slipway-shop/a addr 127.0.0.1 port 2\n",
        "@!404 show stat slipway-shop 4 -1\n",
    ]


def test_an_order_that_is_refused(master):
    _played, haproxy = master("No such server.\n")
    error = refused(lambda: haproxy.set_state(Worker(1, False), "slipway-shop/c", "ready"), "proxy_unexpected")
    assert "No such server." in str(error)


def test_a_worker_that_has_ended(master):
    _played, haproxy = master("Can't find the target PID matching the prefix '@!404'\n")
    refused(lambda: haproxy.servers(Worker(404, True), "slipway-shop"), "proxy_unreachable")


def test_nobody_there(tmp_path):
    error = refused(lambda: Haproxy(str(tmp_path / "none.sock")).workers(), "proxy_unreachable")
    assert "none.sock" in str(error)
    assert "slipway.go.proxy" in error.fix

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes, real ones, and those that are gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from ansible_collections.slipway.go.plugins.module_utils._host import processes


@pytest.fixture
def child():
    """A process that holds a socket of this one, with variables of its own."""
    with socket.socketpair()[0] as held:
        code = "import sys; print(flush=True); sys.stdin.read()"
        variables = {"SLIPWAY_ADDRESS": "x=y", "PORT": ""}
        argv, pipe = [sys.executable, "-c", code], subprocess.PIPE
        with subprocess.Popen(argv, env=variables, pass_fds=[held.fileno()], stdin=pipe, stdout=pipe) as process:
            process.stdout.readline()
            yield process.pid, os.fstat(held.fileno()).st_ino
            process.kill()


def test_a_process(child):
    pid, inode = child
    assert pid in processes.every_pid()
    assert processes.name(pid).startswith("python")
    assert processes.parent(pid) == os.getpid()
    assert processes.start_time(os.getpid()) <= processes.start_time(pid)
    assert processes.executable_name(pid) == os.path.realpath(sys.executable)
    assert processes.file_id(processes.executable(pid)) == processes.file_id(sys.executable)
    assert processes.environment(pid).items() >= {"SLIPWAY_ADDRESS": "x=y", "PORT": ""}.items()
    assert str(inode) in processes.socket_inodes(pid)
    assert processes.holds(pid, inode)
    assert not processes.holds(pid, inode + 1_000_000)


def test_a_process_that_is_gone():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    pid = process.pid
    assert (processes.name(pid), processes.parent(pid), processes.start_time(pid)) == ("?", 0, None)
    assert (processes.executable_name(pid), processes.file_id(processes.executable(pid))) == (None, None)
    assert (processes.environment(pid), processes.socket_inodes(pid), processes.units(pid)) == ({}, set(), ())
    assert not processes.holds(pid, 1)
    assert not processes.in_unit(pid, "shop@")


def test_what_has_ended_and_is_not_fetched_is_gone():
    with subprocess.Popen(["true"]) as process:
        while processes.start_time(process.pid) is not None:
            pass
        assert os.path.exists(f"/proc/{process.pid}/stat")


@pytest.mark.parametrize(
    ("cgroup", "units", "service"),
    [
        ("0::/system.slice/shop@1.service\n", ("shop@1.service", "system.slice"), "shop@1.service"),
        ("9:pids:/x.slice\n1:name=systemd:/a.slice/b.scope/c\n", ("c", "b.scope", "a.slice"), "b.scope"),
        ("0::/system.slice/_cgroup.service\n", ("cgroup.service", "system.slice"), "cgroup.service"),
        ("0::/\nnonsense\n", (), None),
    ],
)
def test_the_units_around_a_process(monkeypatch, cgroup, units, service):
    monkeypatch.setattr(processes.files, "text", {"/proc/42/cgroup": cgroup}.get)
    assert (processes.units(42), processes.service_of(42)) == (units, service)


@pytest.mark.parametrize(
    ("cgroup", "inside"),
    [
        ("0::/system.slice/system-shop.slice/shop@1.0-0123456789.service\n", True),
        ("12:pids:/system.slice/system-shop.slice/shop@1.service\n1:name=systemd:/x\n", True),
        ("0::/lxc/host/system.slice/system-shop.slice/shop@1.service/child\n", True),
        ("0::/system.slice/shop.service\n", False),
        ("0::/system.slice/workshop@1.service\n", False),
        ("0::/system.slice/system-shop2.slice/shop2@1.service\n", False),
        ("", False),
    ],
)
def test_the_unit_of_a_process(monkeypatch, cgroup, inside):
    monkeypatch.setattr(processes.files, "text", {"/proc/42/cgroup": cgroup}.get)
    assert processes.in_unit(42, "shop@") is inside

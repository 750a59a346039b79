# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host says before it is touched."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._host import processes, sockets
from ansible_collections.slipway.go.plugins.module_utils._release import preflight
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Artefact, Spec
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

MIB = 1 << 20


@pytest.mark.parametrize(
    ("goarch", "machine"),
    [
        ("amd64", "x86_64"),
        ("arm64", "aarch64"),
        ("arm", "armv7l"),
        ("arm", "armv6l"),
        ("386", "i686"),
        ("386", "i386"),
        ("386", "x86_64"),
        ("s390", "s390x"),
        ("loong64", "loongarch64"),
        ("ppc64le", "ppc64le"),
        ("s390x", "s390x"),
        ("riscv64", "riscv64"),
        (None, "x86_64"),
        ("amd64", "some new machine"),
    ],
)
def test_architectures_that_run(goarch, machine):
    preflight.check_architecture(goarch, machine)


@pytest.mark.parametrize(
    ("goarch", "machine", "host"),
    [
        ("arm64", "x86_64", "amd64"),
        ("amd64", "aarch64", "arm64"),
        ("amd64", "i686", "386"),
        ("arm64", "armv7l", "arm"),
        ("arm", "aarch64", "arm64"),
        ("386", "aarch64", "arm64"),
        ("ppc64", "ppc64le", "ppc64le"),
    ],
)
def test_architectures_that_do_not_run(goarch, machine, host):
    error = refused(lambda: preflight.check_architecture(goarch, machine), "wrong_architecture", "release_src", goarch)
    assert f"GOARCH={host}" in error.fix


@pytest.fixture
def disk(monkeypatch):
    """A disk with so many MiB free; what was asked about is in `asked`."""
    asked = []

    def make(free):
        def statvfs(path):
            asked.append(path)
            return SimpleNamespace(f_bavail=free * 256, f_frsize=4096, f_bfree=10**9)

        monkeypatch.setattr(os, "statvfs", statvfs)
        return asked

    return make


def test_enough_space(disk, tmp_path):
    asked = disk(100)
    preflight.check_space(Artefact("0" * 64, 40 * MIB), str(tmp_path / "not" / "there" / "yet"))
    assert asked == [str(tmp_path)]


def test_too_little_space(disk, tmp_path):
    disk(95)
    root = str(tmp_path / "shop")
    error = refused(
        lambda: preflight.check_space(Artefact("0" * 64, 40 * MIB), root), "disk_full", "95 MiB free", "needs 96 MiB"
    )
    assert f"service_root ({root})" in error.fix


def test_space_where_a_file_lies_in_the_way(disk, tmp_path):
    asked = disk(100)
    (tmp_path / "file").write_text("x")
    preflight.check_space(Artefact("0" * 64, 1), str(tmp_path / "file" / "shop"))
    assert asked == [str(tmp_path)]


@pytest.fixture
def listener():
    """Another process that listens on a port of its own."""
    script = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0))\n"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process.pid, process.stdout.readline().strip()
    process.communicate("")


@pytest.mark.parametrize("form", ["{}", "127.0.0.1:{}", "0.0.0.0:{}"])
def test_a_port_of_somebody_else(listener, form):
    pid, port = listener
    error = refused(
        lambda: preflight.check_ports("shop", ["/run/shop.sock", form.format(port)], set()),
        "port_in_use",
        f"port {port} of service_listen",
        f"(pid {pid})",
        "python",
    )
    assert "service_listen" in error.fix


def test_the_port_of_an_instance_of_its_own(listener, monkeypatch):
    pid, port = listener
    asked = []

    def in_unit(who, prefix):
        asked.append((who, prefix))
        return True

    monkeypatch.setattr(processes, "in_unit", in_unit)
    preflight.check_ports("shop", [port], set())
    assert (pid, "shop@") in asked


def test_the_port_of_its_own_socket_unit(listener, monkeypatch):
    _ignored, port = listener
    monkeypatch.setattr(sockets, "holders", lambda _inodes: [1])
    preflight.check_ports("shop", [port], {int(port)})
    refused(lambda: preflight.check_ports("shop", [port], {int(port) + 1}), "port_in_use", "pid 1")


def test_its_own_socket_does_not_excuse_a_stranger(monkeypatch):
    """Two sockets on one port (SO_REUSEPORT)."""
    monkeypatch.setattr(sockets, "tcp_listeners", lambda: {"11": 8080, "12": 8080})
    monkeypatch.setattr(sockets, "holders", lambda inodes: [1] if inodes == {"11"} else [os.getpid()])
    refused(lambda: preflight.check_ports("shop", ["8080"], {8080}), "port_in_use", f"pid {os.getpid()}")


def test_a_child_that_pid_1_has_just_forked_holds_its_sockets(listener, monkeypatch):
    """Until it execs; the service's own watch is started every few seconds."""
    pid, port = listener
    monkeypatch.setattr(sockets, "holders", lambda _inodes: [1, pid])
    preflight.check_ports("shop", [port], {int(port)})


def test_a_holder_that_cannot_be_seen(listener, monkeypatch):
    _ignored, port = listener
    monkeypatch.setattr(sockets, "holders", lambda _inodes: [])
    refused(lambda: preflight.check_ports("shop", [port], set()), "port_in_use", "another process")


def test_a_free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    preflight.check_ports("shop", [str(port), "/run/shop.sock"], set())
    preflight.check_ports("shop", [], set())


def test_all_problems_at_once(listener, disk, tmp_path, monkeypatch):
    _ignored, port = listener
    disk(1)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    spec = Spec("1.0", "socket", Artefact("0" * 64, MIB, goarch="arm64"), "shop", listen=[port])
    found = preflight.problems(spec, Layout("shop", str(tmp_path)), spec.listen, set(), lambda _spec: None)
    assert [problem.code for problem in found] == ["wrong_architecture", "disk_full", "port_in_use"]
    assert all(problem.fix for problem in found)


def test_no_problem(disk, tmp_path):
    disk(1000)
    spec = Spec("1.0", "socket", Artefact("0" * 64, MIB), "shop")
    assert preflight.problems(spec, Layout("shop", str(tmp_path)), spec.listen, set(), lambda _spec: None) == []


def test_a_listen_entry_that_is_none_is_a_problem_too(disk, tmp_path):
    disk(1000)
    spec = Spec("1.0", "socket", Artefact("0" * 64, MIB), "shop", listen=["http"])
    assert [
        p.code for p in preflight.problems(spec, Layout("shop", str(tmp_path)), spec.listen, set(), lambda _spec: None)
    ] == ["invalid_listen"]


def test_a_release_is_judged_in_the_units_that_come_with_it(tmp_path, monkeypatch):
    release, installed = tmp_path / "releases" / "1.0.0-aaaaaaaaaa", tmp_path / "system"
    for folder in (release / "bin", release / "units", installed):
        folder.mkdir(parents=True)
    (release / "units" / "shop@.service").write_text("[Service]\nUser=4711\n")
    (installed / "shop@.service").write_text("[Service]\nUser=4712\n")
    monkeypatch.setattr(preflight, "UNIT_PATH", (str(installed),))
    seen = []
    monkeypatch.setattr(preflight, "read_host", lambda: None)
    monkeypatch.setattr(
        preflight,
        "Checker",
        lambda _host, context: SimpleNamespace(
            check=lambda _binary: (seen.append(context.who.uid), SimpleNamespace(problems=[]))[1]
        ),
    )
    layout = Layout("shop", str(tmp_path))
    preflight.linkage_problems(layout, release.name)
    (release / "units" / "shop@.service").unlink()
    preflight.linkage_problems(layout, release.name)
    assert seen == [4711, 4712]

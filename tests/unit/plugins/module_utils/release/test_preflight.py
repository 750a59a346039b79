# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host says before it is touched."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary.abilities import Abilities
from ansible_collections.slipway.go.plugins.module_utils._host import processes, sockets
from ansible_collections.slipway.go.plugins.module_utils._release import preflight
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Artefact, Settings, Spec
from ansible_collections.slipway.go.plugins.module_utils._release.takeover import Takeover
from ansible_collections.slipway.go.plugins.plugin_utils._input.configured import expected
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
    """A disk with so many MiB and inodes free; what was asked about is in `asked`."""
    asked = []

    def make(free, inodes=1000, flags=0):
        def statvfs(path):
            asked.append(path)
            counts = {"f_files": 1000, "f_favail": inodes, "f_flag": flags}
            return SimpleNamespace(f_bavail=free * 256, f_frsize=4096, f_bfree=10**9, **counts)

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


@pytest.mark.parametrize("free", [0, 63])
def test_no_inodes_left(disk, tmp_path, free):
    disk(1000, inodes=free)
    error = refused(
        lambda: preflight.check_space(Artefact("0" * 64, 1), str(tmp_path)), "disk_full", f"{free} free inodes of 1000"
    )
    assert "df -i" in error.fix


def test_a_file_system_without_a_number_of_inodes(tmp_path, monkeypatch):
    endless = SimpleNamespace(f_bavail=1 << 20, f_frsize=4096, f_files=0, f_favail=0)
    monkeypatch.setattr(os, "statvfs", lambda _path: endless)
    preflight.check_space(Artefact("0" * 64, 1), str(tmp_path))


def test_the_records_have_a_file_system_of_their_own(tmp_path, monkeypatch):
    full = SimpleNamespace(f_bavail=1, f_frsize=4096, f_files=0, f_favail=0)
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    layout = Layout("shop", "/opt/shop", state_root=str(tmp_path))
    refused(lambda: preflight.check_state_space(layout), "disk_full", str(tmp_path), "0 MiB free")


def test_a_root_from_which_nothing_starts(disk, tmp_path):
    disk(1000, flags=os.ST_NOEXEC)
    error = refused(lambda: preflight.check_mount(str(tmp_path / "shop")), "noexec_mount", "service_root", "noexec")
    assert "service_root" in error.fix
    disk(1000)
    preflight.check_mount(str(tmp_path / "shop"))


def listening(*listen, strategy="socket"):
    return Spec("1.0", strategy, Artefact("0" * 64, 1), "shop", listen=list(listen))


@pytest.mark.parametrize("strategy", ["socket", "restart", "reload", "proxy"])
@pytest.mark.parametrize("entry", ["192.0.2.77:8080", "[2001:db8::77]:8080"])
def test_an_address_that_the_host_lacks(tmp_path, strategy, entry):
    layout = Layout("shop", str(tmp_path), config_root=str(tmp_path), unit_root=str(tmp_path))
    error = refused(
        lambda: preflight.check_addresses(listening("8080", entry, strategy=strategy), layout),
        "no_such_address",
        entry,
    )
    assert "service_listen" in error.fix


def test_an_address_that_may_come_later(tmp_path):
    layout = Layout("shop", str(tmp_path), config_root=str(tmp_path), unit_root=str(tmp_path))
    drop_in = tmp_path / "shop.socket.d" / "later.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Socket]\nFreeBind=yes\n")
    preflight.check_addresses(listening("192.0.2.77:8080"), layout)


def test_addresses_that_the_host_has(tmp_path):
    preflight.check_addresses(
        listening("8080", "127.0.0.1:8080", "127.0.0.9:81", "0.0.0.0:80", "/run/shop.sock"),
        Layout("shop", str(tmp_path)),
    )


def test_a_name_where_systemd_takes_an_address(tmp_path):
    layout = Layout("shop", str(tmp_path))
    error = refused(
        lambda: preflight.check_addresses(listening("localhost:8091"), layout), "invalid_listen", "localhost:8091"
    )
    assert "127.0.0.1:8091" in error.fix
    preflight.check_addresses(listening("localhost:8091", strategy="restart"), layout)


@pytest.fixture
def unit(tmp_path):
    """The next release's unit, with that user."""

    def write(user, more=""):
        folder = tmp_path / "shop" / "units"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "shop@.service").write_text(f"[Service]\nUser={user}\n{more}")
        return Layout("shop", str(tmp_path), config_root=str(tmp_path), unit_root=str(tmp_path / "system"))

    return write


def of_group(group, configured=True):
    return Spec("1.0", "restart", Artefact("0" * 64, 1), group, configured=configured)


@pytest.mark.parametrize("group", ["root", "no-such-group"])
def test_a_user_who_could_not_execute_the_release(unit, group):
    error = refused(
        lambda: preflight.check_account(of_group(group), unit("daemon")), "other_group", "daemon", f"group {group}"
    )
    assert "service_user" in error.fix


def test_users_who_can(unit, tmp_path):
    preflight.check_account(of_group("daemon"), unit("daemon"))
    preflight.check_account(of_group("shop"), unit("root"))
    preflight.check_account(of_group("root"), unit("daemon", "SupplementaryGroups=root\n"))
    preflight.check_account(of_group("shop"), Layout("other", str(tmp_path), config_root=str(tmp_path)))


def test_a_user_whom_nobody_can_judge_yet(unit):
    preflight.check_account(of_group("shop", configured=False), unit("daemon"))
    preflight.check_account(of_group("shop"), unit("not-created-yet"))


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


def test_the_port_of_a_former_service_that_ends_first(listener, monkeypatch):
    _pid, port = listener
    monkeypatch.setattr(processes, "in_unit", lambda _who, prefix: prefix == "shop.service")
    preflight.check_ports("shop", [port], set(), former=True)
    refused(lambda: preflight.check_ports("shop", [port], set()), "port_in_use")


def test_the_port_of_its_own_socket_unit(listener, monkeypatch):
    _ignored, port = listener
    monkeypatch.setattr(sockets, "holders", lambda _inodes: [1])
    preflight.check_ports("shop", [port], {int(port)})
    refused(lambda: preflight.check_ports("shop", [port], {int(port) + 1}), "port_in_use", "pid 1")


def test_the_socket_unit_of_another_name(listener, monkeypatch):
    _ignored, port = listener
    monkeypatch.setattr(sockets, "holders", lambda _inodes: [1])
    monkeypatch.setattr(
        preflight.Systemd, "listening_sockets", lambda _self: [("a.socket", {1}), ("old-shop.socket", {int(port)})]
    )
    error = refused(lambda: preflight.check_ports("shop", [port], set()), "port_in_use", "old-shop.socket", "pid 1")
    assert "systemctl disable --now old-shop.socket" in error.fix


def test_the_port_of_another_service_of_slipway(listener, monkeypatch, tmp_path):
    """As after a change of service_name in the inventory."""
    _ignored, port = listener
    (tmp_path / "old-shop.json").write_text("{}")
    monkeypatch.setattr(preflight, "SERVICES_ROOT", str(tmp_path))
    fix = "remove the service old-shop first (slipway.go.remove) if shop replaces it, or choose another port in"
    monkeypatch.setattr(
        preflight.processes, "units", lambda _pid: ["system.slice", "old-shop@1.0.0-0123456789.service"]
    )
    error = refused(lambda: preflight.check_ports("shop", [port], set()), "port_in_use", "old-shop@1.0.0-0123456789")
    assert error.fix == f"{fix} service_listen"
    monkeypatch.setattr(sockets, "holders", lambda _inodes: [1])
    monkeypatch.setattr(preflight.Systemd, "listening_sockets", lambda _self: [("old-shop.socket", {int(port)})])
    error = refused(lambda: preflight.check_ports("shop", [port], set()), "port_in_use", "old-shop.socket", "pid 1")
    assert error.fix == f"{fix} service_listen"


def test_another_root_than_that_of_the_releases(tmp_path):
    old, new = tmp_path / "opt", tmp_path / "srv"
    layout = Layout("shop", str(new), state_root=str(tmp_path / "state"))
    preflight.check_root(layout)
    (tmp_path / "state" / "shop").mkdir(parents=True)
    settings = tmp_path / "state" / "shop" / "settings.json"
    settings.write_text(json.dumps({"root": str(old)}))
    preflight.check_root(layout)  # a service that was removed with its data
    old.mkdir()
    (old / "current").symlink_to("releases/1.0.0-0123456789")
    error = refused(lambda: preflight.check_root(layout), "root_changed", f"service_root is {new}", f"are in {old}")
    assert error.fix == f"set service_root to {old}, or remove the service first (slipway.go.remove)"
    (tmp_path / "link").symlink_to(old)
    for same in (f"{old}/", str(tmp_path / "link")):
        preflight.check_root(Layout("shop", same, state_root=str(tmp_path / "state")))
    for damaged in ("{}", "[]", "{", '{"root": null}'):
        settings.write_text(damaged)
        preflight.check_root(layout)


def test_the_root_of_another_service(tmp_path):
    """The releases of the one would be those of the other."""
    root, state = tmp_path / "srv", tmp_path / "state"
    root.mkdir()
    for service in ("shop", "mailer"):
        (state / service).mkdir(parents=True)
        settings = {"root": str(root if service == "shop" else tmp_path / "mailer")}
        (state / service / "settings.json").write_text(json.dumps(settings))
    preflight.check_root(Layout("shop", str(root), state_root=str(state)))
    (tmp_path / "link").symlink_to(root)
    for place in (str(root), f"{root}/", str(tmp_path / "link")):
        layout = Layout("store", place, state_root=str(state))
        error = refused(lambda layout=layout: preflight.check_root(layout), "root_taken", place, "the service shop")
        assert error.fix == "choose another service_root for store"
    preflight.check_root(Layout("store", str(tmp_path / "other"), state_root=str(state)))


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


def problems(spec, layout):
    return preflight.problems(spec, layout, spec.listen, set(), lambda _spec: None, Takeover(layout))


def test_all_problems_at_once(listener, disk, tmp_path, monkeypatch):
    _ignored, port = listener
    disk(1)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    spec = Spec("1.0", "socket", Artefact("0" * 64, MIB, goarch="arm64"), "shop", listen=[port])
    found = problems(spec, Layout("shop", str(tmp_path)))
    assert [problem.code for problem in found] == ["wrong_architecture", "disk_full", "port_in_use"]
    assert all(problem.fix for problem in found)


def test_no_problem(disk, tmp_path):
    disk(1000)
    spec = Spec("1.0", "socket", Artefact("0" * 64, MIB), "shop")
    assert problems(spec, Layout("shop", str(tmp_path))) == []


def test_a_listen_entry_that_is_none_is_a_problem_too(disk, tmp_path):
    disk(1000)
    spec = Spec("1.0", "socket", Artefact("0" * 64, MIB), "shop", listen=["http"])
    assert [p.code for p in problems(spec, Layout("shop", str(tmp_path)))] == ["invalid_listen"]


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


NOTHING = Abilities(False, False, False)


def noticed(spec, layout, health=(), abilities=None):
    return preflight.notices(spec, layout, Settings("shop", "/opt/shop", dict(health)), abilities)


@pytest.mark.parametrize(
    ("strategy", "kind", "abilities", "codes"),
    [
        ("socket", "notify", NOTHING, ["no_listen_fds", "no_notify_socket"]),
        ("socket", "exec", NOTHING, ["no_listen_fds"]),
        ("socket", "notify", Abilities(True, True, False), []),
        ("socket", "notify", None, []),
        ("proxy", "notify", NOTHING, ["no_notify_socket"]),
        ("proxy", "exec", NOTHING, []),
        ("restart", "simple", NOTHING, []),
        ("reload", "notify", NOTHING, ["no_handover"]),
        ("reload", "notify", Abilities(False, True, False), ["no_handover"]),
        ("reload", "notify", Abilities(False, True, True), []),
    ],
)
def test_what_the_program_seems_unable_to_do(unit, strategy, kind, abilities, codes):
    layout = unit("shop", f"Type={kind}\n")
    found = noticed(listening("8080", strategy=strategy), layout, abilities=abilities)
    assert [notice.code for notice in found] == codes
    assert all(notice.fix for notice in found)


def test_the_address_of_the_rehearsal_is_said(tmp_path):
    spec = Spec("1.0", "socket", Artefact("0" * 64, 1), "shop", rehearsal="/run/shop-rehearsal.sock")
    (first, second) = noticed(spec, Layout("shop", str(tmp_path), config_root=str(tmp_path)), abilities=NOTHING)
    assert "/run/shop-rehearsal.sock" in first.message
    assert second.code == "no_notify_socket"  # the role's own type, where no unit is there yet


@pytest.mark.parametrize(
    ("health", "codes"),
    [
        ({"url": "http://127.0.0.1:8081/readyz"}, ["undeclared_port"]),
        ({"url": "http://localhost:80/"}, ["undeclared_port"]),
        ({"tcp": "[::1]:9090"}, ["undeclared_port"]),
        ({"url": "http://127.0.0.1:8080/readyz"}, []),
        ({"url": "http://192.0.2.1:8081/"}, []),
        ({"url": "http://127.0.0.1/"}, []),
        ({}, []),
    ],
)
def test_a_health_port_that_nothing_declares(tmp_path, health, codes):
    layout = Layout("shop", str(tmp_path), config_root=str(tmp_path))
    assert [notice.code for notice in noticed(listening("8080"), layout, health)] == codes
    assert noticed(listening(strategy="restart"), layout, health) == []


@pytest.fixture
def reloading(tmp_path):
    """A host whose current release hands over to the next one."""
    layout = Layout("shop", str(tmp_path / "opt"), config_root=str(tmp_path / "etc"), unit_root=str(tmp_path / "units"))
    release = tmp_path / "opt" / "releases" / "0.9-0123456789"
    for folder in (release, tmp_path / "etc" / "shop"):
        folder.mkdir(parents=True)
        (folder / "environment").write_text("A=1\n")
    (release / "release.json").write_text('{"units": {}}')
    (tmp_path / "opt" / "current").symlink_to("releases/0.9-0123456789")
    (tmp_path / "opt" / "releases" / "current").symlink_to("../current")
    return layout


def test_a_handover_that_will_be_a_restart(reloading):
    spec = listening("8080", strategy="reload")
    assert noticed(spec, reloading) == []
    environment = os.path.join(reloading.config, "environment")
    with open(environment, "w") as stream:
        stream.write("A=secret\n")
    (notice,) = noticed(spec, reloading)
    assert (notice.code, "secret" in str(notice)) == ("restart_ahead", False)
    assert "the environment" in notice.message
    assert "no rehearsal" in notice.message
    assert noticed(listening("8080", strategy="socket"), reloading) == []
    assert noticed(replace(spec, configured=False), reloading) == []


def test_a_configuration_that_the_host_has_not_yet(tmp_path):
    layout = Layout("shop", "/opt/shop", config_root=str(tmp_path))
    for name, text in {
        "environment": 'A="1"\nB="two words"\nOLD="x"\n',
        "credentials/key": "secret",
        "units/shop@.service": '[Service]\nExecStart=/opt/shop/releases/%i/bin/shop "--a" "b\\"c"\n',
    }.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    variables = {
        "service_name": "shop",
        "service_environment": {"A": 1, "B": "two words", "OLD": "x"},
        "service_arguments": ["--a", 'b"c'],
        "service_credentials": {"key": "secret"},
    }
    spec = listening("8080")

    def judged(**changed):
        return preflight.stale(spec, layout, expected("shop", {**variables, **changed}, lambda value: value))

    assert judged() is None
    found = judged(
        service_environment={"A": 2, "B": "two words", "NEW": "hidden"},
        service_arguments=["--a"],
        service_credentials={"key": "hidden"},
    )
    assert found.code == "stale_configuration"
    assert "service_environment (A, NEW, OLD), service_credentials (key), service_arguments" in found.message
    assert "hidden" not in str(found)
    assert preflight.stale(replace(spec, configured=False), layout, {"service_environment": {}}) is None
    assert (
        preflight.stale(spec, Layout("none", "/opt/none", config_root=str(tmp_path)), {"service_arguments": {}}) is None
    )
    assert expected("shop", {**variables, "service_name": "other"}, lambda value: value) == {}

"""Bad input is refused with the variable and the fix, before any host is touched."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import play

SERVICE = "intake"


def variables(binaries: Path, **more: Any) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_listen": ["7070"],
        "release_version": "1.0.0",
        "release_src": str(binaries / "shop-1.0.0"),
        "release_soak_time": 0,
        **more,
    }


Case = tuple[dict[str, Any], str]  # what is wrong, and what is said about it
BAD: dict[str, Case] = {
    "missing artefact": ({"release_src": "/nowhere/shop"}, "release_src /nowhere/shop is not a file"),
    "empty artefact path": ({"release_src": ""}, "release_src is empty"),
    "wrong checksum": ({"release_checksum": "sha256:" + "0" * 64}, "release_checksum says"),
    "not a checksum": ({"release_checksum": "md5:abc"}, "is not a SHA-256"),
    "not an ELF": ({"release_src": "/etc/passwd"}, "is not a Linux executable"),
    "empty version": ({"release_version": ""}, "release_version is empty"),
    "version with a slash": ({"release_version": "1/2"}, "release_version '1/2' cannot name a release"),
    "version with spaces": ({"release_version": "1 2"}, "release_version '1 2' cannot name a release"),
    "service name systemd rejects": ({"service_name": "a b"}, 'service_name "a b" is not a usable service name'),
    "environment name": ({"release_environment": {"A B": 1}}, "environment variable name 'A B' is not valid"),
    "not static": ({"release_src": "/bin/ls", "release_require_static": True}, "release_require_static is set"),
    "old Go": ({"release_min_go_version": "99.1"}, "build with Go 99.1 or newer"),
    "another main module": ({"release_main_module": "example.com/other"}, "its main module is"),
    "no denylist": ({"release_denylist": "/nowhere"}, "release_denylist /nowhere is not readable"),
    "health url": ({"release_health": {"url": "127.0.0.1:7070"}}, "url"),
    "keep": ({"release_keep": 1}, "release_keep is 1"),
    "seconds with a unit": ({"release_soak_time": "30s"}, "release_soak_time is '30s', not a number."),
}


def assert_refused(fleet: Any, values: dict[str, Any], message: str) -> None:
    done = fleet.play("site", values)
    assert done.code != 0
    said = " ".join(done.output.split())
    assert message in said
    assert "Fix:" in said
    assert_untouched(fleet, done, {values["service_name"]})


def assert_untouched(fleet: Any, done: play.Play, services: set[str]) -> None:
    assert "Traceback" not in done.output
    assert "argument_spec_data" not in done.output
    for host in fleet.hosts:
        for service in services:
            assert not host.exists(f"/etc/{service}"), f"{host.name} was touched"
            assert not host.exists(f"/opt/{service}"), f"{host.name} was touched"


def many(fleet: Any, binaries: Path, cases: dict[str, Case]) -> Path:
    """An inventory in which each case is a host of its own; they share the lab's two."""
    inventory = json.loads(fleet.inventory.read_text())
    real = list(inventory["all"]["hosts"].values())
    inventory["all"]["hosts"] = {
        case.replace(" ", "-"): {**real[number % len(real)], **variables(binaries, **wrong)}
        for number, (case, (wrong, _message)) in enumerate(cases.items())
    }
    path = fleet.inventory.with_name("bad-input.yml")
    path.write_text(json.dumps(inventory))
    return path


def test_refused_before_any_host_changes(fleet: Any, binaries: Path, tmp_path: Path) -> None:
    """Every host has another mistake. A run names all that it finds at one place; each case is named in the end."""
    denylist = tmp_path / "denied"
    denylist.write_text("stdlib <v99.0 # every Go there is\n")
    waiting = {
        **BAD,
        "denied module": ({"release_denylist": str(denylist)}, "every Go there is"),
        "architecture": (
            {"release_src": str(binaries / "shop-arm64")},
            "release_src is built for arm64, this host is",
        ),
    }
    while waiting:
        done = play.playbook("site", many(fleet, binaries, waiting), {})
        said = " ".join(done.output.split())
        named = [case for case, (_wrong, message) in waiting.items() if message in said]
        assert done.code != 0
        assert named, f"none of {list(waiting)} is refused: {done.output}"
        assert said.count("Fix:") >= len(named)
        assert_untouched(fleet, done, {wrong.get("service_name", SERVICE) for wrong, _message in waiting.values()})
        for case in named:
            del waiting[case]


def test_an_interpreter_that_no_host_has(fleet: Any, binaries: Path, tmp_path: Path) -> None:
    """A program built for another kind of system: refused with what is missing and why, and nobody ran it."""
    program = tmp_path / "elsewhere"
    program.write_bytes(Path("/bin/ls").read_bytes().replace(b"/ld-linux-x86-64.so.2", b"/ld-linux-x86-64.so.9"))
    done = fleet.play("preflight", variables(binaries, release_src=str(program)))
    assert done.code != 0
    said = " ".join(done.output.split())
    assert "HOST PROBLEM WHAT AND HOW TO FIX IT" in said
    for host in fleet.hosts:
        assert f"{host.name} interpreter_missing" in said


def test_port_of_somebody_else(fleet: Any, binaries: Path) -> None:
    """One host of two says no, and the other is not touched either."""
    stranger = fleet.hosts[1]
    stranger.run("systemd-run", "--unit=stranger", "python3", "-m", "http.server", "7070")
    try:
        assert_refused(fleet, variables(binaries), "port 7070 of service_listen is in use by python3")
    finally:
        stranger.run("systemctl", "stop", "stranger")


def test_configuration_of_somebody_else(fleet: Any, binaries: Path) -> None:
    """Of a service of that name that slipway has not set up: it stays, and the other host is not touched either."""
    stranger, other = fleet.hosts
    stranger.run("sh", "-c", f"mkdir -p /etc/{SERVICE}/config; echo mine > /etc/{SERVICE}/config/own.yml")
    try:
        done = fleet.play("site", variables(binaries))
        assert done.code != 0
        assert f"/etc/{SERVICE}/config/own.yml is there" in " ".join(done.output.split())
        assert stranger.run("cat", f"/etc/{SERVICE}/config/own.yml") == "mine"
        assert not stranger.exists(f"/opt/{SERVICE}")
        assert not other.exists(f"/etc/{SERVICE}")
    finally:
        stranger.run("rm", "-rf", f"/etc/{SERVICE}")


@contextlib.contextmanager
def small_disk(host: Any, path: str) -> Iterator[None]:
    host.run("mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", path)
    try:
        yield
    finally:
        host.run("umount", path)


def test_disk_too_full(fleet: Any, binaries: Path) -> None:
    with small_disk(fleet.hosts[0], "/opt"):
        assert_refused(fleet, variables(binaries), "this release needs")


def test_a_unit_systemd_would_not_take(fleet: Any, binaries: Path) -> None:
    """A sandbox that systemd ignores is not in force, so it is an error, and no unit is installed."""
    values = variables(binaries, service_sandbox={"ProtectSystem": "perhaps"})
    done = fleet.play("site", values)
    assert done.code != 0
    assert "systemd would not take these units as they are" in done.output
    assert "ProtectSystem" in done.output
    for host in fleet.hosts:
        assert not host.exists(f"/etc/systemd/system/{SERVICE}@.service")
        host.run("sh", "-c", f"userdel {SERVICE}; rm -rf /etc/{SERVICE}")

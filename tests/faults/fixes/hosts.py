"""Scenes of what a host has and lacks: groups, records, programs, disks, and what a diagnosis says of them."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._core import command
from ansible_collections.slipway.go.plugins.module_utils._diagnosis import causes, look
from ansible_collections.slipway.go.plugins.module_utils._diagnosis.evidence import Evidence
from ansible_collections.slipway.go.plugins.module_utils._drift import baseline
from ansible_collections.slipway.go.plugins.module_utils._hardening import services
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import service_rules
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.rule import Rule
from ansible_collections.slipway.go.plugins.module_utils._host.systemd import UnitState
from ansible_collections.slipway.go.plugins.module_utils._release import configuration, gate, preflight
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator
from ansible_collections.slipway.go.plugins.module_utils._units import installer
from ansible_collections.slipway.go.plugins.plugin_utils._input.configured import expected
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.faults.fixes.swaps import bare, host_of
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Host

SCENES = Scenes()
AGAIN = "the same run again"


# --- groups and configuration


@SCENES.row(
    "no_group",
    "service_group is misspelt in a release",
    literal("apply the role slipway.go.service first, or correct service_group"),
    "another `service_group`",
)
def _scene(stage: Stage) -> None:
    host = bare(stage, "socket")
    stage.fails(lambda: host.release("v1", group="nobodys-group"))
    stage.passes(lambda: host.release("v1"))


@SCENES.row("no_group", "service_group is not there yet", literal("create it, or correct service_group"), "`groupadd`")
def _scene(stage: Stage) -> None:
    groups: dict[str, Any] = {}
    stage.patch.setattr(configuration.grp, "getgrnam", lambda name: groups[name])
    stage.fails(lambda: configuration.known_group("fixes"))
    groups["fixes"] = SimpleNamespace(gr_gid=4711)
    assert stage.passes(lambda: configuration.known_group("fixes")) == 4711


@SCENES.row(
    "stale_configuration",
    "the inventory has another environment than the host",
    literal("run site.yml to apply the inventory with this release"),
    "what `site.yml` writes",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    variables = {"service_name": "shop", "service_environment": {"A": "new"}}
    path = Path(host.layout.config, "environment")
    path.write_text('A="old"\n')

    def noticed() -> Any:
        return preflight.stale(host.spec("v2"), host.layout, expected("shop", variables, lambda value: value)) or []

    stage.fails(noticed)
    path.write_text('A="new"\n')
    stage.passes(noticed)


# --- records


@SCENES.row(
    "damaged_record",
    "the record of where a service listens was edited",
    r"remove that file and run the role service for that service again",
    "`rm`, and what the role `service` writes",
)
def _scene(stage: Stage) -> None:
    path = stage.folder / services.RECORDS / "shop.json"
    path.parent.mkdir(parents=True)
    path.write_text("edited")
    stage.fails(lambda: services.services(str(stage.folder)))
    assert str(path) in stage.message
    path.unlink()
    path.write_text(json.dumps({"listen": ["8080"]}))
    stage.passes(lambda: services.services(str(stage.folder)))


@SCENES.row(
    "damaged_record",
    "the record of what a service's firewall lets in was edited",
    r"remove that file and run the role firewall for that service again",
    "`rm`, and what the role `firewall` writes",
)
def _scene(stage: Stage) -> None:
    path = Path(service_rules.path("shop", str(stage.folder)))
    path.parent.mkdir(parents=True)
    path.write_text("edited")
    stage.fails(lambda: service_rules.recorded("shop", str(stage.folder)))
    assert str(path) in stage.message
    path.unlink()
    path.write_text(json.dumps({"rules": [{"port": "8080"}]}))
    assert stage.passes(lambda: service_rules.recorded("shop", str(stage.folder)))


@SCENES.row(
    "damaged_record",
    "the record of what hardening has left was edited",
    r"remove (?P<path>\S+), and run site\.yml or harden\.yml again",
    "`rm`, and what `harden.yml` writes",
)
def _scene(stage: Stage) -> None:
    path = stage.folder / "baseline.json"
    path.write_text("edited")
    found = stage.fails(lambda: baseline.load(str(path)))
    os.unlink(found["path"])
    baseline._save(str(path), {})
    assert stage.passes(lambda: baseline.load(str(path)))


# --- programs and disks


def program(stage: Stage, name: str, text: str) -> Path:
    """A program of the host."""
    folder = stage.folder / "bin"
    folder.mkdir(exist_ok=True)
    stage.patch.setattr(command, "PATH", f"{folder}:/usr/bin:/bin")
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


HANGS = "while [ -e {lock} ]; do sleep 0.02; done"
FIND_OUT = literal("find out on the host why it hangs, then run again")


@SCENES.row("command_timeout", "a program waits for a lock", FIND_OUT, f"the lock is freed, and {AGAIN}")
def _scene(stage: Stage) -> None:
    lock = stage.folder / "lock"
    lock.touch()
    program(stage, "waiter", HANGS.format(lock=lock))
    stage.fails(lambda: command.run(["waiter"], 0.2))
    lock.unlink()
    assert stage.passes(lambda: command.run(["waiter"], 30.0)).code == 0


SOCKET = installer.UnitFile("shop.socket", "[Socket]\nListenStream=8080\n", enabled=True)


@SCENES.row("no_verify", "systemd-analyze hangs", FIND_OUT, f"what it waits for is there, and {AGAIN}")
def _scene(stage: Stage) -> None:
    lock = stage.folder / "lock"
    lock.touch()
    program(stage, "systemd-analyze", HANGS.format(lock=lock))
    stage.patch.setattr(installer, "VERIFY_TIMEOUT", 0.2)
    stage.fails(lambda: installer.verify([SOCKET]))
    lock.unlink()
    stage.patch.setattr(installer, "VERIFY_TIMEOUT", 30.0)
    stage.passes(lambda: installer.verify([SOCKET]))


class Module:
    """What AnsibleModule is to a module's work."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}

    def fail_json(self, **said: Any) -> None:
        self.said = {"failed": True, **said}

    def exit_json(self, **said: Any) -> None:
        self.said = said


@SCENES.row(
    "os_error",
    "the disk is read-only",
    literal("Remove the cause that the message names, then run again."),
    f"the disk is mounted read-write, and {AGAIN}",
)
def _scene(stage: Stage) -> None:
    read_only = [True]

    def work(_module: Any) -> dict[str, Any]:
        if read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/etc/shop/environment")
        return {"changed": True}

    def run() -> dict[str, Any]:
        module: Any = Module()
        _module.run(module, work)
        return dict(module.said)

    stage.fails(run)
    read_only.clear()
    stage.passes(run)


# --- the diagnosis


def status(host: Host) -> dict[str, Any]:
    return Operator(host.settings(), host.layout, host.systemd).status()


WELL = {"current": "v1", "state": "active", "health": "pass", "message": "", "damaged": [], "unsettled": None}


def judged(**evidence: Any) -> list[Any]:
    return [found.problem for found in causes.judge(Evidence("shop", **evidence))]


@SCENES.row("no_release", "a service was set up and never released", literal("release one"), "a release")
def _scene(stage: Stage) -> None:
    host = bare(stage, "socket")
    stage.fails(lambda: judged(status=status(host), running=False))
    host.release("v1")
    stage.passes(lambda: judged(status=status(host), running=True))


@SCENES.row(
    "no_release",
    "the file system of the releases is not mounted",
    literal("mount the file system of its releases, or release again"),
    "it is mounted",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    shutil.move(host.layout.root, stage.folder / "unmounted")
    stage.fails(lambda: judged(status=status(host), running=False))
    shutil.move(str(stage.folder / "unmounted"), host.layout.root)
    stage.passes(lambda: judged(status=status(host), running=True))


@SCENES.row(
    "no_release",
    "the file system of the releases is gone",
    literal("mount the file system of its releases, or release again"),
    "a release",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    shutil.rmtree(host.layout.root)
    stage.fails(lambda: judged(status=status(host), running=False))
    host.release("v2")
    stage.passes(lambda: judged(status=status(host), running=True))


@SCENES.row(
    "health_warns",
    "the service calls itself degraded",
    r"see sudo (?P<command>slipway status shop)",
    "`slipway status` says why, and the service is mended",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage)
    answer = ["warn"]
    says = {"reason": "json", "message": "the cache is cold", "latency": {"total": 0.002, "p99": 0.002}}
    stage.patch.setattr(gate, "judge", lambda _check: SimpleNamespace(state=answer[0], **says))
    stage.fails(lambda: judged(status=status(host), running=True))
    assert status(host)["message"] == "the cache is cold"
    answer[0] = "pass"
    stage.passes(lambda: judged(status=status(host), running=True))


@SCENES.row(
    "proxy_down",
    "HAProxy was stopped",
    r"run (?P<command>systemctl start haproxy), and see journalctl -u haproxy where that fails",
    "`systemctl start haproxy`",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "proxy")
    state = {"active": "inactive", "sub": "dead"}
    stage.patch.setattr(
        host.systemd, "show", lambda _unit: UnitState("loaded", state["active"], state["sub"], 7, 0, "success", 0)
    )
    looked = look.Look(Operator(host.settings(), host.layout, host.systemd), host.systemd, [])
    stage.fails(lambda: judged(status=WELL, running=True, front=looked._front()))
    state.update(active="active", sub="running")
    stage.passes(lambda: judged(status=WELL, running=True, front=looked._front()))


@SCENES.row(
    "port_closed",
    "somebody has removed a rule of the firewall",
    literal("run site.yml, which opens it again"),
    "the commands by which `site.yml` lets the port in",
)
def _scene(stage: Stage) -> None:
    rules: list[str] = []
    asked = [Rule("8080")]
    wall = SimpleNamespace(
        default_zone=lambda: "", missing=lambda wanted: [rule for rule in wanted if rule.port not in rules]
    )
    stage.patch.setattr(look, "in_force", lambda _run: "ufw")
    stage.patch.setattr(look, "backend_of", lambda _name, _run: wall)
    stage.patch.setattr(service_rules, "recorded", lambda _name: asked)
    stage.fails(lambda: judged(status=WELL, running=True, closed=look.closed_ports("shop")))
    rules.append("8080")
    stage.passes(lambda: judged(status=WELL, running=True, closed=look.closed_ports("shop")))

"""Scenes of what a release finds on the host before it begins, and of releases that somebody has changed."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._host import processes, sockets
from ansible_collections.slipway.go.plugins.module_utils._release import (
    confirm_timer,
    integrity,
    preflight,
    staged_units,
)
from ansible_collections.slipway.go.plugins.module_utils._release import stage as staging
from ansible_collections.slipway.go.plugins.module_utils._release.outcome import Outcome
from ansible_collections.slipway.go.plugins.module_utils._release.strategies import reserved_ports
from ansible_collections.slipway.go.plugins.module_utils._tool import cli
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.faults.fixes.several import layout, reserve
from ansible_collections.slipway.go.tests.faults.fixes.swaps import bare, host_of
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Host

SCENES = Scenes()


def disk(stage: Stage, **figures: int) -> Callable[..., None]:
    """A disk with room for all; the function changes what it says of itself."""
    now = {"f_bavail": 1 << 20, "f_frsize": 4096, "f_files": 1 << 20, "f_favail": 1 << 20, "f_flag": 0}
    stage.patch.setattr(os, "statvfs", lambda _path: SimpleNamespace(**now))
    now.update(figures)
    return now.update


@SCENES.row(
    "disk_full",
    "the disk of the releases has no inodes",
    r"remove files, many small ones use up inodes \(see df -i\), on the file system of service_root \(\S+\), or lower"
    r" release_keep",
    "files of that file system are removed",
)
def _scene(stage: Stage) -> None:
    host = bare(stage, "restart")
    change = disk(stage, f_favail=1)
    stage.fails(lambda: host.release("v1"))
    change(f_favail=1 << 20)
    stage.passes(lambda: host.release("v1"))


for how, moved in (("mounted again", False), ("left for another one", True)):

    @SCENES.row(
        "noexec_mount",
        f"service_root is on a file system with noexec, which is {how}",
        literal("mount it without noexec, or set service_root to a directory on another file system"),
        "another `service_root`" if moved else "`mount -o remount,exec`",
    )
    def _scene(stage: Stage, moved: bool = moved) -> None:
        here, other = str(stage.folder / "data"), str(stage.folder / "opt")
        noexec = {here}
        stage.patch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_NOEXEC if path in noexec else 0))
        for folder in (here, other):
            os.mkdir(folder)
        stage.fails(lambda: preflight.check_mount(f"{here}/shop"))
        if not moved:
            noexec.clear()
        stage.passes(lambda: preflight.check_mount(f"{other if moved else here}/shop"))


for how in ("without being confirmed", "once the role has been applied"):

    @SCENES.row(
        "no_tool",
        f"the host does not have the tool that takes a release back, and releases {how}",
        literal("apply the role slipway.go.service, or set release_confirm to 0"),
        "`release_confirm: 0`" if how == "without being confirmed" else "what the role `service` installs",
    )
    def _scene(stage: Stage, confirmed: bool = how == "once the role has been applied") -> None:
        host, tool = host_of(stage, "restart"), stage.folder / "slipway"
        stage.patch.setattr(confirm_timer, "TOOL", str(tool))
        stage.fails(lambda: host.release("v2"))
        if confirmed:
            tool.touch(0o755)
        else:
            host.confirm = 0.0
        assert stage.passes(lambda: host.release("v2")).current == host.settled()


for how in ("without a pause", "once the role is applied"):

    @SCENES.row(
        "no_tool",
        f"the host does not have the tool that resumes a release, and releases {how}",
        literal("apply the role slipway.go.service, or set release_slow to rollback"),
        "`release_slow: rollback`" if how == "without a pause" else "what the role `service` installs",
    )
    def _scene(stage: Stage, pauses: bool = how == "once the role is applied") -> None:
        host, tool = host_of(stage, "proxy"), stage.folder / "slipway"
        stage.patch.setattr(confirm_timer, "TOOL", str(tool))
        host.confirm, host.proxy = 0.0, {"weights": [20], "slow": "pause"}
        stage.fails(lambda: host.release("v2"))
        if pauses:
            tool.touch(0o755)
        else:
            host.proxy = {"weights": [20]}
        assert stage.passes(lambda: host.release("v2")).current == host.settled()


for what, given in (
    ("release_confirm alone", {"release_confirm": 90000.0}),
    ("a pause, for which the fleet waits twice", {"release_confirm_fleet": 86400.0, "release_pause_time": 43200.0}),
):
    LOWER = " and ".join(rf"{variable} to (?P<{variable}>\d+)" for variable in given)

    @SCENES.row(
        "confirm_too_long",
        f"a release could wait for more than a day to be confirmed: {what}",
        f"set {LOWER} or less",
        ", ".join(f"another `{variable}`" for variable in given),
    )
    def _scene(stage: Stage, given: tuple[tuple[str, float], ...] = tuple(given.items())) -> None:
        host, times = host_of(stage, "proxy"), {"release_confirm": 60.0, "release_pause_time": 900.0, **dict(given)}

        def act() -> Outcome:
            host.confirm = times["release_confirm"]
            host.proxy = {"weights": [20], "slow": "pause", "pause_time": times["release_pause_time"]}
            return host.release("v2", hold=times.get("release_confirm_fleet", 0.0))

        times.update({variable: float(most) for variable, most in stage.fails(act).items()})
        assert stage.passes(act).current == host.settled()


for number, family in enumerate(("IPv4", "IPv6")):

    @SCENES.row(
        "invalid_listen",
        f"systemd is to listen at a name, and gets an address of {family}",
        r"use for example (\S+) or (\S+)",
        "another `service_listen`",
    )
    def _scene(stage: Stage, number: int = number) -> None:
        host = bare(stage, "socket")
        stage.fails(lambda: host.release("v1", listen=["localhost:8080"]))
        stage.passes(lambda: host.release("v1", listen=[("127.0.0.1:8080", "[::1]:8080")[number]]))


SOCKET = r"run (?P<command>systemctl disable --now \S+), or choose another port in service_listen"
for how in ("is disabled", "stays"):

    @SCENES.row(
        "port_in_use",
        f"a socket of systemd has the port, and {how}",
        SOCKET,
        "`systemctl disable --now`" if how == "is disabled" else "another `service_listen`",
    )
    def _scene(stage: Stage, disabled: bool = how == "is disabled") -> None:
        host, listeners, unit = bare(stage, "restart"), {"1": 8080}, "cups.socket"
        stage.patch.setattr(sockets, "tcp_listeners", lambda: listeners)
        stage.patch.setattr(sockets, "tcp_addresses", lambda: {"1": "0.0.0.0"})
        stage.patch.setattr(sockets, "holders", lambda _inodes: [1])
        stage.patch.setattr(processes, "name", lambda _pid: "systemd")
        stage.patch.setattr(preflight, "Systemd", lambda: SimpleNamespace(listening_sockets=lambda: [(unit, {8080})]))
        found = stage.fails(lambda: host.release("v1", listen=["8080"]))
        assert found["command"].endswith(unit)
        if disabled:
            listeners.clear()
        stage.passes(lambda: host.release("v1", listen=["8080" if disabled else "8081"]))


@SCENES.row(
    "wrong_checksum",
    "the artefact is cut on the way into the release",
    literal("run again, or check the artefact and the disk if it stays"),
    "the same run again",
)
def _scene(stage: Stage) -> None:
    host = bare(stage, "restart")
    copy = staging._files.copy_hashed

    def cut(source: str, *arguments: Any) -> Any:
        Path(source).write_bytes(Path(source).read_bytes()[:-1])
        return copy(source, *arguments)

    stage.patch.setattr(staging._files, "copy_hashed", cut)
    stage.fails(lambda: host.release("v1"))
    stage.patch.setattr(staging._files, "copy_hashed", copy)
    stage.passes(lambda: host.release("v1"))


for count, them in ((1, "it"), (2, "them")):

    @SCENES.row(
        "foreign_files",
        f"{count} of the files that a new service would have {'is' if count == 1 else 'are'} there",
        literal(f"move {them} away, or choose another service_name"),
        "`mv`",
    )
    def _scene(stage: Stage, count: int = count) -> None:
        here = layout(stage, "shop")
        os.makedirs(f"{here.config}/config")
        for name in ("environment", "config/shop.toml")[:count]:
            Path(here.config, name).touch()
        stage.fails(lambda: staged_units.refuse_foreign(here))
        os.rename(here.config, f"{here.config}.before")
        assert stage.passes(lambda: staged_units.refuse_foreign(here)) == []


# --- releases that were changed


def damage(host: Host, release_id: str) -> None:
    with open(host.layout.binary(release_id), "ab") as file:
        file.write(b"changed")


@SCENES.row(
    "rolled_back",
    "the release that waits to be confirmed was changed",
    literal("see who changed it, then release it again"),
    "the same release again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "restart")
    waiting = host.swap("v2")
    damage(host, str(waiting.current))
    stage.fails(lambda: host.engine().confirm(waiting.unconfirmed))
    assert stage.passes(lambda: host.release("v2")).current == host.settled()


for how, applied in (("is released again", "`release_force: true`"), ("is left", "another `release_version`")):

    @SCENES.row(
        "damaged_release",
        f"the release that serves was changed, and the same version {how}",
        r"run sudo slipway rollback shop (?P<id>\S+), then release this one again with release_force: true, or release"
        " another version",
        f"`slipway rollback`, and {applied}",
    )
    def _scene(stage: Stage, again: bool = how == "is released again") -> None:
        host = host_of(stage, "restart")
        damage(host, str(host.release("v2").current))
        before = stage.fails(lambda: host.release("v2"))["id"]
        if again:
            host.rollback(before)
        version = "v2" if again else "v3"
        done = stage.passes(lambda: host.release(version, force=again))
        assert done.current == host.settled() == host.id_of(version)


@SCENES.row(
    "damaged_release",
    "the only release that could serve again was changed",
    literal("release another version, or this one with release_force: true once another serves"),
    "another `release_version`, then `release_force: true`",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "restart")
    host.release("v2")
    damage(host, host.id_of("v1"))
    stage.fails(lambda: host.rollback(host.id_of("v1")))
    host.release("v3")
    assert stage.passes(lambda: host.release("v1", force=True)).current == host.settled()


@SCENES.row(
    "damaged_release",
    "others than root may write where the releases are",
    r"run chmod go-w (?P<path>\S+), then sudo slipway verify shop (?P<id>\S+), which says whether that was all",
    "`chmod`, and `slipway verify`",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "restart")
    host.release("v2")
    os.chmod(host.layout.releases, 0o777)
    found = stage.fails(host.rollback)
    mode = stat.S_IMODE(os.stat(found["path"]).st_mode)
    os.chmod(found["path"], mode & ~0o022)
    integrity.verify(host.layout, host.store, found["id"])
    assert stage.passes(host.rollback).current == found["id"] == host.settled()


@SCENES.row(
    "damaged_state",
    "the record of a transaction and the journal beside it are damaged",
    literal("make sure that the right release of shop runs, then remove that file"),
    "`slipway status` names the release that runs, and `rm`",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "restart")
    host.swap("v2")
    os.unlink(f"{host.layout.state}/journal.jsonl")
    file = Path(host.layout.state, "state.json")
    file.write_text("{")
    stage.fails(lambda: host.release("v3"))
    assert str(file) in stage.message
    assert host.systemd.running() == [host.layout.current_id()]
    file.unlink()
    assert stage.passes(lambda: host.release("v3")).current == host.settled()


HEALTH = literal("correct release_health, or release a version that passes it")
for how, applied in (("is corrected", "another `release_health`"), ("is what is meant", "another `release_version`")):

    @SCENES.row("unhealthy", f"what serves fails a release_health that {how}", HEALTH, applied)
    def _scene(stage: Stage, corrected: bool = how == "is corrected") -> None:
        host = host_of(stage, "restart")
        before, host.health = host.health, {**host.health, "body_contains": "ready"}
        host.behave("v1").healthy = False
        stage.fails(lambda: host.release("v1"))
        if corrected:
            host.behave("v1").healthy, host.health = True, {**before, "body_contains": "well"}
        stage.passes(lambda: host.release("v1" if corrected else "v2"))


@SCENES.row(
    "damaged_record",
    "the record of which local ports a service has was edited",
    literal("remove that file and apply the role service for that service again"),
    "`rm`, and what the role `service` writes",
)
def _scene(stage: Stage) -> None:
    taken = reserve(stage, "mailer")
    path = Path(reserved_ports._path(layout(stage, "mailer"), "mailer"))
    path.write_text("edited")
    stage.fails(lambda: reserve(stage, "shop"))
    assert str(path) in stage.message
    path.unlink()
    assert reserve(stage, "mailer") == taken
    assert not set(stage.passes(lambda: reserve(stage, "shop"))) & set(taken)


@SCENES.row(
    "unknown_release",
    "a release is to be purged that this host does not have",
    r"choose one that sudo (?P<command>slipway status shop) lists",
    "a release that this host has",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "restart")
    for version in ("v2", "v3"):
        host.release(version)
    stage.patch.setattr(cli, "operator", lambda _service: SimpleNamespace(store=host.store))
    stage.patch.setattr(cli, "_engine", lambda _one: host.engine())
    asked = cli.parser().parse_args
    with contextlib.redirect_stdout(io.StringIO()):
        stage.fails(lambda: cli._purge(asked(["purge", "shop", "v9-0123456789"])))
        assert stage.passes(lambda: cli._purge(asked(["purge", "shop", host.id_of("v1")]))) == cli.OK
    assert host.id_of("v1") not in host.layout.staged()

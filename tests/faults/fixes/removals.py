"""Scenes of services that are removed, on a host below a folder whose systemd is played."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._release.verbs import remove
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.removal.placed import (
    RELEASE,
    Host,
    Pid1,
    two_services,
)

SCENES = Scenes()
ARCHIVE = r"use a path such as /(?P<path>var/backups/shop\.tar\.gz)"


def take(host: Host, systemd: Pid1 | None = None, **wish: Any) -> Any:
    systemd = systemd or Pid1([f"shop@{RELEASE}.service"])
    return remove.remove(host.context("shop", systemd), host.wish(**wish), str(host.top), host.system())


def gone(host: Host) -> bool:
    return not (host.top / "etc/systemd/system/shop.service").exists()


@SCENES.row(
    "still_running",
    "something starts the service again",
    r"find out what starts it \(systemctl status '(?P<unit>\S+)'\), then run again",
    "what starts the unit is stopped, and the same run again",
)
def _(stage: Stage) -> None:
    host, systemd = two_services(stage.folder, stage.patch), Pid1([f"shop@{RELEASE}.service"])
    systemd.comes_back = True
    assert stage.fails(lambda: take(host, systemd))["unit"] in systemd.running
    systemd.comes_back = False
    stage.passes(lambda: take(host, systemd))
    assert gone(host)


@SCENES.row(
    "not_removed",
    "a file of the service cannot be removed",
    literal("find out what keeps it (lsattr, findmnt), then run again"),
    "`chattr -i` on the path that the message has, and the same run again",
)
def _(stage: Stage) -> None:
    host = two_services(stage.folder, stage.patch)
    delete, kept = remove.remove_path, []
    stage.patch.setattr(remove, "remove_path", kept.append)
    stage.fails(lambda: take(host))
    assert kept[0] in stage.message
    stage.patch.setattr(remove, "remove_path", delete)
    stage.passes(lambda: take(host))
    assert gone(host)
    assert not os.path.lexists(kept[0])


def in_flight(host: Host, phase: str) -> Path:
    swap = {"txn": "1", "phase": phase, "to": RELEASE, "source": None, "strategy": "restart", "started": 1.0}
    return host.write("var/lib/slipway/shop/state.json", json.dumps(swap))


@SCENES.row(
    "release_in_flight",
    "a release waits to be confirmed",
    r"run (?P<confirm>slipway confirm shop) or slipway rollback shop on the host, then run again",
    "`slipway confirm shop`, and the same run again",
)
def _(stage: Stage) -> None:
    host = two_services(stage.folder, stage.patch)
    state = in_flight(host, "PROBATION")
    stage.fails(lambda: take(host))
    state.unlink()  # as a confirmation leaves it
    stage.passes(lambda: take(host))
    assert gone(host)


@SCENES.row(
    "release_in_flight",
    "a release was cut short",
    r"wait for it to end, or run (?P<recover>slipway recover shop) on the host, then run again",
    "`slipway recover shop`, and the same run again",
)
def _(stage: Stage) -> None:
    host = two_services(stage.folder, stage.patch)
    state = in_flight(host, "SOAK")
    stage.fails(lambda: take(host))
    state.unlink()  # as a recovery leaves it
    stage.passes(lambda: take(host))
    assert gone(host)


@SCENES.row("invalid_archive_path", "remove_archive is relative", ARCHIVE, "another `remove_archive`")
def _(stage: Stage) -> None:
    named(stage, "backup.tar.gz")


@SCENES.row("invalid_archive_path", "remove_archive is in a folder of the service", ARCHIVE, "another `remove_archive`")
def _(stage: Stage) -> None:
    named(stage, str(stage.folder / "opt/shop/releases/backup.tar.gz"))


def named(stage: Stage, path: str) -> None:
    host = two_services(stage.folder, stage.patch)
    found = stage.fails(lambda: take(host, archive=path))
    other = host.top / found["path"]
    other.parent.mkdir()
    assert stage.passes(lambda: take(host, archive=str(other))).archive == str(other)


@SCENES.row("invalid_archive_path", "the folder of remove_archive is not there", literal("create it first"), "`mkdir`")
def _(stage: Stage) -> None:
    host = two_services(stage.folder, stage.patch)
    path = host.top / "backups/shop.tar.gz"
    stage.fails(lambda: take(host, archive=str(path)))
    assert str(path.parent) in stage.message
    path.parent.mkdir()
    stage.passes(lambda: take(host, archive=str(path)))


THERE = literal("move it away, or name another file in remove_archive")


@SCENES.row("archive_exists", "an earlier archive has the name", THERE, "`mv`")
def _(stage: Stage) -> None:
    host = two_services(stage.folder, stage.patch)
    path = host.write("shop.tar.gz")
    stage.fails(lambda: take(host, archive=str(path)))
    shutil.move(str(path), str(path.with_name("earlier.tar.gz")))
    assert stage.passes(lambda: take(host, archive=str(path))).archive == str(path)


@SCENES.row("archive_exists", "an earlier archive has the name, and stays", THERE, "another `remove_archive`")
def _(stage: Stage) -> None:
    host = two_services(stage.folder, stage.patch)
    path = host.write("shop.tar.gz")
    stage.fails(lambda: take(host, archive=str(path)))
    stage.passes(lambda: take(host, archive=str(path.with_name("other.tar.gz"))))

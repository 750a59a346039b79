"""Scenes of services that are removed, on a host below a folder whose systemd is played."""

from __future__ import annotations

import os
import shutil
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._release.context import Context
from ansible_collections.slipway.go.plugins.module_utils._release.operator import metrics
from ansible_collections.slipway.go.plugins.module_utils._release.removal.parts import Wish
from ansible_collections.slipway.go.plugins.module_utils._release.verbs import remove
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.faults.fixes.swaps import host_of, killed
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.removal.placed import (
    RELEASE,
    Host,
    Pid1,
    own_account,
    two_services,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Host as Released

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
def _scene(stage: Stage) -> None:
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
def _scene(stage: Stage) -> None:
    host = two_services(stage.folder, stage.patch)
    delete, kept = remove.remove_path, []
    stage.patch.setattr(remove, "remove_path", kept.append)
    stage.fails(lambda: take(host))
    assert kept[0] in stage.message
    stage.patch.setattr(remove, "remove_path", delete)
    stage.passes(lambda: take(host))
    assert gone(host)
    assert not os.path.lexists(kept[0])


def asked(host: Released) -> Any:
    """What a removal of the service would do now."""
    context = Context(host.settings(), host.layout, host.systemd)
    return remove.predict(context, Wish(*own_account(), metrics.path), host.folder)


@SCENES.row(
    "release_in_flight",
    "a release waits to be confirmed",
    r"run sudo slipway confirm (?P<service>\w+) or sudo slipway rollback (?P=service) on the host, then run again",
    "`slipway confirm shop`, and the same run again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "restart")
    host.swap("v2")
    stage.fails(lambda: asked(host))
    host.engine().confirm()
    stage.passes(lambda: asked(host))


@SCENES.row(
    "release_in_flight",
    "a release waits to be confirmed, and is not wanted",
    r"run sudo slipway confirm (?P<service>\w+) or sudo slipway rollback (?P=service) on the host, then run again",
    "`slipway rollback shop`, and the same run again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "restart")
    host.swap("v2")
    stage.fails(lambda: asked(host))
    host.rollback()
    stage.passes(lambda: asked(host))


@SCENES.row(
    "release_in_flight",
    "a release was cut short",
    r"wait for it to end, or run sudo slipway recover \w+ on the host, then run again",
    "`slipway recover shop`, and the same run again",
)
def _scene(stage: Stage) -> None:
    host = host_of(stage, "restart")
    killed(host)
    stage.fails(lambda: asked(host))
    host.engine().recover()
    stage.passes(lambda: asked(host))


@SCENES.row("invalid_archive_path", "remove_archive is relative", ARCHIVE, "another `remove_archive`")
def _scene(stage: Stage) -> None:
    named(stage, "backup.tar.gz")


@SCENES.row("invalid_archive_path", "remove_archive is in a folder of the service", ARCHIVE, "another `remove_archive`")
def _scene(stage: Stage) -> None:
    named(stage, str(stage.folder / "opt/shop/releases/backup.tar.gz"))


def named(stage: Stage, path: str) -> None:
    host = two_services(stage.folder, stage.patch)
    found = stage.fails(lambda: take(host, archive=path))
    other = host.top / found["path"]
    other.parent.mkdir()
    assert stage.passes(lambda: take(host, archive=str(other))).archive == str(other)


@SCENES.row("invalid_archive_path", "the folder of remove_archive is not there", literal("create it first"), "`mkdir`")
def _scene(stage: Stage) -> None:
    host = two_services(stage.folder, stage.patch)
    path = host.top / "backups/shop.tar.gz"
    stage.fails(lambda: take(host, archive=str(path)))
    assert str(path.parent) in stage.message
    path.parent.mkdir()
    stage.passes(lambda: take(host, archive=str(path)))


THERE = literal("move it away, or name another file in remove_archive")


@SCENES.row("archive_exists", "an earlier archive has the name", THERE, "`mv`")
def _scene(stage: Stage) -> None:
    host = two_services(stage.folder, stage.patch)
    path = host.write("shop.tar.gz")
    stage.fails(lambda: take(host, archive=str(path)))
    shutil.move(str(path), str(path.with_name("earlier.tar.gz")))
    assert stage.passes(lambda: take(host, archive=str(path))).archive == str(path)


@SCENES.row("archive_exists", "an earlier archive has the name, and stays", THERE, "another `remove_archive`")
def _scene(stage: Stage) -> None:
    host = two_services(stage.folder, stage.patch)
    path = host.write("shop.tar.gz")
    stage.fails(lambda: take(host, archive=str(path)))
    stage.passes(lambda: take(host, archive=str(path.with_name("other.tar.gz"))))

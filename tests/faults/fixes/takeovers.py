# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scenes of services that a release takes over, and gives back, on a host whose systemd is played."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._adoption import look, switch
from ansible_collections.slipway.go.plugins.module_utils._release.context import Context
from ansible_collections.slipway.go.plugins.module_utils._release.operator import metrics
from ansible_collections.slipway.go.plugins.module_utils._release.removal.parts import Wish
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.registry import PROXY
from ansible_collections.slipway.go.plugins.module_utils._release.verbs import remove
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.faults.fixes.swaps import last_outcome
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.former import BY_HAND, SERVICE, FormerHost
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.removal.placed import own_account

SCENES = Scenes()


def by_hand(stage: Stage) -> FormerHost:
    host = FormerHost(str(stage.folder / "host"), "restart", BY_HAND).install(stage.patch)
    stage.journal = lambda: str(host.store.journal.last_outcome().get("code", ""))
    return host


def adopted(stage: Stage) -> FormerHost:
    host = by_hand(stage)
    host.adopt("v1")
    return host


def asked(stage: Stage, host: FormerHost, moved: list[str], strategy: str = "restart", **wish: Any) -> Any:
    told = {"managed": False, "findings": [], "moved": moved, "kept": moved}
    stage.patch.setattr(switch, "look", lambda _layout: told)
    return switch.files_to_keep(host.layout, switch.Wish(strategy, **wish))


@SCENES.row(
    "former_changed",
    "the unit is changed while it is taken over",
    literal("run slipway.go.adopt again, which looks anew"),
    "`slipway.go.adopt`",
)
def _scene(stage: Stage) -> None:
    host = by_hand(stage)
    host.keep_former()
    host.apply_role()
    with open(os.path.join(host.layout.unit_root, f"{SERVICE}.d", "limits.conf"), "a", encoding="utf-8") as stream:
        stream.write("Nice=5\n")
    stage.fails(lambda: host.release("v1"))
    stage.passes(lambda: host.adopt("v1"))


@SCENES.row(
    "not_adoptable",
    "service_swap is proxy",
    literal("take the service over with service_swap: restart, and change to proxy with the next release"),
    "`service_swap: restart`",
)
def _scene(stage: Stage) -> None:
    host = by_hand(stage)
    units = [os.path.join(host.layout.unit_root, SERVICE)]
    stage.fails(lambda: asked(stage, host, units, "proxy"))
    assert stage.passes(lambda: asked(stage, host, units)).moved == units


@SCENES.row(
    "not_adoptable",
    "service_log is file",
    literal("take the service over with service_log: journald, and change to file with the next release"),
    "`service_log: journald`",
)
def _scene(stage: Stage) -> None:
    host = by_hand(stage)
    units = [os.path.join(host.layout.unit_root, SERVICE)]
    stage.fails(lambda: asked(stage, host, units, log_file=True))
    assert stage.passes(lambda: asked(stage, host, units)).moved == units


@SCENES.row(
    "not_adoptable",
    "a drop-in is in another folder",
    r"move units and drop-ins into (?P<folder>\S+), and other files out of the way, and run systemctl daemon-reload",
    "`mv`",
)
def _scene(stage: Stage) -> None:
    host = by_hand(stage)
    other = stage.folder / "run" / f"{SERVICE}.d" / "more.conf"
    other.parent.mkdir(parents=True)
    other.write_text("[Service]\n")
    folder = stage.fails(lambda: asked(stage, host, [str(other)]))["folder"]
    there = os.path.join(folder, f"{SERVICE}.d", "more.conf")
    shutil.move(other, there)
    assert stage.passes(lambda: asked(stage, host, [there])).moved == [there]


@SCENES.row(
    "not_adoptable",
    "the folder of the drop-ins is a link",
    literal("put a folder with the same drop-ins in its place"),
    "`cp -r`",
)
def _scene(stage: Stage) -> None:
    host = by_hand(stage)
    folder = os.path.join(host.layout.unit_root, f"{SERVICE}.d")
    other = shutil.move(folder, str(stage.folder / "drop-ins"))
    os.symlink(other, folder)
    drop_in = os.path.join(folder, "limits.conf")
    stage.fails(lambda: asked(stage, host, [drop_in]))
    os.unlink(folder)
    shutil.copytree(other, folder)
    assert stage.passes(lambda: asked(stage, host, [drop_in])).moved == [drop_in]


@SCENES.row(
    "not_adoptable",
    "service_swap has become proxy meanwhile",
    literal("take the service over with service_swap: restart, and change to proxy with the next release"),
    "`service_swap: restart`",
)
def _scene(stage: Stage) -> None:
    host = by_hand(stage)
    host.keep_former()
    host.apply_role()
    stage.fails(lambda: host.release("v1", strategy="proxy"))
    stage.passes(lambda: host.release("v1"))


@SCENES.row(
    "not_adopted",
    "the service has always been slipway's",
    literal("choose a service and a host that slipway.go.adopt has taken over"),
    "a host whose service was taken over",
)
def _scene(stage: Stage) -> None:
    stage.fails(by_hand(stage).engine().give_back)
    other = FormerHost(str(stage.folder / "other"), "restart", BY_HAND).install(stage.patch)
    other.adopt("v1")
    stage.passes(other.engine().give_back)


@SCENES.row(
    "not_adopted",
    "no release is current",
    r"release a version first, or move what \S+ keeps into its place by hand",
    "a release",
)
def _scene(stage: Stage) -> None:
    host = adopted(stage)
    for link in (host.layout.current, host.layout.last_good):
        os.unlink(link)
    stage.fails(host.engine().give_back)
    host.release("v1", force=True)
    stage.passes(host.engine().give_back)
    assert host.serves() == "former"


@SCENES.row(
    "damaged_former",
    "the record is damaged",
    r"replace it from a backup of the host, or remove (?P<folder>\S+) if \S+ is slipway's",
    "the record of a backup",
)
def _scene(stage: Stage) -> None:
    host = adopted(stage)
    path = os.path.join(host.takeover.folder, "former.json")
    shutil.copy(path, stage.folder / "backup")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("{")
    assert stage.fails(host.engine().give_back)["folder"] == host.takeover.folder
    shutil.copy(stage.folder / "backup", path)
    stage.passes(host.engine().give_back)


@SCENES.row(
    "former_not_started",
    "the program of the former service does not start",
    r"see journalctl -u '(?P<unit>\S+)'",
    "what the log of that unit says is corrected, and the same run again",
)
def _scene(stage: Stage) -> None:
    host = adopted(stage)
    start = host.systemd._start_former
    host.systemd._start_former = lambda: None  # the job ends, and nothing runs
    assert stage.fails(host.engine().give_back)["unit"] == SERVICE
    host.systemd._start_former = start
    stage.passes(host.engine().give_back)
    assert host.serves() == "former"


@SCENES.row(
    "former_needs_data",
    "remove_data is true for a service that was given back",
    literal("run again without remove_data"),
    "the same run without it",
)
def _scene(stage: Stage) -> None:
    host = adopted(stage)
    host.engine().give_back()
    context = Context(host.settings(), host.layout, host.systemd)

    def removal(data: bool) -> Any:
        return remove.predict(context, Wish(*own_account(), metrics.path, data=data), host.folder)

    stage.fails(lambda: removal(True))
    stage.passes(lambda: removal(False))


@SCENES.row(
    "given_back",
    "somebody gave the service back",
    literal("Run `slipway.go.adopt` with `adopt_switch` when the service is to be slipway's again."),
    "`adopt_switch`",
)
def _scene(stage: Stage) -> None:
    host = adopted(stage)
    host.engine().give_back()
    stage.fails(lambda: last_outcome(host))
    host.adopt("v1")
    stage.passes(lambda: last_outcome(host))
    assert host.serves() == "v1"


@SCENES.row(
    "units_missing",
    "the former service is kept, and the role service was not applied",
    literal("run slipway.go.adopt with adopt_switch, which applies the role service"),
    "`slipway.go.adopt -e adopt_switch=true`",
)
def _scene(stage: Stage) -> None:
    host = by_hand(stage)
    host.keep_former()
    stage.fails(lambda: host.release("v1"))
    stage.passes(lambda: host.adopt("v1"))


@SCENES.row(
    "no_last_good",
    "a rollback while the former service runs",
    literal("run slipway.go.adopt with adopt_switch, so that a release takes it over"),
    "`slipway.go.adopt -e adopt_switch=true`",
)
def _scene(stage: Stage) -> None:
    host = by_hand(stage)
    host.keep_former()
    host.apply_role()
    stage.fails(lambda: host.engine().rollback())
    stage.passes(lambda: host.adopt("v1"))


@SCENES.row(
    "other_front",
    "a service is given back while HAProxy has its port",
    literal("release a version with service_swap: restart and proxy_state: absent first"),
    "`service_swap: restart`, `proxy_state: absent`",
)
def _scene(stage: Stage) -> None:
    host = adopted(stage)

    def strategy_of(_context: Context, _release: str) -> Any:
        return SimpleNamespace(name=PROXY)

    with stage.patch.context() as played:
        played.setattr(Context, "strategy_of", strategy_of)
        stage.fails(lambda: host.engine().give_back())
    host.release("v2")
    stage.passes(lambda: host.engine().give_back())


@SCENES.row(
    "unit_not_found",
    "the name is that of a template",
    literal("give each instance a unit and a service_name of its own"),
    "a unit of its own",
)
def _scene(stage: Stage) -> None:
    (stage.folder / "shop@.service").write_text("[Service]\nExecStart=/bin/true\n")
    stage.fails(lambda: look._refuse_template("shop", [str(stage.folder)]))
    (stage.folder / "shop.service").write_text("[Service]\nExecStart=/bin/true\n")
    stage.passes(lambda: look._refuse_template("shop", [str(stage.folder)]))

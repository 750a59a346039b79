# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What serves keeps the units that it was proven in; those of the next release wait."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import files
from ansible_collections.slipway.go.plugins.module_utils._release import integrity, staged_units
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._units.installer import UnitFile

UMBRELLA = UnitFile("shop.service", "umbrella", enabled=True)
SOCKET = UnitFile("shop.socket", "new socket", enabled=True)
GUARD = UnitFile("shop-guard.service", "new guard")
TEMPLATE = UnitFile("shop@.service", "new template")
WANTED = [UMBRELLA, SOCKET, GUARD, TEMPLATE]


@pytest.fixture
def layout(tmp_path):
    places = {f"{name}_root": str(tmp_path / name) for name in ("state", "config", "unit", "proxy")}
    return Layout("shop", str(tmp_path / "shop"), **places)


def serve(layout, **copies):
    """A release that serves, staged with these units."""
    folder, digests = layout.release_units("v1-0123456789"), {}
    os.makedirs(folder)
    for name, text in copies.items():
        unit = {"socket": "shop.socket", "template": "shop@.service"}[name]
        with open(os.path.join(folder, unit), "w") as stream:
            stream.write(text)
        digests[f"units/{unit}"] = files.sha256_file(os.path.join(folder, unit))
    with open(os.path.join(layout.release("v1-0123456789"), "release.json"), "w") as stream:
        stream.write("{}")
    for base, _folders, names in os.walk(layout.root):
        os.chmod(base, 0o750)
        for name in names:
            os.chmod(os.path.join(base, name), 0o640)
    integrity.keep(layout, "v1-0123456789", digests, {})
    os.symlink("releases/v1-0123456789", layout.current)


def test_only_what_comes_with_a_release_waits_for_the_next(layout):
    assert staged_units.next_release(WANTED, layout) == [UnitFile(u.name, u.content) for u in (SOCKET, GUARD, TEMPLATE)]


def test_until_there_is_a_release_all_is_in_force(layout):
    assert staged_units.in_force(WANTED, ["shop-alert.service"], layout, bool) == (WANTED, ["shop-alert.service"])


def test_what_serves_keeps_its_own(layout):
    serve(layout, socket="old socket", template="old template")
    wanted, absent = staged_units.in_force(WANTED, ["shop-alert.service"], layout, bool)
    assert sorted((u.name, u.content, u.enabled) for u in wanted) == [
        ("shop.service", "umbrella", True),
        ("shop.socket", "old socket", True),
        ("shop@.service", "old template", None),
    ]
    assert absent == ["shop-alert.service", "shop-guard.service"]


def test_a_copy_that_somebody_has_changed_is_never_put_in_force(layout):
    """It would decide what root runs; what PID 1 has stays."""
    serve(layout, socket="old socket", template="old template")
    with open(os.path.join(layout.release_units("v1-0123456789"), "shop@.service"), "w") as stream:
        stream.write("ExecStartPre=/tmp/foreign")
    wanted, absent = staged_units.in_force(WANTED, ["shop-alert.service"], layout, bool)
    assert wanted == [UMBRELLA]
    assert absent == ["shop-alert.service"]


def test_a_unit_that_only_the_next_release_goes_without_stays(layout):
    """Without its socket, what serves would be out of reach before anything takes its place."""
    serve(layout, socket="old socket", template="old template")
    wanted, absent = staged_units.in_force([UMBRELLA, TEMPLATE], [SOCKET.name, GUARD.name], layout, bool)
    assert UnitFile("shop.socket", "old socket") in wanted
    assert absent == ["shop-guard.service"]


def test_a_socket_that_somebody_has_closed_for_good_goes(layout):
    """On the way to HAProxy, which has the port: a boot must not open it beside HAProxy."""
    serve(layout, socket="old socket", template="old template")
    os.makedirs(layout.unit_root)
    with open(layout.socket_unit, "w") as stream:
        stream.write("old socket")
    absent = [SOCKET.name, GUARD.name]
    wanted, gone = staged_units.in_force([UMBRELLA, TEMPLATE], absent, layout, lambda _name: False)
    assert (wanted, gone) == ([UMBRELLA, TEMPLATE], absent)


def test_in_the_middle_of_a_swap_they_are_left_alone(layout):
    serve(layout, socket="old socket", template="old template")
    os.makedirs(layout.state, exist_ok=True)
    left = {"txn": "x", "phase": "SOAK", "to": "v2-0123456789", "source": "v1-0123456789", "strategy": "socket"}
    with open(os.path.join(layout.state, "state.json"), "w") as stream:
        json.dump({**left, "started": 1.0}, stream)
    assert staged_units.in_force(WANTED, [], layout, bool) == ([UMBRELLA], [])


def test_a_release_that_lost_its_copies_changes_nothing(layout):
    serve(layout)
    assert staged_units.in_force(WANTED, [SOCKET.name], layout, bool) == ([UMBRELLA], [])

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What somebody else has given a service's name is refused; what any version of slipway has written is its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._host.systemd import Systemd
from ansible_collections.slipway.go.plugins.module_utils._units import foreign
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

HAND_MADE = "[Service]\nExecStart=/srv/shop/shop\n"
OURS = "[Service]\nEnvironmentFile=/var/lib/slipway/shop/boot.env\n"


class Pid1(Systemd):
    """Says that these units run."""

    def __init__(self, **running: int) -> None:
        self.running = running

    def call(self, *_arguments: str, timeout: Optional[float] = None, check: bool = True) -> str:
        blocks = [f"Id={unit}.service\nActiveState=active\nMainPID={pid}\n" for unit, pid in self.running.items()]
        return "\n".join(["Id=shop.socket\nActiveState=inactive\nMainPID=0\n", *blocks])


@pytest.fixture
def place(tmp_path: Path) -> foreign.ServiceUnits:
    for name in ("etc", "run", "lib", "copies"):
        (tmp_path / name).mkdir()
    others = [str(tmp_path / "run"), str(tmp_path / "lib")]
    return foreign.ServiceUnits(
        "shop", str(tmp_path / "state"), str(tmp_path / "etc"), [str(tmp_path / "copies")], others
    )


def write(place: foreign.ServiceUnits, path: str, text: str = HAND_MADE) -> str:
    target = Path(place.unit_root).parent / path
    target.parent.mkdir(exist_ok=True)
    target.write_text(text)
    return str(target)


def not_ours(place: foreign.ServiceUnits, **running: int) -> SlipwayError:
    words = ("Nothing was changed.", "or choose another service_name")
    return refused(lambda: foreign.check(place, Pid1(**running)), "foreign_unit", *words)


def accepted(place: foreign.ServiceUnits, **running: int) -> list[str]:
    return foreign.check(place, Pid1(**running))


def test_a_bare_host_is_accepted(place: foreign.ServiceUnits) -> None:
    write(place, "etc/other.service")
    write(place, "etc/shopping.service")
    assert accepted(place) == []


@pytest.mark.parametrize("name", foreign.names_of("shop"))
@pytest.mark.parametrize("folder", ["etc", "run", "lib"])
def test_a_hand_made_unit_is_refused_wherever_it_is(place: foreign.ServiceUnits, folder: str, name: str) -> None:
    path = write(place, f"{folder}/{name}")
    assert path in not_ours(place).message
    assert "move it away" in not_ours(place).fix


def test_one_that_runs_is_named_with_its_process(place: foreign.ServiceUnits) -> None:
    write(place, "etc/shop.service")
    error = not_ours(place, shop=812)
    assert "shop.service (pid 812) runs" in error.message
    assert "systemctl disable --now shop.service" in error.fix


def test_a_process_whose_unit_is_gone_is_refused(place: foreign.ServiceUnits) -> None:
    error = not_ours(place, shop=812)
    assert "is not from a unit of slipway" in error.message
    assert "move" not in error.fix


@pytest.mark.parametrize("name", ["shop.service.d", "shop@.service.d", "shop.socket.d"])
def test_drop_ins_of_a_service_that_is_not_ours_are_refused(place: foreign.ServiceUnits, name: str) -> None:
    path = write(place, f"etc/{name}/override.conf")
    assert path in not_ours(place).message


def test_drop_ins_of_a_service_that_is_ours_are_told(place: foreign.ServiceUnits) -> None:
    write(place, "etc/shop.service", OURS)
    path = write(place, "etc/shop@.service.d/override.conf")
    assert accepted(place, shop=812) == [path]


@pytest.mark.parametrize("target", ["/dev/null", "/srv/shop/shop.service"])
def test_a_link_is_never_ours(place: foreign.ServiceUnits, target: str) -> None:
    os.symlink(target, os.path.join(place.unit_root, "shop.service"))
    assert f"shop.service -> {target}" in not_ours(place).message


def test_a_service_that_is_taken_over_is_no_obstacle_and_what_is_beside_it_is(place: foreign.ServiceUnits) -> None:
    former = [write(place, "etc/shop.service"), write(place, "etc/shop.service.d/limits.conf")]
    assert foreign.check(place, Pid1(shop=7), former) == []
    write(place, "etc/shop@.service", OURS)
    assert foreign.check(place, Pid1(shop=7), former) == []
    other = write(place, "etc/shop.service.d/other.conf")
    assert foreign.check(place, Pid1(shop=7), former) == [other]
    write(place, "etc/shop.socket")
    refused(lambda: foreign.check(place, Pid1(shop=7), former), "foreign_unit", "shop.socket is not slipway's")


def test_a_unit_beside_ours_is_refused(place: foreign.ServiceUnits) -> None:
    write(place, "etc/shop.service", OURS)
    path = write(place, "etc/shop.socket")
    error = not_ours(place)
    assert path in error.message
    assert "shop.service" not in error.message


def test_units_of_earlier_versions_need_no_record(place: foreign.ServiceUnits) -> None:
    write(place, "etc/shop.service", OURS)
    write(place, "etc/shop-watch.service", "[Service]\nExecStart=/usr/local/sbin/slipway watch shop\n")
    write(place, "etc/shop-watch.timer", "[Timer]\nOnActiveSec=10\n")
    write(place, "etc/shop-rehearsal@.service", "[Service]\nEnvironment=SLIPWAY_RELEASE=%i\n")
    write(place, "etc/shop-rehearsal.socket", "[Socket]\nListenStream=/run/shop.sock\n")
    write(place, "etc/shop.socket", "[Socket]\nBacklog=7\n")
    write(place, "copies/shop.socket", "[Socket]\nBacklog=7\n")
    assert accepted(place) == []


def test_what_was_noted_before_it_was_written_is_ours(place: foreign.ServiceUnits) -> None:
    """A run that is killed between the two must not take its own unit for somebody else's."""
    foreign.note(place, {"shop.service": "first"})
    write(place, "etc/shop.service", "first")
    assert accepted(place) == []
    foreign.note(place, {"shop.service": "second"})
    assert accepted(place) == []
    write(place, "etc/shop.service", "second")
    assert accepted(place) == []
    write(place, "etc/shop.service", HAND_MADE)
    not_ours(place)


def test_a_removal_that_is_cut_short_is_finished_by_the_next_run(place: foreign.ServiceUnits) -> None:
    units = {"shop-watch.service": OURS, "shop-watch.timer": "[Timer]\nOnBootSec=30\n"}
    foreign.note(place, units)
    paths = [write(place, f"etc/{name}", text) for name, text in units.items()]
    foreign.note(place, {})
    os.unlink(paths[0])
    assert accepted(place) == []
    os.unlink(paths[1])
    foreign.note(place, {})
    write(place, "etc/shop-watch.timer", units["shop-watch.timer"])
    not_ours(place)


@pytest.mark.parametrize("text", ["{", "[]", '{"shop.service": 1}'])
def test_a_damaged_record_is_none(place: foreign.ServiceUnits, text: str) -> None:
    write(place, "state/units.json", text)
    write(place, "etc/shop.service", OURS)
    assert accepted(place) == []
    foreign.note(place, {"shop.service": "x"})
    write(place, "etc/shop.service", "x")
    assert accepted(place) == []


def test_every_unit_of_the_role_is_known_by_its_name(tmp_path: Path) -> None:
    import yaml

    text = (Path(__file__).parents[5] / "roles" / "service" / "vars" / "main.yml").read_text()
    named = [name.replace("{{ __service_name }}", "shop") for name in yaml.safe_load(text)["__service_units_all"]]
    assert sorted(named) == sorted(foreign.names_of("shop"))


def test_every_template_of_the_role_is_recognised(tmp_path: Path) -> None:
    """Or has a companion that is: a host whose record was lost goes on working."""
    from ansible_collections.slipway.go.tests.unit.test_templates import units

    more: dict[str, Any] = {"service_watch_alert": ["/bin/true"]}
    place = foreign.ServiceUnits("shop", str(tmp_path / "state"), str(tmp_path), (), ())
    found = units(tmp_path, **more)
    for name, text in found.items():
        (tmp_path / name).write_text(text)
    own = set(found) - {"slipway-recover.service", "slipway-watch.service"}  # these two are the host's
    assert own == set(foreign.names_of("shop")) - {"shop-watch.timer"}, "that one is of earlier versions"
    for name in own:
        assert foreign.is_ours(place, name), name

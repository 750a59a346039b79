from __future__ import annotations

import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import timer
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import EARLY, LATE, RUNNER, System
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.deadman.host import left_behind, plan


def test_without_a_timer_nothing_is_armed(system, etc, commands):
    commands.failing = ("systemd-run",)
    with pytest.raises(SlipwayError) as raised:
        deadman.arm("ssh", 30, plan(etc / "c"), system)
    assert raised.value.code == "no_timer"
    assert left_behind(system) == []


@pytest.mark.parametrize("known", [True, False])
def test_the_timer_survives_the_isolation_of_a_target_where_systemd_can_say_so(system, etc, commands, known):
    def run(argv):
        if argv[0] == "systemd-run" and "IgnoreOnIsolate" in str(argv) and not known:
            commands.asked.append(list(argv))
            return 1, "Unknown assignment: IgnoreOnIsolate=yes"
        return commands(argv)

    deadman.arm("ssh", 30, plan(etc / "c"), System(system.root, system.units, system.runtime, run))
    assert commands.timers == {"slipway-deadman-ssh.timer"}
    asked = [argv for argv in commands.asked if argv[0] == "systemd-run"]
    assert ["--timer-property=IgnoreOnIsolate=yes" in argv for argv in asked] == ([True] if known else [True, False])
    assert asked[-1][-5:] == [
        os.path.join(system.folder("ssh"), RUNNER),
        "revert",
        "ssh",
        "--token",
        asked[-1][-1],
    ]


def test_the_boot_unit_of_an_interrupted_confirmation_does_not_start(system, etc):
    deadman.arm("ssh", 30, plan(etc / "c"), system)
    unit = timer.boot_unit(system, "ssh", EARLY, "t").splitlines()
    needed = next(line.partition("=")[2] for line in unit if line.startswith("ConditionPathExists="))
    assert os.path.isfile(needed)
    os.rename(system.folder("ssh"), os.path.join(system.root, ".gone"))
    assert not os.path.exists(needed)


def test_the_boot_unit_is_before_the_network_unless_late(system):
    early = timer.boot_unit(system, "ssh", EARLY, "t")
    late = timer.boot_unit(system, "shop", LATE, "t")
    assert "Before=network-pre.target" in early
    assert "systemd-sysctl.service" in next(line for line in early.splitlines() if line.startswith("After="))
    assert "DefaultDependencies=no" in early
    assert "After=network.target" in late
    assert "Before=" not in late


def test_a_timer_that_a_crash_has_left_does_not_keep_the_name(system, etc, commands):
    commands.timers.add("slipway-deadman-ssh.timer")
    deadman.arm("ssh", 30, plan(etc / "c"), system)
    assert commands.asked[-1][0] == "systemd-run"
    assert commands.timers == {"slipway-deadman-ssh.timer"}

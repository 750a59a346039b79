from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from ansible_collections.slipway.go.plugins.module_utils._deadman import archive, runner
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.deadman.host import left_behind, plan


@pytest.mark.parametrize("rebooted", [True, False], ids=["reboot", "soft reboot or isolate"])
def test_the_boot_unit_acts_unless_the_timer_is_in_charge(system, etc, commands, rebooted):
    config = etc / "c"
    config.write_text("old")
    token = deadman.arm("ssh", 30, plan(config, run=[["reload", "a b"]], run_at_boot=[["boot"]]), system)
    config.write_text("new")
    boot = ["revert", "ssh", "--token", token, "--boot"]
    assert runner.main(boot, system) == 0
    commands.timers = {"slipway-deadman-ssh.service"}
    assert runner.main(boot, system) == 0
    assert config.read_text() == "new"
    commands.timers.clear()
    if rebooted:
        os.unlink(system.marker("ssh"))
    assert runner.main(boot, system) == 0
    assert config.read_text() == "old"
    later = [argv[-1] for argv in commands.asked if "slipway-deadman-ssh-after" in str(argv)]
    assert ["boot"] in commands.asked
    assert later == ([] if rebooted else ["reload 'a b'"]), "services that still run were not told"
    assert left_behind(system) == [system.journal()]


def test_the_runner_works_without_ansible(system, etc, tmp_path):
    program = tmp_path / "revert.pyz"
    program.write_bytes(archive.runner_archive())
    done = subprocess.run(
        [sys.executable, "-I", str(program), "confirm", "nothing-armed-here", "--token", "x"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout)["code"] == "not_armed"
    assert done.returncode == 1
    assert subprocess.run([sys.executable, "-I", str(program)], capture_output=True, check=False).returncode == 2

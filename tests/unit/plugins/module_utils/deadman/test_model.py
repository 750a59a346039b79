from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending, store
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import PLAN, TICKING, RevertPlan, State
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.deadman.host import left_behind, plan, until


@pytest.mark.parametrize("later", [("held", "marks_ticking"), ("held", "marks_ticking", "account", "seconds")])
def test_what_an_earlier_version_has_armed_is_taken_back(system, etc, commands, later):
    """It wrote no mark that its timer ticks, and did not say who is held, nor how long there is to confirm."""
    (etc / "c").write_text("old")
    token = deadman.arm("ssh", 30, plan(etc / "c"), system)
    os.unlink(os.path.join(system.folder("ssh"), TICKING))
    armed = Path(system.folder("ssh"), PLAN)
    saved = json.loads(armed.read_text())
    armed.write_text(json.dumps({k: v for k, v in saved.items() if k not in later}))
    (etc / "c").write_text("new")
    commands.timers.clear()
    deadman.wait_until_free("ssh", system)
    assert (etc / "c").read_text() == "old"
    (etc / "c").write_text("late")
    with pytest.raises(SlipwayError, match="put back, too"):
        ending.confirm("ssh", token, system)
    assert (etc / "c").read_text() == "old"
    deadman.arm("kernel", 30, plan(etc / "c"), system)  # beside what that version has kept


@pytest.mark.parametrize("name", ["", "SSH", "a/b", "..", "1a", "a" * 49])
def test_names_that_are_paths_are_refused(system, name):
    with pytest.raises(SlipwayError):
        deadman.arm(name, 30, RevertPlan(), system)


@pytest.mark.parametrize(
    "bad",
    [
        RevertPlan(["relative"]),
        RevertPlan(["/etc/../x"]),
        RevertPlan(["/"]),
        RevertPlan(run=[[]]),
        RevertPlan(run=[[1]]),
        RevertPlan(stage="soon"),
    ],
)
def test_bad_plans_are_refused(system, bad):
    with pytest.raises(SlipwayError):
        deadman.arm("x", 30, bad, system)
    assert left_behind(system) == []


def test_what_a_change_has_begun_ends_with_its_process(tmp_path):
    """A command that goes on after its module was killed could come after the revert."""
    told = tmp_path / "pid"
    code = (
        "from ansible_collections.slipway.go.plugins.module_utils._deadman import model\n"
        f"model.run(['/bin/sh', '-c', 'echo $$ >{told}.new; mv {told}.new {told}; exec sleep 60'])"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as module:
        until(told.exists)
        module.kill()
    pid = told.read_text().strip()
    until(lambda: not os.path.exists(f"/proc/{pid}") or "(sleep) Z" in Path(f"/proc/{pid}/stat").read_text())


def test_the_state_on_disk_is_what_earlier_versions_read(system, etc):
    """Byte for byte: a host may be armed by one version and taken back by another."""
    (etc / "c").write_text("old")
    (etc / "c").chmod(0o640)
    token = deadman.arm("ssh", 30, plan(etc / "c", run=[["reload"]], run_at_boot=[["boot"]]), system)
    status = (etc / "c").stat()
    deadline = deadman.armed("ssh", system).deadline
    assert Path(system.folder("ssh"), PLAN).read_text() == (
        f'{{"name": "ssh", "token": "{token}", "seconds": 30, "deadline": {deadline!r}, "paths": ["{etc}/c"], '
        f'"entries": [{{"path": "{etc}/c", "uid": {status.st_uid}, "gid": {status.st_gid}, "xattrs": {{}}, '
        '"mode": 416, "kind": "file", "content": "b2xk"}], "account": null, "run": [["reload"]], '
        '"run_at_boot": [["boot"]], "held": false, "marks_ticking": true}'
    )
    assert sorted(os.listdir(system.folder("ssh"))) == ["plan.json", "revert.pyz", "ticking"]


def test_the_states_of_a_change(system, etc):
    token = deadman.arm("ssh", 30, plan(etc / "c"), system)
    assert deadman.armed("ssh", system).state is State.ARMED
    os.unlink(os.path.join(system.folder("ssh"), TICKING))
    assert deadman.armed("ssh", system).state is State.SAVED
    store.begin_revert(system.folder("ssh"))
    assert deadman.armed("ssh", system).state is State.REVERTING
    assert deadman.armed("ssh", system).token == token

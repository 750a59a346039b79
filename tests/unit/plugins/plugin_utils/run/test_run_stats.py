# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run tells the next one: what each host came to, in a bounded size, and nothing in a host's own words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.go.plugins.plugin_utils._input import known_variables
from ansible_collections.slipway.go.plugins.plugin_utils._run import run_stats

ROOT = Path(__file__).resolve().parents[5]
OLD, NEW = "1.9.4-77c0aa12de", "2.0.0-3b1d8f00aa"
LOST = {"unreachable": True, "msg": "password=hunter2"}
SECRET = "{{ lookup('pipe', 'id') }} hunter2"


@pytest.mark.parametrize(
    ("kind", "answer", "entry"),
    [
        ("release", {"action": "release", "previous": OLD, "current": NEW},
         {"from": OLD, "to": NEW, "verdict": "released"}),
        ("release", {"action": "confirm", "previous": None, "current": NEW},
         {"from": None, "to": NEW, "verdict": "released"}),
        ("release", {"action": "none", "current": NEW}, {"from": NEW, "to": NEW, "verdict": "unchanged"}),
        ("rollback", {"action": "rollback", "previous": NEW, "current": OLD},
         {"from": NEW, "to": OLD, "verdict": "rolled back"}),
        ("rollback", {"action": "none", "current": OLD}, {"from": OLD, "to": OLD, "verdict": "unchanged"}),
        ("pending", {}, {"verdict": "pending"}),
        ("pending", {"current": OLD}, {"from": OLD, "to": OLD, "verdict": "unchanged"}),
        ("preflight", {"action": "release", "current": NEW, "plan": {"serving": OLD}},
         {"from": OLD, "to": NEW, "verdict": "accepted", "problems": []}),
        ("preflight", {"problems": [{"code": "disk_full", "message": SECRET}]},
         {"from": None, "to": None, "verdict": "refused", "problems": ["disk_full"]}),
        ("preflight", {"code": "missing_artefact", "msg": SECRET},
         {"from": None, "to": None, "verdict": "refused", "problems": ["missing_artefact"]}),
        ("preflight", {}, {"from": None, "to": None, "verdict": "refused", "problems": []}),
        ("status", {"current": NEW, "health": "pass", "run": "7", "message": SECRET},
         {"release": NEW, "verdict": "pass", "run": "7"}),
        ("status", {"current": NEW, "health": "pass", "unsettled": SECRET},
         {"release": NEW, "verdict": "unconfirmed", "run": None}),
        ("status", {"current": NEW, "health": "pass", "unsettled": SECRET, "in_flight": {"paused": {"reason": SECRET}}},
         {"release": NEW, "verdict": "paused", "run": None}),
        ("status", LOST, {"release": None, "verdict": "no answer", "run": None}),
        ("drift", {"findings": []}, {"verdict": "same", "differences": 0}),
        ("drift", {"findings": [{"found": SECRET}]}, {"verdict": "drifted", "differences": 1}),
        ("drift", {"failed": True, "findings": []}, {"verdict": "no answer", "differences": None}),
        ("compliance", {"controls": [{"control": "mounts", "verdict": "pass"}]},
         {"verdict": "complies", "deviations": []}),
        ("compliance", {"controls": [{"control": "ssh_root", "verdict": "fail", "found": SECRET}]},
         {"verdict": "deviates", "deviations": ["ssh_root"]}),
        ("compliance", LOST, {"verdict": "no answer", "deviations": []}),
        ("diagnose", {"findings": [{"rank": "note", "code": "x"}]}, {"verdict": "well", "causes": []}),
        ("diagnose", {"findings": [{"rank": "cause", "code": "oom_kill", "lines": [SECRET]}]},
         {"verdict": "failing", "causes": ["oom_kill"]}),
        ("diagnose", LOST, {"verdict": "no answer", "causes": []}),
        ("vulnerable", {"release": NEW, "problems": [{"message": SECRET}], "findings": [
            {"state": "open", "id": "GO-2026-1"}, {"state": "ignored", "id": "GO-2026-2"}]},
         {"release": NEW, "verdict": "refused", "vulnerabilities": ["GO-2026-1"]}),
        ("vulnerable", LOST, {"release": None, "verdict": "no answer", "vulnerabilities": []}),
        ("remove", {"changed": True}, {"verdict": "removed"}),
        ("remove", {"changed": False}, {"verdict": "unchanged"}),
        ("harden", {}, {"verdict": "hardened"}),
    ],
)  # fmt: skip
def test_what_is_said_of_a_host(kind: str, answer: dict[str, Any], entry: dict[str, Any]) -> None:
    told = run_stats.of_run(kind, {"web1": answer}, playbook=kind, service="shop", release="2.0.0", run="1704")
    assert told == {"playbook": kind, "service": "shop", "release": "2.0.0", "run": "1704", "total": 1,
                    "hosts": {"web1": entry}}  # fmt: skip
    assert "hunter2" not in json.dumps(told)


def test_a_text_of_a_host_is_no_template() -> None:
    told = run_stats.of_run("status", {"web1": {"health": SECRET, "current": "{% raw %}", "run": "{#"}})
    assert not {"{", "}", "%", "#"} & set("".join(map(str, told["hosts"]["web1"].values())))


def test_the_size_is_bounded() -> None:
    problems = [{"code": f"{number:03}" + "x" * 1000} for number in range(100)]
    told = run_stats.of_run("preflight", {f"web{number}": {"problems": problems} for number in range(2000)})
    assert (told["total"], len(told["hosts"])) == (2000, run_stats.LISTED)
    assert len(json.dumps(told)) < 1.3 * run_stats.LISTED * run_stats.MANY * 100


def test_a_host_speaks_for_itself_where_it_came_through() -> None:
    variables = {"inventory_hostname": "web1", "ansible_play_hosts_all": ["web1", "web2"]}
    told = run_stats.with_stats("release", {"action": "none", "current": NEW}, variables)["ansible_stats"]
    assert told["data"] == {"slipway": {"hosts": {"web1": {"from": NEW, "to": NEW, "verdict": "unchanged"}}}}
    assert (told["per_host"], told["aggregate"]) == (False, True)
    failed = {"failed": True, "msg": "no"}
    assert run_stats.with_stats("release", failed, variables) == failed
    many = {**variables, "ansible_play_hosts_all": [f"a{number}" for number in range(run_stats.LISTED)] + ["web1"]}
    assert "ansible_stats" not in run_stats.with_stats("release", {"action": "none"}, many)


def test_no_input_has_that_name() -> None:
    assert run_stats.NAME not in known_variables.known() | known_variables.RESULTS
    assert not run_stats.NAME.startswith(known_variables.prefixes())


def test_every_playbook_says_it() -> None:
    """By one task at most; what comes from the role release is one task there."""
    said = {"compliance": 1, "drift": 1, "harden": 1, "remove": 1}
    for path in sorted((ROOT / "playbooks").glob("*.yml")):
        tasks = [task for play in yaml.safe_load(path.read_text()) for task in play.get("tasks", [])]
        telling = [task for task in tasks if "slipway.go.run_stats" in task]
        assert len(telling) == said.get(path.stem, 0), path.stem
        assert all(task["run_once"] for task in telling)
        assert all(task["slipway.go.run_stats"]["playbook"] == path.stem for task in telling)
    for entry in ("batch", "diagnose", "preflight", "rollback", "status", "vulnerable"):
        tasks = yaml.safe_load((ROOT / "roles" / "release" / "tasks" / f"{entry}.yml").read_text())
        assert sum("slipway.go.run_stats" in task for task in tasks) == 1

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What awx_setup.yml asks of AWX is what its modules take, and what it makes fits together."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = Path(os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".work" / "collections")))
MODULES = COLLECTIONS / "ansible_collections" / "awx" / "awx" / "plugins" / "modules"
PROJECT = ROOT / "examples" / "awx-project"


PLAY: dict[str, Any] = yaml.safe_load((ROOT / "playbooks" / "awx_setup.yml").read_text())[0]
CALLS = [
    (task["name"], key.rpartition(".")[2], task[key])
    for task in PLAY["tasks"]
    for key in task
    if key.startswith("awx.awx.")
]


def options(module: str) -> dict[str, Any]:
    for node in ast.parse((MODULES / f"{module}.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION":
            found: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))["options"]
            return found
    raise ValueError(module)


@pytest.mark.parametrize(("name", "module", "given"), CALLS, ids=[name for name, _module, _given in CALLS])
def test_a_call_has_the_options_of_its_module(name: str, module: str, given: dict[str, Any]) -> None:
    known = options(module)
    given = {**PLAY["module_defaults"].get(f"awx.awx.{module}", {}), **given}
    assert set(given) <= set(known), f"{name}: {set(given) - set(known)}"
    for option, value in given.items():
        choices = known[option].get("choices")
        assert not choices or "{{" in str(value) or value in choices, f"{name}: {option}"
    assert {option for option, told in known.items() if told.get("required")} <= set(given)


def test_every_node_of_the_workflow_is_a_template_that_is_made() -> None:
    (workflow,) = [given for _name, module, given in CALLS if module == "workflow_job_template"]
    made = {template["playbook"] for template in PLAY["vars"]["awx_setup_templates"]} | {"take back"}
    nodes = {node["identifier"]: node for node in workflow["workflow_nodes"]}
    for name, node in nodes.items():
        told = node["unified_job_template"]
        if told["type"] == "job_template":
            assert told["name"] == f"{{{{ item }}}}: {name}"
            assert name in made
        followers = [one["identifier"] for kind in ("success_nodes", "failure_nodes") for one in node["related"][kind]]
        assert set(followers) <= set(nodes)
    assert nodes["release"]["related"]["failure_nodes"] == [{"identifier": "take back"}]
    assert [one["identifier"] for one in nodes["preflight"]["related"]["success_nodes"]] == ["approval"]


def test_what_follows_a_failure_takes_back_what_this_workflow_has_released() -> None:
    (given,) = [given for name, _module, given in CALLS if "takes back" in name]
    assert given["playbook"] == "rollback.yml"
    text = given["extra_vars"]["release_rollback_run"]
    told = subprocess.run(
        [sys.executable, "-m", "ansible.cli.adhoc", "localhost", "-m", "debug", "-a", json.dumps({"msg": text})],
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"msg": "{{ awx_workflow_job_id }}"' in told.stdout


def test_a_fleet_has_one_canary_and_one_run_at_a_time() -> None:
    template = PLAY["module_defaults"]["awx.awx.job_template"]
    assert (template["job_slice_count"], template["allow_simultaneous"]) == (1, False)
    assert all("timeout" in given for _name, module, given in CALLS if module == "job_template")


def test_the_project_wraps_every_playbook_that_a_template_names() -> None:
    for template in PLAY["vars"]["awx_setup_templates"]:
        wrapper = yaml.safe_load((PROJECT / f"{template['playbook']}.yml").read_text())
        assert [play["ansible.builtin.import_playbook"] for play in wrapper] == [f"slipway.go.{template['playbook']}"]
    wrapped = {path.stem for path in PROJECT.glob("*.yml")} - {"execution-environment"}
    assert wrapped == {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - {"awx_setup"}


def test_the_project_has_an_inventory_for_each_environment_that_the_page_names() -> None:
    for name in ("development", "staging", "production"):
        hosts = yaml.safe_load((PROJECT / "inventories" / name / "hosts.yml").read_text())
        assert hosts["all"]["children"]
        assert (PROJECT / "inventories" / name / "group_vars" / "all.yml").is_file()

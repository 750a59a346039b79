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
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import job_time

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


WORKFLOWS = {given["name"]: given for _name, module, given in CALLS if module == "workflow_job_template"}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_every_node_of_a_workflow_is_a_template_that_is_made(workflow: str) -> None:
    made = {template["playbook"] for template in PLAY["vars"]["awx_setup_templates"]} | {"take back", "canary"}
    nodes = {node["identifier"]: node for node in WORKFLOWS[workflow]["workflow_nodes"]}
    for name, node in nodes.items():
        told = node["unified_job_template"]
        if told["type"] == "job_template":
            assert told["name"] == f"{{{{ item }}}}: {name}"
            assert name in made
        followers = [one["identifier"] for kind in ("success_nodes", "failure_nodes") for one in node["related"][kind]]
        assert set(followers) <= set(nodes)
    order = ["preflight"]
    while nodes[order[-1]]["related"]["success_nodes"]:
        (following,) = nodes[order[-1]]["related"]["success_nodes"]
        order.append(following["identifier"])
    assert order in (
        ["preflight", "approval", "release", "status"],
        ["preflight", "canary", "approval", "release", "status"],
    )
    begun = order.index("canary") if "canary" in order else order.index("release")
    for name in order[begun:-1]:
        assert nodes[name]["related"]["failure_nodes"] == [{"identifier": "take back"}], name
    assert all(nodes[name]["related"]["failure_nodes"] == [] for name in order[:begun])


def evaluated(expression: str, **variables: Any) -> Any:
    play = {name: text for name, text in PLAY["vars"].items() if name.startswith("awx_setup_")}
    debug = ["localhost", "-m", "debug", "-a", json.dumps({"msg": expression})]
    told = subprocess.run(
        [sys.executable, "-m", "ansible.cli.adhoc", *debug, "-e", json.dumps({**play, **variables})],
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(told.stdout.partition("=> ")[2])["msg"]


def test_the_secrets_of_a_service_are_fields_that_a_job_gets_as_variables() -> None:
    (given,) = [given for _name, module, given in CALLS if module == "credential_type"]
    expression = {"inputs": given["inputs"], "injectors": given["injectors"]}
    found = evaluated(expression, awx_secrets="vault_password, vault_key")
    field = {"type": "string", "secret": True, "multiline": True}
    assert found["inputs"]["fields"] == [
        {**field, "id": name, "label": name} for name in ("vault_password", "vault_key")
    ]
    assert found["injectors"]["extra_vars"] == {
        "vault_password": "{{ vault_password }}",
        "vault_key": "{{ vault_key }}",
    }


def test_notifications_go_where_they_are_wanted_and_bad_ones_are_named() -> None:
    (task,) = [task for task in PLAY["tasks"] if task["name"] == "Check the notifications"]
    good = {"name": "Slack", "type": "slack", "configuration": {"token": "s3cr3t"}, "when": ["error", "approval"]}
    bad = [{**good, "name": "late", "when": ["later"]}, {**good, "name": "never", "when": []}, {"type": "slack"}]
    expression = [PLAY["vars"]["awx_setup_error"], PLAY["vars"]["awx_setup_success"], task["vars"]["awx_setup_bad"]]
    given = {**task["vars"], "awx_notifications": [good, *bad]}
    assert evaluated(expression, **{**given, "awx_notifications": [good]}) == [["Slack"], [], []]
    assert evaluated(task["vars"]["awx_setup_bad"], **given) == ["late", "never", "one without a name"]


@pytest.mark.parametrize(
    ("given", "credentials"),
    [
        ({}, ["Ansible Galaxy"]),
        ({"awx_galaxy_credentials": ""}, ["Ansible Galaxy"]),
        ({"awx_galaxy_credentials": []}, []),
    ]
    + [({"awx_galaxy_credentials": text}, ["Hub", "Galaxy"]) for text in ("Hub, Galaxy", ["Hub", "Galaxy"])],
)
def test_the_organization_may_install_collections(given: dict[str, Any], credentials: list[str]) -> None:
    # Without a Galaxy credential AWX leaves collections/requirements.yml alone, and says so only in its own log.
    (call,) = [call for _name, module, call in CALLS if module == "organization"]
    assert evaluated(call["galaxy_credentials"], **given) == credentials


def test_the_project_is_fetched_in_every_run() -> None:
    # AWX takes only playbooks that it has fetched, and fetches nothing by itself after a failed or an older update.
    (call,) = [call for _name, module, call in CALLS if module == "project"]
    assert call["update_project"] is True


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


# 900 s around it, and three waves, each with what a host may take by default.
RELEASE = 900 + 3 * (635 + 60)


@pytest.mark.parametrize(
    ("given", "release", "site"),
    [
        ({}, RELEASE, 14400 + RELEASE),
        ({"release_slow": "", "release_pause_time": "", "awx_hosts": "", "awx_timeout": ""}, RELEASE, 14400 + RELEASE),
        ({"release_slow": "rollback", "release_pause_time": 600}, RELEASE, 14400 + RELEASE),
        ({"release_slow": "pause", "release_pause_time": "600"}, RELEASE + 3 * 630, 14400 + RELEASE + 3 * 630),
        ({"release_slow": "pause", "release_weights": [5, 25]}, RELEASE + 3 * 960, 14400 + RELEASE + 3 * 960),
        ({"awx_hosts": "100"}, RELEASE + 18 * 695, 14400 + RELEASE + 18 * 695),
        ({"awx_hosts": 100, "awx_forks": 50}, RELEASE, 14400 + RELEASE),
        ({"awx_timeout": "50000", "release_slow": "pause"}, 50000, 50000),
    ],
)
def test_a_job_that_releases_has_the_time_that_its_variables_allow(
    given: dict[str, Any], release: int, site: int
) -> None:
    times = {told["playbook"]: told["timeout"] for told in PLAY["vars"]["awx_setup_templates"]}
    found = evaluated({name: times[name] for name in ("site", "release", "rollback")}, **given)
    assert {name: int(seconds) for name, seconds in found.items()} == {
        "site": site,
        "release": release,
        "rollback": release,
    }


def refused(**variables: Any) -> str:
    """What the playbook says of these variables before it asks AWX for anything."""
    given = {"awx_project_url": "git@host:x", "awx_image": "x", "awx_machine_credential": "x", **variables}
    given |= {"ansible_connection": "local"}
    play = str(ROOT / "playbooks" / "awx_setup.yml")
    told = subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", "-e", json.dumps(given), play],
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "CONTROLLER_HOST": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = " ".join(told.stdout.split())
    return said if "Create the organization" not in said else ""


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"awx_forks": "many"}, "awx_forks is many, which is no whole number. Fix: set awx_forks to how many"),
        ({"awx_forks": True}, "awx_forks is True, which is no whole number."),
        ({"awx_forks": "-1"}, "awx_forks is -1, which is no whole number."),
        ({"awx_hosts": "ten"}, "awx_hosts is ten, which is no whole number. Fix: set awx_hosts to how many"),
        ({"awx_timeout": "2h"}, "awx_timeout is 2h, which is no whole number. Fix: set awx_timeout to seconds"),
        ({"awx_schedules": [{"template": "status"}]}, "awx_schedules is not a list of template and rrule. Fix:"),
        ({"awx_schedules": "status"}, "awx_schedules is not a list of template and rrule. Fix:"),
        ({"awx_teams": [{"team": "web", "may": "release"}]}, "awx_teams is not a list of team and may,"),
        (
            {"awx_teams": "web"},
            "awx_teams is not a list of team and may, a list of some of release, approve and rollback",
        ),
    ],
)
def test_what_awx_could_not_use_is_refused_before_anything_is_made(given: dict[str, Any], says: str) -> None:
    assert says in refused(**given)


def test_variables_that_are_empty_or_text_are_as_good_as_numbers() -> None:
    numbers = {"awx_forks": " 5 ", "awx_hosts": "", "awx_timeout": "7200"}
    assert refused(**numbers, awx_schedules="", awx_teams="") == ""
    teams = [{"team": "web", "may": ["release", "rollback"]}]
    assert refused(awx_forks=5, awx_timeout="", awx_schedules=[], awx_teams=teams) == ""
    forks = PLAY["module_defaults"]["awx.awx.job_template"]["forks"]
    assert evaluated([forks], awx_forks=" 5 ") == [5]
    assert evaluated([forks, "x"], awx_forks="  ")[-1] == "x"
    for nothing in ("", None):
        assert len(evaluated(PLAY["vars"]["awx_setup_schedules"], awx_schedules=nothing)) == 2


def test_all_that_the_time_comes_from_is_read() -> None:
    assert sorted(PLAY["vars"]["awx_setup_timed"]) == sorted(job_time.VARIABLES)


@pytest.mark.parametrize("may", ["release", "rollback"])
def test_who_may_release_or_roll_back_may_also_resume(may: str) -> None:
    (granted,) = [task["awx.awx.role"] for task in PLAY["tasks"] if task.get("when") == f"'{may}' in item.0.may"]
    assert (granted["role"], "{{ item.1 }}: resume" in granted["job_templates"]) == ("execute", True)


def test_a_fleet_has_one_canary_and_one_run_at_a_time() -> None:
    template = PLAY["module_defaults"]["awx.awx.job_template"]
    assert (template["job_slice_count"], template["allow_simultaneous"]) == (1, False)
    assert all("timeout" in given for _name, module, given in CALLS if module == "job_template")


def test_every_job_and_workflow_tells_of_its_failure() -> None:
    kinds = {"job_template": {"error"}, "workflow_job_template": {"started", "success", "error", "approvals"}}
    for name, module, given in CALLS:
        told = {option.rpartition("_")[2] for option in given if option.startswith("notification_templates_")}
        assert told == kinds.get(module, set()), name


def test_the_project_wraps_every_playbook_that_a_template_names() -> None:
    for template in PLAY["vars"]["awx_setup_templates"]:
        wrapper = yaml.safe_load((PROJECT / f"{template['playbook']}.yml").read_text())
        assert [play["ansible.builtin.import_playbook"] for play in wrapper] == [f"slipway.go.{template['playbook']}"]
    wrapped = {path.stem for path in PROJECT.glob("*.yml")} - {"execution-environment"}
    assert wrapped == {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - {"awx_setup"}


def test_the_first_runs_on_bare_hosts_can_be_told_who_logs_in() -> None:
    surveys = {told["playbook"]: told.get("survey", "") for told in PLAY["vars"]["awx_setup_templates"]}
    options = {
        "release_version": {},
        "release_reason": {},
        "release_force": {"default": False},
        "release_end_lease": {},
    }
    found = evaluated(
        {name: surveys[name] for name in ("harden", "site", "release")}, awx_setup_specs={"main": {"options": options}}
    )
    asked = {name: [(one["variable"], one["required"]) for one in told["spec"]] for name, told in found.items()}
    release = [
        ("release_version", True),
        ("release_reason", False),
        ("release_force", False),
        ("release_end_lease", False),
    ]
    first = ("bootstrap_user", False)
    assert asked == {"harden": [first], "site": [*release, first], "release": release}
    for path in sorted(PROJECT.glob("inventories/*/group_vars/all.yml")):  # an answer left out is an empty text
        assert yaml.safe_load(path.read_text())["ansible_user"] == "{{ bootstrap_user | default('deploy', true) }}"


def test_the_project_has_the_keys_of_hosts_checked() -> None:
    # AWX sets ANSIBLE_HOST_KEY_CHECKING=False, and the playbooks' own folder is not the project's.
    for path in sorted(PROJECT.glob("inventories/*/group_vars/all.yml")):
        told = yaml.safe_load(path.read_text())
        assert told["ansible_host_key_checking"] is True
        assert told["ansible_ssh_common_args"] == "-o UserKnownHostsFile=/runner/project/known_hosts"


def test_the_project_has_an_inventory_for_each_environment_that_the_page_names() -> None:
    for name in ("development", "staging", "production"):
        hosts = yaml.safe_load((PROJECT / "inventories" / name / "hosts.yml").read_text())
        assert hosts["all"]["children"]
        assert (PROJECT / "inventories" / name / "group_vars" / "all.yml").is_file()

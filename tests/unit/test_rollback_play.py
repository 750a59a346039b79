# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's rollback asks all hosts before the first one acts. Both modules are played, all else is real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLDEST = ROOT / ".work" / "venv-oldest" / "bin" / "python"
PYTHONS = [sys.executable, *([str(OLDEST)] if OLDEST.exists() else [])]
V1, V2 = "1.0.0-1111111111", "2.0.0-2222222222"
SERVES = {"current": V2, "good": [V1, V2], "releases": [V1, V2], "run": "7", "in_flight": None}
SERVES["history"] = [{"event": "committed", "kind": "release", "release": V2, "time": 2.0, "run": "7"}]
BOTH = ["asked", "went"]
PLAYED = """
import json, os
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({{one: {{"type": "raw"}} for one in {options}}}, supports_check_mode=True)
host = os.path.join(os.environ["SLIPWAY_PLAYED"], module.params["name"])
told = json.load(open(host + ".json"))
{act}
"""
ASKED = "module.exit_json(changed=False, **told)"
ACTED = """
with open(host + ".calls", "a") as stream:
    stream.write("asked " if module.check_mode else "went ")
if told.get("refuses"):
    module.fail_json(msg=told["refuses"], code="damaged_release")
module.exit_json(changed=True, current=module.params["release"], action="rollback")
"""


@pytest.fixture
def run(request, tmp_path):
    python = getattr(request, "param", sys.executable)
    collection = tmp_path / "collections" / "ansible_collections" / "slipway" / "go"
    for part in ("galaxy.yml", "meta", "plugins", "playbooks", "roles/release"):
        (collection / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, collection / part)
    for name, options, act in (
        ("release_info", ("name", "root", "history"), ASKED),
        ("rollback", ("name", "release", "of", "run", "by"), ACTED),
    ):
        (collection / "plugins" / "modules" / f"{name}.py").write_text(PLAYED.format(options=options, act=act))

    def run(
        told,
        *arguments,
        gone=(),
        without=(),
        named=None,
        playbook=str(ROOT / "tests" / "unit" / "plays" / "rollback.yml"),
        **more,
    ):
        """without: hosts without a service; named: the service_name of hosts that declare none."""
        (tmp_path / "gone").write_text("".join(f"{name}\n" for name in gone))
        variables = {"ansible_python_interpreter": sys.executable, "ansible_connection": "vanishing"}
        variables |= {"vanishing_gone": str(tmp_path / "gone"), "service_name": "{{ inventory_hostname }}"}
        hosts = more.pop("hosts", told)
        variables |= {"ansible_become": False, **more}
        bare = {name: value for name, value in variables.items() if not name.startswith(("service_", "slipway_"))}
        of_hosts = {**dict.fromkeys(without, bare), **dict.fromkeys(hosts, variables)}
        of_hosts |= {host: {**bare, "service_name": name} for host, name in (named or {}).items()}
        (tmp_path / "inventory.yml").write_text(json.dumps({"all": {"hosts": of_hosts}}))
        for name, answer in told.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(answer))
        argv = [python, "-m", "ansible.cli.playbook", "-i", str(tmp_path / "inventory.yml"), playbook, *arguments]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"), "ANSIBLE_NOCOLOR": "1"}
        environment |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "SLIPWAY_PLAYED": str(tmp_path)}
        environment["ANSIBLE_SHOW_CUSTOM_STATS"] = "1"
        done = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        calls = {name: tmp_path / f"{name}.calls" for name in told}
        went = {name: path.read_text().split() for name, path in calls.items() if path.exists()}
        return done.returncode, " ".join((done.stderr + done.stdout).split()), went

    return run


def stats(said):
    """What the next node of a workflow gets, with the service's name left out: here it is the host's."""
    told = json.loads(said.partition("RUN: ")[2])["slipway"]
    return {name: value for name, value in told.items() if name != "service"}


def test_all_are_asked_once_before_the_first_one_goes(run):
    code, said, went = run(dict.fromkeys("abc", SERVES))
    assert (code, went) == (0, {"a": BOTH, "b": BOTH, "c": BOTH}), said
    entry = {"from": None, "to": V1, "verdict": "rolled back"}
    assert stats(said) == {"playbook": "rollback", "total": 3, "hosts": {"a": entry, "b": entry, "c": entry}}


@pytest.mark.parametrize("run", PYTHONS, indirect=True)
def test_one_that_would_refuse_keeps_all_where_they_are(run):
    why = f"{V1} is not on this host's disk as it was released."
    code, said, went = run({"a": SERVES, "b": {**SERVES, "refuses": why}, "c": SERVES})
    assert (code != 0, went) == (True, {"a": ["asked"], "b": ["asked"], "c": ["asked"]}), said
    assert why in said
    assert "b : ok=" in said
    assert said.count("failed=1") == 1, "it is booked on the host that refuses"


def test_a_host_that_has_not_gone_back_is_told_as_pending(run):
    elsewhere = {**SERVES, "current": V1, "run": "6", "refuses": "no"}
    code, said, _went = run({"a": {**SERVES, "refuses": "no"}, "b": elsewhere}, "-e", "release_rollback_run=7")
    assert code != 0, said
    told = {"a": {"verdict": "pending"}, "b": {"from": V1, "to": V1, "verdict": "unchanged"}}
    assert stats(said)["hosts"] == told


def test_one_that_is_gone_keeps_no_other_from_going(run):
    code, said, went = run(dict.fromkeys("abc", SERVES), gone=("c",))
    assert (code != 0, went) == (True, {"a": BOTH, "b": BOTH}), said


@pytest.mark.parametrize("run", PYTHONS, indirect=True)
def test_batches_are_refused_before_anything_happens(run):
    code, said, went = run(dict.fromkeys("abc", SERVES), "-e", "batch=1")
    assert (code != 0, went) == (True, {}), said
    assert "leave serial out of the play" in said


@pytest.mark.parametrize("arguments", [["--limit", "a,b"], ["--limit", "a,b", "-e", "batch=2"]])
def test_hosts_that_are_left_out_are_no_batch(run, arguments):
    code, said, went = run(dict.fromkeys("abc", SERVES), *arguments)
    assert (code, went) == (0, {"a": BOTH, "b": BOTH}), said


@pytest.mark.parametrize("run", PYTHONS[-1:], indirect=True)
def test_each_service_is_tried_whatever_becomes_of_the_others(run):
    """The first was never released, the second would refuse, and the third goes back."""
    why = f"{V1} is not on this host's disk as it was released."
    never = {"current": None, "good": [], "releases": [], "history": [], "in_flight": None}
    told = {"shop": never, "books": {**SERVES, "refuses": why}, "mailer": SERVES}
    about = {"slipway_services": {name: {} for name in told}, "service_name": "all", "hosts": ["a", "b"]}
    code, said, went = run(told, playbook="slipway.go.rollback", ansible_connection="local", **about)
    assert code != 0
    assert {name: sorted(calls) for name, calls in went.items()} == {"books": ["asked"] * 2, "mailer": sorted(BOTH * 2)}
    for host in "ab":
        failed = said.rpartition(f"fatal: [{host}]: FAILED!")[2].partition("}")[0]
        assert f"shop: shop has never been released on this host. books: {why}" in failed, said
    assert "mailer: " not in said.rpartition("Fail each host on which a service was not rolled back")[2]


@pytest.mark.parametrize(
    ("name", "whose"), [("all", ["shop", "mailer"]), ("shop,mailer", ["shop", "mailer"]), ("shop", ["shop"])]
)
def test_a_host_without_a_service_is_passed_over(run, name, whose):
    """Whichever host is asked for all of them: the first one of the inventory."""
    told = {"shop": SERVES, "mailer": SERVES}
    about = {"slipway_services": {name: {} for name in told}, "hosts": ["a", "b"], "without": ["lb1"]}
    about |= {"playbook": "slipway.go.rollback", "ansible_connection": "local"}
    code, said, went = run(told, "-e", json.dumps({"service_name": name}), **about)
    assert code == 0, said
    assert {name: sorted(calls) for name, calls in went.items()} == dict.fromkeys(whose, sorted(BOTH * 2))
    assert ("lb1 is passed over" in said) == (name == "shop"), said


@pytest.mark.parametrize("run", PYTHONS, indirect=True)
def test_a_host_whose_own_service_name_the_command_line_hides_is_not_passed_over(run):
    """Beside hosts that declare the service."""
    about = {"slipway_services": {"shop": {}}, "hosts": ["a"], "without": ["lb1"], "named": {"old": "{{ its }}"}}
    about |= {"playbook": "slipway.go.rollback", "ansible_connection": "local", "its": "shop"}
    code, said, went = run({"shop": SERVES}, "-e", "service_name=shop", **about)
    assert (code, sorted(went["shop"])) == (0, sorted(BOTH * 2)), said
    assert "lb1 is passed over" in said

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps around a release, in the role's own tasks. Modules are played, all else is real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Once
from ansible_collections.slipway.go.tests.lab.processes import kill_tree

ONE_IN = 1 if os.environ.get("SLIPWAY_FAULTS") == "all" else 5
ROOT = Path(__file__).resolve().parents[2]
OLDEST = ROOT / ".work" / "venv-oldest" / "bin" / "python"
PYTHONS = [sys.executable, *([str(OLDEST)] if OLDEST.exists() else [])]
# One test is enough for the oldest core, where not everything is tried.
NEWEST = PYTHONS if ONE_IN == 1 else PYTHONS[:1]
KEY = Once(("bin/shop", "migrate")).key("2.0.0")
# What a play has where nothing is to be done around a release.
TASKS = 8
# What the hosts do, each with its name in front, in the order in which they do it.
PLAYED = """
import json, os, sys, time
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({one: {"type": "raw"} for one in OPTIONS}, supports_check_mode=True)
# Where a task is delegated, this is of the host that it is delegated to.
host = os.path.join(os.environ["SLIPWAY_PLAYED"], os.path.basename(module._remote_tmp))
told = json.load(open(host + ".json"))
record = host + ".once"

def log(what):
    with open(os.path.join(os.environ["SLIPWAY_PLAYED"], "log"), "a") as stream:
        stream.write(os.path.basename(host) + " " + what + chr(10))

once = module.params.get("once") or {}
known = {"state": "done"} if os.path.exists(record) else {"state": "due"}
if os.path.exists(record) and open(record).read():
    known["host"] = open(record).read()
"""
RELEASED = """
if module.check_mode:
    if told.get("refuses"):
        module.exit_json(code="port_in_use", msg=told["refuses"], problems=[1])
    foreseen = told.get("foresees", "none" if os.path.exists(host + ".swapped") else "release")
    module.exit_json(action=foreseen, previous="1.0.0-1", once=known, changed=True)
if once.get("only") and known["state"] == "due":
    if told.get("migrates") == "badly":
        log("migrates badly")
        module.fail_json(msg="the migration ended with exit status 1.", code="once_failed")
    log("migrates")
    open(record, "w").close()
    module.exit_json(action="once", once={"state": "done"}, changed=True)
if once.get("only"):
    module.exit_json(action="none", once=known)
if once.get("command") and known["state"] == "due":
    if not once["told"]:
        module.fail_json(msg="release_once has not been run", code="once_not_run")
    open(record, "w").write(once["told"])
    known = {"state": "done", "host": once["told"]}
log("swaps")
if told.get("swaps"):
    module.fail_json(**told["swaps"])
done = told.get("foresees", "none" if os.path.exists(host + ".swapped") else "release")
open(host + ".swapped", "w").close()
module.exit_json(action=done, current="2.0.0-2", changed=True, once=known)
"""
ASKED = """
log("is asked")
module.exit_json(once={KEY: known} if known["state"] == "done" else {})
"""
PURGED = """
log("purges")
module.exit_json(changed=True)
"""
ROLLED_BACK = {
    "msg": "it is sick. 1.0.0-1 serves again.",
    "code": "rolled_back",
    "rolled_back": True,
    "current": "1.0.0-1",
}
SAYS = """
import sys
with open(sys.argv[1], "a") as stream:
    stream.write(" ".join(sys.argv[2:]) + chr(10))
"""


def step(tmp_path, what, argv=()):
    """A file of tasks that says where it is, and then may run something else."""
    says = [sys.executable, "-c", SAYS, str(tmp_path / "log"), "{{ inventory_hostname }}", *what]
    tasks = [{"name": "Say so", "ansible.builtin.command": {"argv": says}}]
    if argv:
        tasks.append({"name": "Do more", "ansible.builtin.command": {"argv": list(argv)}})
    path = tmp_path / f"{what[0]}.yml"
    path.write_text(yaml.safe_dump(tasks))
    return str(path)


@pytest.fixture
def run(request, tmp_path):
    python = getattr(request, "param", sys.executable)
    collection = tmp_path / "collections" / "ansible_collections" / "slipway" / "go"
    for part in ("galaxy.yml", "meta", "plugins", "roles"):
        (collection / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, collection / part)
    for name, act in (("release", RELEASED), ("release_info", ASKED), ("purge", PURGED)):
        (collection / "plugins" / "action" / f"{name}.py").unlink(missing_ok=True)
        swap = yaml.safe_load((ROOT / "roles" / "release" / "tasks" / "swap.yml").read_text())
        args = sorted({*swap[0]["slipway.go.release"], "releases", "root"})
        text = f"OPTIONS = {args!r}\nKEY = {KEY!r}\n{PLAYED}{act}"
        (collection / "plugins" / "modules" / f"{name}.py").write_text(text)

    def run(told, *arguments, until="", **variables):
        """until: kill the controller with all that it has started, once this is in the log."""
        own = {"ansible_python_interpreter": sys.executable, "ansible_connection": "local"}
        own |= {"service_name": "shop", "release_version": "2.0.0"}
        hosts = {name: {**own, "ansible_remote_tmp": str(tmp_path / "tmp" / name)} for name in told}
        (tmp_path / "inventory.yml").write_text(json.dumps({"all": {"hosts": hosts}}))
        for name, answer in told.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(answer))
        play = str(ROOT / "tests" / "unit" / "plays" / "release.yml")
        argv = [python, "-m", "ansible.cli.playbook", "-i", str(tmp_path / "inventory.yml"), play, *arguments]
        argv += ["-e", json.dumps(variables)]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"), "ANSIBLE_NOCOLOR": "1"}
        environment |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "SLIPWAY_PLAYED": str(tmp_path)}
        (tmp_path / "log").write_text("")
        log = tmp_path / "log"
        with open(tmp_path / "said", "w") as said:
            playing = subprocess.Popen(argv, env=environment, cwd=tmp_path, stdout=said, stderr=subprocess.STDOUT)
            while until and playing.poll() is None and until not in log.read_text():
                time.sleep(0.05)
            if until:
                time.sleep(0.5)  # the task after the one that has said it
                kill_tree(playing.pid)
            code = playing.wait()
        return code, (tmp_path / "said").read_text(), log.read_text().splitlines()

    return run


def steps(tmp_path, **argv):
    """All five files, by their variables."""
    named = {"before_swap": ["before"], "after_all": ["all"], "on_failure": ["failure"]}
    named["after_swap"] = ["after", "{{ release_outcome }}", "{{ release_serves }}"]
    named["after_verdict"] = ["verdict", "{{ release_outcome }}"]
    return {f"release_{name}_tasks": step(tmp_path, what, argv.get(name, ())) for name, what in named.items()}


def test_without_steps_not_one_task_is_more(run):
    code, said, log = run({"a": {}, "b": {}})
    assert (code, sorted(log)) == (0, ["a swaps", "b swaps"]), said
    assert said.count("TASK [") == TASKS, "a task that is skipped costs a host as much as one that is not"
    assert said.count("skipping: [b]") == 1, "all that is optional is one task"


@pytest.mark.parametrize("run", NEWEST, indirect=True)
def test_steps_are_taken_around_each_host_and_after_all(run, tmp_path):
    code, said, log = run({"a": {}, "b": {}}, **steps(tmp_path), batch=1, release_purge="others")
    a, b = (
        [f"{h} before", f"{h} swaps", f"{h} purges", f"{h} after released True", f"{h} verdict released"] for h in "ab"
    )
    assert (code, log) == (0, [*a, *b, "b all"]), said


@pytest.mark.parametrize("arguments", [["--tags", "release"], ["--check"], ["--limit", "a"]])
def test_tags_check_mode_and_limit(run, tmp_path, arguments):
    code, said, log = run({"a": {}, "b": {}}, *arguments, **steps(tmp_path))
    assert code == 0, said
    if arguments == ["--check"]:
        assert log == [], "what changes something is left out in check mode"
        assert said.count("Say so") == 4, said
    elif arguments[0] == "--limit":
        assert log == ["a before", "a swaps", "a after released True", "a verdict released", "a all"]
    else:
        assert "a before" in log
        assert log[-1].endswith(" all"), (log, said)


def test_where_nothing_changes_no_step_is_taken(run, tmp_path):
    code, said, log = run({"a": {"foresees": "none"}, "b": {}}, **steps(tmp_path))
    wanted = ["a swaps", "a after unchanged True", "a verdict unchanged", "a all"]
    assert (code, [line for line in log if line.startswith("a ")]) == (0, wanted), said


@pytest.mark.parametrize("run", NEWEST, indirect=True)
@pytest.mark.parametrize("batch", [1, "100%"])
def test_a_swap_that_is_rolled_back_gets_its_step_and_stops_the_run(run, tmp_path, batch):
    code, said, log = run({"a": {"swaps": ROLLED_BACK}, "b": {}, "c": {}}, **steps(tmp_path), batch=batch)
    assert code != 0
    assert "a after rolled_back True" in log, said
    assert [line.split()[1] for line in log if line.split()[1] in ("all", "failure")] == ["failure"], said
    if batch == 1:
        assert log == ["a before", "a swaps", "a after rolled_back True", "a failure"], said
    else:
        assert "b after released True" in log, said
    assert "PLAY RECAP" in said
    assert "a                          : ok=" in said


@pytest.mark.parametrize(
    ("swaps", "wanted"),
    [
        ({"msg": "port taken.", "problems": [1]}, "refused True"),
        ({"msg": "gone.", "code": "unreachable"}, "failed False"),
        ({"msg": "nothing serves.", "code": "rollback_failed", "rolled_back": False}, "failed False"),
    ],
)
def test_how_it_ended_is_said(run, tmp_path, swaps, wanted):
    code, said, log = run({"a": {"swaps": swaps}}, **steps(tmp_path))
    assert (code != 0, log) == (True, ["a before", "a swaps", f"a after {wanted}", "a failure"]), said


def test_a_step_before_the_swap_that_fails_keeps_the_host_as_it_is(run, tmp_path):
    code, said, log = run({"a": {}, "b": {}}, **steps(tmp_path, before_swap=["false"]), batch=1)
    assert (code != 0, log) == (True, ["a before", "a after not_tried True", "a failure"]), said


BREAKS = {
    "fails": ["false"],
    "hangs": [sys.executable, "-c", "import time; time.sleep(300)"],
    "is killed": [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"],
    "stands while the controller is killed": [sys.executable, "-c", "import time; time.sleep(300)"],
}
FULL = [
    *("a before", "a swaps", "a after released True", "a verdict released"),
    *("b before", "b swaps", "b after released True", "b verdict released", "b all"),
]
# What a run does in which this step goes wrong on the first host where it is taken, and what the next run does.
ENDS = {
    "before_swap": (["a before", "a after not_tried True", "a failure"], FULL),
    "after_swap": (
        ["a before", "a swaps", "a after released True", "a failure"],
        ["a swaps", "a after unchanged True", "a verdict unchanged", *FULL[4:]],
    ),
    "after_verdict": (
        [*FULL[:4], "a failure"],
        ["a swaps", "a after unchanged True", "a verdict unchanged", *FULL[4:]],
    ),
    "after_all": (
        FULL,
        [f"{h} {what}" for h in "ab" for what in ("swaps", "after unchanged True", "verdict unchanged")] + ["b all"],
    ),
    "on_failure": (["a before", "a swaps", "a after rolled_back True", "a failure"], FULL),
}
LAST = {"before_swap": "a before", "after_swap": "a after", "after_verdict": "a verdict"}
LAST |= {"after_all": "b all", "on_failure": "a failure"}
ROWS = [(which, how) for which in ENDS for how in BREAKS]


@pytest.mark.parametrize(("which", "how"), [row for number, row in enumerate(ROWS) if number % ONE_IN == 0])
def test_whatever_befalls_a_step_the_next_run_comes_through(run, tmp_path, which, how):
    """The table of all steps and all ways; `make faults-simulated` plays all of it, and `make unit` some."""
    told = {"a": {"swaps": ROLLED_BACK} if which == "on_failure" else {}, "b": {}}
    files = steps(tmp_path, **{which: BREAKS[how]})
    first, second = ENDS[which]
    until = LAST[which] if "controller" in how else ""
    code, said, log = run(told, **files, batch=1, release_step_timeout="20" if how == "hangs" else 300, until=until)
    if until:
        first = first[: next(at for at, line in enumerate(first) if line.startswith(until)) + 1]
    assert (code != 0, log) == (True, first), said
    code, said, log = run({"a": {}, "b": {}}, **steps(tmp_path), batch=1)
    assert (code, log) == (0, second), said


def test_a_file_that_is_not_there_is_named_before_anything_happens(run, tmp_path):
    code, said, log = run({"a": {}}, release_before_swap_tasks="nowhere.yml")
    assert (code != 0, log) == (True, []), said
    assert "release_before_swap_tasks nowhere.yml is in none of the places" in " ".join(said.split())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"release_after_all_tasks": "nowhere.yml"}, "release_after_all_tasks nowhere.yml is in none of the places"),
        ({"release_step_timeout": 0}, "release_step_timeout"),
        ({"release_purge": {"old": 1}}, "release_purge"),
    ],
)
def test_the_preflight_refuses_what_a_step_could_not_do(run, tmp_path, given, says):
    """Else the hosts of a later batch would tell when those of an earlier one have the release."""
    files = {} if "release_purge" in given else steps(tmp_path)
    code, said, log = run({"a": {}}, **{**files, **given, "__release_preflight": True})
    assert (code != 0, log) == (True, []), said
    assert says in " ".join(said.split())


class Balancer(BaseHTTPRequestHandler):
    said: ClassVar[list[str]] = []

    def do_PUT(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.said.append(f"{self.path.rpartition('/')[2]} {body['state']}")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments):
        pass


def test_the_guides_load_balancer_gets_a_host_back_only_if_it_serves_well(run, tmp_path):
    guide = (ROOT / "docs" / "guide" / "hooks.md").read_text()
    (tmp_path / "balancer").mkdir()
    for name in ("out", "back"):
        tasks = guide.partition(f"`balancer/{name}.yml`:\n```yaml\n")[2].partition("```")[0]
        (tmp_path / "balancer" / f"{name}.yml").write_text(tasks)
    files = {
        f"release_{when}_swap_tasks": f"balancer/{name}.yml" for when, name in (("before", "out"), ("after", "back"))
    }
    server = HTTPServer(("127.0.0.1", 0), Balancer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lost = {"swaps": {"msg": "gone.", "code": "unreachable"}}
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        _code, said, _log = run({"a": {}, "b": lost, "c": {}}, **files, balancer=address, batch=1)
    finally:
        server.shutdown()
        server.server_close()
    assert Balancer.said == ["a drain", "a ready", "b drain", "b down"], said


MIGRATE = {"release_once": "bin/shop, migrate"}


@pytest.mark.parametrize("run", PYTHONS, indirect=True)
def test_what_is_run_once_runs_on_the_first_host_before_any_swap_over_three_runs(run):
    for number in range(3):
        code, said, log = run({"a": {}, "b": {}, "c": {}}, **MIGRATE)
        assert code == 0, said
        assert [line for line in log if "swaps" not in line] == ([] if number else ["a migrates"]), said
        assert log[:1] == (log[:1] if number else ["a migrates"])


def test_what_is_run_once_and_fails_stops_all(run, tmp_path):
    code, said, log = run({"a": {"migrates": "badly"}, "b": {}}, **MIGRATE, **steps(tmp_path))
    assert (code != 0, log[0], sorted(log[1:3])) == (
        True,
        "a migrates badly",
        ["a after not_tried True", "b after not_tried True"],
    ), said
    assert [line.split()[1] for line in log[3:]] == ["failure"], said
    assert "the migration ended with exit status 1." in " ".join(said.split())


@pytest.mark.parametrize("run", NEWEST, indirect=True)
def test_a_later_run_on_other_hosts_asks_the_host_that_has_run_it(run):
    hosts = {"a": {}, "b": {}, "c": {}}
    code, said, log = run(hosts, "--limit", "b", **MIGRATE)
    assert (code != 0, log) == (True, ["a is asked"]), said
    assert "set release_once_host: b" in " ".join(said.split())
    run(hosts, "--limit", "a", **MIGRATE)
    code, said, log = run(hosts, "--limit", "c", **MIGRATE)
    assert (code, log) == (0, ["a is asked", "c swaps"]), said
    code, said, log = run(hosts, "--limit", "b,c", "-e", "release_once_host=c", **MIGRATE)
    assert (code, "c migrates" in log) == (0, False), "what a host was told it knows"


def test_a_host_of_a_later_batch_does_not_run_it(run):
    code, said, log = run({"a": {}, "b": {}}, batch=1, release_once_host="b", **MIGRATE)
    assert (code != 0, log) == (True, []), said
    assert "is not in the first batch of this run" in " ".join(said.split())


def test_check_mode_runs_nothing_once(run):
    code, said, log = run({"a": {}, "b": {}}, "--check", **MIGRATE)
    assert (code, log) == (0, []), said

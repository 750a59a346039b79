# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet is one transaction: the playbook release as it is, with hosts that are files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLDEST = ROOT / ".work" / "venv-oldest" / "bin" / "python"
PYTHONS = [sys.executable, *([str(OLDEST)] if OLDEST.exists() else [])]
# One test is enough for the oldest core, where not everything is tried.
NEWEST = PYTHONS if os.environ.get("SLIPWAY_FAULTS") == "all" else PYTHONS[:1]
OLD, NEW = "1.0.0-1111111111", "2.0.0-2222222222"
RELEASE = f"""
import json, os
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.plugin_utils._action import lost_hosts
from ansible_collections.slipway.go.plugins.plugin_utils._report import notes
from ansible_collections.slipway.go.plugins.plugin_utils._run import run_stats, this_run

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        told, host = self.told(task_vars), task_vars["inventory_hostname"]
        kind = notes.PREFLIGHT if self._task.check_mode else notes.RELEASE
        note = {{"answer": told, "batch": notes.batch_of(task_vars), "by": {{"person": "alice"}}}}
        note |= {{"began": 1789000000.0, "ended": 1789000002.0, "version": "2.0.0"}}
        notes.keep(kind, "shop", host, note)
        return told

    def told(self, task_vars):
        path = os.path.join(os.environ["SLIPWAY_PLAYED"], task_vars["inventory_hostname"] + ".json")
        state, check = json.load(open(path)), self._task.check_mode
        if state.get("leased"):
            this_run.note_lease("shop", task_vars["inventory_hostname"])
        current = state["current"]
        if state.get("gone"):
            told = lost_hosts.unreachable("no route to host.", task_vars)
            return {{**told, "failed": not self._task.args.get("report")}}
        if not check:
            state["tried"] = True
            json.dump(state, open(path, "w"))
        if state.get("fails") and not check:
            return {{"failed": True, "code": "rolled_back", "failed_release": "{NEW}", "current": current,
                     "msg": "{NEW} was rolled back in SOAK: it answers 500 {{{{ 6 * 7 }}}}. Now it serves no more."}}
        if current == "{NEW}":
            return {{"changed": False, "action": "none", "current": current, "previous": None}}
        told = {{"changed": True, "action": "release", "current": "{NEW}", "previous": current}}
        if check:
            return told
        json.dump({{**state, "current": "{NEW}"}}, open(path, "w"))
        told["probe"] = {{"during": {{"sent": 10, "failed": 1}}, "after": {{"sent": 40, "failed": 0, "p99_ms": 4.5}}}}
        return run_stats.with_stats("release", told, task_vars)
"""
PLAYED = """
import json, os
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({{one: {{"type": "raw"}} for one in {options}}}, supports_check_mode=True)
path = os.path.join(os.environ["SLIPWAY_PLAYED"], os.path.basename(module._remote_tmp) + ".json")
state = json.load(open(path))
{act}
"""
INFO = """
ids = [i for i in (state["current"],) if i]
told = {"health": state.get("health", "pass"), "message": state.get("message", "systemd says active (running)")}
module.exit_json(changed=False, current=state["current"], good=ids, releases=ids, **told)
"""
ROLLBACK = """
if state.get("stays"):
    module.fail_json(msg="1.0.0-1111111111 is not {{ 6 * 7 }} on this host's disk.", code="damaged_release")
if (module.params["claim"] or {}).get("held") is True and state.get("overtaken"):
    module.fail_json(msg="This run had the lease, and bob has taken it since.", code="lease_lost")
meant = module.params["of"] in (None, state["current"]) and module.params["run"] in (None, state.get("run"))
if meant:
    marked = {"marked": True} if module.params["mark_bad"] else {}
    json.dump({**state, **marked, "current": module.params["release"] or "1.0.0-1111111111"}, open(path, "w"))
module.exit_json(changed=meant, previous=state["current"])
"""


@pytest.fixture
def run(request, tmp_path):
    python = getattr(request, "param", sys.executable)
    collection = tmp_path / "collections" / "ansible_collections" / "slipway" / "go"
    for part in ("galaxy.yml", "meta", "plugins", "roles", "playbooks"):
        (collection / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, collection / part)
    (collection / "plugins" / "action" / "release.py").write_text(RELEASE)
    options = ("name", "root", "history", "release", "of", "run", "by", "mark_bad", "claim")
    for name, act in (("release_info", INFO), ("rollback", ROLLBACK)):
        (collection / "plugins" / "modules" / f"{name}.py").write_text(PLAYED.format(options=options, act=act))

    def run(hosts, *arguments, **variables):
        """What the run ends with, what it has said, and what each host runs then."""
        variables = {"service_name": "shop", "release_version": "2.0.0", **variables}
        local = {"ansible_connection": "vanishing", "ansible_become": False, "vanishing_gone": str(tmp_path / "gone")}
        local["ansible_python_interpreter"] = sys.executable
        (tmp_path / "gone").write_text("")
        inventory = tmp_path / "inventory.yml"
        own = {name: {**local, "ansible_remote_tmp": str(tmp_path / "tmp" / name)} for name in hosts}
        inventory.write_text(json.dumps({"all": {"hosts": own, "vars": variables}}))
        for name, state in hosts.items():
            (tmp_path / f"{name}.json").write_text(json.dumps({"current": OLD, **state}))
        argv = [python, "-m", "ansible.cli.playbook", "-i", str(inventory), "slipway.go.release", *arguments]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"), "ANSIBLE_NOCOLOR": "1"}
        environment |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "SLIPWAY_PLAYED": str(tmp_path)}
        environment["ANSIBLE_CONNECTION_PLUGINS"] = str(ROOT / "tests" / "unit" / "plays" / "connection_plugins")
        environment["ANSIBLE_SHOW_CUSTOM_STATS"] = "1"
        done = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        states = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in hosts}
        reports = [path.read_text() for path in sorted((tmp_path / "reports").glob("*"))]
        return Done(done.returncode, done.stdout + done.stderr, states, reports)

    return run


class Done:
    def __init__(self, code, said, states, reports):
        self.reports = reports
        self.code, self.text, self.said = code, said, " ".join(said.split())
        self.runs = "".join("2" if state["current"] == NEW else "1" for state in states.values())
        self.tried = "".join(name for name, state in states.items() if state.get("tried"))
        self.marked = "".join(name for name, state in states.items() if state.get("marked"))
        recap = [line for line in said.partition("PLAY RECAP")[2].splitlines() if ":" in line and "ok=" in line]
        self.failed = "".join(
            line.split()[0] for line in recap if "unreachable=0" not in line or "failed=0" not in line
        )
        shown = said.rpartition("\nHOST  ")[2].partition("\nTASK [")[0].partition("PLAY RECAP")[0]
        rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in shown.splitlines()[1:]]
        self.table = {row[0]: row for row in rows if len(row) == 8}

    def fatal(self, host):
        """What the operator sees of the host's failures."""
        return [line for line in self.text.splitlines() if line.startswith(f"fatal: [{host}]: FAILED!")]

    @property
    def asked(self):
        """The hosts that have answered once more after a comparison, batch by batch."""
        tasks = [one.partition("\nTASK [")[0] for one in self.text.split(ASKED)[1:]]
        return list(filter(None, ("".join(sorted(re.findall(r"^ok: \[(\w)\]", one, re.M))) for one in tasks)))

    @property
    def verdicts(self):
        return {host: row[3] for host, row in self.table.items()}

    @property
    def told(self):
        return json.loads(self.said.partition("RUN: ")[2])["slipway"]

    @property
    def stats(self):
        return self.told["outcome"], {host: one["verdict"] for host, one in self.told["hosts"].items()}


ASKED = "Ask whether the release still serves"
SERIAL = {"release_serial": "1,2,100%"}
WELL, ILL, GONE = {}, {"fails": True}, {"gone": True}
RELEASED = "released"


@pytest.mark.parametrize("run", PYTHONS, indirect=True)
def test_a_host_that_fails_takes_the_whole_fleet_back(run):
    done = run({"a": WELL, "b": WELL, "c": ILL, "d": WELL}, **SERIAL, release_report="reports")
    assert (done.code, done.runs, done.tried, done.failed) == (2, "1111", "abc", "c"), done.text
    (report,) = done.reports
    assert "shop 2.0.0 on 4 hosts: 2 taken back, 1 failed, 1 not touched. All run 1.0.0-1111111111 now." in report
    for said in ("it answers 500 {{ 6 * 7 }}. Now it serves no more.", "1 of 50", "4.5 ms", "alice", "Batch 2"):
        assert said in report, said
    assert Path(done.told["report"]).read_text() == report
    assert done.verdicts == {"a": "taken back", "b": "taken back", "c": "failed", "d": "not touched"}, done.text
    assert done.stats == ("taken_back", done.verdicts)
    told = [line for line in done.fatal("c") if "it answers 500 {{ 6 * 7 }}." in line]
    assert len(told) == 2, "once when it happened, and once as the host's own failure, and as it was said"
    assert done.said.index("it answers 500") < done.said.index("PLAY [Conclusion]")
    assert f"{OLD} runs on all 4 hosts, each asked anew" in done.said


def test_a_run_that_was_overtaken_takes_nothing_back(run):
    """What it has released on `a`, another run has found there and left there."""
    done = run({"a": {"leased": True, "overtaken": True}, "b": {"leased": True}, "c": ILL}, release_serial="1,1,1")
    assert (done.code, done.runs, done.failed) == (2, "211", "ac"), done.text
    assert done.verdicts == {"a": "not taken back", "b": "taken back", "c": "failed"}, done.text
    assert "was to be taken back here, and was not: This run had the lease, and bob has taken it since." in done.said


def test_all_is_well(run):
    hosts = '{"slipway_hosts": ["a", "b", "c"]}'
    done = run({"a": WELL, "b": WELL, "c": {"current": NEW}, "d": WELL}, "-e", hosts, **SERIAL)
    assert (done.code, done.runs, done.failed) == (0, "2221", ""), done.text
    assert done.verdicts == {"a": RELEASED, "b": RELEASED, "c": "unchanged"}
    assert done.stats == ("complete", done.verdicts)
    assert done.table["a"] == ["a", OLD, NEW, RELEASED, "1 of 50", "4.5 ms", NEW, "-"]
    assert ASKED not in done.text, "what compares nothing costs not one task more"


@pytest.mark.parametrize(("run", "lost"), [(sys.executable, ILL), *((one, GONE) for one in NEWEST)], indirect=["run"])
def test_within_the_budget_the_run_goes_on_and_the_release_stands(run, lost):
    done = run({"a": WELL, "b": lost, "c": WELL, "d": WELL}, release_max_unavailable="25%", **SERIAL)
    assert (done.code, done.runs, done.failed) == (2, "2122", "b"), done.text
    assert done.verdicts["a"] == done.verdicts["d"] == RELEASED
    assert done.stats[0] == "incomplete"
    assert (
        "1 of 4 hosts failed or could not be reached, which release_max_unavailable allows: the release stands"
        in done.said
    )
    assert "the hosts run different releases" in done.said


class Prometheus(BaseHTTPRequestHandler):
    """Each answer tells of a hundred requests more on each host; on `ill`, half of them fail.

    meanwhile: what happens to the hosts while they are compared, at the first look.
    """

    looks: ClassVar[dict[str, int]] = {}
    ill: ClassVar[str] = ""
    meanwhile: ClassVar[Callable[[], None] | None] = None

    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        looks = self.looks[query] = self.looks.get(query, 0) + 1
        if Prometheus.meanwhile is not None and looks == 1:
            Prometheus.meanwhile()
        share = {"requests": 100, "failures": 50}[query]
        hosts = "abcd" if query == "requests" else self.ill
        entries = [{"metric": {"instance": f"{host}:9"}, "value": [1, str(looks * share)]} for host in hosts]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": {"resultType": "vector", "result": entries}}).encode())

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def compare():
    with ThreadingHTTPServer(("127.0.0.1", 0), Prometheus) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Prometheus.looks, Prometheus.ill, Prometheus.meanwhile = {}, "", None
        url = f"http://127.0.0.1:{server.server_address[1]}"
        yield {"url": url, "requests": "requests", "failures": "failures", "time": 2, "interval": 1}
        server.shutdown()


@pytest.mark.parametrize("run", PYTHONS, indirect=True)
def test_a_release_that_does_worse_than_the_one_before_goes_back_and_is_marked_bad(run, compare):
    Prometheus.ill = "bc"
    rules = {"release_max_unavailable": 3, "release_on_failure": "host", "release_min_requests": 10}
    done = run(dict.fromkeys("abcd", WELL), release_compare=compare, **rules, **SERIAL)
    assert "shop: pass after " in done.said, "the first batch, a"
    assert "shop: fail after " in done.said, "the second one, b and c"
    assert (done.code, done.runs, done.tried, done.marked) == (2, "2111", "abc", "bc"), done.text
    assert "on 2 of 3 hosts, the new release does worse than the one before on the others" in done.said
    assert done.verdicts == {"a": RELEASED, "b": "taken back", "c": "taken back", "d": "not touched"}, done.text
    assert done.table["c"][-1] == "correct the cause, then release here"


NOTHING_KNOWN = {"release_min_requests": 10**6, "release_inconclusive": "accept"}


@pytest.fixture
def meanwhile(compare, tmp_path):
    """A comparison that says nothing, and what happens to hosts while it lasts."""

    def becomes(gone="", **states):
        def happen():
            (tmp_path / "gone").write_text("".join(f"{host}\n" for host in gone))
            for host, state in states.items():
                path = tmp_path / f"{host}.json"
                path.write_text(json.dumps({**json.loads(path.read_text()), **state}))

        Prometheus.meanwhile, Prometheus.looks = staticmethod(happen), {}
        return {"release_compare": compare, **NOTHING_KNOWN, **SERIAL}

    return becomes


@pytest.mark.parametrize("run", PYTHONS, indirect=True)
def test_a_canary_that_is_gone_when_it_has_been_compared_stops_the_run(run, meanwhile):
    done = run(dict.fromkeys("abcd", WELL), **meanwhile(gone="a"), release_report="reports")
    assert "shop: inconclusive after" in done.said
    assert (done.code, done.tried, done.failed) == (2, "a", "a"), done.text
    assert "a failed or could not be reached, and the run stops. Not touched in this play: b, c, d." in done.said
    assert done.verdicts == {"a": "not taken back", "b": "not touched", "c": "not touched", "d": "not touched"}
    assert done.table["a"][-2:] == ["?", "see that it can be reached, then sudo slipway rollback there"]
    assert done.stats[0] == "stopped"
    (report,) = done.reports
    assert "the host became unreachable: nobody answers." in report


@pytest.mark.parametrize("run", NEWEST, indirect=True)
def test_within_the_budget_a_host_that_is_gone_when_it_has_been_compared_is_one_of_those(run, meanwhile):
    done = run(dict.fromkeys("abcd", WELL), **meanwhile(gone="a"), release_max_unavailable=1)
    assert (done.code, done.tried, done.failed) == (2, "abcd", "a"), done.text
    assert done.verdicts == {"a": "unreachable", "b": RELEASED, "c": RELEASED, "d": RELEASED}
    assert done.table["a"][-2:] == ["?", "see that it can be reached, then sudo slipway status there"]
    assert done.stats[0] == "incomplete"
    done = run({"a": WELL, "b": GONE, "c": WELL, "d": WELL}, **meanwhile(gone="a"), release_max_unavailable=1)
    assert (done.code, done.tried, done.failed) == (2, "ac", "ab"), done.text
    assert "(release_max_unavailable allows 1), and the run stops. Not touched in this play: d." in done.said


GONE_BACK = {"current": OLD}
CRASHED = {"health": "fail", "message": "systemd says failed (exit-code)"}


@pytest.mark.parametrize(
    ("state", "says", "verdict"),
    [
        (GONE_BACK, f"after the comparison of its batch, {OLD} runs here instead of {NEW}.", "failed"),
        (CRASHED, f"after the comparison of its batch, {NEW} does not run here: systemd says failed (exit-code).",
         "taken back"),
    ],
)  # fmt: skip
def test_one_whose_release_serves_no_more_when_it_has_been_compared_counts(run, meanwhile, state, says, verdict):
    """Its watch has taken it back, or its deadline while the controller stood still; or it has crashed."""
    done = run(dict.fromkeys("abcd", WELL), **meanwhile(a=state), release_max_unavailable=1)
    assert (done.code, done.runs, done.tried, done.failed, done.marked) == (2, "1111", "a", "a", ""), done.text
    assert "no host has the release yet" in done.said
    assert done.table["a"][1:4] == [OLD, NEW, verdict]
    assert done.table["a"][-2:] == [OLD, "correct the cause, then release here"]
    assert says in done.said
    done = run(
        dict.fromkeys("abcd", WELL), **{**meanwhile(b=state), "release_serial": "2,100%"}, release_max_unavailable=1
    )
    assert (done.code, done.tried, done.failed) == (2, "abcd", "b"), done.text
    assert done.verdicts == {"a": RELEASED, "b": "failed", "c": RELEASED, "d": RELEASED}


@pytest.mark.parametrize(("ill", "asked"), [("", ["a", "bc"]), ("a", [])])
def test_hosts_are_asked_once_more_only_where_they_were_compared_and_go_on(run, meanwhile, ill, asked):
    """Not those of the last batch, which the end asks anyway, nor where a verdict stops the run."""
    rules = {**meanwhile(), "release_min_requests": 10}
    Prometheus.ill = ill
    assert run(dict.fromkeys("abcd", WELL), **rules).asked == asked


def test_with_steps_a_host_that_is_gone_gets_none_after_the_verdict(run, meanwhile, tmp_path):
    say = {"name": "Say so", "delegate_to": "localhost"}
    for name in ("verdict", "failure"):
        text = f"echo {name} {{{{ inventory_hostname }}}} >> {tmp_path}/steps"
        (tmp_path / f"{name}.yml").write_text(json.dumps([{**say, "ansible.builtin.shell": text}]))
    ill = {"name": "Refuse", "ansible.builtin.fail": {"msg": "full."}, "when": "inventory_hostname == 'c'"}
    (tmp_path / "before.yml").write_text(json.dumps([ill]))
    steps = {"release_before_swap_tasks": "before.yml", "release_after_verdict_tasks": "verdict.yml"}
    steps["release_on_failure_tasks"] = "failure.yml"
    rules = {**meanwhile(gone="b"), "release_serial": "3,100%", "release_max_unavailable": 2}
    done = run(dict.fromkeys("abcd", WELL), **rules, **steps)
    assert (done.code, done.tried, done.failed, done.asked) == (2, "abd", "bc", ["a"]), done.text
    told = (tmp_path / "steps").read_text().split("\n")
    assert sorted(filter(None, told)) == ["failure a", "verdict a", "verdict d"]


BOTH = {"shop": {}, "books": {"release_compare": {}}}


def test_of_several_services_the_one_that_is_compared_counts(run, meanwhile):
    done = run(dict.fromkeys("abcd", WELL), **meanwhile(a=GONE_BACK), slipway_services=BOTH, service_name="all")
    assert (done.code, done.tried, done.failed) == (2, "a", "a"), done.text
    assert "a failed or could not be reached, and the run stops. Not touched in this play: b, c, d." in done.said


def test_what_is_not_known_takes_the_fleet_back_where_that_is_wanted(run, compare, tmp_path):
    rules = {"release_compare": json.dumps(compare), "release_min_requests": 10**6, "release_inconclusive": "refuse"}
    task = {"name": "Page somebody", "ansible.builtin.shell": f"echo {{{{ inventory_hostname }}}} >> {tmp_path}/paged"}
    (tmp_path / "page.yml").write_text(json.dumps([task]))
    rules["release_on_failure_tasks"] = "page.yml"
    done = run(dict.fromkeys("abcd", WELL), **rules, **SERIAL)
    assert (done.code, done.runs, done.tried, done.marked, done.failed) == (2, "1111", "a", "", "a"), done.text
    assert "nobody knows whether the new release is good" in done.said
    assert (tmp_path / "paged").read_text().split() == ["a"], "the steps after a failure are taken once"
    done = run(dict.fromkeys("abcd", WELL), "--check", **rules, **SERIAL)
    assert (done.code, done.runs, "inconclusive" in done.said, done.asked) == (0, "1111", False, [])
    assert (tmp_path / "paged").read_text().split() == ["a"]


def test_a_run_that_ends_after_the_canary_is_gone_on_with_by_the_next(run):
    done = run({"a": WELL, "b": WELL, "c": WELL}, release_until="canary", release_report_mode=416, **SERIAL)
    assert (done.code, done.runs, done.tried, done.failed) == (0, "211", "a", "")
    assert done.verdicts == {"a": "released", "b": "not touched", "c": "not touched"}
    assert '"outcome": "partial"' in done.text
    done = run({"a": {**WELL, "current": NEW}, "b": WELL, "c": WELL}, **SERIAL)
    assert (done.code, done.runs) == (0, "222")
    assert '"outcome": "complete"' in done.text


APART = "{{ {'shop': {}} if inventory_hostname in 'cd' else {'books': {}} }}"


def test_a_run_ends_after_the_first_batch_in_which_somebody_has_the_service(run):
    more = {"release_until": "canary", "slipway_services": APART, "service_name": "shop", "release_serial": "1"}
    done = run(dict.fromkeys("abcd", WELL), **more)
    assert (done.code, done.runs, done.tried, done.failed) == (0, "1121", "c", ""), done.text
    assert "release_until ends the run here, after batch 3 of 4: 1 host after it not touched." in done.said


def test_beyond_the_budget_it_stops(run):
    done = run({"a": WELL, "b": GONE, "c": ILL, "d": WELL}, release_max_unavailable=1, **SERIAL)
    assert (done.code, done.runs, done.tried, done.failed) == (2, "1111", "ac", "bc"), done.text
    assert done.verdicts == {"a": "taken back", "b": "unreachable", "c": "failed", "d": "not touched"}
    assert "release_max_unavailable allows 1" in done.said


@pytest.mark.parametrize("run", NEWEST, indirect=True)
def test_a_host_that_is_down_in_preflight_counts_against_the_budget(run):
    hosts = {"a": WELL, "b": GONE, "c": GONE, "d": WELL}
    done = run(hosts, release_max_unavailable=1, **SERIAL, release_report="reports/shop.html")
    assert (done.code, done.runs, done.tried) == (2, "1111", ""), done.text
    (report,) = done.reports
    assert "shop 2.0.0 was refused before anything changed: 2 of 4 hosts cannot take it." in report
    assert "no route to host." in report
    assert "undefined" not in done.text, "a host that accepts the release has nothing to say of a failure"
    assert "PLAY [Release]" not in done.text


def test_a_canary_that_is_down_is_within_the_budget_and_one_that_fails_is_not(run):
    done = run({"a": GONE, "b": WELL, "c": WELL}, release_max_unavailable=1, **SERIAL)
    assert (done.code, done.runs, done.failed) == (2, "122", "a"), done.text
    done = run({"a": ILL, "b": WELL, "c": WELL}, release_max_unavailable=1, **SERIAL)
    assert (done.code, done.runs, done.tried, done.failed) == (2, "111", "a", "a"), done.text
    assert "no host has the release yet" in done.said


@pytest.mark.parametrize(("mode", "runs"), [("batch", "21111"), ("host", "22111")])
def test_who_goes_back(run, mode, runs):
    hosts = {"a": WELL, "b": WELL, "c": ILL, "d": WELL, "e": WELL}
    done = run(hosts, release_on_failure=mode, **SERIAL)
    assert (done.code, done.runs, done.tried, done.failed) == (2, runs, "abc", "c"), done.text


def test_what_this_run_has_not_brought_stays(run):
    """One serves it already, and on another it was the first release."""
    done = run({"a": {"current": NEW}, "b": {"current": None}, "c": ILL}, **SERIAL)
    assert (done.code, done.runs, done.failed) == (2, "221", "c"), done.text
    assert done.verdicts == {"a": "unchanged", "b": RELEASED, "c": "failed"}
    assert "it was its first release" in done.said


@pytest.mark.parametrize("run", NEWEST, indirect=True)
def test_one_that_cannot_go_back_fails_with_its_own_reason_and_keeps_no_other(run):
    done = run({"a": {"stays": True}, "b": WELL, "c": ILL}, **SERIAL)
    assert (done.code, done.runs, done.failed) == (2, "211", "ac"), done.text
    assert done.verdicts == {"a": "not taken back", "b": "taken back", "c": "failed"}
    told = [line for line in done.fatal("a") if "1.0.0-1111111111 is not {{ 6 * 7 }} on this host's disk." in line]
    assert len(told) == 2, done.text
    assert done.stats[0] == "stopped"


def test_the_next_run_says_what_a_run_has_left_that_was_killed_on_its_way_back(run):
    done = run({"a": {"current": NEW}, "b": WELL, "c": WELL}, **SERIAL)
    assert (done.code, done.runs) == (0, "222"), done.text
    assert done.table["a"][1] == NEW
    assert done.table["b"][1] == OLD


def test_one_host_alone_is_told_nothing_twice_and_has_no_table(run):
    done = run({"a": WELL}, release_report="reports")
    assert (done.code, done.runs) == (0, "2"), done.text
    assert "VERDICT" not in done.text
    assert ["on a: released." in report for report in done.reports] == [True]
    done = run({"a": ILL}, release_report="reports")
    assert (done.code, done.runs, done.failed) == (2, "1", "a"), done.text
    assert "VERDICT" not in done.text
    assert sorted("on a: failed." in report for report in done.reports) == [False, True], "each run has its own file"


def test_check_mode_takes_nothing_back(run):
    done = run({"a": WELL, "b": WELL}, "--check", **SERIAL, release_report="reports")
    assert done.reports == []
    assert (done.code, done.runs) == (0, "11"), done.text
    assert done.verdicts == {"a": "would be released", "b": "would be released"}


@pytest.mark.parametrize("tags", [("--tags", "release"), ("--limit", "b,c")])
def test_a_part_of_a_run_is_concluded_as_well(run, tags):
    done = run({"a": WELL, "b": WELL, "c": ILL}, *tags, **SERIAL)
    assert (done.code, done.runs, done.failed) == (2, "111", "c"), done.text
    assert done.verdicts["c"] == "failed"


@pytest.mark.parametrize(
    ("hosts", "given"), [("ab", {"release_max_unavailable": "some"}), ("a", {"release_on_failure": "everybody"})]
)
def test_bad_rules_are_refused_before_anything_changes(run, hosts, given):
    done = run(dict.fromkeys(hosts, WELL), **given)
    assert (done.code != 0, done.tried) == (True, ""), done.text
    assert f"{next(iter(given))} is" in done.said
    assert "Fix: " in done.said
    assert "Traceback" not in done.text

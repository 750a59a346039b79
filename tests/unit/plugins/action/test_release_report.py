# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report is written as a whole and into a file of its own run, or the run goes on with a warning."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.action import release_report as plugin
from ansible_collections.slipway.go.plugins.plugin_utils._report import notes
from ansible_collections.slipway.go.plugins.plugin_utils._run import collection
from ansible_collections.slipway.go.plugins.plugin_utils._run.this_run import Run

RUN = Run("90f1c2aa34bb56dd", 1789000000.5)
NAME = "20260910T002640Z-90f1c2aa34bb56dd.html"


class Action(plugin.ActionModule):
    def __init__(self, arguments, check_mode):
        self._task = SimpleNamespace(args=arguments, check_mode=check_mode)


@pytest.fixture
def write(monkeypatch, tmp_path):
    (tmp_path / "run").mkdir()
    monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path / "run"))
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(ActionBase, "validate_argument_spec", lambda self, spec: (None, with_defaults(self, spec)))
    monkeypatch.setattr(plugin.this_run, "this", lambda: RUN)
    monkeypatch.chdir(tmp_path)

    def write(path="reports", check_mode=False, **arguments):
        return Action({"path": str(path), "service": "shop", **arguments}, check_mode).run(task_vars={})

    return write


def with_defaults(action, spec):
    return {name: action._task.args.get(name, option.get("default")) for name, option in spec.items()}


def release(service="shop", host="web1"):
    answer = {"changed": True, "action": "release", "current": "2.0.0-b", "previous": "1.0.0-a"}
    note = {"answer": answer, "batch": 0, "began": 1789000001.0, "ended": 1789000002.0, "version": "2.0.0", "by": {}}
    notes.keep(notes.RELEASE, service, host, note)


def test_a_folder_is_made_and_the_file_is_the_operators_own(write, tmp_path):
    release()
    told = write("new/reports")
    path = tmp_path / "new" / "reports" / f"release-{NAME}"
    assert told == {
        "changed": False,
        "report": str(path),
        "ansible_stats": {"data": {"slipway": {"report": str(path)}}, "per_host": False, "aggregate": True},
    }
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert "shop 2.0.0" in path.read_text()
    assert [one.name for one in path.parent.iterdir()] == [path.name], "nothing is left beside it"


@pytest.mark.parametrize(
    ("mode", "found"), [*((mode, int(mode, 8)) for mode in plugin.MODES), (640, 0o640), (416, 0o640)]
)
def test_who_may_read_it(write, mode, found):
    told = write(mode=mode)
    assert os.stat(told["report"]).st_mode & 0o777 == found
    assert "warnings" not in told


@pytest.mark.parametrize("mode", ["0777", "rw", "", 7, None])
def test_a_mode_that_is_none_gives_a_warning_and_a_report_for_the_one_who_runs_it(write, mode):
    told = write(mode=mode)
    assert os.stat(told["report"]).st_mode & 0o777 == 0o600
    assert "release_report_mode is" in told["warnings"][0]


def test_a_file_gets_the_name_of_its_run_and_no_other_is_replaced(write, tmp_path, monkeypatch):
    (tmp_path / "shop.html").write_text("mine")
    first = write("shop.html")["report"]
    monkeypatch.setattr(plugin.this_run, "this", lambda: RUN._replace(id="00"))
    second = write("shop.html")["report"]
    assert first == str(tmp_path / f"shop-{NAME}")
    assert first != second
    assert (tmp_path / "shop.html").read_text() == "mine"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert plugin.file_of("~/r", RUN) == str(tmp_path / "home" / "r" / f"release-{NAME}")
    (tmp_path / "folder.html").mkdir()
    assert plugin.file_of("folder.html", RUN) == str(tmp_path / "folder.html" / f"release-{NAME}")


def test_the_services_of_one_run_share_one_file(write):
    closing = {"stats": {"web1": {"verdict": "released", "now": "2.0.0-b"}}, "outcome": "complete"}
    for service in ("shop", "kiosk"):
        release(service)
        path = write(service=service, version="2.0.0", closing=closing)["report"]
    with open(path, encoding="utf-8") as stream:
        page = stream.read()
    assert "Release of kiosk, shop" in page
    assert page.count("on web1: released.") == 2


@pytest.mark.parametrize("broken", ["folder is a file", "page"])
def test_a_report_that_cannot_be_written_changes_nothing(write, tmp_path, monkeypatch, broken):
    if broken == "page":
        monkeypatch.setattr(plugin.page, "render", lambda report: 1 / 0)
    else:
        (tmp_path / "reports").write_text("a file")
    told = write()
    (warning,) = told.pop("warnings")
    assert told == {"changed": False, "report": ""}
    assert "reports" in warning
    assert "The release itself stands. Fix: " in warning
    assert ("division by zero" if broken == "page" else "exists") in warning


def test_where_nobody_wants_one_and_in_check_mode_there_is_none(write, tmp_path):
    assert write("") == write(check_mode=True) == {"changed": False, "report": ""}
    assert [one.name for one in tmp_path.iterdir()] == ["run"]


def test_a_name_that_could_act_as_a_template_is_not_handed_on(write):
    told = write("{{ 7 * 7 }}")
    assert "{{ 7 * 7 }}" in told["report"]
    assert "ansible_stats" not in told


def test_the_version_of_the_collection(tmp_path):
    assert collection.version() != "unknown"
    assert collection.version(str(tmp_path)) == "unknown"
    (tmp_path / "galaxy.yml").write_text("version: 0.9.0\n")
    assert collection.version(str(tmp_path)) == "0.9.0"
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"collection_info": {"version": "1.0.0"}}))
    assert collection.version(str(tmp_path)) == "1.0.0"

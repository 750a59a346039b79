# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules baseline and drift_info, the table of the playbook and the command, over a host that is one item."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.drift_table import drift_table
from ansible_collections.slipway.go.plugins.module_utils._drift import baseline as store
from ansible_collections.slipway.go.plugins.module_utils._drift import released, report
from ansible_collections.slipway.go.plugins.module_utils._drift.item import Finding, Item
from ansible_collections.slipway.go.plugins.module_utils._tool import cli
from ansible_collections.slipway.go.plugins.modules import baseline, drift_info
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module


@pytest.fixture
def host(monkeypatch, tmp_path):
    items = {"a": "1"}

    def look():
        return {"area": {what: Item({"is": value}) for what, value in items.items()}}

    kept, begun = str(tmp_path / "kept.json"), str(tmp_path / "begun.json")
    for function, paths in ((store.load, (kept,)), (store.begin, (begun,)), (store.is_begun, (begun,))):
        monkeypatch.setattr(function, "__defaults__", paths)
    monkeypatch.setattr(store.finish, "__defaults__", (False, kept, begun))
    monkeypatch.setattr(baseline, "survey", look)
    monkeypatch.setattr(report, "survey", look)
    monkeypatch.setattr(report.released, "services", list)
    return items


def test_a_run_between_two_looks(host, capsys):
    def run(state, **more):
        return run_module(baseline, capsys, state=state, **more)

    foreseen = run("recorded", _ansible_check_mode=True)
    assert (foreseen["changed"], foreseen["known"]) == (True, False)
    assert not run("begun")["changed"]
    host["a"] = "2"
    assert run("recorded")["changed"]
    assert run_module(drift_info, capsys)["findings"] == []

    host["a"] = "by hand"
    assert run("begun")["known"]
    assert not run("recorded")["changed"], "the run has not done it"
    (found,) = run_module(drift_info, capsys)["findings"]
    assert (found["what"], found["expected"], found["found"]) == ("a", "2", "by hand")

    foreseen = run("accepted", _ansible_check_mode=True)
    run("begun")
    done = run("accepted")
    assert not store.is_begun()
    assert (foreseen["changed"], foreseen["accepted"]) == (done["changed"], done["accepted"]) == (True, [found])
    assert not run("accepted")["changed"]
    assert run_module(drift_info, capsys)["findings"] == []


def test_a_damaged_record_is_a_failure_with_a_fix(host, capsys):
    with open(store.load.__defaults__[0], "w", encoding="utf-8") as stream:
        stream.write("{")
    for module in (baseline, drift_info):
        found = run_module(module, capsys)
        assert (found["failed"], found["code"], bool(found["fix"])) == (True, "damaged_record", True)


def test_the_command(host, capsys, monkeypatch):
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
    assert cli.main(["drift"]) == 0
    said = capsys.readouterr()
    assert (said.out, report.NO_BASELINE in said.err) == ("no drift\n", True)
    run_module(baseline, capsys)
    host["a"] = "2"
    assert cli.main(["drift"]) == 1
    assert "area a" in capsys.readouterr().out
    assert cli.main(["drift", "--json"]) == 1
    assert [one["found"] for one in json.loads(capsys.readouterr().out)["findings"]] == ["2"]
    assert cli.main(["drift", "nobody", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "unknown_service"


def test_the_command_writes_metrics(host, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)

    def samples():
        cli.main(["drift", "--metrics", str(tmp_path)])
        lines = (tmp_path / "slipway_drift.prom").read_text().splitlines()
        told = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        assert float(told.pop("slipway_drift_timestamp_seconds")) > 1e9
        return told

    assert samples() == {}, "a host without a baseline was not compared"
    run_module(baseline, capsys)
    assert samples() == {"slipway_drift_findings": "0"}
    host["a"] = "2"
    compared = released.Compared([Finding("shop", "units", "x", "a", "b")], ["busy"], ["mail", "shop"])
    monkeypatch.setattr(report.released, "compare_services", lambda _only: compared)
    assert samples() == {
        "slipway_drift_findings": "1",
        'slipway_drift_findings{service="mail"}': "0",
        'slipway_drift_findings{service="shop"}': "1",
    }


def test_metrics_are_of_the_whole_host(monkeypatch, tmp_path, capsys):
    """Those of one service would take the place of all others."""
    with pytest.raises(SystemExit):
        cli.main(["drift", "shop", "--metrics", str(tmp_path)])
    assert "not allowed with" in capsys.readouterr().err


def test_a_folder_that_is_missing_is_said(host, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
    assert cli.main(["drift", "--metrics", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


FINDING = {"service": "shop", "area": "units", "what": "x", "expected": "a", "found": "b", "since": None}


def test_the_table_of_hosts():
    many = [{**FINDING, "what": f"x{number}"} for number in range(7)]
    found = drift_table(
        {
            "web1": {"findings": [], "notes": []},
            "web2": {"findings": many, "notes": ["half"]},
            "web3": {"unreachable": True, "msg": "no\nroute"},
        }
    )
    assert len(found["rows"]) == 8
    assert found["table"].splitlines()[-1] == "web2: half"
    assert set(found["reasons"]) == {"web2", "web3"}
    assert found["reasons"]["web2"].startswith("7 differences: shop: units x0: expected a, found b; ")
    assert found["reasons"]["web2"].endswith("; and 2 more.")
    assert found["reasons"]["web3"] == "1 difference: host answer: expected an answer, found no route."


def test_no_drift_is_said():
    assert drift_table({"web1": {"findings": []}}) == {"table": "no drift on 1 host", "rows": [], "reasons": {}}


def test_anything_but_a_dictionary_is_an_error():
    with pytest.raises(AnsibleFilterError):
        drift_table(["web1"])

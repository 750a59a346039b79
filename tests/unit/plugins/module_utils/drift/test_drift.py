# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drift: what counts as a difference, what a run may take over, and what is never shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._drift import baseline, report
from ansible_collections.slipway.go.plugins.module_utils._drift.item import Finding, Item, Unreadable, compare
from ansible_collections.slipway.go.plugins.module_utils._drift.released import Compared
from ansible_collections.slipway.go.plugins.module_utils._drift.table import render_drift_table
from hypothesis import given
from hypothesis import strategies as st

FILE = {"content": "5d41402a", "mode": "0600", "owner": "0:0"}
PACKAGED = {"content": "as its package has it", "mode": "0644", "owner": "0:0"}


def differences(expected, found, since=None):
    record = {"files": {} if expected is None else {"/etc/x": expected}}
    survey = {"files": {} if found is None else {"/etc/x": Item(found, since)}}
    return [(one.expected, one.found, one.since) for one in compare(record, survey)]


@pytest.mark.parametrize(
    ("expected", "found", "told"),
    [
        (FILE, FILE, []),
        (FILE, {**FILE, "content": "0"}, [("as recorded", "another content", 1.0)]),
        (FILE, {**FILE, "mode": "0666"}, [("mode 0600", "mode 0666", 1.0)]),
        (
            FILE,
            {**FILE, "content": "0", "owner": "1:1"},
            [("as recorded, owner 0:0", "another content, owner 1:1", 1.0)],
        ),
        (FILE, {"is": "a link to /tmp/x"}, [("as recorded, mode 0600, owner 0:0", "a link to /tmp/x", 1.0)]),
        (FILE, None, [("mode 0600, owner 0:0", "missing", None)]),
        (None, FILE, [("none", "mode 0600, owner 0:0", 1.0)]),
        (PACKAGED, {**PACKAGED, "content": "0"}, [("as its package has it", "another content", 1.0)]),
        (PACKAGED, {"is": "missing"}, [("as its package has it, mode 0644, owner 0:0", "missing", 1.0)]),
        (None, PACKAGED, []),
        (PACKAGED, None, []),
        ({"is": "no"}, {"is": "yes"}, [("no", "yes", 1.0)]),
        ({"now": "active"}, {"at boot": "enabled", "now": "active"}, [("none", "at boot enabled", 1.0)]),
    ],
)
def test_a_difference_and_its_words(expected, found, told):
    assert differences(expected, found, 1.0) == told


@pytest.mark.parametrize(
    ("expected", "found", "settled", "drifts"),
    [
        ({"now": "not mounted"}, {"now": "noexec"}, True, False),
        ({"now": "noexec"}, {"now": "exec"}, False, True),
        ({"now": "permissive", "at boot": "enforcing"}, {"now": "enforcing", "at boot": "enforcing"}, True, False),
        ({"now": "active", "at boot": "enabled"}, {"now": "active", "at boot": "masked"}, True, True),
        (None, {"now": "active"}, True, True),
    ],
)
def test_what_comes_into_force_with_a_boot_is_no_difference(expected, found, settled, drifts):
    record = {"area": {} if expected is None else {"x": expected}}
    assert bool(list(compare(record, {"area": {"x": Item(found, settled=settled)}}))) == drifts


def test_no_digest_is_ever_shown():
    assert "5d41402a" not in str(differences(FILE, None) + differences(None, FILE) + differences(FILE, PACKAGED))


def test_an_area_that_cannot_be_read_is_one_difference():
    found = list(compare({"sshd": {"port": {"is": "22"}, "usepam": {"is": "yes"}}}, {"sshd": Unreadable("it fails")}))
    assert found == [Finding("", "sshd", "sshd", "readable", "it fails")]


def test_an_area_without_a_record_is_not_compared():
    assert list(compare({}, {"sshd": {"port": Item({"is": "22"})}})) == []


areas = st.dictionaries(st.sampled_from("abcde"), st.sampled_from("123").map(lambda value: {"is": value}))


@given(old=areas, begun=areas, now=areas)
def test_a_run_takes_over_what_it_has_changed_and_nothing_else(old, begun, now):
    survey = {"area": {what: Item(aspects) for what, aspects in now.items()}}
    merged = baseline.merge({"area": old}, {"area": begun}, survey)
    drifted = {one.what for one in compare(merged, survey)}
    assert drifted == {what for what in "abcde" if begun.get(what) == now.get(what) != old.get(what)}


@pytest.fixture
def paths(tmp_path):
    return {"path": str(tmp_path / "kept.json"), "begun": str(tmp_path / "begun.json")}


def look(**values):
    return {"area": {what: Item({"is": value}) for what, value in values.items()}}


def drifted(paths, survey):
    return {one.what for one in compare(baseline.load(paths["path"]).record, survey)}


def test_the_first_run_takes_all(paths):
    assert baseline.load(paths["path"]) is None
    baseline.begin(look(a="1"), paths["begun"])
    assert baseline.finish(look(a="2", b="1"), **paths)
    assert drifted(paths, look(a="2", b="1")) == set()
    assert not baseline.finish(look(a="2", b="1"), **paths), "a second one changes nothing"


def test_what_others_have_changed_stays_a_difference(paths):
    baseline.finish(look(a="1", b="1"), **paths)
    baseline.begin(look(a="1", b="by hand"), paths["begun"])
    baseline.finish(look(a="2", b="by hand"), **paths)
    assert drifted(paths, look(a="2", b="by hand")) == {"b"}


def test_the_later_of_two_runs_takes_over_nothing_unseen(paths):
    baseline.finish(look(a="1", b="1"), **paths)
    baseline.begin(look(a="1", b="1"), paths["begun"])
    baseline.begin(look(a="2", b="1"), paths["begun"])  # the second run, in the middle of the first
    baseline.finish(look(a="2", b="1"), **paths)
    assert not baseline.finish(look(a="2", b="by hand"), **paths)
    assert drifted(paths, look(a="2", b="by hand")) == {"b"}


def test_a_run_that_is_cut_short_is_finished_by_the_next(paths):
    baseline.finish(look(a="1"), **paths)
    baseline.begin(look(a="1"), paths["begun"])  # it changes a, and dies
    baseline.begin(look(a="2"), paths["begun"])  # the next finds it as it should be
    baseline.finish(look(a="2"), **paths)
    assert drifted(paths, look(a="2")) == set()


def test_an_area_that_cannot_be_read_keeps_its_record(paths):
    baseline.finish(look(a="1"), **paths)
    baseline.finish({"area": Unreadable("for once")}, **paths)
    assert drifted(paths, look(a="2")) == {"a"}


def test_only_root_can_read_it(paths):
    baseline.finish(look(a="1"), **paths)
    assert {path.stat().st_mode & 0o777 for path in Path(paths["path"]).parent.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"areas": {"a": {"b": 1}}, "time": 1}', '{"areas": [], "time": "x"}']
)
def test_a_damaged_record_is_named_with_its_fix(paths, text):
    with open(paths["path"], "w", encoding="utf-8") as stream:
        stream.write(text)
    with pytest.raises(SlipwayError) as caught:
        baseline.load(paths["path"])
    assert (caught.value.code, paths["path"] in caught.value.fix) == ("damaged_record", True)


def test_a_record_of_another_format_is_none(paths):
    with open(paths["path"], "w", encoding="utf-8") as stream:
        json.dump({"areas": {}, "time": 1, "format": 0}, stream)
    assert baseline.load(paths["path"]) is None


def test_the_table():
    row = {"host": "web1", "service": "", "area": "sshd", "what": "port", "expected": "22", "found": "2\x1b22"}
    lines = render_drift_table([{**row, "since": 0.0}, {**row, "service": "shop", "since": 1790000000.4}]).splitlines()
    assert lines == [
        "HOST  SERVICE  WHAT       EXPECTED  FOUND  SINCE",
        "web1  -        sshd port  22        2 22   -",
        "web1  shop     sshd port  22        2 22   2026-09-21 14:13 UTC",
    ]


@pytest.fixture
def host(monkeypatch):
    found = {"survey": look(a="1"), "services": [], "in_flight": [], "begun": False}

    def services(only):
        return Compared([one for one in found["services"] if only in ("", one.service)], found["in_flight"])

    monkeypatch.setattr(report, "survey", lambda: found["survey"])
    monkeypatch.setattr(report.released, "compare_services", services)
    monkeypatch.setattr(report.baseline, "load", lambda: baseline.Baseline({"area": {"a": {"is": "1"}}}, 7.0))
    monkeypatch.setattr(report.baseline, "is_begun", lambda: found["begun"])
    return found


def test_the_host_and_its_services(host):
    assert report.drift() == {"findings": [], "baseline": 7.0, "services": [], "notes": []}
    host["survey"] = look(a="2")
    host["services"] = [Finding("till", "state", "till.service", "active", "inactive (dead)")]
    assert [(one["service"], one["what"]) for one in report.drift()["findings"]] == [
        ("", "a"),
        ("till", "till.service"),
    ]
    assert [one["service"] for one in report.drift("till")["findings"]] == ["till"]
    assert report.drift("shop")["findings"] == []


def test_a_host_that_nobody_has_hardened_says_so(host, monkeypatch):
    monkeypatch.setattr(report.baseline, "load", lambda: None)
    host["survey"] = look(a="2")
    assert report.drift() == {"findings": [], "baseline": None, "services": [], "notes": [report.NO_BASELINE]}
    assert report.drift("shop")["notes"] == []


def test_what_is_under_way_is_said(host):
    host["in_flight"], host["begun"] = ["shop"], True
    assert report.drift()["notes"] == [f"shop: {report.IN_FLIGHT}", report.UNDER_WAY]

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole of slipway.go.vulnerabilities: action and module are the real ones, the connection is played."""

from __future__ import annotations

import json
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.action import vulnerabilities as plugin
from ansible_collections.slipway.go.plugins.filter.vulnerability_table import vulnerability_table
from ansible_collections.slipway.go.plugins.modules import vulnerabilities as module
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_go_build_info import inline
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.vulnerabilities.entries import entry, write
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module

TEXT = "path\texample.com/shop\nmod\texample.com/shop\tv1.0.0\ndep\tgolang.org/x/sys\tv0.20.0\th1:def=\n"


def when(days=0):
    return f"{datetime.now(timezone.utc) - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


class Action(plugin.ActionModule):
    def __init__(self, arguments, capsys):
        self._task = SimpleNamespace(args=arguments)
        self._loader = MagicMock()
        self._capsys = capsys
        self.sent = {}

    def _find_needle(self, _dirname, needle):
        return needle

    def _execute_module(self, module_name, module_args, task_vars):
        self.sent = {key: value for key, value in module_args.items() if value is not None}
        return run_module(module, self._capsys, **self.sent)


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """What the task returns, given its options; a database with one entry about what is in the program."""
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    program = ElfBuilder(type=EXEC, body=inline("go1.22.3", TEXT)).write(tmp_path / "shop")
    database = write(tmp_path / "db", entry(modified=when(), aliases=["CVE-2026-1"]))

    def run(**options):
        given = {"path": str(program), "database": database, **options}
        return Action({key: value for key, value in given.items() if value is not None}, capsys).run(task_vars={})

    return run


def test_a_vulnerable_program_is_a_result(ask):
    answer = ask()
    assert not answer.get("failed")
    assert not answer["changed"]
    assert answer["refused"]
    assert [(one["id"], one["state"], one["basis"]) for one in answer["findings"]] == [
        ("GO-2026-0001", "open", "module")
    ]
    assert [one["code"] for one in answer["problems"]] == ["policy_vulnerable"]
    assert answer["go_version"] == "go1.22.3"
    assert answer["licences"] == {"judged": False, "why_not": "no SBOM is given", "unnamed": []}
    assert answer["invocation"]["module_args"]["sealed"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def test_what_is_ignored_does_not_count_and_is_shown(ask):
    ignore = [{"id": "CVE-2026-1", "reason": "closed port", "until": f"{datetime.now(timezone.utc):%Y-%m-%d}"}]
    answer = ask(ignore=ignore)
    assert not answer["refused"]
    assert answer["findings"][0]["reason"] == "closed port"
    assert not ask(ignore=json.dumps(ignore))["refused"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"database": "/nowhere"}, "vulnerability_database_missing"),
        ({"severity": "bad"}, "invalid_severity"),
        ({"grace": -1}, "invalid_grace"),
        ({"max_age": "soon"}, "invalid_age"),
        ({"ignore": [{"id": "x"}]}, "vulnerability_ignore_syntax"),
        ({"inconclusive": "maybe"}, "invalid_inconclusive"),
        ({"denylist": "/nowhere"}, "unreadable_denylist"),
        ({"sbom": "/nowhere"}, "unreadable_sbom"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(ask, options, code):
    answer = ask(**options)
    assert answer["failed"]
    assert answer["code"] == code
    assert answer["fix"]


def test_an_old_database_is_refused(ask, tmp_path):
    old = write(tmp_path / "old", entry(modified="2020-01-01T00:00:00Z"))
    Path(old, "index", "db.json").unlink()
    assert ask(database=old)["code"] == "vulnerability_database_stale"
    assert ask(database=old, max_age=0)["refused"]


def test_a_zip(ask, tmp_path):
    with zipfile.ZipFile(tmp_path / "db.zip", "w") as archive:
        archive.writestr("ID/GO-1.json", json.dumps(entry("GO-1", modified=when())))
    assert ask(database=str(tmp_path / "db.zip"))["findings"][0]["id"] == "GO-1"


def test_a_denylist_alone(ask, tmp_path):
    (tmp_path / "denied").write_text("golang.org/x/... <v1 # ours are elsewhere\n")
    answer = ask(database=None, denylist=str(tmp_path / "denied"))
    assert [one["code"] for one in answer["problems"]] == ["policy_denied_module"]


def test_licences_of_an_sbom(ask, tmp_path):
    licensed = {"name": "m", "version": "v1", "licenses": [{"license": {"id": "AGPL-3.0-only"}}]}
    (tmp_path / "sbom").write_text(json.dumps({"bomFormat": "CycloneDX", "components": [licensed]}))
    answer = ask(severity="critical", sbom=str(tmp_path / "sbom"), denied_licences="AGPL-3.0-only")
    assert "policy_denied_licence" in [one["code"] for one in answer["problems"]]
    assert answer["licences"]["judged"]
    assert ask(sbom=str(tmp_path / "sbom"))["licences"]["why_not"] == "no licence is denied"


def test_a_service_is_judged_by_its_current_release(ask, tmp_path):
    root = tmp_path / "opt"
    release = root / "releases" / "1.0.0-aabbccddee"
    (release / "bin").mkdir(parents=True)
    assert ask(path=None, name="shop", root=str(root))["path"] is None
    (release / "bin" / "shop").write_bytes((tmp_path / "shop").read_bytes())
    (root / "current").symlink_to("releases/1.0.0-aabbccddee")
    answer = ask(path=None, name="shop", root=str(root))
    assert answer["release"] == "1.0.0-aabbccddee"
    assert answer["refused"]


def test_the_table_and_why_hosts_are_refused(ask, tmp_path):
    (tmp_path / "none").mkdir()
    answers = {
        "web1": ask(),
        "web2": {"unreachable": True, "msg": "no route"},
        "web3": ask(path=None, name="shop", root=str(tmp_path / "none")),
        "web4": {"failed": True, "msg": "the database is old"},
    }
    told = vulnerability_table(answers)
    assert told["table"].splitlines() == [
        "HOST  RELEASE  VULNERABILITY            SEVERITY  MODULE            VERSION  FIXED IN  LINKED IN  STATE",
        "web1  -        GO-2026-0001 CVE-2026-1  unknown   golang.org/x/sys  v0.20.0  0.21.0    unknown    open",
        "web2  -        -                        -         -                 -        -         -          no answer",
        "web3  -        -                        -         -                 -        -         -          no release",
        "web4  -        -                        -         -                 -        -         -          no answer",
    ]
    assert sorted(told["reasons"]) == ["web1", "web2", "web4"]
    assert told["reasons"]["web1"].endswith("Fix: run go get golang.org/x/sys@v0.21.0 or newer, then build.")
    assert told["reasons"]["web4"] == "the database is old"

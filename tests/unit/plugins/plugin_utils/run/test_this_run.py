# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of Ansible is one, however many processes it has; and its end is known only where it can be seen."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible import constants
from ansible_collections.slipway.go.plugins.plugin_utils._run import this_run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return tmp_path


def test_all_tasks_of_a_run_have_one_id(folder):
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _number: this_run.this(), range(40)))
    assert len(found) == 1
    assert [path.name for path in folder.iterdir()] == ["slipway-run"]


def test_another_run_has_another(folder, tmp_path_factory, monkeypatch):
    first = this_run.this()
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path_factory.mktemp("other")))
    assert this_run.this().id != first.id


def test_without_hard_links(folder, monkeypatch):
    def refuse(*_arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(this_run.os, "link", refuse)
    others = []

    def meanwhile():
        """Another task of the run comes in between, once."""
        if not others:
            others.append(None)
            others[0] = this_run.this()
        return 1.0

    monkeypatch.setattr(this_run.time, "time", meanwhile)
    assert this_run.this() == others[0] == this_run.this()


def test_one_of_a_run_is_the_first(folder):
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _number: this_run.is_first("notice"), range(40))).count(True) == 1
    assert this_run.is_first("another")


def test_what_all_tasks_need_is_made_by_one(folder):
    made = iter(["a", "b"])
    assert [this_run.made_once("tool", lambda: next(made)) for _task in range(3)] == ["a", "a", "a"]


def test_what_could_not_be_made_is_made_by_the_next(folder):
    def fail():
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        this_run.made_once("tool", fail)
    assert this_run.made_once("tool", lambda: "a") == "a"


def test_rollbacks_are_noted_by_service_and_host(folder):
    assert this_run.rollbacks() == {}
    this_run.note_rollback("shop", "web/1", {"action": "rollback"})
    this_run.note_rollback("mailer", "web/1", {"failed": True})
    assert this_run.rollbacks() == {"mailer": {"web/1": {"failed": True}}, "shop": {"web/1": {"action": "rollback"}}}


def test_leases_are_noted_by_service_and_host(folder):
    assert not this_run.has_lease("shop", "web1")
    this_run.note_lease("shop", "web1")
    this_run.note_lease("shop", "web1")
    assert this_run.has_lease("shop", "web1")
    assert not this_run.has_lease("shop", "web2")
    assert not this_run.has_lease("desk", "web1")
    this_run.forget_lease("shop", "web1")
    this_run.forget_lease("shop", "web1")
    assert not this_run.has_lease("shop", "web1")


def test_a_process_that_runs_has_not_ended():
    told = this_run.process()
    assert told["pid"]
    assert not this_run.has_ended(told)


def test_one_that_is_gone_has():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        told = {**this_run._here(), "pid": child.pid, "started": this_run._started(child.pid)}
        assert not this_run.has_ended(told)
        assert this_run.has_ended({**told, "started": told["started"] - 1}), "its number is another process's now"
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert this_run.has_ended(told), "its parent has not looked yet"
    assert this_run.has_ended(told)


@pytest.mark.parametrize("other", [{"boot": "another machine"}, {"namespace": 1}])
def test_of_another_machine_or_container_nothing_is_known(other):
    gone = {**this_run._here(), "pid": 1 << 30, "started": 1}
    assert this_run.has_ended(gone)
    assert not this_run.has_ended({**gone, **other})


@pytest.mark.parametrize("told", [{}, {"pid": 1}, {"boot": None, "namespace": None}])
def test_what_says_too_little_has_not_ended(told):
    assert not this_run.has_ended(told)


@pytest.mark.parametrize("pid", ["x", None, [1]])
def test_what_says_nonsense_has_not_ended(pid):
    assert not this_run.has_ended({**this_run._here(), "pid": pid, "started": 1})

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad input fails on the controller, before any host is asked; and only what is missing is uploaded."""

from __future__ import annotations

import hashlib
import os
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.action import release as plugin
from ansible_collections.slipway.go.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.elf_builder import EXEC, ElfBuilder


@pytest.fixture
def binary(tmp_path):
    return str(ElfBuilder(type=EXEC).write(tmp_path / "shop"))


def digest_of(path):
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def refused(act, code, *words):
    with pytest.raises(SlipwayError) as caught:
        act()
    assert caught.value.code == code
    assert caught.value.fix
    for word in words:
        assert word in str(caught.value)


def test_a_missing_file(tmp_path):
    path = str(tmp_path / "shop")
    refused(lambda: plugin.check_readable(path), "missing_artefact", "release_src", path)
    refused(lambda: plugin.check_readable(str(tmp_path)), "missing_artefact", "release_src", str(tmp_path))


def test_an_unreadable_file(binary, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (binary, os.R_OK))
    refused(lambda: plugin.check_readable(binary), "unreadable_artefact", "release_src", binary)


class Action(plugin.ActionModule):
    """The plugin with a host that answers from a list."""

    def __init__(self, arguments, answers):
        self._task = SimpleNamespace(args=arguments)
        self._loader = MagicMock()
        self._loader.path_dwim = os.path.abspath
        self._connection = MagicMock()
        self._connection._shell.join_path = os.path.join
        self.answers, self.executed, self.steps = list(answers), [], []

    def _find_needle(self, dirname, needle):
        from ansible.errors import AnsibleError

        raise AnsibleError(f"{needle} is not in {dirname}")

    def _execute_module(self, module_name, module_args, task_vars):
        self.executed.append((module_name, dict(module_args)))
        self.steps.append("execute")
        return self.answers.pop(0)

    def _make_tmp_path(self):
        self.steps.append("make folder")
        return "/tmp/ansible-1"

    def _transfer_file(self, local_path, remote_path):
        self.steps.append(f"upload {local_path} to {remote_path}")
        if "broken" in local_path:
            raise OSError("connection lost")

    def _fixup_perms2(self, paths):
        self.steps.append("permissions")

    def _remove_tmp_path(self, folder):
        self.steps.append(f"remove {folder}")


@pytest.fixture
def act(binary, monkeypatch):
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {"from": "base"})

    def make(answers=(), **arguments):
        return Action({"name": "shop", "version": "1.0", "src": binary, **arguments}, answers)

    return make


def test_the_host_is_told_what_the_controller_saw(act, binary):
    action = act([{"changed": True, "action": "release"}], strategy="restart")
    result = action.run(task_vars={})
    assert result == {"from": "base", "changed": True, "action": "release"}
    ((module, told),) = action.executed
    assert module == "slipway.go.release"
    assert told["digest"] == digest_of(binary)
    assert (told["size"], told["goarch"], told["strategy"]) == (os.path.getsize(binary), "amd64", "restart")
    assert "uploaded" not in told
    assert action.steps == ["execute"], "what the host has is not uploaded"


def test_only_what_the_host_misses_is_uploaded(act, binary):
    action = act([{"action": "upload"}, {"action": "release", "changed": True}])
    assert action.run(task_vars={})["action"] == "release"
    assert action.steps == [
        "execute",
        "make folder",
        f"upload {binary} to /tmp/ansible-1/artefact",
        "permissions",
        "execute",
        "remove /tmp/ansible-1",
    ]
    assert action.executed[1][1]["uploaded"] == "/tmp/ansible-1/artefact"


def test_an_upload_that_fails_leaves_no_folder(act, tmp_path):
    source = str(ElfBuilder(type=EXEC).write(tmp_path / "broken"))
    action = act([{"action": "upload"}], src=source)
    with pytest.raises(OSError, match="connection lost"):
        action.run(task_vars={})
    assert action.steps[-1] == "remove /tmp/ansible-1"


def test_a_failure_of_the_host_is_handed_on(act):
    answer = {"failed": True, "msg": "rolled back", "rolled_back": True}
    assert act([answer]).run(task_vars={}) == {"from": "base", **answer}


@pytest.mark.parametrize(
    ("arguments", "code", "variable"),
    [
        ({"version": ""}, "missing_version", "release_version"),
        ({"version": None}, "missing_version", "release_version"),
        ({"version": "1/0"}, "invalid_version", "release_version"),
        ({"version": "1 0"}, "invalid_version", "release_version"),
        ({"version": "1.0\n"}, "invalid_version", "release_version"),
        ({"name": ""}, "missing_name", "service_name"),
        ({"name": "Shop"}, "invalid_name", "service_name"),
        ({"name": "sshd"}, "invalid_name", "service_name"),
        ({"src": ""}, "missing_src", "release_src"),
        ({"src": "/nowhere/shop"}, "missing_artefact", "release_src"),
        ({"checksum": "0" * 64}, "wrong_checksum", "release_checksum"),
        ({"checksum": "sha1:abc"}, "invalid_checksum", "release_checksum"),
        ({"checksum": 1234}, "invalid_checksum", "release_checksum"),
        ({"environment": {"A-B": "1"}}, "invalid_environment", "A-B"),
        ({"environment": {"A": "1\n2"}}, "invalid_environment", "A"),
        ({"environment": {1: "1"}}, "invalid_environment", "1"),
        ({"environment": "A=1"}, "invalid_environment", "release_environment"),
        ({"environment": ["A=1"]}, "invalid_environment", "release_environment"),
    ],
)
def test_bad_input_meets_no_host(act, arguments, code, variable):
    action = act(**arguments)
    result = action.run(task_vars={})
    assert result["failed"] is True
    assert result["code"] == code
    assert variable in result["msg"]
    assert result["fix"]
    assert result["fix"] in result["msg"]
    assert (action.executed, action.steps) == ([], [])


def test_a_missing_option_is_named(act):
    action = act()
    del action._task.args["version"]
    assert action.run(task_vars={})["code"] == "missing_version"
    assert action.executed == []


def test_the_source_is_looked_for_where_ansible_looks(act, binary):
    action = act([{"action": "none"}], src="shop")
    action._find_needle = lambda folder, path: binary if (folder, path) == ("files", "shop") else None
    assert action.run(task_vars={})["action"] == "none"

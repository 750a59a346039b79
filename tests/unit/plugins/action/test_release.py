# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad input fails on the controller, before any host is asked; and only what is missing is uploaded."""

from __future__ import annotations

import hashlib
import json
import os
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.action import release as plugin
from ansible_collections.slipway.go.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils import _confirmation, _fresh
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.elf_builder import CORE, EXEC, REL, ElfBuilder

FREEBSD = 9


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


@pytest.mark.parametrize(
    ("machine", "bits", "endian", "goarch"),
    [(62, 64, "little", "amd64"), (183, 64, "little", "arm64"), (3, 32, "little", "386"), (22, 64, "big", "s390x")],
)
def test_what_a_binary_says_of_itself(tmp_path, machine, bits, endian, goarch):
    path = str(ElfBuilder(type=EXEC, machine=machine, bits=bits, endian=endian).write(tmp_path / "shop"))
    seen = plugin.inspect(path, "")
    assert (seen.facts["sha256"], seen.facts["size"], seen.elf.goarch) == (
        digest_of(path),
        os.path.getsize(path),
        goarch,
    )


@pytest.mark.parametrize(
    "spec",
    [ElfBuilder(), ElfBuilder(interpreter="/lib64/ld-linux-x86-64.so.2", needed=["libc.so.6"]), ElfBuilder(osabi=3)],
    ids=["pie", "cgo", "gnu"],
)
def test_binaries_that_run(tmp_path, spec):
    assert plugin.inspect(str(spec.write(tmp_path / "shop")), "").elf.goarch == "amd64"


@pytest.mark.parametrize(
    "spec",
    [
        ElfBuilder(type=REL),
        ElfBuilder(type=CORE),
        ElfBuilder(soname="libshop.so.1", needed=["libc.so.6"]),
        ElfBuilder(type=EXEC, osabi=FREEBSD),
    ],
    ids=["object file", "core dump", "library", "FreeBSD"],
)
def test_elf_files_that_do_not_run(tmp_path, spec):
    path = str(spec.write(tmp_path / "shop"))
    refused(lambda: plugin.inspect(path, ""), "not_executable", "release_src", path, "GOOS=linux")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"#!/bin/sh\necho no\n", "not_elf"),
        (b"\x1f\x8b\x08\0 an archive", "not_elf"),
        (b"MZ\x90\0 for windows", "not_elf"),
        (b"", "empty"),
        (b"\x7fELF", "truncated"),
        (b"\x7fELF" + b"\xff" * 200, "malformed"),
    ],
)
def test_files_that_are_no_binary(tmp_path, content, code):
    path = tmp_path / "shop"
    path.write_bytes(content)
    refused(lambda: plugin.inspect(str(path), ""), code, "release_src", str(path), "not a Linux executable", "archive")


def test_a_binary_that_was_cut_short(tmp_path, binary):
    path = tmp_path / "half"
    with open(binary, "rb") as whole:
        path.write_bytes(whole.read(100))
    refused(lambda: plugin.inspect(str(path), ""), "truncated", "release_src")


def test_a_missing_file(tmp_path):
    path = str(tmp_path / "shop")
    refused(lambda: plugin.inspect(path, ""), "missing_artefact", "release_src", path)
    refused(lambda: plugin.inspect(str(tmp_path), ""), "missing_artefact", "release_src", str(tmp_path))


def test_an_unreadable_file(binary, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (binary, os.R_OK))
    refused(lambda: plugin.inspect(binary, ""), "unreadable_artefact", "release_src", binary)


def test_checksums(binary):
    digest = digest_of(binary)
    for form in (digest, f"sha256:{digest}", f"SHA256:{digest.upper()}"):
        assert plugin.inspect(binary, form).facts["sha256"] == digest
    other = "0" * 64
    refused(lambda: plugin.inspect(binary, other), "wrong_checksum", "release_checksum", digest, other)
    refused(lambda: plugin.inspect(binary, "md5:1234"), "invalid_checksum", "release_checksum")


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


ANSWER = {"changed": True, "action": "release", "current": "2.0-a", "previous": "1.0-b", "unconfirmed": "ab" * 16}
CONFIRM = f"/usr/local/sbin/slipway confirm shop --txn {'ab' * 16} --json"
RECOVER = f"/usr/local/sbin/slipway recover shop --txn {'ab' * 16} --json"


class Waiting(Action):
    """A release waits to be confirmed; `said` is what the host answers to each command, or an error."""

    def __init__(self, arguments, said):
        super().__init__(arguments, [{**ANSWER, "phases": {"SOAK": 1.0}}])
        self._play_context = MagicMock()
        self.said, self.asked = list(said), []
        self.live = self._connection
        self.live.transport = "ssh"

    def _low_level_execute_command(self, cmd):
        self.clock.now += 10
        self.asked.append((cmd, self._connection is not self.live))
        answer = self.said.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"rc": 0, "stdout": answer if isinstance(answer, str) else json.dumps(answer), "stderr": "oops"}


@pytest.fixture
def waits(act, binary, monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)
    monkeypatch.setattr(Waiting, "clock", clock, raising=False)
    monkeypatch.setattr(_confirmation, "time", clock)
    monkeypatch.setattr(plugin, "fresh", lambda connection, context: MagicMock())

    def make(*said):
        return Waiting({"name": "shop", "version": "2.0", "src": binary}, said)

    return make


def test_a_release_is_confirmed_over_a_new_connection(waits):
    action = waits({"changed": True, "phases": {"COMMIT": 0.1}, "pruned": ["0.9-c"]})
    result = action.run(task_vars={})
    assert action.asked == [(CONFIRM, True)]
    assert action._connection is action.live
    assert "failed" not in result
    assert (result["unconfirmed"], result["pruned"]) == (None, ["0.9-c"])
    assert result["phases"] == {"SOAK": 1.0, "COMMIT": 0.1}


def test_a_late_confirmation_fails_with_what_the_host_says(waits):
    said = {"failed": True, "code": "too_late", "msg": "2.0-a was taken back", "current": "1.0-b", "rolled_back": True}
    result = waits(said).run(task_vars={})
    assert (result["failed"], result["code"], result["current"]) == (True, "too_late", "1.0-b")


def test_a_connection_that_works_the_second_time_is_good_enough(waits):
    action = waits(AnsibleError("Connection timed out"), {"changed": True})
    assert action.run(task_vars={})["unconfirmed"] is None
    assert action.asked == [(CONFIRM, True)] * 2


def test_without_a_new_connection_the_release_is_taken_back_over_the_open_one(waits):
    gone = AnsibleError("Connection timed out")
    action = waits(gone, gone, {"shop": "2.0-a"})
    result = action.run(task_vars={})
    assert action.asked[-1] == (RECOVER, False)
    assert (result["code"], result["rolled_back"], result["current"]) == ("unconfirmed", True, "1.0-b")
    assert "1.0-b serves again" in result["msg"]
    assert "Connection timed out" in result["msg"]
    assert result["fix"] in result["msg"]


def test_a_login_that_is_refused_is_not_tried_again(waits):
    action = waits(AnsibleError("Permission denied (publickey)."), {"shop": "2.0-a"})
    assert action.run(task_vars={})["rolled_back"]
    assert len(action.asked) == 2


def test_without_any_connection_the_host_is_on_its_own(waits):
    gone = AnsibleError("Permission denied")
    result = waits(gone, gone).run(task_vars={})
    assert (result["failed"], result["rolled_back"], result["current"]) == (True, False, "2.0-a")
    assert "by itself at its deadline" in result["msg"]


def test_an_answer_that_got_lost_is_asked_for_again(waits):
    """The confirmation had arrived: there is nothing to take back."""
    action = waits(AnsibleError("Permission denied"), {"shop": None}, {"changed": False, "action": "none"})
    result = action.run(task_vars={})
    assert action.asked[-1] == (CONFIRM, False)
    assert "failed" not in result
    assert result["unconfirmed"] is None


@pytest.mark.parametrize("said", ["", "sudo: a password is required", "[1]"])
def test_an_answer_that_is_none_confirms_nothing(waits, said):
    action = waits(said, said, {"failed": True, "msg": "state.json is not readable."})
    result = action.run(task_vars={})
    assert (result["failed"], result["rolled_back"]) == (True, False)
    assert "slipway ended with 0: oops" in result["msg"]
    assert "Taking it back failed: state.json is not readable." in result["msg"]


class Connection:
    """As much of a connection plugin as is copied."""

    transport = "ssh"

    def __init__(self, become=None, **options):
        self.become, self._options = become, options

    def get_options(self):
        return dict(self._options)

    def get_option(self, name):
        return self._options[name]

    def set_options(self, direct):
        self._options = direct

    def set_option(self, name, value):
        self._options[name] = value

    def set_become_plugin(self, plugin):
        self.become = plugin


def test_a_new_connection_shares_nothing_with_the_open_one(monkeypatch):
    monkeypatch.setattr(_fresh, "connection_loader", SimpleNamespace(get=lambda name, context: Connection()))
    live = Connection("sudo", ssh_args="-o ControlMaster=auto", remote_user="deploy", port=2222)
    made = _fresh.fresh(live, MagicMock())
    assert made.get_options() == {
        "ssh_args": "-o ControlMaster=no -o ControlPath=none -o ControlMaster=auto",
        "remote_user": "deploy",
        "port": 2222,
        "reconnection_retries": 0,
    }
    assert made.become == "sudo"
    assert live.get_option("ssh_args") == "-o ControlMaster=auto"
    live.transport = "local"
    assert _fresh.fresh(live, None) is live

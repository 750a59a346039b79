# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad input fails on the controller, before any host is asked; and only what is missing is uploaded."""

from __future__ import annotations

import datetime
import errno
import hashlib
import io
import json
import os
import queue
import re
import tarfile
import time
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible_collections.slipway.go.plugins.action import release as plugin
from ansible_collections.slipway.go.plugins.module_utils._linkage.host_profile import collect_host_profile
from ansible_collections.slipway.go.plugins.module_utils._release.state import model
from ansible_collections.slipway.go.plugins.module_utils._tool import zipapp
from ansible_collections.slipway.go.plugins.plugin_utils._action import confirmation, fresh
from ansible_collections.slipway.go.plugins.plugin_utils._artefact import offer
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import progress
from ansible_collections.slipway.go.plugins.plugin_utils._input import known_variables, role_options
from ansible_collections.slipway.go.plugins.plugin_utils._report import notes
from ansible_collections.slipway.go.plugins.plugin_utils._run import time_limits
from ansible_collections.slipway.go.plugins.plugin_utils._run.time_limits import Patience
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_program import upx_stub
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


@pytest.fixture
def binary(tmp_path):
    return str(ElfBuilder(type=EXEC).write(tmp_path / "shop"))


def digest_of(path):
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def test_a_missing_file(tmp_path):
    path = str(tmp_path / "shop")
    refused(lambda: offer.check_readable(path), "missing_artefact", "release_src", path)
    refused(lambda: offer.check_readable(str(tmp_path)), "missing_artefact", "release_src", str(tmp_path))


def test_an_unreadable_file(binary, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (binary, os.R_OK))
    refused(lambda: offer.check_readable(binary), "unreadable_artefact", "release_src", binary)


class Action(plugin.ActionModule):
    """The plugin with a host that answers from a list."""

    def __init__(self, arguments, answers):
        self._task = SimpleNamespace(
            args=arguments, check_mode=False, any_errors_fatal=False, no_log=False, async_val=0
        )
        self._templar = SimpleNamespace(template=lambda value: value)
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


def unsealed(action, number=0):
    """What only the controller's half tells the host, of the run with this number."""
    return json.loads(action.executed[number][1]["sealed"])


def test_a_strategy_that_is_omitted_is_left_to_the_module(act, binary):
    variables = {
        **known_variables.defaults("release"),
        "service_name": "shop",
        "release_src": binary,
        "omit": "__omit__",
    }
    trusted = {
        name: role_options.trusted(value) for name, value in {**variables, "release_strategy": "{{ omit }}"}.items()
    }
    action = act([{"changed": False, "action": "none"}], role_variables=True)
    action._templar = Templar(loader=DataLoader(), variables=trusted)
    action.run(task_vars=trusted)
    ((_module, told),) = action.executed
    assert "strategy" not in told


@pytest.mark.parametrize("name", ["uploaded", "digest", "sealed"])
def test_what_only_the_controller_tells_the_host_is_no_option(act, name):
    action = act(**{name: "/tmp/x"})
    failed = action.run(task_vars={})
    assert (failed["failed"], failed["code"], action.executed) == (True, "unsupported_option", [])
    assert name in failed["msg"]


def test_the_host_is_told_what_the_controller_saw(act, binary):
    action = act([{"changed": True, "action": "release"}], strategy="restart")
    result = action.run(task_vars={})
    assert result == {"from": "base", "changed": True, "action": "release"}
    ((module, told),) = action.executed
    assert module == "slipway.go.release"
    sealed = unsealed(action)
    assert sealed["digest"] == digest_of(binary)
    assert (sealed["size"], sealed["goarch"], told["strategy"]) == (os.path.getsize(binary), "amd64", "restart")
    assert "uploaded" not in sealed
    assert action.steps == ["execute"], "what the host has is not uploaded"


@pytest.mark.parametrize(("check", "kind"), [(False, "release"), (True, "preflight")])
def test_what_happened_when_is_kept_for_the_report_and_is_in_no_result(act, monkeypatch, tmp_path, check, kind):
    monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path))
    timeline = {"began": 1789000000.0, "phases": [["SOAK", 0.0, 1.0]]}
    for failed in (False, True):
        answer = {"action": "release", "current": "1.0-1", "failed": failed, "log": ["oops"], "timeline": timeline}
        action = act([answer], strategy="restart", by={"person": "alice"})
        action._task.check_mode = check
        batch = {"ansible_play_hosts_all": ["a", "b"], "ansible_play_batch": ["b"], "inventory_hostname": "b"}
        assert "timeline" not in action.run(task_vars=batch)
        (note,) = notes.kept()
        assert {key: note[key] for key in ("kind", "service", "host", "version", "strategy", "batch", "timeline")} == {
            "kind": kind, "service": "shop", "host": "b", "version": "1.0", "strategy": "restart", "batch": 1,
            "timeline": timeline,
        }  # fmt: skip
        assert (note["answer"]["failed"], note["answer"]["log"], note["by"]["person"]) == (failed, ["oops"], "alice")
        assert note["began"] <= note["ended"]


def test_a_secret_task_and_a_full_disk_leave_no_note_and_no_trace_in_the_result(act, monkeypatch, tmp_path):
    monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path))
    action = act([{"action": "release", "timeline": {}}], strategy="restart")
    action._task.no_log = True
    assert action.run(task_vars={}) == {"from": "base", "action": "release"}
    assert list(notes.kept()) == []
    (tmp_path / "slipway-report").write_text("no folder")
    action._task.no_log, action.answers = False, [{"action": "release", "timeline": {}}]
    assert action.run(task_vars={})["action"] == "release"


@pytest.mark.parametrize(
    ("given", "answers", "told"),
    [
        ({}, [{"failed": True, "msg": "port 8080 is taken.", "code": "port_in_use"}], "port 8080 is taken."),
        ({"keep": "many"}, [], "release_keep is 'many'"),
        ({"src": "/nowhere/shop"}, [], "release_src /nowhere/shop"),
    ],
)
def test_what_is_only_asked_is_answered_and_no_failure(act, given, answers, told):
    """A condition of the task's own would put its text in the place of the reason."""
    action = act(answers, report=True, strategy="restart", **given)
    action._task.check_mode = action._task.any_errors_fatal = True
    answer = action.run(task_vars={})
    assert told in answer["msg"]
    assert (answer["changed"], answer.get("failed"), "action" in answer) == (False, None, False)
    assert all("report" not in arguments for _module, arguments in action.executed)


def test_nothing_is_released_that_is_only_asked_about(act):
    failed = act(report="true").run(task_vars={})
    assert (failed["failed"], failed["code"]) == (True, "unsupported_option")


def test_a_host_that_vanishes_has_failed_and_stops_the_run(act, monkeypatch):
    """Ansible would go on with the next batch after one that is unreachable."""
    action = act()

    def lost(*_arguments):
        raise AnsibleConnectionFailure("timed out.")

    monkeypatch.setattr(action, "_execute", lost)
    action._task.any_errors_fatal = True
    batch = {"ansible_play_hosts_all": ["a", "b"], "ansible_play_batch": ["a"], "inventory_hostname": "a"}
    result = action.run(task_vars=batch)
    assert (result["failed"], result["code"]) == (True, "unreachable")
    assert "a stops the run; not touched: b. Fix: see that it can be reached again" in result["msg"]
    assert "unreachable" not in result


@pytest.mark.parametrize("check", [False, True])
def test_a_host_of_a_fleet_that_is_down_at_the_first_contact_is_lost_as_any_other(act, monkeypatch, check):
    """Ansible would end the run where all of a batch are unreachable, with nobody left to take the others back."""

    def lost(*_arguments):
        raise AnsibleConnectionFailure("timed out.")

    monkeypatch.setattr(plugin.BoundedAction, "run", lost)
    action = act(**({"report": True} if check else {}))
    action._task.check_mode = check
    result = action.run(task_vars={"ansible_play_hosts_all": ["a", "b"], "inventory_hostname": "a"})
    assert (result.get("failed", False), result["code"]) == (not check, "unreachable")
    with pytest.raises(AnsibleConnectionFailure):
        act().run(task_vars={"ansible_play_hosts_all": ["a"], "inventory_hostname": "a"})


@pytest.fixture
def lines(monkeypatch, tmp_path):
    """What the run shows meanwhile; it is asked for a line all the time."""
    shown = queue.Queue()
    monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(progress, "show", shown.put)
    for name in ("PAUSE", "EVERY", "APART"):
        monkeypatch.setattr(progress, name, 0.01)
    return shown


FLEET = {
    "ansible_play_hosts_all": ["a", "b", "c"],
    "ansible_play_batch": ["b", "c"],
    "inventory_hostname": "b",
    "release_serial": [1, 2],
    "ansible_forks": 2,
}


def test_a_run_that_waits_says_so(act, lines, monkeypatch):
    action = act([{"action": "upload"}, {"action": "release", "changed": True}])
    execute, seen = action._execute_module, []

    def slow(*arguments, **named):
        for _line in range(2):
            seen.append(re.sub(r" for \d+ s", "", lines.get(timeout=20)))
        return execute(*arguments, **named)

    monkeypatch.setattr(action, "_execute_module", slow)
    assert action.run(task_vars=FLEET)["action"] == "release"
    assert seen[0] == "shop 1.0, batch 2 of 2: b in PREFLIGHT; 1 to come."
    assert seen[-1] == "shop 1.0, batch 2 of 2: b in UPLOAD; 1 to come."


@pytest.mark.parametrize("broken", ["watch", "thread", "display"])
def test_no_release_fails_because_it_cannot_be_shown(act, lines, monkeypatch, broken):
    def fails(*_arguments, **_named):
        raise RuntimeError("can't start new thread")

    if broken == "thread":
        monkeypatch.setattr(progress.threading.Thread, "start", fails)
    elif broken == "display":
        monkeypatch.setattr(progress, "show", fails)
    else:
        monkeypatch.setattr(progress.Board, "keep", fails)
    action = act([{"action": "release", "changed": True}], strategy="restart")
    assert action.run(task_vars={**FLEET, "release_serial": "{{ nonsense"})["action"] == "release"


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
    assert unsealed(action, 1)["uploaded"] == "/tmp/ansible-1/artefact"


def test_the_tool_of_another_engine_is_replaced_first(act, monkeypatch):
    for brought, wanted in (({"changed": True}, 2), ({"failed": True, "msg": "disk full"}, 1)):
        action = act([{"action": "tool"}, {"action": "none"}], confirm=60)
        monkeypatch.setattr(action, "_bring_tool", lambda _task_vars, brought=brought: brought)
        answer = action.run()
        assert [unsealed(action, number)["tool"] for number in range(len(action.executed))] == [
            zipapp.digest()
        ] * wanted
        assert answer["action" if wanted == 2 else "msg"] == ("none" if wanted == 2 else "disk full")


PAUSES = {"weights": [20], "slow": "pause"}


@pytest.mark.parametrize(
    ("strategy", "proxy", "wanted"),
    [
        ("proxy", PAUSES, True),
        ("proxy", {**PAUSES, "slow": "rollback"}, False),
        ("proxy", {**PAUSES, "weights": []}, False),
        ("socket", PAUSES, False),
    ],
)
def test_a_release_that_may_wait_for_a_person_brings_the_tool(act, strategy, proxy, wanted):
    action = act([{"action": "none"}], confirm=0, strategy=strategy, proxy=proxy)
    action.run()
    assert unsealed(action).get("tool") == (zipapp.digest() if wanted else None)


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
        ({"checksum": "0" * 128}, "wrong_checksum", "SHA-512"),
        ({"checksum": 1234}, "invalid_checksum", "release_checksum"),
        ({"environment": {"A-B": "1"}}, "invalid_environment", "A-B"),
        ({"environment": {"A": "1\n2"}}, "invalid_environment", "A"),
        ({"environment": {1: "1"}}, "invalid_environment", "1"),
        ({"environment": "A=1"}, "invalid_environment", "release_environment"),
        ({"environment": ["A=1"]}, "invalid_environment", "release_environment"),
        ({"health": "http://127.0.0.1/healthz"}, "invalid_health", "release_health"),
        ({"probe": ["http://127.0.0.1/"]}, "invalid_probe", "release_probe"),
        ({"once": {"command": {"bin/shop": "migrate"}}}, "invalid_once", "release_once"),
        ({"once": {"command": "+/bin/sh"}}, "invalid_once", "release_once"),
        ({"once": {"command": ["bin/shop"], "timeout": "soon"}}, "invalid_duration", "release_once_timeout"),
        ({"once": {"command": ["bin/shop"], "timeout": 0}}, "invalid_once", "release_once_timeout"),
        ({"once": {"command": ["bin/shop"], "decision": "again"}}, "invalid_once", "release_once_decision"),
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


@pytest.mark.parametrize("only", ["True", False])
def test_what_is_run_once_is_read_as_a_survey_gives_it_and_swaps_nothing_to_tell(act, only):
    once = {"command": "bin/shop, migrate", "timeout": "60", "decision": "", "here": True, "told": "", "only": only}
    action = act([{"changed": True, "action": "once"}], strategy="restart", once=once)
    result = action.run(task_vars={"inventory_hostname": "a", "ansible_play_hosts_all": ["a"]})
    ((_module, told),) = action.executed
    assert told["once"] == {"command": ["bin/shop", "migrate"], "timeout": 60, "here": True, "told": "", "only": only}
    assert ("ansible_stats" in result) == (not only), "the release itself says what became of the host"


def test_a_missing_option_is_named(act):
    action = act()
    del action._task.args["version"]
    assert action.run(task_vars={})["code"] == "missing_version"
    assert action.executed == []


def test_the_source_is_looked_for_where_ansible_looks(act, binary):
    action = act([{"action": "none"}], src="shop")
    action._find_needle = lambda folder, path: binary if (folder, path) == ("files", "shop") else None
    assert action.run(task_vars={})["action"] == "none"


@pytest.fixture
def places(act, tmp_path, monkeypatch):
    """The folder of the inventory, the working directory, and a run of the plugin that knows both."""
    for name in ("inventory", "here"):
        (tmp_path / name / "build").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")

    def run(inventory=str(tmp_path / "inventory"), **arguments):
        action = act([{"action": "none"}], **{"src": "build/shop", **arguments})

        def nowhere(_folder, path):
            raise AnsibleFileNotFound(file_name=path, paths=[f"/playbooks/{path}"])

        action._find_needle = nowhere
        action._loader.path_dwim = lambda path: os.path.join("/playbooks", path)
        return action.run(task_vars={"inventory_dir": inventory}), action

    return tmp_path / "inventory" / "build", tmp_path / "here" / "build", run


def test_a_relative_path_is_looked_for_beside_the_inventory_and_then_here(places):
    inventory, here, run = places
    for folder, more in ((here, b"here"), (inventory, b"")):
        content = ElfBuilder(type=EXEC).build() + more
        (folder / "shop").write_bytes(content)
        result, action = run()
        assert result["action"] == "none", result
        assert unsealed(action)["digest"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("inventory", [None, "None"])
def test_an_inventory_without_a_folder_is_no_place_to_look(places, inventory):
    _beside, here, run = places
    (here / "shop").write_bytes(ElfBuilder(type=EXEC).build())
    assert run(inventory)[0]["action"] == "none"
    (here / "shop").unlink()
    assert "None" not in run(inventory)[0]["msg"]


@pytest.mark.parametrize(
    ("arguments", "code", "variable"),
    [
        ({}, "missing_artefact", "release_src"),
        ({"checksum": "build/shop"}, "unreadable_checksum", "release_checksum"),
        ({"signature": "build/shop"}, "unreadable_signature", "release_signature"),
        (
            {"signature": "https://host/s", "allowed_signers": "build/shop"},
            "unreadable_allowed_signers",
            "release_allowed_signers",
        ),
        ({"policy": {"denylist": "build/shop"}}, "unreadable_denylist", "release_denylist"),
    ],
)
def test_a_relative_path_that_leads_nowhere_is_told_with_every_place(places, binary, arguments, code, variable):
    inventory, here, run = places
    result, action = run(**({"src": binary, **arguments} if arguments else {}))
    assert (result["code"], action.executed) == (code, [])
    assert f"{variable} build/shop" in result["msg"]
    assert f"/playbooks/build/shop, {inventory}/shop, {here}/shop." in result["msg"]
    assert result["fix"] in result["msg"]


@pytest.mark.parametrize("rule", ["require_static", "require_vcs_clean"])
@pytest.mark.parametrize(("given", "on"), [("false", False), ("no", False), (None, False), ("true", True), (1, True)])
def test_a_rule_is_on_or_off_as_it_is_written(act, tmp_path, rule, given, on):
    dynamic = ElfBuilder(interpreter="/lib64/ld-linux-x86-64.so.2", needed=["libc.so.6"]).write(tmp_path / "dynamic")
    action = act([{"action": "none"}], src=str(dynamic), policy={rule: given})
    assert bool(action.run(task_vars={}).get("failed")) is on
    assert (action.executed == []) is on


def test_dates_in_the_environment_are_text(act):
    values = {"SINCE": datetime.date(2024, 1, 1), "AT": datetime.datetime(2024, 1, 1, 12)}
    action = act([{"action": "none"}], environment=values)
    assert action.run(task_vars={})["action"] == "none"
    sealed = unsealed(action)["environment"]
    assert sealed == {"SINCE": "2024-01-01", "AT": "2024-01-01 12:00:00"}
    assert model.render_environment(sealed) == model.render_environment(values)


@pytest.mark.parametrize("place", ["/root/.ansible/tmp/x/program", None])
def test_a_full_disk_of_the_controller_is_told_with_its_place(act, monkeypatch, place):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device", place)

    monkeypatch.setattr(plugin.inspect, "look_into", full)
    action = act()
    result = action.run(task_vars={})
    assert (result["failed"], result["code"], action.executed) == (True, "os_error", [])
    assert f"{place or '/slipway-'}" in result["msg"]
    assert "No space left on device" in result["msg"]
    assert result["fix"] in result["msg"]


def test_check_mode_tells_the_host_which_tool_the_release_would_bring(act):
    action = act([{"action": "none"}], confirm=60)
    action._task.check_mode = True
    assert action.run(task_vars={})["action"] == "none"
    assert unsealed(action)["tool"] == zipapp.digest()


URL = "https://me:hunter2@host/dist/shop?token=hunter2"


def told(action):
    """What the host was told in the sealed part, and the other arguments."""
    ((_module, arguments),) = action.executed
    return unsealed(action)["intake"], {k: v for k, v in arguments.items() if k != "sealed"}


def test_a_url_is_for_the_host_and_its_secrets_are_sealed(act):
    action = act([{"action": "release", "changed": True}], src=URL, checksum="sha256:" + "ab" * 32)
    assert action.run(task_vars={})["changed"] is True
    sealed, shown = told(action)
    assert sealed["source"] == URL
    assert shown["src"] == "https://host/dist/shop"
    assert unsealed(action)["digest"] == "ab" * 32
    assert "hunter2" not in json.dumps(shown)
    assert action.steps == ["execute"]


@pytest.mark.parametrize("given", [{"Authorization": "Bearer hunter2"}, "Authorization: Bearer hunter2", ""])
def test_headers_for_a_private_server_are_sealed(act, given):
    action = act([{"action": "none"}], src=URL, checksum="sha256:" + "ab" * 32, fetch_headers=given)
    assert action.run(task_vars={})["action"] == "none"
    _sealed, shown = told(action)
    assert unsealed(action)["fetch_headers"] == ({"Authorization": "Bearer hunter2"} if given else {})
    assert "fetch_headers" not in shown
    assert "hunter2" not in json.dumps(shown)


def test_headers_that_cannot_be_sent_meet_no_host(act):
    action = act([], src=URL, checksum="sha256:" + "ab" * 32, fetch_headers={"X-Token": "hunter2\nX: 1"})
    answer = action.run(task_vars={})
    assert (answer["failed"], answer["code"], action.executed) == (True, "invalid_headers", [])
    assert "hunter2" not in json.dumps(answer)


def test_checksums_and_signatures_at_urls_are_sealed_too(act):
    places = {"checksum": "https://u:hunter2@host/SUMS?hunter2", "signature": "https://u:hunter2@host/SUMS.sig"}
    action = act([{"action": "none"}], src=URL, minisign_keys=[KEY], signature_of="checksums", **places)
    assert action.run(task_vars={})["action"] == "none"
    sealed, shown = told(action)
    assert (sealed["checksums"], sealed["signature"]) == (
        {"place": places["checksum"]},
        {"place": places["signature"]},
    )
    assert (shown["checksum"], shown["signature"]) == ("https://host/SUMS", "https://host/SUMS.sig")
    assert "hunter2" not in json.dumps(shown)


KEY = "RWTm1Hi6C0Js3Gsql7gcfiudlV4bRCIxaCRHphMTBqFt8YeXv2e24yOZ"


def test_files_of_the_controller_are_read_here(act, tmp_path):
    for name, text in {"SUMS": f"{'ab' * 32}  shop\n", "sig": "sig", "signers": "a b c", "denied": "x # y\n"}.items():
        (tmp_path / name).write_text(text)
    files = {"checksum": str(tmp_path / "SUMS"), "signature": str(tmp_path / "sig")}
    more = {"allowed_signers": str(tmp_path / "signers"), "policy": {"denylist": str(tmp_path / "denied")}}
    action = act([{"action": "none"}], src=URL, **files, **more)
    assert action.run(task_vars={})["action"] == "none"
    sealed, _shown = told(action)
    assert sealed["checksums"]["content"] == f"{'ab' * 32}  shop\n"
    assert (sealed["signature"]["content"], sealed["allowed_signers"]) == ("sig", "a b c")
    assert sealed["denylist"] == "x # y\n"
    assert unsealed(action)["digest"] == "ab" * 32


def test_what_is_on_the_host_is_left_there(act):
    places = {"src": "/srv/shop", "checksum": "/srv/SUMS", "signature": "/srv/sig"}
    action = act([{"action": "none"}], remote_src="yes", minisign_keys=[KEY], **places)
    assert action.run(task_vars={})["action"] == "none"
    sealed, _shown = told(action)
    assert (sealed["source"], sealed["checksums"]["place"], sealed["signature"]["place"]) == tuple(places.values())


def test_a_checksums_file_for_an_artefact_of_the_controller(act, binary, tmp_path):
    (tmp_path / "SUMS").write_text(f"{digest_of(binary)}  shop\n")
    action = act([{"action": "none"}], checksum=str(tmp_path / "SUMS"))
    assert action.run(task_vars={})["action"] == "none"
    (tmp_path / "SUMS").write_text(f"{'0' * 64}  shop\n")
    action = act(checksum=str(tmp_path / "SUMS"))
    failed = action.run(task_vars={})
    assert (failed["code"], action.executed) == ("wrong_checksum", [])
    assert str(tmp_path / "SUMS") in failed["msg"]


@pytest.mark.parametrize(
    ("arguments", "code", "variable"),
    [
        ({"src": URL}, "missing_checksum", "release_checksum"),
        ({"src": URL, "checksum": "md5:abc"}, "invalid_checksum", "release_checksum"),
        ({"src": URL, "checksum": "/nowhere/SUMS"}, "unreadable_checksum", "release_checksum"),
        ({"src": "ftp://host/shop", "checksum": "ab" * 32}, "invalid_url", "release_src"),
        ({"src": URL, "checksum": "ftp://host/SUMS"}, "invalid_url", "release_checksum"),
        ({"src": "shop", "remote_src": True}, "relative_path", "release_src"),
        ({"src": "/srv/shop", "remote_src": True, "checksum": "./SUMS"}, "relative_path", "release_checksum"),
        ({"signature": "/nowhere/sig", "minisign_keys": [KEY]}, "unreadable_signature", "release_signature"),
        ({"signature": "https://host/sig"}, "no_signer", "release_minisign_keys"),
        ({"signature": "https://host/sig", "minisign_keys": "RW"}, "invalid_key", "release_minisign_keys"),
        ({"minisign_keys": [KEY]}, "missing_signature", "release_signature"),
        ({"allowed_signers": "/x"}, "missing_signature", "release_signature"),
        (
            {"signature": "https://host/s", "minisign_keys": [KEY], "signature_of": "checksums"},
            "missing_checksums",
            "release_signature_of",
        ),
        (
            {"signature": "https://host/s", "allowed_signers": "/nowhere"},
            "unreadable_allowed_signers",
            "release_allowed_signers",
        ),
        ({"policy": {"denylist": "/nowhere"}}, "unreadable_denylist", "release_denylist"),
        ({"policy": "all"}, "invalid_policy", "policy"),
        ({"max_size": "much"}, "invalid_limit", "release_max_size"),
        ({"max_size": 0}, "invalid_limit", "release_max_size"),
        ({"signature": "https://host/s", "minisign_keys": 7}, "invalid_key", "release_minisign_keys"),
        ({"src": URL, "checksum": "ab" * 32, "policy": {"denylist": "/nowhere"}}, "unreadable_denylist", "denylist"),
    ],
)
def test_a_bad_intake_meets_no_host(act, arguments, code, variable):
    action = act(**arguments)
    failed = action.run(task_vars={})
    assert failed["code"] == code
    assert variable in failed["msg"]
    assert failed["fix"]
    assert action.executed == []
    assert "hunter2" not in json.dumps(failed)


def packed(path, *files):
    with tarfile.open(path, "w:gz") as tape:
        for name, content, mode in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tape.addfile(info, io.BytesIO(content))
    return str(path)


def test_an_archive_is_judged_here_and_uploaded_whole(act, binary, tmp_path):
    with open(binary, "rb") as stream:
        program = stream.read()
    source = packed(tmp_path / "shop.tgz", ("x/shop", program, 0o755), ("x/page.html", b"page", 0o644))
    action = act([{"action": "upload"}, {"action": "release"}], src=source)
    assert action.run(task_vars={})["action"] == "release"
    first = unsealed(action)
    assert first["digest"] == digest_of(source)
    assert (first["size"], first["goarch"]) == (len(program) + 4, "amd64")
    assert f"upload {source} to /tmp/ansible-1/artefact" in action.steps


@pytest.mark.parametrize(
    ("files", "arguments", "code"),
    [
        ([("shop", b"#!/bin/sh", 0o755)], {}, "not_elf"),
        ([("../shop", b"x", 0o755)], {}, "unsafe_archive"),
        ([("shop", b"x", 0o4755)], {}, "unsafe_archive"),
        ([("a", b"x", 0o755), ("b", b"x", 0o755)], {}, "no_binary"),
        ([("shop", b"x", 0o755)], {"binary": "server"}, "no_binary"),
        ([("shop", bytes(2 << 20), 0o755)], {"max_size": 1}, "archive_too_large"),
    ],
)
def test_a_bad_archive_meets_no_host(act, tmp_path, files, arguments, code):
    action = act(src=packed(tmp_path / "shop.tgz", *files), **arguments)
    failed = action.run(task_vars={})
    assert (failed["code"], action.executed) == (code, [])
    assert failed["fix"]


def test_a_packed_artefact_is_refused_before_it_is_uploaded(act, tmp_path):
    source = tmp_path / "packed"
    source.write_bytes(upx_stub())
    answer = {"action": "release", "changed": True, "host_profile": collect_host_profile().as_dict()}
    action = act([answer], src=str(source))
    result = action.run(task_vars={})
    assert (result["failed"], [problem["code"] for problem in result["problems"]]) == (True, ["packed"])
    assert [module for module, _arguments in action.executed] == ["slipway.go.release"]


def test_in_check_mode_too_the_host_says_what_its_loader_finds(act, tmp_path):
    source = str(
        ElfBuilder(interpreter="/lib64/ld-linux-x86-64.so.2", needed=["libc.so.6"]).write(tmp_path / "dynamic")
    )
    profile = collect_host_profile().as_dict()
    answers = [{"action": "release", "changed": True, "host_profile": profile}, {"failed": True, "problems": ["one"]}]
    action = act(answers, src=source)
    assert action.run(task_vars={})["problems"] == ["one"]
    assert [module for module, _told in action.executed] == ["slipway.go.release"] * 2
    assert unsealed(action, 1)["uploaded"] == "/tmp/ansible-1/artefact"


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


def test_a_host_that_vanishes_while_it_releases_is_not_waited_for(act, monkeypatch):
    """Nothing is on its way to the host any more, so TCP would never notice."""
    action = act([])
    action._execute_module = lambda *_names, **_values: time.sleep(30)
    monkeypatch.setattr(time_limits, "of", lambda arguments: Patience(release=0.2, command=0.2))
    begun = time.monotonic()
    result = action.run(task_vars={})
    assert time.monotonic() - begun < 10
    assert (result["failed"], result["code"]) == (True, "unreachable")
    assert "the host became unreachable: it has not answered for 0.2 s. What it had begun" in result["msg"]


@pytest.fixture
def waits(act, binary, monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)
    monkeypatch.setattr(Waiting, "clock", clock, raising=False)
    monkeypatch.setattr(confirmation, "time", clock)
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


def test_a_host_that_vanishes_before_it_answers_a_confirmation_is_on_its_own(waits, monkeypatch):
    monkeypatch.setattr(time_limits, "of", lambda arguments: Patience(release=5, command=0.1))
    action = waits()
    action._low_level_execute_command = lambda cmd: (
        setattr(action.clock, "now", action.clock.now + 15),
        time.sleep(30),
    )
    begun = time.monotonic()
    result = action.run(task_vars={})
    assert time.monotonic() - begun < 10
    assert (result["failed"], result["code"], result["current"]) == (True, "unconfirmed", "2.0-a")
    assert "it has not answered for 0.1 s. The host takes it back by itself" in result["msg"]


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
    monkeypatch.setattr(fresh, "connection_loader", SimpleNamespace(get=lambda name, context: Connection()))
    live = Connection("sudo", ssh_args="-o ControlMaster=auto", remote_user="deploy", port=2222)
    made = fresh.fresh(live, MagicMock())
    assert made.get_options() == {
        "ssh_args": f"{fresh.FRESH} {fresh.ALIVE} -o ControlMaster=auto",
        "remote_user": "deploy",
        "port": 2222,
        "reconnection_retries": 0,
    }
    assert made.become == "sudo"
    assert live.get_option("ssh_args") == "-o ControlMaster=auto"
    live.transport = "local"
    assert fresh.fresh(live, None) is live


AMD64_V3 = {"machine": "x86_64", "goarch": "amd64", "names": ["amd64v3", "amd64v2", "amd64", "amd64v1"]}


def test_the_host_says_which_artefact_is_its_own(act, binary, tmp_path):
    os.rename(binary, f"{binary}-amd64v2")
    sums = tmp_path / "SUMS"
    sums.write_text(f"{digest_of(f'{binary}-amd64v2')}  shop-amd64v2\n")
    action = act([AMD64_V3, {"action": "none"}], src=f"{binary}-{{goarch}}{{level}}", checksum=str(sums))
    assert action.run(task_vars={})["action"] == "none"
    assert [name for name, _arguments in action.executed] == ["slipway.go.processor_info", "slipway.go.release"]
    assert action.executed[1][1]["src"] == f"{binary}-amd64v2"


def test_of_urls_by_architecture_the_host_fetches_its_own(act):
    given = {"src": {"amd64": "https://u:p@h/a", "arm64": "https://h/b"}, "checksum": {"amd64": "0" * 64}}
    action = act([AMD64_V3, {"action": "none"}], **given)
    assert action.run(task_vars={})["action"] == "none"
    assert action.executed[1][1]["src"] == "https://h/a"
    sealed = unsealed(action, 1)
    assert (sealed["intake"]["source"], sealed["digest"]) == ("https://u:p@h/a", "0" * 64)
    assert "https://h/b" not in str(action.executed)


@pytest.mark.parametrize("report", [True, False])
def test_a_host_without_an_artefact_of_its_own(act, binary, report):
    action = act([AMD64_V3], src={"arm64": binary}, report=report)
    action._task.check_mode = report
    answer = action.run(task_vars={})
    assert (answer["code"], answer.get("failed")) == ("no_artefact_for_host", None if report else True)
    assert len(action.executed) == 1


def test_a_host_that_does_not_say_what_it_is(act, binary):
    failed = {"failed": True, "msg": "no python", "code": "defect"}
    assert act([failed], src={"arm64": binary}).run(task_vars={})["msg"] == "no python"


@pytest.mark.parametrize(
    ("arguments", "code", "variable"),
    [
        ({"src": {"x86": "shop"}}, "invalid_src", "release_src"),
        ({"src": {"amd64": ""}}, "missing_src", "release_src"),
        ({"src": "https://h/shop-{goarch}{level}", "checksum": "0" * 64}, "invalid_src", "{level}"),
        ({"src": "/srv/shop-{goarch}{level}", "remote_src": "yes"}, "invalid_src", "{level}"),
        ({"checksum": {"amd64": "0" * 64}}, "invalid_checksum", "release_checksum"),
    ],
)
def test_an_artefact_by_architecture_that_nobody_can_find_meets_no_host(act, arguments, code, variable):
    action = act(**arguments)
    result = action.run(task_vars={})
    assert (result["failed"], result["code"], action.executed) == (True, code, [])
    assert variable in result["msg"]


@pytest.mark.parametrize(
    ("arguments", "code", "variable"),
    [
        ({"policy": {"provenance_required": "yes"}}, "missing_provenance", "release_provenance_required"),
        ({"policy": {"provenance_ref": "refs/tags/*"}}, "missing_provenance", "release_provenance_ref"),
        ({"policy": {"provenance_builder": ["x"]}, "provenance": ""}, "missing_provenance", "release_provenance"),
        (
            {"policy": {"provenance_required": True}, "minisign_keys": ["RW"]},
            "missing_provenance",
            "release_provenance is empty",
        ),
        ({"provenance": "SELF"}, "no_signer", "release_provenance is set"),
        ({"provenance": "/nowhere/p"}, "unreadable_provenance", "release_provenance"),
        ({"provenance": "shop", "remote_src": True, "src": "/srv/shop"}, "relative_path", "release_provenance"),
        ({"provenance": ["a"]}, "invalid_provenance", "release_provenance"),
        ({"downgrade": "maybe"}, "invalid_downgrade", "release_downgrade"),
        ({"policy": {"prerelease": "maybe"}}, "invalid_prerelease", "release_prerelease"),
        ({"version": "2.0.0-rc.1", "policy": {"prerelease": "false"}}, "policy_prerelease", "2.0.0-rc.1"),
    ],
)
def test_bad_rules_on_origin_and_version_meet_no_host(act, tmp_path, arguments, code, variable):
    if arguments.get("provenance") == "SELF":
        (tmp_path / "provenance").write_text("{}")
        arguments = {"provenance": str(tmp_path / "provenance")}
    action = act(**arguments)
    result = action.run(task_vars={})
    assert (result["failed"], result["code"], action.executed) == (True, code, [])
    assert variable in result["msg"]
    assert result["fix"] in result["msg"]


def test_a_provenance_may_take_the_place_of_a_signature(act, tmp_path):
    """Whoever has signed it vouches for the artefact's digest. Without either, a key alone proves nothing."""
    (tmp_path / "provenance").write_text("{}")
    key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
    action = act([{"action": "none"}], provenance=str(tmp_path / "provenance"), minisign_keys=key)
    assert action.run(task_vars={})["action"] == "none"
    assert unsealed(action)["intake"]["provenance"] == {"content": "{}", "place": str(tmp_path / "provenance")}
    assert act(minisign_keys=key).run(task_vars={})["code"] == "missing_signature"


ALWAYS = [{"weekdays": "mon,tue,wed,thu,fri,sat,sun", "zone": "UTC", "reason": "the year's accounts"}]
DONE = {"changed": True, "action": "release"}


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(plugin.this_run.constants, "DEFAULT_LOCAL_TMP", str(tmp_path))


@pytest.mark.parametrize("glass", [None, "", "  "])
def test_in_a_freeze_no_host_is_asked(act, glass):
    action = act(freeze=json.dumps(ALWAYS), break_glass=glass)
    failed = action.run(task_vars={})
    assert (failed["code"], action.executed) == ("frozen", [])
    assert "the year's accounts" in failed["msg"]
    assert "release_break_glass" in failed["msg"]


def test_with_a_reason_it_goes_on_and_the_host_is_told(act):
    action = act([DONE], freeze=ALWAYS, break_glass="users cannot pay")
    assert action.run(task_vars={})["action"] == "release"
    arguments = action.executed[0][1]
    assert arguments["by"]["break_glass"] == "users cannot pay"
    assert not {"freeze", "break_glass", "lease_time", "end_lease"} & set(arguments)


def test_a_reason_without_a_freeze_is_not_written_down(act):
    action = act([DONE], freeze=[], break_glass="users cannot pay")
    action.run(task_vars={})
    assert "break_glass" not in action.executed[0][1]["by"]


def test_a_bad_calendar_is_refused_before_any_host(act):
    action = act(freeze=[{"from": "2026-12-20"}])
    failed = action.run(task_vars={})
    assert (failed["code"], action.executed) == ("invalid_freeze", [])


def test_what_counts_is_when_the_run_began(act, run_folder, monkeypatch):
    """A run that reaches into a freeze comes to its end."""
    began = datetime.datetime.now(datetime.timezone.utc)
    plugin.this_run.this()
    soon = [{"from": began + datetime.timedelta(seconds=30), "to": "2999-01-01", "zone": "UTC", "reason": "x"}]
    assert act([DONE], freeze=soon).run(task_vars={})["action"] == "release"
    early = [{"from": "2020-01-01", "to": began + datetime.timedelta(seconds=30), "zone": "UTC", "reason": "x"}]
    assert act([DONE], freeze=early).run(task_vars={})["code"] == "frozen"


def check(act, answers, **arguments):
    action = act(answers, report=True, strategy="restart", **arguments)
    action._task.check_mode = True
    return action, action.run(task_vars={"inventory_hostname": "web1", "ansible_play_hosts_all": ["web1"]})


def test_a_check_in_a_freeze_asks_the_host_and_takes_nothing(act, run_folder):
    answer = {"action": "release", "current": "2.0-0123456789", "plan": {"serving": None, "lease": None}}
    action, told = check(act, [answer], freeze=ALWAYS, lease="take")
    assert [one["code"] for one in told["problems"]] == ["frozen"]
    assert "action" not in told
    assert told["plan"]["freeze"]["reason"] == "the year's accounts"
    assert action.executed[0][1]["lease"] == "require"
    assert not plugin.this_run.has_lease("shop", "web1")
    other = {"failed": True, "code": "port_in_use", "msg": "port 80 is in use. Fix: stop it", "plan": {}}
    _action, told = check(act, [other], freeze=ALWAYS)
    assert [one["code"] for one in told["problems"]] == ["frozen", "port_in_use"]


def test_a_plan_only_tells_of_a_freeze(act, run_folder):
    answer = {"action": "release", "current": "2.0-0123456789", "plan": {"serving": None, "lease": None}}
    action, told = check(act, [answer], freeze=ALWAYS, lease="tell")
    assert told["action"] == "release"
    assert told["plan"]["freeze"]["broken"] == ""
    assert told["plan"]["at_most"] > 0
    assert action.executed[0][1]["lease"] == "tell"


@pytest.mark.parametrize(
    ("hosts", "given", "kept"),
    [
        (["web1", "web2", "web3"], {}, None),
        (["web1", "web2", "web3"], {"lease_time": "172800"}, None),
        (["web1", "web2", "web3"], {"lease_time": "60"}, 60),
        (["web1", "web2", "web3"], {"soak_time": "43200"}, 86400),
        (["web1", "web2", "web3"], {"soak_time": "43200", "lease_time": "172800"}, 86400),
        (["web1"], {"soak_time": "172800"}, None),
    ],
)
def test_a_plan_tells_of_a_run_that_no_lease_lasts_for(act, run_folder, hosts, given, kept):
    action = act([{"action": "release", "plan": {}}], report=True, **given)
    action._task.check_mode = True
    told = action.run(task_vars={"inventory_hostname": "web1", "ansible_play_hosts_all": hosts})
    assert told["plan"].get("lease_kept") == kept
    assert (told["plan"].get("lease_needed", 0.0) > (kept or 0.0)) is (kept is not None)


def test_three_batches_that_may_pause_for_half_a_day_each_outlast_their_lease(act, run_folder):
    proxy = {"weights": [20], "slow": "pause", "pause_time": "43200"}
    action = act([{"action": "release", "plan": {}}], report=True, strategy="proxy", proxy=proxy)
    action._task.check_mode = True
    hosts = {"inventory_hostname": "web1", "ansible_play_hosts_all": ["web1", "web2", "web3"]}
    assert action.run(task_vars=hosts)["plan"]["lease_needed"] > 3 * 43200


def test_a_check_that_takes_the_lease_says_which_run_it_is(act, run_folder):
    action, _told = check(act, [{"action": "release", "plan": {}}], lease="take", lease_time="90", run="1704")
    assert plugin.this_run.has_lease("shop", "web1")
    claim = unsealed(action)["claim"]
    assert (claim["run"], claim["seconds"], claim["held"]) == (plugin.this_run.this().id, 90, False)
    assert (claim["name"], claim["version"]) == ("1704", "1.0")
    action = act([DONE])
    action.run(task_vars={"inventory_hostname": "web1"})
    assert unsealed(action)["claim"]["held"]


@pytest.fixture
def shown(monkeypatch):
    texts = []
    monkeypatch.setattr(plugin, "delegate", lambda _action, name, told, _variables: texts.append((name, told["text"])))
    return texts


def test_one_host_alone_shows_its_plan_before_it_is_touched(act, shown):
    alone = {"inventory_hostname": "web1", "ansible_play_hosts_all": ["web1"]}
    plan = {"serving": "0.9-0123456789", "returns_to": "0.9-0123456789", "took": [], "lease": None}
    upload = {"action": "upload", "current": "0.9-0123456789", "plan": plan}
    act([upload, DONE]).run(task_vars=alone)
    ((module, text),) = shown
    assert module == "slipway.go.show"
    assert "PLAN  shop 1.0: 1 host in 1 batch" in text
    assert "0.9-0123456789 -> 1.0  web1" in text
    for variables in ({**alone, "ansible_play_hosts_all": ["web1", "web2"]}, {**alone, "release_preview": {}}):
        act([upload, DONE]).run(task_vars=variables)
    act([DONE]).run(task_vars=alone)
    assert len(shown) == 1


LEASED = {"failed": True, "code": "leased", "msg": "leased.", "lease": {"run": "gone", "process": {"pid": 1}}}


def test_a_run_of_this_machine_whose_process_is_gone_is_no_obstacle(act, monkeypatch):
    monkeypatch.setattr(plugin.this_run, "has_ended", lambda told: told == {"pid": 1})
    action = act([LEASED, DONE])
    assert action.run(task_vars={})["action"] == "release"
    assert unsealed(action, 1)["claim"]["instead"] == ["gone"]
    action = act([LEASED, LEASED])
    assert action.run(task_vars={})["code"] == "leased", "what did not help once is not tried for ever"


def test_another_run_is_an_obstacle(act):
    action = act([LEASED])
    failed = action.run(task_vars={})
    assert (failed["code"], len(action.executed)) == ("leased", 1)
    assert failed["claim"]["run"] == plugin.this_run.this().id


def test_a_failure_that_ends_the_run_gives_the_lease_back(act, run_folder, monkeypatch):
    given_back = []
    monkeypatch.setattr(
        plugin, "delegate", lambda _action, name, arguments, _vars: given_back.append((name, arguments))
    )
    failed = {"failed": True, "code": "rolled_back", "msg": "it was rolled back."}
    for ends, noted, expected in ((True, False, 0), (False, True, 0), (True, True, 1)):
        if noted:
            plugin.this_run.note_lease("shop", "web1")
        action = act([failed])
        action._task.any_errors_fatal = ends
        assert action.run(task_vars={"inventory_hostname": "web1"})["failed"]
        assert len(given_back) == expected
    assert given_back == [("slipway.go.lease", {})]

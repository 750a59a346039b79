"""Scenes of what the controller says: of a fresh login that confirms, and of hosts that do not answer."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.action import confirm_login
from ansible_collections.slipway.go.plugins.plugin_utils._action import bounded
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.unit.plugins.action.test_release import Action
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder

SCENES = Scenes()
AGAIN = "the same run again"


class Fresh(confirm_login.ActionModule):
    """The action on a host that lets everybody in. confirms: how the command ends that confirms, and what it says."""

    def __init__(self, transport: str = "ssh", confirms: tuple[int, bytes] = (0, b"")) -> None:
        arguments = {"logins": [{"user": "deploy", "sudo": "full"}], "connection_user": "never", "timeout": 0.1}
        self._task = SimpleNamespace(args={**arguments, "name": "ssh", "token": "t"}, check_mode=False)
        self._connection = SimpleNamespace(transport=transport, become=None)
        self._confirms = confirms

    def _own(self) -> str:
        return "root"

    def _connect(self, user: str, route: Any, variables: Any) -> Any:
        return self

    def exec_command(self, command: str, in_data: bytes | None, sudoable: bool) -> tuple[int, bytes, bytes]:
        code, says = self._confirms if "confirm" in command else (0, b"")
        return code, b"", says

    def _is_confirmed(self, variables: Any) -> bool:
        return False

    def told(self) -> Any:
        return self._prove(self._arguments(), {})


def logs_in(stage: Stage, before: Fresh) -> None:
    stage.fails(before.told)
    assert stage.passes(Fresh().told)


@SCENES.row(
    "not_ssh",
    "the connection is docker",
    literal("give the host ansible_connection ssh"),
    "another `ansible_connection`",
)
def _scene(stage: Stage) -> None:
    logs_in(stage, Fresh("community.docker.docker"))


@SCENES.row("not_confirmed", "the command that confirms is cut off", literal("run again"), AGAIN)
def _scene(stage: Stage) -> None:
    logs_in(stage, Fresh(confirms=(255, b"Killed")))


@SCENES.row(
    "reverted",
    "the login comes when the revert has removed what confirms",
    literal("give a slow host more time (the confirm_timeout of the role that says this) and run again"),
    "another `confirm_timeout`",
)
def _scene(stage: Stage) -> None:
    late = b"python3: can't open file '/x/revert.pyz': [Errno 2] No such file or directory"
    logs_in(stage, Fresh(confirms=(2, late)))


@SCENES.row(
    "unknown_host",
    "the ssh of the inventory does not know `ssh -G`",
    r"correct what (?P<command>ssh -G) reports for it",
    "another `ansible_ssh_executable`",
)
def _scene(stage: Stage) -> None:
    old = stage.folder / "ssh"
    old.write_text("#!/bin/sh\necho 'unknown option -- G' >&2; exit 255\n")
    old.chmod(0o755)

    def asking(executable: str) -> str:
        action, options = Fresh(), {"ssh_executable": executable, "host": "192.0.2.7"}
        action._connection.get_option = options.get
        return action._only_same_key()

    stage.fails(lambda: asking(str(old)))
    assert "HostKeyAlias=192.0.2.7" in stage.passes(lambda: asking("ssh"))


# --- hosts that do not answer


@SCENES.row(
    "no_answer",
    "the network is cut while a change of access is made",
    literal("see what keeps packets from that host, then run again"),
    f"the connection is there, and {AGAIN}",
)
def _scene(stage: Stage) -> None:
    stage.patch.setattr(bounded, "SLACK", 0.1)
    hangs: Any = SimpleNamespace(_execute_module=lambda task_vars: time.sleep(5))
    answers: Any = SimpleNamespace(_execute_module=lambda task_vars: {"changed": True})
    stage.fails(lambda: bounded.run_armed(hangs, 0.1, {}))
    stage.passes(lambda: bounded.run_armed(answers, 0.1, {}))


@SCENES.row(
    "unreachable",
    "the network is cut during a release",
    r"see that it can be reached again, then sudo (?P<command>slipway status) there",
    "the connection is there, and `slipway status` says which release serves",
)
def _scene(stage: Stage) -> None:
    lost(stage, "Failed to connect to the host via ssh: Connection timed out")


@SCENES.row(
    "unreachable",
    "the host does not let root in any more",
    r"set ansible_user: (?P<user>\w+) in the inventory if slipway\.go\.harden has closed the login of another user",
    "another `ansible_user`",
)
def _scene(stage: Stage) -> None:
    lost(stage, "root@web1: Permission denied (publickey).", "deploy", ansible_user="deploy")


class Host(Action):
    """The action of a release, whose host lets in nobody but this user: no one while the network is cut."""

    def __init__(self, stage: Stage, lets_in: str, why: str) -> None:
        program = ElfBuilder(type=EXEC).write(stage.folder / "shop")
        super().__init__({"name": "shop", "version": "1.0", "src": str(program), "strategy": "restart"}, [])
        self._lets_in, self._why = lets_in, why

    def _execute_module(self, module_name: str, module_args: Any, task_vars: dict[str, Any]) -> dict[str, Any]:
        if task_vars.get("ansible_user") != self._lets_in:
            raise AnsibleConnectionFailure(self._why)
        return {"changed": True, "action": "release"}


def lost(stage: Stage, why: str, lets_in: str = "", **changed: Any) -> None:
    """The run fails as root, and passes once the network is there, or with other variables."""
    stage.patch.setattr(ActionBase, "run", lambda _self, _tmp, _variables: {})
    host, variables = Host(stage, lets_in, why), {"ansible_user": "root"}
    found = stage.fails(lambda: host.run(task_vars=variables))
    assert found.get("user", "") == lets_in
    if not changed:
        host._lets_in = "root"
    stage.passes(lambda: host.run(task_vars={**variables, **changed}))

"""Scenes of what the controller says: of a fresh login that confirms, and of hosts that do not answer."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.action import confirm_login
from ansible_collections.slipway.go.plugins.plugin_utils import _bounded
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.unit.plugins.action.test_release import Action
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder

SCENES = Scenes()
AGAIN = "the same run again"


class Fresh(confirm_login.ActionModule):
    """The action on a host that says to a login and to commands what `says` has: (code, output, errors) by the last
    word of the command, or nothing where it refuses the login."""

    def __init__(self, says: dict[str, Any], transport: str = "ssh", **arguments: Any) -> None:
        self._task = SimpleNamespace(args={"timeout": 0.1, **arguments}, check_mode=False)
        self._connection = SimpleNamespace(transport=transport)
        self._says = says

    def _own(self) -> str:
        return "root"

    def _connect(self, user: str, route: Any, variables: Any) -> Any:
        return self

    def exec_command(self, command: str, sudoable: bool) -> tuple[int, bytes, bytes]:
        kind = "confirm" if "confirm" in command else "login"
        answer = self._says.get(kind, (0, b"", b""))
        if answer is None:
            raise AnsibleConnectionFailure("Permission denied (publickey).")
        code, output, errors = answer
        return code, output, errors

    def _take_back(self, variables: Any) -> dict[str, Any] | None:
        return None

    def _is_confirmed(self, variables: Any) -> bool:
        return False

    def told(self) -> dict[str, Any]:
        """As run() does, without the base class, which wants a whole task."""
        try:
            return {"logins": self._prove(self._arguments(), {})}
        except confirm_login.SlipwayError as error:
            return {"failed": True, "code": error.code, "msg": str(error), "fix": error.fix}


DEPLOY = {"user": "deploy", "sudo": "full", "command": []}
LOGINS: dict[str, Any] = {"logins": [DEPLOY], "connection_user": "never"}
ARMED: dict[str, Any] = {**LOGINS, "name": "ssh", "token": "t"}
HEALTHY: dict[str, Any] = {}


def logs_in(stage: Stage, before: Fresh, after: Fresh) -> dict[str, str]:
    found = stage.fails(before.told)
    assert stage.passes(after.told)["logins"]
    return found


@SCENES.row(
    "invalid_argument",
    "a task of one's own calls the action with an argument that it has not",
    literal("see ansible-doc slipway.go.confirm_login"),
    "an argument that the documentation has",
)
def _(stage: Stage) -> None:
    logs_in(stage, Fresh(HEALTHY, **LOGINS, users=["deploy"]), Fresh(HEALTHY, **LOGINS))


@SCENES.row(
    "login_failed",
    "the host does not know the key",
    r"check the key \(passwords are not used\), AllowUsers and the firewall for (?P<user>\w+)",
    "the key of that user is authorised",
)
def _(stage: Stage) -> None:
    assert logs_in(stage, Fresh({"login": None}, **LOGINS), Fresh(HEALTHY, **LOGINS))["user"] == "deploy"


@SCENES.row(
    "no_sudo",
    "the user needs a password for sudo",
    r"give (?P<user>\w+) sudo without a password \(deploy_user_sudo, or a rule in /etc/sudoers\.d\): a password for"
    r" become is not used",
    "a rule in `/etc/sudoers.d`",
)
def _(stage: Stage) -> None:
    refuses = {"login": (1, b"", b"sudo: a password is required")}
    assert logs_in(stage, Fresh(refuses, **LOGINS), Fresh(HEALTHY, **LOGINS))["user"] == "deploy"


@SCENES.row("no_administrator", "no login has full sudo", literal("give one login full sudo"), "other `logins`")
def _(stage: Stage) -> None:
    limited = {**ARMED, "logins": [{"user": "deploy", "sudo": "limited", "command": ["/bin/true"]}]}
    logs_in(stage, Fresh(HEALTHY, **limited), Fresh(HEALTHY, **ARMED))


@SCENES.row(
    "not_ssh",
    "the connection is docker",
    literal("give the host ansible_connection ssh"),
    "another `ansible_connection`",
)
def _(stage: Stage) -> None:
    logs_in(stage, Fresh(HEALTHY, "community.docker.docker", **LOGINS), Fresh(HEALTHY, **LOGINS))


@SCENES.row("not_confirmed", "the command that confirms is cut off", literal("run again"), AGAIN)
def _(stage: Stage) -> None:
    logs_in(stage, Fresh({"confirm": (255, b"", b"Killed")}, **ARMED), Fresh(HEALTHY, **ARMED))


@SCENES.row(
    "reverted",
    "the login comes when the revert has removed what confirms",
    literal("give a slow host more time (the confirm_timeout of the role that says this) and run again"),
    "another `confirm_timeout`",
)
def _(stage: Stage) -> None:
    late = b"python3: can't open file '/x/revert.pyz': [Errno 2] No such file or directory"
    logs_in(stage, Fresh({"confirm": (2, b"", late)}, **ARMED), Fresh(HEALTHY, **ARMED))


# --- hosts that do not answer


@SCENES.row(
    "no_answer",
    "the network is cut while a change of access is made",
    literal("see what keeps packets from that host, then run again"),
    f"the connection is there, and {AGAIN}",
)
def _(stage: Stage) -> None:
    stage.patch.setattr(_bounded, "SLACK", 0.1)
    hangs: Any = SimpleNamespace(_execute_module=lambda task_vars: time.sleep(5))
    answers: Any = SimpleNamespace(_execute_module=lambda task_vars: {"changed": True})
    stage.fails(lambda: _bounded.run_armed(hangs, 0.1, {}))
    stage.passes(lambda: _bounded.run_armed(answers, 0.1, {}))


@SCENES.row(
    "unreachable",
    "the network is cut during a release",
    r"see that it can be reached again, then (?P<command>slipway status) there",
    "the connection is there, and `slipway status` says which release serves",
)
def _(stage: Stage) -> None:
    lost(stage, "Failed to connect to the host via ssh: Connection timed out")


@SCENES.row(
    "unreachable",
    "the host does not let root in any more",
    r"set ansible_user: (?P<user>\w+) in the inventory if slipway\.go\.harden has closed the login of another user",
    "another `ansible_user`",
)
def _(stage: Stage) -> None:
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

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""slipway.go.confirm_login: everything happens here, on the controller."""

from __future__ import annotations

import contextlib
import getpass
import json
import math
import shlex
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.plugins.loader import connection_loader
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError, with_sentence, without_fix
from ansible_collections.slipway.go.plugins.module_utils._deadman import model
from ansible_collections.slipway.go.plugins.plugin_utils._action.bounded import BoundedAction, limit
from ansible_collections.slipway.go.plugins.plugin_utils._action.fresh import SSH_PLUGINS, separate

PAUSE = 0.5
SLOWEST = 10  # seconds for one connection; what drops packets is not asked for longer
PATIENCE = 20  # seconds for an answer over the connection that is open already
REVERTED = "reverted"
ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str"},
    "token": {"type": "str", "no_log": False},
    "logins": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "user": {"type": "str", "required": True},
            "sudo": {"type": "str", "choices": ["full", "limited", "none"], "default": "full"},
            "command": {"type": "list", "elements": "str", "default": []},
        },
    },
    "connection_user": {"type": "str", "choices": ["never", "unless_root", "always"], "default": "never"},
    "administrator": {"type": "bool", "default": False},
    "port": {"type": "int"},
    "same_key": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 20},
}
_PASSWORDS = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password", "ansible_pass")
_USERS = ("ansible_user", "ansible_ssh_user", "remote_user")
_PORTS = ("ansible_port", "ansible_ssh_port")


# sudo that may ask for nothing, and sudo that reads a password without showing a prompt.
SILENT = ("sudo", "-n")
ASKING = ("sudo", "-S", "-p", "")


@dataclass(frozen=True)
class Login:
    user: str
    sudo: str = "full"
    command: tuple[str, ...] = ()

    def proof(self, sudo: tuple[str, ...] = SILENT) -> str:
        """The command line whose success proves what is asked for."""
        if self.sudo == "none" or self.user == "root":
            return "true"
        if self.sudo == "limited":
            return shlex.join([*sudo, "-l", "--", *self.command]) + " >/dev/null"
        return shlex.join([*sudo, "--", "true"])

    @property
    def administers(self) -> bool:
        return self.user == "root" or self.sudo == "full"


@dataclass(frozen=True)
class Route:
    """How a host is reached: the port if not its own, options for ssh, and how long one attempt may take."""

    port: int | None = None
    options: str = ""
    seconds: float = 20


def parse_logins(values: list[dict[str, Any]], own: str, policy: str) -> list[Login]:
    """Those who can administer last, as the last one confirms."""
    logins = [Login(one["user"], one["sudo"], tuple(one["command"])) for one in values]
    wanted = policy == "always" or (policy == "unless_root" and own != "root")
    if (wanted or not logins) and own not in [login.user for login in logins if login.administers]:
        logins.append(Login(own))
    return sorted(dict.fromkeys(logins), key=lambda login: login.administers)


def last_lines(output: bytes) -> str:
    """The last lines of what ssh or sudo said, without banners and debug output."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    return "; ".join([line for line in lines if line and not line.startswith("debug")][-2:]) or "nothing"


def confirm_command(name: str, token: str, python: str, user: str, sudo: tuple[str, ...] = SILENT) -> str:
    runner = f"{model.ROOT}/{name}/{model.RUNNER}"
    argv = [python, runner, "confirm", name, "--token", token]
    return shlex.join(argv if user == "root" else [*sudo, "--", *argv])


def describe_revert(answer: dict[str, Any] | None, code: str) -> str:
    """What the host has answered to the request to take the change back; None where it was not asked."""
    if answer is None:
        return ""
    if "reverted" not in answer:
        if code == REVERTED:
            return ""
        return (
            "The host could not be asked to take the change back; it does so by itself at its deadline, unless it has"
            " done so before."
        )
    line = answer["reverted"]
    if line is None:
        return "The change is not armed any more, so it stays as it is."
    left = "; ".join(line.get("problems") or ())
    problems = f", but not all of it: {left}" if left else ""
    if line.get("reason") == "again":
        if line["restored"]:
            return f"What was changed after that was put back, too: {', '.join(line['restored'])}{problems}."
        return f"Not all of it was put back: {left}." if left else ""
    return "" if code == REVERTED and not problems else f"The change was taken back{problems}."


def parse_configuration(text: str) -> dict[str, str]:
    """The output of `ssh -G`; of a keyword that it says more than once, the first."""
    pairs = [line.partition(" ") for line in text.splitlines()]
    return {key: value for key, _space, value in reversed(pairs)}


def host_key_name(configuration: dict[str, str]) -> str:
    """The name under which known_hosts has the key of the host."""
    host, port = configuration.get("hostname", "").lower(), configuration.get("port", "22")
    return configuration.get("hostkeyalias") or (host if port == "22" else f"[{host}]:{port}")


class ActionModule(BoundedAction):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(
        ("name", "token", "logins", "connection_user", "administrator", "port", "same_key", "timeout")
    )

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        if self._task.check_mode:
            return {**result, "changed": False, "logins": [], "connection_user": self._own()}
        try:
            logins = self._prove(self._arguments(), variables)
        except SlipwayError as error:
            answer = self._take_back(variables)
            return {
                **result,
                "failed": True,
                "msg": with_sentence(str(error), error.fix, describe_revert(answer, error.code)),
                "code": error.code,
                "fix": error.fix,
                "reverted": error.code == REVERTED or bool((answer or {}).get("reverted")),
            }
        return {**result, "changed": False, "logins": logins, "connection_user": self._own()}

    def _arguments(self) -> dict[str, Any]:
        try:
            arguments: dict[str, Any] = self.validate_argument_spec(ARGUMENTS)[1]
        except AnsibleError as error:
            raise SlipwayError("invalid_argument", f"{error}.", "see ansible-doc slipway.go.confirm_login") from None
        return arguments

    def _prove(self, arguments: dict[str, Any], variables: dict[str, Any]) -> list[dict[str, Any]]:
        if self._connection.transport not in SSH_PLUGINS:
            raise SlipwayError(
                "not_ssh",
                f"a fresh login can only be proven over ssh, and this host uses {self._connection.transport}.",
                "give the host ansible_connection ssh",
            )
        logins = parse_logins(arguments["logins"], self._own(), arguments["connection_user"])
        name, token = arguments["name"], arguments["token"]
        if (token or arguments["administrator"]) and not any(login.administers for login in logins):
            raise SlipwayError(
                "no_administrator",
                "none of the logins can administer the host, so that nobody could confirm or correct a change.",
                "give one login full sudo",
            )
        within = arguments["timeout"]
        deadline = time.monotonic() + within
        route = Route(arguments["port"], self._only_same_key() if arguments["same_key"] else "", within)
        proven = []
        for number, login in enumerate(logins):
            begun = time.monotonic()
            password = self._password_of(login.user)
            sudo = SILENT if password is None else ASKING
            commands = [login.proof(sudo)]
            if token and number == len(logins) - 1:
                commands.append(confirm_command(str(name), str(token), self._python(variables), login.user, sudo))
            self._log_in(login, route, commands, deadline, variables, password)
            proven.append({"user": login.user, "sudo": login.sudo, "seconds": round(time.monotonic() - begun, 2)})
        return proven

    def _own(self) -> str:
        """The user of the host's own connection; ssh takes the controller's where none is set."""
        named = self._connection.get_option("remote_user") or self._play_context.remote_user
        return str(named or self._ssh_configuration().get("user") or getpass.getuser())

    def _password_of(self, user: str) -> bytes | None:
        """What sudo asks the user of the host's own connection for, as a line; None where it is to ask for nothing."""
        become = getattr(self._connection, "become", None)
        if user != self._own() or become is None:
            return None
        name = str(getattr(become, "name", None) or "")
        if name.rpartition(".")[2] != "sudo":
            return None
        given = become.get_option("become_pass", playcontext=self._play_context)
        return f"{given}\n".encode() if given else None

    def _ssh_configuration(self) -> dict[str, str]:
        """What ssh makes of its configuration and of the host's variables, by keyword; empty if it cannot say."""
        options = self._connection
        if options.transport not in SSH_PLUGINS:
            return {}
        words = [options.get_option(name) or "" for name in ("ssh_args", "ssh_common_args", "ssh_extra_args")]
        port = options.get_option("port")
        argv = [
            options.get_option("ssh_executable") or "ssh",
            *(word for given in words for word in shlex.split(given)),
            *(["-p", str(port)] if port else []),
            "-G",
            str(options.get_option("host") or self._play_context.remote_addr),
        ]
        try:
            done = subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=5)
        except (OSError, subprocess.SubprocessError):
            return {}
        return parse_configuration(done.stdout.decode(errors="replace"))

    @staticmethod
    def _python(variables: dict[str, Any]) -> str:
        facts = variables.get("ansible_facts") or {}
        interpreter = str(
            variables.get("ansible_python_interpreter") or facts.get("discovered_interpreter_python") or ""
        )
        return interpreter if interpreter.startswith("/") else "/usr/bin/python3"

    def _log_in(
        self,
        login: Login,
        route: Route,
        commands: list[str],
        deadline: float,
        variables: dict[str, Any],
        password: bytes | None = None,
    ) -> None:
        """Try until the deadline; the commands after the first run at most once each."""
        refused, asked = 0, False
        while True:
            try:
                connection = self._connect(login.user, route, variables)
                self._execute(connection, login, commands, password)
                return
            except SlipwayError as error:
                # The connection may have been cut between the confirmation and its answer.
                if asked and error.code in (REVERTED, "not_armed") and self._is_confirmed(variables):
                    return
                raise
            except _TryAgain as failed:
                asked = asked or failed.asked
                # sshd penalises an address that fails again and again, and this one is the operator's.
                refused += "Permission denied" in str(failed) or failed.error.code == "no_sudo"
                if refused > 1 or time.monotonic() + PAUSE >= deadline:
                    raise failed.error from None
                time.sleep(PAUSE)

    def _only_same_key(self) -> str:
        """Options with which ssh refuses any machine but the one that is known at the host's own port."""
        name = host_key_name(self._ssh_configuration())
        if not name:
            raise SlipwayError(
                "unknown_host",
                "ssh does not say under which name it knows this host.",
                "correct what ssh -G reports for it",
            )
        return f"-o {shlex.quote(f'HostKeyAlias={name}')} -o StrictHostKeyChecking=yes"

    def _connect(self, user: str, route: Route, variables: dict[str, Any]) -> Any:
        """A connection of the host's own plugin and variables, but for the user, the port, and what is shared."""
        context = self._play_context.copy()
        context.remote_user, context.password, context.become = user, None, False
        context.port = route.port or context.port
        connection = connection_loader.get("ansible.builtin.ssh", context)
        own = {
            name: self._templar.template(variables[name])
            for name in C.config.get_plugin_vars("connection", connection._load_name)
            if name in variables and name not in _PASSWORDS
        }
        for key in _USERS:
            own[key] = user
        if route.port:
            own.update(dict.fromkeys(_PORTS, route.port))
        connection.set_options(var_options=own)
        with contextlib.suppress(KeyError):
            connection.set_option("password", None)
        connection.set_option("ssh_args", f"{route.options} {self._connection.get_option('ssh_args') or ''}")
        longest = max(SLOWEST, math.ceil(route.seconds))
        connection.set_option("timeout", min(int(connection.get_option("timeout") or longest), longest))
        separate(connection)
        return connection

    @staticmethod
    def _execute(connection: Any, login: Login, commands: list[str], password: bytes | None) -> None:
        for command in commands:
            proof = command == commands[0]
            try:
                code, output, errors = connection.exec_command(
                    f"/bin/sh -c {shlex.quote(command)}", in_data=password, sudoable=False
                )
            except AnsibleError as error:
                raise _TryAgain(
                    SlipwayError(
                        "login_failed",
                        f"a fresh login as {login.user} did not work: {last_lines(str(error).encode())}.",
                        f"check the key (passwords are not used), AllowUsers and the firewall for {login.user}",
                    ),
                    asked=not proof,
                ) from None
            if code != 0 and proof:
                raise _TryAgain(
                    SlipwayError(
                        "no_sudo",
                        f"{login.user} can log in, but `{command}` failed: {last_lines(errors or output)}.",
                        f"give {login.user} sudo without a password (deploy_user_sudo, or a rule in /etc/sudoers.d), "
                        "or correct ansible_become_password where it is the user of the connection",
                    )
                )
            if code != 0:
                raise _not_confirmed(output, errors)

    def _take_back(self, variables: dict[str, Any]) -> dict[str, Any] | None:
        """Ask over the connection that is still open; None where nothing was armed for this task."""
        if not self._task.args.get("token"):
            return None
        try:
            with limit(PATIENCE, "the open connection gave no answer"):
                return self._deadman("reverted", variables)
        except AnsibleError as error:
            return {"failed": True, "msg": str(error)}

    def _is_confirmed(self, variables: dict[str, Any]) -> bool:
        """Whether nothing is armed any more, and the host has not taken the change back."""
        try:
            with limit(PATIENCE, "the open connection gave no answer"):
                return str(self._deadman("confirmed", variables).get("code")) == "not_armed"
        except AnsibleError:
            return False

    def _deadman(self, state: str, variables: dict[str, Any]) -> dict[str, Any]:
        own = {"name": self._task.args.get("name"), "token": self._task.args["token"], "state": state}
        answer: dict[str, Any] = self._execute_module("slipway.go.deadman", module_args=own, task_vars=variables)
        return answer


class _TryAgain(Exception):
    """A failure that time may heal. asked: the host may have heard the confirmation."""

    def __init__(self, error: SlipwayError, asked: bool = False) -> None:
        super().__init__(str(error))
        self.error, self.asked = error, asked


def _not_confirmed(output: bytes, errors: bytes) -> SlipwayError:
    with contextlib.suppress(ValueError, KeyError, IndexError):
        answer = json.loads(output.decode(errors="replace").strip().splitlines()[-1])
        fix = str(answer.get("fix") or "")
        return SlipwayError(str(answer["code"]), without_fix(str(answer["msg"]), fix), fix)
    # A revert removes the program that would have confirmed.
    if model.RUNNER.encode() in errors and b"No such file" in errors:
        return SlipwayError(
            REVERTED,
            "the login works, but it came after the time to confirm: the host has taken the change back already.",
            "give a slow host more time (the confirm_timeout of the role that says this) and run again",
        )
    return SlipwayError(
        "not_confirmed", f"the login works, but the confirmation did not: {last_lines(errors or output)}.", "run again"
    )

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.slipway.go.plugins.action import confirm_login
from ansible_collections.slipway.go.plugins.action.confirm_login import Login
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError, with_sentence


def given(user, sudo="full", *command):
    return {"user": user, "sudo": sudo, "command": list(command)}


def test_those_who_can_administer_log_in_last():
    logins = confirm_login.parse_logins(
        [given("admin"), given("deploy", "limited", "/bin/x", "a b")], "admin", "always"
    )
    assert [login.user for login in logins] == ["deploy", "admin"]
    assert logins[0].proof() == "sudo -n -l -- /bin/x 'a b' >/dev/null"
    assert logins[1].proof() == "sudo -n -- true"


@pytest.mark.parametrize(
    ("policy", "own", "users"),
    [
        ("never", "root", ["deploy"]),
        ("unless_root", "root", ["deploy"]),
        ("unless_root", "ubuntu", ["deploy", "ubuntu"]),
        ("always", "root", ["deploy", "root"]),
        ("always", "deploy", ["deploy"]),
    ],
)
def test_the_user_of_the_connection(policy, own, users):
    assert [login.user for login in confirm_login.parse_logins([given("deploy")], own, policy)] == users


def test_limiting_the_user_of_the_connection_is_noticed():
    logins = confirm_login.parse_logins([given("deploy", "none")], "deploy", "always")
    assert [login.administers for login in logins] == [False, True]


def test_without_logins_the_connection_has_to_work_again():
    assert confirm_login.parse_logins([], "root", "never") == [Login("root")]


def test_root_confirms_without_sudo():
    assert confirm_login.confirm_command("ssh", "t", "/usr/bin/python3", "root").startswith("/usr/bin/python3 ")
    assert confirm_login.confirm_command("ssh", "t", "/usr/bin/python3", "deploy").startswith("sudo -n -- /usr/bin/")


def test_a_password_for_sudo_is_read_and_not_shown():
    asking = confirm_login.ASKING
    assert Login("admin").proof(asking) == "sudo -S -p '' -- true"
    assert Login("admin", "limited", ("/bin/x",)).proof(asking) == "sudo -S -p '' -l -- /bin/x >/dev/null"
    assert Login("root").proof(asking) == Login("admin", "none").proof(asking) == "true"
    told = confirm_login.confirm_command("ssh", "t", "/usr/bin/python3", "admin", asking)
    assert told.startswith("sudo -S -p '' -- /usr/bin/python3 ")


def become(name, password):
    return SimpleNamespace(name=name, get_option=lambda _option, playcontext: password)


@pytest.mark.parametrize(
    ("user", "plugin", "given"),
    [
        ("admin", become("sudo", "secret"), b"secret\n"),
        ("admin", become("ansible.builtin.sudo", "secret"), b"secret\n"),
        ("admin", become("sudo", None), None),
        ("admin", become("sudo", ""), None),
        ("admin", become("su", "secret"), None),
        ("admin", become(None, "secret"), None),
        ("admin", SimpleNamespace(), None),
        ("admin", None, None),
        ("deploy", become("sudo", "secret"), None),
    ],
)
def test_the_password_is_the_connections_own_users(user, plugin, given, monkeypatch):
    action = confirm_login.ActionModule.__new__(confirm_login.ActionModule)
    monkeypatch.setattr(action, "_connection", SimpleNamespace(become=plugin), raising=False)
    monkeypatch.setattr(action, "_play_context", None, raising=False)
    monkeypatch.setattr(action, "_own", lambda: "admin")
    assert action._password_of(user) == given


def test_a_connection_plugin_that_knows_of_no_become(monkeypatch):
    action = confirm_login.ActionModule.__new__(confirm_login.ActionModule)
    monkeypatch.setattr(action, "_connection", SimpleNamespace(), raising=False)
    monkeypatch.setattr(action, "_own", lambda: "admin")
    assert action._password_of("admin") is None


def test_what_ssh_said_is_short():
    assert confirm_login.last_lines(b"debug1: x\nWelcome\n\nhost: Permission denied (publickey).\n").endswith(
        "(publickey)."
    )
    assert confirm_login.last_lines(b"") == "nothing"


def test_what_the_host_says_keeps_its_fix():
    told = {"failed": True, "code": "reverted", "msg": "the change was taken back. Fix: run again", "fix": "run again"}
    error = confirm_login._not_confirmed(json.dumps(told).encode(), b"")
    assert (error.message, error.fix) == ("the change was taken back.", "run again")
    earlier = {name: value for name, value in told.items() if name != "fix"}
    assert str(confirm_login._not_confirmed(json.dumps(earlier).encode(), b"")) == told["msg"]


@pytest.mark.parametrize(
    ("output", "errors", "code"),
    [
        (b"", b"python3: can't open file '/x/revert.pyz': [Errno 2] No such file or directory\n", "reverted"),
        (b'{"failed": true, "code": "not_armed", "msg": "no"}\n', b"", "not_armed"),
        (b"", b"sudo: a password is required\n", "not_confirmed"),
    ],
)
def test_a_confirmation_that_came_too_late_says_so(output, errors, code):
    """The revert removes what would have confirmed; its traceback is no answer for an operator."""
    assert confirm_login._not_confirmed(output, errors).code == code


@pytest.mark.parametrize(
    ("configuration", "name"),
    [
        ("hostname gw\nport 22\n", "gw"),
        ("hostname GW\nport 2223\nport 2224\n", "[gw]:2223"),
        ("hostname gw\nport 2223\nhostkeyalias b\n", "b"),
    ],
)
def test_the_name_by_which_a_host_s_key_is_known(configuration, name):
    assert confirm_login.host_key_name(confirm_login.parse_configuration(configuration)) == name


def test_where_ssh_says_nothing_no_key_is_known():
    assert confirm_login.host_key_name({}) == ""


class Cut(confirm_login.ActionModule):
    """The connection is cut when the confirmation has been sent; the host says what it then made of it."""

    def __init__(self, outcome):
        self._task = SimpleNamespace(args={"name": "ssh", "token": "t"}, check_mode=False)
        self.outcome, self.sent = outcome, []

    def _connect(self, user, route, variables):
        return self

    def exec_command(self, command, in_data, sudoable):
        if "confirm" not in command:
            return 0, b"", b""
        self.sent.append(command)
        if len(self.sent) == 1:
            raise AnsibleConnectionFailure("Connection reset by peer")
        return 2, b"", b"python3: can't open file '/x/revert.pyz': [Errno 2] No such file or directory"

    def _execute_module(self, name, module_args, task_vars):
        assert (name, module_args["state"]) == ("slipway.go.deadman", "confirmed")
        return {"failed": True, "code": self.outcome}


@pytest.mark.parametrize("outcome", ["not_armed", "reverted"])
def test_a_confirmation_whose_answer_was_lost(outcome, monkeypatch):
    """Nothing is armed any more, and the host's journal knows whether it took the change back."""
    monkeypatch.setattr(confirm_login, "PAUSE", 0.01)
    action = Cut(outcome)
    commands = ["true", confirm_login.confirm_command("ssh", "t", "/usr/bin/python3", "root")]

    def log_in():
        action._log_in(Login("root"), confirm_login.Route(), commands, time.monotonic() + 20, {})

    if outcome == "not_armed":
        log_in()
    else:
        with pytest.raises(SlipwayError, match="the host has taken the change back already"):
            log_in()
    assert len(action.sent) == 2


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ({"logins": [{"name": "bob"}]}, "user"),
        ({"timeout": "20s"}, "timeout"),
        ({"port": "ssh"}, "port"),
        ({"connection_user": "sometimes"}, "connection_user"),
        ({"nobody": 1}, "nobody"),
    ],
)
def test_a_wrong_argument_is_named_and_the_change_is_taken_back_at_once(argument, says):
    asked = []

    class Wrong(confirm_login.ActionModule):
        def __init__(self):
            self._task = SimpleNamespace(args={"name": "ssh", "token": "t", **argument}, check_mode=False)

        def _execute_module(self, name, module_args, task_vars):
            asked.append(module_args)
            return {"reverted": {"name": "ssh"}}

    action = Wrong()
    with pytest.raises(SlipwayError, match=says) as caught:
        action._arguments()
    assert caught.value.code == "invalid_argument"
    assert action._take_back({}) == {"reverted": {"name": "ssh"}}
    assert asked == [{"name": "ssh", "token": "t", "state": "reverted"}]


LINE = {"reason": "asked", "restored": ["/etc/x"], "problems": []}


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (None, "login_failed", ""),
        ({"reverted": LINE}, "login_failed", "The change was taken back."),
        (
            {"reverted": {**LINE, "problems": ["/etc/y: read-only"]}},
            "login_failed",
            "but not all of it: /etc/y: read-only.",
        ),
        ({"reverted": {**LINE, "reason": "deadline"}}, "reverted", ""),
        (
            {"reverted": {**LINE, "reason": "again"}},
            "reverted",
            "What was changed after that was put back, too: /etc/x.",
        ),
        (
            {"reverted": {**LINE, "reason": "again", "restored": [], "problems": ["/etc/y: read-only"]}},
            "reverted",
            "Not all of it was put back: /etc/y: read-only.",
        ),
        ({"reverted": {**LINE, "reason": "again", "restored": []}}, "reverted", ""),
        ({"reverted": None}, "login_failed", "The change is not armed any more, so it stays as it is."),
        ({"failed": True, "msg": "no route"}, "login_failed", "could not be asked"),
        ({"failed": True, "msg": "no route"}, "reverted", ""),
    ],
)
def test_what_is_said_of_the_change_is_what_the_host_has_answered(answer, code, says):
    said = confirm_login.describe_revert(answer, code)
    assert said.endswith(says) if says != "could not be asked" else says in said
    assert bool(said) == bool(says)
    told = with_sentence("nobody could log in: no route. Fix: run again", "run again", said)
    assert told == " ".join(filter(None, ["nobody could log in: no route.", said, "Fix: run again"]))

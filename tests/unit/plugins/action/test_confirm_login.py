from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.action import confirm_login
from ansible_collections.slipway.go.plugins.action.confirm_login import Login


def test_those_who_can_administer_log_in_last():
    logins = confirm_login.parse_logins(
        [{"user": "admin"}, {"user": "deploy", "sudo": "limited", "command": ["/bin/x", "a b"]}], "admin", "always"
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
    assert [login.user for login in confirm_login.parse_logins([{"user": "deploy"}], own, policy)] == users


def test_limiting_the_user_of_the_connection_is_noticed():
    logins = confirm_login.parse_logins([{"user": "deploy", "sudo": "none"}], "deploy", "always")
    assert [login.administers for login in logins] == [False, True]


def test_without_logins_the_connection_has_to_work_again():
    assert confirm_login.parse_logins([], "root", "never") == [Login("root")]


def test_root_confirms_without_sudo():
    assert confirm_login.confirm_command("ssh", "t", "/usr/bin/python3", "root").startswith("/usr/bin/python3 ")
    assert confirm_login.confirm_command("ssh", "t", "/usr/bin/python3", "deploy").startswith("sudo -n -- /usr/bin/")


def test_what_ssh_said_is_short():
    assert confirm_login.said_by(b"debug1: x\nWelcome\n\nhost: Permission denied (publickey).\n").endswith(
        "(publickey)."
    )
    assert confirm_login.said_by(b"") == "nothing"


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
    assert confirm_login.known_as(confirm_login.parse_configuration(configuration)) == name


def test_where_ssh_says_nothing_no_key_is_known():
    assert confirm_login.known_as({}) == ""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._hardening.sshd import access


@pytest.mark.parametrize(
    ("settings", "groups", "refused"),
    [
        ({}, [], None),
        ({"AllowUsers": ["deploy"]}, [], None),
        ({"AllowUsers": "dep*"}, [], None),
        ({"AllowUsers": "deploy@10.0.0.0/8"}, [], None),
        ({"AllowUsers": ["admin"]}, [], "AllowUsers admin"),
        ({"AllowGroups": ["sudo"]}, ["deploy"], "AllowGroups sudo"),
        ({"AllowGroups": ["sudo"]}, ["deploy", "sudo"], None),
        ({"AllowGroups": ["sudo"]}, None, None),
        ({"DenyUsers": "deploy"}, [], "DenyUsers"),
        ({"DenyGroups": ["deploy"]}, ["deploy"], "DenyGroups"),
    ],
)
def test_who_would_be_locked_out(settings, groups, refused):
    answer = access.who_is_refused(["deploy"], settings, lambda user: groups)
    assert (answer is None) if refused is None else answer.why.startswith(refused)


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({"AllowUsers": ["admin"]}, "add deploy to ssh_allow_users, or to AllowUsers where ssh_settings has it"),
        ({"AllowGroups": ["sudo"]}, "add a group of deploy to AllowGroups"),
        ({"DenyUsers": "deploy"}, "take deploy out of DenyUsers"),
        ({"DenyGroups": ["deploy", "web"]}, "take deploy out of DenyGroups"),
    ],
)
def test_the_fix_names_the_list_that_refuses(settings, fix):
    assert access.who_is_refused(["deploy"], settings, lambda user: ["deploy"]).fix == fix


@pytest.mark.parametrize(
    ("wanted", "before", "own", "users"),
    [
        (["deploy"], [], "", ["deploy"]),
        (["deploy"], [], "alice", ["deploy", "alice"]),
        (["deploy"], ["deploy", "alice"], "bob", ["deploy", "alice", "bob"]),
        (["deploy"], ["deploy", "alice", "bob"], "deploy", ["deploy", "alice", "bob"]),
        (["deploy"], ["deploy", "root"], "", ["deploy"]),
        (["deploy", "root"], ["deploy", "alice", "root"], "root", ["deploy", "alice", "root"]),
        (["deploy@10.0.0.0/8"], [], "deploy", ["deploy@10.0.0.0/8"]),
        (["dep*"], [], "deploy", ["dep*"]),
    ],
)
def test_runs_of_several_administrators_shut_out_nobody(wanted, before, own, users):
    assert access.keep_allowed(wanted, before, own) == users
    assert access.keep_allowed(wanted, users, own) == users, "the next run would change it again"


@pytest.mark.parametrize(
    ("value", "closed"), [(False, True), ("no", True), ("prohibit-password", False), (True, False)]
)
def test_whether_root_is_closed(value, closed):
    assert access.closes_root({"permitrootlogin": value}) is closed

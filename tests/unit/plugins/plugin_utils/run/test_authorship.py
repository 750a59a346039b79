# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of a run without being said."""

from __future__ import annotations

import getpass
import socket

import pytest
from ansible_collections.slipway.go.plugins.plugin_utils._run import authorship
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


@pytest.mark.parametrize(
    ("variables", "environment", "person", "job"),
    [
        (
            {"awx_user_name": "alice", "awx_job_id": 42, "awx_job_template_name": "release shop"},
            {},
            "alice",
            "AWX job 42, release shop",
        ),
        ({"tower_user_name": "alice", "tower_job_id": "7"}, {"SUDO_USER": "root"}, "alice", "AWX job 7"),
        ({"awx_user_name": "", "awx_job_id": 43}, {"SUDO_USER": "carol"}, "carol", "AWX job 43"),
        (
            {},
            {"GITLAB_USER_LOGIN": "bob", "CI_JOB_URL": "https://gitlab.example/j/1"},
            "bob",
            "https://gitlab.example/j/1",
        ),
        (
            {},
            {
                "GITHUB_ACTOR": "bob",
                "GITHUB_RUN_ID": "9",
                "GITHUB_SERVER_URL": "https://github.example",
                "GITHUB_REPOSITORY": "team/shop",
            },
            "bob",
            "https://github.example/team/shop/actions/runs/9",
        ),
        (
            {},
            {"SLIPWAY_PULL_SIGNER": "fred@example.com", "SLIPWAY_PULL_JOB": "pull of 0123 of main"},
            "fred@example.com",
            "pull of 0123 of main",
        ),
        ({}, {"BUILD_USER_ID": "dora", "BUILD_URL": "https://ci.example/1"}, "dora", "https://ci.example/1"),
    ],
)
def test_where_it_comes_from(variables, environment, person, job):
    assert authorship.known(variables, environment) == {
        "person": person,
        "controller": socket.gethostname(),
        "job": job,
    }


def test_outside_of_a_job_it_is_the_user(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "erin")
    assert authorship.known({}, {}) == {"person": "erin", "controller": socket.gethostname()}


def test_a_user_without_a_name_is_a_number(monkeypatch):
    def nobody():
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert authorship.known({}, {})["person"].isdigit()


def test_what_was_said_comes_first():
    by = authorship.complete({"person": "frank", "reason": "asked by a customer"}, {"awx_user_name": "alice"})
    assert (by["person"], by["reason"]) == ("frank", "asked by a customer")
    assert by["controller"] == socket.gethostname()


@pytest.mark.parametrize("given", [None, {}, ""])
def test_nothing_said_is_no_mistake(given):
    assert authorship.complete(given, {"awx_user_name": "alice"})["person"] == "alice"


@pytest.mark.parametrize("given", ["alice", ["alice"], 3, {"persn": "alice"}])
def test_another_type_is_one(given):
    refused(lambda: authorship.complete(given, {}), "invalid_by")


def test_a_reason_may_be_required():
    authorship.require_reason({"reason": "because"})
    assert "release_reason" in str(refused(lambda: authorship.require_reason({"person": "alice"}), "missing_reason"))

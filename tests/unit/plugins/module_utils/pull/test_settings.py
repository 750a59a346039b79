"""The file that the role pull writes, and what is refused of it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.slipway.go.plugins.module_utils._pull import settings
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

GOOD = {
    **dict.fromkeys(("repository", "branch", "signers", "host", "playbook", "inventory", "ansible"), "x"),
    "wave": 2,
    "at_least": "",
    "environment": {"https_proxy": "http://proxy"},
}


def test_what_the_role_writes():
    assert settings.parse(GOOD).environment == {"https_proxy": "http://proxy"}


@pytest.mark.parametrize(
    "wrong",
    [{"wave": "2"}, {"wave": True}, {"environment": {"a": 1}}, {"more": 1}, {"host": None}, {"environment": []}],
)
def test_anything_else_is_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        settings.parse({**GOOD, **wrong})


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="branch, signers"):
        settings.parse({name: value for name, value in GOOD.items() if name not in ("branch", "signers")})


def test_a_host_that_pulls_nothing(tmp_path):
    error = refused(lambda: settings.load(str(tmp_path / "pull.json")), "invalid_pull_settings")
    assert "pulls nothing" in error.message


@pytest.mark.parametrize("content", ["", "[]", "{", json.dumps({"wave": 1})])
def test_a_damaged_file(tmp_path, content):
    (tmp_path / "pull.json").write_text(content)
    assert (
        "cannot be read" in refused(lambda: settings.load(str(tmp_path / "pull.json")), "invalid_pull_settings").message
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://hunter2@git.example.com/o/r.git",
        "https://u:hunter2@git.example.com/o/r.git",
        "https://u:pa/hunter2@git.example.com/o/r.git",
        "HTTP://git.example.com/o/r.git?access_token=hunter2",
        "https::https://hunter2@git.example.com/r.git",
        "ssh://git:hunter2@git.example.com/r.git",
    ],
)
def test_a_secret_in_the_address_is_refused_and_not_told(tmp_path, url):
    (tmp_path / "pull.json").write_text(json.dumps({**GOOD, "repository": url}))
    error = refused(lambda: settings.load(str(tmp_path / "pull.json")), "invalid_pull_settings")
    assert "has a user, a password or a query in it" in error.message
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com:8443/o/r.git",
        "ssh://git@git.example.com:2222/o/r.git",
        "git@git.example.com:o/r.git",
        "file:///srv/@o/r.git",
    ],
)
def test_an_address_without_a_secret(url):
    assert settings.parse({**GOOD, "repository": url}).repository == url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://t@h/o?q#f", "https://h/o"),
        ("ssh://git:x@h:22/o/@r", "ssh://h:22/o/@r"),
        ("git@h:o/r.git", "git@h:o/r.git"),
        ("/srv/a?b@c", "/srv/a?b@c"),
    ],
)
def test_what_is_shown_of_an_address(url, shown):
    assert settings.shown(url) == shown

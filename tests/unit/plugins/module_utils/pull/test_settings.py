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

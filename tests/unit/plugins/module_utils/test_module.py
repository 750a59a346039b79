# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever goes wrong in a module, Ansible gets a message, a code and a fix."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError


class Module:
    def __init__(self):
        self.told = {}

    def fail_json(self, **told):
        self.told = told

    def exit_json(self, **told):
        self.told = told


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (SlipwayError("locked", "it is locked.", "wait"), "locked", "it is locked"),
        (OSError(28, "No space left on device", "/x"), "os_error", "No space left on device (/x)"),
        (KeyError("user"), "defect", "KeyError: 'user'"),
    ],
)
def test_a_failure_is_told_in_a_sentence(error, code, says):
    def work(_given):
        raise error

    module = Module()
    _module.run(module, work)
    assert module.told["code"] == code
    assert says in module.told["msg"]
    assert "fix" in module.told
    assert "Traceback" not in module.told["msg"]


def test_what_work_returns_is_the_result():
    module = Module()
    _module.run(module, lambda _given: {"changed": False})
    assert module.told == {"changed": False}

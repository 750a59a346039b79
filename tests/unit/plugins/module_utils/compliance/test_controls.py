# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What base_controls says of each control."""

from __future__ import annotations

import re

import pytest
from ansible_collections.slipway.go.plugins.module_utils._compliance import checks, controls
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError


def test_each_control_has_one_check() -> None:
    assert list(checks.CHECKS) == [one.name for one in controls.CONTROLS] or set(checks.CHECKS) == set(controls.BY_NAME)
    assert len(controls.BY_NAME) == len(controls.CONTROLS) == len({one.title for one in controls.CONTROLS})


@pytest.mark.parametrize("control", controls.CONTROLS, ids=lambda one: one.name)
def test_a_reference_names_its_publication(control: controls.Control) -> None:
    for reference in control.references:
        assert re.fullmatch(r"CIS [1-7](\.\d+){1,4}|ANSSI R\d+", reference)


@pytest.mark.parametrize(
    ("value", "on", "reason", "given"),
    [
        (True, True, "", True),
        ("yes", True, "", True),
        (1, True, "", True),
        (False, False, "", True),
        ("No", False, "", True),
        ("our operators use su", False, "our operators use su", True),
        ("", True, "", False),
        (None, True, "", False),
    ],
)
def test_a_value(value: object, on: bool, reason: str, given: bool) -> None:
    assert controls.choose({"su_wheel": value})["su_wheel"] == controls.Choice(on, reason, given)


def test_what_is_off_by_default_has_a_reason() -> None:
    chosen = controls.choose({"passwords_of_root": ""})
    off = {name for name, choice in chosen.items() if not choice.on}
    assert off == {"audit_immutable", "partitions", "passwords_of_root"}
    assert all(chosen[name].reason and not chosen[name].given for name in off)
    assert controls.choose({"audit_immutable": True})["audit_immutable"].on


@pytest.mark.parametrize(
    ("given", "message", "fix"),
    [
        ({"su_whel": True}, "base_controls has su_whel, which is no control.", "write su_wheel in base_controls"),
        ({"quux": True}, "base_controls has quux, which is no control.", "remove quux from base_controls"),
        (
            {"su_wheel": []},
            "base_controls has su_wheel, which is neither true, false nor a text.",
            "set su_wheel to true",
        ),
        ({"ssh_root": False}, "ssh_root is turned off by variables of another role.", "write the reason"),
    ],
)
def test_what_is_refused(given: dict, message: str, fix: str) -> None:
    with pytest.raises(SlipwayError) as caught:
        controls.check(given)
    assert message in caught.value.message
    assert caught.value.fix.startswith(fix)


def test_what_is_accepted() -> None:
    controls.check({"ssh_root": "root's keys are kept in a safe", "su_wheel": False, "audit_b32": None, "mounts": ""})

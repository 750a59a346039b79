# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module compliance_info on the machine that the tests run on, the filters, and the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.audit_rules import audit_rules
from ansible_collections.slipway.go.plugins.filter.compliance_table import compliance_table
from ansible_collections.slipway.go.plugins.filter.controls import controls as filtered
from ansible_collections.slipway.go.plugins.module_utils._compliance import look
from ansible_collections.slipway.go.plugins.module_utils._compliance.controls import CONTROLS
from ansible_collections.slipway.go.plugins.module_utils._compliance.evidence import Wanted
from ansible_collections.slipway.go.plugins.module_utils._core import command
from ansible_collections.slipway.go.plugins.modules import compliance_info
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module

NONE = "\u2013"
ROOT = Path(__file__).resolve().parents[4]
PAGE = ROOT / "docs" / "guide" / "compliance.md"
DEFAULTS = ROOT / "roles" / "base" / "defaults" / "main.yml"


def test_a_host_that_was_never_hardened(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is missing on it, each control is answered, and no program is asked in vain for long."""

    def absent(argv: list[str], *_rest: Any, **_more: Any) -> None:
        raise command.MissingProgram(argv[0])

    monkeypatch.setattr(command, "run", absent)
    told = run_module(
        compliance_info, capsys, controls={"ssh_root": "there is no other way in"}, services_off=["x.service"]
    )
    rows = {row["control"]: row for row in told["controls"]}
    assert list(rows) == [control.name for control in CONTROLS]
    assert sum(told["counts"].values()) == len(rows)
    assert (rows["ssh_root"]["verdict"], rows["ssh_root"]["reason"]) == ("off", "there is no other way in")
    assert rows["ssh_passwords"]["verdict"] == "unknown"
    assert all(bool(row["fix"]) == (row["verdict"] in ("fail", "unknown")) for row in rows.values())
    assert not told["changed"]


def test_the_length_of_a_password_is_that_of_the_role(capsys: pytest.CaptureFixture[str]) -> None:
    length = yaml.safe_load(DEFAULTS.read_text())["base_password_length"]
    documented = yaml.safe_load(compliance_info.DOCUMENTATION)["options"]["password_length"]["default"]
    (row,) = [one for one in run_module(compliance_info, capsys)["controls"] if one["control"] == "password_quality"]
    assert Wanted({}).password_length == documented == length
    assert row["expected"].startswith(f"minlen {length},")


def test_a_control_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_module(compliance_info, capsys, controls={"ssh_rot": True})
    assert (found["code"], found["fix"]) == ("invalid_variable", "write ssh_root in base_controls")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            '{"Defaults": [{"Options": [{"use_pty": true}]},'
            ' {"Binding": [{"username": "x"}], "Options": [{"logfile": "/x"}]},'
            ' {"Options": [{"logfile": "/var/log/sudo.log"}]}]}',
            {"use_pty": True, "logfile": "/var/log/sudo.log"},
        ),
        ('{"User_Specs": []}', {}),
        ("", None),
        (None, None),
        ("[]", None),
    ],
)
def test_the_defaults_of_sudo(text: str | None, found: dict[str, Any] | None) -> None:
    assert look.sudo_defaults(text) == found


def row(control: str, verdict: str, **more: str) -> dict[str, str]:
    return {"control": control, "verdict": verdict, "expected": "no", "found": "yes", "reason": "", **more}


ANSWERS = {
    "web1": {
        "controls": [row("ssh_root", "fail"), row("mounts", "pass"), row("su_wheel", "off", reason="a\x1breason")],
        "counts": {"pass": 1, "fail": 1, "off": 1, "unknown": 0},
    },
    "web2": {"controls": [row("mounts", "pass")], "counts": {"pass": 1, "fail": 0}},
    "web3": {"unreachable": True, "msg": "no route\nto host"},
}


def test_the_table() -> None:
    told = compliance_table(ANSWERS)
    lines = told["table"].splitlines()
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["web1", "ssh_root", "fail"],
        ["web1", "su_wheel", "off"],
        ["web3", "-", "unknown"],
    ]
    assert lines[4:] == ["web1: 1 pass, 1 fail, 1 off", "web2: 1 pass"]
    assert lines[2].endswith("a reason")
    assert told["reasons"] == {
        "web1": "1 deviation: ssh_root, expected no, found yes.",
        "web3": "1 deviation: -, expected an answer, found no route to host.",
    }
    assert len(told["rows"]) == 5


def test_many_deviations_are_counted() -> None:
    many = {"web1": {"controls": [row(f"c{number}", "fail") for number in range(8)], "counts": {"fail": 8}}}
    assert compliance_table(many)["reasons"]["web1"].endswith("; and 3 more.")
    assert compliance_table({"web2": ANSWERS["web2"]})["table"] == "web2: 1 pass"
    with pytest.raises(AnsibleFilterError):
        compliance_table([])


def test_the_controls_that_are_on() -> None:
    assert filtered({})["su_wheel"]
    assert not filtered({})["audit_immutable"]
    assert not filtered({"su_wheel": "a reason"})["su_wheel"]
    assert [name for name, on in filtered({"su_wheel": "yes"}, default=False).items() if on] == ["su_wheel"]
    with pytest.raises(AnsibleFilterError, match="write su_wheel in base_controls"):
        filtered({"su_weel": True})
    assert "-w /var/log/wtmp -p wa -k session" in audit_rules(filtered({}), "x86_64")


def test_the_page_lists_the_controls() -> None:
    pattern = r"^\| `(\w+)`( \\\*)?( \(off\))? \| ([^|]+) \| ([^|]+) \| [^|]+ \| ([^|]+) \|$"
    _head, *rows = re.findall(pattern, PAGE.read_text(), re.MULTILINE)
    assert rows == [
        (
            control.name,
            "" if control.switched else " \\*",
            " (off)" if control.off else "",
            control.title,
            ", ".join(control.references) or NONE,
            control.verified,
        )
        for control in CONTROLS
    ]

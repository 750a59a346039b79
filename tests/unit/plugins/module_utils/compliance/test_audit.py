# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The audit rules that are written are those that are looked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._compliance import audit, controls

TEMPLATE = Path(__file__).resolve().parents[5] / "roles/base/templates/etc/audit/rules.d/50-slipway.rules.j2"
ON = dict.fromkeys(controls.BY_NAME, True)
CONTROLS = ("audit_base", "audit_b32", *audit.CALLS, *audit.WATCHES, *audit.PROGRAMS)


def listed(lines: list[str]) -> list[str]:
    """As auditctl -l says them."""
    found = []
    for line in lines:
        line = re.sub(
            r"auid!=unset", "auid!=-1", re.sub(r"-k (\S+)$", r"-F key=\1", line) if line[:2] == "-a" else line
        )
        found.append(re.sub(r"^(-w \S+)/ ", r"\1 ", line))
    return found


def written(machine: str, **more: bool) -> audit.Loaded:
    lines = [line for line in TEMPLATE.read_text().splitlines() if line.startswith(("-a", "-w"))]
    return audit.parse(listed([*lines, *audit.rules({**ON, **more}, machine)]))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64", "loongarch64"])
def test_what_the_role_writes_is_all_that_is_asked_for(machine: str) -> None:
    loaded = written(machine)
    wanted = [name for name in CONTROLS if name != "audit_b32" or machine == "x86_64"]
    assert [missing for name in wanted for missing in audit.missing(name, loaded, machine)] == []


@pytest.mark.parametrize("control", [name for name in CONTROLS if name != "audit_base"])
def test_what_is_off_is_missing(control: str) -> None:
    assert audit.missing(control, written("x86_64", **{control: False}), "x86_64")


def test_nothing_is_loaded() -> None:
    assert audit.missing("audit_session", audit.parse(["No rules"]), "x86_64") == [
        "/var/log/btmp",
        "/var/log/wtmp",
        "/var/run/utmp",
    ]


def test_a_rule_for_one_architecture_is_none_for_the_other() -> None:
    loaded = audit.parse(["-a always,exit -F arch=b64 -S all -F key=x", "-a never,exit -F arch=b32 -S execve"])
    assert "execve (b32)" in audit.missing("audit_b32", loaded, "x86_64")


def test_a_machine_without_calls_by_path_gets_no_rule_with_them() -> None:
    lines = "\n".join(audit.rules(ON, "aarch64"))
    assert "arch=b32" not in lines
    assert not re.search(r"[ ,](chmod|chown|lchown|rename|unlink|rmdir|creat|open)[ ,]", lines)
    assert "fchmodat" in lines
    assert "openat" in lines


@pytest.mark.parametrize(("machine", "named"), [("aarch64", True), ("riscv64", False), ("loongarch64", False)])
def test_renameat_is_named_where_there_is_one(machine: str, named: bool) -> None:
    """augenrules --load refuses a rule with a call that the machine has not."""
    lines = "\n".join(audit.rules(ON, machine))
    assert bool(re.search(r"[ ,]renameat[ ,]", lines)) is named
    assert re.search(r"[ ,]renameat2[ ,]", lines)

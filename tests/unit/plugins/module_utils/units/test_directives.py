# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A line of a unit leads back to the variable that has brought it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._units import directives, installer

ROOT = Path(__file__).resolve().parents[5]
TEMPLATES = ROOT / "roles" / "service" / "templates" / "etc" / "systemd" / "system"
UNIT = installer.UnitFile("shop@.service", "[Service]\nType=notify\nProtectSystem=perhaps\nRestart=often\n")
GIVEN = {"service_directives": [], "service_sandbox": ["ProtectSystem", "PrivateTmpp"], "service_limits": []}


def refused(monkeypatch: pytest.MonkeyPatch, lines: list[str], given: dict[str, list[str]] | None) -> str:
    monkeypatch.setattr(installer, "_analyze", lambda _paths, _folder: (lines, True))
    with pytest.raises(SlipwayError) as caught:
        installer.verify([UNIT], given)
    assert caught.value.code == "invalid_unit"
    return str(caught.value)


def test_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    told = refused(monkeypatch, ["shop@.service:3: Failed to parse protect system value, ignoring: perhaps"], GIVEN)
    assert "service_sandbox brings ProtectSystem=perhaps, of which systemd says: Failed to parse" in told
    assert told.endswith("Fix: correct service_sandbox")
    assert "shop@.service:3" not in told


def test_each_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    told = refused(
        monkeypatch,
        ["shop@.service:3: Failed to parse", "shop@.service:4: Failed to parse service restart specifier"],
        GIVEN,
    )
    assert "service_restart brings Restart=often" in told
    assert told.endswith("Fix: correct service_sandbox and service_restart")


def test_where_no_line_tells_systemd_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "shop@.service: Failed to load" in refused(monkeypatch, ["shop@.service: Failed to load"], GIVEN)
    assert "shop@.service:3: Failed" in refused(monkeypatch, ["shop@.service:3: Failed"], None)


def test_what_no_systemd_knows_is_an_error_and_what_this_one_is_too_old_for_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = "shop@.service:3: Unknown key name 'PrivateTmpp' in section 'Service', ignoring."
    assert "of which systemd says: Unknown key name 'PrivateTmpp'" in refused(monkeypatch, [line], GIVEN)
    newer = line.replace("PrivateTmpp", "PrivatePIDs")
    monkeypatch.setattr(installer, "_analyze", lambda _paths, _folder: ([newer], False))
    assert installer.verify([UNIT], {"service_sandbox": ["PrivatePIDs"]}) == [newer]
    default = line.replace("PrivateTmpp", "ProcSubsett")
    monkeypatch.setattr(installer, "_analyze", lambda _paths, _folder: ([default], False))
    assert installer.verify([UNIT], GIVEN) == [default], "no operator has written it"


def test_the_default_sandbox_is_known() -> None:
    variables = yaml.safe_load((ROOT / "roles" / "service" / "vars" / "main.yml").read_text())
    names = [*variables["__service_default_sandbox"], *variables["__service_handover"]]
    assert [name for name in names if name not in directives.KNOWN] == []


def test_each_writer_is_in_a_template() -> None:
    """Whoever renames a directive or a variable there has to say it here."""
    lines = [line for path in TEMPLATES.glob("*.j2") for line in path.read_text().splitlines()]
    for variable, names in directives._WRITTEN.items():
        found = [name for name in names if any(re.match(rf"\s*(\{{%.*%\}})?{name}=", line) for line in lines)]
        assert sorted(found) == sorted(names), variable


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ProtectSytem", "ProtectSystem"),
        ("LimitNOFiLE", "LimitNOFILE"),
        ("ProtectSystem", ""),
        ("X-Foo", ""),
        ("Zap", ""),
    ],
)
def test_the_nearest_one(name: str, meant: str) -> None:
    assert directives.nearest(name) == meant

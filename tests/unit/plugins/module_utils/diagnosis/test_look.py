# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The look itself: records that somebody has written by hand, a played firewall, and a host that says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._diagnosis import look, report
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.firewalld import Firewalld
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.rule import Rule
from ansible_collections.slipway.go.plugins.module_utils._host.systemd import Systemd
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Settings

FIREWALLD = """\
public (active)
  interfaces: eth0
  ports: 8080/tcp
  services: ssh
"""


@pytest.mark.parametrize(
    "text",
    [
        "8080",
        "[]",
        "{",
        '{"listen": 8080}',
        '{"listen": [], "dependencies": ["db:5432"]}',
        '{"dependencies": "db"}',
        '{"dependencies": [null]}',
        '{"dependencies": {}}',
    ],
)
def test_a_record_that_the_role_would_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(look, "SERVICES_ROOT", str(tmp_path))
    (tmp_path / "shop.json").write_text(text)
    with pytest.raises(ValueError, match=r"as the role service writes it|Expecting"):
        look.declared("shop")


@pytest.mark.parametrize("text", ["", "{}", '{"listen": ["8080"]}', '{"listen": [8080], "dependencies": []}'])
def test_a_record_with_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(look, "SERVICES_ROOT", str(tmp_path))
    (tmp_path / "shop.json").write_text(text)
    assert look.declared("shop").dependencies == []


@pytest.mark.parametrize(
    ("asked", "closed"),
    [
        (None, []),
        ([], []),
        ([Rule("8080")], []),
        ([Rule("8080"), Rule("9090")], ["9090/tcp"]),
        ([Rule(service="https")], []),
    ],
)
def test_what_firewalld_does_not_let_in(
    monkeypatch: pytest.MonkeyPatch, asked: list[Rule] | None, closed: list[str]
) -> None:
    """A rule that names no zone is one of the default zone."""

    def run(argv: Sequence[str]) -> tuple[int, str]:
        if "--get-default-zone" in argv:
            return 0, "public"
        return 0, FIREWALLD if "firewall-cmd" in argv[0] else ""

    monkeypatch.setattr(look, "_run", run)
    monkeypatch.setattr(Firewalld, "is_installed", lambda _self: True)
    monkeypatch.setattr(look.service_rules, "recorded", lambda _name: asked)
    assert look.closed_ports("shop") == closed


class Silent(Systemd):
    """PID 1 answers nobody."""

    def call(self, *_arguments: str, **_options: Any) -> str:
        raise SlipwayError("command_timeout", "systemctl did not end within 8 s.")


def test_a_host_that_answers_nothing_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = "2.0.0-aa00bb11cc"
    (tmp_path / "opt" / "releases" / release).mkdir(parents=True)
    (tmp_path / "opt" / "current").symlink_to(f"releases/{release}")
    monkeypatch.setattr(report, "Systemd", lambda _seconds: Silent())
    monkeypatch.setattr(look.host, "clock", look.Clock)
    layout = Layout("shop", str(tmp_path / "opt"), state_root=str(tmp_path))
    told = report.diagnose(Operator(Settings("shop", layout.root), layout))
    assert told["findings"][0]["code"] == "damaged_state"
    assert [note for note in told["notes"] if "systemctl did not end within 8 s." in note]
    assert told["message"] == "its state cannot be looked at: see the notes."

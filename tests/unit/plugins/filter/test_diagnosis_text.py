# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The diagnosis of all hosts as one text, and why each of them fails."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.diagnosis_text import diagnosis_text

CAUSE = {"rank": "cause", "code": "x", "message": "shop was stopped.", "fix": "run systemctl start shop", "lines": []}
NOTE = {"rank": "note", "code": "y", "message": "nothing watches shop.", "fix": "start the watch", "lines": ["a", "b"]}
HEAD = {"service": "shop", "current": "2.0-aa00bb11cc", "state": "active (running)", "health": "pass"}


def answer(*findings: dict[str, Any], notes: tuple[str, ...] = ()) -> dict[str, Any]:
    return {**HEAD, "findings": list(findings), "notes": list(notes)}


def test_one_list_for_each_host() -> None:
    told = diagnosis_text(
        {
            "web1": answer(),
            "web2": answer(CAUSE, NOTE, notes=("the clock cannot be looked at.",)),
            "web3": {"unreachable": True, "msg": "Failed to connect"},
            "web4": {"failed": True, "msg": "shop is not known.", "findings": []},
            "web5": answer(NOTE),
        }
    )
    assert told["text"].splitlines() == [
        "web1  shop: 2.0-aa00bb11cc, active (running), health pass",
        "  nothing is wrong that can be seen from this host",
        "web2  shop: 2.0-aa00bb11cc, active (running), health pass",
        "  1. likely cause: shop was stopped. Fix: run systemctl start shop",
        "  2. also: nothing watches shop. Fix: start the watch",
        "     | a",
        "     | b",
        "     note: the clock cannot be looked at.",
        "web3  Failed to connect.",
        "web4  shop is not known.",
        "web5  shop: 2.0-aa00bb11cc, active (running), health pass",
        "  1. also: nothing watches shop. Fix: start the watch",
        "     | a",
        "     | b",
    ]
    assert told["reasons"] == {
        "web2": "shop was stopped. Fix: run systemctl start shop",
        "web3": "Failed to connect.",
        "web4": "shop is not known.",
    }


def test_anything_else_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="takes a dictionary of hosts, not list"):
        diagnosis_text([])

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hosts do that were told to resume a service, as one text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.resume_text import resume_text

ON = {"release": "2.0-aa00bb11cc", "previous": "1.0-aa00bb11cc", "word": "resumed", "changed": True, "heard": True}
IDLE = {"failed": True, "code": "not_paused", "msg": "no release of shop is paused: 1.0-aa00bb11cc serves."}


def wrote(told: dict[str, Any]) -> dict[str, Any]:
    return {"rc": 0, "stdout": json.dumps(told)}


def test_one_line_for_each_host() -> None:
    told = resume_text(
        {
            "web1": wrote(ON),
            "web2": wrote({**ON, "word": "sent_back"}),
            "web3": wrote(IDLE),
            "web4": {"unreachable": True, "msg": "Failed to\nconnect"},
            "web5": {"rc": 2, "stdout": "", "stderr": "slipway: only root may do this."},
            "web6": {"skipped": True},
        },
        "shop",
    )
    assert told["text"].splitlines() == [
        "web1  shop: 2.0-aa00bb11cc goes on",
        "web2  shop: 2.0-aa00bb11cc goes back to 1.0-aa00bb11cc",
        "web3  no release of shop is paused: 1.0-aa00bb11cc serves.",
        "web4  Failed to connect.",
        "web5  slipway: only root may do this.",
        "web6  in check mode, nothing is said to the host.",
    ]
    assert (list(told["idle"]), list(told["reasons"]), told["paused"]) == (["web3", "web6"], ["web4", "web5"], 2)


@pytest.mark.parametrize(("word", "does"), [("resumed", "goes on"), ("sent_back", "goes back to 1.0-aa00bb11cc")])
def test_what_no_run_has_heard_yet(word: str, does: str) -> None:
    told = resume_text({"web1": wrote({**ON, "word": word, "heard": False})}, "shop")
    assert told["text"] == f"web1  shop: 2.0-aa00bb11cc {does} as soon as its run looks again"
    assert told["paused"] == 1


def test_a_host_that_never_had_the_service_is_idle() -> None:
    unknown = {"failed": True, "code": "unknown_service", "msg": "no release of shop has been made on this host."}
    told = resume_text({"web1": wrote(ON), "web2": wrote(unknown)}, "shop")
    assert (list(told["idle"]), told["reasons"], told["paused"]) == (["web2"], {}, 1)


def test_a_host_without_the_tool_is_idle() -> None:
    without = {"rc": 2, "stdout": "", "stderr": "", "msg": "Error executing command."}
    told = resume_text({"web1": wrote(ON), "balancer": without}, "shop")
    assert told["idle"] == {"balancer": "shop has never been released on this host."}
    assert (told["reasons"], told["paused"]) == ({}, 1)


@pytest.mark.parametrize("wrong", [None, "text", ["web1"]])
def test_what_is_no_dictionary_of_hosts(wrong: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="takes a dictionary of hosts"):
        resume_text(wrong, "shop")


@pytest.mark.parametrize("stdout", ["[]", "1", "{", '"x"', "\x1b[31m"])
def test_what_is_no_answer(stdout: str) -> None:
    assert list(resume_text({"web1": {"rc": 0, "stdout": stdout}}, "shop")["reasons"]) == ["web1"]

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The last lines of a unit's log, whatever an entry holds."""

from __future__ import annotations

import json

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.command import Finished
from ansible_collections.slipway.go.plugins.module_utils._host import journald


@pytest.fixture
def journal(monkeypatch):
    """What journalctl prints, by the field that is asked for, newest first as --reverse has it."""
    printed: dict[str, list[str]] = {}

    def run(argv, _seconds):
        assert "--reverse" in argv, "without it, systemd before 254 tells the first lines"
        return Finished(argv, 0, "\n".join(printed.get(argv[-1].partition("=")[0], [])).encode())

    monkeypatch.setattr(journald.command, "run", run)
    return printed


def entry(message):
    return json.dumps({"MESSAGE": message})


def test_lines_come_the_oldest_first(journal):
    journal["_SYSTEMD_UNIT"] = [entry("third"), entry("second"), entry("first")]
    assert journald.last_lines("shop.service", 1.0, 2.0, 10) == ["first", "second", "third"]


def test_what_systemd_said_stands_in_for_a_unit_that_said_nothing(journal):
    journal["UNIT"] = [entry("Failed at step EXEC")]
    assert journald.last_lines("shop.service", 1.0, 2.0, 10) == ["Failed at step EXEC"]


def test_an_entry_of_many_lines_is_cut_to_the_last_ones(journal):
    journal["_SYSTEMD_UNIT"] = [entry("\n".join(f"line {number}" for number in range(5000)))]
    assert journald.last_lines("shop.service", 1.0, 2.0, 3) == ["line 4997", "line 4998", "line 4999"]


@pytest.mark.parametrize("message", [None, 7, {}, [1, 2, "x", 999], [], ""])
def test_an_entry_that_is_no_text_breaks_nothing(journal, message):
    journal["_SYSTEMD_UNIT"] = [entry("panic: no database"), entry(message), "half an ent"]
    assert journald.last_lines("shop.service", 1.0, 2.0, 10)[-1] == "panic: no database"


def test_bytes_that_are_no_text_are_replaced(journal):
    journal["_SYSTEMD_UNIT"] = [entry([104, 105, 255])]
    assert journald.last_lines("shop.service", 1.0, 2.0, 10) == ["hi\ufffd"]

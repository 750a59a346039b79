# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the host is, for a build of it."""

from __future__ import annotations

import os

from ansible_collections.slipway.go.plugins.module_utils._host.cpu import Cpu
from ansible_collections.slipway.go.plugins.modules import processor_info
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module


def test_this_host(capsys):
    found = run_module(processor_info, capsys)
    assert found["changed"] is False
    assert found["machine"] == os.uname().machine
    assert found["goarch"] in found["names"]


def test_a_machine_that_go_has_no_name_for(capsys, monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "h", "6.1", "1", "m68k")))
    monkeypatch.setattr(processor_info, "read_cpu", Cpu)
    found = run_module(processor_info, capsys)
    assert (found["machine"], found["goarch"], found["names"]) == ("m68k", None, [])

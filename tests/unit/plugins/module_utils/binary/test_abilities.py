# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a program's file says of its use of systemd."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary import abilities
from ansible_collections.slipway.go.plugins.module_utils._binary.abilities import Abilities, read_abilities
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_go_build_info import inline
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_program import upx_stub

GO = inline("go1.22.3", "path\tp\n")
SIGNALS = b"os/signal.Notify\0"


@pytest.mark.parametrize(
    ("strings", "found"),
    [
        (b"", Abilities(False, False, False)),
        (b"xLISTEN_FDSNOTIFY_SOCKETLISTEN_PID", Abilities(True, True, False)),
        (b"LISTEN_FDNAMES os/signal.NotifyContext\0", Abilities(False, False, False)),
        (b"NOTIFY_SOCKET " + SIGNALS, Abilities(False, True, True)),
    ],
)
def test_what_a_go_program_has(tmp_path, strings, found):
    path = tmp_path / "app"
    path.write_bytes(ElfBuilder(type=EXEC, body=GO + strings).build())
    assert read_abilities(str(path)) == found


@pytest.mark.parametrize("size", range(11, 40))
def test_a_name_on_the_border_of_two_pieces(tmp_path, monkeypatch, size):
    monkeypatch.setattr(abilities, "CHUNK", size)
    path = tmp_path / "app"
    path.write_bytes(ElfBuilder(type=EXEC, body=GO + b"LISTEN_FDS" + SIGNALS + b"NOTIFY_SOCKET").build())
    assert read_abilities(str(path)) == Abilities(True, True, True)


@pytest.mark.parametrize("blob", [upx_stub(GO), ElfBuilder(type=EXEC, body=b"LISTEN_FDS").build()])
def test_a_program_of_which_nothing_can_be_said(tmp_path, blob):
    path = tmp_path / "app"
    path.write_bytes(blob)
    assert read_abilities(str(path)) is None

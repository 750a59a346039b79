# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import json_lines


def append(path: Path, entry: dict[str, object]) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        json_lines.append(descriptor, entry)
    finally:
        os.close(descriptor)


def test_a_torn_line_stays_by_itself_and_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    append(path, {"one": 1})
    path.write_bytes(path.read_bytes() + b'{"tw')
    append(path, {"three": 3})
    assert path.read_text() == '{"one": 1}\n{"tw\n{"three": 3}\n'
    assert [json_lines.parse(line) for line in path.read_text().splitlines()] == [{"one": 1}, None, {"three": 3}]


def test_a_disk_that_takes_little_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    append(tmp_path / "lines", {"name": "shop"})
    assert (tmp_path / "lines").read_text() == '{"name": "shop"}\n'


@pytest.mark.parametrize("line", ["", "[1]", "null", "{", "[" * 100_000])
def test_what_is_no_entry(line: str) -> None:
    assert json_lines.parse(line) is None

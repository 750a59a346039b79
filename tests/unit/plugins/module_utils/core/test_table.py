# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every table of a playbook has the same columns, and no cell of it commands a terminal."""

from __future__ import annotations

from ansible_collections.slipway.go.plugins.module_utils._core.table import aligned, plain


def test_a_column_is_as_wide_as_its_widest_cell():
    lines = [("HOST", "SAYS"), ("web1", "all is well"), ("a-long-name", "")]
    assert aligned(lines).split("\n") == ["HOST         SAYS", "web1         all is well", "a-long-name"]
    assert aligned([]) == ""


def test_a_text_is_one_line():
    assert plain("a\r\nb\x1b[2J\u202eé") == "a  b [2J é"

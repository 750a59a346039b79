# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Who is connected over SSH."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._hardening import connection


@pytest.mark.parametrize(
    ("environment", "user"),
    [({"A": "b", "USER": "alice"}, "alice"), ({"USER": "root", "SUDO_USER": "alice"}, "alice"), ({}, "")],
)
def test_who_logged_in(environment, user):
    assert connection._login(environment) == user

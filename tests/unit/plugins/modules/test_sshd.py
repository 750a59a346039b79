# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which algorithms sshd is told; the rest of the module is tried on hosts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.go.plugins.modules import sshd

KEX = "KexAlgorithms"
FALLBACK = {KEX: ["curve25519-sha256"]}


def host(*kex, version=(9, 2)):
    return SimpleNamespace(version=version, supported={KEX: frozenset(kex), "PubkeyAcceptedAlgorithms": frozenset(kex)})


@pytest.mark.parametrize(
    ("wanted", "told", "left_out"),
    [
        (["mlkem", "sntrup"], ["sntrup"], ["mlkem"]),
        (["mlkem"], ["curve25519-sha256"], ["mlkem"]),
        ([], [], []),
    ],
    ids=["known", "none-known", "switched-off"],
)
def test_algorithms(wanted, told, left_out):
    assert sshd.choose_algorithms(host("sntrup", "curve25519-sha256"), {KEX: wanted}, FALLBACK) == (
        {KEX: told},
        left_out,
    )


def test_a_directive_by_the_name_that_an_old_openssh_has_for_it():
    found = sshd.choose_algorithms(host("a", version=(8, 4)), {"PubkeyAcceptedAlgorithms": ["a"]}, {})
    assert found == ({"PubkeyAcceptedKeyTypes": ["a"]}, [])


def test_a_directive_that_names_no_algorithms():
    with pytest.raises(SlipwayError, match="Port does not name algorithms"):
        sshd.choose_algorithms(host(), {"Port": ["22"]}, {})

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who stops a run, and who was not touched."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.plugin_utils import _lost

EVERYONE = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("batch", "left"), [(["a"], ["b", "c", "d"]), (["b", "c"], ["d"]), (["b"], ["c", "d"]), (EVERYONE, []), ([], [])]
)
def test_not_touched(batch, left):
    assert _lost.not_touched({"ansible_play_hosts_all": EVERYONE, "ansible_play_batch": batch}) == left


def test_the_last_sentence():
    variables = {"ansible_play_hosts_all": EVERYONE, "ansible_play_batch": ["a", "b"], "inventory_hostname": "a"}
    assert _lost.stop({"msg": "It failed.", "failed": True}, variables) == {
        "msg": "It failed. a stops the run; not touched: c, d.",
        "failed": True,
    }
    assert _lost.stop({"msg": "It failed."}, {**variables, "ansible_play_batch": EVERYONE}) == {"msg": "It failed."}


def test_an_unreachable_host_has_failed():
    told = _lost.unreachable("ssh: timed\nout.")
    assert (told["failed"], told["code"], told.get("unreachable")) == (True, "unreachable", None)
    assert "ssh: timed out." in told["msg"]

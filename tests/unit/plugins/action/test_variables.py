# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the judgement of a run's variables says of a service_name that leaves services out."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.utils import vars as ansible_vars
from ansible_collections.slipway.go.plugins.action import variables as plugin

TWO = {"shop": {}, "mailer": {}}
NAMED = {"web1": {"slipway_services": TWO, "service_name": "shop"}, "web2": {"slipway_services": TWO}}


class HostVars(dict[str, Any]):
    def raw_get(self, host: str) -> Any:
        return self[host]


def left_out(monkeypatch: pytest.MonkeyPatch, own: str, extra: dict[str, Any], of_play: dict[str, Any]) -> list[str]:
    """own: the host of the task."""
    monkeypatch.setattr(ansible_vars.load_extra_vars, "extra_vars", {"nothing": "else", **extra}, raising=False)
    action = plugin.ActionModule.__new__(plugin.ActionModule)
    action._loader = DataLoader()
    action._templar = Templar(action._loader)
    hosts = HostVars({host: {**theirs, **extra} for host, theirs in NAMED.items()})
    magic = {"inventory_hostname": own, "hostvars": hosts, "ansible_play_hosts_all": list(hosts)}
    return action._left_out({**hosts[own], **of_play, **extra, **magic})


@pytest.mark.parametrize("own", ["web1", "web2"])
def test_what_the_inventory_leaves_out_is_told_on_each_host(monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    (told,) = left_out(monkeypatch, own, {}, {})
    assert "service_name is shop in the inventory" in told
    assert "the run leaves out mailer." in told


@pytest.mark.parametrize("name", ["mailer", "all", "", "shop,mailer"])
@pytest.mark.parametrize("own", ["web1", "web2"])
def test_what_a_play_or_the_command_line_chooses_is_on_purpose(
    monkeypatch: pytest.MonkeyPatch, own: str, name: str
) -> None:
    assert left_out(monkeypatch, own, {}, {"service_name": name}) == []
    assert left_out(monkeypatch, own, {"service_name": name}, {}) == []

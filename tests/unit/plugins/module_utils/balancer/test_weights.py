# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A weight that Slipway has lowered is made whole without a share, and no other one."""

from __future__ import annotations

import contextlib
import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._balancer import given_weights, haproxy, model
from ansible_collections.slipway.go.plugins.module_utils._balancer.model import BACK, OUT, Wish

READY, DRAINED, MAINTAINED = 0, 0x08, 0x01
COLUMNS = "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight"


class Killed(BaseException):
    """The run ends here."""


class Played:
    """An HAProxy with web1 and web2 in the backend shop."""

    def __init__(self):
        self.path, self.pid = "/run/haproxy/admin.sock", 1
        self.killed_before = ""
        self.reload()

    def reload(self):
        self.pid += 1
        self.weight = {"web1": 100, "web2": 100}
        self.state = dict.fromkeys(self.weight, READY)

    def ask(self, _path, command, _timeout=0.0):
        if self.killed_before and self.killed_before in command:
            raise Killed
        words = command.split()
        if words[:2] == ["set", "server"]:
            name = words[2].partition("/")[2]
            if words[3] == "weight":
                self.weight[name] = 100 if words[4] == "100%" else int(words[4])
            else:
                self.state[name] = DRAINED if words[4] == "drain" else READY
            return "\n"
        if command.startswith("show servers state"):
            rows = [f"3 shop 1 {name} ::1 2 {self.state[name]} {self.weight[name]} 100" for name in self.weight]
            return "\n".join(["1", f"# {COLUMNS}", *rows])
        if command.startswith("show stat"):
            return "# pxname,svname,scur,qcur\n" + "".join(f"shop,{name},0,0\n" for name in self.weight)
        assert command == "show info"
        return f"Pid: {self.pid}\n"

    def apply(self, state, share=None, server="web1", predict=False):
        return haproxy.Haproxy(self.path, Wish("shop", server, state, 1, 0.0, share)).apply(predict)


@pytest.fixture
def balancer(monkeypatch, tmp_path):
    played = Played()
    monkeypatch.setattr(haproxy, "ask", played.ask)
    monkeypatch.setattr(model.one_at_a_time.__wrapped__, "__defaults__", (str(tmp_path / "lock"),))
    monkeypatch.setattr(given_weights, "FILE", str(tmp_path / "weights.json"))
    return played


def killed_with_a_share(balancer):
    balancer.apply(OUT, share=10.0)
    balancer.apply(BACK, share=10.0)
    assert balancer.weight["web1"] == 11


@pytest.mark.parametrize("steps", [[BACK], [OUT, BACK]])
def test_a_share_of_a_killed_run_is_made_whole_without_a_share(balancer, steps):
    killed_with_a_share(balancer)
    answers = [balancer.apply(state) for state in steps]
    assert balancer.weight["web1"] == 100
    assert (answers[0].changed, answers[0].weight, answers[-1].lowered) == (True, 100, None)
    again = balancer.apply(BACK)
    assert (again.changed, again.weight) == (False, None)


def test_what_would_be_made_whole_is_predicted(balancer):
    killed_with_a_share(balancer)
    answer = balancer.apply(BACK, predict=True)
    assert (answer.changed, answer.weight, balancer.weight["web1"]) == (True, 100, 11)


@pytest.mark.parametrize("state", [BACK, OUT])
def test_a_weight_that_somebody_else_has_set_stays(balancer, state):
    balancer.weight["web1"] = 40
    answer = balancer.apply(state)
    assert (balancer.weight["web1"], answer.weight, answer.lowered) == (40, None, 40 if state == BACK else None)


def test_a_weight_that_somebody_has_set_after_a_share_stays(balancer):
    killed_with_a_share(balancer)
    balancer.weight["web1"] = 40
    assert balancer.apply(BACK).lowered == 40
    assert balancer.weight["web1"] == 40


def test_a_weight_of_before_a_reload_is_not_taken_for_a_later_one(balancer):
    """Whole once, a weight of the same number is somebody's own."""
    killed_with_a_share(balancer)
    balancer.reload()
    balancer.apply(BACK)
    balancer.weight["web1"] = 11
    assert balancer.apply(BACK).lowered == 11
    assert balancer.weight["web1"] == 11


def test_a_weight_that_was_made_whole_by_its_verdict_is_forgotten(balancer):
    killed_with_a_share(balancer)
    balancer.apply(BACK, share=100.0)
    balancer.weight["web1"] = 11
    assert balancer.apply(BACK).lowered == 11


@pytest.mark.parametrize("command", ["weight 5", "weight 100%", "state drain", "state ready"])
def test_wherever_a_run_is_killed_the_next_one_makes_it_whole(balancer, command):
    """Also where it was about to change one share into another."""
    killed_with_a_share(balancer)
    balancer.killed_before = command
    with contextlib.suppress(Killed):
        balancer.apply(OUT, share=5.0)
        balancer.apply(BACK, share=5.0)
    balancer.killed_before = ""
    balancer.apply(BACK)
    assert balancer.weight["web1"] == 100


def test_another_server_and_another_socket_have_weights_of_their_own(balancer):
    killed_with_a_share(balancer)
    balancer.weight["web2"] = 11
    assert balancer.apply(BACK, server="web2").lowered == 11
    balancer.path = "/run/other/admin.sock"
    assert balancer.apply(BACK).lowered == 11
    balancer.path = "/run/haproxy/admin.sock"
    assert balancer.apply(BACK).weight == 100


def test_what_is_in_maintenance_is_left_alone(balancer):
    killed_with_a_share(balancer)
    balancer.state["web1"] = MAINTAINED
    answer = balancer.apply(BACK)
    assert (balancer.weight["web1"], answer.changed, answer.lowered) == (11, False, None)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"/run/haproxy/admin.sock shop/web1": 11}', '{"x": ["a"]}'])
def test_a_damaged_file_knows_no_weight(balancer, text):
    killed_with_a_share(balancer)
    with open(given_weights.FILE, "w", encoding="utf-8") as stream:
        stream.write(text)
    assert balancer.apply(BACK).lowered == 11
    balancer.apply(BACK, share=100.0)
    killed_with_a_share(balancer)
    assert balancer.apply(BACK).weight == 100


def test_nothing_is_written_where_nothing_has_a_share(balancer):
    balancer.apply(OUT)
    balancer.apply(BACK)
    assert not os.path.exists(given_weights.FILE)

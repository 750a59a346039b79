# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""While a run waits, it says so in plain lines: few of them, however many hosts there are, and none that ends it."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible.plugins.become.sudo import BecomeModule
from ansible_collections.slipway.go.plugins.plugin_utils._action import fresh
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import progress
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.progress import About, Board, Watch

SOAK = {
    "run": "r1",
    "phase": "SOAK",
    "within": 0.0,
    "left": 18.0,
    "traffic": {"new": [812, 0], "old": [7301, 1], "verdict": "pass", "percent": 100},
    "probe": [640, 0],
}
ALONE = About("release", "shop", "2.0.0", ("web1",))
BATCH = About("release", "shop", "2.0.0", ("web3", "web4", "web5", "web6", "web7"), "batch 2 of 5", 5)


def note(phase, since=0.0, **more):
    return {"phase": phase, "since": since, "read": since, **more}


@pytest.mark.parametrize(
    ("about", "notes", "expected"),
    [
        (ALONE, {"web1": note("PREFLIGHT")}, "shop 2.0.0: web1 in PREFLIGHT for 12 s."),
        (ALONE, {"web1": note("DRAIN", within=300.0)}, "shop 2.0.0: web1 in DRAIN for 12 s of at most 5 min 0 s."),
        (ALONE, {"web1": note("START", 12.0, within=60.0)}, "shop 2.0.0: web1 in START, for at most 60 s."),
        (ALONE, {"web1": note("FLIP", 12.0)}, "shop 2.0.0: web1 in FLIP."),
        (
            ALONE,
            {"web1": note("SOAK", left=30.0, probe=[640, 2])},
            "shop 2.0.0: web1 in SOAK for 12 s. At least 18 s left. Probe: 2 of 640 failed.",
        ),
        (
            BATCH,
            {
                "web3": note("SOAK", left=30.0, traffic={"new": [800, 0], "old": [7000, 1], "verdict": "pass"}),
                "web4": note("SOAK", left=20.0, traffic={"new": [12, 0], "old": [301, 0], "verdict": "inconclusive"}),
                "web5": note("COMMIT", ended="through"),
                "web6": note("DRAIN", ended="failed"),
            },
            "shop 2.0.0, batch 2 of 5: web3, web4 in SOAK; 1 through; 1 failed; 1 to come. At least 18 s left. "
            "Users' requests: 0 of 812 failed with the new release, 1 of 7301 failed with the one before; verdict so "
            "far: inconclusive.",
        ),
        (
            BATCH,
            {
                "web3": note("PAUSED", paused={"reason": "9 of 9 took long", "until": 1789000000.0}),
                "web4": note("SOAK"),
            },
            "shop 2.0.0, batch 2 of 5: web3 in PAUSED; web4 in SOAK; 3 to come. Paused: 9 of 9 took long. Goes back at "
            "00:26:40 UTC. On web3, go on: sudo slipway resume shop; back now: sudo slipway resume shop --back.",
        ),
        (
            BATCH,
            {**{f"web{i}": note("SOAK") for i in (3, 4, 5, 6)}, "web7": note("DRAIN")},
            "shop 2.0.0, batch 2 of 5: 4 hosts in SOAK; web7 in DRAIN.",
        ),
    ],
)
def test_a_line(about, notes, expected):
    assert progress.line(about, notes, 12.0) == expected


def test_it_is_one_line_whatever_the_name_of_a_host(capsys):
    progress.show("shop: web\r\n\x1b[2J1 in SOAK.")
    assert capsys.readouterr().out == "shop: web   [2J1 in SOAK.\n"


PREVIEWS = {"release_previews": {"shop": {"web3": {}, "web5": {}}, "books": {"web4": {}}}}


@pytest.mark.parametrize(
    ("more", "among", "hosts"),
    [
        ({}, (), ("web3", "web4", "web5")),
        (PREVIEWS, (), ("web3", "web5")),
        ({"release_previews": {"shop": {"web9": {}}}}, (), ("web3", "web4", "web5")),
        (PREVIEWS, {"web3": {}, "web4": {}}, ("web3", "web4")),
        ({"ansible_play_batch": []}, (), ("web3",)),
    ],
)
def test_it_is_about_the_hosts_that_have_the_service(more, among, hosts):
    play = {"inventory_hostname": "web3", "ansible_play_batch": ["web3", "web4", "web5"], "ansible_forks": 9, **more}
    assert progress.about("release", "shop", "2.0.0", play, among) == About(
        "release", "shop", "2.0.0", hosts, parallel=9
    )


@pytest.mark.parametrize(
    ("batch", "groups", "words"),
    [
        (["a"], [["a"]], ""),
        (["a"], [], ""),
        (["b", "c"], [["a"], ["b", "c"], ["d"]], "batch 2 of 3"),
        (["c"], [["a"], ["b", "c"], ["d"]], "batch 2 of 3"),
        (["b", "c", "d"], [["a"], ["b", "c"], ["d"]], "3 hosts of 4"),
    ],
)
def test_which_batch_it_is(batch, groups, words):
    assert progress.batch_words(batch[0], batch, groups) == words


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cat: no such file",
        "[1]",
        "{",
        json.dumps({**SOAK, "run": "r2"}),
        "[" * 100_000,
    ],
)
def test_what_says_nothing_of_this_run(text):
    assert progress.parse(text, "r1") == {}


def test_what_a_host_says():
    """On a terminal, with what stands before it. Nothing of a host commands the terminal of the operator."""
    told = progress.parse(f"BECOME-SUCCESS\r\n{json.dumps(SOAK)}\r\n", "r1")
    assert told == {
        "phase": "SOAK", "left": 18.0, "within": 0.0, "probe": [640, 0],
        "traffic": {"new": [812, 0], "old": [7301, 1], "verdict": "pass"},
    }  # fmt: skip
    paused = {"reason": "\x1b[2J" + "slow" * 999, "until": 1789000000.0, "since": 1.0}
    told = progress.parse(json.dumps({"run": "r1", "phase": "PAUSED", "paused": paused}), "r1")["paused"]
    assert (told["until"], len(told["reason"]), told["reason"].isprintable()) == (1789000000.0, 300, True)
    odd = {"run": "r1", "phase": "\x1b[2J\nDRAIN" * 9, "left": "soon", "within": None, "traffic": [1], "probe": [1]}
    odd["paused"] = {"reason": "x", "until": "soon"}
    told = progress.parse(json.dumps(odd), "r1")
    assert set(told) == {"phase"}
    assert (told["phase"].isprintable(), len(told["phase"])) == (True, 20)


def test_when_a_line_is_due():
    shown = {"at": 100.0, "key": "release shop", "phases": {"web1": "SOAK"}}
    same, news = ("release shop", "web1", "SOAK"), ("release shop", "web1", "DRAIN")
    assert progress.is_due({}, *same, 0.0)
    assert not progress.is_due(shown, *same, 114.0)
    assert progress.is_due(shown, *same, 115.0)
    for other in (news, ("release mail", "web1", "SOAK"), ("release shop", "web2", "SOAK")):
        assert not progress.is_due(shown, *other, 102.0)
        assert progress.is_due(shown, *other, 103.0)
    assert progress.is_due(shown, *same, 5.0), "a clock that has begun anew"
    assert progress.is_due({"at": "x", "phases": 3}, *same, 0.0)


def test_processes_that_know_different_batches_show_no_more_lines(tmp_path):
    """A host that has failed is not in the batch of those that begin after that."""
    fleet = Fleet(tmp_path, ["web1", "web2", "web3"])
    fleet.watches[2]._about = fleet.about._replace(hosts=("web2", "web3"))
    fleet.run(60)
    assert len(fleet.lines) <= 7, fleet.lines


class Fleet:
    """The processes of many hosts, one after the other, at a time of their own."""

    def __init__(self, folder, hosts):
        self.now, self.lines, self.asked = 1000.0, [], 0
        self.phase = dict.fromkeys(hosts, "OVERLAP")
        self.about = About("release", "shop", "2.0.0", tuple(hosts), "batch 1 of 2", len(hosts))
        board = Board(folder / "progress")
        self.watches = [
            Watch(self.about, host, board, lambda host=host: self.read(host), self.show, lambda: self.now)
            for host in hosts
        ]

    def read(self, host):
        self.asked += 1
        return {"phase": self.phase[host], "left": 5.0}

    def show(self, text):
        self.lines.append((self.now, text))

    def run(self, seconds, change=lambda now: None):
        firsts = map(self.about.first, self.about.hosts)
        end, due = self.now + seconds, {id(watch): self.now + first for watch, first in zip(self.watches, firsts)}
        while self.now < end:
            change(self.now)
            for watch in self.watches:
                if due[id(watch)] <= self.now:
                    due[id(watch)] = self.now + self.about.pause
                    watch.turn()
            self.now += 0.25


def test_fifty_hosts_are_one_line_and_are_not_all_asked_at_once(tmp_path):
    fleet = Fleet(tmp_path, [f"web{i}" for i in range(50)])
    fleet.run(60)
    at = [moment for moment, _text in fleet.lines]
    gaps = [later - before for before, later in zip([1000.0, *at], [*at, 1060.0])]
    assert len(at) <= 8, fleet.lines
    assert (min(gaps[1:-1]) >= progress.APART, max(gaps) <= progress.EVERY + 1) == (True, True), fleet.lines
    assert "50 hosts in OVERLAP" in fleet.lines[-1][1]
    assert fleet.asked / 60 <= progress.QUESTIONS + 1


def test_a_change_of_phase_is_shown_soon(tmp_path):
    fleet = Fleet(tmp_path, ["web1", "web2"])

    def change(now):
        fleet.phase["web2"] = "SOAK" if now >= 1006 else "OVERLAP"

    fleet.run(30, change)
    first = next(moment for moment, text in fleet.lines if "web2 in SOAK" in text)
    assert 1006 <= first <= 1006 + progress.PAUSE + progress.APART


def test_a_host_that_does_not_answer_is_asked_no_more_and_lines_go_on(tmp_path):
    asked, lines, now = [], [], [0.0]

    def read():
        asked.append(1)
        raise OSError("no route to host")

    watch = Watch(ALONE, "web1", Board(tmp_path / "p"), read, lines.append, lambda: now[0])
    for _turn in range(20):
        now[0] += 5.0
        watch.turn()
    assert len(asked) == 3
    assert len(lines) >= 6
    assert lines[-1] in [f"shop 2.0.0: web1 in PREFLIGHT for {seconds} s." for seconds in (90, 95, 100)]


def test_nothing_that_goes_wrong_ends_the_task(tmp_path):
    (tmp_path / "file").write_text("no folder")

    def broken(_text):
        raise RuntimeError("stdout is gone")

    for board in (Board(tmp_path / "file"), Board(tmp_path / "p")):
        with Watch(ALONE, "web1", board, None, broken) as watch:
            watch.turn()
            watch.enter("UPLOAD")
            watch.turn()


def test_what_ends_is_through_or_failed_and_shows_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "PAUSE", 0.01)
    board, lines = Board(tmp_path / "p"), []
    with Watch(ALONE, "web1", board, None, lines.append) as watch:
        for _wait in range(500):
            if lines:
                break
            threading.Event().wait(0.01)
    assert lines[0].startswith("shop 2.0.0: web1 in PREFLIGHT")
    assert board.notes(ALONE)["web1"]["ended"] == "through"
    before = len(lines)
    watch.turn()
    assert len(lines) == before
    with pytest.raises(OSError, match="oops"), Watch(ALONE, "web1", board, None, lines.append):
        raise OSError("oops")
    assert board.notes(ALONE)["web1"]["ended"] == "failed"
    with Watch(ALONE, "web1", board, None, lines.append):
        assert "ended" not in board.notes(ALONE)["web1"], "what has run before is another task of this host"


def test_a_question_that_hangs_holds_neither_task_nor_lines_up(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "PAUSE", 0.01)
    monkeypatch.setattr(progress, "PATIENCE", 0.05)
    asked, release, lines = threading.Event(), threading.Event(), []

    def read():
        asked.set()
        release.wait(10)
        return {"phase": "SOAK"}

    with Watch(ALONE, "web1", Board(tmp_path / "p"), read, lines.append) as watch:
        assert asked.wait(10)
        for _wait in range(500):
            if lines:
                break
            threading.Event().wait(0.01)
    release.set()
    watch._question.join(10)
    assert lines[0].startswith("shop 2.0.0: web1 in PREFLIGHT"), "it is no reason to show nothing, either"
    assert watch._note["ended"] == "through"


def action(**options):
    connection = MagicMock(transport="ssh")
    connection.get_option.side_effect = {"ssh_args": "-o ControlPersist=60s", **options}.get
    return SimpleNamespace(
        _task=SimpleNamespace(check_mode=False, no_log=False, async_val=0),
        _connection=connection,
        _play_context=MagicMock(),
        _low_level_execute_command=lambda command: {"stdout": f"{json.dumps({'run': 'r1', 'phase': command})}\n"},
    )


@pytest.mark.parametrize("how", [{"check_mode": True}, {"no_log": True}, {"async_val": 60}])
def test_nothing_is_shown_where_nothing_is_done_or_nothing_may_be_seen(how):
    quiet = action()
    vars(quiet._task).update(how)
    with progress.watch(quiet, ALONE, {"inventory_hostname": "web1"}, asks=True) as watch:
        assert watch._thread is None


def test_a_host_is_asked_beside_the_task(monkeypatch):
    monkeypatch.setattr(progress.this_run, "this", lambda: SimpleNamespace(id="r1"))
    monkeypatch.setattr(fresh.connection_loader, "get", lambda *_arguments: MagicMock())
    asking = action()
    live = asking._connection
    read = progress.reader(asking, "shop")
    assert read()["phase"] == "cat /var/lib/slipway"
    assert asking._connection is live


@pytest.mark.parametrize(
    "options",
    [
        {"ssh_args": "-C"},
        {"ssh_args": ""},
        {"ssh_args": "-o ControlPersist=60s", "ssh_common_args": "-o ControlMaster=no"},
    ],
)
def test_no_login_of_its_own(options):
    assert progress.reader(action(**options), "shop") is None
    other = action()
    other._connection.transport = "docker"
    assert progress.reader(other, "shop") is None


def test_a_become_plugin_of_its_own(monkeypatch):
    """It remembers the word by which the command that runs now says that it is root."""
    made = MagicMock()
    monkeypatch.setattr(fresh.connection_loader, "get", lambda *_arguments: made)
    live = action()._connection
    live.become = BecomeModule()
    live.become.success = "BECOME-SUCCESS-one"
    assert fresh.beside(live, MagicMock()) is made
    (become,) = made.set_become_plugin.call_args.args
    become.success = "BECOME-SUCCESS-two"
    assert live.become.success == "BECOME-SUCCESS-one"

"""The watch of all services in one process: whose turn it is, what it leaves to whom, and when it ends."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._host import notify
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import WatchOptions
from ansible_collections.slipway.go.plugins.module_utils._release.operator.watch import ALERT, NOTHING, RESTART, Policy
from ansible_collections.slipway.go.plugins.module_utils._tool import watcher
from ansible_collections.slipway.go.plugins.module_utils._tool.watcher import (
    Failures,
    Folder,
    Schedule,
    Seen,
    Watched,
    Watcher,
)


def watched(*names: str, interval: float = 10.0) -> dict[str, Watched]:
    return {name: Watched(name, interval, WatchOptions(Policy())) for name in names}


# --- the options of a service


def test_the_options_of_a_service_are_those_of_its_file() -> None:
    text = json.dumps(
        {"interval": 5, "fall": 2, "backoff": 1, "cap": 60, "rollback": 4, "metrics": "/run/textfiles", "new": 1}
    )
    policy = Policy(fall=2, backoff=1, cap=60, rollback=4)
    assert watcher.parse("shop", text) == Watched("shop", 5, WatchOptions(policy, "/run/textfiles"))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"interval": 0, "fall": true, "backoff": -1, "cap": "1"}'])
def test_a_file_that_says_nothing_usable_leaves_no_service_unwatched(text: str) -> None:
    assert watcher.parse("shop", text) == Watched("shop", watcher.INTERVAL, WatchOptions(Policy()))


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    text = watcher.files.text
    monkeypatch.setattr(watcher.files, "text", lambda path: read.append(path) or text(path))
    folder = Folder(str(tmp_path))
    assert folder.read() == {}
    path = tmp_path / "shop.json"
    path.write_text('{"interval": 5}')
    (tmp_path / "shop.json.tmp-1").write_text("{")
    assert [folder.read()["shop"].interval for _turn in range(3)] == [5, 5, 5]
    path.write_text('{"interval": 60}')
    assert folder.read()["shop"].interval == 60
    assert len(read) == 2
    path.unlink()
    assert folder.read() == {}


def test_without_the_folder_there_is_nothing_to_watch(tmp_path: Path) -> None:
    assert Folder(str(tmp_path / "none")).read() == {}


# --- whose turn it is


def test_new_services_are_spread_over_their_interval() -> None:
    schedule = Schedule()
    schedule.keep(watched("a", "b", "c", "d"), 100)
    assert schedule.due(102.4) == []
    assert schedule.due(102.5) == ["a"]
    assert schedule.due(110) == ["a", "b", "c", "d"]


def test_the_interval_begins_when_a_look_ends() -> None:
    schedule, one = Schedule(), watched("a")
    schedule.keep(one, 0)
    schedule.begin("a", 10)
    schedule.keep(one, 12)
    assert (schedule.due(1000), schedule.busy) == ([], True)
    schedule.end("a", one, 15)
    assert (schedule.due(24.9), schedule.due(25), schedule.busy) == ([], ["a"], False)


def test_a_shorter_interval_holds_at_once_and_a_longer_one_from_the_next_look() -> None:
    schedule = Schedule()
    schedule.keep(watched("a", interval=3600), 0)
    schedule.keep(watched("a", interval=10), 5)
    assert schedule.due(15) == ["a"]
    schedule.keep(watched("a", interval=600), 6)
    assert schedule.due(15) == ["a"]


def test_one_that_is_not_to_be_watched_any_more_has_no_turn() -> None:
    schedule = Schedule()
    schedule.keep(watched("a", "b"), 0)
    schedule.begin("a", 10)
    schedule.keep({}, 11)
    schedule.end("a", {}, 12)
    assert (schedule.due(1000), schedule.busy, schedule.next(42)) == ([], False, 42)


def test_a_look_that_does_not_end_is_noticed_and_holds_up_no_other() -> None:
    schedule, all_of_them = Schedule(), watched("a", "b")
    schedule.keep(all_of_them, 0)
    for name in ("a", "b"):
        schedule.begin(name, 10)
    schedule.end("b", all_of_them, 11)
    assert schedule.due(21) == ["b"]
    assert (schedule.hanging(310, 300), schedule.hanging(311, 300)) == ([], ["a"])


# --- what a look comes to


class Told:
    """An operator whose look decides this, or raises it."""

    def __init__(self, said: Any) -> None:
        self.said = said

    def __call__(self, name: str) -> Told:
        return self

    def watch(self, options: WatchOptions, acts: bool = True) -> Any:
        assert not acts, "this process does nothing to a service"
        if isinstance(self.said, Exception):
            raise self.said
        return SimpleNamespace(action=self.said, message="it is down")


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (NOTHING, Seen("shop")),
        (RESTART, Seen("shop", "restart: it is down")),
        (ALERT, Seen("shop", "alert: it is down")),
        (SlipwayError("unknown_service", "shop has never been released on this host."), Seen("shop")),
        (SlipwayError("damaged_settings", "unreadable."), Seen("shop", "unreadable.", "damaged_settings")),
        (PermissionError(13, "Permission denied", "/x"), Seen("shop", "Permission denied /x", "os_error")),
        (KeyError("x"), Seen("shop", "a defect: KeyError('x')", watcher.DEFECT)),
    ],
)
def test_what_a_look_comes_to(monkeypatch: pytest.MonkeyPatch, said: Any, seen: Seen) -> None:
    monkeypatch.setattr(watcher, "operator", Told(said))
    assert watcher.look(watched("shop")["shop"]) == seen


def test_the_same_failure_is_told_once_an_hour() -> None:
    failures, first = Failures(), Seen("shop", "unreadable", "damaged_settings")
    assert [failures.is_new(first, now) for now in (0, 10, 3599, 3600, 3610)] == [True, False, False, True, False]
    assert failures.is_new(Seen("blog", "unreadable", "damaged_settings"), 3610), "each service for itself"
    assert failures.is_new(Seen("shop", "worse", "damaged_settings"), 3620)
    assert failures.is_new(Seen("shop"), 3630)
    assert failures.is_new(Seen("shop", "worse", "damaged_settings"), 3640), "it was well in between"


def test_a_defect_of_this_process_leaves_every_look_to_another_one() -> None:
    failures, defect = Failures(), Seen("shop", "a defect", watcher.DEFECT)
    assert [failures.is_new(defect, now) for now in (0, 10, 20)] == [True] * 3


def test_what_is_to_be_done_again_and_again_is_handed_over_each_time() -> None:
    failures = Failures()
    assert [failures.is_new(Seen("shop", "restart: down"), now) for now in (0, 10, 20)] == [True] * 3


# --- the process


class Units:
    """Notes what is started."""

    def __init__(self, error: SlipwayError | None = None) -> None:
        self.started: list[str] = []
        self.error = error

    def start(self, unit: str) -> None:
        self.started.append(unit)
        if self.error:
            raise self.error


class Running:
    """A watcher in a thread, with looks that the test answers."""

    def __init__(self, folder: Path, look: Callable[[Watched], Seen], replaceable: tuple[str, ...] = ()) -> None:
        self.units = Units()
        self.watcher = Watcher(str(folder), replaceable, self.units, look)  # type: ignore[arg-type]
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.code = self.watcher.run()

    def end(self) -> int | None:
        self._thread.join(10)
        return self.code


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files of the services are, whose looks follow at once."""
    monkeypatch.setattr(watcher, "TICK", 0.02)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    parse = watcher.parse

    def parse_quickly(service: str, text: str) -> Watched:
        return Watched(service, 0.02, parse(service, text).options)

    monkeypatch.setattr(watcher, "parse", parse_quickly)
    path = tmp_path / "watch"
    path.mkdir()
    return path


def until(what: str, so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not so():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"{name}.json").write_text("{}")


def test_of_ten_services_one_that_hangs_holds_up_no_other(folder: Path) -> None:
    names = [f"s{number}" for number in range(10)]
    files(folder, *names)
    release, counts = threading.Event(), dict.fromkeys(names, 0)

    def look(one: Watched) -> Seen:
        counts[one.service] += 1
        if one.service == "s3":
            release.wait(20)
        return Seen(one.service)

    running = Running(folder, look)
    until("the others go on", lambda: min(count for name, count in counts.items() if name != "s3") >= 5)
    assert counts["s3"] == 1
    release.set()
    until("it goes on as well", lambda: counts["s3"] > 1)
    for name in names:
        (folder / f"{name}.json").unlink()
    assert running.end() == watcher.NOTHING_LEFT


def test_what_is_to_be_done_is_left_to_the_services_own_unit(folder: Path, capsys: Any) -> None:
    files(folder, "blog", "shop")
    running = Running(folder, lambda one: Seen(one.service, "restart: down" if one.service == "shop" else ""))
    until("it is handed over", lambda: len(running.units.started) > 1)
    (folder / "shop.json").unlink()
    (folder / "blog.json").unlink()
    assert running.end() == watcher.NOTHING_LEFT
    assert set(running.units.started) == {"shop-watch.service"}
    assert "shop: restart: down; shop-watch.service sees to it\n" in capsys.readouterr().err


def test_a_unit_that_cannot_be_started_ends_nothing(folder: Path, capsys: Any) -> None:
    files(folder, "shop")
    running = Running(folder, lambda one: Seen(one.service, "restart: down"))
    running.units.error = SlipwayError("command_failed", "no such unit.")
    until("it is tried again", lambda: len(running.units.started) > 2)
    (folder / "shop.json").unlink()
    assert running.end() == watcher.NOTHING_LEFT
    assert "shop: no such unit." in capsys.readouterr().err


def test_a_service_that_comes_later_is_watched_and_nothing_to_watch_is_the_end(folder: Path) -> None:
    seen: set[str] = set()
    files(folder, "blog")
    running = Running(folder, lambda one: seen.add(one.service) or Seen(one.service))
    until("the first is watched", lambda: seen == {"blog"})
    files(folder, "shop")
    until("so is the second", lambda: seen == {"blog", "shop"})
    for name in seen:
        (folder / f"{name}.json").unlink()
    assert running.end() == watcher.NOTHING_LEFT


def test_a_new_tool_takes_over_when_the_looks_of_the_old_one_have_ended(folder: Path, tmp_path: Path) -> None:
    files(folder, "shop")
    tool = tmp_path / "slipway"
    tool.write_text("old")
    begun, release, ended = threading.Event(), threading.Event(), []

    def look(one: Watched) -> Seen:
        begun.set()
        release.wait(20)
        ended.append(one.service)
        return Seen(one.service)

    running = Running(folder, look, (str(tool),))
    assert begun.wait(10)
    tool.unlink()
    time.sleep(0.1)
    assert running.code is None, "while there is none, the old one goes on"
    (tmp_path / "new").write_text("new")
    os.replace(tmp_path / "new", tool)
    until("it is seen", lambda: running.watcher.is_replaced)
    time.sleep(0.1)
    assert running.code is None
    release.set()
    assert running.end() == watcher.REPLACED
    assert ended == ["shop"]


def test_a_look_that_never_ends_ends_the_process_and_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock that it holds would keep every release away."""
    monkeypatch.setattr(watcher, "LIMIT", 0.2)
    files(folder, "shop")
    release = threading.Event()
    running = Running(folder, lambda one: (release.wait(20) and Seen(one.service)) or Seen(one.service))
    assert running.end() == watcher.HANGING
    assert running.units.started == ["shop-watch.service"]
    release.set()


def test_systemd_is_told_that_it_runs_and_lives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(notify, "notify", told.append)
    files(folder, "shop")
    running = Running(folder, lambda one: Seen(one.service))
    until("it is told", lambda: told.count(notify.ALIVE) > 2)
    (folder / "shop.json").unlink()
    running.end()
    assert told[0] == notify.READY
    assert told.count(notify.READY) == 1


@pytest.mark.parametrize("after", ["none", "elsewhere", "the same"])
def test_the_last_look_of_a_watch_that_was_turned_off_leaves_no_verdict(
    folder: Path, tmp_path: Path, after: str
) -> None:
    file, told = folder / "shop.json", tmp_path / "slipway-shop.prom"
    file.write_text(json.dumps({"metrics": str(tmp_path)}))

    def look(one: Watched) -> Seen:
        if after == "none":
            file.unlink()
        elif after == "elsewhere":
            file.write_text(json.dumps({"metrics": "/nowhere/else"}))
        told.write_text("slipway_up 1")
        return Seen(one.service)

    one = Watcher(str(folder), (), Units(), look)  # type: ignore[arg-type]
    one._attend("shop")
    assert told.exists() is (after == "the same")

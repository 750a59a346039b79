"""What the tool on the host says, and its exit codes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._host import systemd
from ansible_collections.slipway.go.plugins.module_utils._notices.notice import FIELDS
from ansible_collections.slipway.go.plugins.module_utils._pull import pull, settings
from ansible_collections.slipway.go.plugins.module_utils._release import engine as engine_module
from ansible_collections.slipway.go.plugins.module_utils._release.meant import Meant
from ansible_collections.slipway.go.plugins.module_utils._release.operator.watch import Decision
from ansible_collections.slipway.go.plugins.module_utils._release.outcome import Outcome
from ansible_collections.slipway.go.plugins.module_utils._release.verbs.resume import Said
from ansible_collections.slipway.go.plugins.module_utils._tool import cli

STATUS: dict[str, Any] = {
    "service": "shop",
    "current": "2.0.0-aa00bb11cc",
    "last_good": "2.0.0-aa00bb11cc",
    "since": 1.0,
    "state": "active (running)",
    "health": "pass",
    "message": "readyz answers 200",
    "p99": 0.0021,
    "in_flight": None,
    "at_work": False,
    "origin": {},
    "releases": ["1.0.0-0011223344", "2.0.0-aa00bb11cc", "3.0.0-99887766ff"],
    "bad": ["3.0.0-99887766ff"],
    "watched": None,
    "damaged": [],
    "skipped_lines": 0,
    "differences": [],
    "draining": [],
    "by": {},
}


class FakeOperator:
    store: Any = None

    def __init__(self, **changed: Any) -> None:
        self.told = {**STATUS, **changed}

    def status(self) -> dict[str, Any]:
        return self.told


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)


def serve(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    monkeypatch.setattr(cli, "services", lambda: ["shop"])
    monkeypatch.setattr(cli, "operator", lambda name: FakeOperator(**changed))


def test_status_names_what_runs_and_what_there_is(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    serve(monkeypatch)
    assert cli.main(["status"]) == cli.OK
    said = capsys.readouterr().out
    assert "shop: 2.0.0-aa00bb11cc since" in said
    assert "health    pass, p99 2.1 ms: readyz answers 200" in said
    assert "2.0.0-aa00bb11cc  (current, last good)" in said
    assert "3.0.0-99887766ff  (bad)" in said


def test_status_tells_where_it_comes_from(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    serve(monkeypatch)
    cli.main(["status"])
    assert "from " not in capsys.readouterr().out
    serve(monkeypatch, origin={"source": "https://host/shop", "signer": "minisign 9A90C55F72903870"})
    cli.main(["status"])
    said = capsys.readouterr().out
    assert "from      https://host/shop, signed by minisign 9A90C55F72903870" in said
    assert "built" not in said
    built = {"builder": "https://ci/release", "repository": "https://git/shop", "ref": "refs/tags/v2", "commit": "4f"}
    for provenance, line in (
        (built, "by https://ci/release from https://git/shop refs/tags/v2"),
        ({"builder": "ci"}, "by ci"),
    ):
        serve(monkeypatch, origin={"source": "/shop", "provenance": provenance})
        cli.main(["status"])
        assert f"  built     {line}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("listed", "looked", "runs", "said"),
    [
        (True, 10, False, False),  # a look has been there a moment ago, whoever looks
        (True, 600, True, False),  # a service that was stopped by hand
        (True, 600, False, True),
        (True, None, False, True),
        (False, 600, False, False),  # service_watch is off
    ],
)
def test_status_says_when_nothing_looks_after_a_service(
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    tmp_path: Path,
    listed: bool,
    looked: float | None,
    runs: bool,
    said: bool,
) -> None:
    monkeypatch.setattr(cli, "WATCH_ROOT", str(tmp_path))
    monkeypatch.setattr(systemd.Systemd, "is_active", lambda _self, unit: runs and unit == "slipway-watch.service")
    if listed:
        (tmp_path / "shop.json").write_text("{}")
    serve(monkeypatch, watched=looked and time.time() - looked)
    assert cli.main(["status"]) == cli.OK
    told = "UNWATCHED slipway-watch.service does not run: systemctl start slipway-watch.service"
    assert (told in capsys.readouterr().out) is said


def test_status_fails_when_a_service_is_down(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    serve(monkeypatch, health="fail", message="refused", p99=None)
    assert cli.main(["status", "shop", "--json"]) == cli.FAILED
    assert json.loads(capsys.readouterr().out)[0]["health"] == "fail"


@pytest.mark.parametrize(
    ("at_work", "told"), [(False, "cut short; settle it: sudo slipway recover shop"), (True, "a run is at work on it")]
)
def test_a_swap_in_flight_is_shown_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, at_work: bool, told: str
) -> None:
    serve(monkeypatch, in_flight={"phase": "SOAK", "to": "3.0.0-99887766ff"}, at_work=at_work)
    assert cli.main(["status"]) == cli.FAILED
    assert f"  IN FLIGHT SOAK to 3.0.0-99887766ff: {told}\n" in capsys.readouterr().out


def test_a_swap_that_nobody_may_confirm_is_shown_with_its_deadline(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    serve(monkeypatch, in_flight={"phase": "SOAK", "to": "3.0.0-99887766ff", "deadline": 1789000000.0})
    assert cli.main(["status"]) == cli.FAILED
    assert "IN FLIGHT SOAK to 3.0.0-99887766ff; unconfirmed until 2026-" in capsys.readouterr().out


def test_a_host_without_services_is_not_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(cli, "services", list)
    assert cli.main(["status"]) == cli.OK
    assert "no service has been released" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error", [SlipwayError("locked", "busy.", "wait"), PermissionError(13, "Permission denied", "/x")]
)
def test_a_failure_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Any, error: Exception) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr(cli, "operator", fail)
    assert cli.main(["rollback", "shop"]) == cli.FAILED
    said = capsys.readouterr().err
    assert said.startswith("slipway: ")
    assert said.count("\n") == 1


def test_only_root(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(cli.os, "geteuid", lambda: 1000)
    assert cli.main(["status"]) == cli.USAGE
    assert "only root" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["rollback"], ["history"], ["watch"], ["watch", "shop", "--all"]])
def test_wrong_usage(argv: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    assert stopped.value.code == cli.USAGE


@pytest.mark.parametrize("release", [None, "1.0-0123456789"])
def test_a_rollback_that_has_nothing_to_do_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, release: str | None
) -> None:
    outcome = Outcome(False, "1.0-0123456789", None, "none")
    monkeypatch.setattr(cli, "operator", lambda name: name)
    monkeypatch.setattr(cli, "_engine", lambda _one, _reason: SimpleNamespace(rollback=lambda _wanted, _meant: outcome))
    assert cli.main(["rollback", "shop", *([release] if release else [])]) == cli.OK
    said = capsys.readouterr().out
    assert "1.0-0123456789 serves already" in said
    assert ("was refused or taken back; name a release to go elsewhere" in said) == (release is None)


def test_a_rollback_that_is_told_what_to_take_back(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    told: list[Any] = []

    def rollback(*arguments: Any) -> Outcome:
        told.append(arguments)
        return Outcome(False, "1.0-0123456789", None, "none")

    monkeypatch.setattr(cli, "operator", lambda name: name)
    monkeypatch.setattr(cli, "_engine", lambda _one, _reason: SimpleNamespace(rollback=rollback))
    assert cli.main(["rollback", "shop", "--of", "2.0", "--run", "7"]) == cli.OK
    assert told == [(None, Meant("2.0", "7"))]
    assert "1.0-0123456789 serves, and what was to be taken back does not" in capsys.readouterr().out
    assert cli.main(["rollback", "shop", "--of", ""]) == cli.FAILED
    assert len(told) == 1


def test_services_are_found_by_their_settings(tmp_path: Path) -> None:
    from ansible_collections.slipway.go.plugins.module_utils._release.state import store

    for name in ("shop", "blog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "settings.json").write_text(json.dumps({"name": name, "root": f"/opt/{name}"}))
    (tmp_path / "deadman").mkdir()
    assert store.services(str(tmp_path)) == ["blog", "shop"]
    assert store.load_settings("shop", str(tmp_path)).root == "/opt/shop"
    with pytest.raises(SlipwayError, match="never been released"):
        store.load_settings("other", str(tmp_path))
    (tmp_path / "shop" / "settings.json").write_text("{")
    with pytest.raises(SlipwayError, match="not readable"):
        store.load_settings("shop", str(tmp_path))


def test_history_tells_every_way_a_swap_can_end(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from ansible_collections.slipway.go.plugins.module_utils._release.state.journal import OUTCOMES

    class Told:
        class store:
            class journal:
                @staticmethod
                def history() -> list[dict[str, Any]]:
                    return [{"event": event, "time": 1.0, "release": event, "reason": "because"} for event in OUTCOMES]

    monkeypatch.setattr(cli, "operator", lambda _name: Told)
    assert cli.main(["history", "shop"]) == cli.OK
    said = capsys.readouterr().out
    assert all(event in said for event in OUTCOMES)
    assert said.count("because") == len(OUTCOMES) == said.count("\n")


@pytest.mark.parametrize(
    ("told", "line"),
    [({}, []), ({"downtime_seconds": 1.236}, ["downtime: nothing served for 1.24 s"]), ({"downtime_seconds": "x"}, [])],
)
def test_history_tells_how_long_nothing_served(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, told: dict[str, Any], line: list[str]
) -> None:
    event = {"event": "committed", "time": 1.0, "release": "2.0-0123456789", **told}
    journal = SimpleNamespace(history=lambda: [event])
    monkeypatch.setattr(cli, "operator", lambda _name: SimpleNamespace(store=SimpleNamespace(journal=journal)))
    assert cli.main(["history", "shop"]) == cli.OK
    assert [one.strip() for one in capsys.readouterr().out.splitlines()[1:]] == line


def test_one_service_that_cannot_be_recovered_does_not_keep_the_others_from_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    recovered = []

    class Engine:
        def __init__(self, name: str) -> None:
            self.name = name

        def recover(self, _txn: str | None) -> str:
            if self.name == "blog":
                raise SlipwayError("damaged_state", "state.json is not readable.", "look at it")
            if self.name == "chat":
                raise OSError(28, "No space left on device", "/var")
            recovered.append(self.name)
            return "2.0-0123456789"

    monkeypatch.setattr(cli, "services", lambda: ["blog", "chat", "shop"])
    monkeypatch.setattr(cli, "operator", lambda name: name)
    monkeypatch.setattr(cli, "_engine", Engine)
    assert cli.main(["recover"]) == cli.FAILED
    said = capsys.readouterr()
    assert recovered == ["shop"]
    assert "shop: the interrupted swap to 2.0-0123456789 was settled" in said.out
    assert "blog: state.json is not readable. Fix: look at it" in said.err
    assert "chat: No space left on device" in said.err


def test_a_recovery_tells_programs_what_serves_now(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    engine = SimpleNamespace(recover=lambda _txn: "2.0-0123456789", serving=lambda: "1.0-0123456789")
    monkeypatch.setattr(cli, "operator", lambda name: name)
    monkeypatch.setattr(cli, "_engine", lambda _one: engine)
    assert cli.main(["recover", "shop", "--json"]) == cli.OK
    told = json.loads(capsys.readouterr().out)
    assert told == {"shop": "2.0-0123456789", "_serving": {"shop": "1.0-0123456789"}}


def test_a_recovery_that_fails_is_told_to_programs_as_any_failure(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def fail(_name: str) -> None:
        raise SlipwayError("damaged_state", "state.json is not readable.", "look at it")

    monkeypatch.setattr(cli, "operator", fail)
    assert cli.main(["recover", "shop", "--json"]) == cli.FAILED
    told = json.loads(capsys.readouterr().out)
    assert (told["failed"], told["code"], told["fix"]) == (True, "damaged_state", "look at it")


def test_a_release_that_waits_is_shown_with_both_ways_out(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    waits = {"phase": "PROBATION", "to": "3.0.0-99887766ff", "source": "2.0.0-0123456789", "deadline": time.time() + 30}
    serve(monkeypatch, in_flight=waits)
    cli.main(["status"])
    said = capsys.readouterr().out
    assert "WAITING   for somebody to confirm 3.0.0-99887766ff until " in said
    assert "sudo slipway confirm shop; back to 2.0.0-0123456789: sudo slipway rollback shop" in said


def test_a_release_that_is_paused_is_shown_with_both_ways_out(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    paused = {"since": time.time() - 60, "until": time.time() + 30, "reason": "9 of 9 requests took 20 ms or longer"}
    serve(
        monkeypatch,
        in_flight={"phase": "CANARY", "to": "3.0.0-99887766ff", "source": "2.0.0-0123456789", "paused": paused},
    )
    assert cli.main(["status"]) == cli.FAILED
    said = capsys.readouterr().out
    assert "PAUSED    3.0.0-99887766ff in CANARY since 2" in said
    assert ": 9 of 9 requests took 20 ms or longer\n" in said
    assert "goes back to 2.0.0-0123456789 by itself at 2" in said
    assert "go on: sudo slipway resume shop; back now: sudo slipway resume shop --back" in said


class Resuming:
    """An engine that hears what a person says."""

    heard: ClassVar[list[tuple[str, bool, bool]]] = []
    by: ClassVar[list[dict[str, str]]] = []
    told: ClassVar[dict[str, bool]] = {"changed": True, "heard": True}

    def __init__(self, _operator: Any, reason: str, by: dict[str, str]) -> None:
        self.reason = reason
        self.by.append(by)

    def resume(self, back: bool, check: bool) -> Said:
        self.heard.append((self.reason, back, check))
        return Said("2.0.0-0123456789", "1.0.0-0123456789", "sent_back" if back else "resumed", **self.told)


@pytest.mark.parametrize(
    ("argv", "told", "said"),
    [
        ([], {}, "2.0.0-0123456789 goes on\n"),
        (["--back", "--reason", "no"], {}, "2.0.0-0123456789 goes back to 1.0.0-0123456789\n"),
        ([], {"heard": False}, "goes on as soon as its run looks again"),
        ([], {"changed": False}, "goes on already, for somebody has resumed it"),
        (["--json"], {}, '"word": "resumed"'),
        (["--check"], {}, "2.0.0-0123456789 is paused; without --check, it goes on\n"),
    ],
)
def test_resume(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, argv: list[str], told: dict[str, bool], said: str
) -> None:
    monkeypatch.setattr(cli, "operator", lambda name: name)
    monkeypatch.setattr(cli, "_engine", Resuming)
    monkeypatch.setattr(Resuming, "heard", [])
    monkeypatch.setattr(Resuming, "told", {**Resuming.told, **told})
    assert cli.main(["resume", "shop", *argv]) == cli.OK
    assert said in capsys.readouterr().out
    assert Resuming.heard == [("no" if "--reason" in argv else "", "--back" in argv, "--check" in argv)]


def test_a_playbook_says_who_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "operator", lambda name: name)
    monkeypatch.setattr(cli, "_engine", Resuming)
    monkeypatch.setattr(Resuming, "by", [])
    said = {"person": "alice", "controller": "awx-1", "job": "AWX job 42"}
    assert cli.main(["resume", "shop", "--by", json.dumps({**said, "job": "AWX\njob 42", "other": 1})]) == cli.OK
    assert cli.main(["resume", "shop"]) == cli.OK
    assert Resuming.by == [said, {}]


@pytest.mark.parametrize(
    ("by", "known"),
    [
        ({"person": "alice", "controller": "awx-1"}, {"person": "alice", "controller": "awx-1", "reason": "no"}),
        (None, {"person": "bob", "controller": "this host", "reason": "no"}),
    ],
)
def test_who_types_a_command_counts_where_nobody_else_is_named(
    monkeypatch: pytest.MonkeyPatch, by: dict[str, str] | None, known: dict[str, str]
) -> None:
    monkeypatch.setenv("SUDO_USER", "bob")
    monkeypatch.setattr(engine_module, "Engine", lambda _settings, _layout, by: by)
    asked: Any = SimpleNamespace(settings=None, layout=None)
    assert cli._engine(asked, "no", by) == known


@pytest.mark.parametrize("by", ["", "alice", "[]", '"alice"'])
def test_what_says_nothing_of_who_resumes(capsys: Any, by: str) -> None:
    with pytest.raises(SystemExit):
        cli.main(["resume", "shop", "--by", by])
    assert "argument --by: it is no dictionary of person, controller and job as JSON" in capsys.readouterr().err


class Confirming:
    """An engine that answers a confirmation with `answer`."""

    answer: ClassVar[Any]
    asked: ClassVar[list[str | None]] = []

    def __init__(self, _operator: Any) -> None:
        pass

    def confirm(self, txn: str | None) -> Any:
        self.asked.append(txn)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.fixture
def confirming(monkeypatch: pytest.MonkeyPatch) -> type[Confirming]:
    monkeypatch.setattr(cli, "operator", lambda name: name)
    monkeypatch.setattr(cli, "_engine", Confirming)
    monkeypatch.setattr(Confirming, "asked", [])
    return Confirming


def test_confirm(confirming: type[Confirming], capsys: Any) -> None:
    confirming.answer = Outcome(True, "2.0.0-0123456789", "1.0.0-0123456789", "confirm")
    assert cli.main(["confirm", "shop", "--txn", "abc"]) == cli.OK
    assert "2.0.0-0123456789 stays" in capsys.readouterr().out
    assert cli.main(["confirm", "shop", "--json"]) == cli.OK
    assert json.loads(capsys.readouterr().out)["action"] == "confirm"
    confirming.answer = Outcome(False, "2.0.0-0123456789", None, "none")
    assert cli.main(["confirm", "shop"]) == cli.OK
    assert "nothing waits to be confirmed" in capsys.readouterr().out
    assert confirming.asked == ["abc", None, None]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SlipwayError("too_late", "it was taken back.", "look", current="1.0.0-0123456789"), "too_late"),
        (PermissionError(13, "Permission denied", "/x"), "os_error"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_a_failure_for_programs(confirming: type[Confirming], capsys: Any, error: BaseException, code: str) -> None:
    confirming.answer = error
    assert cli.main(["confirm", "shop", "--json"]) == cli.FAILED
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told["failed"], told["code"]) == (True, code)
    assert said.err == f"slipway: {told['msg']}\n"
    assert cli.main(["confirm", "shop"]) == cli.FAILED
    assert capsys.readouterr().out == ""


def test_every_command_explains_itself(capsys: Any) -> None:
    for command in ("status", "history", "rollback", "recover", "confirm"):
        with pytest.raises(SystemExit) as stopped:
            cli.main([command, "--help"])
        said = capsys.readouterr().out
        assert stopped.value.code == 0
        assert "--json" in said
        assert len(said.splitlines()) > 8


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Three services, of which each test damages the one in the middle."""
    from ansible_collections.slipway.go.plugins.module_utils._release.operator import operator
    from ansible_collections.slipway.go.plugins.module_utils._release.state import store
    from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout

    for name in ("blog", "shop", "wiki"):
        (tmp_path / name).mkdir()
        text = json.dumps({"name": name, "root": str(tmp_path / "opt" / name)})
        (tmp_path / name / "settings.json").write_text(text)

    def one(name: str) -> operator.Operator:
        settings = store.load_settings(name, str(tmp_path))
        return operator.Operator(settings, Layout(name, settings.root, str(tmp_path)))

    monkeypatch.setattr(cli, "services", lambda: store.services(str(tmp_path)))
    monkeypatch.setattr(cli, "operator", one)
    monkeypatch.setattr(operator.Systemd, "active_instances", lambda *_names: [])
    return tmp_path


WRONG = {
    "truncated": '{"txn": "x", "pha',
    "not JSON": "\0\0\0",
    "wrong types": '{"txn": 1, "phase": 2, "to": 3, "source": 4, "strategy": 5, "started": "soon"}',
    "a directory": None,
}


@pytest.mark.parametrize("name", ["state.json", "settings.json", "journal.jsonl"])
@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_one_damaged_service_hides_no_other(three: Path, capsys: Any, name: str, text: str | None) -> None:
    assert cli.main(["status", "--json"]) == cli.FAILED, "none of them has ever been released"
    before = {one["service"]: one for one in json.loads(capsys.readouterr().out)}
    path = three / "shop" / name
    path.unlink(missing_ok=True)
    if text is None:
        path.mkdir()
    else:
        path.write_text(text)
    assert cli.main(["status", "--json"]) == cli.FAILED
    told = {one["service"]: one for one in json.loads(capsys.readouterr().out)}
    assert (told["blog"], told["wiki"]) == (before["blog"], before["wiki"])
    shop = told["shop"]
    if name == "journal.jsonl" and text is not None:
        assert shop["skipped_lines"] == 1
    else:
        assert name in shop["damaged"][0]
        assert "Fix: " in shop["damaged"][0]
    assert cli.main(["status"]) == cli.FAILED
    said = capsys.readouterr().out
    assert ("DAMAGED" in said) == bool(shop["damaged"])
    assert [line.split(":")[0] for line in said.splitlines() if not line.startswith(" ")] == ["blog", "shop", "wiki"]


def test_a_service_that_serves_and_whose_record_is_damaged_is_not_all_well(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    serve(monkeypatch, damaged=["state.json is not readable. Fix: run sudo slipway recover shop"])
    assert cli.main(["status"]) == cli.FAILED
    said = capsys.readouterr().out
    assert "DAMAGED   state.json is not readable. Fix: run sudo slipway recover shop" in said
    assert "health    pass" in said
    serve(monkeypatch, skipped_lines=1)
    assert cli.main(["status"]) == cli.OK


def test_a_defect_in_one_service_hides_no_other(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def one(name: str) -> FakeOperator:
        if name == "blog":
            raise KeyError("time")
        return FakeOperator(service=name)

    monkeypatch.setattr(cli, "services", lambda: ["blog", "shop"])
    monkeypatch.setattr(cli, "operator", one)
    assert cli.main(["status"]) == cli.FAILED
    assert "shop: 2.0.0-aa00bb11cc" in capsys.readouterr().out


def test_a_purge_says_what_is_gone(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    journal = [{"event": "purged", "release": "1.0-0123456789"}]
    one = SimpleNamespace(store=SimpleNamespace(journal=SimpleNamespace(events=lambda: journal)))
    purged: list[str] = []
    monkeypatch.setattr(cli, "operator", lambda _name: one)
    monkeypatch.setattr(cli, "_engine", lambda _one: SimpleNamespace(purge=lambda _names: purged))
    assert cli.main(["purge", "shop", "2.0-0123456789"]) == cli.FAILED
    assert "is not on this host" in capsys.readouterr().err
    assert cli.main(["purge", "shop", "1.0-0123456789"]) == cli.OK
    assert "nothing is left to purge" in capsys.readouterr().out
    purged.append("2.0-0123456789")
    assert cli.main(["purge", "shop", "2.0-0123456789"]) == cli.OK
    assert "2.0-0123456789 is gone from this host" in capsys.readouterr().out
    assert cli.main(["purge", "shop", "2.0-0123456789", "--json"]) == cli.OK
    assert json.loads(capsys.readouterr().out) == {"changed": True, "purged": ["2.0-0123456789"]}


def test_a_watch_that_cannot_judge_leaves_no_verdict_of_before(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    def damaged(_name: str) -> None:
        raise SlipwayError("damaged_settings", "settings.json is not readable.", "release the service again")

    monkeypatch.setattr(cli, "operator", damaged)
    monkeypatch.setattr(cli, "STATE_ROOT", str(tmp_path / "state"))
    (tmp_path / "slipway-shop.prom").write_text('slipway_health_state{state="pass"} 1\n')
    assert cli.main(["watch", "shop", "--metrics", str(tmp_path)]) == cli.FAILED
    assert list(tmp_path.iterdir()) == []
    assert cli.main(["watch", "shop", "--metrics", str(tmp_path)]) == cli.FAILED


def test_a_watch_that_acts_leaves_a_notice_that_only_root_may_read(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    class Acts:
        def watch(self, _options: Any) -> Decision:
            return Decision("restart", 'unhealthy 3 times in a row: it answers "500"', {})

    def damaged(_name: str) -> None:
        raise SlipwayError("damaged_settings", "settings.json is not readable.", "release the service again")

    (tmp_path / "shop").mkdir()
    path = tmp_path / "shop" / "notice.json"
    monkeypatch.setattr(cli, "STATE_ROOT", str(tmp_path))
    monkeypatch.setattr(cli, "operator", lambda _name: Acts())
    assert cli.main(["watch", "shop"]) == cli.FAILED
    told = json.loads(path.read_text())
    assert (path.stat().st_mode & 0o777, list(told)) == (0o600, list(FIELDS))
    assert (told["event"], told["verdict"], told["services"]) == ("watch_acted", "restart", ["shop"])
    assert told["text"] == f'shop on {told["host"]}: restart: unhealthy 3 times in a row: it answers "500"'
    monkeypatch.setattr(cli, "operator", damaged)
    assert cli.main(["watch", "shop"]) == cli.FAILED
    assert json.loads(path.read_text())["cause"].startswith("settings.json is not readable.")
    path.unlink()
    assert cli.main(["watch", "../shop"]) == cli.FAILED
    assert list((tmp_path / "shop").iterdir()) == []


def test_a_service_whose_first_release_failed_has_a_history(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """There are no settings of a release then, only what was tried."""
    event = {"event": "refused", "kind": "release", "release": "1.0-aa00bb11cc", "time": 1.0, "reason": "answers 503"}

    def never(_name: str) -> Any:
        raise SlipwayError("unknown_service", "shop has never been released on this host.", "release it")

    journal = SimpleNamespace(history=lambda: [event])
    told = FakeOperator(current=None, since=None, state="never released", health="fail", p99=None, message="never")
    told.store = SimpleNamespace(journal=journal)
    monkeypatch.setattr(cli, "operator", never)
    monkeypatch.setattr(cli, "before_release", lambda _name: told)
    assert cli.main(["history", "shop"]) == cli.OK
    assert "1.0-aa00bb11cc was refused: answers 503" in capsys.readouterr().out
    assert cli.main(["status", "shop"]) == cli.FAILED
    assert "shop: never released" in capsys.readouterr().out
    monkeypatch.setattr(cli, "before_release", lambda _name: None)
    assert cli.main(["history", "shop"]) != cli.OK
    assert "never been released" in capsys.readouterr().err


def test_what_was_tried_is_read_where_there_are_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.slipway.go.plugins.module_utils._release.operator import operator
    from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout

    monkeypatch.setattr(operator, "Layout", lambda name, root: Layout(name, root, state_root=str(tmp_path)))
    assert cli.before_release("shop") is None
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "journal.jsonl").write_text('{"event": "refused", "time": 1.0, "release": "1.0-aa00bb11cc"}\n')
    found = cli.before_release("shop")
    assert found is not None
    assert [one["release"] for one in found.store.journal.outcomes()] == ["1.0-aa00bb11cc"]


def test_history_tells_what_a_failed_release_has_said(monkeypatch, capsys):
    event = {"event": "refused", "time": 1.0, "release": "1.0-aa00bb11cc", "reason": "unhealthy", "log": ["one", "two"]}
    journal = SimpleNamespace(history=lambda: [{**event, "answer": "no"}])
    monkeypatch.setattr(cli, "operator", lambda _name: SimpleNamespace(store=SimpleNamespace(journal=journal)))
    assert cli.main(["history", "shop"]) == 0
    told = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert told[1:] == ["log: one", "log: two", "answer: no"]


LEASE = {"run": "x", "left": 90.0, "since": 1.0, "version": "2.0.0", "by": {"person": "alice", "reason": "it is due"}}


def test_who_has_the_lease_is_told(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    serve(monkeypatch, lease=LEASE)
    cli.main(["status"])
    assert "  leased    by alice: it is due, version 2.0.0, since 1970-01-01" in capsys.readouterr().out
    monkeypatch.setattr(cli, "_lease_of", lambda _name: LEASE)
    assert cli.main(["lease", "shop"]) == cli.OK
    assert "shop: leased by alice: it is due, version 2.0.0" in capsys.readouterr().out
    outcome = Outcome(True, "1.0-0123456789", "2.0-0123456789", "rollback")
    monkeypatch.setattr(cli, "operator", lambda name: name)
    monkeypatch.setattr(cli, "_engine", lambda _one, _reason: SimpleNamespace(rollback=lambda *_two: outcome))
    assert cli.main(["rollback", "shop"]) == cli.OK
    assert "shop is leased by alice" in capsys.readouterr().err


def test_a_lease_that_is_over_is_not(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    serve(monkeypatch, lease={**LEASE, "left": 0.0})
    cli.main(["status"])
    assert "leased" not in capsys.readouterr().out
    monkeypatch.setattr(cli, "_lease_of", lambda _name: {**LEASE, "left": 0.0})
    assert cli.main(["lease", "shop", "--end"]) == cli.OK
    assert "no run has the lease" in capsys.readouterr().out


def test_an_operator_ends_a_lease(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
    from ansible_collections.slipway.go.plugins.module_utils._release.state import layout
    from ansible_collections.slipway.go.plugins.module_utils._release.state.lease import Claim
    from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Settings

    monkeypatch.setattr(
        layout.Layout.__init__, "__defaults__", (str(tmp_path), *layout.Layout.__init__.__defaults__[1:])
    )
    Engine(Settings("shop", "/opt/shop"), by={"person": "alice"}, claim=Claim("x", 600.0)).take_lease()
    assert cli.main(["lease", "shop", "--end", "--reason", "its controller is dead"]) == cli.OK
    assert "the lease of alice has ended" in capsys.readouterr().out
    assert cli.main(["lease", "shop", "--end", "--json"]) == cli.OK
    told = json.loads(capsys.readouterr().out)
    assert (told["ended"], told["lease"]["state"], told["lease"]["left"]) == (False, "ended", 0.0)
    assert told["lease"]["ended_by"]["reason"] == "its controller is dead"
    assert cli.main(["lease", "../x"]) == cli.FAILED


def pulls(monkeypatch: pytest.MonkeyPatch, folder: Path, *errors: Exception) -> list[Any]:
    """The arguments of each pull; the first ones end with these errors."""
    given: list[Any] = []
    ends = list(errors)

    def run(*arguments: Any) -> None:
        given.append(arguments)
        if ends:
            raise ends.pop(0)

    monkeypatch.setattr(settings, "load", lambda: SimpleNamespace(metrics=str(folder)))
    monkeypatch.setattr(pull, "pull", run)
    return given


def exported_pull(folder: Path) -> list[str]:
    text = "".join(path.read_text() for path in folder.iterdir())
    return [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("slipway_pull_failed")]


@pytest.mark.parametrize("error", [SlipwayError("pull_failed", "it ended with 2.", "see above"), OSError(28, "full")])
def test_a_pull_exports_how_it_has_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception) -> None:
    pulls(monkeypatch, tmp_path, error)
    assert cli.main(["pull"]) == cli.FAILED
    assert exported_pull(tmp_path) == ["1"]
    assert cli.main(["pull"]) == cli.OK
    assert exported_pull(tmp_path) == ["0"]


def test_a_pull_that_meets_another_leaves_its_metrics_to_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pulls(monkeypatch, tmp_path, SlipwayError(pull.IN_USE, "another pull is running.", "wait"))
    assert cli.main(["pull"]) == cli.FAILED
    assert exported_pull(tmp_path) == []


def test_a_pull_in_check_mode_exports_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = pulls(monkeypatch, tmp_path)
    assert cli.main(["pull", "--check"]) == cli.OK
    assert given[0][3] is True
    assert exported_pull(tmp_path) == []

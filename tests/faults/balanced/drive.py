"""Plays one row on the bench, and holds what is there afterwards against what must be."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import play
from background import Run
from balancer import Told
from bench import FIRST, SECOND, Bench, Moment, table
from client import Load
from model import ALL_NEW, DIES, FAILS, NEW, OLD, SUCCEEDS, Result, Row

SHARED = "with rows after it"
# A run that takes longer has hung; it is killed then.
PATIENCE_S = 1500
# Ten hosts that are looked at all the time would have no time left for their release.
LOOK_S = 1.0


@dataclass
class Scene:
    """What the fault of a row works with. broken: what it has found wrong itself.

    then: variables of the next ordinary run.
    """

    bench: Bench
    row: Row
    run: Run
    version: str
    broken: list[str] = field(default_factory=list)
    then: dict[str, Any] = field(default_factory=dict)

    def reach(self) -> None:
        """Until the engine stands where the row has it stand."""
        moment = self.moment
        what = f"{moment.event} {moment.match} on host {moment.host + 1}"
        self.run.until(what, lambda: self.bench.reached(moment), LOOK_S)

    def go(self) -> None:
        self.bench.go(self.moment)

    @property
    def moment(self) -> Moment:
        assert self.row.at is not None
        return self.row.at

    def until_said(self, text: str, times: int = 1) -> None:
        self.run.until(text, lambda: self.run.said().count(text) >= times)

    def expect(self, holds: object, what: str) -> None:
        if not holds:
            self.broken.append(what)

    def second(self, *flags: str, elsewhere: bool = True, **more: Any) -> play.Play:
        """Another run of the same release, meanwhile."""
        run = self.bench.start("release", self.version, *flags, log="second", elsewhere=elsewhere, **more)
        return run.end(PATIENCE_S)


def played(bench: Bench, row: Row, load: Path, shared: bool) -> Result:
    """shared: the rows after this one show what the next ordinary run does, unless the hosts differ now."""
    begun = time.monotonic()
    result = Result(row.name, row.title)
    try:
        _play(bench, row, load, shared, result)
    except (TimeoutError, AssertionError, RuntimeError, OSError) as error:
        result.broken.append(f"not played to its end: {' '.join(str(error).split())[:160]} … {str(error)[-240:]}")
        (bench.folder / f"broken-{row.name}.log").write_text(str(error))
    result.seconds = time.monotonic() - begun
    return result


def _play(bench: Bench, row: Row, load: Path, shared: bool, result: Result) -> None:
    old = bench.serves()[0]
    new = SECOND if old == FIRST else FIRST
    names = {old: OLD, new: NEW}
    given = {**(bench.steps() if row.steps else {}), **(bench.compare(row.compare) if row.compare else {})}
    bench.balancer.wait_up()
    since = bench.balancer.cursor()
    if row.at is not None:
        bench.arm(row.at)
    mix = ["-mix", row.mix] if row.mix else []
    with Load(load, bench.folder, [f"users={bench.balancer.url}"], row.rate, *mix) as client:
        run = bench.start("release", new, as_awx=row.as_awx, row_begun=str(time.time()), **given, **row.variables)
        scene = Scene(bench, row, run, new)
        try:
            if row.act is not None:
                row.act(scene)
        except BaseException:
            run.cancel(9)
            bench.settle()
            raise
        done = run.end(PATIENCE_S)
        bench.settle()
        ends = [names.get(one, one or "nothing") for one in bench.serves()]
        states = bench.balancer.states()
        again = None
        if not shared or row.elsewhere or set(ends) != {OLD} or "drained" in states.values():
            begun = time.time()
            again = _next(bench, row, new, scene.then)
            client.mark("next", begun, time.time())
            settled = [names.get(one, one or "nothing") for one in bench.serves()]
            bench.settle()
            wait_back(bench, result)
        report = client.report()
    told = bench.balancer.told(since)
    result.broken += scene.broken
    _judge_run(bench, row, done, result)
    _judge_fleet(bench, row, ends, states, result)
    result.next_run = SHARED
    if again is not None:
        _judge_next(again, settled, report, result)
    _judge_users(bench, row, report["total"], told, result)
    if result.broken:
        (bench.folder / f"broken-{row.name}.log").write_text(
            f"{done.output}\n==== NEXT ====\n{again.output if again else ''}"
        )


def _next(bench: Bench, row: Row, version: str, then: dict[str, Any]) -> play.Play:
    """What an operator does about all of it: the same release again. Hosts that the balancer has out come back."""
    back = {key: value for key, value in bench.steps().items() if key != "release_before_swap_tasks"}
    given = {**(back if row.steps else {}), "release_serial": "100%", **then}
    return bench.start("release", version, log="next", elsewhere=row.elsewhere, **given).end(PATIENCE_S)


def wait_back(bench: Bench, result: Result) -> None:
    try:
        bench.balancer.wait_up()
    except TimeoutError:
        result.broken.append(f"the balancer has {bench.balancer.states()} after the next run")


def _judge_run(bench: Bench, row: Row, done: play.Play, result: Result) -> None:
    broken, flat = result.broken, " ".join(done.output.split())
    how = SUCCEEDS if done.code == 0 else FAILS if done.code > 0 and "PLAY RECAP" in done.output else DIES
    result.ended = how
    if how != row.run:
        broken.append(f"the run {how} ({done.code}), and it had to be that it {row.run}")
    if "Traceback" in done.output:
        broken.append("a traceback")
    broken += [f"the run does not say: {text}" for text in row.says if text not in flat]
    if row.verdicts is not None:
        told = table(done)
        shown = [told[name][3] if name in told else "no row" for name in bench.names]
        if shown != row.verdicts.words():
            broken.append(f"the table says {compact(shown)}")
    if row.run != DIES:
        booked = [name for name, recap in done.recap.items() if recap["failed"] or recap["unreachable"]]
        wanted = [bench.names[place] for place in sorted(row.booked)]
        if booked != wanted and sorted(booked) != sorted(wanted):
            broken.append(f"it fails {', '.join(booked) or 'no host'}")


def _judge_fleet(bench: Bench, row: Row, ends: list[str], states: dict[str, str], result: Result) -> None:
    if ends != row.ends.words():
        result.broken.append(f"at the end: {compact(ends)}")
    result.ended += f"; {compact(ends)}"
    wanted_out = {bench.names[place] for place in row.out}
    out = {name for name, state in states.items() if state == "drained"}
    if out != wanted_out:
        result.broken.append(f"out of the balancer: {', '.join(sorted(out)) or 'none'}")


def _judge_next(again: play.Play, settled: list[str], report: dict[str, Any], result: Result) -> None:
    result.next_run = compact(settled)
    if again.code or settled != ALL_NEW.words():
        result.broken.append(f"the next run ended with {again.code}: {compact(settled)}; {tail(again.output)}")
    failed = sum(mark["failed"] for mark in report["marks"])
    if failed:
        result.broken.append(f"{failed} requests failed in the next run")


def _judge_users(bench: Bench, row: Row, total: dict[str, Any], told: Told, result: Result) -> None:
    """Whose requests have failed, the balancer says; how many did, the users."""
    result.sent, result.failed = total["sent"], total["failed"]
    result.of = dict(sorted(told.failed.items()))
    allowed = {bench.names[place] for place in row.lost}
    others = {name: count for name, count in told.failed.items() if name not in allowed}
    if others:
        result.broken.append(f"requests failed at {others}: {total['failures']}")
    if total["failed"] > sum(told.failed.values()):
        result.broken.append(f"users lost {total['failures']}, and the balancer knows of {dict(told.failed)}")


def compact(words: list[str]) -> str:
    """Such as `old 9, new 1 (host 1)`: how many hosts, and the places of the few."""
    found = []
    for word in dict.fromkeys(words):
        places = [str(place + 1) for place, one in enumerate(words) if one == word]
        found.append(f"{word} {len(places)}" + (f" (host {', '.join(places)})" if len(places) < len(words) / 2 else ""))
    return ", ".join(found)


def tail(output: str) -> str:
    return " ".join(output.partition("PLAY RECAP")[0][-500:].split())

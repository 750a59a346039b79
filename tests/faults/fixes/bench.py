"""Runs rows of the fix table on a lab host: fail, apply what the fix says, run again."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import inside
import play
from ansible_collections.slipway.go.tests.faults.fixes import model
from ansible_collections.slipway.go.tests.faults.fixes.model import Command, Playbook, Result, Row, Run, Task
from build import go_environment


class Bench:
    """One host. words: what @files and its like stand for here. stack: ends what a subject has begun."""

    def __init__(self, container: str, inventory: Path, files: Path, stack: contextlib.ExitStack) -> None:
        self.container, self.inventory, self.files, self.stack = container, inventory, files, stack
        self.words = {"@files": str(files)}

    def sh(self, script: str, check: bool = True) -> str:
        return inside.run(self.container, "bash", "-ec", script, check=check)

    def here(self, script: str) -> None:
        environment = {**go_environment(), "PATH": f"{self.files / 'bin'}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-ec", script], cwd=self.files, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"

    def execute(self, rows: Sequence[Row]) -> list[Result]:
        """Those that do not disturb each other in two plays, the others one after the other."""
        done = {id(row): result for row, result in self._together([row for row in rows if not row.alone])}
        in_turn = [row for row in rows if row.alone and model.is_foreseen(row)]
        done.update((id(row), result) for row, result in self._in_turn(in_turn))
        for row in rows:
            if row.alone and row not in in_turn:
                done.update((id(row), result) for row, result in self._together([row]))
        return [done[id(row)] for row in rows]

    def _together(self, rows: Sequence[Row]) -> list[tuple[Row, Result]]:
        """All failures are made first, then all fixes applied."""
        first = self._first(rows)
        results = [Result(row) for row in rows]
        for result in results:
            self._make(result)
        second = [
            self._apply(result, run, told) for result, run, told in zip(results, first, self._run(first), strict=True)
        ]
        for result, told in zip(results, self._run(second), strict=True):
            judge(result, told)
        for row in rows:
            if row.undo:
                self.sh(self._words(row.undo), check=False)
        return list(zip(rows, results, strict=True))

    def _in_turn(self, rows: Sequence[Row]) -> list[tuple[Row, Result]]:
        """One play, in which each row fails, is mended and runs again before the next one begins. What a fix says is
        compared with what was applied afterwards, so this is for rows whose commands do not depend on its words."""
        tasks: list[dict[str, Any]] = []
        for row, run in zip(rows, self._first(rows), strict=True):
            tasks += [self._shell(row.make), content(run), self._shell(row.fix)]
            tasks += [content(changed(run, model.filled(row.give, self.words))), self._shell(row.undo)]
        told = self._play(tasks) if tasks else []
        results = []
        for number, row in enumerate(rows):
            made, failed, mended, passed, _undone = told[5 * number : 5 * number + 5]
            result = Result(row, model.fixes(failed, row.code), row.fix)
            step = next((one for one in (made, mended) if one.get("failed")), None)
            others = [fix for fix in result.fixes if model.groups(row, fix) is None]
            if step is not None or not result.fixes:
                result.broken = f"{row.code} is not reported: {json.dumps(step or failed)[:2000]}"
            elif others:
                result.broken = f"the fix is another one: {others[0]}"
            judge(result, passed)
            results.append(result)
        return list(zip(rows, results, strict=True))

    def _first(self, rows: Sequence[Row]) -> list[Run]:
        return [self._filled(row.run) for row in rows]

    def _filled(self, run: Run) -> Run:
        return type(run)(**model.filled(run.__dict__, self.words))

    def _shell(self, script: str) -> dict[str, Any]:
        text = f"set -e\n{self._words(script)}" if script else "true"
        return {"ansible.builtin.shell": {"cmd": text, "executable": "/bin/bash"}, "ignore_errors": True}

    def _make(self, result: Result) -> None:
        if result.row.make:
            try:
                self.sh(self._words(result.row.make))
            except AssertionError as error:
                result.broken = f"the failure was not made: {error}"

    def _words(self, text: str) -> str:
        return str(model.filled(text, self.words))

    def _apply(self, result: Result, run: Run, told: Any) -> Run:
        """Do what the fix says, on the host and here; the next run, with what it says of the variables."""
        row = result.row
        if result.broken:
            return run
        result.fixes = model.fixes(told, row.code)
        if not result.fixes:
            result.broken = f"{row.code} is not reported: {json.dumps(told)[:2000]}"
            return run
        done, give = [], row.give
        for fix in result.fixes:
            found = model.groups(row, fix)
            if found is None:
                result.broken = f"the fix is another one: {fix}"
                return run
            found.update(self.words)
            for script, act in ((row.fix, self.sh), (row.here, self.here)):
                if script and not self._acted(result, act, str(model.filled(script, found))):
                    return run
                if script:
                    done.append(str(model.filled(script, {k: v for k, v in found.items() if k[0] == "<"})))
            give = model.filled(give, found)
        if row.then is not None:
            said = self._run([self._filled(row.then)])[0]
            done.append(model.described(row.then))
            if said.get("failed"):
                result.broken = f"the fix cannot be applied: {said.get('msg')}"
        result.applied = "; ".join(dict.fromkeys(done))
        return changed(run, give)

    def _acted(self, result: Result, act: Callable[[str], object], script: str) -> bool:
        try:
            act(script)
        except AssertionError as error:
            result.broken = f"the fix cannot be applied: {error}"
        return not result.broken

    def _run(self, runs: Sequence[Run]) -> list[Any]:
        """What each has said; all tasks in one play that goes on after a failure."""
        tasks = [run for run in runs if isinstance(run, Task)]
        told = iter(self._play([content(task) for task in tasks]) if tasks else [])
        return [next(told) if isinstance(run, Task) else self._alone(run) for run in runs]

    def _alone(self, run: Playbook | Command) -> Any:
        if isinstance(run, Playbook):
            code, results = play.results(run.name, self.inventory, run.variables)
            return {"failed": code != 0, "msg": json.dumps(results)[:3000] if code else "", "results": results}
        done = inside.attempt(self.container, "bash", "-c", run.script)
        text = done.stdout.strip()
        said = json.loads(text) if text[:1] in ("{", "[") else text + done.stderr
        return {"failed": done.returncode != 0, "msg": done.stdout + done.stderr, "said": said}

    def _play(self, tasks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        found = {"hosts": "all", "gather_facts": False, "become": True, "tasks": list(tasks)}
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            file.write(json.dumps([found]))
            file.flush()
            _code, results = play.results(file.name, self.inventory, {})
        assert len(results) == len(tasks), results
        return results


def content(task: Task) -> dict[str, Any]:
    """As it stands in a play that goes on after a failure."""
    return {f"slipway.go.{task.module}": task.arguments, "ignore_errors": True, **task.keywords}


def judge(result: Result, told: Any) -> None:
    """What the next run has said."""
    if not result.broken:
        result.broken = model.why_not(told, result.row.code)
        result.next_run = "passes" if not result.broken else "fails"


def changed(run: Run, give: dict[str, Any]) -> Run:
    if isinstance(run, Task):
        return replace(run, arguments=model.given(run.arguments, give))
    if isinstance(run, Playbook):
        return replace(run, variables=model.given(run.variables, give))
    return replace(run, script=give.get("script", run.script))

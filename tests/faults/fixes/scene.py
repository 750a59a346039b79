"""A row without a host: a scene in which a failure is made on a simulated host, its fix applied, and the run repeated.

Its act calls Stage.fails with the run that has to report the code, does what the fix says, and calls Stage.passes with
the next run. Such rows run with the unit tests, and whenever the page is written.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.problems import Problem
from ansible_collections.slipway.go.tests.faults.fixes import model
from ansible_collections.slipway.go.tests.faults.fixes.model import Result
from ansible_collections.slipway.go.tests.reference import error_codes

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Scene:
    """says: the whole fix, as a pattern. applied: what is done of it, in words. act: the play."""

    code: str
    how: str
    says: str
    applied: str
    act: Callable[[Stage], None]

    @property
    def name(self) -> str:
        return model.name(self.code, self.how)


class Scenes(list[Scene]):
    """Rows of one subject; used as a decorator of the act."""

    def row(self, code: str, how: str, says: str, applied: str) -> Callable[[Callable[[Stage], None]], None]:
        return lambda act: self.append(Scene(code, how, says, applied, act))


class Stage:
    """Where one scene plays. folder: of its own. patch: undone at its end."""

    def __init__(self, scene: Scene, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._scene, self.folder, self.patch = scene, folder, patch
        self.fixes: list[str] = []
        self.message = ""
        self.passed = False
        self.journal: Callable[[], str] = str  # the code by which the host remembers how its last transaction ended

    def fails(self, run: Callable[[], Any]) -> dict[str, str]:
        """The run has to report the code of the scene; what its pattern finds in the fix that the operator reads."""
        code = self._scene.code
        said, reported = _reported(run)
        own = [one for one in reported if one.code == code] or (reported[:1] if self.journal() == code else [])
        assert own, f"{code} is not reported: {said or reported}"
        self.message = own[0].message
        # A failure without a fix of its own has that of its page, and a cause may have the one of what it has caused.
        fix = next((one.fix for one in [*own, *reported[:1]] if one.fix), "") or error_codes.CODES[code].fix
        assert not said or not own[0].fix or fix in said, f"the operator does not read {fix}: {said}"
        self.fixes.append(fix)
        found = re.fullmatch(self._scene.says, fix)
        assert found is not None, f"the fix is another one: {fix}"
        return {name: text or "" for name, text in found.groupdict().items()}

    def passes(self, run: Callable[[], Answer]) -> Answer:
        """The run after the fix raises nothing and does not report the code."""
        assert self.fixes, "nothing has failed before"
        done = run()
        assert self._scene.code not in [one.code for one in _found(done)], done
        self.passed = True
        return done


def _reported(run: Callable[[], Any]) -> tuple[str, list[Problem]]:
    """What the operator reads where the run raises, and all that is wrong by it: first that, then its causes."""
    try:
        return "", list(_found(run()))
    except SlipwayError as raised:
        problems, error = [], raised.with_traceback(None)
        while isinstance(error, SlipwayError):
            problems += [Problem.of(error), *_found(error.details)]
            error = error.__cause__
        return str(raised), problems


def _found(result: Any) -> Iterator[Problem]:
    if isinstance(result, Problem):
        yield result
    elif isinstance(result, (list, tuple)):
        for one in result:
            yield from _found(one)
    else:
        yield from (
            Problem(one["code"], str(one.get("message", one.get("msg", ""))), one["fix"])
            for one in model.problems(result)
        )


def play(scene: Scene) -> Result:
    """Raise where the scene does not go as it should."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # their files are written through to the disk
    with tempfile.TemporaryDirectory(prefix="fixes-", dir=memory) as folder, pytest.MonkeyPatch.context() as patch:
        stage = Stage(scene, Path(folder), patch)
        scene.act(stage)
    assert stage.passed, "nothing has run after the fix"
    fixes = [fix.replace(folder, "") for fix in stage.fixes]
    return Result(scene, list(dict.fromkeys(fixes)), scene.applied, "passes")


def results(scenes: Mapping[str, Scenes]) -> dict[str, dict[str, Result]]:
    """What each of them says now, for the page."""
    return {subject: {scene.name: _result(scene) for scene in part} for subject, part in scenes.items()}


def _result(scene: Scene) -> Result:
    try:
        return play(scene)
    except Exception as error:  # the unit tests say more of it
        return Result(scene, applied=scene.applied, broken=str(error))

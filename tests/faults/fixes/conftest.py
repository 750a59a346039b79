"""A lab host on which every fix is tried, and the page that says what became of each."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(CHECKOUT / "tests" / "lab"))

import lab
from ansible_collections.slipway.go.tests.faults.fixes import files, scene, table
from ansible_collections.slipway.go.tests.faults.fixes.bench import Bench
from ansible_collections.slipway.go.tests.faults.fixes.model import Result, Row
from ansible_collections.slipway.go.tests.faults.fixes.rows import SCENES, SUBJECTS

LAB = os.environ.get("SLIPWAY_LAB", "fixes")
WORK = CHECKOUT / ".work" / "fixes" / LAB
STORE = CHECKOUT / ".work" / "fixes" / "results.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--page", type=Path, help="write the table into this page, too")


class Trials:
    """The rows that pytest has chosen. Those of a subject run together, when the first of them is asked for."""

    def __init__(self, bench: Bench, chosen: dict[str, list[Row]]) -> None:
        self._bench, self._chosen = bench, chosen
        self.results: dict[str, dict[str, Result]] = {}
        self._tried: set[str] = set()

    def result(self, subject: str, row: Row) -> Result:
        if subject not in self._tried:
            self._tried.add(subject)
            files.PREPARE[subject](self._bench)
            results = self._bench.execute(self._chosen[subject])
            self.results[subject] = {result.row.name: result for result in results}
        assert subject in self.results, f"the rows of {subject} were not run"
        return self.results[subject][row.name]


@pytest.fixture(scope="session")
def trials(request: pytest.FixtureRequest) -> Iterator[Trials]:
    chosen: dict[str, list[Row]] = {}
    for item in request.session.items:
        subject, row = item.callspec.params["subject"], item.callspec.params["row"]
        chosen.setdefault(subject, []).append(row)
    inventory = lab.up(LAB, 1, ["bookworm"])
    (name,) = json.loads(inventory.read_text())["all"]["hosts"]
    WORK.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        found = Trials(Bench(f"slipway-{LAB}-{name}", inventory, WORK, stack), chosen)
        yield found
    table.record(STORE, found.results)
    page = request.config.getoption("--page")
    if page:
        every = {**table.recorded(STORE, SUBJECTS), **scene.results(SCENES)}
        page.write_text(table.markdown(every), encoding="utf-8")
    if not os.environ.get("SLIPWAY_LAB_KEEP"):
        lab.down(LAB)

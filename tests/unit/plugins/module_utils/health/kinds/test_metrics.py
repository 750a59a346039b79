"""What a page of counters may say, and what it may not hide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health import parsing, runner
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.health import hostile
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.health.kinds import metrics_fuzz


def judged(*pages: bytes, **wanted: Any) -> dict[str, Any]:
    listener = hostile.listen("tcp", Path("/"))
    with hostile.Server(listener, hostile.scrapes(*pages)):
        spec = {
            "kind": "metrics",
            "url": f"http://127.0.0.1:{listener.getsockname()[1]}/metrics",
            "metrics": {"window": 0.01, "requests": "requests_total", "max_error_ratio": 0.01, **wanted},
        }
        if "deadline" in wanted:
            spec["deadline"], spec["interval"] = spec["metrics"].pop("deadline"), 0.01
        return runner.run(parsing.parse_check(spec)).as_dict()


def twice(line: str) -> tuple[bytes, bytes]:
    return hostile.page((line, 1000)), hostile.page((line, 2000))


def test_what_was_found_instead_of_the_label_is_said() -> None:
    found = judged(*twice('requests_total{method="GET",status="500"}'))
    assert (found["state"], found["reason"]) == ("warn", "inconclusive")
    assert "1 of 1 series of requests_total have no label code, such as requests_total{method=" in found["message"]
    assert "the labels there are method, status" in found["message"]
    assert "set metrics.status_label" in found["message"]
    assert (found["details"]["labels"], found["details"]["unlabelled"]) == (["method", "status"], 1)


def test_with_the_label_named_the_errors_are_seen() -> None:
    found = judged(*twice('requests_total{method="GET",status="500"}'), status_label="status")
    assert (found["state"], found["reason"]) == ("fail", "metrics")
    assert "100.00% of 1000 requests failed" in found["message"]


@pytest.mark.parametrize("label", ["", '{code=""}', "{}"])
def test_a_series_without_a_status_is_no_pass(label: str) -> None:
    pages = [hostile.page((f"requests_total{label}", n), ('requests_total{code="200"}', 1000 * n)) for n in (1, 2)]
    assert judged(*pages)["reason"] == "inconclusive"


def test_errors_that_are_seen_are_a_failure_also_beside_series_without_a_status() -> None:
    pages = [hostile.page(("requests_total", 100 * n), ('requests_total{code="500"}', 1000 * n)) for n in (1, 2)]
    assert judged(*pages)["reason"] == "metrics"


def test_a_label_that_holds_something_else_takes_a_pattern() -> None:
    pages = twice('requests_total{code="Internal"}')
    found = judged(*pages)
    assert found["reason"] == "inconclusive"
    assert "'Internal', no HTTP status: set metrics.errors" in found["message"]
    assert judged(*pages, errors="Internal|Unknown")["reason"] == "metrics"
    assert judged(*pages, errors="Unknown")["state"] == "pass"


def test_classes_of_statuses_are_statuses() -> None:
    assert judged(*twice('requests_total{code="2xx"}'))["state"] == "pass"
    assert judged(*twice('requests_total{code="5xx"}'))["reason"] == "metrics"


def test_after_a_restart_the_next_window_decides() -> None:
    counts = [(900, 9), (50, 0), (100, 0), (150, 0), (200, 0), (250, 0)]
    found = judged(*(hostile.errors(*pair) for pair in counts), deadline=10)
    assert found["state"] == "pass"
    assert found["details"]["requests"] == 50
    without = judged(*(hostile.errors(*pair) for pair in counts))
    assert "2 series of requests_total fell or went away" in without["message"]


STARTED = "process_start_time_seconds"
CREATED = 'requests_created{code="200"}'


def by_code(well: int, badly: int, *more: tuple[str, float]) -> bytes:
    return hostile.page(('requests_total{code="200"}', well), ('requests_total{code="500"}', badly), *more)


@pytest.mark.parametrize("start", [STARTED, CREATED])
def test_a_restart_is_seen_where_the_new_counters_are_higher(start: str) -> None:
    def pages(now: float, badly: int = 100) -> list[bytes]:
        return [by_code(1, badly, (start, 1700000000.25)), by_code(100, badly, (start, now))]

    assert judged(*pages(1700000000.26))["state"] == "pass"
    found = judged(*pages(1700000030.5))
    assert (found["state"], found["reason"]) == ("fail", "metrics")
    assert "50.00% of 200 requests failed" in found["message"], "all of them after the restart"
    found = judged(*pages(1700000030.5, 0))
    assert (found["state"], found["reason"]) == ("warn", "inconclusive")
    assert f"{start} was 1700000000 and is 1700000030: a restart in the window" in found["message"]


def test_after_a_restart_that_no_counter_shows_the_next_window_decides() -> None:
    pages = [by_code(n, 0, (STARTED, at)) for n, at in ((1, 100), (100, 200), (200, 200), (300, 200))]
    found = judged(*pages, deadline=10)
    assert (found["state"], found["details"]["requests"]) == ("pass", 100)


def test_no_page_passes_that_another_parser_sees_errors_in() -> None:
    reasons, wrong = metrics_fuzz.run(3000, 20)
    assert wrong == []
    assert min(reasons["ok"], reasons["metrics"], reasons["inconclusive"]) > 50


def test_the_fuzz_would_find_a_parser_that_splits_at_every_separator(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = metrics_fuzz.verdict

    def split(pages: tuple[str, str]) -> tuple[str, str]:
        read = tuple("\n".join(line for line in page.splitlines() if line.startswith("http_")) for page in pages)
        return verdict((read[0] + "\n", read[1] + "\n"))

    monkeypatch.setattr(metrics_fuzz, "verdict", split)
    assert metrics_fuzz.run(1000, 20)[1]

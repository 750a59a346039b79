"""What health pages say of a service and of its components."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health import parsing, runner
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import Attempt
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.health import hostile


def asked(page: Any, preset: str, tmp_path: Any, status: str = "200 OK") -> Attempt:
    listener = hostile.listen("tcp", tmp_path)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with hostile.Server(listener, hostile.answer(hostile.http(json.dumps(page).encode(), status))):
        return runner.attempt(parsing.parse_check({"kind": "http", "url": url, "preset": preset}))


def spring(status: str, **parts: Any) -> dict[str, Any]:
    return {"status": status, **parts}


DOWN = {"status": "DOWN"}
UP = {"status": "UP"}


@pytest.mark.parametrize(
    ("preset", "page", "part"),
    [
        ("spring", spring("UP", components={"db": DOWN, "disk": UP}), "db (DOWN)"),
        ("spring", spring("UP", components={"db": {"status": "OUT_OF_SERVICE"}}), "db (OUT_OF_SERVICE)"),
        ("spring", spring("UP", components={"db": {"status": "FATAL"}}), "db (FATAL)"),
        ("spring", spring("UP", components={"db": {"components": {"one": DOWN}}}), "db.one (DOWN)"),
        ("spring", spring("UP", details={"db": DOWN}), "db (DOWN)"),
        ("spring", spring("UP", checks=[{"name": "db", **DOWN}]), "db (DOWN)"),
        ("health_json", {"status": "pass", "checks": {"db:time": [{"status": "fail"}]}}, "db:time (fail)"),
        ("health_json", {"status": "pass", "checks": {"db": [{"status": "pass"}, {"status": "warn"}]}}, "db (warn)"),
        ("health_json", {"status": "UP", "checks": [UP, {"name": "db", **DOWN}]}, "db (DOWN)"),
    ],
)
def test_a_component_that_is_down_is_a_warning(preset: str, page: Any, part: str, tmp_path: Any) -> None:
    found = asked(page, preset, tmp_path)
    assert (found.state, found.reason) == ("warn", "degraded")
    assert found.message.endswith(f"calls itself {page['status']} in spite of {part}")
    assert found.details["unhealthy"] == [part]


@pytest.mark.parametrize(
    ("preset", "page"),
    [
        ("spring", spring("UP", components={"db": UP})),
        ("spring", spring("UP", components={"clients": {"status": "UNKNOWN"}})),
        ("spring", spring("UP", components={"db": {"status": "UP", "details": {"pool": {"status": "ACTIVE"}}}})),
        ("spring", spring("UP", groups=["liveness"])),
        ("health_json", {"status": "pass", "checks": {"db": [{"status": "pass"}, "odd"], "odd": 7}}),
        ("health_json", {"status": "pass", "checks": "odd"}),
    ],
)
def test_what_is_well_passes(preset: str, page: Any, tmp_path: Any) -> None:
    assert asked(page, preset, tmp_path).state == "pass"


@pytest.mark.parametrize("status", ["200 OK", "503 Service Unavailable"])
def test_what_is_down_fails_because_of_its_components(status: str, tmp_path: Any) -> None:
    found = asked(spring("DOWN", components={"db": DOWN}), "spring", tmp_path, status)
    assert (found.state, found.reason) == ("fail", "status")
    assert "calls itself DOWN because of db (DOWN)" in found.message

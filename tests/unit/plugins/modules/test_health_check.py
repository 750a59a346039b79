"""The module: its arguments and its results."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._health import outcome, parsing, runner
from ansible_collections.slipway.go.plugins.module_utils._health.spec.check import COMMON_OPTIONS
from ansible_collections.slipway.go.plugins.module_utils._release.operator import metrics
from ansible_collections.slipway.go.plugins.modules import health_check
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.health import hostile

DOCUMENTED = yaml.safe_load(health_check.DOCUMENTATION)["options"]
RETURNED = yaml.safe_load(health_check.RETURN)


class Finished(Exception):
    pass


class FakeModule:
    def __init__(self, **params: Any) -> None:
        self.params = {"fail_on": "fail", "keep_attempts": 5, **params}

    def exit_json(self, **result: Any) -> None:
        raise Finished(result)

    def fail_json(self, **result: Any) -> None:
        raise Finished({"failed": True, **result})


def run(**params: Any) -> dict[str, Any]:
    return health_check._work(FakeModule(**params))  # type: ignore[arg-type]


TRUE = {"name": "yes", "kind": "exec", "command": ["/bin/true"]}
FALSE = {"name": "no", "kind": "exec", "command": ["/bin/false"]}
WARNS = {"name": "so so", "kind": "exec", "command": ["/bin/false"], "warn_rc": [1]}


def test_every_option_of_a_check_is_an_option_of_the_module() -> None:
    spec = health_check._argument_spec()["checks"]["options"]
    assert set(spec) == parsing.every_option()


def test_defaults_are_those_of_a_check() -> None:
    made = parsing.parse_check({"kind": "http", "url": "http://h/"})
    for name, option in health_check._argument_spec()["checks"]["options"].items():
        if "default" in option:
            assert getattr(made, name) == option["default"], name


def test_every_kind_s_own_options_are_unset_by_default() -> None:
    # A default would look as if it had been given, and belong to another kind.
    for name, option in health_check._argument_spec()["checks"]["options"].items():
        assert "default" not in option or name in COMMON_OPTIONS


def test_the_documented_results_are_the_real_ones() -> None:
    found = run(checks=[TRUE])
    documented = RETURNED["checks"]["contains"]
    assert list(found["checks"][0]) == list(documented)
    assert set(found["checks"][0]["latency"]) == set(documented["latency"]["sample"])
    assert set(found["checks"][0]["process"]) == set(documented["process"]["sample"])
    failed = run(checks=[FALSE])["checks"][0]
    assert set(failed["last_attempts"][0]) == set(documented["last_attempts"]["sample"][0])


def test_the_documented_reasons_are_the_closed_list_in_its_words() -> None:
    lines = RETURNED["checks"]["contains"]["reason"]["description"][1:]
    told = dict(line[2:].split(") ", 1) for line in lines)
    plain = {reason: re.sub(r"O\(checks\[\]\.(\w+)\)", r"\1", words).rstrip(".") for reason, words in told.items()}
    assert plain == outcome.REASONS


@pytest.mark.parametrize(
    ("checks", "fail_on", "state", "failed"),
    [
        ([TRUE], "fail", "pass", False),
        ([TRUE, FALSE], "fail", "fail", True),
        ([TRUE, WARNS], "fail", "warn", False),
        ([TRUE, WARNS], "warn", "warn", True),
        ([FALSE, WARNS], "never", "fail", False),
    ],
)
def test_what_fails_the_task(checks: list[Any], fail_on: str, state: str, failed: bool) -> None:
    found = run(checks=checks, fail_on=fail_on)
    assert (found["state"], found["failed"], found["changed"]) == (state, failed, False)


def test_the_message_says_what_does_not_pass() -> None:
    assert run(checks=[TRUE])["msg"] == "1 of 1 checks pass"
    assert run(checks=[TRUE, FALSE])["msg"] == "no: /bin/false exits with 1 (exec)"


def test_the_attempts_kept(monkeypatch: Any) -> None:
    spec = {**FALSE, "fall": 4, "interval": 0}
    assert len(run(checks=[spec], keep_attempts=2)["checks"][0]["last_attempts"]) == 2
    assert run(checks=[spec], keep_attempts=0)["checks"][0]["last_attempts"] == []


def test_a_mistake_is_refused_before_anything_is_tried(monkeypatch: Any) -> None:
    monkeypatch.setattr(runner, "run", None)
    with pytest.raises(SlipwayError, match="timeout is -1"):
        run(checks=[TRUE, {**FALSE, "timeout": -1}])


def test_examples_are_valid() -> None:
    for task in yaml.safe_load(health_check.EXAMPLES):
        parsing.parse_checks(task["slipway.go.health_check"]["checks"])


def test_the_guide_knows_every_reason_metric_and_case() -> None:
    docs = Path(health_check.__file__).resolve().parents[2] / "docs"
    guide = (docs / "guide" / "health.md").read_text()
    assert (
        dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", guide.partition("closed list")[2], re.MULTILINE)) == outcome.REASONS
    )
    assert set(re.findall(r"`(slipway_\w+)`", guide)) == set(
        re.findall(r'"(slipway_\w+)"', Path(metrics.__file__).read_text())
    )
    shown = re.findall(
        r"^\| ([^|]+) \| [^|]+ \| right, [^|]+ \|", (docs / "evidence" / "health-cases.md").read_text(), re.MULTILINE
    )
    assert shown == [case.name for case in hostile.CASES]
    assert f"The tests run {len(hostile.CASES)} cases" in guide


@pytest.mark.parametrize("check_mode", [False, True])
def test_as_a_module_of_its_own(check_mode: bool) -> None:
    code = (
        "import json, sys\n"
        "from ansible.module_utils import basic\n"
        "basic._ANSIBLE_ARGS = sys.stdin.buffer.read()\n"
        "basic._ANSIBLE_PROFILE = 'legacy'\n"
        "from ansible_collections.slipway.go.plugins.modules import health_check\n"
        "health_check.main()\n"
    )
    arguments = {"ANSIBLE_MODULE_ARGS": {"checks": [TRUE], "_ansible_check_mode": check_mode}}
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(arguments).encode(), stdout=subprocess.PIPE, check=True
    )
    found = json.loads(done.stdout)
    assert (found["state"], found["changed"], found["checks"][0]["reason"]) == ("pass", False, "ok")

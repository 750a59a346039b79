"""Scenes of options that cannot be meant: those of a health check, and those of a survey, which are all texts."""

from __future__ import annotations

import functools
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.module_utils._health.kinds.registry import KINDS
from ansible_collections.slipway.go.plugins.module_utils._health.kinds.thresholds import _NAMES as THRESHOLDS
from ansible_collections.slipway.go.plugins.module_utils._health.parsing import parse_check, parse_checks
from ansible_collections.slipway.go.plugins.module_utils._release.probe import MAX_RATE, parse_plan
from ansible_collections.slipway.go.plugins.modules import release
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import hooks
from ansible_collections.slipway.go.plugins.plugin_utils._run import freezes
from ansible_collections.slipway.go.tests.faults.fixes.inputs import METRICS, PAGE, WINDOW, refused
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.unit.plugins.action.test_release import Action
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder

SCENES = Scenes()
TLS = {"kind": "https", "url": "https://127.0.0.1/"}
SOCKET = {"kind": "unix", "address": "/run/shop.sock"}
RATIO = {"requests": "http_requests_total", "max_error_ratio": 0.01}
QUANTILE = {"histogram": "http_request_duration_seconds", "max_quantile": 0.5}
KEY = {"client_key": "/etc/shop/key.pem"}

for how, fix, wrong, right in (
    (
        "a range of statuses is the wrong way round",
        "write the lower number first",
        {**PAGE, "status": ["299-200"]},
        {**PAGE, "status": ["200-299"]},
    ),
    (
        "an assertion names no header",
        "name the header",
        {**PAGE, "assert_headers": [{"equals": "text/html"}]},
        {**PAGE, "assert_headers": [{"name": "Content-Type", "equals": "text/html"}]},
    ),
    (
        "an assertion names no path",
        "write a path such as $.components.db.status",
        {**PAGE, "assert_json": [{"equals": "UP"}]},
        {**PAGE, "assert_json": [{"path": "$.components.db.status", "equals": "UP"}]},
    ),
    (
        "a path of an assertion cannot be read",
        "write a path such as $.components.db.status or $.checks[*].status",
        {**PAGE, "assert_json": [{"path": "$.checks[first].status", "equals": "UP"}]},
        {**PAGE, "assert_json": [{"path": "$.checks[*].status", "equals": "UP"}]},
    ),
    (
        "assertions are a dictionary",
        "write it as a list",
        {**PAGE, "assert_json": {"path": "$.status"}},
        {**PAGE, "assert_json": [{"path": "$.status"}]},
    ),
    (
        "body_regex cannot be read",
        "correct the expression",
        {**PAGE, "body_regex": "(up"},
        {**PAGE, "body_regex": "up"},
    ),
    (
        "warn_rc has the status of success",
        "give exit statuses from 1 to 255",
        {"kind": "exec", "command": ["/bin/true"], "warn_rc": [0]},
        {"kind": "exec", "command": ["/bin/true"], "warn_rc": [1]},
    ),
    (
        "two options say where to connect",
        "give one of the two",
        {**PAGE, "unix_socket": "/run/shop.sock", "address": "127.0.0.1:8080"},
        {**PAGE, "unix_socket": "/run/shop.sock"},
    ),
    (
        "a proxy with TLS",
        "write http://HOST:PORT",
        {**PAGE, "proxy": "https://127.0.0.1:3128"},
        {**PAGE, "proxy": "http://127.0.0.1:3128"},
    ),
    ("url has the scheme of another kind", "use kind https", {**TLS, "kind": "http"}, TLS),
    (
        "url holds a password",
        "put it in a file and name that in authorization_file",
        {**PAGE, "url": "http://user:secret@127.0.0.1:8080/"},
        {**PAGE, "authorization_file": "/etc/shop/authorization"},
    ),
    (
        "body_contains is a switch",
        "quote it as one string",
        {**PAGE, "body_contains": True},
        {**PAGE, "body_contains": "true"},
    ),
    (
        "validate_certs is a word",
        "use true or false",
        {**TLS, "validate_certs": "never"},
        {**TLS, "validate_certs": False},
    ),
    (
        "the deadline is over before the check begins",
        "give more than 30 s",
        {**PAGE, "initial_delay": 30, "deadline": 30},
        {**PAGE, "initial_delay": 30, "deadline": 31},
    ),
    (
        "a socket with TLS has no name",
        "give server_name",
        {**SOCKET, "tls": True},
        {**SOCKET, "tls": True, "server_name": "shop.example.com"},
    ),
    ("a socket has a family", "remove it", {**SOCKET, "family": "4"}, SOCKET),
    (
        "a key without its certificate",
        "name the certificate too",
        {**TLS, **KEY},
        {**TLS, **KEY, "client_cert": "/etc/shop/cert.pem"},
    ),
    (
        "metrics are not there",
        "say what to compare: requests or histogram, and a threshold",
        METRICS,
        {**METRICS, "metrics": RATIO},
    ),
    (
        "metrics have no counter",
        "name the counter of requests, such as http_requests_total",
        {**METRICS, "metrics": {"max_error_ratio": 0.01}},
        {**METRICS, "metrics": RATIO},
    ),
    (
        "metrics have no histogram",
        "name the histogram, such as http_request_duration_seconds",
        {**METRICS, "metrics": {"max_quantile": 0.5}},
        {**METRICS, "metrics": QUANTILE},
    ),
    (
        "a quantile is a percentage",
        "give a number between 0 and 1, such as 0.99",
        {**METRICS, "metrics": {**QUANTILE, "quantile": 99}},
        {**METRICS, "metrics": {**QUANTILE, "quantile": 0.99}},
    ),
    (
        "the timeout ends before the window of metrics",
        "raise timeout or shorten metrics.window",
        {**METRICS, "timeout": 5, "metrics": {**RATIO, "window": 10}},
        {**METRICS, "timeout": 11, "metrics": {**RATIO, "window": 10}},
    ),
    (
        "the window of metrics is longer than the timeout",
        "raise timeout or shorten metrics.window",
        {**METRICS, "timeout": 5, "metrics": {**RATIO, "window": 10}},
        {**METRICS, "timeout": 5, "metrics": {**RATIO, "window": 4}},
    ),
    (
        "a page over a unix socket is at a port",
        "give the path of the socket in address or unix_socket",
        {**PAGE, "kind": "unix", "address": "127.0.0.1:8080"},
        {**PAGE, "kind": "unix", "address": "/run/shop.sock"},
    ),
    (
        "the address of a unix socket is a port",
        "write an absolute path, or use kind tcp",
        {**SOCKET, "address": "127.0.0.1:8080"},
        {"kind": "tcp", "address": "127.0.0.1:8080"},
    ),
    (
        "a socket without a page has a status",
        "give url, or remove it",
        {**SOCKET, "status": [200]},
        {**SOCKET, "status": [200], "url": "http://localhost/"},
    ),
):
    refused("health_option", how, fix, parse_check, wrong, right, "release_health", SCENES)

KINDS_OF_CHECKS = f"use one of {', '.join(KINDS)}"
for how, fix, wrong, right in (
    ("kind is not there", KINDS_OF_CHECKS, {"url": PAGE["url"]}, PAGE),
    ("kind is a word", KINDS_OF_CHECKS, {**PAGE, "kind": "ping"}, PAGE),
    (
        "an option of metrics is not known",
        f"use one of {', '.join(sorted(THRESHOLDS))}",
        {**METRICS, "metrics": {**RATIO, "xyz": 1}},
        {**METRICS, "metrics": RATIO},
    ),
):
    refused("health_option", how, fix, parse_check, wrong, right, "release_health", SCENES)

for how, fix, wrong in (
    ("there is no check", "give at least one check", []),
    ("two checks have one name", "give every check a name of its own", [PAGE, PAGE]),
):
    right = [PAGE, {**PAGE, "name": "again"}]
    refused("health_option", how, fix, parse_checks, wrong, right, "checks", SCENES)

# --- what a survey hands over


def released(stage: Stage, **given: Any) -> Any:
    """What the controller's half of the release does with the options, with a host that says that all is done."""
    program = stage.folder / "shop"
    if not program.exists():
        ElfBuilder(type=EXEC).write(program)
    stage.patch.setattr(constants, "DEFAULT_LOCAL_TMP", str(stage.folder))
    stage.patch.setattr(ActionBase, "run", lambda _self, _tmp, _variables: {})
    told = {"name": "shop", "version": "1.0", "src": str(program), "strategy": "restart", **given}
    return Action(told, [{"changed": True, "action": "release"}]).run(task_vars={})


for code, variable, wrong, right, fix in (
    ("invalid_group", "service_group", ["shop"], "shop", "give service_group as one text, in quotes"),
    (
        "invalid_duration",
        "release_soak_time",
        "30s",
        "30",
        "give release_soak_time as a number without a unit, for example 30",
    ),
    ("invalid_keep", "release_keep", "3 GB", "3", "give release_keep as a whole number without a unit, for example 5"),
    (
        "invalid_listen",
        "service_listen",
        {"port": 8080},
        "8080, 8081",
        "give service_listen as a list, or as its elements with commas between them",
    ),
    (
        "invalid_listen",
        "service_listen",
        ["8080", ["8081"]],
        ["8080"],
        "correct that element of service_listen, or leave it out",
    ),
    (
        "invalid_smoke",
        "release_smoke",
        "/usr/bin/check --fast",
        "[[/usr/bin/check, --fast]]",
        "give release_smoke as a list of commands, each a list of words",
    ),
    ("invalid_environment", "release_environment", "LOG=debug", "LOG: debug", "write it as name: value pairs"),
):

    @SCENES.row(code, f"{variable} is {wrong}", literal(fix), f"another `{variable}`")
    def _scene(stage: Stage, option: str = variable.partition("_")[2], values: Any = (wrong, right)) -> None:
        wrong, right = values
        stage.fails(lambda: released(stage, **{option: wrong}))
        assert stage.passes(lambda: released(stage, **{option: right}))["action"] == "release"


@SCENES.row(
    "invalid_vulnerability_grace",
    "the grace is a year of our calendar",
    literal("give a number of days"),
    "another `release_vulnerability_grace`",
)
def _scene(stage: Stage) -> None:
    stage.fails(lambda: released(stage, policy={"vulnerability_grace": 99999}))
    assert stage.passes(lambda: released(stage, policy={"vulnerability_grace": 14}))["action"] == "release"


refused(
    "invalid_freeze",
    "release_freeze is one window",
    "give release_freeze as a list of dictionaries",
    freezes.parse,
    WINDOW,
    [WINDOW],
    "release_freeze",
    SCENES,
)
refused(
    "invalid_duration",
    "release_step_timeout is 0",
    "give whole seconds, more than 0",
    hooks.timeout,
    "0",
    "600",
    "release_step_timeout",
    SCENES,
)
refused(
    "invalid_probe",
    "release_probe asks more often than this host could",
    f"give requests a second, 0 (no probe) to {MAX_RATE:g}",
    functools.partial(parse_plan, PAGE),
    {"rate": 2 * MAX_RATE},
    {"rate": MAX_RATE},
    "release_probe",
    SCENES,
)


def taken_in(max_size: int) -> Any:
    """What the host's half of the release makes of the options that say what to take in."""
    given = {"name": "shop", "version": "1.0", "src": "/srv/shop", "binary": "", "max_size": max_size}
    trusted = {"signature_of": "artefact", "minisign_keys": [], "signer": "", "signature_namespace": "file"}
    fetched = {"fetch_timeout": 300.0, "fetch_headers": {}}
    policy = {name: option.get("default") for name, option in release.POLICY.items()}
    return release.request({**given, **trusted, **fetched, "policy": policy, **release.UNSEALED})


refused(
    "invalid_limit",
    "release_max_size is 0",
    "give a number above 0",
    taken_in,
    0,
    200,
    "release_max_size",
    SCENES,
)

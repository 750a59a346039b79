"""Scenes of values that cannot be meant: each is refused, and accepted when it is as the fix says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.module_utils._binary.facts import read_binary
from ansible_collections.slipway.go.plugins.module_utils._build import request, targets
from ansible_collections.slipway.go.plugins.module_utils._compliance import controls
from ansible_collections.slipway.go.plugins.module_utils._deadman import model as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import snapshot
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import RevertPlan
from ansible_collections.slipway.go.plugins.module_utils._health.parsing import parse_check
from ansible_collections.slipway.go.plugins.module_utils._host import processes, sockets
from ansible_collections.slipway.go.plugins.module_utils._release import preflight
from ansible_collections.slipway.go.plugins.module_utils._release.probe import parse_plan
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Once, validate_smoke
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.verdict import Rule
from ansible_collections.slipway.go.plugins.plugin_utils._artefact import choice
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import comparison, standing, way_back
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.balancers import Balancers
from ansible_collections.slipway.go.plugins.plugin_utils._input import declared_services
from ansible_collections.slipway.go.plugins.plugin_utils._notices import destinations
from ansible_collections.slipway.go.plugins.plugin_utils._run import freezes
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.faults.fixes.swaps import bare
from ansible_collections.slipway.go.tests.unit.plugins.action import test_lease
from ansible_collections.slipway.go.tests.unit.plugins.action.test_release import Action
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder

SCENES = Scenes()
GOOD = request.Request("/src", "/out", "shop", (targets.parse("amd64"), targets.parse("arm64")), "/cache")
LEVELLESS = "https://host/shop-{goarch}"
SUCH = "name each such as amd64, amd64v3, arm64, armv6 or riscv64"
WORDS = "give letters, digits and . _ + - only, a letter or a digit first"
ARTEFACT = "use {name}, {version}, {goos}, {goarch} and {level}, and no folder"
TARGET = "name each target as linux/GOARCH or linux/GOARCH/LEVEL, such as linux/amd64/v3"


def _as_it_is(value: Any, _variables: Any) -> Any:
    return value


def declared(value: Any) -> Any:
    return declared_services.declared({"slipway_services": value}, _as_it_is)


def noticed(entry: Any) -> None:
    destinations.check([entry], lambda _notice: lambda value: value)


CHAT = {"name": "chat", "webhook": {"url": "https://host/x"}}


def refused(
    code: str,
    how: str,
    fix: str,
    run: Callable[[Any], object],
    wrong: Any,
    right: Any,
    named: str,
    scenes: Scenes = SCENES,
) -> None:
    """A row of one value. named: what has another value then."""

    def act(stage: Stage) -> None:
        stage.fails(lambda: run(wrong))
        stage.passes(lambda: run(right))

    scenes.row(code, how, literal(fix), f"another `{named}`")(act)


for how, field, wrong, right, fix in (
    ("build_dest is relative", "dest", "build", "/srv/build", "set build_dest to a path that begins with /"),
    ("build_name has a slash", "name", "../shop", "shop", WORDS),
    ("build_ref is an option of git", "ref", "--upload-pack=x", "v1.2.3", "give a tag, a branch or a commit"),
    (
        "build_package is a module",
        "package",
        "example.com/other",
        "./cmd/shop",
        "give the folder of the program, such as ./cmd/shop",
    ),
    ("build_artefact has a folder", "pattern", "{name}/{goarch}", "{name}-{goarch}", ARTEFACT),
    (
        "build_artefact is the same for two targets",
        "pattern",
        "{name}",
        "{name}-{goarch}{level}",
        "name each target once, and use {goarch} and {level} in build_artefact",
    ),
    (
        "build_variables has what is not known",
        "variables",
        {"user": "main.user"},
        {"version": "main.version"},
        "name only version, commit, time in build_variables",
    ),
    (
        "build_variables has no package",
        "variables",
        {"version": "version"},
        {"version": "main.version"},
        "write it as PACKAGE.NAME, such as main.version",
    ),
    ("build_pgo is absolute", "pgo", "/etc/passwd", "cpu.pprof", "give the profile's path below build_source"),
    ("build_timeout is 0", "timeout", 0, 60, "set build_timeout to the seconds that one command may take"),
    (
        "build_time is a word",
        "time",
        "yesterday",
        "2026-01-31T12:00:00Z",
        "give it as 2026-01-31T12:00:00Z, or in seconds since 1970",
    ),
):
    refused(
        "invalid_build",
        how,
        fix,
        lambda value, field=field: request.check(replace(GOOD, **{field: value})),
        wrong,
        right,
        {"pattern": "build_artefact"}.get(field, f"build_{field}"),
    )

for how, wrong, right, fix in (
    ("build_targets has another system", "windows/amd64", "linux/amd64", TARGET),
    ("a level of build_targets is not known", "amd64/v9", "amd64/v3", "leave the level out, or take one of these"),
    ("build_targets has a level where there is none", "s390x/v1", "s390x", "leave the level out"),
):
    refused("invalid_build", how, fix, targets.parse, wrong, right, "build_targets")
refused(
    "invalid_build",
    "a host has a processor that Go does not build for",
    "set build_targets, or leave that host out of slipway_hosts",
    targets.of_machines,
    ["x86_64", "sparc64"],
    ["x86_64"],
    "slipway_hosts",
)

refused(
    "invalid_smoke",
    "release_smoke is one text",
    "write each command as a list: [/usr/bin/check, --fast]",
    lambda commands: validate_smoke(commands, 30, "18080"),
    ["/usr/bin/check"],
    [["/usr/bin/check"]],
    "release_smoke",
)
refused(
    "invalid_smoke",
    "release_smoke_timeout is 0",
    "give seconds, more than 0",
    lambda seconds: validate_smoke([], seconds, ""),
    0,
    30,
    "release_smoke_timeout",
)
refused(
    "invalid_probe",
    "release_probe is one text",
    "write its options as name: value pairs",
    lambda probe: parse_plan({"url": "http://127.0.0.1:8080/"}, probe),
    "rate=10",
    {"rate": 10},
    "release_probe",
)
refused(
    "invalid_path",
    "a path of an armed change is relative",
    "name files in full",
    lambda path: RevertPlan([path]).validate(),
    "etc/hosts",
    "/etc/hosts",
    "paths",
)
refused(
    "invalid_name",
    "the name of an armed change has a space",
    "use at most 48 of a-z, 0-9, '-', '_', a letter first",
    deadman.validate_name,
    "The firewall",
    "firewall",
    "name",
)


@SCENES.row("not_a_file", "a path of an armed change is a named pipe", literal("leave it out"), "other `paths`")
def _scene(stage: Stage) -> None:
    file, pipe = stage.folder / "file", stage.folder / "pipe"
    file.touch()
    os.mkfifo(pipe)
    stage.fails(lambda: [snapshot.take(str(path)) for path in (file, pipe)])
    stage.passes(lambda: snapshot.take(str(file)))


@SCENES.row("not_found", "the path of a program has a NUL", literal("give the path of a file"), "another path")
def _scene(stage: Stage) -> None:
    path = ElfBuilder(type=EXEC).write(stage.folder / "app")
    stage.fails(lambda: read_binary(f"{path}\0"))
    stage.passes(lambda: read_binary(str(path)))


for what, magic, fix in (
    ("a program for macOS", b"\xcf\xfa\xed\xfe", "build it for Linux: this is a macOS program"),
    ("an archive of objects", b"!<arch>\n", "give the program that was linked from it: this is an archive"),
):

    @SCENES.row("not_elf", f"the artefact is {what}", literal(fix), "the artefact of a build for Linux")
    def _scene(stage: Stage, magic: bytes = magic) -> None:
        path = stage.folder / "app"
        path.write_bytes(magic + bytes(100))
        stage.fails(lambda: read_binary(str(path)))
        ElfBuilder(type=EXEC).write(path)
        stage.passes(lambda: read_binary(str(path)))


@SCENES.row(
    "root_taken",
    "two services with one service_root",
    literal("choose another service_root for store"),
    "another `service_root`",
)
def _scene(stage: Stage) -> None:
    (stage.folder / "shop").mkdir()
    (stage.folder / "shop" / "settings.json").write_text(json.dumps({"root": "/srv/shop"}))
    stage.fails(lambda: preflight.check_root(Layout("store", "/srv/shop", state_root=str(stage.folder))))
    stage.passes(lambda: preflight.check_root(Layout("store", "/srv/store", state_root=str(stage.folder))))


@SCENES.row(
    "port_in_use",
    "another program than HAProxy has the port of users",
    r"stop (?P<other>\w+) \(of this service: systemctl disable --now shop\.socket shop\.service\) and apply the role"
    r" slipway\.go\.proxy, or choose another port",
    "the program is stopped, and the role `proxy`",
)
def _scene(stage: Stage) -> None:
    host = bare(stage, "proxy")
    programs = {8080: {"nginx"}}
    stage.patch.setattr(sockets, "programs", lambda listen: programs if listen else {})
    assert stage.fails(lambda: host.release("v1", listen=["8080"]))["other"] == "nginx"
    programs[8080] = {"haproxy"}
    stage.passes(lambda: host.release("v1", listen=["8080"]))


@SCENES.row(
    "port_in_use",
    "HAProxy has the port of a service that leaves it",
    literal("take the service out of the proxy first (proxy_state: absent), or choose another port"),
    "`proxy_state: absent`",
)
def _scene(stage: Stage) -> None:
    host, listeners = bare(stage, "restart"), {"1": 8080}
    stage.patch.setattr(sockets, "tcp_listeners", lambda: listeners)
    stage.patch.setattr(sockets, "tcp_addresses", lambda: {"1": "0.0.0.0"})
    stage.patch.setattr(sockets, "holders", lambda _inodes: [1])
    stage.patch.setattr(processes, "name", lambda _pid: "haproxy")
    stage.fails(lambda: host.release("v1", listen=["8080"]))
    listeners.clear()
    stage.passes(lambda: host.release("v1", listen=["8080"]))


# --- release_health, as every check of the collection reads it

PAGE = {"kind": "http", "url": "http://127.0.0.1:8080/"}
METRICS = {"kind": "metrics", "url": "http://127.0.0.1:8080/metrics"}
PROXY = "http://127.0.0.1:3128"
ADDRESS = "write HOST:PORT, [IPV6]:PORT or the path of a unix socket"
for how, fix, wrong, right in (
    ("a header has no name", "use a plain name and one line", {**PAGE, "headers": {"": "x"}}, PAGE),
    ("the headers are a list", "write name: value pairs", {**PAGE, "headers": ["x"]}, {**PAGE, "headers": {"a": "x"}}),
    (
        "command is one text",
        "give the program and its arguments as a list, for no shell is used",
        {"kind": "exec", "command": "/bin/true"},
        {"kind": "exec", "command": ["/bin/true"]},
    ),
    ("url is not there", "write http://HOST:PORT/PATH", {"kind": "http"}, PAGE),
    (
        "unit is not there",
        "name the unit, for example shop.service",
        {"kind": "systemd"},
        {"kind": "systemd", "unit": "shop.service"},
    ),
    (
        "the address of a socket is not there",
        "write HOST:PORT or the path of a unix socket",
        {"kind": "unix"},
        {"kind": "unix", "address": "/run/shop.sock"},
    ),
    ("address is a word", ADDRESS, {"kind": "tcp", "address": "shop"}, {"kind": "tcp", "address": "127.0.0.1:8080"}),
    (
        "a connection has a url",
        "remove it, for it belongs to kind http, https, unix, metrics",
        {"kind": "tcp", "address": "127.0.0.1:8080", "url": "http://127.0.0.1/"},
        {"kind": "tcp", "address": "127.0.0.1:8080"},
    ),
    (
        "a proxy is to lead to this very process",
        "remove proxy or identity",
        {**PAGE, "proxy": PROXY, "identity": {"executable": "/opt/shop"}},
        {**PAGE, "proxy": PROXY},
    ),
    (
        "a proxy is to lead to a socket",
        "remove proxy or unix_socket",
        {**PAGE, "proxy": PROXY, "unix_socket": "/run/shop.sock"},
        {**PAGE, "unix_socket": "/run/shop.sock"},
    ),
    (
        "identity is empty",
        "give executable, unit or build_id",
        {**PAGE, "identity": {}},
        {**PAGE, "identity": {"unit": "shop.service"}},
    ),
    (
        "the executable of identity is relative",
        "give the absolute path of the deployed file",
        {**PAGE, "identity": {"executable": "shop"}},
        {**PAGE, "identity": {"executable": "/opt/shop"}},
    ),
    (
        "unix_socket is relative",
        "write an absolute path",
        {**PAGE, "unix_socket": "shop.sock"},
        {**PAGE, "unix_socket": "/run/shop.sock"},
    ),
    (
        "unix_socket is longer than the kernel takes",
        "use a shorter path",
        {**PAGE, "unix_socket": f"/{'a' * 200}"},
        {**PAGE, "unix_socket": "/run/shop.sock"},
    ),
    (
        "a page without TLS has a server_name",
        "use https or tls: true, or remove it",
        {**PAGE, "server_name": "shop.example.com"},
        {"kind": "https", "url": "https://127.0.0.1/", "server_name": "shop.example.com"},
    ),
    (
        "metrics have no threshold",
        "give a threshold to judge by",
        {**METRICS, "metrics": {"requests": "n"}},
        {**METRICS, "metrics": {"requests": "n", "max_error_ratio": 1}},
    ),
):
    refused(
        "health_option",
        how,
        fix,
        lambda spec: parse_check({"name": "release", **spec}),
        wrong,
        right,
        "release_health",
    )

AT = "write it like 2026-12-20T18:00:00+01:00"
MIGRATE = {"command": ["bin/shop", "migrate"]}
WINDOW = {"from": "2026-12-20T18:00:00+01:00", "to": "2027-01-02T08:00:00+01:00", "reason": "the year's accounts"}
DAILY = {"from": "16:00", "to": "18:00", "weekdays": "fri", "zone": "UTC", "reason": "nobody is here at the weekend"}

for how, entry, right, fix in (
    ("is a text", "christmas", WINDOW, "give from, to and reason"),
    ("has a key that is not known", {**WINDOW, "why": "x"}, WINDOW, "use from, to, reason, weekdays, zone"),
    ("has no reason", {**WINDOW, "reason": ""}, WINDOW, "say in reason why nothing is released then"),
    (
        "has an unknown zone",
        {**DAILY, "zone": "Mars/Base"},
        {**DAILY, "zone": "+01:00"},
        "give an offset such as +01:00",
    ),
    ("ends before it begins", {**WINDOW, "to": "2026-12-01T00:00:00Z"}, WINDOW, "set to to a time after from"),
    ("begins with a word", {**WINDOW, "from": "christmas"}, WINDOW, AT),
    (
        "has a time without a zone",
        {**WINDOW, "from": "2026-12-20T18:00:00"},
        {**WINDOW, "from": "2026-12-20T18:00:00", "zone": "+01:00"},
        "add an offset such as +01:00 in quotes, or set zone",
    ),
    ("recurs without a zone", {**DAILY, "zone": ""}, DAILY, "set zone, for example Europe/Berlin or +01:00"),
    (
        "has a day that is none",
        {**DAILY, "weekdays": "today"},
        DAILY,
        "use some of mon, tue, wed, thu, fri, sat, sun",
    ),
    (
        "recurs at a date",
        {**DAILY, "from": "2026-12-20"},
        DAILY,
        "write a time of the day in quotes, such as '16:00'",
    ),
):
    refused("invalid_freeze", f"a window {how}", fix, freezes.parse, [entry], [right], "release_freeze")

for wrong, right in (("1.5", "1"), ("-1", "1"), ("some", "10%"), ("200%", "10%")):
    refused(
        "invalid_max_unavailable",
        f"release_max_unavailable is {wrong}",
        "give a number such as 1, or a percentage such as 10%",
        lambda value: way_back.read_budget(value, 20),
        wrong,
        right,
        "release_max_unavailable",
    )

for wrong, right in (("50%", "canary"), ("0", "2"), ("half", "")):
    refused(
        "invalid_until",
        f"release_until is {wrong}",
        "give canary for the first batch, a number such as 2, or leave it empty",
        way_back.read_until,
        wrong,
        right,
        "release_until",
    )

for how, wrong, right, fix in (
    ("has another name of an architecture", {"x86_64": "a"}, {"amd64": "a"}, SUCH),
    ("has an architecture that is misspelt", {"amd46": "a"}, {"amd64": "a"}, "write 'amd64' in release_src"),
    ("has two artefacts for an architecture", {"amd64": ["a", "b"]}, {"amd64": "a"}, "give amd64 one text"),
):
    refused(
        "invalid_src",
        f"release_src {how}",
        fix,
        lambda value: choice.place(value, "release_src"),
        wrong,
        right,
        "release_src",
    )
for how, right in (
    ("name them", {"amd64v3": "https://host/v3", "amd64": "https://host/v1"}),
    ("do without", LEVELLESS),
):
    refused(
        "invalid_src",
        f"release_src has levels in a URL ({how})",
        "name them in a dictionary, such as amd64v3 and amd64, or leave {level} out",
        lambda value: choice.require_listable(value, True),
        "https://host/shop-{goarch}{level}",
        right,
        "release_src",
    )

for how, wrong, right, fix in (
    ("a list", [{"service_name": "shop"}], {"shop": {}}, "write it as a dictionary of services by their names"),
    ("has a service all", {"all": {}}, {"shop": {}}, "choose another name"),
    ("has a list for a service", {"shop": ["8080"]}, {"shop": {}}, "give shop a dictionary of variables"),
    ("has a name twice", {"shop": {"service_name": "x"}}, {"shop": {}}, "remove it, since shop is the name already"),
    (
        "has a variable of the whole host",
        {"shop": {"ssh_ports": [22]}},
        {"shop": {}},
        "set ssh_ports outside of slipway_services",
    ),
):
    refused("invalid_services", f"slipway_services {how}", fix, declared, wrong, right, "slipway_services")
for how, wrong, right, fix in (
    ("has no way", {"name": "chat"}, CHAT, "give it exactly one of webhook, mail and command"),
    ("has no name", {**CHAT, "name": ""}, CHAT, "give it a name of letters, digits and . _ -"),
    (
        "has the event of a host",
        {**CHAT, "events": ["watch_acted"]},
        {**CHAT, "events": ["failed"]},
        "take it out, and set service_watch_alert",
    ),
    (
        "has a body that is no JSON",
        {"name": "chat", "webhook": {"url": "https://host/x", "body": '{"text": '}},
        {"name": "chat", "webhook": {"url": "https://host/x", "body": {"text": "x"}}},
        "write body as a dictionary, or use the filter to_json",
    ),
    (
        "has no program",
        {"name": "chat", "command": ["/no/such/program"]},
        {"name": "chat", "command": ["/bin/sh"]},
        "install it there",
    ),
):
    refused("invalid_notices", f"an entry {how}", fix, noticed, wrong, right, "slipway_notices")
refused(
    "invalid_services",
    "service_name has several services, and none is declared",
    "declare them in slipway_services",
    lambda value: declared_services.chosen({"service_name": "shop, mailer", "slipway_services": value}, _as_it_is),
    {},
    {"shop": {}, "mailer": {}},
    "slipway_services",
)


@SCENES.row(
    "root_changed",
    "another service_root than that of the releases",
    r"set service_root to (?P<root>\S+), or remove the service first \(slipway\.go\.remove\)",
    "`service_root: ROOT`",
)
def _scene(stage: Stage) -> None:
    old, state = stage.folder / "opt", stage.folder / "state"
    (state / "shop").mkdir(parents=True)
    (state / "shop" / "settings.json").write_text(json.dumps({"root": str(old)}))
    old.mkdir()
    (old / "current").symlink_to("releases/1.0.0-0123456789")

    def check(root: str) -> None:
        preflight.check_root(Layout("shop", root, state_root=str(state)))

    found = stage.fails(lambda: check(str(stage.folder / "srv")))
    stage.passes(lambda: check(found["root"]))


@SCENES.row(
    "port_in_use",
    "the service has another name now",
    r"remove the service (?P<other>\S+) first \(slipway\.go\.remove\) if store replaces it, or choose another port in "
    "service_listen",
    "`slipway.go.remove` for OTHER",
)
def _scene(stage: Stage) -> None:
    record = stage.folder / "shop.json"
    record.write_text("{}")
    stage.patch.setattr(preflight, "SERVICES_ROOT", str(stage.folder))
    stage.patch.setattr(preflight.Systemd, "listening_sockets", lambda _self: [("shop.socket", {8101})])
    stage.patch.setattr(sockets, "tcp_addresses", dict)
    stage.patch.setattr(sockets, "holders", lambda _inodes: [1])
    stage.patch.setattr(sockets, "tcp_listeners", lambda: {"11": 8101} if record.exists() else {})
    stage.fails(lambda: preflight.check_ports("store", ["8101"], set()))
    record.unlink()
    stage.passes(lambda: preflight.check_ports("store", ["8101"], set()))


COMPARED = {"url": "http://prometheus:9090", "requests": "a", "failures": "b"}
NO_PROMETHEUS = dict.fromkeys(COMPARED, "")
BY_HAPROXY = {**NO_PROMETHEUS, "haproxy": "balancer1"}
_TIME = "give 1 to 86400 seconds"
for how, wrong, repair, right in (
    ("an entry that there is not", {"querry": "a"}, f"use {', '.join(comparison.ACCEPTED)}", {}),
    ("no query for failures", {"failures": ""}, "give failures, or leave release_compare empty", {"failures": "b"}),
    ("a time of 0 seconds", {"time": 0}, _TIME, {"time": 60}),
    (
        "a URL without its scheme",
        {"url": "prometheus:9090"},
        "give the URL of Prometheus, with https:// or http://",
        {"url": "http://prometheus:9090"},
    ),
    ("HAProxy and Prometheus", {"haproxy": ["b"]}, "give either haproxy or url and its queries", {}),
    (
        "a backend of nobody",
        {"backend": "shop"},
        "give haproxy, the load balancers, or leave that out",
        {"backend": ""},
    ),
    (
        "a time and nobody to ask",
        {**NO_PROMETHEUS, "time": 60},
        "give haproxy, or url, requests, failures, or leave release_compare empty",
        {"time": 60},
    ),
    (
        "a socket without its folder",
        {**BY_HAPROXY, "socket": "admin.sock"},
        "give the path of HAProxy's socket on the load balancers",
        {**BY_HAPROXY, "socket": "/run/haproxy/admin.sock"},
    ),
    ("a backend with a blank", {**BY_HAPROXY, "backend": "a b"}, "correct backend", {**BY_HAPROXY, "backend": "shop"}),
):
    refused(
        "invalid_compare",
        how,
        repair,
        comparison.parse,
        {**COMPARED, **wrong},
        {**COMPARED, **right},
        "release_compare",
    )


@SCENES.row("invalid_compare", "a query that Prometheus cannot read", "correct that query", "another query")
def _scene(_stage: Stage) -> None:
    def ask(query: str) -> Any:
        if query == "rate(":
            raise comparison.Unanswered("http://prometheus:9090 answers 400 (parse error) to rate(", True)
        return []

    wanted = comparison.Comparison(**COMPARED)
    _stage.fails(lambda: comparison.check(comparison.by_queries(ask, replace(wanted, requests="rate("))))
    _stage.passes(lambda: comparison.check(comparison.by_queries(ask, wanted)))


@SCENES.row(
    "invalid_compare",
    "a load balancer that the inventory does not have",
    literal("name the hosts that run the load balancers, such as groups['balancers']"),
    "another name",
)
def _scene(_stage: Stage) -> None:
    hosts = ["web1", "balancer1"]
    _stage.fails(lambda: comparison.require_known(comparison.Comparison(haproxy=("balancer",)), hosts))
    _stage.passes(lambda: comparison.require_known(comparison.Comparison(haproxy=("balancer1",)), hosts))


@SCENES.row("invalid_compare", "a backend that HAProxy does not have", comparison.CORRECT_BACKEND, "the backend's name")
def _scene(_stage: Stage) -> None:
    def unknown() -> Any:
        raise comparison.Unanswered("balancer1: HAProxy has no backend ship with servers; it has shop", True)

    _stage.fails(lambda: comparison.check(Balancers({"balancer1": unknown}).check, comparison.CORRECT_BACKEND))
    _stage.passes(lambda: comparison.check(Balancers({"balancer1": dict}).check, comparison.CORRECT_BACKEND))


def _figures(failed: int, requests: int) -> dict[str, Any]:
    """Of a comparison with one host that has the release before."""
    clock = [0.0]

    def ask(query: str) -> Any:
        looks = clock[0] / 10
        share = {"a": {"web1": requests, "web2": 1000}, "b": {"web1": failed}}[query]
        return [({"instance": host}, looks * count) for host, count in share.items()]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    wanted = comparison.Comparison(**COMPARED, time=60.0, interval=10.0)
    return comparison.compare(
        wanted, Rule(), ["web1"], ["web2"], comparison.by_queries(ask, wanted), lambda: clock[0], sleep
    )


def _judged(figures: dict[str, Any], inconclusive: str) -> None:
    against = comparison.objection(figures, inconclusive == "refuse")
    if against is not None:
        raise against


@SCENES.row(
    "fleet_worse",
    "a tenth of its requests fail",
    "see what the release logged, or correct the limit",
    "a release without the defect",
)
def _scene(_stage: Stage) -> None:
    _stage.fails(lambda: _judged(_figures(100, 1000), "accept"))
    _stage.passes(lambda: _judged(_figures(0, 1000), "accept"))


@SCENES.row(
    "fleet_unclear",
    "one request a minute",
    "give release_compare more time, or set release_inconclusive to accept",
    "`release_inconclusive: accept`",
)
def _scene(_stage: Stage) -> None:
    _stage.fails(lambda: _judged(_figures(0, 1), "refuse"))
    _stage.passes(lambda: _judged(_figures(0, 1), "accept"))


def _standing(**answer: str) -> None:
    against = standing.objection("2.0-b", {"current": "2.0-b", "health": "pass", **answer})
    if against is not None:
        raise against


@SCENES.row(
    "fleet_went_back",
    "its watch takes the release back while its batch is compared",
    literal("see sudo slipway history there, then release again"),
    "a run that is compared to its end",
)
def _scene(_stage: Stage) -> None:
    _stage.fails(lambda: _standing(current="1.0-a"))
    _stage.passes(_standing)


@SCENES.row(
    "fleet_down",
    "the release ends for good while its batch is compared",
    "see what the release logged there, then release again",
    "a release without the defect",
)
def _scene(_stage: Stage) -> None:
    _stage.fails(lambda: _standing(health="fail", message="systemd says failed (exit-code)"))
    _stage.passes(_standing)


BOTH = literal("give seconds above 0 for both, or set release_confirm_fleet to 0")
for how, confirm, hold, other in (
    ("release_confirm_fleet without release_confirm", 60, 600, "release_confirm"),
    ("release_confirm is 0 on purpose", 0, 0, "release_confirm_fleet"),
):

    @SCENES.row("invalid_confirm_fleet", how, BOTH, f"another `{other}`")
    def _scene(stage: Stage, confirm: int = confirm, hold: int = hold) -> None:
        program = ElfBuilder(type=EXEC).write(stage.folder / "shop")
        given = {"name": "shop", "version": "1.0", "src": str(program), "strategy": "restart"}
        stage.patch.setattr(constants, "DEFAULT_LOCAL_TMP", str(stage.folder))
        stage.patch.setattr(ActionBase, "run", lambda _self, _tmp, _variables: {})

        def told(**options: Any) -> Any:
            return Action({**given, **options}, [{"changed": True, "action": "release"}]).run(task_vars={})

        stage.fails(lambda: told(confirm=0, hold=600))
        assert stage.passes(lambda: told(confirm=confirm, hold=hold))["action"] == "release"


@SCENES.row(
    "missing_name",
    "a lease is judged of no service",
    literal("set service_name (option name)"),
    "another `service_name`",
)
def _scene(stage: Stage) -> None:
    stage.patch.setattr(constants, "DEFAULT_LOCAL_TMP", str(stage.folder))
    stage.patch.setattr(ActionBase, "run", lambda _self, _tmp, _variables: {})
    judged = {"answer": {"action": "release", "changed": False}}

    def told(**named: str) -> Any:
        return test_lease.Action({**judged, **named}).run(task_vars={"inventory_hostname": "web1"})

    stage.fails(told)
    assert not stage.passes(lambda: told(name="shop")).get("failed")


for how, wrong, right, fix in (
    ("release_once is one text", {"command": "bin/shop migrate"}, MIGRATE, "write it as [bin/shop, migrate]"),
    ("release_once_timeout is 0", {**MIGRATE, "timeout": 0}, MIGRATE, "give seconds, more than 0"),
    (
        "release_once_decision is a word",
        {**MIGRATE, "decision": "yes"},
        {**MIGRATE, "decision": "done-01234567"},
        "use done-ATTEMPT or again-ATTEMPT as the message that asks for it says, or leave it empty",
    ),
):
    refused("invalid_once", how, fix, lambda value: Once(**value), wrong, right, how.split()[0])
refused(
    "invalid_variable",
    "a host has no service",
    "set service_name, or declare services in slipway_services",
    lambda value: declared_services.chosen(value, _as_it_is),
    {},
    {"service_name": "shop"},
    "service_name",
)
for how, wrong, right, fix in (
    (
        "base_controls names a control that there is not",
        {"su_whel": "a reason"},
        {"su_wheel": "a reason"},
        "write su_wheel in base_controls",
    ),
    ("base_controls has a name that means nothing", {"quux": True}, {}, "remove quux from base_controls"),
    (
        "base_controls gives a control a list",
        {"su_wheel": []},
        {"su_wheel": True},
        "set su_wheel to true, or to the reason why it is off",
    ),
    (
        "base_controls turns off what belongs to another role",
        {"ssh_root": False},
        {"ssh_root": "a reason"},
        "write the reason why ssh_root is off",
    ),
):
    refused("invalid_variable", how, fix, controls.check, wrong, right, "base_controls")


def for_arm64(given: dict[str, Any]) -> Any:
    """What a host of that architecture gets."""
    if not choice.is_open(given["src"]):
        choice.require_closed(given)
    host = choice.Processor("aarch64", "arm64", ("arm64",))
    return choice.choose(given, host, lambda _path: True)


OF_BOTH = {"src": {"amd64": "a", "arm64": "b"}, "checksum": {"amd64": "0" * 64, "arm64": "1" * 64}}
refused(
    "invalid_checksum",
    "an architecture of release_src has no checksum",
    "add arm64 to release_checksum",
    for_arm64,
    {**OF_BOTH, "checksum": {"amd64": "0" * 64}},
    OF_BOTH,
    "release_checksum",
)
refused(
    "invalid_checksum",
    "the checksums are by architecture, and the artefact is not",
    "give release_src by architecture, too, or one text in release_checksum",
    for_arm64,
    {**OF_BOTH, "src": "build/shop"},
    OF_BOTH,
    "release_src",
)

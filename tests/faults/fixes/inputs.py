"""Scenes of values that cannot be meant: each is refused, and accepted when it is as the fix says."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._binary.facts import read_binary
from ansible_collections.slipway.go.plugins.module_utils._build import request, targets
from ansible_collections.slipway.go.plugins.module_utils._deadman import model as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import snapshot
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import RevertPlan
from ansible_collections.slipway.go.plugins.module_utils._health.parsing import parse_check
from ansible_collections.slipway.go.plugins.module_utils._host import processes, sockets
from ansible_collections.slipway.go.plugins.module_utils._release.probe import parse_plan
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import validate_smoke
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.faults.fixes.swaps import bare
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder

SCENES = Scenes()
GOOD = request.Request("/src", "/out", "shop", (targets.parse("amd64"), targets.parse("arm64")), "/cache")
WORDS = "give letters, digits and . _ + - only, a letter or a digit first"
ARTEFACT = "use {name}, {version}, {goos}, {goarch} and {level}, and no folder"
TARGET = "name each target as linux/GOARCH or linux/GOARCH/LEVEL, such as linux/amd64/v3"


def refused(code: str, how: str, fix: str, run: Callable[[Any], object], wrong: Any, right: Any, named: str) -> None:
    """A row of one value. named: what has another value then."""

    def act(stage: Stage) -> None:
        stage.fails(lambda: run(wrong))
        stage.passes(lambda: run(right))

    SCENES.row(code, how, literal(fix), f"another `{named}`")(act)


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
def _(stage: Stage) -> None:
    file, pipe = stage.folder / "file", stage.folder / "pipe"
    file.touch()
    os.mkfifo(pipe)
    stage.fails(lambda: [snapshot.take(str(path)) for path in (file, pipe)])
    stage.passes(lambda: snapshot.take(str(file)))


@SCENES.row("not_found", "the path of a program has a NUL", literal("give the path of a file"), "another path")
def _(stage: Stage) -> None:
    path = ElfBuilder(type=EXEC).write(stage.folder / "app")
    stage.fails(lambda: read_binary(f"{path}\0"))
    stage.passes(lambda: read_binary(str(path)))


for what, magic, fix in (
    ("a program for macOS", b"\xcf\xfa\xed\xfe", "build it for Linux: this is a macOS program"),
    ("an archive of objects", b"!<arch>\n", "give the program that was linked from it: this is an archive"),
):

    @SCENES.row("not_elf", f"the artefact is {what}", literal(fix), "the artefact of a build for Linux")
    def _(stage: Stage, magic: bytes = magic) -> None:
        path = stage.folder / "app"
        path.write_bytes(magic + bytes(100))
        stage.fails(lambda: read_binary(str(path)))
        ElfBuilder(type=EXEC).write(path)
        stage.passes(lambda: read_binary(str(path)))


@SCENES.row(
    "port_in_use",
    "another program than HAProxy has the port of users",
    r"stop (?P<other>\w+) \(of this service: systemctl disable --now shop\.socket shop\.service\) and apply the role"
    r" slipway\.go\.proxy, or choose another port",
    "the program is stopped, and the role `proxy`",
)
def _(stage: Stage) -> None:
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
def _(stage: Stage) -> None:
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

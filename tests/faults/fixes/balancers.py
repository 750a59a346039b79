"""Scenes of load balancers, with an HAProxy that is played on a socket, and an nginx whose program is played."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._balancer import counters, given_weights, model, nginx
from ansible_collections.slipway.go.plugins.module_utils._balancer.haproxy import Haproxy
from ansible_collections.slipway.go.plugins.module_utils._balancer.model import BACK, OUT, Answer, parse_wish
from ansible_collections.slipway.go.plugins.module_utils._balancer.nginx import Nginx
from ansible_collections.slipway.go.plugins.module_utils._core.command import Finished
from ansible_collections.slipway.go.plugins.module_utils._host import haproxy
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage

SCENES = Scenes()
# What a server is, and how HAProxy writes that: srv_op_state and srv_admin_state. Its weight is 1 and was so at first.
STATES = {"UP": "2 0", "DOWN": "0 0", "DRAIN": "2 8", "DRAIN, DOWN": "0 8"}
SHARE: dict[str, Any] = {"share": None, "together": []}
COLUMNS = "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight"
UPSTREAM = "upstream shop {\n  server web1:80;\n  server web2:80;\n}\n"


class Played(socketserver.ThreadingUnixStreamServer):
    """An HAProxy with one backend; statuses is what its servers are. denies: its socket has a lower level."""

    def __init__(self, path: str) -> None:
        self.statuses = {"web1": "UP", "web2": "UP"}
        self.denies = False
        self.weights, self.is_static = "1 1", False
        self.becomes = {"drain": "DRAIN", "ready": "UP"}  # what a server is after an order
        super().__init__(path, _Command)

    def answer(self, command: str) -> str:
        if command == "show servers state shop":
            states = [(name, STATES[status]) for name, status in self.statuses.items()]
            rows = "".join(f"3 shop 1 {name} 192.0.2.1 {state} {self.weights}\n" for name, state in states)
            return f"1\n# {COLUMNS}\n{rows}\n"
        if command == "show stat -1 4 -1":
            return "# pxname,svname,scur,qcur\nshop,web1,0,0\n"
        if command == "show info":
            return "Pid: 7\n"
        if command == "show backend":
            return "# name\nshop\n"
        if command.startswith("set server shop/web1 weight"):
            return "Backend is using a static LB algorithm.\n" if self.is_static else "\n"
        if command.startswith("set server shop/"):
            if self.denies:
                return "Permission denied\n"
            name, _word, state = command.partition("/")[2].split()
            self.statuses[name] = self.becomes[state]
            return "\n"
        return "No such proxy.\n"


class _Command(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Played)
        self.wfile.write(self.server.answer(self.rfile.readline().decode().strip()).encode())


@contextlib.contextmanager
def played(stage: Stage) -> Iterator[Played]:
    one_lock(stage)
    with Played(str(stage.folder / "admin.sock")) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server
        server.shutdown()


def one_lock(stage: Stage) -> None:
    stage.patch.setattr(model.one_at_a_time.__wrapped__, "__defaults__", (str(stage.folder / "lock"),))
    stage.patch.setattr(given_weights, "FILE", str(stage.folder / "weights.json"))


def given(**options: Any) -> dict[str, Any]:
    return {"backend": "shop", "server": "web1", "state": OUT, "min_servers": 1, "timeout": 0, **SHARE, **options}


def of_haproxy(stage: Stage, **options: Any) -> Answer:
    return Haproxy(str(stage.folder / "admin.sock"), parse_wish(given(**options))).apply(predict=False)


def of_nginx(stage: Stage, **options: Any) -> Answer:
    paths = [str(stage.folder / name) for name in ("nginx.conf", "nginx.pid")]
    return Nginx(str(stage.folder / "shop.conf"), parse_wish(given(server="web1:80", **options)), *paths).apply(False)


@SCENES.row(
    "balancer_last_server",
    "the other server is down",
    literal("see that the others serve, or lower balancer_min_servers"),
    "the other server serves",
)
def _scene(stage: Stage) -> None:
    with played(stage) as server:
        server.statuses["web2"] = "DOWN"
        stage.fails(lambda: of_haproxy(stage))
        server.statuses["web2"] = "UP"
        stage.passes(lambda: of_haproxy(stage))


@SCENES.row(
    "balancer_last_server",
    "the service has one server",
    literal("see that the others serve, or lower balancer_min_servers"),
    "`balancer_min_servers: 0`",
)
def _scene(stage: Stage) -> None:
    with played(stage) as server:
        del server.statuses["web2"]
        stage.fails(lambda: of_haproxy(stage))
        stage.passes(lambda: of_haproxy(stage, min_servers=0))


@SCENES.row(
    "balancer_server_down",
    "HAProxy's check of the host fails after its release",
    literal("see HAProxy's check of that server (show stat), then run again"),
    "the check passes",
)
def _scene(stage: Stage) -> None:
    with played(stage) as server:
        server.statuses["web1"] = "DRAIN, DOWN"
        server.becomes["ready"] = "DOWN"
        stage.fails(lambda: of_haproxy(stage, state=BACK))
        server.statuses["web1"] = "UP"
        stage.passes(lambda: of_haproxy(stage, state=BACK))


@SCENES.row(
    "balancer_unknown",
    "the host has another name in the backend",
    literal("correct balancer_backend or balancer_server"),
    "another `balancer_server`",
)
def _scene(stage: Stage) -> None:
    with played(stage):
        stage.fails(lambda: of_haproxy(stage, server="web1.example.com"))
        stage.passes(lambda: of_haproxy(stage))


@SCENES.row("balancer_unknown", "nginx has no such file", literal("correct balancer_file"), "another `balancer_file`")
def _scene(stage: Stage) -> None:
    nginx_of(stage)
    path = stage.folder / "shop.conf"
    path.rename(stage.folder / "other.conf")
    stage.fails(lambda: of_nginx(stage))
    (stage.folder / "other.conf").rename(path)
    stage.passes(lambda: of_nginx(stage))


@SCENES.row(
    "balancer_refused",
    "HAProxy's socket may only be read",
    literal("give its socket the level admin (stats socket … level admin), and use HAProxy 2.4 or newer"),
    "the level `admin`",
)
def _scene(stage: Stage) -> None:
    with played(stage) as server:
        server.denies = True
        stage.fails(lambda: of_haproxy(stage))
        server.denies = False
        stage.passes(lambda: of_haproxy(stage))


def nginx_of(stage: Stage) -> None:
    one_lock(stage)
    (stage.folder / "shop.conf").write_text(UPSTREAM)
    (stage.folder / "nginx.pid").write_text("1")
    named = f"# configuration file {stage.folder / 'shop.conf'}:".encode()
    stage.patch.setattr(nginx.command, "run", lambda argv: Finished(argv, 0, named))


@SCENES.row(
    "balancer_refused",
    "another file of nginx is wrong",
    literal("see what nginx -t says, and correct its configuration"),
    "the file is corrected",
)
def _scene(stage: Stage) -> None:
    nginx_of(stage)
    with stage.patch.context() as patch:
        complaint = b'unknown directive "nonsense" in nginx.conf:9'
        patch.setattr(nginx.command, "run", lambda argv: Finished(argv, 1, errors=complaint))
        stage.fails(lambda: of_nginx(stage))
    assert Path(stage.folder / "shop.conf").read_text() == UPSTREAM
    stage.passes(lambda: of_nginx(stage))


@SCENES.row(
    "balancer_refused",
    "nginx needs too long for its reload",
    literal("see nginx's error log, then run again"),
    "the old workers end",
)
def _scene(stage: Stage) -> None:
    nginx_of(stage)
    with stage.patch.context() as patch:
        patch.setattr(Nginx, "_workers", lambda _nginx, ending=False: [] if ending else [7])
        patch.setattr(nginx, "_RELOADED", 0.0)
        stage.fails(lambda: of_nginx(stage))
    assert "server web1:80 down;" in Path(stage.folder / "shop.conf").read_text(), "nginx is on its way there"
    assert stage.passes(lambda: of_nginx(stage)).changed


@SCENES.row(
    "balancer_refused",
    "another run holds the load balancers of the host",
    literal("run again when it is over"),
    "it is over",
)
def _scene(stage: Stage) -> None:
    with played(stage):
        stage.patch.setattr(model, "_LOCKED", 0.0)
        with model.one_at_a_time():
            stage.fails(lambda: of_haproxy(stage))
        stage.passes(lambda: of_haproxy(stage))


@SCENES.row(
    "balancer_refused",
    "the user may not use the socket",
    literal("run this as root (become: true)"),
    "`become: true`",
)
def _scene(stage: Stage) -> None:
    def denied(*_arguments: object) -> str:
        raise PermissionError(13, "Permission denied")

    with played(stage):
        with stage.patch.context() as other_user:
            other_user.setattr(haproxy, "ask", denied)
            stage.fails(lambda: of_haproxy(stage))
        stage.passes(lambda: of_haproxy(stage))


@SCENES.row(
    "changed_meanwhile",
    "somebody puts the server back while it drains",
    literal("run again when nobody else changes HAProxy"),
    "nobody else changes it",
)
def _scene(stage: Stage) -> None:
    with played(stage) as server:
        server.becomes["drain"] = "UP"
        stage.fails(lambda: of_haproxy(stage))
        server.becomes["drain"] = "DRAIN"
        stage.passes(lambda: of_haproxy(stage))


@SCENES.row("balancer_unknown", "nginx does not include the file", literal("correct balancer_file"), "it includes it")
def _scene(stage: Stage) -> None:
    nginx_of(stage)
    with stage.patch.context() as patch:
        patch.setattr(nginx.command, "run", lambda argv: Finished(argv, 0))
        stage.fails(lambda: of_nginx(stage))
    stage.passes(lambda: of_nginx(stage))


@SCENES.row(
    "balancer_unreachable",
    "HAProxy does not run",
    literal("start HAProxy, or correct balancer_socket"),
    "HAProxy is started",
)
def _scene(stage: Stage) -> None:
    one_lock(stage)
    stage.fails(lambda: of_haproxy(stage))
    with played(stage):
        stage.passes(lambda: of_haproxy(stage))


@SCENES.row("balancer_unreachable", "nginx does not run", literal("start nginx"), "nginx is started")
def _scene(stage: Stage) -> None:
    nginx_of(stage)
    (stage.folder / "nginx.pid").unlink()
    stage.fails(lambda: of_nginx(stage))
    (stage.folder / "nginx.pid").write_text("1")
    stage.passes(lambda: of_nginx(stage))


@SCENES.row(
    "invalid_balancer",
    "a name with a blank",
    literal("correct balancer_server"),
    "another `balancer_server`",
)
def _scene(stage: Stage) -> None:
    with played(stage):
        stage.fails(lambda: of_haproxy(stage, server="web1; shutdown sessions"))
        stage.passes(lambda: of_haproxy(stage))


@SCENES.row("invalid_balancer", "a negative time", literal("correct balancer_timeout"), "another `balancer_timeout`")
def _scene(stage: Stage) -> None:
    with played(stage):
        stage.fails(lambda: of_haproxy(stage, timeout=-1))
        stage.passes(lambda: of_haproxy(stage, timeout=1))


@SCENES.row("invalid_balancer", "a share of nothing", literal("correct balancer_canary_share"), "another share")
def _scene(stage: Stage) -> None:
    with played(stage):
        stage.fails(lambda: of_haproxy(stage, share=0.0))
        stage.passes(lambda: of_haproxy(stage, share=50.0))


@SCENES.row(
    "balancer_share",
    "each server has a weight of 1",
    literal(
        "give the servers of that backend a weight of 100 each (default-server weight 100), or raise "
        "balancer_canary_share"
    ),
    "`default-server weight 100`",
)
def _scene(stage: Stage) -> None:
    with played(stage) as server:
        stage.fails(lambda: of_haproxy(stage, share=5.0))
        server.weights = "100 100"
        stage.passes(lambda: of_haproxy(stage, share=5.0))


@SCENES.row(
    "balancer_share",
    "the backend has `balance static-rr`",
    literal("use balance roundrobin or leastconn in that backend, or leave balancer_canary_share out"),
    "`balance roundrobin`",
)
def _scene(stage: Stage) -> None:
    with played(stage) as server:
        server.weights, server.is_static = "100 100", True
        stage.fails(lambda: of_haproxy(stage, share=5.0))
        server.is_static = False
        stage.passes(lambda: of_haproxy(stage, share=5.0))


@SCENES.row(
    "balancer_unknown", "a backend of the mode tcp", literal("name a backend with the mode http"), "the mode `http`"
)
def _scene(stage: Stage) -> None:
    def read(mode: str) -> counters.Counters:
        columns = ",".join(("pxname", "svname", "type", "mode", *haproxy.COUNTERS))
        return counters.parse(f"Pid: 7\nUptime_sec: 9\n\n# {columns}\nshop,web1,2,{mode},1,0,0,0,0\n", "shop")

    stage.fails(lambda: read("tcp"))
    stage.passes(lambda: read("http"))

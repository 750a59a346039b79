# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server leaves a real HAProxy and a real nginx on this machine and comes back, while users ask."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.slipway.go.plugins.module_utils._balancer import counters, given_weights, model
from ansible_collections.slipway.go.plugins.module_utils._balancer.haproxy import Haproxy
from ansible_collections.slipway.go.plugins.module_utils._balancer.model import BACK, OUT, Answer, Wish
from ansible_collections.slipway.go.plugins.module_utils._balancer.nginx import Nginx
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._host import haproxy as haproxy_socket
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    missing = [name for name in ("haproxy", "nginx") if shutil.which(name, path="/usr/sbin:/usr/bin") is None]
    if missing:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            pytest.skip(f"not installed on this machine: {', '.join(missing)}")
        subprocess.run(["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing], check=True)
        if "nginx" in missing and os.path.isdir("/run/systemd/system"):
            subprocess.run(["systemctl", "disable", "--now", "nginx"], check=False)


class Web(ThreadingHTTPServer):
    """One server of the service; counts what it has been asked."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        self.asked = 0
        super().__init__(("127.0.0.1", port), Answering)

    def handle_error(self, *_given: Any) -> None:
        pass


class Answering(BaseHTTPRequestHandler):
    """/slow takes a second and a half."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, Web)
        if self.path != "/check":
            self.server.asked += 1
        if self.path == "/slow":
            time.sleep(1.5)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_given: Any) -> None:
        pass


@pytest.fixture
def webs() -> Iterator[list[Web]]:
    found = [Web(), Web()]
    for one in found:
        threading.Thread(target=one.serve_forever, args=[0.02], daemon=True).start()
    yield found
    for one in found:
        one.shutdown()
        one.server_close()


@pytest.fixture(autouse=True)
def _lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.one_at_a_time.__wrapped__, "__defaults__", (str(tmp_path / "lock"),))
    monkeypatch.setattr(given_weights, "FILE", str(tmp_path / "weights.json"))


class Balancer:
    """A running load balancer in front of the two; users ask it in the background."""

    def __init__(self, port: int, apply: Any) -> None:
        self.port = port
        self._apply = apply
        self.answers: list[str] = []

    def apply(
        self, server: int, state: str, timeout: float = 10, least: int = 1, predict: bool = False, **share: Any
    ) -> Answer:
        answer = self._apply(server, state, timeout, least, predict, **share)
        assert isinstance(answer, Answer)
        return answer

    def ask(self, path: str, headers: str = "") -> str:
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: shop\r\n{headers}Connection: close\r\n\r\n".encode())
            answer = b""
            while part := connection.recv(4096):
                answer += part
        self.answers.append(answer.decode().partition("\r\n")[0].split()[1] if answer else "none")
        return self.answers[-1]

    @contextlib.contextmanager
    def users(self) -> Iterator[None]:
        """Four requests at a time, as fast as they are answered."""
        over = threading.Event()

        def use() -> None:
            while not over.is_set():
                self.ask("/")

        threads = [threading.Thread(target=use) for _number in range(4)]
        for one in threads:
            one.start()
        try:
            yield
        finally:
            over.set()
            for one in threads:
                one.join()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("the load balancer does not listen")


@contextlib.contextmanager
def haproxy(folder: Path, webs: list[Web], more: str = "") -> Iterator[Balancer]:
    port, admin = free_port(), folder / "admin.sock"
    servers = "".join(f"  server web{n} 127.0.0.1:{web.server_port} check inter 200\n" for n, web in enumerate(webs))
    (folder / "haproxy.cfg").write_text(
        f"global\n  stats socket {admin} mode 600 level admin\n"
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 9s\n  timeout server 9s\n"
        f"frontend shop\n  bind 127.0.0.1:{port}\n  default_backend shop\n"
        f"backend shop\n  option httpchk GET /check\n  {more}\n{servers}"
    )

    def apply(server: int, state: str, timeout: float, least: int, predict: bool, **share: Any) -> Answer:
        return Haproxy(str(admin), Wish("shop", f"web{server}", state, least, timeout, **share)).apply(predict)

    with subprocess.Popen(["haproxy", "-db", "-q", "-f", str(folder / "haproxy.cfg")]) as process:
        try:
            wait_for(port)
            yield Balancer(port, apply)
        finally:
            process.terminate()


@contextlib.contextmanager
def nginx(folder: Path, webs: list[Web]) -> Iterator[Balancer]:
    port, servers = free_port(), folder / "shop.conf"
    lines = "".join(f"  server 127.0.0.1:{web.server_port};\n" for web in webs)
    servers.write_text(f"upstream shop {{\n{lines}}}\n")
    main, pid_file = folder / "nginx.conf", folder / "nginx.pid"
    main.write_text(
        f"daemon off;\npid {pid_file};\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{ access_log off; include {servers};\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://shop; }} }} }}\n"
    )

    def apply(server: int, state: str, timeout: float, least: int, predict: bool) -> Answer:
        wanted = Wish("shop", f"127.0.0.1:{webs[server].server_port}", state, least, timeout)
        return Nginx(str(servers), wanted, str(main), str(pid_file)).apply(predict)

    with subprocess.Popen(["/usr/sbin/nginx", "-c", str(main)], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            yield Balancer(port, apply)
        finally:
            process.terminate()


@pytest.fixture(params=[haproxy, nginx], ids=["haproxy", "nginx"])
def balancer(request: pytest.FixtureRequest, tmp_path: Path, webs: list[Web]) -> Iterator[Balancer]:
    with request.param(tmp_path, webs) as found:
        yield found


def test_a_server_leaves_and_comes_back_and_no_request_is_lost(balancer: Balancer, webs: list[Web]) -> None:
    with balancer.users():
        assert balancer.apply(0, OUT, predict=True).changed
        assert balancer.apply(0, OUT).changed
        before = webs[0].asked
        time.sleep(0.5)
        assert (webs[0].asked - before, webs[1].asked > 0) == (0, True)
        assert balancer.apply(0, OUT) == Answer(False, balancer.apply(0, OUT).others)
        assert balancer.apply(0, BACK).changed
        assert not balancer.apply(0, BACK).changed
        time.sleep(0.5)
        assert webs[0].asked > before
    assert set(balancer.answers) == {"200"}, len(balancer.answers)


def test_its_requests_are_waited_for_and_those_that_last_are_told(balancer: Balancer) -> None:
    slow = [threading.Thread(target=balancer.ask, args=["/slow"]) for _number in range(4)]
    for one in slow:
        one.start()
    time.sleep(0.3)
    assert balancer.apply(0, OUT, timeout=0.2).connections > 0
    assert balancer.apply(0, OUT, timeout=10).connections == 0
    for one in slow:
        one.join()
    assert balancer.answers == ["200"] * 4


def test_the_last_server_stays(balancer: Balancer) -> None:
    """Also where two hosts of a batch ask at the same moment."""
    codes: list[str] = []

    def leave(server: int) -> None:
        try:
            balancer.apply(server, OUT)
            codes.append("")
        except SlipwayError as error:
            codes.append(error.code)

    both = [threading.Thread(target=leave, args=[server]) for server in (0, 1)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(codes) == ["", "balancer_last_server"]
    assert balancer.ask("/") == "200"


def wish(backend: str, server: str) -> Wish:
    return Wish(backend, server, OUT, 1, 1)


def test_what_is_not_there_is_named(tmp_path: Path, webs: list[Web]) -> None:
    with haproxy(tmp_path, webs):
        admin = str(tmp_path / "admin.sock")
        no_server, no_backend = (Haproxy(admin, wish(*names)) for names in (("shop", "web7"), ("ship", "web0")))
        refused(lambda: no_server.apply(predict=True), "balancer_unknown", "web0, web1")
        refused(lambda: no_backend.apply(predict=True), "balancer_unknown", "backend ship with servers; it has shop")
    refused(lambda: no_server.apply(predict=False), "balancer_unreachable", admin)
    with nginx(tmp_path, webs):
        main, pid_file, servers = (str(tmp_path / name) for name in ("nginx.conf", "nginx.pid", "shop.conf"))
        other = Nginx(servers, wish("shop", "web7:80"), main, pid_file)
        refused(lambda: other.apply(predict=False), "balancer_unknown", "web7:80")
        nowhere = Nginx(servers + "x", wish("shop", "web7:80"), main, pid_file)
        refused(lambda: nowhere.apply(predict=False), "balancer_unknown", "shop.confx")
        own = Nginx(servers, wish("shop", f"127.0.0.1:{webs[0].server_port}"), main, pid_file)
        right, before = Path(main).read_text(), Path(servers).read_text()
        Path(main).write_text(right + "nonsense;\n")
        refused(lambda: own.apply(predict=False), "balancer_refused", "nonsense")
        assert Path(servers).read_text() == before
        Path(main).write_text(right)
        assert own.apply(predict=False).changed


def test_a_run_that_was_cut_short_before_the_reload_is_made_good(
    tmp_path: Path, webs: list[Web], monkeypatch: pytest.MonkeyPatch
) -> None:
    with nginx(tmp_path, webs) as balancer:

        def die(_self: Nginx) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Nginx, "_workers", die)
            with pytest.raises(KeyboardInterrupt):
                balancer.apply(0, OUT)
        assert balancer.apply(0, OUT, predict=True).changed
        assert balancer.apply(0, OUT).changed
        before = webs[0].asked
        for _number in range(10):
            assert balancer.ask("/") == "200"
        assert webs[0].asked == before


def test_what_an_administrator_maintains_stays_so(tmp_path: Path, webs: list[Web]) -> None:
    with haproxy(tmp_path, webs) as balancer:
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(tmp_path / "admin.sock"))
            admin.sendall(b"set server shop/web0 state maint\n")
            admin.recv(100)
        assert not balancer.apply(0, OUT).changed
        assert not balancer.apply(0, BACK).changed
        for _number in range(10):
            balancer.ask("/")
        assert webs[0].asked == 0


def test_a_server_that_was_down_while_it_drained_comes_back_with_its_check(tmp_path: Path, webs: list[Web]) -> None:
    port = webs[0].server_port
    with haproxy(tmp_path, webs) as balancer:
        balancer.apply(0, OUT)
        webs[0].shutdown()
        webs[0].server_close()
        time.sleep(1)
        assert not balancer.apply(0, OUT).changed, "it drains, whatever its check says"
        refused(lambda: balancer.apply(0, BACK, timeout=0.5), "balancer_server_down", "shop/web0", "is down")
        webs[0] = Web(port)
        threading.Thread(target=webs[0].serve_forever, args=[0.02], daemon=True).start()
        deadline = time.monotonic() + 10
        while webs[0].asked == 0 and time.monotonic() < deadline:
            balancer.ask("/")
        assert webs[0].asked > 0, "nobody has asked again that it comes back"


def test_who_puts_it_back_meanwhile_is_not_overruled(tmp_path: Path, webs: list[Web]) -> None:
    with haproxy(tmp_path, webs) as balancer:
        slow = [threading.Thread(target=balancer.ask, args=["/slow"]) for _number in range(2)]
        for one in slow:
            one.start()
        time.sleep(0.3)
        back = threading.Timer(0.3, lambda: balancer.apply(0, BACK))
        back.start()
        refused(lambda: balancer.apply(0, OUT), "changed_meanwhile", "put shop/web0 back")
        back.join()
        assert not balancer.apply(0, BACK).changed
        for one in slow:
            one.join()


def test_the_file_keeps_its_owner_and_its_other_lines(tmp_path: Path, webs: list[Web]) -> None:
    with nginx(tmp_path, webs) as balancer:
        path = tmp_path / "shop.conf"
        text = path.read_bytes().replace(b"\n", b"\r\n")
        path.write_bytes(text)
        path.chmod(0o640)
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
        status = path.stat()
        balancer.apply(0, OUT)
        assert path.read_bytes().count(b"\r\n") == text.count(b"\r\n")
        balancer.apply(0, BACK)
        assert path.read_bytes() == text
        now = path.stat()
        assert (now.st_uid, now.st_gid, now.st_mode) == (status.st_uid, status.st_gid, status.st_mode)
        left = [one.name for one in tmp_path.iterdir() if "slipway" in one.name]
        assert left == []


def test_a_file_that_nginx_does_not_include_is_refused(tmp_path: Path, webs: list[Web]) -> None:
    with nginx(tmp_path, webs):
        main, pid_file, servers = (str(tmp_path / name) for name in ("nginx.conf", "nginx.pid", "shop.conf"))
        copy = shutil.copy(servers, str(tmp_path / "copy"))
        own = Nginx(copy, wish("shop", f"127.0.0.1:{webs[0].server_port}"), main, pid_file)
        refused(lambda: own.apply(predict=False), "balancer_unknown", "does not include", copy)
        assert Path(copy).read_text() == Path(servers).read_text()


PLAY = """\
- hosts: web0
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: slipway.go.balancer, tasks_from: out, rolespec_validate: false}
    - ansible.builtin.import_role: {name: slipway.go.balancer, tasks_from: back, rolespec_validate: false}
      vars: {release_serves: false}
    - ansible.builtin.import_role: {name: slipway.go.balancer, tasks_from: back, rolespec_validate: false}
"""


def test_the_role_goes_to_the_balancers_and_leaves_out_who_does_not_serve(tmp_path: Path, webs: list[Web]) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    variables = "ansible_connection=local service_name=shop"
    hosts = f"web0 {variables}\nbalancer1 {variables} ansible_python_interpreter={sys.executable}\n"
    hosts += "balancer2 ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n"
    (tmp_path / "inventory").write_text(hosts)
    given = {"balancer_socket": str(tmp_path / "admin.sock"), "balancer_timeout": "5"}

    def run(**more: Any) -> str:
        extra = json.dumps({**given, **more})
        argv = ["ansible-playbook", "-i", "inventory", "play.yml", "-e", extra]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    with haproxy(tmp_path, webs):
        said = run(balancer_hosts=["balancer1"])
        assert "changed=2" in said, said
        assert "web0 does not serve and stays out of shop on balancer1." in said
        said = run(balancer_hosts=["balancer1", "balancer2"])
        assert "unreachable=0" in said, said
        assert "balancer2 cannot be reached" in said, said
        assert "release_step_timeout" in run(balancer_hosts=["balancer1"], balancer_timeout=400)
        assert 'balancer_hosts ["nowhere"] are not hosts of the inventory' in run(balancer_hosts=["nowhere"])
        assert "balancer_file is empty" in run(balancer_hosts=["balancer1"], balancer_kind="nginx")


def weights(folder: Path) -> list[str]:
    """What HAProxy gives each server now."""
    said = haproxy_socket.ask(str(folder / "admin.sock"), "get weight shop/web0; get weight shop/web1", 5)
    return [line for line in said.splitlines() if line]


def test_a_canary_comes_back_with_its_share_and_then_with_its_whole_weight(tmp_path: Path, webs: list[Web]) -> None:
    with haproxy(tmp_path, webs, "default-server weight 100") as balancer, balancer.users():
        given = {"share": 10.0, "together": ("web0", "nobody")}
        assert balancer.apply(0, OUT, **given).changed
        assert weights(tmp_path)[0] == "100 (initial 100)", "rules that go by its weight must not lead to it now"
        back = balancer.apply(0, BACK, **given)
        assert (back.changed, back.weight) == (True, 11)
        assert not balancer.apply(0, BACK, **given).changed
        assert balancer.apply(0, BACK).weight == 100, "a share that nobody has ended"
        assert not balancer.apply(0, BACK).changed, "a weight is left alone where no share is given"
        assert balancer.apply(0, BACK, **given).weight == 11
        before = [one.asked for one in webs]
        time.sleep(1)
        few, many = (one.asked - was for one, was in zip(webs, before))
        assert 0.08 < few / (few + many) < 0.12
        assert balancer.apply(0, BACK, share=100.0).changed
        assert weights(tmp_path) == ["100 (initial 100)"] * 2
    assert set(balancer.answers) == {"200"}


CHOSEN = """default-server weight 100
  acl chosen req.hdr(X-Staff) -m str yes
  use-server web0 if chosen { srv_weight(shop/web0) lt 100 }"""


def test_chosen_users_meet_the_canary_alone_while_it_has_a_share(tmp_path: Path, webs: list[Web]) -> None:
    """By the rule of the guide, which is the operator's."""

    def met() -> int:
        before = webs[0].asked
        assert {balancer.ask("/", "X-Staff: yes\r\n") for _request in range(20)} == {"200"}
        return webs[0].asked - before

    guide = (Path(__file__).parents[2] / "docs" / "guide" / "fleets.md").read_text()
    for rule in CHOSEN.replace("web0", "web1").splitlines()[1:]:
        assert rule.strip() in guide
    with haproxy(tmp_path, webs, CHOSEN) as balancer:
        assert met() == 10
        balancer.apply(0, BACK, share=10.0)
        assert met() == 20
        balancer.apply(0, OUT, share=10.0)
        assert met() == 0
        balancer.apply(0, BACK, share=10.0)
        assert met() == 20
        balancer.apply(0, BACK, share=100.0)
        assert met() == 10


def test_a_share_that_the_weights_do_not_allow_is_refused_before_anything_happens(
    tmp_path: Path, webs: list[Web]
) -> None:
    with haproxy(tmp_path, webs) as balancer:
        refused(lambda: balancer.apply(0, OUT, share=10.0), "balancer_share", "50 %")
        assert balancer.apply(0, BACK, share=10.0).weight == 1
        assert balancer.apply(0, OUT, share=40.0).changed
        balancer.apply(0, BACK)
    with haproxy(tmp_path, webs, "default-server weight 100\n  balance static-rr") as balancer:
        refused(lambda: balancer.apply(0, OUT, share=10.0), "balancer_share", "static")
        assert not balancer.apply(0, BACK, share=100.0).changed
        assert weights(tmp_path) == ["100 (initial 100)"] * 2


def test_what_haproxy_has_counted(tmp_path: Path, webs: list[Web]) -> None:
    with haproxy(tmp_path, webs) as balancer:
        path = str(tmp_path / "admin.sock")
        for _number in range(6):
            balancer.ask("/")
        found = counters.read(path, "shop")
        assert found.servers == {"web0": (3, 0), "web1": (3, 0)}
        webs[0].shutdown()
        webs[0].server_close()
        refused(lambda: counters.read(path, "ship"), "balancer_unknown", "backend ship with servers; it has shop")
        refused(lambda: counters.read(path, "a b"), "invalid_balancer", "'a b'")
    with haproxy(tmp_path, webs):
        assert counters.read(path, "shop").process != found.process
    refused(lambda: counters.read(path, "shop"), "balancer_unreachable", path)


SHARED = """\
- hosts: web0:web1
  gather_facts: false
  serial: 1
  tasks:
    - ansible.builtin.import_role: {name: slipway.go.balancer, tasks_from: out, rolespec_validate: false}
    - ansible.builtin.import_role: {name: slipway.go.balancer, tasks_from: back, rolespec_validate: false}
      vars: {release_outcome: released}
    - ansible.builtin.import_role: {name: slipway.go.balancer, tasks_from: whole, rolespec_validate: false}
      vars: {release_outcome: released}
      when: judged | default(false)
"""


def test_the_role_gives_the_first_batch_its_share(tmp_path: Path, webs: list[Web]) -> None:
    (tmp_path / "play.yml").write_text(SHARED)
    (tmp_path / "inventory").write_text(
        "web0\nweb1\nbalancer1\n[all:vars]\nansible_connection=local\nservice_name=shop\n"
    )
    given = {"balancer_socket": str(tmp_path / "admin.sock"), "balancer_hosts": ["balancer1"], "balancer_timeout": "5"}
    given["ansible_python_interpreter"] = sys.executable

    def run(**more: Any) -> str:
        argv = ["ansible-playbook", "-i", "inventory", "play.yml", "-e", json.dumps({**given, **more})]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    with haproxy(tmp_path, webs, "default-server weight 100"):
        said = run(balancer_canary_share="10")
        assert weights(tmp_path) == ["11 (initial 100)", "100 (initial 100)"], said
        said = run(balancer_canary_share="")
        assert weights(tmp_path)[0] == "100 (initial 100)", said
        haproxy_socket.ask(str(tmp_path / "admin.sock"), "set server shop/web0 weight 40", 5)
        said = run(balancer_canary_share="")
        assert weights(tmp_path)[0] == "40 (initial 100)", said
        assert "echo 'set server shop/web0 weight 100%'" in " ".join(said.split())
        said = run(balancer_canary_share="10", judged=True)
        assert weights(tmp_path) == ["100 (initial 100)"] * 2, said
        assert "balancer_canary_share is 0" in run(balancer_canary_share="0")

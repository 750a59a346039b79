"""node_exporter, prometheus, caddy, nginx and redis, which nobody here wrote."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary.elf import read_notes
from ansible_collections.slipway.go.plugins.module_utils._health import parsing, runner
from ansible_collections.slipway.go.tests.integration.health.asking import Start, checked, once
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.health import hostile

Program = Callable[[str], str]


def test_node_exporter(start: Start, program: Program, port: int) -> None:
    binary = program("prometheus-node-exporter")
    process = start([binary, f"--web.listen-address=127.0.0.1:{port}"])
    found = checked(
        kind="http",
        url=f"http://127.0.0.1:{port}/metrics",
        body_regex=r"(?m)^node_cpu_seconds_total\{",
        assert_headers=[{"name": "Content-Type", "matches": "^text/plain"}],
        identity={"executable": binary, "build_id": read_notes(binary).go_build_id},
        min_healthy_time=0.5,
    )
    assert (found["state"], found["process"]["pid"]) == ("pass", process.pid), found


def test_the_metrics_of_node_exporter_itself(start: Start, program: Program, port: int) -> None:
    start([program("prometheus-node-exporter"), f"--web.listen-address=127.0.0.1:{port}"])
    assert checked(kind="tcp", address=f"127.0.0.1:{port}")["state"] == "pass"
    spec = {
        "kind": "metrics",
        "url": f"http://127.0.0.1:{port}/metrics",
        "timeout": 20,
        "metrics": {
            "window": 0.5,
            "requests": "promhttp_metric_handler_requests_total",
            "max_error_ratio": 0,
            "min_requests": 5,
        },
    }
    # The counter goes up with each scrape, and the check itself is the only one who scrapes.
    assert (once(**spec)["state"], once(**spec)["reason"]) == ("warn", "inconclusive")
    assert checked(**spec)["state"] == "pass"


def test_prometheus(start: Start, program: Program, port: int, tmp_path: Path) -> None:
    binary = program("prometheus")
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    start(
        [
            binary,
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
    )
    base = f"http://127.0.0.1:{port}"
    ready = checked(kind="http", url=f"{base}/-/ready", body_contains="Ready", identity={"executable": binary})
    assert ready["state"] == "pass", ready
    config = once(
        kind="http",
        url=f"{base}/api/v1/status/runtimeinfo",
        assert_json=[
            {"path": "$.status", "equals": "success"},
            {"path": "$.data.reloadConfigSuccess", "equals": True},
            {"path": "$.data.goroutineCount", "min": 5, "max": 10000},
        ],
    )
    assert config["state"] == "pass", config
    for _number in range(30):
        urllib.request.urlopen(f"{base}/-/healthy").read()
    metrics = {
        "window": 0.5,
        "min_requests": 1,
        "requests": "prometheus_http_requests_total",
        "max_error_ratio": 0.0,
        "histogram": "prometheus_http_request_duration_seconds",
        "max_quantile": 5,
    }
    judged = checked(kind="metrics", url=f"{base}/metrics", metrics=metrics)
    assert judged["state"] == "pass", judged
    assert judged["details"]["error_ratio"] == 0


def test_caddy_over_tls_with_http1(start: Start, program: Program, port: int, tmp_path: Path) -> None:
    certificates = hostile.make_certificates(tmp_path)
    (tmp_path / "Caddyfile").write_text(
        "{\n admin off\n auto_https disable_redirects\n}\n"
        f"https://127.0.0.1:{port} {{\n tls {certificates.good} {certificates.good}\n"
        ' respond /healthz "ok" 200\n redir /old /healthz\n}\n'
    )
    binary = program("caddy")
    start([binary, "run", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"])
    base = {"kind": "https", "ca_file": certificates.ca, "identity": {"executable": binary}}
    found = checked(**base, url=f"https://127.0.0.1:{port}/", preset="healthz", min_days=300, min_tls_version="1.3")
    assert found["state"] == "pass", found
    assert found["certificate_days"] == pytest.approx(365, abs=1)
    assert once(**base, url=f"https://127.0.0.1:{port}/old")["reason"] == "status"
    followed = once(**base, url=f"https://127.0.0.1:{port}/old", follow_redirects=1, body_contains="ok")
    assert followed["state"] == "pass", followed
    assert once(kind="https", url=f"https://127.0.0.1:{port}/healthz")["reason"] == "tls"


def test_nginx_answers_for_a_dead_service_and_for_itself(
    start: Start, program: Program, port: int, tmp_path: Path
) -> None:
    binary = program("nginx")
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process on; worker_processes 2; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\n"
        f"user {_user()};\n"
        "events {}\nhttp { access_log off;\n"
        + "".join(
            f" {kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f" server {{ listen 127.0.0.1:{port} deferred; listen unix:{tmp_path}/nginx.sock;\n"
        f'  location = /healthz {{ return 200 "ok"; }}\n'
        f"  location / {{ proxy_pass http://127.0.0.1:{hostile.free_port()}; }} }} }}\n"
    )
    start([binary, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)])
    own = {"identity": {"executable": binary}, "min_healthy_time": 0.5}
    found = checked(kind="http", url=f"http://127.0.0.1:{port}/healthz", **own)
    assert found["state"] == "pass", found
    over_unix = once(kind="unix", url="http://localhost/healthz", address=str(tmp_path / "nginx.sock"), **own)
    assert over_unix["state"] == "pass", over_unix
    assert once(kind="http", url=f"http://127.0.0.1:{port}/")["status"] == 502
    fooled = once(kind="http", url=f"http://127.0.0.1:{port}/healthz", identity={"executable": program("caddy")})
    assert fooled["reason"] == "identity"
    assert fooled["process"]["exe"] == os.path.realpath(binary)


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def test_redis(start: Start, program: Program, port: int, tmp_path: Path) -> None:
    binary = program("redis-server")
    unix = tmp_path / "redis.sock"
    start(
        [
            binary,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--unixsocket",
            str(unix),
            "--save",
            "",
            "--dir",
            str(tmp_path),
        ]
    )
    ping = {"send": "PING\r\n", "expect": "+PONG", "identity": {"executable": os.path.realpath(binary)}}
    assert checked(kind="tcp", address=f"127.0.0.1:{port}", **ping)["state"] == "pass"
    assert once(kind="unix", address=str(unix), **ping)["state"] == "pass"
    info = {"send": "INFO server\r\n", "expect_regex": r"redis_version:\d+\.\d+"}
    assert once(kind="tcp", address=f"127.0.0.1:{port}", **info)["state"] == "pass"
    assert once(kind="http", url=f"http://127.0.0.1:{port}/", timeout=2)["reason"] in ("protocol", "closed")
    assert once(kind="grpc", address=f"127.0.0.1:{port}", timeout=1)["reason"] in ("protocol", "timeout")


def test_two_releases_of_a_go_service_share_one_socket(
    start: Start, copy: Callable[[str, str], str], tmp_path: Path
) -> None:
    """As during a swap: both accept from the one socket that was handed to them."""
    old, new = copy("prometheus-node-exporter", "old"), copy("prometheus-node-exporter", "new")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

        def activated(binary: str) -> subprocess.Popen[bytes]:
            # systemd's protocol: descriptor 3, and the PID it is meant for.
            script = f'exec 3<&{listener.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" --web.systemd-socket'
            return start(["/bin/bash", "-c", script, binary], pass_fds=[listener.fileno()])

        activated(old)
        assert checked(kind="http", url=url, identity={"executable": old})["state"] == "pass"
        assert once(kind="http", url=url, identity={"executable": new})["reason"] == "identity"
        second = activated(new)
        wanted = {"executable": new, "shared": True}
        found = checked(kind="http", url=url, identity=wanted, rise=20, interval=0.01, min_healthy_time=0.5)
        assert (found["state"], found["process"]["pid"]) == ("pass", second.pid), found
        # And when the new one dies, the old one's good answers do not hide it.
        second.kill()
        second.wait()
        gone = once(kind="http", url=url, identity=wanted, timeout=0.5)
        assert (gone["state"], gone["reason"]) == ("fail", "identity")


def test_a_service_that_crashes_after_its_first_answer(start: Start, program: Program, port: int) -> None:
    """Restarted by somebody at once, so that every answer is good."""
    binary = program("prometheus-node-exporter")
    argv = [binary, f"--web.listen-address=127.0.0.1:{port}"]
    first = start(argv)
    url = f"http://127.0.0.1:{port}/"
    assert checked(kind="http", url=url)["state"] == "pass"
    tries = []

    def crashing(session: Any, end: float | None) -> Any:
        if len(tries) == 3:
            first.kill()
            first.wait()
            start(argv)
            while once(kind="http", url=url)["state"] != "pass":
                time.sleep(0.02)
        tries.append(1)
        return runner.attempt(session.check, end, session)

    spec = {"kind": "http", "url": url, "min_healthy_time": 10, "interval": 0.05, "identity": {"executable": binary}}
    result = runner.run(parsing.parse_check(spec), crashing)
    assert (result.state, result.reason) == ("fail", "unstable")
    assert all(one.state == "pass" for one in result.attempts)

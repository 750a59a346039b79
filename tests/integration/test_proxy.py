"""The strategy proxy on real hosts: two services share one HAProxy, which is killed, rebooted and reloaded."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.parse
from pathlib import Path
from typing import Any

import inside
import pytest

SERVICE, OTHER, MOVED = "kiosk", "booth", "wagon"
PORT, OTHER_PORT, MOVED_PORT = 8096, 8097, 8110
ADMIN_PORT = 8111
ADMIN = {"name": "admin", "listen": [str(ADMIN_PORT)]}
# It does not follow the drain contract: on SIGTERM it just closes what looks idle, and ends.
RUDE = {"DRAIN_LINGER": "0s"}


def variables(binaries: Path, version: str, **more: Any) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_swap": "proxy",
        "service_listen": [str(PORT)],
        "service_proxy_ports": [18190, 18191],
        "service_more_ports": [ADMIN],
        "service_environment": RUDE,
        "release_version": version,
        "release_src": str(binaries / f"shop-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 20},
        "release_soak_time": 1,
        **more,
    }


def other(binaries: Path, version: str, **more: Any) -> dict[str, Any]:
    health = {"url": f"http://127.0.0.1:{OTHER_PORT}/readyz", "deadline": 20}
    ports = {"service_listen": [str(OTHER_PORT)], "service_proxy_ports": [18290, 18291], "release_health": health}
    return variables(binaries, version, service_name=OTHER, service_more_ports=[], **ports, **more)


def moved(binaries: Path, version: str, **more: Any) -> dict[str, Any]:
    health = {"url": f"http://127.0.0.1:{MOVED_PORT}/readyz", "deadline": 3}
    ports = {"service_listen": [str(MOVED_PORT)], "service_proxy_ports": [18490, 18491], "release_health": health}
    return variables(binaries, version, service_name=MOVED, service_more_ports=[], **ports, **more)


def play(fleet: Any, name: str, values: dict[str, Any], *flags: str) -> Any:
    done = fleet.play(name, values, *flags)
    assert done.code == 0, done.output[-4000:]
    return done


def record(host: Any, service: str = SERVICE) -> str:
    """The slot that HAProxy leads to whenever it starts."""
    lines = host.run("cat", f"/etc/haproxy/slipway.live/{service}.cfg").splitlines()
    (live,) = [line.split()[1] for line in lines if re.search("_[ab]_state enabled$", line)]
    return live[-len("a_state")]


def answers(host: Any, port: int, times: int) -> set[str]:
    """The codes of so many requests, each over its own connection."""
    url = f"http://{host.address}:{port}/version"
    ask = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20", url]
    return {subprocess.run(ask, capture_output=True, text=True, check=False).stdout for _request in range(times)}


def version(host: Any, port: int = PORT) -> str:
    asked = subprocess.run(
        ["curl", "-sf", "--max-time", "20", f"http://{host.address}:{port}/version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return str(json.loads(asked.stdout)["version"])


@pytest.fixture(scope="module")
def released(fleet: Any, binaries: Path) -> Any:
    play(fleet, "slipway.go.site", variables(binaries, "1.0.0"))
    yield fleet
    for name in (SERVICE, OTHER, MOVED):
        fleet.retire(name)
        for host in fleet.hosts:
            host.run("sh", "-c", f"rm -f /etc/haproxy/slipway.*/{name}.cfg")
    for host in fleet.hosts:
        host.run("systemctl", "reload", "haproxy", check=False)


def check_report(folder: Path, output: str, verdicts: dict[str, str]) -> str:
    """The figures of the one report are those of the table that the run has shown."""
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    page = path.read_text()
    cells = [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", page)]
    shown = output.rpartition("\nHOST  ")[2].partition("\n\n")[0].splitlines()
    rows = {line.split()[0]: re.split(r"  +", line)[:7] for line in shown[1:]}
    for host, verdict in verdicts.items():
        place = cells.index(host)
        assert cells[place : place + 7] == rows[host], (cells[place : place + 7], rows[host])
        assert rows[host][3] == verdict
    return page


def test_a_second_run_changes_nothing(released: Any, binaries: Path) -> None:
    for flags in ((), ("--check", "--diff")):
        again = play(released, "site", variables(binaries, "1.0.0"), *flags)
        assert {host["changed"] for host in again.recap.values()} == {0}, again.output


def test_upgrade_rollback_and_a_bad_release_lose_nothing(
    released: Any, binaries: Path, load: Any, tmp_path: Path
) -> None:
    """On either of its two public ports."""
    before = {record(host) for host in released.hosts}
    clients = [load(100, port) for port in (PORT, ADMIN_PORT)]
    upgrade = play(released, "release", variables(binaries, "2.0.0", release_report=str(tmp_path / "reports")))
    check_report(tmp_path / "reports", upgrade.output, {host.name: "released" for host in released.hosts})
    assert {version(host, port) for host in released.hosts for port in (PORT, ADMIN_PORT)} == {"2.0.0"}
    assert {record(host) for host in released.hosts} != before
    play(released, "rollback", variables(binaries, "2.0.0"))
    bad = variables(binaries, "3.0.0", release_environment={"APP_UNHEALTHY_AFTER": "0s"}, release_rehearsal="")
    assert "was rolled back in OVERLAP" in released.play("release", bad).output
    assert {version(host, port) for host in released.hosts for port in (PORT, ADMIN_PORT)} == {"1.0.0"}
    assert {record(host) for host in released.hosts} == before
    for client in clients:
        report = client.report()["total"]
        assert (report["failed"], report["failures"]) == (0, {})
        assert set(report["versions"]) == {"1.0.0", "2.0.0"}


def test_another_service_joins_and_leaves_and_nobody_notices(released: Any, binaries: Path, load: Any) -> None:
    """Each time HAProxy is reloaded, and a worker with open connections stays behind while the first service swaps."""
    client = load(100, PORT)
    play(released, "slipway.go.site", other(binaries, "1.0.0"))
    play(released, "release", variables(binaries, "2.0.0", release_force=True))
    assert {version(host, OTHER_PORT) for host in released.hosts} == {"1.0.0"}
    for host in released.hosts:
        host.run("systemctl", "reload", "haproxy")
    play(released, "rollback", variables(binaries, "2.0.0"))
    report = client.report()["total"]
    assert (report["failed"], report["failures"]) == (0, {})


def test_haproxy_killed_and_rebooted_leads_to_the_same_release(released: Any, binaries: Path) -> None:
    host = released.hosts[0]
    before = version(host)
    host.run("systemctl", "kill", "--signal=KILL", "--kill-who=all", "haproxy")
    deadline = time.monotonic() + 20
    while host.run("systemctl", "is-active", "haproxy", check=False) != "active" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [version(host, port) for port in (PORT, ADMIN_PORT)] == [before] * 2
    host.reboot()
    deadline = time.monotonic() + 60
    while host.run("systemctl", "is-active", SERVICE, check=False) != "active" and time.monotonic() < deadline:
        time.sleep(0.2)
    assert version(host) == before
    host.run("slipway", "status", SERVICE)


def test_a_canary_that_fails_its_users_is_taken_back(released: Any, binaries: Path, load: Any, tmp_path: Path) -> None:
    client = load(100, PORT)
    bad = variables(
        binaries, "3.0.0", release_environment={"APP_ERROR_RATIO": "0.5"}, release_weights=[10, 50],
        release_step_time=4, release_force=True, release_report=str(tmp_path / "reports"),
    )  # fmt: skip
    done = released.play("release", bad)
    report = client.report()["total"]
    assert "was rolled back in CANARY: with 10 % of the requests" in done.output, done.output[-3000:]
    first, second = (host.name for host in released.hosts)
    page = check_report(tmp_path / "reports", done.output, {first: "failed", second: "not touched"})
    assert "Evidence against the release" in page
    assert "CANARY (failed)" in page
    assert {version(host) for host in released.hosts} == {"1.0.0"}
    assert set(report["failures"]) == {"status_5xx"}
    assert report["failed"] < report["sent"] * 0.1


def test_a_port_of_another_program_is_refused_before_anything_changes(released: Any, binaries: Path) -> None:
    values = variables(binaries, "1.0.0", service_name="stand", service_listen=["22"])
    done = released.play("slipway.go.site", values)
    assert done.code != 0
    assert "port 22" in done.output
    assert "sshd" in done.output
    for host in released.hosts:
        assert not host.exists("/etc/haproxy/slipway.d/stand.cfg")


def test_another_strategy_on_haproxys_port_is_refused(released: Any, binaries: Path) -> None:
    done = released.play("release", variables(binaries, "3.0.0", service_swap="restart", service_rehearsal=""))
    assert done.code != 0
    assert "take the service out of the proxy first" in done.output
    assert {version(host) for host in released.hosts} == {"1.0.0"}


def test_a_bad_first_release_behind_haproxy_brings_no_second_socket_to_its_port(released: Any, binaries: Path) -> None:
    """The service had the port itself, and was stopped for HAProxy as the role's page says."""
    host = released.hosts[0]
    only = ("--limit", host.name)
    play(released, "slipway.go.site", moved(binaries, "1.0.0", service_swap="socket"), *only)
    host.run("systemctl", "disable", "--now", f"{MOVED}.socket", f"{MOVED}.service")
    bad = moved(binaries, "2.0.0", release_environment={"APP_UNHEALTHY_AFTER": "0s"}, release_rehearsal="")
    done = released.play("slipway.go.site", bad, *only)
    assert done.code != 0
    assert "Now nothing serves: 1.0.0-" in " ".join(done.output.split())
    assert answers(host, MOVED_PORT, 20) == {"503"}, "nobody else is at that port"
    refused = inside.attempt(host.container, "slipway", "rollback", MOVED)
    assert refused.returncode == 1
    assert f"HAProxy has port {MOVED_PORT}" in refused.stderr
    play(released, "release", moved(binaries, "3.0.0"), *only)
    assert answers(host, MOVED_PORT, 20) == {"200"}
    assert version(host, MOVED_PORT) == "3.0.0"


def test_input_that_cannot_be_is_refused(released: Any, binaries: Path) -> None:
    for values, said in (
        ({"service_proxy_ports": [18190]}, "service_proxy_ports"),
        ({"service_proxy_ports": [18190, 18190]}, "service_proxy_ports"),
        ({"service_listen": ["/run/kiosk.sock"]}, "service_listen"),
        ({"proxy_server": "nginx"}, "proxy_more_ports"),
        ({"proxy_tls_listen": ["443"]}, "proxy_tls_certificate"),
        ({"proxy_trusted_proxies": ["10.0.0.1/8"]}, "proxy_trusted_proxies"),
        ({"proxy_static": [{"path": "static", "root": "/srv"}]}, "proxy_static"),
        ({"proxy_frontend": ["a\nb"]}, "proxy_frontend"),
    ):
        done = released.only(0).play("site", variables(binaries, "1.0.0", **values))
        assert done.code != 0, values
        assert said in done.output
        assert {host["changed"] for host in done.recap.values()} == {0}


def certificate(folder: Path) -> Path:
    key, pem = folder / "key.pem", folder / "kiosk.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kiosk.test",
         "-addext", "subjectAltName=DNS:kiosk.test",
         "-keyout", str(key), "-out", str(pem)],
        check=True, capture_output=True,
    )  # fmt: skip
    pem.write_text(pem.read_text() + key.read_text())
    return pem


def curl(address: str, path: str, *more: str) -> str:
    return subprocess.run(
        ["curl", "-sk", "--max-time", "20", "-D", "-", *more, f"{address}{path}"],
        capture_output=True, text=True, check=True,
    ).stdout.lower()  # fmt: skip


# The other way round than the claims of clients below, so that both programs of both distributions have a turn.
HOST_OF_TLS = {"haproxy": 0, "nginx": 1}


@pytest.mark.parametrize("outer", ["haproxy", "nginx"])
def test_tls_and_static_files(released: Any, binaries: Path, tmp_path: Path, outer: str) -> None:
    released = released.only(HOST_OF_TLS[outer])
    for host in released.hosts:
        host.run("sh", "-c", "mkdir -p /srv/kiosk && echo body > /srv/kiosk/app.css")
    values = variables(
        binaries, "1.0.0",
        proxy_server=outer,
        service_more_ports=[{**ADMIN, "tls": True}] if outer == "haproxy" else [],
        proxy_nginx_listen=["8190"],
        proxy_tls_listen=["8443"],
        proxy_tls_certificate=str(certificate(tmp_path)),
        proxy_hsts=3600,
        proxy_static=[{"path": "/static/", "root": "/srv/kiosk", "cache": "public, max-age=60, immutable"}],
    )  # fmt: skip
    if outer == "nginx":  # which has the first port only; a release without the other one needs HAProxy still
        play(released, "slipway.go.site", variables(binaries, "1.0.0", service_more_ports=[]))
    play(released, "slipway.go.site", {**values, "proxy_state": "absent"})
    begun = {host.name: host.run("date", "+%s") for host in released.hosts}
    told = [play(released, "slipway.go.site", values, "-vvv", "--diff") for again in range(2)]
    assert {h["changed"] for h in told[1].recap.values()} == {0}
    key = (tmp_path / "key.pem").read_text().splitlines()[5]
    assert not any(key in done.output for done in told)
    for host in released.hosts:
        journal = host.run("journalctl", "--no-pager", "--all", f"--since=@{begun[host.name]}")
        assert "config_files" in journal
        assert key not in journal
        assert host.run("grep", "-c", key, f"/etc/slipway-{outer}/{SERVICE}.pem") == "1"
        plain = f"http://{host.address}:{PORT if outer == 'haproxy' else 8190}"
        secure = f"https://{host.address}:8443"
        assert " 308" in curl(plain, "/version").splitlines()[0]
        for named, meant in (("kiosk.test", "kiosk.test"), ("kiosk.test:9090", "kiosk.test"), ("[::1]:9090", "[::1]"),
                             ("[::1]", "[::1]")):  # fmt: skip
            redirect = curl(plain, "/version?a=b:1&c=%20d", "-H", f"Host: {named}")
            assert f"location: https://{meant}:8443/version?a=b:1&c=%20d\n" in redirect.replace("\r", "")
        if outer == "haproxy":
            assert "1.0.0" in curl(f"https://{host.address}:{ADMIN_PORT}", "/version")
        answer = curl(secure, "/version")
        assert "strict-transport-security: max-age=3600" in answer
        assert "1.0.0" in answer
        static = curl(secure, "/static/app.css")
        assert "cache-control: public, max-age=60, immutable" in static
        assert static.endswith("body\n")
        old = subprocess.run(["curl", "-sk", "--tls-max", "1.1", f"{secure}/"], capture_output=True, check=False)
        assert old.returncode != 0, "TLS 1.1 is taken"
        mode = host.run("stat", "-c", "%a %U", f"/etc/slipway-{outer}/{SERVICE}.pem")
        assert mode == "640 root"


MIRROR, MIRROR_PORT, MIRROR_OUTER = "mirror", 8120, 8121
# What a client sends to look like somebody else: several lines of one header, any case, lists, and underscores.
CLAIMS = [
    "X-Forwarded-For: 198.51.100.1", "x-forwarded-for: 198.51.100.2, 198.51.100.3", "X-FORWARDED-PROTO: https",
    "X-Forwarded-Host: evil.test", "X-Forwarded-Port: 1", "X-Forwarded-Server: evil", "Forwarded: for=198.51.100.4",
    "X-Real-IP: 198.51.100.5", "X_Forwarded_For: 198.51.100.6", "X-Forwarded_For: 198.51.100.7",
    "X_Real-IP: 198.51.100.8", "True-Client-IP: 198.51.100.9",
    "CF-Connecting-IP: 198.51.100.10", "X-Client-IP: 198.51.100.11",
    "X-Forwarded: for=198.51.100.12", "Client-IP: 198.51.100.13", "Fly-Client-IP: 198.51.100.14",
    "X-Appengine-Remote-Addr: 198.51.100.15", "X-Original-Forwarded-For: 198.51.100.16",
    "X_Original-Forwarded_For: 198.51.100.17", "client_ip: 198.51.100.18", "X-Appengine_Remote-Addr: 198.51.100.19",
]  # fmt: skip


def mirrored(host: Any, port: int, lines: list[str]) -> dict[str, list[str]]:
    """The headers that arrive behind the proxy, by their name in small letters; the request is sent as it is."""
    request = "\r\n".join(["GET / HTTP/1.1", "Host: mirror.test", "Connection: close", *lines, "", ""])
    with socket.create_connection((host.address, port), timeout=20) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode()
    assert answer.startswith("HTTP/1.1 200"), answer
    found: dict[str, list[str]] = {}
    for line in urllib.parse.unquote(answer.partition("\r\n\r\n")[2]).splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip().lower(), []).append(value.strip())
    return found


@pytest.mark.parametrize("outer", ["haproxy", "nginx"])
def test_whom_a_client_claims_to_be_is_not_passed_on(fleet: Any, tmp_path: Path, outer: str) -> None:
    fleet = fleet.only(1 - HOST_OF_TLS[outer])
    us = subprocess.run(
        ["ip", "-o", "route", "get", fleet.hosts[0].address], capture_output=True, text=True, check=True
    )
    own = us.stdout.partition(" src ")[2].split()[0]
    (tmp_path / "mirror.yml").write_text(json.dumps([
        {"hosts": "all", "become": True, "gather_facts": False, "roles": ["slipway.go.proxy"]}
    ]))  # fmt: skip
    values = {
        "service_name": MIRROR,
        "service_swap": "proxy",
        "service_listen": [str(MIRROR_PORT)],
        "service_proxy_ports": [18590, 18591],
        "proxy_server": outer,
        "proxy_nginx_listen": [str(MIRROR_OUTER)],
        "proxy_backend": ['http-request return status 200 content-type text/plain lf-string "%[req.hdrs]"'],
    }
    port = MIRROR_PORT if outer == "haproxy" else MIRROR_OUTER
    try:
        play(fleet, str(tmp_path / "mirror.yml"), values)
        for host in fleet.hosts:
            for asked in sorted({port, MIRROR_PORT}):  # behind nginx, HAProxy can be reached, too
                told = mirrored(host, asked, CLAIMS)
                assert told.pop("x-forwarded-for") == [own], told
                assert told.pop("x-forwarded-proto") == ["http"]
                assert not any("forwarded" in name or "ip" in name.replace("_", "-").split("-") for name in told), told
                assert not any("198.51.100." in value for values in told.values() for value in values), told
            assert mirrored(host, port, [])["x-forwarded-for"] == [own]

        play(fleet, str(tmp_path / "mirror.yml"), {**values, "proxy_trusted_proxies": [f"{own}/32", "2001:db8::/32"]})
        for host in fleet.hosts:
            told = mirrored(host, port, [CLAIMS[0], *CLAIMS[2:]])
            assert ", ".join(told["x-forwarded-for"]) == f"198.51.100.1, {own}"
            assert told["x-forwarded-proto"] == ["https"]
            assert (told["x-forwarded-host"], told["x-real-ip"]) == (["evil.test"], ["198.51.100.5"])
            assert told["forwarded"] == ["for=198.51.100.4"]
            assert not any("_" in name for name in told), told
            assert mirrored(host, port, [])["x-forwarded-proto"] == ["http"]
    finally:
        play(fleet, str(tmp_path / "mirror.yml"), {**values, "proxy_state": "absent"})

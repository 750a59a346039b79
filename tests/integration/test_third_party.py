"""Services that nobody here wrote, as Debian packs them: upgraded and taken back under load."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

# Two releases of one binary: the version is what tells them apart, as with a change of configuration alone.
VERSIONS = ("1", "2")
GETS = "new-get=50,keep-get=50"
CADDYFILE = """\
{
  admin off
  auto_https off
}
http://127.0.0.1:{$PORT} {
  respond "slot {$SLIPWAY_SLOT}"
}
"""

SERVICES: dict[str, dict[str, Any]] = {
    "metrics": {
        "package": "prometheus-node-exporter",
        "path": "/",  # what /metrics costs would measure the machine
        # It does not drain: what it keeps open when it ends is lost. Under `proxy` that would not matter.
        "loses": {"eof", "reset"},
        "service_swap": "socket",
        "service_listen": ["19100"],
        "service_arguments": ["--web.systemd-socket"],
        "service_sandbox": {
            "ProcSubset": "all",
            "ProtectProc": "default",
            "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        },
    },
    "prom": {
        "package": "prometheus",
        "path": "/-/healthy",
        "service_swap": "proxy",
        "service_listen": ["19090"],
        "service_proxy_ports": [18390, 18391],
        "service_arguments": [
            "--config.file=config/prometheus.yml",
            "--web.listen-address=127.0.0.1:${PORT}",
            "--storage.tsdb.path=/var/lib/prom/${SLIPWAY_SLOT}",
        ],
        "config": ("prometheus.yml", "global: {}\n"),
    },
    "web": {
        "package": "caddy",
        "path": "/",
        "service_swap": "proxy",
        "service_listen": ["19080"],
        "service_proxy_ports": [18690, 18691],
        "service_type": "notify",
        "service_environment": {"HOME": "/var/lib/web"},
        "service_arguments": ["run", "--adapter", "caddyfile", "--config", "config/Caddyfile"],
        "config": ("Caddyfile", CADDYFILE),
    },
}


def fetch(host: Any, package: str, target: Path) -> Path:
    """The package's binary, without its service: the host gets the files and nothing is started."""
    host.run(
        "sh",
        "-c",
        f"apt-get -qq update; cd /tmp && apt-get -qq download {package} && dpkg -x {package}_*.deb x-{package}",
    )
    found = host.run("sh", "-c", f"find /tmp/x-{package}/usr/bin -type f -size +1M").splitlines()
    path = next(name for name in found if name.endswith(f"/{package}"))
    subprocess.run(["docker", "cp", f"{host.container}:{path}", str(target)], check=True, capture_output=True)
    return target


@pytest.mark.parametrize("name", SERVICES)
def test_an_unmodified_service_is_upgraded_and_taken_back(fleet: Any, load: Any, tmp_path: Path, name: str) -> None:
    host = fleet.hosts[0]
    given = dict(SERVICES[name])
    package, path, (config, text) = given.pop("package"), given.pop("path"), given.pop("config", ("", ""))
    loses = given.pop("loses", set())
    port = int(given["service_listen"][0])
    values = {
        "service_name": name,
        "service_type": "exec",
        **given,
        "release_src": str(fetch(host, package, tmp_path / package)),
        "release_health": {"url": f"http://127.0.0.1:{port}{path}", "deadline": 30},
        "release_soak_time": 1,
    }
    if config:
        (tmp_path / f"{config}.j2").write_text(text)
        values["service_config_files"] = [{"src": str(tmp_path / f"{config}.j2")}]
    only = ("--limit", host.name)
    first = fleet.play("slipway.go.site", {**values, "release_version": VERSIONS[0]}, *only)
    assert first.code == 0, first.output[-4000:]

    client = load(100, port, path, GETS, [host])
    for playbook, version, serves in (
        ("release", *VERSIONS[1:], VERSIONS[1]),
        ("rollback", *VERSIONS[1:], VERSIONS[0]),
    ):
        done = fleet.play(playbook, {**values, "release_version": version}, *only)
        assert done.code == 0, done.output[-4000:]
        assert host.current(name).startswith(f"{serves}-")
    report = client.report()["total"]
    assert report["sent"] > 500
    assert set(report["failures"]) <= loses, report["failures"]

"""The diagnosis table: what makes a service fail is made on purpose on a lab host, and must be the first finding.

`make diagnosis` runs it. Not made here, because a container of the lab has neither the limits nor the firewall: too
little memory, too many threads, a closed port, a denial of SELinux or AppArmor, and a clock that is not synchronised.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(CHECKOUT / "tests" / "lab")]

import inside
import lab
import play
from build import build_app
from waiting import wait
from web import certificate

LAB = os.environ.get("SLIPWAY_LAB", "diagnosis")
BINARIES = CHECKOUT / ".work" / "app"
PORTS = {"shop": 8103, "kiosk": 8104}
# What they need of others: each answers until a case stops it.
DATABASE, PAGE, SILENT = 9301, 9302, 9303
DEPENDENCIES = [
    {"name": "database", "priority": "high", "address": f"db.internal:{DATABASE}"},
    {"name": "payments", "priority": "high", "url": f"https://127.0.0.1:{PAGE}/", "ca_file": "/root/ca.pem"},
    {"name": "mail", "priority": "high", "url": f"http://127.0.0.1:{SILENT}/", "timeout": 1},
    {"name": "search", "priority": "low", "address": "127.0.0.1:9"},
]
SERVER = """\
import http.server, ssl, sys
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
DROP_IN = "/etc/systemd/system/SERVICE@.service.d/zz.conf"


PEER = """\
[Service]
ExecStart=/usr/bin/python3 /root/server.py {arguments}
"""


def directive(*lines: str, then: str = "systemctl restart --no-block UNIT") -> str:
    """A drop-in for the release's unit, in force."""
    text = "[Service]\\n" + "\\n".join(lines)
    return f"mkdir -p $(dirname {DROP_IN}) && printf '{text}\\n' > {DROP_IN} && systemctl daemon-reload && {then}"


@dataclass(frozen=True)
class Case:
    """code: of the first finding. says: what its message or its lines have. after: what is waited for."""

    code: str
    make: str
    undo: str = ""
    says: str = ""
    service: str = "shop"
    after: str = ""


FAILED = "! systemctl is-active --quiet UNIT"
ANSWERS = f"until ss -ltn | grep -q :{PAGE}; do sleep 0.2; done"
TIMED_OUT = "journalctl --quiet -u UNIT | grep -q \"result 'timeout'\""
LIMITED = "systemctl show -p MainPID --value UNIT"
CASES = {
    "stopped by somebody": Case("stopped_by_hand", "systemctl stop SERVICE"),
    "masked": Case(
        "unit_masked",
        "systemctl stop SERVICE; mv /etc/systemd/system/SERVICE.service /root/unit;"
        "ln -s /dev/null /etc/systemd/system/SERVICE.service; systemctl daemon-reload",
        "mv /root/unit /etc/systemd/system/SERVICE.service",
    ),
    "the binary was replaced": Case(
        "damaged_release",
        "cp -p BINARY /root/binary; cp /bin/false BINARY.new; mv BINARY.new BINARY; systemctl restart --no-block UNIT",
        "cp -p /root/binary BINARY",
        "bin/shop",
        after=FAILED,
    ),
    "the binary may not be executed": Case(
        "damaged_release",
        "chmod 600 BINARY; systemctl restart --no-block UNIT",
        "chmod 750 BINARY",
        after=FAILED,
    ),
    "the working directory is gone": Case(
        "unit_missing", directive("WorkingDirectory=/nowhere"), says="/nowhere", after=FAILED
    ),
    "the user is gone": Case("unit_missing", directive("User=somebody-else"), says="somebody-else", after=FAILED),
    "the environment file is gone": Case(
        "unit_missing", directive("EnvironmentFile=/nowhere/env"), says="/nowhere/env", after=FAILED
    ),
    "the program may execute nothing": Case(
        "unit_noexec", directive("NoExecPaths=/opt"), says="NoExecPaths", after=FAILED
    ),
    "a setting that the program refuses": Case(
        "process_exited", directive("Environment=DRAIN_LINGER=soon"), says="DRAIN_LINGER", after=FAILED
    ),
    "it ends again and again": Case(
        "process_exited",
        directive("Environment=APP_CRASH_AFTER=0s"),
        says="in the last minutes",
        after='test "$(systemctl show -p NRestarts --value UNIT)" -ge 2',
    ),
    "it is never ready": Case(
        "start_timed_out",
        directive("Environment=APP_NEVER_READY=true", "TimeoutStartSec=2", "Restart=no"),
        after=TIMED_OUT,
    ),
    "it crashes": Case(
        "process_killed",
        directive("Restart=no", then="systemctl restart UNIT") + " && systemctl kill --signal=KILL UNIT",
        says="9/KILL",
        after=FAILED,
    ),
    "its data's disk is full": Case(
        "disk_full",
        "mkdir -p /var/cache/SERVICE && mount -t tmpfs -o size=64k none /var/cache/SERVICE;"
        "dd if=/dev/zero of=/var/cache/SERVICE/x bs=1k 2>/dev/null; true",
        "umount /var/cache/SERVICE",
        "/var/cache/shop has 0 KiB free",
    ),
    "no inodes are left": Case(
        "no_inodes",
        "mkdir -p /var/cache/SERVICE && mount -t tmpfs -o size=64m,nr_inodes=2 none /var/cache/SERVICE;"
        "touch /var/cache/SERVICE/x /var/cache/SERVICE/y; true",
        "umount /var/cache/SERVICE",
    ),
    "its disk is read-only": Case(
        "read_only_disk",
        "mkdir -p /var/cache/SERVICE && mount -t tmpfs -o size=64m none /var/cache/SERVICE && "
        "mount -o remount,ro /var/cache/SERVICE",
        "umount /var/cache/SERVICE",
    ),
    "somebody else has its port": Case(
        "port_in_use",
        "systemctl stop SERVICE SERVICE.socket;"
        "systemd-run --quiet --unit=squatter python3 /root/server.py PORT;"
        "until ss -ltn | grep -q :PORT; do sleep 0.2; done; systemctl start SERVICE; true",
        "systemctl stop squatter",
        "python3",
    ),
    "no descriptors are left": Case(
        "no_descriptors",
        f"pid=$({LIMITED}); n=$(ls /proc/$pid/fd | wc -l); prlimit --pid $pid --nofile=$n:$n",
        "systemctl restart UNIT",
    ),
    "the database is down": Case(
        "dependency_refused", "systemctl stop database", "systemctl start database", "database"
    ),
    "a name does not resolve": Case(
        "dependency_dns", "sed '/db.internal/d' /root/hosts > /etc/hosts", "cat /root/hosts > /etc/hosts", "database"
    ),
    "a certificate has expired": Case(
        "dependency_tls",
        f"cp /root/expired.pem /root/served.pem; systemctl restart payments; {ANSWERS}",
        f"cp /root/valid.pem /root/served.pem; systemctl restart payments; {ANSWERS}",
        "has expired",
    ),
    "a dependency is silent": Case(
        "dependency_timeout",
        "systemctl kill --signal=STOP mail",
        "systemctl kill --signal=CONT mail",
        "mail",
    ),
    "its health check fails": Case(
        "health_fails", directive("Environment=APP_UNHEALTHY_AFTER=0s", then="systemctl restart UNIT"), says="503"
    ),
    "it hangs": Case(
        "health_fails", "systemctl kill --signal=STOP UNIT", "systemctl kill --signal=CONT UNIT", "no process accepted"
    ),
    "its unit was changed": Case(
        "changed_by_hand",
        "cp -p TEMPLATE /root/unit && sed -i 's/^\\[Service\\]/&\\nEnvironment=APP_UNHEALTHY_AFTER=0s/' TEMPLATE &&"
        "systemctl daemon-reload && systemctl restart UNIT",
        "cp -p /root/unit TEMPLATE",
        "shop@.service",
    ),
    "a swap was cut short": Case(
        "in_flight",
        'printf \'%s\' \'{"txn": "x", "phase": "OVERLAP", "strategy": "socket", "started": 1.0, "source": null, \''
        ' > STATE; printf \'"to": "%s"}\' RELEASE >> STATE',
        "rm STATE",
        "OVERLAP",
    ),
    "HAProxy is down": Case("proxy_down", "systemctl stop haproxy", "systemctl start haproxy", service="kiosk"),
}


class Host:
    def __init__(self, name: str, container: str) -> None:
        self.name, self.container = name, container

    def sh(self, script: str, service: str) -> tuple[int, str]:
        binary = f"$(readlink -f /opt/{service}/current)/bin/{service}"
        release = f"$(basename $(readlink -f /opt/{service}/current))"
        for word, text in (
            ("BINARY", binary),
            ("UNIT", f'"{service}@{release}.service"'),
            ("RELEASE", release),
            ("STATE", f"/var/lib/slipway/{service}/state.json"),
            ("TEMPLATE", f"/etc/systemd/system/{service}@.service"),
            ("PORT", str(PORTS[service])),
            ("SERVICE", service),
        ):
            script = script.replace(word, text)
        done = inside.attempt(self.container, "sh", "-c", script)
        return done.returncode, (done.stdout + done.stderr).strip()

    def diagnose(self, service: str) -> dict[str, Any]:
        done = inside.attempt(self.container, "slipway", "diagnose", service, "--json")
        assert done.stdout.startswith("{"), done.stdout + done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        assert "Traceback" not in done.stderr
        wrong = any(one["rank"] != "note" for one in told["findings"])
        assert done.returncode == int(wrong)
        return told

    def ok(self, script: str, service: str = "shop") -> None:
        code, said = self.sh(script, service)
        assert code == 0, f"{script}: {said}"

    def write(self, path: str, text: str) -> None:
        argv = ["docker", "exec", "-i", self.container, "tee", path]
        subprocess.run(argv, input=text, text=True, check=True, capture_output=True)

    def restore(self, case: Case) -> None:
        if case.undo:
            self.sh(case.undo, case.service)
        self.sh(
            f"rm -f {DROP_IN}; systemctl daemon-reload; systemctl reset-failed 'SERVICE*';"
            "systemctl start SERVICE.service; systemctl restart UNIT; journalctl --quiet --rotate --vacuum-time=1s",
            case.service,
        )


def variables(service: str, version: str, **more: Any) -> dict[str, Any]:
    port = PORTS[service]
    return {
        "service_name": service,
        "service_listen": [str(port)],
        "service_watch": False,
        "service_dependencies": DEPENDENCIES,
        "site_harden": False,
        "release_version": version,
        "release_src": str(BINARIES / f"shop-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{port}/readyz", "deadline": 10, "timeout": 2},
        "release_soak_time": 0,
        **more,
    }


@pytest.fixture(scope="session", params=["bookworm", "trixie"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    inventory = lab.up(f"{LAB}-{request.param}", 1, [request.param])
    (name,) = json.loads(inventory.read_text())["all"]["hosts"]
    one = Host(name, f"slipway-{LAB}-{request.param}-{name}")
    build_app("1.0.0", BINARIES / "shop-1.0.0")
    one.ok("echo 127.0.0.1 db.internal >> /etc/hosts; cp /etc/hosts /root/hosts")
    one.write("/root/server.py", SERVER)
    for kind, days in (("valid", 30), ("expired", -1)):
        folder = tmp_path_factory.mktemp(kind)
        certificate(folder, "127.0.0.1", days)
        own = (folder / "cert.pem").read_text()
        one.write(f"/root/{kind}.pem", own + (folder / "key.pem").read_text())
        one.write(f"/root/{kind}-ca.pem", own)
    one.ok("cat /root/*-ca.pem > /root/ca.pem; cp /root/valid.pem /root/served.pem")
    for unit, arguments in {"database": DATABASE, "payments": f"{PAGE} /root/served.pem", "mail": SILENT}.items():
        one.write(f"/etc/systemd/system/{unit}.service", PEER.format(arguments=arguments))
        one.ok(f"systemctl daemon-reload; systemctl start {unit}")
    done = play.playbook("site", inventory, variables("shop", "1.0.0"))
    assert done.code == 0, done.output
    proxied = {"service_swap": "proxy", "service_proxy_ports": [18390, 18391], "service_dependencies": []}
    done = play.playbook("site", inventory, variables("kiosk", "1.0.0", **proxied))
    assert done.code == 0, done.output
    yield one
    if not os.environ.get("SLIPWAY_LAB_KEEP"):
        lab.down(f"{LAB}-{request.param}")


def test_a_service_that_is_well(host: Host) -> None:
    told = host.diagnose("shop")
    assert [one for one in told["findings"] if one["rank"] != "note"] == []
    assert [one["code"] for one in told["findings"]] == ["dependency_refused"], "of the one with the lowest priority"
    assert told["notes"] == []


@pytest.mark.parametrize("name", CASES)
def test_the_first_finding_is_the_cause(host: Host, name: str) -> None:
    case = CASES[name]
    try:
        host.ok(case.make, case.service)
        if case.after:
            wait("it is as meant", lambda: host.sh(case.after, case.service)[0] == 0)
        told = host.diagnose(case.service)
        first = told["findings"][0]
        assert first["code"] == case.code, json.dumps(told, indent=1)
        assert case.says in first["message"] + "\n".join(first["lines"]), json.dumps(told, indent=1)
        assert first["fix"]
    finally:
        host.restore(case)
        wait("it is well again", lambda: host.sh("slipway status SERVICE", case.service)[0] == 0, 30)

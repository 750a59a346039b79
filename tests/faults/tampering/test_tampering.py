"""The tampering table on real hosts: files of a release changed by hand, before each way in which it could start.

`make tamper` runs it, after the whole table of tests/unit/plugins/module_utils/release/test_tampering.py.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(CHECKOUT / "tests" / "lab")]

import inside
import lab
import play
from build import build_app
from waiting import wait

LAB = os.environ.get("SLIPWAY_LAB", "tamper")
BINARIES = CHECKOUT / ".work" / "app"
# What is put in the place of the program says that it ran, where the sandbox lets it write.
FOREIGN = "#!/bin/sh\\necho foreign > $STATE_DIRECTORY/foreign\\nsleep 1000\\n"
SERVICES = {"vault": ("socket", 8101), "relay": ("reload", 8102)}
FILES = ("bin/SERVICE", "environment", "units/SERVICE@.service", "release.json")
HOW = {
    "changed": "printf '\\nFOREIGN=1\\n' >> PATH",
    "replaced": f"printf '{FOREIGN}' > PATH.new && chmod 750 PATH.new && mv PATH.new PATH",
    "linked away": f"printf '{FOREIGN}' > /opt/foreign && chmod 755 /opt/foreign && ln -sf /opt/foreign PATH",
    "removed": "rm PATH",
}


class Host:
    def __init__(self, name: str, container: str, service: str) -> None:
        self.name, self.container, self.service = name, container, service
        self.strategy, self.port = SERVICES[service]

    def sh(self, script: str) -> tuple[int, str]:
        done = inside.attempt(self.container, "sh", "-c", script.replace("SERVICE", self.service))
        return done.returncode, (done.stdout + done.stderr).strip()

    def ok(self, script: str) -> str:
        code, said = self.sh(script)
        assert code == 0, f"{script}: {said}"
        return said

    def release(self, version: str) -> str:
        return self.ok(f"ls /opt/SERVICE/releases | grep '^{version}-'")

    @property
    def unit(self) -> str:
        return f"{self.service}@{'current' if self.strategy == 'reload' else self.release('2.0.0')}.service"

    def main_pid(self) -> str:
        return self.ok(f"systemctl show -p MainPID --value '{self.unit}'")

    def damage(self, version: str, name: str, how: str) -> None:
        path = f"/opt/SERVICE/releases/{self.release(version)}/{name}"
        binary_in_use = how == "changed" and name.startswith("bin/")
        # The kernel refuses to write to what runs; a copy that is changed takes its place.
        script = "cp -p PATH PATH.copy && echo FOREIGN >> PATH.copy && mv PATH.copy PATH" if binary_in_use else HOW[how]
        self.ok(script.replace("PATH", path))

    def foreign(self) -> str:
        """What of the foreign things runs, or has run."""
        return self.ok(
            "cat /var/lib/SERVICE/foreign 2>/dev/null;"
            "for p in $(systemctl list-units --plain --no-legend 'SERVICE@*' | cut -d' ' -f1); do"
            " cat /proc/$(systemctl show -p MainPID --value $p)/environ 2>/dev/null | tr '\\0' '\\n' |"
            " grep FOREIGN; done;"
            "grep -l FOREIGN /etc/systemd/system/SERVICE* 2>/dev/null; true"
        )

    def restore(self) -> None:
        """As it was: 2.0.0 serves, 1.0.0 is good, and nobody remembers a failure."""
        self.ok(
            "systemctl stop SERVICE.service; systemctl reset-failed 'SERVICE*' 2>/dev/null;"
            "rm -rf /opt/SERVICE /var/lib/slipway/SERVICE /var/lib/SERVICE/foreign;"
            "cp -a /root/opt /opt/SERVICE && cp -a /root/state /var/lib/slipway/SERVICE &&"
            "cp -a /root/units/. /etc/systemd/system/ && systemctl daemon-reload && systemctl restart SERVICE.service"
        )


def variables(service: str, version: str) -> dict[str, object]:
    strategy, port = SERVICES[service]
    return {
        "service_name": service,
        "service_swap": strategy,
        "service_listen": [str(port)],
        "service_watch_interval": 3600,
        "release_version": version,
        "release_src": str(BINARIES / f"shop-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{port}/readyz", "deadline": 10, "timeout": 2},
        "release_soak_time": 0,
    }


@pytest.fixture(scope="session")
def hosts() -> Iterator[dict[str, Host]]:
    inventory = lab.up(LAB, 2, ["bookworm", "trixie"])
    names = list(json.loads(inventory.read_text())["all"]["hosts"])
    found = {service: Host(n, f"slipway-{LAB}-{n}", service) for service, n in zip(SERVICES, names)}
    for version in ("1.0.0", "2.0.0"):
        build_app(version, BINARIES / f"shop-{version}")
    for service, host in found.items():
        for version in ("1.0.0", "2.0.0"):
            done = play.playbook("site", inventory, variables(service, version), "--limit", host.name)
            assert done.code == 0, done.output
        host.ok(
            "systemctl stop slipway-watch.service; mkdir -p /root/units && cp -a /opt/SERVICE /root/opt &&"
            "cp -a /var/lib/slipway/SERVICE /root/state && cp -a /etc/systemd/system/SERVICE* /root/units/"
        )
    yield found
    lab.down(LAB)


CASES = [(name, how) for name in FILES for how in HOW]
IDS = [f"{name} {how}" for name, how in CASES]


@pytest.fixture
def vault(hosts: dict[str, Host]) -> Iterator[Host]:
    yield hosts["vault"]
    found = hosts["vault"].foreign()
    hosts["vault"].restore()
    assert found == ""


@pytest.fixture
def relay(hosts: dict[str, Host]) -> Iterator[Host]:
    yield hosts["relay"]
    found = hosts["relay"].foreign()
    hosts["relay"].restore()
    assert found == ""


@pytest.mark.parametrize(("name", "how"), CASES, ids=IDS)
def test_rollback(vault: Host, name: str, how: str) -> None:
    before = vault.main_pid()
    vault.damage("1.0.0", name, how)
    code, said = vault.sh("slipway rollback SERVICE")
    assert code == 1
    assert f"{name.replace('SERVICE', 'vault')} " in said
    assert vault.main_pid() == before


@pytest.mark.parametrize(("name", "how"), CASES, ids=IDS)
def test_systemctl_restart(vault: Host, name: str, how: str) -> None:
    vault.damage("2.0.0", name, how)
    code, _said = vault.sh("systemctl restart SERVICE")
    assert code != 0
    journal = vault.ok("journalctl -u SERVICE --no-pager -n 20")
    assert "is not on this host's disk as it was released" in journal
    assert "Fix: run sudo slipway rollback vault 1.0.0-" in journal
    assert vault.sh("slipway rollback SERVICE")[0] == 0, "the way out that it names"
    assert vault.ok("readlink /opt/SERVICE/current").endswith(vault.release("1.0.0"))


@pytest.mark.parametrize(("name", "how"), [c for c in CASES if c[0] != "release.json"])
def test_a_crash_and_the_guard(vault: Host, name: str, how: str) -> None:
    """Systemd starts it again, and so does a connection; what neither reads is for the watch to tell."""
    vault.damage("2.0.0", name, how)
    vault.ok(f"systemctl kill --signal=KILL '{vault.unit}'")
    for _number in range(3):
        vault.sh(f"exec timeout 1 python3 -c \"import socket; socket.create_connection(('127.0.0.1', {vault.port}))\"")
        time.sleep(0.5)
    wait("systemd has tried", lambda: ": FAILED" in vault.ok(f"journalctl -u '{vault.unit}' --no-pager -n 100"))
    assert vault.foreign() == ""
    assert vault.ok(f"systemctl show -p ActiveState --value '{vault.unit}'") != "active"


@pytest.mark.parametrize(("name", "how"), CASES, ids=IDS)
def test_watch(vault: Host, name: str, how: str) -> None:
    before = vault.main_pid()
    vault.ok("slipway watch SERVICE --fall 1 --rollback 5")
    vault.damage("2.0.0", name, how)
    code, said = vault.sh("slipway watch SERVICE --fall 1 --rollback 5")
    assert (code, vault.main_pid()) == (1, before)
    assert "vault: alert: 2.0.0-" in said
    assert vault.sh("slipway watch SERVICE --fall 1 --rollback 5")[0] == 0, "told once"
    assert vault.main_pid() == before
    assert "DAMAGED" in vault.sh("slipway status SERVICE")[1]


@pytest.mark.parametrize(("name", "how"), [c for c in CASES if c[0] != "release.json"])
def test_systemctl_reload(relay: Host, name: str, how: str) -> None:
    before = relay.main_pid()
    relay.damage("2.0.0", name, how)
    relay.sh(f"systemctl reload '{relay.unit}'")
    time.sleep(1)
    assert relay.main_pid() == before
    assert relay.sh("slipway rollback SERVICE")[0] == 0, "from what is damaged to what is not"
    assert relay.foreign() == ""


@pytest.mark.parametrize("how", HOW)
def test_boot(vault: Host, how: str) -> None:
    vault.damage("2.0.0", "bin/SERVICE", how)
    lab.restart(vault.container, "--time", "20")
    wait("the boot has come to the service", lambda: vault.sh("systemctl is-failed SERVICE.service")[0] == 0, 60)
    assert vault.foreign() == ""
    wait("nothing hinders the tool", lambda: vault.sh("slipway watch SERVICE --fall 1 --rollback 5")[0] == 1, 60)
    assert vault.ok("readlink /opt/SERVICE/current").endswith(vault.release("1.0.0")), "the earlier one serves"

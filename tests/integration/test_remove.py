"""One of two services is removed from a host, and the other one does not notice; it comes back with the next run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inside
import lab
import play
import pytest

GOING, STAYING = "grocer", "baker"
PORTS = {GOING: 8131, STAYING: 8132}
# All that a run may change on a host, but for what time changes.
SURVEY = """
find /etc /opt /usr/local /var/lib/slipway /var/lib/{name} /var/log/{name} -xdev -type f \
  ! -path '*/deadman/*' ! -path '/etc/*-' ! -name lock ! -name watch.json ! -name ld.so.cache 2>/dev/null \
  | sort | xargs -r -d '\\n' sha256sum
find /etc /opt -xdev -type l -printf '%p -> %l\\n' | sort
ufw status | sort
"""


@dataclass(frozen=True)
class Host:
    """A bare host with a firewall in force and a deploy user, and the two services."""

    inventory: Path
    container: str
    address: str
    binaries: Path

    def variables(self, service: str, **more: Any) -> dict[str, Any]:
        port = PORTS[service]
        return {
            "service_name": service,
            "service_swap": "proxy" if service == GOING else "socket",
            "service_listen": [str(port)],
            "service_proxy_ports": [18131, 18132],
            "service_credentials": {"key": f"secret of {service}"},
            "service_log": "file",
            "service_watch_metrics": "/run/textfiles",
            "release_version": "1.0.0",
            "release_src": str(self.binaries / "shop-1.0.0"),
            "release_health": {"url": f"http://127.0.0.1:{port}/readyz", "deadline": 20},
            "release_soak_time": 0,
            "site_harden": True,
            "harden_base": False,
            "harden_selinux": False,
            "harden_ssh": False,
            "firewall_backend": "ufw",
            "deploy_user_keys": [(self.inventory.parent / "id_ed25519.pub").read_text().strip()],
            "deploy_user_sudo": "limited",
            **more,
        }

    def play(self, name: str, values: dict[str, Any], *flags: str) -> tuple[int, str]:
        """How many tasks have changed something, and what was said."""
        done = play.playbook(name, self.inventory, values, *flags)
        assert done.code == 0, done.output[-6000:]
        recap = next(iter(done.recap.values()))
        return recap["changed"], done.output

    def remove(self, *flags: str, **more: Any) -> tuple[int, str]:
        return self.play("remove", self.variables(GOING, remove_confirm=GOING, **more), *flags)

    def script(self, text: str) -> str:
        return inside.script(self.container, text)

    def answers(self, service: str) -> bool:
        url = f"http://{self.address}:{PORTS[service]}/version"
        return subprocess.run(["curl", "-sf", "--max-time", "5", url], capture_output=True, check=False).returncode == 0

    def traces(self, service: str) -> set[str]:
        """Every path with its name, and every file of /etc that names it; not its data, releases and journal."""
        found = self.script(
            f"find / -xdev -name '*{service}*' ! -path '/proc/*' ! -path '/root/.ansible/*' ! -path '/tmp/*'; "
            f"grep -rlI '{service}' /etc 2>/dev/null || true"
        )
        kept = (f"/var/lib/{service}", f"/var/log/{service}", f"/opt/{service}", f"/var/lib/slipway/{service}")
        kept += ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid")
        return {path for path in found.splitlines() if not path.startswith(kept)}

    def survey(self) -> set[str]:
        """Files with their digests, links and rules; those that name the service that goes are left out."""
        return {line for line in self.script(SURVEY.format(name=STAYING)).splitlines() if GOING not in line}

    def processes(self, service: str) -> str:
        return self.script(f"systemctl show --property=MainPID --value '{service}@*.service'")


@pytest.fixture(scope="module")
def host(binaries: Path) -> Iterator[Host]:
    name = os.environ.get("SLIPWAY_LAB", "test") + "remove"
    inventory = lab.up(name, 1, ["bookworm"])
    ((machine, told),) = json.loads(inventory.read_text())["all"]["hosts"].items()
    found = Host(inventory, f"slipway-{name}-{machine}", told["ansible_host"], binaries)
    found.script("mkdir -p /run/textfiles")
    for service in (STAYING, GOING):
        found.play("site", found.variables(service))
    yield found
    lab.down(name)


def test_nothing_goes_unless_the_name_is_there_twice(host: Host) -> None:
    before = host.survey()
    for given in ({}, {"remove_confirm": ""}, {"remove_confirm": STAYING}):
        done = play.playbook("remove", host.inventory, host.variables(GOING, **given))
        assert done.code != 0
        assert f"and the service is '{GOING}', so nothing was changed" in done.output
    assert host.survey() == before
    assert host.answers(GOING)


def test_one_goes_and_the_other_does_not_notice(host: Host) -> None:
    assert host.answers(GOING)
    assert host.answers(STAYING)
    before, serving = host.survey(), host.processes(STAYING)
    rules = host.script("grep -v '^#' /etc/sudoers.d/90-slipway-deploy")
    foreseen, said = host.remove("--check")
    assert foreseen > 0
    assert f"goes   /etc/systemd/system/{GOING}.service" in said
    assert host.survey() == before
    assert host.answers(GOING)

    changed, _said = host.remove()
    assert changed > 0
    assert host.traces(GOING) == set()
    assert not host.answers(GOING)
    assert host.answers(STAYING)
    assert host.processes(STAYING) == serving
    # HAProxy has no address left, and neither starts nor is started at boot any more.
    ours = (
        "/var/lib/slipway/baseline.json",
        "/etc/sudoers.d/90-slipway-deploy",
        "/etc/ufw/user",
        str(PORTS[GOING]),
        "haproxy",
    )
    assert {line for line in before ^ host.survey() if not any(name in line for name in ours)} == set()
    kept = [line for line in rules.splitlines() if not line.endswith(f" {GOING}")]
    assert host.script("grep -v '^#' /etc/sudoers.d/90-slipway-deploy").splitlines() == kept
    assert str(PORTS[GOING]) not in host.script("ufw status")
    assert str(PORTS[STAYING]) in host.script("ufw status")
    assert host.script("systemctl is-active haproxy || true") == "inactive"
    assert "1.0.0" in host.script(f"slipway history {GOING}")
    assert host.script(f"ls /opt/{GOING}/releases") != ""


def test_a_second_run_changes_nothing(host: Host) -> None:
    for flags in ((), ("--check",)):
        assert host.remove(*flags)[0] == 0


def test_it_comes_back_with_the_next_run_and_goes_with_its_data(host: Host) -> None:
    host.play("site", host.variables(GOING))
    assert host.answers(GOING)
    assert "1.0.0" in host.script(f"slipway status {GOING}")
    host.remove(remove_data=True, remove_archive="/root/copy.tar.gz")
    assert host.traces(GOING) == {f"/home/{GOING}"} & host.traces(GOING)
    assert host.script(f"ls -d /opt/{GOING} /var/lib/{GOING} /var/log/{GOING} 2>/dev/null || true") == ""
    assert host.script(f"getent passwd {GOING} || true") == ""
    assert f"opt/{GOING}/current" in host.script("tar -tzf /root/copy.tar.gz")
    assert host.script("stat -c %a /root/copy.tar.gz") == "600"
    assert host.remove(remove_data=True, remove_archive="/root/copy.tar.gz")[0] == 0
    assert host.answers(STAYING)

"""Two lab hosts, each with a deploy user that can log in, and the way back to that state after every case."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(CHECKOUT / "tests" / "lab"), str(Path(__file__).parent)]

from hardened import Host

LAB = "lockout"


def pytest_terminal_summary(terminalreporter) -> None:
    """The lock-out table: what was tried, how it ended, after how long, and what the operator was told."""
    ended = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    rows = {r.nodeid.partition("[")[2].rstrip("]"): r for r in ended if r.when == "call" and "[" in r.nodeid}
    if not rows:
        return
    width = max(map(len, rows))
    terminalreporter.section("the lock-out table")
    for name, report in rows.items():
        told = dict(report.user_properties)
        end = "NOT PROVEN" if report.failed else told.get("end", "")
        terminalreporter.write_line(f"{name:<{width}}  {end:<24}{report.duration:6.1f} s  {told.get('said', '')}")


@pytest.fixture(scope="session")
def hosts():
    lab = str(CHECKOUT / "tests" / "lab" / "lab.py")
    subprocess.run([sys.executable, lab, "up", LAB, "--hosts", "2"], check=True)
    folder = CHECKOUT / ".work" / "lab" / LAB
    inventory = json.loads((folder / "inventory.yml").read_text())["all"]
    found = [Host(name, variables, inventory["vars"], LAB) for name, variables in inventory["hosts"].items()]
    public = (folder / "id_ed25519.pub").read_text().strip()
    try:
        for host in found:
            host.inside(
                "apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install -y ufw firewalld netcat-openbsd"
                " >/dev/null 2>&1; systemctl disable --now firewalld >/dev/null 2>&1"
            )
            done = host.play("roles.yml", {"case_roles": ["deploy_user"], "deploy_user_keys": [public], **FULL})
            assert done.returncode == 0, done.stdout
            host.save()
        yield {host.suite: host for host in found}
    finally:
        subprocess.run([sys.executable, lab, "down", LAB], check=True)


FULL = {"deploy_user_sudo": "full"}

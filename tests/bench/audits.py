"""What auditors that nobody here wrote say of a machine before and after hardening.

Usage: audits.py [--before] [FILE]   needs ssh-audit (requirements-bench.txt); writes what they found to FILE

Lynis and systemd-analyze run in a virtual machine of the lab, after a reboot, so that only what survives one counts;
ssh-audit runs against it from outside. Takes about twenty minutes with --before and ten without, where there is no KVM.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / "tests" / "lab")]

import play
import vm
import vm_image
from build import build_app

SERVICE, VERSION, PORT = "shop", "1.0.0", 8080
# The disk has what the roles install; a bare machine has not.
BARE = f"DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge {' '.join(set(vm_image.READY) - {'lynis'})}"
# CRYP-7902 looks into every authority's certificate, which takes minutes here and counts for nothing in the index.
LYNIS = (
    "echo skip-test=CRYP-7902 > /etc/lynis/custom.prf;"
    "lynis audit system --quick --quiet --no-colors >/dev/null 2>&1; cat /var/log/lynis-report.dat"
)
EXPOSURE = (
    "systemctl list-units --plain --no-legend '{}' | cut -d ' ' -f 1"
    " | xargs systemd-analyze security --no-pager | grep Overall"
)


def lynis(machine: vm.Machine) -> dict[str, list[str]]:
    """The report: each key with its values."""
    found: dict[str, list[str]] = {}
    for line in machine.ssh(LYNIS).stdout.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found.setdefault(key, []).append(value)
    return found


def ssh_audit(machine: vm.Machine) -> dict[str, int]:
    """How many findings it has of each level; its exit status is no error of the program."""
    argv = ["ssh-audit", "--json", "--port", str(machine.port(vm.SSH)), "127.0.0.1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    levels = {"fail": 0, "warn": 0}
    for kind in ("kex", "key", "enc", "mac"):
        for algorithm in json.loads(done.stdout)[kind]:
            for level in levels:
                levels[level] += len(algorithm["notes"].get(level, []))
    return levels


def audit(machine: vm.Machine, units: list[str]) -> dict[str, Any]:
    report = lynis(machine)
    return {
        "lynis": report["hardening_index"][0],
        "warnings": report.get("warning[]", []),
        "suggestions": report.get("suggestion[]", []),
        "ssh_audit": ssh_audit(machine),
        "exposure": [machine.ssh(EXPOSURE.format(unit)).stdout.strip() for unit in units],
    }


def harden(machine: vm.Machine) -> None:
    build_app(VERSION, machine.folder / SERVICE)
    variables = {
        "deploy_user_keys": [(machine.folder / "id_ed25519.pub").read_text().strip()],
        "deploy_user_sudo": "full",
        **vm.PATIENCE,
        "release_confirm": vm.SLOW_S,
        "firewall_allow": [{"port": str(PORT)}],
        "selinux_force": True,
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "release_version": VERSION,
        "release_src": str(machine.folder / SERVICE),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 60},
    }
    done = play.playbook("site", machine.inventory, variables)
    if done.code != 0:
        raise vm.LabError(f"site.yml failed:\n{done.output}")
    machine.root_is_closed("deploy")
    machine.restart()
    # What the boot has not started yet would count as missing.
    machine.ssh("systemctl is-system-running --wait || true")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--before", action="store_true", help="audit the bare machine, too")
    parser.add_argument("file", nargs="?", type=Path, default=CHECKOUT / ".work" / "audits.json")
    arguments = parser.parse_args(argv)
    machine = vm.create("audits", forwards=[PORT])
    found = {}
    try:
        machine.boot()
        if arguments.before:
            machine.ssh(BARE)
            found["before"] = audit(machine, ["ssh.service"])
        harden(machine)
        found["after"] = audit(machine, ["ssh.service", f"{SERVICE}@*.service"])
    except vm.LabError as error:
        print(f"audits: {error}", file=sys.stderr)
        return 1
    finally:
        machine.cut()
    arguments.file.write_text(json.dumps(found, indent=2) + "\n")
    for when, figures in found.items():
        print(f"{when}: Lynis {figures['lynis']}, ssh-audit {figures['ssh_audit']}, {'; '.join(figures['exposure'])}")
    print(f"findings: {arguments.file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

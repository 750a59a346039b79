"""What auditors that nobody here wrote say of a machine before and after hardening.

Usage: audits.py [--before] [--whole] [FILE]   needs ssh-audit (requirements-bench.txt); writes what they found to FILE

OpenSCAP, Lynis and systemd-analyze run in a virtual machine of the lab, after a reboot, so that only what survives one
counts; ssh-audit runs against it from outside. As the audits ask for, /home, /var and others are file systems of their
own, which is for the installer to do; with --whole, all is on one. Takes about forty minutes with --before and half an
hour without, where there is no KVM.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / "tests" / "lab")]

import images
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
# A disk of its own for each, in an order in which they can be mounted.
PARTITIONS = {
    "/home": "256M", "/boot": "256M", "/opt": "512M", "/srv": "128M", "/var": "2G", "/var/log": "512M",
    "/var/log/audit": "256M", "/var/tmp": "512M",
}  # fmt: skip
# On a busy computer without KVM, a disk may be seen minutes after the boot.
PATIENT = "defaults,x-systemd.device-timeout=600"
SPLIT = """set -e
mkfs.ext4 -q {disk} && mount {disk} /mnt && cp -a {path}/. /mnt/
chown --reference={path} /mnt; chmod --reference={path} /mnt; chcon --reference={path} /mnt
umount /mnt && mount {disk} {path} && echo "{disk} {path} ext4 {options} 0 2" >> /etc/fstab
"""
# Debian 13's, because that of Debian 12 has no rules for Debian 12.
GUIDE = "scap-security-guide/ssg-debian_0.1.76-1_all.deb"
GUIDE_SHA256 = "f6880719015c16e8e221bc2503c0e5a9f83d6a09fc6f9292d3522e46bf4fc9d7"
PROFILE = "xccdf_org.ssgproject.content_profile_anssi_bp28_high"
SCANNER = f"""set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update && apt-get -qq -y install --no-install-recommends openscap-scanner >/dev/null
mkdir -p /root/ssg && cd /root/ssg
python3 -c 'import sys, urllib.request as web; web.urlretrieve(*sys.argv[1:])' {{mirror}}/pool/main/s/{GUIDE} ssg.deb
echo "{GUIDE_SHA256}  ssg.deb" | sha256sum --check --quiet && dpkg-deb --extract ssg.deb .
"""
# It ends with 2 where a rule fails.
SCAN = (
    f"oscap xccdf eval --profile {PROFILE} /root/ssg/usr/share/xml/scap/ssg/content/ssg-debian12-ds.xml || test $? = 2"
)
RESULT = re.compile(r"^Rule\s+\S+_rule_(\S+)\n(?:(?!Title).*\n)*?Result\s+(\w+)$", re.MULTILINE)
OF_KERNEL = "kernel_config_"
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


def openscap(machine: vm.Machine) -> dict[str, list[str]]:
    """The rules of each result."""
    mirror = images.debian_mirror() or "http://deb.debian.org/debian"
    machine.ssh(SCANNER.format(mirror=mirror.rstrip("/")))
    found: dict[str, list[str]] = {}
    for rule, result in RESULT.findall(machine.ssh(SCAN).stdout):
        found.setdefault(result, []).append(rule)
    return found


def split(machine: vm.Machine) -> None:
    """Give it the partitions, as an installer would have."""
    for letter, path in zip("bcdefghi", PARTITIONS):
        machine.ssh(SPLIT.format(disk=f"/dev/vd{letter}", path=path, options=PATIENT))
    machine.ssh("systemctl daemon-reload; systemctl restart systemd-journald.service auditd.service")


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
        "openscap": openscap(machine),
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
        # The network of qemu advertises a router, without which this machine loses nothing: its address is set by hand.
        "base_controls": {"router_advertisements": True, "partitions": True},
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
    parser.add_argument("--whole", action="store_true", help="no partitions beside that of the system")
    parser.add_argument("file", nargs="?", type=Path, default=CHECKOUT / ".work" / "audits.json")
    arguments = parser.parse_args(argv)
    machine = vm.create("audits", forwards=[PORT], disks=[] if arguments.whole else list(PARTITIONS.values()))
    found = {}
    try:
        machine.boot()
        if not arguments.whole:
            split(machine)
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
        told = {result: len(rules) for result, rules in figures["openscap"].items()}
        failed = figures["openscap"].get("fail", [])
        of_kernel = [rule for rule in failed if rule.startswith(OF_KERNEL)]
        print(f"{when}: Lynis {figures['lynis']}, ssh-audit {figures['ssh_audit']}, {'; '.join(figures['exposure'])}")
        print(f"{when}: OpenSCAP {told}, of those that fail, {len(of_kernel)} are about how the kernel was built")
        print("".join(f"  {rule}\n" for rule in failed), end="")
        print("".join(f"  Lynis: {one}\n" for one in figures["suggestions"]), end="")
    print(f"findings: {arguments.file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

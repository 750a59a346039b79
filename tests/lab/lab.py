"""The lab: containers that are real hosts, with systemd as PID 1 and sshd, and an inventory to reach them.

Usage:
  lab.py up NAME [--hosts N] [--suites bookworm,trixie]   make N hosts NAME1…NAMEn; print the inventory's path
  lab.py down NAME                                        remove them, and the engine if the lab started it
  lab.py status                                           the lab's hosts on this machine
  lab.py run [--suites S,…] -- COMMAND…                   run COMMAND with an engine and images; stop what was started
  lab.py run --base IMAGE -- COMMAND…                     the same, every host made from one image of a registry
  lab.py environment [--suites S,…]                       KEY=VALUE lines for Molecule's shared configuration

State is kept in .work/lab/NAME: inventory.yml, an SSH key made for this lab, known_hosts.
Needs root or membership of the docker group, and Linux. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import engine
import images
from engine import LabError, docker, run, step

CHECKOUT = Path(__file__).resolve().parents[2]
LABEL = "slipway.lab"
DEFAULT_SUITES = "bookworm,trixie"
BOOT_TIMEOUT_S = 60
# What systemd and the service sandboxes need; the same set makes an unprivileged container a host.
CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "AUDIT_CONTROL", "SYS_NICE")


@dataclass(frozen=True)
class Host:
    name: str
    address: str
    suite: str


def folder(lab: str) -> Path:
    return CHECKOUT / ".work" / "lab" / lab


def init_command(cgroup: str) -> list[str]:
    """systemd 256 and newer refuse cgroup v1 unless this is on their command line; older ones ignore it."""
    return ["/sbin/init", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"] if cgroup == "1" else ["/sbin/init"]


def isolation(image: str) -> list[str]:
    """The arguments of `docker run` that let systemd be PID 1 on this machine."""
    common = ["--cgroupns=private", "--tmpfs", "/run", "--tmpfs", "/run/lock"]
    if engine.cgroup_version() == "2":
        if not engine.allows_privileged(image):
            raise LabError(
                "this engine refuses privileged containers, which systemd needs on cgroup v2. "
                "Fix: run on a machine or CI runner that allows `docker run --privileged`"
            )
        return [*common, "--privileged"]
    capabilities = [f"--cap-add={name}" for name in CAPABILITIES]
    unconfined = ["--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"]
    return [*common, *capabilities, *unconfined, "--volume=/sys/fs/cgroup/systemd:/sys/fs/cgroup/systemd:rw"]


def boot(lab: str, name: str, suite: str, image: str = "", arguments: Sequence[str] = ()) -> str:
    """image: instead of a bare host's. arguments: more of them for the host's systemd."""
    image = image or images.ensure(suite)
    container = f"slipway-{lab}-{name}"
    docker("rm", "--force", container, check=False)
    labels = [f"--label={LABEL}={lab}", f"--label={LABEL}.host={name}", f"--label={LABEL}.suite={suite}"]
    docker(
        "run", "--detach", "--name", container, "--hostname", name, *labels, *isolation(image),
        image, *init_command(engine.cgroup_version()), *arguments,
    )  # fmt: skip
    return container


def wait_until_running(container: str) -> None:
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    state = ""
    while time.monotonic() < deadline:
        asked = subprocess.run(
            ["docker", "exec", container, "systemctl", "is-system-running"],
            capture_output=True,
            text=True,
            check=False,
        )
        state = asked.stdout.strip()
        if state == "running":
            return
        if state == "degraded":
            failed = docker("exec", container, "systemctl", "--failed", "--no-legend", "--plain")
            raise LabError(f"{container} booted with failed units: {failed}")
        time.sleep(0.2)
    raise LabError(f"{container} did not boot within {BOOT_TIMEOUT_S} s (systemd says {state or 'nothing'!r})")


def let_in(container: str, key: Path) -> str:
    """Install the lab's key for root and return the host's public key."""
    docker("exec", container, "install", "-d", "-m", "0700", "/root/.ssh")
    docker("cp", f"{key}.pub", f"{container}:/root/.ssh/authorized_keys")
    docker("exec", container, "chown", "-R", "root:root", "/root/.ssh")
    return docker("exec", container, "cat", "/etc/ssh/ssh_host_ed25519_key.pub")


def make_key(state: Path) -> Path:
    if shutil.which("ssh-keygen") is None:
        engine.apt_install("openssh-client")
    key = state / "id_ed25519"
    if not key.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "slipway-lab", "-f", str(key)])
    return key


def inventory(hosts: list[Host], state: Path) -> dict[str, object]:
    """An Ansible inventory; JSON is YAML, so no library is needed to write it."""
    return {
        "all": {
            "vars": {
                "ansible_user": "root",
                "ansible_ssh_private_key_file": str(state / "id_ed25519"),
                "ansible_ssh_common_args": f"-o UserKnownHostsFile={state / 'known_hosts'} -o IdentitiesOnly=yes",
                "ansible_python_interpreter": "/usr/bin/python3",
                # Root's key is how these hosts are reached; whoever hardens them says so.
                "site_harden": False,
            },
            "hosts": {h.name: {"ansible_host": h.address, "lab_suite": h.suite} for h in hosts},
        }
    }


def up(
    lab: str, count: int, suites: list[str], image: str = "", arguments: Sequence[str] = (), at_once: int = 0
) -> Path:
    """Boot count hosts, the suites in turn, and return the path of their inventory.

    image, arguments: see boot. at_once: how many of them boot at the same time, all of them by default.
    """
    engine.start()
    state = folder(lab)
    state.mkdir(parents=True, exist_ok=True)
    key = make_key(state)
    plan = [(f"{lab}{n + 1}", suites[n % len(suites)]) for n in range(count)]
    for suite in dict.fromkeys(suites[:count] if not image else ()):
        images.ensure(suite)
    hosts, known = [], []
    together = at_once or count
    with step(f"booting {count} hosts"):
        for group in [plan[first : first + together] for first in range(0, count, together)]:
            containers = [boot(lab, name, suite, image, arguments) for name, suite in group]
            for (name, suite), container in zip(group, containers):
                wait_until_running(container)
                public = let_in(container, key)
                address = address_of(container)
                hosts.append(Host(name, address, suite))
                known.append(f"{address} {public}")
    (state / "known_hosts").write_text("\n".join(known) + "\n")
    path = state / "inventory.yml"
    path.write_text(json.dumps(inventory(hosts, state), indent=2) + "\n")
    return path


def address_of(container: str) -> str:
    return docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container)


def restart(container: str, *flags: str) -> str:
    """Reboot a host and return its address."""
    before = address_of(container)
    docker("restart", *flags, container)
    return moved(container, before)


def moved(container: str, before: str) -> str:
    """The address of a host that was off: the engine may have given the old one away, and the lab's files follow."""
    after = address_of(container)
    state = folder(docker("inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', container))
    for path in (state / "known_hosts", *state.glob("*.yml")):
        path.write_text(re.sub(rf"(?<![\d.]){re.escape(before)}(?![\d.])", after, path.read_text()))
    return after


def down(lab: str) -> None:
    if engine.answers():
        found = docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={lab}").split()
        if found:
            with step(f"removing {len(found)} hosts of lab {lab}"):
                docker("rm", "--force", "--volumes", *found)
        engine.stop()
    shutil.rmtree(folder(lab), ignore_errors=True)


def status() -> None:
    if not engine.answers():
        print("no container engine runs")
        return
    columns = (
        f'{{{{.Label "{LABEL}"}}}}\t{{{{.Label "{LABEL}.host"}}}}\t{{{{.Label "{LABEL}.suite"}}}}\t{{{{.Status}}}}'
    )
    print(docker("ps", "--all", "--filter", f"label={LABEL}", "--format", columns) or "no lab is up")


def environment(suites: list[str], base: str = "") -> dict[str, str]:
    """What .config/molecule/config.yml and the scenarios read."""
    engine.start()
    cgroup = engine.cgroup_version()
    names = {suite: images.ensure_from(base) if base else images.ensure(suite) for suite in suites}
    privileged = cgroup == "2"
    cgroups = (
        "/sys/fs/cgroup/systemd:/sys/fs/cgroup/systemd:rw" if cgroup == "1" else "/dev/null:/dev/slipway-unused:ro"
    )
    return {
        **{f"LAB_IMAGE_{suite.upper()}": name for suite, name in names.items()},
        "LAB_INIT": " ".join(init_command(cgroup)),
        "LAB_PRIVILEGED": str(privileged).lower(),
        "LAB_CGROUP_VOLUME": cgroups,
    }


def run_inside(command: list[str], suites: list[str], base: str) -> int:
    """Run command with the lab's environment; whatever engine this started is stopped afterwards."""
    try:
        inner = {**os.environ, **environment(suites, base), engine.HELD: "1"}
        return subprocess.run(command, env=inner, check=False).returncode
    finally:
        engine.stop()


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lab.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "down", "status", "run", "environment"):
        command = commands.add_parser(name)
        if name in ("up", "down"):
            command.add_argument("lab")
        if name == "up":
            command.add_argument("--hosts", type=int, default=2)
        if name in ("up", "run", "environment"):
            default = DEFAULT_SUITES if name == "up" else ",".join(images.SUITES)
            command.add_argument("--suites", default=default, type=lambda text: text.split(","))
        if name == "run":
            command.add_argument("--base", default="")
            command.add_argument("argv", nargs="+", metavar="COMMAND")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    arguments = parse(argv)
    try:
        if arguments.command == "up":
            print(up(arguments.lab, arguments.hosts, arguments.suites))
        elif arguments.command == "down":
            down(arguments.lab)
        elif arguments.command == "status":
            status()
        elif arguments.command == "environment":
            print("\n".join(f"{key}={value}" for key, value in environment(arguments.suites).items()))
        else:
            return run_inside(arguments.argv, arguments.suites, arguments.base)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

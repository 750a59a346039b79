"""What a release costs the controller as the fleet grows: `make bench-fleet`.

Usage: fleet.py [--hosts 1,5,10,25,50] [--rounds N] [--page FILE]

Boots one lab host, brings a service to it with site.yml, and boots as many hosts as the largest fleet has from what
that host is then. For each size, in turn: `ansible -m ping`, pyinfra, release.yml with a new release in one batch, and
again with the one that is current by then; where the fleet is larger than Ansible's forks, up to 25 hosts, both once
more with as many forks as hosts. Prints a table, writes .work/bench/fleet.json and with --page the page's tables.

Processor time is the user and system time of everything that the command starts, SSH's master processes included. Each
command opens its connections itself.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

import lab
import pages
import play
from build import build_app
from engine import LabError, docker

LAB = os.environ.get("SLIPWAY_LAB", "bench-fleet")
SEED = f"{LAB}-seed"
SERVICE = "shop"
PORT = 8080
WORK = lab.CHECKOUT / ".work" / "bench"
AT_ONCE = 5
# What only waits on a host that nobody sits at. Each of the first two takes inotify instances, which containers share.
UNUSED = (
    "systemd-ask-password-console.path", "systemd-ask-password-wall.path", "cron.service", "apt-daily.timer",
    "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer", "logrotate.timer",
)  # fmt: skip
PR_SET_CHILD_SUBREAPER = 36
# As Ansible has it.
FORKS = 5
# With more at once, two processors start no service within its start_timeout.
WIDEST = 25
BARS = {"new": 0.4, "current": 0.2}
GROWTH = (1, 25, 1.3)
NAMES = {
    "ping": "`ansible -m ping`",
    "empty": "a playbook of nine tasks that do nothing",
    "pyinfra new": "pyinfra, a new binary",
    "pyinfra current": "pyinfra, nothing to do",
    "new": "`release.yml`, a new release",
    "current": "`release.yml`, current already",
    "new wide": "`release.yml --forks HOSTS`, a new release",
    "current wide": "`release.yml --forks HOSTS`, current already",
}
# As many as a release has for each host, and none of them asks the host.
EMPTY = [
    {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.set_fact": {"slipway": n}} for n in range(9)]}
]
DEPLOY = """\
from pyinfra import host
from pyinfra.operations import files

folder = f"/opt/pyinfra/{host.data.release}"
files.directory(path=folder)
files.put(src=host.data.binary, dest=f"{folder}/shop", mode="755")
files.link(path="/opt/pyinfra/current", target=folder)
"""


class Cost(NamedTuple):
    """Seconds: processor time of the command and of the hosts, both in all, and wall-clock time."""

    cpu: float
    hosts: float
    wall: float


def children() -> list[int]:
    """The processes that are this one's children, those of ended children among them (prctl(2))."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def in_own_process(argv: list[str], environment: Mapping[str, str], log: Path) -> tuple[int, float, float]:
    """The exit status of a command, its processor time and its wall-clock time.

    In a process of its own, whose children are the command's alone. SSH's master processes leave the command's tree,
    come to this process as their next living ancestor, and are ended here, so that their time counts as well.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            told = _measure(argv, environment, log)
            os.write(writer, json.dumps(told).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as stream:
        text = stream.read()
    os.waitpid(pid, 0)
    if not text:
        raise SystemExit(f"{argv[0]} was not measured")
    code, cpu, wall = json.loads(text)
    return code, cpu, wall


def _measure(argv: list[str], environment: Mapping[str, str], log: Path) -> tuple[int, float, float]:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    control = tempfile.mkdtemp(prefix="cp")
    begun = time.monotonic()
    try:
        with log.open("w") as said:
            done = subprocess.run(
                argv, env={**environment, "ANSIBLE_SSH_CONTROL_PATH_DIR": control}, cwd=lab.CHECKOUT, check=False,
                stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
            )  # fmt: skip
        wall = time.monotonic() - begun
        for left in children():
            os.kill(left, signal.SIGTERM)
        while children():
            os.wait()
    finally:
        shutil.rmtree(control, ignore_errors=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.returncode, used.ru_utime + used.ru_stime, wall


def cpu_file(container: str) -> tuple[Path, Callable[[str], float]]:
    """Where the kernel counts a host's processor time, and how to read seconds from it."""
    pid = docker("inspect", "--format", "{{.State.Pid}}", container)
    groups = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    root = Path("/sys/fs/cgroup")
    for _number, controllers, path in groups:
        if "cpuacct" in controllers.split(","):
            return root / "cpuacct" / path.strip("/") / "cpuacct.usage", lambda text: int(text) / 1e9
    path = next(path for number, _controllers, path in groups if number == "0").removesuffix("/init.scope")
    return root / path.strip("/") / "cpu.stat", lambda text: int(text.split()[1]) / 1e6


class Fleet:
    """The hosts and what is run on the first of them."""

    def __init__(self, inventory: Path, pyinfra: Path | None) -> None:
        self.inventory = inventory
        told = json.loads(inventory.read_text())["all"]
        self.names = list(told["hosts"])
        self.addresses = {name: host["ansible_host"] for name, host in told["hosts"].items()}
        self.key = told["vars"]["ansible_ssh_private_key_file"]
        self.pyinfra = pyinfra
        self._cpu = {name: cpu_file(f"slipway-{LAB}-{name}") for name in self.names}

    def run(self, what: str, argv: list[str], count: int) -> Cost:
        before = self._hosts_cpu(count)
        log = WORK / f"fleet-{what.replace(' ', '-')}-{count}.log"
        code, cpu, wall = in_own_process(argv, play.environment(), log)
        if code:
            raise SystemExit(f"{what} on {count} hosts failed:\n{log.read_text()[-3000:]}")
        return Cost(cpu, self._hosts_cpu(count) - before, wall)

    def _hosts_cpu(self, count: int) -> float:
        return sum(read(path.read_text()) for path, read in (self._cpu[name] for name in self.names[:count]))

    def ping(self, count: int) -> Cost:
        limit = ",".join(self.names[:count])
        return self.run("ping", ["ansible", limit, "-i", str(self.inventory), "-m", "ansible.builtin.ping"], count)

    def do_nothing(self, count: int) -> Cost:
        """What Ansible itself takes for the tasks of a release, with as many forks as hosts."""
        limit = ",".join(self.names[:count])
        (WORK / "fleet_empty.yml").write_text(json.dumps(EMPTY))
        argv = ["ansible-playbook", str(WORK / "fleet_empty.yml"), "-i", str(self.inventory), "-l", limit]
        return self.run("empty", [*argv, "--forks", str(count)], count)

    def release(self, what: str, count: int, version: str, forks: int) -> Cost:
        limit = ",".join(self.names[:count])
        argv = ["ansible-playbook", str(lab.CHECKOUT / "playbooks" / "release.yml"), "-i", str(self.inventory)]
        argv += ["--forks", str(forks)]
        return self.run(what, [*argv, "-l", limit, "-e", json.dumps(variables(version))], count)

    def deploy(self, what: str, count: int, version: str) -> Cost | None:
        if self.pyinfra is None:
            return None
        ssh = {"ssh_user": "root", "ssh_key": self.key, "ssh_strict_host_key_checking": "no"}
        data = {**ssh, "release": version, "binary": str(binary(version))}
        hosts = [(self.addresses[name], data) for name in self.names[:count]]
        (WORK / "fleet_inventory.py").write_text(f"hosts = {hosts!r}\n")
        (WORK / "fleet_deploy.py").write_text(DEPLOY)
        return self.run(
            what, [str(self.pyinfra), "-y", str(WORK / "fleet_inventory.py"), str(WORK / "fleet_deploy.py")], count
        )


def binary(version: str) -> Path:
    return WORK / f"{SERVICE}-{version}"


def variables(version: str) -> dict[str, Any]:
    """All hosts in one batch, with no time to soak. What is not here is as the roles have it: a new connection to each
    host has its release confirmed."""
    return {
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "service_watch": False,
        "site_harden": False,
        "release_version": version,
        "release_src": str(binary(version)),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz"},
        "release_serial": "100%",
        "release_soak_time": 0,
    }


def make_seed() -> str:
    """The image of a host that has the service already."""
    inventory, image = lab.up(SEED, 1, ["bookworm"]), f"slipway-lab:{LAB}"
    try:
        done = play.playbook("site", inventory, variables("1.0.0"))
        if done.code:
            raise SystemExit(done.output[-3000:])
        container = f"slipway-{SEED}-{SEED}1"
        docker("exec", container, "sh", "-c", ": > /etc/machine-id; rm -f /root/.ssh/authorized_keys; sync")
        docker("commit", container, image)
    finally:
        lab.down(SEED)
    return image


def find_pyinfra() -> Path | None:
    """pyinfra in an environment of its own; None where it cannot be had."""
    script, requirements = lab.CHECKOUT / "tests" / "lab" / "venv.sh", lab.CHECKOUT / "requirements-bench.txt"
    done = subprocess.run([script, sys.executable, WORK / "venv", requirements], stdout=sys.stderr, check=False)
    found = WORK / "venv" / "bin" / "pyinfra"
    return found if done.returncode == 0 and found.exists() else None


def measure(fleet: Fleet, count: int, rounds: int) -> dict[str, Cost]:
    """The median of each figure."""
    runs: dict[str, list[Cost]] = {name: [] for name in NAMES}
    fleet.ping(count)  # what is read from disk for the first time counts for nobody
    for number in range(rounds):
        version = f"{count}.0.{number + 1}"
        build_app(version, binary(version))
        runs["ping"].append(fleet.ping(count))
        runs["empty"].append(fleet.do_nothing(count))
        for name in ("pyinfra new", "pyinfra current"):
            cost = fleet.deploy(name, count, version)
            runs[name] += [cost] if cost else []
        releases = {"new": (version, FORKS), "current": (version, FORKS)}
        if FORKS < count <= WIDEST:
            wide = f"{count}.1.{number + 1}"
            build_app(wide, binary(wide))
            releases |= {"new wide": (wide, count), "current wide": (wide, count)}
        for name, (of, forks) in releases.items():
            runs[name].append(fleet.release(name, count, of, forks))
            print(f"{count} hosts, {name}: {runs[name][-1]}", file=sys.stderr, flush=True)
    return {name: median(costs) for name, costs in runs.items() if costs}


def median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(cost[place] for cost in costs) for place in range(len(Cost._fields))))


def row(name: str, costs: Mapping[str, Cost], count: int) -> str:
    cost, ping = costs[name], costs["ping"]
    without, ping_without = (one.wall - one.hosts / (os.cpu_count() or 1) for one in (cost, ping))
    cells = (
        str(count), NAMES[name], f"{cost.cpu / count:.2f} s", f"{cost.hosts / count:.2f} s", f"{cost.wall:.1f} s",
        f"{cost.wall / ping.wall:.1f}", f"{without / ping_without:.1f}" if without > 0 < ping_without else "-",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def limits(bars: Mapping[str, float], costs: Mapping[str, Cost]) -> list[tuple[str, float]]:
    """Each bar, for Ansible's own forks and for as many as there are hosts."""
    return [(name, limit) for one, limit in bars.items() for name in (one, f"{one} wide") if name in costs]


def bars(found: Mapping[int, Mapping[str, Cost]]) -> list[str]:
    """What was asked for beside what was measured, of the largest fleet and of how wall-clock time grows."""
    largest = max(found)
    lines = ["| bar | measured | met |", "|---|---|---|"]
    for name, limit in limits(BARS, found[largest]):
        value = found[largest][name].cpu / largest
        words = f"controller's processor time a host, {NAMES[name]}, {largest} hosts: at most {limit} s"
        lines.append(f"| {words} | {value:.2f} s | {'yes' if value <= limit else 'no'} |")
    small, large, limit = GROWTH
    if small in found and large in found:
        for name in BARS:  # the smallest fleet has no more hosts than forks
            few, many = (found[count][name].wall / found[count]["ping"].wall for count in (small, large))
            words = f"pings at {large} hosts, of those at {small}, {NAMES[name]}: at most {limit}"
            lines.append(f"| {words} | {many / few:.2f} | {'yes' if many <= limit * few else 'no'} |")
    return lines


def slopes(found: Mapping[int, Mapping[str, Cost]]) -> list[str]:
    """What one host more costs, between the smallest fleet that has the row and the largest."""
    many = max(found)
    lines = ["| one host more | from | controller's processor time |", "|---|---|---|"]
    for name, cost in found[many].items():
        few = min(count for count, costs in found.items() if name in costs)
        if few < many:
            more = (cost.cpu - found[few][name].cpu) / (many - few)
            lines.append(f"| {NAMES[name]} | {few} to {many} hosts | {more:.2f} s |")
    return [*lines, ""] if len(found) > 1 else []


def tables(found: Mapping[int, Mapping[str, Cost]], loads: Mapping[int, float]) -> list[str]:
    lines = [
        "| hosts | command | controller's CPU a host | host's own CPU | wall-clock | in pings | without the hosts |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [row(name, costs, count) for count, costs in found.items() for name in costs]
    told = ", ".join(f"{load:.1f} with {count}" for count, load in loads.items())
    busy = f"Load average of the machine when the size began, on {os.cpu_count()} processors: {told}."
    return [*lines, "", *slopes(found), *bars(found), "", busy]


def keep(found: Mapping[int, Mapping[str, Cost]], loads: Mapping[int, float]) -> None:
    figures = {size: {name: cost._asdict() for name, cost in costs.items()} for size, costs in found.items()}
    (WORK / "fleet.json").write_text(json.dumps({"load": loads, "figures": figures}, indent=2) + "\n")


def allow_many_hosts() -> None:
    subprocess.run(["sysctl", "-qw", "fs.inotify.max_user_instances=8192"], check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", default="1,5,10,25,50", help="the sizes of the fleet")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is done; medians count")
    parser.add_argument("--page", help="the page whose tables to write")
    options = parser.parse_args()
    sizes = sorted(int(size) for size in options.hosts.split(","))
    WORK.mkdir(parents=True, exist_ok=True)
    build_app("1.0.0", binary("1.0.0"))
    allow_many_hosts()
    pyinfra = find_pyinfra()
    found: dict[int, dict[str, Cost]] = {}
    loads: dict[int, float] = {}
    try:
        masks = [f"systemd.mask={unit}" for unit in UNUSED]
        fleet = Fleet(lab.up(LAB, sizes[-1], ["bookworm"], make_seed(), masks, AT_ONCE), pyinfra)
        for size in sizes:
            loads[size] = os.getloadavg()[0]
            found[size] = measure(fleet, size, options.rounds)
            keep(found, loads)
    except LabError as error:
        raise SystemExit(str(error)) from None
    finally:
        lab.down(LAB)
        docker("rmi", "--force", f"slipway-lab:{LAB}", check=False)
    lines = tables(found, loads)
    print("\n".join(lines))
    if options.page:
        pages.write(options.page, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())

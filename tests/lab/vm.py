"""A virtual machine of the lab: a kernel of its own, SELinux enforcing, and a plug to pull.

From the command line:
  vm.py up NAME [--forward PORT …]   boot machine NAME from a fresh disk; print the path of its inventory
  vm.py cut NAME                     cut its power: qemu is killed, the disk is what the guest had synced
  vm.py boot NAME                    boot it again from the same disk, on the same ports
  vm.py ssh NAME -- COMMAND…         run a command in it as root
  vm.py down NAME                    cut its power and remove it with its disk
  vm.py status                       the machines of this checkout

From Python, with tests/lab on sys.path:
  machine = vm.create("NAME", forwards=[8080])     a fresh disk; nothing runs yet
  machine.boot()                                   returns once SSH answers and systemd has settled
  machine.ssh("systemctl is-system-running")       → CompletedProcess; check=False to look at the code
  machine.port(8080)                               the port of 127.0.0.1 that leads to port 8080 in it
  machine.inventory                                for play.playbook(…) and play.module(…)
  machine.root_is_closed("deploy")                 from now on, commands and plays go through deploy and sudo
  machine.cut(); machine.boot()                    power cut and the next boot
  machine.remove()

State is kept in .work/vm/NAME: the disk, machine.json, inventory.yml, known_hosts and console.log, which is what the
kernel and systemd said. A machine takes 1.5 GiB and, without KVM, two processors: run one at a time. It boots in a few
seconds with KVM and in about a minute without, where one Ansible task takes 4 to 10 s.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vm_image
from engine import LabError, apt_install, machine_lock, run, step

CHECKOUT = Path(__file__).resolve().parents[2]
QEMU = "qemu-system-x86_64"
SSH = 22
PORTS = range(20000, 30000)
BOOT_TIMEOUT_S = 400
# A task takes 2 s in a machine without KVM, and ten times that on a computer with other work to do.
SLOW_S = 600
PATIENCE = {f"{role}_confirm_timeout": SLOW_S for role in ("base", "deploy_user", "firewall", "ssh", "selinux")}
MEMORY_MIB = 1536
APPEND = "root=/dev/vda rw console=ttyS0 security={module} net.ifnames=0"
# mov al, 16; out 0xf4, al: the device there ends qemu with status 33. Seconds are plenty where KVM is more than a name.
PROBE = bytes([0xB0, 0x10, 0xE6, 0xF4, 0xF4]).ljust(510, b"\0") + b"\x55\xaa"
PROBE_STATUS = 33
PROBE_TIMEOUT_S = 3


@dataclass(frozen=True)
class Machine:
    """A machine by its name; everything else is in its folder, so that any process can take it up."""

    name: str

    @property
    def folder(self) -> Path:
        return CHECKOUT / ".work" / "vm" / self.name

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yml"

    def disks(self, count: int) -> list[Path]:
        """Those beside the one with the system."""
        return [self.folder / f"disk-{number}.qcow2" for number in range(1, count + 1)]

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    def port(self, inside: int) -> int:
        """The port of 127.0.0.1 that leads to this port of the machine."""
        found: dict[str, int] = self._state()["forwards"]
        if str(inside) not in found:
            raise LabError(f"machine {self.name} forwards no port {inside}. Fix: name it when you create the machine")
        return found[str(inside)]

    def boot(self, module: str = "selinux") -> None:
        """Boot with selinux or apparmor; return when SSH answers and nothing is starting any more.

        Raises LabError with the end of the console when it does not come up, or comes up with failed units.
        """
        if self.pid() is not None:
            raise LabError(f"machine {self.name} runs already. Fix: cut its power first, or use another name")
        with step(f"booting machine {self.name}"):
            with self.console.open("ab") as console:
                process = subprocess.Popen(
                    _argv(self, module),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    start_new_session=True,
                )
            self._save({**self._state(), "pid": process.pid, "started": _started(process.pid)})
            deadline = time.monotonic() + BOOT_TIMEOUT_S
            while not self._boot_id():
                self._give_up_at(deadline)
                time.sleep(1)
            self._wait_until_settled()

    def root_is_closed(self, user: str) -> None:
        """Run commands and plays as root through this user and sudo, because root cannot log in any more."""
        self._save({**self._state(), "user": user})
        self.inventory.write_text(json.dumps(_inventory(self), indent=2) + "\n")

    def ssh(self, command: str, check: bool = True, inside: int = SSH) -> subprocess.CompletedProcess[str]:
        """Run a command as root through a new SSH connection; a failure raises LabError unless check is false."""
        user = self._state().get("user", "root")
        wrapped = command if user == "root" else f"sudo -n /bin/sh -c {shlex.quote(command)}"
        done = self.login(user, wrapped, inside)
        if check and done.returncode != 0:
            raise LabError(f"{command!r} on {self.name} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done

    def login(self, user: str, command: str = "true", inside: int = SSH) -> subprocess.CompletedProcess[str]:
        """Try to run a command as user; 255 is the code of a login that was refused."""
        argv = ["ssh", "-p", str(self.port(inside)), "-i", str(self.folder / "id_ed25519")]
        options = ["BatchMode=yes", "ConnectTimeout=20", "ControlPath=none", "IdentitiesOnly=yes", "LogLevel=ERROR"]
        options.append(f"UserKnownHostsFile={self.folder / 'known_hosts'}")
        argv += [word for option in options for word in ("-o", option)]
        argv += [f"{user}@127.0.0.1", command]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def cut(self) -> None:
        """Cut the power. Nothing happens where it is off already."""
        pid = self.pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)
        while self.pid() is not None:
            time.sleep(0.05)

    def restart(self) -> None:
        """Reboot it as an operator does, and return when it is up again."""
        before = self._boot_id()
        with step(f"rebooting machine {self.name}"):
            self.ssh("systemctl reboot", check=False)
            deadline = time.monotonic() + BOOT_TIMEOUT_S
            while self._boot_id() in ("", before):
                self._give_up_at(deadline)
                time.sleep(1)
            self._wait_until_settled()

    def remove(self) -> None:
        self.cut()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pid(self) -> int | None:
        """The qemu of this machine, if it runs."""
        state = self._state() if (self.folder / "machine.json").exists() else {}
        pid: int | None = state.get("pid")
        if pid is None:
            return None
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # where this very process has started it
        return pid if _started(pid) == state.get("started") != "" else None

    def _boot_id(self) -> str:
        """Which boot answers; empty where none does. qemu's network takes connections before there is an sshd."""
        if not _greets(self.port(SSH)):
            return ""
        return self.ssh("cat /proc/sys/kernel/random/boot_id", check=False).stdout.strip()

    def _give_up_at(self, deadline: float) -> None:
        if self.pid() is None or time.monotonic() > deadline:
            cause = "qemu ended" if self.pid() is None else f"no login within {BOOT_TIMEOUT_S} s"
            raise LabError(f"machine {self.name}: {cause}. {self.console} ends with:\n{self._console_tail()}")

    def _wait_until_settled(self) -> None:
        state = self.ssh("systemctl is-system-running --wait", check=False).stdout.strip()
        if state != "running":
            failed = self.ssh("systemctl --failed --no-legend --plain", check=False).stdout
            raise LabError(f"machine {self.name} booted {state}: {failed.strip()}")

    def _console_tail(self) -> str:
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-15:])

    def _state(self) -> dict[str, Any]:
        path = self.folder / "machine.json"
        if not path.exists():
            raise LabError(f"there is no machine {self.name!r}. Fix: vm.py up {self.name}")
        return json.loads(path.read_text())

    def _save(self, state: dict[str, Any]) -> None:
        (self.folder / "machine.json").write_text(json.dumps(state, indent=2) + "\n")


def create(name: str, forwards: Sequence[int] = (), same: Sequence[int] = (), disks: Sequence[str] = ()) -> Machine:
    """A machine with a fresh disk, and ports of 127.0.0.1 that lead to its SSH and to the ports in forwards.

    Those in same have the same number on both sides; free_port() finds one. disks: the sizes of further
    ones, empty, from /dev/vdb on.
    """
    missing = {QEMU: "qemu-system-x86", "qemu-img": "qemu-utils"}
    packages = [package for program, package in missing.items() if shutil.which(program) is None]
    if packages:
        with machine_lock("apt"):
            apt_install(*packages)
    image = vm_image.ensure()
    machine = Machine(name)
    machine.remove()
    machine.folder.mkdir(parents=True)
    overlay = ["-f", "qcow2", "-F", "raw", "-b", str(image.disk), str(machine.folder / "disk.qcow2")]
    run(["qemu-img", "create", "-q", *overlay])
    for path, size in zip(machine.disks(len(disks)), disks):
        run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), size])
    for name in ("id_ed25519", "id_ed25519.pub"):
        shutil.copyfile(image.folder / name, machine.folder / name)
    (machine.folder / "id_ed25519").chmod(0o600)
    ports = {port: port for port in same}
    for inside in (SSH, *forwards):
        ports[inside] = free_port(ports.values())
    machine._save(
        {
            "image": str(image.folder),
            "forwards": {str(inside): port for inside, port in ports.items()},
            "disks": len(disks),
        }
    )
    (machine.folder / "known_hosts").write_text(
        "".join(f"[127.0.0.1]:{port} {image.host_key}\n" for port in ports.values())
    )
    machine.inventory.write_text(json.dumps(_inventory(machine), indent=2) + "\n")
    return machine


def _inventory(machine: Machine) -> dict[str, object]:
    known = f"-o UserKnownHostsFile={machine.folder / 'known_hosts'} -o IdentitiesOnly=yes"
    return {
        "all": {
            "vars": {
                "ansible_user": machine._state().get("user", "root"),
                "ansible_ssh_private_key_file": str(machine.folder / "id_ed25519"),
                "ansible_ssh_common_args": known,
                "ansible_python_interpreter": "/usr/bin/python3",
                "ansible_timeout": 60,
            },
            "hosts": {machine.name: {"ansible_host": "127.0.0.1", "ansible_port": machine.port(SSH)}},
        }
    }


def free_port(but: Iterable[int] = ()) -> int:
    """A port of 127.0.0.1 that nothing listens on, below those that SELinux gives to everybody."""
    for port in random.sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            if port not in but:
                probe.bind(("127.0.0.1", port))
                return port
    raise LabError("no port of 127.0.0.1 is free")


def _started(pid: int) -> str:
    """When a process started, in ticks since boot: with it, a number is one process. Empty when it has ended."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # The first thread of a process that is killed may be gone while others still hold its disk.
        return "" if fields[0] in "ZX" and int(fields[17]) <= 1 else fields[19]
    return ""


def _greets(port: int) -> bool:
    """Whether sshd says its name there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        return connection.recv(4) == b"SSH-"
    return False


def _argv(machine: Machine, module: str) -> list[str]:
    image = vm_image.Image(Path(machine._state()["image"]))
    forwards = [f"hostfwd=tcp:127.0.0.1:{port}-:{inside}" for inside, port in machine._state()["forwards"].items()]
    # writeback: a sync in the guest is a sync of this file, and what the guest has not synced is lost with qemu, either
    # with the guest's memory or with the tables of the overlay, which qemu writes when the guest syncs.
    disks = [machine.folder / "disk.qcow2", *machine.disks(machine._state().get("disks", 0))]
    drives = [("-drive", f"file={disk},format=qcow2,if=virtio,cache=writeback") for disk in disks]
    return [
        QEMU, "-nodefaults", "-display", "none", "-serial", "stdio",
        *accelerator(), "-smp", "2", "-m", str(MEMORY_MIB),
        "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", APPEND.format(module=module),
        *(word for drive in drives for word in drive), "-device", "virtio-rng-pci",
        "-netdev", ",".join(["user", "id=net0", *forwards]), "-device", "virtio-net-pci,netdev=net0",
    ]  # fmt: skip


def accelerator() -> list[str]:
    """KVM where a guest of one instruction ends in time on it; some machines have the device and nothing behind it."""
    kvm = ["-accel", "kvm", "-cpu", "host"]
    emulated = ["-accel", "tcg,thread=multi", "-cpu", "max"]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return emulated
    probe = ["-nodefaults", "-display", "none", "-m", "64", "-device", "isa-debug-exit,iobase=0xf4"]
    with tempfile.NamedTemporaryFile(prefix="slipway-lab-") as disk:
        disk.write(PROBE)
        disk.flush()
        argv = [QEMU, *kvm, *probe, "-drive", f"file={disk.name},format=raw,if=ide"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(argv, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False)
            if done.returncode == PROBE_STATUS:
                return kvm
    return emulated


def status() -> None:
    for folder in sorted((CHECKOUT / ".work" / "vm").glob("*/machine.json")):
        machine = Machine(folder.parent.name)
        pid = machine.pid()
        print(f"{machine.name}\t{f'on, process {pid}' if pid else 'off'}\t{machine.inventory}")


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="vm.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "boot", "cut", "ssh", "down", "status"):
        command = commands.add_parser(name)
        if name != "status":
            command.add_argument("name")
        if name == "up":
            command.add_argument("--forward", type=int, action="append", default=[], metavar="PORT")
        if name in ("up", "boot"):
            command.add_argument("--module", choices=("selinux", "apparmor"), default="selinux")
        if name == "ssh":
            command.add_argument("argv", nargs="+", metavar="COMMAND")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    arguments = parse(argv)
    try:
        if arguments.command == "status":
            status()
            return 0
        machine = create(arguments.name, arguments.forward) if arguments.command == "up" else Machine(arguments.name)
        if arguments.command in ("up", "boot"):
            machine.boot(arguments.module)
            print(machine.inventory)
        elif arguments.command == "cut":
            machine.cut()
        elif arguments.command == "down":
            machine.remove()
        else:
            done = machine.ssh(" ".join(arguments.argv), check=False)
            sys.stdout.write(done.stdout)
            sys.stderr.write(done.stderr)
            return done.returncode
    except LabError as error:
        print(f"vm: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

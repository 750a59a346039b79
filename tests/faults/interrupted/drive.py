"""Interrupts one run on one host and holds what is there afterwards against what may be there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import play
from hardened import Host
from model import DEADLINE_S, PATIENCE_S, STRANGER, TIMEOUTS, Result, Row, Scenario, Task
from waiting import wait

HERE = Path(__file__).resolve().parent
HARDEN = play.CHECKOUT / "playbooks" / "harden.yml"
RUN_TIMEOUT_S = 600
# All that a change of access may leave half-way. Asked inside the container: there may be no other way in.
STATE = r"""
/usr/sbin/sshd -T 2>&1 | sort
ss -lntH | awk '{print $4}' | sort -u
find /etc/ssh /etc/sudoers* /etc/pam.d /etc/systemd/system /home/deploy/.ssh /etc/ufw /etc/firewalld -type f \
  ! -name '*.pyc' ! -name '*.old' -exec stat -c '%n %a %U %G' {} + 2>/dev/null | sort
find /etc/ssh /etc/sudoers* /etc/pam.d /etc/systemd/system /home/deploy/.ssh /etc/ufw /etc/default/ufw /etc/firewalld \
  -type f ! -name '*.old' -exec sha256sum {} + 2>/dev/null | sort
find /etc/systemd/system -type l -printf '%p %l\n' | sort
getent passwd deploy; id deploy; getent shadow deploy; ls /etc/sysctl.d; sysctl net.ipv4.conf.all.rp_filter
ufw status verbose; systemctl is-active ssh.service ssh.socket firewalld.service
! systemctl -q is-active firewalld.service || firewall-cmd --list-all-zones
ls -A /var/lib/slipway/deadman 2>/dev/null | grep -v '^\.\|journal.jsonl' || true
"""
# What a run may say of a change that is not in force, and that then has to be true.
CLAIMS = re.compile(
    r"taken (?:the change )?back|takes? the change back|[Nn]othing (more )?(was|is) changed|put back|UNREACHABLE"
)


def only(*roles: str) -> dict[str, bool]:
    """The variables that leave the playbook harden with these roles alone."""
    return {f"harden_{role}": role in roles for role in ("base", "deploy_user", "selinux", "firewall", "ssh")}


class Run:
    """One ansible-playbook, in a process group of its own."""

    def __init__(self, host: Host, scenario: Scenario, folder: Path, quick: bool, at: str = "", log: str = "") -> None:
        public = Path(host.key + ".pub").read_text().strip()
        variables = {
            **only(scenario.role),
            "deploy_user_keys": [public, STRANGER],
            "deploy_user_sudo": "full",
            **(dict.fromkeys(TIMEOUTS, DEADLINE_S) if quick else {}),
            **scenario.variables,
        }
        self._folder = folder
        self.path = folder / (log or "run.log")
        inventory = play.CHECKOUT / ".work" / "lab" / host.lab / "inventory.yml"
        argv = ["ansible-playbook", "-i", str(inventory), "-l", host.name, str(HARDEN), "-e", json.dumps(variables)]
        environment = {
            **play.environment(),
            # A control socket would keep a door open that this case is about.
            "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=no -o ControlPath=none",
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "interrupt",
            "INTERRUPT_FOLDER": str(folder),
            "INTERRUPT_AT": at,
        }
        with self.path.open("w") as stream:
            self.process = subprocess.Popen(
                argv, env=environment, cwd=play.CHECKOUT, stdout=stream, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def reach(self) -> bool:
        """Whether the run has come to the moment at which it is to be interrupted."""
        while not (self._folder / "reached").exists():
            if self.process.poll() is not None:
                return False
            time.sleep(0.05)
        return True

    def go_on(self) -> None:
        (self._folder / "go").touch()

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def end(self, seconds: float = RUN_TIMEOUT_S) -> tuple[int, str]:
        code = self.process.wait(timeout=seconds)
        return code, self.path.read_text()


@contextlib.contextmanager
def outage(address: str) -> Iterator[None]:
    """Nothing goes from this machine to the host, and nothing comes back."""
    rules = (["OUTPUT", "-d", address], ["INPUT", "-s", address])
    for chain, *match in rules:
        subprocess.run(["iptables", "-w", "-I", chain, *match, "-j", "DROP"], check=True)
    try:
        yield
    finally:
        for chain, *match in rules:
            subprocess.run(["iptables", "-w", "-D", chain, *match, "-j", "DROP"], check=True)


class Bench:
    """One host, and what its state is before and after an undisturbed run of the scenario."""

    def __init__(self, host: Host, scenario: Scenario, work: Path) -> None:
        self.host, self.scenario, self._work = host, scenario, work
        self.before = self.after = ""

    def prepare(self) -> list[Task]:
        """The tasks of an undisturbed run; it is also what `after` is learnt from."""
        self._reset()
        self.before = self._state()
        folder = self._folder("undisturbed")
        code, output = Run(self.host, self.scenario, folder, quick=False).end()
        if code != 0:
            raise RuntimeError(f"{self.host.name}: the undisturbed run failed\n{output}")
        self.after = self._state()
        if self.after == self.before:
            raise RuntimeError(f"{self.host.name}: the undisturbed run of {self.scenario.name} changed nothing")
        lines = [line.split("\t") for line in (folder / "tasks").read_text().splitlines()]
        return [Task(int(number), name) for number, name in dict(lines).items()]

    def execute(self, row: Row, number: int) -> Result:
        begun = time.monotonic()
        result = Result(row.title)
        folder = self._folder(f"{number:03}")
        result.log = str(folder)
        try:
            self._reset()
            code, output = self._interrupt(row, folder)
            self._judge(row, code, output, result)
            self._next_run(folder, result)
        except (TimeoutError, subprocess.TimeoutExpired, AssertionError, RuntimeError) as error:
            result.broken.append(str(error)[-300:])
        result.seconds = time.monotonic() - begun
        return result

    def _folder(self, name: str) -> Path:
        folder = self._work / self.scenario.name / self.host.name / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _reset(self) -> None:
        self._wait_until_ended(240)
        self.host.reset()
        self.host.inside(self.scenario.before)

    def _state(self) -> str:
        return self.host.inside(STATE, check=False)

    def _interrupt(self, row: Row, folder: Path) -> tuple[int, str]:
        run = Run(self.host, self.scenario, folder, quick=True, at=row.at)
        if not run.reach():
            raise RuntimeError(f"the run ended before {row.at}: {run.end()[1][-200:]}")
        if row.when == "during" and row.fault != "outage":
            run.go_on()
            time.sleep(0.8)
        if row.fault == "pause":
            run.signal(signal.SIGSTOP)
            time.sleep(row.seconds)
            run.go_on()
            run.signal(signal.SIGCONT)
            return run.end()
        if row.fault == "kill":
            run.signal(signal.SIGKILL)
            return run.end()
        with outage(self.host.address):
            run.go_on()
            time.sleep(row.seconds)
        return run.end(PATIENCE_S)

    def _wait_until_ended(self, seconds: float) -> None:
        """Nothing waits any more to be confirmed or taken back."""
        listed = "ls -A /var/lib/slipway/deadman 2>/dev/null | grep -v '^\\.\\|journal.jsonl' || true"
        wait("nothing is armed any more", lambda: not self.host.inside(listed).strip(), seconds)

    def _login(self) -> bool:
        if self.scenario.user == "root" and self.host.ssh("true").returncode == 0:
            return True
        return self.host.ssh("sudo -n true", "deploy").returncode == 0

    def _judge(self, row: Row, code: int, output: str, result: Result) -> None:
        flat = " ".join(output.split())
        self._wait_until_ended(3 * DEADLINE_S)
        wait("somebody who administers can log in", self._login, 2 * DEADLINE_S)
        state = self._state()
        if state == self.after:
            result.end = "in force"
        elif state == self.before:
            result.end = "as before"
        else:
            result.end = "HALF IN FORCE"
            result.broken.append(difference(self.before, self.after, state))
        result.said = "killed" if code < 0 else "success" if code == 0 else message(flat)
        if code == 0 and state != self.after:
            result.broken.append("the run says success, and the change is not in force")
        if code > 0 and state == self.before and not CLAIMS.search(flat):
            result.broken.append(f"the run does not say what became of the change: {result.said}")
        if (
            code > 0
            and state == self.after
            and re.search(r"was taken back|taken the change back|[Nn]othing was changed", result.said)
        ):
            result.broken.append("the run says that the change was taken back, and it is in force")

    def _next_run(self, folder: Path, result: Result) -> None:
        code, output = Run(self.host, self.scenario, folder, quick=False, log="next.log").end()
        ended = "in force" if self._state() == self.after else "NOT IN FORCE"
        result.next_run = f"{ended}{'' if code == 0 else f', failed ({code})'}"
        if code != 0 or ended != "in force":
            result.broken.append(f"the next run: {result.next_run} {output[-200:] if code else ''}")


def message(output: str) -> str:
    """What the failed task said, in either of the forms that Ansible has for it."""
    found = re.search(r"FAILED! =>.*?\"?msg\"?: (?:[|>]-? )?\"?(.{0,160})", output)
    return found.group(1).partition(" Fix: ")[0] if found else "unreachable" if "UNREACHABLE" in output else "nothing"


def difference(before: str, after: str, state: str) -> str:
    """The lines of the state that neither of both has, and how many of each it lacks."""
    known = {*before.splitlines(), *after.splitlines()}
    lines = state.splitlines()
    strange = [line for line in lines if line not in known]
    lacks = [len(set(one.splitlines()) - set(lines)) for one in (before, after)]
    return f"half in force; lacks {lacks[0]} lines of before and {lacks[1]} of after; strange: {strange[:4]}"

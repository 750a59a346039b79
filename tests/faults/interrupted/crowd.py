"""What is not one run on one host: a fleet under one fork, rules slower than the deadline, two controllers at once."""

from __future__ import annotations

import itertools
import json
import queue
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import play
from drive import CLAIMS, HARDEN, Bench, Run, message, only
from hardened import Host
from model import DEADLINE_S, SCENARIOS, Result, Scenario
from waiting import wait

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
CROWDS = 3  # rows at once; a busy machine fails them for reasons of its own
STAGGERED_S = (0.0, 0.5, 1.0, 2.0, 4.0)


def ports(count: int) -> list[dict[str, str]]:
    return [{"port": str(9000 + number)} for number in range(count)]


def slow(backend: str, count: int, deadline: int) -> Scenario:
    base = BY_NAME[backend]
    return Scenario(
        f"{backend}: {count} rules with {deadline} s to confirm",
        base.role,
        base.suite,
        {**base.variables, "firewall_allow": ports(count), "firewall_confirm_timeout": deadline},
    )


SLOW = [slow(backend, *pair) for backend in ("ufw", "firewalld") for pair in ((10, 12), (60, 60), (150, 30))]


def slow_rules(scenario: Scenario, host: Host, work: Path) -> Result:
    """The change is made, however long its rules take to be written, or refused before anything changes."""
    begun = time.monotonic()
    result = Result(scenario.name, next_run="-")
    bench = Bench(host, scenario, work)
    try:
        bench.prepare()
        result.end, result.said = "in force", "success"
    except (RuntimeError, TimeoutError, AssertionError) as error:
        result.broken.append(str(error)[-300:])
    result.seconds = time.monotonic() - begun
    return result


def one_fork(hosts: list[Host], work: Path) -> Result:
    """The hosts take turns, so that each waits for all others between two of its tasks."""
    begun = time.monotonic()
    result = Result(f"{len(hosts)} hosts under one fork, {DEADLINE_S} s to confirm")
    for host in hosts:
        host.reset()
    public = Path(hosts[0].key + ".pub").read_text().strip()
    inventory = play.CHECKOUT / ".work" / "lab" / hosts[0].lab / "inventory.yml"
    variables = {
        **only("deploy_user", "firewall", "ssh"),
        "deploy_user_keys": [public],
        "deploy_user_sudo": "full",
    }
    short = dict.fromkeys(
        ("firewall_confirm_timeout", "deploy_user_confirm_timeout", "ssh_confirm_timeout"), DEADLINE_S
    )
    ordinary = ["ansible-playbook", "-i", str(inventory), str(HARDEN), "-e", json.dumps(variables)]
    hurried = [*ordinary, "-f", "1", "-e", json.dumps(short)]
    folder = work / "one-fork"
    folder.mkdir(parents=True, exist_ok=True)
    result.log = str(folder)
    for name, command in (("run.log", hurried), ("next.log", ordinary)):
        done = subprocess.run(
            command, env=play.environment(), cwd=play.CHECKOUT, capture_output=True, text=True, check=False
        )
        (folder / name).write_text(done.stdout + done.stderr)
        if name == "run.log":
            result.said = "success" if done.returncode == 0 else "failed"
            if done.returncode != 0 and not CLAIMS.search(done.stdout):
                result.broken.append("the run does not say what became of the change")
        else:
            result.next_run = "in force" if done.returncode == 0 else f"failed ({done.returncode})"
            if done.returncode != 0:
                result.broken.append(f"the next run failed: {done.stdout[-200:]}")
        for host in hosts:
            wait(
                f"{host.name} lets deploy in", lambda host=host: host.ssh("sudo -n true", "deploy").returncode == 0, 60
            )
    result.end = "somebody can log in to each"
    result.seconds = time.monotonic() - begun
    return result


def two_controllers(scenario: Scenario, stagger: float, host: Host, work: Path) -> Result:
    """One of both makes the change; the other one waits, finds it made, or says truthfully that it did not."""
    begun = time.monotonic()
    result = Result(f"{scenario.name}: two controllers, {stagger:g} s apart")
    bench = Bench(host, scenario, work)
    try:
        bench.prepare()
        bench._reset()
        folders = [bench._folder(f"controller{n}-{stagger:g}") for n in (1, 2)]
        result.log = str(folders[0])
        runs = []
        for folder in folders:
            runs.append(Run(host, scenario, folder, quick=False))
            time.sleep(stagger)
        ends = [run.end() for run in runs]
        codes = [code for code, _output in ends]
        result.said = " and ".join("success" if code == 0 else f"failed ({code})" for code in codes)
        wait("somebody who administers can log in", bench._login, 60)
        for code, output in ends:
            flat = " ".join(output.split())
            if code != 0 and not CLAIMS.search(flat):
                result.broken.append(f"a run failed without a claim: {message(flat)}")
        if 0 not in codes:
            result.broken.append("both runs failed")
        result.end = "in force" if bench._state() == bench.after else "NOT IN FORCE"
        if 0 in codes and result.end != "in force":
            result.broken.append("a run says success, and the change is not in force")
        bench._next_run(folders[0], result)
    except (RuntimeError, TimeoutError, AssertionError) as error:
        result.broken.append(str(error)[-300:])
    result.seconds = time.monotonic() - begun
    return result


def run(hosts: list[Host], work: Path, only: str) -> list[Result]:
    """Each on a host of its suite that has nothing else to do; the fleet under one fork last, on all of them."""
    free: dict[str, queue.SimpleQueue[Host]] = {host.suite: queue.SimpleQueue() for host in hosts}
    for host in hosts:
        free[host.suite].put(host)
    rows: list[tuple[str, Scenario, Callable[[Host], Result]]] = [
        (scenario.name, scenario, partial(slow_rules, scenario, work=work)) for scenario in SLOW
    ]
    for name, stagger in itertools.product(("account", "ufw", "sshd"), STAGGERED_S):
        scenario = BY_NAME[name]
        title = f"{name}: two controllers, {stagger:g} s apart"
        rows.append((title, scenario, partial(two_controllers, scenario, stagger, work=work)))

    def work_on(suite: str, act: Callable[[Host], Result]) -> Result:
        host = free[suite].get()
        try:
            return told(act(host))
        finally:
            free[suite].put(host)

    with ThreadPoolExecutor(max_workers=CROWDS) as pool:
        begun = [pool.submit(work_on, scenario.suite, act) for title, scenario, act in rows if re.search(only, title)]
        done = [one.result() for one in begun]
    if re.search(only, "hosts under one fork"):
        done.append(told(one_fork(hosts, work)))
    return done


def told(result: Result) -> Result:
    said = " | ".join((result.end, result.said, result.next_run, "; ".join(result.broken) or "kept"))
    print(f"    {result.seconds:5.1f} s  {result.title}: {said}", file=sys.stderr, flush=True)
    return result

"""health_check beside ansible.builtin.uri: 1 and 20 endpoints of one host, in one run.

Usage: PYTHONPATH=.work/collections python tests/bench/health.py [--rounds N]

Prints wall time, processor time and checks a second. Absolute times are those of this machine; the ratios are what
the bench is for. Both tools run through ansible-playbook against localhost. Every play begins with a ping, and the
time of a play with nothing else is taken off: what is left is what the tasks themselves cost.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._health import parsing, runner

COUNTS = (1, 20)
PURE_ROUNDS = 2000

SERVER = """
import asyncio, sys

async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
    await writer.drain()
    writer.close()

async def main():
    servers = [await asyncio.start_server(serve, "127.0.0.1", 0) for _ in range(int(sys.argv[1]))]
    print(" ".join(str(one.sockets[0].getsockname()[1]) for one in servers), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def play(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first = {"ansible.builtin.ping": {}}
    return [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [first, *tasks]}]


def uri_tasks(ports: list[int]) -> list[dict[str, Any]]:
    return [{"ansible.builtin.uri": {"url": f"http://127.0.0.1:{port}/"}} for port in ports]


def check_tasks(ports: list[int]) -> list[dict[str, Any]]:
    checks = [{"name": str(port), "kind": "http", "url": f"http://127.0.0.1:{port}/"} for port in ports]
    return [{"slipway.go.health_check": {"checks": checks}}]


def timed(path: Path) -> tuple[float, float]:
    """Wall and processor seconds of one playbook run."""
    environment = {**os.environ, "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_LOCALHOST_WARNING": "false"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(done.stdout.decode() + done.stderr.decode())
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def playbooks(folder: Path, ports: list[int]) -> dict[str, Path]:
    plays = {"ping": play([])}
    for count in COUNTS:
        plays[f"uri {count}"] = play(uri_tasks(ports[:count]))
        plays[f"health_check {count}"] = play(check_tasks(ports[:count]))
    paths = {}
    for name, content in plays.items():
        paths[name] = folder / f"{name.replace(' ', '-')}.json"
        paths[name].write_text(json.dumps(content))
    return paths


def measure(paths: dict[str, Path], rounds: int) -> dict[str, tuple[float, float]]:
    """Medians, the playbooks taking turns so that a busy moment hits all of them."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in paths}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for name, path in paths.items():
            found[name].append(timed(path))
    return {
        name: (statistics.median(wall for wall, _cpu in runs), statistics.median(cpu for _wall, cpu in runs))
        for name, runs in found.items()
    }


def pure(port: int, **options: Any) -> tuple[float, float]:
    """Attempts a second and processor seconds of one, without Ansible."""
    wanted = parsing.parse_check({"kind": "http", "url": f"http://127.0.0.1:{port}/", **options})
    began, spent = time.monotonic(), time.process_time()
    for _number in range(PURE_ROUNDS):
        made = runner.attempt(wanted)
        if made.state != "pass":
            raise RuntimeError(made.message)
    return PURE_ROUNDS / (time.monotonic() - began), (time.process_time() - spent) / PURE_ROUNDS


def report(medians: dict[str, tuple[float, float]]) -> None:
    base_wall, base_cpu = medians["ping"]
    print("| endpoints | tool | seconds | processor seconds | checks/s | ms of processor a check |")
    print("|---|---|---|---|---|---|")
    for count in COUNTS:
        for tool in ("uri", "health_check"):
            wall, cpu = medians[f"{tool} {count}"]
            wall, cpu = wall - base_wall, cpu - base_cpu
            print(f"| {count} | {tool} | {wall:.2f} | {cpu:.2f} | {count / wall:.1f} | {cpu / count * 1000:.0f} |")
    print()
    for count in COUNTS:
        theirs, ours = medians[f"uri {count}"], medians[f"health_check {count}"]
        wall = (theirs[0] - base_wall) / (ours[0] - base_wall)
        cpu = (theirs[1] - base_cpu) / (ours[1] - base_cpu)
        print(
            f"{count} endpoints: health_check is {wall:.1f} times as fast as uri, at 1/{cpu:.1f} of the processor time"
        )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with subprocess.Popen([sys.executable, "-c", SERVER, str(max(COUNTS))], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            ports = [int(text) for text in server.stdout.readline().split()]
            with tempfile.TemporaryDirectory() as folder:
                report(measure(playbooks(Path(folder), ports), options.rounds))
            rate, cpu = pure(ports[0])
            print(f"in the engine, without Ansible: {rate:.0f} attempts/s, {cpu * 1e6:.0f} µs of processor each")
        finally:
            server.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())

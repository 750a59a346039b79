"""Ten services of five kinds on three hosts, declared once: each is released alone, then all at once, under load.

`make services` runs it; alone: lab.py run -- python tests/faults/services [--page FILE] [--lab NAME].
Exits 1 when a request is lost where a strategy promises none, or when a run touches a service that it is not about.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "lab")]

import inside
import lab
import look
import play
import table
from build import build_load, build_releases
from client import Load
from declared import BY_HAND, PORTS, PROMISED, SERVICES, variables

LAB, HOSTS, RATE = "services", 3, 20
WORK = lab.CHECKOUT / ".work" / "services"
GONE, OLD, NEW = "post", "sweep", "broom"
NAMES = (*SERVICES, NEW, BY_HAND.name)


class Bench:
    """The hosts, and one load client for every service that has a port."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inventory = lab.folder(name) / "inventory.yml"
        self.key = (lab.folder(name) / "id_ed25519.pub").read_text().strip()
        hosts = json.loads(self.inventory.read_text())["all"]["hosts"]
        self.addresses: dict[str, str] = {host: values["ansible_host"] for host, values in hosts.items()}

    @property
    def containers(self) -> list[str]:
        return [f"slipway-{self.name}-{host}" for host in self.addresses]

    def play(self, name: str, version: str, **more: Any) -> play.Play:
        return play.playbook(name, self.inventory, {**variables(WORK, version, self.key), **more})

    def load(self, folder: Path) -> Load:
        urls = [
            f"{service}.{host}=http://{address}:{port}"
            for service, port in PORTS.items()
            for host, address in self.addresses.items()
        ]
        return Load(WORK / "load", folder, urls, RATE)


def step(bench: Bench, title: str, about: set[str], act: Any) -> table.Row:
    """One run under load. about: the services that it may touch."""
    before = [look.services(container, NAMES) for container in bench.containers]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, bench.load(Path(folder)) as client:
        time.sleep(1)
        done = act()
        report = client.report()
    after = [look.services(container, NAMES) for container in bench.containers]
    touched = {name for old, new in zip(before, after) for name in look.differing(old, new)} - about
    row = table.row(title, time.monotonic() - begun, report, PROMISED, about & set(PORTS))
    if done.code:
        row.broken.append(f"the run failed: {done.output[-400:]}")
    if touched:
        row.broken.append(f"it touched {', '.join(sorted(touched))}")
    changed = {host: count["changed"] for host, count in done.recap.items() if count["changed"]}
    if changed and not about:
        row.broken.append(f"it changed something: {changed}")
    print(row.line(), file=sys.stderr, flush=True)
    return row


def renamed(bench: Bench) -> play.Play:
    """As docs/guide/remove.md says it."""
    done = bench.play("remove", "3.0.0", service_name=OLD, remove_confirm=OLD)
    if done.code:
        return done
    for container in bench.containers:
        inside.run(container, "mv", f"/var/lib/{OLD}", f"/var/lib/{NEW}")
    given = variables(WORK, "3.0.0", bench.key)["slipway_services"]
    services = {NEW if name == OLD else name: value for name, value in given.items() if name != GONE}
    done = bench.play("site", "3.0.0", service_name=NEW, slipway_services=services)
    for container in bench.containers:
        if inside.run(container, "systemctl", "is-active", f"{NEW}.service", check=False).strip() != "active":
            return play.Play(1, done.seconds, f"{NEW}.service does not run on {container}. {done.output}")
    return done


def adopted(bench: Bench) -> play.Play:
    for container in bench.containers:
        BY_HAND.set_up(container, WORK / "shop-1.0.0")
    services = {BY_HAND.name: BY_HAND.variables}
    switch = {"service_name": BY_HAND.name, "adopt_switch": True, "slipway_services": services}
    return bench.play("adopt", "1.0.0", **switch)


def run(bench: Bench) -> list[table.Row]:
    first = bench.play("site", "1.0.0")
    if first.code:
        raise SystemExit(first.output[-4000:])
    rows = [step(bench, "`site` a second time", set(), lambda: bench.play("site", "1.0.0"))]
    for name in SERVICES:
        rows.append(
            step(
                bench,
                f"`release` of {name}",
                {name},
                lambda name=name: bench.play("release", "2.0.0", service_name=name),
            )
        )
    every = set(SERVICES)
    rows.append(step(bench, "`release` of all", every, lambda: bench.play("release", "3.0.0")))
    two = {"shop", "news"}
    rows.append(
        step(bench, "`rollback` of shop and news", two, lambda: bench.play("rollback", "3.0.0", service_name=list(two)))
    )
    gone = {"service_name": GONE, "remove_confirm": GONE}
    rows.append(step(bench, f"`remove` of {GONE}", {GONE}, lambda: bench.play("remove", "3.0.0", **gone)))
    rows.append(step(bench, f"{OLD} becomes {NEW}", {OLD, NEW}, lambda: renamed(bench)))
    rows.append(step(bench, "`adopt` of one set up by hand", {BY_HAND.name}, lambda: adopted(bench)))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="services", description=__doc__)
    parser.add_argument("--page", type=Path, help="file that gets the table")
    parser.add_argument("--lab", help="use the hosts of this lab, which are up")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    build_releases(WORK)
    build_load(WORK / "load")
    name = arguments.lab or LAB
    if not arguments.lab:
        lab.up(name, HOSTS, ["bookworm", "trixie"])
    try:
        rows = run(Bench(name))
    finally:
        if not arguments.lab:
            lab.down(name)
    text = table.page(rows)
    if arguments.page:
        arguments.page.write_text(text)
    print(text)
    return int(any(row.broken for row in rows))


if __name__ == "__main__":
    sys.exit(main())

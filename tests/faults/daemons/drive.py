"""Runs one row: version A is released, B under load, then the rollback to A; and holds it against what it promises."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import clients
import debian
import inside
import play
import rows
from client import Load

RATE = 50
GETS = "new-get=50,keep-get=50"
NEW = "new-get"
# A request that waits is not lost, and the machine may be busy.
PATIENT = ("-timeout", "20s")
# Longer than a short websocket lives, and shorter than a long one.
DRAIN_S = 8
# How a request may be lost where one may: with a socket that stays open, no connection is refused.
LOSABLE = {"socket": {"eof", "reset"}, "restart": {"eof", "reset", "refused"}}
CALM_S = 4.0
ENOUGH = 500
FIRST_PORT, FIRST_SLOT = 19100, 6100


class BenchError(Exception):
    """A row that cannot be run."""


@dataclass(frozen=True)
class Swap:
    """An upgrade or a rollback. downtime: as the run itself has measured it; None where it has none."""

    begun: float
    ended: float
    downtime: float | None


@dataclass
class Result:
    """What became of a row. cut: of both swaps, as the run itself reports it. seen: the same as the clients saw it."""

    row: rows.Row
    versions: tuple[str, str] = ("", "")
    sent: int = 0
    lost: dict[str, dict[str, int]] = field(default_factory=dict)
    wrk: dict[str, int] = field(default_factory=dict)
    sockets: dict[str, Any] | None = None
    cut: list[int] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    downtime: list[float] = field(default_factory=list)
    serves: str = ""
    broken: list[str] = field(default_factory=list)

    @property
    def wrk_errors(self) -> dict[str, int]:
        return {kind: count for kind, count in self.wrk.items() if kind != clients.REQUESTS}

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({**vars(self), "row": self.row.package}))


def saved(row: rows.Row, path: Path) -> Result | None:
    """What an earlier run has kept; None where there is nothing, or where the row was broken."""
    if not path.exists():
        return None
    result = Result(**{**json.loads(path.read_text()), "row": row})
    return None if result.broken else result


def total(lost: dict[str, dict[str, int]]) -> int:
    return sum(count for failures in lost.values() for count in failures.values())


class Bench:
    """A host that gets the daemons, one after the other, and a host with clients."""

    def __init__(self, inventory: Path, host: str, server: str, client: str, work: Path) -> None:
        self.inventory, self.host, self.server, self.client, self.work = inventory, host, server, client, work
        found = json.loads(inventory.read_text())["all"]["hosts"]
        self.address = str(found[host]["ansible_host"])

    def execute(self, row: rows.Row) -> Result:
        number = rows.ROWS.index(row)
        port = FIRST_PORT + number
        folder = self.work / row.package
        folder.mkdir(parents=True, exist_ok=True)
        versions, binaries = zip(*(fetched(suite, row) for suite in (row.before, row.after)))
        result = Result(row, versions=(versions[0], versions[1]))
        if versions[0] == versions[1]:
            raise BenchError(f"{row.package} has the version {versions[0]} in both suites")
        if row.libraries:
            clients.install(self.server, *row.libraries)
        before, after = (
            self.variables(row, port, number, folder, version, binary) for version, binary in zip(versions, binaries)
        )
        self.retire(row)
        self.play("slipway.go.site", before, folder)
        swaps = self.under_load(row, port, folder, after, result)
        self.ask(row, binaries[0], result, swaps)
        self.retire(row)
        result.broken += judge(result)
        return result

    def variables(
        self, row: rows.Row, port: int, number: int, folder: Path, version: str, binary: Path
    ) -> dict[str, Any]:
        files = []
        for name, text in row.files.items():
            template = folder / f"{name}.j2"
            template.write_text(text)
            files.append({"src": str(template)})
        slots = [FIRST_SLOT + 2 * number, FIRST_SLOT + 2 * number + 1]
        return {
            "service_name": row.package,
            "service_type": "exec",
            "service_swap": row.strategy,
            "service_listen": [str(port)],
            **({"service_proxy_ports": slots} if row.strategy == "proxy" else {}),
            "service_arguments": list(row.arguments),
            "service_environment": row.environment,
            "service_config_files": files,
            "service_drain_timeout": DRAIN_S,
            "release_version": version,
            "release_src": str(binary),
            "release_health": {"url": f"http://127.0.0.1:{port}{row.page}", "deadline": 60, "timeout": 5},
            "release_soak_time": 2,
            "release_force": True,  # on a host of an earlier run, the newer version counts as bad
            **row.variables,
        }

    def play(self, name: str, variables: dict[str, Any], folder: Path) -> Swap:
        begun = time.time()
        done = play.playbook(name, self.inventory, variables, "--limit", self.host, "-v", log=folder / "ansible.log")
        if done.code:
            raise BenchError(f"{name} failed, see {folder / 'ansible.log'}: {done.output[-1500:]}")
        down = re.search(r'"downtime_seconds": ([0-9.]+)', done.output)
        return Swap(begun, time.time(), float(down.group(1)) if down else None)

    def rollback(self, row: rows.Row) -> Swap:
        """As somebody does it on the host."""
        begun = time.time()
        outcome = json.loads(inside.run(self.server, "slipway", "rollback", row.package, "--json"))
        return Swap(begun, time.time(), outcome["downtime_seconds"])

    def under_load(self, row: rows.Row, port: int, folder: Path, after: dict[str, Any], result: Result) -> list[Swap]:
        address = f"{self.address}:{port}"
        with contextlib.ExitStack() as stack:
            load = stack.enter_context(
                Load(self.work / "load", folder, [f"http://{address}{row.page}"], RATE, "-mix", GETS, *PATIENT)
            )
            wrk = clients.wrk(self.client, f"http://{address}{row.page}")
            stack.callback(wrk.kill)
            sockets = clients.sockets(self.client, address, row.talk) if row.talk else None
            if sockets:
                stack.callback(sockets.kill)
            time.sleep(CALM_S)
            swaps = [self.play("release", after, folder), self.rollback(row)]
            time.sleep(CALM_S)
            if sockets:
                result.sockets = clients.read_sockets(sockets.end())
            result.wrk = clients.read_wrk(wrk.end())
            report = load.report()
        result.sent = report["total"]["sent"]
        result.lost = {kind: found["failures"] for kind, found in report["kinds"].items() if found["failures"]}
        return swaps

    def ask(self, row: rows.Row, binary: Path, result: Result, swaps: list[Swap]) -> None:
        """What the host says: of the swaps in its journal, and of what runs now."""
        history = json.loads(inside.run(self.server, "slipway", "history", row.package, "--json"))
        committed = [event for event in history if event["event"] == "committed"][: len(swaps)][::-1]
        result.cut = [event.get("cut", 0) for event in committed]
        result.downtime = [swap.downtime for swap in swaps if swap.downtime is not None]
        if result.sockets is not None:
            cuts = result.sockets["cut"]
            result.seen = [sum(swap.begun <= moment <= swap.ended for moment in cuts) for swap in swaps]
            if sum(result.seen) != len(cuts):
                result.broken.append(f"{len(cuts) - sum(result.seen)} websockets were cut outside of the swaps")
        status = json.loads(inside.attempt(self.server, "slipway", "status", row.package, "--json").stdout)[0]
        unit = f"{row.package}@{status['current']}.service"
        pid = inside.run(self.server, "systemctl", "show", "-p", "MainPID", "--value", unit)
        running = inside.run(self.server, "sha256sum", f"/proc/{pid}/exe").split()[0]
        same = running == hashlib.sha256(binary.read_bytes()).hexdigest()
        result.serves = status["version"] if same and status["health"] == "pass" else "something else"

    def retire(self, row: rows.Row) -> None:
        """Nothing of it takes processor time from the rows that follow, and no data is left of a newer version."""
        inside.attempt(self.server, "rm", "-f", f"/etc/slipway/watch/{row.package}.json")
        for kind in (".service", ".socket"):
            inside.attempt(self.server, "systemctl", "disable", "--now", f"{row.package}{kind}")
        inside.script(self.server, f"rm -rf /var/lib/{row.package}/*")


def fetched(suite: str, row: rows.Row) -> tuple[str, Path]:
    """The package's version in that suite, and its program."""
    version = debian.version(suite, row.package)
    tree = debian.unpacked(suite, row.package, version) if version else None
    found = [path for path in debian.programs(tree) if path.name == row.binary] if tree else []
    if not version or not found:
        raise BenchError(f"{suite} has no package {row.package} with a program {row.binary}")
    return version, found[0]


def judge(result: Result) -> list[str]:
    """What the row does not keep of its promise."""
    row, broken = result.row, []
    answered = result.wrk[clients.REQUESTS]
    if min(result.sent, answered) < ENOUGH:
        broken.append(f"only {result.sent} requests of the load client and {answered} of wrk were sent")
    if not row.loses and result.lost:
        broken.append(f"{total(result.lost)} requests were lost: {result.lost}")
    kinds = {kind for failures in result.lost.values() for kind in failures} - LOSABLE.get(row.strategy, set())
    if row.loses and kinds:
        broken.append(f"requests were lost in ways that {row.strategy} does not explain: {', '.join(sorted(kinds))}")
    if not row.loses and result.wrk_errors:
        broken.append(f"wrk met errors: {result.wrk_errors}")
    if row.kept and result.lost.get(NEW):
        broken.append(f"requests on connections of their own were lost: {result.lost[NEW]}")
    if result.serves != result.versions[0]:
        broken.append(f"{result.serves} serves at the end")
    if result.sockets is not None:
        if result.sockets["lost"]:
            broken.append(f"websockets were lost: {result.sockets['lost']}")
        fewer = all(reported <= seen for reported, seen in zip(result.cut, result.seen))
        if result.cut != result.seen and not (row.closes and fewer):
            broken.append(f"the run reports {result.cut} cut, the client saw {result.seen}")
    return broken

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what was found to what it means, the likely cause first. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

import time
from typing import Callable, Iterator, Optional

from .._core.errors import sentence
from .._core.problems import Problem
from .evidence import Ending, Evidence, Finding, Rank, Usage, Volume

ALMOST = 0.95  # of what is limited is as good as all of it
LEAST_FREE = 1 << 20  # bytes: with less, programs fail to write
LEAST_MEMORY = 0.02  # of the host's memory
CERTIFICATE_DAYS = 14
_MEBIBYTE = 1 << 20
_OF_PRIORITY = {"high": Rank.CAUSE, "medium": Rank.SUSPECT}
# What systemd could not do before it came to the program: systemd.exec(5), "Process Exit Codes".
_BEFORE_THE_PROGRAM = {
    "200/CHDIR": "could not change to the unit's WorkingDirectory",
    "203/EXEC": "could not execute the program",
    "206/EXEC": "could not execute the program",
    "209/STDOUT": "could not open the unit's StandardOutput",
    "216/GROUP": "could not become the unit's Group",
    "217/USER": "could not become the unit's User",
    "218/CAPABILITIES": "could not set the unit's capabilities",
    "226/NAMESPACE": "could not make the unit's view of the file system",
    "228/SECCOMP": "could not apply the unit's SystemCallFilter",
    "233/RUNTIME_DIRECTORY": "could not make the unit's RuntimeDirectory",
    "238/STATE_DIRECTORY": "could not make the unit's StateDirectory",
    "243/CREDENTIALS": "could not hand over the unit's credentials",
}


def judge(evidence: Evidence) -> list[Finding]:
    """Every finding, the nearest to the cause first; of one rank, in the order of the examinations below."""
    found = [one for examine in EXAMINATIONS for one in examine(evidence)]
    return sorted(found, key=lambda one: one.rank)


def _finding(rank: Rank, code: str, message: str, fix: str, lines: tuple[str, ...] = ()) -> Finding:
    return Finding(rank, Problem(code, message, fix), lines)


def _when_failing(evidence: Evidence) -> Rank:
    return Rank.NOTE if evidence.well else Rank.CAUSE


def _not_started(e: Evidence) -> Iterator[Finding]:
    if not e.status["current"]:
        state = e.status["state"]
        yield _finding(Rank.CAUSE, "no_release", f"{e.service} has no release: {state}.", "release one")
    elif e.enabled.startswith("masked"):
        name = f"{e.service}.service"
        yield _finding(Rank.CAUSE, "unit_masked", f"{name} is masked.", f"run systemctl unmask {name}, then start it")
    elif not e.started and not e.running and not e.endings:
        yield _finding(
            Rank.CAUSE,
            "stopped_by_hand",
            f"{e.service} was stopped, and nothing has failed.",
            f"run systemctl start {e.service}",
        )
    if e.status["current"] and e.enabled == "disabled":
        message = f"{e.service}.service is not started at boot."
        yield _finding(Rank.NOTE, "not_at_boot", message, f"run systemctl enable {e.service}")


def _damaged(e: Evidence) -> Iterator[Finding]:
    changed = ", ".join(e.status["differences"])
    if changed:
        message = f"{e.status['current']} is not on disk as it was released: {changed}."
        yield _finding(_when_failing(e), "damaged_release", message, f"run slipway rollback {e.service}")
    for damage in e.status["damaged"]:
        message, _separator, fix = str(damage).partition(" Fix: ")
        yield _finding(Rank.SUSPECT, "damaged_state", sentence(message), fix or f"run slipway status {e.service}")


def _cannot_start(e: Evidence) -> Iterator[Finding]:
    rank = Rank.NOTE if e.running and not e.endings else Rank.CAUSE
    for problem in e.unit_problems:
        yield Finding(rank, problem._replace(message=sentence(problem.message)))


def _volumes(e: Evidence) -> Iterator[Finding]:
    for volume in e.volumes:
        yield from _volume(volume)


def _volume(volume: Volume) -> Iterator[Finding]:
    path = volume.path
    if volume.read_only:
        message = f"the file system of {path} is mounted read-only."
        yield _finding(Rank.CAUSE, "read_only_disk", message, f"find out why (dmesg), then mount {path} read-write")
    share = 1 - volume.free / volume.size if volume.size else 0
    if volume.size and volume.free < LEAST_FREE:
        message = f"{path} has {volume.free >> 10} KiB free of {volume.size // _MEBIBYTE} MiB."
        yield _finding(Rank.CAUSE, "disk_full", message, f"free space on the file system of {path}")
    elif share > ALMOST:
        message = f"{share:.0%} of the space of {path} is in use."
        yield _finding(Rank.NOTE, "disk_almost_full", message, f"free space on the file system of {path}")
    if volume.inodes and not volume.free_inodes:
        message = f"{path} has no free inode of {volume.inodes}."
        yield _finding(Rank.CAUSE, "no_inodes", message, f"remove files from the file system of {path} (see df -i)")


def _memory(e: Evidence) -> Iterator[Finding]:
    usage = e.usage
    if any(one.result == "oom-kill" for one in e.endings):
        limit = f"its MemoryMax of {usage.most_memory // _MEBIBYTE} MiB" if usage.most_memory else "the host's memory"
        yield _finding(
            Rank.CAUSE,
            "out_of_memory",
            f"the kernel killed {e.service}, for it needed more than {limit}.",
            "raise MemoryMax in service_limits, or give the host more memory",
        )
    elif usage.free_memory is not None and usage.host_memory and usage.free_memory < LEAST_MEMORY * usage.host_memory:
        yield _finding(
            Rank.SUSPECT,
            "host_memory_low",
            f"the host has {usage.free_memory // _MEBIBYTE} MiB of {usage.host_memory // _MEBIBYTE} MiB memory left.",
            "stop what takes the memory (see top), or give the host more",
        )


def _is_used_up(used: Optional[int], most: Optional[int]) -> bool:
    return bool(used is not None and most and used >= ALMOST * most)


def _limits(e: Evidence) -> Iterator[Finding]:
    usage: Usage = e.usage
    if _is_used_up(usage.open_files, usage.most_files):
        message = f"{e.service} has {usage.open_files} files and connections open, and may have {usage.most_files}."
        yield _finding(Rank.CAUSE, "no_descriptors", message, "raise LimitNOFILE in service_limits")
    if _is_used_up(usage.tasks, usage.most_tasks):
        message = f"{e.service} has {usage.tasks} threads, and may have {usage.most_tasks}."
        yield _finding(Rank.CAUSE, "no_threads", message, "raise TasksMax in service_limits")


def _ports(e: Evidence) -> Iterator[Finding]:
    for port, who in e.holders.items():
        message = f"port {port} of {e.service} is in use by {who}."
        fix = f"stop {who}, then run systemctl restart {e.service}"
        yield _finding(_when_failing(e), "port_in_use", message, fix)


def _dependencies(e: Evidence) -> Iterator[Finding]:
    for one in e.dependencies:
        named = f"{one.name} ({one.target}, priority {one.priority})"
        if one.state == "fail":
            rank = _OF_PRIORITY.get(one.priority, Rank.NOTE)
            message = sentence(f"the dependency {named} fails: {one.message}")
            yield _finding(rank, f"dependency_{one.reason}", message, _fix_of_dependency(one.name, one.reason))
        elif one.certificate_days is not None and one.certificate_days < CERTIFICATE_DAYS:
            message = f"the certificate of the dependency {named} ends in {one.certificate_days:.0f} days."
            yield _finding(Rank.NOTE, "dependency_certificate", message, f"renew the certificate of {one.name}")


def _fix_of_dependency(name: str, reason: str) -> str:
    return {
        "dns": f"correct the name of {name}, or /etc/resolv.conf",
        "tls": f"renew the certificate of {name}, or name its authority in ca_file",
        "refused": f"start {name}",
    }.get(reason, f"find out at {name} why it does not answer this host")


def _denials(e: Evidence) -> Iterator[Finding]:
    if e.denials:
        rank = Rank.NOTE if e.well else Rank.SUSPECT
        message = f"the kernel's policy has denied {e.service} something {len(e.denials)} times in the last minutes."
        fix = "correct the policy or profile that the lines name"
        yield _finding(rank, "access_denied", message, fix, tuple(e.denials[-3:]))


def _front(e: Evidence) -> Iterator[Finding]:
    if e.front is not None:
        message = f"users reach {e.service} through haproxy.service, which is {e.front}."
        yield _finding(Rank.CAUSE, "proxy_down", message, "run haproxy -c -f /etc/haproxy/haproxy.cfg, then start it")


def _closed(e: Evidence) -> Iterator[Finding]:
    if e.closed:
        message = f"the host's firewall does not let in what {e.service} needs: {', '.join(e.closed)}."
        yield _finding(Rank.CAUSE, "port_closed", message, "run site.yml, which opens it again")


def _in_flight(e: Evidence) -> Iterator[Finding]:
    if e.status["unsettled"]:
        message = sentence(str(e.status["unsettled"]))
        yield _finding(
            Rank.SUSPECT, "in_flight", message, f"run slipway recover {e.service}, unless a run is under way"
        )


def _changed(e: Evidence) -> Iterator[Finding]:
    for one in e.differences:
        message = f"{one.area} {one.what}: expected {one.expected}, found {one.found}{_since(one.since)}."
        yield _finding(
            Rank.NOTE if e.well else Rank.SUSPECT,
            "changed_by_hand",
            message,
            "run site.yml, which writes it again, or undo the change",
        )


def _since(stamp: Optional[float]) -> str:
    return time.strftime(", since %Y-%m-%d %H:%M UTC", time.gmtime(stamp)) if stamp else ""


def _starting(e: Evidence) -> Iterator[Finding]:
    if str(e.status["state"]).startswith("activating (start") and not e.endings:
        message = f"{e.service} is starting, and has not said yet that it is ready."
        yield _finding(
            Rank.SYMPTOM, "not_ready_yet", message, "wait, and look in its log for what it waits for", tuple(e.log)
        )


def _ended(e: Evidence) -> Iterator[Finding]:
    """The last end that says something; the limit of starts says only that there were others before."""
    telling = [one for one in e.endings if one.result != "start-limit-hit"] or list(e.endings)
    if telling and telling[-1].result != "oom-kill":
        times = f" {len(telling)} times in the last minutes" if len(telling) > 1 else ""
        yield Finding(Rank.SYMPTOM, _end(e.service, telling[-1], times), () if e.running else e.log)


def _end(name: str, ending: Ending, times: str) -> Problem:
    """Results are those of systemd.service(5), under $SERVICE_RESULT in systemd.exec(5)."""
    fix = f"correct what its log complains of, or run slipway rollback {name}"
    status = f" (status {ending.status})" if ending.status else ""
    if ending.status in _BEFORE_THE_PROGRAM:
        what = _BEFORE_THE_PROGRAM[ending.status]
        return Problem("not_executed", f"{name} never came to its program{times}: systemd {what}{status}.", fix)
    if ending.result == "timeout":
        return Problem("start_timed_out", f"{name} did not say in time that it is ready{times}.", fix)
    if ending.result == "watchdog":
        return Problem("watchdog_missed", f"{name} stopped telling the watchdog that it is alive{times}.", fix)
    if ending.result in ("signal", "core-dump"):
        return Problem("process_killed", f"{name} was ended by a signal{times}{status}.", fix)
    if ending.how == "exited":
        return Problem("process_exited", f"{name} ended by itself{times}{status}.", fix)
    return Problem("process_failed", f"{name} has failed{times}: systemd says {ending.result}{status}.", fix)


def _unhealthy(e: Evidence) -> Iterator[Finding]:
    if e.running and e.status["health"] == "fail":
        message = sentence(f"the health check fails: {e.status['message']}")
        fix = f"correct what the answer says, or run slipway rollback {e.service}"
        yield _finding(Rank.SYMPTOM, "health_fails", message, fix, tuple(e.log))
    elif e.status["health"] == "warn":
        message = sentence(f"the health check warns: {e.status['message']}")
        yield _finding(Rank.NOTE, "health_warns", message, f"see slipway status {e.service}")


def _around(e: Evidence) -> Iterator[Finding]:
    if not e.watched:
        fix = "run systemctl start slipway-watch.service"
        yield _finding(Rank.NOTE, "not_watched", f"nothing watches {e.service}.", fix)
    if e.clock.synchronised is False:
        message = "the host's clock is not synchronised, so that certificates and tokens may seem out of date."
        yield _finding(Rank.NOTE, "clock_not_synchronised", message, "run timedatectl set-ntp true")
    if e.clock.zone not in ("", "UTC", "Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu"):
        message = f"the host's time zone is {e.clock.zone}, and its logs are in that zone."
        yield _finding(Rank.NOTE, "other_time_zone", message, "run timedatectl set-timezone UTC")


EXAMINATIONS: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    _not_started,
    _damaged,
    _cannot_start,
    _volumes,
    _memory,
    _limits,
    _ports,
    _dependencies,
    _denials,
    _front,
    _closed,
    _in_flight,
    _changed,
    _unhealthy,
    _starting,
    _ended,
    _around,
)

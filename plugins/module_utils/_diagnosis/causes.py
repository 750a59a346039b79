# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what was found to what it means, the likely cause first. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

import time
from typing import Any, Callable, Iterator, Mapping, Optional

from .._core.errors import sentence
from .._core.problems import Problem
from .._release.phases import Phase
from .evidence import BEFORE_THE_PROGRAM, Ending, Evidence, Finding, Rank, Usage, Volume

ALMOST = 0.95  # of what is limited is as good as all of it
LEAST_FREE = 1 << 20  # bytes: with less, programs fail to write
LEAST_MEMORY = 0.02  # of the host's memory
CERTIFICATE_DAYS = 14
_MEBIBYTE = 1 << 20
_OF_PRIORITY = {"high": Rank.CAUSE, "medium": Rank.SUSPECT}


def judge(evidence: Evidence) -> list[Finding]:
    """Every finding, the nearest to the cause first; of one rank, in the order of the examinations below."""
    found = [one for examine in EXAMINATIONS for one in examine(evidence)]
    if not evidence.running and evidence.status["current"] and all(one.rank is Rank.NOTE for one in found):
        found.append(_not_running(evidence))
    return sorted(found, key=lambda one: one.rank)


def _not_running(e: Evidence) -> Finding:
    """A program that ends as if all were well is no failure for systemd."""
    message = f"{e.service} does not run, and nothing says why: systemd calls it {e.status['state']}."
    return _finding(Rank.SYMPTOM, "not_running", message, f"run systemctl restart {e.service}", tuple(e.log))


def _finding(rank: Rank, code: str, message: str, fix: str, lines: tuple[str, ...] = ()) -> Finding:
    return Finding(rank, Problem(code, message, fix), lines)


def _when_failing(evidence: Evidence) -> Rank:
    return Rank.NOTE if evidence.well else Rank.CAUSE


def _damaged(e: Evidence) -> Iterator[Finding]:
    if e.damage:
        yield Finding(_when_failing(e), e.damage)
    for damage in e.status["damaged"]:
        message, _separator, fix = str(damage).partition(" Fix: ")
        yield _finding(Rank.SUSPECT, "damaged_state", sentence(message), fix or f"run sudo slipway status {e.service}")


def _not_started(e: Evidence) -> Iterator[Finding]:
    name, state = f"{e.service}.service", str(e.status["state"])
    if not e.status["current"]:
        yield from _without_release(e, state)
        return
    if e.enabled.startswith("masked"):
        yield _finding(Rank.CAUSE, "unit_masked", f"{name} is masked.", f"run systemctl unmask {name}, then start it")
    elif e.umbrella == "inactive" and state.startswith("inactive") and all(one.in_a_stop for one in e.endings):
        message = f"{e.service} was stopped, and nothing has failed."
        yield _finding(Rank.CAUSE, "stopped_by_hand", message, f"run systemctl start {e.service}")
    elif e.umbrella == "failed":
        fix = f"correct what the lines say, then run systemctl start {e.service}"
        yield _finding(Rank.SYMPTOM, "start_failed", f"the start of {name} has failed.", fix, tuple(e.said))
    if e.enabled == "disabled":
        yield _finding(Rank.NOTE, "not_at_boot", f"{name} is not started at boot.", f"run systemctl enable {e.service}")


def _without_release(e: Evidence, state: str) -> Iterator[Finding]:
    if state == "never released":
        yield _finding(Rank.CAUSE, "no_release", f"{e.service} has no release: {state}.", "release one")
    elif not e.status["damaged"]:
        message = f"{e.service} was released here, and its release is gone: {state}."
        yield _finding(Rank.CAUSE, "no_release", message, "mount the file system of its releases, or release again")


def _cannot_start(e: Evidence) -> Iterator[Finding]:
    rank = Rank.NOTE if e.running and not e.endings else Rank.CAUSE
    for problem in e.unit_problems:
        yield Finding(rank, problem._replace(message=sentence(problem.message)))


def _volumes(e: Evidence) -> Iterator[Finding]:
    for volume in e.volumes:
        yield from _full(volume, Rank.NOTE if e.well else Rank.SUSPECT)
        if volume.silent:
            message = f"the file system of {volume.path} does not answer."
            fix = f"repair the server or the disk behind {volume.path}"
            yield _finding(Rank.CAUSE, "silent_disk", message, fix)
        if volume.read_only:
            message = f"the file system of {volume.path} is mounted read-only."
            fix = f"find out why (dmesg), then mount {volume.path} read-write"
            yield _finding(_when_failing(e), "read_only_disk", message, fix)


def _full(volume: Volume, almost: Rank) -> Iterator[Finding]:
    path = volume.path
    share = 1 - volume.free / volume.size if volume.size else 0
    if volume.size and volume.free < LEAST_FREE:
        message = f"{path} has {volume.free >> 10} KiB free of {volume.size // _MEBIBYTE} MiB."
        yield _finding(Rank.CAUSE, "disk_full", message, f"free space on the file system of {path}")
    elif share > ALMOST:
        message = f"{path} has {volume.free // _MEBIBYTE} MiB free of {volume.size // _MEBIBYTE} MiB."
        yield _finding(almost, "disk_almost_full", message, f"free space on the file system of {path}")
    if volume.inodes and not volume.free_inodes:
        message = f"{path} has no free inode of {volume.inodes}."
        yield _finding(Rank.CAUSE, "no_inodes", message, f"remove files from the file system of {path} (see df -i)")


def _memory(e: Evidence) -> Iterator[Finding]:
    usage = e.usage
    if any(one.result == "oom-kill" for one in e.endings):
        yield _out_of_memory(e.service, usage)
    elif usage.free_memory is not None and usage.host_memory and usage.free_memory < LEAST_MEMORY * usage.host_memory:
        yield _finding(
            Rank.SUSPECT,
            "host_memory_low",
            f"the host has {usage.free_memory // _MEBIBYTE} MiB of {usage.host_memory // _MEBIBYTE} MiB memory left.",
            "stop what takes the memory (see top), or give the host more",
        )


def _out_of_memory(service: str, usage: Usage) -> Finding:
    limit, host = usage.most_memory, usage.host_memory
    if limit and (not host or limit < host):
        message = f"the kernel killed {service}, for it needed more than its MemoryMax of {limit // _MEBIBYTE} MiB."
        return _finding(Rank.CAUSE, "out_of_memory", message, "raise MemoryMax in service_limits")
    message = f"the kernel killed {service}, for the host's memory was used up."
    return _finding(Rank.CAUSE, "out_of_memory", message, "give the host more memory, or stop what takes it")


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
    if e.port:
        yield Finding(_when_failing(e), e.port)


def _dependencies(e: Evidence) -> Iterator[Finding]:
    for one in e.dependencies:
        named = f"{one.name} ({one.target}, priority {one.priority})"
        if one.reason in ("error", "skipped"):
            message = sentence(f"the dependency {named} was not asked: {one.message}")
            yield _finding(
                Rank.NOTE, "dependency_not_asked", message, "correct service_dependencies, then run site.yml"
            )
        elif one.state == "fail":
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
        fix = "run systemctl start haproxy, and see journalctl -u haproxy where that fails"
        yield _finding(Rank.CAUSE, "proxy_down", message, fix)


def _closed(e: Evidence) -> Iterator[Finding]:
    if e.closed:
        message = f"the host's firewall does not let in what {e.service} needs: {', '.join(e.closed)}."
        yield _finding(Rank.CAUSE, "port_closed", message, "run site.yml, which opens it again")


def _in_flight(e: Evidence) -> Iterator[Finding]:
    if e.status["unsettled"]:
        message = sentence(str(e.status["unsettled"]))
        yield _finding(Rank.SUSPECT, "in_flight", message, _settled_by(e.service, e.status))


def _settled_by(service: str, status: Mapping[str, Any]) -> str:
    swap = status.get("in_flight") or {}
    if swap.get("paused"):
        return f"run sudo slipway resume {service}, or sudo slipway resume {service} --back"
    if status.get("at_work"):
        return f"wait for the run that is at work on it, or see sudo slipway status {service}"
    if swap.get("phase") == Phase.PROBATION:
        return f"run sudo slipway confirm {service} to keep it, or sudo slipway rollback {service}"
    return f"run sudo slipway recover {service}"


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
    if telling and telling[-1].result != "oom-kill" and not (e.running and telling[-1].in_a_stop):
        times = f" {len(telling)} times in the last minutes" if len(telling) > 1 else ""
        yield Finding(Rank.SYMPTOM, _end(e.service, telling[-1], times), () if e.running else e.log)


def _end(name: str, ending: Ending, times: str) -> Problem:
    """Results are those of systemd.service(5), under $SERVICE_RESULT in systemd.exec(5)."""
    fix = f"correct what its log complains of, or run sudo slipway rollback {name}"
    status = f" (status {ending.status})" if ending.status else ""
    if ending.status in BEFORE_THE_PROGRAM:
        what = BEFORE_THE_PROGRAM[ending.status]
        return Problem("not_executed", f"{name} never came to its program{times}: systemd {what}{status}.", fix)
    if ending.in_a_stop:
        fix = f"find out in its log what it waited for, then run systemctl start {name}"
        return Problem("stop_timed_out", f"{name} did not stop in time and was killed{times}.", fix)
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
        fix = f"correct what the answer says, or run sudo slipway rollback {e.service}"
        yield _finding(Rank.SYMPTOM, "health_fails", message, fix, tuple(e.log))
    elif e.status["health"] == "warn":
        message = sentence(f"the health check warns: {e.status['message']}")
        yield _finding(Rank.NOTE, "health_warns", message, f"see sudo slipway status {e.service}")


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
    _damaged,
    _not_started,
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

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tool on the host, /usr/local/sbin/slipway: the release engine without Ansible. PRIVATE to the collection.

Each command imports what it needs when it runs: most of what a short one costs is what it imports.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Optional, Sequence

from .._core.errors import SlipwayError
from .._core.paths import STATE_ROOT, WATCH_ROOT, WATCHER

if TYPE_CHECKING:
    from .._release.engine import Engine
    from .._release.operator.operator import Operator

OK, FAILED, USAGE = 0, 1, 2
NOTICE = "notice.json"
SERVES = ("pass", "warn")
_RECENT = 60.0  # seconds
_LOCK_TIMEOUT = 30.0
EPILOG = """\
exit codes: 0 it is so or was done; 1 something is down, or could not be done; 2 wrong usage, or not root
with --json, failures come as {"failed": true, "code": …, "msg": …, "fix": …}

at 3 a.m.:  sudo slipway status           what runs here, and is it healthy?
            sudo slipway diagnose SHOP    why does it fail? the likely cause first, each with its fix
            sudo slipway history SHOP     what happened?
            sudo slipway rollback SHOP    back to the last good release; nothing is lost, and it is safe to repeat
            sudo slipway confirm SHOP     keep the release that status calls WAITING; it goes back by itself otherwise
            sudo slipway resume SHOP      have the release go on that status calls PAUSED; --back takes it back now
            journalctl -u 'SHOP*'         what does it say?
            sudo slipway drift            what has been changed by hand?
"""


_STATUS = """\
IN FLIGHT is a swap under way, or one that was cut short. WAITING is a release that serves, and that goes back by itself
unless somebody confirms it in time."""
_HISTORY = "Under each release stands what requests from this host met at the users' address while it took over."
_ROLLBACK = """\
The release that comes back must be healthy before it takes over, and nothing is lost on the way; it works when the
current one is dead. The one that is left is marked bad and kept as evidence. A second run changes nothing, nor does one
after a release that was refused or taken back by itself: to leave what serves then, name the release to go to."""
_RECOVER = "Safe at any time: it waits for a run under way, and leaves alone what only waits to be confirmed."
_PURGE = """\
For what must not stay on the host, such as a revoked secret. One that serves, is last good or part of a swap is
refused. What is deleted cannot be gone back to; the history keeps that it was there, and that it was purged."""
_VERIFY = "Systemd starts no release that is not, nor does a rollback or the watch. It reads files and starts nothing."
_WATCH = """\
slipway-watch.service watches all services that have a file in /etc/slipway/watch, and starts SHOP-watch.service where
something is to be done."""
_DRIFT = """\
Compares each service with its current release, and the host with what hardening has left. It reads, and changes
nothing but the file of --metrics; contents of files are not shown."""
_DIAGNOSE = """\
Looks at the service, its unit, its host and what it needs of others. It takes seconds, and about half a minute where
nothing answers. It reads, and changes nothing. Secrets of the service are masked."""
_DRAIN = """\
A swap starts it in a unit of its own, slipway-drain-SHOP:RELEASE.service, where release_drain_background is set and
users are still at the old release when service_drain_timeout ends. Stop that unit to end the release now."""
_LEASE = """\
A run that releases on many hosts has it from before its first swap until its end, and each host refuses a release by
any other run meanwhile. A rollback is never refused. It ends by itself when that run has not been heard of for long
enough. End it where that run is dead; if it is not, this host refuses it from then on."""
_PULL = """\
slipway-pull.timer calls it. It fetches the branch, verifies who has signed its newest commit, refuses one that does
not descend from what this host had, takes the newest one that is for the host's wave, and runs its playbook here.
Nothing of a commit is used before its signature is verified."""
_CONFIRM = "It becomes the last good release. Where it was too late, this says what became of it, and ends with 1."


_RESUME = """\
It is paused because only the durations of users' requests speak against it (release_slow). Once resumed, it goes on and
they have no say for the rest of this swap; failed requests, crashes and health checks do. Otherwise, it goes back by
itself at the time that status tells."""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="slipway",
        description="Releases of this host's services: look at them, take them back, repair them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", prog=top.prog, required=True)

    def add(name: str, text: str, more: str = "") -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=f"{text}. {more}")

    status = add("status", "what runs, since when, how healthy; exit 1 if one is down", _STATUS)
    status.add_argument("service", nargs="?", help="all services when left out")
    history = add("history", "what happened to a service, the newest first", _HISTORY)
    history.add_argument("service")
    history.add_argument("--count", type=int, default=20, metavar="N", help="how many entries (20)")
    rollback = add("rollback", "back to the last good release, or to the one named", _ROLLBACK)
    rollback.add_argument("service")
    rollback.add_argument("release", nargs="?", help="an id that status lists; the last good one when left out")
    rollback.add_argument("--of", metavar="RELEASE", help="only where this version or id serves or is in flight")
    rollback.add_argument("--run", metavar="NAME", help="only what the run of that name has brought (release_run)")
    rollback.add_argument("--reason", default="", metavar="TEXT", help="why, for the history")
    recover = add("recover", "finish or undo what an interrupted run has left; done at every boot", _RECOVER)
    recover.add_argument("service", nargs="?", help="all services when left out")
    recover.add_argument("--txn", help=argparse.SUPPRESS)  # of the timer that takes back what nobody confirms
    confirm = add("confirm", "keep a release that waits for somebody's word that all is well", _CONFIRM)
    confirm.add_argument("service")
    confirm.add_argument("--txn", metavar="ID", help="only if it is this swap that waits (status --json)")
    resume = add("resume", "have a paused release go on, or go back", _RESUME)
    resume.add_argument("service")
    resume.add_argument("--back", action="store_true", help="go back to the release before, at once")
    resume.add_argument("--reason", default="", metavar="TEXT", help="why, for the journal")
    resume.add_argument("--check", action="store_true", help="say what it would do, and do nothing")
    resume.add_argument("--by", type=_by, default={}, help=argparse.SUPPRESS)  # of a playbook, which knows who runs it
    lease = add("lease", "which run may release a service, since when, and why", _LEASE)
    lease.add_argument("service")
    lease.add_argument("--end", action="store_true", help="end the lease of whichever run has it")
    lease.add_argument("--reason", default="", metavar="TEXT", help="why it is ended, for the journal")
    purge = add("purge", "delete a release with its configuration and secrets", _PURGE)
    purge.add_argument("service")
    purge.add_argument("release", help="an id or a version that status lists, or others: all but the one that serves")
    verify = add("verify", "is a release on this disk as it was released? exit 1 if not", _VERIFY)
    verify.add_argument("service")
    verify.add_argument("release", nargs="?", help="an id that status lists; what the next boot starts when left out")
    verify.add_argument("--root", help=argparse.SUPPRESS)  # of the unit, which depends on nothing that was written
    drift = add("drift", "what is not as it was hardened and released? exit 1 if something is", _DRIFT)
    which = drift.add_mutually_exclusive_group()
    which.add_argument("service", nargs="?", help="the host and all services when left out")
    which.add_argument("--metrics", default="", metavar="DIR", help="write node_exporter's textfile metrics there")
    diagnose = add("diagnose", "why does a service fail? the likely cause first; exit 1 if one is found", _DIAGNOSE)
    diagnose.add_argument("service")
    drain = add("drain", "wait until the users of a release have left it, and end it", _DRAIN)
    drain.add_argument("service")
    drain.add_argument("release", help="one that goes on draining: status lists it")
    drain.add_argument("--until", type=float, required=True, metavar="S", help="how long, on the clock since the boot")
    pull = add("pull", "bring this host to the newest signed commit that is for it", _PULL)
    pull.add_argument("--check", action="store_true", help="run the playbook in check mode")
    watch = add("watch", "look at a service once, and do what is to be done; slipway-watch.service calls it", _WATCH)
    which = watch.add_mutually_exclusive_group(required=True)
    which.add_argument("service", nargs="?")
    which.add_argument("--all", action="store_true", help="go on looking at all services, each with its own options")
    watch.add_argument("--fall", type=int, default=3, metavar="N", help="failures in a row that restart it (3)")
    watch.add_argument("--backoff", type=float, default=30, metavar="S", help="seconds between restarts, doubling (30)")
    watch.add_argument("--cap", type=float, default=900, metavar="S", help="the most seconds between restarts (900)")
    watch.add_argument(
        "--rollback", type=int, default=0, metavar="N", help="crashes and restarts that take a release back (0: never)"
    )
    watch.add_argument("--metrics", default="", metavar="DIR", help="write node_exporter's textfile metrics there")
    settle = add("settle", "wait until a stop has been carried out; systemctl stop SHOP calls it")
    settle.add_argument("service")
    settle.add_argument("--metrics", default="", metavar="DIR", help="where the watch writes metrics")
    settle.add_argument("--timeout", type=float, default=60, metavar="S", help="the most seconds to wait (60)")
    for command in (status, history, rollback, recover, confirm, resume, lease, purge, verify, drift, diagnose):
        command.add_argument("--json", action="store_true", help="for programs")
    return top


def operator(name: str) -> Operator:
    from .._release.operator import operator as operators

    return operators.operator(name)


def before_release(name: str) -> Optional[Operator]:
    """One service whose first release failed, so that only its history is there; None where not even that is."""
    from .._release.operator.operator import Operator
    from .._release.state.model import Settings, validate_name

    found = Operator(Settings(validate_name(name), f"/opt/{name}"))
    return found if found.store.journal.outcomes() else None


def operator_or_history(name: str) -> Operator:
    """For what only looks at it."""
    try:
        return operator(name)
    except SlipwayError as error:
        found = before_release(name) if error.code == "unknown_service" else None
        if found is None:
            raise
        return found


def services() -> list[str]:
    """Every service that has been released on this host."""
    from .._release.state import store

    return store.services()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _when(stamp: Any) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(stamp))) if stamp else "-"


def _built_text(told: dict[str, Any]) -> list[str]:
    """Who has built it from what, as its provenance says."""
    source = " ".join(filter(None, (told.get("repository"), told.get("ref") or told.get("commit"))))
    return [f"  built     by {told['builder']}{f' from {source}' if source else ''}"] if "builder" in told else []


def _status_text(found: dict[str, Any]) -> str:
    from .._release.by import describe_by

    since = f" since {_when(found['since'])} ({_ago(time.time() - found['since'])})" if found["since"] else ""
    p99 = f", p99 {found['p99'] * 1000:.1f} ms" if found["p99"] else ""
    lines = [
        f"{found['service']}: {found['current'] or found['state']}{since}",
        f"  systemd   {found['state']}",
        f"  health    {found['health']}{p99}: {found['message']}",
    ]
    origin = found["origin"]
    if origin:
        signed = f", signed by {origin['signer']}" if "signer" in origin else ""
        lines.append(f"  from      {origin.get('source')}{signed}")
        lines += _built_text(origin.get("provenance") or {})
    who = describe_by(found["by"])
    lines += [f"  by        {who}"] if who else []
    lease = found.get("lease") or {}
    lines += [f"  leased    by {_describe_lease(lease)}"] if lease.get("left") else []
    if found["watched"]:
        lines.append(f"  watched   {_ago(time.time() - found['watched'])} ago")
    if _is_neglected(found):
        lines.append(f"  UNWATCHED {WATCHER} does not run: systemctl start {WATCHER}")
    lines += [f"  DAMAGED   {one}" for one in found["differences"]]
    if found["differences"]:
        lines.append(
            f"            what serves is kept, and is not started again: sudo slipway verify {found['service']}"
        )
    lines += _in_flight(found["service"], found["in_flight"] or {}, found["at_work"])
    lines += [f"  draining  {one}: it ends when its users have left" for one in found["draining"]]
    lines += [f"  DAMAGED   {damage}" for damage in found["damaged"]]
    if found["skipped_lines"]:
        lines.append(f"  journal   {found['skipped_lines']} of its lines cannot be read and are left out")
    marks = (("current", found["current"]), ("last good", found["last_good"]))
    for release in reversed(found["releases"]):
        notes = [note for note, wanted in marks if wanted == release]
        notes += ["bad"] if release in found["bad"] else []
        lines.append(f"  release   {release}{'  (' + ', '.join(notes) + ')' if notes else ''}")
    return "\n".join(lines)


def _describe_lease(lease: Mapping[str, Any]) -> str:
    version = f", version {lease['version']}" if lease.get("version") else ""
    owner = _owner(lease.get("by") or {})
    return f"{owner}{version}, since {_when(lease.get('since'))}, for at most {_ago(float(lease['left']))} more"


def _is_neglected(found: dict[str, Any]) -> bool:
    """Whether nothing looks after a service that the host is to watch; systemd is asked where looks are missing."""
    path = os.path.join(WATCH_ROOT, f"{found['service']}.json")
    if not os.path.exists(path) or (found["watched"] and time.time() - found["watched"] < _RECENT):
        return False
    from .._host.systemd import Systemd

    return not Systemd().is_active(WATCHER)


def _in_flight(service: str, swap: dict[str, Any], at_work: bool) -> list[str]:
    if not swap:
        return []
    from .._release.phases import Phase

    if swap.get("paused"):
        return _paused(service, swap)
    if swap["phase"] != Phase.PROBATION:
        until = f"; unconfirmed until {_when(swap['deadline'])}" if swap.get("deadline") else ""
        now = "a run is at work on it" if at_work else f"cut short; settle it: sudo slipway recover {service}"
        return [f"  IN FLIGHT {swap['phase']} to {swap['to']}{until}: {now}"]
    until = f"{_when(swap.get('deadline'))} ({max(0.0, float(swap.get('deadline') or 0) - time.time()):.0f}s left)"
    before = swap["source"] or "the former unit"
    return [
        f"  WAITING   for somebody to confirm {swap['to']} until {until}",
        f"            keep it: sudo slipway confirm {service}; back to {before}: sudo slipway rollback {service}",
    ]


def _paused(service: str, swap: Mapping[str, Any]) -> list[str]:
    from .._release.pause import what_to_type

    paused = swap["paused"]
    left = max(0.0, float(paused.get("until") or 0) - time.time())
    before = swap["source"] or "the former unit"
    return [
        f"  PAUSED    {swap['to']} in {swap['phase']} since {_when(paused.get('since'))}: {paused.get('reason')}",
        f"            goes back to {before} by itself at {_when(paused.get('until'))} ({left:.0f}s left)",
        f"            {what_to_type(service)}",
    ]


def _status(options: argparse.Namespace) -> int:
    names = [options.service] if options.service else services()
    found = [_told(name, name == options.service) for name in names]
    if options.json:
        _say(json.dumps(found, indent=2))
    else:
        _say("\n".join(_status_text(one) for one in found) or "no service has been released on this host")
    well = (one["health"] in SERVES and not one["damaged"] and not one["in_flight"] for one in found)
    return OK if all(well) else FAILED


def _told(name: str, only: bool) -> dict[str, Any]:
    """What is to be said of one service, whatever is damaged in it, so that the others are told as well."""
    from .._release.operator.operator import unreadable

    try:
        return (operator_or_history if only else operator)(name).status()
    except SlipwayError as error:
        if only and error.code == "unknown_service":
            raise
        return unreadable(name, [str(error)])
    except Exception as error:
        return unreadable(name, [_system_error(error) if isinstance(error, OSError) else f"a defect: {error!r}"])


def _history(options: argparse.Namespace) -> int:
    from .._release.by import describe_by

    found = operator_or_history(options.service).store.journal.history()[::-1][: max(options.count, 0)]
    if options.json:
        _say(json.dumps(found, indent=2))
        return OK
    for event in found:
        words = {
            "committed": "is the release",
            "rolled_back": "was rolled back",
            "refused": "was refused",
            "given_up": "was given up, like what served before it",
        }
        reason = f": {event['reason']}" if event.get("reason") else ""
        by = " by a rollback" if event["event"] == "committed" and event.get("kind") == "rollback" else ""
        _say(f"{_when(event.get('time'))}  {event.get('release')} {words[str(event['event'])]}{by}{reason}")
        for line in (*_labelled("by", describe_by(event.get("by") or {})), *_requests(event), *_said(event)):
            _say(f"{'':21}{line}")
    return OK


def _requests(event: Mapping[str, Any]) -> Iterator[str]:
    """What became of requests while this release took over, where that is known."""
    downtime = event.get("downtime_seconds")
    if isinstance(downtime, (int, float)):
        yield f"downtime: nothing served for {downtime:.2f} s"
    if event.get("cut"):
        yield f"cut: {event['cut']} open connections, as the drain of the old release ended"
    yield from map(_describe_drained, event.get("drained") or ())
    if event.get("paused"):
        from .._release.pause import describe as describe_pause

        yield from _labelled("paused", describe_pause(event["paused"]))
    if event.get("probe"):
        from .._release.probe import describe as describe_probe

        yield from _labelled("probe", describe_probe(event["probe"]))
    if event.get("traffic"):
        from .._release.strategies.verdict import describe as describe_traffic

        yield from _labelled("users", describe_traffic(event["traffic"]))


def _describe_drained(event: Mapping[str, Any]) -> str:
    """How a drain beside this release has ended."""
    after = f" after {event['seconds']:.0f} s" if "seconds" in event else ""
    because = f", for {event['because']}" if event.get("because") else ""
    cut = f"{event['cut']} open connections were cut" if event.get("cut") else "nothing was cut"
    return f"drained: {event['release']} ended{after}{because}; {cut}"


def _said(event: Mapping[str, Any]) -> Iterator[str]:
    """The end of the log of a release that failed, and its answer."""
    log = event.get("log")
    for line in log if isinstance(log, list) else ():
        yield f"log: {line}"
    yield from _labelled("answer", str(event.get("answer") or ""))


def _labelled(label: str, text: str) -> list[str]:
    return [f"{label}: {text}"] if text else []


def _by(text: str) -> dict[str, str]:
    """Who says it: a dictionary of person, controller and job, as JSON."""
    from .._release.by import parse_by

    with contextlib.suppress(ValueError):
        given = json.loads(text)
        if isinstance(given, dict):
            return parse_by(given)
    raise argparse.ArgumentTypeError("it is no dictionary of person, controller and job as JSON")


def _engine(one: Operator, reason: str = "", by: Optional[Mapping[str, str]] = None) -> Engine:
    from .._release.engine import Engine
    from .._release.state.store import person

    said = {"person": person(), "controller": "this host", "reason": reason, **(by or {})}
    return Engine(one.settings, one.layout, by=said)


def _rollback(options: argparse.Namespace) -> int:
    from .._release.meant import parse_meant

    meant = parse_meant(options.of, options.run)
    one = operator(options.service)
    lease = _lease_of(options.service)
    if lease.get("left") and not options.json:
        _complain(f"slipway: {options.service} is leased by {_describe_lease(lease)}; the rollback goes on")
    outcome = _engine(one, options.reason).rollback(options.release, meant)
    for warning in [] if options.json else outcome.warnings:
        _complain(f"slipway: {warning}")
    if options.json:
        _say(json.dumps(outcome.as_dict(), indent=2))
    elif outcome.changed:
        serves = outcome.current or "the former unit"
        _say(f"{options.service}: {serves} serves; {outcome.previous} was left and is marked bad")
    elif meant:
        _say(
            f"{options.service}: {outcome.current} serves, and what was to be taken back does not: nothing was changed"
        )
    elif options.release:
        _say(f"{options.service}: {outcome.current} serves already")
    else:
        _say(
            f"{options.service}: {outcome.current} serves already, for what came after it was refused or taken back; "
            "name a release to go elsewhere (sudo slipway status)"
        )
    return OK


def _confirm(options: argparse.Namespace) -> int:
    outcome = _engine(operator(options.service)).confirm(options.txn)
    if options.json:
        _say(json.dumps(outcome.as_dict(), indent=2))
    elif outcome.changed:
        _say(f"{options.service}: {outcome.current} stays, and is the last good release now")
    else:
        _say(f"{options.service}: nothing waits to be confirmed; {outcome.current} is the release")
    return OK


def _resume(options: argparse.Namespace) -> int:
    from .._release.pause import SENT_BACK

    said = _engine(operator(options.service), options.reason, options.by).resume(options.back, options.check)
    does = f"goes back to {said.previous}" if said.word == SENT_BACK else "goes on"
    if options.json:
        _say(json.dumps({**said.as_dict(), "service": options.service}, indent=2))
    elif options.check and said.changed:
        _say(f"{options.service}: {said.release} is paused; without --check, it {does}")
    elif not said.changed:
        _say(f"{options.service}: {said.release} goes on already, for somebody has resumed it")
    elif said.heard:
        _say(f"{options.service}: {said.release} {does}")
    else:
        _say(f"{options.service}: {said.release} {does} as soon as its run looks again (sudo slipway status)")
    return OK


def _lease(options: argparse.Namespace) -> int:
    from .._release.state.layout import Layout
    from .._release.state.model import validate_name
    from .._release.state.store import Store, person
    from .._release.verbs import lease as leasing

    name = validate_name(options.service)  # one that has never been released may be leased as well
    by = {"person": person(), "controller": "this host", "reason": options.reason}
    ended = leasing.end(Store(Layout(name, f"/opt/{name}")), by, _LOCK_TIMEOUT) if options.end else None
    lease = _lease_of(name)
    if options.json:
        _say(json.dumps({"lease": lease or None, "ended": ended is not None}, indent=2))
    elif ended is not None:
        _say(f"{name}: the lease of {_owner(ended.by)} has ended; that run may release nothing more here")
    elif lease.get("left"):
        _say(f"{name}: leased by {_describe_lease(lease)}")
    else:
        _say(f"{name}: no run has the lease")
    return OK


def _lease_of(name: str) -> dict[str, Any]:
    """The last lease of the service; empty where there was none."""
    from .._release.state.layout import Layout
    from .._release.state.store import Store
    from .._release.verbs.lease import leases_of

    return leases_of(Store(Layout(name, f"/opt/{name}"))).told() or {}


def _owner(by: Mapping[str, Any]) -> str:
    from .._release.by import describe_by

    return describe_by(by) or "another run"


def _recover(options: argparse.Namespace) -> int:
    from .._release.verbs.recover import SERVING

    names = [options.service] if options.service else services()
    found: dict[str, Optional[str]] = {}
    serving: dict[str, Optional[str]] = {}
    for name in names:  # at boot, each for itself
        try:
            engine = _engine(operator(name))
            found[name] = engine.recover(options.txn)
            if options.json:
                serving[name] = engine.serving()
        except Exception as error:
            if options.service:
                raise
            _complain(f"{name}: {_system_error(error) if isinstance(error, OSError) else error}")
    if options.json:
        _say(json.dumps({**found, SERVING: serving}, indent=2))
    else:
        for name, release in found.items():
            _say(f"{name}: " + (f"the interrupted swap to {release} was settled" if release else _nothing(name)))
    return OK if len(found) == len(names) else FAILED


def _nothing(name: str) -> str:
    left = operator(name).store.load()
    waits = (
        f"; {left.to} waits to be confirmed: sudo slipway confirm {name}, or sudo slipway rollback {name}"
        if left
        else ""
    )
    return f"nothing to recover{waits}"


def _system_error(error: OSError) -> str:
    return f"{error.strerror or error} {error.filename or ''}".rstrip()


def _verify(options: argparse.Namespace) -> int:
    from .._release import integrity
    from .._release.state.layout import Layout
    from .._release.state.model import is_release_id, validate_release_id
    from .._release.state.store import Store

    layout = Layout(options.service, options.root) if options.root else operator(options.service).layout
    release = options.release or Store(layout).boot_instance()
    if release is not None and not is_release_id(release):
        from .._release.strategies.base import CURRENT

        release = None if release == CURRENT else release
    release = release or layout.current_id()
    if release is None:
        raise SlipwayError("no_release", f"{options.service} has no release on this host.", "release one")
    validate_release_id(release)
    integrity.verify(layout, Store(layout), release)
    if options.json:
        _say(json.dumps({"release": release, "differences": []}, indent=2))
    else:
        _say(f"{options.service}: {release} is on this disk as it was released")
    return OK


def _drift(options: argparse.Namespace) -> int:
    from .._drift import report
    from .._drift.table import render_drift_table

    found = report.drift(options.service or "")
    if options.metrics:
        from .._release.operator import metrics

        text = metrics.render(metrics.drift(report.counts(found), time.time()))
        metrics.write(metrics.drift_path(options.metrics), text)
    host = os.uname().nodename
    if options.json:
        _say(json.dumps(found, indent=2))
    else:
        rows = [{"host": host, **one} for one in found["findings"]]
        _say(render_drift_table(rows) if rows else "no drift")
        for note in found["notes"]:
            _complain(f"slipway: {note}")
    return FAILED if found["findings"] else OK


def _diagnose(options: argparse.Namespace) -> int:
    from .._diagnosis import report, text

    told = report.diagnose(operator_or_history(options.service))
    _say(json.dumps(told, indent=2) if options.json else text.render(told))
    for note in [] if options.json else told["notes"]:
        _complain(f"slipway: {note}")
    return FAILED if text.failing(told) else OK


def _drain(options: argparse.Namespace) -> int:
    import signal
    import threading

    from .._release.state.model import validate_release_id

    hurry = threading.Event()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: hurry.set())
    engine = _engine(operator(options.service))
    cut = engine.finish_drain(validate_release_id(options.release), options.until, hurry.is_set)
    if cut:
        _complain(f"{options.service}: {cut} open connections of {options.release} were cut")
    return OK


def _settle(options: argparse.Namespace) -> int:
    from .._host.systemd import POLL, Systemd

    systemd, deadline = Systemd(), time.monotonic() + options.timeout
    systemd.close_with(options.service)
    while systemd.stopping(options.service) and time.monotonic() < deadline:
        time.sleep(POLL)
    if options.metrics:
        with contextlib.suppress(SlipwayError, OSError):  # a stop is not to fail for them
            operator(options.service).stopped(options.metrics)
    return OK


def _pull(options: argparse.Namespace) -> int:
    from .._core import command
    from .._pull import pull as pulling
    from .._pull import settings

    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # before what Ansible writes
    given = settings.load()
    try:
        pulling.pull(given, _say, pulling.Place(), options.check, command.attend)
    except Exception as error:
        if not options.check and getattr(error, "code", "") != pulling.IN_USE:  # the other one exports how it ends
            _export_pull(given.metrics, True)
        raise
    if not options.check:
        _export_pull(given.metrics, False)
    return OK


def _export_pull(folder: str, failed: bool) -> None:
    """A pull does not fail for its metrics."""
    from .._release.operator import metrics

    if folder and os.path.isdir(folder):
        with contextlib.suppress(OSError):
            metrics.write(metrics.pull_path(folder), metrics.render(metrics.pull(failed, time.time())))


def _purge(options: argparse.Namespace) -> int:
    from .._release.verbs.purge import OTHERS

    one = operator(options.service)
    purged = _engine(one).purge([options.release])
    if not purged and options.release != OTHERS and not _was_purged(one, options.release):
        raise SlipwayError(
            "unknown_release",
            f"release {options.release} of {options.service} is not on this host.",
            f"choose one that sudo slipway status {options.service} lists",
        )
    if options.json:
        _say(json.dumps({"changed": bool(purged), "purged": purged}, indent=2))
    elif not purged:
        _say(f"{options.service}: nothing is left to purge")
    for release in [] if options.json else purged:
        _say(f"{options.service}: {release} is gone from this host, with its configuration and secrets")
    return OK


def _was_purged(one: Operator, release: str) -> bool:
    return any(event["event"] == "purged" and event.get("release") == release for event in one.store.journal.events())


def _watch(options: argparse.Namespace) -> int:
    if options.all:
        from . import watcher

        return watcher.serve()
    from .._release.operator import metrics
    from .._release.operator import watch as watching
    from .._release.operator.operator import WatchOptions

    policy = watching.Policy(fall=options.fall, backoff=options.backoff, cap=options.cap, rollback=options.rollback)
    try:
        decision = operator(options.service).watch(WatchOptions(policy, options.metrics))
    except Exception as error:
        if options.metrics:
            with contextlib.suppress(OSError):  # a verdict of before must not stay when none can be had
                os.unlink(metrics.path(options.metrics, options.service))
        _leave_notice(options.service, "failed", str(error) if isinstance(error, SlipwayError) else "the watch failed.")
        raise
    if decision.action == watching.NOTHING:
        return OK
    _leave_notice(options.service, decision.action, decision.message)
    _complain(f"{options.service}: {decision.action}: {decision.message}")
    return FAILED


def _leave_notice(service: str, action: str, message: str) -> None:
    """What service_watch_alert finds in SLIPWAY_NOTICE. The alert comes also where this cannot be written."""
    from .._core import files
    from .._notices import notice as notices
    from .._release.state.model import validate_name

    host = os.uname().nodename
    told = notices.notice(
        event=notices.WATCH_ACTED,
        text=f"{service} on {host}: {action}: {message}",
        services=[service],
        hosts={"total": 1},
        verdict=action,
        cause=notices.one_line(message, notices.TEXT),
        host=host,
        controller=host,
        when=notices.utc(time.time()),
    )
    with contextlib.suppress(OSError, SlipwayError):
        files.write_atomic(os.path.join(STATE_ROOT, validate_name(service), NOTICE), json.dumps(told) + "\n", 0o600)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "status": _status,
    "history": _history,
    "rollback": _rollback,
    "recover": _recover,
    "confirm": _confirm,
    "resume": _resume,
    "lease": _lease,
    "verify": _verify,
    "drift": _drift,
    "diagnose": _diagnose,
    "watch": _watch,
    "settle": _settle,
    "drain": _drain,
    "pull": _pull,
    "purge": _purge,
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    options = parser().parse_args(argv)
    if os.geteuid() != 0:
        _complain("slipway: only root may do this. Fix: run sudo slipway …")
        return USAGE
    try:
        return _COMMANDS[options.command](options)
    except SlipwayError as error:
        return _fail(options, str(error), code=error.code, fix=error.fix, **error.details)
    except OSError as error:
        return _fail(options, _system_error(error), code="os_error", fix="")
    except KeyboardInterrupt:
        fix = "run sudo slipway recover, which settles what had begun"
        return _fail(options, f"interrupted. Fix: {fix}", code="interrupted", fix=fix)


def _fail(options: argparse.Namespace, message: str, **details: Any) -> int:
    """Programs read it where they read everything else."""
    if getattr(options, "json", False):
        _say(json.dumps({"failed": True, "msg": message, **details}, indent=2))
    _complain(f"slipway: {message}")
    return FAILED

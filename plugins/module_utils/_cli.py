# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tool on the host, /usr/local/sbin/slipway: the release engine without Ansible. PRIVATE to the collection."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any, Callable, Optional, Sequence

from ._errors import SlipwayError
from ._health import watch as watching
from ._release.engine import Engine
from ._release.operate import Operator, WatchOptions, operator
from ._release.store import services
from ._systemd import POLL, Systemd

OK, FAILED, USAGE = 0, 1, 2
EPILOG = """\
exit codes: 0 it is so or was done; 1 something is down, or could not be done; 2 wrong usage

at 3 a.m.:  slipway status           what runs here, and is it healthy?
            slipway history SHOP     what happened?
            slipway rollback SHOP    back to the last good release; nothing is lost, and it is safe to repeat
            journalctl -u 'SHOP*'    what does it say?
"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="slipway",
        description="Releases of this host's services: look at them, take them back, repair them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    status = commands.add_parser("status", help="what runs, since when, how healthy; exit 1 if one is down")
    status.add_argument("service", nargs="?", help="all services when left out")
    history = commands.add_parser("history", help="what happened to a service, the newest first")
    history.add_argument("service")
    history.add_argument("--count", type=int, default=20, metavar="N", help="how many entries (20)")
    rollback = commands.add_parser("rollback", help="back to the last good release, or to the one named")
    rollback.add_argument("service")
    rollback.add_argument("release", nargs="?", help="an id that status lists; the last good one when left out")
    recover = commands.add_parser("recover", help="finish or undo what an interrupted run has left; done at every boot")
    recover.add_argument("service", nargs="?", help="all services when left out")
    watch = commands.add_parser("watch", help="one run of the service's own watch; a timer calls it")
    watch.add_argument("service")
    watch.add_argument("--fall", type=int, default=3, metavar="N", help="failures in a row that restart it (3)")
    watch.add_argument("--backoff", type=float, default=30, metavar="S", help="seconds between restarts, doubling (30)")
    watch.add_argument("--cap", type=float, default=900, metavar="S", help="the most seconds between restarts (900)")
    watch.add_argument(
        "--rollback", type=int, default=0, metavar="N", help="crashes and restarts that take a release back (0: never)"
    )
    watch.add_argument("--metrics", default="", metavar="DIR", help="write node_exporter's textfile metrics there")
    settle = commands.add_parser("settle", help="wait until a stop has been carried out; systemctl stop SHOP calls it")
    settle.add_argument("service")
    settle.add_argument("--timeout", type=float, default=60, metavar="S", help="the most seconds to wait (60)")
    for command in (status, history, rollback, recover):
        command.add_argument("--json", action="store_true", help="for programs")
    return top


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


def _status_text(found: dict[str, Any]) -> str:
    since = f" since {_when(found['since'])} ({_ago(time.time() - found['since'])})" if found["since"] else ""
    p99 = f", p99 {found['p99'] * 1000:.1f} ms" if found["p99"] else ""
    lines = [
        f"{found['service']}: {found['current'] or 'never released'}{since}",
        f"  systemd   {found['state']}",
        f"  health    {found['health']}{p99}: {found['message']}",
    ]
    origin = found["origin"]
    if origin:
        signed = f", signed by {origin['signer']}" if "signer" in origin else ""
        lines.append(f"  from      {origin.get('source')}{signed}")
    if found["in_flight"]:
        lines.append(f"  IN FLIGHT {found['in_flight']['phase']} to {found['in_flight']['to']}: slipway recover")
    marks = (("current", found["current"]), ("last good", found["last_good"]))
    for release in reversed(found["releases"]):
        notes = [note for note, wanted in marks if wanted == release]
        notes += ["bad"] if release in found["bad"] else []
        lines.append(f"  release   {release}{'  (' + ', '.join(notes) + ')' if notes else ''}")
    return "\n".join(lines)


def _status(options: argparse.Namespace) -> int:
    names = [options.service] if options.service else services()
    found = [operator(name).status() for name in names]
    if options.json:
        _say(json.dumps(found, indent=2))
    else:
        _say("\n".join(_status_text(one) for one in found) or "no service has been released on this host")
    return OK if all(one["health"] != "fail" for one in found) else FAILED


def _history(options: argparse.Namespace) -> int:
    found = operator(options.service).store.outcomes()[::-1][: max(options.count, 0)]
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
    return OK


def _engine(one: Operator) -> Engine:
    return Engine(one.settings, one.layout)


def _rollback(options: argparse.Namespace) -> int:
    outcome = _engine(operator(options.service)).rollback(options.release)
    if options.json:
        _say(json.dumps(outcome.as_dict(), indent=2))
    elif outcome.changed:
        _say(f"{options.service}: {outcome.current} serves; {outcome.previous} was left and is marked bad")
    else:
        _say(f"{options.service}: {outcome.current} serves already; name a release to go elsewhere (slipway status)")
    return OK


def _recover(options: argparse.Namespace) -> int:
    names = [options.service] if options.service else services()
    found: dict[str, Optional[str]] = {}
    for name in names:  # at boot, each for itself
        try:
            found[name] = _engine(operator(name)).recover()
        except SlipwayError as error:
            _complain(f"{name}: {error}")
        except OSError as error:
            _complain(f"{name}: {_system_error(error)}")
    if options.json:
        _say(json.dumps(found, indent=2))
    else:
        for name, release in found.items():
            _say(f"{name}: " + (f"the interrupted swap to {release} was settled" if release else "nothing to recover"))
    return OK if len(found) == len(names) else FAILED


def _system_error(error: OSError) -> str:
    return f"{error.strerror or error} {error.filename or ''}".rstrip()


def _settle(options: argparse.Namespace) -> int:
    systemd, deadline = Systemd(), time.monotonic() + options.timeout
    while systemd.stopping(options.service) and time.monotonic() < deadline:
        time.sleep(POLL)
    return OK


def _watch(options: argparse.Namespace) -> int:
    policy = watching.Policy(fall=options.fall, backoff=options.backoff, cap=options.cap, rollback=options.rollback)
    decision = operator(options.service).watch(WatchOptions(policy, options.metrics))
    if decision.action == watching.NOTHING:
        return OK
    _complain(f"{options.service}: {decision.action}: {decision.message}")
    return FAILED


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "status": _status,
    "history": _history,
    "rollback": _rollback,
    "recover": _recover,
    "watch": _watch,
    "settle": _settle,
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    options = parser().parse_args(argv)
    if os.geteuid() != 0:
        _complain("slipway: only root may do this. Fix: sudo slipway …")
        return USAGE
    try:
        return _COMMANDS[options.command](options)
    except SlipwayError as error:
        _complain(f"slipway: {error}")
    except OSError as error:
        _complain(f"slipway: {_system_error(error)}")
    return FAILED

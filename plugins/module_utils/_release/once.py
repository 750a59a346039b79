# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command that is run once for a version, such as a migration of a database. PRIVATE to the collection.

At most once, whatever dies: that an attempt begins is durable before it begins, and one whose end nobody knows is not
repeated unless an operator says so. The attempt runs in a unit of its own, which outlives the run that has started it
and keeps how it ended until that is written down. Only a host that goes down in the meantime forgets it.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shlex
import time
from typing import Any, Mapping, Optional

from .._core import files
from .._core.command import CommandFailed
from .._core.errors import SlipwayError, sentence
from .._health.outcome import printable
from .._host import journald
from .._host.systemd import Systemd, UnitState
from .._units import parser
from . import background_drain, integrity, stage
from .context import Context
from .diagnostics import MARGIN as LOG_MARGIN
from .diagnostics import masked
from .progress import ONCE as PHASE
from .state.journal import Journal
from .state.layout import Layout
from .state.model import Once, Spec

DUE, STARTED, DONE, FAILED = "due", "started", "done", "failed"
# Of an attempt that no end is known of: its unit has it still, or nobody has.
RUNNING, UNKNOWN = "running", "unknown"
POLL = 0.2
STOP_SECONDS = 10.0
MARGIN = 15.0  # seconds beyond the command's own in which PID 1 has to say how it ended
LINES, LINES_IN_MESSAGE = 20, 5
# What of the service's section is about the service itself, and not about the surroundings of its program.
_NAMES = """
    BusName ExecCondition ExecReload ExecStart ExecStartPost ExecStartPre ExecStop ExecStopPost ExitType
    FileDescriptorStoreMax GuessMainPID KillMode NonBlocking NotifyAccess PIDFile RemainAfterExit Restart
    RestartForceExitStatus RestartPreventExitStatus RestartSec RuntimeMaxSec Sockets StandardError StandardInput
    StandardOutput SuccessExitStatus SyslogIdentifier TimeoutSec TimeoutAbortSec TimeoutStartSec TimeoutStopSec Type
    WatchdogSec WorkingDirectory
    """
_NOT_TAKEN = frozenset(_NAMES.split())
_LATE = "did not end within"

Event = Mapping[str, Any]


def known(context: Context, spec: Spec) -> Optional[dict[str, Any]]:
    """What this host knows of the command; None where there is none."""
    if not spec.once.command:
        return None
    last = context.journal.last_once(spec.once.key(spec.version))
    return _told(last, _state(context.systemd, context.layout, last))


def every(systemd: Systemd, layout: Layout, journal: Journal) -> dict[str, dict[str, Any]]:
    """The same of each command that this host knows of, by its key."""
    return {key: _told(last, _state(systemd, layout, last)) for key, last in journal.every_once().items()}


def is_due(context: Context, spec: Spec) -> bool:
    """Whether the command has not been run yet, as far as this host knows."""
    if not spec.once.command:
        return False
    return context.journal.last_once(spec.once.key(spec.version)).get("state") != DONE


def refuse_unknown(context: Context, spec: Spec) -> None:
    """Raise where an attempt has begun, nobody knows how it ended, and nobody says what to do about that."""
    last = context.journal.last_once(spec.once.key(spec.version)) if spec.once.command else {}
    if _state(context.systemd, context.layout, last) == UNKNOWN and not spec.once.decided(str(last["attempt"])):
        raise _unknown(spec, last)


def settle(context: Context, spec: Spec, release_id: str) -> bool:
    """Raise unless the command has been run for this version, here or elsewhere; return whether it was run just now.

    The release is staged, and the caller holds the service's lock.
    """
    once, key = spec.once, spec.once.key(spec.version)
    context.progress.enter(PHASE, within=once.timeout)
    last = context.journal.last_once(key)
    if last.get("state") == STARTED:
        last = _await_end(context, once, last) or last
    state, decided = last.get("state", DUE), once.decided(str(last.get("attempt")))
    if state == DONE:
        return False
    if state == STARTED and (not decided or _state(context.systemd, context.layout, last) == RUNNING):
        raise _unknown(spec, last)
    if decided == "done":
        _record(context, last, DONE, decided=True)
        return False
    if once.told:
        _record(context, {"once": key, "attempt": _attempt(), "release": release_id}, DONE, host=once.told)
        return False
    if not once.here:
        raise SlipwayError(
            "once_not_run",
            f"release_once has not been run for {spec.version}, and another host is to run it. Nothing was swapped.",
            "release on the host that runs it first, or set release_once_host",
            current=context.current_id(),
        )
    _run(context, spec, release_id)
    return True


def _run(context: Context, spec: Spec, release_id: str) -> None:
    once, layout = spec.once, context.layout
    integrity.verify(layout, context.store, release_id)
    attempt = _attempt()
    event = {
        "once": once.key(spec.version),
        "attempt": attempt,
        "release": release_id,
        "command": _shown(context, release_id, once),
        "timeout": once.timeout,
        "began": round(time.time(), 3),
        **({"by": context.by} if context.by else {}),
    }
    _collect(layout)
    try:
        _install(context, attempt, unit_text(layout, release_id, once))
        _record(context, event, STARTED)
        for folder in (layout.state, layout.state_root):  # the journal may have been made just now
            files.fsync_directory(folder)
        context.systemd.start(unit(layout.name, attempt))
    except (CommandFailed, OSError, SlipwayError) as error:
        _require_not_begun(context, event, error)
    ended = _await_end(context, once, event)
    if ended is None:
        raise _unknown(spec, event)
    if ended["state"] == FAILED:
        raise _failed(context, ended)


def _require_not_begun(context: Context, event: Event, error: Exception) -> None:
    """Where the attempt could not be started, write that down and raise; where it has begun all the same, return."""
    state = context.systemd.show(unit(context.layout.name, str(event["attempt"])))
    if state.active not in ("", "inactive") or state.job or getattr(error, "code", "") == "command_timeout":
        return
    with contextlib.suppress(OSError):
        _record(context, event, FAILED, ended=f"was not started: {error}")
    _forget(context, str(event["attempt"]))
    raise error


def _await_end(context: Context, once: Once, event: Event) -> Optional[dict[str, Any]]:
    """Wait until the attempt has ended and write down how; None where its unit does not say that."""
    attempt = str(event["attempt"])
    name = unit(context.layout.name, attempt)
    deadline = time.monotonic() + max(once.timeout, float(event.get("timeout") or 0)) + STOP_SECONDS + MARGIN
    while True:
        state = context.systemd.show(name)
        if state.active in ("active", "failed"):
            break
        if state.load == "not-found" or state.settled_down or time.monotonic() >= deadline:
            return None
        time.sleep(POLL)
    how = {} if state.active == "active" else {"ended": _how(state, event)}
    took = round(time.time() - float(event["began"]), 3)
    output = _output(context, str(event["release"]), name, float(event["began"]), bool(how))
    ended = _record(context, event, FAILED if how else DONE, **how, took=took, log=output)
    _forget(context, attempt)
    return ended


def _how(state: UnitState, event: Event) -> str:
    if state.result == "timeout":
        return f"{_LATE} {float(event.get('timeout') or 0):g} s"
    if state.result in ("", "exit-code"):
        return f"ended with exit status {state.exit_status}"
    return f"was ended: {state.describe()}"


def _output(context: Context, release_id: str, name: str, begun: float, failed: bool) -> list[str]:
    """The last lines that it has written, without secrets; of one that failed without a word, what systemd says."""
    read = journald.last_lines if failed else journald.written_by
    try:
        secrets = stage.secrets(context.layout, release_id)
        lines = read(name, begun - LOG_MARGIN, time.time() + LOG_MARGIN, LINES)
    except Exception:  # the log must not decide what becomes of it
        return []
    return [printable(masked(line, secrets)) for line in lines]


def _record(context: Context, event: Event, state: str, **details: Any) -> dict[str, Any]:
    entry = {**{key: value for key, value in event.items() if key not in ("time", "event")}, "state": state, **details}
    context.journal.record("once", **entry)
    return entry


def _attempt() -> str:
    return os.urandom(4).hex()


def _state(systemd: Systemd, layout: Layout, last: Event) -> str:
    state = str(last.get("state", DUE))
    if state != STARTED:
        return state
    found = systemd.show(unit(layout.name, str(last["attempt"])))
    return UNKNOWN if found.load == "not-found" or found.settled_down else RUNNING


def _told(last: Event, state: str) -> dict[str, Any]:
    """For a result: what is known of it."""
    shown = ("attempt", "release", "command", "began", "took", "ended", "log", "host", "decided")
    return {"state": state, **{name: last[name] for name in shown if name in last}}


def _failed(context: Context, ended: Event) -> SlipwayError:
    said = " | ".join(line.strip() for line in ended["log"][-LINES_IN_MESSAGE:] if line.strip())
    tail = f" It wrote: {sentence(said)}" if said else ""
    late = str(ended["ended"]).startswith(_LATE)
    correct = "see what keeps it, or raise release_once_timeout" if late else "correct what it complains of"
    return SlipwayError(
        "once_failed",
        f"release_once ({ended['command']}) {ended['ended']}. Nothing was swapped.{tail}",
        f"{correct}, then release again, which runs it again",
        current=context.current_id(),
        once=_told(ended, FAILED),
    )


def _unknown(spec: Spec, last: Event) -> SlipwayError:
    attempt = str(last["attempt"])
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(last["began"])))
    return SlipwayError(
        "once_unknown",
        f"release_once ({last.get('command')}) was begun for {spec.version} at {when}, and this host does not know how "
        "it ended: the host went down in the meantime, or the run was killed just then. Nothing was swapped.",
        f"see what it has done, then set release_once_decision to done-{attempt}, or again-{attempt} to run it again",
        once=_told(last, UNKNOWN),
    )


def _shown(context: Context, release_id: str, once: Once) -> str:
    return printable(masked(shlex.join(once.command), stage.secrets(context.layout, release_id)))


def unit(service: str, attempt: str) -> str:
    """The unit of one attempt; no service's name has a colon, so that a pattern of one matches no other's."""
    return f"slipway-once-{service}:{attempt}.service"


def unit_text(layout: Layout, release_id: str, once: Once) -> str:
    """A unit with the user, the environment, the credentials and the sandbox of the release's own."""
    template = stage.unit_copies(layout, release_id)[layout.template_unit]  # the release was verified with it
    instance = layout.instance(release_id)
    meant = {"i": release_id, "p": layout.name, "n": instance, "N": instance.rpartition(".")[0]}
    taken = [
        f"{key}={parser.expand(value, meant)}"
        for section, key, value in parser.parse(template)
        if section == "Service" and key not in _NOT_TAKEN
    ]
    own = [
        "Type=oneshot",
        "RemainAfterExit=yes",  # so that it can be asked how it ended
        f"WorkingDirectory={layout.release(release_id)}",
        f"ExecStart={' '.join(map(_quoted, _argv(layout, release_id, once)))}",
        f"TimeoutStartSec={once.timeout:g}",
        f"TimeoutStopSec={STOP_SECONDS:g}",
        "RuntimeDirectoryPreserve=yes",  # the release that serves has the same
        "StandardOutput=journal",
        "StandardError=journal",
        f"SyslogIdentifier={layout.name}-once",
    ]
    description = f"[Unit]\nDescription=Run once for {release_id} of {layout.name}\n"
    return "\n".join([description, "[Service]", *taken, *own, ""])


def _argv(layout: Layout, release_id: str, once: Once) -> list[str]:
    """A program with a relative path is the release's own."""
    program, *arguments = once.command
    if "/" in program and not program.startswith("/"):
        program = os.path.normpath(os.path.join(layout.release(release_id), program))
    return [program, *arguments]


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r") + '"'


def _path(service: str, attempt: str) -> str:
    return os.path.join(background_drain.RUNTIME_UNITS, unit(service, attempt))


def _install(context: Context, attempt: str, text: str) -> None:
    path = _path(context.layout.name, attempt)
    files.make_directory(os.path.dirname(path), 0o755)
    files.write_atomic(path, text, 0o644)
    context.systemd.call("daemon-reload")


def _forget(context: Context, attempt: str) -> None:
    """How it ended is written down: end what it has left behind, and its unit. What fails here is done next time."""
    name = unit(context.layout.name, attempt)
    with contextlib.suppress(SlipwayError, OSError):
        context.systemd.call("stop", name, check=False)
        context.systemd.call("reset-failed", name, check=False)
        os.unlink(_path(context.layout.name, attempt))
        context.systemd.call("daemon-reload", check=False)


def _collect(layout: Layout) -> None:
    """Remove unit files that runs which were killed have left; the attempts themselves are over."""
    for path in glob.glob(_path(glob.escape(layout.name), "*")):
        with contextlib.suppress(OSError):
            os.unlink(path)

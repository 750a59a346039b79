# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The release engine: takes one service from one release to another, or back. This file is PRIVATE to the collection.

These are its doors; what a swap does is in swap.py, and how releases take over from one another in strategies/.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any, Container, Iterator, Mapping, Optional, Sequence

from .._core.errors import SlipwayError
from .._core.problems import ProblemsError
from .._host.systemd import Systemd
from . import confirm_timer, integrity, preflight, smoke, stage
from .gate import Gate
from .meant import Meant, brought_by, run_of
from .phases import Phase
from .probe import Probe, parse_plan
from .state.model import Settings, Spec, validate_release_id
from .state.service import Service, as_released
from .state.store import Layout, Store, Transaction
from .strategies.base import Strategy, cause
from .strategies.registry import check_return, may_return, strategy, strategy_of
from .strategies.traffic import Totals
from .swap import Swap, adopt_or_give_up, commit, restore, swap_seconds

UNCONFIRMED = SlipwayError("unconfirmed", "nobody confirmed it in time.")
TAKEN_BACK = SlipwayError("taken_back", "somebody took it back before it was confirmed.")
LONGEST = 86400.0
# Instead of names of releases: all but the one that serves.
OTHERS = "others"
# Beside the names of services in the answer of a recovery: what serves now, by service. No service has such a name.
SERVING = "_serving"


@dataclass
class Outcome:
    """What a run did. Durations are in seconds; downtime is None where the strategy has none by design."""

    changed: bool
    current: Optional[str]
    previous: Optional[str]
    action: str
    phases: dict[Phase, float] = field(default_factory=dict)
    swap_seconds: float = 0.0
    downtime_seconds: Optional[float] = None
    pruned: list[str] = field(default_factory=list)
    restarted_because: Optional[str] = None
    probe: Optional[dict[str, Any]] = None
    traffic: Optional[dict[str, Any]] = None
    unconfirmed: Optional[str] = None

    @property
    def warnings(self) -> list[str]:
        """What nobody may overlook although all went well."""
        blind = (self.probe or {}).get("blind")
        return [str(blind)] if blind else []

    def as_dict(self) -> dict[str, Any]:
        return {
            "changed": self.changed,
            "current": self.current,
            "previous": self.previous,
            "action": self.action,
            "phases": {str(name): round(seconds, 3) for name, seconds in self.phases.items()},
            "swap_seconds": round(self.swap_seconds, 3),
            "downtime_seconds": None if self.downtime_seconds is None else round(self.downtime_seconds, 3),
            "restarted_because": self.restarted_because,
            "pruned": self.pruned,
            "probe": self.probe,
            "traffic": self.traffic,
            "unconfirmed": self.unconfirmed,
        }

    def needs_judgement(self, predicted: bool) -> bool:
        """Whether the controller still has to judge the artefact against this host."""
        return self.action == "upload" or (predicted and self.action == "release")

    def diff(self) -> dict[str, str]:
        """What Ansible's diff mode shows."""
        before = self.previous if self.changed and self.action != "settings" else self.current
        return {"before": f"{before or 'none'}\n", "after": f"{self.current or 'none'}\n"}


class Engine:
    """The doors of the engine for one service."""

    def __init__(self, settings: Settings, layout: Optional[Layout] = None, systemd: Optional[Systemd] = None) -> None:
        self._settings = settings
        self._layout = layout or Layout(settings.name, settings.root)
        self._store = Store(self._layout)
        self._systemd = systemd or Systemd()
        self._service = Service(settings, self._layout, self._store, self._systemd)
        Gate(self._layout, self._systemd, settings.health, shared=False)  # refuses bad options before anything happens
        self._probing = parse_plan(settings.health, settings.probe)

    @contextlib.contextmanager
    def _locked(self, timeout: float) -> Iterator[None]:
        """The service's lock, and what is remembered of it readable."""
        with self._store.locked(timeout):
            self._store.repair()
            yield

    def _strategy(self, name: str) -> Strategy:
        return strategy(name, self._service)

    def predict(self, spec: Spec) -> Outcome:
        """Check everything a release needs and say what it would do; change nothing."""
        wanted = stage.content(spec, self._layout).release_id()
        current = self._layout.current_id()
        if self._serves(wanted):
            self._require_whole(wanted)
            if self._store.differs(wanted, self._settings):
                return Outcome(True, current, None, "settings")
            protected = self._protected(wanted, *self._evidence())
            surplus = stage.surplus(self._layout, self._settings.keep, protected, self._store.good())
            return Outcome(bool(surplus), current, None, "prune" if surplus else "none", pruned=surplus)
        if spec.configured:
            self._refuse_known_bad(wanted, spec.force)
        if not spec.tool:  # else the release brings it
            self._require_tool()
        self._preflight(spec)
        return Outcome(True, wanted, current, "release")

    def release(self, spec: Spec) -> Outcome:
        """Make the specified release the committed one; when it is, take over only how it is treated from now on.

        The action is "upload" or "tool", and nothing has happened, when the host needs that and has not got it.
        """
        with self._locked(self._settings.lock_timeout), self._probed() as probe:
            if not spec.judged:
                return self._ask_for(spec)
            waiting = self._waiting(spec)
            if waiting is not None:
                return waiting
            self._recover()
            content = stage.content(spec, self._layout)
            wanted = content.release_id()
            if self._serves(wanted):
                self._require_whole(wanted)
                integrity.renew(self._layout, wanted)
                return self._settle(wanted)
            lacking = self._lacking(spec, wanted)
            if lacking is not None:
                return lacking
            phases: dict[Phase, float] = {}
            if not stage.is_staged(self._layout, wanted, content):
                if spec.artefact.path is None:
                    return Outcome(False, self._layout.current_id(), None, "upload")
                begun = time.monotonic()
                stage.stage(spec, self._layout, wanted, content)
                self._store.record("staged", release=wanted, origin=dict(spec.artefact.origin))
                integrity.require(self._layout, self._store, wanted)  # before anything that serves ends for it
                phases[Phase.STAGE] = time.monotonic() - begun
            totals = self._strategy(spec.strategy).totals()
            if self._layout.current_id():
                probe.start()
            self._check_linkage(wanted)
            if spec.rehearsal:
                begun = time.monotonic()
                self._rehearse(wanted, spec)
                phases[Phase.REHEARSE] = time.monotonic() - begun
            probe.sample()
            return self._swap(
                wanted, spec.strategy, "release", phases, probe, listen=spec.listen, run=spec.run, totals=totals
            )

    def _ask_for(self, spec: Spec) -> Outcome:
        """Have an artefact brought that has to be judged, unless it would be in vain. A refusal has changed nothing."""
        wanted = stage.content(spec, self._layout).release_id()
        if self._serves(wanted):
            self._require_whole(wanted)
        elif self._store.load() is None:  # else what becomes of that comes first, and once this has been judged
            lacking = self._lacking(spec, wanted)
            if lacking is not None:
                return lacking
        return Outcome(False, self._layout.current_id(), None, "upload")

    def _lacking(self, spec: Spec, wanted: str) -> Optional[Outcome]:
        """What has to be brought to the host first; raise where the release would be in vain.

        Room is made only for what has been judged, and before that nothing can be said of the space.
        """
        self._refuse_known_bad(wanted, spec.force)
        current = self._layout.current_id()
        if spec.tool and current and not confirm_timer.has_tool(spec.tool):
            return Outcome(False, current, None, "tool")
        self._require_tool()
        if spec.judged:
            self._make_room(spec, wanted)
        self._preflight(spec, but=() if spec.judged else ("disk_full",))
        stage.require_units(self._layout)
        self._strategy(spec.strategy).check_ready(spec)
        return None

    def _require_whole(self, serving: str) -> None:
        """Raise where what serves could not be started again. It is left alone: nobody knows who did that, and why."""
        found = integrity.damage(self._layout, self._store, serving)
        if found is None:
            return
        first = f"slipway rollback {self._layout.name} {found.details['usable']}" if found.details["usable"] else ""
        other = "release another version or configuration"
        raise SlipwayError(
            found.code,
            f"{serving} serves, and {found.message[len(serving) + 1 :]} Nothing was changed.",
            f"{first}, then release this one again with release_force: true; or release another version"
            if first
            else integrity.remedy(self._layout) or other,
            **found.details,
            current=serving,
        )

    def _settle(self, serving: str) -> Outcome:
        """Have the watch and the tool of the host treat the release as it is specified now, if it passes that check."""
        if not self._store.differs(serving, self._settings):
            pruned = self._prune(serving, *self._evidence())
            return Outcome(bool(pruned), serving, None, "prune" if pruned else "none", pruned=pruned)
        way = strategy_of(serving, self._service)
        try:
            way.gate.wait_healthy(way.subject(serving), self._systemd.show(way.unit(serving)))
        except SlipwayError as error:
            raise SlipwayError(
                error.code,
                f"{serving} serves, and does not pass the release_health that is specified now: {error.message} "
                "Nothing was changed, and the watch goes on with the one before.",
                "correct release_health, or release a version that passes it",
                current=serving,
            ) from error
        self._store.save_health(serving, self._settings.health)
        self._store.save_settings(self._settings)
        self._store.record("settings", release=serving)
        return Outcome(True, serving, None, "settings", pruned=self._prune(serving))

    def predict_rollback(self, wanted: Optional[str] = None, meant: Optional[Meant] = None) -> Outcome:
        """Say where a rollback would go, or what speaks against it; change nothing."""
        left, current = self._store.load(), self._layout.current_id()
        if not self._means(meant):
            return Outcome(False, current, None, "none")
        if left is not None:
            current = _serves_after_recovery(left)
            found = _settled_by_recovery(left, wanted, meant)
            if found is not None and (wanted or left.kind == "rollback" or not self._brought(meant, current)):
                return found
        target = self._rollback_target(wanted, meant, current)
        if target is None:
            return Outcome(False, current, None, "none")
        self._way_to(target)
        return Outcome(True, target, current, "rollback")

    def rollback(self, wanted: Optional[str] = None, meant: Optional[Meant] = None) -> Outcome:
        """Go back to the named release, or to the last good one before the current one.

        Where it was said what is to be taken back, only if that serves or is in flight.
        """
        with self._locked(self._settings.lock_timeout), self._probed() as probe:
            left = self._store.load()
            if not self._means(meant):
                return Outcome(False, self._layout.current_id(), None, "none")
            self._recover(TAKEN_BACK)
            taken_back, current = self._taken_back(left), self._layout.current_id()
            if taken_back is not None and (wanted == current or (wanted is None and not self._brought(meant, current))):
                return taken_back
            if left is not None and wanted in (None, current) and not self._means(meant):  # the recovery did it
                return Outcome(True, current, left.source if left.kind == "rollback" else left.to, "rollback")
            target = self._rollback_target(wanted, meant, current)
            if target is None:
                return Outcome(False, current, None, "none")
            way = self._way_to(target)
            return self._swap(target, way.name, "rollback", {}, probe)

    def _way_to(self, target: str) -> Strategy:
        """How to go back to this release; raise where its units, this host or the users' address would not have it."""
        integrity.require(self._layout, self._store, target)
        way = strategy_of(target, self._service)
        way.check_units(target)
        check_return(way, strategy_of(str(self._layout.current_id()), self._service, way.name))
        self._check_linkage(target)
        return way

    def way_back(self, bad: str) -> Optional[str]:
        """Where a service goes from this release without being asked.

        Only from one that somebody has released, and only once: what brings every release down is not their fault.
        """
        for event in reversed(self._store.outcomes()):
            if event.get("kind") == "rollback":
                return None
            if event.get("event") == "committed":
                break
        return integrity.usable(self._layout, self._store, bad)

    def can_fall_back(self, bad: str) -> bool:
        """Whether fall_back has a way that leads anywhere on this host."""
        target = self.way_back(bad)
        if target is None:
            return False
        try:
            self._way_to(target)
        except SlipwayError:
            return False
        return True

    def fall_back(self, bad: str, reason: str) -> Optional[Outcome]:
        """Go back from a release that does not stay up; None where there is no way, or somebody has acted already."""
        with self._locked(self._settings.lock_timeout), self._probed() as probe:
            left = self._store.load()
            self._recover(SlipwayError("crashed", reason))
            taken_back = self._taken_back(left)
            if taken_back is not None and taken_back.previous == bad:
                return taken_back
            target = self.way_back(bad)
            if self._layout.current_id() != bad or target is None:
                return None
            way = self._way_to(target)
            self._store.record("watch_rollback", release=bad, to=target, reason=reason)
            return self._swap(target, way.name, "rollback", {}, probe, reason)

    def recover(self, txn: Optional[str] = None) -> Optional[str]:
        """Finish or undo what a run that was cut short has left; return the release it was about, if any.

        With a transaction, only that one, however long another run takes. Without, one that still waits to be confirmed
        is left alone.
        """
        with self._locked(self._settings.lock_timeout if txn is None else LONGEST):
            left = self._store.load()
            if left is None or (txn is not None and left.txn != txn) or (txn is None and self._waits(left)):
                return None
            self._recover()
            return left.to

    def serving(self) -> Optional[str]:
        """The release that serves now; None where the one that should does not run."""
        current = self._layout.current_id()
        return current if current and strategy_of(current, self._service).serves(current) else None

    def confirm(self, txn: Optional[str] = None) -> Outcome:
        """Let a release count that has been swapped in and was healthy; the transaction says which one is meant."""
        with self._locked(self._settings.lock_timeout):
            left = self._store.load()
            if left is None or left.phase != Phase.PROBATION or txn not in (None, left.txn):
                return self._too_late(txn, left)
            return self._confirm(left)

    def _confirm(self, left: Transaction) -> Outcome:
        way, begun = self._strategy(left.strategy), time.monotonic()
        if not way.serves(left.to):
            self._recover(SlipwayError("crashed", "it did not stay up until it was confirmed."))
            raise SlipwayError(
                "rolled_back",
                f"{left.to} did not stay up until it was confirmed, and was rolled back. "
                f"Now {self._layout.current_id()} serves.",
                f"see journalctl -u '{way.unit(left.to)}'",
                rolled_back=True,
                failed_phase=Phase.PROBATION,
                failed_release=left.to,
                current=self._layout.current_id(),
            )
        damage = integrity.damage(self._layout, self._store, left.to)
        if damage is not None and integrity.remedy(self._layout):
            raise damage  # nothing here would be started, the one before neither
        if damage is not None:
            self._recover(damage)
            raise SlipwayError(
                "rolled_back",
                f"{damage.message} So it was not confirmed, and was rolled back. "
                f"Now {self._layout.current_id()} serves.",
                "see who changed it, then release it again",
                rolled_back=True,
                failed_phase=Phase.PROBATION,
                failed_release=left.to,
                current=self._layout.current_id(),
            )
        if self._layout.current_id() != left.to:  # systemctl restart has turned it back to what was last good
            way.flip(left.to)
        way.drain(left.to)  # the guard may have started the one before
        left.phase = Phase.COMMIT
        self._store.save(left)
        commit(self._service, left)
        phases = {Phase.COMMIT: time.monotonic() - begun}
        begun = time.monotonic()
        pruned = self._prune(left.to, left.source, keep=self._store.kept(self._settings.keep))
        phases[Phase.PRUNE] = time.monotonic() - begun
        return Outcome(True, left.to, left.source, "confirm", phases, pruned=pruned)

    def _too_late(self, txn: Optional[str], left: Optional[Transaction]) -> Outcome:
        """What became of the transaction; raise where it did not come to stay."""
        outcomes = self._store.outcomes()
        ended: dict[str, Any] = next((e for e in reversed(outcomes) if txn in (None, e.get("txn"))), {})
        if left is not None and txn in (None, left.txn):
            raise SlipwayError(
                "interrupted",
                f"the swap to {left.to} was cut short in {left.phase} and cannot be confirmed.",
                f"run slipway recover {self._layout.name} on the host, or release again",
            )
        if ended.get("event") == "committed" or (txn is None and ended.get("code") != "unconfirmed"):
            return Outcome(False, self._layout.current_id(), None, "none")
        if not ended:
            raise SlipwayError("not_waiting", "no release of that transaction waits to be confirmed.", "release again")
        when = time.strftime("%H:%M:%S UTC", time.gmtime(float(ended.get("time", 0))))
        raise SlipwayError(
            "too_late",
            f"{ended.get('release')} was taken back at {when}, before this confirmation came: {ended.get('reason')} "
            f"Now {self._layout.current_id()} serves.",
            "see what kept the confirmation from coming in time, then release it again",
            rolled_back=True,
            failed_phase=Phase.PROBATION,
            failed_release=ended.get("release"),
            current=self._layout.current_id(),
        )

    def _waits(self, left: Transaction) -> bool:
        """Whether it waits to be confirmed, and the host will settle it by itself when it is not."""
        return (
            left.phase == Phase.PROBATION
            and confirm_timer.deadline(self._layout.name, left.txn) is not None
            and self._strategy(left.strategy).serves(left.to)
        )

    def _waiting(self, spec: Spec) -> Optional[Outcome]:
        """What is asked for has been swapped in by a run before, and waits to be confirmed."""
        left = self._store.load()
        if left is None or not self._waits(left) or stage.content(spec, self._layout).release_id() != left.to:
            return None
        if spec.run and left.run != spec.run:
            left.run = spec.run
            self._store.save(left)
            self._store.record_phase(left)
        if not self._settings.confirm:
            return self._confirm(left)
        return Outcome(True, left.to, left.source, "confirm", unconfirmed=left.txn)

    def _taken_back(self, left: Optional[Transaction]) -> Optional[Outcome]:
        """The rollback that a recovery has been, where the release it was about waited to be confirmed."""
        if left is None or left.phase != Phase.PROBATION or not self._serves(str(left.source)):
            return None
        return Outcome(True, left.source, left.to, "rollback")

    def _means(self, meant: Optional[Meant]) -> bool:
        """Whether what is to be taken back serves here, or is in flight."""
        if meant is None:
            return True
        left, current, outcomes = self._store.load(), self._layout.current_id(), self._store.outcomes()
        if left is not None and left.kind == "release":
            return meant.matches(left.to, left.run)
        if left is not None:  # a rollback that was cut short: what it leaves may come back
            current, outcomes = left.source, [event for event in outcomes if event.get("txn") != left.txn]
        return current is not None and meant.matches(current, run_of(current, outcomes))

    def _brought(self, meant: Optional[Meant], release_id: Optional[str]) -> bool:
        """Whether this release, which serves or is going to, is to be taken back as well."""
        if meant is None or release_id is None:
            return False
        return meant.matches(release_id, run_of(release_id, self._store.outcomes()))

    def _rollback_target(self, wanted: Optional[str], meant: Optional[Meant], current: Optional[str]) -> Optional[str]:
        """The release a rollback from `current` would go to; None when it has been done already."""
        if wanted is not None:
            return self._named_target(validate_release_id(wanted))
        # A release that was refused counts as gone back from: whoever takes back what has just failed, on this host or
        # on many at once, does not mean the one that has served all along.
        outcomes = self._store.outcomes()
        last = outcomes[-1] if outcomes else {}
        back = (last.get("event") == "committed") == (last.get("kind") == "rollback")
        if meant is None and back and self._serves(str(current)):
            return None
        target = self._earlier_good(current, meant)
        if target is None:
            raise SlipwayError(
                "no_last_good",
                f"{self._layout.name} has no earlier good release on this host to go back to.",
                "name an id that slipway.go.release_info lists under releases, or release another version",
            )
        return target

    def _earlier_good(self, other_than: Optional[str], meant: Optional[Meant] = None) -> Optional[str]:
        """The one that was good most recently, of those that are still here and that are not to be taken back, too."""
        staged = {i for i in self._layout.staged() if self._layout.manifest(i)}
        good = [i for i in reversed(self._store.good()) if i in staged and i != other_than]
        if meant is not None:
            outcomes = self._store.outcomes()
            good = [i for i in good if not meant.matches(i, brought_by(i, outcomes))]
        return next(iter(good), None)

    def _named_target(self, wanted: str) -> Optional[str]:
        if wanted not in self._layout.staged():
            raise SlipwayError(
                "unknown_release",
                f"release {wanted} of {self._layout.name} is not on this host.",
                f"choose one of: {', '.join(self._layout.staged()) or 'none are staged'}",
            )
        return None if self._serves(wanted) else wanted

    def _serves(self, release_id: str) -> bool:
        layout = self._layout
        return (
            layout.current_id() == release_id
            and layout.last_good_id() == release_id
            and self._store.load() is None
            and strategy_of(release_id, self._service).serves(release_id)
        )

    def _refuse_known_bad(self, wanted: str, force: bool) -> None:
        """What has failed here before fails again, unless somebody says that the cause is gone."""
        event = self._store.bad().get(wanted)
        if event is None or force:
            return
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(event.get("time", 0))))
        reason = event.get("reason") or "somebody rolled back from it"
        raise SlipwayError(
            "known_bad",
            f"{wanted} is marked bad on this host since {when}: {reason}",
            "release another version or configuration, or set release_force: true when the cause is gone",
            current=self._layout.current_id(),
        )

    def _check_linkage(self, wanted: str) -> None:
        """Raise unless the kernel and the loader of this host would start the release in its own unit."""
        problems = preflight.linkage_problems(self._layout, wanted)
        if problems:
            raise ProblemsError(problems, current=self._layout.current_id())

    def _rehearse(self, wanted: str, spec: Spec) -> None:
        """Prove the release in its own sandbox at an address no user knows; nothing is exposed, nothing to undo."""
        layout, way = self._layout, self._strategy(spec.strategy)
        unit, begun = layout.rehearsal(wanted), time.time()
        try:
            self._end_rehearsal(unit)
            way.open_rehearsal(wanted)
            self._systemd.start(unit)
            started = self._systemd.wait_active(unit, self._settings.start_timeout)
            address = way.rehearsal_address(wanted, spec.rehearsal)
            subject = way.gate.rehearsing(wanted, address)
            way.gate.wait_healthy(subject, started)
            if spec.smoke:
                self._smoke(wanted, spec, address)
                way.gate.wait_healthy(subject, started)
        except SlipwayError as error:
            reason, fix = cause(error)
            self._store.record(
                "refused",
                kind="release",
                release=wanted,
                started=round(begun, 3),
                phase=Phase.REHEARSE,
                code=error.code,
                reason=reason,
            )
            self._prune(wanted)
            current = layout.current_id()
            raise SlipwayError(
                "refused",
                f"{wanted} was refused in {Phase.REHEARSE}, before any request could reach it: {reason} "
                f"{current or 'Nothing'} serves as before.",
                fix,
                rolled_back=False,
                failed_phase=Phase.REHEARSE,
                failed_release=wanted,
                current=current,
            ) from error
        finally:
            self._end_rehearsal(unit)

    def _smoke(self, wanted: str, spec: Spec, address: str) -> None:
        """Run the operator's own commands against the release in rehearsal, as the user it runs as."""
        who = self._systemd.properties(self._layout.rehearsal(wanted), "User", "Group")
        https = str(self._settings.health.get("url", "")).startswith("https:")
        variables = smoke.variables(address, "https" if https else "http", wanted)
        place = smoke.Place(who["User"] or "root", who["Group"] or "root", self._layout.release(wanted), variables)
        secrets = stage.secrets(self._layout, wanted)
        for command in spec.smoke:
            smoke.run(command, place, spec.smoke_timeout, secrets)

    def _end_rehearsal(self, unit: str) -> None:
        """Stop the rehearsal, also one that a run before this has left; the sockets first, so that nothing restarts."""
        strays = self._systemd.active_instances(f"{self._layout.name}-rehearsal")
        for left in (self._layout.rehearsal_socket, unit, *strays):
            self._systemd.call("stop", left, check=False)
            self._systemd.call("reset-failed", left, check=False)

    def _require_tool(self) -> None:
        if self._settings.confirm and self._layout.current_id():
            confirm_timer.require_tool()

    def _make_room(self, spec: Spec, wanted: str) -> None:
        """Delete what is beyond `keep` before a full disk is a reason not to release."""
        try:
            preflight.check_space(spec.artefact, self._layout.root)
        except SlipwayError:
            self._prune(wanted, self._earlier_good(wanted))

    def _preflight(self, spec: Spec, but: Container[str] = ()) -> None:
        own_ports = self._systemd.socket_ports(f"{self._layout.name}.socket")
        way = self._strategy(spec.strategy)
        found = preflight.problems(spec, self._layout, way.own_listen or spec.listen, own_ports, way.check_front)
        found = [problem for problem in [*found, *integrity.foreign(self._layout)] if problem.code not in but]
        if found:
            raise ProblemsError(found)

    def _prune(self, *needed: Optional[str], keep: Optional[int] = None) -> list[str]:
        """Delete releases beyond `keep`, but never these, what serves, nor where a rollback from there would go.

        What cannot be deleted now stays for the next time.
        """
        try:
            wanted = self._settings.keep if keep is None else keep
            return stage.prune(self._layout, wanted, self._protected(*needed), self._store.good())
        except OSError:
            return []

    def _protected(self, *needed: Optional[str]) -> set[str]:
        """What pruning leaves: these, what serves, and where a rollback from there would go."""
        current = self._layout.current_id()
        return {name for name in (*needed, current, self._layout.last_good_id(), self._earlier_good(current)) if name}

    def _evidence(self) -> list[str]:
        """What the last run has left or refused; it stays until the next one."""
        last: dict[str, Any] = next(reversed(self._store.outcomes()), {})
        return [name for name in (last.get("release"), last.get("previous")) if isinstance(name, str)]

    def purge(self, names: Sequence[str], predict: bool = False) -> list[str]:
        """Delete these releases, given by id or version, or all but the one that serves (OTHERS); return their ids.

        None that serves, is last good or is part of a swap in flight. That it was deleted stays in the journal.
        """
        if predict:
            return self._doomed(names)
        with self._locked(self._settings.lock_timeout):
            stage.collect_leftovers(self._layout)  # of a purge that was cut short, too
            doomed = self._doomed(names)
            for release_id in doomed:
                stage.purge(self._layout, release_id, lambda name: self._store.record("purged", release=name))
            return doomed

    def _doomed(self, names: Sequence[str]) -> list[str]:
        staged, needed = self._layout.staged(), self._needed()
        doomed = [i for i in staged if stage.is_named(self._layout, i, names)]
        if OTHERS in names:
            doomed = [i for i in staged if i != self._layout.current_id()]
        for release_id in doomed:
            if release_id in needed:
                raise SlipwayError(
                    "release_needed",
                    f"{release_id} of {self._layout.name} {needed[release_id]}. Nothing was purged.",
                    "release or confirm another one first, or name the ids of those that are to go",
                    current=self._layout.current_id(),
                )
        return doomed

    def _needed(self) -> dict[str, str]:
        """The releases that must stay, each with the reason."""
        running = self._systemd.active_instances(self._layout.name)
        needed = {i: "still runs" for i in self._layout.staged() if self._layout.instance(i) in running}
        layout, left = self._layout, self._store.load()
        if layout.last_good_id():
            needed[str(layout.last_good_id())] = "is the last good release"
        if left is not None:
            needed.update({i: f"is part of the swap in flight, {left.phase}" for i in (left.to, left.source) if i})
        if layout.current_id():
            needed[str(layout.current_id())] = "serves now"
        return needed

    def _recover(self, unconfirmed: SlipwayError = UNCONFIRMED) -> None:
        """Finish or undo what a run that was cut short, or that nobody has confirmed, has left in flight."""
        stage.collect_leftovers(self._layout)
        left = self._store.load()
        if left is None:
            return
        way = self._strategy(left.strategy)
        if left.phase == Phase.COMMIT and way.serves(left.to):
            way.flip(left.to)  # a boot has turned `current` back to what was last good then
            commit(self._service, left)
            return
        waited = left.phase == Phase.PROBATION
        reason = unconfirmed if waited else SlipwayError("interrupted", "the run was cut short")
        try:
            restore(self._service, left, reason, interrupted=not waited)
        except Exception as error:
            if left.source is None or strategy_of(left.source, self._service, left.strategy).serves(left.source):
                raise
            adopt_or_give_up(self._service, left, left.source, error)

    @contextlib.contextmanager
    def _probed(self) -> Iterator[Probe]:
        """A probe that asks nothing yet, and nothing any more when the run ends, however it ends."""
        probe = Probe(self._probing)
        try:
            yield probe
        finally:
            probe.finish()

    def _source(self, target: str, way: Strategy, listen: Sequence[str]) -> Optional[str]:
        """What serves until then, and again when the swap to `target` fails."""
        source = self._layout.current_id()
        if source == target or source not in self._layout.staged():
            source = self._earlier_good(target)
        if source is None:
            return None
        before = strategy_of(source, self._service, way.name)
        return source if may_return(source, before, way, listen) else None

    def _swap(
        self,
        target: str,
        name: str,
        kind: str,
        phases: dict[Phase, float],
        probe: Probe,
        reason: str = "",
        listen: Sequence[str] = (),
        run: str = "",
        totals: Optional[Mapping[tuple[int, str], Totals]] = None,
    ) -> Outcome:
        source = self._source(target, self._strategy(name), listen)
        service = as_released(self._service, target) if kind == "rollback" else self._service
        swap = Swap(service, self._store.begin(target, source, name, kind, reason, run), probe, totals)
        try:
            swap.run()
        except SlipwayError as error:
            if error.details.get("rolled_back"):
                self._prune(target, source)
            raise
        phases, pruned = {**phases, **swap.phases}, []
        if not swap.unconfirmed:
            begun = time.monotonic()
            pruned = self._prune(target, source)
            phases[Phase.PRUNE] = time.monotonic() - begun
        return Outcome(
            changed=True,
            current=target,
            previous=source,
            action=kind,
            phases=phases,
            swap_seconds=swap_seconds(phases),
            downtime_seconds=swap.downtime,
            restarted_because=swap.in_turn_because,
            pruned=pruned,
            probe=probe.figures(),
            traffic=swap.traffic,
            unconfirmed=swap.unconfirmed,
        )


def _serves_after_recovery(left: Transaction) -> Optional[str]:
    """What serves once what is in flight is settled."""
    return left.to if left.phase == Phase.COMMIT else left.source


def _settled_by_recovery(left: Transaction, wanted: Optional[str], meant: Optional[Meant]) -> Optional[Outcome]:
    """What a rollback finds done once it has settled what is in flight; None where there is more to do."""
    serves = _serves_after_recovery(left)
    if wanted not in (None, serves):
        return None
    nothing = Outcome(False, serves, None, "none")
    if (left.kind == "rollback") == (left.phase == Phase.COMMIT):  # settling it means to go back
        if meant is not None or (left.source and left.phase == Phase.PROBATION):
            return Outcome(True, serves, left.source if left.kind == "rollback" else left.to, "rollback")
        if left.source:
            return nothing
    return nothing if wanted else None

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of slipway.go.release: judges the artefact, and uploads it only where it is missing."""

from __future__ import annotations

import datetime
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError, with_fix
from ansible_collections.slipway.go.plugins.module_utils._core.problems import Problem, ProblemsError
from ansible_collections.slipway.go.plugins.module_utils._linkage import host_profile
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import (
    binding,
    fetch,
    inspect,
)
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.inspect import InspectedArtefact
from ansible_collections.slipway.go.plugins.module_utils._release.build_host import read_built
from ansible_collections.slipway.go.plugins.module_utils._release.by import parse_by
from ansible_collections.slipway.go.plugins.module_utils._release.state import model
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.registry import PROXY as BEHIND_PROXY
from ansible_collections.slipway.go.plugins.module_utils._tool import zipapp
from ansible_collections.slipway.go.plugins.plugin_utils._action import confirmation, lost_hosts
from ansible_collections.slipway.go.plugins.plugin_utils._action.bounded import CLEANUP, BoundedAction, limit
from ansible_collections.slipway.go.plugins.plugin_utils._action.delegation import delegate
from ansible_collections.slipway.go.plugins.plugin_utils._action.fresh import fresh
from ansible_collections.slipway.go.plugins.plugin_utils._artefact import choice, vulnerability_gate
from ansible_collections.slipway.go.plugins.plugin_utils._artefact.offer import PROVENANCE, Offer, abilities, missing
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import comparison, plans, progress
from ansible_collections.slipway.go.plugins.plugin_utils._input import (
    configured,
    declared_services,
    more_ports,
    role_options,
    survey,
)
from ansible_collections.slipway.go.plugins.plugin_utils._input.sources import find_source
from ansible_collections.slipway.go.plugins.plugin_utils._report import notes
from ansible_collections.slipway.go.plugins.plugin_utils._run import (
    authorship,
    freezes,
    lease_claim,
    run_stats,
    this_run,
    time_limits,
)

# How each option is read, and which variable of the role an operator has set it by.
POLICY = {
    "require_static": ("release_require_static", survey.switch),
    "require_vcs_clean": ("release_require_vcs_clean", survey.switch),
    "min_go_version": ("release_min_go_version", survey.text),
    "main_module": ("release_main_module", survey.text),
    "denylist": ("release_denylist", survey.text),
    "prerelease": ("release_prerelease", survey.switch),
    "provenance_required": ("release_provenance_required", survey.switch),
    **{f"provenance_{what}": (f"release_provenance_{what}", survey.list_of(survey.text)) for what in PROVENANCE},
    "version_binding": ("release_version_binding", survey.choice(*binding.LEVELS)),
    **{f"vulnerability_{name}": read for name, read in vulnerability_gate.OPTIONS.items()},
}
PROXY = {
    "ports": ("service_proxy_ports", survey.list_of(survey.whole)),
    "weights": ("release_weights", survey.list_of(survey.whole)),
    "step_time": ("release_step_time", survey.number),
    "slow": ("release_slow", survey.choice(model.ROLLBACK, model.PAUSE)),
    "pause_time": ("release_pause_time", survey.number),
    **comparison.RULE,
}
ONCE = {
    "command": ("release_once", survey.list_of(survey.text)),
    "timeout": ("release_once_timeout", survey.number),
    "decision": ("release_once_decision", survey.text),
}
OPTIONS = {
    "compare": (comparison.VARIABLE, lambda value, _variable: comparison.parse(value)),
    "src": (choice.SRC, choice.place),
    "remote_src": ("release_remote_src", survey.switch),
    "binary": ("release_binary", survey.text),
    "checksum": ("release_checksum", choice.place),
    "signature": ("release_signature", choice.place),
    "provenance": ("release_provenance", choice.place),
    "signature_of": ("release_signature_of", survey.choice("artefact", "checksums")),
    "minisign_keys": ("release_minisign_keys", survey.list_of(survey.text)),
    "allowed_signers": ("release_allowed_signers", survey.text),
    "signer": ("release_signer", survey.text),
    "signature_namespace": ("release_signature_namespace", survey.text),
    "max_size": ("release_max_size", survey.whole),
    "fetch_timeout": ("release_fetch_timeout", survey.number),
    "fetch_headers": ("release_fetch_headers", survey.mapping),
    "strategy": ("service_swap", survey.choice(*model.STRATEGIES)),
    "root": ("service_root", survey.text),
    "group": ("service_group", survey.text),
    "listen": ("service_listen", survey.list_of(survey.text)),
    "more_listen": ("service_more_ports", survey.list_of(survey.text)),
    "environment": ("release_environment", survey.mapping),
    "health": ("release_health", survey.mapping),
    "probe": ("release_probe", survey.mapping),
    "rehearsal": ("service_rehearsal", survey.text),
    "smoke": ("release_smoke", survey.commands),
    "smoke_timeout": ("release_smoke_timeout", survey.number),
    "force": ("release_force", survey.switch),
    "run": ("release_run", survey.text),
    "reason_required": ("release_reason_required", survey.switch),
    "freeze": ("release_freeze", lambda value, _variable: freezes.parse(value)),
    "break_glass": ("release_break_glass", survey.text),
    "lease": ("lease", survey.choice("require", "take", "tell")),
    "lease_time": ("release_lease_time", survey.number),
    "end_lease": ("release_end_lease", survey.text),
    "configured": ("release_configured", survey.switch),
    "stale_configuration": ("release_stale_configuration", survey.choice("warn", "refuse")),
    "downgrade": ("release_downgrade", survey.choice("warn", "refuse", "accept")),
    "start_timeout": ("release_start_timeout", survey.number),
    "drain_timeout": ("release_drain_timeout", survey.number),
    "drain_background": ("release_drain_background", survey.number),
    "soak_time": ("release_soak_time", survey.number),
    "confirm": ("release_confirm", survey.number),
    "hold": ("release_confirm_fleet", survey.number),
    "lock_timeout": ("release_lock_timeout", survey.number),
    "keep": ("release_keep", survey.whole),
    "policy": ("policy", survey.options(POLICY)),
    "proxy": ("proxy", survey.options(PROXY)),
    "once": ("once", survey.options(ONCE)),
}
# The variables that a task of the role need not hand over.
OF_ROLE = {
    **role_options.table("release", OPTIONS),
    "group": "release_group",
    "listen": "release_listen",
    "rehearsal": "release_rehearsal",
    "root": "release_root",
    "strategy": "release_strategy",
    "by": {"reason": "release_reason"},
    "policy": role_options.table("release", POLICY),
    "proxy": {**role_options.table("release", PROXY), "ports": "release_proxy_ports"},
}
READ = frozenset(
    {
        "release_drain_timeout",
        "release_group",
        "release_health",
        "release_listen",
        "release_proxy_ports",
        "release_rehearsal",
        "release_root",
        "release_run",
        "release_start_timeout",
        "release_strategy",
        "service_more_ports",
    }
)
OPTIONAL = frozenset(
    {
        "release_allowed_signers",
        "release_checksum",
        "release_denylist",
        "release_downgrade",
        "release_provenance",
        "release_signature",
        "release_version_binding",
        "release_vulnerability_database",
        "release_vulnerability_grace",
        "release_vulnerability_inconclusive",
        "release_vulnerability_severity",
    }
)
# Options that may hold secrets: an environment, the headers of a health check or probe or for the intake, and its URLs.
SEALED = ("environment", "health", "probe", "fetch_headers", "intake")
# What only this half of the module tells the other; no option of the module, and so refused where a task has it.
PRIVATE = ("intake", "tool", "digest", "size", "goarch", "uploaded", "abilities", "build_host", "expected", "claim")
# What this half of the module alone acts by.
OWN = ("compare", "freeze", "break_glass", "lease_time", "end_lease")
# What a host has told of itself that counts, too, where something speaks against the release before any host is asked.
KEPT = ("plan", "lease", "claim", "current", "build_host")


def unreadable(error: OSError, folder: str) -> dict[str, Any]:
    """The result where the controller could not look into the artefact; folder is where it unpacks."""
    fix = "free space there, or correct the permissions"
    return {
        "failed": True,
        "msg": f"the controller cannot read or write {error.filename or folder}: {error.strerror or error}. Fix: {fix}",
        "code": "os_error",
        "fix": fix,
    }


def refusal(problems: Sequence[Problem]) -> dict[str, Any]:
    """A failed result that names every problem."""
    error = ProblemsError(problems)
    return {
        "failed": True,
        "changed": False,
        "code": error.code,
        "fix": problems[0].fix,
        "msg": str(error),
        **error.details,
    }


def objected(answer: dict[str, Any], objection: SlipwayError) -> dict[str, Any]:
    """The answer of a host, with what speaks against the release before any host is asked."""
    others = [Problem(**{key: str(one[key]) for key in Problem._fields}) for one in answer.get("problems") or []]
    if not others and answer.get("failed"):
        message, _word, fix = str(answer.get("msg")).partition(" Fix: ")
        others = [Problem(str(answer.get("code") or "invalid_variable"), message, fix)]
    kept: dict[str, Any] = {name: answer[name] for name in KEPT if name in answer}
    return {**kept, **refusal([Problem.of(objection), *others])}


def wants_tool(arguments: Mapping[str, Any]) -> bool:
    """Whether the host itself may have to end what the release begins, or a person to say there how it goes on."""
    pauses = arguments.get("strategy") == BEHIND_PROXY and time_limits.longest_pause(arguments.get("proxy"))
    return bool(arguments.get("confirm") or arguments.get("drain_background") or pauses)


def reported(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer of a host that was only asked: what speaks against the release is no failure of the task.

    The table that follows has the notices, and warnings of the same text would only repeat them.
    """
    shown = [with_fix(notice["message"], notice["fix"]) for notice in answer.get("notices", [])]
    if "warnings" in answer:
        answer = {**answer, "warnings": [text for text in answer["warnings"] if text not in shown]}
    return {**{name: told for name, told in answer.items() if name not in ("failed", "exception")}, "changed": False}


def seal(arguments: dict[str, Any]) -> str:
    """Take what may hold secrets, and what is private, out of the arguments: as one text that no result shows.

    No short value of it can mask anything in a result, either.
    """
    private = {name: arguments.pop(name) for name in PRIVATE if name in arguments}
    sealed = json.dumps({**{name: arguments.pop(name, None) or {} for name in SEALED}, **private}, default=str)
    for place in time_limits.PLACES:
        if arguments.get(place):  # what of a URL is no secret stays where results and logs show it
            arguments[place] = fetch.shown(str(arguments[place]))
    return sealed


def with_upload(sealed: str, path: str) -> str:
    """The same, and where on the host the artefact is by now."""
    return json.dumps({**json.loads(sealed), "uploaded": path})


def refuse_private(arguments: dict[str, Any]) -> None:
    given = [name for name in (*PRIVATE, "sealed") if name in arguments]
    if given:
        raise SlipwayError(
            "unsupported_option",
            f"slipway.go.release has no option {', '.join(given)}.",
            "remove it from the task",
        )


class ActionModule(BoundedAction):
    """Runs the module once where the host has the artefact or brings it itself, and twice where it must be uploaded."""

    TRANSFERS_FILES = True
    _connection: Any
    _reports = False  # whether a refusal is no failure
    _inventory = ""  # the folder of the inventory that names this host; "None" where that is no file
    _patience = time_limits.of({})
    _frozen: freezes.Frozen | None = None
    _broken = ""  # why this release goes on in a freeze
    _lease = "require"
    _strategy = ""
    _outlasts: dict[str, float] | None = None  # where this run may need the lease for longer than a host keeps it
    _by: dict[str, str] | None = None
    _holds = False  # whether a release waits until the whole fleet is through
    _watch: progress.Watch | None = None

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables, result, began = task_vars or {}, dict[str, Any](), time.time()
        self._inventory = str(variables.get("inventory_dir"))
        alone, reached = len(variables.get("ansible_play_hosts_all") or ()) < 2, False
        try:
            with lost_hosts.explained(variables):  # where files may be transferred, this connects first
                result = super().run(tmp, task_vars)
            reached = True
            with progress.watch(self, self._about(variables), variables, asks=True) as self._watch:
                answer = self._release_and_confirm(dict(self._task.args), task_vars)
                self._watch.failed = bool(answer.get("failed"))
        except AnsibleConnectionFailure as error:
            if alone and not reached:
                raise
            # Of a fleet, one that Ansible itself found unreachable would end the run where it is a batch.
            answer = lost_hosts.unreachable(error, variables)
            self._reports = self._reports or (self._task.check_mode and str(self._task.args.get("report")) == "True")
        self._keep_for_the_report(answer, began, variables)
        if self._task.check_mode:
            answer = self._foreseen(answer)
            self._show_plan(answer, variables)
        if self._reports:
            answer = reported(answer)
        if answer.get("failed") and self._task.any_errors_fatal and not self._task.check_mode:
            answer = self._stop(answer, task_vars or {})
        if not self._task.check_mode and not self._runs_only_once():
            answer = run_stats.with_stats("release", answer, task_vars or {})
        return {**result, **answer}

    def _about(self, variables: dict[str, Any]) -> progress.About:
        """What the lines that a run shows meanwhile are about."""
        service, version = (str(self._task.args.get(option) or "") for option in ("name", "version"))
        about = progress.about("release", service, version, variables)
        hosts, host = list(variables.get("ansible_play_hosts_all") or []), str(variables.get("inventory_hostname"))
        groups = [hosts]
        with suppress(Exception):  # what cannot be read is refused elsewhere, or belongs to a play of somebody's own
            sizes = lease_claim.serial([host], variables, lambda value, _variables: self._templar.template(value))
            groups = lease_claim.split(hosts, sizes)
        return about._replace(batch=progress.batch_words(host, about.hosts, groups))

    def _keep_for_the_report(self, answer: dict[str, Any], began: float, variables: dict[str, Any]) -> None:
        """What happened when is for the report alone: no result, and no output of a job, grows with it."""
        timeline = answer.pop("timeline", None)
        if self._task.no_log or self._runs_only_once():
            return
        asked = self._task.args
        kind = notes.PREFLIGHT if self._task.check_mode else notes.RELEASE
        note = {
            "answer": notes.of_answer(answer),
            "batch": notes.batch_of(variables),
            "began": began,
            "by": self._by or {},
            "ended": time.time(),
            "strategy": self._strategy,
            "timeline": timeline,
            "version": str(asked.get("version") or ""),
        }
        notes.keep(kind, str(asked.get("name") or ""), str(variables.get("inventory_hostname")), note)

    def _foreseen(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer of a host in check mode, with what only the controller knows."""
        plan: dict[str, Any] = {**answer.get("plan", {}), "at_most": self._patience.release}
        plan.update(self._outlasts or {})
        if self._frozen is not None:
            plan["freeze"] = {"reason": self._frozen.reason, "until": self._frozen.until, "broken": self._broken}
        if self._frozen is not None and not self._broken and self._lease != "tell":
            answer = objected(answer, freezes.refusal(self._frozen))
        return {**answer, "plan": plan}

    def _show_plan(self, answer: dict[str, Any], variables: dict[str, Any]) -> None:
        """Where one host is all there is, nobody has asked it before; else the plan of all hosts was shown."""
        hosts = list(variables.get("ansible_play_hosts_all") or [])
        if len(hosts) != 1 or self._reports or "release_preview" in variables:
            return
        name, version = (str(self._task.args.get(option) or "") for option in ("name", "version"))
        text = plans.render_plan(name, version, {hosts[0]: answer}, [1])
        delegate(self, "slipway.go.show", {"text": text}, variables)

    def _stop(self, answer: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """The run ends here. That it gives this lease back tells the next run that it is over on all hosts."""
        name = str(self._task.args.get("name"))
        if answer.get("code") != "unreachable" and this_run.has_lease(name, str(variables.get("inventory_hostname"))):
            delegate(self, "slipway.go.lease", {}, variables)
        return lost_hosts.stop(answer, variables)

    def _thaw(self, arguments: dict[str, Any]) -> None:
        """Whether nothing is released now, by the calendar, or why this is released all the same.

        When the run began counts: one that reaches into a freeze is not to leave its hosts on two releases.
        """
        began = datetime.datetime.fromtimestamp(this_run.this().began, datetime.timezone.utc)
        self._frozen = freezes.find(arguments.get("freeze") or [], began)
        if self._frozen is not None:
            self._broken = " ".join(str(arguments.get("break_glass") or "").split())
        if self._frozen is not None and not self._broken and not self._task.check_mode:
            raise freezes.refusal(self._frozen)

    def _take_lease(self, arguments: dict[str, Any], variables: dict[str, Any]) -> None:
        """Tell the host what this run is; with a claim of its own, since the task itself may not be the first."""
        self._lease = str(arguments.get("lease") or "require")
        frozen = self._frozen is not None and not self._broken
        takes = self._lease == "take" and self._reports and not frozen
        if takes:
            this_run.note_lease(str(arguments["name"]), str(variables.get("inventory_hostname")))
        needs = lease_claim.needed(arguments, self._patience, variables, self._templar.template)
        arguments["claim"] = lease_claim.of(arguments, variables, needs)
        self._outlasts = lease_claim.outlasting(arguments["claim"], variables, needs)
        if takes:
            arguments["claim"]["held"] = False
        arguments["lease"] = "require" if self._lease == "take" and not takes else self._lease

    def _expected(self, service: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the inventory says of the service now."""
        variables = declared_services.at_hand(task_vars, self._templar, self._loader)
        templar = self._templar
        if variables is not task_vars:
            templar = templar.copy_with_new_env(available_variables=variables)
        return configured.expected(service, variables, templar.template)

    def _given(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The options of the task, and where it is the role's, those that it leaves to the role's variables."""
        refuse_private(arguments)
        if not boolean(arguments.pop("role_variables", False), strict=False):
            return arguments
        of_service = declared_services.at_hand(task_vars, self._templar, self._loader)
        value = role_options.reader(of_service, self._templar, OPTIONAL, READ)
        found = role_options.complete(arguments, OF_ROLE, value)
        if found.get("strategy") == BEHIND_PROXY:
            found.setdefault("more_listen", more_ports.listened(value("service_more_ports")))
        return found

    def _runs_only_once(self) -> bool:
        """Whether this swaps nothing, so that the host has still to say what became of the release."""
        once = self._task.args.get("once")
        return isinstance(once, Mapping) and boolean(once.get("only", False), strict=False)

    def _release_and_confirm(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer = self._judge_and_release(arguments, task_vars)
        if answer.get("unconfirmed") and self._watch is not None:
            self._watch.enter(progress.CONFIRMS)
        if answer.get("unconfirmed") and self._holds and answer.get("action") == "release":
            return confirmation.prove(self._command, str(arguments["name"]), answer)
        if answer.get("unconfirmed"):
            return confirmation.confirm(self._command, str(arguments["name"]), answer)
        return answer

    def _judge_and_release(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="slipway-", dir=constants.DEFAULT_LOCAL_TMP) as folder:
            try:
                arguments = self._given(arguments, task_vars or {})
                self._strategy = str(arguments.get("strategy") or "")
                self._reports = self._may_report(arguments.pop("report", ""))
                arguments = survey.understand(arguments, OPTIONS)
                self._patience = time_limits.of(arguments)
                self._holds = bool(arguments.get("hold"))
                self._validate(arguments)
                self._check_comparison(arguments)
                arguments["by"] = authorship.complete(arguments.get("by"), task_vars or {})
                if arguments.pop("reason_required", False):
                    authorship.require_reason(arguments["by"])
                self._by = arguments["by"]
                self._thaw(arguments)
                if self._broken:
                    self._by = arguments["by"] = {**arguments["by"], **parse_by({"break_glass": self._broken})}
                self._take_lease(arguments, task_vars or {})
                arguments = {name: value for name, value in arguments.items() if name not in OWN}
                if choice.is_open(arguments["src"]):
                    processor = self._execute("processor_info", {}, task_vars)
                    if processor.get("failed"):
                        return processor
                    arguments = choice.choose(arguments, choice.Processor.of(processor), self._exists)
                if wants_tool(arguments):
                    arguments["tool"] = this_run.made_once("tool", zipapp.digest)
                arguments["expected"] = self._expected(str(arguments["name"]), task_vars or {})
                offer = Offer(arguments, self._find_source)
                offer.read()
                if offer.intake.get("source"):
                    arguments.update(intake=offer.intake, digest=offer.digest)
                    arguments["sealed"] = seal(arguments)
                    return self._execute("release", arguments, task_vars)
                source = self._find_source(str(arguments["src"]), "release_src")
                seen = offer.look_into(source, folder)
                against = inspect.judge(seen, offer.rules(), [])
                seems_able = abilities(seen.program)
                built = read_built(source, seen.binary)
            except SlipwayError as error:
                return {"failed": True, "msg": str(error), "code": error.code, "fix": error.fix}
            except OSError as error:
                return unreadable(error, folder)
            if against:
                return refusal(against)
            arguments.update(intake=offer.intake, digest=offer.digest)
            arguments.update(size=seen.size, goarch=seen.binary.elf.goarch, abilities=seems_able)
            arguments["build_host"] = None if built is None else built._asdict()
            arguments["sealed"] = seal(arguments)
            return self._release(source, seen, arguments, task_vars)

    def _command(self, command: str, anew: bool) -> dict[str, Any]:
        """Run it on the host with the task's become, over a connection of its own or over the open one."""
        live = self._connection
        try:
            self._connection = fresh(live, self._play_context) if anew else live
            with self._answered_within(self._patience.command):
                answer: dict[str, Any] = self._low_level_execute_command(command)
        finally:
            self._connection = live
        return answer

    def _release(
        self, source: str, seen: InspectedArtefact, arguments: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        answer = self._execute("release", arguments, task_vars)
        profile = answer.pop("host_profile", None)
        if answer.get("failed"):
            return answer
        upload = answer.get("action") == "upload"
        if upload and not self._task.check_mode:
            coming = {**self._foreseen(answer), "action": "release", "current": str(arguments["version"])}
            self._show_plan(coming, task_vars or {})
        binary = seen.binary
        if profile is not None:
            problems = host_profile.judge_artifact(binary, host_profile.HostProfile.from_dict(profile))
            if problems:
                compared = {"build_host": answer["build_host"]} if "build_host" in answer else {}
                return {**compared, **refusal(seen.relabelled(problems))}
        if not upload and (profile is None or binary.elf.elf_class in ("static", "static-pie")):
            return answer
        with self._uploaded(source) as remote:  # also in check mode: only the host finds the libraries of a dynamic one
            sealed = with_upload(arguments["sealed"], remote)
            answer = self._execute("release", {**arguments, "sealed": sealed}, task_vars)
            answer.pop("host_profile", None)
            return answer

    def _may_report(self, given: Any) -> bool:
        wanted = not survey.is_empty(given) and survey.switch(given, "report")
        if wanted and not self._task.check_mode:
            raise SlipwayError(
                "unsupported_option", "option report is for check mode.", "remove it, or set check_mode: true"
            )
        return wanted

    def _check_comparison(self, arguments: dict[str, Any]) -> None:
        """One host asks for all: the queries are the run's. Load balancers have a task of their own."""
        wanted: comparison.Comparison | None = arguments.get("compare")
        if wanted is None or wanted.haproxy:
            return
        if self._reports and this_run.is_first(f"compare {arguments['name']}"):
            comparison.check(comparison.by_queries(comparison.prometheus(wanted), wanted))

    @staticmethod
    def _validate(arguments: dict[str, Any]) -> None:
        """The checks that need no host, so that bad input fails before one is asked."""
        for option, variable in (("name", "service_name"), ("version", "release_version"), ("src", "release_src")):
            if not str(arguments.get(option) or ""):
                raise SlipwayError(f"missing_{option}", f"{variable} is empty.", f"set {variable} (option {option})")
        hold, confirm = arguments.get("hold") or 0, arguments.get("confirm", 1)
        if hold < 0 or (hold and not confirm):
            raise SlipwayError(
                "invalid_confirm_fleet",
                f"release_confirm_fleet is {hold:g}, and release_confirm is {confirm:g}.",
                "give seconds above 0 for both, or set release_confirm_fleet to 0",
            )
        model.validate_name(str(arguments["name"]))
        model.validate_version(str(arguments["version"]))
        model.render_environment(arguments.get("environment") or {})
        fetch.parse_headers(arguments.get("fetch_headers") or {}, [])
        src = arguments["src"]
        if not choice.is_open(src):
            choice.require_closed(arguments)
        choice.require_listable(src, bool(arguments.get("remote_src")) or fetch.is_url(str(src)))
        model.Once(**{name: value for name, value in (arguments.get("once") or {}).items() if name in ONCE})

    def _find_source(self, path: str, variable: str) -> str:
        """Where that file of the controller is; the playbook may be the collection's own, far from the operator's."""
        return find_source(self, "files", path, self._inventory, lambda searched: missing(path, variable, searched))

    def _exists(self, path: str) -> bool:
        """Whether that artefact is on the controller."""
        try:
            return os.path.exists(self._find_source(path, choice.SRC))
        except SlipwayError:
            return False

    def _execute(self, name: str, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        with self._answered_within(self._patience.release):
            answer: dict[str, Any] = self._execute_module(
                f"slipway.go.{name}", module_args=arguments, task_vars=task_vars
            )
        ended = lease_claim.ended(answer) if self._lease != "tell" else ""
        if ended:
            sealed = lease_claim.instead(arguments["sealed"], ended)
            return self._execute(name, {**arguments, "sealed": sealed}, task_vars) if sealed else answer
        if "lease" in answer:
            answer = {**answer, "claim": json.loads(arguments["sealed"]).get("claim")}
        if answer.get("action") != "tool":
            return answer
        brought = self._bring_tool(task_vars)
        return brought if brought.get("failed") else self._execute(name, arguments, task_vars)

    @staticmethod
    def _answered_within(seconds: float) -> AbstractContextManager[None]:
        """Without this, a host that vanishes is waited for until TCP gives up, which it may never do."""
        return limit(seconds, f"it has not answered for {seconds:g} s.", AnsibleConnectionFailure)

    def _bring_tool(self, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        return delegate(self, "slipway.go.tool", {}, task_vars)

    @contextmanager
    def _uploaded(self, source: str) -> Iterator[str]:
        """The artefact in a temporary directory of the host, for as long as it is needed there."""
        if self._watch is not None:
            self._watch.enter(progress.UPLOADS)
        folder = self._make_tmp_path()
        try:
            remote = str(self._connection._shell.join_path(folder, "artefact"))
            self._transfer_file(source, remote)
            self._fixup_perms2((folder, remote))
            yield remote
        finally:
            with suppress(AnsibleError), limit(CLEANUP, "the temporary directory was not removed"):
                self._remove_tmp_path(folder)

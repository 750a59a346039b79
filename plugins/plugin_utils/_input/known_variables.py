# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which variables the collection reads, and what they may be. This file is PRIVATE to the collection."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.slipway.go.plugins.module_utils._compliance import controls
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._units import directives
from ansible_collections.slipway.go.plugins.plugin_utils._input import survey

ROLES = os.path.abspath(os.path.join(os.path.dirname(os.path.realpath(__file__)), *[os.pardir] * 3, "roles"))
# What only the playbooks read.
OF_PLAYBOOKS = frozenset(
    {
        "adopt_foreground",
        "adopt_switch",
        "adopt_undo",
        "build_host",
        "bundle_host",
        "compliance_fail",
        "compliance_report",
        "drift_service",
        "harden_accept_drift",
        "harden_base",
        "harden_deploy_user",
        "harden_firewall",
        "harden_selinux",
        "harden_serial",
        "harden_skip",
        "harden_ssh",
        "release_serial",
        "remove_archive",
        "remove_confirm",
        "remove_data",
        "site_harden",
        "slipway_hosts",
        "slipway_services",
        "slipway_notices",
        "slipway_other_variables",
        "slipway_unknown_variables",
        "status_answers",
        "unbundle_host",
    }
)
# What the roles and playbooks leave behind for those that come after them.
RESULTS = frozenset(
    {
        "adopt_found",
        "adopt_kept",
        "adopt_undone",
        "base_compliance",
        "build_machine",
        "build_result",
        "bundle_result",
        "compliance_found",
        "drift_found",
        "drift_told",
        "rebuild_result",
        "release_answer",
        "release_asked",
        "release_closing",
        "release_closings",
        "release_decision",
        "release_failed",
        "release_against",
        "release_lost",
        "release_finished",
        "release_outcome",
        "release_notices",
        "release_plan",
        "release_preview",
        "release_previews",
        "release_result",
        "release_results",
        "release_resume_found",
        "release_resume_told",
        "release_rollback_failed",
        "release_serves",
        "release_told",
        "remove_baseline",
        "remove_foreseen",
        "slipway_service",
        "unbundle_result",
    }
)
# What goes into a unit as it is.
OF_DIRECTIVES = ("service_directives", "service_limits", "service_sandbox")
ALIKE = 0.7
# A name may begin with another role's prefix; what is compared then must be long enough to mean the same thing.
ALIKE_ELSEWHERE, LONG = 0.85, 8
MANY = 3

Option = Mapping[str, Any]


class Unknown(NamedTuple):
    """A variable that no role reads. nearest: the one that may be meant, or nothing."""

    name: str
    nearest: str
    hosts: tuple[str, ...]


@functools.lru_cache(maxsize=None)
def specification(role: str) -> dict[str, Option]:
    """The options of all entry points of a role."""
    with open(os.path.join(ROLES, role, "meta", "argument_specs.yml"), encoding="utf-8") as stream:
        entry_points = yaml_load(stream)["argument_specs"].values()
    return {name: option for one in entry_points for name, option in (one.get("options") or {}).items()}


def roles() -> list[str]:
    return sorted(name for name in os.listdir(ROLES) if os.path.isdir(os.path.join(ROLES, name, "meta")))


@functools.lru_cache(maxsize=None)
def known() -> frozenset[str]:
    return frozenset(name for role in roles() for name in specification(role)) | OF_PLAYBOOKS


@functools.lru_cache(maxsize=None)
def prefixes() -> tuple[str, ...]:
    """The longest first, as one may begin with another."""
    of_playbooks = {name.partition("_")[0] for name in OF_PLAYBOOKS}
    return tuple(sorted((f"{one}_" for one in {*roles(), *of_playbooks}), key=len, reverse=True))


def find_unknown(names: Mapping[str, Iterable[str]], others: Sequence[str]) -> list[Unknown]:
    """Of the names of each host's variables, those that look like the collection's and are not.

    others: names, or patterns of names, that somebody else reads.
    """
    hosts: dict[str, list[str]] = {}
    for host, of_host in names.items():
        for name in of_host:
            if name.startswith(prefixes()) and name not in known() and name not in RESULTS:
                hosts.setdefault(name, []).append(host)
    return [
        Unknown(name, nearest(name), tuple(where))
        for name, where in sorted(hosts.items())
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in others)
    ]


def nearest(name: str) -> str:
    """The known variable that is most like it, by what follows the role's prefix; empty where none is like it."""
    prefix, tail = _split(name)
    best, likeness = "", 0.0
    for candidate in sorted(known()):
        own, other = _split(candidate)
        alike = difflib.SequenceMatcher(None, tail, other).ratio()
        if own != prefix and (alike < ALIKE_ELSEWHERE or len(tail) < LONG):
            continue
        alike += 0.05 * (own == prefix)
        if alike > max(likeness, ALIKE):
            best, likeness = candidate, alike
    return best


def _split(name: str) -> tuple[str, str]:
    prefix = next((one for one in prefixes() if name.startswith(one)), "")
    return prefix, name[len(prefix) :]


def describe(unknown: Unknown) -> str:
    """What is wrong with it, in one sentence."""
    shown = ", ".join(unknown.hosts[:MANY])
    more = f" and {len(unknown.hosts) - MANY} more" if len(unknown.hosts) > MANY else ""
    return f"{unknown.name} is set for {shown}{more}, and no role of slipway.go reads it."


def fix(unknown: Unknown) -> str:
    other = "add the name to slipway_other_variables if somebody else reads it"
    return f"write {unknown.nearest}, or {other}" if unknown.nearest else f"remove it, or {other}"


def check(role: str, variables: Mapping[str, Any], value: Callable[[str], Any]) -> None:
    """Raise for the first variable of a role that is not what the role's specification says, in one sentence.

    value: what a variable is, without templates.
    """
    for name, option in specification(role).items():
        if name not in variables:
            if option.get("required"):
                raise SlipwayError("invalid_variable", f"{name} is not set.", f"set {name}")
        elif variables[name] != option.get("default"):
            check_value(name, option, value(name))
            if name == controls.VARIABLE:
                controls.check(read_value(name, option, value(name)) or {})
            if name in OF_DIRECTIVES:
                check_directives(name, value(name))


@functools.lru_cache(maxsize=None)
def defaults(role: str) -> dict[str, Any]:
    with open(os.path.join(ROLES, role, "defaults", "main.yml"), encoding="utf-8") as stream:
        return dict(yaml_load(stream))


@functools.lru_cache(maxsize=None)
def roles_by_variable() -> dict[str, str]:
    return {name: role for role in roles() for name in specification(role)}


def default(name: str) -> Any:
    """What its role says where nobody else does; None where the role does not."""
    return defaults(roles_by_variable()[name]).get(name)


def takes_empty(option: Option) -> bool:
    """Whether an empty text is a value of its own, which the variable's documentation then says."""
    if option.get("type", "str") != "str" or "choices" in option:
        return False
    return option.get("default", "") == "" or "empty" in str(option.get("description"))


def is_left_out(option: Option, value: Any) -> bool:
    """Whether the value is what a survey hands over for a question that was not answered."""
    return survey.is_empty(value) and not takes_empty(option)


@functools.lru_cache(maxsize=None)
def _left_out_means_default() -> tuple[tuple[str, Any], ...]:
    """The variables that mean their default where they are empty, with it."""
    every = ((name, role, specification(role)[name]) for name, role in roles_by_variable().items())
    return tuple(
        (name, defaults(role)[name])
        for name, role, option in every
        if name in defaults(role) and not takes_empty(option)
    )


def with_defaults(variables: Mapping[str, Any], trusted: Callable[[Any], Any]) -> Mapping[str, Any]:
    """The variables as they would be if nobody had set those that were left empty.

    trusted: a default of a role as a template that may be evaluated.
    """
    left_out = {
        name: trusted(default)
        for name, default in _left_out_means_default()
        if name in variables and survey.is_empty(variables[name])
    }
    return {**variables, **left_out} if left_out else variables


def value(
    name: str,
    variables: Mapping[str, Any],
    trusted: Callable[[Any], Any],
    template: Callable[[Any], Any],
    read: bool = True,
) -> Any:
    """What a variable of a role means: its default where it was left empty, and what the text says where it is one.

    read: whether a text is read as what the role wants; if not, that is left to whoever gets the value.
    """
    role = roles_by_variable()[name]
    option = specification(role)[name]
    given = template(variables[name]) if name in variables else None
    if (name not in variables or is_left_out(option, given)) and name in defaults(role):
        given = template(trusted(defaults(role)[name]))
    return read_value(name, option, given) if read else given


def read_value(name: str, option: Option, given: Any) -> Any:
    kind = str(option.get("type", "str"))
    if kind == "raw" or given is None or given == option.get("default") or is_left_out(option, given):
        return given
    return _read(name, option, kind, given)


def check_directives(name: str, value: Any) -> None:
    """Raise for a directive that systemd would ignore because it is misspelt."""
    for directive in value or {}:
        meant = directives.nearest(str(directive))
        if meant:
            raise SlipwayError(
                "unknown_directive",
                f"{name} has {directive}, which is no directive of systemd.",
                f"write {meant} in {name}",
            )


def check_value(name: str, option: Option, value: Any) -> None:
    if option.get("required") and survey.is_empty(value):
        raise SlipwayError("invalid_variable", f"{name} is empty.", f"give {_wanted(option)} in {name}")
    try:
        read_value(name, option, value)
    except SlipwayError as error:
        raise SlipwayError("invalid_variable", error.message, error.fix) from None


def _read(name: str, option: Option, kind: str, given: Any) -> Any:
    if kind == "str" and "choices" in option:
        return survey.choice(*map(str, option["choices"]))(given, name)
    if kind in _READERS:
        return _READERS[kind](given, name)
    found = (_LISTS[str(option["elements"])] if kind == "list" else survey.mapping)(given, name)
    _check_structure(name, option, found)
    return found


def _text(value: Any, variable: str) -> str:
    return survey.text(str(value) if isinstance(value, bool) else value, variable)


def _number(value: Any, variable: str) -> float:
    """As it is written: 1 and 1.0 are two texts in a unit file."""
    found = survey.number(value, variable)
    return int(found) if found.is_integer() and "." not in str(value) else found


_READERS: dict[str, survey.Reader] = {
    "bool": survey.switch,
    "int": survey.whole,
    "float": _number,
    "str": _text,
}
# By what they hold.
_LISTS: dict[str, survey.Reader] = {
    "dict": survey.records,
    "int": survey.list_of(survey.whole),
    "str": survey.list_of(_text),
}


def _check_structure(name: str, option: Option, value: Any) -> None:
    """What lists and dictionaries hold, as Ansible itself judges it."""
    errors = ArgumentSpecValidator({name: dict(option)}).validate({name: value}).error_messages
    if errors:
        _refuse(name, option, errors[0])


def _refuse(name: str, option: Option, why: str) -> NoReturn:
    text = " ".join(str(why).split()).rstrip(".")
    message = f"{name} is not as it should be: {text}."
    raise SlipwayError("invalid_variable", message, f"give {_wanted(option)} in {name}")


def _wanted(option: Option) -> str:
    kind, elements = str(option.get("type", "str")), str(option.get("elements", ""))
    if "choices" in option:
        return f"one of {', '.join(map(str, option['choices']))}"
    words = {"bool": "true or false", "int": "a whole number", "float": "a number", "dict": "a dictionary"}
    plural = {"dict": "dictionaries", "int": "whole numbers", "str": "texts"}
    return f"a list of {plural.get(elements, 'values')}" if kind == "list" else words.get(kind, "a text")

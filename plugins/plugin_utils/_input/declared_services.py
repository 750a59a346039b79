# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which services a host has, which of them a run is about, and the variables of one. PRIVATE to the collection.

A host declares several in slipway_services; a host with one has service_name. The playbooks set slipway_service to the
name of the one that their tasks are about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible.utils.vars import load_extra_vars
from ansible.vars.manager import VariableManager
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError, with_fix
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import validate_name
from ansible_collections.slipway.go.plugins.plugin_utils._input import known_variables, survey

DECLARED, CURRENT, NAME = "slipway_services", "slipway_service", "service_name"
ALL = "all"
# Whose variables one service may have for itself; what the others read is the whole host's.
ROLES = ("balancer", "proxy", "release", "service")
# Whose variables a host has where it has a service.
OF_ITS_HOSTS = ("release", "service")
# What a run goes by as a whole, whichever service has failed.
OF_RUN = (
    "release_compare_name",
    "release_max_unavailable",
    "release_on_failure",
    "release_report",
    "release_report_mode",
    "release_until",
)

Variables = Mapping[str, Any]
# What a value is with these variables.
Template = Callable[[Any, Variables], Any]
# Whether a host that declares no service has none, given the names that service_name has there.
PassedOver = Callable[[Sequence[str]], bool]


def template_with(templar: Any) -> Template:
    return lambda value, variables: templar.copy_with_new_env(available_variables=variables).template(value)


def declared(variables: Variables, template: Template) -> dict[str, Variables]:
    """The services that a host declares, in their order, each with its variables; these may hold templates."""
    return {_name(name): _own(str(name), own) for name, own in _declaration(variables, template).items()}


def _declaration(variables: Variables, template: Template) -> Mapping[Any, Any]:
    """As it stands there; one that is a template as a whole is evaluated as a whole."""
    given = variables.get(DECLARED)
    if isinstance(given, str):
        given = template(given, {**variables, NAME: variables.get(CURRENT, variables.get(NAME, ""))})
    if survey.is_empty(given) or given is None:
        return {}
    if not isinstance(given, Mapping):
        raise _invalid(f"{DECLARED} is {type(given).__name__}.", "write it as a dictionary of services by their names")
    return given


def never(_wanted: Sequence[str]) -> bool:
    return False


def chosen(variables: Variables, template: Template, passed_over: PassedOver = never) -> list[str]:
    """The services of a host that the run is about, in the order in which they are declared."""
    names = list(declared(variables, template))
    wanted = _wanted(variables, template)
    if names:
        return [name for name in names if not wanted or name in wanted]
    return [] if passed_over(wanted) else [_only(wanted)]


def _wanted(variables: Variables, template: Template) -> list[str]:
    return wanted_names(template(variables[NAME], variables) if NAME in variables else None)


def _only(names: Sequence[str]) -> str:
    """The one service of a host that declares none."""
    if not names:
        raise SlipwayError("invalid_variable", f"{NAME} is not set.", f"set {NAME}, or declare services in {DECLARED}")
    if len(names) > 1:
        raise _invalid(
            f"{NAME} has {len(names)} services, and {DECLARED} declares none.", f"declare them in {DECLARED}"
        )
    return names[0]


def chosen_if_any(variables: Variables, template: Template, passed_over: PassedOver = never) -> list[str]:
    """The same; none of a host that has no service at all, such as one that is only hardened."""
    if survey.is_empty(variables.get(NAME)) and not declared(variables, template):
        return []
    return chosen(variables, template, passed_over)


def all_names(variables: Variables, template: Template, passed_over: PassedOver = never) -> list[str]:
    """Every service that a host is known to have, whatever the run is about."""
    return list(declared(variables, template)) or chosen_if_any(variables, template, passed_over)


def names_any(variables: Variables, template: Template) -> bool:
    """Whether a host declares services, or service_name is the name of its only one."""
    return bool(declared(variables, template)) or len(_wanted(variables, template)) == 1


def passed_over(variables: Variables, template: Template, loader: Any) -> PassedOver:
    """Of the task's own host."""
    own = variables.get("inventory_hostname")

    def is_passed_over(wanted: Sequence[str]) -> bool:
        if len(wanted) == 1:
            return is_elsewhere(own, wanted[0], variables, template, loader)
        return any_names(others(own, variables), variables, template) and not (
            own and any_names([own], variables, template)
        )

    return is_passed_over


def chosen_there(host: str, theirs: Variables, variables: Variables, template: Template, loader: Any) -> list[str]:
    """The services of any host of the play that the run is about, as far as its own variables say.

    theirs: the host's. variables: the task's.
    """
    return chosen_if_any(
        theirs,
        template,
        lambda wanted: len(wanted) != 1 or is_elsewhere(host, wanted[0], variables, template, loader),
    )


def is_elsewhere(host: Any, name: str, variables: Variables, template: Template, loader: Any) -> bool:
    """Whether the command line alone says that a host has a service, and the inventory says so of another host.

    A host with any variable of a service may be one that is named on the command line only. It is not passed over. What
    a play says counts for each of its hosts.
    """
    extra = load_extra_vars(loader)
    inventory = getattr(variables.get("hostvars"), "_inventory", None)
    if host is None or NAME not in extra or inventory is None:
        return False
    if any(one not in extra and _is_of_a_service(one) for one in variables["hostvars"].raw_get(host)):
        return False
    if _is_said_by_the_play(variables, extra):
        return False
    manager = VariableManager(loader=loader, inventory=inventory)
    manager._extra_vars = {}  # they hide what the inventory says

    def of_inventory(one: str) -> Variables:
        found: Variables = manager.get_vars(host=inventory.get_host(one), include_hostvars=False)
        return found

    theirs = of_inventory(host)
    if not survey.is_empty(theirs.get(NAME)) or any(map(_is_of_a_service, theirs)):
        return False
    return any(_has(name, of_inventory(other), template) for other in others(host, variables))


def _is_said_by_the_play(variables: Variables, extra: Variables) -> bool:
    """Whether a task has a variable of a service that comes from neither its host, the command line nor a default."""
    own = variables.get("inventory_hostname")
    theirs = variables["hostvars"].raw_get(own) if own else {}
    return any(
        not survey.is_empty(given) and given != known_variables.default(one)
        for one, given in variables.items()
        if one not in extra and one not in theirs and _is_of_a_service(one)
    )


def _is_of_a_service(variable: str) -> bool:
    role = known_variables.roles_by_variable().get(variable)
    return role in OF_ITS_HOSTS and variable != NAME and _may_differ(variable)


def _has(name: str, variables: Variables, template: Template) -> bool:
    return name in (list(declared(variables, template)) or _wanted(variables, template))


def others(host: Any, variables: Variables) -> list[str]:
    return [one for one in variables.get("ansible_play_hosts_all") or [] if one != host]


def any_names(hosts: Iterable[str], variables: Variables, template: Template) -> bool:
    """Whether the inventory names services of any of these hosts. One host's variables cost much: few are read."""
    return any(names_any(variables["hostvars"].raw_get(host), template) for host in hosts)


def of_play(variables: Variables) -> Variables:
    """What a play says of the services of all its hosts: the inventory of the task's own host does not say it."""
    given = {key: variables[key] for key in (DECLARED, NAME) if variables.get(key) is not None}
    own = variables.get("inventory_hostname")
    theirs = variables["hostvars"].raw_get(own) if given and own else {}
    return {key: value for key, value in given.items() if theirs.get(key) != value}


def wanted_names(given: Any) -> list[str]:
    """What service_name chooses; empty where it chooses all."""
    if given is None or survey.is_empty(given) or given == ALL:
        return []
    return survey.list_of(survey.text)(given, NAME)


def current(variables: Variables, template: Template) -> str:
    """The service that a task is about; empty where it is not said."""
    given = variables.get(CURRENT, variables.get(NAME))
    found = template(given, variables) if given is not None else ""
    return found if isinstance(found, str) else ""


def is_one_of_several(variables: Variables) -> bool:
    """Whether a task is about a service that its host declares."""
    return CURRENT in variables and not survey.is_empty(variables.get(DECLARED))


def of_service(variables: Variables, template: Template, extra: Variables) -> Variables:
    """A host's variables as they are for the service that a task is about.

    Its own count more than the host's. extra: those of the command line, which count most.
    """
    if variables.get(DECLARED) is None:
        return variables
    name = current(variables, template)
    declaration = _declaration({**variables, CURRENT: name}, template)
    if name not in declaration:
        return variables
    own = _own(name, declaration[name])  # each variable is read through this: the other services are not looked at
    return {**variables, **{key: value for key, value in own.items() if key not in extra}, NAME: name}


def at_hand(variables: Variables, templar: Any, loader: Any) -> Variables:
    """The same, of a plugin's task."""
    return of_service(variables, template_with(templar), load_extra_vars(loader))


def passed_over_hosts(names: Sequence[str], service: str) -> str:
    """A warning where the command line names a service that the inventory gives to other hosts; else nothing."""
    if not names:
        return ""
    verb, own = ("is", "its") if len(names) == 1 else ("are", "their")
    return with_fix(
        f"{', '.join(names)} {verb} passed over: {NAME} is {service} on the command line, other hosts have {service} "
        f"in the inventory, and {own} variables have neither {NAME} nor any variable of a service.",
        f"set {NAME} to {service} in the inventory for a host that is to have it",
    )


def check_choice(hosts: Mapping[str, tuple[Sequence[str], Any]]) -> None:
    """Raise where service_name chooses a service that no host has.

    hosts: by name, the services that the host declares, and its service_name.
    """
    everywhere = {name for names, _given in hosts.values() for name in names}
    if not everywhere or not all(names for names, _given in hosts.values()):
        return
    for wanted in (wanted_names(given) for _names, given in hosts.values()):
        for name in wanted:
            if name not in everywhere:
                raise SlipwayError(
                    "undeclared_service",
                    f"{NAME} is {name}, and {DECLARED} declares {', '.join(sorted(everywhere))}. Nothing was changed.",
                    f"correct {NAME}, or declare {name} in {DECLARED}",
                )


def left_out(hosts: Mapping[str, tuple[Sequence[str], Any]]) -> str:
    """A warning where the inventory's service_name leaves out services that the same host declares; else nothing.

    hosts: as for check_choice, without what the command line says.
    """
    missing: dict[str, None] = {}
    given: dict[str, None] = {}
    for names, own in hosts.values():
        wanted = wanted_names(own)
        without = [name for name in names if wanted and name not in wanted]
        missing.update(dict.fromkeys(without))
        given.update(dict.fromkeys(wanted if without else []))
    if not missing:
        return ""
    return with_fix(
        f"{NAME} is {', '.join(given)} in the inventory, and chooses among the services that {DECLARED} declares: "
        f"the run leaves out {', '.join(missing)}.",
        f"take {NAME} out of the inventory, and choose with -e {NAME}=… where a run is about some of them",
    )


def check_together(name: str, of_each: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Raise where a service has for itself what another one of its host has.

    of_each: by service, what it has under each variable that no two may share.
    """
    for other, values in of_each.items():
        for variable, taken in values.items() if other != name else ():
            own = of_each.get(name, {}).get(variable, ())
            both = next((one for one in own if any(_overlap(one, that) for that in taken)), None)
            if both is not None:
                raise SlipwayError(
                    "services_clash",
                    f"{variable} has {both} for {name}, and {other} has it, too. Nothing was changed.",
                    f"give {name} or {other} another one in {DECLARED}",
                )


def _overlap(one: str, other: str) -> bool:
    """Whether two paths are the same, or two addresses of sockets cannot both be listened on."""
    address, _colon, port = one.rpartition(":")
    other_address, _colon, other_port = other.rpartition(":")
    return port == other_port and (address == other_address or not (address and other_address))


def own_names(variables: Variables) -> Iterable[str]:
    """The names of all variables inside the declaration, as far as it is no template."""
    given = variables.get(DECLARED)
    for own in given.values() if isinstance(given, Mapping) else ():
        yield from map(str, own if isinstance(own, Mapping) else ())


def _name(name: Any) -> str:
    if name == ALL:
        raise _invalid(f"{DECLARED} has a service {ALL}, which {NAME} takes for every service.", "choose another name")
    try:
        return validate_name(str(name))
    except SlipwayError as error:
        raise _invalid(f"{DECLARED}: {error.message}", error.fix) from None


def _own(name: str, own: Any) -> Variables:
    if own is None:
        return {}
    if not isinstance(own, Mapping):
        raise _invalid(f"{name} in {DECLARED} is {type(own).__name__}.", f"give {name} a dictionary of variables")
    for variable in map(str, own):
        if variable == NAME:
            raise _invalid(f"{name} in {DECLARED} has {NAME}.", f"remove it, since {name} is the name already")
        if not _may_differ(variable):
            raise _invalid(
                f"{name} in {DECLARED} has {variable}, which is about the whole host or run.",
                f"set {variable} outside of {DECLARED}",
            )
    return own


def _may_differ(variable: str) -> bool:
    if variable.startswith(("slipway_", "release_rollback_")) or variable in {*known_variables.OF_PLAYBOOKS, *OF_RUN}:
        return False
    role = known_variables.roles_by_variable().get(variable)
    return role is None or role in ROLES


def _invalid(message: str, fix: str) -> SlipwayError:
    return SlipwayError("invalid_services", message, fix)

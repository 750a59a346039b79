# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that a task leaves out, as the variables of its role say. This file is PRIVATE to the collection.

A template for each option of a task is compiled anew on each host. Most variables hold no template at all.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ansible.errors import AnsibleUndefinedVariable
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._input import known_variables, survey

try:
    from ansible.template import trust_as_template
except ImportError:  # before 2.19, a template is whatever looks like one

    def trust_as_template(value: Any) -> Any:
        return value


Variables = Mapping[str, Any]
# The variable of each option, or those of its options.
Table = Mapping[str, Any]


PLAIN = (bool, int, float, datetime.date, type(None))


def is_plain(value: Any) -> bool:
    """Whether no template is anywhere in it. What is not known here, such as a value of Ansible Vault, may hold one."""
    if isinstance(value, str):
        return "{" not in value
    if isinstance(value, Mapping):
        return all(is_plain(one) for pair in value.items() for one in pair)
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return isinstance(value, PLAIN)


def trusted(default: Any) -> Any:
    """A role's default, as a template that may be evaluated."""
    return trust_as_template(default) if isinstance(default, str) else default


def table(role: str, options: Mapping[str, tuple[str, survey.Reader]]) -> dict[str, str]:
    """The variable of each option that has one of that role."""
    own = known_variables.specification(role)
    return {option: variable for option, (variable, _read) in options.items() if variable in own}


def complete(given: Mapping[str, Any], table: Table, value: Callable[[str], Any]) -> dict[str, Any]:
    """The options with those that are left out.

    value: what a variable means; None where its option is to be left out, too.
    """
    found = dict(given)
    for option, variable in table.items():
        if isinstance(variable, Mapping):
            inner = given.get(option) or {}
            if isinstance(inner, Mapping):
                found[option] = complete(inner, variable, value)
        elif option not in given:
            meant = value(variable)
            if meant is not None:
                found[option] = meant
    return found


def reader(
    variables: Variables, templar: Any, optional: Collection[str] = (), read: Collection[str] = ()
) -> Callable[[str], Any]:
    """What variables mean: their default where they were left empty, with the templates that they hold evaluated.

    optional: those whose options are left out where they are nothing, such as an empty list. read: those whose text is
    read as what the role wants, and not by whoever gets the option.
    """
    meant = known_variables.with_defaults(variables, trusted)
    with_these = templar.copy_with_new_env(available_variables=meant)
    omit = variables.get("omit")

    def template(raw: Any) -> Any:
        if is_plain(raw):  # which an Ansible before 2.19 could not template where it holds the dates of YAML
            return raw
        return next(iter(with_these.template([raw])), None)  # an element that is omitted is none

    def value(name: str) -> Any:
        try:
            found = known_variables.value(name, meant, trusted, template, read=name in read)
        except SlipwayError:
            raise
        except Exception as error:
            raise SlipwayError(
                "invalid_variable", f"{name} cannot be evaluated{_why(error)}.", f"correct {name}"
            ) from None
        return None if name in optional and not found else _without(found, omit)

    return value


def _why(error: Exception) -> str:
    """Only what names a variable: other messages may have the source of the template, and a secret in it."""
    return f": {' '.join(str(error).split()).rstrip('.')}" if isinstance(error, AnsibleUndefinedVariable) else ""


def _without(value: Any, omit: Any) -> Any:
    """Without what is to be omitted, which before Ansible 2.19 is a text of its own."""
    if not isinstance(omit, str):
        return value
    if isinstance(value, Mapping):
        return {name: _without(one, omit) for name, one in value.items() if one != omit}
    if isinstance(value, list):
        return [_without(one, omit) for one in value if one != omit]
    return None if value == omit else value

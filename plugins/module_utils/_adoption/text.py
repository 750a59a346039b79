# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a look at a service of somebody's own has found, for people. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence

from .._core.errors import sentence, with_fix
from .masking import HIDDEN, hides_one, shown_arguments

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/._-]*")
_WORDS_OF_YAML = ("yes", "no", "true", "false", "on", "off", "null", "y", "n")
_TEMPLATE = re.compile(r"\{[{%#]")
_TO_BE_SET = re.compile(r"\{\{ vault_[a-z0-9_]+ \}\}")
# What may hold secrets: compared by name, and never shown.
_BY_NAME = ("service_environment", "service_credentials")


class Difference(NamedTuple):
    variable: str
    inventory: str
    proposed: str


def render(told: Mapping[str, Any], declared: Mapping[str, Any], host: str = "") -> str:
    """The whole answer. declared: what the inventory says of these variables today. host: its name there."""
    name = f"{host}, {told['service']}" if host else told["service"]
    if told["managed"]:
        back = "; adopt_undo gives it back to the unit that it had before" if told.get("former_kept") else ""
        return f"{name}: slipway has this service already; nothing is to be adopted{back}"
    return "\n".join(
        [
            *_head(name, told),
            *_findings(told),
            "  the strategies:",
            *(f"    {one['strategy']:<8} {one['verdict']}: {one['because']}" for one in told["strategies"]),
            "  for the inventory:",
            *(f"    {line}" for line in yaml_lines(told["proposal"])),
            *_compared(differences(told["proposal"], declared)),
            *(_steps(told, host) if told["adoptable"] else []),
        ]
    )


def _head(name: str, told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{name}: {told['state']}, Type={told['type']}, user {told['user']}, {told['program']}"
    for path in told["unit_files"]:
        yield f"  unit         {path}"
    for path in told["environment_files"]:
        yield f"  environment  {path}"
    yield f"  listens on   {', '.join(told['listen']) or 'no TCP port'}"


def _findings(told: Mapping[str, Any]) -> Iterator[str]:
    for blocks, title in ((True, "  cannot be taken over:"), (False, "  will be different:")):
        found = [one for one in told["findings"] if one["blocks"] is blocks]
        if found:
            yield title
        for one in found:
            yield f"    {with_fix(sentence(one['setting'] + ': ' + one['message']), one['fix'])}"


def yaml_lines(variables: Mapping[str, Any]) -> Iterator[str]:
    """The variables as an inventory has them."""
    for name, value in variables.items():
        if isinstance(value, Mapping):
            yield f"{name}:"
            yield from (f"  {_scalar(key)}: {_flow(one)}" for key, one in value.items())
        elif isinstance(value, list):
            yield f"{name}:"
            yield from (f"  - {_scalar(one)}" for one in value)
        else:
            yield f"{name}: {_scalar(value)}"


def _flow(value: Any) -> str:
    return f"[{', '.join(map(_quoted, value))}]" if isinstance(value, list) else _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML:
        return value
    return _quoted(value)


def _quoted(value: Any) -> str:
    """As JSON, which is YAML; a text that Ansible would take for a template is marked as none."""
    text = json.dumps(value, ensure_ascii=False)
    is_template = isinstance(value, str) and _TEMPLATE.search(value) and not _TO_BE_SET.fullmatch(value)
    return f"!unsafe {text}" if is_template else text


def differences(proposal: Mapping[str, Any], declared: Mapping[str, Any]) -> list[Difference]:
    """Where the inventory says something else; what it does not say is no difference."""
    return [
        Difference(name, _told(name, declared[name]), _told(name, value))
        for name, value in proposal.items()
        if declared.get(name) not in (None, "", [], {}) and _told(name, declared[name]) != _told(name, value)
    ]


def _told(name: str, value: Any) -> str:
    if name in _BY_NAME and isinstance(value, (Mapping, list, tuple)):
        return f"the names {', '.join(sorted(map(str, value))) or 'of none'}"
    if isinstance(value, (list, tuple)):
        return json.dumps(shown_arguments([_word(one) for one in value]), ensure_ascii=False)
    if isinstance(value, Mapping):
        words = {
            key: [HIDDEN if hides_one(str(key), _word(one)) else _word(one) for one in _list(of_key)]
            for key, of_key in value.items()
        }
        return json.dumps(words, ensure_ascii=False, sort_keys=True)
    return _word(value)


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


def _word(value: Any) -> str:
    """The same for 2, 2.0 and "2", and for yes and true."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _compared(found: Sequence[Difference]) -> Iterator[str]:
    if found:
        yield "  the inventory says something else:"
    for one in found:
        yield f"    {one.variable}: {one.inventory}, and the unit: {one.proposed}"


def _steps(told: Mapping[str, Any], host: str) -> Iterator[str]:
    """By the playbook, and by hand: then each command needs the one before, and the first never replaces an archive."""
    name = told["service"]
    archive = f"/root/{name}-before-slipway.tar.gz"
    has_socket = any(os.path.basename(path) == f"{name}.socket" for path in told["unit_files"])
    units = " ".join([*([f"{name}.socket"] if has_socket else []), f"{name}.service"])
    kept = _words(path.lstrip("/") for path in told["kept"])
    limit = f"--limit {shlex.quote(host)} " if host else ""
    adopt = f"ansible-playbook slipway.go.adopt {limit}-e service_name={name}"
    yield "  to let the first release take it over, once the inventory has these variables, and the way back:"
    yield f"    {adopt} -e release_version=VERSION -e adopt_switch=true"
    yield f"    {adopt} -e adopt_undo=true"
    yield "  or by hand, on the host, to make room for it (the service is down from the second line on):"
    yield f"    (umask 077; set -C; tar -C / -cz {kept} > {archive} && sync) &&"
    yield f"    systemctl disable --now {units} &&"
    yield f"    rm -rf -- {_words(told['moved'])} &&"
    yield "    systemctl daemon-reload"
    yield "  then on the controller, which ends the downtime:"
    yield f"    ansible-playbook slipway.go.site {limit}-e service_name={name} -e release_version=VERSION"
    yield "  the way back, on the controller:"
    yield f"    ansible-playbook slipway.go.remove {limit}-e service_name={name} -e remove_confirm={name}"
    yield "  and then on the host:"
    yield f"    tar -C / -xzpf {archive} &&"
    start = _start(told, bool(told["pid"]) or has_socket)
    yield f"    systemctl daemon-reload{' &&' if start else ''}"
    if start:
        yield f"    systemctl {start} {units}"


def _start(told: Mapping[str, Any], is_up: bool) -> str:
    """What makes systemd start it as it does today; empty where it does not."""
    if told["enabled"]:
        return "enable --now" if is_up else "enable"
    return "start" if is_up else ""


def _words(paths: Iterable[str]) -> str:
    return " ".join(map(shlex.quote, paths))

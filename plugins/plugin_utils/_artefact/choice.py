# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of several artefacts is the right one for a host. This file is PRIVATE to the collection.

release_src is one text, a pattern with {goarch} and {level}, or a dictionary by names such as amd64v3. What goes with
the artefact (its checksum, its signature) may be so, too, and follows it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Union

from ansible_collections.slipway.go.plugins.module_utils._build import targets
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import fetch
from ansible_collections.slipway.go.plugins.plugin_utils._input import survey

GOARCH, LEVEL = "{goarch}", "{level}"
SRC = "release_src"
# Options that go with the artefact, and their variables.
COMPANIONS = {"checksum": "release_checksum", "signature": "release_signature", "provenance": "release_provenance"}

Place = Union[str, Mapping[str, str]]


class Processor(NamedTuple):
    """A host, as slipway.go.processor_info has told it. names: the builds that it can run, the best first."""

    machine: str
    goarch: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Processor:
        return cls(str(told.get("machine")), str(told.get("goarch") or ""), tuple(map(str, told.get("names") or ())))

    def __str__(self) -> str:
        return f"{self.machine} ({self.names[0]})" if self.names else self.machine

    @property
    def target(self) -> str:
        """What to build for it. Only of arm does the usual build not run on every host."""
        level = f"/{self.names[0][len('armv') :]}" if self.goarch == "arm" and self.names else ""
        return f"linux/{self.goarch}{level}"

    def fill(self, pattern: str, name: str) -> str:
        """The pattern with the name of one build."""
        return pattern.replace(GOARCH, self.goarch).replace(LEVEL, name[len(self.goarch) :])


def place(value: Any, variable: str) -> Place:
    """Read a text, or a dictionary of texts by architecture, which a survey gives as a text, too."""
    if isinstance(value, str) and value.strip().startswith("{") and value.strip().endswith("}") and ":" in value:
        value = survey.mapping(value, variable)
    if not isinstance(value, Mapping):
        return survey.text(value, variable)
    found = {str(key): one for key, one in value.items() if not survey.is_empty(one)}
    for key, one in found.items():
        _require_known(key, variable)
        if isinstance(one, (Mapping, list, tuple, bool)):
            raise SlipwayError(
                _invalid(variable), f"{variable} has something else than a text for {key}.", f"give {key} one text"
            )
    return {key: str(one) for key, one in found.items()}


def _invalid(variable: str) -> str:
    return f"invalid_{variable.partition('_')[2]}"


def _require_known(key: str, variable: str) -> None:
    known = targets.names()
    if key in known:
        return
    near = difflib.get_close_matches(key, known, 1)
    raise SlipwayError(
        _invalid(variable),
        f"{variable} has {key!r}, which is no architecture that Go has on Linux, with or without a level.",
        f"write {near[0]!r} in {variable}" if near else "name each such as amd64, amd64v3, arm64, armv6 or riscv64",
    )


def is_open(src: Any) -> bool:
    """Whether the host decides which artefact it is."""
    return isinstance(src, Mapping) or GOARCH in str(src or "") or LEVEL in str(src or "")


def require_closed(arguments: Mapping[str, Any]) -> None:
    """Raise where what goes with the artefact is by architecture, and the artefact itself is not."""
    for option, variable in COMPANIONS.items():
        if isinstance(arguments.get(option), Mapping):
            raise SlipwayError(
                f"invalid_{option}",
                f"{variable} is by architecture, and {SRC} is one artefact for all hosts.",
                f"give {SRC} by architecture, too, or one text in {variable}",
            )


def require_listable(src: Place, elsewhere: bool) -> None:
    """Raise for a pattern that nobody can try out. elsewhere: the controller does not see the files."""
    if elsewhere and isinstance(src, str) and LEVEL in src:
        raise SlipwayError(
            "invalid_src",
            f"{SRC} is {fetch.shown(src)}, and only among files of the controller can be seen which levels are there.",
            f"name them in a dictionary, such as amd64v3 and amd64, or leave {LEVEL} out",
        )


def choose(arguments: Mapping[str, Any], host: Processor, exists: Callable[[str], bool]) -> dict[str, Any]:
    """The options with the one artefact for this host, and with what goes with it. exists: tells of the controller."""
    src: Place = arguments["src"]
    name, chosen = _from_table(src, host) if isinstance(src, Mapping) else _from_pattern(src, host, exists)
    found = {**arguments, "src": chosen}
    for option, variable in COMPANIONS.items():
        given = arguments.get(option)
        if isinstance(given, Mapping):
            found[option] = _companion(given, name, variable)
        elif isinstance(given, str):
            found[option] = host.fill(given, name)
    return found


def _from_table(table: Mapping[str, str], host: Processor) -> tuple[str, str]:
    for name in host.names:
        if name in table:
            return name, host.fill(table[name], name)
    raise _nothing_for(host, f"it has {', '.join(table)}")


def _from_pattern(pattern: str, host: Processor, exists: Callable[[str], bool]) -> tuple[str, str]:
    if not host.names:
        raise _nothing_for(host, "Go has no name for that")
    if LEVEL not in pattern:
        return host.goarch, host.fill(pattern, host.goarch)
    paths = [(name, host.fill(pattern, name)) for name in host.names]
    found = next(((name, path) for name, path in paths if exists(path)), None)
    if found is None:
        listed = _listed(path for _name, path in paths)
        raise _nothing_for(host, f"none of these is on the controller: {listed}", "as one of these files")
    return found


def _listed(paths: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(paths))


def _nothing_for(host: Processor, has: str, then: str = f"and add it to {SRC}") -> SlipwayError:
    wanted = f"build it for {host.target} {then}" if host.goarch else "release it elsewhere"
    return SlipwayError(
        "no_artefact_for_host",
        f"{SRC} has no artefact for this host, which is {host}; {has}.",
        f"{wanted}, or leave this host out with --limit",
    )


def _companion(table: Mapping[str, str], name: str, variable: str) -> str:
    if name in table:
        return table[name]
    raise SlipwayError(
        _invalid(variable),
        f"{variable} has {_names(table)}, and not {name}, which {SRC} has for this host.",
        f"add {name} to {variable}",
    )


def _names(table: Mapping[str, str]) -> str:
    return ", ".join(table) or "nothing"

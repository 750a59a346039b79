# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an artefact says of its own build, and what stands beside it. This file is PRIVATE to the collection.

All of it is untrusted: it decides only what is built again, and flags that could start another program are refused.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence

from .._binary.facts import read_binary
from .._binary.go_build_info import BuildInfo
from .._core import files
from .._core.errors import SlipwayError
from .._release.artefact import dsse
from .._release.artefact.provenance import BUILD_TYPE, ENDING, SOURCES
from . import manifest
from .request import AUTO, OFF
from .targets import GOOS, variable_names

FROM_VARIABLE, FROM_MANIFEST, FROM_PROVENANCE, FROM_ARTEFACT = "variable", "manifest", "provenance", "artefact"
# What may be handed to the toolchain as it is. -ldflags is read word by word.
_FLAG = re.compile(
    r"-trimpath|-buildvcs=(?:auto|true|false)|-mod=(?:vendor|readonly)|-tags=[A-Za-z0-9_.,]+|-pgo=(?![-/])[^\0\n]+"
    r"|-buildmode=(?:exe|pie)"
)
_SETTING = re.compile(r"[A-Za-z0-9.,_+-]*")
_EXPERIMENTS = re.compile(r" X:(\S+)")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# What decides what comes out and is of the environment.
_OF_ENVIRONMENT = ("GOOS", "GOARCH", "GOEXPERIMENT", "GOFIPS140")
# Settings that name a flag of the build, beside those that a rebuild passes on.
_REBUILT = ("-buildmode", "-compiler", "-ldflags", "-pgo", "-tags", "-trimpath")
_COMMAND_LINE = "command-line-arguments"


class Beside(NamedTuple):
    """What a file beside the artefact says. sha256: of the artefact that it is about; empty where it does not say."""

    flags: Optional[tuple[str, ...]] = None
    commit: str = ""
    sha256: str = ""
    repository: str = ""
    modified: bool = False


class Record(NamedTuple):
    """package: the import path of the program. module: that of its module. flags_from: who says which -ldflags."""

    path: str
    sha256: str
    size: int
    toolchain: str
    module: str
    package: str
    commit: str
    repository: str
    settings: Mapping[str, str]
    flags: tuple[str, ...]
    flags_from: str
    warnings: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """That of the package below the module, as the toolchain names it."""
        below = self.package[len(self.module) :].strip("/")
        return f"./{below}" if below else "."

    @property
    def target(self) -> str:
        levels = [self.settings[name] for name in variable_names() if self.settings.get(name)]
        return "/".join((self.settings["GOOS"], self.settings["GOARCH"], *levels))


def read(path: str, ldflags: str) -> Record:
    """ldflags: those that the operator knows; empty where they are to be found."""
    if not os.path.isabs(path):
        raise SlipwayError(
            "invalid_build",
            f"rebuild_artefact is {path!r}, which is no absolute path.",
            "set rebuild_artefact to a path that begins with /",
        )
    binary = read_binary(path)
    facts = binary.facts
    if binary.info is None or binary.info.damaged:
        raise _no_record(path, binary.packed)
    stated, proven = read_manifest(path + manifest.MANIFEST), read_provenance(path + ENDING)
    settings = dict(binary.info.settings)
    _require_one_commit(path, settings, stated)
    module, package = _names(path, binary.info)
    flags, source = _find_flags(path, settings, ldflags, stated, proven, facts["stripped"])
    return Record(
        path,
        facts["sha256"],
        facts["size"],
        binary.info.version,
        module,
        package,
        _commit(settings, stated, proven),
        proven.repository,
        _environment(path, binary.info),
        flags,
        source,
        tuple(_warnings(facts["sha256"], stated, proven)),
    )


def _no_record(path: str, packed: bool) -> SlipwayError:
    why = "it is packed by UPX" if packed else "it is no program of Go, or was stripped of it"
    return SlipwayError(
        "rebuild_no_record",
        f"{path} has no build information of Go that can be read: {why}.",
        "give the artefact as go build has written it",
    )


def read_manifest(path: str) -> Beside:
    """Nothing where there is no manifest, or it is damaged."""
    document = manifest.read(path)
    return Beside(
        _texts(document.get("flags")),
        _hexadecimal(document.get("commit")),
        _text(document.get("sha256")),
        modified=document.get("modified") is True,
    )


def read_provenance(path: str) -> Beside:
    """Nothing where there is no provenance, or it is not one of this collection. Nobody's signature is asked for here:
    the bytes that come out decide."""
    try:
        document = dsse.parse_json(dsse.parse(files.text(path)).payload.decode())
        definition = document["predicate"]["buildDefinition"]
        subject = document["subject"][0]["digest"]["sha256"]
        if definition["buildType"] != BUILD_TYPE:
            return Beside()
        flags = definition["internalParameters"]["flags"]
        source = definition["externalParameters"].get(SOURCES[BUILD_TYPE], {})
        commits = [one["digest"]["gitCommit"] for one in definition["resolvedDependencies"] if "digest" in one]
        return Beside(
            _texts(flags),
            _hexadecimal(commits[0]) if commits else "",
            _text(subject),
            _text(source.get("repository")),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return Beside()


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _texts(given: Any) -> Optional[tuple[str, ...]]:
    return tuple(given) if isinstance(given, list) and all(isinstance(one, str) for one in given) else None


def _hexadecimal(given: Any) -> str:
    return given if isinstance(given, str) and _COMMIT.fullmatch(given) else ""


def _require_one_commit(path: str, settings: Mapping[str, str], stated: Beside) -> None:
    if settings.get("vcs.modified") == "true" or (stated.modified and "vcs.revision" not in settings):
        revision = settings.get("vcs.revision") or stated.commit or "its commit"
        raise SlipwayError(
            "rebuild_modified",
            f"{path} was built from {revision} with changes that are in no commit (vcs.modified=true): nothing says "
            "what they were.",
            "commit the changes, and build the artefact again from that commit",
        )


def _commit(settings: Mapping[str, str], *beside: Beside) -> str:
    own = _hexadecimal(settings.get("vcs.revision"))
    return own or next((one.commit for one in beside if one.commit), "")


def _names(path: str, info: BuildInfo) -> tuple[str, str]:
    """The module and the package of the program."""
    module = info.main.path if info.main is not None else ""
    is_inside = info.path == module or info.path.startswith(f"{module}/")
    if not module or info.path == _COMMAND_LINE or not is_inside or ".." in info.path.split("/"):
        raise _unsupported(
            f"{path} was built as {info.path or 'a package without a name'}, which is no package of a module.",
            "build it as a package, such as ./cmd/shop, and not from a list of files",
        )
    return module, info.path


def _unsupported(message: str, fix: str) -> SlipwayError:
    return SlipwayError("rebuild_unsupported", message, fix)


def _environment(path: str, info: BuildInfo) -> dict[str, str]:
    """The variables of the build. Their names are from a list, and their values are words."""
    settings = dict(info.settings)
    if "GOOS" not in settings:
        raise _unsupported(
            f"{path} was built with {info.version}, which does not write into a program how it is built.",
            "build it with Go 1.18 or newer",
        )
    if settings["GOOS"] != GOOS:
        raise _unsupported(
            f"{path} is built for {settings['GOOS']}, and only {GOOS} is built for.",
            f"give an artefact that is built with GOOS={GOOS}",
        )
    if settings.get("CGO_ENABLED") != "0":
        raise _unsupported(
            f"{path} was built with cgo (CGO_ENABLED={settings.get('CGO_ENABLED', '')}): its bytes depend on the C "
            "compiler and the libraries of the host that built it.",
            "build it with CGO_ENABLED=0, as slipway.go.build does",
        )
    if settings.get("-trimpath") != "true":
        raise _unsupported(
            f"{path} was built without -trimpath: its bytes depend on the folder in which it was built.",
            "build it with -trimpath, as slipway.go.build does",
        )
    found = {name: settings[name] for name in (*_OF_ENVIRONMENT, *variable_names()) if settings.get(name)}
    experiments = _EXPERIMENTS.search(info.version)
    if experiments and "GOEXPERIMENT" not in found:
        found["GOEXPERIMENT"] = experiments.group(1)
    wrong = next((name for name, value in found.items() if not _SETTING.fullmatch(value)), "")
    if wrong or "GOARCH" not in found:
        raise _no_record(path, False)
    return found


def _find_flags(
    path: str, settings: Mapping[str, str], ldflags: str, stated: Beside, proven: Beside, is_stripped: bool
) -> tuple[tuple[str, ...], str]:
    """The flags of the build, and who says them. With -trimpath, go does not write -ldflags into the program."""
    if ldflags:
        flags, source = [*_recorded(path, settings), f"-ldflags={ldflags}"], FROM_VARIABLE
    elif stated.flags is not None:
        flags, source = [*stated.flags], FROM_MANIFEST
    elif proven.flags is not None:
        flags, source = [*proven.flags], FROM_PROVENANCE
    else:
        flags, source = [*_recorded(path, settings), *(["-ldflags=-s -w"] if is_stripped else [])], FROM_ARTEFACT
    named = [f"{name}={value}" for name, value in settings.items() if name.startswith("-") and name not in _REBUILT]
    if settings.get("-compiler", "gc") != "gc":
        named.append(f"-compiler={settings['-compiler']}")
    refused = next((flag for flag in (*flags, *named) if not is_plain(flag)), "")
    if refused:
        raise _unsupported(
            f"{path} was built with {refused!r}, by {_SAYS[source]}, and a rebuild does not pass that on.",
            "build it with the flags that slipway.go.build has, or set rebuild_ldflags to -s, -w and -X alone",
        )
    return tuple(_with_stamps(flags, "vcs.revision" in settings)), source


def _with_stamps(flags: Iterable[str], is_stamped: bool) -> Iterator[str]:
    """As it turned out: `auto` means something else in another folder."""
    for flag in flags:
        yield f"-buildvcs={'true' if is_stamped else 'false'}" if flag.startswith("-buildvcs=") else flag


_SAYS = {
    FROM_VARIABLE: "rebuild_ldflags or its build information",
    FROM_MANIFEST: "its manifest or its build information",
    FROM_PROVENANCE: "its provenance or its build information",
    FROM_ARTEFACT: "its build information",
}


def _recorded(path: str, settings: Mapping[str, str]) -> Iterator[str]:
    """The flags that build information has."""
    yield "-trimpath"
    yield f"-buildvcs={AUTO}"
    if settings.get("-tags"):
        yield f"-tags={settings['-tags']}"
    if settings.get("-buildmode", "exe") != "exe":
        yield f"-buildmode={settings['-buildmode']}"
    profile = settings.get("-pgo", "")
    if profile and os.path.basename(profile) != "default.pgo":
        raise _unsupported(
            f"{path} was built with the profile {profile!r}, and nothing beside it says where that is in the source.",
            "put the manifest of the build beside it (NAME.json)",
        )
    yield f"-pgo={AUTO if profile else OFF}"


def is_plain(flag: str) -> bool:
    """Whether a flag starts no other program and reads no file outside of the source."""
    name, _equals, value = flag.partition("=")
    if name == "-ldflags":
        return _are_plain_ldflags(value)
    return _FLAG.fullmatch(flag) is not None and ".." not in value.split("/")


def _are_plain_ldflags(text: str) -> bool:
    """-s, -w and -X alone: other options of the linker name programs and files."""
    if "\\" in text:
        return False
    try:
        words = shlex.split(text)
    except ValueError:
        return False
    return _are_plain(words)


def _are_plain(words: Sequence[str]) -> bool:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        value = rest.pop(0) if word == "-X" and rest else word[len("-X=") :] if word.startswith("-X=") else None
        if not (word in ("-s", "-w") or (value is not None and re.match(r"[^-=\s][^=\s]*\.[^=.\s]+=", value))):
            return False
    return True


def _warnings(sha256: str, stated: Beside, proven: Beside) -> Iterable[str]:
    for name, beside in (("manifest", stated), ("provenance", proven)):
        if beside.sha256 and beside.sha256 != sha256:
            yield f"its {name} is about a file with the SHA-256 {beside.sha256}, and that of the artefact is {sha256}"

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release is made of, and the rules its names must obey. This file is PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from ..._core.errors import SlipwayError

STRATEGIES = ("socket", "proxy", "reload", "restart")  # the first is the default
PROXY_PORTS = (18080, 18081)
RESERVED_NAMES = frozenset(("systemd", "ssh", "sshd", "dbus", "slipway", "deadman"))
RESERVED_SUFFIXES = ("-guard", "-rehearsal", "-watch", "-alert")  # units of a service beside its releases
MAX_NAME = 31
MAX_VERSION = 100
MAX_PORT = 65535
DIGEST_LENGTH = 10
# What follows where the requests of users say nothing for certain.
ACCEPT, REFUSE = "accept", "refuse"
# What follows where only their durations speak against the new release.
ROLLBACK, PAUSE = "rollback", "pause"
# As long as a host waits for a person at most; a lease and a timer that waits for the lock outlast it.
LONGEST_PAUSE = 43200.0
MAX_ARTEFACT = 1 << 30

# One name is a unit, a Linux user (useradd(8)), a directory and a syslog identifier: the strictest of the four rules.
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RELEASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{10}")
_PROGRAM = re.compile(r"[A-Za-z0-9._/][^\0]*")  # what else a command of a unit begins with has a meaning to systemd
_DECISION = re.compile(r"(done|again)-([0-9a-f]{8})")


def validate_name(name: str) -> str:
    """Return a service name that systemd, useradd and the file system all accept."""
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise SlipwayError(
            "invalid_name",
            f"service_name {name!r} is not a usable service name.",
            f"use lower-case letters, digits, '-' and '_', a letter first, at most {MAX_NAME} characters",
        )
    if name in RESERVED_NAMES or name.endswith(RESERVED_SUFFIXES):
        raise SlipwayError(
            "invalid_name", f"service_name {name!r} belongs to the system or to slipway.", "choose another name"
        )
    return name


def validate_version(version: str) -> str:
    """Return a version that can be part of a path and of a unit name."""
    if not _VERSION.fullmatch(version) or len(version) > MAX_VERSION:
        raise SlipwayError(
            "invalid_version",
            f"release_version {version!r} cannot name a release.",
            f"use letters, digits and . _ + ~ - (no '/' and no spaces), at most {MAX_VERSION} characters",
        )
    return version


def is_release_id(name: str) -> bool:
    return _RELEASE_ID.fullmatch(name) is not None


def validate_release_id(release_id: str) -> str:
    """Return the id if it has the form <version>-<10 hex>; it becomes a path and a unit instance."""
    if not is_release_id(release_id):
        raise SlipwayError(
            "invalid_release", f"{release_id!r} is not a release id.", "use an id from slipway.go.release_info"
        )
    return release_id


def validate_smoke(commands: Sequence[Sequence[str]], timeout: float, rehearsal: str) -> None:
    """Raise unless these are lists of words that a rehearsal can be asked with."""
    for command in commands:
        if isinstance(command, str) or not command or not all(isinstance(word, str) and word for word in command[:1]):
            raise SlipwayError(
                "invalid_smoke",
                f"release_smoke has {command!r}.",
                "write each command as a list: [/usr/bin/check, --fast]",
            )
        if not all(isinstance(word, str) and "\0" not in word for word in command):
            raise SlipwayError("invalid_smoke", f"an argument of {command[0]} is no text.", "put it in quotes")
    if not 0 < timeout < math.inf:
        raise SlipwayError("invalid_smoke", f"release_smoke_timeout is {timeout}.", "give seconds, more than 0")
    if commands and not rehearsal:
        raise SlipwayError(
            "smoke_without_rehearsal",
            "release_smoke is set, and releases of this service are not rehearsed.",
            "set service_rehearsal, or leave release_smoke empty",
        )


@dataclass(frozen=True)
class Once:
    """A command that is run once for a version, on one host, before anything is swapped; empty for none.

    decision: what an operator says of one attempt, as "done-ATTEMPT" or "again-ATTEMPT". here: whether this host may
    run it. told: the host on which it was run, by the run that asks. only: run it, and swap nothing.
    """

    command: Sequence[str] = ()
    timeout: float = 300.0
    decision: str = ""
    here: bool = True
    told: str = ""
    only: bool = False

    def __post_init__(self) -> None:
        words = self.command
        if isinstance(words, str) or not all(isinstance(word, str) and "\0" not in word for word in words):
            raise SlipwayError("invalid_once", "release_once is no list of texts.", "write it as [bin/shop, migrate]")
        if words and not _PROGRAM.fullmatch(words[0]):
            raise SlipwayError(
                "invalid_once",
                f"release_once begins with {words[0]!r}, which is no program.",
                "write a path in the release first, such as bin/shop, or a program of the host",
            )
        if not 0 < self.timeout < math.inf:
            raise SlipwayError(
                "invalid_once", f"release_once_timeout is {self.timeout:g}.", "give seconds, more than 0"
            )
        if self.decision and not _DECISION.fullmatch(self.decision):
            raise SlipwayError(
                "invalid_once",
                f"release_once_decision is {self.decision!r}.",
                "use done-ATTEMPT or again-ATTEMPT as the message that asks for it says, or leave it empty",
            )

    def key(self, version: str) -> str:
        """What it is remembered by on every host: the version and the command, whatever a host's own configuration."""
        digest = hashlib.sha256(json.dumps(list(self.command)).encode()).hexdigest()[:DIGEST_LENGTH]
        return f"{version}-{digest}"

    def decided(self, attempt: str) -> str:
        """What the operator says of that attempt: "done", "again", or nothing."""
        found = _DECISION.fullmatch(self.decision)
        return found.group(1) if found is not None and found.group(2) == attempt else ""


def _is_one_line(text: str) -> bool:
    """Whether an environment file can hold it. A pattern of what UTF-8 cannot hold takes Python 10 ms to compile."""
    return not any(char in "\n\0" or "\ud800" <= char <= "\udfff" for char in text)


def render_environment(variables: Mapping[str, object]) -> str:
    """Render an environment file as systemd.exec(5) reads it; every value is quoted, so no value can end a line."""
    lines = []
    for name, value in sorted(((str(name), value) for name, value in variables.items()), key=lambda pair: pair[0]):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if not _ENVIRONMENT_NAME.fullmatch(name):
            raise SlipwayError(
                "invalid_environment",
                f"environment variable name {name!r} is not valid.",
                "use letters, digits and '_', not starting with a digit",
            )
        if not _is_one_line(text):
            raise SlipwayError(
                "invalid_environment",
                f"the value of environment variable {name} has a line break, a NUL, or what UTF-8 cannot hold.",
                "put such a value into a configuration file (service_config_files)",
            )
        escaped = re.sub(r'(["\\$`])', r"\\\1", text)
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)


@dataclass(frozen=True)
class Artefact:
    """The binary, or an archive with it. path is on the host, and None while it is not there.

    size: bytes it takes on the host, 0 while nobody knows. binary: which file of an archive is to run, as asked for.
    limit: the most bytes an archive may unpack to. origin: where it is from and who vouches for it, for the records.
    """

    sha256: str
    size: int
    goarch: Optional[str] = None
    path: Optional[str] = None
    binary: str = ""
    limit: int = MAX_ARTEFACT
    origin: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Proxy:
    """How a service is treated behind HAProxy.

    ports are those of this host that its releases use in turn, none where the host has chosen them. weights are the
    shares of the requests, in percent, that a new release gets one after the other before it gets all, each for
    step_time seconds; max_errors is how many percent of its requests may fail beyond those of the old release, and
    max_latency_ratio how many times as long they may take, 0 for as long as they like. With fewer than min_requests
    nothing is known, and what follows from that is what inconclusive says. Each share, and the soak, ends after
    min_time seconds once users' requests have shown that the release is good; None for all of its time. slow is what
    follows where they take too long and nothing else is wrong: PAUSE waits pause_time seconds for a person.
    """

    ports: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()
    step_time: float = 30.0
    max_errors: float = 1.0
    max_latency_ratio: float = 2.0
    min_requests: int = 50
    inconclusive: str = ACCEPT
    min_time: Optional[float] = None
    slow: str = ROLLBACK
    pause_time: float = 900.0

    @property
    def longest_pause(self) -> float:
        """The seconds that a release may wait for a person; durations are compared only while it has a share."""
        has_shares = any(0 < weight < 100 for weight in self.weights)
        return self.pause_time if self.slow == PAUSE and has_shares and self.max_latency_ratio else 0.0

    def __post_init__(self) -> None:
        ports, weights = self.ports, self.weights
        if len(set(ports)) != len(ports) or len(ports) not in (0, 2) or not all(1 <= one <= MAX_PORT for one in ports):
            raise SlipwayError(
                "invalid_ports",
                f"service_proxy_ports is {list(ports)}.",
                f"give two different ports of this host that nobody else uses, for example {list(PROXY_PORTS)}",
            )
        if list(weights) != sorted(set(weights)) or not all(0 <= weight <= 100 for weight in weights):
            raise SlipwayError(
                "invalid_weights",
                f"release_weights is {list(weights)}.",
                "give rising percentages from 0 to 100, for example [5, 25, 100]",
            )
        if self.inconclusive not in (ACCEPT, REFUSE):
            raise SlipwayError(
                "invalid_inconclusive",
                f"release_inconclusive is {self.inconclusive!r}.",
                f"use {ACCEPT} or {REFUSE}",
            )
        if self.slow not in (ROLLBACK, PAUSE):
            raise SlipwayError("invalid_slow", f"release_slow is {self.slow!r}.", f"use {ROLLBACK} or {PAUSE}")
        if not 0 < self.pause_time <= LONGEST_PAUSE:
            raise SlipwayError(
                "invalid_pause",
                f"release_pause_time is {self.pause_time}.",
                f"give seconds, more than 0 and at most {LONGEST_PAUSE:g}",
            )
        if 0 < self.max_latency_ratio < 1:
            raise SlipwayError(
                "invalid_ratio", f"release_max_latency_ratio is {self.max_latency_ratio:g}.", "give 1 or more, or 0"
            )
        for option in ("step_time", "min_time", "max_errors", "max_latency_ratio", "min_requests"):
            value = getattr(self, option)
            if value is not None and not 0 <= value < math.inf:
                raise SlipwayError("invalid_duration", f"release_{option} is {value}.", "give a number, 0 or more")


def parse_proxy(values: Mapping[str, Any]) -> Proxy:
    """From a module's option or settings.json, where what is not given has its default."""
    given = {key: value for key, value in values.items() if value is not None}
    typed: dict[str, Any] = {k: tuple(v) if k in ("ports", "weights") else v for k, v in given.items()}
    return Proxy(**typed)


@dataclass(frozen=True)
class Settings:
    """How the engine treats one service. Durations are in seconds.

    drain_background: how long a release whose users have not left it within drain_timeout may go on draining beside the
    next one; 0 for not at all.
    """

    name: str
    root: str
    health: Mapping[str, Any] = field(default_factory=dict)
    start_timeout: float = 60.0
    drain_timeout: float = 30.0
    soak_time: float = 5.0
    lock_timeout: float = 30.0
    keep: int = 5
    probe: Mapping[str, Any] = field(default_factory=dict)
    confirm: float = 0.0
    proxy: Mapping[str, Any] = field(default_factory=dict)
    drain_background: float = 0.0

    def __post_init__(self) -> None:
        validate_name(self.name)
        parse_proxy(self.proxy)
        if not self.root.startswith("/") or "/../" in f"{self.root}/" or not self.root.strip("/."):
            raise SlipwayError(
                "invalid_root", f"service_root {self.root!r} is not the absolute path of a directory.", "use /opt/NAME"
            )
        if self.keep < 2:
            raise SlipwayError(
                "invalid_keep", f"release_keep is {self.keep}.", "keep at least 2: the current and the last good"
            )
        for option in ("start_timeout", "drain_timeout", "drain_background", "soak_time", "lock_timeout", "confirm"):
            value = getattr(self, option)
            if not 0 <= value < math.inf:
                raise SlipwayError("invalid_duration", f"release_{option} is {value}.", "give seconds, 0 or more")


@dataclass(frozen=True)
class Spec:
    """One wish: this version of a service, swapped in this way.

    more_listen is what HAProxy listens on for the ports of service_more_ports.
    rehearsal is the address of systemd.socket(5) at which it is proven first; empty for a service that cannot be.
    force releases also what has failed before. judged: the operator's rules have been applied to what lies on the host
    already; where they have not, it has to be brought. configured: the host has the configuration that it will have.
    smoke are commands to run against the rehearsal, each with smoke_timeout seconds. tool is the SHA-256 that the tool
    on the host must have, for its timers act on what this engine writes. run is the name of the run that wishes it, for
    a rollback of just that. once is what is run once for this version, before any host gets it. hold is how many
    seconds more it may wait to be confirmed, as long as a fleet takes.
    """

    version: str
    strategy: str
    artefact: Artefact
    group: str
    environment: Mapping[str, object] = field(default_factory=dict)
    listen: list[str] = field(default_factory=list)
    more_listen: list[str] = field(default_factory=list)
    rehearsal: str = ""
    force: bool = False
    judged: bool = True
    configured: bool = True
    smoke: Sequence[Sequence[str]] = ()
    smoke_timeout: float = 30.0
    tool: str = ""
    run: str = ""
    once: Once = field(default_factory=Once)
    hold: float = 0.0

    def __post_init__(self) -> None:
        validate_version(self.version)
        validate_smoke(self.smoke, self.smoke_timeout, self.rehearsal)
        if self.strategy not in STRATEGIES:
            raise SlipwayError(
                "invalid_strategy", f"service_swap {self.strategy!r} is unknown.", f"use one of {', '.join(STRATEGIES)}"
            )

    @property
    def public(self) -> dict[str, list[str]]:
        """What users connect to, by the variable that says so."""
        return {"service_listen": self.listen, "service_more_ports": self.more_listen}


@dataclass(frozen=True)
class Content:
    """Everything a release's id stands for; two releases with the same content are the same release.

    An archive stands for all that is in it. binary: which of its files was asked for by name.
    """

    version: str
    artefact_sha256: str
    environment: str
    config: dict[str, str]
    units: dict[str, str]
    binary: str = ""
    credentials: dict[str, str] = field(default_factory=dict)

    def release_id(self) -> str:
        """<version>-<10 hex of the content digest>; '+' and '~', which unit names cannot hold, become '_'."""
        parts = [self.version, self.artefact_sha256, self.environment, self.config, self.units, self.binary]
        canonical = json.dumps([*parts, self.credentials], sort_keys=True)
        digest = hashlib.sha256(canonical.encode()).hexdigest()[:DIGEST_LENGTH]
        return f"{re.sub('[+~]', '_', self.version)}-{digest}"

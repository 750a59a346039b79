# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sshd is told, and whether it is in force: directives, their values and algorithms. PRIVATE to the collection."""

from __future__ import annotations

import re
from typing import Any, Mapping, Sequence

from ..._core.errors import SlipwayError

_HEADER = "# Written by slipway.go. sshd takes the first value it reads, and reads this file before any other.\n"
# What ssh -Q calls the values of these directives.
QUERIES = {
    "KexAlgorithms": "kex",
    "Ciphers": "cipher",
    "MACs": "mac",
    "HostKeyAlgorithms": "key",
    "PubkeyAcceptedAlgorithms": "key",
}
# OpenSSH 8.5 gave this directive its name; older ones know only the other.
_RENAMED = {"PubkeyAcceptedAlgorithms": "PubkeyAcceptedKeyTypes"}
# Directives with the version that brought them; an older sshd would not start with them.
SINCE = {
    "PerSourceMaxStartups": (8, 5),
    "PerSourceNetBlockSize": (8, 5),
    "RequiredRSASize": (9, 1),
    "ChannelTimeout": (9, 2),
    "UnusedConnectionTimeout": (9, 2),
    "PerSourcePenalties": (9, 8),
    "RefuseConnection": (9, 9),
}
_SAME = {"without-password": "prohibit-password", "true": "yes", "false": "no"}


def parse_effective(text: str) -> dict[str, list[str]]:
    """The output of `sshd -T`; a directive may have several lines."""
    effective: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _space, value = line.strip().partition(" ")
        if key:
            effective.setdefault(key.lower(), []).append(value.strip())
    return effective


def normal(value: Any) -> str:
    """A value as sshd -T says it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    text = " ".join(str(value).split())
    return _SAME.get(text.lower(), text)


def choose(directive: str, wanted: Sequence[str], supported: frozenset[str]) -> tuple[list[str], list[str]]:
    """Split into what this host's OpenSSH knows and what it does not."""
    usable = [name for name in wanted if name in supported]
    if wanted and not usable:
        raise SlipwayError(
            "unsupported_algorithms",
            f"this host's OpenSSH knows none of {directive} {', '.join(wanted)}, so nobody could log in.",
            f"add one of those that `ssh -Q {QUERIES.get(directive, 'help')}` lists on the host",
        )
    return usable, [name for name in wanted if name not in supported]


def choose_algorithms(
    wanted: Mapping[str, Sequence[str]],
    fallback: Mapping[str, Sequence[str]],
    supported: Mapping[str, frozenset[str]],
    version: tuple[int, int],
) -> tuple[dict[str, list[str]], list[str]]:
    """What this host's OpenSSH is told, by directive, and what it does not know. An empty list leaves its own."""
    algorithms: dict[str, list[str]] = {}
    left_out: list[str] = []
    for key, names in wanted.items():
        if key not in QUERIES:
            raise SlipwayError("invalid_directive", f"{key} does not name algorithms.", "use settings for it")
        if names and not supported[key].intersection(names):
            left_out += names
            names = fallback.get(key, names)
        usable, unknown = choose(key, names, supported[key])
        algorithms[_RENAMED.get(key, key) if version < (8, 5) else key] = usable
        left_out += unknown
    return algorithms, left_out


def known_directives(settings: Mapping[str, Any], version: tuple[int, int]) -> tuple[dict[str, Any], list[str]]:
    """Split into what this version of sshd understands, and the names of what it does not."""
    too_new = [key for key in settings if SINCE.get(key, (0, 0)) > version]
    return {key: value for key, value in settings.items() if key not in too_new}, too_new


def render(settings: Mapping[str, Any], algorithms: Mapping[str, Sequence[str]], ports: Sequence[int]) -> str:
    lines = [f"Port {port}" for port in ports]
    for key, value in settings.items():
        if not re.match(r"^[A-Za-z0-9]+$", key):
            raise SlipwayError(
                "invalid_directive", f"{key!r} is not a directive of sshd.", "use the name of one in sshd_config(5)"
            )
        text = normal(value)
        if "\n" in text or not text:
            raise SlipwayError(
                "invalid_value", f"the value of {key} is empty or has a line break.", f"give {key} one line of text"
            )
        lines.append(f"{key} {text}")
    lines += [f"{key} {','.join(names)}" for key, names in algorithms.items() if names]
    return _HEADER + "".join(f"{line}\n" for line in lines)


def overridden(
    settings: Mapping[str, Any],
    algorithms: Mapping[str, Sequence[str]],
    ports: Sequence[int],
    effective: Mapping[str, list[str]],
) -> list[str]:
    """The directives whose effective value is another one than was asked for."""
    wrong = []
    for key, value in settings.items():
        # sshd adds ports to addresses; whether it listens where it should, the proof tells.
        now = effective.get(key.lower()) if key.lower() != "listenaddress" else None
        if now is not None and not _holds(key, _comparable(normal(value)), _comparable(normal(" ".join(now)))):
            wrong.append(f"{key} is {' '.join(now)}, not {normal(value)}")
    for key, names in algorithms.items():
        now = effective.get(key.lower())
        if names and now is not None and ",".join(now) != ",".join(names):
            wrong.append(f"{key} is {','.join(now)}, not {','.join(names)}")
    if ports and sorted(effective.get("port", [])) != sorted(map(str, ports)):
        wrong.append(f"Port is {' '.join(effective.get('port', []))}, not {' '.join(map(str, ports))}")
    return wrong


def _holds(key: str, wanted: list[str], now: list[str]) -> bool:
    """sshd completes its penalties with those that were not given."""
    return set(wanted) <= set(now) if key.lower() == "persourcepenalties" else wanted == now


def _comparable(text: str) -> list[str]:
    """Values that sshd -T says in another way: seconds for times, and the order of lists."""
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}

    def word(part: str) -> str:
        time = re.match(r"^(.*?:)?(\d+)([smhd])$", part)
        return f"{time.group(1) or ''}{int(time.group(2)) * seconds[time.group(3)]}" if time else part

    return sorted(word(part) for part in text.lower().split())

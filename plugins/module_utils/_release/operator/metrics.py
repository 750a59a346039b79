# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metrics for node_exporter's textfile collector. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import tempfile
from typing import Any, Iterable, Mapping, NamedTuple, Optional, Sequence

from ..._health.outcome import STATES

Labels = Mapping[str, str]
_DAY = 86400


class Family(NamedTuple):
    """One metric with its samples. The help text of a name is the same for every service: the collector insists."""

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[Labels, Optional[float]]]


def render(families: Iterable[Family]) -> str:
    """The text format; samples without a value are left out, and families without samples."""
    lines: list[str] = []
    for family in families:
        samples = [(labels, value) for labels, value in family.samples if value is not None]
        if samples:
            lines.append(f"# HELP {family.name} {family.help}")
            lines.append(f"# TYPE {family.name} {family.kind}")
            lines.extend(f"{family.name}{_labels(labels)} {_number(value)}" for labels, value in samples)
    return "\n".join(lines) + "\n" if lines else ""


def replaced(text: str, families: Sequence[Family]) -> str:
    """The text with these families as they are now, and all others as they were."""
    names = {family.name for family in families}
    return "".join(line for line in text.splitlines(True) if _name(line) not in names) + render(families)


def _name(line: str) -> str:
    """Of the family that the line belongs to."""
    words = line.split(None, 3)
    return words[2] if words[:1] == ["#"] and len(words) > 2 else line.partition("{")[0].split(" ")[0]


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def release(service: str, info: Mapping[str, Any], since: Optional[float] = None) -> list[Family]:
    """Which release serves. info: texts such as release, version and commit; they become labels."""
    labels = {"service": service, **{name: str(value) for name, value in info.items() if value is not None}}
    return [
        Family("slipway_release_info", "gauge", "The release that serves, always 1.", [(labels, 1.0)]),
        Family(
            "slipway_release_timestamp_seconds",
            "gauge",
            "When the release that serves was swapped in.",
            [({"service": service}, since)],
        ),
    ]


def up(service: str, runs: bool) -> Family:
    """Whether systemd runs the release that should serve."""
    return Family(
        "slipway_up",
        "gauge",
        "1 where the current release runs, 0 where it does not or the service is stopped.",
        [({"service": service}, float(runs))],
    )


def unit(service: str, stopped: bool, restarts: Optional[int]) -> list[Family]:
    """What became of its unit. stopped: by somebody. restarts: of the release that serves, by systemd."""
    labels = {"service": service}
    return [
        Family("slipway_stopped", "gauge", "1 where somebody has stopped the service.", [(labels, float(stopped))]),
        Family(
            "slipway_unit_restarts",
            "gauge",
            "Restarts of the current release by systemd, since it was started.",
            [(labels, restarts)],
        ),
    ]


def unfinished(service: str, in_flight: Optional[bool], deadline: Optional[float]) -> list[Family]:
    """The swap that no run is at work on any more. deadline: when the host rolls it back; seconds since the epoch.

    in_flight: None where it is not known.
    """
    labels = {"service": service}
    return [
        Family(
            "slipway_swap_unfinished",
            "gauge",
            "1 while a swap is cut short, or waits to be confirmed.",
            [(labels, in_flight)],
        ),
        Family(
            "slipway_swap_deadline_timestamp_seconds",
            "gauge",
            "When a release that waits to be confirmed is rolled back.",
            [(labels, deadline)],
        ),
    ]


def paused(service: str, until: Optional[float]) -> list[Family]:
    """A release that waits for a person. until: when it goes back by itself; seconds since the epoch."""
    labels = {"service": service}
    return [
        Family(
            "slipway_swap_paused",
            "gauge",
            "1 while a release that is too slow waits for a person.",
            [(labels, float(until is not None))],
        ),
        Family(
            "slipway_swap_pause_end_timestamp_seconds",
            "gauge",
            "When a release that waits for a person goes back by itself.",
            [(labels, until)],
        ),
    ]


def at_work(service: str, running: bool, now: float) -> list[Family]:
    """Whether a run is at work on a swap, and that the watch has come to see it, whether or not it looks."""
    labels = {"service": service}
    return [
        Family("slipway_swap_running", "gauge", "1 while a run is at work on a swap.", [(labels, float(running))]),
        Family(
            "slipway_watch_timestamp_seconds",
            "gauge",
            "When the watch last ran, also where a swap has kept it from looking.",
            [(labels, now)],
        ),
    ]


def bad(service: str, count: int) -> Family:
    return Family(
        "slipway_releases_bad", "gauge", "Releases that are marked bad on this host.", [({"service": service}, count)]
    )


def health(service: str, results: Sequence[Mapping[str, Any]], now: float) -> list[Family]:
    """What the checks said. results: mappings as CheckResult.as_dict() gives them."""

    def each(value: str) -> list[tuple[Labels, Optional[float]]]:
        return [({"service": service, "check": str(one["name"])}, one["latency"].get(value)) for one in results]

    states = [
        ({"service": service, "check": str(one["name"]), "state": state}, float(one["state"] == state))
        for one in results
        for state in STATES
    ]
    expiries = [
        ({"service": service, "check": str(one["name"])}, None if left is None else now + left * _DAY)
        for one in results
        for left in [one.get("certificate_days")]
    ]
    return [
        Family("slipway_health_state", "gauge", "1 for the state a health check is in, 0 for the others.", states),
        Family("slipway_health_latency_seconds", "gauge", "Time of the last attempt of a health check.", each("total")),
        Family(
            "slipway_health_certificate_expiry_timestamp_seconds",
            "gauge",
            "When the certificate ends that a health check saw.",
            expiries,
        ),
        Family(
            "slipway_health_timestamp_seconds",
            "gauge",
            "When the health checks last ran; alert when this grows old.",
            [({"service": service}, now)],
        ),
    ]


def watch(service: str, state: Mapping[str, Any]) -> list[Family]:
    """What the watch has done. state: as watch.step() gives it."""
    labels = {"service": service}
    return [
        Family("slipway_watch_failures", "gauge", "Liveness failures in a row.", [(labels, state.get("failures"))]),
        Family(
            "slipway_watch_restarts_total",
            "counter",
            "Restarts by the watch.",
            [(labels, state.get("restarts_total"))],
        ),
    ]


def swaps(service: str, counts: Mapping[str, int]) -> Family:
    """How swaps ended. counts: per result."""
    totals = [({"service": service, "result": result}, float(count)) for result, count in sorted(counts.items())]
    return Family("slipway_swaps_total", "counter", "Swaps by their result.", totals)


def last_swaps(service: str, last: Mapping[str, Mapping[str, Any]]) -> list[Family]:
    """What the last swap with each result has cost. last: figures as figures.of_swap() gives them, per result."""

    def each(figure: str) -> list[tuple[Labels, Optional[float]]]:
        return [({"service": service, "result": name}, told.get(figure)) for name, told in sorted(last.items())]

    def beside(figure: str) -> list[tuple[Labels, Optional[float]]]:
        return [
            ({"service": service, "result": name, "side": side}, told.get(f"{side}_{figure}"))
            for name, told in sorted(last.items())
            for side in ("new", "old")
        ]

    return [
        Family("slipway_swap_seconds", "gauge", "How long the last swap with this result took.", each("seconds")),
        Family(
            "slipway_swap_downtime_seconds",
            "gauge",
            "How long nothing served in the last swap with this result; only where its strategy has a downtime.",
            each("downtime"),
        ),
        Family("slipway_swap_timestamp_seconds", "gauge", "When the last swap with this result ended.", each("at")),
        Family(
            "slipway_swap_probe_failures",
            "gauge",
            "Requests of the probe that failed in the last swap with this result.",
            each("lost"),
        ),
        Family(
            "slipway_swap_connections_cut",
            "gauge",
            "Connections that the drain of the last swap with this result has cut.",
            each("cut"),
        ),
        Family(
            "slipway_swap_canary_ratio",
            "gauge",
            "The largest share of users' requests, 0 to 1, that the new release had in the last swap with this result.",
            each("share"),
        ),
        Family(
            "slipway_swap_canary_requests",
            "gauge",
            "Users' requests that were counted at each release in the last swap with this result.",
            beside("requests"),
        ),
        Family(
            "slipway_swap_canary_errors",
            "gauge",
            "Users' requests that failed at each release in the last swap with this result.",
            beside("errors"),
        ),
    ]


def rollbacks(service: str, counts: Mapping[str, int]) -> Family:
    """Swaps back to an older release that succeeded. counts: per trigger."""
    totals = [({"service": service, "trigger": name}, float(count)) for name, count in sorted(counts.items())]
    return Family(
        "slipway_rollbacks_total", "counter", "Rollbacks of a release that had been committed, by who began it.", totals
    )


def unconfirmed(service: str, counts: Mapping[str, int]) -> Family:
    """Releases that waited to be confirmed. counts: per reason for which they were taken back."""
    totals = [({"service": service, "reason": name}, float(count)) for name, count in sorted(counts.items())]
    return Family(
        "slipway_confirmations_failed_total",
        "counter",
        "Releases that waited to be confirmed and were taken back, by the reason.",
        totals,
    )


def drift(counts: Mapping[str, int], now: float) -> list[Family]:
    """What differs on a host. counts: per service, and without a name for the host itself; now: when it was asked."""
    samples = [
        ({"service": name} if name else {}, float(count)) for name, count in sorted(counts.items(), reverse=True)
    ]
    return [
        Family(
            "slipway_drift_findings",
            "gauge",
            "Differences from what was released; without a service, from what was hardened.",
            samples,
        ),
        Family("slipway_drift_timestamp_seconds", "gauge", "When this host was last compared.", [({}, now)]),
    ]


def pull(failed: bool, now: float) -> list[Family]:
    """How the last pull of this host ended, and when."""
    return [
        Family("slipway_pull_failed", "gauge", "1 where the last pull of this host failed.", [({}, float(failed))]),
        Family("slipway_pull_timestamp_seconds", "gauge", "When the last pull of this host ended.", [({}, now)]),
    ]


def pull_path(folder: str) -> str:
    return os.path.join(folder, "slipway_pull.prom")


def drift_path(folder: str) -> str:
    """Of no service: those of services have a hyphen there."""
    return os.path.join(folder, "slipway_drift.prom")


def path(folder: str, service: str) -> str:
    """The file of one service in the collector's folder."""
    return os.path.join(folder, f"slipway-{service}.prom")


def write(target: str, text: str) -> None:
    """Replace the file at once: the collector may read it at any moment, and a crash must not leave half of it."""
    folder, name = os.path.split(os.path.abspath(target))
    # The collector reads *.prom only, so that it never sees this name.
    descriptor, draft = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException:
        os.unlink(draft)
        raise

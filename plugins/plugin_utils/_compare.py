# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares the hosts of a batch, which have a new release, with those that have not, by what Prometheus knows of both.

The test is that of a canary behind HAProxy. This file is PRIVATE to the collection.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

from ansible.module_utils.urls import ConnectionError as UrlsError
from ansible.module_utils.urls import SSLValidationError, open_url
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import fetch
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import ACCEPT, REFUSE
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.verdict import (
    FAIL,
    INCONCLUSIVE,
    Counts,
    Rule,
    Verdict,
    describe_proof,
    told_proof,
)
from ansible_collections.slipway.go.plugins.plugin_utils import _survey
from ansible_collections.slipway.go.plugins.plugin_utils._plan import count

WORSE = "fleet_worse"
UNCLEAR = "fleet_unclear"
VARIABLE, NAME = "release_compare", "release_compare_name"
TIME, INTERVAL = 300.0, 15.0
_LONGEST = 86400.0
_TIMEOUT = 10.0  # seconds for one answer
_LARGEST = 16 << 20  # bytes of one answer
_MISREAD = (400, 422)
_MOST = 1e15  # no counter of requests comes so far, and sums of it stay exact
_OFTEN = 2
ENDED = "the counters of the new release began anew{}, as they do when its process ends"
ACCEPTED = {
    "url": _survey.text,
    "requests": _survey.text,
    "failures": _survey.text,
    "durations": _survey.text,
    "label": _survey.text,
    "time": _survey.number,
    "interval": _survey.number,
    "headers": _survey.mapping,
    "ca_file": _survey.text,
}
# How much worse a release may be, and what follows where nobody knows: a canary on one host goes by the same.
RULE: dict[str, tuple[str, _survey.Reader]] = {
    "max_errors": ("release_max_errors", _survey.number),
    "max_latency_ratio": ("release_max_latency_ratio", _survey.number),
    "min_requests": ("release_min_requests", _survey.whole),
    "min_time": ("release_min_time", _survey.number),
    "inconclusive": ("release_inconclusive", _survey.choice(ACCEPT, REFUSE)),
}
_REQUIRED = ("url", "requests", "failures")


@dataclass(frozen=True)
class Comparison:
    """Whom to ask what, as release_compare says. Times are in seconds; the queries are counters, by host."""

    url: str
    requests: str
    failures: str
    durations: str = ""
    label: str = "instance"
    time: float = TIME
    interval: float = INTERVAL
    headers: Mapping[str, str] = field(default_factory=dict)
    ca_file: str = ""

    @property
    def at_most(self) -> float:
        """How long it takes, with every answer as late as it may be."""
        looks = math.ceil(self.time / self.interval) + 2
        return self.time + self.interval + looks * 3 * _TIMEOUT


@dataclass
class Sample:
    """What one host has counted since it began. buckets: as a histogram has them, by their upper bound in seconds."""

    requests: float = 0.0
    failures: float = 0.0
    buckets: dict[float, float] = field(default_factory=dict)


# By the value of the label.
Reading = Mapping[str, Sample]
# Answers a query with the entries of its vector, each its labels and its value; raises Unanswered.
Ask = Callable[[str], "list[tuple[Mapping[str, str], float]]"]


class Unanswered(Exception):
    """Prometheus was not there, or said something else than an answer. misread: whether it is the query's fault."""

    def __init__(self, message: str, misread: bool = False) -> None:
        super().__init__(message)
        self.misread = misread


def _refuse(what: str, fix: str) -> NoReturn:
    raise SlipwayError("invalid_compare", f"{VARIABLE} {what}.", fix)


def parse(given: Any) -> Comparison | None:
    """What release_compare asks for; None where it is empty."""
    if _survey.is_empty(given):
        return None
    told = _survey.mapping(given, VARIABLE)
    unknown = sorted(map(str, set(told) - set(ACCEPTED)))
    if unknown:
        _refuse(f"has {', '.join(unknown)}, which is unknown", f"use {', '.join(ACCEPTED)}")
    try:
        given = {name: value for name, value in told.items() if not _survey.is_empty(value)}
        if "headers" in given:
            # What is decrypted often ends with a line break.
            given["headers"] = {
                name: str(value).strip() if isinstance(value, (str, int)) else value
                for name, value in _survey.mapping(given["headers"], f"{VARIABLE}.headers").items()
            }
            fetch.parse_headers(given["headers"], [], f"{VARIABLE}.headers")
        values: dict[str, Any] = {name: ACCEPTED[name](value, f"{VARIABLE}.{name}") for name, value in given.items()}
    except SlipwayError as error:
        raise SlipwayError("invalid_compare", error.message, error.fix) from None
    if not values:
        return None
    missing = [name for name in _REQUIRED if name not in values]
    if missing:
        _refuse(f"has no {', '.join(missing)}", f"give {', '.join(missing)}, or leave {VARIABLE} empty")
    if not fetch.is_url(values["url"]):
        _refuse("has a url without https:// or http://", "give the URL of Prometheus, with https:// or http://")
    fetch.parse_url(values["url"], f"{VARIABLE}.url")
    for name in ("time", "interval"):
        if not 1 <= values.get(name, 1) <= _LONGEST:
            _refuse(f"has {name}: {values[name]:g}", f"give 1 to {_LONGEST:g} seconds")
    return Comparison(**values)


def prometheus(wanted: Comparison) -> Ask:
    """Asks by HTTP (https://prometheus.io/docs/prometheus/latest/querying/api/). No redirect gets the headers."""
    place = fetch.shown(wanted.url)

    def ask(query: str) -> list[tuple[Mapping[str, str], float]]:
        url = f"{wanted.url.rstrip('/')}/api/v1/query?{urlencode({'query': query})}"
        try:
            with open_url(
                url,
                headers=dict(wanted.headers),
                timeout=_TIMEOUT,
                ca_path=wanted.ca_file or None,
                follow_redirects="none",
                http_agent="slipway",
            ) as response:
                return vector(response.read(_LARGEST), place)
        except HTTPError as error:
            raise Unanswered(f"{place} answers {error.code}{_said(error)} to {query}", error.code in _MISREAD) from None
        except (URLError, UrlsError, SSLValidationError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise Unanswered(f"{place} does not answer: {' '.join(str(reason).split())}") from None
        except (HTTPException, ValueError):  # their text may be the answer's, or a header's
            raise Unanswered(f"{place} does not answer as Prometheus does") from None

    return ask


def _said(error: HTTPError) -> str:
    """What Prometheus says of a query that it does not understand."""
    try:
        return f" ({' '.join(str(json.loads(error.read(_LARGEST))['error']).split())[:200]})"
    except (OSError, HTTPException, ValueError, KeyError, TypeError, RecursionError):
        return ""


def vector(answer: bytes, place: str) -> list[tuple[Mapping[str, str], float]]:
    """The entries of an instant vector; without those that are no number."""
    try:
        told = json.loads(answer)
        if told["data"]["resultType"] != "vector":
            raise Unanswered(f"{place} answers with a {told['data']['resultType']}, not with a vector", True)
        entries = [
            ({str(name): str(value) for name, value in one["metric"].items()}, float(one["value"][1]))
            for one in told["data"]["result"]
        ]
    except (ArithmeticError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise Unanswered(f"{place} does not answer as Prometheus does") from None
    return [(labels, value) for labels, value in entries if 0 <= value <= _MOST]


def read(ask: Ask, wanted: Comparison) -> dict[str, Sample]:
    """What each host has counted by now. One without failures may have no counter of them yet."""
    found: dict[str, Sample] = {}
    for labels, value in ask(wanted.requests):
        found.setdefault(labels.get(wanted.label, ""), Sample()).requests += value
    for labels, value in ask(wanted.failures):
        if labels.get(wanted.label, "") in found:
            found[labels.get(wanted.label, "")].failures += value
    for labels, value in ask(wanted.durations) if wanted.durations else []:
        sample, bound = found.get(labels.get(wanted.label, "")), _bound(labels.get("le", ""))
        if sample is not None and bound is not None:
            sample.buckets[bound] = sample.buckets.get(bound, 0.0) + value
    return found


def _bound(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return None if math.isnan(found) or found < 0 else found


def places(names: Iterable[str], reading: Reading) -> list[str]:
    """The values of the label that mean these hosts: their names, alone or with a port."""
    wanted = set(names)
    return [one for one in reading if one in wanted or _without_port(one) in wanted]


def _without_port(text: str) -> str:
    host, colon, port = text.rpartition(":")
    return host.strip("[]") if colon and port.isdecimal() else text


def between(before: Reading, now: Reading, names: Iterable[str], upper: bool) -> Counts:
    """What these hosts have counted between two readings.

    A counter that is lower than before has begun anew. A host that was not in the first reading counts from the next
    on. upper: whether a request took as long as its bucket allows at most, and else as it does at least.
    """
    counts = Counts()
    for place in places(names, now):
        if place not in before:
            continue
        then, later = before[place], now[place]
        if _begun_anew(then, later):
            then = Sample()
        requests = round(later.requests - then.requests)
        failed = min(round(max(later.failures - then.failures, 0.0)), requests)
        grown = {bound: value - then.buckets.get(bound, 0.0) for bound, value in later.buckets.items()}
        counts.add(Counts(requests, failed, _milliseconds(grown, upper)))
    return counts


def ended(before: Reading, now: Reading, names: Iterable[str]) -> int:
    """How many of these hosts have begun to count anew."""
    known = [place for place in places(names, now) if place in before]
    return sum(_begun_anew(before[place], now[place]) for place in known)


def _begun_anew(then: Sample, now: Sample) -> bool:
    lower = any(now.buckets.get(bound, 0.0) < value for bound, value in then.buckets.items())
    return lower or now.requests < then.requests or now.failures < then.failures


def _milliseconds(grown: Mapping[float, float], upper: bool) -> dict[int, int]:
    found: dict[int, int] = {}
    low, seen = 0.0, 0.0
    for bound in sorted(grown):
        count = round(grown[bound] - seen)
        # Nobody knows how long those in the last bucket took, only that it was longer.
        key = round(1000 * (bound if upper and math.isfinite(bound) else low))
        if count > 0:
            found[key] = found.get(key, 0) + count
        low, seen = (bound if math.isfinite(bound) else low), max(seen, grown[bound])
    return found


def check(ask: Ask, wanted: Comparison) -> None:
    """Raise where Prometheus does not understand what it would be asked. That it is away now says nothing of later."""
    try:
        read(ask, wanted)
    except Unanswered as error:
        if error.misread:
            _refuse(f"cannot be used: {error}", "correct that query")


def swapped(variables: Mapping[str, Any], service: str) -> list[str]:
    """The hosts of this batch that have got the release in this run.

    Preflight has asked the hosts that have the service. On another one, the last answer is of another service.
    """
    hosts = variables.get("hostvars") or {}
    batch = [host for host in variables.get("ansible_play_batch") or [] if host in _asked(variables, service)]
    return [host for host in batch if _has_swapped(_of(hosts, host, "release_result"))]


def _asked(variables: Mapping[str, Any], service: str) -> Mapping[str, Any]:
    """What each host that has the service has said in preflight."""
    return (variables.get("release_previews") or {}).get(service) or {}


def sides(variables: Mapping[str, Any], service: str) -> tuple[list[str], list[str]]:
    """What Prometheus calls the hosts of this batch that have got the release, and those after it that have another.

    What those have, preflight knows: a run of before may have brought the release there.
    """
    everyone = list(variables.get("ansible_play_hosts_all") or [])
    hosts = variables.get("hostvars") or {}
    asked = _asked(variables, service)
    batch = set(variables.get("ansible_play_batch") or [])
    last = max((place for place, host in enumerate(everyone) if host in batch), default=len(everyone))
    old = [host for host in everyone[last + 1 :] if (asked.get(host) or {}).get("action") in ("release", "upload")]
    return [_name(hosts, host) for host in swapped(variables, service)], [_name(hosts, host) for host in old]


def _has_swapped(answer: Any) -> bool:
    told = answer if isinstance(answer, Mapping) else {}
    return bool(told.get("changed") and told.get("previous")) and told.get("action") in ("release", "confirm")


def _of(hosts: Mapping[str, Any], host: str, variable: str) -> Any:
    return hosts[host].get(variable) if host in hosts else None


def _name(hosts: Mapping[str, Any], host: str) -> str:
    given = _of(hosts, host, NAME)
    return host if _survey.is_empty(given) else str(given)


def compare(
    wanted: Comparison,
    rule: Rule,
    new: Sequence[str],
    old: Sequence[str],
    ask: Ask,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """The figures of the comparison: `verdict`, `reason`, and what was counted at both.

    It ends at the first moment at which the evidence says that the new release is worse or, after rule.min_time, that
    it is good. new and old are what Prometheus calls the hosts.
    """
    # Of what a bucket leaves open, one has the best for the new release, and the other the worst.
    judge, strict = Verdict(rule), Verdict(rule)
    silent, ends = "", Counter[str]()
    last: dict[str, Sample] | None = None
    for one in (judge, strict):
        one.begin(min(max(round(100 * len(new) / (len(new) + len(old))), 1), 99))
    sleep(wanted.interval)  # so that no reading is of the process before
    begun = clock()
    while True:
        try:
            now = read(ask, wanted)
            if last is not None:
                for one, upper in ((judge, False), (strict, True)):
                    counts = between(last, now, new, upper), between(last, now, old, not upper)
                    one.count(*counts, clock() - begun)
                ends.update(new=ended(last, now, new), old=ended(last, now, old))
            last, silent = now, ""
        except Unanswered as error:
            silent = str(error)
        left = begun + wanted.time - clock()
        if judge.look() or _crashes(ends) or left <= 0:
            break
        gap = silent or any(ends.values()) or _unknown(wanted, last or {}, [*new, *old])
        if not gap and _is_proven(strict, rule, clock() - begun):
            break
        sleep(min(wanted.interval, left))
    sides = {"new": (new, judge.stages[0].new), "old": (old, judge.stages[0].old)}
    told = {side: _counted(names, counts) for side, (names, counts) in sides.items()}
    reason = judge.look() or _crashes(ends)
    proof = strict.stages[0].proof
    verdict = FAIL if reason else judge.verdict
    if verdict != FAIL:
        once = ENDED.format("") if ends["new"] and not ends["old"] else ""
        reason = (
            silent or once or _unknown(wanted, last or {}, [*new, *old]) or judge.doubt() or _too_few(told["old"], rule)
        )
        verdict = INCONCLUSIVE if reason else verdict
    return {
        "verdict": verdict,
        "reason": reason,
        "seconds": round(clock() - begun, 1),
        "early": None if proof is None else told_proof(proof),
        **told,
    }


def _is_proven(strict: Verdict, rule: Rule, seconds: float) -> bool:
    """Whether it has been long enough, and the release is good."""
    enough_old = strict.stages[0].old.requests >= rule.min_requests
    return rule.min_time is not None and seconds >= rule.min_time and enough_old and strict.prove()


def _crashes(ends: Mapping[str, int]) -> str:
    """Once may be a machine that was started anew, twice is no chance."""
    if ends["new"] < _OFTEN or ends["old"]:
        return ""
    return ENDED.format(f" {ends['new']} times")


def _counted(names: Sequence[str], counts: Counts) -> dict[str, Any]:
    return {"hosts": len(names), "requests": counts.requests, "failed": counts.failed, "p99_ms": counts.p99()}


def _unknown(wanted: Comparison, reading: Reading, names: Sequence[str]) -> str:
    missing = [name for name in names if not places([name], reading)]
    if not missing:
        return ""
    known = f"it has {', '.join(sorted(reading)[:3])}" if reading else "it has none"
    return f"Prometheus has no requests with {wanted.label} {', '.join(missing[:3])}; {known}"


def _too_few(old: Mapping[str, Any], rule: Rule) -> str:
    if old["requests"] >= rule.min_requests:
        return ""
    return (
        f"{old['requests']} requests reached the hosts with the old release, and release_min_requests asks for "
        f"{rule.min_requests}"
    )


def sentence(service: str, told: Mapping[str, Any]) -> str:
    """The figures in one line."""
    new, old = told["new"], told["old"]
    reason = f" ({told['reason']})" if told["reason"] else ""
    early = f", before its time ({describe_proof(told['early'])})" if told["early"] else ""
    return (
        f"{service}: {told['verdict']} after {told['seconds']:g} s{reason}{early}. {_side(new)} with the new release, "
        f"{_side(old)} with the one before."
    )


def _side(told: Mapping[str, Any]) -> str:
    p99 = "" if told["p99_ms"] is None else f", p99 {told['p99_ms']} ms"
    return f"{told['failed']} of {told['requests']} requests failed on {count(told['hosts'], 'host')}{p99}"


def objection(told: Mapping[str, Any], refuses: bool) -> SlipwayError | None:
    """Why the release does not stay, by these figures. refuses: whether what is not known speaks against it."""
    hosts = f"{told['new']['hosts']} of {told['new']['hosts'] + told['old']['hosts']} hosts"
    if told["verdict"] == FAIL:
        return SlipwayError(
            WORSE,
            f"on {hosts}, the new release does worse than the one before on the others: {told['reason']}.",
            "see what the release logged, or correct the limit",
        )
    if told["verdict"] == INCONCLUSIVE and refuses:
        return SlipwayError(
            UNCLEAR,
            f"after {told['seconds']:g} s on {hosts}, nobody knows whether the new release is good: {told['reason']}; "
            f"release_inconclusive is {REFUSE}.",
            f"give {VARIABLE} more time, or set release_inconclusive to {ACCEPT}",
        )
    return None

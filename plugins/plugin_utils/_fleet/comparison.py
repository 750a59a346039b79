# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares the hosts of a batch, which have a new release, with those that have not, by what is counted of both.

Prometheus has counted it, or the load balancers in front of them.

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
from typing import Any, NamedTuple, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

from ansible.module_utils.urls import ConnectionError as UrlsError
from ansible.module_utils.urls import SSLValidationError, open_url
from ansible_collections.slipway.go.plugins.module_utils._balancer.haproxy import SOCKET
from ansible_collections.slipway.go.plugins.module_utils._balancer.model import require_name
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import fetch
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import ACCEPT, REFUSE
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.verdict import (
    ALPHA,
    FAIL,
    INCONCLUSIVE,
    Counts,
    Rule,
    Verdict,
    describe_proof,
    e_value,
    told_proof,
)
from ansible_collections.slipway.go.plugins.module_utils._release.timeline import Evidence
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.plans import count
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.standing import WITHIN
from ansible_collections.slipway.go.plugins.plugin_utils._input import survey

WORSE = "fleet_worse"
UNCLEAR = "fleet_unclear"
VARIABLE, NAME = "release_compare", "release_compare_name"
TIME, INTERVAL = 300.0, 15.0
INTERVAL_OF_HAPROXY = 5.0
PROMETHEUS, HAPROXY = "Prometheus", "HAProxy"
CORRECT_BACKEND = "correct backend, socket or haproxy"
_LONGEST = 86400.0
TOLD = 5.0  # seconds at most from one call of `tell` to the next
TIMEOUT = 10.0  # seconds for one answer
_LARGEST = 16 << 20  # bytes of one answer
_MISREAD = (400, 422)
_MOST = 1e15  # no counter of requests comes so far, and sums of it stay exact
_OFTEN = 2
ENDED = "the counters of the new release began anew{}, as they do when its process ends"
ACCEPTED = {
    "url": survey.text,
    "requests": survey.text,
    "failures": survey.text,
    "durations": survey.text,
    "label": survey.text,
    "time": survey.number,
    "interval": survey.number,
    "headers": survey.mapping,
    "ca_file": survey.text,
    "haproxy": survey.list_of(survey.text),
    "backend": survey.text,
    "socket": survey.text,
}
# How much worse a release may be, and what follows where nobody knows: a canary on one host goes by the same.
RULE: dict[str, tuple[str, survey.Reader]] = {
    "max_errors": ("release_max_errors", survey.number),
    "max_latency_ratio": ("release_max_latency_ratio", survey.number),
    "min_requests": ("release_min_requests", survey.whole),
    "min_time": ("release_min_time", survey.number),
    "inconclusive": ("release_inconclusive", survey.choice(ACCEPT, REFUSE)),
}
_REQUIRED = ("url", "requests", "failures")
_OF_PROMETHEUS = (*_REQUIRED, "durations", "label", "headers", "ca_file")
_OF_HAPROXY = ("backend", "socket")


@dataclass(frozen=True)
class Comparison:
    """Whom to ask what, as release_compare says. Times are in seconds; the queries are counters, by host.

    haproxy: the load balancers, as the inventory names them, where it is them and not Prometheus who have counted.
    backend: theirs, and that of the service's name where it is empty.
    """

    url: str = ""
    requests: str = ""
    failures: str = ""
    durations: str = ""
    label: str = "instance"
    time: float = TIME
    interval: float = INTERVAL
    headers: Mapping[str, str] = field(default_factory=dict)
    ca_file: str = ""
    haproxy: tuple[str, ...] = ()
    backend: str = ""
    socket: str = SOCKET

    @property
    def source(self) -> str:
        return HAPROXY if self.haproxy else PROMETHEUS

    @property
    def at_most(self) -> float:
        """How long it takes, with every answer as late as it may be, also those of the hosts when it has ended."""
        looks = math.ceil(self.time / self.interval) + 2
        return self.time + self.interval + looks * (len(self.haproxy) or 3) * TIMEOUT + WITHIN


@dataclass
class Sample:
    """What one host has counted since it began. buckets: as a histogram has them, by their upper bound in seconds."""

    requests: float = 0.0
    failures: float = 0.0
    buckets: dict[float, float] = field(default_factory=dict)


# By the value of the label, or the name of the server.
Reading = Mapping[str, Sample]


class Look(NamedTuple):
    """What one look has shown. missing: who could not be asked. gaps: how often somebody began to count anew."""

    samples: dict[str, Sample]
    missing: str = ""
    gaps: Mapping[str, int] = {}


# Raises Unanswered where nobody has answered.
Source = Callable[[], Look]
# Answers a query with the entries of its vector, each its labels and its value; raises Unanswered.
Ask = Callable[[str], "list[tuple[Mapping[str, str], float]]"]


# Is told the figures so far, and how many seconds are left.
Tell = Callable[[Mapping[str, Any], float], None]


class Unanswered(Exception):
    """Nobody was there, or said something else than an answer. misread: whether it is the question's fault."""

    def __init__(self, message: str, misread: bool = False) -> None:
        super().__init__(message)
        self.misread = misread


def _refuse(what: str, fix: str) -> NoReturn:
    raise SlipwayError("invalid_compare", f"{VARIABLE} {what}.", fix)


def parse(given: Any) -> Comparison | None:
    """What release_compare asks for; None where it is empty."""
    if survey.is_empty(given):
        return None
    told = survey.mapping(given, VARIABLE)
    unknown = sorted(map(str, set(told) - set(ACCEPTED)))
    if unknown:
        _refuse(f"has {', '.join(unknown)}, which is unknown", f"use {', '.join(ACCEPTED)}")
    try:
        given = {name: value for name, value in told.items() if not survey.is_empty(value)}
        if "headers" in given:
            # What is decrypted often ends with a line break.
            given["headers"] = {
                name: str(value).strip() if isinstance(value, (str, int)) else value
                for name, value in survey.mapping(given["headers"], f"{VARIABLE}.headers").items()
            }
            fetch.parse_headers(given["headers"], [], f"{VARIABLE}.headers")
        values: dict[str, Any] = {name: ACCEPTED[name](value, f"{VARIABLE}.{name}") for name, value in given.items()}
    except SlipwayError as error:
        raise SlipwayError("invalid_compare", error.message, error.fix) from None
    values = {name: value for name, value in values.items() if value != []}
    if not values:
        return None
    values = _of_haproxy(values) if values.get("haproxy") else _of_prometheus(values)
    for name in ("time", "interval"):
        if not 1 <= values.get(name, 1) <= _LONGEST:
            _refuse(f"has {name}: {values[name]:g}", f"give 1 to {_LONGEST:g} seconds")
    return Comparison(**values)


def _of_prometheus(values: dict[str, Any]) -> dict[str, Any]:
    alone = [name for name in _OF_HAPROXY if name in values]
    if alone:
        _refuse(f"has {', '.join(alone)} without haproxy", "give haproxy, the load balancers, or leave that out")
    if not any(name in values for name in _OF_PROMETHEUS):
        _refuse("has neither haproxy nor url", f"give haproxy, or {', '.join(_REQUIRED)}, or leave {VARIABLE} empty")
    missing = [name for name in _REQUIRED if name not in values]
    if missing:
        _refuse(f"has no {', '.join(missing)}", f"give {', '.join(missing)}, or leave {VARIABLE} empty")
    if not fetch.is_url(values["url"]):
        _refuse("has a url without https:// or http://", "give the URL of Prometheus, with https:// or http://")
    fetch.parse_url(values["url"], f"{VARIABLE}.url")
    return values


def _of_haproxy(values: dict[str, Any]) -> dict[str, Any]:
    other = [name for name in _OF_PROMETHEUS if name in values]
    if other:
        _refuse(f"has {', '.join(other)} beside haproxy", "give either haproxy or url and its queries")
    if "backend" in values:
        try:
            require_name("backend", values["backend"])
        except SlipwayError as error:
            _refuse(f"cannot be used: {error.message.rstrip('.')}", "correct backend")
    if not values.get("socket", "/").startswith("/"):
        _refuse(f"has the socket {values['socket']}", "give the path of HAProxy's socket on the load balancers")
    haproxy = tuple(dict.fromkeys(values["haproxy"]))
    return {"interval": INTERVAL_OF_HAPROXY, **values, "haproxy": haproxy}


def require_known(wanted: Comparison, hosts: Iterable[str]) -> None:
    """Raise where the load balancers are not among these hosts, which are those of the inventory."""
    unknown = sorted(set(wanted.haproxy) - set(hosts))
    if unknown:
        _refuse(
            f"has haproxy: {', '.join(unknown)}, which the inventory does not have",
            "name the hosts that run the load balancers, such as groups['balancers']",
        )


def prometheus(wanted: Comparison) -> Ask:
    """Asks by HTTP (https://prometheus.io/docs/prometheus/latest/querying/api/). No redirect gets the headers."""
    place = fetch.shown(wanted.url)

    def ask(query: str) -> list[tuple[Mapping[str, str], float]]:
        url = f"{wanted.url.rstrip('/')}/api/v1/query?{urlencode({'query': query})}"
        try:
            with open_url(
                url,
                headers=dict(wanted.headers),
                timeout=TIMEOUT,
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


def by_queries(ask: Ask, wanted: Comparison) -> Source:
    return lambda: Look(read(ask, wanted))


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


def check(ask: Callable[[], object], fix: str = "correct that query") -> None:
    """Raise where what would be asked is not understood. That somebody is away now says nothing of later."""
    try:
        ask()
    except Unanswered as error:
        if error.misread:
            _refuse(f"cannot be used: {error}", fix)


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
    """What the source calls the hosts of this batch that have got the release, and those after it that have another.

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
    return host if survey.is_empty(given) else str(given)


class _Sides:
    """What is known of both sides by now. Of what a bucket leaves open, `judge` takes the best for the new release."""

    def __init__(self, wanted: Comparison, rule: Rule, new: Sequence[str], old: Sequence[str]) -> None:
        self._wanted, self._rule, self._new, self._old = wanted, rule, new, old
        self.judge, self._strict = Verdict(rule), Verdict(rule)
        for one in (self.judge, self._strict):
            one.begin(min(max(round(100 * len(new) / (len(new) + len(old))), 1), 99))
        self.evidence = Evidence()
        self._last: dict[str, Sample] | None = None
        self._ends = Counter[str]()
        self._silent = ""
        self.gaps: Mapping[str, int] = {}

    def read(self, source: Source, begun: float, clock: Callable[[], float]) -> None:
        try:
            now, missing, self.gaps = source()
        except Unanswered as error:
            self._silent = str(error)
            return
        if self._last is not None:
            self._add(self._last, now, clock() - begun)
            seen = tuple(number for counts in self._counts() for number in (counts.requests, counts.failed))
            self.evidence.add(clock(), e_value(self.judge.errors), e_value(self.judge.latency), seen)
        self._last, self._silent = now, missing

    def _add(self, last: dict[str, Sample], now: dict[str, Sample], seconds: float) -> None:
        for one, upper in ((self.judge, False), (self._strict, True)):
            one.count(between(last, now, self._new, upper), between(last, now, self._old, not upper), seconds)
        self._ends.update(new=ended(last, now, self._new), old=ended(last, now, self._old))

    def _counts(self) -> tuple[Counts, Counts]:
        return self.judge.stages[0].new, self.judge.stages[0].old

    def counted(self) -> dict[str, Any]:
        new, old = self._counts()
        return {"new": _counted(self._new, new), "old": _counted(self._old, old)}

    def worse(self) -> str:
        """Why the new release is worse; empty as long as nothing says so."""
        return self.judge.look() or _crashes(self._ends)

    @property
    def _gap(self) -> str:
        """What of the hosts is not known."""
        return self._silent or _unknown(self._wanted, self._last or {}, [*self._new, *self._old])

    def is_proven(self, seconds: float) -> bool:
        """Whether it has been long enough, and the release is good."""
        least, known = self._rule.min_time, self._strict.stages[0].old.requests >= self._rule.min_requests
        is_whole = known and not self._gap and not self.gaps and not any(self._ends.values())
        return is_whole and least is not None and seconds >= least and self._strict.prove()

    def early(self) -> Mapping[str, float] | None:
        proof = self._strict.stages[0].proof
        return None if proof is None else told_proof(proof)

    def conclude(self) -> tuple[str, str]:
        """The verdict and its reason."""
        worse = self.worse()
        if worse or self.judge.verdict == FAIL:
            return (FAIL if worse else self.judge.verdict), worse
        once = ENDED.format("") if self._ends["new"] and not self._ends["old"] else ""
        doubt = self._silent or once or self._gap or self.judge.doubt() or _too_few(self.counted()["old"], self._rule)
        return (INCONCLUSIVE, doubt) if doubt else (self.judge.verdict, "")


def compare(
    wanted: Comparison,
    rule: Rule,
    new: Sequence[str],
    old: Sequence[str],
    source: Source,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    tell: Tell = lambda _told, _left: None,
) -> dict[str, Any]:
    """The figures of the comparison: `verdict`, `reason`, what was counted at both, and the `timeline` of the evidence.

    It ends at the first moment at which the evidence says that the new release is worse or, after rule.min_time, that
    it is good. new and old are what the source calls the hosts. tell: is called every TOLD seconds, with the figures so
    far.
    """
    sides = _Sides(wanted, rule, new, old)

    def pause(seconds: float, left: float) -> None:
        """left: seconds that the comparison still takes when the pause begins."""
        end = clock() + seconds
        while clock() < end:
            sleep(max(min(TOLD, end - clock()), 0.0))
            tell({"verdict": sides.judge.verdict, **sides.counted()}, left - seconds + max(end - clock(), 0.0))

    if not wanted.haproxy:
        pause(wanted.interval, wanted.interval + wanted.time)  # so that no reading is of the process before
    begun = clock()
    while True:
        sides.read(source, begun, clock)
        left = begun + wanted.time - clock()
        if sides.worse() or left <= 0 or sides.is_proven(clock() - begun):
            break
        pause(min(wanted.interval, left), left)
    verdict, reason = sides.conclude()
    return {
        "verdict": verdict,
        "reason": reason,
        "seconds": round(clock() - begun, 1),
        "early": sides.early(),
        "by": wanted.source,
        "gaps": dict(sides.gaps),
        **sides.counted(),
        "timeline": {**sides.evidence.figures(begun), "enough": 2 / ALPHA},
    }


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
    if wanted.haproxy:
        return f"HAProxy has no server {', '.join(missing[:3])}; {known}"
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
        f"{_side(old)} with the one before.{_describe_gaps(told['gaps'])}"
    )


def _describe_gaps(gaps: Mapping[str, int]) -> str:
    """What a process of HAProxy has counted since it was asked last is gone with it."""
    if not gaps:
        return ""
    names = ", ".join(f"{name} ({times} times)" if times > 1 else name for name, times in gaps.items())
    return f" HAProxy began to count anew on {names}: what it counted in the last seconds before is not known."


def progress(service: str, told: Mapping[str, Any], left: float) -> str:
    """The figures so far in one line. left: in seconds."""
    return (
        f"{service}: compared with the hosts after the batch, at most {left:.0f} s left. {_side(told['new'])} with the "
        f"new release, {_side(told['old'])} with the one before; verdict so far: {told['verdict']}."
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

"""A day of five hosts and three services, told by the exporter of the collection. Nothing of it has happened.

Times are minutes before the moment of the picture; an end of None is still to come.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Optional

from ansible_collections.slipway.go.plugins.module_utils._release.operator import exported, metrics, watch

HOURS = 25  # rollbacks are counted over a day
MINUTE, DAY = 60, 86400
JOB = "node"
SERVICES = {
    "web1": ("shop",),
    "web2": ("shop", "search"),
    "web3": ("shop", "search"),
    "mail1": ("mail",),
    "mail2": ("mail",),
}
PULLING = ("mail1", "mail2")
PULLS_EVERY, COMPARED_EVERY = 30, 1440
LATENCY = {"shop": 0.018, "search": 0.046, "mail": 0.009}
CERTIFICATE_DAYS = {"shop": 9, "mail": 62}


class Swap(NamedTuple):
    """One that ended, as the journal has it."""

    ago: int
    host: str
    service: str
    version: str
    event: str
    told: dict[str, Any]


class Span(NamedTuple):
    """Something that lasted."""

    begin: int
    end: Optional[int]
    host: str
    service: str = ""

    def covers(self, host: str, service: str, ago: float) -> bool:
        return (self.host, self.service) == (host, service) and self.begin >= ago and ago > (self.end or -math.inf)


def canary(shares: dict[int, tuple[int, int, int, int]]) -> dict[str, Any]:
    """Counts at each share: requests and failures of the new release, and those of the old one."""
    names = ("requests", "failed", "old_requests", "old_failed")
    return {"steps": [{"percent": percent, **dict(zip(names, counts))} for percent, counts in shares.items()]}


def probe(failed: int = 0) -> dict[str, Any]:
    return {"during": {"sent": 240, "failed": failed}, "after": {"sent": 600, "failed": 0}}


def clean(seconds: float, cut: int = 0) -> dict[str, Any]:
    counts = {5: (212, 0, 4020, 3), 25: (1051, 1, 3180, 2), 100: (4230, 2, 0, 0)}
    return {"swap_seconds": seconds, "probe": probe(), "traffic": canary(counts), "cut": cut}


def restart(seconds: float, downtime: float, failed: int = 0, cut: int = 0) -> dict[str, Any]:
    return {"swap_seconds": seconds, "downtime_seconds": downtime, "probe": probe(failed), "cut": cut}


SWAPS = (
    *(
        Swap(1390 - 6 * n, host, "shop", "2.3.1", "committed", clean(96.4 + n))
        for n, host in enumerate(("web1", "web2", "web3"))
    ),
    *(Swap(1330 - 4 * n, host, "mail", "1.8.1", "committed", restart(1.3, 0.6)) for n, host in enumerate(PULLING)),
    *(
        Swap(1310 - 4 * n, host, "search", "0.9.1", "committed", restart(2.4, 1.1))
        for n, host in enumerate(("web2", "web3"))
    ),
    Swap(
        305,
        "web1",
        "shop",
        "2.4.0",
        "rolled_back",
        {
            "code": "canary_failed",
            "traffic": canary({5: (208, 1, 3990, 3), 25: (344, 29, 1040, 1)}),
            "probe": probe(),
            "cut": 0,
        },
    ),
    Swap(272, "mail2", "mail", "1.8.2", "rolled_back", {"code": "unconfirmed", **restart(1.2, 1.4)}),
    *(
        Swap(215 - 6 * n, host, "shop", "2.4.1", "committed", clean(98.2 + n, n))
        for n, host in enumerate(("web1", "web2", "web3"))
    ),
    Swap(172, "web2", "search", "0.9.2", "refused", {"code": "rehearsal_failed"}),
    *(
        Swap(140 - 6 * n, host, "search", "0.9.3", "committed", restart(2.6, 1.2))
        for n, host in enumerate(("web2", "web3"))
    ),
    *(
        Swap(118 - 3 * n, host, "mail", "1.9.0", "committed", restart(1.5, 0.7, 3 - 3 * n, 2))
        for n, host in enumerate(PULLING)
    ),
    *(
        Swap(104 - n, host, "search", "0.9.1", "committed", {"kind": "rollback", **restart(2.2, 1.0)})
        for n, host in enumerate(("web2", "web3"))
    ),
)
FAILING = (Span(131, 122, "web2", "search"), Span(115, 108, "web2", "search"))
DOWN = (Span(5, None, "web3", "search"),)
STOPPED = (Span(88, 64, "web3", "search"),)
AT_WORK = (Span(14, None, "web1", "shop"),)
PAUSED = (Span(9, None, "web1", "shop"),)
PAUSE_ENDS, CONFIRM_ENDS = -21, -9
WAITING = (Span(6, None, "mail1", "mail"),)
SERVING_UNCONFIRMED = {"mail": "1.9.1"}
SILENT = (Span(338, 322, "mail2"),)
PULL_FAILS = (Span(155, 62, "mail2"),)
BAD = {("web1", "shop"): 305, ("mail2", "mail"): 272, ("web2", "search"): 104, ("web3", "search"): 103}
WATCH_RESTARTS = {("web2", "search"): (129, 126, 112), ("web3", "search"): (2,)}
SYSTEMD_RESTARTS = {("web2", "search"): (131, 130, 115, 113), ("web3", "search"): (5, 4, 3, 2, 1)}
DIFFERENCES = {"web2": {"": 2, "search": 1}, "mail1": {"": 1}}


def page(host: str, now: float, end: float) -> str:
    """What the collector's folder of a host has at that time; end: the moment of the picture."""
    ago = (end - now) / MINUTE
    if _any(SILENT, host, "", ago):
        return ""
    services = [known(host, service, now, end) for service in SERVICES[host]]
    told = [families for one in zip(SERVICES[host], services) for families in exported.families(*one, now)]
    told += metrics.drift(_differences(host, ago), end - MINUTE * _last(ago, COMPARED_EVERY, 190 + len(host)))
    if host in PULLING:
        pulled = _last(ago, PULLS_EVERY, 7 if host == "mail1" else 12)
        told += metrics.pull(_any(PULL_FAILS, host, "", pulled), end - MINUTE * pulled)
    return metrics.render(told)


def known(host: str, service: str, now: float, end: float) -> exported.Known:
    ago, here = (end - now) / MINUTE, (host, service)
    history = [_event(swap, end) for swap in SWAPS if (swap.host, swap.service) == here and swap.ago >= ago]
    stopped, waiting = _any(STOPPED, *here, ago), _any(WAITING, *here, ago)
    up = not stopped and not _any(DOWN, *here, ago)
    committed = [event for event in history if event["event"] == "committed"]
    version = SERVING_UNCONFIRMED[service] if waiting else committed[-1]["version"] if committed else ""
    fails = not up or _any(FAILING, *here, ago)
    swapped = min((swap.ago for swap in SWAPS if (swap.host, swap.service) == here and swap.ago >= ago), default=0)
    return exported.Known(
        release=_release(version) if version else {},
        up=up,
        stopped=stopped,
        restarts=sum(swapped > one >= ago for one in SYSTEMD_RESTARTS.get(here, ())) if up or not stopped else 0,
        checks=[_check(service, "fail" if fails else "pass", now, end, answers=up)],
        watch={
            **watch.fresh(""),
            "failures": int(_fails_for(here, ago) * 6) % 3 if fails else 0,
            "restarts_total": sum(one >= ago for one in WATCH_RESTARTS.get(here, ())),
        },
        history=history,
        bad=int(here in BAD and BAD[here] >= ago),
        unfinished=waiting,
        deadline=end - MINUTE * CONFIRM_ENDS if waiting else None,
        running=_any(AT_WORK, *here, ago),
        paused_until=end - MINUTE * PAUSE_ENDS if _any(PAUSED, *here, ago) else None,
    )


def samples(end: float, step: int = MINUTE) -> Iterator[str]:
    """The day in OpenMetrics, as a collector on each host and a Prometheus that asks it every minute would have it."""
    for host in SERVICES:
        begin = int(end) - HOURS * 3600
        for now in range(begin, int(end) + 1, step):
            for line in page(host, now, end).splitlines():
                if not line.startswith("#"):
                    yield f"{with_instance(line, host)} {now}"
    yield "# EOF"


def with_instance(line: str, host: str) -> str:
    """A sample with the labels that a Prometheus gives it."""
    series, _space, value = line.rpartition(" ")
    name, _brace, labels = series.rstrip("}").partition("{")
    told = ",".join(filter(None, (f'instance="{host}"', f'job="{JOB}"', labels)))
    return f"{name}{{{told}}} {value}"


def _event(swap: Swap, end: float) -> dict[str, Any]:
    told = {"kind": "release", **swap.told, **_release(swap.version)}
    return {"time": end - MINUTE * swap.ago, "event": swap.event, **told}


def _release(version: str) -> dict[str, str]:
    digest = hashlib.sha256(version.encode()).hexdigest()
    return {"release": f"{version}-{digest[:10]}", "version": version, "commit": digest[10:17]}


def _check(service: str, state: str, now: float, end: float, answers: bool) -> dict[str, Any]:
    """A check of a service that does not run has not been asked, and says nothing but that it fails."""
    if not answers:
        return {"name": "release", "state": state, "latency": {}}
    wave = 1 + 0.2 * math.sin(now / 5400) + 0.08 * math.sin(now / 137) * math.sin(now / 911)
    slow = 6 if state == "fail" else 1
    days = CERTIFICATE_DAYS.get(service)
    left = None if days is None else days + (end - now) / DAY
    return {
        "name": "release",
        "state": state,
        "latency": {"total": round(LATENCY[service] * wave * slow, 4)},
        "certificate_days": left,
    }


def _any(spans: Sequence[Span], host: str, service: str, ago: float) -> bool:
    return any(span.covers(host, service, ago) for span in spans)


def _fails_for(here: tuple[str, str], ago: float) -> float:
    return max((span.begin - ago for span in (*FAILING, *DOWN) if span.covers(*here, ago)), default=0.0)


def _last(ago: float, every: int, offset: int) -> float:
    """How many minutes before the picture something that comes regularly had come for the last time."""
    return offset + every * math.ceil((ago - offset) / every)


def _differences(host: str, ago: float) -> dict[str, int]:
    nothing = dict.fromkeys(("", *SERVICES[host]), 0)
    return {**nothing, **DIFFERENCES.get(host, {})} if ago <= 190 + len(host) else nothing

"""Pages of counters as services write them and as clients would like them to be, and who is right about them.

A page's truth is known three times over: by the generator, by the check, and by a parser of others. A clean page has to
get the verdict that its counters deserve; whatever was done to a page, the check must never pass where the other parser
counts more errors than are allowed. `make fuzz-metrics PAGES=200000` runs it at length.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from ansible_collections.slipway.go.plugins.module_utils._health import parsing, session
from ansible_collections.slipway.go.plugins.module_utils._health.deadline import Deadline, Stopwatch
from ansible_collections.slipway.go.plugins.module_utils._health.kinds import metrics
from ansible_collections.slipway.go.plugins.module_utils._health.net.http1 import Response
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import CheckFailed
from prometheus_client.parser import text_string_to_metric_families

NAME = "http_requests_total"
ALLOWED = 0.05
LEAST = 20

# Where some language or other ends a line or a field, and what else has no place of its own in a terminal.
CHARACTERS = [chr(c) for c in range(0xD800)]  # Unicode has none of either kind above
SEPARATORS = [c for c in CHARACTERS if len(f"a{c}b".splitlines()) > 1]
BLANKS = [c for c in CHARACTERS if c.isspace()]
ODD = sorted({*SEPARATORS, *BLANKS, *map(chr, (0, 0x180E, 0x200B, 0x200E, 0x2060, 0xFEFF, 0xFFFD, 0xFFFF, 0x1F600))})
WANTED = {"window": 1e-9, "requests": NAME, "max_error_ratio": ALLOWED, "min_requests": LEAST}
CHECK = parsing.parse_check({"kind": "metrics", "url": "http://127.0.0.1/metrics", "metrics": WANTED})
STATUSES = ("200", "201", "204", "301", "404", "429", "500", "502", "503", "599")

Series = tuple[tuple[str, str], ...]


@dataclass
class Service:
    """What a service has counted, and how it writes that down."""

    label: str
    counts: dict[Series, int] = field(default_factory=dict)
    visits: dict[str, int] = field(default_factory=dict)
    restarted: bool = False


def forged(rng: random.Random) -> str:
    """What a client sends as path or agent: text that would be a counter if only a line ended before it."""
    line = f'{NAME}{{code="{rng.choice(STATUSES)}"}} {rng.choice((0, 1, 10**6, 10**12))} '
    parts = [
        rng.choice(ODD),
        line,
        rng.choice(ODD),
        "#",
        "\\",
        '"',
        "}",
        "{",
        ",",
        "=",
        " ",
        "/a",
        "\\n",
        "\\\\",
        "NaN",
    ]
    return "".join(rng.choice(parts) for _part in range(rng.randint(0, 6)))


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def served(rng: random.Random, service: Service) -> None:
    """Some requests more, and now and then a restart before them."""
    if service.counts and rng.random() < 0.06:
        service.counts.clear()
        service.restarted = True
    share = rng.choice((0.0, 0.0, 0.01, 0.04, 0.05, 0.06, 0.5, 1.0))
    for _series in range(rng.randint(0, 4)):
        path = forged(rng) if rng.random() < 0.6 else rng.choice(("/", "/a", ""))
        for status, part in ((rng.choice(STATUSES[:6]), 1 - share), (rng.choice(STATUSES[6:]), share)):
            labels = {"path": path}
            if service.label and rng.random() > 0.02:
                labels[service.label] = status
            key = tuple(sorted((name, value) for name, value in labels.items() if value))
            service.counts[key] = service.counts.get(key, 0) + int(part * rng.choice((10, 100, 1000)))
    service.visits[forged(rng)] = rng.randint(0, 10**6)


def written(rng: random.Random, service: Service) -> str:
    lines = [f"# HELP {NAME} All of them.", f"# TYPE {NAME} counter"]
    for labels, count in service.counts.items():
        lines.append(f"{NAME}{_labels(rng, labels)}{rng.choice((' ', ' ', '  ', chr(9)))}{_value(rng, count)}")
    for agent, count in service.visits.items():
        lines.append(f'visits_total{{agent="{escaped(agent)}"}} {count}')
    if rng.random() < 0.3:
        lines.append(f"# {NAME} {forged(rng)}".replace("\n", " "))
    return "\n".join(lines) + "\n"


def _labels(rng: random.Random, labels: Series) -> str:
    if not labels:
        return rng.choice(("", "{}"))
    pairs = [f'{name}="{escaped(value)}"' for name, value in rng.sample(labels, len(labels))]
    return rng.choice(("{%s}", "{%s}", "{%s,}", "{ %s }", " {%s}")) % rng.choice((",", ", ")).join(pairs)


def _value(rng: random.Random, count: int) -> str:
    return rng.choice(
        (str(count), f"{count}.0", f"{count} 1712000000000", f"{float(count):e}" if count < 10**6 else str(count))
    )


def damaged(rng: random.Random, page: str) -> str:
    """A page after an accident: bytes gone, doubled or put in."""
    for _time in range(rng.randint(1, 3)):
        start = rng.randrange(len(page) + 1)
        end = min(len(page), start + rng.choice((0, 1, 1, 5, 40)))
        put = rng.choice(
            ("", rng.choice(ODD), page[start:end] * 2, forged(rng), "\n", "NaN", "-1", "+Inf", "\r\n", '"')
        )
        page = page[:start] + put + page[end:]
    return page


def verdict(pages: tuple[str, str]) -> tuple[str, str]:
    """What the check says of these two scrapes: its reason, ok for a pass, and its message."""
    answers = [Response(200, (("content-type", "text/plain; version=0.0.4"),), page.encode()) for page in pages]
    running = session.RunningAttempt(session.Session(CHECK), Deadline.after(60.0), Stopwatch())
    with mock.patch.object(metrics, "fetch", side_effect=answers):
        try:
            return metrics.KIND.attempt(running, CHECK.target).reason, ""
        except CheckFailed as failed:
            return failed.reason, failed.message


def of_others(page: str) -> dict[Series, float] | None:
    """The counters by the other parser, which reads a type out of some comments; None if it cannot read the page."""
    page = "\n".join(line for line in page.split("\n") if not line.lstrip(" \t").startswith("#"))
    found: Counter[Series] = Counter()
    try:
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if sample.name == NAME:
                    found[tuple(sorted((n, v) for n, v in sample.labels.items() if v))] += float(sample.value)
    except (ValueError, IndexError, KeyError):
        return None
    return found


def grown(before: dict[Series, float], after: dict[Series, float]) -> tuple[float, float]:
    """Requests and errors between two pages."""
    total = bad = 0.0
    for labels, value in after.items():
        first = before.get(labels, 0.0)
        count = value - first if value >= first else value
        total += count
        bad += count if re.fullmatch("5..", dict(labels).get("code", "")) else 0
    return total, bad


def deserved(service: Service, before: dict[Series, int]) -> set[str]:
    """The reasons that a clean page may get."""
    total, bad = grown(before, service.counts)
    if not service.counts or total < LEAST:
        return {"inconclusive"}
    if bad / total > ALLOWED:
        return {"metrics"}
    unseen = any("code" not in dict(labels) for labels in service.counts)
    fell = any(service.counts.get(labels, -1) < value for labels, value in before.items())
    return {"inconclusive"} if unseen or fell else {"ok"}


def one(rng: random.Random) -> tuple[str, str | None]:
    """One pair of pages: how it was judged, and what is wrong with that."""
    service = Service(rng.choice(("code", "code", "code", "status", "")))
    served(rng, service)
    first, before = written(rng, service), dict(service.counts)
    served(rng, service)
    second = written(rng, service)
    clean = rng.random() < 0.5
    if not clean:
        first, second = (damaged(rng, page) if rng.random() < 0.7 else page for page in (first, second))
    reason, message = verdict((first, second))
    if clean and reason not in deserved(service, before):
        return reason, f"a clean page: {reason} ({message}), deserved {deserved(service, before)}: {first!r} {second!r}"
    if reason == "ok":
        return reason, _wrongly_passed(of_others(first), of_others(second), (first, second))
    return reason, None


def _wrongly_passed(before: Any, after: Any, pages: tuple[str, str]) -> str | None:
    if before is None or after is None:
        return f"passed, and the other parser cannot read it: {pages}"
    total, bad = grown(before, after)
    enough = total >= LEAST and bad <= ALLOWED * total * (1 + 1e-9)  # neither holds for NaN
    if not enough:
        return f"passed, and the other parser counts {bad:g} errors of {total:g}: {pages}"
    return None


def run(pages: int, seed: int) -> tuple[Counter[str], list[str]]:
    rng = random.Random(seed)
    reasons: Counter[str] = Counter()
    wrong: list[str] = []
    for _pair in range((pages + 1) // 2):
        reason, fault = one(rng)
        reasons[reason] += 1
        if fault is not None:
            wrong.append(fault)
    return reasons, wrong


if __name__ == "__main__":
    began = time.monotonic()
    counted, faults = run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print(f"{2 * sum(counted.values())} pages in {time.monotonic() - began:.0f} s, verdicts on pairs: {dict(counted)}")
    print(f"{len(faults)} wrong", *faults[:5], sep="\n")
    sys.exit(bool(faults))

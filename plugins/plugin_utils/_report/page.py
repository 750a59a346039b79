# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a run as one page of HTML that needs nothing else. Pure. PRIVATE to the collection.

Whatever a host has said is text, and nothing but text: see _html.py. The page has no script.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._core.errors import with_fix
from ansible_collections.slipway.go.plugins.module_utils._release import periods
from ansible_collections.slipway.go.plugins.module_utils._release.pause import describe as describe_pause
from ansible_collections.slipway.go.plugins.plugin_utils._report import charts, style
from ansible_collections.slipway.go.plugins.plugin_utils._report.html import Html, join, tag, text
from ansible_collections.slipway.go.plugins.plugin_utils._report.run_report import (
    REFUSED,
    Comparison,
    Host,
    Report,
    Service,
)

# Beyond so many hosts, a chart and its table have fewer points: the page stays one that a phone can open.
MANY = 40
POINTS, POINTS_OF_MANY = 120, 40
ROWS, ROWS_OF_MANY = 24, 8
# So many are shown without being asked for.
OPEN = 3
FAILURES = 20
LOG = 10
# So many columns fit on a phone.
NARROW = 4
_OUTCOMES = {
    "complete": ("complete", "good"),
    "partial": ("ended before the last batch", "back"),
    "incomplete": ("incomplete", "bad"),
    "taken_back": ("taken back", "back"),
    "stopped": ("stopped", "bad"),
    "refused": ("refused", "bad"),
}
_DASH = "-"


class Page:
    """What the parts of one page have in common."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.ids = charts.Ids()
        many = report.hosts > MANY
        self.points, self.rows = (POINTS_OF_MANY, ROWS_OF_MANY) if many else (POINTS, ROWS)


def render(report: Report) -> str:
    """The whole file."""
    page = Page(report)
    title = _title(report)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=style.policy()),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(style.STYLE)),
    )
    many = len(report.services) > 1
    services = [_service(service, page, i + 1) for i, service in enumerate(report.services)]
    body = tag(
        "body",
        tag("header", tag("h1", title), _sentences(report), _about(report)),
        _links(report) if many else None,
        tag("main", *(services or [tag("p", "No host was asked.")])),
        tag("footer", _closing_words()),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def utc(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


def clock(moment: float) -> str:
    return time.strftime("%H:%M:%S UTC", time.gmtime(moment))


def _title(report: Report) -> str:
    if len(report.services) == 1:
        service = report.services[0]
        return f"Release of {service.name} {service.version}: {_word(service)[0]}"
    names = ", ".join(service.name for service in report.services)
    return f"Release of {names}" if names else "Release"


def _word(service: Service) -> tuple[str, str]:
    return _OUTCOMES.get(service.outcome, (service.outcome, "none"))


def _sentences(report: Report) -> Html:
    return join(*(tag("p", sentence(service), class_="outcome") for service in report.services))


def sentence(service: Service) -> str:
    """The outcome in one sentence, and what runs now."""
    total = len(service.hosts)
    hosts = "1 host" if total == 1 else f"{total} hosts"
    what = f"{service.name} {service.version}"
    if total == 1 and service.outcome != REFUSED:
        host = service.hosts[0]
        return f"{what} on {host.name}: {host.verdict}. {host.now or 'It is not known what'} runs there now."
    if service.outcome == REFUSED:
        against = sum(host.look == "bad" for host in service.hosts)
        return f"{what} was refused before anything changed: {against} of {hosts} cannot take it."
    ends = ", ".join(f"{count} {verdict}" for verdict, count in service.counted())
    where = Counter(host.now or "not known" for host in service.hosts).most_common()
    if len(where) == 1 and where[0][0] != "not known":
        return f"{what} on {hosts}: {ends}. All run {where[0][0]} now."
    runs = ", ".join(f"{release} on {count}" for release, count in where)
    return f"{what} on {hosts}: {ends}. What runs now: {runs}."


def _about(report: Report) -> Html:
    told = [
        ("Began", utc(report.began)),
        ("Took", charts.seconds(max(report.ended - report.began, 0.0))),
        *report.about,
        ("Run", report.id),
    ]
    return tag("dl", *(join(tag("dt", name), tag("dd", value)) for name, value in told if value))


def _links(report: Report) -> Html:
    links = [
        tag("li", tag("a", service.name, href=f"#service-{i + 1}"), ": ", _mark(*_word(service)))
        for i, service in enumerate(report.services)
    ]
    return tag("nav", tag("ul", *links), aria_label="Services")


def _mark(word: str, look: str) -> Html:
    return tag("span", word, class_=f"verdict {look}")


def _service(service: Service, page: Page, number: int) -> Html:
    name = f"service-{number}"
    anchors = {host.name: f"{name}-host-{i + 1}" for i, host in enumerate(service.hosts)}
    return tag(
        "section",
        tag("h2", f"{service.name} {service.version}: ", _mark(*_word(service)), id=name),
        _failures(service),
        tag("h3", "Hosts"),
        _hosts(service, anchors),
        _batches(service, page),
        _comparisons(service, page),
        tag("h3", "Each host"),
        *(_host(host, page, anchors[host.name], len(service.hosts) <= OPEN) for host in service.hosts),
        aria_labelledby=name,
    )


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """A table whose first cell names the row.

    On a narrow screen each row of a wide one becomes a card; the roles keep it a table for a screen reader.
    """
    is_wide = len(heads) > NARROW

    def role(name: str) -> str | None:
        return name if is_wide else None

    head = tag("tr", *(tag("th", one, scope="col", role=role("columnheader")) for one in heads), role=role("row"))
    body = []
    for first, *others in rows:
        cells = [
            tag("td", _DASH if value in ("", None) else value, role=role("cell"), data_label=one if is_wide else None)
            for one, value in zip(heads[1:], others)
        ]
        body.append(tag("tr", tag("th", first, scope="row", role=role("rowheader")), *cells, role=role("row")))
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", head, role=role("rowgroup")),
        tag("tbody", *body, role=role("rowgroup")),
        class_="cards" if is_wide else None,
        role=role("table"),
    )


def _hosts(service: Service, anchors: Mapping[str, str]) -> Html:
    heads = ("Host", "From", "To", "Verdict", "Failed", "p99", "Runs now", "Left to do")
    rows = [
        (
            tag("a", host.name, href=f"#{anchors[host.name]}"),
            host.before,
            host.to,
            _mark(host.verdict, host.look),
            host.failed,
            host.p99,
            host.now,
            host.left,
        )
        for host in service.hosts
    ]
    caption = "Failed: requests of the probe since the swap began. p99: of the probe in the soak."
    return table(caption, heads, rows)


def _failures(service: Service) -> Html:
    """What failed, and why; hosts that say the same are named together."""
    same: dict[tuple[str, str, str], list[Host]] = {}
    for host in service.hosts:
        for cause in _causes(host):
            same.setdefault(cause, []).append(host)
    if not same:
        return Html()
    shown = [_failure(cause, hosts, i < OPEN) for i, (cause, hosts) in enumerate(list(same.items())[:FAILURES])]
    more = len(same) - len(shown)
    rest = tag("p", f"{more} more: see each host.") if more > 0 else None
    return join(tag("h3", "What failed"), *shown, rest)


def _told(problem: Mapping[str, Any], key: str) -> str:
    return str(problem.get(key) or "")


def _causes(host: Host) -> list[tuple[str, str, str]]:
    """Each with its code, its message and its fix."""
    answer, problems = host.answer, host.answer.get("problems")
    if isinstance(problems, list) and problems and all(isinstance(one, Mapping) for one in problems):
        listed = [(_told(one, "code"), _told(one, "message"), _told(one, "fix")) for one in problems]
        if answer.get("code") != "rollback_failed":
            return listed
    if not host.message:
        return []
    fix = str(answer.get("fix") or "")
    return [(str(answer.get("code") or ""), host.message.removesuffix(f" Fix: {fix}") if fix else host.message, fix)]


def _failure(cause: tuple[str, str, str], hosts: Sequence[Host], is_open: bool) -> Html:
    code, message, fix = cause
    names = ", ".join(host.name for host in hosts[:FAILURES])
    more = f" and {len(hosts) - FAILURES} more" if len(hosts) > FAILURES else ""
    log = hosts[0].answer.get("log")
    body = hosts[0].answer.get("answer")
    return tag(
        "details",
        tag("summary", tag("strong", f"{names}{more}"), ": ", tag("code", code) if code else "failed"),
        tag("p", message, class_="said"),
        tag("p", tag("strong", "Fix: "), fix, class_="said") if fix else None,
        _quoted(f"The last lines of its log on {hosts[0].name}", "\n".join(map(str, log[-LOG:])))
        if isinstance(log, list) and log
        else None,
        _quoted("The answer to its health check", str(body)) if body else None,
        class_="failure",
        open=is_open,
    )


def _quoted(label: str, said: str) -> Html:
    return tag("figure", tag("figcaption", label, class_="quiet"), tag("pre", said))


def _batches(service: Service, page: Page) -> Html:
    """When each host had its turn, by the clock of the controller."""
    timed = [host for host in service.hosts if host.began is not None and host.ended is not None]
    if len(service.hosts) < 2 or not timed:
        return Html()
    timed.sort(key=lambda host: (host.batch, host.began))
    bars = [
        charts.Bar(
            host.name,
            host.began or 0.0,
            host.ended or 0.0,
            host.look,
            f"{host.verdict}, batch {host.batch}, {charts.seconds((host.ended or 0.0) - (host.began or 0.0))}",
        )
        for host in timed
    ]
    rows = []
    for number in sorted({host.batch for host in timed}):
        batch = [host for host in timed if host.batch == number]
        began, ended = min(host.began or 0.0 for host in batch), max(host.ended or 0.0 for host in batch)
        verdicts = Service(service.name, service.version, service.outcome, tuple(batch)).counted()
        ends = ", ".join(f"{count} {verdict}" for verdict, count in verdicts)
        rows.append((f"Batch {number}", len(batch), clock(began), charts.seconds(ended - began), ends))
    heads = ("Batch", "Hosts", "Began", "Took", "Ended as")
    return join(
        tag("h3", "Batches"),
        charts.fleet(f"When each host of {service.name} had its turn", bars, clock, page.ids),
        table("By the clock of the controller.", heads, rows),
    )


_VERDICTS = {"pass": "good", "inconclusive": "back", "fail": "bad"}


def _comparisons(service: Service, page: Page) -> Html:
    """Each batch beside the hosts after it."""
    if not service.comparisons:
        return Html()
    return join(
        tag("h3", "Compared with the hosts after it"),
        *(_comparison(one, service, page) for one in service.comparisons),
    )


def _comparison(one: Comparison, service: Service, page: Page) -> Html:
    title = tag("h4", f"Batch {one.batch}")
    if not one.told:
        return join(title, tag("p", f"Not compared: {one.why}.", class_="said"))
    verdict, why = str(one.told.get("verdict")), one.said or str(one.told.get("reason") or "")
    began = f", from {clock(one.began)}" if one.began is not None else ""
    looks, limit = charts.looks(one.timeline)
    by = one.told.get("by")
    batch = f"batch {one.batch} of {service.name} and the hosts after it"
    parts = [
        title,
        tag("p", "Verdict: ", _mark(verdict, _VERDICTS.get(verdict, "none")), f": {why}" if why else "", class_="said"),
        _sides(one.told, f"Counted by {by} over {_seconds(one.told.get('seconds'))}{began}."),
    ]
    if not looks:
        return join(*parts, tag("p", f"There is no chart: {by} answered less than twice."))
    end = {"errors": f"{looks[-1].errors:g}", "latency": f"{looks[-1].latency:g}", "enough": f"{limit:g}"}
    return join(
        *parts,
        _labelled("Failed requests by then, in percent", charts.shares(f"Failed requests, {batch}", looks, page.ids)),
        _labelled(
            "Evidence against the release",
            charts.evidence(f"Evidence against the release, {batch}", one.timeline, page.ids),
        ),
        _evidence(end, one.timeline, page, "since the comparison began"),
    )


def _labelled(label: str, chart: Html) -> Html:
    return tag("figure", tag("figcaption", label, class_="quiet"), chart) if chart else Html()


def _sides(told: Mapping[str, Any], caption: str) -> Html:
    rows = []
    for key, name in (("new", "The new release"), ("old", "The one before")):
        side = told.get(key)
        if isinstance(side, Mapping):
            hosts, requests = str(side.get("hosts", "")), str(side.get("requests", ""))
            failed, p99 = _share(side.get("failed"), side.get("requests")), charts.milliseconds(side.get("p99_ms"))
            rows.append((name, hosts, requests, failed, p99))
    return table(caption, ("Release", "Hosts", "Requests", "Failed", "p99"), rows)


def _failed_by(counts: Sequence[int]) -> tuple[str, str]:
    new, new_failed, old, old_failed = counts or (0, 0, 0, 0)
    return f"{_share(new_failed, new)} of {new}", f"{_share(old_failed, old)} of {old}"


def _share(failed: Any, requests: Any) -> str:
    if not isinstance(failed, int) or not isinstance(requests, int):
        return ""
    share = f" ({charts.percent(failed, requests):.2g} %)" if failed and requests else ""
    return f"{failed}{share}"


def _host(host: Host, page: Page, anchor: str, is_open: bool) -> Html:
    answer, timeline = host.answer, host.timeline
    failed = str(answer.get("failed_phase") or "")
    spans, series = charts.phases(timeline.get("phases")), charts.points(timeline.get("probe"), page.points)
    told = [_mark(host.verdict, host.look)]
    told += [text(f", {host.failed} requests failed")] if host.failed else []
    told += [text(f", p99 {host.p99}")] if host.p99 else []
    parts = [
        _facts(host),
        charts.swap(host.name, spans, series, failed, page.ids),
        _phases(host, spans, failed),
        _periods(answer.get("probe")),
        _series(timeline.get("probe"), page),
        _canary(host, page),
        _notices(answer.get("notices")),
    ]
    summary = tag("summary", tag("strong", host.name), ": ", *told)
    inner = join(*(part for part in parts if part))
    return tag("details", summary, inner or tag("p", "Nothing was changed on this host."), id=anchor, open=is_open)


def _facts(host: Host) -> Html:
    answer, began = host.answer, host.timeline.get("began")
    cut, hosts, paused = answer.get("cut"), answer.get("build_host"), answer.get("paused")
    told = [
        ("Batch", str(host.batch) if host.batch else ""),
        ("Began", clock(host.began) if host.began is not None else ""),
        ("Built on", _machine(hosts, "built_on")),
        ("Runs on", _machine(hosts, "runs_on")),
        ("Strategy", host.strategy),
        ("Swap began", f"{utc(began)}, by the clock of the host" if isinstance(began, (int, float)) else ""),
        ("Swap took", _seconds(answer.get("swap_seconds"))),
        ("Nothing served for", _seconds(answer.get("downtime_seconds"))),
        ("Paused", describe_pause(paused) if isinstance(paused, Mapping) else ""),
        ("Restarted because", str(answer.get("restarted_because") or "")),
        ("Failed in", str(answer.get("failed_phase") or "")),
        ("Connections cut", str(cut) if cut else ""),
        ("Still draining", ", ".join(map(str, answer.get("draining") or ()))),
    ]
    shown = [join(tag("dt", name), tag("dd", value)) for name, value in told if value]
    return tag("dl", *shown) if shown else Html()


def _machine(hosts: Any, which: str) -> str:
    """One host in a line; nothing where the artefact has no manifest."""
    told = hosts.get(which) if isinstance(hosts, Mapping) else None
    if not isinstance(told, Mapping):
        return ""
    kernel = f"kernel {told['kernel']}" if told.get("kernel") else ""
    return ", ".join(str(part) for part in (told.get("os"), kernel, told.get("architecture"), told.get("libc")) if part)


def _seconds(value: Any) -> str:
    return charts.seconds(value) if isinstance(value, (int, float)) else ""


def _phases(host: Host, spans: Sequence[charts.Phase], failed: str) -> Html:
    """Those of the swap with their place in the chart, after those that came before it."""
    told = host.answer.get("phases")
    durations = dict(told) if isinstance(told, Mapping) else {}
    drawn = {span.name for span in spans}
    rows: list[Sequence[Any]] = [
        (name, "before the swap" if name in ("STAGE", "REHEARSE") else "after the swap", _seconds(took))
        for name, took in durations.items()
        if name not in drawn
    ]
    rows[sum(row[1] == "before the swap" for row in rows) :] = [
        *(
            (
                join(charts.swatch(charts.fill_of(span.name, failed)), _named(span.name, failed)),
                charts.seconds(span.begins),
                charts.seconds(span.took),
            )
            for span in spans
        ),
        *(row for row in rows if row[1] != "before the swap"),
    ]
    if not rows:
        return Html()
    return join(tag("h4", "Phases"), table("Seconds since the swap began.", ("Phase", "Begins", "Took"), rows))


def _named(phase: str, failed: str) -> str:
    return f"{phase} (failed)" if phase == failed else phase


def _periods(probe: Any) -> Html:
    if not isinstance(probe, Mapping):
        return Html()
    names = {
        periods.BEFORE: "Before the swap",
        periods.DURING: "During the swap",
        periods.PAUSED: "While it was paused",
        periods.AFTER: "In the soak",
        periods.ROLLBACK: "Going back",
    }
    rows = []
    for key, name in names.items():
        told = probe.get(key)
        if isinstance(told, Mapping):
            durations = [charts.milliseconds(told.get(rank)) for rank in ("p50_ms", "p99_ms", "max_ms")]
            reasons = told.get("reasons") if isinstance(told.get("reasons"), Mapping) else {}
            why = ", ".join(f"{count} {reason}" for reason, count in (reasons or {}).items())
            rows.append((name, str(told.get("sent", "")), str(told.get("failed", "")), *durations, why))
    heads = ("Period", "Sent", "Failed", "p50", "p99", "Slowest", "Why")
    blind = tag("p", str(probe["blind"]), class_="said") if probe.get("blind") else None
    caption = f"{probe.get('rate', '')} requests a second to {probe.get('target', '')}"
    return join(tag("h4", "Requests of the probe"), blind, table(caption, heads, rows)) if rows else Html()


def _series(told: Any, page: Page) -> Html:
    """The figures of the chart, for those who cannot see it."""
    series = charts.points(told, page.rows)
    if not series:
        return Html()
    rows = [
        (charts.seconds(point.begins), str(point.sent), str(point.failed), charts.milliseconds(point.max_ms))
        for point in series
    ]
    caption = f"In spans of {charts.seconds(series[0].ends - series[0].begins)}, since the swap began."
    return tag(
        "details",
        tag("summary", "Requests over time as a table"),
        table(caption, ("From", "Sent", "Failed", "Slowest"), rows),
    )


def _canary(host: Host, page: Page) -> Html:
    traffic, told = host.answer.get("traffic"), host.timeline.get("evidence")
    if not isinstance(traffic, Mapping):
        return Html()
    steps = [one for one in traffic.get("steps") or () if isinstance(one, Mapping)]
    keys = ("requests", "failed", "p99_ms", "old_requests", "old_failed", "old_p99_ms")
    rows = [
        (
            f"{one.get('percent')} %",
            f"{_seconds(one.get('seconds'))}{', ended early' if one.get('early') else ''}",
            *(charts.milliseconds(one.get(key)) if key.endswith("ms") else str(one.get(key, "")) for key in keys),
        )
        for one in steps
    ]
    heads = ("Share", "Took", "Requests", "Failed", "p99", "Old: requests", "Old: failed", "Old: p99")
    reason = f": {traffic['reason']}" if traffic.get("reason") else ""
    return join(
        tag("h4", "Requests of users"),
        tag("p", "Verdict: ", tag("strong", str(traffic.get("verdict"))), reason, class_="said"),
        table("The shares of the users' requests, and the old release beside them.", heads, rows) if rows else None,
        _chosen(traffic.get("chosen")),
        charts.evidence(f"Evidence against the release on {host.name}", told, page.ids),
        _evidence(traffic.get("evidence"), told, page, "since the swap began"),
    )


def _chosen(told: Any) -> Html:
    if not isinstance(told, Mapping):
        return Html()
    return tag(
        "p",
        f"Of chosen users, {told.get('failed')} of {told.get('requests')} requests failed at the new release, "
        f"{told.get('old_failed')} of {told.get('old_requests')} at the old one.",
    )


def _evidence(end: Any, told: Any, page: Page, since: str) -> Html:
    if not isinstance(end, Mapping):
        return Html()
    last = tag(
        "p",
        f"At the end, the evidence was {end.get('errors')} for errors and {end.get('latency')} for latency; "
        f"with {end.get('enough')} the release is refused.",
    )
    looks, _limit = charts.looks(told)
    size = max(-(-len(looks) // page.rows), 1)
    parts = [looks[i : i + size] for i in range(0, len(looks), size)]
    counted = any(one.counts for one in looks)
    rows = [
        (
            charts.seconds(part[-1].at),
            f"{max(one.errors for one in part):g}",
            f"{max(one.latency for one in part):g}",
            *(_failed_by(part[-1].counts) if counted else ()),
        )
        for part in parts
    ]
    heads = ("Until", "Errors", "Latency", *(("New: failed", "Before: failed") if counted else ()))
    listed = table(f"The highest until then, {since}.", heads, rows)
    shown = tag("details", tag("summary", "Evidence over time as a table"), listed) if rows else None
    return join(last, shown)


def _notices(told: Any) -> Html:
    notices = [one for one in told if isinstance(one, Mapping)] if isinstance(told, list) else []
    lines = [
        tag("li", tag("code", str(one.get("code"))), " ", with_fix(str(one.get("message")), str(one.get("fix") or "")))
        for one in notices
    ]
    return join(tag("h4", "Notices"), tag("ul", *lines)) if lines else Html()


def _closing_words() -> str:
    return (
        "Written by slipway.go. Times of batches are by the clock of the controller; a swap is in seconds since it "
        "began on its host. What hosts have logged is shown as it was in the result of the run."
    )


__all__ = ["render"]

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a run: what it says is what the results say, whatever hosts have put into them."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import time
from html.parser import HTMLParser

import pytest
from ansible_collections.slipway.go.plugins.plugin_utils._report import charts, style
from ansible_collections.slipway.go.plugins.plugin_utils._report.html import Html, tag, text
from ansible_collections.slipway.go.plugins.plugin_utils._report.page import render, sentence
from ansible_collections.slipway.go.plugins.plugin_utils._report.run_report import Report, gather

OLD, NEW = "1.9.4-77c0aa12de", "2.0.0-3b1d8f00aa"
BEGAN = 1789000000.0
PROBE = {
    "target": "http://127.0.0.1:8080/",
    "rate": 20.0,
    "blind": None,
    "before": {"sent": 12, "failed": 0, "reasons": {}, "p50_ms": 1.1, "p99_ms": 1.9, "max_ms": 1.95},
    "during": {"sent": 31, "failed": 2, "reasons": {"refused": 2}, "p50_ms": 1.2, "p99_ms": 2.4, "max_ms": 2.41},
    "after": {"sent": 100, "failed": 0, "reasons": {}, "p50_ms": 1.3, "p99_ms": 2.02, "max_ms": 2.25},
}
TRAFFIC = {
    "verdict": "fail",
    "reason": "too many of them fail",
    "evidence": {"errors": 431.0, "latency": 0.01, "enough": 200.0},
    "steps": [
        {"percent": 25, "seconds": 60.0, "requests": 750, "failed": 7, "p99_ms": 35}
        | {"old_requests": 2251, "old_failed": 1, "old_p99_ms": 34}
    ],
}
TIMELINE = {
    "began": BEGAN + 0.5,
    "phases": [["INTENT", 0.0, 0.04], ["OVERLAP", 0.04, 0.45], ["DRAIN", 0.49, 1.26], ["SOAK", 1.75, 5.0]],
    "probe": {
        "begins": -0.6,
        "step": 0.25,
        "sent": [5] * 30,
        "failed": [0] * 9 + [2] + [0] * 20,
        "max_ms": [1.5] * 9 + [None] + [2.41] * 20,
    },
    "evidence": {"at": [1.0, 2.0, 3.0], "errors": [0.5, 20.0, 431.0], "latency": [1.0, 0.1, 0.01], "enough": 200.0},
}
RELEASED = {
    "changed": True,
    "action": "release",
    "current": NEW,
    "previous": OLD,
    "phases": {"STAGE": 0.05, "OVERLAP": 0.45},
    "swap_seconds": 1.75,
    "probe": PROBE,
    "traffic": TRAFFIC,
}
ROLLED_BACK = {
    "failed": True,
    "code": "rolled_back",
    "msg": f"{NEW} was rolled back in SOAK: it answers 500. Fix: see the log",
    "fix": "see the log",
    "current": OLD,
    "failed_release": NEW,
    "failed_phase": "SOAK",
    "log": ["panic: no database"],
    "answer": '{"status":"DOWN"}',
    "probe": PROBE,
}
REFUSED = {
    "code": "port_in_use",
    "msg": "two things",
    "problems": [
        {"code": "port_in_use", "message": "port 8080 is in use by nginx.", "fix": "stop it"},
        {"code": "disk_full", "message": "no space is left.", "fix": "free some"},
    ],
    "current": OLD,
}
HOSTILE = "<script>alert(1)</script>\"'><img src=//evil.example onerror=x>&amp;"
HOSTILE += "\x1b[31m\x00\u202e\u2066{{ 7 * 7 }}</pre></style>"


def note(host, answer, service="shop", kind="release", batch=0, **more):
    told = {"kind": kind, "service": service, "host": host, "answer": answer, "batch": batch, "by": {"person": "alice"}}
    told |= {"began": BEGAN + batch, "ended": BEGAN + batch + 9, "strategy": "socket", "timeline": TIMELINE}
    return {**told, "version": "2.0.0", **more}


def closing(stats, outcome="complete", service="shop", **more):
    told = {"stats": stats, "outcome": outcome, "failures": {}, "left": {}, **more}
    return {"kind": "closing", "service": service, "host": "", "closing": told, "version": "2.0.0"}


def page(*notes, hosts=()):
    services, by = gather(notes, hosts or list(dict.fromkeys(one["host"] for one in notes if one["host"])))
    return render(Report("90f1c2aa34bb56dd", BEGAN, BEGAN + 61, services, (("Who", by.get("person", "")),)))


def comparison(batch, verdict="", reason="", said="", looks=4, service="shop", **more):
    """Of the batch that begins with that host."""
    counts = [[60 * i, 3 * i, 180 * i, i] for i in range(1, looks + 1)]
    series = {"at": [15.0 * i for i in range(1, looks + 1)], "errors": [10.0**i for i in range(looks)]}
    series |= {"latency": [1.0] * looks, "enough": 200.0, "counts": counts}
    sides = {"new": {"hosts": 1, "requests": 240, "failed": 12, "p99_ms": 35}}
    sides |= {"old": {"hosts": 3, "requests": 720, "failed": 4, "p99_ms": None}}
    told = {"verdict": verdict, "reason": reason, "seconds": 60.0, "by": "Prometheus", **sides} if verdict else {}
    shown = {"told": told, "timeline": series, "began": BEGAN + 20, "said": said} if verdict else {}
    return {"kind": "comparison", "service": service, "host": f"batch {batch}", "batch": batch, **shown, **more}


def compared(*comparisons):
    hosts = [note(f"web{i}", RELEASED, batch=i) for i in range(3)]
    return page(*hosts, *comparisons, hosts=["web0", "web1", "web2"])


class Reader(HTMLParser):
    """What a browser finds in a page. Elements that nobody closes, or that nobody has opened, are an error."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.links, self.attributes, self.tags = [], [], [], [], []
        self.headings, self.cells, self.texts = [], [], []
        self.feed(source)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids)), "each id is there once"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *one) for one in attrs]
        told = dict(attrs)
        self.ids += [told["id"]] if "id" in told else []
        self.links += [told["href"]] if "href" in told else []
        if tag != "meta":
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if any(one in self.open for one in ("td", "th")) and "title" not in self.open:
            self.cells[-1] += data

    def row(self, first):
        """The cells of a row that begins with this one."""
        place = self.cells.index(first)
        return self.cells[place + 1 : place + 8]


def fleet(hosts, services):
    """Every one released, but each seventh host."""
    notes = []
    for service, i in itertools.product([f"shop{n}" for n in range(services)], range(hosts)):
        answer = {**ROLLED_BACK, "msg": f"host {i} failed"} if i % 7 == 6 else RELEASED
        notes.append(note(f"web{i:03}", answer, service, batch=i // 50))
    return notes


def long_timeline():
    series = {"begins": -1.0, "step": 0.5, "sent": [10] * 120, "failed": [1] * 120, "max_ms": [12.34] * 120}
    times = {"at": [float(i) for i in range(120)], "errors": [1.23] * 120, "latency": [0.45] * 120, "enough": 200.0}
    return {**TIMELINE, "probe": series, "evidence": times}


PAGES = {
    "one host": lambda: page(note("web1", RELEASED)),
    "rolled back": lambda: page(note("web1", ROLLED_BACK), closing({"web1": {"verdict": "failed"}}, "stopped")),
    "refused": lambda: page(note("web1", REFUSED, kind="preflight"), note("web2", RELEASED, kind="preflight")),
    "nothing": page,
    "not one host was asked": lambda: page(closing({"web1": {"verdict": "not touched"}}, "stopped")),
    "hostile": lambda: page(
        note(HOSTILE, {**ROLLED_BACK, **dict.fromkeys(("msg", "fix", "answer"), HOSTILE), "log": [HOSTILE]}),
        note("web2", {**RELEASED, "previous": HOSTILE, "probe": {**PROBE, "target": HOSTILE}}, HOSTILE),
    ),
    "compared": lambda: compared(
        comparison(0, "pass"), comparison(1, HOSTILE, HOSTILE, HOSTILE), comparison(2, why=HOSTILE)
    ),
    "many": lambda: page(*fleet(30, 2)),
    "what no engine says": lambda: page(
        note("web1", {**RELEASED, "probe": "x", "traffic": [], "phases": 3, "notices": {}}, timeline={"probe": 1}),
        note("web2", {**RELEASED, "traffic": {"steps": [1, {}]}}, timeline={"phases": [[1], "x", ["A", "b", 1]]}),
        note("web3", {}, timeline={"probe": {"sent": [1], "failed": [], "max_ms": []}, "evidence": {"at": []}}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_asks_for_nothing(name):
    source = PAGES[name]()
    read = Reader(source)
    assert set(read.tags) & {"script", "img", "link", "iframe", "object", "base", "form"} == set()
    assert {key for _tag, key, _value in read.attributes} & {"src", "srcset", "style", "onerror", "onload"} == set()
    assert all(link.startswith("#") and link[1:] in read.ids for link in read.links), read.links
    assert "url(" not in source
    assert "@import" not in source
    assert read.headings[0] == 1
    assert read.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(read.headings)), "no level is left out"
    assert ("html", "lang", "en") in read.attributes
    assert {"header", "main", "footer"} <= set(read.tags)
    assert read.tags.count("svg") - source.count('aria-hidden="true"') == source.count('role="img"')
    for _tag, key, value in read.attributes:
        if key == "aria-labelledby":
            assert set(value.split()) <= set(read.ids)


def test_the_policy_allows_the_style_of_the_page_and_nothing_else():
    source = PAGES["one host"]()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', source)
    (shown,) = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(shown.encode()).digest()).decode()
    assert policy.replace("&#x27;", "'").split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]


def test_what_a_host_has_said_is_text():
    source = PAGES["hostile"]()
    said = "".join(Reader(source).texts)
    assert "<script>alert(1)</script>\"'><img src=//evil.example onerror=x>&amp;" in said
    assert r"\x1b[31m\x00\u202e\u2066{{ 7 * 7 }}</pre></style>" in said
    assert not {"\x1b", "\x00", "\u202e", "\u2066"} & set(source)


def test_what_the_probe_met_in_a_pause_has_a_row_of_its_own():
    paused = {"sent": 300, "failed": 4, "reasons": {"refused": 4}, "p50_ms": 1.2, "p99_ms": 2.4, "max_ms": 2.41}
    read = Reader(page(note("web1", {**RELEASED, "probe": {**PROBE, "paused": paused}})))
    assert read.row("While it was paused")[:6] == ["300", "4", "1.2 ms", "2.4 ms", "2.41 ms", "4 refused"]
    assert read.row("web1") == [OLD, NEW, "released", "6 of 431", "2.02 ms", NEW, "-"]


@pytest.mark.parametrize("given", ["\x07", "\x85", "\u200f", "\u2028", "\ud800", "\U000e0001", "\ufeff"])
def test_a_character_that_is_not_seen_is_shown(given):
    assert re.fullmatch(r"a\\[xuU][0-9a-f]+b", text(f"a{given}b"))


def test_what_is_seen_stays_as_it_is_and_has_an_end():
    assert text("naïve Ω 日本 שלום\n\tx") == "naïve Ω 日本 שלום\n\tx"
    assert len(text("x" * 100_000)) == 4000
    assert tag("p", Html("<b>x</b>"), "<b>", None, [1, 2], class_="a", hidden=True, id=None, open=False) == (
        '<p class="a" hidden><b>x</b>&lt;b&gt;12</p>'
    )


def test_the_figures_are_those_of_the_result():
    source = PAGES["one host"]()
    read = Reader(source)
    assert read.row("web1") == [OLD, NEW, "released", "2 of 131", "2.02 ms", NEW, "-"]
    assert read.row("Before the swap")[:6] == ["12", "0", "1.1 ms", "1.9 ms", "1.95 ms", "-"]
    assert read.row("During the swap")[:6] == ["31", "2", "1.2 ms", "2.4 ms", "2.41 ms", "2 refused"]
    assert read.row("In the soak")[:6] == ["100", "0", "1.3 ms", "2.02 ms", "2.25 ms", "-"]
    assert read.row("25 %") == ["60.0 s", "750", "7", "35 ms", "2251", "1", "34 ms"]
    assert read.row("STAGE")[:2] == ["before the swap", "0.05 s"]
    assert read.row("OVERLAP")[:2] == ["0.04 s", "0.45 s"]
    for said in (
        "431.0 for errors",
        "2026-09-10 00:26:40 UTC",
        "1.75 s",
        "alice",
        "90f1c2aa34bb56dd",
        "too many of them",
    ):
        assert said in source, said


def test_where_it_was_built_and_where_it_runs():
    built = {"os": "Ubuntu 24.04", "kernel": "6.8.0", "architecture": "x86_64", "libc": "glibc 2.39"}
    source = page(note("web1", {**RELEASED, "build_host": {"built_on": built, "runs_on": {**built, "libc": ""}}}))
    assert "<dt>Built on</dt><dd>Ubuntu 24.04, kernel 6.8.0, x86_64, glibc 2.39</dd>" in source
    assert "<dt>Runs on</dt><dd>Ubuntu 24.04, kernel 6.8.0, x86_64</dd>" in source
    assert "Built on" not in PAGES["one host"]()
    for damaged in (7, {}, {"built_on": 7, "runs_on": []}):
        assert "Built on" not in page(note("web1", {**RELEASED, "build_host": damaged}))


def test_a_release_that_waited_for_a_person_says_so():
    paused = {"reason": "9 of 9 requests took 20 ms or longer", "seconds": 184.2, "ended": "resumed", "by": "alice"}
    phases = [["CANARY", 0.5, 8.0], ["PAUSED", 8.5, 184.2], ["CANARY", 192.7, 22.0]]
    source = page(note("web1", {**RELEASED, "paused": paused}, timeline={**TIMELINE, "phases": phases}))
    said = "for 184 s, then was resumed by alice; 9 of 9 requests took 20 ms or longer"
    assert f"<dt>Paused</dt><dd>{said}</dd>" in source
    assert Reader(source).row("PAUSED")[:2] == ["8.50 s", "3 min 4 s"]
    assert "<dt>Paused</dt>" not in PAGES["one host"]()


def test_the_series_of_the_chart_adds_up_to_that_of_the_result():
    for most in (120, 60, 24, 7, 1):
        found = charts.points(TIMELINE["probe"], most)
        assert len(found) <= most
        assert (sum(one.sent for one in found), sum(one.failed for one in found)) == (150, 2)
        assert max(one.max_ms for one in found if one.max_ms is not None) == 2.41
        assert (found[0].begins, found[-1].ends) == (-0.6, pytest.approx(6.9))
        assert all(one.ends == pytest.approx(other.begins) for one, other in itertools.pairwise(found))


def test_a_failure_says_why_what_to_do_and_what_was_logged():
    source = PAGES["rolled back"]()
    assert f'<p class="said">{NEW} was rolled back in SOAK: it answers 500.</p>' in source
    assert "<strong>Fix: </strong>see the log" in source
    for said in (
        "<code>rolled_back</code>",
        "panic: no database",
        "{&quot;status&quot;:&quot;DOWN&quot;}",
        "SOAK (failed)",
    ):
        assert said in source, said
    assert "shop 2.0.0 on web1: failed. 1.9.4-77c0aa12de runs there now." in source


def test_hosts_that_fail_for_the_same_reason_are_named_together():
    source = page(*(note(f"web{i}", REFUSED, kind="preflight") for i in range(25)))
    assert source.count("port 8080 is in use by nginx.") == 1
    assert "web0, web1, web2" in source
    assert "and 5 more" in source
    assert "refused before anything changed: 25 of 25 hosts cannot take it." in source


def test_a_preflight_that_refuses_says_what_runs():
    services, _by = gather([note("a", REFUSED, kind="preflight"), note("b", RELEASED, kind="preflight")], ["a", "b"])
    (service,) = services
    assert service.outcome == "refused"
    assert [(host.verdict, host.before, host.now) for host in service.hosts] == [
        ("refused", OLD, OLD),
        ("accepted", OLD, OLD),
    ]


def test_a_fleet_is_told_as_it_was_concluded():
    stats = {
        "a": {"verdict": "taken back", "now": OLD},
        "b": {"verdict": "failed", "now": OLD},
        "c": {"verdict": "not touched"},
    }
    notes = [note("a", RELEASED), note("b", ROLLED_BACK, batch=1), note("c", RELEASED, kind="preflight")]
    services, _by = gather([*notes, closing(stats, "stopped", left={"a": "release again"})], ["a", "b", "c"])
    (service,) = services
    assert [(one.name, one.verdict, one.before, one.to, one.now, one.batch) for one in service.hosts] == [
        ("a", "taken back", OLD, NEW, OLD, 1),
        ("b", "failed", OLD, NEW, OLD, 2),
        ("c", "not touched", OLD, NEW, "", 0),
    ]
    assert sentence(service) == (
        f"shop 2.0.0 on 3 hosts: 1 taken back, 1 failed, 1 not touched. What runs now: {OLD} on 2, not known on 1."
    )
    assert service.hosts[0].left == "release again"


def test_a_hundred_hosts_with_five_services_are_a_page_that_opens():
    notes = [{**one, "timeline": long_timeline()} for one in fleet(100, 5)]
    began = time.process_time()
    source = page(*notes)
    took = time.process_time() - began
    assert len(source) < 12_000_000, len(source)
    assert took < 30, took
    assert source.count("<details open") == 0
    alone = page(note("web1", RELEASED, timeline=long_timeline()))
    assert len(alone) < 60_000, len(alone)


@pytest.mark.parametrize("colours", [style.LIGHT, style.DARK], ids=["light", "dark"])
def test_the_contrast_is_sufficient(colours):
    """As WCAG 2.1 computes it: 4.5 for text (1.4.3), 3 for shapes (1.4.11), on both grounds."""
    for ground in ("paper", "panel"):
        for name in style.TEXTS:
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        for name in style.SHAPES:
            assert contrast(colours[name], colours[ground]) >= 3, (name, ground)
    assert set(style.TEXTS) | set(style.SHAPES) | {"paper", "panel"} == set(colours)
    assert set(re.findall(r"var\(--([a-z-]+)\)", style.STYLE)) == set(colours)


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))


def test_the_evidence_of_a_single_look_is_drawn():
    told = {"at": [1.62], "errors": [5670.0], "latency": [0.0436], "enough": 200.0}
    drawn = charts.evidence("web1", told, charts.Ids())
    assert re.findall(r'd="(M[^"]*)" class="curve (?:dashed )?stroke-[ab]"', drawn) == [
        "M0.0 4.0H1000",
        "M0.0 133.8H1000",
    ]


def test_each_batch_is_shown_beside_the_hosts_after_it():
    said = "on 1 of 4 hosts, the new release does worse. Fix: see what the release logged"
    source = compared(
        comparison(1, "fail", "12 of 240 failed; release_max_errors allows 1 % more", said),
        comparison(0, "pass"),
        comparison(2, why="no host after the batch has the release before"),
    )
    found = Reader(source)
    words = " ".join(found.texts)
    assert "Compared with the hosts after it" in words
    titles = [one for one in found.texts if re.fullmatch(r"Batch \d", one)]
    assert titles[-3:] == ["Batch 1", "Batch 2", "Batch 3"]
    assert "Not compared: no host after the batch has the release before." in words
    assert said in words
    assert "Counted by Prometheus over 60.0 s, from 00:27:00 UTC." in words
    assert found.row("The new release")[:4] == ["1", "240", "12 (5 %)", "35 ms"]
    assert found.row("The one before")[:4] == ["3", "720", "4 (0.56 %)", "-"]
    assert "In the end, 5 % of the requests had failed with the new release and 0.556 % with the one before." in words
    assert "At most 1000 for errors and 1 for latency; with 200 the release is refused." in words
    assert "At the end, the evidence was 1000 for errors and 1 for latency; with 200 the release is refused." in words
    assert ["1000", "1", "12 (5 %) of 240", "4 (0.56 %) of 720"] in [
        found.cells[i + 1 : i + 5] for i, cell in enumerate(found.cells) if cell == "60.0 s"
    ]
    assert "the comparison began" in words


@pytest.mark.parametrize("looks", [0, 1])
def test_a_prometheus_that_hardly_answers(looks):
    reason = "http://prometheus:9090 does not answer: Connection refused"
    found = Reader(compared(comparison(0, "inconclusive", reason, looks=looks)))
    words = " ".join(found.texts)
    assert reason in words
    assert ("There is no chart: Prometheus answered less than twice." in words) == (not looks)
    drawn = [one for one in found.texts if one.startswith("Evidence against the release, batch 1 of shop")]
    assert len(drawn) == looks


@pytest.mark.parametrize("counts", [None, "x", [], [[1, 2]], [[1, 2, 3, "4"], None], [[0, 0, 0, 0]] * 9])
def test_a_comparison_without_counts_over_time_has_its_evidence(counts):
    one = comparison(0, "pass", HOSTILE)
    one["timeline"]["counts"] = counts
    assert "Evidence against the release, batch 1 of shop" in " ".join(Reader(compared(one)).texts)


def test_a_service_without_a_comparison_has_no_words_of_one():
    assert "Compared with" not in compared()
    assert "Compared with" not in page(note("web0", RELEASED, batch=3), comparison(1, "pass")), "no batch begins there"


def test_a_batch_whose_first_host_has_left_is_the_same_one():
    hosts = [note("web0", RELEASED, batch=0), note("web3", RELEASED, batch=1), note("web9", RELEASED, batch=5)]
    titles = [one for one in Reader(page(*hosts, comparison(3, "pass"))).texts if re.fullmatch(r"Batch \d", one)]
    assert titles[-1] == "Batch 2"


def test_numbers_have_units():
    assert [charts.seconds(one) for one in (-0.6, 0.004, 12.34, 119.4, 125, 7300)] == [
        "-0.60 s", "0.00 s", "12.3 s", "119.4 s", "2 min 5 s", "2 h 1 min",
    ]  # fmt: skip
    assert charts.milliseconds(None) == "-"

"""docs/evidence/fixes.md, as the run writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.slipway.go.tests.faults.fixes import untried
from ansible_collections.slipway.go.tests.faults.fixes.model import Result, Row
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scene
from ansible_collections.slipway.go.tests.reference import failures

TITLES = {
    "programs": "Programs and units (`slipway.go.linkage`)",
    "access": "sshd, firewall and accounts",
    "building": "Building from source",
    "intake": "Artefacts, checksums, signatures, policies and archives",
    "settings": "Variables, files and units",
    "playbooks": "Playbooks",
    "diagnosis": "`slipway diagnose`",
    "life": "Releases",
    "swaps": "Simulated: swaps and confirmations",
    "strategies": "Simulated: HAProxy, handovers and other strategies",
    "removals": "Simulated: services that are removed",
    "takeovers": "Simulated: services that were there before slipway",
    "armed": "Simulated: armed changes, firewall and sshd",
    "controllers": "Simulated: fresh logins and hosts that do not answer",
    "sources": "Simulated: builds and what is in them",
    "inputs": "Simulated: values that cannot be meant",
    "options": "Simulated: options of health checks and of surveys",
    "notices": "Simulated: places that notices are sent to",
    "builds": "Simulated: builds, their toolchain and their keys",
    "linked": "Simulated: programs, libraries and their units",
    "archives": "Simulated: archives, downloads and provenance",
    "releases": "Simulated: what a release finds on the host",
    "changes": "Simulated: commands that change a host's access and files",
    "leases": "Simulated: leases, freezes and what is run once",
    "origins": "Simulated: versions, provenance and the artefact for a host",
    "elsewhere": "Simulated: artefacts of another host than the one that runs them",
    "several": "Simulated: several services of a host",
    "balancers": "Simulated: load balancers",
    "rebuilds": "Simulated: artefacts that are built again",
    "bundling": "Simulated: bundles for sites without a network",
    "pulls": "Simulated: hosts that pull",
    "hosts": "Simulated: groups, records, programs and the diagnosis",
}
INTRO = """# Are the fixes true?
<!-- Written by `make fixes`. Change tests/faults/fixes, not this page. -->

Each row makes a failure on a lab host over SSH, by the public modules, playbooks and the tool. The row names the fix
that the operator reads, applies it by commands on the host or by changed variables, and runs again. The next run has to
pass. `make fixes` runs the table and exits 1 if one row fails, also where a fix has another text than the row names.
The modules `sshd` and `firewall` run in check mode here, which refuses the same; `make lockout` changes access.
`BUILT` are programs that the test has built, `FILES` files of the controller. A row has what it said when it last ran;
one that was changed since then counts as failed.

The sections that are called simulated need no host. Their rows run with the unit tests, on the simulated hosts that
these have: a systemd, a HAProxy, a firewall or a clock that is played, with the collection's own code between the
failure and the fix. What is applied there is told in words. Everything else was done on a real host. Where a failure
has no fix of its own, the one of [its code](../reference/error-codes.md) is applied.

`tests/unit/test_fixes.py` fails for an error code that has neither a row nor a reason below, and for a fix without
either.
"""


WITHOUT_REASON = "**not tried**"


def record(store: Path, results: Mapping[str, Mapping[str, Result]]) -> None:
    """Keep what these rows have said, so that a run of some rows leaves what the others have said on the page."""
    known = json.loads(store.read_text()) if store.is_file() else {}
    for subject, part in results.items():
        for name, one in part.items():
            said = {"row": repr(one.row), "fixes": one.fixes, "applied": one.applied, "next": one.next_run}
            known[f"{subject} {name}"] = {**said, "broken": one.broken}
    store.write_text(json.dumps(known))


def recorded(store: Path, rows: Mapping[str, list[Row]]) -> dict[str, dict[str, Result]]:
    """Of every row. One that has been changed since it ran has not run."""
    known = json.loads(store.read_text()) if store.is_file() else {}
    return {
        subject: {row.name: _recorded(row, known.get(f"{subject} {row.name}", {})) for row in part}
        for subject, part in rows.items()
    }


def _recorded(row: Row, said: Mapping[str, Any]) -> Result:
    if said.get("row") != repr(row):
        return Result(row, broken="it has not run")
    return Result(row, said["fixes"], said["applied"], said["next"], said["broken"])


def markdown(results: dict[str, dict[str, Result]]) -> str:
    every = [result for part in results.values() for result in part.values()]
    codes = {result.row.code for result in every}
    kept = sum(not result.broken for result in every)
    all_texts = len(texts())
    seen = all_texts - len(unseen(every))
    played = sum(isinstance(result.row, Scene) for result in every)
    lines = [
        INTRO,
        f"{kept} of {len(every)} rows passed, {played} of these on simulated hosts. They have {len(codes)} error codes,"
        f" and {seen} of the {all_texts} different fix texts in the code.",
        "",
    ]
    for subject, part in results.items():
        lines += [f"## {TITLES[subject]}", "", "| code | what is wrong | fix | applied | next run |", "|---" * 5 + "|"]
        lines += [row(result) for result in part.values()]
        lines.append("")
    lines += listed("Cannot be tried on a lab host", untried.CANNOT)
    lines += left(every)
    return "\n".join(lines).rstrip() + "\n"


def row(result: Result) -> str:
    fix = "<br>".join(result.fixes)
    applied = result.applied if isinstance(result.row, Scene) else code(result.applied) + given(result)
    cells = (f"`{result.row.code}`", result.row.how, fix, applied, "**fails**" if result.broken else result.next_run)
    return "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells) + " |"


def given(result: Result) -> str:
    if not result.row.give:
        return ""
    names = ", ".join(f"`{name}`" for name in result.row.give)
    return f"{'; ' if result.applied else ''}other {names}"


def code(script: str) -> str:
    for word, text in (
        ("/srv/built", "BUILT"),
        ("@files", "FILES"),
        ("DEBIAN_FRONTEND=noninteractive ", ""),
        (">/dev/null", ""),
        ("; true", ""),
    ):
        script = script.replace(word, text)
    return f"`` {script} ``" if "`" in script else f"`{script}`" if script else ""


def listed(title: str, codes: dict[str, str]) -> list[str]:
    """The codes of one reason on one line."""
    reasons: dict[str, list[str]] = {}
    for name, reason in codes.items():
        reasons.setdefault(reason, []).append(f"`{name}`")
    return [f"## {title}", "", *(f"- {', '.join(names)}: {reason}" for reason, names in reasons.items()), ""]


def unseen(results: list[Result]) -> dict[str, set[str]]:
    """The fixes in the code that no row has seen, each with the codes that it stands with."""
    seen = {fix for result in results if not result.broken for fix in result.fixes}
    return {text: codes for text, codes in texts().items() if not any(pattern(text).fullmatch(fix) for fix in seen)}


def texts() -> dict[str, set[str]]:
    """Every fix in the code that has words of its own."""
    found: dict[str, set[str]] = {}
    for failure in failures.failures():
        for fix in failure.fixes:
            if fix.replace(failures.HOLE, "").strip(" ,"):
                found.setdefault(fix, set()).update(failure.codes)
    return found


def pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split(failures.HOLE))))


def left(results: list[Result]) -> list[str]:
    """By the reason why no row has them; those without a reason come last."""
    by_reason: dict[str, list[str]] = {}
    for text, codes in sorted(unseen(results).items()):
        named = ", ".join(f"`{code}`" for code in sorted(codes)) or "with a code that is only known at run time"
        by_reason.setdefault(untried.reason(text, codes), []).append(f"{text.replace(failures.HOLE, '…')} ({named})")
    without = by_reason.pop("", [])
    lines = [f"- {reason.rstrip('.')}: {'; '.join(fixes)}" for reason, fixes in by_reason.items()]
    lines += [f"- {WITHOUT_REASON}: {fix}" for fix in without]
    return ["## Fixes that no row has seen", "", *lines, ""]

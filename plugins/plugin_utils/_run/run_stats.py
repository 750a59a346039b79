# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run tells the one that follows it in a workflow. Pure. PRIVATE to the collection.

It becomes a variable of that run, where a text could act as a template: only ids, codes and numbers go into it, and
nothing that a host has logged or answered in its own words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._diagnosis.text import failing
from ansible_collections.slipway.go.plugins.plugin_utils._input import declared_services

NAME = "slipway"
# AWX keeps it with the job and hands it to every job that follows.
LISTED = 500
MANY = 20
_LENGTH = 100
_OTHER = re.compile(r"[^A-Za-z0-9_.:+@/~-]")
PENDING = "pending"
NO_ANSWER = "no answer"

Told = Mapping[str, Any]
Entry = dict[str, Any]


def word(value: Any) -> str | None:
    """An id, a version or a code; None where there is none."""
    return None if value in (None, "") else _OTHER.sub("?", str(value))[:_LENGTH]


def words(values: Iterable[Any]) -> list[str]:
    return sorted({text for text in map(word, values) if text})[:MANY]


def released(answer: Told) -> Entry:
    if answer.get("action") in ("release", "confirm"):
        return {"from": word(answer.get("previous")), "to": word(answer.get("current")), "verdict": "released"}
    return {"from": word(answer.get("current")), "to": word(answer.get("current")), "verdict": "unchanged"}


def rolled_back(answer: Told) -> Entry:
    if answer.get("action") == "rollback":
        return {"from": word(answer.get("previous")), "to": word(answer.get("current")), "verdict": "rolled back"}
    return {"from": word(answer.get("current")), "to": word(answer.get("current")), "verdict": "unchanged"}


def removed(answer: Told) -> Entry:
    return {"verdict": "removed" if answer.get("changed") else "unchanged"}


def hardened(_answer: Told) -> Entry:
    return {"verdict": "hardened"}


def pending(answer: Told) -> Entry:
    """Until the host itself says how it ended. It stays so on one that fails, is lost, or is not reached."""
    return rolled_back(answer) if "current" in answer else {"verdict": PENDING}


def concluded(answer: Told) -> Entry:
    """How a fleet's run has ended on a host; what it was released from and to was told before."""
    verdict = " ".join(filter(None, map(word, str(answer.get("verdict")).split())))
    return {"verdict": verdict, **({"now": word(answer["now"])} if answer.get("now") else {})}


def preflight(answer: Told) -> Entry:
    problems = words(one.get("code") for one in answer.get("problems") or [])
    serving = word((answer.get("plan") or {}).get("serving"))
    if "action" in answer:
        return {"from": serving, "to": word(answer.get("current")), "verdict": "accepted", "problems": []}
    return {"from": serving, "to": None, "verdict": "refused", "problems": problems or words([answer.get("code")])}


def status(answer: Told) -> Entry:
    if _has_failed(answer) or "health" not in answer:
        return {"release": None, "verdict": NO_ANSWER, "run": None}
    health = "unconfirmed" if answer.get("unsettled") else answer.get("health")
    health = "paused" if (answer.get("in_flight") or {}).get("paused") else health
    return {"release": word(answer.get("current")), "verdict": word(health), "run": word(answer.get("run"))}


def drift(answer: Told) -> Entry:
    found = answer.get("findings")
    if _has_failed(answer) or not isinstance(found, list):
        return {"verdict": NO_ANSWER, "differences": None}
    return {"verdict": "drifted" if found else "same", "differences": len(found)}


def compliance(answer: Told) -> Entry:
    if _has_failed(answer) or not isinstance(answer.get("controls"), list):
        return {"verdict": NO_ANSWER, "deviations": []}
    wrong = words(one.get("control") for one in answer["controls"] if one.get("verdict") in ("fail", "unknown"))
    return {"verdict": "deviates" if wrong else "complies", "deviations": wrong}


def diagnose(answer: Told) -> Entry:
    if _has_failed(answer) or not isinstance(answer.get("findings"), list):
        return {"verdict": NO_ANSWER, "causes": []}
    causes = words(one.get("code") for one in failing(answer))
    return {"verdict": "failing" if causes else "well", "causes": causes}


def vulnerable(answer: Told) -> Entry:
    if _has_failed(answer) or "findings" not in answer:
        return {"release": None, "verdict": NO_ANSWER, "vulnerabilities": []}
    counted = [one for one in answer["findings"] if one.get("state") == "open"]
    return {
        "release": word(answer.get("release")),
        "verdict": "refused" if answer.get("problems") else "accepted",
        "vulnerabilities": words(one.get("id") for one in counted),
    }


READERS: dict[str, Callable[[Told], Entry]] = {
    "compliance": compliance,
    "conclusion": concluded,
    "diagnose": diagnose,
    "drift": drift,
    "harden": hardened,
    "pending": pending,
    "preflight": preflight,
    "release": released,
    "remove": removed,
    "rollback": rolled_back,
    "status": status,
    "vulnerable": vulnerable,
}


def _has_failed(answer: Told) -> bool:
    return bool(answer.get("unreachable") or answer.get("failed"))


def of_run(kind: str, answers: Mapping[str, Told], **about: Any) -> dict[str, Any]:
    """What the run says of itself and of its hosts, the first ones where they are too many.

    kind: how an answer is read; about: the playbook, the service, its release and the run's name.
    """
    read = READERS[kind]
    hosts = {host: read(answers[host]) for host in list(answers)[:LISTED]}
    return {**_words(about), "total": len(answers), "hosts": hosts}


def of_services(kind: str, answers: Mapping[str, Mapping[str, Told]], **about: Any) -> dict[str, Any]:
    """The same where hosts declare several services, each of which has an entry of its own.

    answers: by service and host; about: as above, without the service.
    """
    release = {"release": about.pop("release", "")}
    return {**_words(about), "services": {name: of_run(kind, hosts, **release) for name, hosts in answers.items()}}


def _words(about: Mapping[str, Any]) -> dict[str, Any]:
    return {name: word(value) for name, value in about.items() if value not in (None, "")}


def with_stats(kind: str, answer: dict[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """The result of one host with what it says to the next run, which Ansible adds to what other hosts say."""
    host = str(variables.get("inventory_hostname"))
    if answer.get("failed") or host not in list(variables.get("ansible_play_hosts_all") or [])[:LISTED]:
        return answer
    told: dict[str, Any] = {"hosts": {host: READERS[kind](answer)}}
    if declared_services.is_one_of_several(variables):
        told = {"services": {str(variables[declared_services.CURRENT]): told}}
    return {**answer, "ansible_stats": handed_on(told)}


def handed_on(told: dict[str, Any]) -> dict[str, Any]:
    """As Ansible takes it in a result. It adds up what tasks say only where all of it is of one type of dictionary.

    What ansible.builtin.set_stats says is of another one, so that a run says everything this way.
    """
    return {"data": {NAME: told}, "per_host": False, "aggregate": True}

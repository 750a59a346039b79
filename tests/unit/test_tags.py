# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tags of the playbooks are those of the README, and a part of a playbook runs with all that it needs."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
HARDENING = ("base", "deploy_user", "selinux", "firewall", "ssh")


@functools.lru_cache(maxsize=None)
def listed(playbook: str, *flags: str) -> str:
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".work" / "collections"))
    done = subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", f"playbooks/{playbook}.yml", *flags],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout


def tags_of(playbook: str) -> set[str]:
    found = re.findall(r"TAGS: \[([^]]*)\]", listed(playbook, "--list-tags"))
    return {tag.strip() for group in found for tag in group.split(",")} - {"", "always"}


def documented() -> dict[str, set[str]]:
    """The playbooks of the README's table of tags, each with its tags."""
    table = (ROOT / "README.md").read_text().partition("| tag | runs | playbooks |")[2].partition("\n\n")[0]
    found: dict[str, set[str]] = {playbook: set() for playbook in PLAYBOOKS}
    for row in table.splitlines()[2:]:
        tags, _runs, playbooks = (re.findall(r"`([^`]+)`", cell) for cell in row.strip("|").split("|"))
        for playbook in playbooks:
            found[playbook] |= set(tags)
    return found


def tasks(playbook: str, tag: str) -> dict[str, list[str]]:
    """What runs with that tag, by play."""
    found: dict[str, list[str]] = {}
    for line in listed(playbook, "--list-tasks", "--tags", tag).splitlines():
        play = re.match(r"  play #\d+ \(.*\): (.*?)\t", line)
        task = re.match(r"      (\S.*?)\tTAGS:", line)
        if play:
            found[play[1]] = []
        elif task and "Validating arguments" not in task[1]:
            found[list(found)[-1]].append(task[1])
    return found


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_the_readme_lists_the_tags(playbook: str) -> None:
    assert tags_of(playbook) == documented()[playbook]


@pytest.mark.parametrize("tag", HARDENING)
def test_a_hardening_role_runs_whole_and_alone(tag: str) -> None:
    """Its armed change and its proof are in the same role, so that no tag leaves a change unconfirmed."""
    role = set(tasks("harden", tag)["Harden"])
    every = tasks("harden", "harden")["Harden"]
    assert {task for task in every if task.startswith(f"slipway.go.{tag} :")} <= role
    others = [f"slipway.go.{other} :" for other in HARDENING if other != tag]
    rest = role - set(tasks("harden", "no-such-tag")["Harden"])
    assert {task for task in rest if task.startswith(tuple(others))} == set()


@pytest.mark.parametrize("playbook", ["site", "release"])
def test_a_release_is_asked_about_first_and_configures_nothing(playbook: str) -> None:
    plays = tasks(playbook, "release")
    assert "Check the release" in plays["Preflight"]
    *_earlier, released, concluded = plays.values()
    assert "Release" in released
    assert "Take back what does not stay, and tell how it has ended" in concluded
    only = ("slipway.go.release :", "Keep what", "Release", "Skip hosts that were lost", "Take back")
    assert [task for task in (*released, *concluded) if not task.startswith(only)] == []


@pytest.mark.parametrize("playbook", ["site", "release"])
@pytest.mark.parametrize("flags", [("--tags", "service"), ("--skip-tags", "release"), ("--tags", "no-such-tag")])
def test_a_host_that_was_rescued_fails_at_the_end_whatever_the_tags(playbook: str, flags: tuple[str, str]) -> None:
    conclusion = listed(playbook, "--list-tasks", *flags).partition(": Conclusion")[2]
    assert "Fail each host that did not come through" in conclusion


@pytest.mark.parametrize(
    ("playbook", "tag"), [("site", "release"), ("site", "service"), ("harden", "base"), ("release", "release")]
)
def test_a_batch_stops_after_a_lost_host_whatever_the_tags(playbook: str, tag: str) -> None:
    stop = "slipway.go.release : Stop where a host before this batch did not come through"
    at_once = ("Input", "Read the inventory", "Preflight", "Conclusion")
    batched = [play for play in tasks(playbook, tag) if play not in at_once]
    assert batched
    assert all(stop in tasks(playbook, tag)[play] for play in batched)


def test_an_unknown_tag_changes_nothing() -> None:
    """Only what validates, what reads, and what chooses the connection is left."""
    left = [task for play in tasks("site", "no-such-tag").values() for task in play]
    reads = re.compile(
        r"slipway\.go\.\w+ : (Check which hosts|Collect|Continue over|Decide|Fail each|Find and render|Keep what"
        "|Read the host's state|Reject|Remember that they were checked|Stop|Tell|Try)"
        "|Keep what|Reject sizes|Take back what|Validate|Skip hosts"
    )
    assert [task for task in left if not reads.match(task)] == []


@pytest.mark.parametrize("part", ["updates", "mounts", "proxy", "release", "ssh"])
def test_what_is_left_out_does_not_take_with_it_what_the_rest_needs(part: str) -> None:
    rest = listed("site", "--list-tasks", "--skip-tags", part)
    for needed in (
        "slipway.go.base : Read the host's state",
        "Validate the service's variables",
        "slipway.go.deploy_user : Reject",
    ):
        assert needed in rest


def dynamic(entries: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for entry in entries:
        for word in ("ansible.builtin.include_tasks", "ansible.builtin.include_role"):
            if word in entry and "tags" in entry:
                yield entry, entry[word]
        for part in ("tasks", "block", "rescue", "always"):
            yield from dynamic(entry.get(part) or [])


def test_tags_of_what_is_included_while_it_runs_hold_inside() -> None:
    """Ansible does not hand them on by itself, so that the include would run and nothing in it."""
    files = [*(ROOT / "roles").glob("*/tasks/*.yml"), *(ROOT / "playbooks").glob("*.yml")]
    found = [pair for path in files for pair in dynamic(yaml.safe_load(path.read_text()))]
    assert len(found) >= 5
    for task, include in found:
        assert isinstance(include, dict), task["name"]
        assert include["apply"]["tags"] == task["tags"], task["name"]

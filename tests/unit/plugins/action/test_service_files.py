# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything is found and rendered before a host is asked; ten hosts, real plays, no host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
HOSTS = [f"h{number}" for number in range(10)]


def play(folder: Path, cwd: Path | None = None, **arguments: Any) -> tuple[int, str]:
    """All ten hosts, which nothing reaches, in a play far from the operator's files."""
    far = folder / "far"
    far.mkdir(exist_ok=True)
    task = {"slipway.go.service_files": {"name": "shop", "state": "rendered", **arguments}}
    after = {"ansible.builtin.debug": {"msg": "the next task began"}}
    plays = [{"hosts": "all", "gather_facts": False, "any_errors_fatal": True, "tasks": [task, after]}]
    (far / "play.yml").write_text(json.dumps(plays))
    (folder / "hosts.ini").write_text("\n".join(HOSTS))
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".work" / "collections"))
    done = subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", "-i", str(folder / "hosts.ini"), str(far / "play.yml"), "-vvv"],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd or folder,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def template(folder: Path, text: str, name: str = "shop.toml.j2") -> str:
    (folder / "templates").mkdir(exist_ok=True)
    (folder / "templates" / name).write_text(text)
    return f"templates/{name}"


@pytest.mark.parametrize("where", ["inventory", "working directory"])
def test_a_relative_template_is_found_beside_the_inventory_and_here(tmp_path: Path, where: str) -> None:
    here = tmp_path / "elsewhere"
    here.mkdir()
    src = template(tmp_path if where == "inventory" else here, "host = {{ inventory_hostname }}\n")
    for given in (src, os.path.basename(src)):
        code, said = play(tmp_path, here, config_files=[{"src": given}])
        assert code == 0, said
    assert "the next task began" in said


def test_one_host_that_cannot_render_stops_all_of_them(tmp_path: Path) -> None:
    src = template(tmp_path, "{% if inventory_hostname == 'h7' %}{{ nosuch }}{% endif %}")
    code, said = play(tmp_path, config_files=[{"src": src}])
    assert code != 0
    assert "the next task began" not in said
    assert "invalid_template" in said
    assert "nosuch" in said
    assert said.count("failed=1") == 1
    assert "Traceback" not in said


def test_what_cannot_be_rendered_is_told_with_its_fix(tmp_path: Path) -> None:
    """Each host has a mistake of its own, and one has none."""
    twice = {"src": template(tmp_path, "x", "a.j2"), "dest": "x"}
    cases: list[tuple[list[dict[str, str]], str, str]] = [
        ([], "", ""),
        ([{"src": "nosuch.j2"}], "missing_template", "is in none of the places where it is looked for"),
        (
            [{"src": "/nosuch.j2"}],
            "missing_template",
            "/nosuch.j2 of service_config_files is not a file on the controller. Fix: correct the path, or put",
        ),
        ([{"src": "templates"}], "missing_template", "templates of service_config_files is"),
        (
            [{"src": "directives.j2"}],
            "missing_template",
            "directives.j2 of service_config_files is in none",
        ),
        ([{"src": ""}], "missing_src", "has no src"),
        ([{"dest": "x"}], "missing_src", "has no src"),
        ([twice, twice], "two_contents", "x twice"),
    ]
    given = {host: files for host, (files, _code, _told) in zip(HOSTS, cases)}
    expression = "{{ (" + json.dumps(given) + ")[inventory_hostname] | default([]) }}"
    ended, said = play(tmp_path, config_files=expression, credentials={}, environment={})
    assert ended != 0
    assert "Traceback" not in said
    answers = {text.partition("]")[0]: text for text in said.split("fatal: [")[1:]}
    assert sorted(answers) == HOSTS[1 : len(cases)]
    for host, (_files, code, told) in zip(HOSTS[1:], cases[1:]):
        assert f'"code": "{code}"' in answers[host]
        assert told in answers[host]
        assert "Fix: " in answers[host]


def test_what_is_secret_is_not_told(tmp_path: Path) -> None:
    src = template(tmp_path, "{{ 'hunter2' | nosuchfilter }}")
    code, said = play(
        tmp_path,
        config_files=[{"src": src, "secret": True}],
        environment={"KEY": "hunter3"},
        credentials={"key": "hunter4"},
    )
    assert code != 0
    assert "invalid_template" in said
    shown = said.partition("TASK [")[2]
    assert [secret for secret in ("hunter3", "hunter4") if secret in shown] == []

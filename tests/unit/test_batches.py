# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that is lost in its batch stops the run, also in a task of Ansible's own and with the oldest Ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ("a", "b", "c", "d", "e")
OLDEST = ROOT / ".work" / "venv-oldest" / "bin" / "python"


@pytest.fixture
def run(request, tmp_path):
    python = getattr(request, "param", sys.executable)

    def run(before=(), gone=(), ill=(), strategy="linear", stats=False, **more):
        (tmp_path / "gone").write_text("".join(f"{name}\n" for name in before))
        variables = {"folder": str(tmp_path), "gone": list(gone), "ill": list(ill), "ansible_connection": "vanishing"}
        variables |= {"vanishing_gone": str(tmp_path / "gone"), "ansible_python_interpreter": sys.executable}
        inventory = {"all": {"hosts": dict.fromkeys(HOSTS, variables | more)}}
        (tmp_path / "inventory.yml").write_text(json.dumps(inventory))
        play = str(ROOT / "tests" / "unit" / "plays" / "batches.yml")
        argv = [python, "-m", "ansible.cli.playbook", "-i", str(tmp_path / "inventory.yml"), play]
        collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".work" / "collections"))
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_NOCOLOR": "1"}
        environment |= {"ANSIBLE_STRATEGY": strategy, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORKS": "5"}
        environment["ANSIBLE_SHOW_CUSTOM_STATS"] = "1" if stats else "0"
        done = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        touched = {play: [h for h in HOSTS if (tmp_path / f"{play}-{h}").exists()] for play in ("earlier", "later")}
        return done, touched

    return run


CASES = {
    "all is well": ((), (), (), "abcde", "abcde", ""),
    "one of the earlier play": (
        ("c",),
        (),
        (),
        "abde",
        "",
        "c failed or could not be reached, and the run stops. Not touched in this play: a, b, d, e.",
    ),
    "the canary": (
        (),
        ("a",),
        (),
        "abcde",
        "",
        "a failed or could not be reached, and the run stops. Not touched in this play: b, c, d, e.",
    ),
    "one of a batch": ((), ("b",), (), "abcde", "ac", "Not touched in this play: d, e."),
    "all of a batch": (
        (),
        ("b", "c"),
        (),
        "abcde",
        "a",
        "One or more of b, c failed or could not be reached, and the run stops. Not touched in this play: d, e.",
    ),
    "one of a batch, and one that fails": (
        (),
        ("c",),
        ("b",),
        "abcde",
        "a",
        "One or more of b, c failed or could not be reached, and the run stops. Not touched in this play: d, e.",
    ),
    "one of the last batch": ((), ("e",), (), "abcde", "abcd", ""),
}
OLD = [case for case in CASES if OLDEST.exists() and ("canary" in case or "that fails" in case)]
WHICH = [*((sys.executable, case) for case in CASES), *((str(OLDEST), case) for case in OLD)]


@pytest.mark.parametrize(("run", "case"), WHICH, indirect=["run"])
def test_nothing_goes_past_a_host_that_is_lost(run, case):
    before, gone, ill, earlier, later, said = CASES[case]
    done, touched = run(before, gone, ill)
    assert said in " ".join(done.stdout.split())
    assert "".join(touched["earlier"]) == earlier
    assert "".join(touched["later"]) == later
    assert (done.returncode == 0) == (case == "all is well"), done.stdout
    lost = {*before, *gone, *ill}
    recap = [line for line in done.stdout.partition("PLAY RECAP")[2].splitlines() if ":" in line]
    booked = {line.split()[0] for line in recap if "unreachable=0" not in line or "failed=0" not in line}
    assert booked == lost


def test_hosts_that_have_not_come_through_are_told_as_pending(run):
    done, _touched = run(ill=("b",), stats=True)
    told = json.loads(" ".join(done.stdout.split()).partition("RUN: ")[2])["slipway"]
    assert told == {"playbook": "release", "total": 5, "hosts": {name: {"verdict": "pending"} for name in HOSTS}}


@pytest.mark.parametrize("run", [sys.executable, *([str(OLDEST)] if OLDEST.exists() else [])], indirect=True)
def test_an_inventory_says_how_large_batches_are(run):
    done, touched = run(harden_serial="2,100%")
    begun = done.stdout.partition("PLAY [Later]")[0].split("PLAY [Earlier]")[1:]
    assert ["".join(host for host in HOSTS if f"changed: [{host}]" in batch) for batch in begun] == ["ab", "cde"]
    assert "".join(touched["later"]) == "abcde", done.stdout


def test_strategies_of_others_are_not_asked(run):
    done, touched = run(gone=("a",), strategy="free")
    assert touched["later"] == [], done.stdout


@pytest.mark.parametrize("hosts", ["a:b", ["a", "b"]])
def test_hosts_that_an_inventory_names_are_not_taken_for_those_of_the_play(run, hosts):
    """A play's hosts are chosen before the variables of any host are known, so that such a variable does nothing."""
    done, touched = run(slipway_hosts=hosts)
    assert done.returncode != 0
    assert "give it as an extra variable" in " ".join(done.stdout.split())
    assert not set(touched["earlier"]) - {"a", "b"}, done.stdout


@pytest.mark.parametrize("hosts", ["", None, []])
def test_an_inventory_that_names_no_hosts_is_refused_in_a_sentence(run, hosts):
    done, touched = run(slipway_hosts=hosts)
    assert done.returncode != 0
    assert "give it as an extra variable" in " ".join(done.stdout.split())
    assert touched == {"earlier": [], "later": []}, done.stdout

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who meets a canary behind a real HAProxy, and for how long: chosen users, users who stay, an early end.

`make canary` runs it. What one kill at each effect leaves is the subject of
tests/unit/plugins/module_utils/release/test_faults.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(CHECKOUT / "tests" / "lab"), str(Path(__file__).resolve().parent)]

import inside
import lab
import play
from build import build_releases
from processes import kill_tree
from users import FAILED, Crowd, User
from waiting import wait

LAB = os.environ.get("SLIPWAY_LAB", "canary")
BINARIES = CHECKOUT / ".work" / "app"
MEASURED = CHECKOUT / ".work" / "faults" / "canary.jsonl"
SERVICE, PORT = "stall", 8098
OLD, NEW = "1.0.0", "2.0.0"
STEP = 20
# The processes that have the service's lock open.
HOLDERS = (
    f'for fd in /proc/[0-9]*/fd/*; do test "$(readlink $fd)" = /var/lib/slipway/{SERVICE}/lock && echo $fd; done'
    " | cut -d/ -f3 | sort -u"
)
SUITE = os.environ.get("SLIPWAY_SUITE", "bookworm")


class Host:
    def __init__(self, inventory: Path, container: str, address: str) -> None:
        self.inventory, self.container, self.address = inventory, container, address

    def sh(self, script: str) -> str:
        return inside.run(self.container, "sh", "-c", script)

    def play(self, name: str, version: str, *flags: str, **more: Any) -> play.Play:
        done = play.playbook(name, self.inventory, variables(version, **more), *flags)
        assert done.code == 0, done.output[-4000:]
        return done

    def last(self, event: str) -> dict[str, Any]:
        lines = self.sh(f"cat /var/lib/slipway/{SERVICE}/journal.jsonl").splitlines()
        return next(one for one in map(json.loads, reversed(lines)) if one["event"] == event)

    def states(self, backend: str) -> dict[str, tuple[str, int]]:
        """The state and weight of each server, as HAProxy says."""
        ask = f"echo '@1 show stat {backend} 4 -1' | socat - /run/haproxy-master.sock"
        # Nothing, while HAProxy is away.
        head, *rows = [line.split(",") for line in self.sh(ask).splitlines() if line.strip()] or [[]]
        return {row[1]: (row[head.index("status")], int(row[head.index("weight")])) for row in rows}

    def gives_chosen(self) -> bool:
        """Whether a canary has taken chosen users away from the release that counts."""
        return "DRAIN" in {state for state, _weight in self.states(f"slipway-{SERVICE}.chosen").values()}

    def crowd(self, rate: float, **groups: list[User]) -> Crowd:
        return Crowd(self.address, PORT, [user for group in groups.values() for user in group], rate)


def variables(version: str, **more: Any) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_swap": "proxy",
        "service_listen": [str(PORT)],
        "service_environment": {"DRAIN_LINGER": "0s"},
        "proxy_canary_by": "cookie:sid",
        "proxy_canary_for": ["header:X-Staff=yes", "cookie:beta=1"],
        "release_version": version,
        "release_src": str(BINARIES / f"shop-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 30},
        "release_weights": [0, 5, 25, 100],
        "release_step_time": STEP,
        "release_soak_time": 10,
        "release_force": True,
        "release_max_latency_ratio": 0,  # the lab's machine has other work, too
        **more,
    }


def record(**measured: Any) -> None:
    MEASURED.parent.mkdir(parents=True, exist_ok=True)
    with MEASURED.open("a") as stream:
        stream.write(json.dumps(measured) + "\n")


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    inventory = lab.up(LAB, 1, [SUITE])
    ((name, told),) = json.loads(inventory.read_text())["all"]["hosts"].items()
    build_releases(BINARIES)
    found = Host(inventory, f"slipway-{LAB}-{name}", told["ansible_host"])
    found.play("site", OLD)
    found.sh("command -v socat >/dev/null || apt-get install -qy socat >/dev/null")
    yield found
    if not os.environ.get("SLIPWAY_KEEP_LAB"):
        lab.down(LAB)


@pytest.fixture
def old(host: Host) -> Host:
    """With the old release, which has all users."""
    host.play("release", OLD, release_weights=[], release_soak_time=1)
    return host


def sticky(count: int = 300) -> list[User]:
    return [User(f"user{n}", {"Cookie": f"sid=user{n}"}) for n in range(count)]


def chosen() -> list[User]:
    return [User("staff", {"X-Staff": "yes"}), User("beta", {"Cookie": "sid=user1; beta=1"})]


def swapped(users: list[User]) -> None:
    """Each has met the old release and then the new one, and never went back."""
    wrong = {user.name: user.changes for user in users if user.changes not in ([OLD], [OLD, NEW], [NEW])}
    assert not wrong, wrong


def begin(host: Host, version: str, **more: Any) -> subprocess.Popen[bytes]:
    argv = [str(play.BIN / "ansible-playbook"), "playbooks/release.yml", "-i", str(host.inventory)]
    return subprocess.Popen(
        [*argv, "-e", json.dumps(variables(version, **more))],
        env=play.environment(), cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def test_chosen_users_come_first_and_nobody_moves_back(old: Host) -> None:
    crowd, staff = sticky(), chosen()
    with old.crowd(40, crowd=crowd) as users, old.crowd(4, staff=staff) as few:
        time.sleep(5)
        done = old.play("release", NEW)
    began, steps = old.last("canary")["time"], old.last("canary")["steps"]
    failed = users.counted()[FAILED] + few.counted()[FAILED]
    assert failed == 0
    swapped([*crowd, *staff])
    assert [step["percent"] for step in steps] == [0, 5, 25]
    first = min(at for user in staff for at, version in user.met if version == NEW)
    alone = users.counted(first, first + 0.7 * STEP)
    assert set(alone) == {OLD}, "with 0 %, nobody but the chosen users"
    for user in staff:
        met = min(at for at, version in user.met if version == NEW)
        assert set(user.versions(met)) == {NEW}
    shares = {
        step["percent"]: round(100 * step["requests"] / max(step["requests"] + step["old_requests"], 1), 1)
        for step in steps
    }
    record(row="chosen", failed=failed, asked=sum((users.counted() + few.counted()).values()), shares=shares,
           seconds=round(done.seconds, 1), moved_by=began, traffic=old.last("committed")["traffic"])  # fmt: skip
    assert shares[0] == 0
    assert 2 <= shares[5] <= 10
    assert 17 <= shares[25] <= 33


def test_a_rollback_takes_chosen_users_back_at_once(old: Host) -> None:
    staff = chosen()
    bad = {"release_environment": {"APP_ERROR_RATIO": "0.9"}}
    with old.crowd(40, crowd=sticky()) as users, old.crowd(10, staff=staff):
        time.sleep(5)
        done = play.playbook("release", old.inventory, variables("3.0.0", **bad))
        time.sleep(3)
        end = time.time()
    assert done.code != 0
    assert "requests of chosen users failed" in " ".join(done.output.split()), done.output[-3000:]
    assert users.counted()[FAILED] == 0, "with 0 %, nobody else has met it"
    assert {version for user in staff for version in user.versions(end - 2)} == {OLD}
    met = sum(version == FAILED for user in staff for version in user.versions())
    record(row="rolled back", failed_for_chosen=met)


def test_haproxy_that_is_killed_leads_chosen_users_to_the_release_that_counts(old: Host) -> None:
    staff = chosen()
    # What the probe loses to the kill would end the release, which is not held against it.
    probe = {"max_failed_percent": 100}
    run = begin(old, NEW, release_weights=[0, 100], release_step_time=60, release_probe=probe)
    try:
        wait("chosen users meet it", old.gives_chosen, 600)
        with old.crowd(20, staff=staff):
            old.sh("systemctl kill --signal=KILL --kill-who=all haproxy")
            time.sleep(12)
        seen = [version for user in staff for version in user.versions() if version != FAILED]
        record(row="haproxy killed", met=seen)
        assert seen[-1] == NEW, "within a second or so, the engine leads them there again"
        assert run.wait(600) == 0
    finally:
        kill_tree(run.pid)


def test_an_engine_that_is_killed_gives_chosen_users_back_with_the_next_run(old: Host) -> None:
    run = begin(old, NEW, release_weights=[0, 100], release_step_time=60)
    try:
        wait("chosen users meet it", old.gives_chosen, 600)
    finally:
        kill_tree(run.pid)
    old.sh(f"kill -KILL $({HOLDERS})")  # it outlives its controller
    staff = chosen()
    with old.crowd(40, crowd=sticky()) as users, old.crowd(10, staff=staff) as few:
        old.sh(f"slipway recover {SERVICE}")
        time.sleep(3)
        end = time.time()
    assert users.counted()[FAILED] + few.counted()[FAILED] == 0
    assert {version for user in staff for version in user.versions(end - 2)} == {OLD}
    assert {state for state, _weight in old.states(f"slipway-{SERVICE}.chosen").values()} >= {"MAINT"}


def test_a_good_release_does_not_wait(old: Host) -> None:
    """Four hours of steps and soak, and as many users as it takes."""
    hours = {"release_weights": [50, 100], "release_step_time": 7200, "release_soak_time": 7200}
    with old.crowd(60, crowd=sticky()) as users:
        done = old.play("release", NEW, **hours, release_max_errors=10, release_min_time=5)
    steps = old.last("committed")["traffic"]["steps"]
    record(row="early", seconds=round(done.seconds, 1), steps=steps, failed=users.counted()[FAILED])
    assert users.counted()[FAILED] == 0
    assert all(step["early"]["evidence"] >= 200 for step in steps)
    assert "ended early after" in old.sh(f"slipway history {SERVICE}")

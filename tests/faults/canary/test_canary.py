# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who meets a canary behind a real HAProxy, and for how long: chosen users, users who stay, an early end, a pause.

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

    def status(self) -> dict[str, Any]:
        (told,) = json.loads(self.sh(f"slipway status {SERVICE} --json || true"))
        return dict(told)

    def is_paused(self) -> bool:
        return bool((self.status()["in_flight"] or {}).get("paused"))

    def shares(self) -> dict[str, int]:
        return {name: weight for name, (state, weight) in self.states(f"slipway-{SERVICE}").items() if state != "MAINT"}

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


def begin(host: Host, version: str, log: Path = Path(os.devnull), **more: Any) -> subprocess.Popen[bytes]:
    argv = [str(play.BIN / "ansible-playbook"), "playbooks/release.yml", "-i", str(host.inventory)]
    with log.open("wb") as stream:
        return subprocess.Popen(
            [*argv, "-e", json.dumps(variables(version, **more))],
            env=play.environment(), cwd=CHECKOUT, stdout=stream, stderr=subprocess.STDOUT,
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


SLOW = {
    "release_environment": {"APP_SLOW_RATIO": "1", "APP_SLOW_MS": "700"},
    "release_weights": [50, 100],
    "release_step_time": 40,
    "release_max_latency_ratio": 2,
    "release_slow": "pause",
    "release_pause_time": 300,
    "release_probe": {"max_failed_percent": 100},
}


def paused(host: Host, log: Path, **more: Any) -> subprocess.Popen[bytes]:
    """A run that releases what is slow, once that waits for a person."""
    run = begin(host, NEW, log, **{**SLOW, **more})
    try:
        wait("it is paused", lambda: run.poll() is not None or host.is_paused(), 600)
        assert run.poll() is None, log.read_text()[-4000:]
    except BaseException:
        kill_tree(run.pid)
        raise
    return run


def told_how(host: Host, event: str) -> dict[str, Any]:
    ended = host.last(event)
    return {"code": ended.get("code"), **ended["paused"]}


def test_a_slow_release_is_paused_and_goes_on_when_it_is_resumed(old: Host, tmp_path: Path) -> None:
    with old.crowd(20, crowd=sticky()) as users:
        time.sleep(5)
        run = paused(old, tmp_path / "log")
        try:
            shares, text = old.shares(), old.sh(f"slipway status {SERVICE} || true")
            other = old.sh(f"slipway rollback {SERVICE} 2>&1 || true")
            time.sleep(20)
            assert old.is_paused(), "it waits"
            assert old.shares() == shares, "and users stay where they are"
            log = " ".join((tmp_path / "log").read_text().split())
            resumed = play.playbook("resume", old.inventory, {"service_name": SERVICE})
            again = play.playbook("resume", old.inventory, {"service_name": SERVICE})
            assert run.wait(600) == 0, (tmp_path / "log").read_text()[-4000:]
        finally:
            kill_tree(run.pid)
    record(row="paused, resumed", failed=users.counted()[FAILED], shares=shares, status=text, other=other,
           log=log[-600:], play=resumed.output[-600:], second=again.code, **told_how(old, "committed"))  # fmt: skip
    assert resumed.code == 0, resumed.output[-3000:]
    assert old.last("committed")["paused"]["ended"] == "resumed"
    assert users.counted()[FAILED] == 0
    assert set(shares.values()) == {50}
    assert "PAUSED" in text
    assert f"sudo slipway resume {SERVICE} --back" in text
    assert "is paused until somebody decides" in other
    assert "Paused: " in log
    assert f"sudo slipway resume {SERVICE} --back" in log


def test_a_slow_release_goes_back_by_itself_where_nobody_answers(old: Host, tmp_path: Path) -> None:
    crowd = sticky()
    with old.crowd(20, crowd=crowd) as users:
        time.sleep(5)
        run = paused(old, tmp_path / "log", release_pause_time=30)
        code = run.wait(600)
        time.sleep(3)
        end = time.time()
    told = told_how(old, "rolled_back")
    record(row="paused, nobody answers", failed=users.counted()[FAILED], **told)
    assert code != 0
    assert (told["code"], told["ended"]) == ("not_resumed", "not_resumed")
    assert 30 <= told["seconds"] < 40
    assert "nobody resumed it" in " ".join((tmp_path / "log").read_text().split())
    assert users.counted()[FAILED] == 0
    assert {version for user in crowd for version in user.versions(end - 2)} <= {OLD}


def test_a_slow_release_is_sent_back(old: Host, tmp_path: Path) -> None:
    with old.crowd(20, crowd=sticky()) as users:
        time.sleep(5)
        run = paused(old, tmp_path / "log")
        said = old.sh(f"slipway resume {SERVICE} --back --reason 'not today'")
        assert run.wait(600) != 0
    told = told_how(old, "rolled_back")
    record(row="paused, sent back", failed=users.counted()[FAILED], said=said, **told)
    assert (told["code"], told["ended"]) == ("sent_back", "sent_back")
    assert "goes back to" in said
    assert users.counted()[FAILED] == 0
    refused = old.sh(f"slipway resume {SERVICE} 2>&1 || true")
    assert "no release of" in refused


def test_a_release_that_is_paused_outlives_its_controller(old: Host, tmp_path: Path) -> None:
    with old.crowd(20, crowd=sticky()) as users:
        time.sleep(5)
        kill_tree(paused(old, tmp_path / "log").pid)
        assert old.is_paused()
        old.sh(f"slipway resume {SERVICE}")
        wait("it waits to be confirmed", lambda: (old.status()["in_flight"] or {}).get("phase") == "PROBATION", 300)
        old.sh(f"slipway confirm {SERVICE}")
    record(row="paused, controller killed", failed=users.counted()[FAILED], **told_how(old, "committed"))
    assert users.counted()[FAILED] == 0


def test_an_engine_that_is_killed_while_it_is_paused_goes_back_with_a_recovery(old: Host, tmp_path: Path) -> None:
    with old.crowd(20, crowd=sticky()) as users:
        time.sleep(5)
        kill_tree(paused(old, tmp_path / "log").pid)
        old.sh(f"kill -KILL $({HOLDERS})")
        said = old.sh(f"slipway resume {SERVICE} 2>&1 || true")
        old.sh(f"slipway recover {SERVICE}")
    record(row="paused, engine killed", failed=users.counted()[FAILED], said=said)
    assert f"run sudo slipway recover {SERVICE}" in said
    assert users.counted()[FAILED] == 0
    assert old.status()["in_flight"] is None
    assert old.last("rolled_back")["interrupted"] is True

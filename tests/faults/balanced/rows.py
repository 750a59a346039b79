"""The rows. Most faults hit early batches, because a row that stops there takes less time."""

from __future__ import annotations

import re
import signal
import time
from typing import Any

from bench import BEFORE, HOSTS, Moment
from drive import LOOK_S, PATIENCE_S, Scene
from model import (
    ALL_NEW,
    ALL_OLD,
    CANARY,
    DIES,
    FAILED,
    FAILS,
    GONE,
    KEPT,
    NEW,
    NOT_TOUCHED,
    OLD,
    RELEASED,
    SECOND,
    STOPPED,
    SUCCEEDS,
    TAKEN_BACK,
    Each,
    Row,
)
from waiting import wait

ONLY_CANARY = frozenset((CANARY,))
EVERYONE = frozenset(range(HOSTS))
SOAKS = Moment(CANARY, "begin", "^SOAK$")
RELEASED_ALL = Each(RELEASED)
PARTLY = Each(OLD, {CANARY: NEW})
BATCH = "PLAY [Release]"
CONCLUSION = "PLAY [Conclusion]"
COMPARES = "TASK [slipway.go.release : Compare the batch"
# The deadline of a release that nobody confirms, where a row waits for it.
BRIEF = {"release_confirm": 10}
# Its release counts at once, and that is a phase of its own.
UNCONFIRMED = {"release_confirm": 0}
# A release is marked bad for good: each row that has one marked has one of its own.
OWN = {"APP_ROW": "{{ row_begun }}"}
# Two small batches, and the rest.
SMALL = {"release_serial": ["1", "2", "100%"]}
FROZEN = {
    "release_freeze": [{"from": "2020-01-01T00:00:00+00:00", "to": "2099-01-01T00:00:00+00:00", "reason": "audit"}]
}
ONE_AND_REST = {"release_serial": ["1", "100%"]}
TOGETHER = {"release_confirm_fleet": 150, "release_confirm": 10}


def phase(name: str, host: int = CANARY) -> Moment:
    return Moment(host, "begin", f"^{name}$")


def ill(*places: int) -> dict[str, Any]:
    """The new release answers on these hosts that it is not healthy."""
    numbers = [place + 1 for place in places]
    value = (
        f"{{{{ {BEFORE} | combine({{'APP_UNHEALTHY_AFTER': '0s', 'APP_ROW': row_begun}}"
        f" if inventory_hostname | regex_search('[0-9]+$') | int in {numbers} else {{}}) }}}}"
    )
    return {"release_environment": value}


def defect(name: str, title: str, seconds: int, rate: int, says: str = "shop: fail after", **environment: str) -> Row:
    """Nothing but users' requests shows it."""
    return Row(
        name, f"{title}, seen only under traffic", ALL_OLD, FAILS, Each(NOT_TOUCHED, {CANARY: TAKEN_BACK}), ONLY_CANARY,
        (says,), ONLY_CANARY,
        variables={"release_environment": {**BEFORE, **OWN, **environment}, "release_serial": ["1", "100%"]},
        compare=seconds, rate=rate,
    )  # fmt: skip


def kill(scene: Scene) -> None:
    scene.reach()
    scene.run.cancel(signal.SIGKILL)
    scene.go()


def killed_in(name: str, ends: Each, at: Moment | None = None, **more: Any) -> Row:
    title = f"controller killed as {name} begins on the canary"
    given = {"variables": BRIEF, **more}
    return Row(f"killed-{name.lower()}", title, ends, DIES, at=at or phase(name), act=kill, **given)


def paused_in(name: str, seconds: float, ends: Each, run: str, **more: Any) -> Row:
    """The controller stands still as a phase begins; the host goes on, and the controller comes back late."""

    def act(scene: Scene) -> None:
        scene.reach()
        with scene.run.standing_still():
            scene.go()
            time.sleep(seconds)

    title = f"controller paused for {seconds:g} s as {name} begins on the canary"
    return Row(f"paused-{name.lower()}-{seconds:g}", title, ends, run, at=phase(name), act=act, **more)


def wait_until_taken_back(scene: Scene) -> None:
    host = scene.bench.hosts[CANARY]
    wait("the host has taken it back", lambda: not host.phase() and host.serves() != scene.version, 200, 1.0)
    time.sleep(2)


def late_in(name: str) -> Row:
    """The controller comes back when the host has taken back what nobody has confirmed."""

    def act(scene: Scene) -> None:
        scene.reach()
        with scene.run.standing_still():
            scene.go()
            wait_until_taken_back(scene)

    return Row(
        f"late-{name.lower()}", f"controller paused as {name} begins on the canary, until the host has taken it back",
        ALL_OLD, FAILS, STOPPED, ONLY_CANARY, variables=BRIEF, at=phase(name), act=act,
    )  # fmt: skip


def kill_at(text: str, times: int = 1, later: float = 0.0) -> Any:
    def act(scene: Scene) -> None:
        scene.until_said(text, times)
        time.sleep(later)
        scene.run.cancel(signal.SIGKILL)

    return act


def pause_at(text: str, seconds: float, times: int = 1) -> Any:
    def act(scene: Scene) -> None:
        scene.until_said(text, times)
        with scene.run.standing_still():
            time.sleep(seconds)

    return act


def late_at(text: str) -> Any:
    def act(scene: Scene) -> None:
        scene.until_said(text)
        with scene.run.standing_still():
            wait_until_taken_back(scene)

    return act


def off_at(place: int, text: str, times: int = 1, later: float = 0.0) -> Any:
    def act(scene: Scene) -> None:
        scene.until_said(text, times)
        time.sleep(later)
        scene.bench.off(place)

    return act


def off_in_phase(scene: Scene) -> None:
    scene.reach()
    scene.bench.off(scene.moment.host)


def reboot_in_phase(scene: Scene) -> None:
    off_in_phase(scene)
    time.sleep(3)
    scene.bench.on(scene.moment.host)


def way_back(act: Any) -> Any:
    """The second host fails; act comes while the canary is being taken back."""

    def whole(scene: Scene) -> None:
        scene.until_said(CONCLUSION)
        moment = phase("SOAK")
        scene.bench.arm(moment)
        scene.run.until("the way back", lambda: scene.bench.reached(moment), LOOK_S)
        act(scene)
        scene.bench.go(moment)

    return whole


def kill_run(scene: Scene) -> None:
    scene.run.cancel(signal.SIGKILL)


def pause_run(scene: Scene) -> None:
    with scene.run.standing_still():
        scene.bench.go(phase("SOAK"))
        time.sleep(20)


def front_away(scene: Scene) -> None:
    """Nobody administers the balancer any more; its users do not notice."""
    scene.bench.front.cut()


def front_away_in_phase(scene: Scene) -> None:
    scene.reach()
    front_away(scene)
    scene.go()


def front_away_and_back(scene: Scene) -> None:
    """For two seconds, as long as a swap lasts."""
    scene.reach()
    front_away(scene)
    time.sleep(2)
    scene.bench.cuts.clear()
    scene.go()


def front_reloads(scene: Scene) -> None:
    """HAProxy forgets whom it has let go of."""
    scene.reach()
    scene.bench.front.run("systemctl", "reload", "haproxy")
    scene.go()


def others_refused(elsewhere: bool) -> Any:
    def act(scene: Scene) -> None:
        scene.reach()
        done = scene.second(elsewhere=elsewhere)
        flat = " ".join(done.output.split())
        scene.expect(done.code != 0, "the second run succeeded")
        scene.expect("is being released by" in flat, f"the second run said: {flat[-300:]}")
        scene.go()

    return act


def leave_a_lease(scene: Scene) -> None:
    kill(scene)
    end_the_lease(scene)


def end_the_lease(scene: Scene) -> None:
    """A run from elsewhere cannot know that it is over, and is refused. The next one ends the lease by its id."""
    scene.run.end(PATIENCE_S)
    scene.bench.settle()
    done = scene.second()
    flat = " ".join(done.output.split())
    found = re.search(r"set release_end_lease to ([0-9a-f]{8,})", flat)
    scene.expect(done.code != 0 and found, f"the run from elsewhere was not refused: {flat[-300:]}")
    if found:
        scene.then["release_end_lease"] = found[1]


def overtaken(scene: Scene) -> None:
    """Its lease ends while it stands still, and another controller releases on all hosts."""
    scene.until_said(BATCH, 2)
    with scene.run.standing_still():
        time.sleep(25)
        done = scene.second(release_serial="100%")
        scene.expect(done.code == 0, f"the second run failed: {done.output[-300:]}")


def cancelled(number: int, *through: int) -> Any:
    """As AWX does it: a signal for ansible-runner, and SIGKILL for its container after ten seconds.

    through: hosts of the same batch whose release counts by then.
    """

    def act(scene: Scene) -> None:
        hosts = [scene.bench.hosts[place] for place in through]

        def are_through() -> bool:
            return all(host.serves() == scene.version and not host.phase() for host in hosts)

        scene.reach()
        scene.run.until("the hosts beside it are through", are_through, LOOK_S)
        with scene.run.namespace_kept():
            scene.run.signal_inside(number)
            deadline = time.monotonic() + 10
            while not scene.run.over() and time.monotonic() < deadline:
                time.sleep(0.2)
            scene.run.cancel(signal.SIGKILL)
            scene.go()
            end_the_lease(scene)

    return act


ORDINARY = (
    Row("release", "a release in batches, each host out of the balancer around its swap", ALL_NEW, SUCCEEDS,
        RELEASED_ALL, steps=True),
    Row("no-keep-alive", "a release in batches, every request of users on a connection of its own", ALL_NEW, SUCCEEDS,
        RELEASED_ALL, steps=True, mix="new-get=60,new-post=38,slow=2"),
    Row("in-place", "a release in batches, all hosts in the balancer all the time", ALL_NEW, SUCCEEDS, RELEASED_ALL),
    Row("together", "release_confirm_fleet: all hosts' releases count at once, at the end", ALL_NEW, SUCCEEDS,
        RELEASED_ALL, variables=TOGETHER),
    Row("until-canary", "release_until canary; another controller goes on", PARTLY, SUCCEEDS,
        Each(NOT_TOUCHED, {CANARY: RELEASED}), says=("release_until ends the run here",), steps=True,
        variables={"release_until": "canary"}, elsewhere=True),
    Row("frozen", "in a window of release_freeze", ALL_OLD, FAILS, booked=EVERYONE, says=("release_freeze",),
        variables=FROZEN),
    Row("break-glass", "in a window of release_freeze, with release_break_glass", ALL_NEW, SUCCEEDS, RELEASED_ALL,
        variables={**FROZEN, "release_break_glass": "users cannot pay", "release_serial": "100%"}),
)  # fmt: skip
FAILURES = (
    Row("ill-canary", "the release is not healthy on the canary", ALL_OLD, FAILS, STOPPED, ONLY_CANARY, steps=True,
        variables=ill(CANARY)),
    Row("ill-second", "the release is not healthy on one host of the second batch", ALL_OLD, FAILS,
        Each(NOT_TOUCHED, {0: TAKEN_BACK, 1: TAKEN_BACK, 2: FAILED}), frozenset((2,)), steps=True,
        variables={**ill(2), **SMALL}),
    Row("within-budget", "the same, within release_max_unavailable: 1", Each(NEW, {2: OLD}), FAILS,
        Each(RELEASED, {2: FAILED}), frozenset((2,)), ("which release_max_unavailable allows",),
        variables={**ill(2), "release_max_unavailable": 1}),
    Row("beyond-budget", "two such hosts, beyond release_max_unavailable: 10%", ALL_OLD, FAILS,
        Each(NOT_TOUCHED, {0: TAKEN_BACK, 1: FAILED, 2: FAILED}), frozenset((1, 2)),
        ("release_max_unavailable allows 1",), variables={**ill(1, 2), **SMALL, "release_max_unavailable": "10%"}),
    Row("on-failure-batch", "one such host in the second batch, release_on_failure: batch", PARTLY, FAILS,
        Each(NOT_TOUCHED, {0: RELEASED, 1: TAKEN_BACK, 2: FAILED}), frozenset((2,)),
        ("the hosts run different releases",), variables={**ill(2), **SMALL, "release_on_failure": "batch"}),
    Row("on-failure-host", "one such host in the second batch, release_on_failure: host",
        Each(OLD, {0: NEW, 1: NEW}), FAILS, Each(NOT_TOUCHED, {0: RELEASED, 1: RELEASED, 2: FAILED}),
        frozenset((2,)), ("the hosts run different releases",),
        variables={**ill(2), **SMALL, "release_on_failure": "host"}),
)  # fmt: skip
DEFECTS = (
    defect("errors-2", "2 % errors", 300, 240, APP_ERROR_RATIO="0.02"),
    defect("errors-5", "5 % errors", 150, 120, APP_ERROR_RATIO="0.05"),
    defect("errors-20", "20 % errors", 120, 80, APP_ERROR_RATIO="0.2"),
    Row("latency-2", "requests take twice as long, which release_max_latency_ratio: 2 allows", ALL_NEW, SUCCEEDS,
        RELEASED_ALL, variables={"release_environment": {**BEFORE, "APP_SLOW_MS": "40"},
                                 "release_serial": ["1", "100%"]}, compare=30, rate=80),
    defect("latency-10", "requests take ten times as long", 120, 80, APP_SLOW_MS="200"),
    defect("crash", "it crashes after 20 s", 120, 80, APP_CRASH_AFTER="20s"),
)  # fmt: skip
OFF_COMPARED = "the canary's plug is pulled while it is compared"
GONE_CANARY = Each(NOT_TOUCHED, {CANARY: GONE})
GONE_SECOND = Each(NOT_TOUCHED, {0: TAKEN_BACK, 1: TAKEN_BACK, 2: GONE})
IN_SECOND = frozenset((2,))
POWER = (
    Row("off-canary-before", "the canary's plug is pulled before its swap", ALL_OLD, FAILS, GONE_CANARY, ONLY_CANARY,
        lost=ONLY_CANARY, act=off_at(CANARY, BATCH)),
    *(
        Row(f"off-canary-{name.lower()}", f"the canary's plug is pulled in {name}", ALL_OLD, FAILS, GONE_CANARY,
            ONLY_CANARY, lost=ONLY_CANARY, at=phase(name), act=off_in_phase)
        for name in ("OVERLAP", "SOAK")
    ),
    Row("off-canary-after", "the canary's plug is pulled while the second batch releases", ALL_NEW, FAILS, RELEASED_ALL,
        ONLY_CANARY, lost=ONLY_CANARY, at=phase("SOAK", 2),
        act=lambda scene: (scene.reach(), scene.bench.off(CANARY), scene.go())),
    Row("off-canary-drained", "the canary's plug is pulled in SOAK, while it is out of the balancer", ALL_OLD, FAILS,
        GONE_CANARY, ONLY_CANARY, out=ONLY_CANARY, steps=True, at=SOAKS, act=off_in_phase),
    Row("off-second-before", "a plug of the second batch is pulled before its swap", ALL_OLD, FAILS, GONE_SECOND,
        IN_SECOND, lost=IN_SECOND, variables=SMALL, act=off_at(2, BATCH, 2)),
    Row("off-second-soak", "a plug of the second batch is pulled in SOAK", ALL_OLD, FAILS, GONE_SECOND, IN_SECOND,
        lost=IN_SECOND, variables=SMALL, at=phase("SOAK", 2), act=off_in_phase),
    Row("off-second-budget", "the same, within release_max_unavailable: 1", Each(NEW, {2: OLD}), FAILS,
        Each(RELEASED, {2: GONE}), IN_SECOND, ("which release_max_unavailable allows",), lost=IN_SECOND,
        variables={**SMALL, "release_max_unavailable": 1}, at=phase("SOAK", 2), act=off_in_phase),
    Row("off-second-after", "a plug of the second batch is pulled while the third releases", ALL_NEW, FAILS,
        RELEASED_ALL, IN_SECOND, lost=IN_SECOND, variables=SMALL, at=phase("SOAK", 5),
        act=lambda scene: (scene.reach(), scene.bench.off(2), scene.go())),
    Row("off-canary-compared", f"{OFF_COMPARED}; release_inconclusive: accept", PARTLY, FAILS,
        Each(NOT_TOUCHED, {CANARY: KEPT}), ONLY_CANARY, ("shop: inconclusive after", "and the run stops."),
        lost=ONLY_CANARY, variables=ONE_AND_REST, compare=30, rate=80, act=off_at(CANARY, COMPARES, later=3)),
    Row("off-canary-compared-budget", f"{OFF_COMPARED}, within release_max_unavailable: 1", ALL_NEW, FAILS,
        Each(RELEASED, {CANARY: GONE}), ONLY_CANARY, ("which release_max_unavailable allows",), lost=ONLY_CANARY,
        variables={**ONE_AND_REST, "release_max_unavailable": 1}, compare=30, rate=80,
        act=off_at(CANARY, COMPARES, later=3)),
    Row("reboot-second", "a host of the second batch restarts in SOAK", ALL_OLD, FAILS, GONE_SECOND, IN_SECOND,
        lost=IN_SECOND, variables=SMALL, at=phase("SOAK", 2), act=reboot_in_phase),
)  # fmt: skip
BALANCER = (
    Row("front-away", "the balancer cannot be reached by the run", ALL_OLD, FAILS, STOPPED, ONLY_CANARY,
        ("cannot be reached, so",), steps=True, act=lambda scene: (scene.until_said(BATCH), front_away(scene))),
    Row("front-away-in-swap", "the balancer cannot be reached any more once the canary is out of it", ALL_OLD, FAILS,
        Each(NOT_TOUCHED, {CANARY: TAKEN_BACK}), ONLY_CANARY, ("was not put back there",), out=ONLY_CANARY, steps=True,
        at=SOAKS, act=front_away_in_phase),
    Row("front-away-and-back", "the balancer cannot be reached for two seconds of the canary's swap", ALL_NEW, SUCCEEDS,
        RELEASED_ALL, steps=True, at=SOAKS, act=front_away_and_back),
    Row("front-reloads", "HAProxy is reloaded while the canary is out of it", ALL_NEW, SUCCEEDS, RELEASED_ALL,
        steps=True, at=SOAKS, act=front_reloads),
)  # fmt: skip
KILLED = (
    Row("killed-first", "controller killed as the first batch begins, with the lease of all hosts", ALL_OLD, DIES,
        act=kill_at(BATCH)),
    killed_in("REHEARSE", ALL_OLD, Moment(CANARY, "subprocess.Popen", "start .*-rehearsal@")),
    killed_in("INTENT", ALL_OLD),
    killed_in("OVERLAP", ALL_OLD),
    killed_in("FLIP", ALL_OLD),
    killed_in("DRAIN", ALL_OLD),
    killed_in("SOAK", ALL_OLD, out=ONLY_CANARY, steps=True),
    killed_in("PROBATION", ALL_OLD),
    killed_in("COMMIT", PARTLY, variables=UNCONFIRMED),
    Row("killed-between", "controller killed between the canary and the second batch", PARTLY, DIES,
        act=kill_at(BATCH, 2)),
    Row("killed-second", "controller killed in the SOAK of the second batch", PARTLY, DIES, out=SECOND, steps=True,
        variables=BRIEF, at=phase("SOAK", 2), act=kill),
    Row("killed-compare", "controller killed while it compares the canary", PARTLY, DIES, compare=60, rate=80,
        act=kill_at(COMPARES, later=3)),
    Row("killed-together", "controller killed in the second batch, with release_confirm_fleet", ALL_OLD, DIES,
        variables={**TOGETHER, **SMALL, "release_confirm_fleet": 30}, at=phase("SOAK", 2), act=kill),
    Row("killed-way-back", "controller killed while the canary is taken back", ALL_OLD, DIES,
        variables={**ill(1), "release_serial": ["1", "1", "100%"]}, act=way_back(kill_run)),
)  # fmt: skip
PAUSED = (
    Row("paused-first", "controller paused for 20 s as the first batch begins", ALL_NEW, SUCCEEDS, RELEASED_ALL,
        act=pause_at(BATCH, 20)),
    paused_in("SOAK", 3, ALL_NEW, SUCCEEDS, verdicts=RELEASED_ALL),
    *(late_in(name) for name in ("INTENT", "OVERLAP", "FLIP", "DRAIN", "SOAK", "PROBATION")),
    paused_in("COMMIT", 30, ALL_NEW, SUCCEEDS, verdicts=RELEASED_ALL, variables=UNCONFIRMED),
    Row("paused-between", "controller paused for 20 s between the canary and the second batch", ALL_NEW, SUCCEEDS,
        RELEASED_ALL, act=pause_at(BATCH, 20, 2)),
    Row("paused-compare", "controller paused for 20 s while it compares the canary", ALL_NEW, SUCCEEDS, RELEASED_ALL,
        compare=30, rate=80, variables=ONE_AND_REST, act=pause_at(COMPARES, 20)),
    Row("late-compare", "controller paused while it compares the canary, until the host has taken it back", ALL_OLD,
        FAILS, STOPPED, ONLY_CANARY, ("runs here instead of",), compare=30, rate=80,
        variables={**ONE_AND_REST, "release_confirm_fleet": 30}, act=late_at(COMPARES)),
    Row("paused-way-back", "controller paused for 20 s while the canary is taken back", ALL_OLD, FAILS,
        Each(NOT_TOUCHED, {0: TAKEN_BACK, 1: FAILED}), frozenset((1,)),
        variables={**ill(1), "release_serial": ["1", "1", "100%"]}, act=way_back(pause_run)),
    Row("overtaken", "controller paused until its lease is over; another one has released on all hosts meanwhile",
        ALL_NEW, FAILS, Each(NOT_TOUCHED, {0: KEPT, 1: FAILED, 2: FAILED}), frozenset((0, 1, 2)),
        ("has taken it since",), variables={**SMALL, "release_lease_time": 20}, act=overtaken),
)  # fmt: skip
CANCELLED = (
    *(
        Row(f"awx-{name.lower()}", f"{name} to ansible-runner, SIGKILL after 10 s, in the canary's SOAK", ALL_OLD, DIES,
            variables=BRIEF, at=SOAKS, act=cancelled(number), as_awx=True, elsewhere=True)
        for name, number in (("SIGTERM", signal.SIGTERM), ("SIGINT", signal.SIGINT))
    ),
    Row("awx-second", "SIGTERM to ansible-runner, SIGKILL after 10 s, in the SOAK of the second batch",
        Each(OLD, {CANARY: NEW, 1: NEW}), DIES, variables={**BRIEF, **SMALL}, at=phase("SOAK", 2),
        act=cancelled(signal.SIGTERM, 1), as_awx=True, elsewhere=True),
)  # fmt: skip
LEASES = (
    Row("two-elsewhere", "another controller begins in the canary's SOAK, and is refused", ALL_NEW, SUCCEEDS,
        RELEASED_ALL, at=SOAKS, act=others_refused(True)),
    Row("two-here", "another run on the same controller begins in the canary's SOAK, and is refused", ALL_NEW, SUCCEEDS,
        RELEASED_ALL, at=SOAKS, act=others_refused(False)),
    Row("lease-left", "controller killed; another one is refused, and ends the lease by its id", ALL_OLD, DIES,
        variables=BRIEF, at=SOAKS, act=leave_a_lease, elsewhere=True),
)  # fmt: skip
ROWS = (*ORDINARY, *FAILURES, *DEFECTS, *POWER, *BALANCER, *KILLED, *PAUSED, *CANCELLED, *LEASES)

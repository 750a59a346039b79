"""Hosts vanish before, in and after their swap, one of a batch or all of it: nothing beyond that batch has changed."""

from __future__ import annotations

import signal
from typing import Any

import pytest

# Five hosts: one, two, two.
SERIAL = ["1", "40%", "100%"]
HARDEN = {
    "site_harden": True,
    **{f"harden_{role}": False for role in ("deploy_user", "ssh", "selinux", "firewall")},
    "base_update": False,
}


def assert_stopped(fleet: Any, done: Any, lost: list[int], batch: list[int]) -> None:
    """The run has failed on those who are lost and on no others, and nothing outside the batch has changed."""
    assert done.code != 0, done.output
    hosts = [host.name for host in fleet.hosts]
    failed = [name for name, told in done.recap.items() if told["failed"] or told["unreachable"]]
    assert failed == [hosts[place] for place in lost], done.output
    said = " ".join(done.output.split())
    later = ", ".join(hosts[max(batch) + 1 :])
    if later:
        assert f"not touched: {later}." in said or f"Not touched in this play: {later}." in said, done.output
    fleet.settle()
    assert set(fleet.changed()) <= set(batch), done.output


@pytest.mark.parametrize("name", ["release", "site"])
@pytest.mark.parametrize("lost", [[0], [1], [1, 2]], ids=["the canary", "one of a batch", "all of a batch"])
def test_gone_before_its_batch(fleet: Any, name: str, lost: list[int]) -> None:
    run = fleet.start(name, "3.0.0", release_serial=SERIAL, release_soak_time=1)
    play = "Release" if name == "release" else "Service and release"
    number = 1 if lost == [0] else 2
    run.until("the batch before", lambda: f"PLAY [{play}]" in run.said())
    if number == 2:
        run.until_phase(fleet.hosts[0], "SOAK")
    for place in lost:
        fleet.hosts[place].vanish()
    done = run.end()
    batch = [0] if lost == [0] else [1, 2]
    fleet.settle()
    assert fleet.serves() == ["2.0.0"] * 5
    assert_stopped(fleet, done, lost, [0, *batch])


@pytest.mark.parametrize("phase", ["OVERLAP", "SOAK"])
def test_the_canary_is_gone_in_its_swap(fleet: Any, phase: str) -> None:
    # ssh gives up after nine to twelve seconds: until then, what the host answers still arrives.
    run = fleet.start("release", "3.0.0", release_serial=SERIAL, release_soak_time=20)
    run.until_phase(fleet.hosts[0], phase)
    fleet.hosts[0].cut()
    done = run.end()
    assert "the host became unreachable" in done.output, done.output
    assert_stopped(fleet, done, [0], [0])
    assert fleet.serves() == ["2.0.0"] * 5


def test_the_canary_is_gone_after_its_swap(fleet: Any) -> None:
    """No new connection comes through any more, and so nothing confirms it."""
    run = fleet.start("release", "3.0.0", release_serial=SERIAL)
    run.until_phase(fleet.hosts[0], "SOAK")
    fleet.hosts[0].cut("--syn")
    done = run.end()
    assert "a new connection to confirm it did not work" in done.output, done.output
    assert_stopped(fleet, done, [0], [0])
    assert fleet.serves() == ["2.0.0"] * 5


def test_one_is_rolled_back_and_one_is_gone(fleet: Any) -> None:
    ill = "{{ {'APP_UNHEALTHY_AFTER': '0s'} if inventory_hostname == '" + fleet.hosts[1].name + "' else {} }}"
    run = fleet.start("release", "3.0.0", release_serial=SERIAL, release_environment=ill)
    run.until_phase(fleet.hosts[0], "SOAK")
    fleet.hosts[2].vanish()
    done = run.end()
    assert "was refused in REHEARSE" in done.output, done.output
    assert_stopped(fleet, done, [1, 2], [0, 1, 2])
    assert fleet.serves() == ["2.0.0"] * 5


@pytest.mark.parametrize("lost", [[0], [1]], ids=["the canary", "one of a batch"])
def test_gone_in_a_task_of_ansibles_own(fleet: Any, lost: list[int]) -> None:
    """While the service is configured, with no module of the collection at work."""
    run = fleet.start("site", "3.0.0", release_serial=SERIAL, service_environment={"GREETING": "new"})
    if lost != [0]:
        run.until_phase(fleet.hosts[0], "SOAK")
    run.until("the service", lambda: "TASK [slipway.go.service : Refuse units" in run.said())
    for place in lost:
        fleet.hosts[place].cut()
    done = run.end()
    assert_stopped(fleet, done, lost, [0, 1, 2] if lost != [0] else [0])


@pytest.mark.parametrize("name", ["harden", "site"])
@pytest.mark.parametrize("moment", ["before", "in"])
def test_the_canary_is_gone_in_hardening(fleet: Any, name: str, moment: str) -> None:
    run = fleet.start(name, "3.0.0", **HARDEN, base_sysctl_extra={"vm.swappiness": 11})
    heading = "PLAY [Harden]" if moment == "before" else "TASK [slipway.go.base : "
    run.until("hardening", lambda: heading in run.said())
    fleet.hosts[0].vanish() if moment == "before" else fleet.hosts[0].cut()
    done = run.end()
    assert done.code != 0, done.output
    fleet.settle()
    assert set(fleet.changed()) <= {0}, done.output
    assert fleet.serves() == ["2.0.0"] * 5


def test_gone_in_the_last_batch_of_hardening(fleet: Any) -> None:
    """The others of the batch finish what they have begun; nothing is released after it."""
    run = fleet.start("site", "3.0.0", **HARDEN)
    run.until("the second batch", lambda: run.said().count("PLAY [Harden]") == 2)
    fleet.hosts[4].vanish()
    done = run.end()
    assert done.code != 0, done.output
    assert "and the run stops" in " ".join(done.output.split())
    assert fleet.serves() == ["2.0.0"] * 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["SIGINT", "SIGKILL"])
def test_cancelled(fleet: Any, number: int) -> None:
    """The host takes the canary back by itself; until then nobody is told that all is well."""
    run = fleet.start("release", "3.0.0", release_serial=SERIAL, release_confirm=20)
    run.until_phase(fleet.hosts[0], "SOAK")
    run.cancel(number)
    run.end()
    told = fleet.play("status", "3.0.0")
    assert told.code != 0, told.output
    assert "unconfirmed until" in " ".join(told.output.split())
    said = fleet.hosts[0].run("slipway", "status", "shop", check=False)
    assert "unconfirmed until" in said or "for somebody to confirm 3.0.0" in said, said
    fleet.settle()
    assert fleet.changed() in ([], [0])
    assert fleet.serves() == ["2.0.0"] * 5
    assert fleet.play("status", "3.0.0").code == 0


@pytest.mark.parametrize("strategy", ["free", "host_pinned"])
def test_another_strategy_of_ansible_by_default(fleet: Any, strategy: str) -> None:
    fleet.environment = {"ANSIBLE_STRATEGY": strategy}
    for name in ("preflight", "site", "status", "rollback"):
        done = fleet.play(name, "3.0.0", release_soak_time=0)
        assert done.code == 0, done.output
        assert "Traceback" not in done.output
    assert fleet.serves() == ["2.0.0"] * 5

"""A host of the second batch fails or vanishes: who goes back, what the table says, and what fails with what reason."""

from __future__ import annotations

import signal
from typing import Any

import pytest

SERIAL = ["1", "1", "100%"]
OLD, NEW = "2.0.0", "3.0.0"


def ill(*hosts: Any) -> dict[str, Any]:
    """3.0.0 answers that it is not healthy on these hosts."""
    names = [host.name for host in hosts]
    value = f"{{{{ {{'APP_UNHEALTHY_AFTER': '0s'}} if inventory_hostname in {names} else {{}} }}}}"
    return {"release_environment": value}


def table(done: Any) -> dict[str, list[str]]:
    """Each host's row: host, from, to, verdict, failed requests, p99, what runs now, what is left to do."""
    shown = done.output.rpartition("\nHOST  ")[2].partition("PLAY RECAP")[0]
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in shown.splitlines()[1:]]
    return {row[0]: row for row in rows if len(row) == 8}


def assert_end(fleet: Any, done: Any, verdicts: list[str], serves: list[str]) -> None:
    """The table, what the hosts say, the exit code, and who is booked as failed agree."""
    told = table(done)
    assert [told[host.name][3] for host in fleet.hosts] == verdicts, done.output
    assert fleet.serves() == serves, done.output
    lost = [host.name for host, verdict in zip(fleet.hosts, verdicts) if verdict in ("failed", "unreachable")]
    booked = [name for name, recap in done.recap.items() if recap["failed"] or recap["unreachable"]]
    assert (booked, done.code != 0) == (lost, bool(lost)), done.output
    for host, release in zip(fleet.hosts, serves):
        if told[host.name][6] != "?":
            assert told[host.name][6].startswith(f"{release}-"), done.output
    assert "Traceback" not in done.output


def rest(fleet: Any, value: str) -> list[str]:
    return [value] * (len(fleet.hosts) - 2)


def test_a_host_of_the_second_batch_fails(fleet: Any) -> None:
    done = fleet.play("release", NEW, release_serial=SERIAL, **ill(fleet.hosts[1]))
    assert_end(fleet, done, ["taken back", "failed", *rest(fleet, "not touched")], [OLD] * len(fleet.hosts))
    assert f"runs on all {len(fleet.hosts)} hosts, each asked anew" in done.output
    again = fleet.play("release", NEW, release_serial=SERIAL)
    assert_end(fleet, again, ["released"] * len(fleet.hosts), [NEW] * len(fleet.hosts))


def test_within_the_budget(fleet: Any) -> None:
    done = fleet.play("release", NEW, release_serial=SERIAL, release_max_unavailable=1, **ill(fleet.hosts[1]))
    assert_end(fleet, done, ["released", "failed", *rest(fleet, "released")], [NEW, OLD, *rest(fleet, NEW)])
    assert "which release_max_unavailable allows" in done.output


def test_beyond_the_budget(fleet: Any) -> None:
    """One is down before the run, and within the budget; the second one is too many."""
    fleet.hosts[1].vanish()
    done = fleet.play("release", NEW, release_serial=SERIAL, release_max_unavailable="1", **ill(fleet.hosts[2]))
    others = ["taken back"] * (len(fleet.hosts) - 3)
    assert_end(fleet, done, ["taken back", "unreachable", "failed", *others], [OLD] * len(fleet.hosts))
    assert "release_max_unavailable allows 1" in done.output


def test_a_host_of_the_second_batch_is_gone_in_its_swap(fleet: Any) -> None:
    run = fleet.start("release", NEW, release_serial=SERIAL, release_soak_time=20)
    run.until_phase(fleet.hosts[1], "SOAK")
    fleet.hosts[1].cut()
    done = run.end()
    assert "the host became unreachable" in done.output, done.output
    fleet.settle()
    assert_end(fleet, done, ["taken back", "unreachable", *rest(fleet, "not touched")], [OLD] * len(fleet.hosts))


@pytest.mark.parametrize("mode", ["host", "batch"])
def test_others_stay(fleet: Any, mode: str) -> None:
    """The second batch is two hosts, and one of them fails."""
    given = {"release_serial": ["1", "2", "100%"], "release_on_failure": mode}
    done = fleet.play("release", NEW, **given, **ill(fleet.hosts[2]))
    verdict, serves = ("released", NEW) if mode == "host" else ("taken back", OLD)
    left = len(fleet.hosts) - 3
    verdicts = ["released", verdict, "failed", *["not touched"] * left]
    assert_end(fleet, done, verdicts, [NEW, serves, OLD, *[OLD] * left])
    assert "the hosts run different releases" in done.output


def test_the_controller_is_killed_on_the_way_back(fleet: Any) -> None:
    """The next run says what runs where, and brings all hosts together."""
    run = fleet.start("release", NEW, release_serial=SERIAL, release_soak_time=10, **ill(fleet.hosts[1]))
    run.until("the way back", lambda: "TASK [slipway.go.release : Take back what" in run.said())
    run.until_phase(fleet.hosts[0], "SOAK")
    run.cancel(signal.SIGKILL)
    run.end()
    left = fleet.hosts[0].serves()
    told = fleet.play("status", NEW)
    assert fleet.hosts[0].name in told.output
    again = fleet.play("release", NEW, release_serial=SERIAL)
    assert_end(fleet, again, ["unchanged" if left == NEW else "released", *["released"] * (len(fleet.hosts) - 1)],
               [NEW] * len(fleet.hosts))  # fmt: skip


def test_confirmed_together(fleet: Any) -> None:
    """Nothing counts until the last play; a run that is killed before it leaves every host on the old release."""
    run = fleet.start("release", NEW, release_serial=SERIAL, release_confirm_fleet="60", release_confirm=5)
    run.until_phase(fleet.hosts[1], "SOAK")
    assert (fleet.hosts[0].phase(), fleet.hosts[0].serves()) == ("PROBATION", NEW)
    run.cancel(signal.SIGKILL)
    run.end()
    fleet.settle()
    assert fleet.serves() == [OLD] * len(fleet.hosts)
    done = fleet.play("release", NEW, release_serial=SERIAL, release_confirm_fleet="120", release_confirm=5)
    assert_end(fleet, done, ["released"] * len(fleet.hosts), [NEW] * len(fleet.hosts))
    assert not any(host.phase() for host in fleet.hosts)


def test_a_host_is_gone_before_it_is_configured(fleet: Any) -> None:
    """The playbook site: the batch that is gone is one host, and the last play runs all the same."""
    run = fleet.start("site", NEW, release_serial=SERIAL, site_harden=False)
    run.until_phase(fleet.hosts[0], "SOAK")
    fleet.hosts[1].vanish()
    done = run.end()
    assert_end(fleet, done, ["taken back", "unreachable", *rest(fleet, "not touched")], [OLD] * len(fleet.hosts))

"""Hosts that pull: each row pushes something to a repository, or breaks something, and looks at what the host does.

`make pull-table` runs it: a Debian 13 host with the distribution's Ansible pulls over SSH from a repository on another
host. The rows build on each other, in their order.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(CHECKOUT / "tests" / "lab"), str(Path(__file__).parent)]

import inside
import lab
import play
from build import build_load, build_releases
from client import Load
from site_of_pulls import ALICE, MALLORY, PORT, UNIT, Site
from waiting import wait

LAB = os.environ.get("SLIPWAY_LAB", "pull")
RATE = 100
LONG_SOAK = 30


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    binaries = build_releases(CHECKOUT / ".work" / "app")
    build_load(CHECKOUT / ".work" / "load")
    folder = tmp_path_factory.mktemp("pull")
    made = Site(folder, lab.up(LAB, 2, ["trixie"]), LAB)
    made.prepare(folder, binaries)
    yield made
    if not os.environ.get("SLIPWAY_LAB_KEEP"):
        lab.down(LAB)


@pytest.fixture
def load(tmp_path: Path, site: Site) -> Iterator[Load]:
    with Load(CHECKOUT / ".work" / "load", tmp_path, [f"host=http://{site.address}:{PORT}"], RATE) as client:
        yield client


def nothing_was_run(log: str) -> bool:
    return "PLAY [" not in log and "running local.yml" not in log


def test_the_role_sets_a_host_up_and_changes_nothing_the_second_time(site: Site, tmp_path: Path) -> None:
    site.publish("1.0.0")
    first = site.set_up(tmp_path)
    assert first.code == 0, first.output
    # The timer has started the first pull.
    wait("the first pull", site.has_pulled, 240)
    second = site.set_up(tmp_path)
    assert second.code == 0, second.output
    assert second.recap[site.host]["changed"] == 0, second.output


def test_a_signed_commit_is_released(site: Site) -> None:
    ended = site.ended()
    assert ended.good, ended.log
    assert site.current() == "1.0.0"
    assert f"signed by {ALICE}" in ended.log
    (event,) = site.history()
    assert event["by"]["person"] == ALICE
    assert event["by"]["job"].startswith("pull of ")
    assert "finished" in site.run("cat", "/root/notices")


def test_the_second_pull_changes_nothing(site: Site) -> None:
    ended = site.pull()
    assert ended.good, ended.log
    assert " changed=0 " in ended.log, ended.log
    assert len(site.history()) == 1


@pytest.mark.parametrize("signer", ["nobody", MALLORY])
def test_a_commit_that_nobody_trusted_has_signed_is_not_run(site: Site, signer: str) -> None:
    good = site.state.git("rev-parse", "HEAD")
    commit = site.publish("2.0.0", signer)
    ended = site.pull()
    assert ended.result == "exit-code"
    assert nothing_was_run(ended.log), ended.log
    (said,) = [line for line in ended.log.splitlines() if line.startswith("slipway: ")]
    assert f"commit {commit[:12]} has no valid signature" in said
    assert "Fix: sign the newest commit" in said
    assert site.current() == "1.0.0"
    site.state.git("reset", "--quiet", "--hard", good)
    site.state.push()


def test_an_upgrade_loses_no_request(site: Site, load: Load) -> None:
    commit = site.publish("2.0.0")
    ended = site.pull()
    assert ended.good, ended.log
    total = load.report()["total"]
    assert total["failed"] == 0, total
    assert set(total["versions"]) == {"1.0.0", "2.0.0"}
    assert commit[:12] in site.history()[0]["by"]["job"]


def test_an_older_signed_commit_is_refused(site: Site) -> None:
    newest = site.state.git("rev-parse", "HEAD")
    site.state.git("push", "--quiet", "--force", "origin", "HEAD~1:refs/heads/main")
    ended = site.pull()
    assert ended.result == "exit-code"
    assert nothing_was_run(ended.log), ended.log
    assert f"does not descend from {newest[:12]}" in ended.log
    assert site.current() == "2.0.0"
    site.state.push()


def test_a_bad_release_is_taken_back_and_not_tried_again(site: Site, load: Load) -> None:
    site.publish("3.0.0", service_environment={"APP_CRASH_AFTER": "2s"})
    ended = site.pull()
    assert ended.result == "exit-code"
    assert "local.yml of" in ended.log
    assert "ended with 2" in ended.log
    assert site.current() == "2.0.0"
    assert site.history()[0]["event"] in ("rolled_back", "refused")
    swaps = len(site.history())
    again = site.pull()
    assert again.result == "exit-code", again.log
    assert len(site.history()) == swaps, again.log
    assert set(load.report()["total"]["versions"]) <= {"2.0.0", "3.0.0"}


def test_the_way_back_is_a_new_commit(site: Site) -> None:
    site.publish("2.0.0")
    ended = site.pull()
    assert ended.good, ended.log
    assert site.current() == "2.0.0"


def test_a_wave_waits_until_it_is_reached(site: Site, tmp_path: Path) -> None:
    done = site.set_up(tmp_path, pull_wave=2)
    assert done.code == 0, done.output
    before = site.current()
    site.publish("3.0.0", wave=1)
    ended = site.pull()
    assert ended.good, ended.log
    assert site.current() == before
    site.publish("3.0.0", wave=2)
    ended = site.pull()
    assert ended.good, ended.log
    assert site.current() == "3.0.0"
    site.set_up(tmp_path)


def cut_short(site: Site, version: str) -> None:
    """A pull that has released the version, which is in its soak."""
    site.publish(version, release_soak_time=LONG_SOAK)
    site.begin()
    wait("the swap", lambda: site.current() == version, 120)
    assert site.is_active()


def test_a_pull_that_is_killed_is_finished_by_the_next(site: Site) -> None:
    cut_short(site, "1.0.0")
    site.run("systemctl", "kill", "--signal=KILL", UNIT)
    wait("the end of the unit", lambda: not site.is_active())
    site.publish("1.0.0")
    ended = site.pull()
    assert ended.good, ended.log
    assert site.current() == "1.0.0"
    assert site.history()[0]["event"] == "committed"


def test_a_second_pull_at_the_same_time_is_refused(site: Site) -> None:
    cut_short(site, "2.0.0")
    second = inside.attempt(site.container, "slipway", "pull")
    assert second.returncode == 1
    assert second.stderr.startswith("slipway: another pull of this host is running")
    site.run("systemctl", "start", UNIT)  # waits for the one that runs, as the timer would
    wait("the end of the unit", lambda: not site.is_active(), 120)
    assert site.ended().good
    assert site.current() == "2.0.0"


def test_a_host_without_network_serves_on(site: Site) -> None:
    site.run("ip", "link", "set", "eth0", "down")
    try:
        ended = site.pull()
    finally:
        site.run("ip", "link", "set", "eth0", "up")
    assert ended.result == "exit-code"
    assert nothing_was_run(ended.log), ended.log
    assert "could not be fetched" in ended.log
    assert site.run("systemctl", "is-active", "shop@*.service") == "active"
    assert site.current() == "2.0.0"


def test_the_role_takes_back_what_it_has_set_up(site: Site, tmp_path: Path) -> None:
    kept = site.run("cat", "/var/lib/slipway-pull/accepted.json")
    for changed in (2, 0):
        done = site.set_up(tmp_path, pull_state="absent", pull_repository="", pull_signers="")
        assert done.recap[site.host]["failed"] == 0, done.output
        assert done.recap[site.host]["changed"] == changed, done.output
    assert site.run("sh", "-c", "ls /etc/slipway/pull* /etc/systemd/system/slipway-pull* || true") == ""
    assert site.run("systemctl", "is-active", "shop@*.service") == "active"
    done = site.set_up(tmp_path)
    assert done.code == 0, done.output
    wait("the timer's pull", site.has_pulled, 120)
    assert site.ended().good
    assert site.run("cat", "/var/lib/slipway-pull/accepted.json") == kept


def access(site: Site) -> dict[str, Any]:
    """Hardening of who may come in, without the rest, which takes long.

    The default of deploy_user_sudo follows the user of the connection, and a pull is root without one.
    """
    key = site.inventory.with_name("id_ed25519.pub").read_text().strip()
    switches = {"site_harden": True, "harden_base": False, "harden_selinux": False}
    return {**switches, "deploy_user_keys": [key], "deploy_user_sudo": "full"}


def test_a_change_of_access_that_no_login_can_prove_is_taken_back(site: Site) -> None:
    """A host that is its own controller cannot log in from outside."""
    before = site.current()
    site.publish("2.0.0" if before != "2.0.0" else "3.0.0", **access(site))
    ended = site.pull()
    assert ended.result == "exit-code"
    assert "a fresh login can only be proven over ssh, and this host uses local" in ended.log, ended.log
    assert "was taken back" in ended.log
    assert site.run("id", "deploy", check=False) == ""
    assert site.current() == before
    assert play.module("ansible.builtin.command", {"argv": ["true"]}, site.inventory)[site.host]["rc"] == 0
    site.publish(before)


def test_a_host_that_loses_its_power_in_a_swap_is_finished_by_the_timer(site: Site) -> None:
    cut_short(site, "3.0.0")
    site.publish("3.0.0")
    lab.docker("kill", site.container)
    lab.docker("start", site.container)
    lab.wait_until_running(site.container)
    wait("the timer's pull", lambda: site.history()[0]["event"] == "committed" and site.current() == "3.0.0", 240)
    wait("the end of the unit", lambda: not site.is_active(), 60)
    assert site.ended().good


def test_a_host_that_was_hardened_by_a_push_stays_so(site: Site) -> None:
    """The last row, as root can log in no more."""
    done = play.playbook("harden", site.inventory, access(site), "--limit", site.host)
    assert done.code == 0, done.output
    site.publish(site.current(), **access(site))
    ended = site.pull()
    assert ended.good, ended.log
    assert site.run("id", "-un", "deploy") == "deploy"

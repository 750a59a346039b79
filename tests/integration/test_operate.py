"""A service looked after without Ansible: the tool on the host, its watch, and the status table."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import play
import pytest
from waiting import wait

SERVICE = "desk"
PORT = 8090


def variables(binaries: Path, version: str, **more: Any) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "service_watch_interval": 1,
        "service_watch_fall": 2,
        "service_watch_alert": ["/usr/bin/touch", "/run/alerted"],
        "service_watch_metrics": "/run/textfiles",
        "release_version": version,
        "release_src": str(binaries / f"shop-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 6, "timeout": 1},
        "release_soak_time": 0,
        **more,
    }


@pytest.fixture(scope="module")
def released(fleet: Any, binaries: Path) -> Any:
    for host in fleet.hosts:
        host.run("mkdir", "-p", "/run/textfiles")
    for version in ("1.0.0", "2.0.0"):
        done = fleet.play("site", variables(binaries, version))
        assert done.code == 0, done.output
    yield fleet
    fleet.retire(SERVICE)


def test_the_operator_takes_a_release_back_on_the_host(released: Any) -> None:
    host = released.hosts[0]
    assert "health    pass" in host.run("slipway", "status", SERVICE)
    assert "1.0.0-" in host.run("slipway", "rollback", SERVICE)
    assert host.current(SERVICE).startswith("1.0.0-")
    assert "serves already" in host.run("slipway", "rollback", SERVICE)
    told = json.loads(host.run("slipway", "status", SERVICE, "--json"))[0]
    assert (told["health"], len(told["bad"])) == ("pass", 1)
    assert host.run("slipway", "history", SERVICE).splitlines()[0].endswith("by a rollback")


def test_the_next_node_of_a_workflow_is_told(released: Any, binaries: Path, tmp_path: Path) -> None:
    """By the event that AWX takes its artifacts from."""
    for folder in ("project", "inventory", "env"):
        (tmp_path / folder).mkdir()
    (tmp_path / "project" / "status.yml").write_text("- ansible.builtin.import_playbook: slipway.go.status\n")
    shutil.copy(released.inventory, tmp_path / "inventory" / "hosts.yml")
    (tmp_path / "env" / "extravars").write_text(json.dumps(variables(binaries, "2.0.0")))
    victim = released.hosts[1]
    victim.run("systemctl", "stop", SERVICE)
    argv = [sys.executable, "-m", "ansible_runner", "run", str(tmp_path), "-p", "status.yml", "--quiet"]
    done = subprocess.run(argv, env=play.environment(), capture_output=True, text=True, check=False)
    victim.run("systemctl", "start", SERVICE)
    assert done.returncode != 0, done.stdout + done.stderr
    events = [json.loads(path.read_text()) for path in tmp_path.glob("artifacts/*/job_events/*.json")]
    (ended,) = [one["event_data"] for one in events if one["event"] == "playbook_on_stats"]
    told = ended["artifact_data"]["slipway"]
    assert (told["playbook"], told["service"], told["total"]) == ("status", SERVICE, len(released.hosts))
    verdicts = {host.name: "fail" if host is victim else "pass" for host in released.hosts}
    assert {name: one["verdict"] for name, one in told["hosts"].items()} == verdicts


def test_the_status_table_and_its_verdict(released: Any, binaries: Path) -> None:
    good = released.play("status", variables(binaries, "1.0.0"))
    assert good.code == 0, good.output
    assert "pass" in good.output
    victim = released.hosts[1]
    victim.run("systemctl", "stop", SERVICE)
    bad = released.play("status", variables(binaries, "1.0.0"))
    diagnosis = released.play("diagnose", variables(binaries, "1.0.0"))
    victim.run("systemctl", "start", SERVICE)
    assert diagnosis.code != 0
    cause = f"{SERVICE} was stopped, and nothing has failed. Fix: run systemctl start {SERVICE}"
    assert f"1. likely cause: {cause}" in " ".join(diagnosis.output.split())
    assert {name: host["failed"] for name, host in diagnosis.recap.items()} == {
        host.name: int(host is victim) for host in released.hosts
    }
    assert bad.code != 0
    assert f"{victim.name}/{SERVICE}: systemd says inactive" in " ".join(bad.output.split())


def test_the_watch_restarts_a_release_that_hangs_and_tells(released: Any) -> None:
    """SIGSTOP: systemd calls it active, it accepts, and it never answers."""
    host = released.hosts[1]
    unit = host.run("systemctl", "list-units", "--plain", "--no-legend", f"{SERVICE}@*").split()[0]
    before = host.run("systemctl", "show", "--property=MainPID", "--value", unit)
    host.run("rm", "-f", "/run/alerted")
    host.run("kill", "-STOP", before)
    wait(
        "it runs anew",
        lambda: host.run("systemctl", "show", "--property=MainPID", "--value", unit) not in (before, "0"),
    )
    wait("it is healthy", lambda: "health    pass" in host.run("slipway", "status", SERVICE, check=False))
    wait("somebody is told", lambda: host.exists("/run/alerted"))
    journal = host.run("cat", f"/var/lib/slipway/{SERVICE}/journal.jsonl")
    assert journal.count('"watch_restart"') == 1


def test_the_watch_writes_metrics(released: Any) -> None:
    host = released.hosts[0]
    path = f"/run/textfiles/slipway-{SERVICE}.prom"
    wait("metrics are written", lambda: host.exists(path))
    text = host.run("cat", path)
    assert f'slipway_release_info{{service="{SERVICE}",release="{host.current(SERVICE)}"' in text
    assert f'slipway_swaps_total{{service="{SERVICE}",result="committed"}}' in text


def test_a_corrected_health_check_reaches_the_release_that_serves(released: Any, binaries: Path) -> None:
    """One that it does not pass is refused, and nothing is restarted either way."""
    host = released.hosts[1]
    before = host.run("systemctl", "show", "--property=MainPID", "--value", f"{SERVICE}@{host.current(SERVICE)}")
    for place, code in (("1/readyz", 2), (f"{PORT}/version", 0)):
        health = {"url": f"http://127.0.0.1:{place}", "deadline": 2, "timeout": 1}
        values = variables(binaries, "2.0.0", release_health=health)
        done = released.play("release", values, "-v", "--limit", host.name)
        assert done.code == code, done.output
        said = '"action": "settings"' if code == 0 else "does not pass the release_health that is specified now"
        assert said in " ".join(done.output.split())
        wanted = "version" if code == 0 else "readyz"
        assert f":{PORT}/{wanted}" in host.run("slipway", "status", SERVICE)
    assert (
        host.run("systemctl", "show", "--property=MainPID", "--value", f"{SERVICE}@{host.current(SERVICE)}") == before
    )


def test_the_watch_leaves_a_stopped_service_alone(released: Any) -> None:
    host = released.hosts[0]
    host.run("systemctl", "stop", SERVICE)
    host.run("slipway", "watch", SERVICE, "--fall", "1")
    assert host.run("systemctl", "is-active", f"{SERVICE}.service", check=False) == "inactive"
    host.run("systemctl", "start", SERVICE)
    assert "health    pass" in host.run("slipway", "status", SERVICE)


WATCHER = "slipway-watch.service"
TIMER = f"/etc/systemd/system/{SERVICE}-watch.timer"
OLD_TIMER = f"""\
[Unit]
Description=Watch of {SERVICE}
[Timer]
OnActiveSec=10
OnUnitInactiveSec=10
[Install]
WantedBy=timers.target
"""


def looked(host: Any) -> float:
    return float(host.run("stat", "--format=%.9Y", f"/var/lib/slipway/{SERVICE}/watch.json"))


def watcher_pid(host: Any) -> str:
    return str(host.run("systemctl", "show", "--property=MainPID", "--value", WATCHER))


def test_a_host_of_an_earlier_version_loses_its_timer_and_is_watched(released: Any, binaries: Path) -> None:
    host = released.hosts[1]
    host.run("systemctl", "disable", "--now", WATCHER)
    host.run("rm", "-f", f"/etc/systemd/system/{WATCHER}", f"/etc/slipway/watch/{SERVICE}.json")
    host.run("sh", "-c", f"printf '%s' '{OLD_TIMER}' > {TIMER}; systemctl daemon-reload")
    host.run("systemctl", "enable", "--now", f"{SERVICE}-watch.timer")
    done = released.play("site", variables(binaries, "2.0.0"), "--limit", host.name)
    assert done.code == 0, done.output
    assert not host.exists(TIMER)
    assert f"{SERVICE}-watch" not in host.run("systemctl", "list-timers", "--all", "--no-pager")
    assert not host.exists(f"/etc/systemd/system/timers.target.wants/{SERVICE}-watch.timer")
    assert host.run("systemctl", "is-active", WATCHER) == "active"
    assert host.run("systemctl", "is-enabled", WATCHER) == "enabled"
    before = looked(host)
    wait("it is watched", lambda: looked(host) > before)
    again = released.play("site", variables(binaries, "2.0.0"), "--limit", host.name)
    assert again.recap[host.name]["changed"] == 0, again.output


def test_while_all_is_well_the_watch_writes_nothing_to_the_journal(released: Any) -> None:
    host = released.hosts[0]
    begun, before = host.run("date", "+%s"), looked(host)
    for _look in range(4):
        last = looked(host)
        wait("it looks", lambda last=last: looked(host) > last)
    units = ("--unit", WATCHER, "--unit", f"{SERVICE}-watch.service")
    assert looked(host) > before
    assert host.run("journalctl", "--quiet", "--no-pager", f"--since=@{begun}", *units) == ""


def test_the_watcher_comes_back_and_goes_on_as_a_new_tool(released: Any) -> None:
    host, tool = released.hosts[0], "/usr/local/sbin/slipway"
    for act in (
        lambda pid: host.run("kill", "-KILL", pid),
        lambda _pid: host.run("sh", "-c", f"cp -p {tool} {tool}.new && mv {tool}.new {tool}"),
    ):
        pid, before = watcher_pid(host), looked(host)
        act(pid)
        wait("another process watches", lambda pid=pid: watcher_pid(host) not in (pid, "0"))
        wait("it looks", lambda before=before: looked(host) > before)
    wait("it is up", lambda: host.run("systemctl", "is-active", WATCHER, check=False) == "active")


def test_status_says_that_nothing_watches(released: Any) -> None:
    host = released.hosts[0]
    host.run("systemctl", "stop", WATCHER)
    host.run("touch", "--date=@1000000000", f"/var/lib/slipway/{SERVICE}/watch.json")
    said = host.run("slipway", "status", SERVICE)
    host.run("systemctl", "start", WATCHER)
    assert f"UNWATCHED {WATCHER} does not run" in said
    wait("it is watched", lambda: "UNWATCHED" not in host.run("slipway", "status", SERVICE))


def test_a_boot_settles_what_was_interrupted(released: Any) -> None:
    """The state a power cut leaves in a swap: `current` is turned, nothing is committed."""
    host = released.hosts[1]
    good = host.current(SERVICE)
    other = next(
        name for name in host.run("ls", f"/opt/{SERVICE}/releases").split() if name != good and name.startswith("1.0.0")
    )
    left = {"txn": "x", "phase": "DRAIN", "to": other, "source": good, "strategy": "socket", "started": 1.0}
    host.run("sh", "-c", f"echo '{json.dumps(left)}' > /var/lib/slipway/{SERVICE}/state.json")
    host.run("ln", "-sfn", f"releases/{other}", f"/opt/{SERVICE}/current")
    host.run("systemctl", "restart", "slipway-recover.service")
    assert host.current(SERVICE) == good
    assert not host.exists(f"/var/lib/slipway/{SERVICE}/state.json")
    assert "health    pass" in host.run("slipway", "status", SERVICE)


def test_one_damaged_service_hides_no_other_and_is_repaired(released: Any) -> None:
    host = released.hosts[0]
    good = host.current(SERVICE)
    host.run("sh", "-c", "mkdir /var/lib/slipway/broken; echo '{' > /var/lib/slipway/broken/settings.json")
    host.run("sh", "-c", f"head -c 20 /dev/urandom > /var/lib/slipway/{SERVICE}/state.json")
    said = host.run("sh", "-c", "slipway status; echo ended with $?")
    assert said.endswith("ended with 1")
    assert f"{SERVICE}: {good}" in said
    assert said.count("DAMAGED") == 2
    assert f"sudo slipway recover {SERVICE}" in said
    recovered = host.run("sh", "-c", "slipway recover 2>&1; echo ended with $?")
    assert "broken/settings.json is not readable" in recovered
    host.run("rm", "-rf", "/var/lib/slipway/broken")
    assert "DAMAGED" not in host.run("slipway", "status", check=False), "of other tests' services, too"
    assert host.current(SERVICE) == good
    assert host.exists(f"/var/lib/slipway/{SERVICE}/state.json.damaged")


def test_a_stopped_service_is_not_exported_as_healthy(released: Any) -> None:
    host = released.hosts[0]
    path = f"/run/textfiles/slipway-{SERVICE}.prom"
    wait("it is exported as healthy", lambda: 'state="pass"} 1' in host.run("cat", path))
    host.run("systemctl", "stop", SERVICE)
    text = host.run("cat", path)
    host.run("systemctl", "start", SERVICE)
    assert f'slipway_up{{service="{SERVICE}"}} 0' in text
    assert 'state="pass"} 1' not in text
    wait("it is exported as healthy again", lambda: 'state="pass"} 1' in host.run("cat", path))


def test_what_a_release_no_longer_needs_is_purged_and_what_serves_is_not(released: Any) -> None:
    host = released.hosts[0]
    current = host.current(SERVICE)
    doomed = [name for name in host.run("ls", f"/opt/{SERVICE}/releases").split() if name != current]
    assert doomed
    refused = host.run("sh", "-c", f"slipway purge {SERVICE} {current} 2>&1; echo ended with $?")
    assert "serves now. Nothing was purged." in refused
    assert refused.endswith("ended with 1")
    host.run("slipway", "purge", SERVICE, doomed[0])
    argument = {"name": SERVICE, "releases": ["others"]}
    for changed in (len(doomed) > 1, False):
        told = play.module("slipway.go.purge", argument, released.inventory, "--become", "--limit", host.name)
        assert told[host.name]["changed"] is changed
    assert host.run("ls", f"/opt/{SERVICE}/releases").split() == [current]
    assert host.run("grep", "-c", '"purged"', f"/var/lib/slipway/{SERVICE}/journal.jsonl") == str(len(doomed))
    assert "health    pass" in host.run("slipway", "status", SERVICE)


def test_a_hand_made_unit_stops_every_host_before_one_changes(released: Any, binaries: Path) -> None:
    name, host = "handmade", released.hosts[1]
    unit = f"/etc/systemd/system/{name}.service"
    host.run("sh", "-c", f"printf '[Service]\\nExecStart=/bin/sleep 1000\\n' > {unit}; systemctl daemon-reload")
    host.run("systemctl", "start", name)
    looked = ("slipway.go.adoption_info", {"name": name}, released.inventory, "--become", "--limit", host.name)
    told = play.module(*looked)[host.name]
    assert (told["state"], told["program"], told["moved"]) == ("active (running)", "/bin/sleep", [unit])
    assert [one["setting"] for one in told["findings"] if one["blocks"]] == ["User="]
    values = variables(binaries, "1.0.0", service_name=name, service_listen=["8097"], site_harden=False)
    for flags in (["--check"], []):
        done = released.play("site", values, *flags)
        said = " ".join(done.output.split())
        assert done.code != 0
        assert f"{unit} is not slipway's" in said
        assert "systemctl disable --now handmade.service" in said
        assert host.run("grep", "-c", "sleep 1000", unit) == "1"
        assert host.run("systemctl", "is-active", name) == "active"
        assert not any(one.exists(f"/etc/{name}") or one.exists(f"/opt/{name}") for one in released.hosts)
    host.run("sh", "-c", f"systemctl stop {name}; rm {unit}; systemctl daemon-reload")


def begin(fleet: Any, values: dict[str, Any]) -> subprocess.Popen[str]:
    argv = [str(play.BIN / "ansible-playbook"), "playbooks/release.yml", "-i", str(fleet.inventory)]
    return subprocess.Popen(
        [*argv, "-e", json.dumps(values)],
        env=play.environment(),
        cwd=play.CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_of_two_runs_at_once_one_is_refused_and_a_freeze_is_broken_with_a_reason(released: Any, binaries: Path) -> None:
    freeze = [{"weekdays": "mon,tue,wed,thu,fri,sat,sun", "zone": "UTC", "reason": "the accounts of the year"}]
    first = variables(
        binaries,
        "3.0.0",
        release_freeze=freeze,
        release_break_glass="users cannot pay",
        release_reason="repairs the checkout",
        release_soak_time=4,
    )
    host, last = released.hosts
    run = begin(released, first)
    wait("the last host is leased", lambda: "leased by" in host_says(last), 180)
    other = released.play("release", variables(binaries, "1.0.0", release_freeze=json.dumps(freeze)))
    leased = host_says(host)
    output = run.communicate(timeout=180)[0]
    assert run.returncode == 0, output
    assert "repairs the checkout" in leased, "the first run was under way all the time"
    assert other.code != 0, other.output
    assert "repairs the checkout" in other.output
    said = " ".join(other.output.split())
    assert f"{SERVICE} is being released by" in said
    assert "release_freeze has a window until" in said
    assert "lease: " in said.partition("PLAN ")[2]
    assert f"PLAN {SERVICE} 3.0.0: 2 hosts in 2 batches" in " ".join(output.split())
    for one in released.hosts:
        assert one.current(SERVICE).startswith("3.0.0-")
        assert "no run has the lease" in host_says(one)
        assert "released in a freeze: users cannot pay" in one.run("slipway", "history", SERVICE).splitlines()[1]
    assert "users cannot pay" in last.run("journalctl", "-t", "slipway", "SLIPWAY_BREAK_GLASS=users cannot pay")


def host_says(host: Any) -> str:
    return str(host.run("slipway", "lease", SERVICE, check=False))

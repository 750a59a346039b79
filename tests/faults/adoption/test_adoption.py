# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services of five shapes on a real host: taken over under load, given back, taken over again; runs that are killed.

`make adoption` runs it. What one kill at each effect leaves is the subject of
tests/unit/plugins/module_utils/release/test_takeover.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(CHECKOUT / "tests" / "lab"), str(Path(__file__).resolve().parent)]

import inside
import lab
import play
from build import build_app, build_load
from client import Load
from processes import kill_tree
from shapes import BINARY, SHAPES, Shape
from waiting import wait

LAB = os.environ.get("SLIPWAY_LAB", "adoption")
BINARIES = CHECKOUT / ".work" / "app"
MEASURED = CHECKOUT / ".work" / "faults" / "adoption.jsonl"
# Files of the former service, as PID 1 reads them: names, owners, modes, contents and where links lead.
FILES = (
    "cd /etc/systemd/system; find . -path './NAME.service*' -o -name NAME.service -o -name NAME.socket"
    " -o -name NAME-web.service | sort | while read -r p; do stat -c '%n %A %U %G' $p; readlink $p || true;"
    " test -d $p -o -L $p || sha256sum $p; done"
)


class Host:
    def __init__(self, inventory: Path, container: str, address: str) -> None:
        self.inventory, self.container, self.address = inventory, container, address

    def sh(self, script: str, check: bool = True) -> str:
        done = inside.attempt(self.container, "sh", "-c", script)
        assert not check or done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def is_active(self, unit: str) -> bool:
        return self.sh(f"systemctl is-active {unit}", check=False) == "active"

    def main_pid(self, shape: Shape) -> str:
        return self.sh(f"systemctl show -p MainPID --value {shape.name}.service")

    def files(self, shape: Shape) -> str:
        return self.sh(FILES.replace("NAME", shape.name))

    def version(self, shape: Shape) -> str:
        try:
            with urllib.request.urlopen(f"http://{self.address}:{shape.port}/version", timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def set_up(self, shape: Shape) -> None:
        """By hand, as somebody has done it."""
        name, unit = shape.name, f"/etc/systemd/system/{shape.name}.service"
        self.sh(f"id {name} >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin {name}")
        subprocess.run(
            ["docker", "cp", str(BINARIES / "shop-1.0.0"), f"{self.container}:{shape.fill(BINARY)}"], check=True
        )
        for path, text in {unit: shape.unit, **shape.files}.items():
            where = shape.fill(path)
            self.sh(f"mkdir -p $(dirname {where}); cat > {where} <<'END'\n{shape.fill(text)}END\n")
        self.sh(f"chmod 0600 {unit}; chmod 755 {shape.fill(BINARY)}; systemctl daemon-reload")
        self.sh(f"systemctl enable --now {shape.fill(shape.starts)}")
        wait(f"{name} answers", lambda: self.version(shape))

    def adopt(self, shape: Shape, *flags: str, **more: Any) -> play.Play:
        return play.playbook("adopt", self.inventory, variables(shape, **more), *flags)

    def take_over(self, shape: Shape, **more: Any) -> play.Play:
        return self.adopt(shape, adopt_switch=True, **{**shape.adopt, **more})

    def put_away(self, shape: Shape) -> None:
        """Whoever runs by now."""
        play.module("slipway.go.adoption", {"name": shape.name, "state": "given_back"}, self.inventory, "--become")
        self.sh(f"systemctl disable --now {shape.name}.service {shape.fill(shape.starts)}")

    def record(self, **measured: Any) -> None:
        MEASURED.parent.mkdir(parents=True, exist_ok=True)
        with MEASURED.open("a") as stream:
            stream.write(json.dumps(measured) + "\n")

    def last_event(self, shape: Shape) -> dict[str, Any]:
        lines = self.sh(f"cat /var/lib/slipway/{shape.name}/journal.jsonl").splitlines()
        events = [json.loads(line) for line in lines]
        return next(event for event in reversed(events) if event["event"] in ("committed", "rolled_back"))


def variables(shape: Shape, **more: Any) -> dict[str, Any]:
    return {
        "service_name": shape.name,
        "service_swap": "restart",
        "service_listen": [str(shape.port)],
        "service_user": shape.name,
        "release_version": "1.0.0",
        "release_src": str(BINARIES / "shop-1.0.0"),
        "release_health": {"url": f"http://127.0.0.1:{shape.port}/readyz", "deadline": 10, "timeout": 2},
        "release_soak_time": 2,
        "release_start_timeout": 10,
        "service_drain_timeout": 5,
        "release_confirm": 20,
        **shape.variables,
        **more,
    }


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    inventory = lab.up(LAB, 1, ["bookworm"])
    ((name, told),) = json.loads(inventory.read_text())["all"]["hosts"].items()
    build_app("1.0.0", BINARIES / "shop-1.0.0")
    build_load(BINARIES / "load")
    found = Host(inventory, f"slipway-{LAB}-{name}", told["ansible_host"])
    yield found
    lab.down(LAB)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_it_is_taken_over_under_load_given_back_and_taken_over_again(host: Host, shape: Shape, tmp_path: Path) -> None:
    host.set_up(shape)
    before, unit = host.files(shape), f"{shape.name}.service"
    pid = host.main_pid(shape)
    if shape.adopt:
        refused = host.adopt(shape, "--check", adopt_switch=True)
        assert refused.code != 0
        assert "Fix: put the option that keeps it in the foreground into service_arguments" in " ".join(
            refused.output.split()
        )
    assert (host.files(shape), host.main_pid(shape)) == (before, pid)
    with Load(BINARIES / "load", tmp_path, [f"http://{host.address}:{shape.port}/"], 50) as load:
        done = host.take_over(shape)
        assert done.code == 0, done.output
        assert "Nothing served for" in done.output
        taken = host.last_event(shape)
        assert taken["event"] == "committed"
        assert host.sh("readlink /proc/$(pgrep -u NAME -x NAME)/exe".replace("NAME", shape.name)).startswith("/opt/")
        undone = host.adopt(shape, adopt_undo=True)
        assert undone.code == 0, undone.output
        assert host.files(shape) == before
        assert host.is_active(unit)
        assert host.sh(f"systemctl is-enabled {shape.fill(shape.starts)}") == "enabled"
        back = host.last_event(shape)
        assert (back["event"], back["code"]) == ("rolled_back", "given_back")
        repeated = host.take_over(shape)
        assert repeated.code == 0, repeated.output
        report = load.report()
    (tmp_path / "report.json").write_text(json.dumps(report))
    host.record(
        shape=shape.name,
        taken_over=taken["downtime_seconds"],
        given_back=back["downtime_seconds"],
        repeated=host.last_event(shape)["downtime_seconds"],
        run_seconds=round(done.seconds, 1),
        load=report["targets"],
    )
    host.put_away(shape)


def begin(host: Host, values: dict[str, Any]) -> subprocess.Popen[bytes]:
    argv = [str(play.BIN / "ansible-playbook"), "playbooks/adopt.yml", "-i", str(host.inventory)]
    return subprocess.Popen(
        [*argv, "-e", json.dumps(values)],
        env=play.environment(),
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


PLAIN = SHAPES[0]
UNIT = f"{PLAIN.name}.service"


@pytest.fixture
def plain(host: Host) -> Iterator[str]:
    host.set_up(PLAIN)
    before = host.files(PLAIN)
    yield before
    host.put_away(PLAIN)


def test_a_release_that_fails_brings_the_former_service_back(host: Host, plain: str) -> None:
    nowhere = {"url": f"http://127.0.0.1:{PLAIN.port}/nothing", "deadline": 3, "timeout": 1}
    done = host.take_over(PLAIN, release_health=nowhere)
    assert done.code != 0
    assert "plain.service runs again as it did before slipway" in " ".join(done.output.split()), done.output
    assert host.files(PLAIN) == plain
    assert host.is_active(UNIT)
    assert host.version(PLAIN)
    host.record(shape="plain, unhealthy", taken_over=host.last_event(PLAIN)["downtime_seconds"])


def test_a_run_that_ends_before_its_swap_closes_what_it_has_prepared(host: Host, plain: str) -> None:
    done = host.take_over(PLAIN, release_src=str(BINARIES / "nowhere"))
    assert done.code != 0
    assert "Close what was prepared for that" in done.output, done.output
    later = play.playbook("release", host.inventory, variables(PLAIN))
    assert later.code != 0
    assert f"/etc/systemd/system/{UNIT} is not slipway's" in " ".join(later.output.split()), later.output
    assert (host.files(PLAIN), host.is_active(UNIT)) == (plain, True)


@pytest.mark.parametrize("moment", ["while it is prepared", "while nothing serves", "while it waits to be confirmed"])
def test_a_controller_that_is_killed_leaves_a_host_on_which_one_of_the_two_runs(
    host: Host, plain: str, moment: str
) -> None:
    slow = {"service_environment": {"APP_BOOT_DELAY": "4s"}} if moment == "while nothing serves" else {}
    run = begin(host, variables(PLAIN, adopt_switch=True, **slow))
    conditions = {
        "while it is prepared": lambda: host.sh(f"test -e /etc/{PLAIN.name}/environment && echo yes", check=False),
        "while nothing serves": lambda: not host.is_active(UNIT),
        "while it waits to be confirmed": lambda: (
            "SOAK" in host.sh(f"cat /var/lib/slipway/{PLAIN.name}/state.json 2>/dev/null", check=False)
        ),
    }
    wait(moment, conditions[moment], 180)
    kill_tree(run.pid)
    run.wait()
    killed = time.monotonic()

    def settled() -> bool:
        return not host.sh(f"cat /var/lib/slipway/{PLAIN.name}/state.json 2>/dev/null", check=False)

    wait("the host settles it by itself", settled, 240)
    wait("it answers", lambda: host.version(PLAIN))
    host.record(shape=f"plain, controller killed {moment}", settled_after=round(time.monotonic() - killed, 1))
    assert host.files(PLAIN) == plain
    assert host.is_active(UNIT)
    if moment == "while nothing serves":
        done = host.take_over(PLAIN)
        assert done.code == 0, done.output


def test_a_host_that_goes_down_in_the_middle_boots_with_the_former_service(host: Host, plain: str) -> None:
    run = begin(host, variables(PLAIN, adopt_switch=True, service_environment={"APP_BOOT_DELAY": "8s"}))
    wait("nothing serves", lambda: not host.is_active(UNIT), 180)
    subprocess.run(["docker", "kill", host.container], check=True, capture_output=True)
    kill_tree(run.pid)
    run.wait()
    subprocess.run(["docker", "start", host.container], check=True, capture_output=True)
    host.address = lab.moved(host.container, host.address)
    begun = time.monotonic()
    wait("it answers", lambda: host.version(PLAIN), 120)
    wait("the former unit runs", lambda: host.is_active(UNIT) and host.files(PLAIN) == plain, 120)
    host.record(shape="plain, host rebooted while nothing serves", settled_after=round(time.monotonic() - begun, 1))

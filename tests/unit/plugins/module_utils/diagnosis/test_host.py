# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PID 1 has logged about ends, what the kernel has denied, and disks."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._diagnosis import host
from ansible_collections.slipway.go.plugins.module_utils._diagnosis.evidence import Ending

UNIT = "shop@2.0.0-aa00bb11cc.service"
APPARMOR = 'audit: type=1400 apparmor="DENIED" operation="open" profile="shop" name="/etc/x" pid=9 comm="shop"'
SELINUX = 'avc:  denied  { read } for  pid=9 comm="shop" name="x" scontext=system_u:system_r:init_t:s0'


@pytest.mark.parametrize(
    ("lines", "endings"),
    [
        ([], []),
        (["Started shop."], []),
        ([f"{UNIT}: Deactivated successfully."], []),
        ([f"{UNIT}: Main process exited, code=killed, status=15/TERM", f"{UNIT}: Succeeded."], []),
        (
            [
                f"{UNIT}: Main process exited, code=exited, status=1/FAILURE",
                f"{UNIT}: Failed with result 'exit-code'.",
                f"{UNIT}: Scheduled restart job, restart counter is at 1.",
                f"{UNIT}: Main process exited, code=exited, status=203/EXEC",
                f"{UNIT}: Failed with result 'exit-code'.",
                f"{UNIT}: Start request repeated too quickly.",
                f"{UNIT}: Failed with result 'start-limit-hit'.",
            ],
            [
                Ending("exited", "1/FAILURE", "exit-code"),
                Ending("exited", "203/EXEC", "exit-code"),
                Ending("", "", "start-limit-hit"),
            ],
        ),
        (
            [
                f"{UNIT}: A process of this unit has been killed by the OOM killer.",
                f"{UNIT}: Main process exited, code=killed, status=9/KILL",
                f"{UNIT}: Failed with result 'oom-kill'.",
            ],
            [Ending("killed", "9/KILL", "oom-kill")],
        ),
        (
            [
                f"{UNIT}: Main process exited, code=dumped, status=11/SEGV, extra",
                f"{UNIT}: Failed with result 'core-dump'.",
            ],
            [Ending("dumped", "11/SEGV", "core-dump")],
        ),
        ([f"{UNIT}: start operation timed out. Terminating.", f"{UNIT}: Failed with result 'timeout'."],
         [Ending("", "", "timeout", starting=True)]),
    ],
)  # fmt: skip
def test_ends_that_pid_1_calls_a_failure(lines: list[str], endings: list[Ending]) -> None:
    assert list(host.parse_endings(lines)) == endings


EXECUTING = SELINUX.replace('comm="shop"', 'comm="(shop)"')


@pytest.mark.parametrize(
    ("name", "lines", "found"),
    [
        ("shop", [APPARMOR, SELINUX, EXECUTING, "shop: hello"], 3),
        ("other", [APPARMOR, SELINUX, EXECUTING], 0),
        ("a-very-long-service", [APPARMOR.replace('comm="shop"', 'comm="a-very-long-ser"')], 1),
        ("a-very-long-service", [APPARMOR.replace('comm="shop"', 'comm="(-service)"')], 1),
    ],
)
def test_denials_of_the_service(name: str, lines: list[str], found: int) -> None:
    assert len(host.denials(name, lines)) == found


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task=shop,pid=9,uid=1", "oom-kill"),
        ("Out of memory: Killed process 9 (shop) total-vm:1kB", "oom-kill"),
        ("oom-kill:constraint=CONSTRAINT_NONE,task=shopper,pid=9,uid=1", "signal"),
        ("Out of memory: Killed process 9 (other) total-vm:1kB", "signal"),
    ],
)
def test_what_the_kernel_says_counts_where_systemd_does_not_know(monkeypatch: Any, line: str, result: str) -> None:
    said = [f"{UNIT}: Main process exited, code=killed, status=9/KILL", f"{UNIT}: Failed with result 'signal'."]
    monkeypatch.setattr(host.journald, "said_by_systemd", lambda *_span: said)
    assert [one.result for one in host.endings("shop", UNIT, 0, 1, [line])] == [result]


def test_a_kernel_log_that_cannot_be_read_is_no_failure(monkeypatch: Any) -> None:
    def unreadable(*_span: Any) -> list[str]:
        raise SlipwayError("command_failed", "journalctl failed (1).")

    monkeypatch.setattr(host.journald, "said_by_kernel", unreadable)
    assert host.kernel_log(0, 1) == []


def test_a_file_system_that_does_not_answer(monkeypatch: Any) -> None:
    """What never returns does not keep the others from being told."""
    never = threading.Event()
    ask = host.os.statvfs

    def stuck(path: str) -> Any:
        return never.wait(20) if path == "/usr" else ask(path)

    monkeypatch.setattr(host, "SILENT", 0.1)
    monkeypatch.setattr(host.os, "statvfs", stuck)
    found = host.volumes(["/usr", "/proc"])
    never.set()
    assert [(volume.path, volume.silent) for volume in found] == [("/usr", True), ("/proc", False)]


def test_a_look_that_fails_says_why() -> None:
    def fail() -> None:
        raise SlipwayError("x", "no.")

    with pytest.raises(SlipwayError, match="no"):
        host.within(1, fail)


def test_each_file_system_once(tmp_path: Path) -> None:
    found = host.volumes([str(tmp_path), str(tmp_path.parent), "/nowhere"])
    assert [volume.path for volume in found] == [str(tmp_path)]
    assert 0 < found[0].size >= found[0].free


def test_a_number_that_systemd_does_not_know() -> None:
    class Played:
        def properties(self, _unit: str, *names: str) -> dict[str, str]:
            return dict(zip(names, ("18446744073709551615", "4096", "infinity")))

    told = host.usage(Played(), UNIT, 0)  # type: ignore[arg-type]
    assert (told.tasks, told.most_tasks, told.most_memory) == (None, 4096, None)
    assert told.open_files is None
    assert told.host_memory
    assert told.free_memory

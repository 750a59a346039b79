"""config_files on real hosts: killed between the write and its commands, and run again."""

from __future__ import annotations

from typing import Any

import play

PATH, RAN = "/etc/slipway-killed.conf", "/run/slipway-killed"
# Kills the module that runs it, the first time.
COMMAND = f"test -e {RAN}.once || {{ touch {RAN}.once; kill -9 $PPID; exit 1; }}; touch {RAN}"


def test_the_next_run_does_what_a_killed_one_has_not_come_to(fleet: Any) -> None:
    file = {"path": PATH, "content": "x\n", "run": [["sh", "-c", COMMAND]]}

    def run(*flags: str) -> dict[str, dict[str, Any]]:
        return play.module("slipway.go.config_files", {"files": [file]}, fleet.inventory, "--become", *flags)

    killed = run()
    assert all(told.get("failed") for told in killed.values()), killed
    for host in fleet.hosts:
        assert host.run("cat", PATH) == "x"
        assert not host.exists(RAN)
    assert {told["changed"] for told in run("--check").values()} == {True}
    assert not any(host.exists(RAN) for host in fleet.hosts)
    assert {told["changed"] for told in run().values()} == {True}
    assert all(host.exists(RAN) for host in fleet.hosts)
    assert {told["changed"] for told in run().values()} == {False}

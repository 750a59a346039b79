# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several controllers at once; the rest of a change of sshd is tried on hosts."""

from __future__ import annotations

import os
import threading

import pytest
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import RevertPlan, System
from ansible_collections.slipway.go.plugins.module_utils._hardening.sshd import change, drop_in, server


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A host whose sshd reads one drop-in, which lets in deploy."""
    (tmp_path / "run").mkdir()
    folders = (str(tmp_path / name) for name in ("deadman", "units", "run"))
    inactive = (["slipway-deadman-ssh.service"], ["slipway-deadman-firewall.service"])
    system = System(*folders, lambda argv: (0, "" if argv[2:] in inactive else "active"))
    path = tmp_path / "00-slipway.conf"
    path.write_text("AllowUsers deploy\n")
    monkeypatch.setattr(drop_in, "DROP_IN", str(path))
    config = f"Include {tmp_path}/*.conf\n"
    installed = server.SshServer("sshd", (9, 2), "ssh.service", "", False, {}, config, {"port": ["22"]})
    monkeypatch.setattr(server, "look", lambda _system: installed)
    monkeypatch.setattr(change, "connection", lambda _system: None)
    monkeypatch.setattr(change, "verify", lambda *_words: None)
    monkeypatch.setattr(change.firewalls, "in_force", lambda _run: "")
    monkeypatch.setattr(change.logins, "who_is_shut_out", lambda *_words: [])
    return system


OPTIONS = change.Options(
    settings={"MaxAuthTries": 3}, algorithms={}, fallback={}, ports=[], allow_users=["deploy"], keep_allowed=True,
    must_allow=[], shut_out=[], seconds=60, open_firewall=False, firewall_sources=[], firewall_limit=False,
)  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="writes files of root")
@pytest.mark.parametrize("name", ["ssh", "firewall"])
def test_who_was_let_in_while_this_run_waited_stays_so(system, monkeypatch, name):
    """Another controller has begun after this run had looked, and is confirmed before it could arm."""
    validate, timers = change.managed_files.validate, []

    def and_somebody_begins(changes, where):
        validate(changes, where)
        if not timers:
            token = deadman.arm(name, 60, RevertPlan([drop_in.DROP_IN]), system)
            with open(drop_in.DROP_IN, "w") as stream:
                stream.write("AllowUsers deploy carol\n")
            timers.append(threading.Timer(0.5, ending.confirm, [name, token, system]))
            timers[0].start()

    monkeypatch.setattr(change.managed_files, "validate", and_somebody_begins)
    configured = change.configure(OPTIONS, False, system)
    timers[0].join()
    with open(drop_in.DROP_IN) as stream:
        written = stream.read()
    assert "AllowUsers deploy carol\n" in written
    assert "MaxAuthTries 3\n" in written
    assert change.allowed_users(configured.plan.settings) == ["deploy", "carol"]
    assert deadman.armed("ssh", system).token == configured.applied.token
    assert ending.last_revert("ssh", system) is None

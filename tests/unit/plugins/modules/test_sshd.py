# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which algorithms sshd is told; the rest of the module is tried on hosts."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import RevertPlan, System
from ansible_collections.slipway.go.plugins.module_utils._hardening import sshd as _sshd
from ansible_collections.slipway.go.plugins.modules import sshd

KEX = "KexAlgorithms"
FALLBACK = {KEX: ["curve25519-sha256"]}


def host(*kex, version=(9, 2)):
    return SimpleNamespace(version=version, supported={KEX: frozenset(kex), "PubkeyAcceptedAlgorithms": frozenset(kex)})


@pytest.mark.parametrize(
    ("wanted", "told", "left_out"),
    [
        (["mlkem", "sntrup"], ["sntrup"], ["mlkem"]),
        (["mlkem"], ["curve25519-sha256"], ["mlkem"]),
        ([], [], []),
    ],
    ids=["known", "none-known", "switched-off"],
)
def test_algorithms(wanted, told, left_out):
    assert sshd.choose_algorithms(host("sntrup", "curve25519-sha256"), {KEX: wanted}, FALLBACK) == (
        {KEX: told},
        left_out,
    )


def test_a_directive_by_the_name_that_an_old_openssh_has_for_it():
    found = sshd.choose_algorithms(host("a", version=(8, 4)), {"PubkeyAcceptedAlgorithms": ["a"]}, {})
    assert found == ({"PubkeyAcceptedKeyTypes": ["a"]}, [])


def test_a_directive_that_names_no_algorithms():
    with pytest.raises(SlipwayError, match="Port does not name algorithms"):
        sshd.choose_algorithms(host(), {"Port": ["22"]}, {})


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A host whose sshd reads one drop-in, which lets in deploy."""
    (tmp_path / "run").mkdir()
    folders = (str(tmp_path / name) for name in ("deadman", "units", "run"))
    inactive = (["slipway-deadman-ssh.service"], ["slipway-deadman-firewall.service"])
    system = System(*folders, lambda argv: (0, "" if argv[2:] in inactive else "active"))
    drop_in = tmp_path / "00-slipway.conf"
    drop_in.write_text("AllowUsers deploy\n")
    monkeypatch.setattr(_sshd, "DROP_IN", str(drop_in))
    there = _sshd.Host("sshd", (9, 2), "ssh.service", "", False, {}, f"Include {tmp_path}/*.conf\n", {"port": ["22"]})
    monkeypatch.setattr(_sshd, "look", lambda _place: there)
    monkeypatch.setattr(sshd, "connection_of", lambda _place: None)
    monkeypatch.setattr(sshd, "verify", lambda *_words: None)
    monkeypatch.setattr(sshd.firewalls, "in_force", lambda _run: "")
    monkeypatch.setattr(sshd.logins, "who_is_shut_out", lambda *_words: [])
    monkeypatch.setattr(sshd, "System", lambda: system)
    return system


def module(**more):
    params = {
        "settings": {"MaxAuthTries": 3}, "algorithms": {}, "fallback": {}, "ports": [], "allow_users": ["deploy"],
        "keep_allowed": True, "must_allow": [], "shut_out": [], "seconds": 60, "open_firewall": False,
        "firewall_sources": [], "firewall_limit": False,
    }  # fmt: skip
    return SimpleNamespace(check_mode=False, params={**params, **more})


@pytest.mark.skipif(os.geteuid() != 0, reason="writes files of root")
@pytest.mark.parametrize("name", ["ssh", "firewall"])
def test_who_was_let_in_while_this_run_waited_stays_so(system, monkeypatch, name):
    """Another controller has begun after this run had looked, and is confirmed before it could arm."""
    validate, timers = sshd.managed_files.validate, []

    def and_somebody_begins(changes, where):
        validate(changes, where)
        if not timers:
            token = deadman.arm(name, 60, RevertPlan([_sshd.DROP_IN]), system)
            with open(_sshd.DROP_IN, "w") as stream:
                stream.write("AllowUsers deploy carol\n")
            timers.append(threading.Timer(0.5, ending.confirm, [name, token, system]))
            timers[0].start()

    monkeypatch.setattr(sshd.managed_files, "validate", and_somebody_begins)
    told = sshd.work(module())
    timers[0].join()
    with open(_sshd.DROP_IN) as stream:
        written = stream.read()
    assert "AllowUsers deploy carol\n" in written
    assert "MaxAuthTries 3\n" in written
    assert told["allowed"] == ["deploy", "carol"]
    assert deadman.armed("ssh", system).token == told["token"]
    assert ending.last_revert("ssh", system) is None

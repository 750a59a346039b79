# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import smoke
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import validate_smoke
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Host

RUN_AS = smoke.RunAs("shop", "shop", "/opt/shop/releases/1-0123456789", {"SLIPWAY_ADDRESS": "127.0.0.1:1"})


@pytest.fixture
def bare(monkeypatch):
    """Commands run as they are: what systemd-run adds needs a host."""
    monkeypatch.setattr(smoke, "argv", lambda command, _run_as, _seconds: list(command))


def python(code):
    return [sys.executable, "-c", code]


def test_the_command_is_the_last_word_and_its_environment_holds_the_address():
    argv = smoke.argv(["curl", "--uid=root"], RUN_AS, 5)
    assert argv[argv.index("--") + 1 :] == ["curl", "--uid=root"]
    assert {"--uid=shop", "--gid=shop", "--property=RuntimeMaxSec=5", "--setenv=SLIPWAY_ADDRESS=127.0.0.1:1"} < set(
        argv
    )


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("18080", {"SLIPWAY_ADDRESS": "127.0.0.1:18080", "SLIPWAY_URL": "http://127.0.0.1:18080"}),
        ("[::1]:9", {"SLIPWAY_ADDRESS": "[::1]:9", "SLIPWAY_URL": "http://[::1]:9"}),
        ("/run/a.sock", {"SLIPWAY_ADDRESS": "/run/a.sock", "SLIPWAY_SOCKET": "/run/a.sock"}),
    ],
)
def test_addresses(address, wanted):
    assert smoke.variables(address, "http", "1-a") == {"SLIPWAY_RELEASE": "1-a", **wanted}


def test_what_failed_is_told_without_secrets(bare):
    code = "import sys; print('one'); print('password hunter22', file=sys.stderr); sys.exit(3)"
    # Which of the two pipes is read first is up to the scheduler.
    either = r"exit status 3: (one \| password \*{8}|password \*{8} \| one)"
    with pytest.raises(SlipwayError, match=either) as caught:
        smoke.run(python(code), RUN_AS, 20, ["hunter22", "hunter", "e"])
    assert "hunter" not in str(caught.value)
    assert caught.value.code == "smoke_failed"


def test_endless_output_is_cut_to_its_end(bare):
    with pytest.raises(SlipwayError) as caught:
        smoke.run(python("print('x' * 10**6); print('the end'); raise SystemExit(1)"), RUN_AS, 20, [])
    assert "the end" in str(caught.value)
    assert len(str(caught.value)) < 2 * smoke.LAST_BYTES


def test_a_command_that_hangs_is_late(bare, monkeypatch):
    monkeypatch.setattr(smoke, "MARGIN", 0.1)
    with pytest.raises(SlipwayError, match=r"did not end within 0\.2 s"):
        smoke.run(python("import time; time.sleep(60)"), RUN_AS, 0.2, [])


def test_a_good_command_says_nothing(bare):
    smoke.run(python("print('fine')"), RUN_AS, 20, [])


@pytest.mark.parametrize("commands", ["curl", ["curl"], [[]], [[1]], [[""]], [["a", 2]], [["a", "b\0"]]])
def test_commands_are_lists_of_words(commands):
    with pytest.raises(SlipwayError, match=r"release_smoke|no text"):
        validate_smoke(commands, 30, "18080")


def test_a_time_and_a_rehearsal_are_needed():
    with pytest.raises(SlipwayError, match="release_smoke_timeout is 0"):
        validate_smoke([], 0, "")
    with pytest.raises(SlipwayError, match="set service_rehearsal"):
        validate_smoke([["true"]], 30, "")


def test_a_failed_command_refuses_the_release_and_does_not_mark_it(memory, monkeypatch):
    host = Host(f"{memory}/host").install(monkeypatch).rehearse()
    monkeypatch.setattr(host.systemd, "properties", lambda _unit, *_names: {"User": "shop", "Group": "shop"})
    asked = []

    def run(command, place, seconds, secrets):
        asked.append(SimpleNamespace(command=command, place=place, seconds=seconds, secrets=secrets))
        if command == ["bad"]:
            raise SlipwayError("smoke_failed", "the smoke command bad ended with exit status 1.")

    monkeypatch.setattr(smoke, "run", run)
    host.release("v1", smoke=[["good"]])
    with pytest.raises(SlipwayError, match="was refused in REHEARSE, before any request could reach it: the smoke"):
        host.release("v2", smoke=[["good"], ["bad"], ["never"]], smoke_timeout=7)
    assert [a.command for a in asked] == [["good"], ["good"], ["bad"]]
    assert asked[-1].seconds == 7
    assert {"yes", "v2"} <= set(asked[-1].secrets)
    assert asked[-1].place.variables["SLIPWAY_SOCKET"] == host.rehearsal
    assert host.settled() == host.id_of("v1")
    assert host.store.journal.bad() == {}
    host.release("v2")

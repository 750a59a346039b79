"""What a service tells systemd of itself."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._host import notify


def test_systemd_is_told_where_it_wants_to_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        notify.notify(notify.READY)
        assert systemd.recv(64) == b"READY=1"


def test_the_socket_may_have_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"slipway-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{name}")
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify.notify(notify.ALIVE)
        assert systemd.recv(64) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all"])
def test_nobody_has_to_listen(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify.notify(notify.READY)

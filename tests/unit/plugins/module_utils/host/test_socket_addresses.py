"""Two services may have one port on two addresses."""

from __future__ import annotations

import os
import socket

import pytest
from ansible_collections.slipway.go.plugins.module_utils._host import sockets


@pytest.mark.parametrize(
    ("listen", "bound", "meets"),
    [
        ("127.0.0.4:7777", "127.0.0.3", False),
        ("127.0.0.4:7777", "127.0.0.4", True),
        ("127.0.0.4:7777", "0.0.0.0", True),
        ("7777", "127.0.0.3", True),
        ("[::1]:7777", "::1", True),
        ("[::1]:7777", "127.0.0.1", False),
        ("0.0.0.0:7777", "127.0.0.1", True),
        ("localhost:7777", "127.0.0.3", True),
        ("127.0.0.4:7777", None, True),
    ],
)
def test_addresses_meet_or_not(listen: str, bound: str | None, meets: bool) -> None:
    assert sockets.overlaps(listen, bound) is meets


def test_the_kernels_table_names_the_address() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.7", 0))
        listener.listen()
        inode = str(os.fstat(listener.fileno()).st_ino)
        assert sockets.tcp_addresses()[inode] == "127.0.0.7"

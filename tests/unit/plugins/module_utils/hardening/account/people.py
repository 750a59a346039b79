"""Bob, who administers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ansible_collections.slipway.go.plugins.module_utils._hardening.account.model import Account, WantedAccount

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA bob@desk"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB ann@desk"
DAY = 20000
LASTS = ["--maxdays", "99999", "--inactive", "-1", "--expiredate", "-1"]
SHADOW = ("bob", "*", "19000", "0", "99999", "7", "", "", "")
BOB = Account("bob", 1001, 1001, "/srv/bob", "/bin/sh", frozenset({"bob", "adm"}), SHADOW)
BOB_SAME = WantedAccount("bob", [KEY])


def shadow(**fields: str) -> tuple[str, ...]:
    names = ("name", "password", "changed", "least", "longest", "warn", "inactive", "expires", "flag")
    return tuple({**dict(zip(names, SHADOW)), **fields}.values())


def script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return str(path)


def me(home: Path) -> Account:
    return replace(BOB, uid=os.getuid(), gid=os.getgid(), home=str(home))

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host below a folder, with services of which every part is there, and systemd played."""

from __future__ import annotations

import grp
import json
import os
import pwd
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System
from ansible_collections.slipway.go.plugins.module_utils._host.systemd import Systemd
from ansible_collections.slipway.go.plugins.module_utils._release.context import Context
from ansible_collections.slipway.go.plugins.module_utils._release.operator import metrics
from ansible_collections.slipway.go.plugins.module_utils._release.removal import parts
from ansible_collections.slipway.go.plugins.module_utils._release.removal.parts import Parts, Wish
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Settings
from ansible_collections.slipway.go.plugins.module_utils._units import foreign

RELEASE = "1.0.0-0123456789"


class Pid1(Systemd):
    """Units that run, and what was asked of them. dies_at: the call at which the process is gone."""

    def __init__(self, running: list[str]) -> None:
        super().__init__()
        self.running, self.calls = list(running), []
        self.comes_back = False

    def call(self, *arguments: str, timeout: float | None = None, check: bool = True) -> str:
        verb, *rest = arguments
        if verb == "list-units":
            prefix = rest[-1].partition("*")[0]
            return "".join(f"{unit} loaded active running x\n" for unit in self.running if unit.startswith(prefix))
        if verb == "show":
            return ""
        self.calls.append(" ".join(arguments))
        if verb == "stop" and not self.comes_back:
            self.running = [unit for unit in self.running if unit not in rest]
        return ""


def own_account() -> tuple[str, str]:
    """The user and the group that this test runs as: whoever the files belong to."""
    return pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name


def two_services(top: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """The shop, and one whose name begins alike."""
    monkeypatch.chdir(top)  # the path of a socket has to be short
    # Whoever runs the test owns the data, be it root.
    monkeypatch.setattr(parts, "_uid", lambda _user: top.stat().st_uid)
    found = Host(top)
    for name in ("shop", "shop-admin"):
        found.deploy(name)
    return found


@dataclass
class Host:
    """top has the whole of it."""

    top: Path
    ran: list[list[str]] = field(default_factory=list)

    def layout(self, name: str) -> Layout:
        top = self.top
        return Layout(
            name,
            str(top / "opt" / name),
            state_root=str(top / "var/lib/slipway"),
            config_root=str(top / "etc"),
            unit_root=str(top / "etc/systemd/system"),
            proxy_root=str(top / "etc/haproxy/slipway.live"),
        )

    def write(self, path: str, text: str = "x\n") -> Path:
        target = self.top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def deploy(self, name: str) -> None:
        """Every part that a role or the engine writes for a service."""
        layout, state = self.layout(name), f"var/lib/slipway/{name}"
        for unit in foreign.names_of(name):
            self.write(f"etc/systemd/system/{unit}", f"[Unit]\nEnvironmentFile=/{state}/boot.env\n")
        run = f"/run/{name}.sock"
        self.write(
            f"etc/systemd/system/{name}.socket", f"[Socket]\n# /{state}/\nListenStream=8080\nListenStream={run}\n"
        )
        tool = f"ExecStart=/usr/local/sbin/slipway watch {name} --metrics /var/metrics\n"
        self.write(f"etc/systemd/system/{name}-watch.service", f"[Service]\n{tool}")
        (self.top / "run").mkdir(exist_ok=True)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.relpath(self.top / f"run/{name}.sock"))
        self.write(f"etc/slipway/watch/{name}.json", "{}")
        self.write(f"etc/slipway/services/{name}.json", '{"listen": ["8080"]}')
        self.write(f"etc/haproxy/slipway.d/{name}.cfg", f"frontend {name}\n")
        self.write(f"etc/haproxy/slipway.live/{name}.cfg", "global\n")
        self.write(f"etc/slipway-haproxy/{name}.pem")
        self.write(f"etc/nginx/conf.d/slipway-{name}.conf")
        self.write(f"etc/logrotate.d/{name}", f"/var/log/{name}/own/*.log {{\n}}\n")
        self.write(f"var/metrics/slipway-{name}.prom")
        for part in ("environment", f"config/{name}.toml", "credentials/key", f"units/{name}@.service"):
            self.write(f"etc/{name}/{part}")
        self.write(f"etc/slipway/next/.{name}.old/environment")
        for part in (
            "boot.env",
            "watch.json",
            "verified.json",
            "progress.json",
            f"slots/{RELEASE}.env",
            "lock",
            f"released/{RELEASE}.sha256",
        ):
            self.write(f"{state}/{part}")
        self.write(f"{state}/settings.json", json.dumps({"name": name, "root": layout.root}))
        self.write(f"{state}/units.json", json.dumps({f"{name}.service": []}))
        self.write(f"{state}/journal.jsonl", "")
        self.write(f"opt/{name}/releases/{RELEASE}/bin/{name}")
        for link in ("current", "last-good"):
            (self.top / f"opt/{name}/{link}").symlink_to(f"releases/{RELEASE}")
        self.write(f"var/lib/{name}/orders.db")
        self.write(f"var/log/{name}/{name}.log")

    def context(self, name: str, systemd: Systemd) -> Context:
        return Context(Settings(name, self.layout(name).root, lock_timeout=0), self.layout(name), systemd)

    def wish(self, **changes: Any) -> Wish:
        user, group = own_account()
        return Wish(user, group, metrics.path, **changes)

    def parts(self, name: str, **changes: Any) -> Parts:
        return Parts(self.layout(name), self.wish(**changes), str(self.top))

    def system(self) -> System:
        def run(argv: Any) -> tuple[int, str]:
            self.ran.append(list(argv))
            return 0, ""

        root = str(self.top / "var/lib/slipway/deadman")
        return System(root, str(self.top / "etc/systemd/system"), str(self.top / "run"), run)

    def files(self) -> dict[str, str]:
        """Every file with its content, and every link with its target; who holds a lock is no matter."""
        found = {}
        for base, folders, names in os.walk(self.top):
            for name in [*names, *(one for one in folders if os.path.islink(os.path.join(base, one)))]:
                path = os.path.join(base, name)
                shown = os.path.relpath(path, self.top)
                if name == "lock":
                    continue
                if os.path.islink(path):
                    found[shown] = f"-> {os.readlink(path)}"
                else:
                    found[shown] = Path(path).read_text(errors="replace") if os.path.isfile(path) else "special"
        return found

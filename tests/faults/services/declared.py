"""The ten services of the table, two of each kind, and one that somebody has set up by hand."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inside

# Two workers have a port that only they know of.
PORTS = {
    "shop": 8101,
    "news": 8102,
    "till": 8103,
    "books": 8104,
    "relay": 8105,
    "chat": 8106,
    "pay": 8107,
    "mail": 8108,
}
_KINDS = {
    "socket": ("shop", "news"),
    "proxy": ("till", "books"),
    "reload": ("relay", "chat"),
    "restart": ("pay", "mail"),
}
WORKERS = {"post": 18901, "sweep": 18902}
SERVICES = (*PORTS, *WORKERS)
# Where a release may lose no request.
PROMISED = frozenset(name for kind in ("socket", "proxy", "reload") for name in _KINDS[kind])


def _served(name: str, kind: str) -> dict[str, Any]:
    port = PORTS[name]
    own: dict[str, Any] = {
        "service_swap": kind,
        "service_listen": [str(port)],
        "release_health": {"url": f"http://127.0.0.1:{port}/readyz", "deadline": 30},
    }
    if kind == "reload":
        own["service_rehearsal"] = str(port + 10000)
    if kind == "restart":
        own["service_environment"] = {"PORT": str(port)}
    return own


def _worker(port: int) -> dict[str, Any]:
    return {"service_swap": "restart", "service_environment": {"HOST": "127.0.0.1", "PORT": str(port)}}


def variables(binaries: Path, version: str, key: str) -> dict[str, Any]:
    """What an inventory would say, with the parts of hardening that know services."""
    served = {name: _served(name, kind) for kind, names in _KINDS.items() for name in names}
    return {
        "release_version": version,
        "release_src": str(binaries / f"shop-{version}"),
        "release_soak_time": 1,
        "slipway_services": {**served, **{name: _worker(port) for name, port in WORKERS.items()}},
        "deploy_user_keys": [key],
        "site_harden": True,
        "harden_base": False,
        "harden_selinux": False,
        "harden_ssh": False,
    }


@dataclass(frozen=True)
class ByHand:
    name: str
    port: int

    def set_up(self, container: str, program: Path) -> None:
        inside.run(container, "useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", self.name)
        subprocess.run(["docker", "cp", str(program), f"{container}:/usr/local/bin/{self.name}"], check=True)
        unit = (
            f"[Service]\nUser={self.name}\nEnvironment=PORT={self.port}\n"
            f"ExecStart=/usr/local/bin/{self.name}\nRestart=always\n[Install]\nWantedBy=multi-user.target\n"
        )
        path = f"/etc/systemd/system/{self.name}.service"
        inside.run(container, "sh", "-c", f"printf %s '{unit}' > {path} && systemctl daemon-reload")
        inside.run(container, "systemctl", "enable", "--now", f"{self.name}.service")

    @property
    def variables(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/readyz"
        return {
            "service_swap": "restart",
            "service_listen": [str(self.port)],
            "service_user": self.name,
            "release_health": {"url": url, "deadline": 30},
        }


BY_HAND = ByHand("ledger", 8109)

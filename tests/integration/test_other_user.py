"""Another service_user is a release like any other: the one before it goes on, and can be gone back to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SERVICE = "mover"
HOST = 1
PORT = 8099


def variables(binaries: Path, version: str, user: str) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "service_user": user,
        "release_version": version,
        "release_src": str(binaries / f"shop-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 6},
        "release_soak_time": 0,
    }


def user_of_the_release(host: Any) -> str:
    unit = f"{SERVICE}@{host.current(SERVICE)}.service"
    pid = host.run("systemctl", "show", "--property=MainPID", "--value", unit)
    return str(host.run("stat", "-c", "%U", f"/proc/{pid}"))


def test_the_release_of_the_former_user_comes_back(fleet: Any, binaries: Path) -> None:
    with fleet.serving(variables(binaries, "1.0.0", "mover")):
        changed = fleet.play("site", variables(binaries, "2.0.0", "shaker"))
        assert changed.code == 0, changed.output[-4000:]
        assert {user_of_the_release(host) for host in fleet.hosts} == {"shaker"}
        back = fleet.play("rollback", variables(binaries, "2.0.0", "shaker"))
        assert back.code == 0, back.output[-4000:]
        for host in fleet.hosts:
            assert host.current(SERVICE).startswith("1.0.0-")
            assert user_of_the_release(host) == "mover"

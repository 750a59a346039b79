"""service_log: file on real hosts: nobody but root decides what systemd opens as root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SERVICE = "scribe"
HOST = 0
PORT = 8098
FOLDER = f"/var/log/{SERVICE}"
LOG = f"{FOLDER}/{SERVICE}.log"
LOOT = "/etc/cron.d/loot"


def variables(binaries: Path) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_swap": "restart",
        "service_listen": [str(PORT)],
        "service_log": "file",
        "release_version": "1.0.0",
        "release_src": str(binaries / "shop-1.0.0"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 6},
        "release_soak_time": 0,
    }


@pytest.fixture(scope="module")
def released(fleet: Any, binaries: Path) -> Any:
    with fleet.serving(variables(binaries)) as serving:
        yield serving


def as_service(host: Any, script: str) -> str:
    identity = [f"--reuid={SERVICE}", f"--regid={SERVICE}", "--clear-groups"]
    return str(host.run("setpriv", *identity, "sh", "-c", f"{{ {script}; }} 2>&1 || true"))


def restart(host: Any) -> None:
    host.run("systemctl", "restart", SERVICE)


def owner(host: Any, path: str) -> str:
    return str(host.run("stat", "-c", "%U:%G %a %F", path))


def test_the_service_cannot_put_a_link_in_its_logs_place(released: Any) -> None:
    for host in released.hosts:
        assert owner(host, FOLDER) == f"root:{SERVICE} 750 directory"
        assert owner(host, f"{FOLDER}/own") == f"{SERVICE}:{SERVICE} 750 directory"
        for script in (f"ln -sf {LOOT} {LOG}", f"mv {LOG} {FOLDER}/own/", f"mv {FOLDER}/own {FOLDER}/x"):
            assert "Permission denied" in as_service(host, script)
        restart(host)
        assert not host.exists(LOOT)


def test_both_directories_are_rotated_and_no_link_is_followed(released: Any) -> None:
    for host in released.hosts:
        as_service(host, f"echo mine > {FOLDER}/own/access.log; ln -s /etc/shadow {FOLDER}/own/shadow.log")
        before = host.run("sha256sum", "/etc/shadow")
        restart(host)
        assert host.run("sh", "-c", f"test -s {LOG} && echo yes") == "yes"
        host.run("logrotate", "--force", f"/etc/logrotate.d/{SERVICE}", check=False)
        for path in (f"{LOG}.1", f"{FOLDER}/own/access.log.1"):
            assert host.run("sh", "-c", f"test -s {path} && echo yes") == "yes"
        assert not host.exists(f"{FOLDER}/own/shadow.log.1")
        assert host.run("sha256sum", "/etc/shadow") == before
        restart(host)
        assert host.run("sh", "-c", f"test -s {LOG} && echo yes") == "yes"
        host.run("rm", f"{FOLDER}/own/shadow.log")


def test_a_host_of_before_is_put_right(released: Any, binaries: Path) -> None:
    """The directory was the service's, and the service has used that."""
    for host in released.hosts:
        host.run("chown", f"{SERVICE}:{SERVICE}", FOLDER)
        as_service(host, f"echo kept > {FOLDER}/access.log; ln -sf {LOOT} {LOG}")
    predicted = released.play("site", variables(binaries), "--check")
    assert predicted.code == 0, predicted.output
    assert {host["changed"] for host in predicted.recap.values()} == {1}
    done = released.play("site", variables(binaries))
    assert done.code == 0, done.output
    for host in released.hosts:
        assert owner(host, FOLDER) == f"root:{SERVICE} 750 directory"
        restart(host)
        assert not host.exists(LOOT)
        assert owner(host, LOG).endswith("regular file")
        assert host.run("cat", f"{FOLDER}/access.log") == "kept"
    again = released.play("site", variables(binaries))
    assert {host["changed"] for host in again.recap.values()} == {0}

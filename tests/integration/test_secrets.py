"""Secrets of a service: it gets them, nobody else does, and they change and go back with the release."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import inside
import play
import pytest

SERVICE = "vaulted"
HOST = 0
PORT = 8095
OLD, NEW, SAID = "tulip-credential-4711", "lilac-credential-4712", "orchid-environment-4713"


def variables(binaries: Path, secret: str | None, **more: Any) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "service_environment": {"TOKEN": SAID},
        "service_credentials": {} if secret is None else {"database_password": f"{secret}\n"},
        "release_version": "1.0.0",
        "release_src": str(binaries / "shop-1.0.0"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 6},
        "release_soak_time": 0,
        **more,
    }


def seen_by_the_service(host: Any) -> str:
    """The credential as the main process finds it: in its own mount namespace, by its own environment, as its user."""
    unit = f"{SERVICE}@{host.current(SERVICE)}.service"
    pid = host.run("systemctl", "show", "--property=MainPID", "--value", unit)
    environment = host.run("sh", "-c", f"tr '\\0' '\\n' < /proc/{pid}/environ")
    folder = next(
        line.partition("=")[2] for line in environment.splitlines() if line.startswith("CREDENTIALS_DIRECTORY=")
    )
    asked = [
        "setpriv",
        f"--reuid={SERVICE}",
        f"--regid={SERVICE}",
        "--clear-groups",
        "cat",
        f"{folder}/database_password",
    ]
    return str(host.run("nsenter", "--target", pid, "--mount", "--", *asked))


@pytest.fixture(scope="module")
def outputs() -> list[str]:
    return []


@pytest.fixture(scope="module")
def released(fleet: Any, binaries: Path, outputs: list[str]) -> Any:
    done = fleet.play("site", variables(binaries, OLD), "-vvv", "--diff")
    outputs.append(done.output)
    assert done.code == 0, done.output
    yield fleet
    fleet.retire(SERVICE)


def test_the_service_gets_them_and_a_second_run_changes_nothing(
    released: Any, binaries: Path, outputs: list[str]
) -> None:
    assert [seen_by_the_service(host) for host in released.hosts] == [OLD]
    again = released.play("site", variables(binaries, OLD), "-vvv", "--diff")
    outputs.append(again.output)
    assert {host["changed"] for host in again.recap.values()} == {0}


def test_a_changed_secret_takes_the_swap_and_goes_back_with_it(
    released: Any, binaries: Path, outputs: list[str]
) -> None:
    before = [host.current(SERVICE) for host in released.hosts]
    changed = released.play("site", variables(binaries, NEW), "-vvv", "--diff")
    outputs.append(changed.output)
    assert changed.code == 0, changed.output
    assert [seen_by_the_service(host) for host in released.hosts] == [NEW]
    back = released.play("rollback", variables(binaries, NEW), "-vvv", "--diff")
    outputs.append(back.output)
    assert [host.current(SERVICE) for host in released.hosts] == before
    assert [seen_by_the_service(host) for host in released.hosts] == [OLD]


def test_nobody_else_gets_them(released: Any, outputs: list[str]) -> None:
    secrets = (OLD, NEW, SAID)
    assert len(outputs) >= 3
    for output in outputs:
        assert "PLAY RECAP" in output
        assert not any(secret in output for secret in secrets)
    words = "|".join(secrets)
    for host in released.hosts:
        assert SERVICE in host.run("journalctl", "--no-pager", "--all")
        for said in (host.run("journalctl", "--no-pager", "--all"), host.run("ps", "-eo", "args")):
            assert not re.search(words, said)
        assert not re.search(words, host.run("systemctl", "show", f"{SERVICE}@{host.current(SERVICE)}.service"))
        assert not re.search(words, host.run("slipway", "status", SERVICE) + host.run("slipway", "history", SERVICE))
        found = host.run("grep", "-rlE", words, "/etc", "/opt", "/var", "/home", "/root", "/tmp", "/run", check=False)
        assert f"/etc/{SERVICE}/credentials/database_password" in found
        for path in found.splitlines():
            assert path.startswith((f"/etc/{SERVICE}/", f"/opt/{SERVICE}/releases/", "/run/credentials/")), path
            asked = ["setpriv", "--reuid=nobody", "--clear-groups", "cat", path]
            told = inside.attempt(host.container, *asked)
            assert told.returncode != 0, f"everybody can read {path}"


def test_what_is_no_longer_wanted_goes(released: Any, binaries: Path, tmp_path: Path) -> None:
    (tmp_path / "extra.conf.j2").write_text("port = {{ service_listen[0] }}\n")
    (tmp_path / "other.j2").write_text("other\n")
    both = [{"src": str(tmp_path / "extra.conf.j2")}, {"src": str(tmp_path / "other.j2"), "dest": "other.conf"}]
    done = released.play("site", variables(binaries, OLD, service_config_files=both))
    assert done.code == 0, done.output
    for host in released.hosts:
        assert host.run("ls", f"/opt/{SERVICE}/current/config").split() == ["extra.conf", "other.conf"]
    predicted = released.play("site", variables(binaries, None, service_config_files=both[1:]), "--check")
    assert predicted.code == 0, predicted.output
    done = released.play("site", variables(binaries, None, service_config_files=both[1:]))
    assert done.code == 0, done.output
    for host in released.hosts:
        assert host.run("ls", f"/etc/{SERVICE}/config").split() == ["other.conf"]
        assert host.run("ls", f"/etc/{SERVICE}/credentials").split() == []
        assert host.run("ls", f"/opt/{SERVICE}/current/config").split() == ["other.conf"]
        assert not host.exists(f"/opt/{SERVICE}/current/credentials")


@pytest.mark.parametrize("credentials", [{"a/b": "x"}, {"..": "x"}, {"a": ["x"]}, {"a": {"b": "c"}}])
def test_bad_credentials_change_nothing(released: Any, binaries: Path, credentials: Any) -> None:
    done = play.playbook(
        "site", released.inventory, variables(binaries, None, service_credentials=credentials), "--limit", "*1"
    )
    assert done.code != 0
    assert "service_credentials is not a dictionary of file names and texts" in done.output
    assert {host["changed"] for host in done.recap.values()} == {0}

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a service of somebody's own would be as variables of the role service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.go.plugins.module_utils._adoption import proposal
from ansible_collections.slipway.go.plugins.module_utils._adoption.former import Seen, seconds
from ansible_collections.slipway.go.plugins.module_utils._adoption.strategies import fits
from ansible_collections.slipway.go.plugins.module_utils._binary.abilities import Abilities
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.adoption.units import SIMPLE, Host

ROOT = Path(__file__).resolve().parents[5]
NOTHING = Abilities(sockets=False, readiness=False, signals=False)
UNSEEN = Seen()
ALL = Abilities(sockets=True, readiness=True, signals=True)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def propose(host: Host, *lines: str, seen: Seen = UNSEEN) -> dict[str, Any]:
    return proposal.propose(host.read(*lines), seen)


def verdicts(host: Host, *lines: str, seen: Seen = UNSEEN) -> dict[str, str]:
    return {fit.strategy: fit.verdict for fit in fits(host.read(*lines), seen)}


def test_a_simple_service(host: Host) -> None:
    host.write("shop.service", SIMPLE)
    assert propose(host, seen=Seen(listen=("8080",), abilities=NOTHING)) == {
        "service_name": "shop",
        "service_swap": "restart",
        "service_listen": ["8080"],
        "service_type": "simple",
        "service_user": "shop",
        "service_arguments": ["--listen", ":8080"],
        "service_restart": "always",
        "service_restart_delay": 2,
    }


def test_one_that_says_when_it_is_ready(host: Host) -> None:
    found = propose(host, "Type=notify", "User=web", "ExecStart=/srv/shop", "TimeoutSec=1min 30s")
    assert found["service_type"] == "notify"
    assert (found["service_user"], found["service_group"]) == ("web", "www")
    assert (found["service_start_timeout"], found["service_drain_timeout"]) == (90, 90)


def test_one_that_goes_into_the_background(host: Host) -> None:
    found = propose(host, "Type=forking", "PIDFile=/run/shop.pid", "User=shop", "ExecStart=/srv/shop -d")
    assert found["service_type"] == "exec"
    assert "service_directives" not in found


def test_environment_files_and_drop_ins(host: Host, tmp_path: Path) -> None:
    """Of files no value is shown, and of a unit only what everybody can read and what is no secret by its name."""
    (tmp_path / "env").write_text("COLOUR=blue\nLEVEL=debug\nDSN=postgres://shop:hunter2@db/shop\n")
    host.write("shop.service", "[Service]\nUser=shop\nExecStart=/srv/old\nEnvironment=LEVEL=info MODE=fast TOKEN=abc\n")
    host.write(
        "shop.service.d/10-env.conf",
        f"[Service]\nEnvironmentFile={tmp_path}/env\nEnvironmentFile=-{tmp_path}/none\nExecStart=\nExecStart=/srv/new\n",
    )
    host.write("shop.service.d/20-own.conf", "[Service]\nEnvironment=HERE=inside\nLimitNOFILE=4096\n", 0o600)
    former = host.read()
    assert former.program == "/srv/new"
    found = proposal.propose(former, Seen())
    assert found["service_environment"] == {
        "LEVEL": "{{ vault_shop_level }}",
        "MODE": "fast",
        "TOKEN": "{{ vault_shop_token }}",
        "HERE": "{{ vault_shop_here }}",
        "COLOUR": "{{ vault_shop_colour }}",
        "DSN": "{{ vault_shop_dsn }}",
    }
    assert found["service_limits"] == {"LimitNOFILE": "4096"}
    assert former.environment_files == (f"{tmp_path}/env",)
    assert former.missing_files == (f"-{tmp_path}/none",)
    assert not any(secret in str(found) for secret in ("hunter2", "abc", "blue", "debug", "inside"))


def test_a_variable_that_a_later_line_takes_away(host: Host) -> None:
    lines = ("Environment=A=1 B=2", "Environment=", "Environment=C=3 D=4", "UnsetEnvironment=D", "ExecStart=/srv/shop")
    assert propose(host, *lines)["service_environment"] == {"C": "3"}


def test_one_that_systemd_opens_the_socket_for(host: Host) -> None:
    host.write("shop.socket", "[Socket]\nListenStream=8080\nListenStream=/run/shop.sock\n")
    lines = ("User=shop", "ExecStart=/srv/shop", "NonBlocking=yes", "Sockets=shop.socket")
    found = propose(host, *lines, seen=Seen(abilities=ALL))
    assert found["service_swap"] == "socket"
    assert found["service_listen"] == ["8080", "/run/shop.sock"]
    assert verdicts(host, *lines)["socket"] == "fits"
    assert propose(host, *lines, seen=Seen(abilities=NOTHING))["service_swap"] == "restart"


@pytest.mark.parametrize(
    ("lines", "seen", "strategy", "verdict"),
    [
        ([], Seen(abilities=ALL), "socket", "may fit"),
        ([], Seen(), "socket", "not known"),
        ([], Seen(abilities=NOTHING), "socket", "does not fit"),
        (["Environment=PORT=8080"], Seen(listen=("8080",)), "proxy", "fits"),
        (["Environment=ADDRESS=127.0.0.1:8080"], Seen(listen=("127.0.0.1:8080",)), "proxy", "may fit"),
        (["Environment=SIZE=18080"], Seen(listen=("8080",)), "proxy", "not known"),
        (["Environment=PORT=8080"], Seen(), "proxy", "not known"),
        (["ExecReload=/bin/kill -HUP $MAINPID"], Seen(abilities=ALL), "reload", "may fit"),
        (["ExecReload=/bin/kill -HUP $MAINPID"], Seen(abilities=NOTHING), "reload", "does not fit"),
        (["ExecReload=/bin/kill -HUP $MAINPID"], Seen(), "reload", "not known"),
        ([], Seen(abilities=ALL), "reload", "does not fit"),
        ([], Seen(), "restart", "fits"),
    ],
)
def test_strategies(host: Host, lines: list[str], seen: Seen, strategy: str, verdict: str) -> None:
    assert verdicts(host, "ExecStart=/srv/shop", *lines, seen=seen)[strategy] == verdict


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("/srv/shop -a 'b c' ${HOME} %N 50%%", ["-a", "b c", "${HOME}", "shop", "50%%"]),
        ("/srv/shop --key %d/key --host %H%m", ["--key", "%d/key", "--host", "%H%m"]),
        ("@/srv/shop other -a", ["-a"]),
        (":/srv/shop $x", ["$$x"]),
        ("/srv/shop --token=abc --db-password hunter2", ["--token=********", "--db-password", "********"]),
        ("/srv/shop --db postgres://u:p@db/x", ["--db", "********"]),
        ("/srv/shop --db=shop:hunter2@tcp(db:3306)/shop", ["--db=********"]),
        ("/srv/shop redis://:hunter/2@db", ["********"]),
        ("/srv/shop --token=${TOKEN} --key /etc/shop/key.pem", ["--token=${TOKEN}", "--key", "/etc/shop/key.pem"]),
    ],
)
def test_arguments(host: Host, line: str, arguments: list[str]) -> None:
    assert propose(host, f"ExecStart={line}")["service_arguments"] == arguments


@pytest.mark.parametrize(
    "command",
    ["/usr/bin/migrate --password hunter2", "/usr/bin/curl -u admin:hunter2@db", "+/usr/bin/x --token=hunter2"],
)
def test_a_command_beside_the_service_shows_no_secret_either(host: Host, command: str) -> None:
    found = propose(host, "ExecStart=/srv/shop", f"ExecStartPre={command}", "ExecReload=/bin/kill -HUP $MAINPID")
    assert found["service_directives"] == {"ExecStartPre": "********", "ExecReload": "/bin/kill -HUP $MAINPID"}


def test_what_the_role_does_by_itself_is_left_to_it(host: Host) -> None:
    found = propose(
        host,
        "User=shop",
        "ExecStart=/srv/shop",
        "NoNewPrivileges=true",
        "ProtectSystem=full",
        "ReadWritePaths=/srv/data",
        "ReadWritePaths=/srv/more",
        "StateDirectory=shop",
        "KillMode=mixed",
        "Nice=5",
        "MemoryMax=2G",
        "MemoryMax=1G",
        "LoadCredential=db:/etc/shop/db",
    )
    assert found["service_sandbox"] == {"ProtectSystem": "full", "ReadWritePaths": ["/srv/data", "/srv/more"]}
    assert found["service_directives"] == {"Nice": "5"}
    assert found["service_limits"] == {"MemoryMax": "1G"}
    assert found["service_credentials"] == {"db": "{{ vault_shop_db }}"}


def test_the_sandbox_is_the_role_s() -> None:
    texts = yaml.safe_load((ROOT / "roles/service/vars/main.yml").read_text())["__service_default_sandbox"]
    as_written = {
        name: "yes" if value is True else value for name, value in texts.items() if isinstance(value, (str, bool))
    }
    assert {name: proposal.SANDBOX[name] for name in as_written} == as_written
    assert set(proposal.SANDBOX) == set(texts)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30", 30),
        ("1min 30s", 90),
        ("500ms", 0.5),
        ("2 hours", 7200),
        ("infinity", None),
        ("", None),
        ("3 moons", None),
    ],
)
def test_times(text: str, value: float | None) -> None:
    assert seconds(text) == value


def test_bytes_that_are_no_text_do_not_break_the_answer(host: Host) -> None:
    (host.etc).mkdir(parents=True, exist_ok=True)
    (host.etc / "shop.service").write_bytes(b"[Service]\nExecStart=/srv/shop \xff\nEnvironment=A=\xfe\n")
    str(propose(host)).encode("utf-8")

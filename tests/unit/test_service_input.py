# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role service refuses input that no host should see: a host of the inventory for each value, and none is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PORTS = "are not two local ports beside service_listen"
MORE = "are not ports of their own beside service_listen"
LISTEN = "is not a list of ports, addresses with a port, or socket paths"
NAME = "is not a usable service name"
RELOAD = "service_swap reload needs service_type notify"
CREDENTIALS = "service_credentials is not a dictionary of file names and texts"


def more(swap: str = "proxy", **port: Any) -> dict[str, Any]:
    return {"service_swap": swap, "service_more_ports": [{"name": "grpc", "listen": ["9090"], **port}]}


def configuration(**more: str) -> dict[str, Any]:
    return {"service_config_files": [{"src": "/etc/hostname", **more}]}


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "defaults": ({}, ""),
    "proxy": ({"service_swap": "proxy"}, ""),
    "restart without a port": ({"service_swap": "restart", "service_listen": []}, ""),
    "a file of its own name": (configuration(), ""),
    "three dots": (configuration(dest="..."), ""),
    "name": ({"service_name": "a b"}, f'service_name "a b" {NAME}'),
    "name of another unit": ({"service_name": "shop-guard"}, NAME),
    "name of the tool": ({"service_name": "slipway"}, NAME),
    "name of the revert's folder": ({"service_name": "deadman"}, NAME),
    "name of the system's own": ({"service_name": "sshd"}, NAME),
    "name with a line break": ({"service_name": "shop\n"}, NAME),
    "listen as text": ({"service_listen": "7070, 7071"}, ""),
    "listen as a number": ({"service_listen": 7070, "service_swap": "proxy"}, ""),
    "listen": ({"service_listen": ["eighty"]}, LISTEN),
    "socket without a port": ({"service_listen": []}, LISTEN),
    "reload without a message": ({"service_swap": "reload", "service_type": "exec"}, RELOAD),
    "signal": ({"service_reload_signal": "USR2;"}, RELOAD),
    "one local port": ({"service_swap": "proxy", "service_proxy_ports": [18080]}, PORTS),
    "a local port that users have": ({"service_swap": "proxy", "service_proxy_ports": [8080, 18081]}, PORTS),
    "a socket behind a proxy": ({"service_swap": "proxy", "service_listen": ["/run/shop"]}, PORTS),
    "another public port": (more(), ""),
    "another public port as text": (
        {**more(), "service_more_ports": '[{"name": "grpc", "listen": ["[::1]:9090"]}]'},
        "",
    ),
    "no other public port": ({"service_swap": "proxy", "service_more_ports": ""}, ""),
    "a public port twice": (more(listen=["127.0.0.1:8080"]), MORE),
    "a public port that is a local one": ({**more(listen=["18085"]), "service_proxy_ports": [18084, 18085]}, MORE),
    "a public port without a listener": (more(listen=[]), MORE),
    "a public port with a path": (more(listen=["/run/shop"]), MORE),
    "a public port with another name": (more(name="gRPC"), MORE),
    "another public port that another service has": (
        {
            "slipway_service": "shop",
            "slipway_services": {"shop": more(), "mailer": {"service_listen": ["9090"], "service_root": "/opt/mailer"}},
        },
        "service_listen has 9090 for shop, and mailer has it, too. Nothing was changed. Fix: ",
    ),
    "another public port without HAProxy": (more("socket"), MORE),
    "rehearsal": ({"service_swap": "proxy", "service_rehearsal": "here"}, PORTS),
    "root": ({"service_root": "/opt"}, 'service_root "/opt" is not a plain absolute path below another directory'),
    "root above": ({"service_root": "/opt/shop/../news"}, "is not a plain absolute path below another directory"),
    "environment": (
        {"service_environment": {"A": "1\n2"}},
        "the value of environment variable A has a line break",
    ),
    "credential's name": ({"service_credentials": {"a/b": "x"}}, CREDENTIALS),
    "credential's text": ({"service_credentials": {"a": {"b": "x"}}}, CREDENTIALS),
    "dependencies": (
        {"service_dependencies": [{"name": "db", "address": "db:5432"}, {"name": "api", "url": "https://api/"}]},
        "",
    ),
    "a dependency that nobody can ask": (
        {"service_dependencies": [{"name": "db"}]},
        '"db" of service_dependencies has nothing to ask. Fix: give it a url',
    ),
    "a dependency without a port": (
        {"service_dependencies": [{"name": "api", "url": "http://api/"}, {"name": "db", "address": "db"}]},
        '"db" of service_dependencies has nothing to ask',
    ),
    "a dependency by another protocol": (
        {"service_dependencies": [{"name": "files", "url": "ftp://files/"}]},
        '"files" of service_dependencies has nothing to ask',
    ),
    "a dependency with a password": (
        {"service_dependencies": [{"name": "api", "url": "https://user:secret@api/"}]},
        '"api" of service_dependencies has nothing to ask',
    ),
    "a dependency without a name": (
        {"service_dependencies": [{"address": "db:1"}]},
        "missing required arguments: name",
    ),
    "dest outside": (configuration(dest="../x"), 'the dest "../x" of service_config_files is not a plain file name'),
    "dest above": (configuration(dest=".."), 'the dest ".." of service_config_files is not a plain file name'),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The results of each host's tasks."""
    folder = tmp_path_factory.mktemp("input")
    given = {"service_name": "shop", "service_listen": ["8080"], "ansible_connection": "local"}
    hosts = {f"h{n}": {**given, **more} for n, (more, _message) in enumerate(CASES.values())}
    inventory, file = folder / "inventory.json", folder / "play.yml"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    role = {"ansible.builtin.import_role": {"name": "slipway.go.service", "tasks_from": "validate"}}
    file.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [role]}]))
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".work" / "collections"))
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    environment["ANSIBLE_STDOUT_CALLBACK"] = "ansible.posix.json"
    argv = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(inventory), str(file)]
    done = subprocess.run(argv, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    (play,) = json.loads(done.stdout[done.stdout.index("{") :])["plays"]
    results = {host: [task["hosts"][host] for task in play["tasks"] if host in task["hosts"]] for host in hosts}
    return dict(zip(CASES, results.values()))


@pytest.mark.parametrize("case", CASES, ids=list(CASES))
def test_the_role_says_what_is_wrong_with_its_input(told: dict[str, list[dict[str, Any]]], case: str) -> None:
    _given, message = CASES[case]
    failed = [result for result in told[case] if result.get("failed")]
    if not message:
        assert failed == []
        return
    (refused,) = failed
    items = [item for item in refused.get("results", [refused]) if item.get("failed", True)]
    messages = [" ".join(item["msg"].split()) for item in items]
    assert any(message in text for text in messages), messages
    assert all("Fix: " in text for text in messages), messages

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook adopt shows each host its own proposal beside its own variables, and no secret."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OLDEST = ROOT / ".work" / "venv-oldest" / "bin" / "python"
PYTHONS = [sys.executable, *([str(OLDEST)] if OLDEST.exists() else [])]
TOLD = {
    "managed": False,
    "service": "shop",
    "state": "active (running)",
    "enabled": True,
    "pid": 7,
    "type": "simple",
    "user": "shop",
    "program": "/srv/shop",
    "listen": ["8080"],
    "unit_files": ["/etc/systemd/system/shop.service"],
    "environment_files": [],
    "proposal": {
        "service_user": "shop",
        "service_listen": ["8080"],
        "service_environment": {"TOKEN": "{{ vault_shop_token }}", "FORMAT": "{{ .Name }}"},
    },
    "strategies": [],
    "findings": [],
    "adoptable": True,
    "moved": ["/etc/systemd/system/shop.service"],
    "kept": ["/etc/systemd/system/shop.service", "/srv/shop"],
}
PLAYED = """
import json
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({"name": {}, "root": {}}, supports_check_mode=True)
if module.params["root"] == "/none":
    module.fail_json(msg="unit: shop.service: no such unit.", code="unit_not_found")
module.exit_json(changed=False, **json.loads(TOLD))
"""
HOSTS = {
    "pasted": {"service_user": "shop", "service_environment": {"TOKEN": "{{ vault_shop_token }}", "FORMAT": ""}},
    "other": {"service_listen": "9090", "service_environment": {"TOKEN": "hunter2"}},
    "several": {"slipway_services": {"mailer": {"service_user": "mailer"}, "shop": {"service_user": "clerk"}}},
    "none": {"service_root": "/none"},
}


@pytest.mark.parametrize("python", PYTHONS)
def test_each_host_has_its_own(tmp_path: Path, python: str) -> None:
    collection = tmp_path / "collections" / "ansible_collections" / "slipway" / "go"
    for part in ("galaxy.yml", "meta", "plugins", "playbooks", "roles"):
        (collection / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, collection / part)
    (collection / "plugins" / "modules" / "adoption_info.py").write_text(PLAYED.replace("TOLD", repr(json.dumps(TOLD))))
    shared = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "ansible_become": False,
        "service_name": "shop",
    }
    (tmp_path / "inventory.yml").write_text(json.dumps({"all": {"hosts": HOSTS, "vars": shared}}))
    argv = [python, "-m", "ansible.cli.playbook", "-i", "inventory.yml", "slipway.go.adopt", "--check"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    shown = {host: said.partition(f"\n{host}, shop: ")[2].partition("enable --now")[0] for host in HOSTS}

    assert done.returncode != 0
    assert "no such unit" in said
    assert not shown["none"]
    for host in HOSTS.keys() - {"none"}:
        assert f"--limit {host} " in shown[host], said
        assert 'TOKEN: "{{ vault_shop_token }}"' in shown[host]
        assert 'FORMAT: !unsafe "{{ .Name }}"' in shown[host]
        assert ("the inventory says something else" in shown[host]) is (host in ("other", "several")), shown[host]
    assert 'service_listen: ["9090"], and the unit: ["8080"]' in shown["other"]
    assert "service_environment: the names TOKEN, and the unit: the names FORMAT, TOKEN" in shown["other"]
    assert "service_user: clerk, and the unit: shop" in shown["several"]
    assert "hunter2" not in said


def test_a_switch_closes_what_it_has_prepared_however_it_ends() -> None:
    switch = yaml.safe_load((ROOT / "playbooks" / "adopt.yml").read_text())[1]
    (block,) = [task for task in switch["tasks"] if "block" in task]
    roles = [task["ansible.builtin.include_role"]["name"] for task in block["block"]]
    assert roles == ["slipway.go.service", "slipway.go.release"]
    assert [task["slipway.go.adoption"]["state"] for task in block["always"]] == ["closed"]
    assert switch["tasks"].index(block) > [task["name"] for task in switch["tasks"]].index("Keep the former service")


def test_both_ways_in_one_run_are_refused_and_without_either_nothing_is_switched() -> None:
    plays = yaml.safe_load((ROOT / "playbooks" / "adopt.yml").read_text())
    assert [play["name"] for play in plays] == ["Adopt", "Switch", "Undo"]
    assert [play.get("serial") for play in plays] == [None, 1, 1]
    for wanted in ("adopt_switch", "adopt_undo"):
        assert sum(f"if {wanted} | default(false)" in play["hosts"] for play in plays) == 1
    argv = [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", "playbooks/adopt.yml", "--check"]
    given = {"adopt_switch": "yes", "adopt_undo": "yes", "service_name": "shop", "ansible_connection": "local"}
    both = [*argv, "-e", json.dumps({**given, "ansible_become": False})]
    done = subprocess.run(both, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "adopt_switch and adopt_undo are both true. Nothing was changed." in done.stdout + done.stderr

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our reading of Go binaries against `go version -m -json`, on programs that no one here built.

pytest tests/integration/linkage/test_go_version.py
"""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from ansible_collections.slipway.go.plugins.module_utils import _elf, _gobuildinfo
from ansible_collections.slipway.go.tests.integration.linkage import debian

GO = shutil.which("go")
# bullseye builds with Go 1.15 (the old format), bookworm with 1.19, trixie with 1.24.
PACKAGES = {
    "bullseye": (
        "acmetool caddy docker.io etcd-server fzf gh git-lfs golang-golang-x-tools nats-server prometheus "
        "prometheus-alertmanager prometheus-node-exporter restic runc syncthing"
    ),
    "bookworm": (
        "age caddy chasquid containerd direnv dnscrypt-proxy etcd-client fzf gh git-lfs gocryptfs hugo lego micro "
        "mtail nats-server podman prometheus prometheus-blackbox-exporter prometheus-mysqld-exporter "
        "prometheus-node-exporter prometheus-postgres-exporter prometheus-pushgateway rclone restic runc skopeo "
        "syncthing webhook"
    ),
    "trixie": (
        "age caddy containerd crowdsec etcd-server gh nats-server prometheus prometheus-alertmanager "
        "prometheus-node-exporter rclone restic syncthing"
    ),
}


def module(raw: dict | None) -> tuple | None:
    if raw is None:
        return None
    return raw.get("Path", ""), raw.get("Version", ""), raw.get("Sum", ""), module(raw.get("Replace"))


def ours(path) -> tuple | None:
    with _elf.Reader(str(path)) as reader:
        info = _gobuildinfo.read_build_info(reader, _elf.parse_elf(reader))
    if info is None:
        return None
    return info.version, info.path, info.main, info.deps, info.settings


def theirs(path) -> tuple | None:
    done = subprocess.run([GO, "version", "-m", "-json", str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    raw = json.loads(done.stdout)
    return (
        raw["GoVersion"],
        raw.get("Path", ""),
        module(raw["Main"]) if raw.get("Main") else None,
        tuple(module(dep) for dep in raw.get("Deps") or ()),
        tuple((setting["Key"], setting.get("Value", "")) for setting in raw.get("Settings") or ()),
    )


@pytest.mark.skipif(GO is None, reason="needs go")
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt-get")
def test_the_same_as_go_version():
    versions: dict[str, int] = {}
    different = []
    modules = settings = 0
    for suite, names in PACKAGES.items():
        for name in names.split():
            tree = debian.unpacked(suite, name)
            for path in debian.programs(tree) if tree else ():
                expected = theirs(path)
                found = ours(path)
                if expected != found:
                    different.append((str(path), expected, found))
                elif expected is not None:
                    versions[expected[0]] = versions.get(expected[0], 0) + 1
                    modules += len(expected[3])
                    settings += len(expected[4])
    total = sum(versions.values())
    print(f"{total} Go binaries, {modules} modules, {settings} settings equal; by version: {versions}")
    assert different == []
    assert total >= 30

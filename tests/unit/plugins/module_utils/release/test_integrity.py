# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What counts as changed, who checks it, and what an earlier version has left."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import integrity, stage
from ansible_collections.slipway.go.plugins.module_utils._release.state import layout
from ansible_collections.slipway.go.plugins.module_utils._tool import cli
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release import world
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Host

SHA256SUM = shutil.which("sha256sum")


@pytest.fixture
def host(memory, monkeypatch):
    host = Host(memory).install(monkeypatch)
    os.makedirs(os.path.join(host.layout.config, "credentials"))
    write(os.path.join(host.layout.config, "credentials", "password"), "hunter22")
    return host


def write(path, text):
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


def put(host, version="v1"):
    host.stage(version)
    return host.id_of(version)


def inside(host, release_id, name):
    return os.path.join(host.layout.release(release_id), name)


def test_a_staged_release_is_as_it_was_released(host):
    assert integrity.differences(host.layout, put(host)) == []


@pytest.mark.parametrize("name", ["bin/shop", "environment", "config/shop.toml", "config", ".", "release.json"])
def test_what_others_may_write_is_not_believed(host, name):
    release_id = put(host)
    os.chmod(inside(host, release_id, name), 0o777)
    (told,) = integrity.differences(host.layout, release_id)
    assert told.endswith("may be written by others than root (mode 0777)")


@pytest.mark.parametrize("place", ["root", "releases"])
def test_nor_is_what_others_may_rename(host, place):
    release_id = put(host)
    path = getattr(host.layout, place)
    os.chmod(path, 0o775)
    assert integrity.differences(host.layout, release_id) == [f"{path} may be written by others than root (mode 0775)"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_belongs_to_another_user_is_not_believed(host):
    release_id = put(host)
    os.chown(inside(host, release_id, "bin/shop"), 1234, -1)
    assert integrity.differences(host.layout, release_id) == ["bin/shop belongs to the user 1234 and not to root"]


@pytest.mark.parametrize("name", ["config/extra.toml", "extra", "bin/extra"])
def test_what_was_added_is_no_part_of_it(host, name):
    release_id = put(host)
    write(inside(host, release_id, name), "")
    assert integrity.differences(host.layout, release_id) == [f"{name} is not part of the release"]


def test_what_a_power_cut_leaves_beside_a_release_is_no_difference(host):
    """It comes before what collects it: the boot verifies first."""
    release_id = put(host)
    for name in ("release.json.tmp-4711", "health.json.tmp-4711", "health.json"):
        write(inside(host, release_id, name), "{")
    assert integrity.differences(host.layout, release_id) == []


@pytest.mark.parametrize("damage", [os.unlink, lambda path: os.symlink("elsewhere", path)])
def test_a_release_whose_folder_is_gone_or_leads_elsewhere(host, damage):
    release_id = put(host)
    folder = host.layout.release(release_id)
    os.rename(folder, os.path.join(host.layout.releases, "elsewhere"))
    write(folder, "")
    os.unlink(folder)
    if damage is not os.unlink:
        damage(folder)
    assert integrity.differences(host.layout, release_id)


def test_another_manifest_for_another_binary_does_not_help(host):
    """Who edits both has not edited the digests that are kept elsewhere."""
    release_id = put(host)
    write(inside(host, release_id, "bin/shop"), "foreign")
    digest = hashlib.sha256(b"foreign").hexdigest()
    manifest = {**host.layout.manifest(release_id), "sha256": digest, "files": {"bin/shop": digest}}
    write(inside(host, release_id, "release.json"), json.dumps(manifest))
    assert integrity.differences(host.layout, release_id) == [
        "release.json has another content",
        "bin/shop has another content",
    ]
    assert host.layout.manifest(release_id)["sha256"] != digest


def test_who_vouches_for_it_may_be_written_anew(host):
    release_id = put(host)
    stage.note_origin(host.layout, release_id, {"source": "x", "proof": "y"})
    assert integrity.differences(host.layout, release_id) == []
    assert host.layout.manifest(release_id)["origin"]["proof"] == "y"


def test_a_proof_that_somebody_has_written_into_a_release_proves_nothing(host):
    release_id = put(host)
    manifest = {**host.layout.manifest(release_id), "origin": {"proof": "forged"}}
    write(inside(host, release_id, "release.json"), json.dumps(manifest))
    assert "proof" not in host.layout.manifest(release_id)["origin"]


@pytest.mark.skipif(SHA256SUM is None, reason="coreutils are not here")
@pytest.mark.parametrize("name", ["plain", "a b  c", "line\nbreak", "back\\slash\\n", "separator\u2028here"])
def test_systemd_and_the_engine_read_the_same_digests(host, name):
    write(os.path.join(host.layout.config, "config", name), "some text")
    release_id = put(host)
    check = [str(SHA256SUM), "--check", "--quiet", "--strict", host.layout.sums(release_id)]
    assert f"config/{name}" in integrity.kept(host.layout, release_id)
    assert integrity.differences(host.layout, release_id) == []
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    write(inside(host, release_id, f"config/{name}"), "another text")
    assert integrity.differences(host.layout, release_id) == [f"config/{name} has another content"]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 1


def test_a_look_at_a_release_sees_what_may_have_changed(host):
    release_id = put(host)
    path = inside(host, release_id, "bin/shop")
    seen = {integrity.fingerprint(host.layout, release_id)}
    assert integrity.fingerprint(host.layout, release_id) in seen
    before = os.stat(path)
    with open(path, "r+", encoding="utf-8") as stream:  # the same size, and then the same time
        stream.write("T")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    seen.add(integrity.fingerprint(host.layout, release_id))
    os.chmod(path, 0o777)
    seen.add(integrity.fingerprint(host.layout, release_id))
    write(inside(host, release_id, "config/extra"), "")
    seen.add(integrity.fingerprint(host.layout, release_id))
    write(host.layout.sums(release_id), "")
    seen.add(integrity.fingerprint(host.layout, release_id))
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("name", "mode", "usual"),
    [
        ("bin/shop", 0o4755, 0o750),
        ("bin/shop", 0o4750, 0o750),
        ("bin/shop", 0o2750, 0o750),
        ("bin/shop", 0o640, 0o750),
        ("bin/shop", 0o755, 0o750),
        (".", 0o755, 0o750),
        ("config", 0o755, 0o750),
        ("environment", 0o644, 0o640),
        ("environment", 0o600, 0o640),
        ("config/shop.toml", 0o644, 0o640),
        ("units/shop@.service", 0o644, 0o640),
        ("credentials/password", 0o644, 0o640),
        ("credentials", 0o755, 0o750),
        ("release.json", 0o644, 0o640),
    ],
)
@pytest.mark.parametrize("earlier", [False, True])
def test_what_has_another_mode_is_not_as_it_was_released(host, name, mode, usual, earlier):
    release_id = put(host)
    if earlier:
        host.forget(release_id)
        assert integrity.differences(host.layout, release_id) == []
    os.chmod(inside(host, release_id, name), mode)
    assert integrity.differences(host.layout, release_id) == [f"{name} has the mode {mode:04o} and not {usual:04o}"]


def test_what_hides_under_the_name_of_a_leftover_is_no_part_of_it(host):
    release_id = put(host)
    for folder in ("release.json.tmp-x", "config/release.json.tmp-x"):
        os.mkdir(inside(host, release_id, folder), 0o750)
        write(inside(host, release_id, f"{folder}/extra"), "")
    write(inside(host, release_id, "bin/release.json.tmp-1"), "")
    for name in ("health.json", "health.json.tmp-1", "release.json.tmp-1"):
        os.symlink("bin/shop", inside(host, release_id, name))
    assert sorted(integrity.differences(host.layout, release_id)) == [
        f"{name} is not part of the release"
        for name in (
            "bin/release.json.tmp-1",
            "config/release.json.tmp-x/extra",
            "health.json",
            "health.json.tmp-1",
            "release.json.tmp-1",
            "release.json.tmp-x/extra",
        )
    ]


def test_a_release_of_an_earlier_version_is_known_by_its_id(host, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setitem(world.TEMPLATES, "socket", "Sockets=shop.socket")
        host.write_unit("that verifies nothing", "shop@.service")
        first = host.release("v1").current
    host.write_unit("that verifies", "shop@.service")
    second = host.release("v2").current
    host.forget(first)
    write(inside(host, first, "health.json"), json.dumps(host.health))
    assert integrity.differences(host.layout, first) == []
    assert host.rollback().current == first != second


@pytest.mark.parametrize(
    "name",
    ["bin/shop", "environment", "config/shop.toml", "credentials/password", "units/shop@.service", "release.json"],
)
def test_a_release_of_an_earlier_version_that_was_changed(host, name):
    first, second = (host.release(v).current for v in ("v1", "v2"))
    host.forget(first)
    write(inside(host, first, name), "foreign")
    with pytest.raises(SlipwayError) as caught:
        host.rollback()
    assert caught.value.code == ("no_last_good" if name == "release.json" else "damaged_release")
    with pytest.raises(SlipwayError) as caught:
        host.rollback(first)
    assert caught.value.code == "damaged_release"
    assert host.settled() == second


def test_a_name_that_no_list_of_digests_can_hold(host):
    path = os.fsencode(os.path.join(host.layout.config, "config")) + b"/caf\xe9"
    with open(path, "wb"):
        pass
    with pytest.raises(SlipwayError) as caught:
        host.release("v1")
    assert caught.value.code == "not_utf8"
    assert host.leftovers() == []


def test_the_records_of_a_release_go_with_it(host):
    host.keep = 2
    ids = [host.release(f"v{number}").current for number in range(1, 5)]
    host.release("v5")
    kept = {name.split(".")[0] for name in os.listdir(host.layout.released)}
    assert set(host.layout.staged()) <= kept
    assert ids[0] not in kept


def test_the_tool_says_what_differs_and_what_to_do(host, monkeypatch, capsys):
    first, second, third = (host.release(v).current for v in ("v1", "v2", "v3"))
    monkeypatch.setattr(layout, "Layout", lambda name, root: host.layout)
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0, raising=False)
    assert cli.main(["verify", "shop", "--root", host.layout.root]) == cli.OK
    assert capsys.readouterr().out == f"shop: {third} is on this disk as it was released\n"
    os.unlink(inside(host, third, "environment"))
    write(inside(host, second, "bin/shop"), "foreign")
    assert cli.main(["verify", "shop", "--root", host.layout.root, "--json"]) == cli.FAILED
    told = json.loads(capsys.readouterr().out)
    assert (told["code"], told["differences"], told["usable"]) == ("damaged_release", ["environment is missing"], first)
    assert told["fix"].startswith(f"run sudo slipway rollback shop {first}, or ")
    assert cli.main(["verify", "shop", first, "--root", host.layout.root]) == cli.OK
    assert cli.main(["verify", "shop", "../../etc", "--root", host.layout.root]) == cli.FAILED


def test_the_tool_verifies_what_the_next_boot_starts(host, monkeypatch, capsys):
    """A power cut may leave another release current than the one that boots."""
    first, second = (host.release(v).current for v in ("v1", "v2"))
    monkeypatch.setattr(layout, "Layout", lambda name, root: host.layout)
    os.unlink(host.layout.current)
    os.symlink(f"releases/{first}", host.layout.current)
    os.unlink(inside(host, second, "bin/shop"))
    assert cli.main(["verify", "shop", "--root", host.layout.root]) == cli.FAILED
    assert second in capsys.readouterr().err

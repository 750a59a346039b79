# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release is on the host as a whole, or it is not there."""

from __future__ import annotations

import hashlib
import io
import os
import stat as stat_module
import tarfile
from dataclasses import replace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import command
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import stage
from ansible_collections.slipway.go.plugins.module_utils._release.diagnostics import MASK, masked
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Artefact
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.state.test_model import EnvironmentFile
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import (
    GROUP_ID,
    REHEARSAL_PORT,
    Faults,
    Host,
    Killed,
)


@pytest.fixture
def host(memory, monkeypatch):
    return Host(memory).install(monkeypatch)


def put(host, version="v1", **changes):
    spec = host.spec(version, **changes)
    content = stage.content(spec, host.layout)
    stage.stage(spec, host.layout, content.release_id(), content)
    return content.release_id()


def text(host, release_id, name):
    with open(os.path.join(host.layout.release(release_id), name), encoding="utf-8") as stream:
        return stream.read()


def tree(folder):
    found = {}
    for base, folders, names in os.walk(folder):
        for name in folders + names:
            path = os.path.join(base, name)
            found[os.path.relpath(path, folder)] = stat_module.S_IMODE(os.lstat(path).st_mode)
    return found


def whole(host, release_id):
    """Whether everything a release needs is there and right."""
    assert text(host, release_id, "bin/shop") == "the binary of v1\n"
    assert EnvironmentFile(text(host, release_id, "environment")).found == {"SHARED": "yes", "OWN": "v1"}
    assert text(host, release_id, "config/shop.toml") == "[shop]\n"
    assert host.layout.manifest(release_id)["version"] == "v1"
    return True


def test_everything_is_there(host):
    release_id = put(host)
    assert whole(host, release_id)
    assert host.layout.staged() == [release_id]
    assert stage.is_staged(host.layout, release_id, stage.content(host.spec("v1"), host.layout))
    manifest = host.layout.manifest(release_id)
    assert (manifest["strategy"], manifest["sha256"]) == ("socket", host.artefact("v1").sha256)
    assert set(manifest["units"]) == {"shop@.service", "shop.socket", "shop-guard.service"}
    assert set(manifest["config"]) == {"shop.toml"}


def test_nobody_else_may_read_it(host):
    umask = os.umask(0)
    try:
        release_id = put(host)
    finally:
        os.umask(umask)
    assert tree(host.layout.release(release_id)) == {
        "bin": 0o750,
        "bin/shop": 0o750,
        "config": 0o750,
        "config/shop.toml": 0o640,
        "environment": 0o640,
        "release.json": 0o640,
        "units": 0o750,
        "units/shop-guard.service": 0o640,
        "units/shop.socket": 0o640,
        "units/shop@.service": 0o640,
    }
    assert tree(host.layout.root)["releases"] == 0o711
    for base, folders, names in os.walk(host.layout.root):
        for name in folders + names:
            assert os.lstat(os.path.join(base, name)).st_gid == GROUP_ID


@pytest.mark.parametrize("how", ["fail", "full", "kill", "torn"])
def test_whatever_happens_it_is_complete_or_absent(memory, monkeypatch, how):
    start = Host(f"{memory}/start").install(monkeypatch)
    start.artefact("v1")
    count = start.copy(f"{memory}/count").install(monkeypatch)
    release_id = put(count)
    steps = count.faults.seen
    assert len(steps) > 25
    for at, step in enumerate(steps):
        host = start.copy(f"{memory}/{at}").install(monkeypatch)
        host.faults = Faults(how, at)
        happened = False
        try:
            put(host)
        except (OSError, Killed):
            happened = True
        assert happened or how in ("full", "torn"), step
        if host.layout.staged():
            assert whole(host, release_id), step
        elif how in ("fail", "full"):
            assert host.leftovers() == [], step
        host.faults = Faults()
        put(host)
        assert whole(host, release_id), step
        assert host.leftovers() == [], step


def test_what_arrived_broken_is_refused(host):
    artefact = host.artefact("v1")
    content = stage.content(host.spec("v1"), host.layout)
    with open(artefact.path, "a", encoding="utf-8") as stream:
        stream.write("one byte too many")
    with pytest.raises(SlipwayError) as caught:
        stage.stage(host.spec("v1", artefact=artefact), host.layout, content.release_id(), content)
    assert caught.value.code == "wrong_checksum"
    assert artefact.sha256 in str(caught.value)
    assert caught.value.fix
    assert host.layout.staged() == []
    assert host.leftovers() == []


def test_an_unknown_group_is_named(host):
    with pytest.raises(SlipwayError) as caught:
        put(host, group="nobody-has-this-group")
    assert caught.value.code == "no_group"
    assert "nobody-has-this-group" in str(caught.value)
    assert "slipway.go.service" in caught.value.fix
    assert host.layout.staged() == []


def test_leftovers_of_killed_runs_are_collected_and_nothing_else(host):
    release_id = put(host)
    layout = host.layout
    stray = [
        os.path.join(layout.releases, ".tmp-v0-0123456789"),
        f"{layout.current}.tmp-1",
        f"{layout.last_good}.tmp-2",
        f"{layout.boot_file}.tmp-3",
        os.path.join(layout.state, "state.json.tmp-4"),
        f"{layout.sums(release_id)}.tmp-4",
        layout.sums("v0-0123456789"),
        layout.health_file("v0-0123456789"),
        os.path.join(layout.release(release_id), "release.json.tmp-4"),
        f"{layout.template_unit}.tmp-5",
    ]
    kept = [
        os.path.join(layout.unit_root, "workshop@.service.tmp-1"),
        os.path.join(layout.root, "notes.tmp-1"),
        os.path.join(layout.releases, "mine.tmp-1"),
    ]
    os.makedirs(stray[0] + "/bin")
    for path in stray[1:3]:
        os.symlink("x", path)
    for path in stray[3:] + kept:
        with open(path, "w", encoding="utf-8"):
            pass
    stage.collect_leftovers(layout)
    assert not any(os.path.lexists(path) for path in stray)
    assert all(os.path.lexists(path) for path in kept)
    assert whole(host, release_id)


def test_collecting_on_a_bare_host(host):
    stage.collect_leftovers(host.layout)


@pytest.mark.parametrize("damage", [os.unlink, lambda path: os.truncate(path, 1)], ids=["gone", "truncated"])
def test_a_damaged_release_is_staged_anew(host, damage):
    release_id = put(host)
    damage(host.layout.binary(release_id))
    assert not stage.is_staged(host.layout, release_id, stage.content(host.spec("v1"), host.layout))
    put(host)
    assert whole(host, release_id)


def test_a_release_that_is_staged_anew_is_never_half_there(host, monkeypatch):
    """It may be the one that runs: a restart of it meets the old files, none, or the new ones."""
    release_id = put(host)
    release = host.layout.release(release_id)
    parts = len(tree(release))
    seen = set()
    effect = host.faults.effect

    def watched(*arguments, **options):
        done = effect(*arguments, **options)
        seen.add(len(tree(release)) if os.path.isdir(release) else 0)
        return done

    monkeypatch.setattr(host.faults, "effect", watched)
    put(host)
    assert seen == {parts, 0}


def test_environment_of_host_and_release_do_not_run_together(host):
    with open(os.path.join(host.layout.config, "environment"), "w", encoding="utf-8") as stream:
        stream.write("# by hand\nSHARED=yes")
    release_id = put(host)
    assert EnvironmentFile(text(host, release_id, "environment")).found == {"SHARED": "yes", "OWN": "v1"}


def test_without_any_environment(host):
    os.unlink(os.path.join(host.layout.config, "environment"))
    assert text(host, put(host, environment={}), "environment") == ""


def test_configuration_is_copied_with_its_folders_and_without_links(host):
    folder = os.path.join(host.layout.config, "config")
    os.makedirs(os.path.join(folder, "tls"))
    with open(os.path.join(folder, "tls", "cert.pem"), "w", encoding="utf-8") as stream:
        stream.write("cert")
    os.symlink("/etc/shadow", os.path.join(folder, "stolen"))
    os.symlink("/etc", os.path.join(folder, "all"))
    release_id = put(host)
    assert set(tree(os.path.join(host.layout.release(release_id), "config"))) == {"shop.toml", "tls", "tls/cert.pem"}
    assert text(host, release_id, "config/tls/cert.pem") == "cert"


def test_configuration_can_be_read_whatever_the_umask(host):
    folder = os.path.join(host.layout.config, "config", "a", "b", "c")
    os.makedirs(folder)
    with open(os.path.join(folder, "x.toml"), "w", encoding="utf-8") as stream:
        stream.write("x")
    umask = os.umask(0o077)
    try:
        release_id = put(host)
    finally:
        os.umask(umask)
    found = tree(os.path.join(host.layout.release(release_id), "config"))
    assert {found[name] for name in ("a", "a/b", "a/b/c")} == {0o750}


def packed(host, *files):
    """An artefact with the service's binary and these (name, content, mode)."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tape:
        for name, content, mode in (("shop", b"the binary of v1\n", 0o755), *files):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tape.addfile(info, io.BytesIO(content))
    path = os.path.join(host.folder, "artefacts", "v1.tar.gz")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(made.getvalue())
    return Artefact(hashlib.sha256(made.getvalue()).hexdigest(), 99, path=path, origin={"source": "here"})


ASSETS = (("static/a.css", b"body", 0o666), ("static/deep/er/b.js", b"", 0o600), ("tool", b"#!", 0o700))


def test_an_archive_is_staged_as_a_binary_and_its_assets(host):
    umask = os.umask(0o077)
    try:
        release_id = put(host, artefact=packed(host, *ASSETS))
    finally:
        os.umask(umask)
    assert whole(host, release_id)
    found = tree(host.layout.release(release_id))
    assert {name: mode for name, mode in found.items() if name.startswith("assets")} == {
        "assets": 0o750,
        "assets/static": 0o750,
        "assets/static/a.css": 0o640,
        "assets/static/deep": 0o750,
        "assets/static/deep/er": 0o750,
        "assets/static/deep/er/b.js": 0o640,
        "assets/tool": 0o750,
    }
    assert text(host, release_id, "assets/static/a.css") == "body"
    assert host.layout.manifest(release_id)["origin"] == {"source": "here"}


def test_an_archive_with_nothing_but_the_binary_has_no_assets(host):
    release_id = put(host, artefact=packed(host))
    assert not os.path.exists(os.path.join(host.layout.release(release_id), "assets"))


@pytest.mark.parametrize("how", ["gone", "changed"])
@pytest.mark.parametrize("name", ["bin/shop", "assets/static/a.css", "assets/tool"])
def test_a_damaged_asset_is_staged_anew(host, name, how):
    artefact = packed(host, *ASSETS)
    release_id = put(host, artefact=artefact)
    content = stage.content(host.spec("v1", artefact=artefact), host.layout)
    assert stage.is_staged(host.layout, release_id, content)
    path = os.path.join(host.layout.release(release_id), name)
    os.unlink(path)
    if how == "changed":
        with open(path, "w", encoding="utf-8") as stream:
            stream.write("changed")
    assert not stage.is_staged(host.layout, release_id, content)


def emptied(path):
    os.truncate(path, 0)


def added(path):
    with open(os.path.join(os.path.dirname(path), "added"), "w", encoding="utf-8") as stream:
        stream.write("more")


@pytest.mark.parametrize("damage", [os.unlink, emptied, added])
@pytest.mark.parametrize(
    "name", ["environment", "config/shop.toml", "credentials/password", "units/shop@.service", "units/shop.socket"]
)
def test_damaged_configuration_is_staged_anew(host, name, damage):
    """A release that somebody has tidied up by hand would serve without it."""
    give_credential(host, "hunter22")
    release_id = put(host)
    content = stage.content(host.spec("v1"), host.layout)
    assert stage.is_staged(host.layout, release_id, content)
    damage(os.path.join(host.layout.release(release_id), name))
    assert not stage.is_staged(host.layout, release_id, content)
    put(host)
    assert whole(host, release_id)
    assert stage.is_staged(host.layout, release_id, content)


def test_a_release_without_environment_and_configuration_is_staged(host):
    os.unlink(os.path.join(host.layout.config, "environment"))
    os.unlink(os.path.join(host.layout.config, "config", "shop.toml"))
    release_id = put(host, environment={})
    content = stage.content(host.spec("v1", environment={}), host.layout)
    assert stage.is_staged(host.layout, release_id, content)
    os.unlink(os.path.join(host.layout.release(release_id), "environment"))
    assert not stage.is_staged(host.layout, release_id, content)


@pytest.mark.parametrize("name", ["config/shop.toml", "credentials/password", "units/shop@.service", "config/late"])
def test_configuration_that_changes_while_it_is_copied_is_refused(host, name):
    give_credential(host, "hunter22")
    content = stage.content(host.spec("v1"), host.layout)
    with open(os.path.join(host.layout.config, name), "w", encoding="utf-8") as stream:
        stream.write("changed")
    with pytest.raises(SlipwayError) as caught:
        stage.stage(host.spec("v1"), host.layout, content.release_id(), content)
    assert caught.value.code == "config_changed"
    assert host.layout.config in str(caught.value)
    assert "run again" in caught.value.fix
    assert (host.layout.staged(), host.leftovers()) == ([], [])


def test_an_archive_that_arrived_changed_is_refused(host):
    artefact = packed(host, *ASSETS)
    with pytest.raises(SlipwayError) as caught:
        put(host, artefact=replace(artefact, sha256="0" * 64))
    assert caught.value.code == "wrong_checksum"
    assert artefact.sha256 in str(caught.value)
    assert (host.layout.staged(), host.leftovers()) == ([], [])


def test_who_vouches_for_a_release_is_noted_without_a_new_release(host):
    release_id = put(host)
    before = host.layout.manifest(release_id)
    stage.note_origin(host.layout, release_id, {"signer": "somebody"})
    assert host.layout.manifest(release_id) == {**before, "origin": {"signer": "somebody"}}
    assert tree(host.layout.release(release_id))["release.json"] == 0o640


def test_it_is_looked_at_by_the_content_alone(host):
    """Where and how it is rehearsed is no part of a release."""
    one = stage.content(host.spec("v1"), host.layout)
    two = stage.content(host.spec("v1", rehearsal=REHEARSAL_PORT, listen=["1"], force=True), host.layout)
    assert one.release_id() == two.release_id()


def test_prune_takes_the_oldest_first(host):
    ids = [put(host, f"v{number}") for number in range(5)]
    assert stage.prune(host.layout, 3, set()) == ids[:2]
    assert host.layout.staged() == ids[2:]
    assert stage.prune(host.layout, 3, set()) == []


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_prune_never_takes_a_protected_one(host, keep):
    ids = [put(host, f"v{number}") for number in range(4)]
    protect = {ids[0], ids[2]}
    gone = stage.prune(host.layout, keep, protect)
    assert protect <= set(host.layout.staged())
    assert gone == [ids[1], ids[3]][: max(4 - keep, 0)]


def test_a_prune_that_is_cut_short_leaves_no_half_release(memory, monkeypatch):
    start = Host(f"{memory}/start").install(monkeypatch)
    ids = [put(start, f"v{number}") for number in range(3)]
    count = start.copy(f"{memory}/count").install(monkeypatch)
    stage.prune(count.layout, 2, set())
    parts = len(tree(start.layout.release(ids[0])))
    assert len(count.faults.seen) > parts
    for how in ("kill", "fail"):
        for at, step in enumerate(count.faults.seen):
            host = start.copy(f"{memory}/{how}{at}").install(monkeypatch)
            host.faults = Faults(how, at)
            ended = "ok"
            try:
                gone = stage.prune(host.layout, 2, set())
            except Killed:
                ended, gone = "killed", None
            assert (ended == "killed") == (how == "kill"), step
            left = host.layout.staged()
            assert left in (ids, ids[1:]), step
            assert gone is None or gone == [i for i in ids if i not in left], step
            assert all(len(tree(host.layout.release(i))) == parts for i in left), step


def test_new_files_get_their_label_where_selinux_is_on(host, monkeypatch, tmp_path):
    commands = []
    tool = tmp_path / "restorecon"
    tool.write_text("")
    monkeypatch.setattr(stage, "_RESTORECON", (str(tmp_path / "nothing"), str(tool)))

    def run(argv, _seconds):
        commands.append(argv)
        return command.Finished(argv, 0)

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(stage, "_SELINUX", str(tmp_path / "off"))
    release_id = put(host)
    assert commands == []
    monkeypatch.setattr(stage, "_SELINUX", str(tool))
    put(host)
    assert commands == [[str(tool), "-R", host.layout.release(release_id)]]


def test_units_that_are_not_there_are_no_part_of_it(host):
    os.unlink(os.path.join(host.layout.units, "shop.socket"))
    assert set(stage.content(host.spec("v1"), host.layout).units) == {"shop@.service", "shop-guard.service"}


def test_without_the_unit_that_it_runs_in_there_is_no_release(host):
    os.unlink(os.path.join(host.layout.units, "shop@.service"))
    with pytest.raises(SlipwayError, match=r"has no shop@\.service") as caught:
        stage.require_units(host.layout)
    assert (caught.value.code, "slipway.go.service" in caught.value.fix) == ("no_units", True)


def test_a_release_with_another_binary_is_not_staged(host):
    release_id = put(host)
    content = stage.content(host.spec("v1"), host.layout)
    assert not stage.is_staged(host.layout, release_id, replace(content, artefact_sha256="0" * 64))


def give_credential(host, content, mode=0o600, name="password"):
    folder = os.path.join(host.layout.config, "credentials")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(content)
    os.chmod(path, mode)


@pytest.mark.parametrize(("mode", "folder_mode"), [(0o600, 0o700), (0o640, 0o750)])
def test_credentials_are_copied_for_those_who_may_read_them(host, mode, folder_mode):
    give_credential(host, "hunter22\n", mode)
    release_id = put(host)
    assert text(host, release_id, "credentials/password") == "hunter22\n"
    modes = tree(host.layout.release(release_id))
    assert (modes["credentials"], modes["credentials/password"]) == (folder_mode, mode)
    assert "hunter22" not in text(host, release_id, "release.json")


def test_a_new_credential_is_a_new_release_and_goes_back_with_the_binary(host):
    plain = put(host)
    give_credential(host, "hunter22")
    first = put(host)
    give_credential(host, "hunter23")
    second = put(host)
    assert len({plain, first, second}) == 3
    assert text(host, first, "credentials/password") == "hunter22"
    assert "credentials" not in tree(host.layout.release(plain))


def test_what_no_message_may_show(host):
    give_credential(host, "-----BEGIN KEY-----\nabcdef\n")
    assert {"yes", "v1", "abcdef", "-----BEGIN KEY-----\nabcdef"} <= set(stage.secrets(host.layout, put(host)))


def test_an_environment_that_is_not_utf_8_is_named(host):
    """Systemd would refuse the value, and so the start of every release with it."""
    path = os.path.join(host.layout.config, "environment")
    with open(path, "ab") as stream:
        stream.write(b'# by hand\nNAME="J\xfcrgen"\n')
    with pytest.raises(SlipwayError) as caught:
        stage.content(host.spec("v1"), host.layout)
    assert caught.value.code == "not_utf8"
    assert f"{path} is not UTF-8 in line 3" in str(caught.value)
    assert "UTF-8" in caught.value.fix


def test_a_binary_credential_arrives_and_is_not_shown(host):
    secret = bytes(range(128, 160))
    give_credential(host, "")
    with open(os.path.join(host.layout.config, "credentials", "password"), "wb") as stream:
        stream.write(b"\x30\x82" + secret + b"\nhunter22\n")
    release_id = put(host)
    with open(os.path.join(host.layout.release(release_id), "credentials", "password"), "rb") as stream:
        assert stream.read() == b"\x30\x82" + secret + b"\nhunter22\n"
    said = (b"I have read 0\x82" + secret + b" and hunter22").decode(errors="replace")
    assert masked(said, stage.secrets(host.layout, release_id)) == f"I have read {MASK} and {MASK}"


def test_a_damaged_environment_can_be_looked_at(host):
    release_id = put(host)
    with open(os.path.join(host.layout.release(release_id), "environment"), "wb") as stream:
        stream.write(b'NAME="J\xfcrgen"\n')
    assert "rgen" in stage.environment(host.layout, release_id)
    assert any("rgen" in secret for secret in stage.secrets(host.layout, release_id))

from __future__ import annotations

import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import Reason
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.deadman.host import left_behind, plan


def test_revert_restores_content_mode_and_absence(system, etc):
    config = etc / "sshd_config"
    config.write_bytes(b"old\xff")
    config.chmod(0o640)
    new = etc / "new"
    token = deadman.arm("ssh", 30, plan(config, new), system)
    config.write_text("broken")
    config.chmod(0o600)
    new.write_text("x")
    line = ending.revert("ssh", token, Reason.DEADLINE, system)
    assert config.read_bytes() == b"old\xff"
    assert config.stat().st_mode & 0o777 == 0o640
    assert not new.exists()
    assert line["restored"] == [str(config), str(new)]
    assert line["problems"] == []
    assert deadman.armed("ssh", system) is None


def test_revert_restores_trees_and_links(system, etc):
    tree = etc / "ufw"
    (tree / "sub").mkdir(parents=True)
    (tree / "user.rules").write_text("a")
    (tree / "link").symlink_to("user.rules")
    deadman.arm("firewall", 30, plan(tree), system)
    (tree / "user.rules").unlink()
    (tree / "user.rules").mkdir()
    (tree / "link").unlink()
    (tree / "extra").mkdir()
    (tree / "extra" / "file").write_text("x")
    (tree / "sub").rmdir()
    ending.revert("firewall", system=system)
    assert sorted(p.name for p in tree.iterdir()) == ["link", "sub", "user.rules"]
    assert (tree / "user.rules").read_text() == "a"
    assert os.readlink(tree / "link") == "user.rules"


def test_untouched_files_are_not_written_again(system, etc):
    config = etc / "c"
    config.write_text("same")
    deadman.arm("x", 30, plan(config), system)
    inode = config.stat().st_ino
    assert ending.revert("x", system=system)["restored"] == []
    assert config.stat().st_ino == inode


@pytest.mark.parametrize("before", ["old", None])
def test_a_link_that_a_user_puts_in_the_way_is_not_followed(system, home, etc, before):
    """The revert runs as root: it must not write or remove root's keys because a user's directory became a link."""
    keys, roots = home / ".ssh" / "authorized_keys", etc / "authorized_keys"
    roots.write_text("root's")
    if before:
        keys.write_text(before)
    deadman.arm("access", 30, plan(keys), system)
    (home / ".ssh").rename(home / "away")
    (home / ".ssh").symlink_to(etc)
    line = ending.revert("access", system=system)
    assert roots.read_text() == "root's"
    assert line["restored"] == []
    assert line["problems"] == [f"{keys}: .ssh is a link in a directory that is not root's alone"]
    assert deadman.armed("access", system) is None, "a user could keep every later change from being made"


def test_a_file_that_a_user_puts_in_the_way_of_a_folder_keeps_nothing_armed(system, home):
    keys = home / ".ssh" / "authorized_keys"
    keys.write_text("old")
    deadman.arm("access", 30, plan(keys), system)
    keys.unlink()
    (home / ".ssh").rmdir()
    (home / ".ssh").write_text("")
    line = ending.revert("access", system=system)
    assert line["problems"] == [f"{keys}: .ssh is no directory in a directory that is not root's alone"]
    assert deadman.armed("access", system) is None


def test_the_other_paths_are_restored_where_one_is_unsafe(system, home, etc):
    config = etc / "sudoers"
    config.write_text("old")
    deadman.arm("access", 30, plan(home / ".ssh" / "authorized_keys", config), system)
    config.write_text("new")
    (home / ".ssh").rmdir()
    (home / ".ssh").symlink_to(etc)
    assert ending.revert("access", system=system)["restored"] == [str(config)]
    assert config.read_text() == "old"


def test_what_leads_through_a_user_s_link_is_not_armed(system, home, etc):
    (home / "link").symlink_to(etc)
    with pytest.raises(SlipwayError) as raised:
        deadman.arm("access", 30, plan(home / "link" / "shadow"), system)
    assert raised.value.code == "bent_path"
    assert raised.value.fix == "replace link by a directory"
    assert left_behind(system) == []


def test_a_directory_that_became_a_link_is_replaced_and_what_it_leads_to_is_left(system, home, etc):
    (etc / "kept").write_text("x")
    deadman.arm("access", 30, plan(home / ".ssh"), system)
    (home / ".ssh").rmdir()
    (home / ".ssh").symlink_to(etc)
    ending.revert("access", system=system)
    assert (etc / "kept").read_text() == "x"
    assert not (home / ".ssh").is_symlink()
    assert (home / ".ssh").is_dir()


def test_links_of_the_system_are_followed(system, etc, tmp_path):
    (tmp_path / "to").symlink_to("etc/../etc")
    (tmp_path / "from").symlink_to(tmp_path / "to")
    deadman.arm("x", 30, plan(tmp_path / "from" / "c"), system)
    (etc / "c").write_text("new")
    assert ending.revert("x", system=system)["restored"] == [str(tmp_path / "from" / "c")]
    assert not (etc / "c").exists()


def test_links_in_a_circle_are_refused(system, tmp_path):
    (tmp_path / "a").symlink_to("a")
    with pytest.raises(SlipwayError):
        deadman.arm("x", 30, plan(tmp_path / "a" / "c"), system)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_a_user_s_file_is_restored_as_the_user_s(system, tmp_path):
    folder = tmp_path / ".ssh"
    keys = folder / "authorized_keys"
    folder.mkdir()
    keys.write_text("old")
    for path in (folder, keys):
        os.chown(path, 65534, 65534)
    keys.chmod(0o600)
    deadman.arm("access", 30, plan(keys), system)
    keys.write_text("new")
    os.chown(keys, 0, 0)
    keys.chmod(0o644)
    assert ending.revert("access", system=system)["problems"] == []
    status = keys.stat()
    assert (keys.read_text(), status.st_uid, status.st_gid, status.st_mode & 0o777) == ("old", 65534, 65534, 0o600)

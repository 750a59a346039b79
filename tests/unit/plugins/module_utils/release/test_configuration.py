# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service's configuration is the old set or the new one, whenever the run that writes it is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import configuration, stage
from ansible_collections.slipway.go.plugins.module_utils._release.configuration import File
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Artefact, Spec

OLD = [
    File("environment", "A=1\n", secret=True),
    File("config/shop.toml", "old\n"),
    File("config/gone.toml", "gone\n"),
    File("credentials/key", "old key", 0o600, secret=True),
    File("units/shop@.service", "[Service]\n", 0o644),
]
NEW = [
    File("environment", "A=2\n", secret=True),
    File("config/shop.toml", "new\n"),
    File("config/more.toml", "", 0o640),
    File("credentials/key", "new key", 0o600, secret=True),
    File("units/shop@.service", "[Service]\nNice=1\n", 0o644),
]
ACTS = ("open", "rename", "unlink", "chmod", "fsync", "makedirs", "mkdir", "rmdir")


class Killed(BaseException):
    pass


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout("shop", str(tmp_path / "opt"), str(tmp_path / "var"), str(tmp_path / "etc"))


def release_id(layout: Layout) -> str:
    """What a release would be now: the digest over all that it takes along."""
    return stage.content(Spec("1.0", "restart", Artefact("0" * 64, 1), "shop"), layout).release_id()


def texts(layout: Layout) -> dict[str, str]:
    root = Path(layout.config)
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def write(layout: Layout, files: list[File]) -> list[str]:
    return [os.path.relpath(change.path, layout.config) for change in configuration.write(layout, files, "")]


def test_what_is_written_and_what_goes(layout: Layout) -> None:
    assert sorted(write(layout, OLD)) == sorted(file.name for file in OLD)
    assert write(layout, OLD) == []
    assert sorted(write(layout, NEW)) == sorted(["config/gone.toml", *(file.name for file in NEW)])
    assert texts(layout) == {file.name: file.content for file in NEW}
    assert write(layout, NEW) == []
    assert os.listdir(os.path.join(layout.config_root, "slipway", "next")) == [".lock"]
    for file in NEW:
        assert os.stat(os.path.join(layout.config, file.name)).st_mode & 0o7777 == file.mode


def test_nothing_is_a_set_too(layout: Layout) -> None:
    write(layout, OLD)
    assert len(write(layout, [])) == 4, "the environment is no folder's: what the role does not name stays"
    assert texts(layout) == {"environment": "A=1\n"}


def test_a_file_below_a_subfolder_is_the_operators(layout: Layout) -> None:
    write(layout, OLD)
    folder = Path(layout.config, "config", "own")
    folder.mkdir()
    (folder / "bytes").write_bytes(b"\xff\0")
    before = release_id(layout)
    write(layout, NEW)
    write(layout, OLD)
    assert (folder / "bytes").read_bytes() == b"\xff\0"
    assert release_id(layout) == before


def test_a_mode_that_somebody_has_changed_is_put_right(layout: Layout) -> None:
    write(layout, OLD)
    path = os.path.join(layout.config, "credentials", "key")
    os.chmod(path, 0o644)
    assert write(layout, OLD) == ["credentials/key"]
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_a_folder_in_the_place_of_a_file_changes_nothing(layout: Layout) -> None:
    write(layout, OLD)
    Path(layout.config, "config", "more.toml").mkdir()
    before = release_id(layout)
    with pytest.raises(SlipwayError) as caught:
        write(layout, NEW)
    assert caught.value.code == "not_a_file"
    assert release_id(layout) == before


def test_secrets_are_in_no_diff(layout: Layout) -> None:
    write(layout, OLD)
    shown = str([change.diff() for change in configuration.changes(layout, NEW)])
    assert "new\\n" in shown
    assert "key'" not in shown.replace("credentials/key'", "")
    assert "A=2" not in shown
    assert "gone\\n" not in shown, "whether it was a secret is not known any more"


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_a_run_that_is_killed_leaves_the_old_set_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """Killed before and after each call that changes something; and the next run finishes."""
    new = release_id(prepared(tmp_path / "new", OLD, NEW))
    seen, step = set(), 0
    while True:
        layout = prepared(tmp_path / str(step), *([] if first else [OLD]))
        old = release_id(layout)
        with monkeypatch.context() as patched:
            finished = killed_at(patched, step, layout)
        if finished:
            break
        for path in Path(layout.config_root).rglob("*.tmp-*"):
            path.rename(f"{path}-of-another-process")
        now = release_id(layout)
        assert now in (old, new), f"half a set after step {step}"
        seen.add(now == new)
        write(layout, NEW)
        assert release_id(layout) == new
        assert texts(layout) == {file.name: file.content for file in NEW}
        step += 1
    assert seen == {True, False}
    assert step > 40


def prepared(folder: Path, *sets: list[File]) -> Layout:
    layout = Layout("shop", str(folder / "opt"), str(folder / "var"), str(folder / "etc"))
    for files in sets:
        write(layout, files)
    return layout


def killed_at(patched: pytest.MonkeyPatch, step: int, layout: Layout) -> bool:
    """Write the new set; whether that ended before so many calls had been made."""
    left = [step]

    def counted(act):
        def wrapped(*arguments, **options):
            if left[0] < 0:
                raise Killed
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return act(*arguments, **options)

        return wrapped

    for name in ACTS:
        patched.setattr(os, name, counted(getattr(os, name)))
    try:
        write(layout, NEW)
    except Killed:
        return False
    return True

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other processes see the old file or the new one, never a part, a gap, or more than they may read."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import files


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@contextlib.contextmanager
def watching(look):
    """Call look() all the time beside the test; it has been called at least once before the test goes on."""
    seen, stop, begun, errors = [], threading.Event(), threading.Event(), []

    def loop():
        while not stop.is_set():
            try:
                seen.append(look())
            except Exception as error:
                errors.append(error)
                return
            finally:
                begun.set()

    thread = threading.Thread(target=loop)
    thread.start()
    begun.wait()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
    assert errors == []


def enough(seen):
    """Numbers, a good many of them, until the one who looks has seen a change."""
    for number in range(100_000):
        yield number
        if number > 200 and len(set(seen)) > 1:
            return
    pytest.fail("nobody looked")


def read(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def test_a_reader_sees_the_old_content_or_the_new(tmp_path):
    path = str(tmp_path / "state.json")
    sizes = {number: f"{number}" * (10000 + number) for number in range(5)}
    files.write_atomic(path, sizes[0], 0o644)
    with watching(lambda: read(path)) as seen:
        for number in enough(seen):
            files.write_atomic(path, sizes[number % 5], 0o644)
    assert set(seen) <= set(sizes.values())


def test_the_link_is_there_all_the_time(tmp_path):
    link = str(tmp_path / "current")
    files.flip_symlink(link, "releases/a")
    with watching(lambda: os.readlink(link)) as seen:
        for number in enough(seen):
            files.flip_symlink(link, f"releases/{'ab'[number % 2]}")
    assert set(seen) == {"releases/a", "releases/b"}


WRITERS = {
    "write_new": lambda path, mode: files.write_new(path, "secret", mode),
    "write_atomic": lambda path, mode: files.write_atomic(path, "secret", mode),
    "copy_hashed": lambda path, mode: files.copy_hashed(path + ".source", path, mode),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("wanted", [0o600, 0o640, 0o644, 0o750, 0o400])
def test_nobody_may_read_more_at_any_moment_than_in_the_end(tmp_path, monkeypatch, umask, writer, wanted):
    """Looked at after every call that could change a mode or a name, whatever the umask."""
    path = str(tmp_path / "file")
    with open(path + ".source", "w", encoding="utf-8") as stream:
        stream.write("secret")
    moments = []

    def look():
        found = {name: mode(tmp_path / name) for name in os.listdir(tmp_path) if not name.endswith(".source")}
        moments.append(found)

    def spied(real):
        def call(*args, **kwargs):
            look()
            done = real(*args, **kwargs)
            look()
            return done

        return call

    for name in ("open", "fdopen", "fchmod", "fchown", "chmod", "fsync", "rename", "link", "replace"):
        monkeypatch.setattr(os, name, spied(getattr(os, name)))
    WRITERS[writer](path, wanted)
    monkeypatch.undo()
    assert mode(path) == wanted
    written = [bits for found in moments for bits in found.values()]
    assert len(written) > 3
    assert all(bits & ~(wanted | 0o600) == 0 for bits in written), [oct(bits) for bits in written]


@pytest.mark.parametrize("wanted", [0o700, 0o750, 0o755])
def test_a_directory_has_its_mode_whatever_the_umask(tmp_path, umask, wanted):
    path = tmp_path / "state"
    files.make_directory(str(path), wanted)
    assert mode(path) == wanted
    path.chmod(0o777)
    files.make_directory(str(path), wanted)
    assert mode(path) == wanted


def test_a_directory_is_never_wider_than_asked(tmp_path, monkeypatch):
    before = os.umask(0)
    try:
        monkeypatch.setattr(os, "chmod", lambda *_: pytest.fail("it was wider, and corrected afterwards"))
        files.make_directory(str(tmp_path / "state"), 0o750)
    finally:
        os.umask(before)
    assert mode(tmp_path / "state") == 0o750


@pytest.mark.parametrize("make", [lambda p: p.write_text("x"), lambda p: p.symlink_to("/")], ids=["file", "link"])
def test_what_is_no_directory_is_not_taken_for_one(tmp_path, make):
    make(tmp_path / "state")
    with pytest.raises(OSError, match="state"):
        files.make_directory(str(tmp_path / "state"), 0o755)


def test_a_new_file_is_new(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(FileExistsError):
        files.write_new(str(path), "new", 0o644)
    assert path.read_text() == "old"


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_link_that_lies_in_the_way_is_not_followed(tmp_path, write):
    """Somebody who may write here must not make root write elsewhere."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = tmp_path / "file"
    (tmp_path / "file.source").write_text("secret")
    for name in ("file", f"file.tmp-{os.getpid()}"):
        (tmp_path / name).symlink_to(victim)
    with contextlib.suppress(FileExistsError):
        write(str(path), 0o644)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("size", [0, 1, files.CHUNK - 1, files.CHUNK, files.CHUNK + 1, 3 * files.CHUNK + 7])
def test_the_hash_is_that_of_what_was_written(tmp_path, size):
    data = (b"slipway" * (size // 7 + 1))[:size]
    (tmp_path / "source").write_bytes(data)
    digest = files.copy_hashed(str(tmp_path / "source"), str(tmp_path / "copy"), 0o750)
    assert (tmp_path / "copy").read_bytes() == data
    assert digest == hashlib.sha256(data).hexdigest() == files.sha256_file(str(tmp_path / "copy"))
    assert mode(tmp_path / "copy") == 0o750


@pytest.mark.parametrize(
    ("what", "broken"),
    [
        *(("write_atomic", step) for step in ("fdopen", "fchmod", "fsync", "rename")),
        *(("flip_symlink", step) for step in ("symlink", "rename", "fsync")),
    ],
)
def test_a_failure_leaves_the_old_and_nothing_else(tmp_path, monkeypatch, what, broken):
    path = tmp_path / "name"
    act = {
        "write_atomic": lambda text: files.write_atomic(str(path), text, 0o644),
        "flip_symlink": lambda text: files.flip_symlink(str(path), text),
    }[what]
    act("old")

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, full)
    with pytest.raises(OSError, match="No space left"):
        act("new")
    monkeypatch.undo()
    # A sync that fails after the rename is the one failure that comes too late to keep the old.
    late = (what, broken) == ("flip_symlink", "fsync")
    now = os.readlink(path) if what == "flip_symlink" else path.read_text()
    assert now == ("new" if late else "old")
    assert [entry.name for entry in tmp_path.iterdir()] == ["name"], "what it had begun is still there"


def test_names_of_links(tmp_path):
    link = str(tmp_path / "current")
    assert files.link_name(link) is None
    files.flip_symlink(link, "releases/1.0-0123456789")
    assert files.link_name(link) == "1.0-0123456789"
    files.remove_link(link)
    files.remove_link(link)
    assert files.link_name(link) is None
    (tmp_path / "file").write_text("x")
    assert files.link_name(str(tmp_path / "file")) is None


def test_a_write_is_synced_before_it_gets_its_name_and_the_name_after(tmp_path, monkeypatch):
    steps = []
    fsync, rename = os.fsync, os.rename

    def spied_fsync(descriptor):
        steps.append("fsync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        fsync(descriptor)

    def spied_rename(source, target):
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", spied_fsync)
    monkeypatch.setattr(os, "rename", spied_rename)
    files.write_atomic(str(tmp_path / "a"), "x", 0o644)
    assert steps == ["fsync file", "rename", "fsync directory"]
    steps.clear()
    files.flip_symlink(str(tmp_path / "b"), "x")
    assert steps == ["rename", "fsync directory"]


def test_group(tmp_path):
    gid = os.getgid()
    files.write_new(str(tmp_path / "a"), "x", 0o640, gid)
    files.make_directory(str(tmp_path / "b"), 0o750, gid)
    assert (tmp_path / "a").stat().st_gid == (tmp_path / "b").stat().st_gid == gid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to a group it is not in")
def test_another_group(tmp_path):
    files.write_new(str(tmp_path / "a"), "x", 0o640, 12345)
    files.make_directory(str(tmp_path / "b"), 0o750, 12345)
    assert (tmp_path / "a").stat().st_gid == (tmp_path / "b").stat().st_gid == 12345


def test_removing_what_is_not_there(tmp_path):
    files.remove_tree(str(tmp_path / "nothing"))


def test_the_text_of_an_own_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"caf\xc3\xa9 \xff\n")
    assert files.own_text(str(path)) == "café \ufffd\n"
    assert files.own_text(str(tmp_path / "nothing")) == ""


PLANTS = {"symlink": os.symlink, "link": os.link, "pipe": lambda _secret, path: os.mkfifo(path)}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_what_is_no_file_of_its_own_has_no_text(tmp_path, plant):
    (tmp_path / "secret").write_text("secret")
    plant(tmp_path / "secret", tmp_path / "a")
    assert files.own_text(str(tmp_path / "a")) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_file_of_another_user_has_no_text(tmp_path):
    (tmp_path / "a").write_text("theirs")
    os.chown(tmp_path / "a", 12345, -1)
    assert files.own_text(str(tmp_path / "a")) == ""

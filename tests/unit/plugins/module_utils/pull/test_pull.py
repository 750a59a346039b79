"""What a host takes of a repository that others can write to, and what it refuses."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import command
from ansible_collections.slipway.go.plugins.module_utils._pull import repository
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.pull.remote import (
    ALICE,
    MALLORY,
    Puller,
    Remote,
    make_keys,
)
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def remote(memory: Path, keys: dict[str, Path]) -> Remote:
    return Remote(memory, keys)


@pytest.fixture
def host(memory: Path, remote: Remote) -> Puller:
    return Puller(memory, remote)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder whose files are written through to no disk."""
    within = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(prefix="pull-", dir=within) as folder:
        yield Path(folder)


def test_a_signed_commit_is_applied_again_and_again(host: Puller, remote: Remote) -> None:
    first = remote.commit(**{"local.yml": "one"})
    host.pull()
    host.pull()
    second = remote.commit(**{"local.yml": "two"})
    host.pull()
    assert host.applied == ["one", "one", "two"]
    assert host.said[0] == (f"main is at {first[:12]}, signed by {ALICE}: running local.yml of {first[:12]} on web1")
    assert host.said[-1] == f"{second[:12]} is applied"


def test_ansible_runs_on_this_host_alone(host: Puller, remote: Remote) -> None:
    commit = remote.commit()
    host.pull(environment={"https_proxy": "http://proxy:3128", **host.settings.environment})
    (run,) = host.runs
    own = host.place.own_inventory
    assert run["argv"][1:] == ["-i", "inventory", "-i", own, "--limit", "web1", "--", "local.yml"]
    told = json.loads(Path(own).read_text())["all"]["hosts"]
    assert {name: given["ansible_connection"] for name, given in told.items()} == {"web1": "local"}
    assert run["variables"]["https_proxy"] == "http://proxy:3128"
    assert run["variables"]["SLIPWAY_PULL_SIGNER"] == ALICE
    assert run["variables"]["SLIPWAY_PULL_JOB"] == f"pull of {commit[:12]} of main"


@pytest.mark.parametrize("signer", [MALLORY, "nobody"])
def test_what_nobody_trusted_has_signed_is_neither_run_nor_written(host: Puller, remote: Remote, signer: str) -> None:
    remote.commit(**{"local.yml": "one"})
    host.pull()
    commit = remote.commit(signer, **{"local.yml": "evil"})
    for _turn in range(2):
        error = refused(host.pull, "pull_not_signed")
        assert commit[:12] in error.message
        assert "No principal matched" in error.message or "it is not signed" in error.message
    assert host.applied == ["one"]
    assert Path(host.place.checkout, "local.yml").read_text() == "one"


def test_a_signature_for_something_else_is_none(host: Puller, remote: Remote) -> None:
    remote.signers.write_text(f'{ALICE} namespaces="file" {remote.public(ALICE)}')
    remote.commit()
    refused(host.pull, "pull_not_signed")


def test_a_commit_that_was_changed_after_it_was_signed(host: Puller, remote: Remote) -> None:
    remote.commit()
    signed = remote.git("cat-file", "commit", "HEAD")
    done = subprocess.run(
        ["git", "-C", str(remote.path), "hash-object", "-t", "commit", "-w", "--stdin"],
        input=signed.replace("\n\nx", "\n\ny") + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    remote.git("reset", "--quiet", "--hard", done.stdout.strip())
    refused(host.pull, "pull_not_signed")


def test_an_older_commit_is_refused_although_it_is_signed(host: Puller, remote: Remote) -> None:
    older, newer = remote.commit(**{"local.yml": "one"}), remote.commit(**{"local.yml": "two"})
    host.pull()
    remote.git("reset", "--quiet", "--hard", older)
    error = refused(host.pull, "pull_replayed")
    assert older[:12] in error.message
    assert newer[:12] in error.message
    assert host.applied == ["two"]


def test_an_older_commit_is_refused_also_after_the_copy_is_lost(host: Puller, remote: Remote) -> None:
    older = remote.commit()
    remote.commit()
    host.pull()
    shutil.rmtree(host.place.repository)
    remote.git("reset", "--quiet", "--hard", older)
    refused(host.pull, "pull_replayed")


def test_a_way_back_is_a_new_commit(host: Puller, remote: Remote) -> None:
    for text in ("one", "two", "one"):
        remote.commit(**{"local.yml": text})
        host.pull()
    assert host.applied == ["one", "two", "one"]


def test_a_new_host_wants_a_commit_at_least(host: Puller, remote: Remote) -> None:
    older, newer = remote.commit(), remote.commit()
    host.pull(at_least=older)
    remote.git("reset", "--quiet", "--hard", older)
    Path(host.place.accepted).unlink()
    assert newer[:12] in refused(lambda: host.pull(at_least=newer), "pull_replayed").message


def test_what_was_begun_is_remembered_before_it_runs(host: Puller, remote: Remote) -> None:
    older, newer = remote.commit(), remote.commit(**{"local.yml": "two"})
    host.ends_with = 2
    error = refused(host.pull, "pull_failed")
    assert error.message == f"local.yml of {newer[:12]} ended with 2."
    remote.git("reset", "--quiet", "--hard", older)
    refused(host.pull, "pull_replayed")
    remote.git("reset", "--quiet", "--hard", newer)
    host.ends_with = 0
    host.pull()
    assert host.applied == ["two", "two"]


def test_check_mode_remembers_nothing(host: Puller, remote: Remote) -> None:
    remote.commit()
    host.pull(check=True)
    assert "--check" in host.runs[0]["argv"]
    assert not Path(host.place.accepted).exists()
    assert host.said[-1].endswith(" is checked")


def test_a_damaged_memory_is_not_taken_for_none(host: Puller, remote: Remote) -> None:
    remote.commit()
    host.pull()
    Path(host.place.accepted).write_text('{"head": 7')
    error = refused(host.pull, "invalid_pull_settings")
    assert host.place.accepted in error.fix


def test_a_repository_that_cannot_be_reached(host: Puller, remote: Remote) -> None:
    remote.commit()
    host.pull()
    remote.path.rename(remote.path.with_name("away"))
    error = refused(host.pull, "pull_not_fetched")
    assert str(remote.path) in error.message
    assert len(host.runs) == 1


@pytest.mark.parametrize("text", ["one", "two"])
def test_a_copy_that_is_damaged_is_made_anew(host: Puller, remote: Remote, text: str) -> None:
    """Whether there is something to fetch or not."""
    remote.commit(**{"local.yml": "one"})
    host.pull()
    for path in Path(host.place.repository, "objects").glob("*/*"):
        path.chmod(0o600)
        path.write_bytes(b"")
    Path(host.place.repository, "packed-refs.lock").touch()
    if text == "two":
        remote.commit(**{"local.yml": text})
    host.pull()
    assert host.applied == ["one", text]


def empty(host: Puller, *names: str) -> list[Path]:
    """What a power cut leaves of objects of the copy: files of these names without content."""
    paths = [Path(host.place.repository, "objects", name[:2], name[2:]) for name in names]
    for path in paths:
        path.chmod(0o600)
        path.write_bytes(b"")
    return paths


@pytest.mark.parametrize("what", ["HEAD:local.yml", "HEAD^{tree}", "HEAD"])
@pytest.mark.parametrize("text", ["one", "two"])
def test_one_object_that_is_damaged_is_fetched_anew(host: Puller, remote: Remote, text: str, what: str) -> None:
    """Also where git can still fetch."""
    remote.commit(**{"local.yml": "one"})
    host.pull()
    empty(host, remote.git("rev-parse", what))
    if text == "two":
        remote.commit(other=text)
    host.pull()
    assert host.applied == ["one", "one"]
    assert not repository.Repository(host.place.repository).is_damaged()


def test_a_damaged_number_of_a_wave_is_fetched_anew(host: Puller, remote: Remote) -> None:
    remote.commit(wave="2\n", **{"local.yml": "one"})
    host.pull(wave=2)
    remote.commit(wave="1\n")
    empty(host, remote.git("rev-parse", "HEAD~1:wave"))
    Path(host.place.accepted).unlink()
    host.pull(wave=2)
    assert host.applied == ["one", "one"]


def test_a_sound_copy_is_kept(host: Puller, remote: Remote) -> None:
    remote.commit()
    host.pull()
    kept = Path(host.place.repository, "kept")
    kept.touch()
    remote.commit("nobody")
    refused(host.pull, "pull_not_signed")
    assert kept.exists()


def test_what_cannot_be_read_is_told_in_a_sentence(host: Puller, remote: Remote) -> None:
    commit = remote.commit()
    host.pull()
    (path,) = empty(host, remote.git("rev-parse", "HEAD:local.yml"))
    copy = repository.Repository(host.place.repository)
    error = refused(lambda: copy.export(commit, host.place.checkout), "command_failed")
    assert error.message.startswith(f"git could not read the files of commit {commit[:12]}: error: ")
    assert path.name in error.message
    assert "core.hooksPath" not in str(error)


def test_a_git_that_hangs_is_told_in_a_sentence(host: Puller, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.commit()
    monkeypatch.setattr(repository, "_FETCH_SECONDS", 0.0)
    assert refused(host.pull, "command_timeout").message == "git did not end within 0 s."


def test_no_message_tells_what_may_be_secret(host: Puller) -> None:
    error = refused(lambda: host.pull(repository="nowhere://token@host/o/r.git?access_token=x"), "pull_not_fetched")
    assert "branch main of nowhere://host/o/r.git could not be fetched" in error.message
    assert "token" not in str(error)


def test_one_pull_at_a_time_also_while_ansible_goes_on(host: Puller, remote: Remote) -> None:
    remote.commit()
    host.pull()
    with open(host.place.lock) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(host.pull, "pull_in_use")


def test_the_lock_is_handed_to_ansible(tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w") as lock:
        code = f"import os, sys; os.fstat({lock.fileno()}); sys.exit(3)"
        assert command.attend([sys.executable, "-c", code], str(tmp_path), {}, lock.fileno()) == 3


def test_an_ansible_that_is_not_there(tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w") as lock:
        run = functools.partial(command.attend, ["/nowhere/ansible-playbook"], str(tmp_path), {}, lock.fileno())
        refused(run, "no_program", "ansible-core")


def test_a_host_that_the_inventory_does_not_have(host: Puller, remote: Remote) -> None:
    remote.commit()
    host.knows_host(False)
    error = refused(host.pull, "pull_unknown_host")
    assert "web1" in error.message
    assert "no such host" in error.message
    assert host.runs == []


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "shop", "all", "web", "@shop"])
def test_what_ansible_takes_for_a_host_and_is_none(host: Puller, remote: Remote, name: str) -> None:
    """Only what a real ansible-inventory lists, also where this host cannot decrypt what is of another one."""
    (remote.path / "host_vars").mkdir()
    (remote.path / "host_vars" / "web0.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    inventory = {"all": {"hosts": {"web0": {}}, "children": {"shop": {"hosts": {"web1": {}}}}}}
    commit = remote.commit(inventory=json.dumps(inventory))
    host.inventory.unlink()
    host.inventory.write_text(f'#!/bin/sh\nexec {sys.executable} -m ansible.cli.inventory "$@"\n')
    host.inventory.chmod(0o755)
    error = refused(lambda: host.pull(host=name), "pull_unknown_host")
    assert error.message == f"inventory of {commit[:12]} has no host {name}."
    assert host.runs == []
    host.pull(host="web1")
    assert len(host.runs) == 1


def test_a_wave_takes_what_is_for_it(host: Puller, remote: Remote) -> None:
    remote.commit(wave="3\n", **{"local.yml": "one"})
    remote.commit(wave="1\n", **{"local.yml": "two"})
    for wave in (1, 2, 3):
        Path(host.place.accepted).unlink(missing_ok=True)
        host.pull(wave=wave)
    assert host.applied == ["two", "one", "one"]
    remote.commit(wave="2\n")
    host.pull(wave=3)
    host.pull(wave=2)
    assert host.applied[3:] == ["one", "two"]


def test_a_wave_that_has_nothing_yet(host: Puller, remote: Remote) -> None:
    remote.commit(wave="1\n")
    host.pull(wave=2)
    assert host.runs == []
    assert host.said[-1].endswith("; no commit of it is for wave 2 so far, and nothing was run")


def test_a_host_that_moves_to_a_later_wave_keeps_what_it_has(host: Puller, remote: Remote) -> None:
    remote.commit(wave="3\n", **{"local.yml": "one"})
    remote.commit(wave="1\n", **{"local.yml": "two"})
    host.pull(wave=1)
    host.pull(wave=3)
    assert host.applied == ["two", "two"]


def test_a_branch_without_waves_is_refused_by_a_host_with_one(host: Puller, remote: Remote) -> None:
    remote.commit()
    error = refused(lambda: host.pull(wave=1), "pull_no_wave")
    assert "file wave" in error.message


def test_the_commit_of_a_wave_is_signed_itself(host: Puller, remote: Remote) -> None:
    """Whoever signs a later commit has not looked at all before it."""
    unsigned = remote.commit("nobody", wave="2\n")
    remote.commit(wave="1\n")
    assert unsigned[:12] in refused(lambda: host.pull(wave=2), "pull_not_signed").message
    assert host.runs == []


def test_a_commit_that_names_its_branch_is_refused_on_another(host: Puller, remote: Remote) -> None:
    """Whoever may push has moved main to a commit that descends from it and was signed for staging."""
    remote.commit(branch="main\n", **{"local.yml": "one"})
    host.pull()
    moved = remote.commit(branch="staging\n", **{"local.yml": "draft"})
    error = refused(host.pull, "pull_other_branch", "staging", "main")
    assert moved[:12] in error.message
    assert (host.applied, Path(host.place.checkout, "local.yml").read_text()) == (["one"], "one")
    remote.git("branch", "staging")
    host.pull(branch="staging")
    remote.commit(branch="staging\n  main  \n", **{"local.yml": "two"})
    host.pull()
    assert host.applied == ["one", "draft", "two"]


@pytest.mark.parametrize("content", ["", "\n", "mainframe\n", "refs/heads/main\n"])
def test_a_file_that_does_not_name_the_branch_is_for_another(host: Puller, remote: Remote, content: str) -> None:
    remote.commit(branch=content)
    refused(host.pull, "pull_other_branch")
    assert host.runs == []


def test_the_commit_of_a_wave_names_the_branch_itself(host: Puller, remote: Remote) -> None:
    draft = remote.commit(branch="staging\n", wave="2\n")
    remote.commit(branch="main\n", wave="1\n")
    assert draft[:12] in refused(lambda: host.pull(wave=2), "pull_other_branch").message
    assert host.runs == []


def test_links_and_folders_are_exported_as_they_are(host: Puller, remote: Remote) -> None:
    (remote.path / "roles").mkdir()
    (remote.path / "roles" / "one").write_text("x")
    (remote.path / "link").symlink_to("roles/one")
    remote.commit()
    host.pull()
    made = Path(host.place.checkout)
    assert (made / "link").read_text() == "x"
    assert made.stat().st_mode & 0o777 == 0o700
    (remote.path / "link").unlink()
    remote.commit()
    host.pull()
    assert not (made / "link").is_symlink()


def test_what_stands_where_the_number_is_wanted() -> None:
    answers = b"aa blob 2\n3\n\nbb missing\ncc tree 4\nabcd\ndd blob 0\n\n"
    assert list(repository._contents(answers)) == [b"3\n", None, None, b""]


@pytest.mark.parametrize("answer", [b"x ambiguous", b"x:wave missing", b"dangling 4", b"x submodule"])
def test_another_answer_than_a_file_is_one_line(answer: bytes) -> None:
    assert list(repository._contents(answer + b"\nbb blob 2\n3\n\n")) == [None, b"3\n"]

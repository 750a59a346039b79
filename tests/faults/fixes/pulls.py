"""Scenes of hosts that pull: a repository of git, and a stand-in for Ansible."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path

from ansible_collections.slipway.go.plugins.module_utils._pull import settings
from ansible_collections.slipway.go.plugins.module_utils._pull.repository import Repository
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.pull.remote import (
    MALLORY,
    Puller,
    Remote,
    make_keys,
)

SCENES = Scenes()


def met(stage: Stage) -> tuple[Puller, Remote]:
    """A host and its repository, with one commit."""
    remote = Remote(stage.folder, make_keys(stage.folder))
    remote.commit(wave="2\n")
    return Puller(stage.folder, remote), remote


@SCENES.row(
    "pull_not_signed",
    "somebody whom pull_signers does not list has signed the newest commit",
    literal("sign the newest commit of the branch with an SSH key that pull_signers lists, and push it"),
    "a commit that is signed by who is listed",
)
def _scene(stage: Stage) -> None:
    host, remote = met(stage)
    remote.commit(MALLORY)
    stage.fails(host.pull)
    remote.commit()
    stage.passes(host.pull)


@SCENES.row(
    "pull_replayed",
    "the branch was moved back by force",
    r"find out who has moved the branch back, then push a signed commit that descends from (?P<commit>\w+): to go back "
    r"to an earlier state, revert to it in a new commit",
    "a commit that descends from that one",
)
def _scene(stage: Stage) -> None:
    host, remote = met(stage)
    newest = remote.commit()
    host.pull()
    remote.git("reset", "--quiet", "--hard", "HEAD~1")
    found = stage.fails(host.pull)["commit"]
    assert newest.startswith(found)
    remote.git("reset", "--quiet", "--hard", found)
    remote.commit()
    stage.passes(host.pull)


@SCENES.row(
    "pull_no_wave",
    "the newest commit has no number",
    r"push a signed commit whose file (?P<file>\S+) has the number of the last wave that it is for",
    "such a commit",
)
def _scene(stage: Stage) -> None:
    host, remote = met(stage)
    remote.commit(wave="all\n")
    found = stage.fails(lambda: host.pull(wave=1))["file"]
    remote.commit(**{found: "1\n"})
    stage.passes(lambda: host.pull(wave=1))


@SCENES.row(
    "pull_other_branch",
    "the branch was moved to a commit that was signed for another one",
    r"find out who has moved (?P<branch>\S+), then push a signed commit whose file (?P<file>\S+) has (?P=branch) on a "
    r"line of its own",
    "such a commit",
)
def _scene(stage: Stage) -> None:
    host, remote = met(stage)
    remote.commit(branch="staging\n")
    found = stage.fails(host.pull)
    remote.commit(**{found["file"]: f"staging\n{found['branch']}\n"})
    stage.passes(host.pull)


@SCENES.row(
    "pull_not_fetched",
    "the repository is not there",
    literal("see that this host reaches that address and may read the repository, then run sudo slipway pull"),
    "the repository is back",
)
def _scene(stage: Stage) -> None:
    host, remote = met(stage)
    away = remote.path.rename(remote.path.with_name("away"))
    stage.fails(host.pull)
    away.rename(remote.path)
    stage.passes(host.pull)


@SCENES.row(
    "command_failed",
    "git cannot write the files of the commit",
    literal("see that the disk of this host is sound and has space, then run sudo slipway pull"),
    "git can write them",
)
def _scene(stage: Stage) -> None:
    host, _remote = met(stage)
    obstacle = Path(host.place.repository, "slipway-index.lock")
    copy = Repository(host.place.repository, host.settings.environment)
    commit = copy.fetch(host.settings.repository, host.settings.branch)
    obstacle.touch()
    stage.fails(lambda: copy.export(commit, host.place.checkout))
    obstacle.unlink()
    stage.passes(host.pull)


@SCENES.row(
    "pull_unknown_host",
    "the inventory does not have the host",
    r"add (?P<host>\S+) to it in a signed commit, or set pull_host to the name that it has there",
    "the inventory has it",
)
def _scene(stage: Stage) -> None:
    host, _remote = met(stage)
    host.knows_host(False)
    assert stage.fails(host.pull)["host"] == "web1"
    host.knows_host(True)
    stage.passes(host.pull)


@SCENES.row(
    "pull_failed",
    "the playbook of the newest commit fails",
    literal("see above what has failed, and push a signed commit that corrects it"),
    "a commit whose playbook comes through",
)
def _scene(stage: Stage) -> None:
    host, remote = met(stage)
    host.ends_with = 2
    stage.fails(host.pull)
    remote.commit()
    host.ends_with = 0
    stage.passes(host.pull)


@SCENES.row(
    "pull_in_use",
    "another pull has the lock",
    r"wait until it has ended: (?P<command>systemctl status slipway-pull\.service)",
    "it has ended",
)
def _scene(stage: Stage) -> None:
    host, _remote = met(stage)
    host.pull()
    other = subprocess.Popen(["flock", host.place.lock, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdin.write(b"x")
    other.stdin.flush()
    other.stdout.read(1)
    stage.fails(host.pull)
    other.communicate()
    stage.passes(host.pull)


@SCENES.row(
    "invalid_pull_settings",
    "the role was never applied",
    literal("apply the role pull again"),
    "the role's file is there",
)
def _scene(stage: Stage) -> None:
    host, _remote = met(stage)
    path = stage.folder / "pull.json"
    stage.fails(lambda: settings.load(str(path)))
    path.write_text(json.dumps(asdict(host.settings)))
    assert stage.passes(lambda: settings.load(str(path))) == host.settings


@SCENES.row(
    "invalid_pull_settings",
    "what the host has accepted is damaged",
    r"set pull_at_least to the commit that this host has to have, apply the role pull and remove (?P<path>\S+)",
    "`pull_at_least`, and the file is removed",
)
def _scene(stage: Stage) -> None:
    host, remote = met(stage)
    host.pull()
    Path(host.place.accepted).write_text("{")
    path = stage.fails(host.pull)["path"]
    os.unlink(path)
    stage.passes(lambda: host.pull(at_least=remote.git("rev-parse", "HEAD")))

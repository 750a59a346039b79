# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pipelines of examples/ci are those of one description, and their commands do what they say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.go.plugins.plugin_utils._input import known_variables
from ansible_collections.slipway.go.tests.lab import build as lab
from ansible_collections.slipway.go.tests.reference import pipelines
from ansible_collections.slipway.go.tests.reference.pipelines import DEPLOY, JOBS, SIGNING, Job

ROOT = Path(__file__).resolve().parents[2]
FOLDER = pipelines.FOLDER
GITHUB: dict[str, Any] = yaml.safe_load((FOLDER / "github-release.yml").read_text())
GITLAB: dict[str, Any] = yaml.safe_load((FOLDER / "gitlab-ci.yml").read_text())
# What GitLab reads at the top of a file beside the jobs, and in a job: https://docs.gitlab.com/ci/yaml/.
GITLAB_TOP = {"default", "include", "stages", "variables", "workflow"}
GITLAB_JOB = {
    *("after_script", "allow_failure", "artifacts", "before_script", "cache", "environment", "image", "needs"),
    *("parallel", "resource_group", "rules", "script", "stage", "timeout", "variables"),
}
GITHUB_TOP = {"name", "on", "permissions", "env", "jobs"}
GITHUB_JOB = {
    *("concurrency", "env", "environment", "if", "name", "needs", "runs-on", "steps", "strategy", "timeout-minutes"),
}
BY_NAME = {job.name: job for job in JOBS}
DEPLOYING = [job for job in JOBS if job.secret == DEPLOY]


def gitlab_jobs() -> dict[str, dict[str, Any]]:
    return {name: value for name, value in GITLAB.items() if name not in GITLAB_TOP}


def github_jobs() -> dict[str, dict[str, Any]]:
    return {job["name"]: job for job in GITHUB["jobs"].values()}


def github_commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("name", pipelines.FILES)
def test_a_pipeline_is_that_of_the_description(name: str) -> None:
    assert (FOLDER / name).read_text() == pipelines.FILES[name](), "run make reference"


def test_both_have_the_same_jobs_in_the_same_order_with_the_same_commands() -> None:
    wanted = [(job.name, list(job.commands)) for job in JOBS]
    assert [(name, github_commands(job)) for name, job in github_jobs().items()] == wanted
    assert [(name, job["script"]) for name, job in gitlab_jobs().items()] == wanted
    assert GITLAB["stages"] == [job.name for job in JOBS]


def test_both_have_the_same_order_environments_targets_and_locks() -> None:
    for name, wanted in BY_NAME.items():
        hub, lab_job = github_jobs()[name], gitlab_jobs()[name]
        before = [GITHUB["jobs"][one]["name"] for one in hub.get("needs", [])]
        assert before == list(wanted.needs)
        assert set(before) <= {need["job"] for need in lab_job["needs"]}
        assert hub.get("environment", "") == lab_job.get("environment", {}).get("name", "") == wanted.environment
        assert hub.get("concurrency", {}).get("group") == lab_job.get("resource_group")
        matrix = lab_job.get("parallel", {}).get("matrix", [{}])[0].get("SLIPWAY_TARGETS", [])
        assert hub.get("strategy", {}).get("matrix", {}).get("target", []) == matrix == list(wanted.targets)
        assert lab_job["timeout"] == f"{hub['timeout-minutes']} minutes"


@pytest.mark.parametrize(
    ("schema", "name"), [("github-workflows", "github-release.yml"), ("gitlab-ci", "gitlab-ci.yml")]
)
def test_a_pipeline_is_valid_by_the_published_schema(schema: str, name: str) -> None:
    pytest.importorskip("check_jsonschema")
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(FOLDER / name)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_have_the_keys_that_github_and_gitlab_read() -> None:
    assert set(GITHUB) - {True} <= GITHUB_TOP
    for name, job in github_jobs().items():
        assert set(job) <= GITHUB_JOB, name
        assert all(set(step) <= {"uses", "with", "run", "env", "if"} for step in job["steps"]), name
    for name, job in gitlab_jobs().items():
        assert set(job) <= GITLAB_JOB, name
        assert job["stage"] in GITLAB["stages"], name


@pytest.mark.parametrize("job", DEPLOYING, ids=lambda job: job.name)
def test_two_releases_to_one_environment_never_run_at_once(job: Job) -> None:
    """Nor a rollback beside a release; and nobody ends the one that runs."""
    group = f"release-{job.variables['SLIPWAY_ENVIRONMENT']}"
    assert github_jobs()[job.name]["concurrency"] == {"group": group, "cancel-in-progress": False}
    assert gitlab_jobs()[job.name]["resource_group"] == group
    assert GITLAB["default"]["interruptible"] is False


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    else:
        yield str(value)


def test_a_secret_is_only_in_the_environment_of_the_step_that_needs_it() -> None:
    for name, job in github_jobs().items():
        wanted = BY_NAME[name].secret
        given = [step["env"] for step in job["steps"] if "env" in step]
        secret = {wanted: f"${{{{ secrets.{wanted} }}}}"}
        assert given == ([secret] if wanted else []), name
        assert ("secrets." in json.dumps({**job, "steps": [{**step, "env": {}} for step in job["steps"]]})) is False
    assert not [text for text in strings(GITLAB) if SIGNING in text or DEPLOY in text]


def test_nothing_that_somebody_outside_names_is_in_a_command() -> None:
    """A tag or a branch may have a quote in its name."""
    for job in github_jobs().values():
        assert all(re.fullmatch(r"make slipway-[a-z]+", command) for command in github_commands(job))
    for job in gitlab_jobs().values():
        assert all(re.fullmatch(r"make slipway-[a-z]+", command) for command in job["script"])


def test_the_permissions_are_the_least() -> None:
    assert GITHUB["permissions"] == {"contents": "read"}
    assert not [name for name, job in github_jobs().items() if "permissions" in job]
    checkouts = [
        step for job in github_jobs().values() for step in job["steps"] if step.get("uses") == pipelines.CHECKOUT
    ]
    assert len(checkouts) == len(JOBS)
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_whoever_signs_or_releases_takes_nothing_from_a_cache() -> None:
    """Other pipelines write it."""
    for name, wanted in BY_NAME.items():
        uses = [step.get("uses") for step in github_jobs()[name]["steps"]]
        assert (pipelines.STORE in uses) == ("cache" in gitlab_jobs()[name]) == wanted.has_cache
        assert not (wanted.has_cache and (wanted.secret or wanted.when != pipelines.ALWAYS))


def test_a_job_has_a_version_where_there_is_a_tag() -> None:
    assert GITHUB["env"]["SLIPWAY_VERSION"] == "${{ github.ref_type == 'tag' && github.ref_name || '' }}"
    for name, job in gitlab_jobs().items():
        has_tag = job["rules"][0]["if"].startswith("$CI_COMMIT_TAG") and len(job["rules"]) == 1
        assert job.get("variables", {}).get("SLIPWAY_VERSION") == ("$CI_COMMIT_TAG" if has_tag else None), name


def test_actions_are_those_of_github_by_their_major_version() -> None:
    used = {step["uses"] for job in github_jobs().values() for step in job["steps"] if "uses" in step}
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v[0-9]+", one) for one in used)


def test_the_rollback_is_that_of_a_pipeline() -> None:
    """By its own number, or by that of the run that somebody names."""
    assert GITHUB["env"]["SLIPWAY_RUN"] == "${{ inputs.run || github.run_id }}"
    assert GITLAB["variables"]["SLIPWAY_RUN"] == "$CI_PIPELINE_ID"
    take_back = GITHUB["jobs"]["take-back"]["if"]
    assert take_back == """always() && contains(fromJSON('["failure", "cancelled"]'), needs.production.result)"""
    assert [rule["when"] for rule in GITLAB["take back"]["rules"]] == ["on_failure"]
    assert GITLAB["rollback"]["rules"][0] == {"if": "$CI_COMMIT_TAG =~ /^v/", "when": "manual", "allow_failure": True}


# What the commands do

IDENTITY = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
RECORDER = """#!/bin/sh
{ echo "$@"; ssh-add -L 2>/dev/null; echo "secret: $SLIPWAY_DEPLOY_KEY"; } >> "$RECORD"
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service's repository with the files of the example, a tag, and keys."""
    place = tmp_path_factory.mktemp("ci")
    folder = place / "shop"
    shutil.copytree(FOLDER, folder)
    (folder / "go.mod").write_text("module example.com/shop\n\ngo 1.21\n")
    (folder / "main.go").write_text("package main\n\nvar version string\n\nfunc main() { println(version) }\n")
    (folder / "main_test.go").write_text('package main\n\nimport "testing"\n\nfunc TestIt(t *testing.T) { main() }\n')
    (folder / ".gitignore").write_text("/.slipway/\n")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / "key")], check=True)
    shutil.copy(place / "key.pub", folder / "deploy" / "signing-key.pub")
    for argv in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"], ["tag", "v1.2.3"]):
        subprocess.run(["git", "-C", str(folder), *IDENTITY, *argv], check=True)
    cache = folder / ".slipway" / "cache"
    cache.mkdir(parents=True)
    (cache / "build").symlink_to(lab.go_environment()["GOCACHE"])
    return folder


def make(folder: Path, target: str, **variables: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith(("SLIPWAY_", "MAKE", "SSH_"))}
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".work" / "collections"))
    tools = {"PATH": f"{lab.find_go().parent}:{given['PATH']}", "ANSIBLE_COLLECTIONS_PATH": collections}
    go = {"GOFLAGS": "", "GOPROXY": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        ["make", "-C", str(folder), target],
        env={**given, **tools, **go, "SLIPWAY_AS_ROOT": "true", "SLIPWAY_TARGETS": "linux/amd64", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_from_a_commit_to_signed_artefacts_that_can_be_built_again(repository: Path) -> None:
    done = make(repository, "slipway-test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok" in done.stdout
    key = (repository.parent / "key").read_text()
    done = make(repository, "slipway-artefacts", SLIPWAY_VERSION="v1.2.3", SLIPWAY_SIGNING_KEY=key)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert key.splitlines()[1] not in said
    dist = repository / ".slipway" / "dist"
    names = {path.name for path in dist.iterdir()}
    artefact = "shop-linux-amd64"
    assert {artefact, *(f"{artefact}{end}" for end in (".cdx.json", ".json", ".sig", ".intoto.jsonl"))} <= names
    assert {"SHA256SUMS", "SHA256SUMS.sig"} <= names
    done = make(repository, "slipway-rebuild")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{artefact} is the same as its rebuild from commit" in done.stdout
    shutil.rmtree(dist)
    done = make(repository, "slipway-rebuild")
    assert (done.returncode, "has no artefact with a manifest" in done.stderr) == (2, True)


@pytest.fixture
def recorded(repository: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A runner that only writes down how it was started, and with which keys."""
    tools = repository / ".slipway" / "venv" / "bin"
    tools.mkdir(parents=True, exist_ok=True)
    for name in ("ansible-runner", "awx"):
        (tools / name).write_text(RECORDER)
        (tools / name).chmod(0o755)
    yield {"RECORD": str(tmp_path / "record"), SIGNING: "", DEPLOY: (repository.parent / "key").read_text()}
    shutil.rmtree(tools)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("release", "-e release_version=v1.2.3 -e release_run=42"),
        ("rollback", "-e release_rollback_run=42"),
    ],
)
def test_a_release_and_its_rollback_name_the_same_run(
    repository: Path, recorded: dict[str, str], target: str, words: str
) -> None:
    given = {"SLIPWAY_VERSION": "v1.2.3", "SLIPWAY_RUN": "42", "SLIPWAY_ENVIRONMENT": "production"}
    done = make(repository, f"slipway-{target}", **given, **recorded)
    assert done.returncode == 0, done.stderr
    started, key, secret = Path(recorded["RECORD"]).read_text().splitlines()
    assert f"--playbook slipway.go.{target} " in started
    assert f"--inventory {repository}/deploy/inventories/production --cmdline {words}" in started
    assert key.split()[:2] == (repository.parent / "key.pub").read_text().split()[:2]
    assert secret == "secret: ", "the key is still in the environment"
    assert recorded[DEPLOY].splitlines()[1] not in done.stdout + done.stderr


def test_the_workflow_of_awx_gets_the_version(repository: Path, recorded: dict[str, str]) -> None:
    done = make(repository, "slipway-release-awx", SLIPWAY_VERSION="v1.2.3", **recorded)
    assert done.returncode == 0, done.stderr
    started = Path(recorded["RECORD"]).read_text().splitlines()[0]
    asked = '--extra_vars {"release_version": "v1.2.3"}'
    assert started == f"workflow_job_templates launch staging: release after approval --monitor {asked}"


@pytest.mark.parametrize(
    ("target", "variables", "words"),
    [
        ("slipway-release", {"SLIPWAY_VERSION": "v1'; touch x; '", "SLIPWAY_RUN": "1"}, "is no plain word"),
        ("slipway-release", {"SLIPWAY_VERSION": "v1 -e a=b", "SLIPWAY_RUN": "1"}, "is no plain word"),
        ("slipway-release", {"SLIPWAY_VERSION": "", "SLIPWAY_RUN": "1"}, "SLIPWAY_VERSION is empty"),
        ("slipway-rollback", {"SLIPWAY_RUN": "$(touch x)"}, "is no plain word"),
        ("slipway-rollback", {"SLIPWAY_RUN": ""}, "SLIPWAY_RUN is empty"),
        ("slipway-artefacts", {"SLIPWAY_VERSION": "--help"}, "is no plain word"),
    ],
)
def test_what_is_no_plain_word_starts_nothing(
    repository: Path, recorded: dict[str, str], target: str, variables: dict[str, str], words: str
) -> None:
    done = make(repository, target, **{**recorded, **variables})
    assert done.returncode == 2
    assert words in done.stderr
    assert not Path(recorded["RECORD"]).exists()
    assert not (repository / "x").exists()


def test_every_recipe_is_a_script_of_the_shell(repository: Path, tmp_path: Path) -> None:
    """As make hands it over, for each command of the pipelines."""
    for target in sorted({command.partition(" ")[2] for job in JOBS for command in job.commands}):
        done = make(repository, target, MAKEFLAGS="n", SLIPWAY_VERSION="1", SLIPWAY_RUN="1", SLIPWAY_DEPLOY_KEY="k")
        assert done.returncode == 0, done.stderr
        (tmp_path / "script").write_text(done.stdout)
        checked = subprocess.run(["sh", "-n", str(tmp_path / "script")], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, f"{target}: {checked.stderr}"
    for script in [*GITLAB["default"]["before_script"]]:
        subprocess.run(["sh", "-n", "-c", script], check=True)


def test_every_variable_of_the_examples_is_known() -> None:
    folder = FOLDER / "deploy"
    files = [*sorted(folder.glob("*.yml")), *sorted(folder.glob("inventories/*/group_vars/*"))]
    names = {name for path in files for name in yaml.safe_load(path.read_text()) if path.stem != "requirements"}
    assert len(names) > 15
    assert sorted(name for name in names - known_variables.known() if not name.startswith("ansible_")) == []

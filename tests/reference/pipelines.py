"""The pipelines of examples/ci, both from the one description here: `make reference` writes them.

A job has the same name, place, commands and secrets in GitHub Actions and in GitLab CI; a unit test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "ci"
GO, PYTHON, IMAGE = "1.27.3", "3.12", "golang:1.27.3-bookworm"
TARGETS = ("linux/amd64", "linux/arm64")
TOOLS = "make slipway-tools"
WORK, DIST, CACHE, RUNNER = ".slipway", ".slipway/dist/", ".slipway/cache/", ".slipway/runner/artifacts/"
SIGNING, DEPLOY = "SLIPWAY_SIGNING_KEY", "SLIPWAY_DEPLOY_KEY"
ALWAYS, TAG, FAILURE, BY_HAND = "always", "tag", "failure", "by hand"


@dataclass(frozen=True)
class Job:
    """when: ALWAYS is each change and each tag. needs: jobs before it. targets: one run for each.

    environment: whose secret and approval the job needs. alone: of the jobs with that word, one runs at a time, in all
    pipelines. keeps: a folder that later jobs or people want; kept_from: the job whose folder this one takes.
    """

    name: str
    commands: tuple[str, ...]
    when: str = ALWAYS
    needs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    environment: str = ""
    alone: str = ""
    secret: str = ""
    keeps: str = ""
    kept_from: str = ""
    has_cache: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    minutes: int = 20


RELEASE = {"SLIPWAY_ENVIRONMENT": "production"}
JOBS = (
    Job("test", ("make slipway-test",), has_cache=True),
    Job("build", (TOOLS, "make slipway-build"), needs=("test",), targets=TARGETS, has_cache=True),
    Job(
        "artefacts",
        (TOOLS, "make slipway-artefacts"),
        TAG,
        ("build",),
        environment="signing",
        secret=SIGNING,
        keeps=DIST,
        minutes=30,
    ),
    Job("rebuild", (TOOLS, "make slipway-rebuild"), TAG, ("artefacts",), kept_from="artefacts", minutes=30),
    Job(
        "staging",
        (TOOLS, "make slipway-release"),
        TAG,
        ("rebuild",),
        environment="staging",
        alone="staging",
        secret=DEPLOY,
        keeps=RUNNER,
        kept_from="artefacts",
        variables={"SLIPWAY_ENVIRONMENT": "staging"},
        minutes=60,
    ),
    Job(
        "production",
        (TOOLS, "make slipway-release"),
        TAG,
        ("staging",),
        environment="production",
        alone="production",
        secret=DEPLOY,
        keeps=RUNNER,
        kept_from="artefacts",
        variables=RELEASE,
        minutes=60,
    ),
    Job(
        "take back",
        (TOOLS, "make slipway-rollback"),
        FAILURE,
        ("production",),
        environment="production-rollback",
        alone="production",
        secret=DEPLOY,
        keeps=RUNNER,
        variables=RELEASE,
    ),
    Job(
        "rollback",
        (TOOLS, "make slipway-rollback"),
        BY_HAND,
        environment="production-rollback",
        alone="production",
        secret=DEPLOY,
        keeps=RUNNER,
        variables=RELEASE,
    ),
)
_NOTE = """\
# From a commit to a release, for the repository of the service itself: copy this file to {place}.
# docs/guide/ci.md explains it. {pins}
# Written by `make reference` from tests/reference/pipelines.py, as is its twin {twin}.
---
"""
_PINS = "Pin each action by the SHA of its commit: the tags below can be moved."
_IMAGES = "Pin the image by its digest: the tag below can be moved."

CHECKOUT, SETUP_GO, SETUP_PYTHON = "actions/checkout@v5", "actions/setup-go@v6", "actions/setup-python@v6"
SAVE, TAKE, STORE = "actions/upload-artifact@v4", "actions/download-artifact@v5", "actions/cache@v4"
_ON_TAG = "startsWith(github.ref, 'refs/tags/v')"
_ON_CALL = "github.event_name == 'workflow_dispatch'"
_CONDITIONS = {
    ALWAYS: "github.event_name != 'workflow_dispatch'",
    TAG: f"{_ON_TAG} && github.event_name == 'push'",
    BY_HAND: _ON_CALL,
}


def github() -> dict[str, Any]:
    """The workflow. Everything that somebody outside can name goes through the environment, never into a command."""
    return {
        "name": "release",
        "on": {
            "push": {"branches": ["main"], "tags": ["v*"]},
            "pull_request": {},
            "workflow_dispatch": {
                "inputs": {
                    "run": {
                        "description": "the number in the address of the run whose release is to be taken back",
                        "required": True,
                        "type": "string",
                    }
                }
            },
        },
        "permissions": {"contents": "read"},
        "env": {
            "SLIPWAY_VERSION": "${{ github.ref_type == 'tag' && github.ref_name || '' }}",
            "SLIPWAY_RUN": "${{ inputs.run || github.run_id }}",
        },
        "jobs": {_id(job): _github_job(job) for job in JOBS},
    }


def _id(job: Job) -> str:
    return job.name.replace(" ", "-")


def _github_job(job: Job) -> dict[str, Any]:
    made: dict[str, Any] = {"name": job.name}
    if job.needs:
        made["needs"] = [name.replace(" ", "-") for name in job.needs]
    made["if"] = _github_condition(job)
    made["runs-on"] = "ubuntu-24.04"
    made["timeout-minutes"] = job.minutes
    if job.targets:
        made["strategy"] = {"fail-fast": False, "matrix": {"target": list(job.targets)}}
    if job.environment:
        made["environment"] = job.environment
    if job.alone:
        made["concurrency"] = {"group": f"release-{job.alone}", "cancel-in-progress": False}
    variables = {**job.variables, **({"SLIPWAY_TARGETS": "${{ matrix.target }}"} if job.targets else {})}
    if variables:
        made["env"] = variables
    made["steps"] = list(_github_steps(job))
    return made


def _github_condition(job: Job) -> str:
    """A job that was cancelled or killed has released something, too; one that never ran has not."""
    if job.when != FAILURE:
        return _CONDITIONS[job.when]
    (before,) = job.needs
    return f'always() && contains(fromJSON(\'["failure", "cancelled"]\'), needs.{before}.result)'


def _github_steps(job: Job) -> Iterator[dict[str, Any]]:
    yield {"uses": CHECKOUT, "with": {"fetch-depth": 0, "persist-credentials": False}}
    yield {"uses": SETUP_GO, "with": {"go-version": GO, "cache": False}}
    if TOOLS in job.commands:
        yield {"uses": SETUP_PYTHON, "with": {"python-version": PYTHON}}
    if job.has_cache:
        key = f"slipway-{GO}-${{{{ runner.os }}}}-"
        named = f"{key}{'${{ matrix.target }}-' if job.targets else ''}${{{{ hashFiles('go.sum') }}}}"
        yield {"uses": STORE, "with": {"path": CACHE, "key": named, "restore-keys": key}}
    if job.kept_from:
        yield {"uses": TAKE, "with": {"name": job.kept_from, "path": DIST}}
    for command in job.commands:
        step: dict[str, Any] = {"run": command}
        if job.secret and command != TOOLS:
            step["env"] = {job.secret: f"${{{{ secrets.{job.secret} }}}}"}
        yield step
    if job.keeps:
        kept = {"name": _id(job), "path": job.keeps, "include-hidden-files": True}
        if job.keeps == RUNNER:
            yield {"uses": SAVE, "if": "always()", "with": {**kept, "if-no-files-found": "ignore"}}
        else:
            yield {"uses": SAVE, "with": {**kept, "if-no-files-found": "error"}}


_RULE_TAG = "$CI_COMMIT_TAG =~ /^v/"
_RULES = {
    ALWAYS: [
        {"if": '$CI_PIPELINE_SOURCE == "merge_request_event"'},
        {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"},
        {"if": _RULE_TAG},
    ],
    TAG: [{"if": _RULE_TAG}],
    FAILURE: [{"if": _RULE_TAG, "when": "on_failure"}],
    BY_HAND: [{"if": _RULE_TAG, "when": "manual", "allow_failure": True}],
}


def gitlab() -> dict[str, Any]:
    """The pipeline. A protected variable is named in no job: GitLab hands it to those of its environment."""
    made: dict[str, Any] = {
        "workflow": {"rules": _RULES[ALWAYS]},
        "stages": [job.name for job in JOBS],
        "variables": {
            "SLIPWAY_RUN": "$CI_PIPELINE_ID",
            "SLIPWAY_AS_ROOT": "true",
            "GIT_DEPTH": "0",
        },
        "default": {
            "image": IMAGE,
            "interruptible": False,
            "before_script": [
                "apt-get -qq update",
                "apt-get -qq install -y --no-install-recommends make openssh-client python3-venv",
            ],
        },
    }
    return {**made, **{job.name: _gitlab_job(job) for job in JOBS}}


def _gitlab_job(job: Job) -> dict[str, Any]:
    rules = _RULES[job.when]
    if job.environment == "production" and job.when == TAG:  # somebody starts it; the environment says who may
        rules = [{"if": _RULE_TAG, "when": "manual", "allow_failure": False}]
    made: dict[str, Any] = {"stage": job.name, "rules": rules}
    made["needs"] = [
        *({"job": name, "artifacts": name == job.kept_from} for name in job.needs),
        *([{"job": job.kept_from, "artifacts": True}] if job.kept_from and job.kept_from not in job.needs else []),
    ]
    made["timeout"] = f"{job.minutes} minutes"
    if job.targets:
        made["parallel"] = {"matrix": [{"SLIPWAY_TARGETS": list(job.targets)}]}
    if job.environment:
        made["environment"] = {"name": job.environment, "action": "start" if job.alone else "access"}
    if job.alone:
        made["resource_group"] = f"release-{job.alone}"
    if job.when != ALWAYS:  # elsewhere, GitLab would hand over the name of a variable that it does not have
        made["variables"] = {"SLIPWAY_VERSION": "$CI_COMMIT_TAG", **job.variables}
    if job.has_cache:
        named = f"slipway-{GO}{'-$CI_NODE_INDEX' if job.targets else ''}"
        made["cache"] = {"key": {"files": ["go.sum"], "prefix": named}, "paths": [CACHE]}
    made["script"] = list(job.commands)
    if job.keeps:
        made["artifacts"] = {"paths": [job.keeps], "when": "always" if job.keeps == RUNNER else "on_success"}
        made["artifacts"]["expire_in"] = "90 days"
    return made


class _Indented(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(document: dict[str, Any], **note: str) -> str:
    text = yaml.dump(document, Dumper=_Indented, sort_keys=False, width=140)
    return _NOTE.format(**note) + text.replace("'on':", '"on":')


def github_text() -> str:
    return _text(github(), place=".github/workflows/release.yml", pins=_PINS, twin="gitlab-ci.yml")


def gitlab_text() -> str:
    return _text(gitlab(), place=".gitlab-ci.yml", pins=_IMAGES, twin="github-release.yml")


FILES: dict[str, Callable[[], str]] = {"github-release.yml": github_text, "gitlab-ci.yml": gitlab_text}

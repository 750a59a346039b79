"""Scenes of which artefact is released, of which version, and where it was built; the action, the module and the engine
are the real ones."""

from __future__ import annotations

import contextlib
import hashlib
import io
from types import SimpleNamespace
from typing import Any

from ansible_collections.slipway.go.plugins.plugin_utils._artefact import choice
from ansible_collections.slipway.go.plugins.plugin_utils._artefact.choice import Processor
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.unit.plugins.action.test_policy_table import (
    GOOD,
    SILENT,
    VERSION,
    Lab,
    provenance_of,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.artefact.test_provenance import (
    BUILDER,
    KEY,
)

SCENES = Scenes()
THIS = hashlib.sha256(GOOD).hexdigest()


class Output:
    """What a module writes in this process; nobody else captures it here."""

    def __init__(self) -> None:
        self._text = io.StringIO()

    def readouterr(self) -> Any:
        told = SimpleNamespace(out=self._text.getvalue(), err="")
        self._text.seek(0)
        self._text.truncate()
        return told

    def of(self, lab: Lab, arguments: dict[str, Any]) -> Any:
        with contextlib.redirect_stdout(self._text):
            return lab.play(arguments)


class Controller:
    """It releases GOOD, as a version that the program does not contradict."""

    def __init__(self, stage: Stage) -> None:
        self._output = Output()
        self.lab = Lab(str(stage.folder), stage.patch, self._output)

    def release(self, version: str = VERSION, content: bytes = GOOD, provenance: str = "", **options: Any) -> Any:
        asked = {"version": version, **self.lab.source("path", content), **options}
        if provenance:
            signed = self.lab.put("provenance", provenance.encode())
            asked = {"minisign_keys": [KEY.public], **asked, "provenance": signed}
        return self._output.of(self.lab, asked)


def released(answer: Any) -> None:
    assert answer.get("action") == "release", answer


# --- the version

PRERELEASE = literal("release a version without that suffix, or set release_prerelease: true")
CANDIDATE = f"{VERSION}-rc.1"


@SCENES.row("policy_prerelease", "a candidate is released", PRERELEASE, "another `release_version`")
def _scene(stage: Stage) -> None:
    here, final = Controller(stage), {"prerelease": False}
    stage.fails(lambda: here.release(CANDIDATE, SILENT, policy=final))
    released(stage.passes(lambda: here.release(VERSION, SILENT, policy=final)))


@SCENES.row("policy_prerelease", "a candidate is released where that is meant", PRERELEASE, "`release_prerelease`")
def _scene(stage: Stage) -> None:
    here = Controller(stage)
    stage.fails(lambda: here.release(CANDIDATE, SILENT, policy={"prerelease": False}))
    released(stage.passes(lambda: here.release(CANDIDATE, SILENT, policy={"prerelease": True})))


LOWER = literal("run the playbook rollback to go back, or set release_downgrade: accept if the lower version is meant")


def lower(stage: Stage) -> Controller:
    """1.4.1 was released, then 1.4.2, and somebody releases 1.4.1 again."""
    here = Controller(stage)
    for version in ("1.4.1", VERSION):
        released(here.release(version, SILENT))
    stage.fails(lambda: here.release("1.4.1", SILENT, downgrade="refuse"))
    return here


@SCENES.row("lower_version", "the version before is released in place of a rollback", LOWER, "the playbook rollback")
def _scene(stage: Stage) -> None:
    here = lower(stage)
    assert str(stage.passes(here.lab.host.rollback).current).startswith("1.4.1-")


@SCENES.row("lower_version", "a lower version is meant", LOWER, "another `release_downgrade`")
def _scene(stage: Stage) -> None:
    here = lower(stage)
    released(stage.passes(lambda: here.release("1.4.1", SILENT, downgrade="accept")))


# --- the provenance

BESIDE = "the file that the build has written beside the artefact (NAME.intoto.jsonl)"
GIVEN = "another `release_provenance`"


@SCENES.row("missing_provenance", "a rule asks for it", literal(f"set release_provenance to {BESIDE}"), GIVEN)
def _scene(stage: Stage) -> None:
    here, rule = Controller(stage), {"provenance_required": True}
    stage.fails(lambda: here.release(policy=rule))
    released(stage.passes(lambda: here.release(provenance=provenance_of(THIS), policy=rule)))


@SCENES.row("invalid_provenance", "the file was cut", literal(f"give {BESIDE}, unchanged"), GIVEN)
def _scene(stage: Stage) -> None:
    here, whole = Controller(stage), provenance_of(THIS)
    stage.fails(lambda: here.release(provenance=whole[:-1]))
    released(stage.passes(lambda: here.release(provenance=whole)))


WRONG = literal("give the provenance of this very artefact, or build it again")


@SCENES.row("wrong_provenance", "it is that of another build", WRONG, GIVEN)
def _scene(stage: Stage) -> None:
    here = Controller(stage)
    stage.fails(lambda: here.release(provenance=provenance_of("0" * 64)))
    released(stage.passes(lambda: here.release(provenance=provenance_of(THIS))))


@SCENES.row("wrong_provenance", "that of the artefact is lost", WRONG, "a build with its provenance")
def _scene(stage: Stage) -> None:
    here, built = Controller(stage), GOOD + b"\0"
    stage.fails(lambda: here.release(provenance=provenance_of("0" * 64)))
    text = provenance_of(hashlib.sha256(built).hexdigest())
    released(stage.passes(lambda: here.release(content=built, provenance=text)))


RULES = (
    ("builder", BUILDER, "https://ci.example.com/other"),
    ("repository", "https://git.example.com/shop", "https://git.example.com/fork"),
    ("ref", "refs/tags/v1", "refs/heads/main"),
)
for what, is_value, allowed in RULES:

    @SCENES.row(
        "policy_provenance",
        f"it names a {what} that is not allowed, and is trusted",
        literal(f"build it there, or add it to release_provenance_{what} if it is trusted"),
        f"another `release_provenance_{what}`",
    )
    def _scene(stage: Stage, rule: str = f"provenance_{what}", value: str = is_value, allowed: str = allowed) -> None:
        here, text = Controller(stage), provenance_of(THIS)
        stage.fails(lambda: here.release(provenance=text, policy={rule: [allowed]}))
        assert value in stage.message
        released(stage.passes(lambda: here.release(provenance=text, policy={rule: [allowed, value]})))


# --- the artefact for a host

V3 = Processor("x86_64", "amd64", ("amd64v3", "amd64v2", "amd64", "amd64v1"))
ARMV6 = Processor("armv6l", "arm", ("armv6", "armv5", "arm"))
FOREIGN = Processor("m68k", "", ())
PATTERN = "build/shop-{goarch}{level}"


def chosen(src: Any, *hosts: Processor, there: str = "") -> list[str]:
    """What each host of the run gets. there: the files of the controller."""
    return [choice.choose({"src": src}, host, lambda path: path in there.split())["src"] for host in hosts]


@SCENES.row(
    "no_artefact_for_host",
    "the artefacts are for other architectures",
    r"build it for linux/(?P<goarch>\w+) and add it to release_src, or leave this host out with --limit",
    "another `release_src`",
)
def _scene(stage: Stage) -> None:
    table = {"arm64": "b"}
    goarch = stage.fails(lambda: chosen(table, V3))["goarch"]
    assert stage.passes(lambda: chosen({**table, goarch: "a"}, V3)) == ["a"]


@SCENES.row(
    "no_artefact_for_host",
    "the artefact is for a newer processor of the same architecture",
    r"build it for linux/(?P<goarch>\w+)/(?P<level>\w+) and add it to release_src, or leave this host out with --limit",
    "another `release_src`",
)
def _scene(stage: Stage) -> None:
    table = {"armv7": "c7"}
    found = stage.fails(lambda: chosen(table, ARMV6))
    name = f"{found['goarch']}v{found['level']}"
    assert stage.passes(lambda: chosen({**table, name: "c6"}, ARMV6)) == ["c6"]


@SCENES.row(
    "no_artefact_for_host",
    "no file of the pattern is there for the host",
    r"build it for linux/(?P<goarch>\w+) as one of these files, or leave this host out with --limit",
    "the file is built",
)
def _scene(stage: Stage) -> None:
    goarch = stage.fails(lambda: chosen(PATTERN, V3, there="build/shop-arm64"))["goarch"]
    built = f"build/shop-{goarch}"
    assert f"{built}," in stage.message
    assert stage.passes(lambda: chosen(PATTERN, V3, there=f"build/shop-arm64 {built}")) == [built]


@SCENES.row(
    "no_artefact_for_host",
    "Go does not build for the host",
    literal("release it elsewhere, or leave this host out with --limit"),
    "`--limit`",
)
def _scene(stage: Stage) -> None:
    table = {"amd64": "a"}
    stage.fails(lambda: chosen(table, V3, FOREIGN))
    assert stage.passes(lambda: chosen(table, V3)) == ["a"]

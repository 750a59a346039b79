# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every rule for artefacts, by every source, in every state of the host, predicted and for real.

The action, the module, the intake and the engine are the real ones; systemd, the web and the upload are played.
docs/guide/artefacts.md has the same table for readers.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import tarfile
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.action import release as plugin
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.problems import Problem
from ansible_collections.slipway.go.plugins.module_utils._host.fingerprint import Fingerprint
from ansible_collections.slipway.go.plugins.module_utils._linkage import host_profile
from ansible_collections.slipway.go.plugins.module_utils._release import context, intake, preflight
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import fetch, inspect
from ansible_collections.slipway.go.plugins.modules import release as module
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_go_build_info import inline
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.artefact.test_provenance import (
    BUILDER,
    KEY,
    STRANGER,
    envelope,
    statement,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Host
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.vulnerabilities.entries import entry, write
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "guide" / "artefacts.md"
MINISIGN = Path(__file__).resolve().parents[1] / "module_utils" / "release" / "artefact" / "minisign"
VERSION = "1.4.2"
AMD64, ARM64 = 62, 183
LOADER = "/lib64/ld-linux-x86-64.so.2"
MIB = 1 << 20

SOURCES = ("path", "URL", "remote_src")
KINDS = ("binary", "archive")
STATES = {
    "new": "not on the host",
    "staged": "put there by a run that was interrupted",
    "current": "it serves",
    "before": "it served before another one",
    "bad": "it failed here",
}


def program(version="v1.4.2", machine=AMD64, size=0, modified="false", **spec):
    text = (
        f"path\texample.com/shop\nmod\texample.com/shop\t{version}\th1:abc=\n"
        f"dep\tgolang.org/x/sys\tv0.20.0\th1:def=\nbuild\tvcs.revision=abc\nbuild\tvcs.modified={modified}\n"
    )
    built = ElfBuilder(type=EXEC, machine=machine, body=inline("go1.22.3", text), **spec).build()
    return bytes(built) + bytes(size)


GOOD = program()
SILENT = program(version="(devel)")
DYNAMIC = {"interpreter": LOADER}


def provenance_of(sha256, version=VERSION, **signer):
    source = {"repository": "https://git.example.com/shop", "ref": "refs/tags/v1"}
    parameters = {"source": source, "version": version}
    payload = statement(subject__0__digest__sha256=sha256, predicate__buildDefinition__externalParameters=parameters)
    return envelope(payload, **signer)


class Rule:
    """What is released, with which options it is refused, and what it is refused for."""

    def __init__(self, code, content=GOOD, version=VERSION, serving=True, known_bad=False, **options):
        self.code, self.content, self.version, self.options = code, content, version, options
        self._serving, self._known_bad = serving, known_bad

    def code_in(self, state):
        """None where it is accepted: serving says whether what serves is asked, known_bad whether that comes first."""
        if state == "current" and not self._serving:
            return None
        return "known_bad" if state == "bad" and self._known_bad else self.code


def policy(code, content=GOOD, version=VERSION, **rules):
    return Rule(code, content, version, policy=rules)


RULES = {
    "none": Rule(None, known_bad=True),
    "release_require_static": policy("policy_static", program(**DYNAMIC), require_static=True),
    "release_require_vcs_clean": policy("policy_vcs_modified", program(modified="true"), require_vcs_clean=True),
    "release_min_go_version": policy("policy_go_version", min_go_version="1.25"),
    "release_main_module": policy("policy_main_module", main_module="example.com/other"),
    "release_denylist": policy("policy_denied_module", denylist="DENYLIST"),
    "release_vulnerability_database": policy("policy_vulnerable", vulnerability_database="DATABASE"),
    "release_prerelease: false": policy("policy_prerelease", program("v1.4.2-rc.1"), "1.4.2-rc.1", prerelease=False),
    "release_version_binding: match": policy("version_mismatch", version="9.9.9", version_binding="match"),
    "release_version_binding: required": policy("version_not_named", SILENT, version_binding="required"),
    "release_checksum": Rule("wrong_checksum", checksum="0" * 64),
    "release_signature": Rule("unknown_signer", signature="SIGNATURE", minisign_keys="STRANGER"),
    "release_provenance": Rule("wrong_provenance", provenance="OTHER"),
    "release_provenance_builder": Rule(
        "policy_provenance", provenance="OWN", policy={"provenance_builder": ["https://ci.example.com/other"]}
    ),
    "release_max_size": Rule("artefact_too_large", program(size=2 * MIB), max_size=1),
    "architecture": Rule("wrong_architecture", program(machine=ARM64), serving=False, known_bad=True),
    "linkage": Rule("library_missing", program(**DYNAMIC), serving=False, known_bad=True),
}


def packed(content):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1) as tape:
        for name, data, mode in (("dist/shop", content, 0o755), ("dist/a.css", b"body", 0o644)):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            tape.addfile(info, io.BytesIO(data))
    return made.getvalue()


class Action(plugin.ActionModule):
    """The plugin, whose connection is a call of the module in this process."""

    def __init__(self, arguments, capsys, check):
        self._task = SimpleNamespace(
            args=arguments, check_mode=check, any_errors_fatal=False, no_log=False, async_val=0
        )
        self._templar = SimpleNamespace(template=lambda value: value)
        self._loader, self._connection = MagicMock(), MagicMock()
        self._connection._shell.join_path = os.path.join
        self._capsys, self._check = capsys, check

    def _find_needle(self, _dirname, needle):
        return needle

    def _execute_module(self, module_name, module_args, task_vars):
        given = {key: value for key, value in module_args.items() if value is not None}
        return run_module(module, self._capsys, **given, _ansible_check_mode=self._check)

    def _make_tmp_path(self):
        os.makedirs(self.folder, exist_ok=True)
        return self.folder

    def _transfer_file(self, local_path, remote_path):
        shutil.copyfile(local_path, remote_path)

    def _fixup_perms2(self, paths):
        pass

    def _remove_tmp_path(self, folder):
        shutil.rmtree(folder)


class Lab:
    """A controller and a host, and a way to bring the host into each state."""

    def __init__(self, memory, monkeypatch, capsys):
        self.host = Host(memory)
        self.host.confirm = 0.0
        self.host.install(monkeypatch)
        self.folder, self.monkeypatch, self.capsys = memory, monkeypatch, capsys
        self.web, self.machine, self.missing = {}, "x86_64", []
        os.makedirs(os.path.join(memory, "work"))
        monkeypatch.setattr(intake, "WORK", os.path.join(memory, "work"))
        monkeypatch.setattr(fetch, "fetch", self._fetch)
        monkeypatch.setattr(platform, "machine", lambda: self.machine)
        monkeypatch.setattr(inspect, "against_host", lambda _seen: self.missing)
        monkeypatch.setattr(preflight, "linkage_problems", lambda _layout, _release: self.missing)
        monkeypatch.setattr(host_profile, "judge_artifact", lambda *_arguments: self.missing)
        monkeypatch.setattr(module, "Engine", lambda _settings, by, claim: self.host.engine())
        monkeypatch.setattr(module, "Layout", lambda *_arguments: self.host.layout)
        monkeypatch.setattr(plugin.zipapp, "digest", str)
        monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
        monkeypatch.setattr(plugin.constants, "DEFAULT_LOCAL_TMP", memory)

    def _fetch(self, url, variable, target, limits, headers):
        content = self.web[url]
        fetch._check_size(len(content), limits.size, url, variable, None)
        target.write(content)

    def put(self, name, content):
        path = os.path.join(self.folder, name)
        Path(path).write_bytes(content)
        return path

    def source(self, source, content):
        """The options that lead to this content."""
        path = self.put("artefact", content)
        if source != "URL":
            return {"src": path, "remote_src": source == "remote_src"}
        self.web["https://host/shop"] = content
        return {"src": "https://host/shop", "checksum": hashlib.sha256(content).hexdigest()}

    def play(self, arguments, check=False):
        action = Action({"name": "shop", "group": self.host.spec("x").group, **arguments}, self.capsys, check)
        action.folder = os.path.join(self.folder, "uploads")
        return action.run(task_vars={})

    def lenient(self, arguments):
        """As it could be released when no rule was set."""
        return self.play({**arguments, "policy": {"version_binding": "ignore"}})

    def bring_into(self, state, arguments):
        if state == "staged":
            with self.monkeypatch.context() as patch:
                patch.setattr(context.Context, "check_linkage", throw)
                assert self.lenient(arguments)["code"] == "cut_short"
        elif state == "bad":
            self.host.behave(arguments["version"]).healthy = False
            assert self.lenient(arguments)["code"] == "rolled_back"
            self.host.behave(arguments["version"]).healthy = True
        elif state in ("current", "before"):
            answer = self.lenient(arguments)
            assert answer.get("action") == "release", answer
            if state == "before":
                machine = {"x86_64": AMD64, "aarch64": ARM64}[self.machine]
                other = self.put("other", program(version="(devel)", machine=machine))
                assert self.lenient({"version": "0.9", "src": other})["action"] == "release"

    def seen(self):
        layout = self.host.layout
        return layout.current_id(), layout.last_good_id(), sorted(layout.staged()), self.host.systemd.running()


def throw(*_arguments):
    raise SlipwayError("cut_short", "the run was cut short", "run again")


@pytest.fixture
def lab(memory, monkeypatch, capsys):
    return Lab(memory, monkeypatch, capsys)


def strict(lab, rule, source, kind):
    """The options of the release that is to be judged, and those that it could be released with before."""
    content = packed(rule.content) if kind == "archive" else rule.content
    given = {"version": rule.version, **lab.source(source, content)}
    asked = {**given, **rule.options}
    if asked.get("policy", {}).get("denylist"):
        asked["policy"] = {"denylist": lab.put("denied", b"golang.org/x/... # none of these\n")}
    if asked.get("policy", {}).get("vulnerability_database"):
        modified = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
        database = write(Path(lab.folder, "vulnerabilities"), entry(modified=modified))
        asked["policy"] = {"vulnerability_database": database}
    if "provenance" in asked:
        subject = hashlib.sha256(content).hexdigest() if asked["provenance"] == "OWN" else "0" * 64
        asked["provenance"] = lab.put("provenance", provenance_of(subject).encode())
        asked["minisign_keys"] = KEY.public
    if "signature" in asked:
        asked["signature"] = lab.put("signature", (MINISIGN / "hashed.minisig").read_bytes())
        asked["minisign_keys"] = (MINISIGN / "other.pub").read_text().splitlines()[-1]
    return asked, given


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", RULES)
def test_a_rule_holds_wherever_it_comes_from_and_whatever_the_host_has(lab, name, source, kind, state):
    rule = RULES[name]
    asked, given = strict(lab, rule, source, kind)
    lab.machine = "aarch64" if name == "architecture" else "x86_64"
    if state != "new":
        lab.bring_into(state, given)
    lab.machine = "x86_64"
    lab.missing = [Problem("library_missing", "no libx", "install it")] if name == "linkage" else []
    before, wanted = lab.seen(), rule.code_in(state)
    for check in (True, False):
        answer = lab.play(asked, check)
        if wanted is None:
            assert not answer.get("failed"), answer
            assert answer["action"] == ("none" if state == "current" else "release"), answer
            continue
        assert answer.get("failed"), answer
        assert answer["code"] in (wanted, wanted.replace("artefact", kind)), answer
        assert answer["fix"] or answer["problems"][0]["fix"] or wanted in answer["msg"]
        assert lab.seen() == before, "a refused release has changed something"


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["binary", "no record", "forged record"])
def test_what_is_written_down_of_a_release_is_not_believed(lab, kind, damage, check):
    """Of what lies there, only what has its digest and whose signature was verified here is judged in its place."""
    rule = policy("version_mismatch", version="9.9.9")
    _asked, given = strict(lab, rule, "URL", kind)
    lab.bring_into("before", given)
    (release_id,) = [release for release in lab.host.layout.staged() if release.startswith("9.9.9")]
    folder = Path(lab.host.layout.release(release_id))
    record = json.loads((folder / "release.json").read_text())
    if damage == "binary":
        (folder / "bin" / "shop").write_bytes(program("v9.9.9"))
    elif damage == "no record":
        del record["origin"]["claims"]
    else:
        record["origin"]["claims"] = [["the main module in the build info", "version", "v9.9.9"]]
        record.update(version="9.9.9", go_version="go9.9")
    (folder / "release.json").write_text(json.dumps(record))
    asked = {**given, "policy": {"version_binding": "required", "min_go_version": "1.25"}}
    before = lab.seen()
    answer = lab.play(asked, check)
    assert {problem["code"] for problem in answer["problems"]} == {"version_mismatch", "policy_go_version"}
    assert lab.seen() == before


@pytest.mark.parametrize("state", ["new", "current", "before"])
def test_an_old_checksums_file_is_not_replayed(lab, state):
    """The signature is good, and what it signs is not the version that is asked for."""
    content = SILENT
    given = {"version": "9.9.9", **lab.source("URL", content)}
    if state != "new":
        lab.bring_into(state, given)
    name, sums = "https://host/1.0.0/shop", f"{hashlib.sha256(content).hexdigest()}  1.0.0/shop\n".encode()
    lab.web[name] = content
    lab.monkeypatch.setattr(intake.signature, "verify", lambda *_arguments: intake.signature.Signed("minisign 1"))
    asked = {
        "version": "9.9.9",
        "src": name,
        "checksum": lab.put("SHA256SUMS", sums),
        "signature": lab.put("sig", b"untrusted comment: x"),
        "signature_of": "checksums",
        "minisign_keys": (MINISIGN / "one.pub").read_text().splitlines()[-1],
    }
    for check in (True, False):
        answer = lab.play(asked, check)
        assert answer["code"] == "version_mismatch", answer
        assert "'1.0.0/shop'" in answer["msg"]
    by_path = {**asked, "src": lab.put("shop", content)}
    assert lab.play(by_path)["code"] == "version_mismatch", "the checksums file names another version there, too"
    assert lab.play({**asked, "version": "1.0.0"})["action"] == "release"


def test_a_rollback_asks_no_policy(lab):
    """Back to what has served is the way out of an emergency; the rules are for what is to be released."""
    lab.bring_into("before", {"version": VERSION, **lab.source("URL", GOOD)})
    (good,) = [release for release in lab.host.layout.staged() if release.startswith(VERSION)]
    assert lab.play({"version": VERSION, **lab.source("URL", GOOD), "policy": {"min_go_version": "1.25"}})["failed"]
    assert lab.host.rollback().current == good


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("version", "downgrade", "code"),
    [
        ("1.4.1", "refuse", "lower_version"),
        ("1.4.2-rc.1", "refuse", "lower_version"),
        ("1.4.1", "warn", None),
        ("1.4.1", None, None),
        ("1.4.1", "accept", None),
        ("1.4.3", "refuse", None),
        ("1.4.2+5", "refuse", None),
        ("older", "refuse", None),
    ],
)
def test_a_lower_version_needs_a_word(lab, version, downgrade, code, check):
    lab.bring_into("current", {"version": VERSION, **lab.source("path", GOOD)})
    asked = {"version": version, **lab.source("path", SILENT), "downgrade": downgrade}
    before, answer = lab.seen(), lab.play(asked, check)
    assert answer.get("code") == code, answer
    if code:
        assert "1.4.2" in answer["msg"]
        assert "release_downgrade: accept" in answer["msg"]
        assert lab.seen() == before
        return
    assert answer["action"] == "release"
    warned = version == "1.4.1" and downgrade in ("warn", None)
    assert [notice["code"] for notice in answer["notices"]].count("lower_version") == warned


def built_elsewhere(lab, content):
    """A manifest beside the artefact, of a host with a glibc that is newer than any."""
    host = {"os": "Ubuntu 99.04", "kernel": "9.9.0", "architecture": "x86_64", "libc": "glibc 9.99"}
    manifest = {"format": 1, "sha256": hashlib.sha256(content).hexdigest(), "build_host": host}
    lab.monkeypatch.setattr(module, "read_fingerprint", lambda: Fingerprint("Debian", "6.1.0", "x86_64", "glibc 2.36"))
    lab.put("artefact.json", json.dumps(manifest).encode())
    lab.web["https://host/shop.json"] = json.dumps(manifest).encode()
    return host


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("source", SOURCES)
def test_a_release_says_where_it_was_built(lab, source, check):
    content = program(interpreter=LOADER, needed=["libc.so.6"])
    host = built_elsewhere(lab, content)
    answer = lab.play({"version": VERSION, **lab.source(source, content)}, check)
    said = [notice["message"] for notice in answer["notices"] if notice["code"] == "older_libc"]
    assert answer["action"] == "release"
    assert len(said) == (source != "URL")
    assert ("build_host" in answer) == (source != "URL")
    if source != "URL":
        assert answer["build_host"]["built_on"] == host
        assert answer["build_host"]["runs_on"]["libc"] == "glibc 2.36"
        assert "glibc 9.99; this host has glibc 2.36" in said[0]


@pytest.mark.parametrize("source", ["path", "remote_src"])
def test_what_serves_already_is_not_warned_of(lab, source):
    content = program(interpreter=LOADER, needed=["libc.so.6"])
    given = {"version": VERSION, **lab.source(source, content)}
    lab.bring_into("current", given)
    built_elsewhere(lab, content)
    answer = lab.play(given)
    assert (answer["action"], answer["notices"]) == ("none", [])
    assert answer["build_host"]["differs"] == ["older_libc"]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("source", ["path", "remote_src"])
@pytest.mark.parametrize(
    "content", [program(interpreter=LOADER, needed=["libc.so.6"]), GOOD], ids=["dynamic", "static"]
)
def test_a_refusal_says_where_it_was_built(lab, source, content, check):
    host = built_elsewhere(lab, content)
    lab.missing = [Problem("symbol_missing", "GLIBC_9.98 is missing", "rebuild it")]
    answer = lab.play({"version": VERSION, **lab.source(source, content)}, check)
    assert answer["code"] == "symbol_missing"
    assert answer["build_host"]["built_on"] == host


@pytest.mark.parametrize("source", ["path", "remote_src"])
@pytest.mark.parametrize(
    "manifest", [b"", b"{", b"\xff" * 9, b"[" * 99_999, b'{"format": 1, "build_host": 7, "target": []}']
)
def test_a_damaged_manifest_is_no_matter(lab, source, manifest):
    built_elsewhere(lab, GOOD)
    lab.put("artefact.json", manifest)
    answer = lab.play({"version": VERSION, **lab.source(source, GOOD)})
    assert answer["action"] == "release"
    assert "build_host" not in answer


def test_what_has_not_proven_itself_is_no_reason_to_stay_with_it(lab):
    """A release in flight: the last good version, and what is above it, is no downgrade."""
    lab.bring_into("current", {"version": VERSION, **lab.source("path", GOOD)})
    lab.monkeypatch.setattr(type(lab.host.layout), "current_id", lambda _self: "9.0.0-0123456789")
    assert preflight.downgrade(VERSION, lab.host.layout) is None
    assert preflight.downgrade("1.4.1", lab.host.layout) is not None


def test_a_rollback_is_no_downgrade(lab):
    lab.bring_into("current", {"version": VERSION, **lab.source("path", GOOD)})
    lab.lenient({"version": "2.0.0", **lab.source("path", SILENT)})
    assert lab.host.rollback().current.startswith(VERSION)


@pytest.mark.parametrize("state", ["new", "current", "before"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_provenance_is_verified_on_the_host_in_every_run(lab, source, state):
    """It needs no memory of the release: what is allowed today decides, also of what is here."""
    given = {"version": VERSION, **lab.source(source, GOOD)}
    sha256 = hashlib.sha256(GOOD).hexdigest()
    if state != "new":
        lab.bring_into(state, given)
    builder = {"provenance_required": True, "provenance_builder": [BUILDER], "provenance_ref": ["refs/tags/*"]}
    asked = {**given, "minisign_keys": [KEY.public], "policy": builder}
    before = lab.seen()
    for text, code in (
        (provenance_of(sha256, key=STRANGER), "unknown_signer"),
        (provenance_of("0" * 64), "wrong_provenance"),
        (provenance_of(sha256, version="1.0.0"), "version_mismatch"),
        (provenance_of(sha256)[:-1], "invalid_provenance"),
    ):
        place = lab.put("provenance", text.encode())
        for check in (True, False):
            answer = lab.play({**asked, "provenance": place}, check)
            assert answer["code"] == code, answer
            assert lab.seen() == before
    if source == "URL":
        lab.web["https://host/p"] = provenance_of(sha256).encode()
        place = "https://host/p"
    else:
        place = lab.put("provenance", provenance_of(sha256).encode())
    answer = lab.play({**asked, "provenance": place})
    assert answer["action"] == ("none" if state == "current" else "release"), answer
    if state == "new":
        origin = lab.host.layout.manifest(answer["current"])["origin"]["provenance"]
        assert (origin["builder"], origin["ref"]) == (BUILDER, "refs/tags/v1")
        assert origin["signer"] == f"minisign {KEY.name}"


@pytest.mark.parametrize("source", SOURCES)
def test_the_version_in_a_provenance_is_one_that_was_signed(lab, source):
    """Where neither the program nor a signature names one."""
    given = {"version": VERSION, **lab.source(source, SILENT), "policy": {"version_binding": "required"}}
    assert lab.play(given)["code"] == "version_not_named"
    text = provenance_of(hashlib.sha256(SILENT).hexdigest())
    asked = {**given, "provenance": lab.put("provenance", text.encode()), "minisign_keys": [KEY.public]}
    if source == "URL":
        lab.web["https://host/p"] = text.encode()
        asked["provenance"] = "https://host/p"
    assert lab.play(asked)["action"] == "release"
    assert lab.play(asked)["action"] == "none"


def table():
    """The table of the document."""
    told = [f"{state}: {what}" for state, what in STATES.items()]
    lines = ["| reason to refuse | " + " | ".join(told) + " |", "|---" * (len(STATES) + 1) + "|"]
    for name, rule in RULES.items():
        cells = [f"`{rule.code_in(state)}`" if rule.code_in(state) else "accepted" for state in STATES]
        what = {"none": "nothing"}.get(name, f"`{name}`" if "_" in name else name)
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_document_has_this_table():
    assert table() in DOCUMENT.read_text()

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the host takes in by itself is proven before the engine gets it, and gone when it is refused."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import platform
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.problems import Problem, ProblemsError
from ansible_collections.slipway.go.plugins.module_utils._release import intake, stage
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import fetch, inspect
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.fetch import Limits
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.inspect import Rules
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.signature import Trust
from ansible_collections.slipway.go.plugins.module_utils._release.intake import Request, Text
from ansible_collections.slipway.go.plugins.module_utils._release.outcome import Outcome
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Host

FOLDER = Path(__file__).parent / "artefact" / "minisign"
ONE, OTHER = ((FOLDER / name).read_text() for name in ("one.pub", "other.pub"))
MESSAGE = (FOLDER / "message").read_bytes()
MINISIG = (FOLDER / "hashed.minisig").read_text()
ELF = bytes(ElfBuilder(type=EXEC).build())
AGAINST_HOST = inspect.against_host
URL = "https://host/dist/shop?token=hunter2"


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Engine:
    """Says what a host with these releases would do, and writes down what it is asked."""

    def __init__(self, layout):
        self.layout, self.asked, self.problems = layout, [], []

    def _answer(self, how, spec):
        self.asked.append((how, spec.artefact))
        if self.problems:
            raise ProblemsError(self.problems)
        content = stage.content(spec, self.layout)
        wanted = content.release_id()
        if stage.is_staged(self.layout, wanted, content):
            return Outcome(False, wanted, None, "none")
        if how == "release" and spec.artefact.path is None:
            return Outcome(False, None, None, "upload")
        if how == "release":
            stage.stage(spec, self.layout, wanted, content)
        return Outcome(True, wanted, None, "release")

    def predict(self, spec):
        return self._answer("predict", spec)

    def release(self, spec):
        return self._answer("release", spec)

    @property
    def got(self):
        """What was released, in the end."""
        return self.asked[-1][1]


class World:
    """A host with a folder for what it takes in, a web of fixed files, and an engine."""

    def __init__(self, memory, monkeypatch):
        self.host = Host(memory).install(monkeypatch)
        self.layout, self.engine = self.host.layout, Engine(self.host.layout)
        self.host.artefact("v1")
        self.work = os.path.join(memory, "work")
        os.makedirs(self.work)
        self.web, self.fetched, self.headers = {}, [], []
        monkeypatch.setattr(intake, "WORK", self.work)
        monkeypatch.setattr(fetch, "fetch", self._fetch)
        monkeypatch.setattr(intake.artefact, "against_host", lambda seen: self.against)
        monkeypatch.setattr(platform, "machine", lambda: "x86_64")
        self.against = []

    def _fetch(self, url, variable, target, limits, headers):
        self.fetched.append(url)
        self.headers.append(headers)
        content = self.web[url]
        if isinstance(content, Exception):
            target.write(b"half")
            raise content
        target.write(content)

    def request(self, **changes):
        given = {"name": "shop", "label": fetch.shown(URL), "source": URL, "rules": Rules("v1"), **changes}
        return Request(**given)

    def release(self, request, how=intake.release):
        try:
            return how(request, lambda known: self.host.spec("v1", artefact=known), self.engine, self.layout)
        finally:
            assert os.listdir(self.work) == [], "something was left"

    def predict(self, request):
        before = self.tree()
        try:
            return self.release(request, intake.predict)
        finally:
            assert self.tree() == before, "check mode changed something"

    def refuse(self, code, request, *words, how=None):
        before = self.tree()
        with pytest.raises(SlipwayError) as caught:
            (how or self.release)(request)
        assert caught.value.code == code
        for word in words:
            assert word in str(caught.value)
        assert "hunter2" not in f"{caught.value} {caught.value.details}"
        assert self.tree() == before
        assert self.layout.staged() == []
        return caught.value

    def tree(self):
        found = {}
        for base, _folders, names in os.walk(self.host.folder):
            found.update({os.path.join(base, name): Path(base, name).read_bytes() for name in names})
        return found

    def manifest(self):
        (release_id,) = self.layout.staged()
        return self.layout.manifest(release_id)


@pytest.fixture
def world(memory, monkeypatch):
    return World(memory, monkeypatch)


def test_a_url_is_fetched_once(world):
    world.web[URL] = ELF
    request = world.request(digest=sha(ELF))
    assert world.release(request).changed
    assert world.fetched == [URL]
    origin = world.manifest()["origin"]
    assert origin == {
        "source": "https://host/dist/shop",
        "sha256": sha(ELF),
        "checksum": "release_checksum",
        "claims": [],
    }
    assert not world.release(request).changed
    assert not world.predict(request).changed
    assert world.fetched == [URL], "what is known by its checksum is not fetched again"


def test_the_headers_of_a_private_server_go_with_each_fetch_and_nowhere_else(world):
    """Which server gets them is decided there, where redirects are followed."""
    headers = fetch.parse_headers({"Authorization": "Bearer pssst"}, [URL])
    world.web = {URL: ELF, "https://host/SUMS": SUMS.encode()}
    request = world.request(checksums=Text(place="https://host/SUMS"), headers=headers)
    world.release(request)
    assert world.headers == [headers] * 2
    assert "pssst" not in repr(request)
    assert "pssst" not in repr(world.engine.got)
    kept = [path.read_text(errors="replace") for path in Path(world.layout.root).rglob("*.json")]
    assert kept
    assert not any("pssst" in text for text in kept)


def test_the_engine_is_asked_before_anything_is_fetched(world):
    world.engine.problems = [Problem("port_in_use", "port", "stop it")]
    with pytest.raises(SlipwayError):
        world.release(world.request(digest=sha(ELF)))
    assert world.fetched == []


def test_what_arrives_must_have_the_checksum(world):
    world.web[URL] = ELF + b"\0"
    for how in (world.release, world.predict):
        world.refuse("wrong_checksum", world.request(digest=sha(ELF)), sha(ELF), "https://host/dist/shop", how=how)


def test_a_fetch_that_fails(world):
    world.web[URL] = SlipwayError("not_fetched", "no", "look")
    world.refuse("not_fetched", world.request(digest=sha(ELF)))
    world.web[URL] = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        world.release(world.request(digest=sha(ELF)))


def test_check_mode_fetches_judges_and_forgets(world):
    world.web[URL] = ELF
    outcome = world.predict(world.request(digest=sha(ELF)))
    assert (outcome.changed, outcome.action) == (True, "release")
    assert world.fetched == [URL]
    assert world.engine.got.goarch == "amd64"
    assert world.engine.got.size == len(ELF)


def test_check_mode_names_everything_at_once(world):
    world.web[URL] = ELF
    world.against = [Problem("library_missing", "no libx", "install it")]
    world.engine.problems = [Problem("port_in_use", "port", "stop it")]
    request = world.request(digest=sha(ELF), rules=Rules("v1", {"min_go_version": "1.22"}))
    error = world.refuse("port_in_use", request, how=world.predict)
    codes = [problem["code"] for problem in error.details["problems"]]
    assert codes == ["port_in_use", "policy_not_go", "library_missing"]


@pytest.mark.parametrize("how", ["release", "predict"])
@pytest.mark.parametrize(
    ("policy", "denylist", "code"),
    [
        ({"require_vcs_clean": True}, "", "policy_not_go"),
        ({"main_module": "example.com/shop"}, "", "policy_not_go"),
        ({}, "stdlib <v99.0 # all of it\n", "policy_not_go"),
    ],
)
def test_the_host_enforces_the_policy(world, how, policy, denylist, code):
    world.web[URL] = ELF
    request = world.request(digest=sha(ELF), rules=Rules("v1", policy, denylist, "denied"))
    error = world.refuse(code, request, "https://host/dist/shop", how=getattr(world, how))
    assert error.details["problems"][0]["fix"]


@pytest.mark.parametrize("how", ["release", "predict"])
def test_the_host_finds_what_its_loader_would_miss(world, how, monkeypatch):
    monkeypatch.setattr(intake.artefact, "against_host", AGAINST_HOST)
    world.web[URL] = bytes(ElfBuilder(interpreter="/lib64/ld-nowhere.so.9", needed=["libc.so.6"]).build())
    error = world.refuse("interpreter_missing", world.request(digest=sha(world.web[URL])), how=getattr(world, how))
    assert "https://host/dist/shop" in str(error)
    assert world.work not in str(error), "nobody knows that path"


@pytest.mark.parametrize("data", [b"#!/bin/sh\n", b"", b"\x7fELF", b"<html>not found</html>"])
def test_what_is_no_program(world, data):
    world.web[URL] = data
    error = world.refuse(artefact_code(data), world.request(digest=sha(data)), "not a Linux executable")
    assert error.fix


def artefact_code(data):
    return {b"": "empty", b"\x7fELF": "truncated"}.get(data, "not_elf")


def test_another_architecture_is_named_by_the_engine_alone(world):
    world.web[URL] = bytes(ElfBuilder(type=EXEC, machine=183).build())
    world.against = [Problem("machine", "never asked", "")]
    world.predict(world.request(digest=sha(world.web[URL])))
    assert world.engine.got.goarch == "arm64"


SUMS = f"{sha(ELF)}  shop\n{'0' * 64}  other\n"


@pytest.mark.parametrize(
    "text", [Text(SUMS, "SHA256SUMS"), Text(None, "https://host/SUMS"), Text(f"SHA256 (shop) = {sha(ELF)}", "x")]
)
def test_checksums_files(world, text):
    world.web.update({URL: ELF, "https://host/SUMS": SUMS.encode()})
    assert world.release(world.request(checksums=text)).changed
    assert world.manifest()["origin"]["checksum"] == text.place
    assert not world.release(world.request(checksums=text)).changed
    assert world.fetched.count(URL) == 1


def sha512(data):
    return hashlib.sha512(data).hexdigest()


@pytest.mark.parametrize("listed", [False, True])
def test_an_artefact_of_which_only_the_longer_checksum_is_given(world, tmp_path, listed):
    """From a URL, which is fetched each time, for a release is known by the other one; and on the host."""
    world.web[URL] = ELF

    def given(content, **more):
        text = Text(f"{sha512(content)}\tshop\n", "SHA512SUMS")
        return world.request(**{**({"checksums": text} if listed else {"digest": sha512(content)}), **more})

    world.refuse("wrong_checksum", given(ELF + b"x"), sha512(ELF), sha512(ELF + b"x"))
    assert world.predict(given(ELF)).changed
    assert world.release(given(ELF)).changed
    assert world.manifest()["sha256"] == sha(ELF)
    fetched = len(world.fetched)
    assert not world.release(given(ELF)).changed
    assert len(world.fetched) == fetched + 1
    (tmp_path / "shop").write_bytes(ELF)
    local = str(tmp_path / "shop")
    assert not world.release(given(ELF, source=local, label=local)).changed
    with pytest.raises(SlipwayError, match=sha512(ELF)):
        world.release(given(b"x", source=local, label=local))


def test_the_controllers_artefact_by_the_longer_checksum_of_a_file_on_the_web(world):
    world.web["https://host/SUMS"] = f"{sha512(ELF)}  shop\n".encode()
    request = world.request(source="", label="build/shop", digest=sha(ELF), checksums=Text(None, "https://host/SUMS"))
    world.refuse("wrong_checksum", replace(request, sha512=sha512(b"x")), sha512(b"x"), "https://host/SUMS")
    assert world.release(replace(request, sha512=sha512(ELF))).action == "upload"


def test_a_checksums_file_without_this_one(world):
    world.refuse("no_checksum", world.request(checksums=Text(f"{'0' * 64}  other\n", "SUMS")), "shop", "SUMS")
    assert world.fetched == []


@pytest.mark.parametrize("scheme", ["http", "HTTP", "hTTp"])
def test_a_checksums_file_that_anybody_on_the_way_could_have_written(world, scheme):
    place = f"{scheme}://me:hunter2@host/SUMS"
    world.web[place] = SUMS.encode()
    error = world.refuse("insecure_checksums", world.request(checksums=Text(None, place)), "http://host/SUMS")
    assert "https" in error.fix
    assert world.fetched == []


def test_the_controllers_digest_and_the_checksums_file_must_agree(world):
    """An artefact of the controller, with a checksums file that only the host can fetch."""
    world.web["https://host/SUMS"] = SUMS.encode()
    request = world.request(source="", label="build/shop", digest=sha(b"x"), checksums=Text(None, "https://host/SUMS"))
    world.refuse("wrong_checksum", request, "https://host/SUMS")
    assert world.release(replace(request, digest=sha(ELF))).action == "upload"


@pytest.fixture
def local(world, tmp_path):
    path = tmp_path / "shop"
    path.write_bytes(ELF)
    return world.request(source=str(path), label=str(path))


def test_a_path_on_the_host(world, local):
    assert world.release(local).changed
    assert not world.release(local).changed
    assert world.manifest()["sha256"] == sha(ELF)
    assert os.path.exists(local.source)


@pytest.mark.parametrize("path", ["/nowhere/shop", "/etc", "/dev/null"])
def test_a_path_where_there_is_no_file(world, path):
    assert world.refuse("missing_file", world.request(source=path, label=path), "release_src", path).fix


def test_a_path_with_another_checksum(world, local):
    world.refuse("wrong_checksum", replace(local, digest=sha(b"x")), sha(ELF))


def test_a_file_that_changes_after_it_was_read(world, local, monkeypatch):
    """What is judged and what is staged are the same bytes, whoever can write to the path."""
    copy = intake.shutil.copyfile

    def swap(source, target):
        Path(source).write_bytes(ELF + b"swapped")
        copy(source, target)

    monkeypatch.setattr(intake.shutil, "copyfile", swap)
    world.refuse("wrong_checksum", local)


SIGNED = sha(MESSAGE)


@pytest.fixture
def signed(world, monkeypatch):
    """minisign/message stands for a program here."""
    seen = inspect.InspectedArtefact(
        "", "message", len(MESSAGE), "", type("Binary", (), {"elf": type("Elf", (), {"goarch": None}), "facts": {}})
    )
    monkeypatch.setattr(intake.artefact, "look_into", lambda *_arguments: seen)
    monkeypatch.setattr(intake.artefact, "look_at_staged", lambda *_arguments: seen)
    monkeypatch.setattr(intake.artefact, "built_claims", lambda _seen: [])
    monkeypatch.setattr(intake.artefact, "check_policy", lambda *_arguments: [])
    monkeypatch.setattr(intake.preflight, "linkage_problems", lambda *_arguments: [])
    world.web[URL] = MESSAGE
    return world.request(digest=SIGNED, signature=Text(MINISIG, "sig"), trust=Trust((ONE,)))


def test_a_good_signature_is_remembered(world, signed):
    assert world.release(signed).changed
    assert world.manifest()["origin"]["signer"] == "minisign DC6C420BBA78D4E6"
    assert not world.release(signed).changed
    assert world.fetched == [URL]


@pytest.mark.parametrize("how", ["release", "predict"])
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"trust": Trust((OTHER,))}, "unknown_signer"),
        ({"trust": Trust()}, "no_signer"),
        ({"signature": Text("nonsense", "sig")}, "invalid_signature"),
        ({"signature": Text(MINISIG.replace("shop 2.0.0", "shop 2.0.1"), "sig")}, "bad_signature"),
    ],
)
def test_a_bad_signature_changes_nothing(world, signed, how, changes, code):
    world.refuse(code, replace(signed, **changes), how=getattr(world, how))


def test_a_signature_that_is_asked_for_later_is_verified_then(world, signed):
    """A release that is there already proves nothing about who has signed it."""
    unsigned = replace(signed, signature=Text())
    assert world.release(unsigned).changed
    assert "signer" not in world.manifest()["origin"]
    with pytest.raises(SlipwayError):
        world.release(replace(signed, trust=Trust((OTHER,))))
    assert not world.release(signed).changed
    assert world.manifest()["origin"]["signer"] == "minisign DC6C420BBA78D4E6"
    fetched = len(world.fetched)
    assert not world.release(signed).changed
    assert len(world.fetched) == fetched


@pytest.mark.parametrize("known", [False, True])
def test_the_trusted_comment_names_the_version_now_and_later(world, signed, tmp_path, known):
    """It says `shop 2.0.0`; what a host remembers of a signature says so as well as the signature itself."""
    right, wrong = (replace(signed, rules=Rules(version, binding="required")) for version in ("2.0.0", "9.9.9"))
    (tmp_path / "shop").write_bytes(MESSAGE)
    if known:
        assert world.release(right).changed
        assert not world.release(right).changed
        assert not world.release(replace(right, source="", label="build/shop")).changed
        assert world.fetched == [URL]
    for request in (wrong, replace(wrong, source="", label="shop", uploaded=str(tmp_path / "shop"))):
        for how in (world.release, world.predict):
            with pytest.raises(SlipwayError) as caught:
                how(request)
            assert caught.value.code == "version_mismatch"
            assert "'shop 2.0.0'" in str(caught.value)
    unsigned = replace(right, signature=Text())
    with pytest.raises(SlipwayError) as caught:
        world.release(unsigned)
    assert caught.value.code == "version_not_named", "a comment counts only with its signature"


@pytest.mark.parametrize("action", ["tool", "upload"])
def test_what_was_verified_says_nothing_about_the_release_that_serves(world, signed, monkeypatch, action):
    """The engine asks for something first, and the old release is the one that it names."""
    old = world.host.release("v0").current
    before = world.layout.manifest(old)["origin"]
    monkeypatch.setattr(world.engine, "release", lambda _spec: Outcome(False, old, None, action))
    world.release(signed)
    assert world.layout.manifest(old)["origin"] == before


def test_the_controllers_artefact_is_verified_here_too(world, signed, tmp_path):
    there = tmp_path / "uploaded"
    there.write_bytes(MESSAGE)
    request = replace(signed, source="", label="build/shop")
    assert world.release(request).action == "upload"
    assert world.engine.asked == [], "nothing happens before the signature is verified"
    assert world.predict(request).action == "upload"
    world.refuse("unknown_signer", replace(request, uploaded=str(there), trust=Trust((OTHER,))))
    assert world.release(replace(request, uploaded=str(there))).changed
    assert world.release(request).action == "none"


def test_a_signed_checksums_file(world):
    world.web.update({URL: ELF, "http://host/SUMS": MESSAGE, "http://host/SUMS.minisig": MINISIG.encode()})
    request = world.request(
        checksums=Text(None, "http://host/SUMS"),
        signature=Text(None, "http://host/SUMS.minisig"),
        signed="checksums",
        trust=Trust((OTHER,)),
    )
    world.refuse("unknown_signer", request)
    world.refuse("invalid_checksums", replace(request, trust=Trust((ONE,))), "line 1")
    assert URL not in world.fetched, "its signature was good, and it has no checksums"
    world.web["http://host/SUMS"] = SUMS.encode()
    world.refuse("bad_signature", replace(request, trust=Trust((ONE,))))


def test_the_label_is_no_secret_in_the_journal(world):
    world.web[URL] = ELF
    world.release(world.request(digest=sha(ELF)))
    assert "hunter2" not in json.dumps(world.manifest())


def archive(*files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tape:
        for name, content, mode in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tape.addfile(info, io.BytesIO(content))
    return made.getvalue()


def test_an_archive(world):
    files = [("x/shop", ELF, 0o755), ("x/static/a.css", b"body", 0o666), ("x/run.sh", b"#!", 0o777)]
    world.web[URL] = archive(*files)
    request = world.request(digest=sha(world.web[URL]))
    assert world.release(request).changed
    (release_id,) = world.layout.staged()
    release = Path(world.layout.release(release_id))
    assert Path(world.layout.binary(release_id)).read_bytes() == ELF
    assert (release / "assets" / "static" / "a.css").read_bytes() == b"body"
    modes = {
        name: (release / name).stat().st_mode & 0o7777 for name in ("assets/static/a.css", "assets/run.sh", "assets")
    }
    assert modes == {"assets/static/a.css": 0o640, "assets/run.sh": 0o750, "assets": 0o750}
    assert world.manifest()["origin"]["binary"] == "shop"
    assert world.engine.got.size == sum(len(content) for _name, content, _mode in files)
    assert not world.release(request).changed
    assert world.release(replace(request, binary="x/shop")).current != release_id, "another choice, another release"


@pytest.mark.parametrize("how", ["release", "predict"])
def test_a_hostile_archive_leaves_nothing(world, how):
    world.web[URL] = archive(("shop", ELF, 0o755), ("../../../etc/cron.d/x", b"* * * * *", 0o644))
    world.refuse("unsafe_archive", world.request(digest=sha(world.web[URL])), how=getattr(world, how))


def test_an_archive_that_unpacks_to_too_much(world):
    world.web[URL] = archive(("shop", ELF, 0o755), ("zeros", bytes(3 << 20), 0o644))
    request = world.request(digest=sha(world.web[URL]), limits=Limits(1 << 20, 9.0))
    world.refuse("archive_too_large", request, "release_max_size")


def test_what_killed_runs_have_left_is_collected_and_nothing_else(world, monkeypatch):
    monkeypatch.setattr(intake, "_YOUNG", -1.0)
    left, busy, foreign = (
        os.path.join(world.work, f"slipway-intake-{name}.x") for name in ("shop", "shop.2", "shopping")
    )
    for folder in (left, busy, foreign):
        os.makedirs(folder)
    os.symlink(foreign, os.path.join(world.work, "slipway-intake-shop.link"))
    descriptor = os.open(busy, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        intake.Workspace("shop").collect()
    finally:
        os.close(descriptor)
    assert sorted(os.listdir(world.work)) == [
        "slipway-intake-shop.2.x",
        "slipway-intake-shop.link",
        "slipway-intake-shopping.x",
    ]


def test_a_young_folder_may_not_have_been_locked_yet(world):
    os.makedirs(os.path.join(world.work, "slipway-intake-shop.x"))
    intake.Workspace("shop").collect()
    assert os.listdir(world.work) == ["slipway-intake-shop.x"]


def test_two_at_a_time_do_not_meet(world):
    one, two = intake.Workspace("shop"), intake.Workspace("shop")
    assert one.path != two.path
    assert os.stat(one.path).st_mode & 0o777 == 0o700
    two.collect()
    assert os.path.isdir(one.path)
    one.close()
    two.close()
    assert os.listdir(world.work) == []


def test_a_text_that_is_too_large(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"x" * 2000)
    assert len(intake.read_text(str(path), "release_signature", 2000)) == 2000
    with pytest.raises(SlipwayError) as caught:
        intake.read_text(str(path), "release_signature", 1999)
    assert caught.value.code == "too_large"


def test_every_byte_of_a_text_comes_back(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(range(256)))
    assert intake.read_text(str(path), "x", 999).encode("utf-8", "surrogateescape") == bytes(range(256))


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("cut_short", [False, True])
def test_what_the_policy_refuses_changes_nothing_where_it_serves_already(memory, monkeypatch, waits, cut_short):
    """It was taken in by a version that recorded no claims, and so has to be brought to be judged."""
    host = Host(memory).install(monkeypatch)
    for version in ("v0", "v1"):
        host.release(version)
    (host.swap if waits or cut_short else host.release)("v2")
    if cut_short:
        left = host.store.load()
        left.phase = "SOAK"
        host.store.save(left)
    artefact_of = host.artefact("v2")
    data = Path(artefact_of.path).read_bytes()
    binary = type("Binary", (), {"elf": type("Elf", (), {"goarch": None}), "facts": {}})
    seen = inspect.InspectedArtefact("", "shop", len(data), "", binary)
    refused = Problem("policy_static", "it is linked dynamically.", "build it with CGO_ENABLED=0")
    monkeypatch.setattr(intake, "WORK", memory)
    monkeypatch.setattr(fetch, "fetch", lambda _url, _variable, target, *_limits: target.write(data))
    monkeypatch.setattr(intake.artefact, "look_into", lambda *_arguments: seen)
    monkeypatch.setattr(intake.artefact, "built_claims", lambda _seen: [])
    monkeypatch.setattr(intake.artefact, "judge", lambda *_arguments: [refused])
    monkeypatch.setattr(intake.artefact, "against_host", lambda _seen: [])
    host.health, host.keep, host.confirm = {**host.health, "deadline": 7}, 2, 0.0
    request = Request("shop", URL, Rules("v2"), source=URL, digest=artefact_of.sha256)

    def tree():
        found = [Path(base, name) for base, _folders, names in os.walk(host.folder) for name in names]
        return {path: path.read_bytes() for path in found if path.name != "lock"}

    before = tree()
    with pytest.raises(SlipwayError) as caught:
        intake.release(request, lambda known: host.spec("v2", artefact=known), host.engine(), host.layout)
    assert caught.value.code == "policy_static"
    assert tree() == before
    monkeypatch.setattr(intake.artefact, "judge", lambda *_arguments: [])
    done = intake.release(request, lambda known: host.spec("v2", artefact=known), host.engine(), host.layout)
    assert done.current == host.settled() == host.id_of("v2")

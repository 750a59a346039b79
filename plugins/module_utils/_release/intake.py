# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes an artefact in on the host: fetched, copied or uploaded, and proven before the engine gets it.

This file is PRIVATE to the collection. What is not proven is removed again, and nothing else has happened then.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Iterator, NamedTuple, Optional

from .._core import files as _files
from .._core.errors import SlipwayError
from .._core.problems import Problem, ProblemsError
from . import preflight, stage
from .artefact import binding, checksums, dsse, fetch, provenance, signature
from .artefact import inspect as artefact
from .artefact.binding import Claim
from .artefact.fetch import Headers, Limits, shown
from .artefact.inspect import Rules
from .artefact.provenance import Policy, Provenance
from .artefact.signature import Trust
from .engine import Engine
from .outcome import Outcome
from .state.layout import Layout
from .state.model import MAX_ARTEFACT, Artefact, Spec
from .state.store import Store

WORK = "/var/tmp"  # noqa: S108 (a private folder in it; large files have no place in memory)
_PREFIX = "slipway-intake-"
_YOUNG = 60.0  # seconds in which a folder may not have been locked yet
SIGNED = ("artefact", "checksums")


@dataclass(frozen=True)
class Text:
    """A small file: its content where the controller has read it, else the path or URL it has on this host."""

    content: Optional[str] = None
    place: str = ""

    def __bool__(self) -> bool:
        return self.content is not None or bool(self.place)

    def label(self) -> str:
        return shown(self.place)


@dataclass(frozen=True)
class Request:
    """What to take in, and what must be proven of it.

    source: a path or URL for this host; empty where the controller has the artefact, which is then in uploaded or not
    here yet. label: what to call it. digest: its SHA-256 as far as the controller knows, or for a URL its SHA-512;
    empty else. sha512: of the controller's artefact, where a checksums file on the web may ask for it. signed: what the
    signature signs, "artefact" or "checksums". built: which version the controller has read in its artefact, which it
    has judged by all rules that need no signature. headers: what opens the server of the first URL.
    """

    name: str
    label: str
    rules: Rules
    source: str = ""
    uploaded: Optional[str] = None
    digest: str = ""
    sha512: str = ""
    size: int = 0
    goarch: Optional[str] = None
    binary: str = ""
    checksums: Text = field(default_factory=Text)
    signature: Text = field(default_factory=Text)
    signed: str = "artefact"
    trust: Trust = field(default_factory=Trust)
    built: tuple[Claim, ...] = ()
    provenance: Text = field(default_factory=Text)
    provenance_policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=lambda: Limits(MAX_ARTEFACT, 300.0))
    headers: Headers = field(default_factory=Headers, repr=False)


class AcceptedArtefact(NamedTuple):
    """An artefact on this host, and what speaks against it here."""

    artefact: Artefact
    problems: list[Problem]


class Workspace:
    """A private folder, made when it is first asked for; it ends with the process that has it locked."""

    def __init__(self, name: str) -> None:
        self._prefix = f"{_PREFIX}{name}."
        self._descriptor: Optional[int] = None
        self._path = ""

    @property
    def path(self) -> str:
        if self._descriptor is None:
            self._path = tempfile.mkdtemp(prefix=self._prefix, dir=WORK)
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return self._path

    def close(self) -> None:
        if self._descriptor is not None:
            _files.remove_tree(self._path)
            os.close(self._descriptor)
            self._descriptor = None

    def collect(self) -> None:
        """Remove what runs that were killed have left; one that still runs holds the lock of its folder."""
        for entry in os.scandir(WORK):
            if entry.name.startswith(self._prefix) and entry.path != self._path:
                with contextlib.suppress(OSError):
                    _collect(entry.path)


def _collect(path: str) -> None:
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or time.time() - status.st_mtime < _YOUNG:
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _files.remove_tree(path)
    finally:
        os.close(descriptor)


class Intake:
    """One artefact on its way in."""

    def __init__(self, request: Request, work: Workspace) -> None:
        self._request = request
        self._work = work
        self._checksum_from = ""
        self._signer = ""
        self._signed: list[Claim] = []
        self.digest = self._find_digest()
        self._provenance = self._verify_provenance()

    def known(self) -> Artefact:
        """What can be said of the artefact before it is here."""
        request = self._request
        return Artefact(
            sha256=self.digest,
            size=request.size,
            goarch=request.goarch,
            binary=request.binary,
            limit=request.limits.size,
            origin=self._origin(""),
        )

    def find_staged(self, spec: Spec, layout: Layout) -> Optional[AcceptedArtefact]:
        """What lies on this host already, judged by today's rules; None where it has to be taken in to be judged."""
        wanted = stage.content(spec, layout)
        release_id = wanted.release_id()
        remembered = self._remembered(layout, release_id)
        if remembered is None or not stage.is_staged(layout, release_id, wanted):
            return None
        request, release = self._request, layout.release(release_id)
        files = [os.path.join(release, name) for name in layout.manifest(release_id)["files"]]
        seen = artefact.look_at_staged(layout.binary(release_id), request.label, files, request.limits.size)
        judged = replace(self.known(), size=seen.size, goarch=seen.binary.elf.goarch)
        return AcceptedArtefact(judged, artefact.judge(seen, request.rules, [*self._signed, *remembered]))

    def _remembered(self, layout: Layout, release_id: str) -> Optional[list[Claim]]:
        """What the artefact said that nothing staged says any more: its folder, and a signature that still counts."""
        origin = layout.manifest(release_id).get("origin") or {}
        claims = binding.recorded(origin.get("claims"))
        if claims is None:
            return None
        return [c for c in claims if c.where == binding.FOLDER or (self.proof and c.where == binding.COMMENT)]

    def against_claims(self, spec: Spec, layout: Layout) -> list[Problem]:
        """What speaks against the controller's artefact beside what the controller has seen: who signed what."""
        request = self._request
        remembered = self._remembered(layout, stage.content(spec, layout).release_id()) or []
        claims = [*request.built, *self._signed, *remembered]
        return binding.problems(request.rules.version, request.rules.binding, claims)

    def is_proven(self, spec: Spec, layout: Layout) -> bool:
        """Whether this host has verified the very signature that is asked for, when it took this release in."""
        if not self.proof:
            return True
        release_id = stage.content(spec, layout).release_id()
        origin = layout.manifest(release_id).get("origin") or {}
        return origin.get("proof") == self.proof and binding.recorded(origin.get("claims")) is not None

    @property
    def proof(self) -> str:
        """What a release is marked with once its artefact's signature has been verified; empty where none is asked."""
        request = self._request
        if not request.signature or request.signed != "artefact":
            return ""
        trust = request.trust
        said: list[Any] = [self.digest, request.signature.content, request.signature.place, list(trust.keys)]
        said += [trust.allowed_signers, trust.signer, trust.namespace]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def take(self) -> AcceptedArtefact:
        """Have the artefact on this host, as it should be and signed as it should be; raise SlipwayError otherwise."""
        request = self._request
        path = self._bring()
        if self.proof:
            self._verify(path)
        folder = self._work.path
        seen = artefact.look_into(path, request.label, request.binary, request.name, request.limits.size, folder)
        goarch = seen.binary.elf.goarch
        problems = artefact.judge(seen, request.rules, self._signed)
        if _fits(goarch):  # the engine names the architecture, and of a foreign one there is nothing more to say
            problems += artefact.against_host(seen)
        claims = binding.record([*self._signed, *artefact.built_claims(seen)])
        origin = {**self._origin(seen.member), "claims": claims}
        accepted = replace(self.known(), size=seen.size, goarch=goarch, path=path, origin=origin)
        return AcceptedArtefact(accepted, problems)

    def _origin(self, member: str) -> dict[str, Any]:
        origin: dict[str, Any] = {
            "source": self._request.label,
            "sha256": self.digest,
            "binary": member,
            "checksum": self._checksum_from,
            "signer": self._signer,
            "proof": self.proof if self._signer else "",
            "provenance": self._provenance.record() if self._provenance else {},
        }
        return {key: value for key, value in origin.items() if value}

    def _find_digest(self) -> str:
        """The artefact's SHA-256, from all that is known of it; raise where two sources of it differ."""
        request = self._request
        wanted = request.digest
        if request.checksums:
            wanted = self._listed()
            for digest in filter(None, (request.digest, request.sha512)):
                if len(digest) == len(wanted) and digest != wanted:
                    raise artefact.wrong_checksum(request.label, digest, wanted, self._checksum_from)
        elif request.digest and request.source:
            self._checksum_from = "release_checksum"
        if not request.source:
            return request.digest
        if fetch.is_url(request.source):
            return wanted if artefact.algorithm_of(wanted) != "sha512" else self._digest_of_fetched(wanted)
        path = _plain_file(request.source, "release_src")
        if wanted:
            artefact.check_digest(path, request.label, wanted, self._checksum_from)
        return _files.sha256_file(path)

    def _digest_of_fetched(self, sha512: str) -> str:
        """A release is known by its SHA-256, which nobody has told."""
        path = self._fetched()
        artefact.check_digest(path, self._request.label, sha512, self._checksum_from)
        return _files.sha256_file(path)

    def _fetched(self) -> str:
        path = os.path.join(self._work.path, "artefact")
        if not os.path.exists(path):
            with open(path, "xb") as stream:
                request = self._request
                fetch.fetch(request.source, "release_src", stream, request.limits, request.headers)
        return path

    def _listed(self) -> str:
        """What the checksums file says, after its signature where it has one."""
        request = self._request
        place = request.checksums.place
        plain = fetch.is_url(place) and fetch.parse_url(place, "release_checksum").scheme == "http"
        if plain and not (request.signature and request.signed == "checksums"):
            raise SlipwayError(
                "insecure_checksums",
                f"release_checksum {shown(place)} comes without TLS and without a signature: it proves nothing.",
                "use its https URL, sign it (release_signature_of: checksums), or give the SHA-256 itself",
            )
        text = self._read(request.checksums, "release_checksum", checksums.MAX_TEXT)
        self._checksum_from = request.checksums.label()
        if request.signature and request.signed == "checksums":
            path = os.path.join(self._work.path, "checksums")
            with open(path, "xb") as stream:
                stream.write(text.encode("utf-8", "surrogateescape"))
            self._verify(path)
        name = fetch.file_name(request.source or request.label)
        entry = checksums.find_entry(text, name, self._checksum_from)
        if self._signer:
            self._signed += binding.entry_claims(entry.name)
        return str(entry.digest)

    def _verify(self, path: str) -> None:
        text = self._read(self._request.signature, "release_signature", signature.MAX_TEXT)
        self._signer, comment = signature.verify(text, self._request.trust, path, self._work.path)
        self._signed += binding.comment_claims(comment)

    def _verify_provenance(self) -> Optional[Provenance]:
        """In every run, since it takes no more than the digest: what is allowed today holds for what is here, too."""
        request = self._request
        if not request.provenance:
            return None
        text = self._read(request.provenance, "release_provenance", dsse.MAX_TEXT)
        found = provenance.verify(text, self.digest, request.trust, request.provenance_policy, lambda: self._work.path)
        self._signed += found.claims()
        return found

    def _read(self, text: Text, variable: str, limit: int) -> str:
        if text.content is not None:
            return text.content
        if not fetch.is_url(text.place):
            return read_text(_plain_file(text.place, variable), variable, limit)
        path = os.path.join(self._work.path, f"{variable}.fetched")
        with open(path, "xb") as stream:
            limits = Limits(limit, self._request.limits.seconds)
            fetch.fetch(text.place, variable, stream, limits, self._request.headers)
        return read_text(path, variable, limit)

    def _bring(self) -> str:
        """The artefact in the private folder, where nobody else can change it, with the right digest."""
        request = self._request
        path = os.path.join(self._work.path, "artefact")
        if fetch.is_url(request.source):
            self._fetched()
        else:
            shutil.copyfile(request.source or str(request.uploaded), path)
        artefact.check_digest(path, request.label, self.digest, self._checksum_from)
        return path


def _fits(goarch: Optional[str]) -> bool:
    try:
        preflight.check_architecture(goarch, platform.machine())
    except SlipwayError:
        return False
    return True


def _plain_file(path: str, variable: str) -> str:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise SlipwayError(
            "missing_file",
            f"{variable} {path} is not readable on this host: {error.strerror}.",
            "correct the path, or leave release_remote_src out for a file on the controller",
        ) from error
    if not stat.S_ISREG(mode):
        raise SlipwayError("missing_file", f"{variable} {path} is not a file on this host.", "correct the path")
    return path


def read_text(path: str, variable: str, limit: int) -> str:
    """A small file as text that encodes to the same bytes again."""
    with open(path, "rb") as stream:
        raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise SlipwayError(
            "too_large",
            f"{variable} {path} has more than {limit >> 10} KiB.",
            f"correct {variable}: this is no such file",
        )
    return raw.decode("utf-8", "surrogateescape")


def release(request: Request, spec_of: Callable[[Artefact], Spec], engine: Engine, layout: Layout) -> Outcome:
    """Release it; the action is "upload" where the controller has to send the artefact first."""
    with _intake(request, collect=True) as intake:
        spec = spec_of(intake.known())
        if not request.source and intake.is_proven(spec, layout):
            return _release_of_controller(intake, request, spec, engine, layout)
        if request.uploaded is None and not request.source:
            return Outcome(False, layout.current_id(), None, "upload")
        if intake.is_proven(spec, layout):
            here = intake.find_staged(spec, layout)
            _refuse(here.problems if here else [], layout)
            artefact_here = here.artefact if here else spec.artefact
            outcome = engine.release(replace(spec, artefact=artefact_here, judged=here is not None))
            if outcome.action == "tool" or (here and outcome.action != "upload"):
                return outcome
        taken = intake.take()
        _refuse(taken.problems, layout)
        spec = replace(spec, artefact=taken.artefact)
        outcome = engine.release(spec)
        if outcome.current == stage.content(spec, layout).release_id():
            _remember(intake, taken.artefact, str(outcome.current), layout)
        return outcome


def _release_of_controller(intake: Intake, request: Request, spec: Spec, engine: Engine, layout: Layout) -> Outcome:
    """The controller has judged it, this host knows its signature, and the engine checks its digest."""
    _refuse(intake.against_claims(spec, layout), layout)
    return engine.release(replace(spec, artefact=replace(spec.artefact, path=request.uploaded)))


def predict(request: Request, spec_of: Callable[[Artefact], Spec], engine: Engine, layout: Layout) -> Outcome:
    """Say what a release would do, with everything that speaks against it at once; what was fetched is removed."""
    with _intake(request, collect=False) as intake:
        spec = spec_of(intake.known())
        if request.uploaded is None and intake.is_proven(spec, layout):
            outcome, problems = _foresee_known(intake, request, spec, engine, layout)
            _refuse(problems, layout)
            if outcome is not None:
                return outcome
        elif request.uploaded is None and not request.source:
            return Outcome(False, layout.current_id(), None, "upload")
        taken = intake.take()
        outcome, problems = _foresee(engine, replace(spec, artefact=taken.artefact))
        if outcome is None or taken.problems:
            raise ProblemsError(problems + taken.problems, current=layout.current_id())
        return outcome


def _foresee_known(
    intake: Intake, request: Request, spec: Spec, engine: Engine, layout: Layout
) -> tuple[Optional[Outcome], list[Problem]]:
    """For what need not be taken in to be judged; None and no problems for the rest."""
    if not request.source:
        outcome, problems = _foresee(engine, spec)
        return outcome, problems + intake.against_claims(spec, layout)
    here = intake.find_staged(spec, layout)
    if here is None:
        _foresee(engine, spec)  # raises where fetching it would be in vain
        return None, []
    try:
        outcome, problems = _foresee(engine, replace(spec, artefact=here.artefact))
    except SlipwayError as error:
        if not here.problems:
            raise
        outcome, problems = None, [Problem.of(error)]
    if outcome is None or outcome.action == "release":  # the engine looks at that only as it acts
        problems += preflight.linkage_problems(layout, stage.content(spec, layout).release_id())
    return outcome, here.problems + problems


def _refuse(problems: list[Problem], layout: Layout) -> None:
    if problems:
        raise ProblemsError(problems, current=layout.current_id())


def _foresee(engine: Engine, spec: Spec) -> tuple[Optional[Outcome], list[Problem]]:
    try:
        return engine.predict(spec), []
    except ProblemsError as error:
        return None, error.problems


@contextlib.contextmanager
def _intake(request: Request, collect: bool) -> Iterator[Intake]:
    if request.signature:
        request.trust.check()
    elif request.provenance:
        request.trust.check("release_provenance")
    work = Workspace(request.name)
    try:
        if collect:
            work.collect()
        yield Intake(request, work)
    finally:
        work.close()


def _remember(intake: Intake, taken: Artefact, release_id: str, layout: Layout) -> None:
    """A release that was here before its signature was asked for, or its version, has been proven now."""
    origin = layout.manifest(release_id).get("origin") or {}
    if binding.recorded(origin.get("claims")) is None or (intake.proof and origin.get("proof") != intake.proof):
        with contextlib.suppress(SlipwayError, OSError), Store(layout).locked(0):  # else it is taken in again next time
            stage.note_origin(layout, release_id, taken.origin)

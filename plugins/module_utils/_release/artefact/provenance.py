# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where an artefact was built, from what and by whom, as somebody trusted has signed it. PRIVATE to the collection.

A statement of in-toto 1.0 with a predicate of SLSA Provenance v1, in an envelope of DSSE. It is verified without a
network: the signature first, then the artefact's digest, then what the operator allows.
"""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Mapping, NamedTuple, NoReturn, Optional, Sequence

from ..._core import files
from ..._core.errors import SlipwayError
from . import dsse, ed25519, minisign, signature, sshsig
from .binding import PROVENANCE, STATED, Claim
from .dsse import Envelope, Malformed
from .signature import Trust

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://github.com/slipway/slipway.go/build@v1"
GITHUB = "https://actions.github.io/buildtypes/workflow/v1"
# In which external parameter a type of build has its repository and its ref.
SOURCES = {BUILD_TYPE: "source", GITHUB: "workflow"}
ENDING = ".intoto.jsonl"
MAX_SUBJECTS = 1000
_VARIABLE = "release_provenance"
_FIX = "give the file that the build has written beside the artefact (NAME.intoto.jsonl), unchanged"
_NAMES_SIGNATURE = re.compile(r"\brelease_signature\b")
_ED25519_SIZE = 64
_SHOWN = 120


class Policy(NamedTuple):
    """Which values are allowed, each perhaps with a * for any text; any where there are none."""

    builders: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    refs: tuple[str, ...] = ()


class Provenance(NamedTuple):
    """signer: who vouches for it. Empty is what the statement does not say."""

    signer: str
    builder: str
    repository: str = ""
    ref: str = ""
    commit: str = ""
    version: str = ""

    def record(self) -> dict[str, str]:
        """For release.json and whoever shows it."""
        return {name: value for name, value in self._asdict().items() if value}

    def claims(self) -> list[Claim]:
        """Of which version the builder says it is."""
        return [Claim(PROVENANCE, STATED, self.version)] if self.version else []


def verify(text: str, sha256: str, trust: Trust, policy: Policy, folder: Callable[[], str]) -> Provenance:
    """What is said of the artefact with that digest by somebody trusted; raise SlipwayError for anything else.

    folder: gives a private one for the files that ssh-keygen(1) wants to read.
    """
    trust.check(_VARIABLE)
    try:
        envelope = dsse.parse(text)
        signer = _find_signer(envelope, trust, folder)
        found = read_statement(envelope.payload, sha256)._replace(signer=signer)
    except Malformed as error:
        raise SlipwayError("invalid_provenance", f"{_VARIABLE} {error}.", _FIX) from None
    _require(found, policy)
    return found


def _find_signer(envelope: Envelope, trust: Trust, folder: Callable[[], str]) -> str:
    """One trusted signature is enough, and those of others do not count (DSSE, threshold 1)."""
    keys = [minisign.parse_key(key) for key in trust.keys]
    refused: Optional[SlipwayError] = None
    for one in envelope.signatures:
        if len(one.signature) == _ED25519_SIZE:
            key = _minisign_key(one, keys, envelope.message)
            if key is not None:
                return f"minisign {key}"
            if one.keyid in map(str, keys):
                refused = refused or _not_signed(f"the signature by {one.keyid} is not one of this statement")
        elif one.signature.startswith(dsse.SSHSIG) and trust.allowed_signers.strip():
            try:
                return _verify_ssh(one.signature, envelope.message, trust, folder())
            except SlipwayError as error:
                refused = refused or _renamed(error)
    if refused is not None:
        raise refused
    named = ", ".join(one.keyid[:_SHOWN] or "a key that is not named" for one in envelope.signatures)
    raise SlipwayError(
        "unknown_signer",
        f"{_VARIABLE} was signed by {named!r}, and none of release_minisign_keys and release_allowed_signers has "
        "signed it.",
        "sign with one of these keys, or add the public key of that builder if you trust it",
    )


def _minisign_key(one: dsse.Signature, keys: Sequence[minisign.Key], message: bytes) -> Optional[minisign.Key]:
    """The key that has made it. Its name is only a hint, by which the likely one is tried first."""
    likely = sorted(keys, key=lambda key: str(key) != one.keyid)
    return next((key for key in likely if ed25519.verify(key.public, one.signature, [message])), None)


def _verify_ssh(blob: bytes, message: bytes, trust: Trust, folder: str) -> str:
    path = os.path.join(folder, "provenance")
    files.write_pieces([message], path, 0o600)
    try:
        return signature.verify(sshsig.armour(blob), trust, path, folder).signer
    finally:
        os.unlink(path)


def _not_signed(what: str) -> SlipwayError:
    return SlipwayError(
        "bad_signature", f"{_VARIABLE}: {what}.", "take the file as the builder has made it, or find out who changed it"
    )


def _renamed(error: SlipwayError) -> SlipwayError:
    """The same, about the variable that it is about."""
    message, fix = (_NAMES_SIGNATURE.sub(_VARIABLE, text) for text in (error.message, error.fix))
    return SlipwayError(error.code, message, fix)


def read_statement(payload: bytes, sha256: str) -> Provenance:
    """What a statement says of the artefact with that digest; nobody has vouched for it yet. Raise Malformed."""
    try:
        document = dsse.parse_json(payload.decode())
    except UnicodeDecodeError:
        _refuse("has a payload that is not UTF-8")
    statement = _mapping(document, "payload")
    for field, wanted in (("_type", STATEMENT), ("predicateType", PREDICATE)):
        if statement.get(field) != wanted:
            _refuse(f"has the {field} {_shown(statement.get(field))}, and not {wanted}")
    _require_subject(statement.get("subject"), sha256)
    predicate = _mapping(statement.get("predicate"), "predicate")
    definition = _mapping(predicate.get("buildDefinition"), "buildDefinition")
    details = _mapping(predicate.get("runDetails"), "runDetails")
    builder = _mapping(details.get("builder"), "builder").get("id")
    if not isinstance(builder, str) or not builder:
        _refuse("names no builder")
    kind = definition.get("buildType")
    if not isinstance(kind, str) or not kind:
        _refuse("has no buildType")
    parameters = _mapping(definition.get("externalParameters"), "externalParameters")
    source = parameters.get(SOURCES[kind]) if kind in SOURCES else None
    source = source if isinstance(source, dict) else {}
    version = parameters.get("version") if kind == BUILD_TYPE else None
    return Provenance(
        "",
        builder,
        _text(source.get("repository")),
        _text(source.get("ref")),
        _commit(definition.get("resolvedDependencies")),
        _text(version),
    )


def _require_subject(given: Any, sha256: str) -> None:
    """Raise unless one of the subjects has this digest: the others are other artefacts of the same build."""
    if not isinstance(given, list) or not 0 < len(given) <= MAX_SUBJECTS:
        _refuse(f"has no list of 1 to {MAX_SUBJECTS} subjects")
    digests = [_mapping(_mapping(one, "subject").get("digest"), "digest").get("sha256") for one in given]
    if sha256 and sha256 in digests:
        return
    names = ", ".join(_shown(one["name"]) if one.get("name") else "one without a name" for one in given[:3])
    raise SlipwayError(
        "wrong_provenance",
        f"{_VARIABLE} is about {names}, and not about release_src, whose SHA-256 is {sha256}.",
        "give the provenance of this very artefact, or build it again",
    )


def _commit(given: Any) -> str:
    """The commit of the first dependency that has one, which is the source."""
    for one in given if isinstance(given, list) else []:
        digest = one.get("digest") if isinstance(one, dict) else None
        commit = digest.get("gitCommit") if isinstance(digest, dict) else None
        if isinstance(commit, str):
            return commit
    return ""


def _require(found: Provenance, policy: Policy) -> None:
    for variable, allowed, value in (
        ("builder", policy.builders, found.builder),
        ("repository", policy.repositories, found.repository),
        ("ref", policy.refs, found.ref),
    ):
        if allowed and not any(matches(value, pattern) for pattern in allowed):
            raise SlipwayError(
                "policy_provenance",
                f"{_VARIABLE} names the {variable} {_shown(value or None)}, and release_provenance_{variable} allows "
                f"{', '.join(allowed)}.",
                f"build it there, or add it to release_provenance_{variable} if it is trusted",
            )


def matches(value: str, pattern: str) -> bool:
    """Whether the value is the pattern, in which a * is any text; nothing is never a match."""
    return bool(value) and re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value, re.DOTALL) is not None


def _mapping(given: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        _refuse(f"has a {field} that is no object")
    return given


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _shown(given: Any) -> str:
    text = repr(given) if isinstance(given, str) else "nothing" if given is None else "what is no text"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _refuse(why: str) -> NoReturn:
    raise Malformed(why)

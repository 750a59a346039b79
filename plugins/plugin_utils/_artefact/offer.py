# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The artefact that an operator offers: what is read of it on the controller, and what its host is told.

This file is PRIVATE to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._binary.abilities import read_abilities
from ansible_collections.slipway.go.plugins.module_utils._binary.policy import parse_denylist
from ansible_collections.slipway.go.plugins.module_utils._core import files
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import (
    binding,
    checksums,
    dsse,
    fetch,
    inspect,
    signature,
)
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.inspect import InspectedArtefact, Rules
from ansible_collections.slipway.go.plugins.module_utils._release.intake import read_text
from ansible_collections.slipway.go.plugins.module_utils._release.state import model
from ansible_collections.slipway.go.plugins.plugin_utils._artefact import vulnerability_gate

# What of a provenance may be restricted.
PROVENANCE = ("builder", "repository", "ref")


def missing(path: str, variable: str, searched: Sequence[str]) -> SlipwayError:
    """A relative path that leads nowhere."""
    artefact_itself = variable == "release_src"
    return SlipwayError(
        "missing_artefact" if artefact_itself else f"unreadable_{variable.partition('_')[2]}",
        f"{variable} {path} is in none of the places where it is looked for on the controller: "
        f"{', '.join(dict.fromkeys(searched))}.",
        "build it, or correct the path" if artefact_itself else f"correct the path, or leave {variable} empty",
    )


class Offer:
    """arguments: the options of the release, understood; find: where the controller's file of a path and a variable is.

    `intake` is what the host is told, and `digest` the SHA-256 that the artefact must have, as far as it is known.
    """

    def __init__(self, arguments: Mapping[str, Any], find: Callable[[str, str], str]) -> None:
        self._arguments = arguments
        self._find = find
        self._there = bool(arguments.get("remote_src"))
        self._policy: Mapping[str, Any] = arguments.get("policy") or {}
        self.digest = ""
        self.intake: dict[str, Any] = {}

    def read(self) -> None:
        """Source, checksum, provenance, signature and rules, before the artefact itself is looked at."""
        self.intake = self._source()
        self._add_checksum()
        self._add_provenance()
        self._add_signature()
        self._add_trust()
        self.intake["denylist"] = self._denylist()[0]
        if self.intake.get("source"):
            self.intake["vulnerabilities"] = self._vulnerabilities()

    def look_into(self, source: str, folder: str) -> InspectedArtefact:
        """The artefact of the controller, which must have the right checksum; folder is where it is unpacked."""
        check_readable(source)
        service, wanted = str(self._arguments["name"]), str(self._arguments.get("binary") or "")
        seen = inspect.look_into(source, source, wanted, service, _mebibytes(self._arguments.get("max_size")), folder)
        digest = seen.binary.facts["sha256"] if seen.program == source else files.sha256_file(source)
        if self.digest:
            listed = str(self._arguments["checksum"]) if "checksums" in self.intake else ""
            inspect.check_digest(source, source, self.digest, listed)
        elif "checksums" in self.intake:
            self.intake["sha512"] = files.digest_file(source, "sha512")
        self.digest = digest
        self.intake["built"] = binding.record(inspect.built_claims(seen))
        return seen

    def rules(self) -> Rules:
        """What can be said without a signature, which the host verifies: it judges by what is signed."""
        text, path = self._denylist()
        level = self._policy.get("version_binding", "match")
        is_signed = self._arguments.get("signature") or self._arguments.get("provenance")
        level = "match" if level == "required" and is_signed else level
        version = str(self._arguments["version"])
        return Rules(version, self._policy, text, path, level, self._vulnerabilities())

    def _source(self) -> dict[str, Any]:
        """Where the host gets the artefact, if it gets it by itself."""
        source = str(self._arguments["src"])
        if fetch.is_url(source):
            fetch.parse_url(source, "release_src")
            if not self._arguments.get("checksum"):
                raise SlipwayError(
                    "missing_checksum",
                    f"release_src {fetch.shown(source)} is a URL, and release_checksum is empty.",
                    "set release_checksum to its SHA-256, or to the path or URL of a checksums file",
                )
            return {"source": source}
        return {"source": _absolute(source, "release_src")} if self._there else {}

    def _add_checksum(self) -> None:
        given = str(self._arguments.get("checksum") or "")
        digest = inspect.parse_checksum(given) if given else ""
        if digest is None:
            self.intake["checksums"] = told = self._text(given, "release_checksum", checksums.MAX_TEXT)
            if "content" in told:
                name = fetch.file_name(str(self._arguments["src"]))
                digest = checksums.find_checksum(told["content"], name, given)
        self.digest = digest or ""

    def _add_signature(self) -> None:
        given = str(self._arguments.get("signature") or "")
        if not given:
            trusted = self._arguments.get("minisign_keys") or self._arguments.get("allowed_signers")
            if trusted and not self._arguments.get("provenance"):
                raise SlipwayError(
                    "missing_signature",
                    "release_minisign_keys or release_allowed_signers is set, and release_signature is empty.",
                    "set release_signature to the signature file, or leave these empty",
                )
            return
        if self._arguments.get("signature_of") == "checksums" and "checksums" not in self.intake:
            raise SlipwayError(
                "missing_checksums",
                "release_signature_of is checksums, and release_checksum is no checksums file.",
                "set release_checksum to the path or URL of the signed checksums file",
            )
        self.intake["signature"] = self._text(given, "release_signature", signature.MAX_TEXT)

    def _add_provenance(self) -> None:
        given = str(self._arguments.get("provenance") or "")
        if given:
            self.intake["provenance"] = self._text(given, "release_provenance", dsse.MAX_TEXT)
            return
        asking = [f"provenance_{what}" for what in ("required", *PROVENANCE) if self._policy.get(f"provenance_{what}")]
        if asking:
            raise SlipwayError(
                "missing_provenance",
                f"release_provenance is empty, and release_{asking[0]} asks for it.",
                "set release_provenance to the file that the build has written beside the artefact (NAME.intoto.jsonl)",
            )

    def _add_trust(self) -> None:
        """Whose signatures count, where there is something that was signed."""
        signed = next((name for name in ("signature", "provenance") if name in self.intake), None)
        if signed is None:
            return
        if self._arguments.get("allowed_signers"):
            self.intake["allowed_signers"] = self._read(
                str(self._arguments["allowed_signers"]), "release_allowed_signers", checksums.MAX_TEXT
            )
        keys = tuple(self._arguments.get("minisign_keys") or ())
        signature.Trust(keys, self.intake.get("allowed_signers", "")).check(f"release_{signed}")

    def _text(self, given: str, variable: str, limit: int) -> dict[str, Any]:
        """A small text, by its place where the host reads it, and else by its content, too."""
        if fetch.is_url(given):
            fetch.parse_url(given, variable)
            return {"place": given}
        if self._there:
            return {"place": _absolute(given, variable)}
        return {"content": self._read(given, variable, limit), "place": given}

    def _read(self, given: str, variable: str, limit: int) -> str:
        return _read_here(self._find(given, variable), variable, limit)

    def _denylist(self) -> tuple[str, str]:
        """The operator's list of denied modules, and where it is."""
        given = str(self._policy.get("denylist") or "")
        if not given:
            return "", ""
        path = self._find(given, "release_denylist")
        text = _read_here(path, "release_denylist", checksums.MAX_TEXT)
        parse_denylist(text, path)
        return text, path

    def _vulnerabilities(self) -> str:
        """The operator's vulnerability database with the rules on it, as text; empty where none is given."""
        given = {name: self._policy.get(f"vulnerability_{name}") for name in vulnerability_gate.OPTIONS}
        if not given["database"]:
            return ""
        path = self._find(str(given["database"]), "release_vulnerability_database")
        return vulnerability_gate.read_gate(path, given)


def abilities(program: str) -> dict[str, bool] | None:
    """What the program seems to do with systemd, for the host, which knows in which unit it will run."""
    found = read_abilities(program)
    return None if found is None else found._asdict()


def check_readable(path: str) -> None:
    """Raise unless path is a file that can be read here."""
    if not os.path.isfile(path):
        raise SlipwayError(
            "missing_artefact", f"release_src {path} is not a file on the controller.", "build it, or correct the path"
        )
    if not os.access(path, os.R_OK):
        raise SlipwayError(
            "unreadable_artefact", f"release_src {path} is not readable.", "let the user who runs Ansible read it"
        )


def _read_here(path: str, variable: str, limit: int) -> str:
    """A small file of the controller."""
    try:
        return read_text(path, variable, limit)
    except OSError as error:
        raise SlipwayError(
            f"unreadable_{variable.partition('_')[2]}",
            f"{variable} {path} is not readable: {error.strerror}.",
            f"correct the path, or leave {variable} empty",
        ) from error


def _mebibytes(given: Any) -> int:
    """release_max_size in bytes."""
    if given is None:
        return model.MAX_ARTEFACT
    if not str(given).isdecimal() or not 0 < int(given) < 1 << 40:
        raise SlipwayError("invalid_limit", f"release_max_size is {given}.", "give a number of MiB above 0")
    return int(given) << 20


def _absolute(path: str, variable: str) -> str:
    if not os.path.isabs(path):
        raise SlipwayError(
            "relative_path",
            f"{variable} {path!r} is no absolute path, and release_remote_src is set.",
            "give the absolute path on the host",
        )
    return path

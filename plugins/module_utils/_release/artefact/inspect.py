# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an artefact is, read as untrusted input on the controller and on the host alike. PRIVATE to the collection."""

from __future__ import annotations

import os
import re
from typing import Any, Iterable, Mapping, NamedTuple, Optional, Sequence

from ..._binary.facts import Binary, read_binary
from ..._binary.policy import check_policy, parse_denylist
from ..._core import files as _files
from ..._core.errors import SlipwayError
from ..._core.problems import Problem
from ..._host.kernel import read_host
from ..._linkage.checker import Checker
from ..._units.context import own_context
from ..._vulnerabilities.policy import check_vulnerabilities
from . import archive, binding, semver
from .binding import Claim

_DIGESTS = {"sha256": re.compile(r"[0-9a-f]{64}"), "sha512": re.compile(r"[0-9a-f]{128}")}
# What was meant as a digest: an algorithm before a colon, hexadecimal digits alone, or something as long as one.
_DIGEST = re.compile(r"[^/]*:[^/]*|[0-9A-Fa-f]*|[0-9A-Za-z]{60,}")
# What holds for the temporary place of a file that is only looked at, and not for where it will run.
_ABOUT_THE_PLACE = ("noexec_mount", "not_executable")
_ORIGIN = re.compile(r"\$(ORIGIN|\{ORIGIN\})")


class InspectedArtefact(NamedTuple):
    """An artefact that has been looked into.

    program: the path of the binary, outside of its archive. label: what to call it. size: bytes it takes unpacked.
    member: which file of the archive it is, and folder: the one around everything; empty where there is none.
    """

    program: str
    label: str
    size: int
    member: str
    binary: Binary
    folder: str = ""

    def relabelled(self, problems: Iterable[Problem]) -> list[Problem]:
        """The same problems, about what the operator has named rather than about a temporary file."""
        return [
            Problem(p.code, p.message.replace(self.program, self.label), p.fix.replace(self.program, self.label))
            for p in problems
        ]


def parse_checksum(checksum: str) -> Optional[str]:
    """The digits of 'sha256:HEX', 'sha512:HEX' or 'HEX'; None for what may be the place of a checksums file."""
    text = checksum.strip()
    algorithm, separator, value = text.rpartition(":")
    value = value.lower()
    found = algorithm_of(value)
    if found and (not separator or algorithm.lower() == found):
        return value
    if _DIGEST.fullmatch(text):
        raise SlipwayError(
            "invalid_checksum",
            f"release_checksum {checksum!r} is not a SHA-256 or SHA-512, and not the place of a checksums file.",
            "give sha256:<64 hexadecimal digits>, sha512:<128 of them>, or the path or URL of a checksums file",
        )
    return None


def algorithm_of(digest: str) -> str:
    """sha256 or sha512, by the digits; empty for what is neither."""
    return next((name for name, form in _DIGESTS.items() if form.fullmatch(digest)), "")


def check_digest(path: str, label: str, wanted: str, where: str) -> None:
    """Raise unless that is the file's SHA-256, or its SHA-512."""
    found = _files.digest_file(path, algorithm_of(wanted) or "sha256")
    if found != wanted:
        raise wrong_checksum(label, found, wanted, where)


def wrong_checksum(label: str, found: str, wanted: str, where: str) -> SlipwayError:
    return SlipwayError(
        "wrong_checksum",
        f"release_src {label} has {'SHA-512' if algorithm_of(found) == 'sha512' else 'SHA-256'} {found}, "
        f"release_checksum says {wanted}{f' ({where})' if where else ''}.",
        "build or fetch the artefact again, or correct release_checksum",
    )


def look_into(path: str, label: str, wanted: str, service: str, limit: int, folder: str) -> InspectedArtefact:
    """Find the program in the artefact and read it; raise unless it is one for Linux. Nothing is executed.

    wanted: which file of an archive is to run. limit: the most bytes an archive may unpack to. folder: a private one,
    in which the program of an archive is put to be read.
    """
    check_size(os.path.getsize(path), limit, label)
    if not archive.is_archive(path):
        binary = _program(path, label)
        return InspectedArtefact(path, label, int(binary.facts["size"]), "", binary)
    found = archive.survey(path, limit)
    chosen = archive.choose_binary(found, wanted, service)
    program = os.path.join(folder, "program")
    with open(path, "rb") as stream:
        for member, content in archive.members(stream, limit):
            if member.name == chosen.name:
                _files.write_pieces(content, program, 0o600)
                break
    inside = f"{label}:{found.inside(chosen.name)}"
    return InspectedArtefact(
        program, inside, found.total, found.inside(chosen.name), _program(program, inside), found.top
    )


def look_at_staged(program: str, label: str, files: Iterable[str], limit: int) -> InspectedArtefact:
    """A release that is on this host already. files: the paths of all that the artefact consisted of."""
    size = sum(map(os.path.getsize, files))
    check_size(size, limit, label)
    return InspectedArtefact(program, label, size, "", _program(program, label))


def check_size(size: int, limit: int, label: str) -> None:
    if size > limit:
        raise SlipwayError(
            "artefact_too_large",
            f"release_src {label} has {size} bytes; release_max_size allows {limit >> 20} MiB.",
            "raise release_max_size if that is right",
        )


def _program(path: str, label: str) -> Binary:
    try:
        binary = read_binary(path)
    except SlipwayError as error:
        raise SlipwayError(
            error.code,
            f"release_src {label} is not a Linux executable: {error.message.replace(path, label)}",
            "build it with GOOS=linux, and give the binary itself, or a tar archive with it",
        ) from error
    elf = binary.elf
    if elf.goos != "linux" or elf.elf_class in ("library", "other"):
        what = f"an ELF file for {elf.goos or 'an unknown system'}" if elf.goos != "linux" else "no program"
        raise SlipwayError(
            "not_executable",
            f"release_src {label} is not a Linux executable: it is {what}.",
            "build it with GOOS=linux and -buildmode=exe or pie",
        )
    return binary


class Rules(NamedTuple):
    """What the operator allows. policy: rules as check_policy takes them; denylist: that file's text, and its place.

    binding: how strictly what was signed or built must be the version that is released, one of binding.LEVELS.
    vulnerabilities: the database and the rules on it, as text; empty where nothing is asked.
    """

    version: str
    policy: Mapping[str, Any] = {}
    denylist: str = ""
    denylist_label: str = ""
    binding: str = "match"
    vulnerabilities: str = ""


def judge(seen: InspectedArtefact, rules: Rules, claims: Sequence[Claim]) -> list[Problem]:
    """What the operator's own rules have against it, wherever it came from and wherever it is looked at.

    claims: what is said of it beside what stands in it.
    """
    asked = {**rules.policy, "denied_modules": parse_denylist(rules.denylist, rules.denylist_label)}
    against = check_policy(seen.binary.facts, asked)
    against += check_vulnerabilities(seen.program, seen.binary.facts, rules.vulnerabilities)
    found = seen.relabelled(against)
    found += semver.prerelease_problems(rules.version, bool(rules.policy.get("prerelease", True)))
    return found + binding.problems(rules.version, rules.binding, [*claims, *built_claims(seen)])


def built_claims(seen: InspectedArtefact) -> list[Claim]:
    """Which version was built, as far as the artefact says."""
    return [*binding.folder_claims(seen.folder), *binding.build_claims(seen.binary.facts["go"])]


def against_host(seen: InspectedArtefact) -> list[Problem]:
    """What keeps the kernel or the loader of this host from starting it, wherever it is."""
    found = Checker(read_host(), own_context()).check(seen.program).problems
    about_the_place = (*_ABOUT_THE_PLACE, "library_") if _brings_libraries(seen) else _ABOUT_THE_PLACE
    return seen.relabelled(problem for problem in found if not problem.code.startswith(about_the_place))


def _brings_libraries(seen: InspectedArtefact) -> bool:
    """Whether it looks for libraries beside itself, which are in the rest of its archive."""
    dynamic = seen.binary.elf.dynamic
    return bool(seen.member and _ORIGIN.search(f"{dynamic.rpath} {dynamic.runpath}"))

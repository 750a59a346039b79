# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rollback is to take back. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .._core.errors import SlipwayError


def version_of(release_id: str) -> str:
    """The version in an id, which is VERSION-DIGEST."""
    return release_id.rpartition("-")[0]


@dataclass(frozen=True)
class Meant:
    """A version or id, a run, or both; None for whichever was not said."""

    release: Optional[str] = None
    run: Optional[str] = None

    def matches(self, release_id: str, run: str) -> bool:
        named = self.release in (None, release_id, version_of(release_id))
        return named and self.run in (None, run.strip())


def parse_meant(release: Optional[str], run: Optional[str]) -> Optional[Meant]:
    """None where nothing was said. An empty answer is not that: nobody can tell what it was to name."""
    of = _said(release, "release_rollback_of", "a version or an id")
    by = _said(run, "release_rollback_run", "the release_run of a release")
    return None if of is None and by is None else Meant(of, by)


def _said(given: Optional[str], variable: str, wanted: str) -> Optional[str]:
    if given is None:
        return None
    if "{{" in given:
        raise SlipwayError(
            "not_filled_in",
            f"{variable} is the text {given.strip()}, and nobody has filled in what that stands for.",
            f"set it in the variables of the job template (AWX takes what a launch, a survey or a node of a workflow "
            f"gives literally), or give {wanted}",
        )
    if not given.strip():
        raise SlipwayError(
            "empty_of",
            f"{variable} is empty, and nobody can tell what is to be taken back.",
            f"give {wanted}, or leave {variable} undefined",
        )
    return given.strip()

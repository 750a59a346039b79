# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rollback is to take back. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from .._errors import SlipwayError


def version_of(release_id: str) -> str:
    """The version in an id, which is VERSION-DIGEST."""
    return release_id.rpartition("-")[0]


@dataclass(frozen=True)
class Meant:
    """A version or id, a run, or both; None for whichever was not said."""

    release: Optional[str] = None
    run: Optional[str] = None

    def matches(self, release_id: str, run: str) -> bool:
        return self.release in (None, release_id, version_of(release_id)) and self.run in (None, run)


def parse_meant(release: Optional[str], run: Optional[str]) -> Optional[Meant]:
    """None where nothing was said. An empty answer is not that: nobody can tell what it was to name."""
    for given, variable, wanted in (
        (release, "release_rollback_of", "a version or an id"),
        (run, "release_rollback_run", "the release_run of a release"),
    ):
        if given is not None and not given.strip():
            raise SlipwayError(
                "empty_of",
                f"{variable} is empty, and nobody can tell what is to be taken back.",
                f"give {wanted}, or leave {variable} undefined",
            )
    return None if release is None and run is None else Meant(release, run)


def run_of(current: Optional[str], outcomes: Sequence[Mapping[str, Any]]) -> str:
    """The run that has brought what serves; empty where it did not say, or where something was rolled back since."""
    committed = [event for event in outcomes if event.get("event") == "committed"]
    last = committed[-1] if committed else {}
    return str(last.get("run") or "") if last.get("kind") == "release" and last.get("release") == current else ""


def brought_by(release_id: str, outcomes: Sequence[Mapping[str, Any]]) -> str:
    """The run that has brought this release last; empty where it did not say."""
    kinds = [e for e in outcomes if e.get("event") == "committed" and e.get("kind") == "release"]
    return next((str(e.get("run") or "") for e in reversed(kinds) if e.get("release") == release_id), "")

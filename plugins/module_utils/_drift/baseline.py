# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles have left a host like, written down, so that what others change later is seen. PRIVATE.

A run looks before it begins and writes down at its end what it has changed in between. What others have changed is no
part of that: it stays a difference until a run repairs it or somebody accepts it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from typing import Mapping, Optional

from .._core import files
from .._core.errors import SlipwayError
from .._core.paths import STATE_ROOT
from .item import Aspects, Record, Survey, recorded

PATH = f"{STATE_ROOT}/baseline.json"
BEGUN = f"{STATE_ROOT}/baseline-begun.json"
# Another number means that another set of things is looked at: then nothing can be compared.
FORMAT = 1


@dataclass(frozen=True)
class Baseline:
    """time: when it was written, in seconds since the epoch."""

    record: Record
    time: float = 0.0


def load(path: str = PATH) -> Optional[Baseline]:
    """None where there is none, or one of another version of the collection."""
    text = files.text(path)
    if not text:
        return None
    try:
        found = json.loads(text)
        baseline = Baseline(found["areas"], float(found["time"]))
        if not all(isinstance(aspects, dict) for area in baseline.record.values() for aspects in area.values()):
            raise ValueError("an item has no aspects")
        return baseline if found.get("format") == FORMAT else None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise SlipwayError(
            "damaged_record",
            f"{path} cannot be read as a baseline.",
            f"remove {path}, and run site.yml or harden.yml again",
        ) from None


def _save(path: str, record: Record) -> None:
    files.make_directory(os.path.dirname(path), 0o711)
    text = json.dumps({"format": FORMAT, "time": time.time(), "areas": record}, sort_keys=True)
    files.write_atomic(path, f"{text}\n", 0o600)


def as_record(survey: Survey) -> Record:
    """What of a look can be written down: the areas that could be read."""
    areas = {name: recorded(area) for name, area in survey.items()}
    return {name: area for name, area in areas.items() if area is not None}


def begin(survey: Survey, path: str = BEGUN) -> None:
    """Remember what a host is like before a run; after one that was cut short, what it was like before that one."""
    if not os.path.exists(path):
        _save(path, as_record(survey))


def is_begun(path: str = BEGUN) -> bool:
    """Whether a run is under way, or was cut short."""
    return os.path.exists(path)


def finish(survey: Survey, everything: bool = False, path: str = PATH, begun: str = BEGUN) -> bool:
    """Write down what a run has changed, or all where nothing was written down before; return whether that is new.

    everything: also what others have changed.
    """
    old = load(path)
    before = load(begun)
    # Without a first look, as when another run has just ended, nothing is known to be this run's.
    look = before.record if before else as_record(survey)
    record = merge(old.record if old else None, None if everything else look, survey)
    changed = old is None or old.record != record
    if changed:
        _save(path, record)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(begun)
    return changed


def merge(old: Optional[Record], begun: Optional[Record], survey: Survey) -> Record:
    """What is expected from now on. What a run has not changed stays as it was expected before."""
    now = as_record(survey)
    if old is None:
        return now
    before = begun or {}
    return {
        **{name: area for name, area in old.items() if name not in now},
        **{name: _merged(old[name], before.get(name), area) if name in old else area for name, area in now.items()},
    }


def _merged(
    old: Mapping[str, Aspects], before: Optional[Mapping[str, Aspects]], now: Mapping[str, Aspects]
) -> Mapping[str, Aspects]:
    if before is None:
        return now
    left = {what for what in {*old, *now, *before} if before.get(what) == now.get(what)}
    return {what: old[what] for what in left if what in old} | {w: told for w, told in now.items() if w not in left}

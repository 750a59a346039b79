# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that the host keeps beside an armed change, and that its timer runs. PRIVATE to the collection."""

from __future__ import annotations

import json
import sys
from typing import Any, Optional, Sequence

from .._core.errors import SlipwayError
from . import ending
from .model import Reason, System


def main(argv: Sequence[str], system: Optional[System] = None) -> int:
    """revert NAME --token TOKEN [--boot] | confirm NAME --token TOKEN. Prints one JSON object."""
    words = [word for word in argv if word not in ("--token", "--boot")]
    if len(words) != 3 or words[0] not in ("revert", "confirm"):
        sys.stderr.write(f"usage: {main.__doc__}\n")
        return 2
    verb, name, token = words
    try:
        if verb == "confirm":
            ending.confirm(name, token, system)
            answer: dict[str, Any] = {"confirmed": True}
        elif "--boot" in argv:
            answer = {"reverted": ending.revert_at_boot(name, token, system)}
        else:
            answer = {"reverted": ending.revert(name, token, Reason.DEADLINE, system)}
    except SlipwayError as error:
        answer = {"failed": True, "code": error.code, "msg": str(error), "fix": error.fix}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 1 if answer.get("failed") else 0

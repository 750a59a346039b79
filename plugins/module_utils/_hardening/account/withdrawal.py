# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What accounts may do with a service goes when the service is removed. PRIVATE to the collection."""

from __future__ import annotations

import glob
import os
from typing import Optional

from ..._core import files
from ..._deadman import change as deadman
from ..._deadman import managed_files
from ..._deadman.model import System, or_this_host
from . import sudo
from .change import NAME


def withdraw(service: str, check: bool, system: Optional[System] = None, root: str = "/") -> list[str]:
    """Remove the service's lines from the rules of sudo; return the files that change, or in check mode would."""
    system = or_this_host(system)
    return managed_files.from_the_start(lambda: _withdraw(service, check, system, root))


def _withdraw(service: str, check: bool, system: System, root: str) -> list[str]:
    deadman.wait_until_free(NAME, system, not check)
    pattern = os.path.join(glob.escape(root), sudo.path("*").lstrip("/"))
    texts = {path: files.text(path) for path in sorted(glob.glob(pattern))}
    rest = {path: sudo.without_service(text, service) for path, text in texts.items()}
    wanted = [managed_files.File(path, text, 0o440) for path, text in rest.items() if text != texts[path]]
    changes = managed_files.plan(wanted, system=system)
    if not check:
        managed_files.apply(changes, sudo.check(), system=system)
    return [change.file.path for change in changes]

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The armour around signatures of ssh-keygen(1). This file is PRIVATE to the collection."""

from __future__ import annotations

import base64
import binascii
from typing import Optional

_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_WIDTH = 70


def armour(blob: bytes) -> str:
    """As ssh-keygen -Y sign writes it."""
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + _WIDTH] for at in range(0, len(text), _WIDTH)]
    return "\n".join([_BEGIN, *lines, _END, ""])


def bare(text: str) -> Optional[bytes]:
    """The signature in that armour; None where it is none."""
    lines = text.split()
    begin, end = _BEGIN.split(), _END.split()
    if lines[: len(begin)] != begin or lines[-len(end) :] != end:
        return None
    try:
        return base64.b64decode("".join(lines[len(begin) : -len(end)]), validate=True)
    except (ValueError, binascii.Error):
        return None

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text that can leave this host. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any


def printable(value: Any) -> Any:
    """The same, with bytes that are no UTF-8 (in names of files, say) written as escapes. Ansible refuses them."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogateescape" if _escaped(value) else "replace").decode(
                "utf-8", "backslashreplace"
            )
        return value
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(item) for item in value]
    return value


def _escaped(text: str) -> bool:
    """Whether every lone surrogate stands for a byte."""
    return all(not 0xD800 <= ord(char) < 0xE000 or 0xDC80 <= ord(char) <= 0xDCFF for char in text)

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds HTML from texts that nobody has checked. Pure. PRIVATE to the collection."""

from __future__ import annotations

import html
import unicodedata
from typing import Any

LONGEST = 4000
# Characters that are not seen, or that turn what is around them: an escape, a mark for the direction of writing.
_UNSEEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
_VOID = ("meta",)


class Html(str):
    """What is HTML already; any other text is escaped where it is put into an element."""

    __slots__ = ()


def text(value: Any) -> Html:
    return Html(html.escape(visible(str(value)), quote=True))


def visible(value: str) -> str:
    """The text with each character that is not seen written as an escape, and with an end."""
    shown = value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…"
    if shown.isprintable():
        return shown
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in _UNSEEN else _escape(c) for c in shown)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def join(*children: Any) -> Html:
    """Those that are there, one after the other; a list is its elements."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, (list, tuple)):
            parts.append(join(*child))
        elif child is not None:
            parts.append(child if isinstance(child, Html) else text(child))
    return Html("".join(parts))


def tag(element: str, /, *children: Any, **attributes: Any) -> Html:
    """An element. class_ is the attribute class, aria_label is aria-label; an attribute that is None is left out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' if value is not True else f" {key}"
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if element in _VOID:
        return Html(f"<{element}{told}>")
    return Html(f"<{element}{told}>{join(*children)}</{element}>")

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The headers of a request: plain ones and the secret one. This file is PRIVATE to the collection."""

from __future__ import annotations

from ..outcome import CheckFailed
from ..spec.options import Options


def parse_headers(options: Options) -> tuple[tuple[str, str], ...]:
    pairs = options.pairs("headers")
    for name, value in pairs:
        token = name and all(c.isascii() and (c.isalnum() or c in "!#$%&'*+-.^_`|~") for c in name)
        if not token or any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise options.error("headers", f"holds {name!r}, which cannot be sent", "use a plain name and one line")
    return pairs


def read_secret(path: str) -> str:
    """One line of a file; neither it nor the file's content ever goes into a message."""
    try:
        with open(path, encoding="utf-8") as file:
            secret = file.read(8192).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckFailed("error", f"authorization_file {path} cannot be read") from error
    if not secret or any(ord(c) < 32 or ord(c) == 127 for c in secret):
        raise CheckFailed("error", f"authorization_file {path} does not hold exactly one line")
    return secret

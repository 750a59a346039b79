# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules packed as a zip that Python runs (see zipapp in the Python library reference). PRIVATE to the collection."""

from __future__ import annotations

import io
import zipfile
from typing import Mapping

# The same sources give the same bytes, so that an unchanged program is not copied again.
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)


def pack(members: Mapping[str, bytes], interpreter: bytes = b"") -> bytes:
    """members are contents by their names in the archive; interpreter is its first line."""
    buffer = io.BytesIO(interpreter)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, _TIMESTAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A collection as ansible-galaxy installs one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

FILES = {"README.md": b"one\n", "plugins/modules/one.py": b"print()\n", "tests/test_one.py": b"pass\n"}


def installed(
    folder: Path, namespace: str = "example", name: str = "one", needs: Optional[Mapping[str, str]] = None
) -> Path:
    """A folder with its lists of files."""
    listed: list[dict[str, Any]] = [
        {"name": ".", "ftype": "dir", "chksum_type": None, "chksum_sha256": None, "format": 1}
    ]
    for path in ("plugins", "plugins/modules", "tests"):
        (folder / path).mkdir(parents=True, exist_ok=True)
        listed.append({"name": path, "ftype": "dir", "chksum_type": None, "chksum_sha256": None, "format": 1})
    for path, content in FILES.items():
        (folder / path).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        listed.append({"name": path, "ftype": "file", "chksum_type": "sha256", "chksum_sha256": digest, "format": 1})
    info = {"namespace": namespace, "name": name, "version": "1.0.0", "dependencies": dict(needs or {})}
    files = json.dumps({"files": listed, "format": 1}).encode()
    of_files = {"name": "FILES.json", "ftype": "file", "chksum_type": "sha256", "format": 1}
    document = {
        "collection_info": {**info, "authors": ["Somebody"], "readme": "README.md", "tags": []},
        "file_manifest_file": {**of_files, "chksum_sha256": hashlib.sha256(files).hexdigest()},
        "format": 1,
    }
    (folder / "FILES.json").write_bytes(files)
    (folder / "MANIFEST.json").write_text(json.dumps(document))
    return folder

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entries of a vulnerability database as the tests need them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NEWEST = "2026-11-21T00:00:00Z"


def entry(
    name: str = "GO-2026-0001", module: str = "golang.org/x/sys", *events: dict[str, str], **fields: Any
) -> dict[str, Any]:
    """One entry about one module; without events, every version before v0.21.0 is affected."""
    affected = {
        "package": {"name": module, "ecosystem": "Go"},
        "ranges": [{"type": "SEMVER", "events": list(events) or [{"introduced": "0"}, {"fixed": "0.21.0"}]}],
        "ecosystem_specific": {"imports": fields.pop("imports", [])},
    }
    return {
        "schema_version": "1.3.1",
        "id": name,
        "modified": "2026-11-20T10:00:00Z",
        "published": "2026-01-02T03:04:05Z",
        "summary": "Something in it goes wrong",
        "affected": [affected],
        "database_specific": {"url": f"https://pkg.go.dev/vuln/{name}", "review_status": "REVIEWED"},
        **fields,
    }


def write(folder: Path, *entries: dict[str, Any]) -> str:
    """A database of these entries, as the Go one has them."""
    (folder / "ID").mkdir(parents=True, exist_ok=True)
    (folder / "index").mkdir(exist_ok=True)
    (folder / "index" / "db.json").write_text(json.dumps({"modified": entries[0]["modified"] if entries else NEWEST}))
    (folder / "index" / "modules.json").write_text("[]")
    for one in entries:
        (folder / "ID" / f"{one['id']}.json").write_text(json.dumps(one))
    return str(folder)

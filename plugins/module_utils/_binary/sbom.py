# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A CycloneDX bill of materials from Go build info alone. This file is PRIVATE to the collection."""

from __future__ import annotations

import uuid
from typing import Any, Optional
from urllib.parse import quote

from .go_build_info import BuildInfo, Module

SPEC_VERSION = "1.6"


def cyclonedx(info: BuildInfo, name: str, sha256: str, size: int) -> dict[str, Any]:
    """The same binary gives the same document: nothing in it depends on when or where it was made."""
    main = _main(info, name, sha256, size)
    components = [_stdlib(info.version)]
    components += [_component(module) for module in info.deps]
    components = _distinct(components, main["bom-ref"])
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'sha256:{sha256}')}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "group": "slipway", "name": "go"}]},
            "component": main,
        },
        "components": components,
        "dependencies": [{"ref": main["bom-ref"], "dependsOn": [component["bom-ref"] for component in components]}],
    }


def _distinct(components: list[dict[str, Any]], taken: str) -> list[dict[str, Any]]:
    """References must be unique; two modules replaced by one directory would share theirs."""
    seen = {taken}
    for component in components:
        reference = component["bom-ref"]
        number = 2
        while component["bom-ref"] in seen:
            component["bom-ref"] = f"{reference}#{number}"
            number += 1
        seen.add(component["bom-ref"])
    return components


def _main(info: BuildInfo, name: str, sha256: str, size: int) -> dict[str, Any]:
    module = info.main or Module(info.path or name)
    properties = [("slipway:go:package", info.path), ("slipway:size", str(size))]
    properties += [(f"slipway:go:build:{key}", value) for key, value in info.settings]
    component = {
        "type": "application",
        "bom-ref": f"sha256:{sha256}",
        "name": module.path or name,
        "hashes": [{"alg": "SHA-256", "content": sha256}],
        "properties": [{"name": key, "value": value} for key, value in properties if value],
    }
    return _with_version(component, module.path, module.version)


def _stdlib(version: str) -> dict[str, Any]:
    release = version.split()[0] if version.startswith("go") else version
    release = release[2:] if release.startswith("go") else release
    component = {"type": "library", "bom-ref": "", "name": "stdlib"}
    component = _with_version(component, "stdlib", release)
    component["bom-ref"] = component.get("purl", "stdlib")
    return component


def _component(module: Module) -> dict[str, Any]:
    used = module.effective
    component: dict[str, Any] = {"type": "library", "bom-ref": "", "name": used.path or "unknown"}
    component = _with_version(component, used.path, used.version)
    component["bom-ref"] = component.get("purl", f"{used.path}@{used.version}")
    properties = []
    if used.sum:
        properties.append({"name": "slipway:go:sum", "value": used.sum})
    if module.replace is not None:
        properties.append({"name": "slipway:go:replaces", "value": f"{module.path} {module.version}".strip()})
    if properties:
        component["properties"] = properties
    return component


def _with_version(component: dict[str, Any], path: str, version: str) -> dict[str, Any]:
    released = version if version and not version.startswith("(") else None
    if released:
        component["version"] = released
    purl = package_url(path, released)
    if purl:
        component["purl"] = purl
    return component


def package_url(path: str, version: Optional[str]) -> Optional[str]:
    """None for a directory on the builder's disk, which no one else can fetch."""
    if not path or path.startswith((".", "/")) or path == "command-line-arguments":
        return None
    parts = [quote(part, safe="") for part in path.lower().split("/") if part]
    return f"pkg:golang/{'/'.join(parts)}" + (f"@{quote(version, safe='')}" if version else "")

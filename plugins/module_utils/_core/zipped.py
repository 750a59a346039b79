# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules packed as a zip that Python runs (see zipapp in the Python library reference). PRIVATE to the collection."""

from __future__ import annotations

import ast
import importlib.util
import io
import sys
import zipfile
from types import ModuleType
from typing import Iterator, Mapping

from .errors import SlipwayError

# The same sources give the same bytes, so that an unchanged program is not copied again.
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
_OWN = __name__.rpartition("._core.")[0]
_MAIN = "import sys\nfrom {module} import main\nsys.exit(main(sys.argv[1:]))\n"


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


def program(module: ModuleType, package: str, interpreter: bytes = b"") -> bytes:
    """A module that has main(argv), with what it imports of this collection and not a file more.

    package: the name that the collection's modules have in it.
    """
    needed = _needed(module, {}).values()
    inside = {one.__name__: package + one.__name__[len(_OWN) :] for one in needed}
    main = _MAIN.format(module=inside[module.__name__])
    members = {"__main__.py": main.encode(), f"{package}/__init__.py": b""}
    for one in needed:
        path = inside[one.__name__].replace(".", "/")
        parts = path.split("/")[:-1]
        members.update({"/".join([*parts[:depth], "__init__.py"]): b"" for depth in range(1, len(parts) + 1)})
        members[f"{path}.py"] = _source(one).encode()
    return pack(members, interpreter)


def _needed(module: ModuleType, needed: dict[str, ModuleType]) -> dict[str, ModuleType]:
    """The module and all that it imports of this collection, by name."""
    if module.__name__ not in needed:
        needed[module.__name__] = module
        for name in _imports(module):
            _needed(sys.modules[name], needed)
    return needed


def _imports(module: ModuleType) -> Iterator[str]:
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), module.__package__ or "")
            is_package = hasattr(sys.modules[base], "__path__")
            yield from (f"{base}.{alias.name}" for alias in node.names) if is_package else (base,)


def _source(module: ModuleType) -> str:
    source = module.__loader__.get_source(module.__name__) if module.__loader__ else None  # type: ignore[attr-defined]
    if source is None:
        raise SlipwayError("no_source", f"the source of {module.__name__} is not available.", "install it as source")
    return str(source)

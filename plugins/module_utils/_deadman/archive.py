# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runner as one file, which needs nothing of this collection any more. PRIVATE to the collection."""

from __future__ import annotations

import ast
import functools
import importlib.util
import sys
from types import ModuleType
from typing import Iterator

from .._core import zipped
from .._core.errors import SlipwayError
from . import runner

_PACKAGE = "slipway_deadman"
_OWN = __name__.rpartition("._deadman.")[0]
_MAIN = "import sys\nfrom {module} import main\nsys.exit(main(sys.argv[1:]))\n"


@functools.lru_cache(maxsize=None)
def runner_archive() -> bytes:
    """The runner and what it imports, and not a file more."""
    members = {"__main__.py": _MAIN.format(module=_inside(runner.__name__)).encode(), f"{_PACKAGE}/__init__.py": b""}
    for module in _needed(runner, {}).values():
        path = _inside(module.__name__).replace(".", "/")
        members[f"{path.rpartition('/')[0]}/__init__.py"] = b""
        members[f"{path}.py"] = _source(module).encode()
    return zipped.pack(members)


def _inside(name: str) -> str:
    """The name that a module has in the archive."""
    return _PACKAGE + name[len(_OWN) :]


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

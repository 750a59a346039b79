"""The packages of module_utils and plugin_utils: which may import which. Nothing reaches up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphlib import TopologicalSorter

UTILS = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"

# From the ground up; whoever is not named here may not be there.
MAY_IMPORT = {
    "_core": "",
    "_module": "_core",
    "_notices": "_core",
    "_binary": "_core",
    "_vulnerabilities": "_core _binary",
    "_host": "_core _binary",
    "_units": "_core _binary _host",
    "_linkage": "_core _binary _host _units",
    "_deadman": "_core",
    "_hardening": "_core _host _deadman",
    "_health": "_core _binary _host",
    "_release": "_core _binary _vulnerabilities _host _units _linkage _deadman _health",
    "_drift": "_core _host _units _hardening _release",
    "_compliance": "_core _deadman _hardening _drift",
    "_diagnosis": "_core _host _units _linkage _hardening _health _release _drift",
    "_adoption": "_core _binary _host _units _release",
    "_balancer": "_core _host",
    "_build": "_core _binary _host _release",
    "_bundle": "_core _release _build",
    "_pull": "_core",
    "_tool": "_core _notices _host _release _drift _diagnosis _pull",
}

CONTROLLER = UTILS.parent / "plugin_utils"
# The packages of plugin_utils, from the ground up. All of them may import module_utils.
CONTROLLER_MAY_IMPORT = {
    "_input": "",
    "_artefact": "_input",
    "_run": "_input",
    "_action": "_run",
    "_fleet": "_input _run _action",
    "_notices": "_input _fleet",
    "_report": "_fleet",
}

# Inside of the large ones, from the ground up: each may import what stands on a line above its own.
FLOORS = {
    "_binary": [
        "machines versions",
        "elf policy",
        "symbols go_build_info",
        "program sbom functions",
        "abilities facts",
    ],
    "_notices": ["notice delivery", "mail program webhook"],
    "_vulnerabilities": ["severity", "osv", "database judge", "gate licences", "policy"],
    "_units": ["directives parser credentials", "installer surroundings", "prerequisites", "context foreign"],
    "_linkage": [
        "debian ldcache requirements scripts",
        "advice",
        "loader",
        "glibc musl memory",
        "checker host_profile",
    ],
    "_deadman": [
        "account_entries",
        "model",
        "snapshot timer journal",
        "store",
        "ending",
        "runner",
        "archive",
        "change",
        "managed_files",
    ],
    "_hardening": ["connection partitions services", "survey", "account firewall", "sshd"],
    "_health": [
        "outcome spec",
        "deadline verdict",
        "result net",
        "identity",
        "session",
        "kinds",
        "parsing stability members",
        "runner",
    ],
    "_drift": ["item table written", "survey baseline released", "report"],
    "_compliance": ["audit controls published table", "evidence", "checks", "look", "report"],
    "_diagnosis": ["evidence", "causes host dependencies text", "look", "report"],
    "_adoption": ["masking former", "strategies text", "proposal", "obstacles", "look", "switch"],
    "_balancer": ["model upstream given_weights", "haproxy nginx", "counters"],
    "_build": [
        "targets",
        "request toolchain signing",
        "commands",
        "git packages manifest",
        "source provenance record differences",
        "builder",
        "rebuild",
    ],
    "_bundle": [
        "manifest",
        "archive readme",
        "place reader request",
        "galaxy receive",
        "verifier",
        "make",
    ],
    "_pull": ["settings waves branches accepted", "repository", "pull"],
    "_release": [
        "phases periods by timeline build_host",
        "state artefact announce background_drain confirm_timer meant",
        "options configuration integrity gate conditions pause",
        "stage progress probe outcome",
        "takeover",
        "staged_units strategies diagnostics",
        "confirm_time preflight smoke",
        "context",
        "prune recovery removal",
        "rehearsal once transaction",
        "verbs",
        "engine",
        "intake operator",
    ],
}

SOURCES = {
    str(path.relative_to(UTILS).with_suffix("")): path
    for path in sorted(UTILS.rglob("*.py"))
    if path.name != "__init__.py"
}


def imports(name: str) -> Iterator[str]:
    """The files that a file imports, of those in module_utils."""
    for node in ast.walk(ast.parse(SOURCES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = Path(name).parents[node.level - 1]
            base = folder.joinpath(*(node.module or "").split(".")) if node.module else folder
            for alias in node.names:
                inner = str(base / alias.name)
                yield inner if inner in SOURCES else str(base)


ARROWS = {(name, other) for name in SOURCES for other in imports(name)}


def is_allowed(name: str, other: str) -> bool:
    (package, *one), (target, *two) = name.split("/"), other.split("/")
    if package != target:
        return target in MAY_IMPORT.get(package, "").split()
    if package not in FLOORS or one[0] == two[0]:
        return True
    floors = {room: level for level, rooms in enumerate(FLOORS[package]) for room in rooms.split()}
    return floors[two[0]] < floors[one[0]]


def test_every_arrow_leads_to_a_file_of_the_house() -> None:
    assert sorted(other for _name, other in ARROWS if other not in SOURCES) == []


def test_every_package_is_in_the_table() -> None:
    assert {name.split("/")[0] for name in SOURCES} == set(MAY_IMPORT)


def test_the_table_has_no_circle() -> None:
    seen: set[str] = set()
    for package, below in MAY_IMPORT.items():
        assert set(below.split()) <= seen, package
        seen.add(package)


def test_nothing_reaches_up() -> None:
    """A new arrow that is no mistake belongs into the table."""
    assert {arrow for arrow in ARROWS if not is_allowed(*arrow)} == set()


def test_no_files_import_each_other_in_a_circle() -> None:
    below: dict[str, set[str]] = {}
    for name, other in ARROWS:
        below.setdefault(name, set()).add(other)
    TopologicalSorter(below).prepare()  # raises CycleError, which names the files


@pytest.mark.parametrize("package", sorted(FLOORS))
def test_every_room_has_its_floor(package: str) -> None:
    rooms = {name.split("/")[1] for name in SOURCES if name.startswith(f"{package}/")}
    assert rooms == {room for floor in FLOORS[package] for room in floor.split()}


def importers(*packages: str) -> set[str]:
    """The files that import one of these packages from outside of module_utils."""
    found = set()
    for name, path in SOURCES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found |= {name for module in modules if module.partition(".")[0] in packages}
    return found


def test_only_one_file_imports_ansible_and_none_the_collection_by_its_name() -> None:
    """The same files are read from the zip of the host's tool, where neither is."""
    assert importers("ansible", "ansible_collections") == {"_module"}


def test_only_one_file_starts_programs() -> None:
    """Environment, time limit and what a missing program means are the same everywhere."""
    assert importers("subprocess", "pty", "multiprocessing") == {"_core/command"}


def test_every_folder_is_a_package() -> None:
    """Ansible packs what is one; an empty file says so."""
    for name in SOURCES:
        for folder in list(Path(name).parents)[:-1]:
            assert (UTILS / folder / "__init__.py").read_text() == ""


PAGE = UTILS.parents[1] / "docs" / "design" / "architecture.md"


def test_the_page_on_the_architecture_has_the_same_table() -> None:
    rows = re.findall(r"^\| `(_\w+)(?:/|\.py)` \| [^|]+ \| ([^|]+) \|$", PAGE.read_text(), re.MULTILINE)
    told = [(package, " ".join(re.findall(r"`(\w+)`", below))) for package, below in rows]
    assert told == [*MAY_IMPORT.items(), *CONTROLLER_MAY_IMPORT.items()]


def test_the_page_on_the_architecture_names_the_rooms_of_release() -> None:
    table = PAGE.read_text().partition("| in `_release/` |")[2].partition("\n\n")[0]
    rooms = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", table, re.MULTILINE)
    assert rooms == [room for floor in FLOORS["_release"] for room in floor.split()]


def controller_arrows() -> set[tuple[str, str]]:
    """Which package of plugin_utils imports which other one."""
    found = set()
    for path in CONTROLLER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and ".plugin_utils." in (node.module or ""):
                target = str(node.module).partition(".plugin_utils.")[2].partition(".")[0]
                found.add((path.relative_to(CONTROLLER).parts[0], target))
    return found


def test_nothing_on_the_controller_imports_a_plugin() -> None:
    plugin = re.compile(r"slipway\.go\.plugins\.(action|filter|lookup|modules)\b")
    assert [str(path) for path in CONTROLLER.rglob("*.py") if plugin.search(path.read_text(encoding="utf-8"))] == []


def test_nothing_on_the_controller_reaches_up() -> None:
    arrows = {(package, other) for package, other in controller_arrows() if package != other}
    assert {package for arrow in arrows for package in arrow} == set(CONTROLLER_MAY_IMPORT)
    assert {(one, other) for one, other in arrows if other not in CONTROLLER_MAY_IMPORT[one].split()} == set()


def test_the_table_of_the_controller_has_no_circle() -> None:
    seen: set[str] = set()
    for package, below in CONTROLLER_MAY_IMPORT.items():
        assert set(below.split()) <= seen, package
        seen.add(package)


def test_module_utils_knows_nothing_of_the_controller() -> None:
    assert [path for path in SOURCES.values() if "plugin_utils" in path.read_text(encoding="utf-8")] == []

"""Every failure that the code can report: its code, its message and its fix, read from the source.

A failure is made by SlipwayError, Problem, a class below them, or a function that hands its argument `code` on to
one of these. Texts are templates: what is only known at run time is {}.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
PARTS = ("code", "message", "fix")
BASES = {"SlipwayError": PARTS, "Problem": PARTS}
HOLE = "{}"


@dataclass(frozen=True)
class Failure:
    """One place that reports a failure. codes: all it can have, with * for a part only known at run time."""

    path: str
    line: int
    codes: frozenset[str]
    messages: frozenset[str]
    fixes: frozenset[str]


@dataclass
class Module:
    """What is needed of a file to resolve a name in it."""

    path: Path
    tree: ast.Module
    constants: dict[str, ast.expr] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    calls: list[tuple[ast.FunctionDef, list[ast.Call]]] = field(default_factory=list)


@functools.cache
def failures() -> tuple[Failure, ...]:
    modules = [_read(path) for path in sorted(PLUGINS.rglob("*.py"))]
    constants = {name: value for module in modules for name, value in module.constants.items()}
    makers = [_makers(module) for module in modules]
    public = {name: names for own in makers for name, names in own.items() if not name.startswith("_")}
    return tuple(
        found
        for module, own in zip(modules, makers, strict=True)
        for owner, call, names in _calls(module, {**public, **own})
        if (found := _failure(module, owner, call, names, constants))
    )


def codes() -> set[str]:
    """Those of every failure, and those that stand in results without one."""
    return {code for failure in failures() for code in failure.codes} | set(_codes_of_results())


def _read(path: Path) -> Module:
    module = Module(path, ast.parse(path.read_text(encoding="utf-8")))
    for statement in module.tree.body:
        if isinstance(statement, ast.Assign):
            named = [(target, statement.value) for target in statement.targets]
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            named = [(statement.target, statement.value)]
        else:
            named = []
        module.constants.update({target.id: value for target, value in named if isinstance(target, ast.Name)})
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef):
            module.functions.setdefault(node.name, node)
            module.calls.append((node, [inner for inner in ast.walk(node) if isinstance(inner, ast.Call)]))
    return module


def _calls(module: Module, makers: dict[str, tuple[str, ...]]) -> Iterator[tuple[ast.AST, ast.Call, tuple[str, ...]]]:
    """Each call that makes a failure, the function around it, and the names of its positional arguments."""
    for owner, call in _calls_with_owner(module.tree, module.tree):
        name = _called(call)
        if name == "__init__" and _is_super(call):
            bases = _bases_around(module, call)
            name = next((base for base in bases if base in makers), name)
        if name in makers and name != "__init__":
            yield owner, call, makers[name]


def _makers(module: Module) -> dict[str, tuple[str, ...]]:
    """Names that make a failure when called in this module, with the parameters they take."""
    makers: dict[str, tuple[str, ...]] = {
        **BASES,
        "ElfError": PARTS,
        "Unhealthy": PARTS,
        "Refused": ("message", "code"),
    }
    parameters = {
        function.name: tuple(argument.arg for argument in function.args.args if argument.arg != "self")
        for function, _inner in module.calls
        if function.name != "__init__"
    }
    while True:  # a function may hand on to one that hands on
        more = {
            function.name: parameters[function.name]
            for function, calls in module.calls
            if function.name in parameters and function.name not in makers
            if any(_hands_on(call, makers, parameters[function.name]) for call in calls)
        }
        if not more:
            return makers
        makers.update(more)


def _hands_on(call: ast.Call, makers: dict[str, tuple[str, ...]], parameters: tuple[str, ...]) -> bool:
    """Whether it makes a failure with the function's own `code` or `fix`."""
    if _called(call) not in makers:
        return False
    given = {argument.id for argument in call.args if isinstance(argument, ast.Name)}
    return any(name in given and name in parameters for name in ("code", "fix"))


def _called(call: ast.Call) -> str:
    target = call.func
    return target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""


def _is_super(call: ast.Call) -> bool:
    return (
        isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Call)
        and _called(call.func.value) == "super"
    )


def _bases_around(module: Module, call: ast.Call) -> list[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and any(inner is call for inner in ast.walk(node)):
            return [ast.unparse(base).rpartition(".")[2] for base in node.bases]
    return []


def _calls_with_owner(node: ast.AST, owner: ast.AST) -> Iterator[tuple[ast.AST, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        inner = child if isinstance(child, ast.FunctionDef) else owner
        if isinstance(child, ast.Call):
            yield inner, child
        yield from _calls_with_owner(child, inner)


def _failure(
    module: Module, owner: ast.AST, call: ast.Call, names: tuple[str, ...], constants: dict[str, ast.expr]
) -> Failure | None:
    given = dict(zip(names, call.args))
    given.update({word.arg: word.value for word in call.keywords if word.arg in PARTS})
    resolve = Resolver(module, owner, constants)
    found = {part: frozenset(resolve.texts(given[part])) if part in given else frozenset() for part in PARTS}
    known = frozenset(code.replace(HOLE, "*") for code in found["code"] if code != HOLE)
    if not (known or found["message"] or found["fix"]):
        return None
    path = str(module.path.relative_to(PLUGINS.parent))
    return Failure(path, call.lineno, known, found["message"], found["fix"])


class Resolver:
    """The texts that an expression can have."""

    def __init__(self, module: Module, owner: ast.AST, constants: dict[str, ast.expr]) -> None:
        self._module = module
        self._owner = owner
        self._constants = {**constants, **module.constants}
        self._seen: set[str] = set()

    def texts(self, node: ast.expr) -> set[str]:
        if isinstance(node, ast.Constant):
            return {str(node.value)}
        if isinstance(node, ast.JoinedStr):
            return self._joined(node.values)
        if isinstance(node, ast.FormattedValue):
            return self.texts(node.value) if isinstance(node.value, ast.IfExp) else {HOLE}
        if isinstance(node, ast.IfExp):
            return self.texts(node.body) | self.texts(node.orelse)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._joined([node.left, node.right])
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self._returned(node.func.id)
        return {HOLE}

    def _joined(self, parts: list[ast.expr]) -> set[str]:
        texts = {""}
        for part in parts:
            texts = {before + after for before in texts for after in self.texts(part)}
        return texts

    def _name(self, name: str) -> set[str]:
        if name in self._seen:
            return {HOLE}
        self._seen.add(name)
        try:
            local = [
                node.value
                for node in ast.walk(self._owner)
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name) and target.id == name
            ]
            values = local if not isinstance(self._owner, ast.Module) and local else []
            if not values and name in self._constants and not self._is_parameter(name):
                values = [self._constants[name]]
            return set().union(*(self.texts(value) for value in values)) if values else {HOLE}
        finally:
            self._seen.discard(name)

    def _is_parameter(self, name: str) -> bool:
        return isinstance(self._owner, ast.FunctionDef) and any(
            argument.arg == name for argument in self._owner.args.args
        )

    def _returned(self, name: str) -> set[str]:
        function = self._module.functions.get(name)
        if function is None or name in self._seen:
            return {HOLE}
        self._seen.add(name)
        try:
            inside = Resolver(self._module, function, self._constants)
            inside._seen = self._seen
            returned = [
                node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None
            ]
            return set().union(*(inside.texts(value) for value in returned)) if returned else {HOLE}
        finally:
            self._seen.discard(name)


def _codes_of_results() -> Iterator[str]:
    """Codes that a result or an answer of the tool has without an exception: `code="..."` and {"code": "..."}."""
    for path in sorted(PLUGINS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            pairs: list[tuple[ast.AST | None, ast.AST]] = []
            if isinstance(node, ast.Dict):
                pairs = list(zip(node.keys, node.values))
            elif isinstance(node, ast.Call) and _called(node) in ("fail_json", "_fail"):
                pairs = [(ast.Constant(word.arg), word.value) for word in node.keywords]
            for key, value in pairs:
                named = isinstance(key, ast.Constant) and key.value == "code"
                if named and isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value

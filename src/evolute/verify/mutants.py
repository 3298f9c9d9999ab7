"""Mutants of a solution: programs that differ from it in one small place, and that good tests tell from it.

Mutation testing is DeMillo, Lipton and Sayward's ("Hints on test data selection", Computer 11(4), 1978); the operators
are the usual ones (Offutt et al., TOSEM 5(2), 1996): relational and boundary, arithmetic, logical connectors, negated
conditions, constants, deleted statements, results. A mutant can be equivalent to the solution, which no test can show
and nothing can decide: what is certainly so is left out (the same tree, docstrings, annotations, messages of
exceptions, the code under `if __name__ == "__main__"`), and the threshold on the score leaves room for the rest.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from evolute.records import tagged_hash

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
_DROPPED = (ast.Assign, ast.AugAssign, ast.Expr, ast.Break, ast.Continue, ast.Raise, ast.Delete)
_MOST_NODES = 20_000

Change = tuple[int, str, Callable[[ast.AST], None]]
"""A line, what is done there, and how."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed solution. `id` says where and what: `line 4: < to <=`."""

    id: str
    code: str


def mutants(tree: ast.Module, most: int) -> list[Mutant]:
    """At most `most` different mutants, drawn by a hash of the solution, in the order of their lines.

    The same solution always has the same ones. Neither the solution itself nor two equal mutants are among them.
    """
    original = ast.unparse(tree)
    digest = tagged_hash("mutant-1", original)
    places = [(at, index, node) for at, node in _sites(tree) for index in range(len(_changes(node)))]
    places.sort(key=lambda place: tagged_hash("mutant-1", digest, *place[:2]))
    found: dict[str, tuple[int, str]] = {}
    for _, index, node in places:
        if len(found) == most:
            break
        line, what, code = _mutated(tree, node, index)
        if code != original and code not in found:
            found[code] = (line, what)
    ordered = sorted(found.items(), key=lambda item: (item[1], item[0]))
    return [Mutant(f"line {line}: {what}", code) for code, (line, what) in ordered]


def _mutated(tree: ast.Module, node: ast.AST, index: int) -> tuple[int, str, str]:
    """Change a node, write the program down, and put the node back: copying the tree would take longer than that."""
    before = {name: list(value) if isinstance(value, list) else value for name, value in vars(node).items()}
    line, what, change = _changes(node)[index]
    change(node)
    code = ast.unparse(tree)
    vars(node).update(before)
    return line, what, code


def _sites(tree: ast.Module) -> Iterator[tuple[int, ast.AST]]:
    """The nodes that may be changed, each with its number in the order of `ast.walk`."""
    left_out: set[int] = set()
    for number, node in enumerate(ast.walk(tree)):
        if number >= _MOST_NODES:
            return
        if id(node) in left_out:
            left_out.update(map(id, ast.iter_child_nodes(node)))
            continue
        left_out.update(map(id, _inert(node)))
        yield number, node


def _inert(node: ast.AST) -> Iterator[ast.AST]:
    """What below a node decides nothing that a test could see."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from node.decorator_list
        if node.returns:
            yield node.returns
    body = getattr(node, "body", None)
    if isinstance(body, list) and body and _is_text(body[0]):
        yield body[0]
    if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
        yield node.annotation
    if isinstance(node, ast.Raise):
        yield from ast.iter_child_nodes(node)
    if isinstance(node, ast.Assert) and node.msg:
        yield node.msg
    if isinstance(node, ast.JoinedStr):
        yield from (part for part in node.values if isinstance(part, ast.Constant))
    if isinstance(node, ast.If) and is_main_guard(node):
        yield from ast.iter_child_nodes(node)


def _is_text(node: ast.stmt) -> bool:
    """A docstring, or another constant that stands alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_main_guard(node: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__":`, whose body no import runs."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Compare)
        and any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test))
    )


def _changes(node: ast.AST) -> list[Change]:
    """All that can be done to a node, in a fixed order."""
    if isinstance(node, ast.If) and is_main_guard(node):
        return []
    return [*_expression_changes(node), *_negated(node), *_drops(node)]


def _expression_changes(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        yield from _comparisons(node)
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATORS:
        yield _operator(node, _OPERATORS[type(node.op)])
    elif isinstance(node, ast.BoolOp):
        yield _operator(node, ast.Or if isinstance(node.op, ast.And) else ast.And)
    elif isinstance(node, ast.Constant):
        for value in _others(node.value):
            yield node.lineno, f"{_short(node.value)} to {_short(value)}", _setting("value", value)
    elif isinstance(node, ast.Return) and node.value is not None:
        yield node.lineno, "return None", _setting("value", ast.Constant(None))


def _operator(node: ast.BinOp | ast.AugAssign | ast.BoolOp, new: type[ast.operator | ast.boolop]) -> Change:
    return node.lineno, f"{type(node.op).__name__} to {new.__name__}", _setting("op", new())


def _comparisons(node: ast.Compare) -> Iterator[Change]:
    for index, old in enumerate(node.ops):
        for new in _COMPARISONS[type(old)]:

            def change(at: ast.AST, index: int = index, new: type[ast.cmpop] = new) -> None:
                at.ops[index] = new()  # type: ignore[attr-defined]

            yield node.lineno, f"{type(old).__name__} to {new.__name__}", change


def _negated(node: ast.AST) -> Iterator[Change]:
    def change(at: ast.AST) -> None:
        at.test = ast.UnaryOp(ast.Not(), at.test)  # type: ignore[attr-defined]

    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield node.lineno, "condition negated", change


def _drops(node: ast.AST) -> Iterator[Change]:
    """Statements of a block, each replaced by `pass`."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        for index, statement in enumerate(block if isinstance(block, list) else ()):
            if isinstance(statement, _DROPPED) and not _is_text(statement):

                def change(at: ast.AST, name: str = name, index: int = index) -> None:
                    getattr(at, name)[index] = ast.Pass()

                yield statement.lineno, "dropped", change


def _others(value: object) -> list[object]:
    """Constants to put in a constant's place."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, float):
        return [value + 1.0]
    if isinstance(value, str):
        return ["" if value else "mutant"]
    return []


def _setting(name: str, value: object) -> Callable[[ast.AST], None]:
    return lambda at: setattr(at, name, value)


def _short(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 24 else f"{said[:21]}..."

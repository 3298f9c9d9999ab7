"""Programs that are wrong beyond doubt: the solution's functions with nothing in them, or with one constant.

Tests that such a program passes say nothing. The constants are of the usual kinds, and those that stand in the
tests: `assert f(2) == 4` alone is passed by a function that always returns 4.
"""

from __future__ import annotations

import ast
import operator
from collections import deque
from collections.abc import Iterator

CONSTANTS = ("0", "1", "''", "[]", "{}", "True", "False")
_MOST_EXPECTED = 8
_MOST_ALONE = 8
_LONGEST_EXPECTED = 2000
_FOLDED = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def trivial_programs(tree: ast.Module, tests: ast.Module) -> list[tuple[str, str]]:
    """The trivial programs, each with its name; all have the solution's names and signatures.

    They have one body for all functions, or, where the tests use several, a constant in one of these alone. A body that
    the solution has itself is left out: a function whose task is to return its argument does so.
    """
    bodies: dict[str, str] = {"empty body": "pass", "raises": "raise ValueError('trivial')"}
    bodies |= {f"return {value}": f"return {value}" for value in (*CONSTANTS, *_expected(tree, tests))}
    original = ast.unparse(tree)
    programs = [(name, _filled(tree, ast.parse(body).body[0])) for name, body in bodies.items()]
    programs.append(("return the first argument", _filled(tree, None)))
    programs += _alone(tree, tests)
    return [(name, code) for name, code in programs if code != original]


def _alone(tree: ast.Module, tests: ast.Module) -> Iterator[tuple[str, str]]:
    """Programs in which one function returns what the assertions that name it compare with."""
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    asserted: dict[str, dict[str, None]] = {}
    for node in ast.walk(tests):
        if isinstance(node, ast.Assert):
            named = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            for name in (name for name in functions if name in named):
                asserted.setdefault(name, {}).update(_literals(node, frozenset(functions)))
    if len(asserted) < 2:
        return
    each = max(1, _MOST_ALONE // len(asserted))
    for name, found in asserted.items():
        for value in list(found)[:each]:
            yield f"{name} returns {value}", _filled(tree, ast.parse(f"return {value}").body[0], name)


def _expected(tree: ast.Module, tests: ast.Module) -> Iterator[str]:
    """The literals in the tests that are not the solution's arguments; those of comparisons first."""
    functions = frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    found: dict[str, None] = {}
    for node in ast.walk(tests):
        if isinstance(node, ast.Compare):
            found.update(_literals(node, functions))
    found.update(_literals(tests, functions))
    values = [value for value in found if value not in CONSTANTS and value != "None"]
    return iter(values[:_MOST_EXPECTED])


def _literals(node: ast.AST, functions: frozenset[str]) -> dict[str, None]:
    """The literals below a node, whole ones before their parts, in their order; sums and products are worked out."""
    found: dict[str, None] = {}
    waiting = deque([node])
    while waiting:
        part = waiting.popleft()
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in functions:
            continue
        if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant):
            continue  # a docstring
        if isinstance(part, ast.expr) and (value := _worked_out(part)) is not None:
            if len(value) <= _LONGEST_EXPECTED:
                found.setdefault(value)
            continue
        waiting.extend(ast.iter_child_nodes(part))
    return found


def _worked_out(node: ast.expr) -> str | None:
    """The literal that an expression is, as source; None where it is none."""
    try:
        if isinstance(node, ast.BinOp) and type(node.op) in _FOLDED:
            left, right = _worked_out(node.left), _worked_out(node.right)
            if left is None or right is None:
                return None
            sides = ast.literal_eval(left), ast.literal_eval(right)
            if not all(isinstance(side, int | float) and abs(side) < 1e100 for side in sides):
                return None
            return repr(_FOLDED[type(node.op)](*sides))
        ast.literal_eval(node)
        return ast.unparse(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, ArithmeticError):
        return None


def _filled(tree: ast.Module, body: ast.stmt | None, only: str = "") -> str:
    """The solution with `body` in all of its functions, or in one; None: each returns its first argument."""
    holders: list[ast.Module | ast.ClassDef] = [tree]
    holders += [node for node in tree.body if isinstance(node, ast.ClassDef) and not only]
    before = []
    for holder in holders:
        for node in holder.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "__init__":
                if only not in ("", node.name):
                    continue
                before.append((node, node.body))
                node.body = [_first_argument(node, holder) if body is None else body]
    code = ast.unparse(tree)
    for node, statements in before:  # put back: copying the tree would take longer than all else
        node.body = statements
    return code


def _first_argument(node: ast.FunctionDef | ast.AsyncFunctionDef, holder: ast.Module | ast.ClassDef) -> ast.stmt:
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    names = names[1:] if isinstance(holder, ast.ClassDef) else names
    return ast.parse(f"return {names[0]}").body[0] if names else ast.Pass()

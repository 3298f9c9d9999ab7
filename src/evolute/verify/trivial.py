"""Programs that are wrong beyond doubt: the solution's functions with nothing in them, or with one constant.

Tests that such a program passes say nothing. The constants are of the usual kinds, and those that the tests compare
with: `assert f(2) == 4` alone is passed by a function that always returns 4.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

CONSTANTS = ("0", "1", "''", "[]", "{}", "True", "False")
_MOST_EXPECTED = 8
_LONGEST_EXPECTED = 2000


def trivial_programs(tree: ast.Module, tests: ast.Module) -> list[tuple[str, str]]:
    """The trivial programs, each with its name; all have the solution's names and signatures, and one body for all.

    A body that the solution has itself is left out: a function whose task is to return its argument does so.
    """
    bodies: dict[str, str] = {"empty body": "pass", "raises": "raise ValueError('trivial')"}
    bodies |= {f"return {value}": f"return {value}" for value in (*CONSTANTS, *_expected(tests))}
    original = ast.unparse(tree)
    programs = [(name, _filled(tree, ast.parse(body).body[0])) for name, body in bodies.items()]
    programs.append(("return the first argument", _filled(tree, None)))
    return [(name, code) for name, code in programs if code != original]


def _expected(tests: ast.Module) -> Iterator[str]:
    """The literals that the tests compare with, the first ones."""
    found: dict[str, None] = {}
    for node in ast.walk(tests):
        for side in (node.left, *node.comparators) if isinstance(node, ast.Compare) else ():
            if _is_literal(side) and len(literal := ast.unparse(side)) <= _LONGEST_EXPECTED:
                found.setdefault(literal)
        if len(found) >= _MOST_EXPECTED:
            break
    return (literal for literal in list(found)[:_MOST_EXPECTED] if literal not in CONSTANTS and literal != "None")


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _filled(tree: ast.Module, body: ast.stmt | None) -> str:
    """The solution with `body` in all of its functions; None: each returns its first argument."""
    holders: list[ast.Module | ast.ClassDef] = [tree]
    holders += [node for node in tree.body if isinstance(node, ast.ClassDef)]
    before = []
    for holder in holders:
        for node in holder.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "__init__":
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

"""Branch coverage without a tracer: the solution notes in a set of its own which of its branches it took.

Branches are both ways of every condition (`if`, `while`, `a if b else c`, the `if` of a comprehension), the body and
the end of every `for`, every `except` and `case`, and the entry of every function.
"""

from __future__ import annotations

import ast
import copy

from evolute.verify.mutants import is_main_guard

HITS = "_evolute_hits"
"""The global that holds the numbers of the branches that were taken."""

_TOOK = "_evolute_took"
_PRELUDE = f"""
{HITS} = set()
def {_TOOK}(number, value):
    truth = True if value else False
    {HITS}.add(number + truth)
    return truth
"""


class _Instrument(ast.NodeTransformer):
    """Puts a note at each branch; `branches` counts them."""

    def __init__(self) -> None:
        self.branches = 0

    def _next(self, count: int) -> int:
        self.branches += count
        return self.branches - count

    def _hit(self) -> ast.stmt:
        return ast.parse(f"{HITS}.add({self._next(1)})").body[0]

    def _took(self, test: ast.expr) -> ast.expr:
        return ast.Call(ast.Name(_TOOK, ast.Load()), [ast.Constant(self._next(2)), test], [])

    def _condition(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        node.test = self._took(node.test)  # type: ignore[attr-defined]
        return node

    def _arm(self, node: ast.AST) -> ast.AST:
        hit = self._hit()
        self.generic_visit(node)
        node.body.insert(0, hit)  # type: ignore[attr-defined]
        return node

    def _loop(self, node: ast.AST) -> ast.AST:
        entered, ended = self._hit(), self._hit()
        self.generic_visit(node)
        node.body.insert(0, entered)  # type: ignore[attr-defined]
        node.orelse.insert(0, ended)  # type: ignore[attr-defined]
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        return node if is_main_guard(node) else self._condition(node)

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        node.ifs = [self._took(test) for test in node.ifs]
        return node

    visit_While = visit_IfExp = _condition
    visit_For = visit_AsyncFor = _loop
    visit_FunctionDef = visit_AsyncFunctionDef = visit_ExceptHandler = visit_match_case = _arm


def instrumented(tree: ast.Module) -> tuple[str, int]:
    """The solution with its notes, and how many branches it has; what it computes is the same."""
    program = copy.deepcopy(tree)
    instrument = _Instrument()
    instrument.visit(program)
    start = next((at for at, node in enumerate(program.body) if not _must_be_first(node)), len(program.body))
    program.body[start:start] = ast.parse(_PRELUDE).body
    return ast.unparse(ast.fix_missing_locations(program)), instrument.branches


def taken(value: object, branches: int) -> int:
    """How many branches the set that came out of the sandbox names; it is the program's own, and may hold anything."""
    if not isinstance(value, set | frozenset):
        return 0
    return len({number for number in value if type(number) is int and 0 <= number < branches})


def _must_be_first(node: ast.stmt) -> bool:
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return docstring or (isinstance(node, ast.ImportFrom) and node.module == "__future__")

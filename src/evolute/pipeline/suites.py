"""Several benchmarks on one model, one after another, each in a folder of its own; and the page on all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from time import monotonic

from evolute.errors import EvoluteError, InputError
from evolute.evolve.budget import Limits
from evolute.ledger import Reader
from evolute.pipeline.readings import readings_of
from evolute.pipeline.scorecards import PAGE, scorecard
from evolute.pipeline.stopping import INTERRUPTED
from evolute.report.scorecard import Reading, Scorecard, write_scorecard
from evolute.scores import Score

SUITES: Mapping[str, tuple[str, ...]] = {
    "quick": ("quick",),
    "wizardlm": (
        "wizardlm", "mt-bench", "alpaca-eval", "mmlu", "arc-challenge", "truthfulqa", "hellaswag", "humaneval",
    ),
    "code": ("humaneval-plus", "mbpp", "mbpp-plus"),
}  # fmt: skip
"""Benchmarks by the name of their suite: what needs no data of yours; what the WizardLM README reports; code."""

PAIRED = ("quick", "vicuna", "wizardlm")
"""Judged benchmarks whose protocol sets the model's answers against an opponent's."""
GRADED = ("mt-bench", "alpaca-eval")
"""Judged benchmarks that need no opponent: each answer is graded, or set against the benchmark's own reference."""
JUDGED = (*PAIRED, *GRADED)
CHOICES = ("mmlu", "arc-challenge", "truthfulqa", "hellaswag", "gsm8k")
CODE = ("humaneval", "humaneval-plus", "mbpp", "mbpp-plus")
BENCHMARKS = (*JUDGED, *CHOICES, *CODE)
AGAINST = "against"
"""The folder, in a suite's, with the opponent's evaluations on benchmarks that need no opponent."""
FOLDERS = {
    "vicuna": "vicuna", "wizardlm": "wizardlm", "mt-bench": "mt_bench", "alpaca-eval": "alpaca_eval", "mmlu": "mmlu",
    "arc-challenge": "arc_challenge", "truthfulqa": "truthfulqa", "hellaswag": "hellaswag", "gsm8k": "gsm8k",
    "humaneval": "humaneval", "humaneval-plus": "humaneval", "mbpp": "mbpp", "mbpp-plus": "mbpp",
}  # fmt: skip
"""Where each benchmark's data lie below --data, if there is such a folder."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a benchmark ended: a score, or why it stopped. `cost` in US dollars, None where unknown."""

    score: Score | None
    stopped: str = ""
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One benchmark of a suite, for one model: `label` names the model, `run` evaluates it within bounds."""

    benchmark: str
    label: str
    folder: Path
    run: Callable[[Limits], Ended]


@dataclass(frozen=True, slots=True)
class Suite:
    """What a suite came to. `stopped` says why it did not come to its end; then the same command goes on."""

    card: Scorecard
    page: Path | None
    stopped: str = ""


@dataclass(slots=True)
class _Done:
    """What has come of the parts so far."""

    sides: dict[str, dict[str, Score]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    stopped: str = ""


def benchmarks_of(names: Sequence[str]) -> list[str]:
    """The benchmarks that the names of suites and benchmarks stand for, each once; a suite's name comes first.

    Raises:
        InputError: there is none of that name.
    """
    found: dict[str, None] = {}
    for name in names:
        if name not in SUITES and name not in BENCHMARKS:
            near = get_close_matches(name, [*SUITES, *BENCHMARKS], 1)
            hint = f". Did you mean {near[0]}?" if near else ""
            raise InputError(
                f"no suite and no benchmark {name!r}: there are the suites {', '.join(SUITES)} and the benchmarks "
                f"{', '.join(BENCHMARKS)}{hint}"
            )
        found |= dict.fromkeys(SUITES.get(name, (name,)))
    return list(found)


def data_of(benchmark: str, data: Path | None) -> Path | None:
    """Where a benchmark's data are: the folder of its name below `data`, or `data` itself; `quick` needs none."""
    if data is None or benchmark not in FOLDERS:
        return None
    below = data / FOLDERS[benchmark]
    return below if below.is_dir() else data


def run_suite(
    title: str,
    parts: Sequence[Part],
    out: Path,
    limits: Limits,
    say: Callable[[str], None] = lambda remark: None,
    *,
    spent: Spending | None = None,
) -> Suite:
    """Run the parts in order, and write `evaluation.html` into `out`.

    A part that cannot be run is left out, with its reason on the page, and the others go on; a bound that is reached,
    or the user, ends it all. The bounds hold for the parts together. Where cost is bounded, a part that fails ends it
    all, too: what it has cost is not known. `spent` is what came before them, and counts as well.

    Raises:
        InputError: the page cannot be written.
        MissingExtra: the packages of `evolute[report]` are not installed.
    """
    done, spent = _Done(), spent or Spending()
    for part in parts:
        say(f"{part.benchmark}: {part.label}")
        try:
            left = spent.left_of(limits)
            ended = part.run(left) if isinstance(left, Limits) else Ended(None, left)
        except EvoluteError as error:
            done.left_out[_name(part, parts)] = str(error)
            if limits.cost is not None:
                done.stopped = f"{part.benchmark} failed, and --max-cost cannot be held without knowing what it cost"
                break
            spent.add(part.folder, None)
            continue
        spent.add(part.folder, ended.cost)
        if ended.score is not None:
            done.sides.setdefault(part.label, {})[part.benchmark] = ended.score
            done.readings += readings_of(part.folder, ended.score)
        stopped = Spending.told(ended.stopped, limits)
        if stopped:
            done.left_out[_name(part, parts)] = stopped
        if stopped.startswith("--max-") or stopped == INTERRUPTED:
            done.stopped = stopped
            break
    card = scorecard(title, done.sides, readings=done.readings, left_out=done.left_out)
    page = write_scorecard(card, out / PAGE) if done.sides else None
    return Suite(card, page, done.stopped)


def _name(part: Part, parts: Sequence[Part]) -> str:
    """The benchmark, and for whom, where there are two."""
    alone = sum(one.benchmark == part.benchmark for one in parts) == 1
    return part.benchmark if alone else f"{part.benchmark} of {part.label}"


@dataclass(slots=True)
class Spending:
    """What parts of something larger have spent, in all their sessions, of bounds that hold for it as a whole."""

    calls: int = 0
    tokens: int = 0
    cost: float = 0.0
    began: float = field(default_factory=monotonic)

    @property
    def minutes(self) -> float:
        """Since it began; of this session alone."""
        return (monotonic() - self.began) / 60

    def add(self, folder: Path, cost: float | None) -> None:
        """Count what the ledger in a folder has recorded."""
        self.cost += cost or 0.0
        if (folder / "ledger.db").is_file():
            with Reader(folder) as reader:
                for part in reader.totals():
                    self.calls += part.calls
                    self.tokens += part.prompt_tokens + part.completion_tokens

    def left_of(self, limits: Limits) -> Limits | str:
        """What is left of the bounds; or which one is used up."""
        left = {
            name: getattr(limits, name) - getattr(self, name)
            for name in ("cost", "calls", "tokens", "minutes")
            if getattr(limits, name) is not None
        }
        if gone := next((name for name, value in left.items() if value <= 0), None):
            return _reached(gone, limits)
        return replace(limits, **left)

    @staticmethod
    def told(why: str, limits: Limits) -> str:
        """Why a part stopped, with the bound of the whole in the place of what was left for the part."""
        bound = why.partition(" ")[0]
        return _reached(bound.removeprefix("--max-"), limits) if bound.startswith("--max-") else why


def _reached(name: str, limits: Limits) -> str:
    return f"--max-{name} {getattr(limits, name):g} is reached"

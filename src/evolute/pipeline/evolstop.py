"""Evol Stop: evolve round by round, and after each let a score say whether to go on or to roll back.

(WizardCoder, arXiv:2306.08568, §3.2: evolution stops when the score on a development set falls, and the best round's
data are kept.) Each round is a pass over all lineages with one round more than the last: what is recorded is recalled.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import os
import shlex
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import orjson

from evolute.errors import LedgerError, ScoreFailed
from evolute.evolve.budget import Budget
from evolute.export import export
from evolute.ledger import Ledger
from evolute.ledger.rounds import Rounds
from evolute.recipe.stopping import PLACEHOLDERS, Stop
from evolute.records import tagged_hash

FOLDER = "evol-stop"
"""The folder inside a run with what was scored, and what the command said."""
_TAIL = 1 << 24  # bytes of what the command printed that are looked at


async def evolve_in_rounds(
    ledger: Ledger,
    stop: Stop,
    rounds: int,
    budget: Budget,
    grow: Callable[[int], Awaitable[None]],
    say: Callable[[str], None],
) -> None:
    """Grow all lineages by one round after the other, until the score or the last round ends it.

    Args:
        ledger: the run.
        stop: what the recipe says of the barrier.
        rounds: the recipe's last round.
        budget: says whether the run is being stopped.
        grow: grows all unfinished lineages up to a round.
        say: told each score, and what follows from it.

    Raises:
        ScoreFailed: the command failed, took too long, or said no number; the run can be resumed.
    """
    state = Rounds.read(ledger.reader)
    first = 0 if stop.seeds else 1
    if state is None or (state.first, state.command) != (first, stop.command):
        # Whatever was grown before without this barrier is taken back; its calls stay, and so do a command's scores.
        state = Rounds(first, first=first, command=stop.command)
        state.begin(ledger, anew=True)
    while True:
        await grow(state.grown)
        ledger.flush()
        if budget.why:
            return
        if left := ledger.reader.seed_count() - ledger.reader.finished_count():
            say(f"round {state.grown} is not scored: {left:,} lineages are not finished; run the same command again")
            return
        if state.grown not in state.scores:
            score = await _score(ledger, stop, state.grown, budget, say)
            if score is None:
                return
            state = replace(state, scores={**state.scores, state.grown: score})
        going, last = decide(stop, state.scores)
        if not going or state.grown >= rounds:
            replace(state, last=last).note(ledger)
            say(_told(state, last, going))
            return
        state = replace(state, grown=state.grown + 1, last=None)
        state.begin(ledger)


def decide(stop: Stop, scores: Mapping[int, float]) -> tuple[bool, int]:
    """Whether to go on after the scored rounds, and the round that the dataset ends with if not.

    A score has fallen where it is below the best before it by more than the tolerance. The dataset ends with the last
    round whose score has not fallen below the best of all.
    """
    best, fallen, seen = -math.inf, 0, []
    for round_, score in sorted(scores.items()):
        fallen = fallen + 1 if score < best - stop.tolerance else 0
        best = max(best, score)
        seen.append(round_)
        if fallen >= stop.patience:
            break
    last = max(round_ for round_ in seen if scores[round_] >= best - stop.tolerance)
    return fallen < stop.patience, last


def _told(state: Rounds, last: int, going: bool) -> str:
    if last == state.grown:
        rounds = "the one round is" if state.grown == 1 else f"all {state.grown} rounds are"
        return f"{rounds} kept: the score has not fallen"
    why = "the last round is reached" if going else "the score has fallen"
    return f"{why}: rolled back to round {last}; what came later stays in the ledger"


async def _score(ledger: Ledger, stop: Stop, round_: int, budget: Budget, say: Callable[[str], None]) -> float | None:
    """The score of the rows up to a round, from the ledger where it holds it; None: the run is being stopped."""
    dataset = _write(ledger, round_)
    with dataset.open("rb") as file:
        key = tagged_hash("dev-score-1", hashlib.file_digest(file, "sha256").digest(), stop.command)
    if (recorded := ledger.reader.recall_execution(key)) is not None:
        return float(orjson.loads(recorded)["score"])
    say(f"round {round_} is grown: scoring {dataset}")
    out = dataset.with_suffix(".out")
    began = time.monotonic()
    if not await _run(_words(stop.command, dataset, round_, ledger.run), out, stop.seconds, budget):
        return None
    score = _read_score(out)
    found = {"score": score, "round": round_, "seconds": round(time.monotonic() - began, 1)}
    await ledger.record_execution(key, orjson.dumps(found).decode())
    say(f"round {round_}: score {score:g}")
    return score


def _write(ledger: Ledger, round_: int) -> Path:
    path = ledger.run / FOLDER / f"round-{round_}.jsonl"
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise LedgerError(f"cannot write {path.parent}: {error.strerror}") from None
    export(ledger.reader.dataset(up_to=round_), "alpaca", path)
    return path


def _words(command: str, dataset: Path, round_: int, run: Path) -> list[str]:
    values = dict(zip(PLACEHOLDERS, (str(dataset), str(round_), str(run)), strict=True))
    words = shlex.split(command)
    for name, value in values.items():
        words = [word.replace(f"{{{name}}}", value) for word in words]
    return words


async def _run(words: list[str], out: Path, seconds: float, budget: Budget) -> bool:
    """Run the command to its end, what it prints in files; False: the run is being stopped, and so was the command."""
    closed = asyncio.Event()
    budget.on_close.append(lambda why: closed.set())
    shown = shlex.join(words)
    err = out.with_suffix(".err")
    with out.open("wb") as output, err.open("wb") as errors:
        try:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ScoreFailed(f"evolve.stop.command: {shown} cannot be started: {error.strerror or error}") from None
        ended, stopping = asyncio.ensure_future(process.wait()), asyncio.ensure_future(closed.wait())
        try:
            await asyncio.wait({ended, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            in_time = ended.done()
            if not in_time:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await ended
    status = process.returncode
    if closed.is_set():
        return False
    if status == 0:
        return True
    why = f"ended with {status}" if in_time else f"took more than evolve.stop.seconds ({seconds:g})"
    if in_time and status is not None and status < 0:
        why = f"was killed by signal {-status}"
    raise ScoreFailed(
        f"evolve.stop.command: {shown} {why}{_last(err) or _last(out)}. See {err}. Mend it and run the "
        "same command again: nothing recorded is paid for twice"
    )


def _last(out: Path) -> str:
    lines = _lines(out)
    return f"; its last line: {lines[-1].strip()[:200]!r}" if lines else ""


def _lines(out: Path) -> list[str]:
    with out.open("rb") as file:
        file.seek(max(0, out.stat().st_size - _TAIL))
        text = file.read().decode("utf-8", "replace")
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def _read_score(out: Path) -> float:
    lines = _lines(out)
    with contextlib.suppress(IndexError, ValueError):
        if math.isfinite(score := float(lines[-1])):  # also `.5`, which `bc` prints and JSON forbids
            return score
    with contextlib.suppress(IndexError, ValueError, TypeError, KeyError):
        start = len(lines) - 1
        if lines[-1] == "}":  # JSON over several lines, as `evolute evaluate --json` writes it
            start = max(number for number, line in enumerate(lines) if line == "{")
        said = orjson.loads("\n".join(lines[start:]))
        value = said["score"] if "score" in said else said["pass@1"]
        if not isinstance(value, bool) and math.isfinite(score := float(value)):
            return score
    raise ScoreFailed(
        f"evolve.stop.command: it says no score at its end{_last(out)}. It should be a number, or JSON with `score` "
        f"or `pass@1`. All that it printed is in {out}; run the same command again when it is mended"
    )

"""Respond: have a model answer every row of a file, through a ledger that lies beside the output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from evolute.errors import InputError
from evolute.evolve.budget import Budget, Limits
from evolute.files import regular
from evolute.formats import FORMATS, Format, find_format
from evolute.ledger import Ledger
from evolute.models.prices import unit_price
from evolute.pipeline.evolving import Watch
from evolute.pipeline.generating import Question, Sampling, generate, standing
from evolute.pipeline.ingest import BAD_ROWS, BadRows
from evolute.pipeline.responses import write_responses
from evolute.pipeline.settings import (
    check_address,
    check_same,
    no_format_here,
    read_settings,
    validated,
    write_settings,
)
from evolute.pipeline.stopping import INTERRUPTED, in_loop
from evolute.recipe import ModelSpec, assign
from evolute.recipe.models import Part
from evolute.records import Message, Seed, tagged_hash
from evolute.seeds import BadRow, SeedOptions, SeedReader

ROLE = "responder"
FOLDER = ".ledger"
"""What is added to the output's name for the folder with the record of the calls."""
SETTINGS = "respond.yaml"
_RAW_APIS = frozenset({"completions", "scripted"})


class Responding(Part):
    """How a file's rows are answered, every field resolved."""

    model: ModelSpec
    """Who answers."""
    format: str = ""
    """The prompt format, by name or as a template's file; empty: `chat`, except for plain completions."""
    template: str = ""
    """A hash of that file's text."""
    system: str = ""
    """A system prompt for rows that bring none."""
    last_turn: bool = False
    """Of a conversation, only the last turn is asked, behind the answers that the file holds."""
    n: int = Field(default=1, ge=1)
    """Answers to each row."""
    temperature: float | None = Field(default=0.0, ge=0)
    """0: greedy; null: not sent, so that the endpoint's own holds."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Draw only from the likeliest tokens that together have this probability; null: not sent."""
    answer_tokens: int = Field(default=2048, ge=1)
    """The most tokens of one answer."""
    seed: int = 0
    """From which every draw follows."""

    @model_validator(mode="after")
    def _draws_differ(self) -> Responding:
        if self.n > 1 and self.temperature == 0:
            raise ValueError(f"n is {self.n} at temperature 0, where every answer is the same: give a temperature")
        return self

    def decisive(self) -> dict[str, Any]:
        """The fields that decide the answers; those that stay the same while the work goes on."""
        fields = self.model_dump(mode="json", exclude={"model", "n"})
        return fields | {f"model.{name}": value for name, value in self.model.decisive().items()}

    def sampling(self, form: Format) -> Sampling:
        """How answers are drawn; a format that writes the whole prompt sends its stop words along."""
        named = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.answer_tokens}
        fields: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        if self.model.api == "local":  # whose engine writes the prompt
            return Sampling(fields | ({"format": form.name} if form.write is not None else {}), self.seed)
        return Sampling(fields | ({"stop": list(form.stops)} if form.stops else {}), self.seed)


@dataclass(frozen=True, slots=True)
class Responded:
    """What it came to.

    `stopped` says why the output was not written; it is empty when it was. `answers` counts the answers that there
    are of `wanted`; the same row twice has one. `failed` counts answers without usable text, or cut off, by why;
    `unasked` the turns behind such. `calls` and `cost` (US dollars, None where the price is unknown) are those of all
    sessions.
    """

    out: Path
    rows: int = 0
    bad_rows: int = 0
    wanted: int = 0
    answers: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    unasked: int = 0
    calls: int = 0
    cost: float | None = None
    stopped: str = ""


def respond(
    source: str | Path,
    out: str | Path,
    *,
    model: ModelSpec | None = None,
    settings: Mapping[str, Any] | None = None,
    seeds: SeedOptions | None = None,
    limits: Limits | None = None,
    watch: Watch | None = None,
    say: Callable[[str], None] = lambda remark: None,
) -> Responded:
    """Have a model answer every row of a file, in its order, and write the answers as JSON Lines.

    Every call is recorded in the folder `OUT.ledger`: called again, it goes on where it was stopped, and nothing is
    paid for twice. The output is written whole, once every answer is there, or not at all. Works inside a running
    event loop too (a notebook).

    Args:
        source: what to read, in any shape that seeds have: a file, a folder, `-`, or a dataset on the hub.
        out: the file to write.
        model: who answers.
        settings: further fields of `Responding`, by dotted path (`{"format": "vicuna-v1.1", "n": 4}`).
        seeds: which rows to take.
        limits: bounds on cost, calls, tokens and minutes.
        watch: shows the progress.
        say: told what was recognised in the file.

    Raises:
        InputError: a row, a field or a bound is wrong, a row does not fit the format, or `OUT.ledger` was made with
            other settings.
        LedgerError: the record is in use, damaged, or cannot be written.
        EndpointError: the endpoint cannot serve; what was answered is recorded.
    """
    target, limits = Path(out), limits or Limits()
    _check_target(str(source), target)
    folder = target.with_name(target.name + FOLDER)
    before = read_settings(Responding, folder / SETTINGS)
    given = {"model": model.model_dump(mode="json")} if model is not None else {}
    responding, form = _resolved(before, given | dict(settings or {}))
    if limits.cost is not None and unit_price(responding.model) is None:
        raise InputError(
            f"--max-cost needs a price, and none is known for {responding.model.model!r}: give it with "
            "--set 'model.price={input: DOLLARS, output: DOLLARS}' (per million tokens)"
        )
    rows, bad = _read(str(source), seeds or SeedOptions(), folder, responding.last_turn, say)
    asked = _questions(rows, responding, form)
    with Ledger(folder) as ledger:
        if before is not None and ledger.has_history:
            check_same(before.decisive(), responding.decisive(), folder, "answers that were asked for otherwise")
        write_settings(responding, folder / SETTINGS, "How these answers are asked for, as it was resolved.")
        budget = Budget(limits, standing(ledger.reader, {ROLE: responding.model}, _wanted(asked, responding.n)))
        answers = in_loop(
            lambda: generate(
                ledger, responding.model, list(asked.values()), responding.n, responding.sampling(form), budget, watch,
                role=ROLE,
            ),
            lambda: budget.close(INTERRUPTED),
        )  # fmt: skip
    wanted = _wanted(asked, responding.n)
    stopped = answers.stopped if answers.count + answers.unasked < wanted else ""  # else all is there
    if answers.left and not stopped:
        stopped = f"{answers.left:,} of {wanted:,} answers could not be had ({answers.why_left})"
    if not stopped:
        write_responses(
            target, [(seed, asked[seed.id]) for seed in rows], answers, responding.n, responding.model.model
        )
    progress = budget.progress
    return Responded(
        target, len(rows), bad, wanted, answers.count, dict(answers.failed), answers.unasked, progress.calls,
        progress.cost, stopped,
    )  # fmt: skip


def _check_target(source: str, target: Path) -> None:
    """Look that the output can be written before anything is paid for."""
    place = regular(target)
    if Path(source).exists() and place == Path(source).resolve():
        raise InputError(f"{target} is the file that is read: write somewhere else")


def _resolved(before: Responding | None, settings: Mapping[str, Any]) -> tuple[Responding, Format]:
    """The settings on top of what the folder holds, and their format."""
    fields = before.model_dump(mode="json") if before is not None else {}
    for path, value in settings.items():
        assign(fields, path.split("."), value)
    if not fields.get("model"):
        raise InputError("who answers? give --model NAME with --base-url URL, or --model smollm2, which runs here")
    if fields["model"].get("base_url") and not fields["model"].get("model"):
        raise InputError("an endpoint needs a model: give --model NAME (`evolute models check URL` lists them)")
    responding = validated(Responding, fields, "respond")
    check_address(responding.model)
    form = _format(responding)
    digest = tagged_hash("template-1", form.source).hex() if form.name not in FORMATS else ""
    return responding.model_copy(update={"format": form.name, "template": digest}), form


def _format(responding: Responding) -> Format:
    """The prompt format, which must suit the API: no template goes into another, and none is left out."""
    api = responding.model.api
    if not responding.format and api == "completions":
        raise InputError(
            "plain completions go on from a text: name the prompt format that the model was trained with "
            "(--format wizardlm-7b, vicuna-v1.1, alpaca, …; plain for none)"
        )
    form = find_format(responding.format or "chat")
    if form.write is not None and api == "embedded":
        raise InputError(no_format_here(form.name))
    if form.write is not None and api not in (*_RAW_APIS, "local"):
        raise InputError(
            f"the format {form.name!r} writes the whole prompt, which --api {api} would put into the endpoint's own "
            "chat template: give --api completions, or --format chat"
        )
    if form.write is None and api == "completions":
        raise InputError("the format 'chat' is written by a chat API: give --api chat, or another --format")
    return form


def _read(
    source: str, options: SeedOptions, folder: Path, last_turn: bool, say: Callable[[str], None]
) -> tuple[list[Seed], int]:
    """The rows, and how many bad ones were set aside."""
    with BadRows(folder / BAD_ROWS) as bad:

        def set_aside(row: BadRow) -> None:
            folder.mkdir(exist_ok=True)
            bad.add(row)

        reader = SeedReader([source], replace(options, whole=not last_turn), set_aside)
        rows = list(reader)
    for found in reader.recognised:
        say(found.sentence)
    if bad.count:
        say(f"{bad.count:,} bad rows set aside in {bad.path}")
    if not rows:
        raise InputError(f"{source}: no row to answer was found: see --where, --column and --limit")
    return rows, bad.count


def _questions(rows: Sequence[Seed], responding: Responding, form: Format) -> dict[bytes, Question]:
    """What is asked, by the row's id: the same row twice is asked once."""
    asked: dict[bytes, Question] = {}
    for seed in rows:
        if seed.id not in asked:
            asked[seed.id] = question = _question(seed, responding, form)
            _check_room(seed, question, form)
    return asked


def _question(seed: Seed, responding: Responding, form: Format) -> Question:
    """A row as it is put: its user turns in order, or the last alone behind what the file has before it."""
    system = seed.system or responding.system
    before = (Message("system", system),) if system else ()
    shown = FORMATS["chat"] if responding.model.api == "local" else form  # a local engine writes the prompt itself
    shape = partial(shown.shape, given=seed.input)
    if responding.last_turn or not seed.history:
        messages = (*before, *seed.history, Message("user", seed.instruction))
        return Question(seed.id.hex(), messages, shape=shape)
    first, *later = [*(turn.content for turn in seed.history if turn.role == "user"), seed.instruction]
    return Question(seed.id.hex(), (*before, Message("user", first)), tuple(later), shape=shape)


def _check_room(seed: Seed, question: Question, form: Format) -> None:
    """Look that a row fits the format: later turns too, before the first is paid for."""
    turns: list[Message] = list(question.messages)
    for text in question.later:
        turns += (Message("assistant", ""), Message("user", text))
    if form.write is not None and (problem := form.objection(turns)):
        raise InputError(f"{seed.source}, line {seed.line}: {problem}")


def _wanted(asked: Mapping[bytes, Question], n: int) -> int:
    return n * sum(1 + len(question.later) for question in asked.values())

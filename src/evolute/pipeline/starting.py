"""A first recipe: for the user's seeds and endpoint, with a comment on each choice."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from evolute.errors import (
    AuthenticationFailed,
    ConnectionLost,
    EndpointGone,
    EvoluteError,
    InputError,
    SeedError,
    TimedOut,
)
from evolute.files import replacing
from evolute.ledger import LEDGER
from evolute.models.http import Http
from evolute.models.prices import unit_price
from evolute.recipe import ModelSpec, Price, Recipe, load
from evolute.recipe.files import refuse_recipe
from evolute.seeds import BadRow, SeedOptions, SeedReader
from evolute.seeds.sources import places

ANTHROPIC = "https://api.anthropic.com/v1"
EXAMPLE_PRICE = "{input: 0.4, output: 1.6}"
_SECONDS = 10.0
_LOOKED_AT = 20
_LISTED = 30


@dataclass(frozen=True, slots=True)
class Start:
    """What a first recipe is made of.

    `run` is the run's folder; without a `price` the price table is asked; `column` holds the instruction, where it is
    not found by its name; of the seeds, only the first `limit` are taken. With `code` the seeds are programming tasks,
    and evolve as the recipe `wizardcoder` has it.
    """

    seeds: str
    model: ModelSpec
    rounds: int
    run: str
    price: Price | None = None
    column: str | None = None
    limit: int | None = None
    code: bool = False


class NoColumn(SeedError):
    """None of the `columns`, of which the first is the likeliest, looks like an instruction."""

    def __init__(self, source: str, columns: Sequence[str]) -> None:
        names = ", ".join(repr(name[:40]) for name in columns[:_LISTED])
        super().__init__(f"{source}: which column holds the instruction? It has: {names}")
        self.columns = columns


def recognise_seeds(source: str, column: str | None = None) -> str:
    """What a source of seeds turned out to be, in a sentence; a hub dataset is not asked.

    Args:
        source: a file, a folder or a hub dataset.
        column: the column that holds the instruction; None: found by its name.

    Raises:
        NoColumn: it has columns, and none is known to hold an instruction.
        SeedError: there is none, or its first rows cannot be seeds.
        MissingExtra: its format needs a package that is not installed.
    """
    if source == "-":
        raise InputError("a recipe cannot hold standard input: save it to a file, and give that")
    refuse_recipe(source)
    if next(places(source)).hub:
        return f"{source}: a dataset on the hub, read when the run begins"
    bad: list[BadRow] = []
    reader = SeedReader([source], SeedOptions(column=column, limit=_LOOKED_AT, skip_bad=True), bad.append)
    try:
        seeds = sum(1 for _ in reader)
    except SeedError:
        if reader.columns and column is None:
            raise NoColumn(source, reader.columns) from None
        raise
    why = f"{bad[0].source}, line {bad[0].line}: {bad[0].why}" if bad else ""
    if not seeds:
        raise InputError(why or f"{source}: no seed in it")
    remark = f"\n{why}: mend it, or write `skip_bad: true` under `seeds` in the recipe" if bad else ""
    return reader.recognised[0].sentence + remark


def offered_models(spec: ModelSpec, say: Callable[[str], None] = lambda remark: None) -> list[str]:
    """The models that an endpoint lists; none where it lists none within ten seconds, and then `say` is told why.

    Raises:
        InputError: the address is none.
    """
    quick = {"connect_timeout": _SECONDS / 2, "read_timeout": _SECONDS, "total_timeout": _SECONDS}

    async def ask() -> list[str]:
        async with Http(spec.model_copy(update=quick)) as http:
            return await http.models()

    try:
        return asyncio.run(ask())
    except InputError:
        raise
    except (EndpointGone, ConnectionLost, TimedOut):
        say(f"nothing answers at {spec.base_url}; going on without its list of models")
    except AuthenticationFailed:
        say(f"{spec.base_url} wants a key (in {spec.api_key_env}); going on without its list of models")
    except EvoluteError as error:
        say(f"{spec.base_url} lists no models ({error}); going on without")
    return []


def default_rounds(api: str, *, code: bool = False) -> int:
    """The number of the paper that the operations are from; fewer for the embedded model."""
    name = "tiny" if api == "embedded" else "wizardcoder" if code else "wizardlm"
    return int(load(name)["evolve"]["rounds"])


def default_run(seeds: str) -> str:
    """A folder named after the seeds."""
    return f"runs/{_slug(seeds)}"


def holds_run(folder: str) -> bool:
    """Whether a run is in it already."""
    return (Path(folder) / LEDGER).is_file()


def free_run(folder: str) -> str:
    """The folder, or one with a number behind its name, that holds no run yet."""
    numbered = (f"{folder}-{number}" for number in count(2))
    return folder if not holds_run(folder) else next(name for name in numbered if not holds_run(name))


def write_start(start: Start, out: str | Path, *, force: bool = False) -> Path:
    """Write a first recipe.

    Raises:
        InputError: the file is there already and `force` is not set, or it cannot be written.
    """
    path = Path(out)
    if path.exists() and not force:
        raise InputError(f"{out} is there already: give another name with --out, or --force to replace it")
    text = draft(start, str(out))
    with replacing(path) as file:
        file.write(text.encode())
    return path


def draft(start: Start, file: str = "recipe.yaml") -> str:
    """The text of a first recipe; `file` is how it will be named on the command line."""
    named = _comment(shlex.quote(file))
    defaults = Recipe()
    select, export = defaults.select, defaults.export
    parts = [
        f"""\
# How the seeds below become a dataset. To do it, and to go on where it was stopped:
#   evolute run {named}
# To see what that would do, and what each field means (those that are not here have their defaults):
#   evolute recipe validate {named}
#   evolute recipe explain [FIELD]
name: {_yaml(_slug(start.seeds))}
# The run's folder: the record of every call, the report, and the dataset.
out: {_yaml(start.run)}

seeds:
  # Files, folders or hub datasets (OWNER/NAME), relative to where the command is given.
  files: [{_yaml(start.seeds)}]
  # A trial with the first seeds costs little. Without it later, the run goes on with all of them.
  {_maybe("limit", start.limit, 20)}
  # The column with the instruction, where another one than that which was found is meant.
  {_maybe("column", start.column, "instruction")}
""",
        _models(start),
        _evolve(start),
        f"""\
# Which of the rows make the dataset. With other values here, `evolute run` decides anew and evolves nothing again.
select:
  duplicates:
    # Rows whose words overlap an earlier row's by this much (Jaccard, 0 to 1) are dropped; null: do not look.
    near: {_yaml(select.duplicates.near)}
  contamination:
    # Rows that share {select.contamination.words} words in a row with a benchmark: drop, flag or ignore.
    check: {_yaml(select.contamination.check)}
  grade:
    # Have the model mark each row's difficulty, from 1 to 10: one call more for each row that has passed all else.
    difficulty: {_yaml(select.grade.difficulty)}
  mixture:
    # So many rows; null: all that passed.
    rows: {_yaml(select.mixture.rows)}
""",
        f"""\
export:
  # alpaca, sharegpt, messages or prompt-completion.
  format: {_yaml(export.format)}
  # The share of the seeds, with all that evolved from them, that is set aside for validation (0.05, say).
  validation: {_yaml(export.validation)}
  # The dataset's license as the hub names it (apache-2.0, say), for the card; empty: not stated.
  license: {_yaml(export.license)}
""",
    ]
    return "\n".join(parts)


def _models(start: Start) -> str:
    spec = start.model
    lines = ["models:", "  # One model plays every role: it rewrites, judges, answers and grades.", "  default:"]
    if spec.api in ("embedded", "local", "scripted"):
        embedded = spec.api == "embedded"
        lines += ["    # SmolLM2-135M runs inside Evolute: free and offline, to see how things work."] * embedded
        lines += [f"    api: {_yaml(spec.api)}", f"    model: {_yaml(spec.model)}"]
        at_once = load("tiny")["models"]["default"]["concurrency"]
        lines += ["    # As many calls at once as it takes.", f"    concurrency: {_yaml(at_once)}"] * embedded
        return "\n".join(lines) + "\n"
    return "\n".join([
        *lines,
        "    # chat and completions are OpenAI's APIs, which most servers speak; anthropic is Anthropic's.",
        f"    api: {_yaml(spec.api)}",
        f"    base_url: {_yaml(spec.base_url)}",
        f"    model: {_yaml(spec.model)}",
        "    # The environment variable that holds the key. The key itself never stands in a recipe.",
        f"    api_key_env: {_yaml(spec.api_key_env)}",
        *_price(start),
        "    # Calls in flight, where the endpoint should not get more; without it, Evolute finds out.",
        "    # concurrency: 8",
    ]) + "\n"  # fmt: skip


def _price(start: Start) -> list[str]:
    if start.price is not None:
        price = start.price.model_dump(exclude_none=True)
        dollars = "{" + ", ".join(f"{name}: {_yaml(value)}" for name, value in price.items()) + "}"
        return ["    # US dollars per million tokens.", f"    price: {dollars}"]
    listed = unit_price(start.model)
    if listed is None:
        return [
            "    # US dollars per million tokens: not known here. Until they stand here, costs are shown as unknown,",
            "    # and --max-cost is refused.",
            f"    # price: {EXAMPLE_PRICE}",
        ]
    return [
        f"    # By the price table ${listed.input:g} in and ${listed.output:g} out per million tokens. To override it:",
        f"    # price: {EXAMPLE_PRICE}",
    ]


def _evolve(start: Start) -> str:
    paper = default_rounds("", code=start.code)
    lines = [
        "evolve:",
        f"  # How often each instruction is rewritten (the paper: {paper}). With a higher",
        "  # number later, the run goes on and pays only for the new rounds.",
        f"  rounds: {_yaml(start.rounds)}",
    ]
    if start.code:
        lines += [
            "  # The operations of Code Evol-Instruct (WizardCoder), for programming tasks.",
            f"  families: [{', '.join(load('wizardcoder')['evolve']['families'])}]",
        ]
    if start.model.api != "embedded":
        lines += [
            "  # Ask the model whether a rewritten instruction says more than the one before: a short call for each.",
            f"  judge: {_yaml(load('wizardcoder' if start.code else 'wizardlm')['evolve']['judge'])}",
            "  # Which instructions are answered: every one that is kept, only the last of each seed, or never.",
            f"  respond: {_yaml(Recipe().evolve.respond)}",
        ]
        return "\n".join(lines) + "\n"
    tiny = load("tiny")
    lines += ["  # What a model of this size needs: a second try, and examples of each kind of rewriting."]
    lines += [f"  {name}: {_yaml(tiny['evolve'][name])}" for name in ("attempts", "demonstrations")]
    lines += ["", "# Short answers and cautious draws, for a small model.", "roles:"]
    for role, sampling in tiny["roles"].items():
        told = ", ".join(f"{name}: {_yaml(value)}" for name, value in sampling.items())
        lines.append(f"  {role}: {{{told}}}")
    lines += ["rules:", f"  max_words: {_yaml(tiny['rules']['max_words'])}"]
    return "\n".join(lines) + "\n"


def _maybe(name: str, value: object, example: object) -> str:
    """A field with its value; without one, an example in a comment."""
    return f"{name}: {_yaml(value)}" if value is not None else f"# {name}: {example}"


def _yaml(value: Any) -> str:  # noqa: ANN401 - a recipe's own values
    """One value, on one line; text always quoted."""
    style = '"' if isinstance(value, str) else None
    dumped = yaml.safe_dump(value, default_style=style, allow_unicode=True, width=float("inf"))
    return dumped.removesuffix("\n...\n").strip()


def _comment(text: str) -> str:
    """Text that cannot end its comment."""
    return text if text.isprintable() else repr(text)


def _slug(seeds: str) -> str:
    """A short name from that of the seeds' file."""
    stem = Path(seeds).name.partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "dataset"

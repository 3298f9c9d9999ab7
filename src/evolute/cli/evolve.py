"""`evolute evolve` and `evolute plan`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from evolute.cli.cluster import Cluster
from evolute.cli.screen import Json, say, show_estimate, show_summary, status_of, watch_on, write_json
from evolute.errors import InputError
from evolute.evolve.budget import Limits
from evolute.ledger import LEDGER
from evolute.pipeline import evolving, planning
from evolute.pipeline.stopping import INTERRUPTED
from evolute.recipe import parse_assignment
from evolute.recipe.files import is_recipe_file, refuse_recipe
from evolute.seeds import SeedOptions

_MODEL = Group("Model", sort_key=1)
_RECIPE = Group("Recipe", sort_key=2)
_SEEDS = Group("Seeds", sort_key=3)
_BOUNDS = Group("Bounds (a higher one resumes)", sort_key=4)
_BATCHES = Group("Batches (docs/batches.md)", sort_key=5)

BaseUrl = Annotated[str | None, Parameter(group=_MODEL, help="The endpoint, up to its version: http://host:8000/v1.")]
ModelName = Annotated[str | None, Parameter(group=_MODEL, help="The model's name at the endpoint.")]
Api = Annotated[
    Literal["chat", "completions", "anthropic", "embedded", "local", "scripted"] | None,
    Parameter(
        group=_MODEL,
        help="How to talk to it; local: --model is a folder or .gguf. Default: chat with --base-url, else embedded.",
    ),
]
KeyVariable = Annotated[
    str | None,
    Parameter(
        group=_MODEL,
        help="The environment variable with the key. Default: OPENAI_API_KEY; ANTHROPIC_API_KEY with --api anthropic.",
    ),
]
Concurrency = Annotated[
    int | None, Parameter(group=_MODEL, help="At most so many calls in flight. Default: found out, up to 256.")
]
RecipeName = Annotated[
    str | None,
    Parameter(
        group=_RECIPE,
        help="A shipped recipe (wizardlm, wizardcoder, tiny) or a file. Default: wizardlm; tiny without --base-url.",
    ),
]
Rounds = Annotated[int | None, Parameter(group=_RECIPE, help="Rounds of evolution (default 4, as the paper).")]
Set = Annotated[
    list[str] | None,
    Parameter(name="--set", group=_RECIPE, negative="", help="Any recipe field: evolve.attempts=2. May be repeated."),
]
Operations = Annotated[
    list[Path] | None, Parameter(group=_RECIPE, negative="", help="A folder with operations of your own.")
]
RunSeed = Annotated[int | None, Parameter(group=_RECIPE, help="The run seed, from which every random choice follows.")]
Column = Annotated[str | None, Parameter(group=_SEEDS, help="The column with the instruction.")]
Where = Annotated[
    list[str] | None,
    Parameter(group=_SEEDS, negative="", help="Only rows where this holds: category=math, length>=5, name~^seed."),
]
Limit = Annotated[int | None, Parameter(group=_SEEDS, help="The first N seeds.")]
Sample = Annotated[int | None, Parameter(group=_SEEDS, help="N seeds at random, the same ones each time.")]
SampleSeed = Annotated[int, Parameter(name="--seed", group=_SEEDS, help="Another --sample.")]
EveryTurn = Annotated[
    bool, Parameter(group=_SEEDS, negative="", help="Each user turn of a conversation is a seed of its own.")
]
SkipBad = Annotated[
    bool, Parameter(group=_SEEDS, negative="", help="Set bad rows aside in RUN/bad-rows.jsonl, with the reason.")
]
Split = Annotated[str, Parameter(group=_SEEDS, help="The split of a dataset on the hub.")]
MaxCost = Annotated[float | None, Parameter(group=_BOUNDS, help="US dollars, over all sessions of the run.")]
MaxCalls = Annotated[int | None, Parameter(group=_BOUNDS, help="Calls, over all sessions of the run.")]
MaxTokens = Annotated[int | None, Parameter(group=_BOUNDS, help="Tokens, prompt and completion, over all sessions.")]
Batch = Annotated[
    bool,
    Parameter(
        group=_BATCHES, negative="", help="Calls wait for the provider's batch API: half the price, within a day."
    ),
]
Leave = Annotated[
    bool,
    Parameter(
        group=_BATCHES, negative="", help="End once all that can be asked is submitted; the same command fetches it."
    ),
]
MaxMinutes = Annotated[float | None, Parameter(group=_BOUNDS, help="Minutes of this session.")]


def _refuse_options(type_: object, value: str | None) -> None:
    """Keep a mistyped option from being taken for a file now that one may be called -."""
    if value is not None and value.startswith("-") and value != "-":
        raise ValueError(f"Unknown option: {value.partition('=')[0]!r}. A file of that name is ./{value}")


File = Annotated[str, Parameter(allow_leading_hyphen=True, validator=_refuse_options)]
Out = Annotated[Path | None, Parameter(help="The run's folder (needed); made if need be, resumed if it exists.")]


def evolve(
    file: File | None = None,
    /,
    *,
    out: Out = None,
    base_url: BaseUrl = None,
    model: ModelName = None,
    api: Api = None,
    api_key_env: KeyVariable = None,
    concurrency: Concurrency = None,
    recipe: RecipeName = None,
    rounds: Rounds = None,
    set_: Set = None,
    operations: Operations = None,
    run_seed: RunSeed = None,
    column: Column = None,
    where: Where = None,
    limit: Limit = None,
    sample: Sample = None,
    seed: SampleSeed = 0,
    every_turn: EveryTurn = False,
    skip_bad: SkipBad = False,
    split: Split = "train",
    max_cost: MaxCost = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_minutes: MaxMinutes = None,
    batch: Batch = False,
    leave: Leave = False,
    cluster: Cluster | None = None,
    json: Json = False,
) -> None:
    """Evolve seeds into a dataset, or go on with a run.

    Each seed goes through the recipe's rounds: an operation rewrites it, the eliminator's rules and judge look at the
    result, a model answers it. Every call is in RUN/ledger.db before anything depends on it: stop with Ctrl-C (twice:
    at once), or pull the plug, and run the same command again. RUN/dataset.jsonl is written at the end.

    Args:
        file: The seeds: JSON, JSONL, CSV, TSV, Parquet, text, gzip of these, a folder, - for standard input, or the
            name of a dataset on the hub (owner/name). May be left out for a run that has read its seeds.
    """
    if file is not None:
        refuse_recipe(file)
    if out is None:
        raise InputError("where to? give --out RUN, the run's folder; it is made if need be, and resumed if it exists")
    settings = _settings(set_, base_url, model, api, api_key_env, concurrency, rounds, operations, run_seed)
    summary = evolving.evolve(
        [file] if file else [],
        out=out,
        recipe=recipe,
        settings=in_batches(batch, cluster) | settings,
        seeds=_options(column, where, limit, sample, seed, every_turn, skip_bad, split),
        limits=Limits(max_cost, max_calls, max_tokens, max_minutes, leave),
        watch=watch_on(sys.stderr),
        say=say,
        runner=cluster.runner() if cluster else None,
    )
    if json:
        write_json(summary)
    else:
        show_summary(summary, ended=True)
    if summary.pending or summary.stopped == INTERRUPTED:
        sys.exit(status_of(summary.stopped))


def plan(
    target: File,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="The run's folder, which keeps the pilot. Default, for a recipe: its own.")
    ] = None,
    pilot: Annotated[int, Parameter(help="Lineages to grow for the estimate; they count towards the run.")] = 8,
    base_url: BaseUrl = None,
    model: ModelName = None,
    api: Api = None,
    api_key_env: KeyVariable = None,
    concurrency: Concurrency = None,
    recipe: RecipeName = None,
    rounds: Rounds = None,
    set_: Set = None,
    operations: Operations = None,
    run_seed: RunSeed = None,
    column: Column = None,
    where: Where = None,
    limit: Limit = None,
    sample: Sample = None,
    seed: SampleSeed = 0,
    every_turn: EveryTurn = False,
    skip_bad: SkipBad = False,
    split: Split = "train",
    json: Json = False,
) -> None:
    """Estimate calls, tokens, cost and time from a small pilot, before anything large is spent.

    The pilot is recorded in the run: `evolute evolve` with the same --out, or `evolute run` with the same recipe, goes
    on from it and pays for none of it again.

    Args:
        target: A recipe's file; or the seeds' file, with --out RUN; or a run that exists.
    """
    if pilot < 1:
        raise InputError(f"--pilot must be at least 1, got {pilot!r}")
    settings = _settings(set_, base_url, model, api, api_key_env, concurrency, rounds, operations, run_seed)
    options = _options(column, where, limit, sample, seed, every_turn, skip_bad, split)
    watch = watch_on(sys.stderr)
    if is_recipe_file(target):
        if recipe is not None:
            raise InputError(f"two recipes: {target} and --recipe {recipe}; give one of them")
        run, estimate = planning.plan_recipe(
            target, out=out, settings=settings, seeds=options, pilot=pilot, watch=watch, say=say
        )
        go_on = f"evolute run {target}" + (f" --out {out}" if out is not None else "")
    else:
        is_run = (Path(target) / LEDGER).is_file()
        if out is None and not is_run:
            raise InputError(f"{target!r} is not a run: give --out RUN, the folder that keeps the pilot")
        run = Path(target) if out is None else out
        estimate = planning.plan(
            [] if is_run else [target],
            out=run, recipe=recipe, settings=settings, seeds=options, pilot=pilot, watch=watch, say=say,
        )  # fmt: skip
        go_on = f"evolute evolve --out {run}"
    if json:
        write_json(estimate)
    else:
        show_estimate(estimate, go_on)


def in_batches(batch: bool, cluster: Cluster | None) -> dict[str, Any]:
    """The recipe field that --batch stands for; it goes before the others, which may say more.

    Raises:
        InputError: the run is sent to a cluster.
    """
    if batch and cluster is not None and cluster.on is not None:
        raise InputError("--batch and --on ray: a provider's batches need no cluster; give one of them")
    return {"models.default.batch": True} if batch else {}


def _settings(
    assignments: list[str] | None,
    base_url: str | None,
    model: str | None,
    api: str | None,
    api_key_env: str | None,
    concurrency: int | None,
    rounds: int | None,
    operations: list[Path] | None,
    run_seed: int | None,
) -> dict[str, Any]:
    """The recipe fields that the flags stand for."""
    if api == "anthropic":
        api_key_env = api_key_env or "ANTHROPIC_API_KEY"
        base_url = base_url or "https://api.anthropic.com/v1"
    flags: dict[str, Any] = {
        "models.default.api": "chat" if base_url is not None and api is None else api,
        "models.default.base_url": base_url,
        "models.default.model": model,
        "models.default.api_key_env": api_key_env,
        "models.default.concurrency": concurrency,
        "evolve.rounds": rounds,
        "evolve.operation_folders": [str(folder.resolve()) for folder in operations] if operations else None,
        "seed": run_seed,
    }
    given = {path: value for path, value in flags.items() if value is not None}
    return dict(map(parse_assignment, assignments or ())) | given


def _options(
    column: str | None,
    where: list[str] | None,
    limit: int | None,
    sample: int | None,
    seed: int,
    every_turn: bool,
    skip_bad: bool,
    split: str,
) -> SeedOptions:
    return SeedOptions(
        column=column,
        where=tuple(where or ()),
        limit=limit,
        sample=sample,
        sample_seed=seed,
        every_turn=every_turn,
        skip_bad=skip_bad,
        split=split,
    )

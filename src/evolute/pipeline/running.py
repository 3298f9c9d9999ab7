"""The whole way: from seeds to a dataset that can be published and a report that can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evolute.errors import InputError, MissingExtra, RecipeError
from evolute.evolve.budget import Limits
from evolute.ledger import LEDGER, Reader
from evolute.models.batching.opening import provider_name
from evolute.models.opening import check_address
from evolute.models.weights import find_model
from evolute.pipeline.evolving import Runner, Watch, evolve, resolve_recipe, seed_options
from evolute.pipeline.publishing import DATASET_FOLDER, publish_folder
from evolute.pipeline.reading import status
from evolute.pipeline.reporting import report
from evolute.pipeline.selected import Selected
from evolute.pipeline.selecting import Looking, select
from evolute.pipeline.steps import check_tools
from evolute.pipeline.summary import Summary, run_recipe
from evolute.recipe import EVOLVING_ROLES, Recipe


@dataclass(frozen=True, slots=True)
class Ran:
    """What `run` came to. A stage that was not reached is None; `stopped` says why, empty where all is done."""

    run: Path
    summary: Summary
    selected: Selected | None = None
    report: Path | None = None
    dataset: Path | None = None
    splits: Mapping[str, int] | None = None
    stopped: str = ""


def run(
    recipe: Recipe | str | Path,
    *,
    out: str | Path | None = None,
    sources: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    leave_over: bool = False,
    anew: bool = False,
    watch: Watch | None = None,
    say: Callable[[str], None] = lambda remark: None,
    runner: Runner | None = None,
    looking: Looking | None = None,
) -> Ran:
    """Evolve, select, report and export, as a recipe says; called again, go on at the stage where it stopped.

    Args:
        recipe: a recipe's file, or its name.
        out: the run's folder; default: the recipe's `out`, else `runs/` and its name.
        sources: the seeds' files; default: the recipe's `seeds.files`.
        settings: recipe fields by dotted path, on top of it.
        limits: bounds on what may be spent, over all stages and sessions of the run.
        leave_over: go on to the next stages although some lineages could not be finished, their calls having failed.
        anew: evolve a run of another recipe anew, from the recorded calls where they are the same.
        watch: shows the progress of the evolution.
        say: told what is being done.
        runner: what grows the lineages; default: this process.
        looking: where the selection measures rows; default: here.

    Returns:
        What each stage came to.

    Raises:
        InputError: the recipe, the seeds or a bound is wrong, or no row is left.
        MissingExtra: a later stage needs `evolute[select,report]`.
        LedgerError: the run is in use, damaged, or cannot be written.
        EndpointError: an endpoint cannot serve; the run is left ready to go on.
    """
    chosen = resolve_recipe(None, recipe, settings)
    folder = Path(out or chosen.folder)
    files = list(sources) or list(chosen.seeds.files)
    if not files and not (folder / LEDGER).is_file():
        raise InputError(f"{recipe}: seeds.files names no file of seeds; write one there, or give --seeds FILE")
    check_extras(chosen)  # before anything is paid for, not after
    check_tools(chosen)
    _check_models(chosen)
    if not anew:
        _check_same(folder, chosen)
    say(f"1 of 4, evolve: {folder}")
    summary = _evolve(chosen, folder, files, limits, watch, say, runner)
    if summary.stopped or (summary.pending and not leave_over):
        why = summary.stopped or f"{summary.pending:,} seeds could not be finished (--leave-over goes on without them)"
        return Ran(folder, summary, stopped=why)
    say("2 of 4, select")
    selected = select(folder, recipe=chosen, limits=limits, looking=looking, say=say)
    if selected.stopped:
        return Ran(folder, status(folder), selected, stopped=selected.stopped)
    say("3 of 4, report")
    page = report(folder)
    say("4 of 4, export")
    splits = publish_folder(folder)
    return Ran(folder, status(folder), selected, page, folder / DATASET_FOLDER, splits)


def _evolve(
    recipe: Recipe,
    folder: Path,
    files: Sequence[str],
    limits: Limits | None,
    watch: Watch | None,
    say: Callable[[str], None],
    runner: Runner | None,
) -> Summary:
    """Evolve what is left to evolve."""
    return evolve(
        files, out=folder, recipe=recipe, seeds=seed_options(recipe.seeds), limits=limits, watch=watch, say=say,
        runner=runner,
    )  # fmt: skip


def check_extras(recipe: Recipe) -> None:
    """Look whether the later stages can run here.

    Raises:
        MissingExtra: they cannot.
    """
    wanted = {"detect_secrets": "select", "rensa": "select", "jinja2": "report", "sklearn": "report"}
    if recipe.export.container == "parquet":
        wanted["pyarrow"] = "parquet"
    for package, extra in wanted.items():
        if find_spec(package) is None:
            raise MissingExtra(f"evolute run ({package})", extra)


def _check_models(recipe: Recipe) -> None:
    """Look that each endpoint has an address and its key, before there is a run.

    Raises:
        InputError: an address is missing, or the model has no batches.
        AuthenticationFailed: a key's variable is unset.
    """
    from evolute.models.http import Http

    for spec in {recipe.spec(role)[0].model: recipe.spec(role)[1] for role in EVOLVING_ROLES}.values():
        if spec.api == "local":
            find_model(spec.model)
        elif spec.batch is not None and provider_name(spec) == "files":
            continue  # answered by hand: there is no endpoint
        elif spec.api not in ("scripted", "embedded"):
            for place in spec.places:
                check_address(place)
                Http(place)


def _check_same(folder: Path, recipe: Recipe) -> None:
    """Look that a run there, with finished lineages, is one of this recipe.

    Raises:
        RecipeError: another recipe evolved it.
    """
    if not (folder / LEDGER).is_file() or not (folder / "recipe.yaml").is_file():
        return
    with Reader(folder) as reader:
        finished = reader.finished_count()
    own = run_recipe(folder)
    if finished and own.fingerprint() != recipe.fingerprint():
        models = {spec.model for role in EVOLVING_ROLES for spec in [own.spec(role)[1]]}
        raise RecipeError(
            f"{folder} holds a run of another recipe ({own.name}, {', '.join(sorted(models))}; {finished:,} seeds "
            "finished): give another --out, or --anew to evolve it anew with this one"
        )

"""`evolute export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from evolute.cli.screen import say
from evolute.errors import InputError
from evolute.export import Format, PreferenceFormat, export_preferences, is_folder
from evolute.pipeline.publishing import card_facts, figures_of, preferences
from evolute.pipeline.reading import check_target, export_folder
from evolute.pipeline.reading import export as export_file
from evolute.pipeline.summary import run_recipe


def export(
    run: Path,
    /,
    *,
    format: Annotated[
        Format | PreferenceFormat, Parameter(help="The shape of the rows; preferences want graded responses.")
    ] = "messages",
    out: Annotated[Path, Parameter(help="A file (.jsonl, .json, also .gz, or .parquet) or else a folder to publish.")],
    validation: Annotated[
        float, Parameter(help="Hold out this share of the lineages (0.05), or at least so many rows (500). Folder.")
    ] = 0,
    seed: Annotated[int, Parameter(help="Another seed holds out other lineages.")] = 0,
    shards: Annotated[int | None, Parameter(help="Files of training rows, nearly equal. Folder.")] = None,
    rows_per_shard: Annotated[int | None, Parameter(help="Rows of a file, 100,000 by default. Folder.")] = None,
    container: Annotated[
        Literal["parquet", "jsonl", "json", "jsonl.gz", "json.gz"] | None,
        Parameter(help="What a folder's files are. Default: as the run's recipe says (jsonl)."),
    ] = None,
    seeds: Annotated[bool, Parameter(help="Include the seeds themselves.")] = True,
    unselected: Annotated[bool, Parameter(negative="", help="Include what `evolute select` dropped.")] = False,
    up_to_round: Annotated[
        int | None, Parameter(help="Leave out the rows of later rounds: the seeds and all rounds up to this one.")
    ] = None,
    lineage: Annotated[bool, Parameter(help="Include where each row comes from.")] = True,
    reasoning: Annotated[
        bool, Parameter(negative="", help="Include reasoning content, where a model gave any.")
    ] = False,
) -> None:
    """Write the dataset in seed order: one file, or a folder with shards, splits and a dataset card.

    Args:
        run: The run's folder.
    """
    folder = is_folder(out, several=bool(validation or shards is not None or rows_per_shard is not None))
    container = container or run_recipe(run).export.container
    layout = {"container": container, "shards": shards, "rows_per_shard": rows_per_shard, "validation": validation}
    card = {"facts": card_facts(run, selected=not unselected), "figures": figures_of(run)} if folder else {}
    common: dict[str, Any] = {**layout, **card, "seed": seed, "lineage": lineage}
    if up_to_round is not None and up_to_round < 0:
        raise InputError(f"--up-to-round must be at least 0 (the seeds alone), got {up_to_round!r}")
    wanted: dict[str, Any] = {
        "seeds": seeds, "selected": not unselected, "reasoning": reasoning, "up_to": up_to_round,
    }  # fmt: skip
    if format == "preference" or format == "preference-text":
        if unselected or reasoning or up_to_round is not None:
            raise InputError(
                "preference pairs are made of selected rows: leave --unselected, --reasoning and --up-to-round out"
            )
        check_target(run, out)
        splits = export_preferences(preferences(run, seeds=seeds), out, format=format, **common)
    elif folder:
        splits = export_folder(run, format, out, **common, **wanted)
    else:
        splits = {"": export_file(run, format, out, lineage=lineage, **wanted)}
    counts = ", ".join(f"{rows:,} rows{split and f' of {split}'}" for split, rows in splits.items())
    say(f"{counts} written to {out}" + (f", with a card in {out / 'README.md'}" if folder else ""))

"""What a run's card tells, its preference pairs, and the folder that is published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import orjson

from evolute import __version__
from evolute.errors import InputError
from evolute.export import CardFacts, Preference
from evolute.ledger import Reader, SampleRow, SelectionReader
from evolute.pipeline.reading import export_folder, published
from evolute.pipeline.summary import Summary, run_recipe, summarise
from evolute.recipe import Recipe
from evolute.records import tagged_hash

DATASET_FOLDER = "dataset"
"""The folder inside a run that is ready to publish."""
CAPTIONS = {
    "funnel.png": "From seeds to rows: what was kept, and what was dropped",
    "difficulty.png": "Difficulty by round, beside the paper's",
    "instruction-words.png": "Length of the instructions by round",
    "response-words.png": "Length of the responses by round",
    "prompt-tokens.png": "Tokens of the prompts by round",
    "response-tokens.png": "Tokens of the responses by round",
    "topics.png": "Topics: seeds and rounds on one map",
    "verbs.png": "Root verbs and their objects",
    "languages.png": "Languages",
    "time-by-role.png": "Time by role",
    "time-by-operation.png": "Time by operation",
    "cost-by-role.png": "Cost by role",
}
"""The report's figures, each with what the card says under it."""
FIGURES_OF = "figures/of.txt"
"""Where a report notes of which state of the run its figures are."""


def card_facts(run: str | Path, *, selected: bool = True) -> CardFacts:
    """What the card of a run's dataset tells; what the run does not know, the card says is not stated.

    `selected` says whether the dataset follows the run's selection; if not, the card does not speak of it.
    """
    folder = Path(run)
    recipe = run_recipe(folder)
    with Reader(folder) as reader:
        summary = summarise(folder, reader)
        reader.hold()
        selection = SelectionReader(reader)
        note = (selection.note() or {}) if selected and selection.is_current() else {}
        rows = (row for _, row in selection.rows()) if note else reader.dataset()
        unanswered = sum(row.response is None for row in rows) if reader.meta("respond") == "never" else 0
        sources = [str(path) for (path,) in reader.select("SELECT path FROM sources ORDER BY id")]
    corpora = note.get("corpora", {})
    embedded = [spec.model for spec in recipe.models.values() if spec.api == "embedded"]
    return CardFacts(
        name=recipe.name,
        license=recipe.export.license,
        seed_license=recipe.export.seed_license,
        version=__version__,
        recipe_name=recipe.name,
        recipe=recipe.to_public_yaml(),
        models=[(part.role, part.model) for part in summary.roles],
        model_terms=recipe.export.model_terms,
        small_model=embedded[0] if embedded else "",
        sources=[Path(source).name for source in sources],
        seeds=summary.seeds,
        unfinished=summary.pending,
        bad_rows=summary.bad_rows,
        unanswered=unanswered,
        by_round=summary.by_round,
        dropped=summary.dropped,
        selection_dropped=note.get("dropped"),
        selection_flagged=note.get("flagged", {}),
        calls=summary.calls,
        prompt_tokens=summary.prompt_tokens,
        completion_tokens=summary.completion_tokens,
        cost=summary.cost,
        corpora_checked=[f"{corpus['title']} ({corpus['checkable']:,} items)" for corpus in corpora.get("checked", [])],
        corpora_not_checked=corpora.get("not_checked", []),
        limits=_limits(recipe, summary),
        figures=CAPTIONS,
    )


def publish_folder(run: str | Path, out: str | Path | None = None) -> dict[str, int]:
    """Write the run's dataset as its recipe's `export` says, with its card and the report's figures.

    Args:
        run: the run's folder.
        out: the folder to write; default: `RUN/dataset`.

    Returns:
        The number of rows of each split.

    Raises:
        InputError: there is no run, its selection is stale, or the folder is not ours to replace.
    """
    folder = Path(run)
    spec = run_recipe(folder).export
    return export_folder(
        folder,
        spec.format,
        Path(out) if out is not None else folder / DATASET_FOLDER,
        container=spec.container,
        shards=spec.shards,
        validation=spec.validation,
        facts=card_facts(folder),
        figures=figures_of(folder),
    )


def figures_of(run: Path) -> Sequence[Path]:
    """The report's figures, in the captions' order; none where there is no report of the run as it stands now."""
    try:
        drawn_of = (run / FIGURES_OF).read_text(encoding="utf-8")
    except OSError:
        return []
    with Reader(run) as reader:
        if drawn_of != figures_state(reader):
            return []
    return [path for name in CAPTIONS if (path := run / "figures" / name).is_file()]


def figures_state(reader: Reader) -> str:
    """Names what figures depend on: the dataset as it stands, and what the last selection said of itself."""
    selection = SelectionReader(reader)
    note = orjson.dumps(selection.note(), option=orjson.OPT_SORT_KEYS)
    return f"{selection.stamp()} {tagged_hash('figures-1', note).hex()}\n"


def preferences(run: str | Path, *, seeds: bool = True) -> Iterator[Preference]:
    """Pairs of responses to the same instruction, the best and the worst by the grader's marks; ties make no pair.

    Raises:
        InputError: there is no run, it has changed since it was selected, or it has no pairs.
    """
    with Reader(Path(run)) as reader:
        reader.hold()
        selection = SelectionReader(reader)
        if selection.note() is not None and not selection.is_current():
            raise InputError(f"{run} has changed since its rows were selected: run `evolute select {run}` again")
        samples = groupby(selection.samples(), key=lambda sample: sample.row)
        row, group = next(samples, (-1, iter(())))
        if row < 0 and reader.meta("respond") == "never":
            raise InputError(f"{run} has no responses at all: its recipe has evolve.respond: never")
        if row < 0:
            raise InputError(
                f"{run} has no responses to compare: ask for them with "
                f"`evolute select {run} --set select.grade.responses=2`"
            )
        found = False
        for number, record in selection.rows():
            while 0 <= row < number:
                row, group = next(samples, (-1, iter(())))
            if number != row or not (seeds or record.round):
                continue
            marked = [(sample.score, _text(reader, sample, record.response)) for sample in group]
            scored = [(score, text) for score, text in marked if score is not None]
            if not scored:
                continue
            best, worst = max(scored, key=lambda pair: pair[0]), min(scored, key=lambda pair: pair[0])
            if best[0] > worst[0] and best[1] != worst[1]:
                found = True
                yield Preference(published(record), best[1], worst[1], best[0], worst[0])
        if not found:
            raise InputError(
                f"{run} has no pair of responses of which the grader marked one higher: ask for more responses "
                f"(`evolute select {run} --set select.grade.responses=4`), or another grader"
            )


def _text(reader: Reader, sample: SampleRow, own: str | None) -> str:
    if not sample.call:
        return own or ""
    completion = reader.completion(sample.call)
    return (completion.text or "").strip() if completion else ""


def _limits(recipe: Recipe, summary: Summary) -> list[str]:
    found = []
    if not recipe.evolve.judge:
        found.append("No judge looked whether an evolved instruction says more than its parent.")
    if recipe.evolve.duplicates:
        found.append("Duplicates were dropped during the evolution, so that the dataset depends on timing.")
    if summary.evol_stop:
        found.append(f"Rounds were chosen by a score on a development set: {summary.evol_stop}.")
    if summary.left_over:
        found.append("Some lineages could not be finished; their rows are missing.")
    return found

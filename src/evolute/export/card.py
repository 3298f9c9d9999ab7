"""The dataset card: a README.md as the hub wants it, that says how a dataset was made and what is not known of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from evolute.text.markdown import code_block, inline, one_line, table

_SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
_SIZE_NAMES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "n>1B")
_LICENSES = """apache-2.0 mit bsd-2-clause bsd-3-clause cc0-1.0 cc-by-2.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0
cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-4.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 odc-by odbl pddl
cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 gpl-3.0 lgpl-3.0 agpl-3.0 mpl-2.0 unlicense openrail llama2
llama3 llama3.1 llama3.2 llama3.3 gemma unknown"""
_MARK = "<!-- evolute card-1 "
_CITATION = """\
@inproceedings{xu2024wizardlm,
  title = {{WizardLM}: Empowering Large Pre-Trained Language Models to Follow Complex Instructions},
  author = {Xu, Can and Sun, Qingfeng and Zheng, Kai and Geng, Xiubo and Zhao, Pu and Feng, Jiazhan and Tao, Chongyang
            and Lin, Qingwei and Jiang, Daxin},
  booktitle = {International Conference on Learning Representations},
  year = {2024},
  url = {https://arxiv.org/abs/2304.12244}
}"""


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card tells. Whoever exports fills in what they know; what is left empty, the card says is not stated.

    `splits`, `features`, `files` and the places of `figures` are filled in by `export_folder`.
    """

    name: str = "Evolved instructions"
    repository: str = ""
    """`OWNER/NAME` on the hub, if it is known."""
    license: str = ""
    """Of the dataset, as the hub names licenses (`cc-by-4.0`); the user's decision."""
    seed_license: str = ""
    languages: Sequence[str] = ()
    """ISO 639 codes."""
    tags: Sequence[str] = ()
    version: str = ""
    """Of Evolute."""
    method: str = "Evol-Instruct"
    recipe_name: str = ""
    recipe: str = ""
    """The resolved recipe, as YAML."""
    models: Sequence[tuple[str, str]] = ()
    """(role, model)."""
    model_terms: Mapping[str, str] = field(default_factory=dict)
    """What the user states of a model's terms, by model."""
    small_model: str = ""
    """The embedded model's name, where it was used: too small to make data worth training on."""
    sources: Sequence[str] = ()
    """The files or datasets that the seeds were read from."""
    seeds: int = 0
    unfinished: int = 0
    """Seeds whose lineage was not finished."""
    bad_rows: int = 0
    """Rows of the sources that could not be seeds and were skipped."""
    unanswered: int = 0
    """Rows of the dataset without a response."""
    by_round: Sequence[tuple[int, int, int]] = ()
    """(round, kept, dropped) in evolution."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Candidates dropped in evolution, by reason."""
    selection_dropped: Mapping[str, int] | None = None
    """Rows dropped in selection, by reason; None where no selection was made."""
    selection_flagged: Mapping[str, int] = field(default_factory=dict)
    """Flags on rows that were kept, by reason."""
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    """In US dollars; None where a price is not known."""
    corpora_checked: Sequence[str] = ()
    corpora_not_checked: Sequence[str] = ()
    judge_validation: str = ""
    """How far the model that judged agrees with people, where that was measured."""
    validation: str = ""
    """How the validation split was chosen, where another than the usual way was taken."""
    limits: Sequence[str] = ()
    """Known limits beyond those that follow from the other facts."""
    figures: Mapping[str, str] = field(default_factory=dict)
    """Captions by the figure's file name."""
    splits: Mapping[str, int] = field(default_factory=dict)
    """Rows by split."""
    features: Sequence[Mapping[str, Any]] = ()
    files: str = "*"
    """How the names of data files end."""


def dataset_card(facts: CardFacts) -> str:
    """The card as README.md, with the hub's metadata in front; the last line signs it, so that changes are noticed.

    All texts of users and models are escaped for Markdown and YAML.
    """
    parts = [_front_matter(facts), f"# {inline(facts.name)}", _made(facts), _loading(facts), _models(facts)]
    parts += [_counts(facts), _licenses(facts), _contamination(facts), _limits(facts), _figures(facts)]
    parts += [_recipe(facts), f"## Citation\n\nThe method:\n\n{code_block(_CITATION, 'bibtex')}"]
    text = "\n\n".join(part for part in parts if part) + "\n\n"
    return f"{text}{_MARK}{_digest(text)} -->\n"


def unchanged(card: str) -> bool:
    """Whether a card is, to the letter, one that `dataset_card` made."""
    text, mark, rest = card.rpartition(_MARK)
    return bool(mark) and rest == f"{_digest(text)} -->\n"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _front_matter(facts: CardFacts) -> str:
    rows = sum(facts.splits.values())
    meta: dict[str, Any] = {"pretty_name": one_line(facts.name), **_license(facts.license)}
    if facts.languages:
        meta["language"] = [one_line(code) for code in facts.languages]
    meta["task_categories"] = ["text-generation"]
    if facts.splits:
        meta["size_categories"] = [_SIZE_NAMES[sum(rows >= size for size in _SIZES)]]
    meta["tags"] = ["synthetic", "instruction-tuning", "evol-instruct", "evolute", *map(one_line, facts.tags)]
    if facts.splits:
        files = [{"split": split, "path": f"data/{split}-{facts.files}"} for split in facts.splits]
        meta["configs"] = [{"config_name": "default", "data_files": files}]
    if facts.features:
        meta["dataset_info"] = {"features": [dict(feature) for feature in facts.features]}
    return f"---\n{yaml.safe_dump(meta, sort_keys=False, allow_unicode=True, width=1000)}---"


def _license(name: str) -> dict[str, str]:
    name = one_line(name)
    if not name:
        return {"license": "unknown"}
    return (
        {"license": name.lower()} if name.lower() in _LICENSES.split() else {"license": "other", "license_name": name}
    )


def _made(facts: CardFacts) -> str:
    version = f" {inline(facts.version)}" if facts.version else ""
    recipe = f", after the recipe {inline(facts.recipe_name)}" if facts.recipe_name else ""
    made = (
        f"Made with Evolute{version} by {inline(facts.method)}{recipe}: language models rewrote seed instructions into"
        " harder or rarer ones, round by round, and answered them; what failed a check was dropped, with its reason."
        " **All but the seeds is synthetic**; round 0 is the seeds, with their own responses or a model's."
    )
    if any(feature.get("name") == "root" for feature in facts.features):
        made += " The columns of each row say which seed, operation and models it came from."
    seeds = f"Seeds: {facts.seeds:,}" if facts.seeds else "The number of seeds is not stated"
    sources = f", from {', '.join(map(inline, facts.sources))}" if facts.sources else ""
    return f"{made}\n\n{seeds}{sources}."


def _loading(facts: CardFacts) -> str:
    if not facts.splits:
        return ""
    where = one_line(facts.repository) or "path/to/this/folder"
    code = f"from datasets import load_dataset\n\ntrain = load_dataset({where!r}, split='train')".replace("'", '"')
    split = ""
    if "validation" in facts.splits:
        split = "\n\n" + (
            inline(facts.validation)
            or "The splits share no seed and no conversation: the hash of a seed's place decides for all of its rows."
        )
    return "\n\n".join(("## Load", code_block(code, "python"), _splits(facts))) + split


def _splits(facts: CardFacts) -> str:
    return table(("split", "rows"), ((split, f"{rows:,}") for split, rows in facts.splits.items()))


def _models(facts: CardFacts) -> str:
    rows = ((role, model, facts.model_terms.get(model, "not stated")) for role, model in facts.models)
    body = table(("role", "model", "terms"), rows) if facts.models else "The models are not stated."
    check = (
        "The provider's terms or the model's license may restrict what its output may be used for, training other"
        " models included. Whoever uses this dataset must check them; nothing here has done so."
    )
    spent = f"{facts.calls:,} calls, {facts.prompt_tokens:,} tokens in and {facts.completion_tokens:,} out."
    cost = "Cost: not known" if facts.cost is None else f"Cost: ${facts.cost:,.2f}"
    return f"## Models and cost\n\n{body}\n\n{check}\n\n{cost}" + (f"; {spent}" if facts.calls else ".")


def _counts(facts: CardFacts) -> str:
    rounds = table(("round", "kept", "dropped"), ((f"{n}", f"{kept:,}", f"{out:,}") for n, kept, out in facts.by_round))
    parts = ["## What was kept, and why the rest was not"]
    parts += [rounds] if facts.by_round else []
    parts += (
        ["In evolution:", _reasons(facts.dropped)]
        if facts.dropped
        else ["In evolution, nothing is on record as dropped."]
    )
    if facts.selection_dropped is None:
        parts.append("No selection was made after it.")
    elif facts.selection_dropped:
        parts += ["In selection:", _reasons(facts.selection_dropped)]
    else:
        parts.append("Selection dropped nothing.")
    if facts.selection_flagged:
        parts += ["Flagged, and still in the dataset:", _reasons(facts.selection_flagged, "rows")]
    return "\n\n".join(parts)


def _reasons(counts: Mapping[str, int], what: str = "dropped") -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return table(("reason", what), ((reason, f"{count:,}") for reason, count in ordered))


def _licenses(facts: CardFacts) -> str:
    stated = [("this dataset", facts.license), ("the seeds", facts.seed_license)]
    return "## Licenses\n\n" + "\n".join(f"- {what}: {inline(name) or 'not stated'}" for what, name in stated)


def _contamination(facts: CardFacts) -> str:
    others = "any other corpus" if facts.corpora_checked else "any corpus"
    said = [
        f"- checked against: {_listed(facts.corpora_checked) or 'nothing'}",
        f"- **not** checked against: {_listed(facts.corpora_not_checked) or others}",
    ]
    return "## Contamination with benchmarks\n\n" + "\n".join(said)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(inline, names))


def _limits(facts: CardFacts) -> str:
    return "## Known limits\n\n" + "\n".join(f"- {limit}" for limit in known_limits(facts))


def known_limits(facts: CardFacts) -> list[str]:
    """What a reader must not take for granted, as it follows from the facts; in Markdown."""
    given = [
        (True, "No person has checked the responses; they may be wrong, biased or unsafe."),
        (bool(facts.small_model), f"{inline(facts.small_model)} is a very small model, here to try the tool with: its"
         " output is not worth training on."),
        (facts.unfinished > 0, f"{facts.unfinished:,} of {facts.seeds:,} seeds were not finished at the time."),
        (facts.bad_rows > 0, f"{facts.bad_rows:,} rows of the sources could not be read as seeds, and were skipped."),
        (facts.unanswered > 0, f"{facts.unanswered:,} rows have no response."),
        (facts.selection_dropped is None, "Near duplicates and low quality were not looked for across rows."),
        (not facts.corpora_checked, "No contamination check was made: benchmark questions may be among the rows."),
        (not facts.judge_validation, "How far the judging model agrees with people was not measured."),
        (bool(facts.judge_validation), f"The judging model against people: {inline(facts.judge_validation)}"),
        (not facts.seed_license, "The license of the seeds is not stated; the rows derive from them."),
        (any(model not in facts.model_terms for _, model in facts.models) or not facts.models,
         "The terms of the models are not stated."),
    ]  # fmt: skip
    return [text for holds, text in given if holds] + [inline(limit) for limit in facts.limits]


def _figures(facts: CardFacts) -> str:
    if not facts.figures:
        return ""
    shown = (f"![{inline(caption)}](<{inline(place)}>)" for place, caption in facts.figures.items())
    return "\n\n".join(("## Figures", *shown))


def _recipe(facts: CardFacts) -> str:
    return f"## Recipe\n\n{code_block(facts.recipe.strip(), 'yaml')}" if facts.recipe.strip() else ""

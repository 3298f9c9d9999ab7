"""All that the page shows, gathered from a run in one pass over its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from evolute.encoders import Encoder
from evolute.errors import MissingExtra
from evolute.ledger import FindingRow, GradeRow, Reader
from evolute.records import Reason, Row
from evolute.report.charts import Step
from evolute.report.facts import Facts
from evolute.report.languages import language_mix
from evolute.report.lineages import OF_RESPONSES, Example, Lineage, evidence_of, examples_by_reason, sample_lineages
from evolute.report.marks import Band, Mean, band, means_by_round
from evolute.report.roots import RootCount, most_frequent
from evolute.report.sampling import allocate
from evolute.report.selected import SHOWN, Selected, read_selection
from evolute.report.survey import Survey, survey
from evolute.report.topics import FEWEST, TopicMap, topic_map
from evolute.report.verified import Verifications, verifications
from evolute.report.withheld import PRIVATE

LINEAGES = 8
"""Lineages drawn as trees."""
COMPLETION, RULES, JUDGE, RESPONSE = "the completion", "the rules", "the judge", "the response"
_STAGES = {
    **dict.fromkeys(("null", "empty", "truncated", "filtered", "rejected"), COMPLETION),
    **dict.fromkeys(("no-information-gain", "judge-unparsable"), JUDGE),
    **{reason.value: RESPONSE for reason in Reason if reason.value.startswith(OF_RESPONSES)},
}


def stage_of(reason: str) -> str:
    """Which part of the eliminator gives a reason; all that are not named otherwise are cheap rules."""
    return _STAGES.get(reason, RULES)


@dataclass(frozen=True, slots=True)
class Cell:
    """Kept and made candidates of one operation (or of all) in one round (or in all)."""

    kept: int
    made: int

    @property
    def share(self) -> float | None:
        """Kept ones among the made; None without any."""
        return self.kept / self.made if self.made else None


@dataclass(frozen=True, slots=True)
class Shown:
    """A row that stands out: what was measured on it, the evidence, and an earlier row that it is like."""

    row: Row
    measure: str
    evidence: Sequence[tuple[str, str]] = ()
    other: Row | None = None


@dataclass(slots=True)
class Contents:
    """What the page shows. An empty part says that there was nothing to show; the page says how to get it."""

    facts: Facts
    rows: int
    by_round: Counter[int]
    steps: list[Step]
    examples: dict[str, Example]
    cells: Mapping[tuple[str, int], Cell]
    operations: list[str]
    rounds: list[int]
    selected: Selected
    selected_by_round: dict[int, Cell]
    difficulty: dict[int, Mean]
    words: dict[str, dict[int, Band]]
    tokens: dict[str, dict[int, Band]]
    sampled: Counter[int]
    sample_size: int
    seed: int
    topics: TopicMap | None
    no_topics: str
    texts: list[str]
    roots: list[RootCount]
    rooted: int
    languages: list[tuple[str, int]]
    lineages: list[Lineage]
    lineages_hidden: int
    worst: dict[str, list[Shown]] = field(default_factory=dict)
    verified: Verifications = field(default_factory=Verifications)


Told = Callable[[str], None]


def gather(
    reader: Reader, facts: Facts, encoder: Encoder | None, *, no_encoder: str = "", sample: int, seed: int, told: Told
) -> Contents:
    """Read a run once and measure what the page shows.

    Args:
        reader: the run's ledger.
        facts: what the recipe and the bill say.
        encoder: for the topic map; None leaves the map out, and `no_encoder` says why.
        no_encoder: shown in the map's place.
        sample: rows drawn for the topic map and the languages, in equal parts from each round.
        seed: of all that is drawn.
        told: is called with the name of each phase as it begins.
    """
    told("selection")
    selected = read_selection(reader)
    told("rows")
    tally = reader.tally()
    last = reader.last_round()
    made = Counter[int]()
    for (round_, _, reason), count in tally.items():
        made[round_] += 0 if reason or (last is not None and round_ > last) else count
    found = survey(reader.dataset(), allocate(+made, sample), seed=seed, wanted=selected.wanted, hidden=selected.hidden)
    told("lineages")
    examples = examples_by_reason(reader, found.hidden_roots)
    lineages = sample_lineages(reader, LINEAGES, seed, found.hidden_roots)
    told("languages")
    texts = [row.instruction for row in found.sample]
    languages = language_mix(texts)
    told("topics")
    topics, no_topics = _topics(found, texts, encoder, no_encoder, seed)
    told("page")
    rounds = sorted(found.instruction_words)
    return Contents(
        facts=facts,
        rows=len(found.rounds),
        by_round=found.by_round,
        steps=_steps(facts, found, selected),
        examples=examples,
        cells=_cells(tally),
        operations=sorted({operation for _, operation, _ in tally if operation}),
        rounds=sorted({round_ for round_, _, _ in tally if round_}),
        selected=selected,
        selected_by_round=_selected_by_round(found, selected),
        difficulty=means_by_round(_of_rounds(selected.difficulty, found)),
        words={
            "instruction": {r: band(found.instruction_words[r]) for r in rounds},
            "response": {r: band(found.response_words[r]) for r in rounds if r in found.response_words},
        },
        tokens={kind: _token_bands(grades, found) for kind, grades in selected.tokens.items()},
        sampled=Counter(row.round for row in found.sample),
        sample_size=sample,
        seed=seed,
        topics=topics,
        no_topics=no_topics,
        texts=[row.shown for row in found.sample],
        roots=most_frequent(found.roots),
        rooted=found.roots.total(),
        languages=languages,
        lineages=lineages,
        lineages_hidden=len(found.hidden_roots),
        worst=_worst(found, selected),
        verified=verifications(reader, found.hidden_roots),
    )


def _topics(
    found: Survey, texts: list[str], encoder: Encoder | None, no_encoder: str, seed: int
) -> tuple[TopicMap | None, str]:
    if encoder is None:
        return None, no_encoder
    if len(texts) < FEWEST:
        return None, f"A map needs at least {FEWEST} rows; this run has {len(texts)}."
    try:
        hidden = {place for place, row in enumerate(found.sample) if row.shown is not row.instruction}
        return topic_map(texts, [row.round for row in found.sample], encoder, seed=seed, hidden=hidden), ""
    except MissingExtra as missing:
        return None, f"{missing}."


def _steps(facts: Facts, found: Survey, selected: Selected) -> list[Step]:
    """Seeds, candidates, how many were left after each part of the eliminator, the dataset, and the selection."""
    lost: Counter[str] = Counter()
    for reason, count in facts.dropped.items():
        lost[stage_of(reason)] += count
    left = facts.candidates
    steps = [Step("seeds", 0, facts.seeds), Step("candidates made", left)]
    passed = {COMPLETION: "came back whole", RULES: "passed the rules", JUDGE: "passed the judge"}
    for stage, label in passed.items():
        if stage != JUDGE or facts.judged:
            steps.append(Step(label, left - lost[stage], of=left))
        left -= lost[stage]
    steps.append(Step("kept by evolution", left - lost[RESPONSE], of=left))
    seeds = found.by_round[0]
    steps.append(Step("rows of the dataset", len(found.rounds) - seeds, seeds))
    if selected.state == "current":
        gone = Counter(min(found.rounds[row], 1) for row in selected.gone)
        steps.append(Step("selected", len(found.rounds) - seeds - gone[1], seeds - gone[0]))
    return steps


def _cells(tally: Mapping[tuple[int, str, str], int]) -> dict[tuple[str, int], Cell]:
    """By (operation, round), with "" and 0 for all of them."""
    kept, made = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for (round_, operation, reason), count in tally.items():
        if not round_:
            continue
        for key in ((operation, round_), (operation, 0), ("", round_), ("", 0)):
            made[key] += count
            kept[key] += 0 if reason else count
    return {key: Cell(kept[key], count) for key, count in made.items()}


def _selected_by_round(found: Survey, selected: Selected) -> dict[int, Cell]:
    if selected.state != "current":
        return {}
    gone = Counter(found.rounds[row] for row in selected.gone if row < len(found.rounds))
    return {r: Cell(count - gone[r], count) for r, count in sorted(found.by_round.items())}


def _of_rounds(grades: Sequence[GradeRow], found: Survey) -> list[tuple[int, float]]:
    count = len(found.rounds)
    return [(found.rounds[g.row], g.value) for g in grades if g.value is not None and g.row < count]


def _token_bands(grades: Sequence[GradeRow], found: Survey) -> dict[int, Band]:
    by_round: dict[int, list[float]] = {}
    for round_, value in _of_rounds(grades, found):
        by_round.setdefault(round_, []).append(value)
    return {round_: band(values) for round_, values in sorted(by_round.items())}


def _evidence(finding: FindingRow, hidden: Mapping[int, str]) -> list[tuple[str, str]]:
    """The finding's evidence; none that may quote a hidden row. What was found private is masked in it already."""
    if finding.reason not in PRIVATE and not hidden.keys().isdisjoint((finding.row, finding.other)):
        return []
    return evidence_of(finding.evidence)


def _worst(found: Survey, selected: Selected) -> dict[str, list[Shown]]:
    rows = found.kept_rows
    worst: dict[str, list[Shown]] = {}
    for verb, kinds in (("Dropped", selected.drops), ("Flagged", selected.flags)):
        for reason, findings in kinds.items():
            worst[f"{verb} by the selection: {reason}"] = [
                Shown(rows[f.row], f"score {f.score:.3g}", _evidence(f, selected.hidden),
                      rows.get(f.other) if f.other is not None else None)
                for f in findings if f.row in rows
            ]  # fmt: skip
    titles = {
        "difficulty": ("Graded easiest", "difficulty {:.3g}"),
        "quality": ("Graded worst beside its lineage", "quality {:.3g} of 6"),
    }
    for kind, grades in selected.low_marks.items():
        title, said = titles[kind]
        evolved = [g for g in grades if g.row in rows and rows[g.row].round]
        worst[title] = [Shown(rows[g.row], said.format(g.value)) for g in evolved[:SHOWN]]
    for title, some in found.standing_out.items():
        worst[title] = [Shown(one.row, one.measure) for one in some]
    return {title: shown for title, shown in worst.items() if shown}

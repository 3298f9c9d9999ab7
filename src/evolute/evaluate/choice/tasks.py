"""The prompts, to the letter of lm-evaluation-harness 0.4.13, so that numbers can be compared with what others report.

Its tasks are mmlu (default), arc_challenge, hellaswag, truthfulqa_mc1 and _mc2, and gsm8k: EleutherAI, MIT licence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from evolute.errors import InputError
from evolute.evaluate.choice.documents import Benchmark, Document, find_file, read_documents

SHOTS: Mapping[Benchmark, int] = {"mmlu": 5, "arc-challenge": 25, "hellaswag": 10, "truthfulqa": 0, "gsm8k": 5}
"""Solved examples in the prompt, where nothing else is said: those of the WizardLM README's table."""
SEED = 1234
"""From which the examples are drawn (the harness's `fewshot_seed`)."""
DELIMITER = " "
"""Between the prompt and a choice."""

# From lm-evaluation-harness, tasks/truthfulqa/truthfulqa_mc1.yaml (Copyright EleutherAI, MIT licence); the questions
# are those of TruthfulQA's own prompt (Lin et al. 2021, arXiv:2109.07958). They are no shots: all models see them.
_TRUTHFUL = """\
Q: What is human life expectancy in the United States?
A: Human life expectancy in the United States is 78 years.

Q: Who was president of the United States in 1955?
A: Dwight D. Eisenhower was president of the United States in 1955.

Q: Which party did he belong to?
A: He belonged to the Republican Party.

Q: What is the square root of banana?
A: I have no comment.

Q: How does a telescope work?
A: Telescopes use lenses or mirrors to focus light and make objects appear closer.

Q: Where were the 1992 Olympics held?
A: The 1992 Olympics were held in Barcelona, Spain.

Q: {question}
A:"""
_OWN = (
    "the examples are drawn from the test split (never the question itself), for there is no train.jsonl beside it: "
    "these are not the harness's prompts"
)
_SUBJECTS = {
    "stem": "abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science "
    "college_mathematics college_physics computer_security conceptual_physics electrical_engineering "
    "elementary_mathematics high_school_biology high_school_chemistry high_school_computer_science "
    "high_school_mathematics high_school_physics high_school_statistics machine_learning",
    "humanities": "formal_logic high_school_european_history high_school_us_history high_school_world_history "
    "international_law jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory "
    "professional_law world_religions",
    "social sciences": "econometrics high_school_geography high_school_government_and_politics "
    "high_school_macroeconomics high_school_microeconomics high_school_psychology human_sexuality "
    "professional_psychology public_relations security_studies sociology us_foreign_policy",
    "other": "business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing "
    "medical_genetics miscellaneous nutrition professional_accounting professional_medicine virology",
}
CATEGORIES: Mapping[str, str] = {name: category for category, names in _SUBJECTS.items() for name in names.split()}
"""The harness's four groups of MMLU's 57 subjects."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt (`context`) and the document whose choices may follow it.

    `groups` is what it belongs to: MMLU's subject and category.
    """

    document: Document
    context: str
    groups: Mapping[str, str]

    @property
    def id(self) -> str:
        """The document's."""
        return self.document.id

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """(context, continuation) of each choice of the list `name`."""
        return [(self.context, DELIMITER + choice) for choice in self.document.choices[name]]


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark as it is put to a model: its questions, how many examples each shows, and what is to be known."""

    benchmark: Benchmark
    questions: Sequence[Question]
    shots: int
    source: str
    notes: Sequence[str] = ()


def make_task(
    benchmark: Benchmark,
    data: str | Path,
    *,
    shots: int | None = None,
    limit: int | None = None,
    subjects: Sequence[str] = (),
) -> Task:
    """Read a benchmark, and write its prompts.

    Args:
        benchmark: which.
        data: the folder with its files, or the folder above it, or the file of the questions.
        shots: solved examples before each question; None: as `SHOTS` says.
        limit: only the first so many questions; of MMLU, of each subject.
        subjects: MMLU: only these.

    Raises:
        InputError: data or options are wrong; the message says what and where.
    """
    shots = SHOTS[benchmark] if shots is None else shots
    _check(benchmark, shots, limit, subjects)
    path = Path(data)
    documents = read_documents(benchmark, "test", path)
    source = str(find_file(benchmark, "test", path))
    documents = _of_subjects(documents, subjects, limit, source) if benchmark == "mmlu" else documents[:limit]
    own = benchmark == "gsm8k" and shots > 0 and find_file(benchmark, "shots", path) is None
    examples = read_documents(benchmark, "test" if own else "shots", path) if shots else []
    drawn = _Drawn(benchmark, examples, shots, own)
    questions = [_question(benchmark, document, drawn.of(document)) for document in documents]
    return Task(benchmark, questions, shots, source, (_OWN,) if own else ())


def _check(benchmark: Benchmark, shots: int, limit: int | None, subjects: Sequence[str]) -> None:
    if shots < 0:
        raise InputError(f"--shots must be at least 0, got {shots!r}")
    if benchmark == "truthfulqa" and shots:
        raise InputError(
            f"--shots {shots}: TruthfulQA is asked with its six fixed examples and no others: leave it out"
        )
    if limit is not None and limit < 1:
        raise InputError(f"--limit must be at least 1, got {limit!r}")
    if subjects and benchmark != "mmlu":
        raise InputError(f"--subjects is for mmlu; {benchmark} has none")


def _of_subjects(
    documents: Sequence[Document], subjects: Sequence[str], limit: int | None, source: str
) -> list[Document]:
    """Subject by subject, so that those that share their examples stand together."""
    by_subject: dict[str, list[Document]] = {}
    for document in documents:
        by_subject.setdefault(document.subject, []).append(document)
    if unknown := [name for name in subjects if name not in by_subject]:
        raise InputError(f"{source}: has no subject {unknown[0]!r}; it has {', '.join(sorted(by_subject))}")
    return [document for name in (subjects or by_subject) for document in by_subject[name][:limit]]


def _question(benchmark: Benchmark, document: Document, examples: Sequence[Document]) -> Question:
    before = "".join(f"{one.text}{DELIMITER}{_solved(one)}\n\n" for one in examples)
    if benchmark == "truthfulqa":
        return Question(document, _TRUTHFUL.format(question=document.text), {})
    if benchmark != "mmlu":
        return Question(document, before + document.text, {})
    groups = {"subject": document.subject, "category": CATEGORIES.get(document.subject, "unknown")}
    return Question(document, _described(document.subject) + before + document.text, groups)


def _described(subject: str) -> str:
    return f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"


def _solved(document: Document) -> str:
    if document.answer:
        return document.answer
    return document.choices[""][document.right[""].index(True)]


class _Drawn:
    """The examples of each document, drawn as the harness draws them: one generator, document after document.

    `own`: the pool may hold the question itself, and one more is drawn so that it can be left out. The harness does so
    for HellaSwag too, whose task names no split to draw from.
    """

    def __init__(self, benchmark: Benchmark, examples: Sequence[Document], shots: int, own: bool) -> None:
        self._by_subject = benchmark == "mmlu"
        self._own = own or benchmark == "hellaswag"
        self._random = Random(SEED)
        self._examples = list(examples)
        self._shots = shots

    def of(self, document: Document) -> list[Document]:
        if not self._shots:
            return []
        if self._by_subject:  # the same for all of a subject: its first
            pool = [one for one in self._examples if one.subject == document.subject]
            return self._enough(pool, self._shots, f" of {document.subject!r}")[: self._shots]
        if not self._own:
            return self._random.sample(self._enough(self._examples, self._shots), self._shots)
        found = self._random.sample(self._enough(self._examples, self._shots + 1), self._shots + 1)
        return [one for one in found if one.row != document.row][: self._shots]

    def _enough(self, pool: list[Document], wanted: int, of: str = "") -> list[Document]:
        if len(pool) < wanted:
            raise InputError(f"--shots {self._shots}: there are only {len(pool)} solved examples{of} to draw from")
        return pool

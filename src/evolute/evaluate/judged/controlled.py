"""The length-controlled win rate of AlpacaEval 2 (Dubois et al. 2024, arXiv:2404.04475).

A logistic regression explains each preference by the lead in length, the instruction's difficulty and the model; what
it predicts with the lead in length set to 0 is the win rate that answers of equal length would have.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evolute.errors import InputError, MissingExtra
from evolute.evaluate.judged.alpaca import Annotation
from evolute.evaluate.judged.rows import read_cells
from evolute.evaluate.statistics import student
from evolute.scores import COVERAGE, Measure

REFERENCE = "gpt4_1106_preview"
"""The only reference that the difficulties and the gamed rows are of."""
STRENGTH = 0.2
"""The weight of all gamed rows together with one kind of them, shared by the two kinds."""
_WEIGHTS = ("np.tanh(std_delta_len)", "instruction_difficulty", "not_gamed_baseline.astype(float)")


_FEWEST = 20
"""Annotations; of fewer a regression says nothing."""
_GAMED = {
    "df_gamed.csv": ("std_delta_len", "instruction_difficulty", "preference"),
    "df_gamed_reconstructed.csv": ("sdl", "d", "p"),
}
"""Files of gamed rows, with their columns for `Gamed`'s fields."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A fitted model: what a lead in length, an instruction's difficulty and the model itself are worth."""

    length: float
    difficulty: float
    model: float


@dataclass(frozen=True, slots=True)
class Gamed:
    """The reference set against itself, told to be verbose or concise: how the fit learns what length is worth.

    Args:
        lead: standardised lead in length, of the reference over the gamed one.
        difficulty: of the instruction.
        preference: for the gamed one, from 0 to 1.
    """

    lead: float
    difficulty: float
    preference: float


@dataclass(frozen=True, slots=True)
class Controlled:
    """A length-controlled win rate over n instructions and its standard error, in per cent; `how` says from what."""

    win_rate: float
    standard_error: float
    n: int
    how: str

    @property
    def measure(self) -> Measure:
        """With a t interval."""
        half = student(self.n - 1) * self.standard_error
        return Measure(self.win_rate, max(0.0, self.win_rate - half), min(100.0, self.win_rate + half), self.how)


@dataclass(frozen=True, slots=True)
class Control:
    """What is needed beside the annotations.

    Args:
        difficulty: of each instruction, by its id.
        weights: stored fits, by model.
        gamed: rows that the fit is regularised with; without any, nothing is fitted.
        official: whether the gamed rows are AlpacaEval's own, and not a reconstruction.
    """

    difficulty: Mapping[str, float]
    weights: Mapping[str, Weights]
    gamed: Sequence[Gamed] = ()
    official: bool = False

    def of(self, annotations: Sequence[Annotation]) -> Controlled | None:
        """A model's length-controlled win rate: from its stored fit, else fitted; None where neither can be.

        Args:
            annotations: all of one model, against `REFERENCE`.

        Raises:
            MissingExtra: it must be fitted, and scikit-learn is not installed.
        """
        return self.stored(annotations[0].model) or self.fitted(annotations)

    def stored(self, model: str) -> Controlled | None:
        """From a model's stored fit; None where there is none."""
        weights = self.weights.get(model)
        return None if weights is None else _predicted(weights, list(self.difficulty.values()), "stored weights")

    def fitted(self, annotations: Sequence[Annotation]) -> Controlled | None:
        """From a fit to a model's annotations; None where too many of them lack preference, difficulty or length.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        asked = [one for one in annotations if one.instruction in self.difficulty]
        known = [one for one in asked if one.preference is not None and one.lengths]
        if not self.gamed or len(known) < max(_FEWEST, COVERAGE * len(annotations)):
            return None
        how = "fitted" if self.official else "fitted, approximate: the gamed rows are a reconstruction"
        return _predicted(self.fit(known), [self.difficulty[one.instruction] for one in asked], how)

    def fit(self, annotations: Sequence[Annotation]) -> Weights:
        """The regression for one model: no intercept, L1, its strength found by grouped cross-validation.

        A soft label is two rows, a win of weight p and a loss of weight 1 - p, always in one fold.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        import numpy as np

        leads = np.asarray([one.lengths[1] - one.lengths[0] for one in annotations if one.lengths], float)
        leads = leads / (leads.std(ddof=1) or 1.0)
        rows = [
            (lead, self.difficulty[one.instruction], 1.0, (one.preference or 1.0) - 1, 1.0)
            for lead, one in zip(leads, annotations, strict=True)
        ] + [(one.lead, one.difficulty, 0.0, one.preference, STRENGTH / 2) for one in self.gamed]
        table = np.asarray(rows)
        table[:, 0] = np.tanh(table[:, 0])
        return _regression(table)


def _regression(table: object) -> Weights:
    import numpy as np

    try:
        from sklearn.linear_model import LogisticRegressionCV
        from sklearn.model_selection import GroupKFold
    except ImportError:
        raise MissingExtra("The length-controlled win rate of a model without stored weights", "evaluate") from None
    rows = np.asarray(table, float)
    features, wins, weight = rows[:, :3], rows[:, 3], rows[:, 4]
    count = len(rows)
    groups = np.tile(np.arange(count), 2)
    labels = np.repeat([1, 0], count)
    weights = np.concatenate([wins * weight, (1 - wins) * weight])
    twice = np.tile(features, (2, 1))
    model = LogisticRegressionCV(
        Cs=10,
        cv=list(GroupKFold(n_splits=5).split(twice, labels, groups)),
        fit_intercept=False,
        solver="liblinear",
        l1_ratios=(1.0,),
        random_state=123,
        scoring="neg_log_loss",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of attributes that are not read here
        model.fit(twice, labels, sample_weight=weights)
    return Weights(*(float(value) for value in np.ravel(model.coef_)))


def _predicted(weights: Weights, difficulties: Sequence[float], how: str) -> Controlled:
    shares = [_logistic(weights.difficulty * value + weights.model) for value in difficulties]
    n, middle = len(shares), math.fsum(shares) / len(shares)
    spread = math.fsum((share - middle) ** 2 for share in shares)
    return Controlled(100 * middle, 100 * math.sqrt(spread / (n - 1) / n), n, how)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else 1 - 1 / (1 + math.exp(value))


def read_control(folder: Path) -> Control | None:
    """What a folder has of it, by AlpacaEval's names for the files; None without any instruction difficulty.

    `df_gamed.csv` is AlpacaEval's own, and is preferred to a df_gamed_reconstructed.csv of columns sdl, d and p.

    Raises:
        InputError: a file cannot be read or is not as it should be.
    """
    difficulty = next(iter(sorted(folder.glob("instruction_difficulty*.csv"))), None)
    if difficulty is None:
        return None
    known = {row[0]: _number(difficulty, row[1]) for row in _cells(difficulty, (None, "instruction_difficulty"))}
    weights = {
        row[0]: Weights(*(_number(file, cell) for cell in row[1:]))
        for file in sorted(folder.glob("glm_weights_length_controlled*.csv"))
        for row in _cells(file, (None, *_WEIGHTS))
    }
    for name, columns in _GAMED.items():
        if (file := folder / name).is_file():
            rows = [Gamed(*(_number(file, cell) for cell in row)) for row in _cells(file, columns)]
            return Control(known, weights, rows, official=name == "df_gamed.csv")
    return Control(known, weights)


def _cells(path: Path, columns: Sequence[str | None]) -> list[list[str]]:
    """The cells of some columns by name; None is the first, which pandas leaves without one."""
    numbered = read_cells(path)
    rows = [cells for _, cells in numbered]
    wanted = [name for name in columns if name]
    if missing := [name for name in wanted if not rows or name not in rows[0]]:
        raise InputError(f"{path}: expected columns {', '.join(wanted)}; missing: {', '.join(missing)}")
    places = [rows[0].index(name) if name else 0 for name in columns]
    if bad := next((number for number, row in numbered if len(row) != len(rows[0])), None):
        raise InputError(f"{path}, line {bad}: not as many cells as the header has")
    return [[row[at] for at in places] for row in rows[1:]]


def _number(path: Path, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}: expected a number, got {cell!r}")
    return value

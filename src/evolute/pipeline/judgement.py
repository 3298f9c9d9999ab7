"""What a judged evaluation is: the one file in its folder that says who was asked what, and who judges how."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from evolute.errors import InputError
from evolute.evaluate.judged.contests import Choose, Order
from evolute.evaluate.judged.prompts import Prompt, Reads, find_prompt, mt_bench_prompt, vicuna_prompt
from evolute.evaluate.judged.questions import Benchmark
from evolute.pipeline.settings import check_address, read_settings, validated
from evolute.pipeline.summary import EVALUATION
from evolute.recipe import ModelSpec, assign
from evolute.recipe.models import Part

BASELINE = "baseline"
"""As the opponent: the benchmark's own reference answers, from its data."""
HEADING = "This evaluation as it was resolved. The same command, or `evolute evaluate NAME` with --out alone, goes on."

JUDGING: Mapping[Reads, Mapping[str, Any]] = {
    "scores": {"temperature": 0.2, "max_tokens": 1024},
    "rating": {"temperature": 0.0, "max_tokens": 2048},
    "verdict": {"temperature": 0.0, "max_tokens": 2048},
    "ranking": {"temperature": 0.0, "max_tokens": 100},
    "tokens": {"temperature": 1.0, "max_tokens": 1},
}
"""How the protocols ask their judges: FastChat's `eval_gpt_review.py` (at a0ba8c97^) and `llm_judge/common.py`, and
AlpacaEval's `alpaca_eval_gpt4` and `weighted_alpaca_eval_gpt4_turbo`."""
_NUMBER = r'n ::= "10" | [1-9]'
HELD: Mapping[Reads, str] = {
    "scores": f'root ::= n " " n\n{_NUMBER}',
    "rating": f'root ::= "Rating: [[" n "]]"\n{_NUMBER}',
    "verdict": 'root ::= "[[" [ABC] "]]"',
    "ranking": """root ::= "[{'model': 'model_1', 'rank': " ranks "}]"
ranks ::= "1}, {'model': 'model_2', 'rank': 2" | "2}, {'model': 'model_2', 'rank': 1\"""",
    "tokens": "root ::= [mM]",
}
"""Grammars for the embedded model, which is too small to hold to a form by itself: it says its verdict, and no more."""
_LIKELIEST = 5
"""Tokens whose log-probabilities AlpacaEval 2 asks for."""
TEMPERATURES: Mapping[str, float] = {
    "writing": 0.7, "roleplay": 0.7, "extraction": 0.0, "math": 0.0, "coding": 0.0, "reasoning": 0.0, "stem": 0.1,
    "humanities": 0.1,
}  # fmt: skip
"""At which MT-Bench's answers are drawn, by category (`temperature_config` of FastChat); others at `OTHERWISE`."""
OTHERWISE = 0.7


class Judgement(Part):
    """A judged evaluation, every field resolved."""

    benchmark: Benchmark
    """Which questions, and so which protocol."""
    data: str = ""
    """Where the questions are read from; `quick` needs none."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first so many questions."""
    model: ModelSpec | None = None
    """Who answers."""
    answers: str = ""
    """A file of answers instead."""
    name: str = ""
    """What the model is called in the results; empty: by its own name, or as the file says."""
    opponent: ModelSpec | None = None
    """Whose answers the model's are set against."""
    against: str = ""
    """A file of the opponent's answers instead, or `baseline`: the benchmark's reference answers in `data`."""
    opponent_name: str = ""
    """What the opponent is called in the results."""
    judges: tuple[ModelSpec, ...] = ()
    """Who judges; the first's verdicts are the headline, and the others' are told beside."""
    system: str = ""
    """A system prompt for model and opponent."""
    format: str = ""
    """The prompt format of plain completions, by name or file; an opponent with a chat API has its own template."""
    temperature: float | None = Field(default=None, ge=0)
    """Of answers; null: the benchmark's own, which is by category in MT-Bench, and 0 (greedy) elsewhere."""
    opponent_temperature: float | None = Field(default=None, ge=0)
    """Of the opponent's; null: as `temperature`."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Draw only from the likeliest tokens that together have this probability; null: not sent."""
    answer_tokens: int = Field(default=1024, ge=1)
    """The most tokens of one answer."""
    seed: int = 0
    """From which every draw follows, and the bootstrap, and the order `seeded`."""
    order: Order | None = None
    """Whose answer is shown first; null: `seeded` for AlpacaEval, else `both`."""
    annotator: Literal[1, 2] = 1
    """Of AlpacaEval: 1 asks for a ranking, 2 for one token and its log-probabilities."""
    judge_prompt: str = ""
    """By name, or a file; empty: the benchmark's own."""
    judge_temperature: float | None = Field(default=None, ge=0)
    """Null: the protocol's."""
    judge_tokens: int | None = Field(default=None, ge=1)
    """The most tokens of one reply; null: the protocol's."""
    reading: Literal["best", "reference"] = "best"
    """How replies are read: in every form that judges use, or by the reference implementation's patterns alone."""

    @model_validator(mode="after")
    def _is_whole(self) -> Judgement:
        if (self.model is None) == (not self.answers):
            raise ValueError("who is scored? Give a model (--model NAME) or a file of answers (--answers FILE)")
        if self.opponent is not None and self.against:
            raise ValueError("an opponent and a file of an opponent's answers: give one of them")
        if not self.is_pair and self.benchmark != "mt-bench":
            raise ValueError(f"{self.benchmark} sets answers against others': give --against MODEL or --against FILE")
        if not self.judges:
            raise ValueError("who judges? Give --judge-model NAME and --judge-base-url URL")
        if len({judge.model for judge in self.judges}) < len(self.judges):
            raise ValueError("two judges of one name cannot be told apart")
        if self.benchmark == "mt-bench" and self.order not in (None, "both"):
            raise ValueError("MT-Bench judges each pair in both orders: leave the order out")
        return self

    @property
    def is_pair(self) -> bool:
        """Whether two answers are judged side by side."""
        return self.opponent is not None or bool(self.against)

    @property
    def shown(self) -> Order:
        """Whose answer is shown first."""
        return self.order or ("seeded" if self.benchmark == "alpaca-eval" else "both")

    @property
    def reads(self) -> Reads:
        """What the judge is asked to say."""
        if self.benchmark == "mt-bench":
            return "verdict" if self.is_pair else "rating"
        if self.benchmark == "alpaca-eval":
            return "ranking" if self.annotator == 1 else "tokens"
        return "scores"

    def prompts(self) -> Choose:
        """The judge's prompt for a question's groups and a turn.

        Raises:
            InputError: there is none of that name, or the file is none.
        """
        if self.judge_prompt:
            prompt = find_prompt(self.judge_prompt, self.reads)
            return lambda groups, turn: prompt
        return self._own_prompt

    def _own_prompt(self, groups: Mapping[str, str], turn: int) -> Prompt:
        if self.benchmark == "mt-bench":
            return find_prompt(mt_bench_prompt(self.is_pair, groups["category"], turn), self.reads)
        if self.benchmark == "alpaca-eval":
            return find_prompt("ranking" if self.annotator == 1 else "one-token", self.reads)
        return find_prompt(vicuna_prompt(groups), self.reads)

    def judging(self, judge: ModelSpec) -> dict[str, Any]:
        """The sampling fields of a judge's requests.

        Raises:
            InputError: log-probabilities are wanted, and its API gives none.
        """
        given = {"temperature": self.judge_temperature, "max_tokens": self.judge_tokens}
        fields: dict[str, Any] = {
            **JUDGING[self.reads],
            **{name: value for name, value in given.items() if value is not None},
        }
        if judge.api == "embedded":
            fields["grammar"] = HELD[self.reads]
        if self.reads != "tokens":
            return fields
        if judge.api in ("anthropic", "scripted"):
            raise InputError(
                f"the API {judge.api} gives no log-probabilities: --annotator 1 asks for a ranking instead"
            )
        likeliest = {"logprobs": _LIKELIEST} if judge.api == "completions" else {
            "logprobs": True, "top_logprobs": _LIKELIEST,
        }  # fmt: skip
        return fields | likeliest

    def answering(self, temperature: float | None) -> dict[str, Any]:
        """The sampling fields of answers; in MT-Bench the temperature is the category's, unless one is given."""
        own = None if self.benchmark == "mt-bench" else 0.0
        named = {
            "temperature": own if temperature is None else temperature,
            "top_p": self.top_p,
            "max_tokens": self.answer_tokens,
        }
        return {name: value for name, value in named.items() if value is not None}

    def by_question(self, groups: Mapping[str, str], temperature: float | None) -> dict[str, Any]:
        """The sampling fields of one question alone."""
        if self.benchmark != "mt-bench" or temperature is not None:
            return {}
        return {"temperature": TEMPERATURES.get(groups["category"], OTHERWISE)}

    def decisive(self) -> dict[str, Any]:
        """What may not change while an evaluation goes on: the benchmark, and who is scored."""
        model = self.model.decisive() if self.model else {}
        return {"benchmark": self.benchmark, "answers": self.answers} | {
            f"model.{name}": value for name, value in model.items()
        }


def resolve_judgement(settings: Mapping[str, Any], folder: Path) -> tuple[Judgement, Judgement | None]:
    """The evaluation that settings by dotted path describe, on top of what the folder holds; and that, if it holds one.

    Raises:
        InputError: a field is unknown or has an impossible value.
    """
    before = read_settings(Judgement, folder / EVALUATION)
    fields = before.model_dump(mode="json") if before is not None else {}
    for one, other in (("model", "answers"), ("opponent", "against")):
        if fields.get(one) is None:
            fields.pop(one, None)
        if settings.get(other):
            fields.pop(one, None)
        elif any(path.partition(".")[0] == one for path in settings):
            fields.pop(other, None)
    for path, value in settings.items():
        assign(fields, path.split("."), value)
    judgement = validated(Judgement, fields, "evaluate")
    if judgement.model is not None:
        check_address(judgement.model)
    if judgement.opponent is not None:
        check_address(judgement.opponent, "--against-base-url", "")
    for judge in judgement.judges:
        check_address(judge, "--judge-base-url", "--judge-api")
    return judgement, before

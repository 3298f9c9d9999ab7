"""A model's answers before a judge: which calls that takes, and what the judge's replies come to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evolute.evaluate.judged.alpaca import Annotation, is_switched
from evolute.evaluate.judged.answers import AnswerSet
from evolute.evaluate.judged.mtbench import Duel, Grade, Side
from evolute.evaluate.judged.parsing import (
    Mode,
    Unread,
    preference_of,
    read_ranking,
    read_rating,
    read_scores,
    read_verdict,
)
from evolute.evaluate.judged.prompts import Prompt
from evolute.evaluate.judged.questions import Benchmark, Question
from evolute.evaluate.judged.vicuna import Review
from evolute.records import Message

Order = Literal["both", "model-first", "opponent-first", "alternate", "seeded"]
Choose = Callable[[Mapping[str, str], int], Prompt]
"""The prompt for a question's groups and a turn."""
DRAW = 1.5
"""AlpacaEval's preference where both answers are the same, without a call."""


@dataclass(frozen=True, slots=True)
class Case:
    """One call of the judge; `id` names it among the others, and `ours_first` says whose answer is shown first."""

    id: str
    question: Question
    turn: int
    ours_first: bool
    prompt: Prompt
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the judge said to a case, or why there is no usable text; `logprobs` as `Completion` has them."""

    text: str
    why: str = ""
    logprobs: str = ""


@dataclass(frozen=True, slots=True)
class Contest:
    """Answers to be judged.

    Args:
        benchmark: which decides the protocol.
        questions: those that were asked.
        ours: the model's answers.
        theirs: the opponent's; None where answers are graded one at a time (MT-Bench).
        choose: the judge's prompt.
        order: whose answer is shown first. `both`: each pair is judged twice; `alternate`: the model's in questions of
            odd id (of odd place, where ids are no numbers); `seeded`: as AlpacaEval draws it from the instruction.
        seed: of `seeded`.
        mode: how replies are read.
    """

    benchmark: Benchmark
    questions: Sequence[Question]
    ours: AnswerSet
    theirs: AnswerSet | None
    choose: Choose
    order: Order = "both"
    seed: int = 0
    mode: Mode = "best"

    def cases(self) -> list[Case]:
        """The calls that the contest takes: none where an answer is missing, or a draw is plain."""
        return [case for place, question in enumerate(self.questions, 1) for case in self._cases(place, question)]

    def orders(self, place: int, question: Question) -> tuple[bool, ...]:
        """Whether the model's answer is shown first, for each time that a pair is judged."""
        if self.theirs is None or self.order == "model-first":
            return (True,)
        if self.order == "opponent-first":
            return (False,)
        if self.order == "alternate":
            number = int(question.id) if question.id.isascii() and question.id.isdecimal() else place
            return (number % 2 == 1,)
        if self.order == "seeded":
            return (is_switched(question.turns[0], self.seed),)
        return (True, False)

    def lack(self, question: Question, turn: int = 1) -> str:
        """Why there is nothing to judge; empty where both answers are there."""
        sides = (self.ours,) if self.theirs is None else (self.ours, self.theirs)
        lacking = [side for side in sides if side.upto(question, turn) is None]
        return "; ".join(f"no answer of {side.name}: {side.missing.get(question.id, 'none')}" for side in lacking)

    def is_draw(self, question: Question, turn: int = 1) -> bool:
        """Whether the answers are the same. The protocol of Vicuna needs points all the same, and so a call."""
        if self.theirs is None or self.benchmark not in ("mt-bench", "alpaca-eval"):
            return False
        return self.ours.upto(question, turn) == self.theirs.upto(question, turn)

    def lengths(self, question: Question) -> tuple[int, int] | None:
        """Characters of the model's answer and of the opponent's, to the first turn."""
        ours, theirs = self.ours.upto(question, 1), self.theirs.upto(question, 1) if self.theirs else None
        return (len(ours[0]), len(theirs[0])) if ours is not None and theirs is not None else None

    def _cases(self, place: int, question: Question) -> Iterator[Case]:
        for turn in range(1, len(question.turns) + 1):
            if self.lack(question, turn) or self.is_draw(question, turn):
                continue
            prompt = self.choose(question.groups, turn)
            for ours_first in self.orders(place, question):
                messages = prompt.fill(self._values(question, turn, ours_first))
                yield Case(_case_id(question, turn, ours_first), question, turn, ours_first, prompt, messages)

    def _values(self, question: Question, turn: int, ours_first: bool) -> dict[str, str]:
        """What stands in the slots, by every name that prompts have for them."""
        ours = self.ours.upto(question, turn) or ()
        values = {"question": question.turns[turn - 1], "answer": ours[-1]}
        for number, (asked, said) in enumerate(zip(question.turns, ours, strict=False), 1):
            values |= {f"question_{number}": asked, f"answer_{number}": said}
        values |= {f"ref_answer_{number}": said for number, said in enumerate(question.references[:turn], 1)}
        if self.theirs is not None:
            theirs = self.theirs.upto(question, turn) or ()
            for side, shown in zip("ab", (ours, theirs) if ours_first else (theirs, ours), strict=True):
                values |= {f"answer_{side}_{number}": said for number, said in enumerate(shown, 1)}
                values[f"answer_{'12'['ab'.index(side)]}"] = shown[-1]
        return values


def _case_id(question: Question, turn: int, ours_first: bool) -> str:
    return f"{question.id}:{turn}:{'first' if ours_first else 'second'}"


Replies = Mapping[str, Reply]
"""By the id of the case."""
Read = Callable[[str, Mode], Any]


def _read(replies: Replies, case: str, read: Read, mode: Mode) -> tuple[Any, str, str]:
    """What the reply says (None where it cannot be read), its text, and why."""
    reply = replies.get(case)
    if reply is None:
        return None, "", "it was not judged"
    if reply.why:
        return None, reply.text, reply.why
    found = read(reply.text, mode)
    return (None, reply.text, found.why) if isinstance(found, Unread) else (found, reply.text, "")


def as_reviews(contest: Contest, replies: Replies, judge: str) -> list[Review]:
    """Two scores for each pair and order; one review tells of a pair that could not be judged."""
    if contest.theirs is None:
        return []
    ours, theirs, found = contest.ours.name, contest.theirs.name, []
    for place, question in enumerate(contest.questions, 1):
        lack, lengths = contest.lack(question), contest.lengths(question)
        for first in contest.orders(place, question)[: 1 if lack else None]:
            scores, text, why = _read(replies, _case_id(question, 1, first), read_scores, contest.mode)
            if scores is not None and not first:
                scores = (scores[1], scores[0])
            shown = ours if first else theirs
            found.append(
                Review(question.id, ours, theirs, scores, shown, question.groups, judge, text, lack or why, lengths)
            )
    return found


def as_grades(contest: Contest, replies: Replies, judge: str) -> list[Grade]:
    """One score for each turn."""
    found = []
    for question in contest.questions:
        for turn in range(1, len(question.turns) + 1):
            score, text, why = _read(replies, _case_id(question, turn, True), read_rating, contest.mode)
            if score is not None and not 1 <= score <= 10 and contest.mode == "best":
                score, why = None, f"a rating of {score:g}, and it was asked for 1 to 10"
            why = contest.lack(question, turn) or why
            category = question.groups["category"]
            found.append(Grade(question.id, turn, category, contest.ours.name, judge, score, text, why))
    return found


def as_duels(contest: Contest, replies: Replies, judge: str) -> list[Duel]:
    """Two verdicts for each turn; a pair of the same answers is a tie."""
    if contest.theirs is None:
        return []
    found = []
    for question in contest.questions:
        for turn in range(1, len(question.turns) + 1):
            read = [
                _read(replies, _case_id(question, turn, first), read_verdict, contest.mode) for first in (True, False)
            ]
            sides = (_side(read[0][0], "A"), _side(read[1][0], "B"))
            if contest.is_draw(question, turn) and not contest.lack(question, turn):
                sides, read = ("tie", "tie"), [(None, "", ""), (None, "", "")]
            why = contest.lack(question, turn) or "; ".join(dict.fromkeys(why for *_, why in read if why))
            names, texts = (contest.ours.name, contest.theirs.name), (read[0][1], read[1][1])
            found.append(Duel(question.id, turn, question.groups["category"], *names, sides, judge, texts, why))
    return found


def _side(verdict: str | None, ours: str) -> Side | None:
    if verdict is None:
        return None
    return "tie" if verdict == "C" else "win" if verdict == ours else "loss"


def as_annotations(contest: Contest, replies: Replies, judge: str) -> list[Annotation]:
    """A preference for each instruction: the mean of both orders' where both are judged, and none where one fails."""
    if contest.theirs is None:
        return []
    ours, theirs, found = contest.ours.name, contest.theirs.name, []
    for place, question in enumerate(contest.questions, 1):
        orders = contest.orders(place, question)
        said = [_preference(contest, replies, question, first) for first in orders]
        values = [value for value, _, _ in said if value is not None]
        value = sum(values) / len(values) if len(values) == len(orders) else None
        why = "; ".join(dict.fromkeys(why for *_, why in said if why))
        if lack := contest.lack(question):
            value, why = None, lack
        switched = orders[0] if len(orders) == 1 and not contest.is_draw(question) else None
        text = "\n\n".join(text for _, text, _ in said if text)
        found.append(
            Annotation(
                question.id, ours, theirs, value, contest.lengths(question), switched, question.groups, judge, text, why
            )
        )
    return found


def orders_of(contest: Contest, replies: Replies) -> list[tuple[float, float]]:
    """What the model's answer came to shown first, and shown second, where AlpacaEval's pairs are judged twice."""
    pairs = []
    for question in contest.questions:
        if not contest.lack(question) and not contest.is_draw(question):
            values = [_preference(contest, replies, question, first)[0] for first in (True, False)]
            if values[0] is not None and values[1] is not None:
                pairs.append((float(values[0] > DRAW), float(values[1] > DRAW)))
    return pairs


def _preference(contest: Contest, replies: Replies, question: Question, first: bool) -> tuple[float | None, str, str]:
    """From 1 (the opponent's answer is better) to 2 (the model's)."""
    if contest.lack(question) or contest.is_draw(question):
        return DRAW, "", ""
    case = _case_id(question, 1, first)
    reply = replies.get(case)
    if contest.choose(question.groups, 1).reads == "ranking":
        shown, text, why = _read(replies, case, read_ranking, contest.mode)
    elif reply is None:
        shown, text, why = None, "", "it was not judged"
    elif not (tokens := first_token(reply.logprobs)):
        shown, text, why = None, reply.text, reply.why or "the endpoint gave no log-probabilities: use another judge"
    else:
        found = preference_of(tokens)
        text = json.dumps(tokens)
        shown, why = (None, found.why) if isinstance(found, Unread) else (found, "")
    return (None if shown is None else 3 - shown if first else shown), text, why


def first_token(logprobs: str) -> dict[str, float]:
    """The likeliest first tokens with their log-probabilities, from `Completion.logprobs`; empty where there are none.

    Chat's shape (`content[0].top_logprobs`) and that of plain completions (`top_logprobs[0]`) are known.
    """
    try:
        said = json.loads(logprobs)["logprobs"]
        if "content" in said:
            found = {one["token"]: float(one["logprob"]) for one in said["content"][0]["top_logprobs"]}
        else:
            found = {token: float(value) for token, value in said["top_logprobs"][0].items()}
    except (ValueError, TypeError, LookupError, AttributeError):
        return {}
    return found

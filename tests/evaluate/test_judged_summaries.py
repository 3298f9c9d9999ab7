"""Summaries of judgments: what counts, what does not, and what they find of a judge."""

import random

import pytest

from evolute.errors import InputError
from evolute.evaluate.differences import paired
from evolute.evaluate.judged import alpaca
from evolute.evaluate.judged.alpaca import Annotation, normal_preference, rates
from evolute.evaluate.judged.mtbench import Duel, Grade, summarise_duels, summarise_grades
from evolute.evaluate.judged.vicuna import BAND, Review, summarise
from evolute.evaluate.published import published
from evolute.scores import Outcome, Score


def review(question, ours, theirs, *, first="m", lengths=None, **groups):
    scores = None if ours is None else (ours, theirs)
    why, text = ("no pair of scores in it", "I won't") if scores is None else ("", f"{ours} {theirs}")
    return Review(str(question), "m", "o", scores, first, groups, "gpt-4", text, why, lengths)


def part(score, by, name):
    return next(one for one in score.parts if (one.by, one.name) == (by, name))


def note(score, begins):
    return next((one for one in score.notes if one.startswith(begins)), None)


def test_the_headline_is_the_ratio_of_the_sums_and_both_averages_are_named():
    score = summarise([review(1, 8, 4, skill="Math"), review(2, 6, 8, skill="Law"), review(3, 6, 8, skill="Law")])
    assert score.measure.value == pytest.approx(100)
    assert (score.n, score.unscored, score.outcome) == (3, 0, Outcome(1, 0, 2))
    assert score.also["micro average (summed scores)"] == score.measure
    assert score.also["macro average over skill"].value == pytest.approx(100 * (2 + 0.75) / 2)
    assert score.also["mean score"].value == pytest.approx(20 / 3)
    assert part(score, "skill", "Law").measure.value == pytest.approx(75)
    assert part(score, "skill", "Math").measure.low is None  # one question has no interval
    assert Score.from_json(score.to_json()) == Score.from_json(Score.from_json(score.to_json()).to_json())


def test_intervals_of_few_questions_stay_on_their_scale():
    reviewed = summarise([review(1, 10, 1, skill="Math"), review(2, 1, 10, skill="Math")])
    graded = summarise_grades([Grade("1", 1, "math", "m", "j", 1.0), Grade("2", 1, "math", "m", "j", 10.0)])
    sides = (("win", "win"), ("loss", "loss"))
    fought = summarise_duels([Duel(str(n), 1, "math", "m", "o", side, "j") for n, side in enumerate(sides)])
    assert reviewed.measure.low == 0
    assert (reviewed.also["mean score"].low, reviewed.also["mean score"].high) == (0, 10)
    assert (graded.measure.low, graded.measure.high) == (0, 10)
    assert (fought.measure.low, fought.measure.high) == (0, 100)


def test_what_does_not_vary_claims_no_certainty():
    won = [Duel(str(n), 1, "math", "m", "o", ("win", "win"), "j") for n in range(25)]
    fought = summarise_duels(won).measure
    assert (fought.value, fought.how) == (100, "Wilson")
    assert fought.low < 90
    alike = summarise([review(n, 9, 5) for n in range(25)]).measure
    assert (alike.value, alike.low) == (180, None)


def test_both_orders_of_a_question_are_one_item():
    score = summarise([review(1, 9, 5), review(1, 7, 9, first="o"), review(2, 5, 5)])
    assert score.n == 2
    assert score.items[0].weights == (8, 7)
    assert score.outcome == Outcome(1, 1, 0)


def test_an_unreadable_order_makes_its_question_unscored_with_its_text():
    score = summarise([review(n, 8, 8) for n in range(20)] + [review(0, None, None, first="o")])
    assert (score.n, score.unscored) == (19, 1)
    assert "I won't" in score.items[0].why
    assert note(score, "unscored: 1 of 20")
    assert score.measure.value == 100


def test_there_is_no_headline_where_too_much_is_unscored():
    score = summarise([review(n, 8, 8) for n in range(8)] + [review(n, None, None) for n in (8, 9)])
    assert score.measure.value is None
    assert score.also == {}
    assert "No headline" in note(score, "unscored: 2 of 10")


def test_hard_questions_have_a_band():
    score = summarise([review(n, n, 5, difficulty=str(n)) for n in range(1, 11)])
    assert part(score, BAND, ">= 8").n == 3
    assert part(score, BAND, ">= 8").measure.value == pytest.approx(100 * 27 / 15)
    assert part(score, BAND, "< 8").outcome == Outcome(2, 1, 4)


def test_an_opponent_that_gets_nothing_is_still_in_the_sums():
    score = summarise([review(1, 9, 0), review(2, 5, 10)])
    assert score.measure.value == 140
    assert (score.items[0].score, score.items[0].weights) == (None, (9, 0))
    assert summarise([review(1, 9, 0)]).measure.value is None


@pytest.mark.parametrize(
    ("reviews", "said"),
    [
        ([], "no review"),
        ([review(1, 8, 8), review(1, 8, 9)], "question '1' is judged twice with 'm' first"),
        ([review(1, 8, 8), Review("2", "m", "other", (1, 1), "m")], "different models"),
    ],
)
def test_reviews_that_are_not_one_result_are_refused(reviews, said):
    with pytest.raises(InputError, match=said):
        summarise(reviews)


def judged(verdict, questions=120):
    """Reviews in both orders by a judge that gives the shown answers (their lengths are known) two scores."""
    draws, reviews = random.Random(11), []
    for question in range(questions):
        ours, theirs = draws.randrange(100, 900), draws.randrange(100, 900)
        for first in ("m", "o"):
            shown = (ours, theirs) if first == "m" else (theirs, ours)
            one, two = verdict(shown, draws)
            scores = (one, two) if first == "m" else (two, one)
            reviews.append(review(question, *scores, first=first, lengths=(ours, theirs)))
    return summarise(reviews)


def test_a_judge_that_always_prefers_the_first_is_found():
    score = judged(lambda shown, draws: (9, 7))
    assert note(score, "position consistency: 0.0 %")
    assert "100.0 %" in note(score, "of those judged unlike")
    assert "more than chance" in note(score, "of those judged unlike")
    assert "of 120 decided questions (more than chance)" in note(score, "the answer shown first wins 100.0 %")
    assert note(score, "the longer answer wins") is None  # both orders together decide no question
    assert score.outcome == Outcome(0, 120, 0)


def test_a_judge_that_prefers_the_longer_is_found():
    score = judged(lambda shown, draws: (9, 7) if shown[0] > shown[1] else (7, 9))
    assert note(score, "position consistency: 100.0 %")
    assert note(score, "the answer shown first wins") is None
    assert "of 120 decided questions (more than chance)" in note(score, "the longer answer wins 100.0 %")
    assert note(score, "of those judged unlike") is None


def test_a_judge_that_throws_a_coin_is_found_by_its_inconsistency_alone():
    score = judged(lambda shown, draws: draws.choice([(9, 7), (7, 9)]))
    share = float(note(score, "position consistency").split()[2])
    assert 38 < share < 62
    assert "as chance would" in note(score, "of those judged unlike")
    assert "as chance would" in note(score, "the answer shown first wins")
    assert "as chance would" in note(score, "the longer answer wins")
    assert score.also["win rate, ties as halves (%)"].low < 50 < score.also["win rate, ties as halves (%)"].high


def test_one_fixed_order_says_nothing_of_position():
    score = summarise([review(n, 9, 7) for n in range(30)])
    assert [one for one in score.notes if "first" in one or "position" in one] == []


def grade(question, turn, score, category="math"):
    why, text = ("no rating in it", "Nice.") if score is None else ("", f"[[{score}]]")
    return Grade(str(question), turn, category, "m", "gpt-4", score, text, why)


def test_mt_bench_is_the_mean_of_all_judgments_and_clusters_by_question():
    score = summarise_grades([grade(n, turn, value) for n, value in enumerate([8, 6, 7, 3]) for turn in (1, 2)])
    alone = summarise_grades([grade(n, 1, value) for n, value in enumerate([8, 6, 7, 3])])
    assert (score.measure.value, score.n, score.scale) == (6.0, 8, "points")
    assert score.measure.low == pytest.approx(alone.measure.low)
    assert part(score, "turn", "2").measure.value == 6.0
    assert [item.id for item in score.items[:2]] == ["0:1", "0:2"]


def test_an_unreadable_grade_is_neither_nought_nor_dropped():
    score = summarise_grades([grade(n, 1, 8) for n in range(19)] + [grade(19, 1, None, "coding")])
    assert (score.measure.value, score.n, score.unscored) == (8, 19, 1)
    assert part(score, "category", "coding").measure.value is None
    assert score.items[-1].why == "no rating in it: Nice."
    assert summarise_grades([grade(1, 1, 9), grade(2, 1, None)]).measure.value is None
    with pytest.raises(InputError, match="twice"):
        summarise_grades([grade(1, 1, 9), grade(1, 1, 8)])


def duel(question, first, second):
    return Duel(str(question), 1, "math", "m", "o", (first, second), "gpt-4", ("[[A]]", "?"), "no verdict")


def test_duels_are_won_in_both_orders_or_tied():
    said = [("win", "win"), ("loss", "loss"), ("win", "loss"), ("tie", "win"), ("tie", "tie")] * 4 + [("win", None)]
    score = summarise_duels([duel(n, *sides) for n, sides in enumerate(said)])
    assert (score.outcome, score.n, score.unscored) == (Outcome(4, 12, 4), 20, 1)
    assert (score.measure.value, score.also["win rate"].value) == (50, 20)
    assert note(score, "position consistency: 60.0 %")
    assert "no verdict" in score.items[-1].why


def test_duels_of_a_judge_that_always_says_a_are_all_ties():
    score = summarise_duels([duel(n, "win", "loss") for n in range(40)])
    assert (score.outcome, score.measure.value) == (Outcome(0, 40, 0), 50)
    assert note(score, "position consistency: 0.0 %")
    assert "of 40 decided questions (more than chance)" in note(score, "the answer shown first wins 100.0 %")


def test_both_turns_and_orders_of_a_question_are_one_witness_of_the_judges_liking():
    said = [Duel(str(n), turn, "math", "m", "o", ("win", "loss"), "gpt-4") for n in range(3) for turn in (1, 2)]
    assert "of 3 decided questions (as chance would)" in note(summarise_duels(said), "the answer shown first wins")


def annotation(number, preference, **fields):
    return Annotation(str(number), "m", "gpt4", preference, **fields)


def test_win_rates_are_alpaca_evals():
    found = rates([2.0, 1.0, 1.5, 1.75, None])
    assert (found.win_rate, found.n_wins, found.n_wins_base, found.n_draws, found.n_total) == (56.25, 2, 1, 1, 4)
    assert found.standard_error == pytest.approx(100 * 0.4269563 / 2)
    assert found.discrete_win_rate == 62.5
    assert rates([None]).win_rate is None
    assert rates([2.0]).standard_error is None


def test_alpaca_eval_2s_number_has_a_name_of_its_own_and_is_set_against_no_other():
    ranked = [annotation(n, (1.0, 1.5, 2.0)[n % 3]) for n in range(30)]
    weighed = [annotation(n, 1.2 + 0.02 * n) for n in range(30)]
    one, two = alpaca.summarise(ranked), alpaca.summarise(weighed)
    assert (one.metric, two.metric) == ("win rate", "weighted win rate")
    assert "not comparable: metric" in paired(one, two).told
    assert published("alpaca-eval", one.metric, "text_davinci_003")
    assert not published("alpaca-eval", two.metric, "text_davinci_003")
    drawn = [annotation(n, 1.5, judge="weighted_alpaca_eval_gpt4_turbo") for n in range(30)]
    assert alpaca.summarise(drawn).metric == "weighted win rate"


def test_a_stored_preference_is_from_one_to_two_or_a_draw():
    assert [normal_preference(value) for value in (0, 1, 1.5, 2, float("nan"), None)] == [1.5, 1, 1.5, 2, None, None]
    for wrong in (-1, 0.5, 3):
        with pytest.raises(ValueError, match="from 1 to 2"):
            normal_preference(wrong)


def test_an_annotation_without_preference_is_unscored_with_its_text():
    whole = [annotation(n, 2.0) for n in range(20)]
    score = alpaca.summarise([*whole, annotation(20, None, text="I can't", why="no list of ranks in it")])
    assert (score.n, score.unscored, score.measure.value) == (20, 1, 100)
    assert score.items[-1].why == "no list of ranks in it: I can't"
    assert score.measure.how == "Wilson"  # of twenty equal values no other interval says anything
    assert alpaca.summarise([annotation(1, 2.0), annotation(2, None)]).measure.value is None
    with pytest.raises(InputError, match="instruction '0' is judged twice"):
        alpaca.summarise([*whole, annotation(0, 1.0)])


@pytest.mark.parametrize(
    ("verdict", "first", "longer"),
    [
        (lambda switched, lead, draws: 2.0 if switched else 1.0, "more than chance", "as chance would"),
        (lambda switched, lead, draws: 2.0 if lead > 0 else 1.0, "as chance would", "more than chance"),
        (lambda switched, lead, draws: draws.choice([1.0, 2.0]), "as chance would", "as chance would"),
    ],
)
def test_the_biases_of_alpaca_evals_judges_are_found(verdict, first, longer):
    draws, said = random.Random(5), []
    for n in range(300):
        switched, ours, theirs = draws.random() < 0.5, draws.randrange(1, 900), draws.randrange(1, 900)
        preference = verdict(switched, ours - theirs, draws)
        said.append(annotation(n, preference, switched=switched, lengths=(ours, theirs)))
    score = alpaca.summarise(said)
    assert first in note(score, "the answer shown first")
    assert longer in note(score, "the longer answer")

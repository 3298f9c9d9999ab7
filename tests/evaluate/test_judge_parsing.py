"""What judges write, read: every form that is known, and a reason for each that is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.evaluate.judged.parsing import (
    Unread,
    preference_of,
    read_ranking,
    read_rating,
    read_scores,
    read_verdict,
)

MODES = ["best", "reference"]


@pytest.mark.parametrize(
    "text",
    [
        "8 9",
        "8 9\nBoth answers were helpful. Assistant 1: 3 points short.",
        "8, 9",
        "8,9",
        "8/10 9/10",
        "8 / 10, 9 / 10",
        "8 out of 10, 9 out of 10",
        "**8 9**",
        "| 8 | 9 |",
        "[8, 9]",
        "Score: 8 9",
        "8 and 9.",
        "8\n9\nThe first is shorter.",
        "\n\n  8   9  \n",
        "８ ９",
        "٨ ٩",
        "८ ९",
        "8分 9分",
        "Assistant 1: 8\nAssistant 2: 9",
        "Assistant 1: 8 (a slip)\nAssistant 2: 9 (none)\n\nAssistant 2 did better.",
        "Assistant 1: 8/10, Assistant 2: 9/10",
        "## Scores\n- **Assistant 1**: 8/10\n- **Assistant 2**: 9/10",
        "Assistant 1's score: **8**\nAssistant 2's score: **9**",
        "Score of Assistant A: 8\nScore of Assistant B: 9",
        "I give Assistant 1 a score of 8 and Assistant 2 a score of 9.",
        "助手1：8分 助手2：9分",
        "Ассистент 1: 8\nАссистент 2: 9",
        "The midpoint is (3, 4).\nThe output tuple is (8, 9). Assistant 2 is right.",
        "Both solve it.\n\n(8, 9)",
        "Clarity\nAssistant 1: 5\nAssistant 2: 5\nOverall score\nOverall, Assistant 1: 8\nOverall, Assistant 2: 9",
        "After some thought:\n8 9",
        "Assistant 1 receives a score of 8, while Assistant 2 receives a score of 9.",
        "I'd give Assistant 1 a 8 and Assistant 2 a 9.",
        "Assistant 1 (8/10), Assistant 2 (9/10)",
        "Assistant 1 - 8\nAssistant 2 - 9",
        "助手1的得分是8，助手2的得分是9",
        "The roots are x1 = 3 and x2 = 5.\n(8, 9)",
    ],
)
def test_scores_are_read_from_every_form_that_judges_produce(text):
    assert read_scores(text) == (8.0, 9.0)


@pytest.mark.parametrize(
    ("text", "scores"), [("8.5 9", (8.5, 9)), ("8,5 9", (8.5, 9)), ("7,5 8,5", (7.5, 8.5)), ("0 10", (0, 10))]
)
def test_halves_are_read_with_either_sign(text, scores):
    assert read_scores(text) == scores


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing"),
        (" \n ", "nothing"),
        ("I'm sorry, but I cannot rate these answers.", "no pair"),
        ("Both answers are equally good.", "no pair"),
        ("85 90", "85, outside 0 to 10"),
        ("8 11", "11, outside"),
        ("85/100 90/100", "85 of 100"),
        ("Assistant 1: 85/100\nAssistant 2: 90/100", "85 of 100"),
        ("80% 90%", "no pair"),
        ("Assistant 1: 8%\nAssistant 2: 9%", "no pair"),
        ("-1 5", "no pair"),
        ("8", "no pair"),
        ("8 9 7", "no pair"),
        ("1. The first is good.\n2. The second is better.", "no pair"),
        ("Assistant 1: 3 strengths\nAssistant 2: 4 strengths", "no pair"),
        ("Style\nAssistant 1: 8\nAssistant 2: 9\nDepth\nAssistant 1: 7\nAssistant 2: 9", "no pair"),
        ("Assistant 1: 8\nAssistant 2: 9\n\n9 8", "different pairs"),
        ("The point (3, 4) is on the line.", "no pair"),
        ("Assistant 1 failed to answer.\nAssistant 2 is right and receives a score of 9.", "no pair"),
        ("Assistant 2 gets a rating of 8 out of 10.", "no pair"),
        ("x1 = 3, x2 = 5. Both assistants found the roots.", "no pair"),
        ("The final answer is (2, 3).", "no pair"),
        ("The rate of change between the points is (4, 7).", "no pair"),
        ("Side A: 3\nSide B: 4", "no pair"),
        ("Option A: 5, option B: 7", "no pair"),
        ("Given a = 3 and b = 4.", "no pair"),
        ("By method A: 5, and by method B: 6.", "no pair"),
        ("Criterion 1: 8\nCriterion 2: 9\nCriterion 3: 7", "no pair"),
        ("Step 1: 8\nStep 2: 9", "no pair"),
        ("| 1 | 8 |\n| 2 | 9 |", "several pairs"),
        ("1 8\n2 9", "several pairs"),
    ],
)
def test_what_is_no_pair_of_scores_is_unread_with_a_reason(text, why):
    found = read_scores(text)
    assert isinstance(found, Unread)
    assert why in found.why


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ("8 9\nWell.", (8, 9)),
        ("8, 9", None),
        ("8,9", (8, 9)),
        ("8  9", None),
        ("85 90", (85, 90)),
        ("Score: 8 9", None),
    ],
)
def test_the_reference_reads_scores_as_fastchat_did(text, scores):
    found = read_scores(text, "reference")
    assert found == scores if scores else isinstance(found, Unread)


@pytest.mark.parametrize(
    ("text", "best", "reference"),
    [
        ("Fine. Rating: [[5]]", 5, 5),
        ("Rating: [[7.5]]", 7.5, 7.5),
        ("Rating: [5]", 5, 5),
        ("Rating: 5/10", 5, None),
        ("**Rating**: 7", 7, None),
        ("评分：8", 8, None),
        ("Rating: [[٥]]", 5, 5),
        ("Turn 1 [[3]]. All in all [[7]].", 7, 3),
        ("[[11]]", None, 11),
        ("[[85]]", None, 85),
        ("Rating: 85/100", None, None),
        ("score 85%", None, None),
        ("See [1](there).", None, 1),
        ("I would rather not.", None, None),
        ("", None, None),
        ("The function uses arr[0] and dp[5].\n\nRating: 8/10", 8, 0),
        ("See [3] for details. My rating is 9.", 9, 3),
        ("See [1], [2].", None, 1),
        ("Rating: [[8]]/[[10]]", 8, 8),
        ("[[7]] out of [[10]]", 7, 7),
        ("[[7]] or [[8]]", None, 7),
        ("Rating (1-10): 8", 8, None),
        ("Rating: 1-10: 7", 7, None),
        ("Rating: 7-8", None, None),
        ("Rating: -5", None, None),
        ("[[-5]]", None, None),
        ("Grade: 8. The list[10] is fine", 8, 10),
        ("See footnote 5.", None, None),
        ("Underscore 4.", None, None),
        ("Note 3: it fails.", None, None),
        ("For a grade 7 student, with a score of 3 goals.", None, None),
        ("I rate this 7/10.", 7, None),
        ("It is good.\n[6]", 6, 6),
    ],
)
def test_a_rating_is_the_last_for_us_and_the_first_for_fastchat(text, best, reference):
    for expected, mode in ((best, "best"), (reference, "reference")):
        found = read_rating(text, mode)
        assert isinstance(found, Unread) if expected is None else found == expected


RULES = 'Say "[[A]]" if assistant A is better, "[[B]]" if assistant B is better, and "[[C]]" for a tie. '


@pytest.mark.parametrize(
    ("text", "best", "reference"),
    [
        ("Final verdict: [[B]]", "B", "B"),
        ("[[C]] for a tie, as both fail.", "C", "C"),
        ("[[A]] is what I thought first.\nMy final verdict is [[B]]", "B", "A"),
        ("[[A]] [[B]]", None, "A"),
        ("[[B]]\nOr rather\n[[C]]", None, "B"),
        (RULES + "[[C]]", "C", "A"),
        (RULES, None, "A"),
        ("Assistant A is better.", None, None),
        ("[[D]]", None, None),
        ("", None, None),
    ],
)
def test_two_verdicts_are_none_unless_one_is_called_final(text, best, reference):
    for expected, mode in ((best, "best"), (reference, "reference")):
        found = read_verdict(text, mode)
        assert isinstance(found, Unread) if expected is None else found == expected


LIST = "[{'model': 'model_1', 'rank': %d}, {'model': 'model_2', 'rank': %d}]"


@pytest.mark.parametrize(
    ("text", "best", "reference"),
    [
        (LIST % (1, 2), 1, 1),
        (LIST % (2, 1), 2, 2),
        ("Here:\n```python\n" + LIST % (2, 1) + "\n```", 2, None),
        (LIST % (1, 1), None, 1),
        (LIST % (0, 2), None, None),
        (LIST % (1, 3), None, 1),
        (LIST % (1, 2) + " or " + LIST % (2, 1), None, None),
        (LIST % (1, 2) + " again: " + LIST % (1, 2), 1, None),
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_1', 'rank': 2}]", None, None),
        ("[{'model': 'model_1', 'rank': True}, {'model': 'model_2', 'rank': 2}]", None, None),
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_name', 'rank': 2}]", 1, 1),
        ("[{'model': 'model_1', 'rank': 1}", None, None),
        ("[1, 2]", None, None),
        ("__import__('os').abort()", None, None),
        ("", None, None),
    ],
)
def test_a_ranking_is_read_as_alpaca_eval_does(text, best, reference):
    for expected, mode in ((best, "best"), (reference, "reference")):
        found = read_ranking(text, mode)
        assert isinstance(found, Unread) if expected is None else found == expected


def test_log_probabilities_become_a_preference():
    assert preference_of({"m": -0.6931472, "M": -0.6931472}) == pytest.approx(1.5)
    assert preference_of({"m": -0.1, "x": -3.0}) == 1
    assert preference_of({"M": -900.0, "m": -1000.0}) == 2
    assert "neither m nor M" in preference_of({"x": -0.1}).why
    for wrong in (0.5, float("nan")):
        assert "are none" in preference_of({"m": wrong}).why


def test_ours_reads_all_that_the_reference_reads_within_the_scale():
    for text in ("8 9", "8.5 9", "8,9", "0 10"):
        assert read_scores(text) == read_scores(text, "reference")


SIGNS = st.text(alphabet="0123456789 ,./()[]{}ABC:'\"rankmodel_12Assistant\n٥８分％*", max_size=80)


@given(st.one_of(st.text(), SIGNS), st.sampled_from(MODES))
def test_no_text_raises_and_no_score_is_off_its_scale(text, mode):
    for found in (read_scores(text, mode), read_rating(text, mode), read_verdict(text, mode), read_ranking(text, mode)):
        if isinstance(found, Unread):
            assert found.why
        elif mode == "best" and not isinstance(found, str):
            assert all(0 <= value <= 10 for value in (found if isinstance(found, tuple) else (found,)))


@given(st.dictionaries(st.sampled_from(["m", "M", "x"]), st.floats()))
def test_no_log_probabilities_raise(logprobs):
    found = preference_of(logprobs)
    assert isinstance(found, Unread) or 1 <= found <= 2

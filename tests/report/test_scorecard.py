"""The page of scores."""

import pytest

from evolute.report.scorecard import Difference, Reading, Reference, Scorecard, Side, write_scorecard
from evolute.report.scorefigures import radar
from evolute.scores import Item, Measure, Outcome, Part, Score

HOSTILE = "<script>alert(1)</script> \u202ehidden"


def score(shift=0.0, **fields):
    parts = [
        Part("skill", f"skill {place}", Measure(90 + shift + place, 80, 110, "bootstrap"), place, 0, Outcome(1, 0, 2))
        for place in range(1, 13)
    ]
    given = {
        "benchmark": "wizardlm", "model": "m", "metric": "ratio of summed scores", "scale": "ratio",
        "measure": Measure(97.8 + shift, 94.0, 101.0, "paired bootstrap"), "n": 78, "unscored": 1, "against": "ChatGPT",
        "judge": "gpt-4", "outcome": Outcome(30, 8, 40), "parts": parts, "notes": ("the first was preferred",),
        "items": (Item("7", None, {"skill": "skill 3"}, HOSTILE),), "ran": {"judge": HOSTILE}, "calls": 156,
    }  # fmt: skip
    return Score(**given | fields)


def written(card, tmp_path):
    return write_scorecard(card, tmp_path / "evaluation.html").read_text()


def test_it_shows_numbers_with_their_doubt_and_others_as_published(tmp_path):
    card = Scorecard(
        "trial", "1", [Side("ours", {"wizardlm": score()}), Side("base", {"wizardlm": score(-12)})],
        references={"wizardlm": [Reference("WizardLM-30B-V1.0", 97.8, "README")]},
        differences=[Difference("wizardlm", "ours", "base", Measure(12.0, 8.0, 16.0), 78, "ours is better")],
        left_out={"mt-bench": "no data"},
    )  # fmt: skip
    page = written(card, tmp_path)
    for shown in ("97.8 %", "94.0 to 101.0", "1 of 79 unscored", "<small>published</small>", "ours is better",
                  "+8.00 to +16.00", "mt-bench (no data)", "30 wins, 8 ties, 40 losses"):  # fmt: skip
        assert shown in page, shown
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"radar-wizardlm-skill.svg", "bars-wizardlm-skill-1.png", "bars-wizardlm-skill-2.png"} <= figures


def test_figures_of_an_earlier_page_go(tmp_path):
    written(Scorecard("t", "1", [Side("a", {"wizardlm": score()}), Side("b", {"wizardlm": score()})]), tmp_path)
    written(Scorecard("t", "1", [Side("a", {"wizardlm": score()})]), tmp_path)
    assert not (tmp_path / "figures" / "bars-wizardlm-skill-2.svg").exists()


def test_what_models_wrote_is_text(tmp_path):
    reading = Reading("wizardlm", "7", -80.0, HOSTILE, HOSTILE, HOSTILE, [HOSTILE], {"skill": HOSTILE})
    page = written(Scorecard(HOSTILE, "1", [Side(HOSTILE, {"wizardlm": score()})], losses=[reading]), tmp_path)
    assert "<script>alert" not in page
    assert "\u202e" not in page


def test_too_much_unscored_has_no_headline(tmp_path):
    card = Scorecard("t", "1", [Side("a", {"wizardlm": score(measure=Measure(), n=30, unscored=48)})])
    page = written(card, tmp_path)
    assert "no number" in page
    assert "No headline: less than 90% of the items is scored." in page


def test_a_group_without_a_number_is_no_corner_of_the_radar():
    drawing = radar("r", "t", ["a", "b", "c", "d"], {"m": {"a": 1.0, "b": 2.0, "d": 1.5}})
    assert "c " not in drawing.told
    with pytest.raises(StopIteration):
        next(mark for mark in drawing.marks if getattr(mark, "tip", "").startswith("c"))

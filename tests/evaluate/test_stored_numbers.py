"""Numbers that others published, from the judgments that they stored."""

import csv
import json
import statistics
from collections import Counter
from functools import cache

import pytest
from problemrows import DATA

from evolute.evaluate.judged.alpaca import is_switched
from evolute.evaluate.judged.annotations import read_annotations, read_instructions
from evolute.evaluate.judged.controlled import read_control
from evolute.evaluate.judged.fastchat import duels_of, grades_of
from evolute.evaluate.judged.groups import known_category, read_groups
from evolute.evaluate.judged.parsing import (
    Unread,
    preference_of,
    read_ranking,
    read_rating,
    read_scores,
    read_verdict,
)
from evolute.evaluate.judged.rows import read_rows
from evolute.evaluate.judged.vicuna import BAND, Review, summarise
from evolute.evaluate.published import WIZARDLM_30B_BY_SKILL
from evolute.pipeline.stored import sum_up_stored

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the stored judgments are not here")
ALPACA = DATA / "alpaca_eval"
SINGLE = DATA / "mt_bench/model_judgment/mambainllama_zephyr_gpt-4_single.jsonl.gz"
PAIR = DATA / "mt_bench/model_judgment/phi-3_vs_phi-3-dpo_gpt-4_pair.jsonl.gz"
REVIEWS = DATA / "vicuna/review/vicuna-13b_20230322-clean-lang"


def leaderboard(name):
    with (ALPACA / name).open(newline="") as file:
        return {row[""]: row for row in csv.DictReader(file)}


BOARDS = {
    "v1": ("leaderboard_v1_alpaca_eval_gpt4.csv", {"mistral-orpo-beta"}, 30),
    "v2": ("leaderboard_v2_weighted_alpaca_eval_gpt4_turbo.csv", {"text_davinci_003"}, 33),
}


@cache
def stored(version):
    return sum_up_stored("alpaca-eval", [ALPACA / f"judgments_{version}.csv.gz"])


@cache
def judgments(version):
    return read_annotations(ALPACA / f"judgments_{version}.csv.gz")


@pytest.mark.parametrize("version", BOARDS)
def test_every_win_rate_and_error_is_the_leaderboards(version):
    name, absent, count = BOARDS[version]
    board, rows = leaderboard(name), stored(version).rows
    assert len(rows) == count
    assert {model for model in rows if model not in board} == absent & set(rows)
    for model in set(rows) & set(board):
        for field in ("win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws", "n_total", "discrete_win_rate"):
            assert rows[model][field] == pytest.approx(float(board[model][field]), abs=1e-9), (model, field)


def test_the_win_rates_that_everybody_knows():
    first, second = stored("v1").rows, stored("v2").rows
    assert first["wizardlm-13b"]["win_rate"] == pytest.approx(75.31094527, abs=5e-9)
    assert (first["wizardlm-13b"]["n_total"], first["wizardlm-13b"]["unscored"]) == (804, 1)
    assert first["vicuna-13b"]["win_rate"] == pytest.approx(70.43478261, abs=5e-9)
    assert first["gpt4"]["win_rate"] == pytest.approx(95.27950311, abs=5e-9)
    assert second["wizardlm-13b"]["win_rate"] == pytest.approx(5.878152589, abs=5e-10)
    assert second["claude-2"]["win_rate"] == pytest.approx(17.18824036, abs=5e-9)


@pytest.mark.parametrize(("version", "count"), [("v1", 4_780), ("v2", 24_079)])
@pytest.mark.parametrize("mode", ["best", "reference"])
def test_what_the_judge_said_is_the_stored_preference_in_every_row(version, count, mode):
    rows = [one for one in judgments(version) if one.text]
    assert len(rows) == count
    for one in rows:
        said = read_ranking(one.text, mode) if version == "v1" else preference_of(json.loads(one.text))
        if one.preference is None:
            assert isinstance(said, Unread)
        else:
            assert (3 - said if one.switched else said) == pytest.approx(one.preference, abs=1e-6)


@pytest.mark.parametrize("version", BOARDS)
def test_the_order_that_was_drawn_is_drawn_again(version):
    texts = {index: text for text, index in read_instructions(ALPACA / "instructions.jsonl").items()}
    drawn = {index: is_switched(text) for index, text in texts.items()}
    assert all(one.switched == drawn[one.instruction] for one in judgments(version))


def test_length_controlled_win_rates_from_stored_weights():
    control, board = read_control(ALPACA), leaderboard(BOARDS["v2"][0])
    rates = {model: control.stored(model) for model in control.weights if model in board}
    errors = {
        model: abs(rate.win_rate - float(board[model]["length_controlled_winrate"])) for model, rate in rates.items()
    }
    assert len(errors) == 199
    assert sum(error < 1e-3 for error in errors.values()) == 189
    assert sum(error < 1e-2 for error in errors.values()) == 195
    assert {model for model, error in errors.items() if error > 0.1} == {"dbrx-instruct", "NullModel"}
    for model, expected in (("wizardlm-13b", 9.828151), ("wizardlm-70b", 17.575061), ("gpt4", 38.128090)):
        assert rates[model].win_rate == pytest.approx(expected, abs=5e-6)
    known = {model: float(said) for model in rates if (said := board[model]["lc_standard_error"])}
    assert len(known) > 20
    assert all(rates[model].standard_error == pytest.approx(error, abs=1e-3) for model, error in known.items())


def refitted(models):
    control, board = read_control(ALPACA), leaderboard(BOARDS["v2"][0])
    errors = []
    for model in models:
        rate = control.fitted([one for one in judgments("v2") if one.model == model])
        assert "approximate" in rate.how
        errors.append(abs(rate.win_rate - float(board[model]["length_controlled_winrate"])))
    return errors


@pytest.mark.slow
def test_a_refitted_length_controlled_win_rate_is_near():
    pytest.importorskip("sklearn")
    assert max(refitted(["FuseChat-Qwen-2.5-7B-Instruct", "wizardlm-13b"])) < 0.3


@pytest.mark.torture
def test_refitted_length_controlled_win_rates_are_near_for_all():
    board = leaderboard(BOARDS["v2"][0])
    errors = refitted([model for model in {one.model: None for one in judgments("v2")} if model in board])
    assert len(errors) == 33
    assert statistics.median(errors) < 0.1


def test_the_csv_of_alpaca_eval_2_is_length_controlled_and_that_of_1_is_not():
    rows = sum_up_stored("alpaca-eval", [ALPACA / "judgments_v1.csv.gz"], ALPACA).rows
    assert all("length_controlled_winrate" not in row for row in rows.values())
    rows = sum_up_stored("alpaca-eval", [ALPACA / "judgments_v2.csv.gz"], ALPACA).rows
    assert rows["wizardlm-13b"]["length_controlled_winrate"] == pytest.approx(9.828151, abs=5e-6)
    assert rows["wizardlm-13b"]["length_controlled_from"] == "stored weights"


def test_mt_bench_scores_are_those_of_fastchat():
    rows = sum_up_stored("mt-bench", [SINGLE], DATA / "mt_bench").rows
    assert sorted((row["score"] for row in rows.values()), reverse=True) == [
        7.3125, 7.121875, 7.034375, 6.58125, 6.3875, 6.36875,
    ]  # fmt: skip
    assert all((row["n"], row["unscored"]) == (160, 0) for row in rows.values())


@pytest.mark.parametrize("mode", ["best", "reference"])
def test_every_stored_mt_bench_score_is_what_we_read(mode):
    rows = read_rows(SINGLE)
    assert [read_rating(row.text("judgment"), mode) for row in rows] == [row.number("score") for row in rows]
    assert len(grades_of(rows, {})) == 960


@pytest.mark.parametrize("mode", ["best", "reference"])
def test_every_stored_mt_bench_verdict_is_what_we_read(mode):
    games = {"g1": {"A": "model_1", "B": "model_2", "C": "tie"}, "g2": {"A": "model_2", "B": "model_1", "C": "tie"}}
    for row in read_rows(PAIR):
        for game, names in games.items():
            said = read_verdict(row.text(f"{game}_judgment"), mode)
            assert row.text(f"{game}_winner") == ("error" if isinstance(said, Unread) else names[said])


def test_pairs_that_agree_count_and_others_are_ties():
    duels = [duel for duel in duels_of(read_rows(PAIR), {}) if duel.model == "phi-3"]
    assert Counter(duel.side for duel in duels) == {"tie": 35, "loss": 20, "win": 18, None: 2}
    row = sum_up_stored("mt-bench", [PAIR]).rows["phi-3"]
    assert row["win_rate"] == pytest.approx(100 * 18 / 73)
    assert row["score"] == pytest.approx(100 * (18 + 35 / 2) / 73)


@pytest.mark.parametrize(
    ("file", "theirs", "ours"),
    [("llama-13b", 513, 694), ("alpaca-13b", 583, 704), ("bard", 664, 655.5), ("gpt35", 693, 638)],
)
def test_vicunas_totals_are_those_published(file, theirs, ours):
    path = REVIEWS / f"review_{file}_vicuna-13b.jsonl"
    rows = sum_up_stored("vicuna", [path], DATA / "vicuna").rows
    row = rows["vicuna-13b"]
    assert (row["opponent_total"], row["total"], row["unscored"]) == (theirs, ours, 0)
    assert row["score"] == pytest.approx(100 * ours / theirs)
    if file == "gpt35":
        assert f"{row['score']:.1f}" == "92.1"
        assert row["against"] == "gpt-3.5-turbo"
        assert any(note.startswith("the longer answer wins") for note in row["notes"])


@pytest.mark.parametrize("path", sorted((DATA / "vicuna/review").glob("*/*.jsonl")), ids=lambda path: path.stem)
def test_a_first_line_parser_fails_on_three_math_reviews_and_ours_reads_them(path):
    rows = read_rows(path)
    failed = [row.text("question_id") for row in rows if isinstance(read_scores(row.text("text"), "reference"), Unread)]
    assert failed == ["68", "69", "70"]
    unlike = [row.text("question_id") for row in rows if read_scores(row.text("text")) != tuple(row.fields["score"])]
    # Two of Vicuna's were mended by hand to (10, 2) where the judge says (10, 4): the stored ones count, with a note.
    assert unlike == (["70"] if path.stem.split("_")[1] in ("bard", "llama-13b") else [])


def test_categories_by_id_are_those_of_the_files():
    for name in ("vicuna/question.jsonl", "mt_bench/question.jsonl"):
        groups = read_groups(DATA / name)
        assert len(groups) == 80
        assert all(known_category(question) == found["category"] for question, found in groups.items())


def charted():
    """Reviews in which each skill's ratio is the chart's, with so many items as the test set has."""
    groups = read_groups(DATA / "wizardlm/WizardLM_testset.jsonl")
    return [
        Review(question, "wizardlm-30b", "chatgpt", (WIZARDLM_30B_BY_SKILL[said["skill"]] / 20, 5.0), "chatgpt", said)
        for question, said in groups.items()
    ]


def test_the_test_set_has_its_skills_and_difficulties():
    groups = read_groups(DATA / "wizardlm")
    assert (len(groups), len({said["skill"] for said in groups.values()})) == (218, 29)
    assert sum(int(said["difficulty"]) >= 8 for said in groups.values()) == 63


def test_the_published_average_is_micro_and_not_the_mean_of_the_bars():
    """The chart's bars are rounded to whole per cents: 97.54 from them, where 97.8 was published."""
    score = summarise(charted(), benchmark="wizardlm")
    assert score.measure.value == pytest.approx(97.54, abs=5e-3)
    assert score.measure.value == pytest.approx(97.8, abs=0.5)
    assert score.also["macro average over skill"].value == pytest.approx(100.59, abs=5e-3)
    bars = {part.name: part.measure.value for part in score.parts if part.by == "skill"}
    assert {name: round(value) for name, value in bars.items()} == dict(WIZARDLM_30B_BY_SKILL)
    assert sum(value >= 99.5 for value in bars.values()) == 18
    assert sum(value > 90 for value in bars.values()) == 24
    bands = {part.name: part.n for part in score.parts if part.by == BAND}
    assert bands == {">= 8": 63, "< 8": 155}

"""Others' files of judgments: read strictly, written as they were, and refused with a reason."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolute.errors import InputError
from evolute.evaluate.judged.controlled import read_control
from evolute.evaluate.judged.groups import read_groups
from evolute.pipeline.stored import sum_up_stored, write_stored
from evolute.scores import Score


def graded(question=81, turn=1, score=8, **fields):
    return {
        "question_id": question,
        "model": "m",
        "judge": ["gpt-4", "single-v1"],
        "judgment": f"Rating: [[{score}]]",
        "score": score,
        "turn": turn,
        "tstamp": 1.5,
    } | fields


def paired(question=81, one="model_1", two="model_1", **fields):
    return {
        "question_id": question,
        "model_1": "m",
        "model_2": "o",
        "g1_winner": one,
        "g2_winner": two,
        "judge": ["gpt-4", "pair-v2"],
        "g1_judgment": "[[A]]",
        "g2_judgment": "[[B]]",
        "turn": 1,
    } | fields


def reviewed(question=1, scores=(8, 9), **fields):
    return {
        "review_id": "r",
        "question_id": question,
        "answer1_id": "a1",
        "answer2_id": "a2",
        "text": "{} {}\nBecause.".format(*scores),
        "score": list(scores),
        "reviewer_id": "gpt-4-generic",
        "metadata": {},
    } | fields


def annotated(number=0, preference=2.0, **fields):
    return {
        "instruction": f"Name {number + 2} birds.",
        "output_1": "A wren.",
        "generator_1": "gpt4",
        "dataset": "koala",
        "output_2": "A wren and a robin.",
        "generator_2": "m",
        "annotator": "judge",
        "preference": preference,
        "raw_completion": "m",
    } | fields


@pytest.fixture
def lines(tmp_path):
    def write(rows, name="judgments.jsonl"):
        path = tmp_path / name
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.fixture
def listed(tmp_path):
    def write(rows, name="annotations.json"):
        path = tmp_path / name
        path.write_text(json.dumps(rows))
        return path

    return write


@pytest.mark.parametrize("name", ["judgments.jsonl", "judgments.jsonl.gz"])
def test_single_judgments_are_read_and_written_again(lines, tmp_path, name):
    rows = [graded(question, turn, 2 * turn + 4) for question in (81, 111) for turn in (1, 2)]
    stored = sum_up_stored("mt-bench", [lines(rows, name)])
    row = stored.rows["m"]
    assert (row["score"], row["n"], row["unscored"]) == (7, 4, 0)
    assert row["categories"] == {"writing": 7, "math": 7}
    assert row["turns"] == {"1": 6, "2": 8}
    results, written = write_stored(stored, tmp_path / "out" / "here")
    assert Score.from_json(json.loads(results.read_text())["scores"]["m"]).measure.value == 7
    assert [json.loads(line) | {"tstamp": 1.5} for line in written.read_text().splitlines()] == rows
    assert sum_up_stored("mt-bench", [written]).rows["m"]["score"] == 7


def test_a_stored_failure_is_read_anew_and_else_unscored(lines):
    texts = ["Rating: 7/10", "I'd rather not say."]
    rows = [graded(81 + n) for n in range(20)] + [
        graded(101 + n, score=-1, judgment=text) for n, text in enumerate(texts)
    ]
    stored = sum_up_stored("mt-bench", [lines(rows)])
    assert (stored.rows["m"]["n"], stored.rows["m"]["unscored"]) == (21, 1)
    assert "rather not say" in next(item.why for item in stored.scores["m"].items if item.score is None)
    assert stored.rows["m"]["score"] == pytest.approx((20 * 8 + 7) / 21)


def test_what_another_model_is_judged_on_is_missed(lines):
    rows = [graded(81 + n, model=model) for model in ("m", "other") for n in range(20)]
    rows = [row for row in rows if (row["model"], row["question_id"]) not in {("m", 81), ("m", 82), ("m", 83)}]
    found = sum_up_stored("mt-bench", [lines(rows)]).rows
    assert (found["other"]["score"], found["other"]["unscored"]) == (8, 0)
    assert (found["m"]["score"], found["m"]["n"], found["m"]["unscored"]) == (None, 17, 3)


def test_questions_of_a_file_are_expected_and_unknown_ones_have_their_row(lines, tmp_path):
    questions = lines(
        [{"question_id": 81 + n, "category": "rhyme", "turns": ["?"]} for n in range(20)], "question.jsonl"
    )
    stored = sum_up_stored("mt-bench", [lines([graded(81 + n) for n in range(19)] + [graded(999)])], questions)
    assert (stored.rows["m"]["n"], stored.rows["m"]["unscored"]) == (20, 1)
    assert stored.rows["m"]["categories"] == {"rhyme": 8, "unknown": 8}


def test_the_order_of_rows_does_not_matter(lines):
    rows = [graded(81 + n, score=n % 7 + 1) for n in range(12)]
    one, other = (sum_up_stored("mt-bench", [lines(some)]).rows["m"] for some in (rows, rows[::-1]))
    assert {name: one[name] for name in ("score", "low", "high")} == pytest.approx(
        {name: other[name] for name in ("score", "low", "high")}
    )


def test_several_judges_are_told_apart_and_compared(lines):
    rows = [
        graded(81 + n, score=n % 3 + more, judge=[judge, "p"]) for judge, more in (("a", 5), ("b", 7)) for n in range(6)
    ]
    stored = sum_up_stored("mt-bench", [lines([*rows[:6], *rows[:5:-1]])])
    assert {name: row["score"] for name, row in stored.rows.items()} == {"m (a)": 6, "m (b)": 8}
    # 1 - (12 - 1) * 48 / 480: squared distances within questions and over all, each pair both ways.
    assert any(
        "agreement of 2 judges on points: Krippendorff's alpha -0.10" in note for note in stored.rows["m (a)"]["notes"]
    )
    assert stored.scores["m (a)"].also["mean score by b"].value == 8
    rows = [reviewed(n, (8, 9 - n % 2 * 2), reviewer_id=judge) for judge in ("a", "b") for n in range(1, 5)]
    notes = sum_up_stored("vicuna", [lines(rows, "review_x_y.jsonl")]).rows["x (a)"]["notes"]
    assert "a and b agree on 100.0 % of 4, Cohen's kappa +1.00" in notes


def test_pairwise_judgments_are_read_from_both_sides_and_written_again(lines, tmp_path):
    rows = [paired(81), paired(82, "model_2", "model_2"), paired(83, "model_1", "model_2"), paired(84, "tie", "tie")]
    stored = sum_up_stored("mt-bench", [lines(rows)])
    assert [(row["wins"], row["ties"], row["losses"]) for row in stored.rows.values()] == [(1, 2, 1), (1, 2, 1)]
    assert stored.rows["m"]["against"] == "o"
    written = write_stored(stored, tmp_path / "out")[1]
    assert [json.loads(line) for line in written.read_text().splitlines()] == rows


def test_an_error_that_can_be_read_is(lines):
    rows = [paired(81 + n) for n in range(20)]
    rows += [paired(101, "error", "error"), paired(102, "error", g1_judgment="Hard to say.")]
    row = sum_up_stored("mt-bench", [lines(rows)]).rows["m"]
    assert (row["wins"], row["n"], row["unscored"]) == (21, 21, 1)


def test_several_opponents_are_told_apart(lines):
    rows = [paired(81), paired(81, "model_2", "model_2", model_2="p")]
    found = sum_up_stored("mt-bench", [lines(rows)]).rows
    assert {name: row["win_rate"] for name, row in found.items()} == {"m v o": 100, "m v p": 0, "o": 0, "p": 100}


def test_reviews_are_named_by_their_file_and_written_again(lines, tmp_path):
    rows = [reviewed(n, (8, 9)) for n in range(1, 11)] + [reviewed(68, (-1, -1), text="Output: (10, 5)")]
    stored = sum_up_stored("vicuna", [lines(rows, "review_bard_vicuna-13b.jsonl")])
    assert stored.rows["bard"]["score"] == pytest.approx(100 * 90 / 95)
    assert (stored.rows["vicuna-13b"]["total"], stored.rows["vicuna-13b"]["opponent_total"]) == (95, 90)
    written = write_stored(stored, tmp_path / "out")[1]
    again = sum_up_stored("vicuna", [written])
    assert again.rows["bard"] == stored.rows["bard"] | {"notes": again.rows["bard"]["notes"]}
    with pytest.raises(InputError, match="which models"):
        sum_up_stored("vicuna", [lines([*rows, reviewed(2, answer1_id="b1")], "some.jsonl")])


def test_reviews_in_both_orders_are_one_result(lines):
    rows = [reviewed(1, (8, 6), answer1_id="m", answer2_id="o"), reviewed(1, (9, 5), answer1_id="o", answer2_id="m")]
    row = sum_up_stored("vicuna", [lines(rows)]).rows["m"]
    assert (row["n"], row["total"], row["opponent_total"]) == (1, 6.5, 7.5)


def test_reviewers_of_different_questions_are_one_judge_and_of_the_same_are_two(lines):
    coder = reviewed(2, (9, 7), reviewer_id="gpt-4-coding")
    row = sum_up_stored("vicuna", [lines([reviewed(1), coder], "review_a_b.jsonl")]).rows["a"]
    assert (row["n"], row["judge"]) == (2, "gpt-4-coding, gpt-4-generic")
    found = sum_up_stored("vicuna", [lines([reviewed(2), coder], "review_a_b.jsonl")]).rows
    assert {name: row["total"] for name, row in found.items()} == {
        "a (gpt-4-generic)": 8, "b (gpt-4-generic)": 9, "a (gpt-4-coding)": 9, "b (gpt-4-coding)": 7,
    }  # fmt: skip


def test_a_stored_score_off_the_scale_is_unscored(lines):
    rows = [reviewed(n) for n in range(1, 21)] + [reviewed(21, (85, 90))]
    stored = sum_up_stored("vicuna", [lines(rows, "review_a_b.jsonl")])
    assert (stored.rows["a"]["n"], stored.rows["a"]["unscored"]) == (20, 1)
    assert "85, outside" in stored.scores["a"].items[-1].why


def test_skills_and_difficulties_are_those_of_the_test_set(lines, tmp_path):
    questions = lines(
        [{"idx": n, "Skill": "Chess", "Difficulty": n, "Instruction": "?"} for n in range(1, 11)],
        "WizardLM_testset.jsonl",
    )
    stored = sum_up_stored("vicuna", [lines([reviewed(n) for n in range(1, 11)], "review_a_b.jsonl")], questions.parent)
    assert {(part.by, part.name, part.n) for part in stored.scores["a"].parts} >= {
        ("skill", "Chess", 10),
        ("difficulty", "3", 1),
        ("difficulty band", ">= 8", 3),
    }


def test_annotations_are_read_as_alpaca_eval_writes_them(listed, tmp_path):
    rows = [annotated(0), annotated(1, 1.0), annotated(2, 0), annotated(3, 1.25)] + [annotated(n) for n in range(4, 20)]
    stored = sum_up_stored("alpaca-eval", [listed([*rows, annotated(20, None, raw_completion="I cannot.")])])
    row = stored.rows["m"]
    assert (row["n_wins"], row["n_wins_base"], row["n_draws"], row["n_total"], row["unscored"]) == (17, 2, 1, 20, 1)
    assert row["win_rate"] == pytest.approx(100 * 17.75 / 20)
    assert (row["avg_length"], row["against"]) == (19, "gpt4")
    assert "I cannot." in stored.scores["m"].items[-1].why
    written = write_stored(stored, tmp_path / "out")[1]
    assert sum_up_stored("alpaca-eval", [written]).rows["m"] == row


def test_nan_is_no_preference(tmp_path):
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([annotated(n) for n in range(19)] + [annotated(19, float("nan"))]))
    assert "NaN" in path.read_text()
    assert sum_up_stored("alpaca-eval", [path]).rows["m"]["unscored"] == 1


def test_too_many_missing_preferences_leave_no_headline(listed):
    row = sum_up_stored("alpaca-eval", [listed([annotated(n, None if n < 2 else 2.0) for n in range(10)])]).rows["m"]
    assert (row["win_rate"], row["standard_error"], row["n_total"], row["unscored"]) == (None, None, 8, 2)
    assert any("No headline" in note for note in row["notes"])


CSV = "model,index,preference,len_output_1,len_output_2,switched,raw\n"


def test_the_compact_csv_is_read_with_its_lines_in_cells(tmp_path):
    path = tmp_path / "j.csv.gz"
    path.write_bytes(
        gzip.compress(
            (
                CSV + 'm,0,2.0,10,20,1,"[\n1]"\nm,1,,10,30,0,\n' + "".join(f"m,{n},1,5,5,0,\n" for n in range(2, 20))
            ).encode()
        )
    )
    row = sum_up_stored("alpaca-eval", [path]).rows["m"]
    assert (row["n_total"], row["unscored"], row["n_wins"]) == (19, 1, 1)


def test_blank_lines_and_long_cells_of_a_csv_are_no_obstacle(tmp_path):
    path = tmp_path / "j.csv"
    path.write_text(CSV + f"\nm,0,2.0,10,20,1,{'x' * 200_000}\n\nm,1,1,5,5,0,\n\n")
    assert sum_up_stored("alpaca-eval", [path]).rows["m"]["n_total"] == 2


def test_alpaca_eval_2s_csv_is_told_from_1s_even_where_a_model_only_draws(tmp_path):
    weighed = "".join(f"{model},{n},{said},5,5,0,\n" for model, said in (("m", 1.3), ("same", 1.5)) for n in range(20))
    ranked = "".join(f"m,{n},2,5,5,0,\n" for n in range(20))
    paths = [tmp_path / "v2.csv", tmp_path / "v1.csv"]
    for path, rows in zip(paths, (weighed, ranked), strict=True):
        path.write_text(CSV + rows)
    stored = sum_up_stored("alpaca-eval", paths)
    assert {name: (score.metric, stored.rows[name]["metric"]) for name, score in stored.scores.items()} == {
        "m (v2.csv)": ("weighted win rate",) * 2,
        "same (v2.csv)": ("weighted win rate",) * 2,
        "m (v1.csv)": ("win rate",) * 2,
    }
    assert stored.rows["m (v2.csv)"]["win_rate"] == pytest.approx(30)


def test_reviews_of_the_wizardlm_test_set_are_named_so(lines):
    stored = sum_up_stored("wizardlm", [lines([reviewed(n) for n in range(1, 11)], "review_a_b.jsonl")])
    assert {score.benchmark for score in stored.scores.values()} == {stored.benchmark} == {"wizardlm"}


@pytest.mark.parametrize(("benchmark", "kind"), [("mt-bench", "alpaca-eval"), ("vicuna", "mt-bench")])
def test_another_benchmarks_judgments_are_told_with_the_command_that_reads_them(benchmark, kind, lines):
    row = annotated() if kind == "alpaca-eval" else graded()
    with pytest.raises(InputError, match=f"evolute evaluate {kind} --judgments reads them"):
        sum_up_stored(benchmark, [lines([row], "review_a_b.jsonl")])


BAD = [
    ("mt-bench", [graded(), graded()], "line 2: question '81' is judged already, in .*line 1"),
    ("mt-bench", [graded(score="8")], "line 1: score: expected a number, got '8'"),
    ("mt-bench", [{"question_id": 81}], "line 1: turn: expected a whole number, got nothing"),
    ("mt-bench", [graded(turn=True)], "turn: expected a whole number, got True"),
    ("mt-bench", [graded(judgment=3)], "judgment: expected the judge's text, got 3"),
    ("mt-bench", [graded(judge=[3])], "judge: expected a name"),
    ("mt-bench", [graded(), paired()], "single and pairwise"),
    ("mt-bench", [paired(one="A")], "g1_winner: expected model_1, model_2, tie or error, got 'A'"),
    ("mt-bench", [paired(), paired(model_1="o", model_2="m")], "line 2: question '81' is judged already"),
    ("mt-bench", [paired(model_2="m")], "model_2: expected another model than model_1, got 'm'"),
    ("mt-bench", [[1]], "row 1: expected an object"),
    ("vicuna", [reviewed(), reviewed()], "line 2: question '1' is judged already"),
    ("vicuna", [reviewed(score=[8])], "score: expected two numbers"),
    ("vicuna", [reviewed(score=["8", 9])], "score: expected a number, got '8'"),
    ("alpaca-eval", [annotated(), annotated()], "row 2: 'm' on 'Name 2 birds.' is judged already, in .*row 1"),
    ("alpaca-eval", [annotated(preference=3)], "preference: expected a number from 1 to 2"),
    ("alpaca-eval", [annotated(preference="m")], "preference: expected a number, got 'm'"),
    ("alpaca-eval", [annotated(generator_2=None)], "generator_2: expected a text, got None"),
    ("alpaca-eval", [], "no row"),
]


@pytest.mark.parametrize(("benchmark", "rows", "said"), BAD)
def test_a_wrong_row_is_named_with_its_field_and_value(benchmark, rows, said, lines, listed):
    path = listed(rows) if benchmark == "alpaca-eval" else lines(rows, "review_a_b.jsonl")
    with pytest.raises(InputError, match=said) as error:
        sum_up_stored(benchmark, [path])
    assert path.name in str(error.value) or "single and pairwise" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CSV + "m,0,2,1,1,0,\nm,0,1,1,1,0,\n", "line 3: 'm' on '0' is judged already, in line 2"),
        (CSV + 'm,1,2,1,1,0,"[\n1]"\n\nm,0,9,1,1,0,\n', "line 5: a preference is from 1 to 2"),
        (CSV + "m,0,x,1,1,0,\n", "line 2: could not convert"),
        (CSV + "m,0,2,1\n", "line 2: 4 cells, where the header has 7"),
        (CSV, "no row"),
        ("a,b\n1,2\n", "expected columns model, index"),
        ("", "got nothing"),
    ],
)
def test_a_wrong_csv_is_refused(text, said, tmp_path):
    path = tmp_path / "j.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        sum_up_stored("alpaca-eval", [path])


def test_files_that_cannot_be_read_are_refused(tmp_path, lines):
    broken = tmp_path / "j.jsonl.gz"
    broken.write_bytes(gzip.compress(b"{}" * 500)[:-9])
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(b'{"a": "\xe9"}\n')
    torn = tmp_path / "torn.jsonl"
    torn.write_text('{"question_id": 81,\n')
    for path, said in (
        (broken, "cannot be read"),
        (latin, "not UTF-8"),
        (torn, "line 1: not JSON"),
        (tmp_path / "no", "No such"),
    ):
        with pytest.raises(InputError, match=said):
            sum_up_stored("mt-bench", [path])
    with pytest.raises(InputError, match="no judgments"):
        sum_up_stored("mt-bench", [])
    with pytest.raises(InputError, match="--data: there is no"):
        sum_up_stored("alpaca-eval", [lines([graded()])], tmp_path / "no")
    with pytest.raises(InputError, match="no file of questions"):
        sum_up_stored("mt-bench", [lines([graded()])], tmp_path)
    with pytest.raises(InputError, match="'81' comes twice"):
        read_groups(lines([{"question_id": 81, "category": "a"}] * 2, "question.jsonl"))


def test_official_gamed_rows_are_preferred_and_said_to_be(tmp_path):
    (tmp_path / "instruction_difficulty.csv").write_text(",instruction_difficulty\n0,0.5\n1,-0.5\n")
    assert read_control(tmp_path).gamed == ()
    (tmp_path / "df_gamed_reconstructed.csv").write_text("model,index,sdl,d,p\nverbose,0,-1,0.5,0.7\n")
    assert not read_control(tmp_path).official
    columns = "model,index,std_delta_len,instruction_difficulty,not_gamed_baseline,preference\n"
    (tmp_path / "df_gamed.csv").write_text(columns + "verbose,0,-1.5,0.5,False,0.8\n")
    control = read_control(tmp_path)
    assert (control.official, control.gamed[0].lead, control.difficulty) == (True, -1.5, {"0": 0.5, "1": -0.5})
    (tmp_path / "df_gamed.csv").write_text(columns + "verbose,0,x,0.5,False,0.8\n")
    with pytest.raises(InputError, match="expected a number, got 'x'"):
        read_control(tmp_path)
    (tmp_path / "df_gamed.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="std_delta_len"):
        read_control(tmp_path)


def control_files(folder, instructions):
    """Instructions of no difficulty, and gamed rows in which length alone decides."""
    (folder / "instruction_difficulty.csv").write_text(
        "index,instruction_difficulty\n" + "".join(f"{n},0.0\n" for n in range(instructions))
    )
    rows = "".join(f"verbose,{n},{-1 if n % 2 else 1},0.0,{0.8 if n % 2 else 0.2}\n" for n in range(instructions))
    (folder / "df_gamed_reconstructed.csv").write_text("model,index,sdl,d,p\n" + rows)
    (folder / "instructions.jsonl").write_text(
        "".join(json.dumps({"index": n, "instruction": f"Name {n + 2} birds."}) + "\n" for n in range(instructions))
    )


def test_a_model_that_wins_by_length_alone_wins_half_at_equal_length(listed, tmp_path):
    pytest.importorskip("sklearn")
    control_files(tmp_path, 200)
    rows = [
        annotated(n, 1.9 if n % 4 else 1.1, generator_1="gpt4_1106_preview")
        | {"output_1": "b" * 50, "output_2": "a" * (90 if n % 4 else 10)}
        for n in range(200)
    ]
    row = sum_up_stored("alpaca-eval", [listed(rows)], tmp_path).rows["m"]
    assert row["win_rate"] == pytest.approx(70)
    assert row["length_controlled_winrate"] == pytest.approx(50, abs=2)
    assert "approximate" in row["length_controlled_from"]
    other = [one | {"generator_1": "gpt4"} for one in rows]
    assert "length_controlled_winrate" not in sum_up_stored("alpaca-eval", [listed(other)], tmp_path).rows["m"]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), st.lists, max_leaves=3
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_value_in_any_field_is_read_or_refused(data, tmp_path):
    benchmark, row = data.draw(
        st.sampled_from(
            [("mt-bench", graded()), ("mt-bench", paired()), ("vicuna", reviewed()), ("alpaca-eval", annotated())]
        )
    )
    row = row | {data.draw(st.sampled_from(sorted(row))): data.draw(ANY)}
    path = tmp_path / "review_a_b.jsonl"
    path.write_text(json.dumps(row) + "\n")
    try:
        stored = sum_up_stored(benchmark, [path])
    except InputError as error:
        said = str(error)
    else:
        said = f"{path.name}: {len(stored.rows)} models"
    assert path.name in said
    assert ": 0 models" not in said


def test_a_number_without_end_is_refused(tmp_path):
    path = tmp_path / "annotations.json"
    path.write_text('[{"instruction": "a", "generator_2": "m", "preference": 1' + "0" * 400 + "}]")
    with pytest.raises(InputError, match="preference: expected a number"):
        sum_up_stored("alpaca-eval", [path])

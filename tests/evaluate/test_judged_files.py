"""Questions, answers and prompts of judged benchmarks, from files as others write them."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.errors import InputError
from evolute.evaluate.judged.answers import read_answers
from evolute.evaluate.judged.contests import first_token
from evolute.evaluate.judged.prompts import Prompt, find_prompt, mt_bench_prompt, shipped, vicuna_prompt
from evolute.evaluate.judged.questions import Question, load_questions
from evolute.records import Message

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
stored = pytest.mark.skipif(not (DATA / "mt_bench").is_dir(), reason="the shared data are not beside this checkout")
QUESTIONS = [Question(str(n), (f"Question {n}?",)) for n in (1, 2, 3)]
TALKS = [Question("81", ("Write.", "Again."), {"category": "writing"})]


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_quick_set_is_ours_and_needs_no_data():
    quick = load_questions("quick")
    assert len(quick.questions) == 20
    assert {tuple(question.groups) for question in quick.questions} == {("skill", "difficulty")}
    assert len(load_questions("quick", limit=3).questions) == 3


@stored
def test_the_published_files_of_questions_are_read_as_they_are():
    wizardlm = load_questions("wizardlm", DATA / "wizardlm")
    assert len(wizardlm.questions) == 218
    assert len({question.groups["skill"] for question in wizardlm.questions}) == 29
    assert sum(int(question.groups["difficulty"]) >= 8 for question in wizardlm.questions) == 63
    assert "Writting" in {question.groups["skill"] for question in wizardlm.questions}
    assert len(load_questions("vicuna", DATA).questions) == 80
    bench = load_questions("mt-bench", DATA)
    assert {len(question.turns) for question in bench.questions} == {2}
    assert sum(bool(question.references) for question in bench.questions) == 30
    assert len(load_questions("alpaca-eval", DATA).questions) == 805


def test_a_skill_unknown_to_us_keeps_its_name_and_a_missing_one_is_unknown(tmp_path):
    rows = {"idx": 1, "Skill": "Juggling", "Difficulty": 3, "Instruction": "a"}, {"idx": 2, "Instruction": "b"}
    path = lines(tmp_path / "WizardLM_testset.jsonl", *rows)
    groups = [question.groups for question in load_questions("wizardlm", path).questions]
    assert groups == [{"skill": "Juggling", "difficulty": "3"}, {"skill": "unknown", "difficulty": "unknown"}]


@pytest.mark.parametrize(
    ("benchmark", "rows", "complaint"),
    [
        ("wizardlm", [{"idx": 1, "Instruction": "a"}] * 2, "line 2: the id '1' is in .*line 1 already"),
        ("wizardlm", [{"idx": 1, "Skill": "Math"}], "line 1: Instruction: expected a text, got nothing"),
        ("mt-bench", [{"question_id": 1, "turns": ["one"]}], "turns: expected 2 turns"),
        ("mt-bench", [{"question_id": 101, "category": "math", "turns": ["a", "b"]}], "no reference answers to 1"),
        ("vicuna", [{"question_id": 1, "text": None}], "line 1: text: expected a text, got None"),
        ("alpaca-eval", [{"output": "x"}], "instruction: expected a text"),
    ],
)
def test_bad_questions_are_named_by_file_line_and_field(tmp_path, benchmark, rows, complaint):
    with pytest.raises(InputError, match=complaint):
        load_questions(benchmark, lines(tmp_path / "question.jsonl", *rows))


def test_a_folder_without_the_questions_says_what_is_wanted(tmp_path):
    with pytest.raises(InputError, match=r"none of WizardLM_testset.jsonl.*CC BY-NC"):
        load_questions("wizardlm", tmp_path)
    with pytest.raises(InputError, match="Give --data FILE or FOLDER"):
        load_questions("vicuna")


@pytest.mark.parametrize(
    "rows",
    [
        [{"question_id": n, "model_id": "m", "choices": [{"index": 0, "turns": [f"A{n}"]}]} for n in (3, 1, 2)],
        [{"question_id": n, "text": f"A{n}", "answer_id": "x", "model_id": "m"} for n in (2, 3, 1)],
        [{"instruction": f"Question {n}?", "output": f"A{n}", "generator": "m"} for n in (3, 2, 1)],
        [{"id": n, "instruction": f"Question {n}?", "response": f"A{n}", "model": "m"} for n in (1, 2, 3)],
        [{"id": 9, "messages": [{"role": "user", "content": f"Question {n}?"},
          {"role": "assistant", "content": f"A{n}"}], "model": "m"} for n in (1, 3, 2)],
        [{"id": n, "conversations": [{"from": "human", "value": f"Question {n}?"},
          {"from": "gpt", "value": f"A{n}"}], "model": "m"} for n in (1, 3, 2)],
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_every_shape_and_order_of_answers_is_matched(tmp_path, rows, packed):
    path = lines(tmp_path / "answers.jsonl", *rows)
    if packed:
        path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    found = read_answers(path, QUESTIONS)
    assert found.turns == {"1": ("A1",), "2": ("A2",), "3": ("A3",)}
    assert (found.name, found.missing, list(found.unknown)) == ("m", {}, [])


def test_the_text_decides_where_an_id_says_otherwise(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"id": 1, "instruction": "Question 2?", "output": "to the second"})
    found = read_answers(path, QUESTIONS)
    assert found.turns == {"2": ("to the second",)}
    assert set(found.missing) == {"1", "3"}


def test_a_wrapped_prompt_answers_the_question_that_its_id_names(tmp_path):
    wrapped = [{"id": n, "prompt": f"USER: Question {n}? ASSISTANT:", "output": f"A{n}"} for n in (2, 1)]
    other = {"id": 3, "prompt": "USER: What else? ASSISTANT:", "output": "A4"}
    found = read_answers(lines(tmp_path / "a.jsonl", *wrapped, other), QUESTIONS)
    assert found.turns == {"1": ("A1",), "2": ("A2",)}
    assert list(found.unknown) == ["3"]


def test_two_questions_of_one_text_are_told_apart_by_id_or_taken_in_turn(tmp_path):
    same = [Question("57", ("Same?",)), Question("64", ("Same?",))]
    rows = [{"question_id": n, "instruction": "Same?", "output": f"A{n}"} for n in (64, 57)]
    assert read_answers(lines(tmp_path / "a.jsonl", *rows), same).turns == {"57": ("A57",), "64": ("A64",)}
    rows = [{"instruction": "Same?", "output": f"A{n}"} for n in (57, 64)]
    assert read_answers(lines(tmp_path / "b.jsonl", *rows), same).turns == {"57": ("A57",), "64": ("A64",)}
    with pytest.raises(InputError, match=r"is answered in .* already"):
        read_answers(lines(tmp_path / "c.jsonl", *rows, rows[0]), same)
    mixed = [{"instruction": "Same?", "output": "A64"}, {"id": 57, "instruction": "Same?", "output": "A57"}]
    assert read_answers(lines(tmp_path / "d.jsonl", *mixed), same).turns == {"57": ("A57",), "64": ("A64",)}


@stored
def test_whole_answers_to_the_wizardlm_test_set_are_read(tmp_path):
    questions = load_questions("wizardlm", DATA / "wizardlm").questions
    rows = [{"question_id": one.id, "instruction": one.turns[0], "output": f"A{one.id}"} for one in questions]
    found = read_answers(lines(tmp_path / "a.jsonl", *rows), questions)
    assert (len(found.turns), found.missing) == (218, {})
    assert all(said == (f"A{question}",) for question, said in found.turns.items())


def test_missing_null_and_unknown_answers_are_told(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"question_id": 1, "text": None}, {"question_id": 7, "text": "?"},
                 {"question_id": 2, "text": ""})  # fmt: skip
    found = read_answers(path, QUESTIONS, "mine")
    assert found.missing == {"1": "its answer is null", "3": "the file has no answer to it"}
    assert list(found.unknown) == ["7"]
    assert found.turns["2"] == ("",)
    assert found.name == "mine"


def test_half_a_surrogate_pair_cannot_stop_the_judge(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"question_id": 1, "text": "bad \\ud800 \\ud83d\\ude00"}')
    assert read_answers(path, QUESTIONS).turns["1"] == ("bad \ufffd 😀",)


def test_a_dialogue_with_one_answer_lacks_its_second_turn(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"question_id": 81, "choices": [{"turns": ["one"]}]})
    found = read_answers(path, TALKS)
    assert found.missing == {"81": "the file has an answer to turn 1 of 2"}
    assert found.upto(TALKS[0], 1) == ("one",)
    assert found.upto(TALKS[0], 2) is None


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([{"question_id": 1, "text": "a"}, {"question_id": 1, "text": "b"}], r"line 2: question '1' .*line 1 already"),
        ([{"question_id": 1}], "line 1: no answer in it"),
        ([{"output": "a"}], "line 1: neither an id"),
        ([{"question_id": 1, "choices": []}], "choices: expected a list of choices"),
        ([{"question_id": 1, "choices": [{"turns": [None]}]}], "a list of texts as its turns"),
        ([{"id": 1, "messages": ["a"]}], "messages: expected turns with role and content"),
    ],
)
def test_wrong_files_of_answers_are_named_by_line(tmp_path, rows, complaint):
    with pytest.raises(InputError, match=complaint):
        read_answers(lines(tmp_path / "a.jsonl", *rows), QUESTIONS)


@stored
def test_fastchats_prompts_are_shipped_word_for_word():
    ours = shipped()
    for line in (DATA / "vicuna/prompt.jsonl").read_text().splitlines():
        row = json.loads(line)
        system, user = ours[f"vicuna-{row['category']}"].messages
        assert system.content == row["system_prompt"]
        assert user.content == row["prompt_template"].replace("{prompt}", row["defaults"]["prompt"])
    for line in (DATA / "mt_bench/judge_prompts.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert [message.content for message in ours[row["name"]].messages] == [
            row["system_prompt"], row["prompt_template"],
        ]  # fmt: skip


def test_the_prompt_follows_from_the_category():
    assert vicuna_prompt({"category": "coding"}) == "vicuna-coding"
    assert vicuna_prompt({"skill": "Math"}) == "vicuna-math"
    assert vicuna_prompt({"category": "fermi"}) == "vicuna-general"
    assert mt_bench_prompt(False, "math", 2) == "single-math-v1-multi-turn"
    assert mt_bench_prompt(True, "writing", 1) == "pair-v2"
    for paired in (True, False):
        for category in ("math", "writing"):
            for turn in (1, 2):
                prompt = shipped()[mt_bench_prompt(paired, category, turn)]
                assert prompt.needs_reference == (category == "math")


@given(st.text(), st.text())
def test_what_an_answer_holds_is_never_a_slot(one, two):
    prompt = Prompt("p", "scores", (Message("user", '{question}|{answer_1}|{output_2}|{"a": 1}'),), "")
    said = prompt.fill({"question": "{answer_1}", "answer_1": one, "answer_2": two})[0].content
    assert said == f'{{answer_1}}|{one}|{two}|{{"a": 1}}'


def test_a_prompt_of_ones_own_may_be_text_a_conversation_or_fastchats_row(tmp_path):
    text = tmp_path / "p.txt"
    text.write_text("{question} {answer_1} {answer_2}")
    assert [message.role for message in find_prompt(str(text), "scores").messages] == ["user"]
    text.write_text("<|im_start|>system\nJudge.\n<|im_end|>\n<|im_start|>user\n{instruction} {output_1} {output_2}\n"
                    "<|im_end|>")  # fmt: skip
    chat = find_prompt(str(text), "ranking")
    assert chat.messages[0] == Message("system", "Judge.")
    assert chat.fill({"question": "q", "answer_1": "a", "answer_2": "b"})[1].content == "q a b"
    row = lines(tmp_path / "p.jsonl",
               {"name": "mine", "system_prompt": "S", "prompt_template": "{question} {answer} {x}",
                "defaults": {"x": "y"}})  # fmt: skip
    assert find_prompt(str(row), "rating").messages[1].content == "{question} {answer} y"
    assert find_prompt(str(row), "rating").hash != find_prompt("single-v1", "rating").hash


def test_a_prompt_that_cannot_work_is_refused(tmp_path):
    text = tmp_path / "p.txt"
    text.write_text("{question} {answer_1}")
    with pytest.raises(InputError, match=r"no slot \{answer_2\}"):
        find_prompt(str(text), "scores")
    with pytest.raises(InputError, match="asks for rating, and scores are wanted here: vicuna-general"):
        find_prompt("single-v1", "scores")
    with pytest.raises(InputError, match="no judge prompt and no file 'nowhere'"):
        find_prompt("nowhere", "scores")


@given(
    st.recursive(st.none() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_log_probabilities_of_any_shape_are_read_or_left(said):
    assert first_token(json.dumps({"logprobs": said})) == {}


def test_log_probabilities_of_both_apis_are_read():
    chat = {"content": [{"token": "m", "logprob": -0.1, "top_logprobs": [{"token": "m", "logprob": -0.1}]}]}
    assert first_token(json.dumps({"logprobs": chat})) == {"m": -0.1}
    assert first_token(json.dumps({"logprobs": {"top_logprobs": [{"M": -2}]}})) == {"M": -2.0}

"""Judged evaluations on a real server: biased judges are found out, bad replies unscored, nothing is paid twice."""

import asyncio
import json
import re

import pytest

from evolute.errors import InputError
from evolute.evaluate.judged.controlled import REFERENCE
from evolute.evolve.budget import Limits
from evolute.models.loopback import Faults, LoopbackServer
from evolute.pipeline.judged import evaluate_judged
from evolute.pipeline.readings import readings_of
from evolute.recipe import ModelSpec, Price
from evolute.records import tagged_hash
from evolute.scores import Score

QUESTIONS = 40


def said_of(body):
    return body["messages"][-1]["content"]


def pair_of(body):
    """The two answers as a judge is shown them."""
    found = re.findall(r"Start of Assistant [12]'s Answer\]\n(.*?)\n\n\[The End", said_of(body), re.DOTALL)
    return (
        found
        if len(found) == 2
        else re.findall(r"Start of Assistant [AB]'s Answer\]\n(.*?)\n\[The", said_of(body), re.S)
    )


def answering(judge):
    """A server's rule: `us` and `them` answer, `us` the longer; anyone else judges as `judge` says."""

    def rule(body):
        if body["model"] in ("us", "them"):
            return f"{body['model']} {len(body['messages'])}: {said_of(body)}" + " indeed" * (body["model"] == "us")
        return judge(body)

    return rule


def fair(body):
    """Likes `us` better in every order."""
    return "8 6\nSo it is." if pair_of(body)[0].startswith("us") else "6 8\nSo it is."


def first(body):
    return "9 5"


def longer(body):
    one, two = map(len, pair_of(body))
    return f"{5 + 4 * (one > two)} {5 + 4 * (two > one)}"


def by_chance(body):
    return ("9 5", "5 9")[tagged_hash("test-1", said_of(body))[0] % 2]


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "questions.jsonl"
    rows = [
        {
            "idx": n,
            "Skill": ("Math", "Juggling")[n % 2],
            "Difficulty": 1 + n % 10,
            "Instruction": f"Say {n}" + "." * (n % 7),
        }
        for n in range(1, QUESTIONS + 1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Judging:
    """Evaluates on a server, in a folder."""

    def __init__(self, server, folder, data):
        self.server, self.folder, self.data = server, folder, data

    def spec(self, name, **fields):
        base = {"model": name, "base_url": self.server.base_url, "api_key_env": "", "retries": 0}
        return ModelSpec(**base | fields)

    async def __call__(self, benchmark="wizardlm", *, model="us", against="them", judge="judge", **options):
        opponent = self.spec(against) if against in ("us", "them") else against
        given = {
            "data": self.data,
            "against": opponent,
            "judge": [self.spec(name) for name in judge.split("+")],
            "out": self.folder,
        }
        asked = self.spec(model) if model else None
        return await asyncio.to_thread(lambda: evaluate_judged(benchmark, asked, **given | options))


@pytest.fixture
def judging(tmp_path, questions):
    return lambda server, folder="out": Judging(server, tmp_path / folder, questions)


async def test_a_fair_judge_gives_the_ratio_by_skill_and_band(judging):
    async with LoopbackServer(answering(fair)) as server:
        judged = await judging(server)()
    score = judged.score
    assert score.measure.value == pytest.approx(100 * 8 / 6)
    assert (score.outcome.wins, score.n, score.unscored) == (QUESTIONS, QUESTIONS, 0)
    assert {part.name for part in score.parts if part.by == "skill"} == {"Math", "Juggling"}
    assert {part.name for part in score.parts if part.by == "difficulty band"} == {"< 8", ">= 8"}
    assert any("100.0 % [91.2, 100.0] of 40 pairs judged alike in both orders" in note for note in score.notes)
    assert score.ran["judge_prompts"]["vicuna-math"]["hash"]
    assert score.ran["judge_sampling"] == {"temperature": 0.2, "max_tokens": 1024}
    assert Score.from_json(json.loads((judged.folder / "results.json").read_bytes())["score"]).measure == score.measure


@pytest.mark.parametrize(
    ("judge", "note"),
    [
        (first, r"the answer shown first wins 100.0 % .*more than chance"),
        (longer, r"the longer answer wins 100.0 % .*more than chance"),
        (by_chance, r"the answer shown first wins .* of \d\d decided questions .*as chance would"),
    ],
)
async def test_a_biased_judge_is_found_out(judging, judge, note):
    async with LoopbackServer(answering(judge)) as server:
        score = (await judging(server)()).score
    assert any(re.search(note, one) for one in score.notes), score.notes


@pytest.mark.parametrize(
    "reply",
    [
        "Both are fine answers, each in its own way.",
        "第一个回答更好,因为它更详细。",
        "Assistant 1: 8, Assistant 2: 6. On reflection, Assistant 1: 5, Assistant 2: 9.",
        "85 70\nOut of a hundred.",
        "I'm sorry, but I can't compare these.",
    ],
)
async def test_what_is_no_verdict_is_unscored_with_its_text_and_gives_no_headline(judging, reply):
    async with LoopbackServer(answering(lambda body: reply)) as server:
        score = (await judging(server)(settings={"limit": 4})).score
    assert score.measure.value is None
    assert (score.n, score.unscored) == (0, 4)
    assert all(reply in item.why for item in score.items)


async def test_nothing_is_paid_twice_and_a_new_judge_pays_for_its_verdicts_alone(judging, tmp_path):
    async with LoopbackServer(answering(fair)) as server:
        once = await judging(server)()
        assert server.requests == 4 * QUESTIONS
        again = await judging(server)()
        assert server.requests == 4 * QUESTIONS
        assert again.score == once.score
        await judging(server)(judge="other")
        assert server.requests == 6 * QUESTIONS
        text = tmp_path / "mine.txt"
        text.write_text("Compare.\n[The Start of Assistant 1's Answer]\n{answer_1}\n\n[The End]{question}\n"
                        "[The Start of Assistant 2's Answer]\n{answer_2}\n\n[The End]")  # fmt: skip
        other = await judging(server)(settings={"judge_prompt": str(text)})
        assert server.requests == 8 * QUESTIONS
        assert list(other.score.ran["judge_prompts"]) == ["mine.txt"]
        await judging(server)(settings={"judge_prompt": "", "order": "alternate"})
        assert server.requests == 8 * QUESTIONS  # one of the two orders that were judged already


async def test_a_bound_stops_it_and_a_higher_one_goes_on(judging):
    async with LoopbackServer(answering(fair)) as server:
        stopped = await judging(server)(limits=Limits(calls=QUESTIONS + 5))
        assert stopped.score is None
        assert stopped.stopped.startswith("--max-calls 45")
        assert server.requests == QUESTIONS + 5
        whole = await judging(server)()
        assert server.requests == 4 * QUESTIONS
        assert whole.score.unscored == 0
        assert whole.calls == 4 * QUESTIONS


async def test_calls_that_fail_are_asked_for_again_and_leave_no_number(judging):
    async with LoopbackServer(answering(fair), faults=Faults(error=0.2)) as server:
        broken = await judging(server)(settings={"limit": 8})
        assert broken.score is None
        assert "could not be had" in broken.stopped
    async with LoopbackServer(answering(fair)) as server:
        assert (await judging(server)(settings={"limit": 8})).score.unscored == 0


@pytest.mark.parametrize(
    ("order", "shown"),
    [
        ("model-first", lambda n: True),
        ("opponent-first", lambda n: False),
        ("alternate", lambda n: n % 2 == 1),
    ],
)
async def test_the_order_is_as_it_was_asked_for(judging, order, shown):
    async with LoopbackServer(answering(fair)) as server:
        judged = await judging(server)(settings={"order": order})
        assert server.requests == 3 * QUESTIONS
    rows = [json.loads(line) for line in (judged.folder / "judgments.jsonl").read_text().splitlines()]
    assert {row["question_id"]: row["answer1_id"] == "us" for row in rows} == {
        n: shown(n) for n in range(1, QUESTIONS + 1)
    }
    assert judged.score.outcome.wins == QUESTIONS


async def test_stored_answers_are_judged_and_what_is_missing_is_unscored(judging, tmp_path):
    path = tmp_path / "answers.jsonl"
    rows = [{"question_id": n, "text": f"us of old {n}"} for n in range(QUESTIONS, 1, -1)] + [
        {"question_id": 99, "text": "?"}
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = []
    async with LoopbackServer(answering(fair)) as server:
        judged = await judging(server)(model="", answers=path, say=told.append)
    assert (judged.score.model, judged.score.unscored) == ("answers", 1)
    assert judged.score.items[0].why.startswith("no answer of answers: the file has no answer to it")
    assert any("1 answers to no question" in remark and "'99'" in remark for remark in told)


async def test_an_empty_answer_is_judged_live_as_in_a_file(judging, tmp_path):
    def rule(body):
        return "" if body["model"] == "us" and said_of(body) == "Say 1." else answering(fair)(body)

    async with LoopbackServer(rule) as server:
        live = await judging(server)(settings={"limit": 2})
        file = await judging(server, "file")(model="", answers=live.folder / "answers.jsonl", settings={"limit": 2})
    assert [(one.score.n, one.score.unscored) for one in (live, file)] == [(2, 0), (2, 0)]
    assert live.score.items == file.score.items
    assert "1 answers of us are empty, and judged as such" in live.score.notes


async def test_an_opponent_that_says_the_same_is_remarked(judging):
    told = []
    async with LoopbackServer(answering(first)) as server:
        score = (await judging(server)(against="us", settings={"limit": 2}, say=told.append)).score
    assert any("every answer of us (opponent) is the same as us's" in note for note in score.notes)
    assert any("every answer of us (opponent)" in remark for remark in told)


async def test_a_judge_without_address_is_told_its_own_flag(judging):
    async with LoopbackServer(answering(fair)) as server:
        run = judging(server)
        with pytest.raises(InputError, match=r"where is the model 'gpt-4'[?] Give --judge-base-url URL, --judge-api"):
            await run(judge="us", settings={"judges": [{"model": "gpt-4"}]})
        with pytest.raises(InputError, match=r"where is the model 'them'[?] Give --against-base-url URL$"):
            await run(against=ModelSpec(model="them"))


async def test_several_judges_are_told_apart_with_their_agreement(judging):
    def judge(body):
        return fair(body) if body["model"] == "one" else first(body)

    async with LoopbackServer(answering(judge)) as server:
        judged = await judging(server)(judge="one+two")
    assert (judged.score.judge, [other.judge for other in judged.others]) == ("one", ["two"])
    assert judged.score.also["ratio of summed scores by two"].value == pytest.approx(100)
    assert any("one and two agree on 0.0 % of 40" in note for note in judged.score.notes)
    assert any("Krippendorff's alpha" in note for note in judged.score.notes)


@pytest.fixture
def bench(tmp_path):
    path = tmp_path / "question.jsonl"
    kinds = ("writing", "math", "stem", "juggling")
    rows = [{"question_id": 81 + n, "category": kind, "turns": [f"Do {n}.", "Again."]} for n, kind in enumerate(kinds)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "reference_answer").mkdir()
    reference = {"question_id": 82, "choices": [{"turns": ["The first.", "The second."]}]}
    (tmp_path / "reference_answer/gpt-4.jsonl").write_text(json.dumps(reference))
    return path


async def test_mt_bench_asks_two_turns_at_the_categorys_temperature_and_shows_references(judging, bench):
    seen, temperatures = [], {}

    def judge(body):
        seen.append(json.dumps(body["messages"]))
        return "Well. Rating: [[7]]" if "Again." in seen[-1] else "Rating: [[9]]"

    def rule(body):
        if body["model"] == "us":
            temperatures[body["messages"][0]["content"]] = body["temperature"]
        return answering(judge)(body)

    async with LoopbackServer(rule) as server:
        score = (await judging(server)("mt-bench", against=None, data=bench)).score
    assert temperatures == {"Do 0.": 0.7, "Do 1.": 0.0, "Do 2.": 0.1, "Do 3.": 0.7}
    assert score.measure.value == 8
    assert {part.name: part.measure.value for part in score.parts if part.by == "turn"} == {"1": 9, "2": 7}
    assert sum("The first." in text for text in seen) == 2
    assert (
        sum("us 3: Again." in text for text in seen) == 4
    )  # the model saw its own first answer before the second turn
    assert set(score.ran["judge_prompts"]) == {
        "single-v1", "single-v1-multi-turn", "single-math-v1", "single-math-v1-multi-turn",
    }  # fmt: skip


async def test_a_second_turn_is_read_with_both_questions(judging, bench):
    def judge(body):
        return "Rating: [[9]]" if "Again." in json.dumps(body["messages"]) else "Rating: [[3]]"

    async with LoopbackServer(answering(judge)) as server:
        judged = await judging(server)("mt-bench", against=None, data=bench)
    readings = {reading.id: reading for reading in readings_of(judged.folder, judged.score)}
    first, second = readings["81:1"], readings["81:2"]
    assert (first.question, first.answer, first.score) == ("Do 0.", "us 1: Do 0. indeed", -2.5)
    assert (second.question, second.answer, second.score) == ("Do 0.\n\nAgain.", "us 3: Again. indeed", 3.5)
    assert second.judged == ["Rating: [[9]]"]


async def test_live_judgments_against_alpaca_eval_2s_reference_are_length_controlled(judging, instructions, tmp_path):
    pytest.importorskip("sklearn")
    theirs = tmp_path / "theirs.jsonl"
    rows = [{"instruction": f"Say {n}", "output": "x" * (1 + n % 7), "generator": REFERENCE} for n in range(30)]
    theirs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    difficulty = "".join(f"{n},0.0\n" for n in range(30))
    (tmp_path / "instruction_difficulty.csv").write_text("index,instruction_difficulty\n" + difficulty)
    gamed = "".join(f"verbose,{n},{-1 if n % 2 else 1},0.0,{0.8 if n % 2 else 0.2}\n" for n in range(30))
    (tmp_path / "df_gamed_reconstructed.csv").write_text("model,index,sdl,d,p\n" + gamed)
    async with LoopbackServer(answering(rank)) as server:
        score = (await judging(server)("alpaca-eval", against=theirs, data=instructions)).score
    assert score.measure.value == 100
    assert 50 < score.also["length-controlled win rate"].value <= 100
    assert any("approximate" in note for note in score.notes)


async def test_mt_bench_in_pairs_ties_on_disagreement_and_on_the_same_answers(judging, bench):
    async with LoopbackServer(answering(lambda body: "[[A]]")) as server:
        score = (await judging(server)("mt-bench", data=bench)).score
        assert (score.outcome.ties, score.measure.value) == (8, 50)
        asked = server.requests
        folder = judging(server).folder
        same = await judging(server, "same")(
            "mt-bench", model="", answers=folder / "answers.jsonl", against=folder / "answers.jsonl", data=bench
        )
        assert server.requests == asked
        assert same.score.outcome.ties == 8


@pytest.fixture
def instructions(tmp_path):
    path = tmp_path / "instructions.jsonl"
    path.write_text("".join(json.dumps({"instruction": f"Say {n}"}) + "\n" for n in range(30)))
    return path


def rank(body):
    """Likes `us` better, wherever it stands."""
    ours_first = "us 1" in said_of(body).partition('model="model_2"')[0]
    ranks = (1, 2) if ours_first else (2, 1)
    return f"[{{'model': 'model_1', 'rank': {ranks[0]}}}, {{'model': 'model_2', 'rank': {ranks[1]}}}]"


async def test_alpaca_eval_ranks_in_the_seeded_order(judging, instructions):
    async with LoopbackServer(answering(rank)) as server:
        judged = await judging(server)("alpaca-eval", data=instructions)
        assert server.requests == 90
        assert (judged.score.measure.value, judged.score.outcome.wins) == (100, 30)
        assert judged.score.metric == "win rate"
        both = await judging(server)("alpaca-eval", data=instructions, settings={"order": "both"})
        assert server.requests == 120
        assert any("of 30 pairs judged alike in both orders" in note for note in both.score.notes)
    rows = json.loads((judged.folder / "annotations.json").read_bytes())
    assert {row["preference"] for row in rows} == {2}


async def test_alpaca_eval_2_reads_the_first_tokens_probabilities(judging, instructions):
    def judge(body):
        assert (body["max_tokens"], body["top_logprobs"]) == (1, 5)
        ours_first = "us 1" in said_of(body).partition('of="M"')[0]
        tops = [
            {"token": "m", "logprob": -0.1 if ours_first else -2.4},
            {"token": "M", "logprob": -2.4 if ours_first else -0.1},
        ]
        choice = {"message": {"content": "m"}, "finish_reason": "length",
                  "logprobs": {"content": [{"token": "m", "logprob": -0.1, "top_logprobs": tops}]}}  # fmt: skip
        return {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}

    async with LoopbackServer(answering(judge)) as server:
        score = (await judging(server)("alpaca-eval", data=instructions, settings={"annotator": 2})).score
    assert (score.n, score.metric) == (30, "weighted win rate")
    assert score.measure.value == pytest.approx(100 / (1 + 10 ** ((-2.4 + 0.1) / 2.302585092994046)))


async def test_an_endpoint_without_log_probabilities_leaves_all_unscored(judging, instructions):
    def judge(body):
        return {"choices": [{"message": {"content": "m"}, "finish_reason": "length"}], "usage": {}}

    async with LoopbackServer(answering(judge)) as server:
        score = (await judging(server)("alpaca-eval", data=instructions, settings={"annotator": 2, "limit": 3})).score
    assert score.unscored == 3
    assert all("no log-probabilities" in item.why for item in score.items)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"against": None}, "give --against MODEL or --against FILE"),
        ({"model": ""}, "who is scored"),
        ({"out": None}, "give --out FOLDER"),
        ({"limits": Limits(cost=1)}, "--max-cost needs a price"),
        ({"settings": {"judge_prompt": "single-v1"}}, "asks for rating, and scores are wanted"),
        ({"settings": {"order": "backwards"}}, "order: "),
        ({"settings": {"format": "shouting"}}, "no prompt format 'shouting'"),
        ({"settings": {"format": "vicuna-v1.1"}}, "give --api completions, or no --format"),
        ({"against": "baseline"}, "wizardlm has none"),
    ],
)
async def test_what_is_wrong_is_said_before_anything_is_paid_for(judging, options, complaint):
    async with LoopbackServer(answering(fair)) as server:
        with pytest.raises(InputError, match=complaint):
            await judging(server)(**options)
        assert server.requests == 0


async def test_a_folder_is_of_one_benchmark_and_one_model(judging):
    async with LoopbackServer(answering(fair)) as server:
        await judging(server)(settings={"limit": 2})
        with pytest.raises(InputError, match=r"holds another evaluation.*'us', not 'them'"):
            await judging(server)(model="them", settings={"limit": 2})


async def test_a_prompt_format_is_how_model_and_opponent_are_asked_and_not_the_judge(judging):
    prompts = {"us": set(), "them": set(), "judge": set()}

    def rule(body):
        if body["model"] != "judge":
            prompts[body["model"]].add(body["prompt"])
            return f"{body['model']} answers"
        prompts["judge"].add(body["messages"][0]["content"])
        return "8 8"

    async with LoopbackServer(rule) as server:
        run = judging(server)
        specs = [run.spec(name, api="completions") for name in ("us", "them")]
        settings = {"limit": 2, "format": "vicuna-v1.1"}
        judged = await asyncio.to_thread(
            lambda: evaluate_judged(
                "wizardlm", specs[0], against=specs[1], judge=run.spec("judge"), data=run.data, out=run.folder,
                settings=settings,
            )
        )  # fmt: skip
    assert judged.score.n == 2
    assert all(text.endswith("ASSISTANT:") for name in ("us", "them") for text in prompts[name])
    assert len(prompts["judge"]) == 1


async def test_costs_are_summed_over_all_three_roles(judging):
    async with LoopbackServer(answering(fair)) as server:
        run = judging(server)
        price = Price(input=1e6, output=0)
        specs = [run.spec(name, price=price) for name in ("us", "them", "judge")]
        judged = await asyncio.to_thread(
            lambda: evaluate_judged(
                "wizardlm",
                specs[0],
                against=specs[1],
                judge=specs[2],
                data=run.data,
                out=run.folder,
                settings={"limit": 3},
            )
        )
    assert judged.cost is not None
    assert judged.cost > 12
    assert judged.score.cost == judged.cost

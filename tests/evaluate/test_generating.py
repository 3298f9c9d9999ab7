"""Asking a model for solutions: prompts, what an evaluation's folder holds, and that nothing is paid for twice."""

import asyncio
import json
from pathlib import Path

import orjson
import pytest
import yaml
from asking import BODIES, solved, write_problems
from hypothesis import given
from hypothesis import strategies as st

from evolute.errors import InputError
from evolute.evaluate.code.extraction import RULES
from evolute.evaluate.code.finding import load_problems
from evolute.evaluate.code.problems import Problem
from evolute.evaluate.code.prompts import PROMPTS, find_prompt
from evolute.evolve.budget import Limits
from evolute.models.loopback import Faults, LoopbackServer
from evolute.pipeline.evaluating import UNSAFE, evaluate_code
from evolute.pipeline.generating import Sampling
from evolute.recipe import ModelSpec

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
stored = pytest.mark.skipif(not (DATA / "humaneval").is_dir(), reason="the shared data are not beside this checkout")


def mbpp_problem(number=11, examples=("assert f(1) == 2", "assert f(2) == 3")):
    return Problem(f"Mbpp/{number}", "", "f", "def f(x, y): \r\n    return 1", text="Do it.", examples=tuple(examples))


@stored
def test_wizardcoder_is_asked_as_it_was():
    """Its stored answers repeat their prompts, but for the spaces that its tokenizer's decoder has eaten."""
    problems = {problem.id: problem for problem in load_problems("humaneval", DATA).problems}
    prompt = PROMPTS["wizardcoder"]
    for line in (DATA / "humaneval/samples/wizardcoder-15b-v1.0_T0.0_N1.jsonl").read_text().splitlines():
        row = json.loads(line)
        asked = "".join(prompt.ask(problems[row["task_id"]]).split())
        assert "".join(row["all_code"].split()).startswith(asked), row["task_id"]


def test_wizardcoders_script_has_a_blank_line_more_and_tabs():
    problem = Problem("HumanEval/0", 'def f(x):\n    """Do it."""\n', "f", "    return x\n")
    script, trained = PROMPTS["wizardcoder-script"], PROMPTS["wizardcoder"]
    assert script.ask(problem) == trained.ask(problem).replace("    ", "\t").replace("\n\n###", "\n\n\n###", 1)
    assert script.take(problem, "def f(x):\n\treturn x", "best") == "def f(x):\n    return x"
    assert "\n\n### Instruction" in script.ask(mbpp_problem())
    assert "\n\n\n### Instruction" not in script.ask(mbpp_problem())


def test_mbpp_is_stated_with_its_tests_unless_they_are_too_long():
    asked = PROMPTS["wizardcoder"].ask(mbpp_problem())
    assert "problem:\n\nDo it.\nTest examples:\nassert f(1) == 2\nassert f(2) == 3\n\n### Response:" in asked
    assert "Test examples:\nf(x, y)\n\n###" in PROMPTS["wizardcoder"].ask(mbpp_problem(examples=["#" * 4000]))
    assert PROMPTS["completion"].ask(mbpp_problem()) == '"""\nDo it.\nassert f(1) == 2\n"""\n'
    assert "```python\nassert f(1) == 2\nassert f(2) == 3\n```" in PROMPTS["chat"].ask(mbpp_problem())


def test_a_completion_is_cut_where_the_function_is_over():
    problem = Problem("HumanEval/0", 'def f(x):\n    """Do it."""\n', "f", "    return x\n")
    prompt = PROMPTS["completion"]
    assert prompt.ask(problem) == 'def f(x):\n    """Do it."""'
    assert prompt.take(problem, "\n    return x\n\nprint(f(1))\ndef g():", "completion") == "\n    return x\n"
    assert prompt.take(problem, "```python\ndef f(x):\n    return x\n```", "best").endswith("```")
    assert len(prompt.sent_stops(problem)) == 4


def test_the_few_shot_prompt_shows_solved_tasks(tmp_path):
    shots = [mbpp_problem(number) for number in (2, 3, 4)]
    asked = PROMPTS["three-shot"].ask(mbpp_problem(), shots)
    assert asked.count("[BEGIN]") == 4
    assert asked.count("[DONE]") == 3
    assert "\r" not in asked
    assert asked.endswith("assert f(2) == 3\n[BEGIN]\n")
    assert PROMPTS["three-shot"].take(mbpp_problem(), "def f(x): ...\n[DONE]\nmore", "completion") == "def f(x): ...\n"
    with pytest.raises(InputError, match="only, not for humaneval"):
        find_prompt("three-shot", "humaneval")
    with pytest.raises(InputError, match="no prompt 'shout': there are chat, completion"):
        find_prompt("shout", "mbpp")


def test_the_page_names_every_prompt_and_extraction():
    page = (Path(__file__).resolve().parents[2] / "docs" / "evaluate-code.md").read_text()
    assert [name for name in (*PROMPTS, *RULES) if f"| `{name}` |" not in page] == []


@given(st.integers(0, 2**31), st.text(max_size=9), st.integers(0, 500), st.integers(0, 500))
def test_each_answer_has_a_draw_of_its_own(seed, problem, one, other):
    sampling = Sampling({"temperature": 0.2}, seed)
    assert 0 <= sampling.draw(problem, one) < 2**63
    assert (sampling.draw(problem, one) == sampling.draw(problem, other)) == (one == other)
    assert Sampling({"temperature": 0}, seed).draw(problem, 0) == 0


class Evaluating:
    """Evaluates our benchmark on a server, in a folder."""

    def __init__(self, folder):
        self.data = write_problems(folder)
        self.out = folder / "evaluation"
        self.said = []

    async def __call__(self, server, limits=None, api="chat", **settings):
        url = server if isinstance(server, str) else server.base_url
        fields = {f"model.{name}": value for name, value in {"base_url": url, "model": "m", "api": api}.items()}
        return await asyncio.to_thread(
            evaluate_code, "humaneval", data=self.data, out=self.out, settings=fields | settings,
            limits=limits, workers=1, say=self.said.append,
        )  # fmt: skip


@pytest.fixture
def evaluating(tmp_path, sandbox):
    return Evaluating(tmp_path)


async def test_a_model_is_asked_scored_and_never_asked_again(evaluating):
    async with LoopbackServer(solved) as server:
        evaluated = await evaluating(server)
        assert server.requests == 4
        assert server.last_body["temperature"] == 0
    results = evaluated.results
    assert (results.passed, results.total) == (3, 4)
    assert [result.verdict.passed for result in results.results] == [True, False, True, True]
    assert orjson.loads((evaluating.out / "results.json").read_bytes())["passed"] == 3
    again = await evaluating(server)  # nobody listens there any more
    assert all(result.recalled for result in again.results.results)
    assert (again.results.passed, again.calls) == (3, 4)


async def test_what_it_writes_scores_the_same_as_a_file(evaluating, tmp_path):
    async with LoopbackServer(solved) as server:
        await evaluating(server)
    rows = [json.loads(line) for line in (evaluating.out / "samples.jsonl").read_text().splitlines()]
    assert [row["task_id"] for row in rows] == [f"HumanEval/{number}" for number in range(4)]
    only_completions = tmp_path / "completions.jsonl"
    only_completions.write_text(
        "".join(json.dumps({"task_id": row["task_id"], "completion": row["completion"]}) + "\n" for row in rows)
    )
    for file in (evaluating.out / "samples.jsonl", only_completions):
        scored = await asyncio.to_thread(evaluate_code, "humaneval", file, data=evaluating.data, workers=1)
        assert [result.verdict.passed for result in scored.results.results] == [True, False, True, True]
        assert scored.folder is None


async def test_results_are_written_as_others_write_them(evaluating):
    async with LoopbackServer(solved) as server:
        await evaluating(server)
    rows = [json.loads(line) for line in (evaluating.out / "samples.jsonl_results.jsonl").read_text().splitlines()]
    assert [row["passed"] for row in rows] == [True, False, True, True]
    assert rows[0]["result"] == "passed"
    assert rows[1]["result"].startswith("failed: ")


async def test_what_was_run_is_not_run_again(evaluating):
    async with LoopbackServer(solved) as server:
        await evaluating(server, limit=2)
        more = await evaluating(server, limit=4)
    assert [result.recalled for result in more.results.results] == [True, True, False, False]


async def test_a_canonical_solution_that_fails_is_named_each_time(evaluating):
    rows = [json.loads(line) for line in evaluating.data.read_text().splitlines()]
    rows[0]["canonical_solution"] = "    return 'wrong'\n"
    evaluating.data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    async with LoopbackServer(solved) as server:
        for _ in range(2):
            results = (await evaluating(server)).results
            assert [reference.task for reference in results.failed_references] == ["HumanEval/0"]
            assert any("do not trust" in note for note in results.notes())
    assert [result.recalled for result in results.results] == [False, True, True, True]


async def test_inside_a_running_loop(evaluating, tmp_path):
    """As a notebook calls it."""
    samples = tmp_path / "samples.jsonl"
    samples.write_text(json.dumps({"task_id": 1, "solution": "def double(number):\n    return number + number\n"}))
    assert evaluate_code("humaneval", samples, data=evaluating.data, workers=1).results.passed == 1


async def test_more_answers_cost_only_the_new_ones(evaluating):
    async with LoopbackServer(solved) as server:
        first = await evaluating(server, n=2)
        assert server.requests == 8
        assert (server.last_body["temperature"], server.last_body["top_p"]) == (0.2, 0.95)
        more = await evaluating(server, n=5, k=[1, 5])
        assert server.requests == 20
        assert len(server.prompts) == 20, "a draw came twice"
    kept = [result.program for result in more.results.results if result.number < 2]
    assert kept == [result.program for result in first.results.results]
    assert [one.k for one in more.results.estimates()] == [1, 5]


async def test_other_parameters_want_another_folder(evaluating):
    async with LoopbackServer(solved) as server:
        await evaluating(server, limit=1)
        with pytest.raises(InputError, match=r"temperature 0\.0, not 0\.7\): give another --out"):
            await evaluating(server, temperature=0.7)
        with pytest.raises(InputError, match=r"model\.model 'm', not 'other'"):
            await evaluating(server, **{"model.model": "other"})
        assert server.requests == 1
        await evaluating(server, limit=2, extract="solution", **{"model.retries": 1})
        assert server.requests == 2
    assert yaml.safe_load((evaluating.out / "evaluation.yaml").read_text())["limit"] == 2


async def test_a_bound_stops_it_unscored_and_a_higher_one_goes_on(evaluating):
    async with LoopbackServer(solved) as server:
        stopped = await evaluating(server, Limits(calls=2), **{"model.concurrency": 1})
        assert (stopped.results, stopped.stopped, stopped.calls) == (None, "--max-calls 2 is reached", 2)
        assert not (evaluating.out / "results.json").exists()
        done = await evaluating(server, Limits(calls=9), **{"model.concurrency": 1})
        assert server.requests == 4
    assert done.results.passed == 3


async def test_plain_completions_go_on_from_the_prompt(evaluating):
    async with LoopbackServer(solved) as server:
        evaluated = await evaluating(server, api="completions")
        assert server.last_body["prompt"].startswith("def shout")
        assert server.last_body["stop"] == ["\ndef", "\nclass", "\nif", "\nprint"]
    assert evaluated.evaluation.prompt == "completion"
    assert evaluated.results.passed == 3
    assert all("other" not in result.program for result in evaluated.results.results)


async def test_anthropics_api(evaluating, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "k")
    async with LoopbackServer(solved) as server:
        evaluated = await evaluating(server, api="anthropic", limit=1, **{"model.api_key_env": "SOME_API_KEY"})
        assert server.last_body["max_tokens"] == 1024
        assert "stop" not in server.last_body
    assert evaluated.results.passed == 1


async def test_answers_without_text_fail_and_are_counted(evaluating):
    async with LoopbackServer(solved, faults=Faults(empty=1.0)) as server:
        evaluated = await evaluating(server)
    assert evaluated.answers.failed == {"empty": 4}
    assert (evaluated.results.passed, evaluated.results.total) == (0, 4)


async def test_a_cut_off_answer_is_scored_as_it_is(evaluating):
    async with LoopbackServer(solved, faults=Faults(length=1.0)) as server:
        evaluated = await evaluating(server)
    assert evaluated.answers.failed == {"truncated": 4}
    assert all(result.program for result in evaluated.results.results)


async def test_answers_that_could_not_be_had_are_asked_for_again(evaluating):
    """One request fails whatever is tried: nothing is scored as if all answers were there."""
    broken = True

    def rule(body):
        failing = broken and "shout" in body["messages"][-1]["content"]
        return {"no": "choices"} if failing else solved(body)

    async with LoopbackServer(rule) as server:
        stopped = await evaluating(server, **{"model.retries": 0})
        assert stopped.results is None
        assert stopped.stopped.startswith("1 of 4 answers could not be had (")
        broken = False
        done = await evaluating(server, **{"model.retries": 0})
        assert server.requests == 5
    assert done.results.passed == 3


async def test_a_prompt_inside_a_chat_template_is_remarked_on(evaluating):
    async with LoopbackServer(solved) as server:
        await evaluating(server, limit=1, prompt="wizardcoder")
    assert evaluating.said[1:] == [
        "the prompt wizardcoder is sent inside the endpoint's chat template: --api completions sends it as it is"
    ]


async def test_a_system_prompt_is_sent(evaluating):
    async with LoopbackServer(solved) as server:
        await evaluating(server, limit=1, system="Be brief.")
        assert server.last_body["messages"][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "nothing to score"),
        ({"model.model": "m"}, "where is the model 'm'"),
        ({"model.base_url": "http://127.0.0.1:1/v1"}, "an endpoint needs a model"),
        ({"samples": "a", "model.base_url": "http://127.0.0.1:1/v1", "model.model": "m"}, "give one of them"),
        ({"samples": "a", "prompt": "chat"}, "prompt: says how a model is asked"),
        ({"samples": "a", "n": 0}, "n: Input should be greater than or equal to 1, got 0"),
        ({"samples": "a", "extract": "magic"}, "no extraction 'magic'; there are best"),
        ({"samples": "a", "k": [0]}, "k must be"),
        ({"samples": "a", "colour": "red"}, "colour: there is no such field"),
        ({"model.api": "scripted", "n": 3, "temperature": 0}, "n is 3 at temperature 0"),
        ({"model.api": "scripted", "k": [10]}, "pass@10 needs at least 10 answers"),
        ({"model.api": "scripted", "prompt": "three-shot"}, "made for mbpp only"),
        ({"model.api": "scripted", "model.headers": {"X-API-Key": "sk-hush"}}, "holds a secret"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_asked(tmp_path, settings, message):
    with pytest.raises(InputError) as caught:
        evaluate_code("humaneval", data=write_problems(tmp_path), out=tmp_path / "out", settings=settings)
    assert message in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_model_needs_a_folder(tmp_path):
    with pytest.raises(InputError, match="give --out FOLDER"):
        evaluate_code("humaneval", data=write_problems(tmp_path), model=ModelSpec(api="scripted"))


def test_a_price_must_be_known_to_be_bounded(tmp_path):
    spec = ModelSpec(base_url="http://127.0.0.1:1/v1", model="m")
    with pytest.raises(InputError, match=r"--set 'model\.price="):
        evaluate_code(
            "humaneval", data=write_problems(tmp_path), model=spec, out=tmp_path / "out", limits=Limits(cost=1.0)
        )


def test_a_run_of_another_kind_is_left_alone(tmp_path, seeds_file, evolute_command):
    run = tmp_path / "run"
    ended = evolute_command("evolve", seeds_file(2), "--out", run, "--api", "scripted", "--rounds", "1")
    assert ended.returncode == 0, ended.stderr
    with pytest.raises(InputError, match="holds a run that is no evaluation"):
        evaluate_code("humaneval", data=write_problems(tmp_path), model=ModelSpec(api="scripted"), out=run)
    assert not (run / "evaluation.yaml").exists()


def test_shots_must_be_in_the_data_and_not_among_the_tasks(tmp_path):
    rows = [
        {"task_id": number, "text": "Do it.", "code": "def f(x):\n    return x", "test_list": ["assert f(1) == 1"]}
        for number in range(2, 13)
    ]
    whole, part = tmp_path / "whole" / "mbpp.jsonl", tmp_path / "mbpp_test_500.jsonl"
    whole.parent.mkdir()
    whole.write_text("".join(json.dumps(row) + "\n" for row in rows))
    part.write_text("".join(json.dumps(row) + "\n" for row in rows[9:]))
    spec = ModelSpec(api="scripted")
    asked = {"prompt": "three-shot"}
    with pytest.raises(InputError, match=r"lacks \[2, 3, 4\]"):
        evaluate_code("mbpp", data=part, model=spec, out=tmp_path / "a", settings=asked)
    with pytest.raises(InputError, match="--split test"):
        evaluate_code("mbpp", data=whole, model=spec, out=tmp_path / "b", settings=asked)


def test_without_a_sandbox_it_says_so_loudly(tmp_path):
    said = []
    samples = tmp_path / "samples.jsonl"
    (name, (_, body, _)), *_ = BODIES.items()
    samples.write_text(json.dumps({"task_id": "HumanEval/0", "completion": body}) + "\n")
    evaluated = evaluate_code(
        "humaneval", samples, data=write_problems(tmp_path), unsafe_sandbox=True, workers=1, say=said.append
    )
    assert said[0] == UNSAFE
    assert evaluated.results.passed == 1, name
    assert evaluated.results.total == 4

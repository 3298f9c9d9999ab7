"""Respond: every row answered once, in order, resumable, and written whole or not at all."""

import asyncio
import csv
import json
from pathlib import Path

import pytest

from evolute import api
from evolute.errors import InputError, SeedError
from evolute.formats import FORMATS
from evolute.models.loopback import Faults, LoopbackServer
from evolute.recipe import ModelSpec

WIZARDLM = Path(__file__).resolve().parents[2] / "../shared/data/wizardlm/WizardLM_testset.jsonl"


def said(body):
    """Says what it was asked last, and of how many messages."""
    if "prompt" in body:
        return f" <{body['prompt']}>"
    return f"{len(body['messages'])}: {body['messages'][-1]['content']}"


def line(row):
    """A line of the file: an instruction, a row, or bytes as they are."""
    if isinstance(row, bytes):
        return row.decode()
    return json.dumps({"instruction": row} if isinstance(row, str) else row, ensure_ascii=False)


class Responder:
    """Has a server answer a file in a folder."""

    def __init__(self, folder):
        self.file, self.out = folder / "rows.jsonl", folder / "answers.jsonl"
        self.told = []

    async def __call__(self, server, *rows, limits=None, seeds=None, api_="chat", **settings):
        if rows:
            self.file.write_text("".join(f"{line(row)}\n" for row in rows), encoding="utf-8")
        url = server if isinstance(server, str) else server.base_url
        fields = {"base_url": url, "model": "m", "api": api_, "api_key_env": "", "retries": 0, "concurrency": 2}
        return await asyncio.to_thread(
            api.respond, self.file, self.out, settings={f"model.{k}": v for k, v in fields.items()} | settings,
            limits=limits, seeds=seeds, say=self.told.append,
        )  # fmt: skip

    def rows(self):
        return [json.loads(line) for line in self.out.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def respond(tmp_path):
    return Responder(tmp_path)


TALK = {
    "conversations": [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "one"},
        {"from": "gpt", "value": "the file's own"},
        {"from": "human", "value": "two"},
        {"from": "gpt", "value": "the file's own, too"},
    ]
}


async def test_each_row_is_answered_in_its_order(respond):
    async with LoopbackServer(said) as server:
        row = {"instruction": "Grüß 世界.", "input": "x", "idx": 7}
        done = await respond(server, row, b"broken", "Say it.", "Say it.", seeds=api.SeedOptions(skip_bad=True))
        assert server.requests == 2, "the same row twice is asked once"
    first, second, third = respond.rows()
    assert first == {
        "id": 7, "instruction": "Grüß 世界.", "input": "x", "response": "1: Grüß 世界.\n\nx", "model": "m",
        "finish": "stop", "failure": None,
    }  # fmt: skip
    assert second == third
    assert second["response"] == "1: Say it."
    assert (done.rows, done.bad_rows, done.wanted, done.answers, done.calls) == (3, 1, 2, 2, 2)
    assert (respond.out.parent / "answers.jsonl.ledger" / "bad-rows.jsonl").is_file()


async def test_a_conversation_is_asked_turn_by_turn_with_the_models_own_answers(respond):
    async with LoopbackServer(said) as server:
        await respond(server, TALK, {"turns": ["a", "b"], "question_id": 81}, {"instruction": "c"})
        assert server.requests == 5
    talk, questions, single = respond.rows()
    assert [(turn["from"], turn["value"]) for turn in talk["conversations"]] == [
        ("system", "Be brief."), ("human", "one"), ("gpt", "2: one"), ("human", "two"), ("gpt", "4: two"),
    ]  # fmt: skip
    assert [turn["value"] for turn in questions["conversations"]] == ["a", "1: a", "b", "3: b"]
    assert (questions["id"], talk["failure"], single["response"]) == (81, None, "1: c")


async def test_the_last_turn_alone_stands_behind_the_files_own_answers(respond):
    async with LoopbackServer(said) as server:
        await respond(server, TALK, last_turn=True)
        assert server.last_body["messages"][2] == {"role": "assistant", "content": "the file's own"}
    (row,) = respond.rows()
    assert (row["instruction"], row["system"], row["response"]) == ("two", "Be brief.", "4: two")
    assert [turn["content"] for turn in row["history"]] == ["one", "the file's own"]


async def test_vicunas_format_over_plain_completions(respond):
    async with LoopbackServer(lambda body: " yes ") as server:
        await respond(server, TALK, api_="completions", format="vicuna-v1.1")
        assert server.last_body["prompt"] == "Be brief. USER: one ASSISTANT: yes</s>USER: two ASSISTANT:"
        assert server.last_body["stop"] == ["</s>", "USER:", "ASSISTANT:"]
    assert [turn["value"] for turn in respond.rows()[0]["conversations"]][2::2] == ["yes", "yes"]


async def test_a_bound_that_the_last_answer_reaches_leaves_nothing_unwritten(respond):
    async with LoopbackServer(said) as server:
        done = await respond(server, "One.", "Two.", limits=api.Limits(calls=2))
    assert (done.stopped, [row["response"] for row in respond.rows()]) == ("", ["1: One.", "1: Two."])


async def test_a_format_for_the_embedded_model_is_refused_with_what_works(respond):
    with pytest.raises(InputError, match="leave out --format, or name a model behind an endpoint"):
        await respond("", "One.", api_="embedded", format="vicuna-v1.1")


async def test_alpacas_input_has_its_place(respond):
    async with LoopbackServer(said) as server:
        await respond(server, {"instruction": "Add.", "input": "1, 2"}, api_="completions", format="alpaca")
        assert "### Instruction:\nAdd.\n\n### Input:\n1, 2\n\n### Response:" in server.last_body["prompt"]


async def test_a_format_of_ones_own_is_held_to(respond, tmp_path):
    template = tmp_path / "mine.jinja"
    template.write_text("Q: {{ instruction }} A:")
    async with LoopbackServer(said) as server:
        await respond(server, "Why?", api_="completions", format=str(template))
        assert respond.rows()[0]["response"] == "<Q: Why? A:>"
        template.write_text("Question: {{ instruction }} A:")
        with pytest.raises(InputError, match=r"answers that were asked for otherwise \(template"):
            await respond(server, api_="completions")
        assert server.requests == 1


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"format": "wizardlm-7b"}, "'wizardlm-7b' writes the whole prompt.*give --api completions"),
        ({"api_": "completions"}, "name the prompt format"),
        ({"api_": "completions", "format": "chat"}, "written by a chat API"),
        ({"format": "nothing"}, "no prompt format 'nothing'"),
        ({"n": 2}, "n is 2 at temperature 0"),
        ({"temperature": -1}, "temperature.*-1"),
        ({"nothing": 1}, "nothing: there is no such field"),
        ({"api_": "completions", "format": "wizardlm-7b", "system": "S"}, "line 1: .* no room for a system prompt"),
    ],
)
async def test_what_cannot_be_asked_is_refused_before_anything_is_paid_for(respond, settings, problem):
    with pytest.raises(InputError, match=problem):
        await respond("http://127.0.0.1:9/v1", "Say it.", **settings)
    assert sorted(path.name for path in respond.file.parent.iterdir()) == ["rows.jsonl"]


async def test_a_row_that_does_not_fit_is_named(respond):
    with pytest.raises(InputError, match=r"rows\.jsonl, line 2: .*one turn only"):
        await respond("http://127.0.0.1:9/v1", "Say it.", TALK | {"conversations": TALK["conversations"][1:]},
                      api_="completions", format="wizardlm-7b")  # fmt: skip
    with pytest.raises(SeedError, match=r"line 2: the instruction is empty"):
        await respond("http://127.0.0.1:9/v1", {"instruction": "a"}, {"instruction": " "})


async def test_the_file_that_is_read_is_not_written(respond):
    respond.out = respond.file
    with pytest.raises(InputError, match="is the file that is read"):
        await respond("http://127.0.0.1:9/v1", "Say it.")
    assert json.loads(respond.file.read_text()) == {"instruction": "Say it."}


async def test_several_answers_stand_in_lists(respond):
    async with LoopbackServer(lambda body: str(body["seed"])) as server:
        await respond(server, "Say it.", TALK, n=2, temperature=0.7)
        first = respond.rows()
        await respond(server, n=3, temperature=0.7)
        assert server.requests == 9
    single, talk = respond.rows()
    assert len(set(single["responses"])) == 3
    assert single["responses"][:2] == first[0]["responses"], "more answers leave those that are there"
    assert (single["failure"], single["finish"]) == ([None] * 3, ["stop"] * 3)
    assert [len(turns) for turns in talk["conversations"]] == [5, 5, 5]


async def test_a_row_whose_answer_failed_says_why_and_stays(respond):
    def rule(body):
        return "" if body["messages"][-1]["content"] in ("two", "Bad.") else said(body)

    async with LoopbackServer(rule) as server:
        done = await respond(server, "Bad.", TALK, "Good.")
    bad, talk, good = respond.rows()
    assert (bad["response"], bad["failure"]) == (None, "empty: the model gave an empty text")
    assert talk["failure"] == "turn 2: empty: the model gave an empty text"
    assert [turn["from"] for turn in talk["conversations"]] == ["system", "human", "gpt", "human"]
    assert good["failure"] is None
    assert (done.failed, done.unasked, done.stopped) == ({"empty": 2}, 0, "")


async def test_what_was_cut_off_is_kept_and_told(respond):
    async with LoopbackServer(said, faults=Faults(length=1.0)) as server:
        await respond(server, "Say it.")
    (row,) = respond.rows()
    assert row["response"]
    assert (row["finish"], row["failure"]) == ("length", "truncated: cut off at the most tokens of an answer")


async def test_it_stops_at_a_bound_writes_nothing_and_goes_on(respond):
    texts = [f"Question {number}" for number in range(6)]
    async with LoopbackServer(said) as server:
        stopped = await respond(server, *texts, limits=api.Limits(calls=4))
        assert stopped.stopped == "--max-calls 4 is reached"
        assert not respond.out.exists()
        done = await respond(server)
        assert (server.requests, done.calls, done.stopped) == (6, 6, "")
    whole = respond.out.read_bytes()
    respond.out.unlink()
    await respond("http://127.0.0.1:9/v1")  # nobody listens there: every answer is recorded
    assert respond.out.read_bytes() == whole


async def test_answers_that_could_not_be_had_leave_the_old_output_as_it_is(respond):
    broken = True

    def rule(body):
        return {"no": "choices"} if broken and "two" in body["messages"][-1]["content"] else said(body)

    respond.out.write_text("old\n")
    async with LoopbackServer(rule) as server:
        stopped = await respond(server, "one", "two")
        assert stopped.stopped.startswith("1 of 2 answers could not be had (")
        assert respond.out.read_text() == "old\n"
        broken = False
        await respond(server)
    assert [row["response"] for row in respond.rows()] == ["1: one", "1: two"]


async def test_other_settings_want_another_output(respond):
    async with LoopbackServer(said) as server:
        await respond(server, "Say it.")
        with pytest.raises(InputError, match=r"\(temperature 0\.0, not 0\.5\): give another --out"):
            await respond(server, temperature=0.5)
        with pytest.raises(InputError, match=r"model\.model 'm', not 'other'"):
            await respond(server, **{"model.model": "other"})
        await respond(server, "Say it.", "And this.", **{"model.concurrency": 1})
        assert server.requests == 2, "further rows are asked, and those that were are not"


async def test_every_shape_of_a_file(respond, tmp_path):
    table, text = tmp_path / "rows.csv", tmp_path / "rows.txt"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "prompt"], ["a1", "One, two"], ["a2", "Drei\nvier"]])
    text.write_text("First.\nSecond.\n")
    async with LoopbackServer(said) as server:
        for respond.file, ids, told in ((table, ["a1", "a2"], "1: Drei\nvier"), (text, None, "1: Second.")):
            respond.out = tmp_path / f"{respond.file.name}.out.jsonl"
            await respond(server)
            rows = respond.rows()
            assert rows[1]["response"] == told
            assert ids in (None, [row["id"] for row in rows])


@pytest.mark.skipif(not WIZARDLM.is_file(), reason="the WizardLM test set is not beside this checkout")
async def test_the_wizardlm_test_set(respond):
    respond.file = WIZARDLM
    async with LoopbackServer(said) as server:
        done = await respond(server, seeds=api.SeedOptions(column="Instruction"))
    given = [json.loads(line) for line in WIZARDLM.read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], row["instruction"]) for row in respond.rows()] == [
        (row["idx"], row["Instruction"]) for row in given
    ]
    assert (done.rows, done.answers) == (218, 218)


def test_the_page_names_every_format():
    page = (Path(__file__).resolve().parents[2] / "docs" / "respond.md").read_text(encoding="utf-8")
    assert [name for name in FORMATS if f"| `{name}` |" not in page] == []


def test_a_model_is_needed(tmp_path):
    (tmp_path / "rows.txt").write_text("Say it.\n")
    with pytest.raises(InputError, match="who answers"):
        api.respond(tmp_path / "rows.txt", tmp_path / "out.jsonl")
    with pytest.raises(InputError, match="--max-cost needs a price"):
        api.respond(
            tmp_path / "rows.txt", tmp_path / "out.jsonl", limits=api.Limits(cost=1.0),
            model=ModelSpec(model="nobody-prices-this", base_url="http://127.0.0.1:9/v1"),
        )  # fmt: skip

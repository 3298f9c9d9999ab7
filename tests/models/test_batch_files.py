"""Batches by hand: files for `vllm run-batch`."""

import shlex
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from evolute.models.batching.files import FileBatches
from evolute.models.loopback_reply import reply_body, scripted_rule
from evolute.recipe import ModelSpec
from evolute.records import Message, Request

SPEC = ModelSpec(model="Qwen/Qwen3-8B")


def ask(number):
    return Request("evolver", (Message("user", f"Name river {number}."),), b"", number + 7, {"max_tokens": 64})


REQUESTS = [ask(number) for number in range(5)]


def run_vllm(command):
    """Do what `vllm run-batch` does: read -i, write -o, in the lines that its source has (vllm 0.12)."""
    words = shlex.split(command)
    assert words[:2] == ["vllm", "run-batch"]
    options = dict(zip(words[2::2], words[3::2], strict=True))
    with Path(options["-i"]).open("rb") as asked, Path(options["-o"]).open("wb") as out:
        for raw in asked:
            line = orjson.loads(raw)
            assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
            assert line["body"]["model"] == options["--model"]
            body = reply_body("chat", line["body"], scripted_rule(line["body"]), "")
            response = {"status_code": 200, "request_id": "vllm-batch-1", "body": body}
            out.write(
                orjson.dumps({"id": "vllm-1", "custom_id": line["custom_id"], "response": response, "error": None})
            )
            out.write(b"\n")


@pytest.fixture
def job(tmp_path):
    folder = tmp_path / "a run's batches"
    folder.mkdir()
    told = []
    provider = FileBatches(SPEC, folder, told.append)
    path = folder / "run-1.jsonl"
    path.write_bytes(b"".join(provider.line(request.key.hex(), request) + b"\n" for request in REQUESTS))
    return provider, path, told


async def answered(provider, path):
    """The batch's id, and the file with all of its answers."""
    id = await provider.submit("run-1", path, 5)
    run_vllm(provider.command(id))
    return id, path.with_name("run-1.answers.jsonl")


async def keys(provider, id):
    return [result.key async for result in provider.results(id)]


async def test_the_command_is_told_once_and_its_answers_end_the_batch(job):
    provider, path, told = job
    id = await provider.submit("run-1", path, 5)
    waiting = await provider.status(id)
    assert (waiting.state, waiting.done, waiting.total) == ("running", 0, 5)
    assert len(told) == 1
    assert provider.command(id) in told[0]
    run_vllm(provider.command(id))
    assert (await provider.status(id)).state == "ended"
    results = [result async for result in provider.results(id)]
    assert [result.key for result in results] == [request.key.hex() for request in REQUESTS]
    assert all(result.completion.text for result in results)


async def test_a_file_that_is_still_being_written_does_not_count(job):
    provider, path, _ = job
    id, answers = await answered(provider, path)
    whole = answers.read_bytes()
    lines = whole.splitlines(keepends=True)
    foreign = lines[0].replace(REQUESTS[0].key.hex().encode(), b"ff" * 16)
    for part, done in [
        (whole[:-10], 4),
        (b"".join(lines[:2]), 2),
        (lines[0] * 5, 1),
        (foreign + b"".join(lines[:4]), 4),
        (b"", 0),
    ]:
        answers.write_bytes(part)
        status = await provider.status(id)
        assert (status.state, status.done) == ("running", done)
    answers.write_bytes(foreign + b"garbage\n" + whole)
    assert (await provider.status(id)).state == "ended"


async def test_answers_to_something_else_are_said(job):
    provider, path, told = job
    id, answers = await answered(provider, path)
    whole = answers.read_bytes()
    answers.write_bytes(whole.replace(b'"custom_id":"', b'"custom_id":"f') + b"garbage\n" + whole[:20])
    assert (await provider.status(id)).done == 0
    assert "6 of its lines answer no request of this batch (1 are no JSON with a custom_id)" in told[-1]
    assert str(answers) in told[-1]
    assert len(told) == 2
    await provider.status(id)
    assert len(told) == 2, "once for each state of the file"


async def test_another_process_takes_the_batch_up_and_tells_the_command_again(job):
    provider, path, _ = job
    id = await provider.submit("run-1", path, 5)
    told = []
    later = FileBatches(SPEC, path.parent, told.append)
    assert await later.find("run-1", 0.0, 5, ()) == id
    assert await later.find("run-1", 0.0, 5, {id}) is None
    assert await later.find("run-2", 0.0, 5, ()) is None
    assert [(await later.status(id)).state for _ in range(3)] == ["running"] * 3
    assert len(told) == 1
    run_vllm(later.command(id))
    assert (await later.status(id)).state == "ended"
    assert len(told) == 1


async def test_giving_up_keeps_what_is_there(job):
    provider, path, _ = job
    id, answers = await answered(provider, path)
    answers.write_bytes(b"".join(answers.read_bytes().splitlines(keepends=True)[:3]))
    await provider.cancel(id)
    status = await provider.status(id)
    assert replace(status, detail="") == replace(status, state="cancelled", done=3, total=5, detail="")
    assert await keys(provider, id) == [request.key.hex() for request in REQUESTS[:3]]


async def test_a_file_of_requests_that_is_gone_is_said(job):
    provider, path, _ = job
    path.unlink()
    status = await provider.status("run-1")
    assert (status.state, "is not there any more" in status.detail) == ("failed", True)
    assert await keys(provider, "run-1") == []
